//! Walks uncompressed records in place, without copying and without trusting a length.
//!
//! A record (`DefaultRecord`): its length, an unused attributes byte, the deltas of timestamp and offset, key, value, and
//! headers; every integer is a zigzag varint, and a length of −1 is null. Where Kafka's reader is lax, in that it drops a
//! varint's excess bits and takes any negative length for null, this one refuses: clients differ there, and would read
//! different records.

use super::error::{BatchError, RecordDefect};

/// A record, in the bytes it came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// What to add to the batch's base timestamp.
    pub timestamp_delta: i64,
    /// What to add to the batch's base offset.
    pub offset_delta: i32,
    /// The key; `None` is null, which differs from empty.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null, a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in order, repeated keys and all.
    pub headers: Headers<'a>,
}

/// A record's headers: an iterator over (key, value). They were checked when the record was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headers<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    /// The key, which Kafka has as UTF-8 but does not check, and the value, which may be null.
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        take_header(&mut self.rest).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// The records of a batch's uncompressed body. Ends after the first error.
///
/// It yields an error where the body holds more or fewer records than declared, so that whoever walks to the end has
/// checked the count. It does not demand that offset deltas are consecutive: compaction leaves gaps.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    rest: &'a [u8],
    declared: i32,
    index: i32,
}

impl<'a> Walk<'a> {
    /// Walks `records`, of which the header declares `declared`.
    pub const fn new(records: &'a [u8], declared: i32) -> Self {
        Self {
            rest: records,
            declared,
            index: 0,
        }
    }

    fn end(&mut self) {
        self.rest = &[];
        self.declared = self.index;
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Record<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() != (self.index >= self.declared) {
            let declared = self.declared;
            self.end();
            return Some(Err(BatchError::CountMismatch { declared }));
        }
        if self.rest.is_empty() {
            return None;
        }
        match take_record(&mut self.rest) {
            Ok(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            Err(defect) => {
                self.end();
                Some(Err(BatchError::Malformed {
                    index: self.index,
                    defect,
                }))
            }
        }
    }
}

#[inline]
fn take_record<'a>(rest: &mut &'a [u8]) -> Result<Record<'a>, RecordDefect> {
    let length = take_varint(rest).map_err(|defect| match defect {
        RecordDefect::FieldBeyondRecord => RecordDefect::Truncated,
        other => other,
    })?;
    let length = usize::try_from(length).map_err(|_| RecordDefect::NegativeLength)?;
    let (mut record, after) = rest.split_at_checked(length).ok_or(RecordDefect::LengthBeyondEnd)?;
    *rest = after;
    let rest = &mut record;
    let (_attributes, fields) = rest.split_first().ok_or(RecordDefect::FieldBeyondRecord)?;
    *rest = fields;
    let timestamp_delta = take_varlong(rest)?;
    let offset_delta = take_varint(rest)?;
    let key = take_nullable(rest)?;
    let value = take_nullable(rest)?;
    let headers = take_headers(rest)?;
    Ok(Record {
        timestamp_delta,
        offset_delta,
        key,
        value,
        headers,
    })
}

/// The headers, which must fill the rest of the record.
#[inline]
fn take_headers<'a>(rest: &mut &'a [u8]) -> Result<Headers<'a>, RecordDefect> {
    let count = usize::try_from(take_varint(rest)?).map_err(|_| RecordDefect::NegativeLength)?;
    let headers = Headers { left: count, rest };
    if count > 0 {
        // Each takes two bytes at least.
        if count > rest.len() / 2 {
            return Err(RecordDefect::HeaderCount);
        }
        for _ in 0..count {
            take_header(rest)?;
        }
    }
    if rest.is_empty() {
        Ok(headers)
    } else {
        Err(RecordDefect::TrailingBytes)
    }
}

fn take_header<'a>(rest: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), RecordDefect> {
    let key = take_nullable(rest)?.ok_or(RecordDefect::NegativeLength)?;
    Ok((key, take_nullable(rest)?))
}

#[inline]
fn take_nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordDefect> {
    let length = take_varint(rest)?;
    if length < 0 {
        return if length == -1 {
            Ok(None)
        } else {
            Err(RecordDefect::NegativeLength)
        };
    }
    let (taken, after) = rest
        .split_at_checked(length as usize)
        .ok_or(RecordDefect::FieldBeyondRecord)?;
    *rest = after;
    Ok(Some(taken))
}

