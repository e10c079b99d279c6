//! Groups and offsets as records of `__consumer_offsets`, in Kafka's own form (`GroupCoordinatorRecordHelpers`).
//!
//! A group whose members have a generation but no parts of it yet is written without a time of its state: that is how a
//! start tells it from one whose leader gave out nothing but empty parts. Kafka's tools read both.
//!
//! Invariant: what is encoded here decodes to what it was made of, whatever the group.

use super::ask::Protocol;
use super::budget::Charge;
use super::classic::Acquaintance;
use super::classic::{Group, Member, State, Waiting};
use super::expiry::Since;
use super::offsets::Committed;
use crate::types::{LeaderEpoch, Monotonic, Now, Offset, Timestamp, TopicId};
use crate::wire::coordinator::{Key, decode_value, encode_value};
use crate::wire::message::group_records::{
    GroupMetadataKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};
use crate::wire::{DecodeError, EncodeError, Text};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::{self, Debug};

/// A key and a value; without one, what the key stands for is gone.
pub(super) type RecordPair = (Bytes, Option<Bytes>);

/// With topic ids.
const OFFSET_VERSION: i16 = 4;
/// With an expiry of the offset's own, and without leader epochs and topic ids.
const EXPIRING_OFFSET_VERSION: i16 = 1;
const GROUP_VERSION: i16 = 3;
const NO_TIME: i64 = -1;

/// Why a record says nothing that this broker knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IgnoredKind {
    /// Its type is another.
    Type(i16),
    /// It has no key.
    NoKey,
    /// Its batch is of a transaction, or the end of one.
    Transaction,
}

impl fmt::Display for IgnoredKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(kind) => write!(f, "a record of type {kind}"),
            Self::NoKey => f.write_str("a record without a key"),
            Self::Transaction => f.write_str("a batch of a transaction"),
        }
    }
}

/// What a record says of whom.
#[derive(Debug)]
pub enum Loaded {
    /// An offset of a group; `None` takes it back.
    Offset(OffsetCommitKey, Option<OffsetCommitValue>),
    /// A group; `None` takes it back.
    Group(Text, Option<GroupMetadataValue>),
    /// Nothing that this broker knows; where it stands, and why.
    Ignored(Offset, IgnoredKind),
}

/// Reads the record at `at`. An error where it is not what its key says, or its value is of a version that this broker does
/// not know.
pub(super) fn decode(at: Offset, key: &Bytes, value: Option<&Bytes>) -> Result<Loaded, DecodeError> {
    Ok(match Key::decode(key)? {
        Key::OffsetCommit(key) => Loaded::Offset(key, value.map(decode_value).transpose()?),
        Key::GroupMetadata(key) => Loaded::Group(key.group, value.map(decode_value).transpose()?),
        Key::Unknown(kind) => Loaded::Ignored(at, IgnoredKind::Type(kind)),
    })
}

fn text(text: &str) -> Text {
    Text::from(text.to_string())
}

fn offset_key(group: &str, topic: &str, partition: i32) -> Result<Bytes, EncodeError> {
    let (group, topic) = (text(group), text(topic));
    Key::OffsetCommit(OffsetCommitKey {
        group,
        topic,
        partition,
    })
    .encode()
}

/// The record of a committed offset.
pub(super) fn offset(group: &str, topic: &str, partition: i32, it: &Committed) -> Result<RecordPair, EncodeError> {
    let value = OffsetCommitValue {
        offset: it.offset.0,
        leader_epoch: it.leader_epoch.map_or(-1, |epoch| epoch.0),
        metadata: text(&it.metadata),
        commit_timestamp: it.at.0,
        expire_timestamp: it.expires.map_or(NO_TIME, |(at, _)| at.0),
        topic_id: it.id.0,
    };
    let version = match it.expires {
        Some(_) => EXPIRING_OFFSET_VERSION,
        None => OFFSET_VERSION,
    };
    Ok((
        offset_key(group, topic, partition)?,
        Some(encode_value(&value, version)?),
    ))
}

/// The record that takes a committed offset back.
pub(super) fn offset_gone(group: &str, topic: &str, partition: i32) -> Result<RecordPair, EncodeError> {
    Ok((offset_key(group, topic, partition)?, None))
}

/// The record that takes a group back.
pub(super) fn group_gone(group: &str) -> Result<RecordPair, EncodeError> {
    let group = text(group);
    Ok((Key::GroupMetadata(GroupMetadataKey { group }).encode()?, None))
}

/// What of a group is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    /// Everything.
    Members,
    /// The generation alone: a start finds an empty group, whose members have to join anew.
    Generation,
}

