//! The records of `__consumer_offsets`. A number of two bytes stands before each message: in a key the type of the record,
//! in a value the value's version (`GroupCoordinatorRecordSerde`).
//!
//! Invariant: what is encoded here, Kafka's own tools read as the same record.

use super::error::{DecodeError, EncodeError};
use super::message::group_records::{GroupMetadataKey, OffsetCommitKey};
use super::{Message, Reader, Role, Writer, frame};
use bytes::Bytes;

/// How many bytes the number takes.
const PREFIX_BYTES: usize = 2;

/// All keys have this one version: a new kind of key is a new type of record.
const KEY_VERSION: i16 = 0;

/// What a record is about.
#[derive(Clone, PartialEq, Debug)]
pub enum Key {
    /// A committed offset.
    OffsetCommit(OffsetCommitKey),
    /// A group.
    GroupMetadata(GroupMetadataKey),
    /// Something that this broker does not know, by the type of the record.
    Unknown(i16),
}

impl Key {
    /// The key as a record has it. [`Key::Unknown`] is its type alone.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        match self {
            Self::OffsetCommit(key) => encode_key(key),
            Self::GroupMetadata(key) => encode_key(key),
            Self::Unknown(kind) => Ok(Bytes::copy_from_slice(&kind.to_be_bytes())),
        }
    }

    /// The key that a record has.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes.clone());
        match i16::from_be_bytes(reader.array()?) {
            OFFSET_COMMIT => Ok(Self::OffsetCommit(OffsetCommitKey::decode(&mut reader, KEY_VERSION)?)),
            GROUP_METADATA => Ok(Self::GroupMetadata(GroupMetadataKey::decode(&mut reader, KEY_VERSION)?)),
            unknown => Ok(Self::Unknown(unknown)),
        }
    }
}

const OFFSET_COMMIT: i16 = record_type::<OffsetCommitKey>();
const GROUP_METADATA: i16 = record_type::<GroupMetadataKey>();

const fn record_type<K: Message>() -> i16 {
    match K::SCHEMA.role {
        Role::CoordinatorKey(kind) => kind,
        _ => panic!("only a coordinator's key has a type of record"),
    }
}

fn encode_key<K: Message>(key: &K) -> Result<Bytes, EncodeError> {
    encode(record_type::<K>(), key, KEY_VERSION)
}

/// A value as a record has it.
pub fn encode_value<V: Message>(value: &V, version: i16) -> Result<Bytes, EncodeError> {
    encode(version, value, version)
}

/// The value that a record has, of whichever version it says. Bytes after it are left alone.
pub fn decode_value<V: Message>(bytes: &Bytes) -> Result<V, DecodeError> {
    let mut reader = Reader::new(bytes.clone());
    let version = i16::from_be_bytes(reader.array()?);
    V::decode(&mut reader, version)
}

fn encode<M: Message>(prefix: i16, message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let (form, mut size) = message.sized(version)?;
    size.add(PREFIX_BYTES);
    let mut writer = Writer::with_size(size);
    writer.put(&prefix.to_be_bytes());
    message.write(form, &mut writer);
    Ok(frame::join(&writer.into_parts()).expect("a record of a coordinator holds no ranges of files"))
}

#[cfg(test)]
mod tests {
    use super::{Key, decode_value, encode_value};
    use crate::wire::message::group_records::{GroupMetadataKey, OffsetCommitKey, OffsetCommitValue};
    use crate::wire::{DecodeProblem, EncodeProblem};
    use bytes::Bytes;

    #[test]
    fn a_key_begins_with_the_type_of_its_record() {
        let offset = Key::OffsetCommit(OffsetCommitKey {
            group: "g".into(),
            topic: "t".into(),
            partition: 7,
        });
        let bytes = offset.encode().unwrap();
        assert_eq!(&bytes[..], b"\0\x01\0\x01g\0\x01t\0\0\0\x07");
        assert_eq!(Key::decode(&bytes), Ok(offset));
        let group = Key::GroupMetadata(GroupMetadataKey { group: "g".into() });
        let bytes = group.encode().unwrap();
        assert_eq!(&bytes[..], b"\0\x02\0\x01g");
        assert_eq!(Key::decode(&bytes), Ok(group));
    }

    #[test]
    fn a_key_of_another_type_is_told_and_not_read() {
        let bytes = Bytes::from_static(b"\0\x03\0\x01g");
        assert_eq!(Key::decode(&bytes), Ok(Key::Unknown(3)));
        assert_eq!(Key::Unknown(3).encode().unwrap(), &bytes[..2]);
        let problem = |bytes| Key::decode(&Bytes::from_static(bytes)).map_err(|error| error.problem);
        let (needed, remaining) = (2, 1);
        assert_eq!(problem(b"\0"), Err(DecodeProblem::Truncated { needed, remaining }));
        assert_eq!(
            problem(b"\0\x02\0"),
            Err(DecodeProblem::Truncated { needed, remaining })
        );
    }

    #[test]
    fn a_value_begins_with_its_version() {
        let value = OffsetCommitValue {
            offset: 5,
            leader_epoch: 2,
            metadata: "m".into(),
            commit_timestamp: 9,
            ..OffsetCommitValue::default()
        };
        for version in [3, 4] {
            let bytes = encode_value(&value, version).unwrap();
            assert_eq!(bytes[..2], version.to_be_bytes());
            assert_eq!(decode_value(&bytes), Ok(value.clone()));
        }
        let refused = encode_value(&value, 5).unwrap_err();
        assert_eq!(refused.problem, EncodeProblem::UnsupportedVersion(5));
        let later = decode_value::<OffsetCommitValue>(&Bytes::from_static(b"\0\x05")).unwrap_err();
        assert_eq!(later.problem, DecodeProblem::UnsupportedVersion(5));
    }
}
