//! Settings of a broker that are given while it runs (KIP-226): to all brokers, or to one.
//!
//! Invariant: a setting that is accepted here acts at once, or is one that does nothing here however it is given.

use super::broker_keys::{BrokerKey, BrokerRole};
use super::overrides::accept;
use super::server::{accept_broker, broker_setting};
use super::topic_keys::{Role, TOPIC_KEYS, TopicKey};
use super::value::{Value, ValueType, parse_value};
use super::{BrokerConfig, ConfigError};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What may be given to a running broker besides the defaults of topics (`DynamicBrokerConfig.ALL_DYNAMIC_CONFIGS`, less
/// what concerns listeners, security and directories: those are set up once here).
const OTHERS: &[&str] = &[
    "background.threads",
    "config.providers",
    "follower.fetch.last.tiered.offset.enable",
    "follower.replication.throttled.rate",
    "group.consumer.assignment.interval.ms",
    "group.coordinator.cached.buffer.max.bytes",
    "group.share.assignment.interval.ms",
    "group.streams.assignment.interval.ms",
    "leader.replication.throttled.rate",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.threads",
    "max.connection.creation.rate",
    "max.connections",
    "max.connections.per.ip",
    "max.connections.per.ip.overrides",
    REPORTERS,
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "producer.id.expiration.ms",
    "remote.fetch.max.wait.ms",
    "remote.list.offsets.request.timeout.ms",
    "remote.log.index.file.cache.total.size.bytes",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.copy.max.bytes.per.second",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.fetch.max.bytes.per.second",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
    "replica.alter.log.dirs.io.max.bytes.per.second",
    "share.coordinator.cached.buffer.max.bytes",
    "transaction.partition.verification.enable",
];

/// Classes that a running Kafka loads as it takes the setting, or refuses it.
const REPORTERS: &str = "metric.reporters";
/// The class that Kafka has of its own.
const JMX_REPORTER: &str = "org.apache.kafka.common.metrics.JmxReporter";

/// What may at most be halved or doubled at a time (`DynamicThreadPool`, `LogCleaner`, `DynamicRemoteLogConfig`).
const THREADS: &[&str] = &[
    "background.threads",
    "log.cleaner.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
];

/// The least that Kafka's compaction has for each of its threads; it asks for more than this.
const DEDUPE_BYTES: i64 = 1 << 20;

/// The topic's setting whose default a broker's setting gives first of all: only such may be given to a running broker
/// (`DynamicLogConfig.ReconfigurableConfigs`).
fn default_of(name: &str) -> Option<&'static TopicKey> {
    let first = |key: &&TopicKey| key.broker.first().is_some_and(|&(broker, _)| broker == name);
    TOPIC_KEYS.iter().find(first)
}

/// Whether the broker's setting may be given while it runs.
pub(super) fn is_dynamic(name: &str) -> bool {
    dynamic_keys().any(|key| key == name)
}

/// Every setting of a broker that may be given while it runs.
pub fn dynamic_keys() -> impl Iterator<Item = &'static str> {
    let defaults = TOPIC_KEYS.iter().filter_map(|key| key.broker.first());
    OTHERS.iter().copied().chain(defaults.map(|&(name, _)| name))
}

/// Why the broker's setting changes nothing here, where that is so.
pub fn inert_reason(name: &str) -> Option<&'static str> {
    match BrokerKey::find_any(name)?.role {
        BrokerRole::Inert(reason) => Some(reason),
        BrokerRole::Acts | BrokerRole::Only(..) => None,
    }
}

/// The setting of a running broker called `name`, and the canonical form of its value. An error for one that does not
/// exist, acts only at a start, or has a value that is not allowed: `INVALID_REQUEST` to clients, as in Kafka
/// (`ConfigAdminManager.validateBrokerConfigChange`).
pub fn accept_dynamic(name: &str, text: &str) -> Result<(&'static str, String), ConfigError> {
    let key =
        BrokerKey::find_any(name).ok_or_else(|| ConfigError::new(name, "there is no broker setting of this name"))?;
    if !is_dynamic(name) {
        let problem = "it cannot be changed while the broker runs; set it in its configuration file";
        return Err(ConfigError::new(key.name, problem));
    }
    let value = accept_broker(key, text)?.ok_or_else(|| ConfigError::new(key.name, "a value is needed"))?;
    if let Some(topic) = default_of(name) {
        accept(topic, &value.canonical()).map_err(|error| ConfigError::new(key.name, error.problem()))?;
    }
    if let Value::List(classes) = &value
        && name == REPORTERS
        && classes.iter().any(|class| class != JMX_REPORTER)
    {
        return Err(ConfigError::new(REPORTERS, "a Java class cannot run in this broker"));
    }
    Ok((key.name, value.canonical()))
}

