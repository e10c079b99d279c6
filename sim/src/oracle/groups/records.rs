//! What the records of `__consumer_offsets` say, read without any of the broker's code (Kafka's `OffsetCommitKey`,
//! `OffsetCommitValue`, `GroupMetadataKey` and `GroupMetadataValue`).

use crate::batch::Record;
use std::collections::BTreeMap;

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Said {
    Offset {
        group: String,
        topic: String,
        partition: i32,
        /// What the client keeps with it; `None` where it is taken back.
        metadata: Option<String>,
    },
    Group {
        group: String,
        generation: i32,
        /// Member ids and their parts.
        members: BTreeMap<String, Vec<u8>>,
    },
    /// The group is gone.
    Gone { group: String },
}

/// Reads a record; `None` for one that says nothing of these, or is none of theirs.
pub(super) fn read(record: &Record<'_>) -> Option<Said> {
    let mut key = Bytes(record.key?);
    match key.int16()? {
        0 | 1 => {
            let (group, topic, partition) = (key.string()?, key.string()?, key.int32()?);
            let offset = |metadata| Said::Offset {
                group,
                topic,
                partition,
                metadata,
            };
            if record.tombstone {
                return Some(offset(None));
            }
            let mut value = Bytes(record.value);
            let version = value.int16()?;
            value.take(8)?;
            if version >= 3 {
                value.take(4)?;
            }
            let metadata = if version >= 4 {
                value.compact_string()?
            } else {
                value.string()?
            };
            Some(offset(Some(metadata)))
        }
        2 if record.tombstone => Some(Said::Gone { group: key.string()? }),
        2 => read_group(key.string()?, Bytes(record.value)),
        _ => None,
    }
}

fn read_group(group: String, mut value: Bytes<'_>) -> Option<Said> {
    if value.int16()? != 3 {
        return None;
    }
    value.string()?;
    let generation = value.int32()?;
    value.string()?;
    value.string()?;
    value.take(8)?;
    let mut members = BTreeMap::new();
    for _ in 0..value.int32()? {
        let id = value.string()?;
        value.string()?;
        value.string()?;
        value.string()?;
        value.take(8)?;
        value.bytes()?;
        let part = value.bytes()?;
        members.insert(id, part.to_vec());
    }
    Some(Said::Group {
        group,
        generation,
        members,
    })
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int16(&mut self) -> Option<i16> {
        self.take(2)?.first_chunk().map(|&bytes| i16::from_be_bytes(bytes))
    }

    fn int32(&mut self) -> Option<i32> {
        self.take(4)?.first_chunk().map(|&bytes| i32::from_be_bytes(bytes))
    }

    /// Null reads as empty.
    fn string(&mut self) -> Option<String> {
        let length = self.int16()?.max(0);
        self.text(usize::try_from(length).ok()?)
    }

    fn compact_string(&mut self) -> Option<String> {
        let mut length = 0usize;
        for shift in (0..28).step_by(7) {
            let byte = self.take(1)?[0];
            length |= usize::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return self.text(length.checked_sub(1)?);
            }
        }
        None
    }

    fn text(&mut self, length: usize) -> Option<String> {
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.int32()?;
        self.take(usize::try_from(length).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Said, read};
    use crate::batch::Record;
    use std::collections::BTreeMap;

    fn record<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Record<'a> {
        Record {
            offset: 0,
            timestamp: 0,
            key: Some(key),
            value: value.unwrap_or_default(),
            tombstone: value.is_none(),
            content: 0,
        }
    }

    #[test]
    fn records_of_kafka_s_form_are_understood() {
        let key = b"\0\x01\0\x01g\0\x01t\0\0\0\x05";
        let mut value = b"\0\x04".to_vec();
        value.extend(9_i64.to_be_bytes());
        value.extend((-1_i32).to_be_bytes());
        value.extend(b"\x0342");
        value.extend([0; 9]);
        let said = read(&record(key, Some(&value)));
        let offset = |metadata| Said::Offset {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            partition: 5,
            metadata,
        };
        assert_eq!(said, Some(offset(Some("42".to_owned()))));
        assert_eq!(read(&record(key, None)), Some(offset(None)), "it is taken back");

        let key = b"\0\x02\0\x01g";
        let mut value = b"\0\x03\0\x08consumer\0\0\0\x07\0\x05range\0\x01m".to_vec();
        value.extend(5_i64.to_be_bytes());
        value.extend(b"\0\0\0\x01\0\x01m\xff\xff\0\x01c\0\x01h\0\0\0\x01\0\0\0\x02\0\0\0\x01s\0\0\0\x02pp");
        let said = read(&record(key, Some(&value)));
        let group = "g".to_owned();
        let members = BTreeMap::from([("m".to_owned(), b"pp".to_vec())]);
        let generation = 7;
        assert_eq!(
            said,
            Some(Said::Group {
                group: group.clone(),
                generation,
                members
            })
        );
        assert_eq!(read(&record(key, None)), Some(Said::Gone { group }));
        for length in 0..value.len() {
            assert_eq!(read(&record(key, Some(&value[..length]))), None, "cut at {length}");
        }
    }
}
