//! What a broker is told of groups, in Kafka's terms (`GroupCoordinatorConfig`).

use crate::record::Compression;

/// The settings of the group coordinator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: u32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: u32,
    /// `group.initial.rebalance.delay.ms`: how long the first members of an empty group wait for others.
    pub initial_rebalance_delay_ms: u32,
    /// Milliseconds that a client without an answer to its first join is waited for, whatever its session timeout
    /// (`GroupCoordinatorConfig.CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`).
    pub new_member_join_timeout_ms: u32,
    /// `group.max.size`: members of one group.
    pub max_size: u32,
    /// `offsets.topic.num.partitions`: partitions of `__consumer_offsets` when it is created.
    pub offsets_partitions: u32,
    /// `offsets.topic.segment.bytes`.
    pub offsets_segment_bytes: u32,
    /// `offsets.topic.compression.codec`.
    pub offsets_compression: Compression,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: u64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: u64,
    /// `offset.metadata.max.bytes`: of one offset, in UTF-16 units, as Kafka counts.
    pub offset_metadata_max_bytes: u32,
    /// Milliseconds until a partition of `__consumer_offsets` is tried again that could not be read, or, more than once in
    /// a row, not be written; twice as long each further time.
    pub retry_ms: u64,
    /// The longest that it becomes.
    pub retry_max_ms: u64,
    /// Klamm's `group.members.max.bytes`: what members of groups may hold in the memory of one shard.
    pub members_max_bytes: u64,
    /// Klamm's `group.offsets.max.bytes`: what committed offsets may hold in the memory of one shard.
    pub offsets_max_bytes: u64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            min_session_timeout_ms: 6000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3000,
            new_member_join_timeout_ms: 300_000,
            max_size: i32::MAX as u32,
            offsets_partitions: 50,
            offsets_segment_bytes: 100 << 20,
            offsets_compression: Compression::None,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            offsets_retention_check_interval_ms: 600_000,
            offset_metadata_max_bytes: 4096,
            retry_ms: 1000,
            retry_max_ms: 30_000,
            members_max_bytes: 128 << 20,
            offsets_max_bytes: 256 << 20,
        }
    }
}
