//! What simulated clients say and hear: requests and responses free of any version, and two independent codecs that
//! turn them into frames and back.

mod crate_codec;
mod groups;
mod own_codec;
mod questions;

pub(crate) use groups::{
    CommitPart, Committed, GroupApi, GroupRequest, GroupResponse, GroupVersions, Joined, Speaker, ToldOffset,
};

pub(crate) use questions::{Answer, LAST_API_VERSIONS, Question, QuestionApi, ToldConfig};

use bytes::Bytes;
use klamm_core::wire::frame::LENGTH_BYTES;

/// The timestamp that asks ListOffsets for a log's start.
pub(crate) const EARLIEST: i64 = -2;

/// Whose code encodes and decodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Codec {
    /// Klamm's own wire module.
    Own,
    /// The `kafka-protocol` crate.
    Crate,
}

/// The version of each API that a client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ApiVersions {
    pub(crate) produce: i16,
    pub(crate) fetch: i16,
    pub(crate) list_offsets: i16,
    pub(crate) metadata: i16,
    pub(crate) create_topics: i16,
    pub(crate) delete_topics: i16,
    pub(crate) init_producer_id: i16,
    pub(crate) groups: GroupVersions,
}

/// A topic by name and id; a version uses one or the other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct TopicRef {
    pub(crate) name: String,
    pub(crate) id: [u8; 16],
}

/// One partition's batch to append.
#[derive(Clone, Debug)]
pub(crate) struct ProducePart {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
    pub(crate) records: Bytes,
}

/// One partition to read.
#[derive(Clone, Debug)]
pub(crate) struct FetchPart {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) offset: i64,
    pub(crate) max_bytes: i32,
}

/// Where to read, and how much.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) max_wait_ms: i32,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) parts: Vec<FetchPart>,
}

/// A request of a simulated client.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Metadata {
        topics: Vec<String>,
    },
    CreateTopic {
        name: String,
        partitions: i32,
        configs: Vec<(String, String)>,
    },
    DeleteTopic {
        topic: TopicRef,
        /// Set by who sends it: the version carries the id, not the name.
        by_id: bool,
    },
    InitProducerId,
    Produce {
        acks: i16,
        parts: Vec<ProducePart>,
    },
    Fetch(Fetch),
    ListOffsets {
        topic: TopicRef,
        partitions: Vec<i32>,
        timestamp: i64,
    },
    Group(GroupRequest),
    /// Metadata in a version that names no topic ids.
    Look {
        topics: Vec<String>,
        version: i16,
    },
    Ask {
        question: Question,
        version: i16,
    },
    DeleteRecords {
        topic: TopicRef,
        partition: i32,
        /// −1 for the high watermark.
        offset: i64,
        version: i16,
    },
}

impl Request {
    /// The version of this request's API.
    pub(crate) fn version(&self, versions: &ApiVersions) -> i16 {
        match self {
            Self::Metadata { .. } => versions.metadata,
            Self::CreateTopic { .. } => versions.create_topics,
            Self::DeleteTopic { .. } => versions.delete_topics,
            Self::InitProducerId => versions.init_producer_id,
            Self::Produce { .. } => versions.produce,
            Self::Fetch(_) => versions.fetch,
            Self::ListOffsets { .. } => versions.list_offsets,
            Self::Group(request) => request.version(&versions.groups),
            Self::DeleteRecords { version, .. } | Self::Look { version, .. } | Self::Ask { version, .. } => *version,
        }
    }

    /// What it is counted as: its API, but for what is asked in another way than most.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Ask {
                question: Question::Versions,
                version,
            } if *version > LAST_API_VERSIONS => "ApiVersions of the future",
            _ => self.api().name(),
        }
    }

    /// Which API this is.
    pub(crate) fn api(&self) -> Api {
        match self {
            Self::Metadata { .. } | Self::Look { .. } => Api::Metadata,
            Self::Ask { question, .. } => Api::Ask(question.api()),
            Self::CreateTopic { .. } => Api::CreateTopics,
            Self::DeleteTopic { .. } => Api::DeleteTopics,
            Self::InitProducerId => Api::InitProducerId,
            Self::Produce { .. } => Api::Produce,
            Self::Fetch(_) => Api::Fetch,
            Self::ListOffsets { .. } => Api::ListOffsets,
            Self::Group(request) => Api::Group(request.api()),
            Self::DeleteRecords { .. } => Api::DeleteRecords,
        }
    }
}

