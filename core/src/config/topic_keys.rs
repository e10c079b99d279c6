//! The table of a topic's settings: those of Apache Kafka 4.3 (`TopicConfig`, `LogConfig`), with what each does here.
//!
//! Invariant: a value that is accepted either acts, or is one that changes nothing in Kafka either as long as what it
//! tunes is off. What cannot act yet is refused with its reason.

use super::value::{Bounds, Value, ValueType};
use super::{CleanupPolicy, TimestampType, TopicConfig};
use crate::record::{Compression, Level};

/// How a broker's setting, the default of a topic's, converts to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    /// As it is.
    Same,
    /// Minutes into milliseconds.
    Minutes,
    /// Hours into milliseconds.
    Hours,
}

impl Unit {
    /// Milliseconds in one of it.
    pub(super) const fn factor(self) -> i64 {
        match self {
            Self::Same => 1,
            Self::Minutes => 60_000,
            Self::Hours => 3_600_000,
        }
    }
}

/// What a value of a key does.
#[derive(Clone, Copy)]
pub(super) enum Role {
    /// It is put into the topic's configuration.
    Acts(fn(&mut TopicConfig, &Value)),
    /// It is kept and shown.
    Echoed,
    /// Only this value is accepted yet; another is refused for the reason.
    Only(&'static str, &'static str),
}

/// A setting of a topic.
#[derive(Clone, Copy)]
pub(super) struct TopicKey {
    pub(super) name: &'static str,
    pub(super) kind: ValueType,
    pub(super) bounds: Bounds,
    /// Kafka's default; `None` for a key that is not shown unless it is set.
    pub(super) default: Option<&'static str>,
    /// The broker's settings that give the default; the first that is set counts.
    pub(super) broker: &'static [(&'static str, Unit)],
    pub(super) role: Role,
    pub(super) doc: &'static str,
}

const MAX: &str = "9223372036854775807";
const NO_TIERED: &str = "tiered storage is not available yet";

