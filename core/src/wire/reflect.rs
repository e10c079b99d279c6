//! Messages as values by name, for tests: any message can be made at random, compared with what another codec reads,
//! and encoded and decoded without naming its type. Built only for tests and with the feature `reflect`.

use super::error::{DecodeError, EncodeError};
use super::field::Slot;
use super::kind::{
    Array, Blob, Bool, ClassicStr, Float64, Id, Int8, Int16, Int32, Int64, Kind, Nested, Nullable, RecordBytes,
    RecordParts, Str, Structure, Uint16, Uint32,
};
use super::message;
use super::records::Records;
use super::schema::{Field, Schema, Struct, Type, Versions};
use super::text::Text;
use super::{List, Listed, Message, Reader, Writer, frame};
use crate::types::Uuid;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use proptest::prelude::*;

/// A value of any type of the protocol.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "the names are the protocol's types")]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Uuid(Uuid),
    String(Text),
    /// Bytes, or records.
    Bytes(Bytes),
    Array(Vec<Value>),
    /// Fields by name. Made from a structure it has them all, in order; a structure made from it takes the default for
    /// those it lacks.
    Struct(Fields),
}

/// The fields of a structure by name.
pub type Fields = Vec<(&'static str, Value)>;

/// A type whose values can be turned into a [`Value`] and back.
pub trait Reflect: Kind {
    /// `value`, untyped.
    fn to_value(value: &Self::Value) -> Value;

    /// `value`, typed. Panics when it is of another type.
    fn from_value(value: &Value) -> Self::Value;
}

/// A structure whose fields can be listed; implemented by [`message!`](crate::wire::notation::message).
pub trait ReflectStructure: Structure {
    /// All fields, in order.
    fn to_fields(&self) -> Fields;

    /// A structure of the `fields` that there are and the defaults of others.
    fn from_fields(fields: &[(&'static str, Value)]) -> Self;
}

impl<K: Reflect> Slot<K> {
    /// The field's name with its value.
    pub fn to_field(&self, value: &K::Value) -> (&'static str, Value) {
        (self.field.name(), K::to_value(value))
    }

    /// The field's value among `fields`, or its default.
    pub fn from_fields(&self, fields: &[(&'static str, Value)]) -> K::Value {
        let found = fields.iter().find(|(name, _)| *name == self.field.name());
        found.map_or_else(self.default, |(_, value)| K::from_value(value))
    }
}

macro_rules! reflect {
    ($($kind:ident: $value:ident => $to:expr, $pattern:pat => $from:expr;)*) => { $(
        impl Reflect for $kind {
            fn to_value($value: &Self::Value) -> Value {
                $to
            }

            fn from_value(value: &Value) -> Self::Value {
                match value {
                    $pattern => $from,
                    other => panic!("{other:?} is no {}", stringify!($kind)),
                }
            }
        }
    )* };
}

reflect! {
    Bool: v => Value::Bool(*v), Value::Bool(v) => *v;
    Int8: v => Value::Int((*v).into()), Value::Int(v) => (*v).try_into().expect("fits");
    Int16: v => Value::Int((*v).into()), Value::Int(v) => (*v).try_into().expect("fits");
    Uint16: v => Value::Int((*v).into()), Value::Int(v) => (*v).try_into().expect("fits");
    Int32: v => Value::Int((*v).into()), Value::Int(v) => (*v).try_into().expect("fits");
    Uint32: v => Value::Int((*v).into()), Value::Int(v) => (*v).try_into().expect("fits");
    Int64: v => Value::Int(*v), Value::Int(v) => *v;
    Float64: v => Value::Float(*v), Value::Float(v) => *v;
    Id: v => Value::Uuid(*v), Value::Uuid(v) => *v;
    Str: v => Value::String(v.clone()), Value::String(v) => v.clone();
    ClassicStr: v => Value::String(v.clone()), Value::String(v) => v.clone();
    Blob: v => Value::Bytes(v.clone()), Value::Bytes(v) => v.clone();
}

impl Reflect for RecordBytes {
    fn to_value(value: &Option<Bytes>) -> Value {
        value.clone().map_or(Value::Null, Value::Bytes)
    }

    fn from_value(value: &Value) -> Option<Bytes> {
        (*value != Value::Null).then(|| Blob::from_value(value))
    }
}

impl Reflect for RecordParts {
    fn to_value(value: &Records) -> Value {
        match value {
            Records::Null => Value::Null,
            Records::Parts(parts) => Value::Bytes(frame::join(parts).expect("records in memory")),
        }
    }

    fn from_value(value: &Value) -> Records {
        if *value == Value::Null {
            Records::Null
        } else {
            Blob::from_value(value).into()
        }
    }
}

impl<K: Reflect> Reflect for Array<K> {
    fn to_value(value: &Self::Value) -> Value {
        Value::Array(value.iter().map(K::to_value).collect())
    }

    fn from_value(value: &Value) -> Self::Value {
        let Value::Array(elements) = value else {
            panic!("{value:?} is no array");
        };
        elements.iter().map(K::from_value).collect()
    }
}

impl<S: ReflectStructure> Reflect for Listed<S> {
    fn to_value(value: &List<S>) -> Value {
        Value::Array(value.iter().map(Nested::<S>::to_value).collect())
    }

    fn from_value(value: &Value) -> List<S> {
        Array::<Nested<S>>::from_value(value).into()
    }
}

impl<S: ReflectStructure> Reflect for Nested<S> {
    fn to_value(value: &S) -> Value {
        Value::Struct(value.to_fields())
    }

    fn from_value(value: &Value) -> S {
        let Value::Struct(fields) = value else {
            panic!("{value:?} is no structure");
        };
        S::from_fields(fields)
    }
}

impl<K: Reflect + super::kind::Optional> Reflect for Nullable<K> {
    fn to_value(value: &Self::Value) -> Value {
        value.as_ref().map_or(Value::Null, K::to_value)
    }

    fn from_value(value: &Value) -> Self::Value {
        (*value != Value::Null).then(|| K::from_value(value))
    }
}

/// A message without its type: its schema and its codec, over [`Value`]s.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// What the notation says.
    pub schema: &'static Schema,
    encode: fn(&Value, i16) -> Result<Bytes, EncodeError>,
    decode: fn(&mut Reader, i16) -> Result<Value, DecodeError>,
    decodes: fn(&mut Reader, i16) -> bool,
    complete: fn(&Value) -> Value,
}

impl Codec {
    /// The codec of a message.
    pub const fn of<M: Message + ReflectStructure>() -> Self {
        Self {
            schema: M::SCHEMA,
            encode: encode::<M>,
            decode: decode::<M>,
            decodes: decodes::<M>,
            complete: complete::<M>,
        }
    }

    /// Encodes the message. Panics when that takes another size than was announced.
    pub fn encode(&self, message: &Value, version: i16) -> Result<Bytes, EncodeError> {
        (self.encode)(message, version)
    }

    /// Decodes a message off the front of `reader`.
    pub fn decode(&self, reader: &mut Reader, version: i16) -> Result<Value, DecodeError> {
        (self.decode)(reader, version)
    }

    /// Whether a message can be decoded off the front of `reader`; drops it, typed as it is.
    pub fn decodes(&self, reader: &mut Reader, version: i16) -> bool {
        (self.decodes)(reader, version)
    }

    /// `message` with the default for each field it lacks.
    pub fn complete(&self, message: &Value) -> Value {
        (self.complete)(message)
    }
}

fn encode<M: Message + ReflectStructure>(message: &Value, version: i16) -> Result<Bytes, EncodeError> {
    let message = Nested::<M>::from_value(message);
    let size = message.encoded_size(version)?;
    let mut writer = Writer::default();
    message.encode(version, &mut writer)?;
    let bytes = frame::join(&writer.into_parts()).expect("nothing lies in a file");
    assert_eq!(
        bytes.len(),
        size,
        "{} of version {version} has another size than announced",
        M::SCHEMA.name()
    );
    Ok(bytes)
}

fn decode<M: Message + ReflectStructure>(reader: &mut Reader, version: i16) -> Result<Value, DecodeError> {
    Ok(Nested::<M>::to_value(&M::decode(reader, version)?))
}

fn decodes<M: Message>(reader: &mut Reader, version: i16) -> bool {
    M::decode(reader, version).is_ok()
}

fn complete<M: Message + ReflectStructure>(message: &Value) -> Value {
    Nested::<M>::to_value(&Nested::<M>::from_value(message))
}

/// The codecs of all messages of [`message`].
pub const MESSAGES: &[Codec] = &[
    Codec::of::<message::header::RequestHeader>(),
    Codec::of::<message::header::ResponseHeader>(),
    Codec::of::<message::alter_configs::AlterConfigsRequest>(),
    Codec::of::<message::alter_configs::AlterConfigsResponse>(),
    Codec::of::<message::api_versions::ApiVersionsRequest>(),
    Codec::of::<message::api_versions::ApiVersionsResponse>(),
    Codec::of::<message::create_partitions::CreatePartitionsRequest>(),
    Codec::of::<message::create_partitions::CreatePartitionsResponse>(),
    Codec::of::<message::create_topics::CreateTopicsRequest>(),
    Codec::of::<message::create_topics::CreateTopicsResponse>(),
    Codec::of::<message::delete_groups::DeleteGroupsRequest>(),
    Codec::of::<message::delete_groups::DeleteGroupsResponse>(),
    Codec::of::<message::delete_records::DeleteRecordsRequest>(),
    Codec::of::<message::delete_records::DeleteRecordsResponse>(),
    Codec::of::<message::delete_topics::DeleteTopicsRequest>(),
    Codec::of::<message::delete_topics::DeleteTopicsResponse>(),
    Codec::of::<message::describe_cluster::DescribeClusterRequest>(),
    Codec::of::<message::describe_cluster::DescribeClusterResponse>(),
    Codec::of::<message::describe_configs::DescribeConfigsRequest>(),
    Codec::of::<message::describe_configs::DescribeConfigsResponse>(),
    Codec::of::<message::describe_groups::DescribeGroupsRequest>(),
    Codec::of::<message::describe_groups::DescribeGroupsResponse>(),
    Codec::of::<message::describe_log_dirs::DescribeLogDirsRequest>(),
    Codec::of::<message::describe_log_dirs::DescribeLogDirsResponse>(),
    Codec::of::<message::describe_producers::DescribeProducersRequest>(),
    Codec::of::<message::describe_producers::DescribeProducersResponse>(),
    Codec::of::<message::describe_topic_partitions::DescribeTopicPartitionsRequest>(),
    Codec::of::<message::describe_topic_partitions::DescribeTopicPartitionsResponse>(),
    Codec::of::<message::fetch::FetchRequest>(),
    Codec::of::<message::fetch::FetchResponse>(),
    Codec::of::<message::find_coordinator::FindCoordinatorRequest>(),
    Codec::of::<message::find_coordinator::FindCoordinatorResponse>(),
    Codec::of::<message::group_records::OffsetCommitKey>(),
    Codec::of::<message::group_records::OffsetCommitValue>(),
    Codec::of::<message::group_records::GroupMetadataKey>(),
    Codec::of::<message::group_records::GroupMetadataValue>(),
    Codec::of::<message::heartbeat::HeartbeatRequest>(),
    Codec::of::<message::heartbeat::HeartbeatResponse>(),
    Codec::of::<message::incremental_alter_configs::IncrementalAlterConfigsRequest>(),
    Codec::of::<message::incremental_alter_configs::IncrementalAlterConfigsResponse>(),
    Codec::of::<message::init_producer_id::InitProducerIdRequest>(),
    Codec::of::<message::init_producer_id::InitProducerIdResponse>(),
    Codec::of::<message::join_group::JoinGroupRequest>(),
    Codec::of::<message::join_group::JoinGroupResponse>(),
    Codec::of::<message::leave_group::LeaveGroupRequest>(),
    Codec::of::<message::leave_group::LeaveGroupResponse>(),
    Codec::of::<message::list_config_resources::ListConfigResourcesRequest>(),
    Codec::of::<message::list_config_resources::ListConfigResourcesResponse>(),
    Codec::of::<message::list_groups::ListGroupsRequest>(),
    Codec::of::<message::list_groups::ListGroupsResponse>(),
    Codec::of::<message::list_offsets::ListOffsetsRequest>(),
    Codec::of::<message::list_offsets::ListOffsetsResponse>(),
    Codec::of::<message::metadata::MetadataRequest>(),
    Codec::of::<message::metadata::MetadataResponse>(),
    Codec::of::<message::offset_commit::OffsetCommitRequest>(),
    Codec::of::<message::offset_commit::OffsetCommitResponse>(),
    Codec::of::<message::offset_delete::OffsetDeleteRequest>(),
    Codec::of::<message::offset_delete::OffsetDeleteResponse>(),
    Codec::of::<message::offset_fetch::OffsetFetchRequest>(),
    Codec::of::<message::offset_fetch::OffsetFetchResponse>(),
    Codec::of::<message::offset_for_leader_epoch::OffsetForLeaderEpochRequest>(),
    Codec::of::<message::offset_for_leader_epoch::OffsetForLeaderEpochResponse>(),
    Codec::of::<message::produce::ProduceRequest>(),
    Codec::of::<message::produce::ProduceResponse>(),
    Codec::of::<message::sync_group::SyncGroupRequest>(),
    Codec::of::<message::sync_group::SyncGroupResponse>(),
];

/// Random structures with the fields that `version` has. Now and then a field is missing, and so at its default: that is
/// what leaves tagged fields out.
pub fn any_struct(schema: &'static Struct, version: i16) -> BoxedStrategy<Value> {
    let fields: Vec<_> = schema
        .fields
        .iter()
        .filter(|field| field.versions.contains(version))
        .collect();
    let names: Vec<_> = fields.iter().map(|field| field.name()).collect();
    let values: Vec<_> = fields
        .iter()
        .map(|field| {
            let value = any_value(field.kind, field.nullable, version);
            if default_fits(field, version) {
                proptest::option::weighted(0.8, value).boxed()
            } else {
                value.prop_map(Some).boxed()
            }
        })
        .collect();
    values
        .prop_map(move |values| {
            let fields = names.iter().copied().zip(values);
            Value::Struct(fields.filter_map(|(name, value)| Some((name, value?))).collect())
        })
        .boxed()
}

/// Whether `version` can carry the field's default: null it often cannot.
fn default_fits(field: &Field, version: i16) -> bool {
    let null = field.default == Some("None") || matches!(field.kind, Type::Records);
    !null || field.nullable.contains(version)
}

fn any_value(kind: Type, nullable: Versions, version: i16) -> BoxedStrategy<Value> {
    let value = match kind {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Int8 => any::<i8>().prop_map(|v| Value::Int(v.into())).boxed(),
        Type::Int16 => any::<i16>().prop_map(|v| Value::Int(v.into())).boxed(),
        Type::Uint16 => any::<u16>().prop_map(|v| Value::Int(v.into())).boxed(),
        Type::Int32 => any::<i32>().prop_map(|v| Value::Int(v.into())).boxed(),
        Type::Uint32 => any::<u32>().prop_map(|v| Value::Int(v.into())).boxed(),
        Type::Int64 => any::<i64>().prop_map(Value::Int).boxed(),
        Type::Float64 => (-1e9..1e9).prop_map(Value::Float).boxed(),
        Type::Uuid => any::<[u8; 16]>().prop_map(|v| Value::Uuid(Uuid(v))).boxed(),
        Type::String | Type::ClassicString => any_string(),
        Type::Bytes => any_bytes(0..200),
        Type::Records => prop_oneof![4 => any_bytes(0..200), 1 => any_bytes(1000..2000)].boxed(),
        Type::Array(element) => {
            let element = any_value(*element, Versions::NONE, version);
            proptest::collection::vec(element, 0..4).prop_map(Value::Array).boxed()
        }
        Type::Struct(body) => any_struct(body, version),
    };
    if nullable.contains(version) {
        prop_oneof![1 => Just(Value::Null), 3 => value].boxed()
    } else {
        value
    }
}

/// Short strings, and now and then one whose compact length takes two bytes.
fn any_string() -> BoxedStrategy<Value> {
    let characters = |count| proptest::collection::vec(any::<char>(), count);
    prop_oneof![4 => characters(0..6), 1 => characters(60..130)]
        .prop_map(|characters| Value::String(characters.into_iter().collect::<String>().into()))
        .boxed()
}

fn any_bytes(length: core::ops::Range<usize>) -> BoxedStrategy<Value> {
    proptest::collection::vec(any::<u8>(), length)
        .prop_map(|bytes| Value::Bytes(bytes.into()))
        .boxed()
}

/// All versions of a message.
pub fn versions(schema: &Schema) -> core::ops::RangeInclusive<i16> {
    schema.versions.first..=schema.versions.last
}

/// Runs `check` on random messages of each version: the same messages in each run.
pub fn for_random_messages(codec: Codec, cases: u32, mut check: impl FnMut(i16, Value)) {
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    for version in versions(codec.schema) {
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let check = core::cell::RefCell::new(&mut check);
        let outcome = runner.run(&any_struct(codec.schema.body, version), |message| {
            (check.borrow_mut())(version, message);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{} of version {version}: {error}", codec.schema.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MESSAGES, Value, for_random_messages};
    use crate::wire::{DecodeProblem, Field, Reader};

    #[test]
    fn every_version_of_every_message_reads_back() {
        for &codec in MESSAGES {
            for_random_messages(codec, 40, |version, message| {
                let bytes = codec.encode(&message, version).unwrap();
                let mut reader = Reader::new(bytes);
                assert_eq!(codec.decode(&mut reader, version), Ok(codec.complete(&message)));
                assert_eq!(reader.remaining(), 0);
            });
        }
    }

    #[test]
    fn a_message_cut_short_is_refused_at_each_length() {
        for &codec in MESSAGES {
            for_random_messages(codec, 4, |version, message| {
                let bytes = codec.encode(&message, version).unwrap();
                for length in 0..bytes.len() {
                    let cut = codec.decode(&mut Reader::new(bytes.slice(..length)), version);
                    assert!(
                        cut.is_err(),
                        "{} of {} bytes are taken for the whole",
                        length,
                        bytes.len()
                    );
                }
            });
        }
    }

    #[test]
    fn unknown_tagged_fields_are_skipped() {
        for &codec in MESSAGES {
            for_random_messages(codec, 4, |version, message| {
                if !codec.schema.flexible.contains(version) {
                    return;
                }
                let tagged = codec.schema.body.fields.iter().filter(|field| field.tag.is_some());
                let tagged: alloc::vec::Vec<_> = tagged.map(Field::name).collect();
                let Value::Struct(mut fields) = message else {
                    panic!("a message is a structure")
                };
                fields.retain(|(name, _)| !tagged.contains(name));
                let message = Value::Struct(fields);
                let bytes = codec.encode(&message, version).unwrap();
                let (count, rest) = bytes.split_last().unwrap();
                assert_eq!(*count, 0, "nothing is tagged");
                // Two tags that no message has, one of them with three bytes.
                let with = [rest, &[2, 0xF0, 0x7F, 3, 1, 2, 3, 0xF1, 0x7F, 0]].concat();
                assert_eq!(
                    codec.decode(&mut Reader::new(with.into()), version),
                    Ok(codec.complete(&message))
                );
                let claims = [rest, &[1, 0xF0, 0x7F, 3, 1, 2]].concat();
                let error = codec.decode(&mut Reader::new(claims.into()), version).unwrap_err();
                assert_eq!(
                    error.problem,
                    DecodeProblem::Truncated {
                        needed: 3,
                        remaining: 2
                    }
                );
            });
        }
    }

    #[test]
    fn a_tagged_field_fills_its_size() {
        // ApiVersionsResponse 3: no error, no APIs, no throttle time, tag 1 (8 bytes) in a size of 9.
        let bytes = [[0, 0, 1, 0, 0, 0, 0, 1, 1, 9].as_slice(), &[0; 9]].concat();
        let codec = MESSAGES
            .iter()
            .find(|codec| codec.schema.name() == "ApiVersionsResponse")
            .unwrap();
        let error = codec.decode(&mut Reader::new(bytes.into()), 3).unwrap_err();
        assert_eq!(error.problem, DecodeProblem::TagSize { tag: 1 });
    }
}