/// A zigzag varint of at most five bytes.
#[inline]
pub(super) fn take_varint(rest: &mut &[u8]) -> Result<i32, RecordDefect> {
    let (&first, after) = rest.split_first().ok_or(RecordDefect::FieldBeyondRecord)?;
    let unsigned = if first < 0x80 {
        *rest = after;
        u32::from(first)
    } else {
        take_long_form(rest, 5).and_then(|value| u32::try_from(value).map_err(|_| RecordDefect::Varint))?
    };
    Ok((unsigned >> 1) as i32 ^ -((unsigned & 1) as i32))
}

/// A zigzag varint of at most ten bytes.
#[inline]
pub(super) fn take_varlong(rest: &mut &[u8]) -> Result<i64, RecordDefect> {
    let (&first, after) = rest.split_first().ok_or(RecordDefect::FieldBeyondRecord)?;
    let unsigned = if first < 0x80 {
        *rest = after;
        u64::from(first)
    } else {
        take_long_form(rest, 10)?
    };
    Ok((unsigned >> 1) as i64 ^ -((unsigned & 1) as i64))
}

fn take_long_form(rest: &mut &[u8], most: u32) -> Result<u64, RecordDefect> {
    let mut value = 0;
    for i in 0..most {
        let (&byte, after) = rest.split_first().ok_or(RecordDefect::FieldBeyondRecord)?;
        *rest = after;
        let bits = u64::from(byte & 0x7F);
        // The tenth byte has room for one bit.
        if i == 9 && bits > 1 {
            return Err(RecordDefect::Varint);
        }
        value |= bits << (7 * i);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(RecordDefect::Varint)
}

/// Appends a zigzag varint.
pub(super) fn put_varint(out: &mut alloc::vec::Vec<u8>, value: i64) {
    let mut unsigned = ((value << 1) ^ (value >> 63)) as u64;
    while unsigned >= 0x80 {
        out.push(unsigned as u8 | 0x80);
        unsigned >>= 7;
    }
    out.push(unsigned as u8);
}

/// Bytes that [`put_varint`] takes.
pub(super) const fn varint_len(value: i64) -> usize {
    let unsigned = ((value << 1) ^ (value >> 63)) as u64;
    let bits = 64 - unsigned.leading_zeros() as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Compression, Level, Producer};
    use crate::types::Timestamp;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn walk(bytes: &[u8], declared: i32) -> Vec<Result<Record<'_>, BatchError>> {
        Walk::new(bytes, declared).collect()
    }

    fn defect(bytes: &[u8]) -> RecordDefect {
        match walk(bytes, 1).as_slice() {
            [Err(BatchError::Malformed { index: 0, defect })] => *defect,
            other => panic!("{bytes:x?} walked as {other:?}"),
        }
    }

    #[test]
    fn a_record_reads_as_kafka_lays_it_out() {
        // Length 18, attributes, timestamp +3, offset +1, key "k", null value, headers h = "x", h = null, "" = "".
        let bytes = [34, 0, 6, 2, 2, b'k', 1, 6, 2, b'h', 2, b'x', 2, b'h', 1, 0, 0, 0];
        let records = walk(&bytes[..], 1);
        assert_eq!(
            records,
            [Err(BatchError::Malformed {
                index: 0,
                defect: RecordDefect::TrailingBytes
            })]
        );

        let mut bytes = bytes[..17].to_vec();
        bytes[0] = 32;
        let records = walk(&bytes, 1);
        let [Ok(record)] = records.as_slice() else {
            panic!("{records:?}")
        };
        assert_eq!((record.timestamp_delta, record.offset_delta), (3, 1));
        assert_eq!((record.key, record.value), (Some(&b"k"[..]), None));
        let headers: Vec<_> = record.headers.clone().collect();
        assert_eq!(headers, [(&b"h"[..], Some(&b"x"[..])), (b"h", None), (b"", Some(b""))]);
    }

    #[test]
    fn each_defect_has_its_name() {
        assert_eq!(defect(&[0x80]), RecordDefect::Truncated);
        assert_eq!(defect(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]), RecordDefect::Varint);
        assert_eq!(defect(&[0xFE, 0xFF, 0xFF, 0xFF, 0x1F]), RecordDefect::Varint, "33 bits");
        assert_eq!(defect(&[1, 0]), RecordDefect::NegativeLength);
        assert_eq!(
            defect(&[0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 0]),
            RecordDefect::LengthBeyondEnd
        );
        assert_eq!(defect(&[0]), RecordDefect::FieldBeyondRecord, "no attributes");
        assert_eq!(
            defect(&[12, 0, 0, 0, 1, 1, 1]),
            RecordDefect::NegativeLength,
            "-1 headers"
        );
        assert_eq!(defect(&[12, 0, 0, 0, 4, 1, 1]), RecordDefect::FieldBeyondRecord, "key");
        assert_eq!(
            defect(&[12, 0, 0, 0, 3, 1, 0]),
            RecordDefect::NegativeLength,
            "key of -2"
        );
        assert_eq!(
            defect(&[12, 0, 0, 0, 1, 2, 1]),
            RecordDefect::FieldBeyondRecord,
            "no header count"
        );
        assert_eq!(defect(&[14, 0, 0, 0, 1, 1, 0, 0]), RecordDefect::TrailingBytes);
        assert_eq!(defect(&[14, 0, 0, 0, 1, 1, 2, 0]), RecordDefect::HeaderCount);
        assert_eq!(
            defect(&[20, 0, 0, 0, 1, 1, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F]),
            RecordDefect::HeaderCount
        );
        assert_eq!(
            defect(&[16, 0, 0, 0, 1, 1, 2, 1, 1]),
            RecordDefect::NegativeLength,
            "null header key"
        );
        let timestamp = [26, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 1];
        assert_eq!(defect(&timestamp), RecordDefect::Varint, "65 bits");
    }

    #[test]
    fn a_wrong_count_is_the_last_thing_a_walk_says() {
        let record = [12, 0, 0, 0, 1, 1, 0];
        for (declared, records) in [(0, 0), (2, 1), (-1, 0), (i32::MAX, 1), (i32::MIN, 0)] {
            let found = walk(&record, declared);
            assert_eq!(found.len(), records + 1);
            assert_eq!(found[records], Err(BatchError::CountMismatch { declared }));
        }
        assert!(walk(&record, 1)[0].is_ok());
        assert!(walk(&[], 0).is_empty());
    }

    #[test]
    fn the_longest_varints_read_back() {
        for value in [
            0,
            -1,
            1,
            63,
            64,
            -64,
            -65,
            8191,
            8192,
            i64::from(i32::MAX),
            i64::from(i32::MIN),
        ] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(bytes.len(), varint_len(value));
            let (mut short, mut long) = (&bytes[..], &bytes[..]);
            assert_eq!(take_varint(&mut short).map(i64::from), Ok(value));
            assert_eq!(take_varlong(&mut long), Ok(value));
            assert!(short.is_empty() && long.is_empty());
        }
        for value in [i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!((bytes.len(), varint_len(value)), (10, 10));
            assert_eq!(take_varlong(&mut &bytes[..]), Ok(value));
            assert_eq!(take_varint(&mut &bytes[..]), Err(RecordDefect::Varint));
        }
    }

    fn some_records() -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None, Level::Default, Producer::Plain);
        for i in 0..4_u8 {
            let headers = [("repeated", Some(&[i][..])), ("repeated", None)];
            builder.append(
                Timestamp(1000 * i64::from(i)),
                Some(&[i; 3]),
                Some(&[7; 100]),
                &headers[..usize::from(i) % 3],
            );
        }
        builder.build().expect("four small records fit").body().to_vec()
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_end_the_walk_without_harm(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), declared in any::<i32>(),
        ) {
            let items = walk(&bytes, declared);
            prop_assert!(items.iter().rev().skip(1).all(Result::is_ok), "an error is the last item");
            for record in items.into_iter().flatten() {
                prop_assert_eq!(record.headers.len(), record.headers.count());
            }
        }

        #[test]
        fn damaged_records_end_the_walk_without_harm(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = some_records();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            prop_assert!(walk(&bytes, 4).iter().rev().skip(1).all(Result::is_ok));
            prop_assert!(matches!(walk(&bytes[..at], 4).last(), Some(Err(_))), "cut records are noticed");
        }
    }
}
