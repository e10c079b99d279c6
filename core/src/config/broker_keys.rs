//! The table of a broker's settings: those of Apache Kafka 4.3 that act here, and Klamm's own.
//!
//! Invariant: a key is in this table or in the one of inert keys, never in both; either is sorted by name.

use super::BrokerConfig;
use super::broker_inert::{INERT_KEYS, THROTTLE_KEYS};
use super::topic_keys::{COMPRESSIONS, LZ4_LEVELS};
use super::value::{Bounds, ValueType};

/// What a value of a key does.
#[derive(Clone, Copy)]
pub(super) enum BrokerRole {
    /// It changes what the broker does.
    Acts,
    /// Nothing, for this reason.
    Inert(&'static str),
    /// Only this value is accepted yet; the start is refused with another, for this reason.
    Only(&'static str, &'static str),
}

/// A setting of a broker.
#[derive(Clone, Copy)]
pub(super) struct BrokerKey {
    pub(super) name: &'static str,
    pub(super) kind: ValueType,
    pub(super) bounds: Bounds,
    pub(super) default: Option<&'static str>,
    pub(super) role: BrokerRole,
    pub(super) doc: &'static str,
}

impl BrokerKey {
    const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    const fn only(self, value: &'static str, reason: &'static str) -> Self {
        Self {
            role: BrokerRole::Only(value, reason),
            ..self
        }
    }

    /// The key called `name`.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        let mut tables = [ACTING_KEYS, INERT_KEYS].into_iter();
        let find = |keys: &'static [Self]| Some(&keys[keys.binary_search_by_key(&name, |key| key.name).ok()?]);
        tables.find_map(find)
    }

    /// The key called `name`, if it is one of a start or of a running broker.
    pub(super) fn find_any(name: &str) -> Option<&'static Self> {
        Self::find(name).or_else(|| THROTTLE_KEYS.iter().find(|key| key.name == name))
    }

    /// The value in effect on `broker`, in canonical form.
    pub(super) fn in_effect<'a>(&self, broker: &'a BrokerConfig) -> Option<&'a str> {
        let given = [&broker.dynamic, &broker.dynamic_defaults, &broker.settings];
        let value = given.into_iter().find_map(|settings| settings.get(self.name));
        value.map(alloc::string::String::as_str).or(self.default)
    }

    /// Every key of a start, in no order to rely on.
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        ACTING_KEYS.iter().chain(INERT_KEYS)
    }
}

const CLEANER: &str = "topics are compacted when their cleanup.policy says so; use 'true'";
const JAVA: &str = "a Java class cannot run in this broker; remove the setting";
const OPEN: &str = "there is no authorizer yet, and the broker would serve everybody; remove the setting, and keep the \
                    listeners on addresses that only trusted clients reach";
const PLAIN: &str = "TLS and SASL are not available yet; use PLAINTEXT";
const SECRETS: &str = "values are not looked up elsewhere; write the values into the file";
const TIERED: &str = "tiered storage is not available yet; use 'false'";

/// What is listened on where nobody says it: this machine alone.
pub(super) const LISTENERS: &str = "PLAINTEXT://127.0.0.1:9092,PLAINTEXT://[::1]:9092";

