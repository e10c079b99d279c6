//! What one broker is told at its start.

use super::{ConnectionConfig, GroupConfig, HostPort, Listener, TopicConfig};
use crate::types::{BrokerId, ListenerName};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// What an acknowledgement waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlushMode {
    /// The device: acknowledged records survive a power cut.
    Fsync,
    /// The page cache, as Apache Kafka: acknowledged records survive the process, not the power.
    Os,
}

/// Sizes and counts that bound what a shard holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Request frames of one connection that may be in progress at once.
    pub frames_in_flight: u32,
    /// Bytes of just-appended batches a shard keeps in memory for readers at the tail.
    pub tail_cache_bytes: usize,
    /// Bytes of indexes of sealed segments a shard keeps in memory.
    pub index_cache_bytes: usize,
    /// Bytes a log grows by before its last segment gets a checkpoint: what recovery reads of a log at most.
    pub checkpoint_bytes: u64,
    /// Bytes a log grows by before it notes how far it is synced: what recovery may take for a torn tail after a kill.
    pub note_bytes: u64,
    /// Descriptors a shard keeps open.
    pub open_files: usize,
    /// Dirty files synced one by one; more are synced with one `syncfs`.
    pub files_synced_singly: usize,
    /// The longest that a commit round waits for more to cover, in nanoseconds; 0 lets none wait.
    pub round_wait_nanos: u64,
    /// Producers a partition remembers at most; the least recently used is forgotten first.
    pub producers_per_partition: usize,
    /// Fetch sessions a shard keeps (`max.incremental.fetch.session.cache.slots`).
    pub fetch_sessions: usize,
    /// Bytes of memory that a shard's fetch sessions hold together.
    pub fetch_session_bytes: usize,
    /// Milliseconds without use after which a fetch session gives way to a new one (`FetchSessionCache`).
    pub fetch_session_idle_ms: u64,
    /// Bytes of memory that a shard's fetches hold together while they wait for records.
    pub waiting_bytes: usize,
    /// Bytes of a connection's responses that wait to be sent, from which on none of its requests begins.
    pub connection_unsent_bytes: usize,
    /// Bytes of a shard's responses that wait to be sent, from which on only requests with short answers begin.
    pub unsent_bytes: usize,
    /// Units of work a shard does in one turn before it looks for what came meanwhile: a unit is a request, a partition
    /// that it asks, or 256 bytes of request or response (16 KiB of a produce request).
    pub turn_work: u32,
    /// The longest compressed batch, in bytes, that is opened in the step that brought it, if it has no more than twice as
    /// many once it is opened: to hand it to another thread and back would cost more.
    pub opened_in_step: usize,
    /// Producer ids reserved durably at a time.
    pub producer_id_block: u32,
    /// Timers fired by one tick.
    pub timers_per_tick: usize,
    /// Requests of a shard to another that may be unanswered at once.
    pub asks_in_flight: usize,
    /// Recoveries that run at once, a shard.
    pub recoveries: usize,
    /// Milliseconds after which the log of a partition that nobody uses is closed.
    pub dormant_after_ms: u64,
    /// Bytes of memory for the keys of logs that are being compacted, over all shards (`log.cleaner.dedupe.buffer.size`).
    pub cleaner_key_bytes: usize,
    /// Bytes a compaction reads before its log may stop it, or go on.
    pub cleaner_stretch_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frames_in_flight: 64,
            tail_cache_bytes: 4 << 20,
            index_cache_bytes: 16 << 20,
            checkpoint_bytes: 128 << 20,
            note_bytes: 1 << 20,
            open_files: 4096,
            files_synced_singly: 16,
            round_wait_nanos: 2_000_000,
            producers_per_partition: 10_000,
            fetch_sessions: 1000,
            fetch_session_bytes: 64 << 20,
            fetch_session_idle_ms: 120_000,
            waiting_bytes: 64 << 20,
            connection_unsent_bytes: 64 << 10,
            unsent_bytes: 64 << 20,
            turn_work: 2048,
            opened_in_step: 64 << 10,
            producer_id_block: 1000,
            timers_per_tick: 256,
            asks_in_flight: 1024,
            recoveries: 4,
            dormant_after_ms: 600_000,
            cleaner_key_bytes: 128 << 20,
            cleaner_stretch_bytes: 64 << 20,
        }
    }
}

/// The settings of one broker; the same for all of its shards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerConfig {
    /// `node.id`.
    pub node_id: BrokerId,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The cluster id that the log directory must carry; `None` takes the directory's, or a new one at the first start.
    pub cluster_id: Option<String>,
    /// `advertised.listeners`, where the clients of each listener are told to connect: at least one, at most one a
    /// listener, never a wildcard.
    pub advertised: Vec<Listener>,
    /// `num.partitions`: partitions of a topic created without a count.
    pub num_partitions: i32,
    /// `default.replication.factor`: replicas of a topic created without a number.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `flush`: what an acknowledgement waits for.
    pub flush: FlushMode,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: u64,
    /// `connections.max.idle.ms`.
    pub connections_max_idle_ms: u64,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: u64,
    /// `log.cleaner.backoff.ms`: how often logs are looked through for one to compact.
    pub cleaner_backoff_ms: u64,
    /// `fetch.max.bytes`: the most a fetch response carries, whatever the client asks for.
    pub fetch_max_bytes: u32,
    /// `max.request.partition.size.limit`: the most partitions that one response of `DescribeTopicPartitions` has.
    pub max_request_partitions: u32,
    /// What a topic has where it says nothing itself.
    pub topic_defaults: TopicConfig,
    /// What groups are told.
    pub groups: GroupConfig,
    /// How many connections there may be.
    pub connections: ConnectionConfig,
    /// The settings that were given, by key, in canonical form; what DescribeConfigs calls static.
    pub settings: BTreeMap<&'static str, String>,
    /// What was given since to all running brokers, in the same form.
    pub dynamic_defaults: BTreeMap<&'static str, String>,
    /// What was given since to this broker, in the same form.
    pub dynamic: BTreeMap<&'static str, String>,
    /// Bounds of the machines.
    pub limits: Limits,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            node_id: BrokerId(1),
            rack: None,
            cluster_id: None,
            advertised: Vec::from([Listener {
                name: ListenerName::default(),
                address: HostPort {
                    host: String::from("localhost"),
                    port: 9092,
                },
            }]),
            num_partitions: 1,
            default_replication_factor: 1,
            auto_create_topics: true,
            delete_topics: true,
            flush: FlushMode::Fsync,
            producer_id_expiration_ms: 86_400_000,
            connections_max_idle_ms: 600_000,
            retention_check_interval_ms: 300_000,
            cleaner_backoff_ms: 15_000,
            fetch_max_bytes: 57_671_680,
            max_request_partitions: 2000,
            topic_defaults: TopicConfig::default(),
            groups: GroupConfig::default(),
            connections: ConnectionConfig::default(),
            settings: BTreeMap::new(),
            dynamic_defaults: BTreeMap::new(),
            dynamic: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}
