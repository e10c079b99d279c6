//! What a partition is asked, and what it answers: requests as they reach it, freed of the wire.

use crate::log::{ActiveProducer, ReadPlan};
use crate::record::{RecordError, Rejection};
use crate::types::{BrokerId, ErrorCode, LeaderEpoch, Offset, Refusal, ShardId, Timestamp, TopicPartition};
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;

/// The shard that owns a partition, of `shards`. It may change at a restart: nothing on disk names a shard.
pub fn home(partition: TopicPartition, shards: u16) -> ShardId {
    let bytes = partition.topic.0.0;
    let half = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
    let mut mixed = half(0) ^ half(8).rotate_left(32) ^ u64::from(partition.partition as u32);
    // The finalizer of MurmurHash3 (Appleby, public domain): neighbouring partitions of a topic spread over the shards.
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    mixed ^= mixed >> 33;
    ShardId((mixed % u64::from(shards)) as u16)
}

/// How many replicas an append waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// 0: the client gets no answer.
    None,
    /// 1: the leader.
    Leader,
    /// −1: all in-sync replicas.
    All,
}

impl Acks {
    /// Reads the number of the wire; `None` for any but −1, 0 and 1.
    pub const fn from_wire(acks: i16) -> Option<Self> {
        match acks {
            0 => Some(Self::None),
            1 => Some(Self::Leader),
            -1 => Some(Self::All),
            _ => None,
        }
    }
}

/// One partition's share of a request.
#[derive(Clone, Debug)]
pub enum PartitionAsk {
    /// Append a batch.
    Produce {
        /// The batches as the client sent them.
        records: Bytes,
        /// What the answer waits for.
        acks: Acks,
    },
    /// Read.
    Fetch(FetchAsk),
    /// Find an offset.
    ListOffset {
        /// The leader epoch that the client knows.
        current_leader_epoch: Option<LeaderEpoch>,
        /// What to look for.
        target: OffsetTarget,
    },
    /// Find where a leader epoch ends.
    EpochEnd {
        /// The leader epoch that the client takes for the current one.
        current_leader_epoch: Option<LeaderEpoch>,
        /// The epoch to find; `None` for one that is not known, which is nowhere.
        leader_epoch: Option<LeaderEpoch>,
    },
    /// Tell the producers that the log remembers.
    Producers,
    /// Tell how many bytes the segments have.
    Size,
    /// Let the log begin at this offset; `None` for the high watermark.
    DeleteRecords(Option<Offset>),
}

impl PartitionAsk {
    /// How many bytes a read takes at most; 0 for all else.
    pub const fn max_bytes(&self) -> usize {
        match self {
            Self::Fetch(ask) => ask.max_bytes,
            _ => 0,
        }
    }

    /// The answer that refuses it.
    pub fn refused(&self, code: ErrorCode) -> PartitionAnswer {
        match self {
            Self::Produce { .. } => PartitionAnswer::Produced(Err(code.into())),
            Self::Fetch(_) => PartitionAnswer::Fetched(Fetched::refused(code)),
            Self::ListOffset { .. } => PartitionAnswer::Offset(Err(code)),
            Self::EpochEnd { .. } => PartitionAnswer::EpochEnd(Err(code)),
            Self::Producers => PartitionAnswer::Producers(Err(code)),
            Self::Size => PartitionAnswer::Size(Err(code)),
            Self::DeleteRecords(_) => PartitionAnswer::RecordsDeleted(Err(code)),
        }
    }
}

/// Who reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fetcher {
    /// A client, up to the high watermark.
    Consumer,
    /// A broker, for its replica.
    Broker(BrokerId),
}

/// A read from one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchAsk {
    /// Who reads.
    pub fetcher: Fetcher,
    /// The leader epoch that the reader knows.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The first offset wanted.
    pub offset: Offset,
    /// The epoch of the last record that the reader holds, where it wants to know whether its log diverges.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The most bytes wanted; one batch comes even where it is larger.
    pub max_bytes: usize,
}

/// What [`PartitionAsk::ListOffset`] looks for; the numbers are Kafka's (`ListOffsetsRequest`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OffsetTarget {
    /// −1: the offset after the last readable record.
    Latest,
    /// −2, and −4 while no part of a log lies elsewhere: the first record.
    Earliest,
    /// −3: the record with the greatest timestamp (KIP-734).
    MaxTimestamp,
    /// −5 and −6: offsets of a remote tier, which there is none of (KIP-1005, KIP-1023).
    Tiered,
    /// The first record at or after this time.
    At(Timestamp),
}

impl OffsetTarget {
    /// Reads the number of the wire; `None` below −6.
    pub const fn from_wire(timestamp: i64) -> Option<Self> {
        match timestamp {
            -1 => Some(Self::Latest),
            -2 | -4 => Some(Self::Earliest),
            -3 => Some(Self::MaxTimestamp),
            -5 | -6 => Some(Self::Tiered),
            _ if timestamp >= 0 => Some(Self::At(Timestamp(timestamp))),
            _ => None,
        }
    }
}

