//! What a group is asked, and what it answers: requests as they reach it, freed of the wire.

use super::budget::OVERHEAD;
use super::offsets::Committed;
use crate::types::{ErrorCode, LeaderEpoch, Offset, TopicId};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// A request to one group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupAsk {
    /// Take part in the next generation.
    Join(JoinAsk),
    /// Give or get the assignment of a generation.
    Sync(SyncAsk),
    /// Say that a member lives.
    Heartbeat(HeartbeatAsk),
    /// Let members go, each answered on its own.
    Leave(Vec<Leaver>),
    /// Remember offsets.
    Commit(CommitAsk),
    /// Tell remembered offsets.
    Fetch(FetchAsk),
    /// Tell who is in the group.
    Describe,
    /// Forget the group.
    Delete,
    /// Forget offsets.
    DeleteOffsets(Vec<(Arc<str>, i32)>),
}

impl GroupAsk {
    /// Whether its answer may wait for other members.
    pub const fn may_wait(&self) -> bool {
        matches!(self, Self::Join(_) | Self::Sync(_))
    }

    /// Whether a record may come of it.
    pub const fn may_write(&self) -> bool {
        !matches!(self, Self::Heartbeat(_) | Self::Fetch(_) | Self::Describe)
    }

    /// Bytes that it holds while it waits, about.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Join(ask) => ask.bytes(),
                Self::Sync(ask) => ask.assigned_bytes(),
                Self::Commit(ask) => ask.offsets.iter().map(|it| OVERHEAD + it.metadata.len()).sum(),
                Self::DeleteOffsets(wanted) => wanted.iter().map(|(topic, _)| 64 + topic.len()).sum(),
                _ => 0,
            }
    }

    /// The answer that refuses it.
    pub fn refused(&self, code: ErrorCode) -> GroupAnswer {
        match self {
            Self::Join(ask) => GroupAnswer::Joined(Err(JoinRefusal {
                code,
                member: Arc::clone(&ask.member),
            })),
            Self::Sync(_) => GroupAnswer::Synced(Err(code)),
            Self::Heartbeat(_) => GroupAnswer::Alive(code),
            Self::Leave(_) => GroupAnswer::Left(Err(code)),
            Self::Commit(ask) => GroupAnswer::Committed(alloc::vec![code; ask.offsets.len()]),
            Self::Fetch(_) => GroupAnswer::Offsets(Err(code)),
            Self::Describe => GroupAnswer::Described(Err(code)),
            Self::Delete => GroupAnswer::Deleted(code),
            Self::DeleteOffsets(_) => GroupAnswer::OffsetsDeleted(Err(code)),
        }
    }
}

/// A protocol that a member can speak, and what it says of itself in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Protocol {
    /// The protocol's name: for consumers, of an assignor.
    pub name: Arc<str>,
    /// The member's metadata: for consumers, its subscription.
    pub metadata: Bytes,
}

/// What a client that joins without a member id expects (KIP-394).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirstJoin {
    /// To be a member at once.
    Admitted,
    /// To be given an id, and to come again with it.
    ComesAgain,
}

/// What a leader that was restarted under its instance id understands (KIP-814).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplacedLeader {
    /// Nothing: it may not learn that it leads, or it would assign anew.
    MustNotKnow,
    /// That it leads, and that the assignment stands.
    SkipsAssignment,
}

/// A request to join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinAsk {
    /// The member id; empty for a client that has none yet.
    pub member: Arc<str>,
    /// `group.instance.id` (KIP-345).
    pub instance: Option<Arc<str>>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// The client's address, as Kafka writes it.
    pub client_host: Arc<str>,
    /// Milliseconds without a sign of life after which the member is dropped.
    pub session_timeout_ms: i32,
    /// Milliseconds that a rebalance waits for the member.
    pub rebalance_timeout_ms: i32,
    /// The kind of group: `consumer`, `connect`.
    pub protocol_type: Arc<str>,
    /// The protocols it can speak, the one it likes best first.
    pub protocols: Vec<Protocol>,
    /// What it expects where it has no member id.
    pub first_join: FirstJoin,
    /// What it understands where it is a leader that was restarted.
    pub replaced_leader: ReplacedLeader,
}

/// Bytes of what a member says of itself.
pub(super) fn protocol_bytes(protocols: &[Protocol]) -> usize {
    protocols.iter().map(|it| 64 + it.name.len() + it.metadata.len()).sum()
}

impl JoinAsk {
    /// Bytes that its member would hold.
    pub(super) fn bytes(&self) -> usize {
        let ids = [&self.member, &self.client_id, &self.client_host];
        let ids: usize = ids.iter().map(|it| it.len()).sum();
        ids + self.instance.as_ref().map_or(0, |it| it.len()) + protocol_bytes(&self.protocols)
    }
}

impl SyncAsk {
    /// Bytes of the parts.
    pub(super) fn assigned_bytes(&self) -> usize {
        let parts = self.assignments.iter();
        parts.map(|(member, part)| 64 + member.len() + part.len()).sum()
    }
}

/// A request for the assignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncAsk {
    /// The member id.
    pub member: Arc<str>,
    /// `group.instance.id`.
    pub instance: Option<Arc<str>>,
    /// The generation the member knows.
    pub generation: i32,
    /// The kind of group, where the client says it.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol chosen, where the client says it.
    pub protocol: Option<Arc<str>>,
    /// From the leader: each member's part.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

