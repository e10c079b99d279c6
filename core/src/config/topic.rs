//! What a topic's configuration amounts to, once every key has its value.

use crate::record::{Compression, Level, TimestampType};

/// What happens to old records (`cleanup.policy`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum CleanupPolicy {
    /// They are kept, whatever their age and size: the list is empty.
    Keep,
    /// Segments go by age and size.
    #[default]
    Delete,
    /// Records go that are followed by another of their key.
    Compact,
    /// Both.
    CompactDelete,
}

impl CleanupPolicy {
    /// Whether segments go by age and size.
    pub const fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::CompactDelete)
    }

    /// Whether records go that are followed by another of their key.
    pub const fn compacts(self) -> bool {
        matches!(self, Self::Compact | Self::CompactDelete)
    }
}

/// When and how a log is compacted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompactionConfig {
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub min_dirty_millionths: u32,
    /// `min.compaction.lag.ms`: how long a record is safe.
    pub min_lag_ms: u64,
    /// `max.compaction.lag.ms`: how long a record may wait, whatever the dirty ratio.
    pub max_lag_ms: u64,
    /// `delete.retention.ms`: how long tombstones are kept once compaction came upon them.
    pub delete_retention_ms: u64,
}

impl Default for CompactionConfig {
    fn default() -> Self {
        Self {
            min_dirty_millionths: 500_000,
            min_lag_ms: 0,
            max_lag_ms: i64::MAX as u64,
            delete_retention_ms: 24 * 3_600_000,
        }
    }
}

/// The resolved configuration of a topic: topic override, else broker default, else Kafka's default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicConfig {
    /// `segment.bytes`: a segment is rolled before it would exceed this.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment whose first record is older than this is rolled at the next append.
    pub segment_ms: u64,
    /// `index.interval.bytes`: at most this many bytes of log lie between two index entries, but for a larger batch.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`: the largest batch, header included.
    pub max_message_bytes: u32,
    /// `cleanup.policy`.
    pub cleanup: CleanupPolicy,
    /// What compaction goes by, where the policy asks for it.
    pub compaction: CompactionConfig,
    /// `retention.ms`; `None` keeps records however old.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`; `None` keeps however many.
    pub retention_bytes: Option<u64>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u16,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's timestamp may lie in the past.
    pub timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`: how far a record's timestamp may lie in the future.
    pub timestamp_after_max_ms: u64,
    /// `compression.type`: how batches are stored; `None` keeps them as the producer compressed them.
    pub compression: Option<Compression>,
    /// `compression.gzip.level`.
    pub gzip_level: Level,
    /// `compression.lz4.level`.
    pub lz4_level: Level,
    /// `compression.zstd.level`.
    pub zstd_level: Level,
    /// `flush.messages`: with flush=os, the log is synced at least every so many records.
    pub flush_messages: u64,
    /// `flush.ms`: with flush=os, a record is synced at the latest so long after it was appended; `None` leaves it to the
    /// system.
    pub flush_ms: Option<u64>,
}

impl TopicConfig {
    /// The codec and its level under which a batch that comes under `codec` has to be written, if it is another one.
    pub fn recompression(&self, codec: Compression) -> Option<(Compression, Level)> {
        let to = self.compression.filter(|&to| to != codec)?;
        let level = match to {
            Compression::Gzip => self.gzip_level,
            Compression::Lz4 => self.lz4_level,
            Compression::Zstd => self.zstd_level,
            Compression::None | Compression::Snappy => Level::Default,
        };
        Some((to, level))
    }
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            index_interval_bytes: 4096,
            max_message_bytes: 1_048_588,
            cleanup: CleanupPolicy::Delete,
            compaction: CompactionConfig::default(),
            retention_ms: Some(7 * 24 * 3_600_000),
            retention_bytes: None,
            min_insync_replicas: 1,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX as u64,
            timestamp_after_max_ms: 3_600_000,
            compression: None,
            gzip_level: Level::Default,
            lz4_level: Level::Default,
            zstd_level: Level::Of(3),
            flush_messages: i64::MAX as u64,
            flush_ms: None,
        }
    }
}
