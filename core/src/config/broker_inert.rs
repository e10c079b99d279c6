//! The broker settings of Apache Kafka 4.3 (`AbstractKafkaConfig.CONFIG_DEF`) that do nothing here, with the reason for
//! each: accepted, listed in one warning at start when set, and shown by DescribeConfigs.

use super::broker_keys::{BrokerKey, BrokerRole};
use super::value::{Bounds, ValueType};

const COMPACTION: &str =
    "each shard compacts one log at a time, with buffers of its own and as fast as the disk allows";
const DIRECTORIES: &str = "there is one log directory; when it fails, the broker stops";
const COMMITS: &str = "a commit is answered once it is on the device, or once that failed";
const COORDINATOR: &str = "the coordinator of a group is part of its shard and writes with the log's own rounds";
const ELECTIONS: &str = "a partition has one replica here, so there is no election that it could decide";
const GROUPS: &str = "groups of the newer protocols (consumer, share, streams) are not served yet";
const LAYOUT: &str = "it tunes files that do not exist in this form here";
const METRICS: &str = "metrics are served over HTTP, see metrics.listener";
const PEERS: &str = "this node is alone and has no peers to talk to";
const QUOTAS: &str = "quotas are not available yet";
const REPLICAS: &str = "this node is alone: there are no replicas to fetch or move";
const SECURITY: &str = "clients are not authenticated yet";
const SOCKETS: &str = "the operating system tunes socket buffers itself";
const THREADS: &str = "a shard is one thread that does everything of a core, see shards";
const TIERED: &str = "tiered storage is not available yet";
const TRANSACTIONS: &str = "transactions are not served yet";
const WAITING: &str = "a waiting request is kept with its partition and needs no purging";

