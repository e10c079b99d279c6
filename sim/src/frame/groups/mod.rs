//! What members of groups say and hear, free of any version.

mod crate_codec;
mod own_codec;
mod speak;

use super::{Codec, TopicRef};
use bytes::Bytes;
use speak::{message, speak};

/// The protocol type of consumers (`ConsumerProtocol.PROTOCOL_TYPE`).
const CONSUMER: &str = "consumer";

/// The APIs of groups that simulated clients use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum GroupApi {
    FindCoordinator,
    JoinGroup,
    SyncGroup,
    Heartbeat,
    LeaveGroup,
    OffsetCommit,
    OffsetFetch,
    DeleteGroups,
    OffsetDelete,
}

impl GroupApi {
    /// As Kafka names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FindCoordinator => "FindCoordinator",
            Self::JoinGroup => "JoinGroup",
            Self::SyncGroup => "SyncGroup",
            Self::Heartbeat => "Heartbeat",
            Self::LeaveGroup => "LeaveGroup",
            Self::OffsetCommit => "OffsetCommit",
            Self::OffsetFetch => "OffsetFetch",
            Self::DeleteGroups => "DeleteGroups",
            Self::OffsetDelete => "OffsetDelete",
        }
    }
}

/// The version of each of them that a client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GroupVersions {
    pub(crate) find: i16,
    pub(crate) join: i16,
    pub(crate) sync: i16,
    pub(crate) heartbeat: i16,
    pub(crate) leave: i16,
    pub(crate) commit: i16,
    pub(crate) fetch: i16,
}

impl GroupVersions {
    /// The latest that both codecs know.
    pub(crate) const LATEST: Self = Self {
        find: 6,
        join: 9,
        sync: 5,
        heartbeat: 4,
        leave: 5,
        commit: 9,
        fetch: 9,
    };
    /// The first that know static members (KIP-345).
    pub(crate) const STATIC: Self = Self {
        find: 0,
        join: 5,
        sync: 3,
        heartbeat: 3,
        leave: 3,
        commit: 7,
        fetch: 1,
    };
}

/// Who speaks: a member as it knows itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Speaker {
    pub(crate) group: String,
    /// Empty before it was told one.
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) generation: i32,
}

/// An offset to commit. Its token is kept with it as metadata, and tells this commit from every other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CommitPart {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) token: i64,
}

/// A request of a member.
#[derive(Clone, Debug)]
pub(crate) enum GroupRequest {
    Find {
        group: String,
    },
    Join {
        speaker: Speaker,
        session_ms: i32,
        rebalance_ms: i32,
        /// Names and what the member says of itself in each, its favourite first.
        protocols: Vec<(String, Bytes)>,
    },
    Sync {
        speaker: Speaker,
        protocol: String,
        /// Member ids and their parts, from the leader.
        assignments: Vec<(String, Bytes)>,
        /// How long it may wait for the leader.
        patience_ms: i32,
    },
    Heartbeat(Speaker),
    Leave(Speaker),
    Commit {
        speaker: Speaker,
        offsets: Vec<CommitPart>,
    },
    Fetch {
        group: String,
        parts: Vec<(TopicRef, i32)>,
        stable: bool,
    },
    /// Deletes a group.
    Delete {
        group: String,
        version: i16,
    },
    /// Deletes offsets (KIP-496).
    DeleteOffsets {
        group: String,
        parts: Vec<(TopicRef, i32)>,
    },
}

impl GroupRequest {
    pub(crate) fn version(&self, versions: &GroupVersions) -> i16 {
        match self {
            Self::Find { .. } => versions.find,
            Self::Join { .. } => versions.join,
            Self::Sync { .. } => versions.sync,
            Self::Heartbeat(_) => versions.heartbeat,
            Self::Leave(_) => versions.leave,
            Self::Commit { .. } => versions.commit,
            Self::Fetch { .. } => versions.fetch,
            Self::Delete { version, .. } => *version,
            Self::DeleteOffsets { .. } => 0,
        }
    }

    pub(crate) fn api(&self) -> GroupApi {
        match self {
            Self::Find { .. } => GroupApi::FindCoordinator,
            Self::Join { .. } => GroupApi::JoinGroup,
            Self::Sync { .. } => GroupApi::SyncGroup,
            Self::Heartbeat(_) => GroupApi::Heartbeat,
            Self::Leave(_) => GroupApi::LeaveGroup,
            Self::Commit { .. } => GroupApi::OffsetCommit,
            Self::Fetch { .. } => GroupApi::OffsetFetch,
            Self::Delete { .. } => GroupApi::DeleteGroups,
            Self::DeleteOffsets { .. } => GroupApi::OffsetDelete,
        }
    }

    /// Milliseconds that its answer may wait for other members.
    pub(crate) fn waits_ms(&self) -> i32 {
        match self {
            Self::Join { rebalance_ms, .. } => *rebalance_ms,
            Self::Sync { patience_ms, .. } => *patience_ms,
            _ => 0,
        }
    }
}

/// What a member hears when it joins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Joined {
    pub(crate) error: i16,
    pub(crate) generation: i32,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member: String,
    pub(crate) skip_assignment: bool,
    /// For the leader: ids.
    pub(crate) members: Vec<String>,
}

/// What became of one offset that was to be committed, or to go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Committed {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
    pub(crate) error: i16,
}

/// A committed offset as it is told: −1 for none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ToldOffset {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
    pub(crate) error: i16,
    pub(crate) offset: i64,
    pub(crate) metadata: String,
}

/// A response as a member reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum GroupResponse {
    Found { error: i16 },
    Joined(Joined),
    Synced { error: i16, assignment: Bytes },
    Alive { error: i16 },
    Left { error: i16 },
    Committed(Vec<Committed>),
    Offsets { error: i16, parts: Vec<ToldOffset> },
    Deleted { error: i16 },
    OffsetsDeleted { error: i16, parts: Vec<Committed> },
}

impl Codec {
    /// The whole frame of `request`, with its length.
    pub(super) fn encode_group(self, correlation: i32, client: &str, request: &GroupRequest, version: i16) -> Bytes {
        match self {
            Self::Own => own_codec::encode(correlation, client, request, version),
            Self::Crate => crate_codec::encode(correlation, client, request, version),
        }
    }

    /// Reads a frame, without its length, as the response to a request of `api` and `version`.
    pub(super) fn decode_group(
        self,
        api: GroupApi,
        version: i16,
        frame: &Bytes,
    ) -> Result<(i32, GroupResponse), String> {
        match self {
            Self::Own => own_codec::decode(api, version, frame),
            Self::Crate => crate_codec::decode(api, version, frame),
        }
    }

    /// The latest version of OffsetCommit and OffsetFetch that the codec knows.
    pub(crate) fn offsets_last(self) -> i16 {
        match self {
            Self::Own => 10,
            Self::Crate => 9,
        }
    }
}