/// The settings that act, or that would have to.
pub(super) const ACTING_KEYS: &[BrokerKey] = {
    use Bounds::{AddressCounts, Any, AtLeast, Between, BetweenOr, OneOf};
    use ValueType::{Boolean, Class, Double, Int, List, Long, String};
    &[
        key("advertised.listeners", List, Any, None)
            .doc("Where the clients of each listener are told to connect; never a wildcard address. Default: what it listens on."),
        key("alter.config.policy.class.name", Class, Any, None).only("", JAVA),
        key("authorizer.class.name", String, Any, Some("")).only("", OPEN),
        key("auto.create.topics.enable", Boolean, Any, Some("true"))
            .doc("Whether a topic that a client names is created."),
        key("broker.id", Int, AtLeast(0), None).doc("An older name of node.id."),
        key("broker.rack", String, Any, None).doc("The rack this broker stands in."),
        key("client.quota.callback.class", Class, Any, None).only("", JAVA),
        key("cluster.id", String, Any, None).doc("Klamm: the cluster id that the log directory has to carry."),
        key("compression.gzip.level", Int, BetweenOr(1, 9, -1), Some("-1"))
            .doc("Default of a topic's compression.gzip.level."),
        key("compression.lz4.level", Int, LZ4_LEVELS, Some("9")).doc("Default of a topic's compression.lz4.level."),
        key("compression.type", String, OneOf(COMPRESSIONS), Some("producer"))
            .doc("Default of a topic's compression.type."),
        key("compression.zstd.level", Int, Between(-131_072, 22), Some("3"))
            .doc("Default of a topic's compression.zstd.level."),
        key("config.providers", List, Any, Some("")).only("", SECRETS),
        key("connections.max.idle.ms", Long, AtLeast(1), Some("600000"))
            .doc("Milliseconds after which an idle connection is closed."),
        key("controller.listener.names", List, Any, None)
            .doc("The listeners of the controller; a node that is alone does not open them."),
        key("create.topic.policy.class.name", Class, Any, None).only("", JAVA),
        key("default.replication.factor", Int, Any, Some("1"))
            .doc("Replicas of a topic that is created without a number; more than there are brokers are refused then."),
        key("delete.topic.enable", Boolean, Any, Some("true")).doc("Whether clients may delete topics."),
        key("fetch.max.bytes", Int, AtLeast(1024), Some("57671680"))
            .doc("The most a fetch response carries, in bytes."),
        key("flush", String, OneOf(&["fsync", "os"]), Some("fsync"))
            .doc("Klamm: what an acknowledgement waits for: the device (fsync) or the page cache (os)."),
        key("group.initial.rebalance.delay.ms", Int, AtLeast(0), Some("3000"))
            .doc("Milliseconds that the first members of an empty group wait for others."),
        key("group.max.session.timeout.ms", Int, AtLeast(1), Some("1800000"))
            .doc("The longest session timeout a member may ask for, in milliseconds."),
        key("group.max.size", Int, AtLeast(1), Some("2147483647")).doc("Members of one group."),
        key("group.members.max.bytes", Long, AtLeast(0), Some("134217728"))
            .doc("Klamm: bytes that members of groups may hold in the memory of each shard."),
        key("group.min.session.timeout.ms", Int, AtLeast(1), Some("6000"))
            .doc("The shortest session timeout a member may ask for, in milliseconds."),
        key("group.offsets.max.bytes", Long, AtLeast(0), Some("268435456"))
            .doc("Klamm: bytes that committed offsets may hold in the memory of each shard."),
        key(
            "listener.security.protocol.map",
            String,
            Any,
            Some("PLAINTEXT:PLAINTEXT"),
        )
        .doc("The security protocol of each listener name; what is set has to name every listener."),
        key("listeners", List, Any, Some(LISTENERS)).doc("What the broker listens on, each with a name and a port of its own; an IPv4 and an IPv6 address may share both."),
        key("log.cleaner.backoff.ms", Long, AtLeast(0), Some("15000"))
            .doc("Milliseconds between two looks for logs to compact."),
        key("log.cleaner.dedupe.buffer.size", Long, AtLeast(0), Some("134217728"))
            .doc("Bytes of memory for the keys of the logs that are being compacted, over all shards."),
        key("log.cleaner.delete.retention.ms", Long, AtLeast(0), Some("86400000"))
            .doc("Default of a topic's delete.retention.ms."),
        key("log.cleaner.enable", Boolean, Any, Some("true")).only("true", CLEANER),
        key(
            "log.cleaner.max.compaction.lag.ms",
            Long,
            AtLeast(1),
            Some("9223372036854775807"),
        )
        .doc("Default of a topic's max.compaction.lag.ms."),
        key("log.cleaner.min.cleanable.ratio", Double, Between(0, 1), Some("0.5"))
            .doc("Default of a topic's min.cleanable.dirty.ratio."),
        key("log.cleaner.min.compaction.lag.ms", Long, AtLeast(0), Some("0"))
            .doc("Default of a topic's min.compaction.lag.ms."),
        key(
            "log.cleanup.policy",
            List,
            OneOf(&["compact", "delete"]),
            Some("delete"),
        )
        .doc("Default of a topic's cleanup.policy."),
        key("log.dir", List, Any, Some("klamm-data")).doc("The log directory, where log.dirs is not set."),
        key("log.dirs", List, Any, None).doc("The log directory."),
        key(
            "log.flush.interval.messages",
            Long,
            AtLeast(1),
            Some("9223372036854775807"),
        )
        .doc("Default of a topic's flush.messages."),
        key("log.flush.interval.ms", Long, Any, None).doc("Default of a topic's flush.ms."),
        key(
            "log.flush.scheduler.interval.ms",
            Long,
            Any,
            Some("9223372036854775807"),
        )
        .doc("Default of a topic's flush.ms, where log.flush.interval.ms is not set."),
        key("log.index.interval.bytes", Int, AtLeast(0), Some("4096"))
            .doc("Default of a topic's index.interval.bytes."),
        key("log.message.timestamp.after.max.ms", Long, AtLeast(0), Some("3600000"))
            .doc("Default of a topic's message.timestamp.after.max.ms."),
        key(
            "log.message.timestamp.before.max.ms",
            Long,
            AtLeast(0),
            Some("9223372036854775807"),
        )
        .doc("Default of a topic's message.timestamp.before.max.ms."),
        key(
            "log.message.timestamp.type",
            String,
            OneOf(&["CreateTime", "LogAppendTime"]),
            Some("CreateTime"),
        )
        .doc("Default of a topic's message.timestamp.type."),
        key("log.retention.bytes", Long, Any, Some("-1")).doc("Default of a topic's retention.bytes."),
        key("log.retention.check.interval.ms", Long, AtLeast(1), Some("300000"))
            .doc("Milliseconds between two looks for segments to drop."),
        key("log.retention.hours", Int, Any, Some("168")).doc("Default of a topic's retention.ms, in hours."),
        key("log.retention.minutes", Int, Any, None).doc("Default of a topic's retention.ms, in minutes."),
        key("log.retention.ms", Long, Any, None).doc("Default of a topic's retention.ms."),
        key("log.roll.hours", Int, AtLeast(1), Some("168")).doc("Default of a topic's segment.ms, in hours."),
        key("log.roll.ms", Long, AtLeast(1), None).doc("Default of a topic's segment.ms."),
        key("log.segment.bytes", Int, AtLeast(1 << 20), Some("1073741824")).doc("Default of a topic's segment.bytes."),
        key("max.connection.creation.rate", Int, AtLeast(0), Some("2147483647"))
            .doc("Connections that are accepted in a second; further ones wait. 0 counts as 1."),
        key("max.connections", Int, AtLeast(1), Some("10000"))
            .doc(
                "Connections that are served at once; beyond them idle ones give way. Kafka has no bound. A lower one closes \
                 nobody who is there.",
            ),
        key("max.connections.per.ip", Int, AtLeast(0), Some("2147483647"))
            .doc("Connections from one address that are served at once; 0 only beside overrides."),
        key("max.connections.per.ip.overrides", String, AddressCounts, Some(""))
            .doc("Another max.connections.per.ip for some addresses."),
        key(
            "max.incremental.fetch.session.cache.slots",
            Int,
            AtLeast(0),
            Some("1000"),
        )
        .doc("Fetch sessions that a shard remembers."),
        key("max.request.partition.size.limit", Int, AtLeast(1), Some("2000"))
            .doc("The most partitions that one response of DescribeTopicPartitions has."),
        key("message.max.bytes", Int, AtLeast(0), Some("1048588")).doc("Default of a topic's max.message.bytes."),
        key("metrics.listener", String, Any, Some("127.0.0.1:9464"))
            .doc("Klamm: where /metrics, /health and /ready are served; 'off' serves them nowhere."),
        key("min.insync.replicas", Int, AtLeast(1), Some("1")).doc("Default of a topic's min.insync.replicas."),
        key("node.id", Int, AtLeast(0), Some("1")).doc("The id of this node in its cluster."),
        key("num.partitions", Int, Between(1, 10_000), Some("1"))
            .doc("Partitions of a topic that is created without a count."),
        key("offset.metadata.max.bytes", Int, AtLeast(0), Some("4096"))
            .doc("The most that a client may keep with an offset."),
        key("offsets.retention.check.interval.ms", Long, AtLeast(1), Some("600000"))
            .doc("Milliseconds between two looks for offsets to forget."),
        key("offsets.retention.minutes", Int, AtLeast(1), Some("10080"))
            .doc("Minutes that offsets are kept once their group is empty."),
        key("offsets.topic.compression.codec", Int, Between(0, 4), Some("0"))
            .doc("How records of groups are compressed: 0 not, 1 gzip, 2 snappy, 3 lz4, 4 zstd."),
        key("offsets.topic.num.partitions", Int, Between(1, 10_000), Some("50"))
            .doc("Partitions of __consumer_offsets when it is created."),
        key("offsets.topic.segment.bytes", Int, AtLeast(1), Some("104857600"))
            .doc("Bytes of a segment of __consumer_offsets; less than a mebibyte counts as one."),
        key("principal.builder.class", Class, Any, None).only("", JAVA),
        key(
            "process.roles",
            List,
            OneOf(&["broker", "controller"]),
            Some("broker,controller"),
        )
        .doc("What this node is: broker and controller at once."),
        key("producer.id.expiration.ms", Int, AtLeast(1), Some("86400000"))
            .doc("Milliseconds after which an idle producer is forgotten."),
        key("remote.log.storage.system.enable", Boolean, Any, Some("false")).only("false", TIERED),
        key("security.inter.broker.protocol", String, Any, Some("PLAINTEXT")).only("PLAINTEXT", PLAIN),
        key("security.providers", String, Any, None).only("", JAVA),
        key("shards", Int, Between(1, 256), None)
            .doc("Klamm: threads that serve; by default one up to 3 cores, cores - 1 above."),
        key("shutdown.timeout.ms", Int, AtLeast(0), Some("8000"))
            .doc("Klamm: milliseconds that a stop waits for clients that are being answered, or for room on the disk; then it closes them, or ends without."),
        key("socket.request.max.bytes", Int, AtLeast(1), Some("104857600")).doc("The largest request, in bytes."),
    ]
};