/// What a partition answers.
#[derive(Debug)]
pub enum PartitionAnswer {
    /// To [`PartitionAsk::Produce`].
    Produced(Result<Produced, NotProduced>),
    /// To [`PartitionAsk::Fetch`].
    Fetched(Fetched),
    /// To [`PartitionAsk::ListOffset`].
    Offset(Result<Located, ErrorCode>),
    /// To [`PartitionAsk::EpochEnd`]: the largest epoch that is not above the one asked for, and where it ends; `None`
    /// where that cannot be told.
    EpochEnd(Result<Option<(LeaderEpoch, Offset)>, ErrorCode>),
    /// To [`PartitionAsk::Producers`].
    Producers(Result<Vec<ActiveProducer>, ErrorCode>),
    /// To [`PartitionAsk::Size`].
    Size(Result<u64, ErrorCode>),
    /// To [`PartitionAsk::DeleteRecords`]: where the log begins.
    RecordsDeleted(Result<Offset, ErrorCode>),
}

/// An append that satisfies its acks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Produced {
    /// The offset of the first record: the original's, where this was a retry.
    pub base_offset: Offset,
    /// The timestamp that the broker set, where it sets them.
    pub log_append_time: Option<Timestamp>,
    /// The first offset of the log.
    pub log_start_offset: Offset,
}

/// An append that was refused.
#[derive(Debug)]
pub struct NotProduced {
    /// Why.
    pub refusal: Refusal,
    /// The records at fault, by ascending index, where single ones are; the first of them, where there are many.
    pub records: Vec<RecordError>,
    /// The first offset of the log, where the log was looked at (`ReplicaManager.appendToLocalLog`).
    pub log_start_offset: Option<Offset>,
}

impl<R: Into<Refusal>> From<R> for NotProduced {
    fn from(refusal: R) -> Self {
        Self {
            refusal: refusal.into(),
            records: Vec::new(),
            log_start_offset: None,
        }
    }
}

impl From<&Rejection> for NotProduced {
    fn from(rejection: &Rejection) -> Self {
        Self {
            refusal: Refusal {
                code: rejection.error_code(),
                message: Some(rejection.to_string()),
            },
            records: rejection.records().to_vec(),
            log_start_offset: None,
        }
    }
}

/// What a read found.
#[derive(Debug)]
pub struct Fetched {
    /// [`ErrorCode::None`], or why there is nothing.
    pub error: ErrorCode,
    /// The offset after the last readable record; `None` with an error.
    pub high_watermark: Option<Offset>,
    /// The first offset of the log; `None` with an error.
    pub log_start_offset: Option<Offset>,
    /// Where the reader's log leaves ours: its last epoch that we know, and where that ends here.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// The records.
    pub plan: Option<ReadPlan>,
    /// Readable records lie behind those of the plan: to wait brings no more of them.
    pub cut: bool,
}

impl Fetched {
    /// Nothing, for this reason.
    pub const fn refused(error: ErrorCode) -> Self {
        Self {
            error,
            high_watermark: None,
            log_start_offset: None,
            diverging: None,
            plan: None,
            cut: false,
        }
    }

    /// How many bytes of records there are.
    pub fn bytes(&self) -> usize {
        self.plan.as_ref().map_or(0, |plan| plan.bytes)
    }

    /// Whether a reader should hear of it at once, records or not.
    pub const fn is_urgent(&self) -> bool {
        !self.error.is_none() || self.diverging.is_some()
    }

    /// Whether the reader need not wait for more: it hears of something urgent, or gets all it can in one answer, as at
    /// the end of a segment.
    pub const fn is_enough(&self) -> bool {
        self.is_urgent() || self.cut
    }
}

/// An offset that was looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Located {
    /// The offset; `None` where no record fits.
    pub offset: Option<Offset>,
    /// The record's timestamp, where the search was by time.
    pub timestamp: Option<Timestamp>,
    /// The leader epoch of the record at the offset.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Located {
    /// No record fits.
    pub const NOWHERE: Self = Self {
        offset: None,
        timestamp: None,
        leader_epoch: None,
    };
}

#[cfg(test)]
mod tests {
    use super::home;
    use crate::types::{Seed, TopicId, TopicPartition, Uuid};

    #[test]
    fn partitions_of_one_topic_spread_over_the_shards() {
        let mut seed = Seed::new(5);
        let topic = TopicId(Uuid(seed.bytes16()));
        let mut counts = [0; 3];
        for partition in 0..300 {
            counts[home(TopicPartition { topic, partition }, 3).0 as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (60..140).contains(&count)), "{counts:?}");
    }
}