/// The APIs that simulated clients use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Api {
    Metadata,
    CreateTopics,
    DeleteTopics,
    InitProducerId,
    Produce,
    Fetch,
    ListOffsets,
    Group(GroupApi),
    Ask(QuestionApi),
    DeleteRecords,
}

impl Api {
    /// As Kafka names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Metadata => "Metadata",
            Self::CreateTopics => "CreateTopics",
            Self::DeleteTopics => "DeleteTopics",
            Self::InitProducerId => "InitProducerId",
            Self::Produce => "Produce",
            Self::Fetch => "Fetch",
            Self::ListOffsets => "ListOffsets",
            Self::Group(api) => api.name(),
            Self::Ask(api) => api.name(),
            Self::DeleteRecords => "DeleteRecords",
        }
    }
}

/// A topic as Metadata tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TopicMetadata {
    pub(crate) error: i16,
    pub(crate) topic: TopicRef,
    /// Index, error and leader epoch of each partition.
    pub(crate) partitions: Vec<(i32, i16, i32)>,
}

/// What became of one partition's batch. `topic` holds a name or an id, whichever the version carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Produced {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
    pub(crate) error: i16,
    pub(crate) base_offset: i64,
    pub(crate) log_start_offset: i64,
}

/// What one partition answered to a fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fetched {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
    pub(crate) error: i16,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    /// Null is not what librdkafka can read: kept apart from empty.
    pub(crate) records: Option<Bytes>,
}

/// One offset looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    pub(crate) partition: i32,
    pub(crate) error: i16,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) leader_epoch: i32,
}

/// A response as a simulated client reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Response {
    Metadata {
        topics: Vec<TopicMetadata>,
    },
    /// The error, and the topic's id where the version tells it.
    CreateTopic {
        error: i16,
        id: Option<[u8; 16]>,
    },
    DeleteTopic {
        error: i16,
    },
    InitProducerId {
        error: i16,
        producer_id: i64,
        epoch: i16,
    },
    Produce(Vec<Produced>),
    Fetch {
        error: i16,
        session_id: i32,
        parts: Vec<Fetched>,
    },
    ListOffsets(Vec<Listed>),
    Group(GroupResponse),
    Told(Answer),
    /// The error, and where the log begins now.
    DeleteRecords {
        error: i16,
        low_watermark: i64,
    },
}

impl Codec {
    /// The whole frame of `request`, with its length.
    pub(crate) fn encode(self, correlation: i32, client: &str, request: &Request, version: i16) -> Bytes {
        match self {
            Self::Own => own_codec::encode(correlation, client, request, version),
            Self::Crate => crate_codec::encode(correlation, client, request, version),
        }
    }

    /// Reads a frame, without its length, as the response to a request of `api` and `version`. An error says why it is
    /// none.
    pub(crate) fn decode(self, api: Api, version: i16, frame: &Bytes) -> Result<(i32, Response), String> {
        match self {
            Self::Own => own_codec::decode(api, version, frame),
            Self::Crate => crate_codec::decode(api, version, frame),
        }
    }

    /// The highest version of ListOffsets that the codec knows.
    pub(crate) fn list_offsets_last(self) -> i16 {
        match self {
            Self::Own => 11,
            Self::Crate => 10,
        }
    }
}

/// The correlation id of a frame that still has its length; `None` when it is shorter than that.
pub(crate) fn correlation_of(frame: &[u8]) -> Option<i32> {
    let bytes = frame.get(LENGTH_BYTES..LENGTH_BYTES + 4)?;
    Some(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Collects parts of requests under their topics, in the order they first appear.
fn group<'a, T>(parts: &'a [T], topic: impl Fn(&'a T) -> &'a TopicRef) -> Vec<(&'a TopicRef, Vec<&'a T>)> {
    let mut groups: Vec<(&'a TopicRef, Vec<&'a T>)> = Vec::new();
    for part in parts {
        let key = topic(part);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(part),
            None => groups.push((key, vec![part])),
        }
    }
    groups
}

#[cfg(test)]
mod tests;