/// The start of a row.
const fn key(name: &'static str, kind: ValueType, bounds: Bounds, default: Option<&'static str>) -> BrokerKey {
    BrokerKey {
        name,
        kind,
        bounds,
        default,
        role: BrokerRole::Acts,
        doc: "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::parse_value;
    use super::*;

    #[test]
    fn each_key_is_there_once_and_its_default_is_allowed() {
        for key in BrokerKey::all() {
            assert_eq!(
                BrokerKey::all().filter(|other| other.name == key.name).count(),
                1,
                "{}",
                key.name
            );
            let Some(default) = key.default else { continue };
            let value = parse_value(key.name, key.kind, key.bounds, default).unwrap();
            if let BrokerRole::Only(only, _) = key.role {
                assert_eq!(value.canonical(), only, "{}", key.name);
            }
        }
    }

    #[test]
    fn each_key_is_found_by_its_name() {
        for key in BrokerKey::all() {
            let found = BrokerKey::find(key.name).map(|found| found.name);
            assert_eq!(found, Some(key.name), "the tables are sorted");
        }
        assert!(BrokerKey::find("log.dir.s").is_none());
    }

    #[test]
    fn what_people_set_is_known() {
        for name in [
            "node.id",
            "log.dirs",
            "num.io.threads",
            "offsets.retention.minutes",
            "controller.quorum.voters",
        ] {
            assert!(BrokerKey::find(name).is_some(), "{name}");
        }
    }
}