/// Refuses a change of the settings of a running broker that Kafka refuses for what they are together, or for what they
/// were before (`DynamicBrokerConfig`, `KafkaConfig.validateValues`), though none is wrong by itself.
pub fn check_reconfiguration(before: &BrokerConfig, after: &BrokerConfig) -> Result<(), ConfigError> {
    let whole =
        |config: &BrokerConfig, name: &str| -> Option<i64> { BrokerKey::find(name)?.in_effect(config)?.parse().ok() };
    for name in THREADS {
        let (Some(was), Some(becomes)) = (whole(before, name), whole(after, name)) else {
            continue;
        };
        if becomes != was && (becomes < 1 || becomes < was / 2 || becomes > was * 2) {
            let problem = format!("it is {was}, and may at most be halved or doubled at a time, not become {becomes}");
            return Err(ConfigError::new(name, problem));
        }
    }
    if after.connections != before.connections {
        after.connections.check()?;
    }
    let buffer = |config| {
        let bytes = whole(config, "log.cleaner.dedupe.buffer.size").unwrap_or(i64::MAX);
        bytes / whole(config, "log.cleaner.threads").unwrap_or(1).max(1)
    };
    if buffer(after) != buffer(before) && buffer(after) <= DEDUPE_BYTES {
        let problem = format!("more than {DEDUPE_BYTES} bytes are needed for each of log.cleaner.threads");
        return Err(ConfigError::new("log.cleaner.dedupe.buffer.size", problem));
    }
    for (name, limits) in [
        ("log.local.retention.ms", &RETENTION_MS[..]),
        ("log.local.retention.bytes", &[("log.retention.bytes", 1)]),
    ] {
        // The first that was given counts, and otherwise the only one that has a default.
        let limit = |config| {
            let limit = limits
                .iter()
                .find_map(|&(name, factor)| Some((whole(config, name)?, factor)));
            limit.map_or(-1, |(limit, factor)| limit.saturating_mul(factor).max(-1))
        };
        let both = |config| (whole(config, name).unwrap_or(-2), limit(config));
        let (local, limit) = both(after);
        if both(after) != both(before) && limit >= 0 && local != -2 && (local == -1 || local > limit) {
            let problem = format!("{local} is more than {limit}, which is kept in all");
            return Err(ConfigError::new(name, problem));
        }
    }
    Ok(())
}

/// What gives the default of `retention.ms`, and how many milliseconds each of its units has.
const RETENTION_MS: [(&str, i64); 3] = [
    ("log.retention.ms", 1),
    ("log.retention.minutes", 60_000),
    ("log.retention.hours", 3_600_000),
];

/// The default of a setting of a topic, or of a broker, if it is a list: what is appended to where nobody set it.
pub fn default_list_of_topic(name: &str) -> Option<&'static str> {
    let key = TopicKey::find(name).filter(|key| key.kind == ValueType::List)?;
    Some(key.default.unwrap_or_default())
}

/// As [`default_list_of_topic`], of a broker.
pub fn default_list_of_broker(name: &str) -> Option<&'static str> {
    let key = BrokerKey::find(name).filter(|key| key.kind == ValueType::List)?;
    Some(key.default.unwrap_or_default())
}