/// Every setting of a topic, sorted by name.
pub(super) const TOPIC_KEYS: &[TopicKey] = {
    use Bounds::{Any, AtLeast, Between, BetweenOr, OneOf, ThrottledReplicas};
    use Role::{Acts, Echoed, Only};
    use Unit::{Hours, Minutes, Same};
    use ValueType::{Boolean, Double, Int, List, Long, String};
    &[
        key(
            "cleanup.policy",
            List,
            OneOf(&["compact", "delete"]),
            "delete",
            Acts(set_cleanup),
        )
        .of(&[("log.cleanup.policy", Same)])
        .doc("What happens to old records: 'delete' drops segments by age and size, 'compact' keeps the last of each key."),
        key(
            "compression.gzip.level",
            Int,
            BetweenOr(1, 9, -1),
            "-1",
            Acts(|topic, value| topic.gzip_level = level(value, -1)),
        )
            .of(&[("compression.gzip.level", Same)])
            .doc("Level of gzip where the broker compresses with it."),
        key(
            "compression.lz4.level",
            Int,
            LZ4_LEVELS,
            "9",
            Acts(|topic, value| topic.lz4_level = level(value, 9)),
        )
            .of(&[("compression.lz4.level", Same)])
            .doc("Level of lz4 where the broker compresses with it; 9 is its fast mode, as in Kafka, all others are slow."),
        key(
            "compression.type",
            String,
            OneOf(COMPRESSIONS),
            "producer",
            Acts(set_compression),
        )
        .of(&[("compression.type", Same)])
        .doc("How batches are stored: 'producer' keeps them as the producer compressed them."),
        key(
            "compression.zstd.level",
            Int,
            Between(-131_072, 22),
            "3",
            Acts(|topic, value| topic.zstd_level = Level::Of(value.whole() as i32)),
        )
            .of(&[("compression.zstd.level", Same)])
            .doc("Level of zstd where the broker compresses with it."),
        key(
            "delete.retention.ms",
            Long,
            AtLeast(0),
            "86400000",
            Acts(|topic, value| topic.compaction.delete_retention_ms = value.size()),
        )
        .of(&[("log.cleaner.delete.retention.ms", Same)])
        .doc("Milliseconds that tombstones of a compacted topic are kept."),
        key("file.delete.delay.ms", Long, AtLeast(0), "60000", Echoed)
            .of(&[("log.segment.delete.delay.ms", Same)])
            .doc("Milliseconds before a dropped segment's file goes; here it goes with its last reader."),
        key(
            "flush.messages",
            Long,
            AtLeast(1),
            MAX,
            Acts(|topic, value| topic.flush_messages = value.size()),
        )
            .of(&[("log.flush.interval.messages", Same)])
            .doc("Records after which a log is synced, with the broker's flush=os; with flush=fsync each is, before its answer."),
        key("flush.ms", Long, AtLeast(0), MAX, Acts(set_flush_ms))
            .of(&[
                ("log.flush.interval.ms", Same),
                ("log.flush.scheduler.interval.ms", Same),
            ])
            .doc("Milliseconds after which a record is synced, with the broker's flush=os; with flush=fsync it is, before its answer."),
        key(
            "follower.replication.throttled.replicas",
            List,
            ThrottledReplicas,
            "",
            Echoed,
        )
        .doc("Replicas whose replication is throttled on the follower's side, as partition:broker pairs."),
        key(
            "index.interval.bytes",
            Int,
            AtLeast(0),
            "4096",
            Acts(|topic, value| topic.index_interval_bytes = value.size32()),
        )
        .of(&[("log.index.interval.bytes", Same)])
        .doc("Bytes of log between two entries of its index."),
        key(
            "internal.segment.bytes",
            Int,
            AtLeast(1),
            "",
            Acts(|topic, value| topic.segment_bytes = value.size32()),
        )
        .hidden()
        .doc("For tests: segment.bytes below its lower bound."),
        key(
            "leader.replication.throttled.replicas",
            List,
            ThrottledReplicas,
            "",
            Echoed,
        )
        .doc("Replicas whose replication is throttled on the leader's side, as partition:broker pairs."),
        key("local.retention.bytes", Long, AtLeast(-2), "-2", Echoed)
            .of(&[("log.local.retention.bytes", Same)])
            .doc("Bytes kept locally where remote.storage.enable is true; -2 is retention.bytes."),
        key("local.retention.ms", Long, AtLeast(-2), "-2", Echoed)
            .of(&[("log.local.retention.ms", Same)])
            .doc("Milliseconds kept locally where remote.storage.enable is true; -2 is retention.ms."),
        key(
            "max.compaction.lag.ms",
            Long,
            AtLeast(1),
            MAX,
            Acts(|topic, value| topic.compaction.max_lag_ms = value.size()),
        )
        .of(&[("log.cleaner.max.compaction.lag.ms", Same)])
        .doc("Milliseconds after which a record of a compacted topic must be considered for compaction."),
        key(
            "max.message.bytes",
            Int,
            AtLeast(0),
            "1048588",
            Acts(|topic, value| topic.max_message_bytes = value.size32()),
        )
        .of(&[("message.max.bytes", Same)])
        .doc("The largest batch that is accepted, in bytes, header included."),
        key(
            "message.timestamp.after.max.ms",
            Long,
            AtLeast(0),
            "3600000",
            Acts(|topic, value| topic.timestamp_after_max_ms = value.size()),
        )
        .of(&[("log.message.timestamp.after.max.ms", Same)])
        .doc("Milliseconds that a record's timestamp may lie in the future, with CreateTime."),
        key(
            "message.timestamp.before.max.ms",
            Long,
            AtLeast(0),
            MAX,
            Acts(|topic, value| topic.timestamp_before_max_ms = value.size()),
        )
        .of(&[("log.message.timestamp.before.max.ms", Same)])
        .doc("Milliseconds that a record's timestamp may lie in the past, with CreateTime."),
        key(
            "message.timestamp.type",
            String,
            OneOf(&["CreateTime", "LogAppendTime"]),
            "CreateTime",
            Acts(set_timestamp_type),
        )
        .of(&[("log.message.timestamp.type", Same)])
        .doc("Whose clock stamps records: the producer's (CreateTime) or the broker's (LogAppendTime)."),
        key(
            "min.cleanable.dirty.ratio",
            Double,
            Between(0, 1),
            "0.5",
            Acts(|topic, value| topic.compaction.min_dirty_millionths = value.millionths()),
        )
        .of(&[("log.cleaner.min.cleanable.ratio", Same)])
        .doc("Share of uncompacted bytes from which a log is compacted."),
        key(
            "min.compaction.lag.ms",
            Long,
            AtLeast(0),
            "0",
            Acts(|topic, value| topic.compaction.min_lag_ms = value.size()),
        )
        .of(&[("log.cleaner.min.compaction.lag.ms", Same)])
        .doc("Milliseconds that a record of a compacted topic is safe from compaction."),
        key(
            "min.insync.replicas",
            Int,
            AtLeast(1),
            "1",
            Acts(set_min_insync_replicas),
        )
        .of(&[("min.insync.replicas", Same)])
        .doc("In-sync replicas that acks=all needs, though never more than the topic has."),
        key("preallocate", Boolean, Any, "false", Echoed)
            .of(&[("log.preallocate", Same)])
            .doc("Whether a new segment's file is allocated in full."),
        key("remote.log.copy.disable", Boolean, Any, "false", Echoed)
            .doc("Whether segments stop being copied where remote.storage.enable is true."),
        key("remote.log.delete.on.disable", Boolean, Any, "false", Echoed)
            .doc("Whether remote segments go when remote.storage.enable is turned off."),
        key("remote.storage.enable", Boolean, Any, "false", Only("false", NO_TIERED))
            .doc("Whether old segments move to tiered storage."),
        key(
            "retention.bytes",
            Long,
            Any,
            "-1",
            Acts(|topic, value| topic.retention_bytes = value.limit()),
        )
        .of(&[("log.retention.bytes", Same)])
        .doc("Bytes of a partition beyond which its oldest segments are dropped; -1 keeps them."),
        key(
            "retention.ms",
            Long,
            AtLeast(-1),
            "604800000",
            Acts(|topic, value| topic.retention_ms = value.limit()),
        )
        .of(&[
            ("log.retention.ms", Same),
            ("log.retention.minutes", Minutes),
            ("log.retention.hours", Hours),
        ])
        .doc("Milliseconds after which a segment is dropped; -1 keeps it."),
        key(
            "segment.bytes",
            Int,
            AtLeast(1 << 20),
            "1073741824",
            Acts(|topic, value| topic.segment_bytes = value.size32()),
        )
        .of(&[("log.segment.bytes", Same)])
        .doc("Bytes beyond which a segment is closed and the next begun."),
        key("segment.index.bytes", Int, AtLeast(4), "10485760", Echoed)
            .of(&[("log.index.size.max.bytes", Same)])
            .doc("Bytes of a segment's index file; indexes have no file of their own here."),
        key("segment.jitter.ms", Long, AtLeast(0), "0", Echoed)
            .of(&[("log.roll.jitter.ms", Same), ("log.roll.jitter.hours", Hours)])
            .doc("Milliseconds by which segment.ms varies between partitions."),
        key(
            "segment.ms",
            Long,
            AtLeast(1),
            "604800000",
            Acts(|topic, value| topic.segment_ms = value.size()),
        )
        .of(&[("log.roll.ms", Same), ("log.roll.hours", Hours)])
        .doc("Milliseconds after which a segment is closed and the next begun."),
        key(
            "unclean.leader.election.enable",
            Boolean,
            Any,
            "false",
            Echoed,
        )
        .of(&[("unclean.leader.election.enable", Same)])
        .doc("Whether a replica that is not in sync may become leader, at the cost of records. A partition has one replica here, so nothing is elected."),
    ]
};