/// A sign of life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeartbeatAsk {
    /// The member id.
    pub member: Arc<str>,
    /// `group.instance.id`.
    pub instance: Option<Arc<str>>,
    /// The generation the member knows.
    pub generation: i32,
}

/// A member that is to leave, by its id, or by its instance id alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaver {
    /// The member id; empty where only the instance is named.
    pub member: Arc<str>,
    /// `group.instance.id`.
    pub instance: Option<Arc<str>>,
}

/// Offsets to remember.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitAsk {
    /// The member id; empty for a consumer that is no member.
    pub member: Arc<str>,
    /// `group.instance.id`.
    pub instance: Option<Arc<str>>,
    /// The generation the member knows; −1 for a consumer that is no member.
    pub generation: i32,
    /// Milliseconds to keep them for, where an old client says it.
    pub retention_ms: Option<i64>,
    /// What a generation of a group that is not there is answered.
    pub no_group: ErrorCode,
    /// The offsets.
    pub offsets: Vec<CommitOffset>,
}

/// An offset to remember.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitOffset {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's identity.
    pub id: TopicId,
    /// The partition.
    pub partition: i32,
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record read.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Whatever the client wants to keep with it.
    pub metadata: Arc<str>,
}

/// Whether an answer waits for what is on its way to the log (KIP-447).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stability {
    /// What is durable now.
    AsItIs,
    /// With all that was asked before.
    Required,
}

/// Offsets to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchAsk {
    /// Which partitions of which topics; `None` for all of the group.
    pub wanted: Option<Vec<WantedTopic>>,
    /// Whether to wait.
    pub stability: Stability,
}

/// A topic, and those of its partitions whose offsets are asked for.
pub type WantedTopic = (Arc<str>, Arc<[i32]>);

/// What a group answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupAnswer {
    /// To [`GroupAsk::Join`].
    Joined(Result<Joined, JoinRefusal>),
    /// To [`GroupAsk::Sync`].
    Synced(Result<Synced, ErrorCode>),
    /// To [`GroupAsk::Heartbeat`].
    Alive(ErrorCode),
    /// To [`GroupAsk::Leave`]: one code a member, or one for all.
    Left(Result<Vec<ErrorCode>, ErrorCode>),
    /// To [`GroupAsk::Commit`]: one code an offset.
    Committed(Vec<ErrorCode>),
    /// To [`GroupAsk::Fetch`]: those that are committed, in the order asked; all of the group in the order of the topics.
    Offsets(Result<Vec<ToldOffset>, ErrorCode>),
    /// To [`GroupAsk::Describe`].
    Described(Result<Described, ErrorCode>),
    /// To [`GroupAsk::Delete`].
    Deleted(ErrorCode),
    /// To [`GroupAsk::DeleteOffsets`]: one code an offset, or one for all.
    OffsetsDeleted(Result<Vec<ErrorCode>, ErrorCode>),
}

/// A partition of a topic, and what is committed for it.
pub type ToldOffset = (Arc<str>, i32, Committed);

/// A member of the new generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Its id.
    pub member: Arc<str>,
    /// The generation.
    pub generation: i32,
    /// The kind of group.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol chosen.
    pub protocol: Option<Arc<str>>,
    /// The leader's id.
    pub leader: Arc<str>,
    /// The leader need not assign: the assignment stands.
    pub skip_assignment: bool,
    /// For the leader: all members with what they say of themselves.
    pub members: Vec<JoinedMember>,
}

/// A member as its leader hears of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinedMember {
    /// Its id.
    pub id: Arc<str>,
    /// Its `group.instance.id`.
    pub instance: Option<Arc<str>>,
    /// What it says of itself in the chosen protocol.
    pub metadata: Bytes,
}

/// Why somebody may not join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinRefusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// The member id to go on with.
    pub member: Arc<str>,
}

/// A member's part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Synced {
    /// The kind of group.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol chosen.
    pub protocol: Option<Arc<str>>,
    /// The part.
    pub assignment: Bytes,
}

/// A group's state as Kafka names it (`ClassicGroupState`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateName {
    /// No members; perhaps offsets.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// The leader's assignment is awaited.
    CompletingRebalance,
    /// Every member can have its part.
    Stable,
}

impl StateName {
    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A group as it is listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its name.
    pub group: Arc<str>,
    /// The kind of group; `None` for one that only has offsets.
    pub protocol_type: Option<Arc<str>>,
    /// Its state.
    pub state: StateName,
}

/// A group with its members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// Its state.
    pub state: StateName,
    /// The kind of group.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol chosen, where it is stable.
    pub protocol: Option<Arc<str>>,
    /// The members, by id.
    pub members: Vec<DescribedMember>,
}

/// A member as it is described.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedMember {
    /// Its id.
    pub id: Arc<str>,
    /// Its `group.instance.id`.
    pub instance: Option<Arc<str>>,
    /// Its `client.id`.
    pub client_id: Arc<str>,
    /// Its address.
    pub client_host: Arc<str>,
    /// What it says of itself in the chosen protocol, where the group is stable.
    pub metadata: Bytes,
    /// Its part.
    pub assignment: Bytes,
}