impl BrokerConfig {
    /// These settings of a start, overlaid with what was given to all running brokers, and that with what was given to
    /// this one. What a newer version accepted and this one does not know is left out.
    #[must_use]
    pub fn with_dynamic(&self, shared: &BTreeMap<String, String>, own: &BTreeMap<String, String>) -> Self {
        let read = |given: &BTreeMap<String, String>| -> BTreeMap<&'static str, String> {
            let accepted = given.iter().filter_map(|(name, text)| accept_dynamic(name, text).ok());
            accepted.collect()
        };
        let mut config = Self {
            dynamic_defaults: read(shared),
            dynamic: read(own),
            ..self.clone()
        };
        let in_effect = |name: &str| config.dynamic.get(name).or(config.dynamic_defaults.get(name));
        let mut topic_defaults = config.topic_defaults.clone();
        for key in TOPIC_KEYS {
            let Role::Acts(act) = key.role else { continue };
            let Some(text) = key.broker.first().and_then(|&(name, _)| in_effect(name)) else {
                continue;
            };
            if let Ok(value) = parse_value(key.name, key.kind, key.bounds, text) {
                act(&mut topic_defaults, &value);
            }
        }
        let others: Vec<_> = OTHERS
            .iter()
            .filter_map(|&name| {
                let value = accept_broker(BrokerKey::find_any(name)?, in_effect(name)?).ok()??;
                Some((name, value))
            })
            .collect();
        for (name, value) in others {
            broker_setting(&mut config, name, &value);
        }
        config.topic_defaults = topic_defaults;
        config
    }
}

/// Values of which every setting takes one that is not its default.
#[cfg(test)]
pub(crate) const OTHER_VALUES: &[&str] = &[
    "2097153",
    "7",
    "0.25",
    "compact",
    "gzip",
    "LogAppendTime",
    "true",
    "any",
    "2",
    "false",
    "127.0.0.1:5",
    "org.apache.kafka.common.metrics.JmxReporter",
];

#[cfg(test)]
mod tests {
    use super::super::describe_broker;
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::string::ToString;

    fn given(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = settings
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        owned.collect()
    }

    #[test]
    fn every_setting_that_may_be_given_exists_and_takes_its_default() {
        for name in dynamic_keys() {
            let key = BrokerKey::find_any(name).unwrap();
            if let Some(default) = key.default {
                let (accepted, value) = accept_dynamic(name, default).unwrap();
                assert_eq!(
                    (accepted, accept_dynamic(name, &value)),
                    (key.name, Ok((key.name, value.clone())))
                );
            }
        }
    }

    #[test]
    fn what_one_broker_is_given_goes_before_what_all_are_and_that_before_its_start() {
        let start = BrokerConfig::default();
        let shared = given(&[("log.retention.ms", "5"), ("message.max.bytes", "100")]);
        let own = given(&[("message.max.bytes", "200"), ("producer.id.expiration.ms", "7")]);
        let config = start.with_dynamic(&shared, &own);
        assert_eq!(config.topic_defaults.retention_ms, Some(5));
        assert_eq!(config.topic_defaults.max_message_bytes, 200);
        assert_eq!(config.producer_id_expiration_ms, 7);
        assert_eq!(config.topic_defaults.segment_ms, start.topic_defaults.segment_ms);
        assert_eq!(start.with_dynamic(&given(&[]), &given(&[])), start);
    }

    #[test]
    fn every_setting_that_may_be_given_acts_or_is_known_to_do_nothing() {
        let start = BrokerConfig::default();
        let acting = |config: &BrokerConfig| BrokerConfig {
            dynamic: BTreeMap::new(),
            dynamic_defaults: BTreeMap::new(),
            ..config.clone()
        };
        for name in dynamic_keys() {
            let key = BrokerKey::find_any(name).unwrap();
            if matches!(key.role, BrokerRole::Only(..)) {
                continue;
            }
            let value = other_value(name);
            for (shared, own) in [
                (given(&[(name, value)]), given(&[])),
                (given(&[]), given(&[(name, value)])),
            ] {
                let config = start.with_dynamic(&shared, &own);
                let changes = acting(&config) != start;
                assert_eq!(changes, inert_reason(name).is_none(), "{name}={value}");
            }
        }
    }