/// The record of a group.
pub(super) fn group<T: Copy + Debug>(group: &Group<T>, extent: Extent) -> Result<RecordPair, EncodeError> {
    let named = |name: &Option<Arc<str>>| name.as_deref().filter(|_| extent == Extent::Members).map(text);
    let protocol = group.protocol.as_deref().unwrap_or_default();
    let members: Vec<_> = match extent {
        Extent::Members => group.members.values().map(|it| member(it, protocol)).collect(),
        Extent::Generation => Vec::new(),
    };
    let since = match extent {
        Extent::Members if group.awaits_assignment() => NO_TIME,
        _ => group.state_since.0,
    };
    let value = GroupMetadataValue {
        protocol_type: text(group.protocol_type.as_deref().unwrap_or_default()),
        generation: group.generation,
        protocol: named(&group.protocol),
        leader: named(&group.leader),
        current_state_timestamp: since,
        members,
    };
    let key = Key::GroupMetadata(GroupMetadataKey {
        group: text(&group.name),
    });
    Ok((key.encode()?, Some(encode_value(&value, GROUP_VERSION)?)))
}

fn member<T: Copy>(member: &Member<T>, protocol: &str) -> MemberMetadata {
    MemberMetadata {
        member_id: text(&member.id),
        group_instance_id: member.instance.as_deref().map(text),
        client_id: text(&member.client_id),
        client_host: text(&member.client_host),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.metadata(protocol),
        assignment: member.assignment.clone(),
    }
}

/// The committed offset that a record says.
pub(super) fn committed(value: &OffsetCommitValue, now: Now) -> Committed {
    let at = Timestamp(value.commit_timestamp);
    let expires = (value.expire_timestamp != NO_TIME).then(|| {
        let left = value.expire_timestamp.saturating_sub(now.wall.0);
        (Timestamp(value.expire_timestamp), Since::at(now).plus_millis(left))
    });
    Committed {
        id: TopicId(value.topic_id),
        offset: Offset(value.offset),
        leader_epoch: (value.leader_epoch >= 0).then_some(LeaderEpoch(value.leader_epoch)),
        metadata: Arc::from(value.metadata.as_str()),
        at,
        since: Since::of(at, now),
        expires,
    }
}

/// The group that a record says, without offsets. Nothing of it waits for a deadline yet.
pub(super) fn loaded_group<T: Copy + Debug>(name: Arc<str>, value: &GroupMetadataValue, now: Now) -> Group<T> {
    let mut group = Group::new(name, now);
    let protocol_type: Arc<str> = Arc::from(value.protocol_type.as_str());
    let protocol = value.protocol.as_ref().map(|it| Arc::from(it.as_str()));
    for it in &value.members {
        let member = loaded_member(it, protocol.as_ref());
        if !group.members.contains_key(&member.id) {
            group.insert(member, &protocol_type);
        }
    }
    group.generation = value.generation;
    group.protocol_type = (!protocol_type.is_empty()).then_some(protocol_type);
    group.protocol = protocol;
    let leader = value
        .leader
        .as_ref()
        .and_then(|it| group.members.get_key_value(it.as_str()));
    if let Some((leader, _)) = leader {
        group.leader = Some(Arc::clone(leader));
    }
    group.state_since = Timestamp(value.current_state_timestamp);
    group.state = match value.current_state_timestamp {
        NO_TIME if group.members.is_empty() => State::Empty(Since::at(now)),
        _ if group.members.is_empty() => State::Empty(Since::of(group.state_since, now)),
        NO_TIME => State::Completing,
        _ => State::Stable,
    };
    group
}

fn loaded_member<T: Copy>(it: &MemberMetadata, protocol: Option<&Arc<str>>) -> Member<T> {
    let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    let protocols = protocol.map(|name| Protocol {
        name: Arc::clone(name),
        metadata: own(&it.subscription),
    });
    Member {
        id: Arc::from(it.member_id.as_str()),
        instance: it.group_instance_id.as_ref().map(|it| Arc::from(it.as_str())),
        client_id: Arc::from(it.client_id.as_str()),
        client_host: Arc::from(it.client_host.as_str()),
        session_timeout_ms: it.session_timeout,
        rebalance_timeout_ms: if it.rebalance_timeout < 0 {
            it.session_timeout
        } else {
            it.rebalance_timeout
        },
        protocols: protocols.into_iter().collect(),
        assignment: own(&it.assignment),
        waiting: Waiting::Nothing,
        acquaintance: Acquaintance::Known,
        expires: Monotonic::default(),
        armed: None,
        charge: Charge::default(),
    }
}