/// The levels of lz4 (`CompressionType.LZ4`).
pub(super) const LZ4_LEVELS: Bounds = Bounds::Between(1, 17);

pub(super) const COMPRESSIONS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

fn set_cleanup(topic: &mut TopicConfig, value: &Value) {
    let Value::List(parts) = value else { return };
    let has = |policy: &str| parts.iter().any(|part| part == policy);
    topic.cleanup = match (has("compact"), has("delete")) {
        (false, false) => CleanupPolicy::Keep,
        (false, true) => CleanupPolicy::Delete,
        (true, false) => CleanupPolicy::Compact,
        (true, true) => CleanupPolicy::CompactDelete,
    };
}

fn set_timestamp_type(topic: &mut TopicConfig, value: &Value) {
    topic.timestamp_type = match value {
        Value::Text(text) if text == "LogAppendTime" => TimestampType::LogAppendTime,
        _ => TimestampType::CreateTime,
    };
}

fn set_min_insync_replicas(topic: &mut TopicConfig, value: &Value) {
    topic.min_insync_replicas = u16::try_from(value.whole()).unwrap_or(u16::MAX);
}

fn level(value: &Value, default: i64) -> Level {
    match value.whole() {
        level if level == default => Level::Default,
        level => Level::Of(level as i32),
    }
}

