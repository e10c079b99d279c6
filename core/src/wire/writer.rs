//! Values to bytes. Invariant: what is written is what was measured, so the buffer is allocated once, at its size.

use crate::types::Part;
use alloc::vec::Vec;
use bytes::Bytes;

/// Record bytes in memory of at least this length are handed on as a part of their own instead of being copied between
/// their neighbours: below it a copy is cheaper than another element of a vectored write.
const SPLICE_FROM: usize = 1024;

/// What a value takes on the wire, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Size {
    /// Bytes that are written into the buffer.
    pub inline: usize,
    /// Bytes that are handed on as parts, not copied.
    pub spliced: usize,
}

impl Size {
    /// Everything the value puts on the wire.
    #[inline]
    pub fn total(self) -> usize {
        self.inline + self.spliced
    }

    /// Counts `bytes` more in the buffer.
    #[inline]
    pub fn add(&mut self, bytes: usize) {
        self.inline += bytes;
    }

    /// Counts an unsigned varint in the buffer.
    #[inline]
    pub fn add_varint(&mut self, value: u32) {
        self.inline += varint_len(value);
    }

    /// Counts record bytes that lie in memory.
    #[inline]
    pub(crate) fn add_bytes(&mut self, length: usize) {
        if length >= SPLICE_FROM {
            self.spliced += length;
        } else {
            self.inline += length;
        }
    }

    /// Counts the parts of `records`.
    pub(crate) fn add_records(&mut self, records: &[Part]) {
        for part in records {
            match part {
                Part::Inline(bytes) => self.add_bytes(bytes.len()),
                Part::Range(range, _) => self.spliced += range.length as usize,
            }
        }
    }
}

/// How many bytes an unsigned varint takes.
#[inline]
pub(super) fn varint_len(value: u32) -> usize {
    let bits = 32 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Collects bytes into one buffer, and record bytes beside it where they are not copied.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    splices: Vec<(usize, Part)>,
}

impl Writer {
    /// A writer whose buffer has room for what `size` counts.
    pub fn with_size(size: Size) -> Self {
        Self {
            buffer: Vec::with_capacity(size.inline),
            splices: Vec::new(),
        }
    }

    /// How many bytes the buffer holds.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Makes room for what `size` counts.
    pub fn reserve(&mut self, size: Size) {
        self.buffer.reserve_exact(size.inline);
    }

    /// Writes `bytes` into the buffer.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Writes an unsigned varint.
    #[inline]
    pub fn put_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// Writes record bytes: short ones into the buffer, others beside it.
    #[inline]
    pub(crate) fn put_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() >= SPLICE_FROM {
            self.splices.push((self.buffer.len(), Part::Inline(bytes.clone())));
        } else {
            self.put(bytes);
        }
    }

    /// Writes the parts of `records`.
    pub(crate) fn put_records(&mut self, records: &[Part]) {
        for part in records {
            match part {
                Part::Inline(bytes) => self.put_bytes(bytes),
                Part::Range(..) => self.splices.push((self.buffer.len(), part.clone())),
            }
        }
    }

    /// What was written, in order. Parts in memory that follow each other are one, except where [`Records`](super::Records)
    /// stand between them.
    pub fn into_parts(self) -> Vec<Part> {
        let buffer = Bytes::from(self.buffer);
        let mut parts = Vec::with_capacity(2 * self.splices.len() + 1);
        let mut start = 0;
        for (position, part) in self.splices {
            if position > start {
                parts.push(Part::Inline(buffer.slice(start..position)));
                start = position;
            }
            parts.push(part);
        }
        if start < buffer.len() {
            parts.push(Part::Inline(buffer.slice(start..)));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::{SPLICE_FROM, Size, Writer, varint_len};
    use crate::types::{Content, FileId, FileRange, Part};
    use alloc::vec;
    use bytes::Bytes;

    #[test]
    fn a_varint_takes_the_bytes_that_were_counted() {
        for shift in 0..32 {
            for value in [1u32 << shift, (1u32 << shift) - 1] {
                let mut writer = Writer::default();
                writer.put_varint(value);
                assert_eq!(writer.buffered(), varint_len(value), "{value}");
            }
        }
    }

    #[test]
    fn short_bytes_are_copied_and_long_ones_and_file_ranges_are_not() {
        let long = Bytes::from(vec![7; SPLICE_FROM]);
        let range = Part::Range(
            FileRange {
                file: FileId(1),
                position: 5,
                length: 9,
            },
            Content::Opaque,
        );
        let records = [
            Part::Inline(Bytes::from_static(b"short")),
            Part::Inline(long.clone()),
            range.clone(),
        ];
        let mut size = Size::default();
        size.add(2);
        size.add_records(&records);
        assert_eq!(
            size,
            Size {
                inline: 7,
                spliced: SPLICE_FROM + 9
            }
        );
        let mut writer = Writer::with_size(size);
        writer.put(b"a");
        writer.put_records(&records);
        writer.put(b"z");
        assert_eq!(writer.buffered(), size.inline);
        let parts = writer.into_parts();
        let text = |bytes: &'static [u8]| Part::Inline(Bytes::from_static(bytes));
        assert_eq!(parts, [text(b"ashort"), Part::Inline(long.clone()), range, text(b"z")]);
        assert!(matches!(&parts[1], Part::Inline(bytes) if bytes.as_ptr() == long.as_ptr()));
    }
}
