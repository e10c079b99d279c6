//! Bytes to values. Invariants: nothing is read past the end of the frame, nothing is allocated before the bytes that
//! justify it were seen, and what one frame's values allocate is bounded by the frame's size.

use super::error::{DecodeError, DecodeProblem};
use super::text::Text;
use bytes::{Buf, Bytes};

/// How many bytes of memory a byte of the frame may become. An empty string takes one byte on the wire and 32 as a
/// [`Text`], so without this bound a frame could cost a multiple of its size that depends on its sender's ill will. The
/// worst that clients send, a request for the metadata of topics by name, needs 8 for names of 4 letters.
const MEMORY_PER_BYTE: usize = 8;

/// What is allowed on top: all topics with names of one or two letters can still be asked for at once.
const MEMORY_ALLOWANCE: usize = 64 * 1024;

/// What the arrays of one frame may take at most, whatever its size: more than a million partitions or names, so that what
/// becomes of a request is bounded, too.
const MOST_MEMORY: usize = 64 << 20;

/// The longest string that there is on the wire, in bytes, whatever its length field could say: Kafka's messages
/// (`MessageDataGenerator`) neither write nor read a longer one.
pub const MAX_TEXT_BYTES: usize = i16::MAX as usize;

/// Reads values off the front of a frame. Bytes, and strings of UTF-8, come out as slices that share the frame.
///
/// The memory of all arrays of one frame together is at most 8 times its bytes plus 64 KiB, and at most 64 MiB; that of
/// strings which are no UTF-8 is at most 3 times their bytes.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    memory: usize,
}

impl Reader {
    /// A reader of `frame`, from its first byte.
    pub fn new(frame: Bytes) -> Self {
        let memory = frame
            .len()
            .saturating_mul(MEMORY_PER_BYTE)
            .saturating_add(MEMORY_ALLOWANCE)
            .min(MOST_MEMORY);
        Self { bytes: frame, memory }
    }

    /// How many bytes are left to read.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(&array) = self.bytes.first_chunk::<N>() else {
            return Err(self.truncated(N));
        };
        self.bytes.advance(N);
        Ok(array)
    }

    /// The next `length` bytes, sharing the frame.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.bytes.len() {
            return Err(self.truncated(length));
        }
        Ok(self.bytes.split_to(length))
    }

    /// The next `length` bytes as a string, sharing the frame unless some of them are no UTF-8: those are replaced, as in
    /// Kafka. A string of more than [`MAX_TEXT_BYTES`], or one that becomes as long by that, is an error.
    #[inline]
    pub fn text(&mut self, length: usize) -> Result<Text, DecodeError> {
        if length > MAX_TEXT_BYTES {
            return Err(DecodeProblem::TextTooLong(length).into());
        }
        let text = Text::from_utf8_lossy(self.take(length)?);
        if text.as_bytes().len() > MAX_TEXT_BYTES {
            return Err(DecodeProblem::NotUtf8.into());
        }
        Ok(text)
    }

    /// An unsigned number in groups of 7 bits, the lowest first (`ByteUtils.readUnsignedVarint`).
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array::<1>()?;
            if shift == 28 && byte > 0x0F {
                break;
            }
            value |= u32::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeProblem::VarintTooLong.into())
    }

    /// A length that is the value itself: −1 is null, anything lower an error.
    #[inline]
    pub(crate) fn classic_length(length: i32) -> Result<Option<usize>, DecodeError> {
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeProblem::NegativeLength(length).into()),
        }
    }

    /// A length that is one less than the number on the wire, where 0 is null (KIP-482).
    #[inline]
    pub(crate) fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.unsigned_varint()?.checked_sub(1).map(|length| length as usize))
    }

    /// Admits an array of `count` elements, each at least `least` bytes on the wire and `size` in memory: the caller
    /// may then allocate for all of them at once.
    #[inline]
    pub(crate) fn admit(&mut self, count: usize, least: usize, size: usize) -> Result<(), DecodeError> {
        let remaining = self.bytes.len();
        if count.checked_mul(least.max(1)).is_none_or(|bytes| bytes > remaining) {
            return Err(DecodeProblem::TooManyElements { count, remaining }.into());
        }
        match count
            .checked_mul(size)
            .and_then(|memory| self.memory.checked_sub(memory))
        {
            Some(left) => self.memory = left,
            None => return Err(DecodeProblem::TooMuchMemory.into()),
        }
        Ok(())
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        DecodeProblem::Truncated {
            needed,
            remaining: self.bytes.len(),
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeProblem, Reader};
    use bytes::Bytes;

    fn varint(bytes: &'static [u8]) -> Result<u32, DecodeProblem> {
        Reader::new(Bytes::from_static(bytes))
            .unsigned_varint()
            .map_err(|error| error.problem)
    }

    #[test]
    fn a_varint_ends_within_32_bits() {
        assert_eq!(varint(&[0]), Ok(0));
        assert_eq!(varint(&[0x80, 0x01]), Ok(128));
        assert_eq!(varint(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), Ok(u32::MAX));
        assert_eq!(
            varint(&[0xFF, 0xFF, 0xFF, 0xFF, 0x1F]),
            Err(DecodeProblem::VarintTooLong)
        );
        assert_eq!(
            varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
            Err(DecodeProblem::VarintTooLong)
        );
        assert_eq!(
            varint(&[0x80]),
            Err(DecodeProblem::Truncated {
                needed: 1,
                remaining: 0
            })
        );
    }

    #[test]
    fn a_slice_shares_the_frame_and_stops_at_its_end() {
        let mut reader = Reader::new(Bytes::from_static(b"abcdef"));
        assert_eq!(&reader.take(4).unwrap()[..], b"abcd");
        let error = reader.take(3).unwrap_err();
        assert_eq!(
            error.problem,
            DecodeProblem::Truncated {
                needed: 3,
                remaining: 2
            }
        );
        assert_eq!(reader.remaining(), 2);
    }

    #[test]
    fn text_that_is_no_utf8_is_replaced_unless_no_answer_could_repeat_it() {
        let text = |length: usize| Reader::new(Bytes::from(alloc::vec![0xFF; length])).text(length);
        assert_eq!(text(2).unwrap(), "\u{FFFD}\u{FFFD}");
        assert_eq!(text(10_922).unwrap().len(), 32_766);
        assert_eq!(text(10_923).unwrap_err().problem, DecodeProblem::NotUtf8);
    }

    #[test]
    fn a_string_is_no_longer_than_kafka_reads() {
        let text = |length: usize| Reader::new(Bytes::from(alloc::vec![b'a'; 100_000])).text(length);
        assert_eq!(text(super::MAX_TEXT_BYTES).unwrap().len(), 32_767);
        assert_eq!(text(32_768).unwrap_err().problem, DecodeProblem::TextTooLong(32_768));
    }

    #[test]
    fn an_array_is_bounded_by_the_bytes_there_are_and_by_their_memory() {
        let mut reader = Reader::new(Bytes::from(alloc::vec![0; 100_000]));
        assert!(matches!(
            reader.admit(50_001, 2, 1).unwrap_err().problem,
            DecodeProblem::TooManyElements { .. }
        ));
        assert!(matches!(
            reader.admit(usize::MAX, 2, 1).unwrap_err().problem,
            DecodeProblem::TooManyElements { .. }
        ));
        assert_eq!(reader.admit(50_000, 1, 10), Ok(()));
        assert_eq!(
            reader.admit(50_000, 1, 10).unwrap_err().problem,
            DecodeProblem::TooMuchMemory
        );
    }
}
