//! What a log needs of its topic's and its broker's configuration.

use crate::config::{BrokerConfig, CleanupPolicy, CompactionConfig, FlushMode, TopicConfig};

/// How the batches of a log follow each other to the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writes {
    /// Many are on their way at once. After a power cut a later one may be there and an earlier one not.
    Ahead,
    /// None is written before the one before it was synced. A later one proves that all before it were durable.
    OneByOne,
}

/// The settings of one log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: u64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `cleanup.policy`.
    pub cleanup: CleanupPolicy,
    /// What compaction goes by.
    pub compaction: CompactionConfig,
    /// `retention.ms`.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// Producers remembered at most.
    pub producers: usize,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: u64,
    /// A checkpoint of the growing segment is written every so many bytes: what recovery has to read at most.
    pub checkpoint_bytes: u64,
    /// How far the log is synced is noted every so many bytes.
    pub note_bytes: u64,
    /// What makes an append durable.
    pub flush: FlushMode,
    /// `flush.messages`.
    pub flush_messages: u64,
    /// `flush.ms`.
    pub flush_ms: Option<u64>,
    /// How its batches are written.
    pub writes: Writes,
    /// The most bytes a batch may have once its records are decompressed.
    pub decompressed_bytes: usize,
}

impl LogConfig {
    /// The settings of a log of a topic on a broker.
    pub fn new(topic: &TopicConfig, broker: &BrokerConfig) -> Self {
        // What grows cannot be compacted, and must not grow for longer than that (`LogConfig.maxSegmentMs`).
        let longest = if topic.cleanup.compacts() {
            topic.compaction.max_lag_ms
        } else {
            u64::MAX
        };
        Self {
            segment_bytes: topic.segment_bytes,
            segment_ms: topic.segment_ms.min(longest),
            cleanup: topic.cleanup,
            compaction: topic.compaction,
            index_interval_bytes: topic.index_interval_bytes,
            retention_ms: topic.retention_ms,
            retention_bytes: topic.retention_bytes,
            producers: broker.limits.producers_per_partition,
            producer_expiration_ms: broker.producer_id_expiration_ms,
            checkpoint_bytes: broker.limits.checkpoint_bytes,
            note_bytes: broker.limits.note_bytes,
            flush: broker.flush,
            flush_messages: topic.flush_messages,
            flush_ms: topic.flush_ms,
            writes: Writes::Ahead,
            decompressed_bytes: DECOMPRESSED_BYTES,
        }
    }
}

/// A batch that decompresses to more than this is not opened for a look-up by time.
const DECOMPRESSED_BYTES: usize = 256 << 20;