/// Every such setting, sorted by name.
pub(super) const INERT_KEYS: &[BrokerKey] = {
    use ValueType::{Boolean, Double, Int, List, Long, Short, String};
    &[
        row(
            "add.partitions.to.txn.retry.backoff.max.ms",
            Int,
            Some("100"),
            TRANSACTIONS,
        ),
        row("add.partitions.to.txn.retry.backoff.ms", Int, Some("20"), TRANSACTIONS),
        row("alter.log.dirs.replication.quota.window.num", Int, Some("11"), QUOTAS),
        row(
            "alter.log.dirs.replication.quota.window.size.seconds",
            Int,
            Some("1"),
            QUOTAS,
        ),
        row("auto.leader.rebalance.enable", Boolean, Some("true"), REPLICAS),
        row("background.threads", Int, Some("10"), THREADS).at_least(1),
        row("broker.heartbeat.interval.ms", Int, Some("2000"), PEERS),
        row("broker.session.timeout.ms", Int, Some("9000"), PEERS),
        row("connection.failed.authentication.delay.ms", Int, Some("100"), SECURITY),
        row("connections.max.reauth.ms", Long, Some("0"), SECURITY),
        row("controlled.shutdown.enable", Boolean, Some("true"), REPLICAS),
        row("controller.quorum.append.linger.ms", Int, Some("25"), PEERS),
        row("controller.quorum.auto.join.enable", Boolean, Some("false"), PEERS),
        row("controller.quorum.bootstrap.servers", List, Some(""), PEERS),
        row("controller.quorum.election.backoff.max.ms", Int, Some("1000"), PEERS),
        row("controller.quorum.election.timeout.ms", Int, Some("1000"), PEERS),
        row("controller.quorum.fetch.max.bytes", Int, Some("1048576"), PEERS),
        row(
            "controller.quorum.fetch.snapshot.max.bytes",
            Int,
            Some("1048576"),
            PEERS,
        ),
        row("controller.quorum.fetch.timeout.ms", Int, Some("2000"), PEERS),
        row("controller.quorum.request.timeout.ms", Int, Some("2000"), PEERS),
        row("controller.quorum.retry.backoff.ms", Int, Some("20"), PEERS),
        row("controller.quorum.voters", List, Some(""), PEERS),
        row("controller.quota.window.num", Int, Some("11"), QUOTAS),
        row("controller.quota.window.size.seconds", Int, Some("1"), QUOTAS),
        row("controller.socket.timeout.ms", Int, Some("30000"), PEERS),
        row("cordoned.log.dirs", List, Some(""), DIRECTORIES),
        row(
            "delete.records.purgatory.purge.interval.requests",
            Int,
            Some("1"),
            WAITING,
        ),
        row("early.start.listeners", List, None, PEERS),
        row("fetch.purgatory.purge.interval.requests", Int, Some("1000"), WAITING),
        row(
            "follower.fetch.last.tiered.offset.enable",
            Boolean,
            Some("false"),
            TIERED,
        ),
        row("group.consumer.assignment.interval.ms", Int, Some("1000"), GROUPS).at_least(0),
        row("group.consumer.assignors", List, Some("uniform,range"), GROUPS),
        row("group.consumer.heartbeat.interval.ms", Int, Some("5000"), GROUPS),
        row("group.consumer.max.assignment.interval.ms", Int, Some("15000"), GROUPS),
        row("group.consumer.max.heartbeat.interval.ms", Int, Some("15000"), GROUPS),
        row("group.consumer.max.session.timeout.ms", Int, Some("60000"), GROUPS),
        row("group.consumer.max.size", Int, Some("2147483647"), GROUPS),
        row("group.consumer.migration.policy", String, Some("bidirectional"), GROUPS),
        row("group.consumer.min.assignment.interval.ms", Int, Some("0"), GROUPS),
        row("group.consumer.min.heartbeat.interval.ms", Int, Some("5000"), GROUPS),
        row("group.consumer.min.session.timeout.ms", Int, Some("45000"), GROUPS),
        row("group.consumer.session.timeout.ms", Int, Some("45000"), GROUPS),
        row("group.coordinator.append.linger.ms", Int, Some("-1"), COORDINATOR),
        row("group.coordinator.background.threads", Int, Some("2"), COORDINATOR),
        row(
            "group.coordinator.cached.buffer.max.bytes",
            Int,
            Some("1048588"),
            COORDINATOR,
        )
        .at_least(524_288),
        row(
            "group.coordinator.rebalance.protocols",
            List,
            Some("classic,consumer,streams"),
            GROUPS,
        ),
        row("group.coordinator.threads", Int, Some("4"), COORDINATOR),
        row("group.share.assignment.interval.ms", Int, Some("1000"), GROUPS).at_least(0),
        row("group.share.assignors", List, Some("simple"), GROUPS),
        row("group.share.delivery.count.limit", Int, Some("5"), GROUPS),
        row("group.share.heartbeat.interval.ms", Int, Some("5000"), GROUPS),
        row("group.share.max.assignment.interval.ms", Int, Some("15000"), GROUPS),
        row("group.share.max.delivery.count.limit", Int, Some("10"), GROUPS),
        row("group.share.max.heartbeat.interval.ms", Int, Some("15000"), GROUPS),
        row("group.share.max.partition.max.record.locks", Int, Some("4000"), GROUPS),
        row("group.share.max.record.lock.duration.ms", Int, Some("60000"), GROUPS),
        row("group.share.max.session.timeout.ms", Int, Some("60000"), GROUPS),
        row("group.share.max.share.sessions", Int, Some("2000"), GROUPS),
        row("group.share.max.size", Int, Some("200"), GROUPS),
        row("group.share.min.assignment.interval.ms", Int, Some("0"), GROUPS),
        row("group.share.min.delivery.count.limit", Int, Some("2"), GROUPS),
        row("group.share.min.heartbeat.interval.ms", Int, Some("5000"), GROUPS),
        row("group.share.min.partition.max.record.locks", Int, Some("100"), GROUPS),
        row("group.share.min.record.lock.duration.ms", Int, Some("15000"), GROUPS),
        row("group.share.min.session.timeout.ms", Int, Some("45000"), GROUPS),
        row("group.share.partition.max.record.locks", Int, Some("2000"), GROUPS),
        row("group.share.record.lock.duration.ms", Int, Some("30000"), GROUPS),
        row("group.share.session.timeout.ms", Int, Some("45000"), GROUPS),
        row("group.streams.assignment.interval.ms", Int, Some("1000"), GROUPS).at_least(0),
        row("group.streams.heartbeat.interval.ms", Int, Some("5000"), GROUPS),
        row("group.streams.initial.rebalance.delay.ms", Int, Some("3000"), GROUPS),
        row("group.streams.max.assignment.interval.ms", Int, Some("15000"), GROUPS),
        row("group.streams.max.heartbeat.interval.ms", Int, Some("15000"), GROUPS),
        row("group.streams.max.session.timeout.ms", Int, Some("60000"), GROUPS),
        row("group.streams.max.size", Int, Some("2147483647"), GROUPS),
        row("group.streams.max.standby.replicas", Int, Some("2"), GROUPS),
        row("group.streams.min.assignment.interval.ms", Int, Some("0"), GROUPS),
        row("group.streams.min.heartbeat.interval.ms", Int, Some("5000"), GROUPS),
        row("group.streams.min.session.timeout.ms", Int, Some("45000"), GROUPS),
        row("group.streams.num.standby.replicas", Int, Some("0"), GROUPS),
        row("group.streams.session.timeout.ms", Int, Some("45000"), GROUPS),
        row("initial.broker.registration.timeout.ms", Int, Some("60000"), PEERS),
        row("inter.broker.listener.name", String, None, PEERS),
        row("kafka.metrics.polling.interval.secs", Int, Some("10"), METRICS),
        row("kafka.metrics.reporters", List, Some(""), METRICS),
        row("leader.imbalance.check.interval.seconds", Long, Some("300"), REPLICAS),
        row("log.cleaner.io.buffer.load.factor", Double, Some("0.9"), COMPACTION),
        row("log.cleaner.io.buffer.size", Int, Some("524288"), COMPACTION).at_least(0),
        row(
            "log.cleaner.io.max.bytes.per.second",
            Double,
            Some("1.7976931348623157E308"),
            COMPACTION,
        ),
        row("log.cleaner.threads", Int, Some("1"), COMPACTION).at_least(0),
        row("log.dir.failure.timeout.ms", Long, Some("30000"), DIRECTORIES),
        row("log.flush.offset.checkpoint.interval.ms", Int, Some("60000"), LAYOUT),
        row(
            "log.flush.start.offset.checkpoint.interval.ms",
            Int,
            Some("60000"),
            LAYOUT,
        ),
        row("log.index.size.max.bytes", Int, Some("10485760"), LAYOUT),
        row("log.local.retention.bytes", Long, Some("-2"), TIERED),
        row("log.local.retention.ms", Long, Some("-2"), TIERED),
        row("log.preallocate", Boolean, Some("false"), LAYOUT),
        row("log.roll.jitter.hours", Int, Some("0"), LAYOUT),
        row("log.roll.jitter.ms", Long, None, LAYOUT),
        row("log.segment.delete.delay.ms", Long, Some("60000"), LAYOUT),
        row("metadata.log.dir", String, None, PEERS),
        row(
            "metadata.log.max.record.bytes.between.snapshots",
            Long,
            Some("20971520"),
            PEERS,
        ),
        row("metadata.log.max.snapshot.interval.ms", Long, Some("3600000"), PEERS),
        row("metadata.log.segment.bytes", Int, Some("1073741824"), PEERS),
        row("metadata.log.segment.ms", Long, Some("604800000"), PEERS),
        row("metadata.max.idle.interval.ms", Int, Some("500"), PEERS),
        row("metadata.max.retention.bytes", Long, Some("104857600"), PEERS),
        row("metadata.max.retention.ms", Long, Some("604800000"), PEERS),
        row("metric.reporters", List, Some(""), METRICS),
        row("metrics.num.samples", Int, Some("2"), METRICS),
        row("metrics.recording.level", String, Some("INFO"), METRICS),
        row("metrics.sample.window.ms", Long, Some("30000"), METRICS),
        row("num.io.threads", Int, Some("8"), THREADS).at_least(1),
        row("num.network.threads", Int, Some("3"), THREADS).at_least(1),
        row("num.recovery.threads.per.data.dir", Int, Some("2"), THREADS).at_least(1),
        row("num.replica.alter.log.dirs.threads", Int, None, REPLICAS),
        row("num.replica.fetchers", Int, Some("1"), REPLICAS).at_least(1),
        row("offsets.commit.timeout.ms", Int, Some("5000"), COMMITS),
        row("offsets.load.buffer.size", Int, Some("5242880"), COORDINATOR),
        row("offsets.topic.replication.factor", Short, Some("3"), REPLICAS),
        row("producer.purgatory.purge.interval.requests", Int, Some("1000"), WAITING),
        row("queued.max.request.bytes", Long, Some("-1"), THREADS),
        row("queued.max.requests", Int, Some("500"), THREADS),
        row("quota.window.num", Int, Some("11"), QUOTAS),
        row("quota.window.size.seconds", Int, Some("1"), QUOTAS),
        row("remote.fetch.max.wait.ms", Int, Some("500"), TIERED).at_least(1),
        row("remote.list.offsets.request.timeout.ms", Long, Some("30000"), TIERED).at_least(1),
        row(
            "remote.log.index.file.cache.total.size.bytes",
            Long,
            Some("1073741824"),
            TIERED,
        )
        .at_least(1),
        row("remote.log.manager.copier.thread.pool.size", Int, Some("10"), TIERED).at_least(1),
        row(
            "remote.log.manager.copy.max.bytes.per.second",
            Long,
            Some("9223372036854775807"),
            TIERED,
        )
        .at_least(1),
        row("remote.log.manager.copy.quota.window.num", Int, Some("11"), QUOTAS),
        row(
            "remote.log.manager.copy.quota.window.size.seconds",
            Int,
            Some("1"),
            QUOTAS,
        ),
        row(
            "remote.log.manager.expiration.thread.pool.size",
            Int,
            Some("10"),
            TIERED,
        )
        .at_least(1),
        row(
            "remote.log.manager.fetch.max.bytes.per.second",
            Long,
            Some("9223372036854775807"),
            TIERED,
        )
        .at_least(1),
        row("remote.log.manager.fetch.quota.window.num", Int, Some("11"), QUOTAS),
        row(
            "remote.log.manager.fetch.quota.window.size.seconds",
            Int,
            Some("1"),
            QUOTAS,
        ),
        row("remote.log.manager.follower.thread.pool.size", Int, Some("2"), TIERED).at_least(1),
        row("remote.log.manager.task.interval.ms", Long, Some("30000"), TIERED),
        row("remote.log.manager.thread.pool.size", Int, Some("2"), TIERED),
        row(
            "remote.log.metadata.custom.metadata.max.bytes",
            Int,
            Some("128"),
            TIERED,
        ),
        row(
            "remote.log.metadata.manager.class.name",
            String,
            Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"),
            TIERED,
        ),
        row("remote.log.metadata.manager.class.path", String, None, TIERED),
        row(
            "remote.log.metadata.manager.impl.prefix",
            String,
            Some("rlmm.config."),
            TIERED,
        ),
        row("remote.log.metadata.manager.listener.name", String, None, TIERED),
        row("remote.log.reader.max.pending.tasks", Int, Some("100"), TIERED),
        row("remote.log.reader.threads", Int, Some("10"), TIERED).at_least(1),
        row("remote.log.storage.manager.class.name", String, None, TIERED),
        row("remote.log.storage.manager.class.path", String, None, TIERED),
        row(
            "remote.log.storage.manager.impl.prefix",
            String,
            Some("rsm.config."),
            TIERED,
        ),
        row("replica.fetch.backoff.ms", Int, Some("1000"), REPLICAS),
        row("replica.fetch.max.bytes", Int, Some("1048576"), REPLICAS),
        row("replica.fetch.min.bytes", Int, Some("1"), REPLICAS),
        row("replica.fetch.response.max.bytes", Int, Some("10485760"), REPLICAS),
        row("replica.fetch.wait.max.ms", Int, Some("500"), REPLICAS),
        row(
            "replica.high.watermark.checkpoint.interval.ms",
            Long,
            Some("5000"),
            REPLICAS,
        ),
        row("replica.lag.time.max.ms", Long, Some("30000"), REPLICAS),
        row("replica.selector.class", String, None, REPLICAS),
        row("replica.socket.receive.buffer.bytes", Int, Some("65536"), REPLICAS),
        row("replica.socket.timeout.ms", Int, Some("30000"), REPLICAS),
        row("replication.quota.window.num", Int, Some("11"), QUOTAS),
        row("replication.quota.window.size.seconds", Int, Some("1"), QUOTAS),
        row("request.timeout.ms", Int, Some("30000"), PEERS),
        row("share.coordinator.append.linger.ms", Int, Some("-1"), GROUPS),
        row(
            "share.coordinator.cached.buffer.max.bytes",
            Int,
            Some("1048588"),
            GROUPS,
        )
        .at_least(524_288),
        row("share.coordinator.load.buffer.size", Int, Some("5242880"), GROUPS),
        row(
            "share.coordinator.snapshot.update.records.per.snapshot",
            Int,
            Some("500"),
            GROUPS,
        ),
        row(
            "share.coordinator.state.topic.compression.codec",
            Int,
            Some("0"),
            GROUPS,
        ),
        row("share.coordinator.state.topic.min.isr", Short, Some("2"), GROUPS),
        row("share.coordinator.state.topic.num.partitions", Int, Some("50"), GROUPS),
        row(
            "share.coordinator.state.topic.replication.factor",
            Short,
            Some("3"),
            GROUPS,
        ),
        row(
            "share.coordinator.state.topic.segment.bytes",
            Int,
            Some("104857600"),
            GROUPS,
        ),
        row("share.coordinator.threads", Int, Some("1"), GROUPS),
        row("share.coordinator.write.timeout.ms", Int, Some("5000"), GROUPS),
        row(
            "share.fetch.purgatory.purge.interval.requests",
            Int,
            Some("1000"),
            GROUPS,
        ),
        row("socket.connection.setup.timeout.max.ms", Long, Some("30000"), PEERS),
        row("socket.connection.setup.timeout.ms", Long, Some("10000"), PEERS),
        row("socket.listen.backlog.size", Int, Some("50"), SOCKETS),
        row("socket.receive.buffer.bytes", Int, Some("102400"), SOCKETS),
        row("socket.send.buffer.bytes", Int, Some("102400"), SOCKETS),
        row("telemetry.max.bytes", Int, Some("1048576"), METRICS),
        row(
            "transaction.abort.timed.out.transaction.cleanup.interval.ms",
            Int,
            Some("10000"),
            TRANSACTIONS,
        ),
        row("transaction.max.timeout.ms", Int, Some("900000"), TRANSACTIONS),
        row(
            "transaction.partition.verification.enable",
            Boolean,
            Some("true"),
            TRANSACTIONS,
        ),
        row(
            "transaction.remove.expired.transaction.cleanup.interval.ms",
            Int,
            Some("3600000"),
            TRANSACTIONS,
        ),
        row(
            "transaction.state.log.load.buffer.size",
            Int,
            Some("5242880"),
            TRANSACTIONS,
        ),
        row("transaction.state.log.min.isr", Int, Some("2"), TRANSACTIONS),
        row("transaction.state.log.num.partitions", Int, Some("50"), TRANSACTIONS),
        row(
            "transaction.state.log.replication.factor",
            Short,
            Some("3"),
            TRANSACTIONS,
        ),
        row(
            "transaction.state.log.segment.bytes",
            Int,
            Some("104857600"),
            TRANSACTIONS,
        ),
        row(
            "transaction.two.phase.commit.enable",
            Boolean,
            Some("false"),
            TRANSACTIONS,
        ),
        row("transactional.id.expiration.ms", Int, Some("604800000"), TRANSACTIONS),
        row("unclean.leader.election.enable", Boolean, Some("false"), ELECTIONS),
    ]
};

/// The rates of Kafka's throttles of replication: given to running brokers only, and shown only where they are
/// (`QuotaConfig.brokerQuotaConfigs`).
pub(super) const THROTTLE_KEYS: &[BrokerKey] = {
    use ValueType::Long;
    &[
        row("follower.replication.throttled.rate", Long, None, REPLICAS).at_least(0),
        row("leader.replication.throttled.rate", Long, None, REPLICAS).at_least(0),
        row(
            "replica.alter.log.dirs.io.max.bytes.per.second",
            Long,
            None,
            DIRECTORIES,
        )
        .at_least(0),
    ]
};

impl BrokerKey {
    /// Kafka's lower bound, for what may be given to a running broker.
    const fn at_least(self, least: i64) -> Self {
        let bounds = Bounds::AtLeast(least);
        Self { bounds, ..self }
    }
}

const fn row(name: &'static str, kind: ValueType, default: Option<&'static str>, reason: &'static str) -> BrokerKey {
    BrokerKey {
        name,
        kind,
        bounds: Bounds::Any,
        default,
        role: BrokerRole::Inert(reason),
        doc: reason,
    }
}