    /// A value that the setting takes and that is not its default.
    fn other_value(name: &str) -> &'static str {
        let default = BrokerKey::find_any(name).unwrap().default;
        let other = |text: &&&str| accept_dynamic(name, text).is_ok_and(|(_, value)| Some(&*value) != default);
        OTHER_VALUES.iter().find(other).expect(name)
    }

    #[test]
    fn what_acts_only_at_a_start_or_is_wrong_is_refused_by_name() {
        for (name, value, says) in [
            ("num.partitions", "3", "configuration file"),
            ("log.retention.hours", "3", "configuration file"),
            ("no.such.key", "3", "no broker setting"),
            ("message.max.bytes", "many", "whole number"),
            ("log.retention.ms", "-7", "allowed"),
            ("metric.reporters", "org.example.Reporter", "Java class"),
            ("num.io.threads", "0", "at least 1"),
            ("leader.replication.throttled.rate", "-1", "at least 0"),
            ("max.connections.per.ip.overrides", "localhost:5", "without host names"),
            ("cordoned.log.dirs", "/data", "configuration file"),
        ] {
            let error = accept_dynamic(name, value).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(says), "{error}");
        }
    }

    #[test]
    fn what_kafka_refuses_for_what_was_or_is_besides_is_refused() {
        let start = |settings: &[(&'static str, &str)]| BrokerConfig {
            settings: settings.iter().map(|&(name, value)| (name, value.to_owned())).collect(),
            ..BrokerConfig::default()
        };
        let check = |start: &BrokerConfig, before: &[(&str, &str)], after: &[(&str, &str)]| {
            let (before, after) = (given(before), given(after));
            let none = given(&[]);
            check_reconfiguration(&start.with_dynamic(&none, &before), &start.with_dynamic(&none, &after))
        };
        let plain = start(&[]);
        for name in THREADS {
            let was: i64 = BrokerKey::find(name).unwrap().default.unwrap().parse().unwrap();
            for (becomes, taken) in [
                (was * 2, true),
                (was * 2 + 1, false),
                ((was / 2).max(1), true),
                (was / 2 - 1, false),
            ] {
                let result = check(&plain, &[], &[(name, &becomes.to_string())]);
                assert_eq!(result.is_ok(), taken || becomes < 1, "{name}: {was} to {becomes}");
            }
        }
        // What is given counts, whoever gave it.
        let many = start(&[("num.io.threads", "64")]);
        assert!(check(&many, &[("num.io.threads", "32")], &[("num.io.threads", "16")]).is_ok());
        assert!(check(&many, &[("num.io.threads", "16")], &[]).is_err());
        let buffer = "log.cleaner.dedupe.buffer.size";
        assert!(check(&plain, &[], &[(buffer, "1048576")]).is_err());
        assert!(check(&plain, &[], &[(buffer, "2097152")]).is_ok());
        assert!(
            check(
                &plain,
                &[(buffer, "2097152")],
                &[(buffer, "2097152"), ("log.cleaner.threads", "2")]
            )
            .is_err()
        );
        let (bound, overrides) = ("max.connections.per.ip", "max.connections.per.ip.overrides");
        assert!(check(&plain, &[], &[(bound, "0")]).is_err());
        assert!(check(&plain, &[], &[(bound, "0"), (overrides, "127.0.0.1:5")]).is_ok());
        // What a start was given is not what the change is about.
        let small = start(&[(buffer, "1000")]);
        assert!(check(&small, &[], &[("log.retention.ms", "5")]).is_ok());
        for (local, limit) in [
            ("log.local.retention.ms", "log.retention.ms"),
            ("log.local.retention.bytes", "log.retention.bytes"),
        ] {
            assert!(check(&plain, &[], &[(local, "5"), (limit, "5")]).is_ok());
            assert!(check(&plain, &[], &[(local, "6"), (limit, "5")]).is_err());
            assert!(check(&plain, &[], &[(local, "-1"), (limit, "5")]).is_err());
            assert!(check(&plain, &[], &[(local, "-2"), (limit, "5")]).is_ok());
            assert!(check(&plain, &[], &[(local, "6"), (limit, "-1")]).is_ok());
        }
        assert!(check(&plain, &[], &[("log.local.retention.ms", "604800000")]).is_ok());
        assert!(check(&plain, &[], &[("log.local.retention.ms", "604800001")]).is_err());
    }

    #[test]
    fn rates_of_replication_are_shown_once_they_are_given() {
        let name = "leader.replication.throttled.rate";
        let shown = |config: &BrokerConfig| {
            let entries = describe_broker(config);
            assert!(entries.is_sorted_by(|a, b| a.name < b.name));
            entries
                .into_iter()
                .find(|entry| entry.name == name)
                .map(|entry| entry.value)
        };
        let start = BrokerConfig::default();
        assert_eq!(shown(&start), None);
        let throttled = start.with_dynamic(&given(&[]), &given(&[(name, "700")]));
        assert_eq!(shown(&throttled), Some(Some("700".to_owned())));
    }
}