fn set_compression(topic: &mut TopicConfig, value: &Value) {
    let Value::Text(name) = value else { return };
    topic.compression = match name.as_str() {
        "uncompressed" => Some(Compression::None),
        name => Compression::ALL.into_iter().find(|codec| codec.name() == name),
    };
}

fn set_flush_ms(topic: &mut TopicConfig, value: &Value) {
    topic.flush_ms = Some(value.size()).filter(|&ms| ms < i64::MAX as u64);
}

/// The start of a row.
const fn key(name: &'static str, kind: ValueType, bounds: Bounds, default: &'static str, role: Role) -> TopicKey {
    TopicKey {
        name,
        kind,
        bounds,
        default: Some(default),
        broker: &[],
        role,
        doc: "",
    }
}

impl TopicKey {
    const fn of(self, broker: &'static [(&'static str, Unit)]) -> Self {
        Self { broker, ..self }
    }

    const fn hidden(self) -> Self {
        Self { default: None, ..self }
    }

    const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    /// The key called `name`.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        let index = TOPIC_KEYS.binary_search_by(|key| key.name.cmp(name)).ok()?;
        TOPIC_KEYS.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::CompactionConfig;
    use super::super::value::parse_value;
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_a_key_is_found() {
        assert!(TOPIC_KEYS.is_sorted_by(|a, b| a.name < b.name));
        for key in TOPIC_KEYS {
            assert_eq!(TopicKey::find(key.name).map(|found| found.name), Some(key.name));
        }
        assert!(TopicKey::find("no.such.key").is_none());
    }

    #[test]
    fn kafka_shows_33_keys() {
        assert_eq!(TOPIC_KEYS.iter().filter(|key| key.default.is_some()).count(), 33);
    }

    #[test]
    fn each_default_is_allowed_and_gives_the_default_configuration() {
        let mut topic = TopicConfig {
            segment_bytes: 0,
            segment_ms: 0,
            index_interval_bytes: 0,
            max_message_bytes: 0,
            cleanup: CleanupPolicy::Keep,
            compaction: CompactionConfig {
                min_dirty_millionths: 0,
                min_lag_ms: 1,
                max_lag_ms: 0,
                delete_retention_ms: 0,
            },
            retention_ms: None,
            retention_bytes: Some(0),
            min_insync_replicas: 0,
            timestamp_type: TimestampType::LogAppendTime,
            timestamp_before_max_ms: 0,
            timestamp_after_max_ms: 0,
            compression: Some(Compression::Gzip),
            gzip_level: Level::Of(0),
            lz4_level: Level::Of(0),
            zstd_level: Level::Of(0),
            flush_messages: 0,
            flush_ms: Some(0),
        };
        for key in TOPIC_KEYS {
            let Some(default) = key.default else { continue };
            let value = parse_value(key.name, key.kind, key.bounds, default).unwrap();
            assert_eq!(value.canonical(), default, "{}", key.name);
            match key.role {
                Role::Acts(apply) => apply(&mut topic, &value),
                Role::Only(only, _) => assert_eq!(only, default),
                Role::Echoed => {}
            }
        }
        assert_eq!(topic, TopicConfig::default());
    }
}
