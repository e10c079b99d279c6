//! Settings of a broker that are given while it runs (KIP-226): to all brokers, or to one.
//!
//! Invariant: a setting that is accepted here acts at once, or is one that does nothing here however it is given.

use super::broker_keys::{BrokerKey, BrokerRole};
use super::overrides::accept;
use super::server::{accept_broker, broker_setting};
use super::topic_keys::{Role, TOPIC_KEYS, TopicKey};
use super::value::{ValueType, parse_value};
use super::{BrokerConfig, ConfigError};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// What may be given to a running broker besides the defaults of topics (`DynamicBrokerConfig.AllDynamicConfigs`, less
/// what concerns listeners and connections: those are set up once here).
const OTHERS: &[&str] = &[
    "background.threads",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.threads",
    "metric.reporters",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "producer.id.expiration.ms",
];

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
    match BrokerKey::find(name)?.role {
        BrokerRole::Inert(reason) => Some(reason),
        BrokerRole::Acts | BrokerRole::Only(..) => None,
    }
}

/// The setting of a running broker called `name`, and the canonical form of its value. An error for one that does not
/// exist, acts only at a start, or has a value that is not allowed: `INVALID_REQUEST` to clients, as in Kafka
/// (`ConfigAdminManager.validateBrokerConfigChange`).
pub fn accept_dynamic(name: &str, text: &str) -> Result<(&'static str, String), ConfigError> {
    let key = BrokerKey::find(name).ok_or_else(|| ConfigError::new(name, "there is no broker setting of this name"))?;
    if !is_dynamic(name) {
        let problem = "it cannot be changed while the broker runs; set it in its configuration file";
        return Err(ConfigError::new(key.name, problem));
    }
    let value = accept_broker(key, text)?.ok_or_else(|| ConfigError::new(key.name, "a value is needed"))?;
    if let Some(topic) = default_of(name) {
        accept(topic, &value.canonical()).map_err(|error| ConfigError::new(key.name, error.problem()))?;
    }
    Ok((key.name, value.canonical()))
}

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
                let value = accept_broker(BrokerKey::find(name)?, in_effect(name)?).ok()??;
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
];

#[cfg(test)]
mod tests {
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
            let key = BrokerKey::find(name).unwrap();
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
            let key = BrokerKey::find(name).unwrap();
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
        let default = BrokerKey::find(name).unwrap().default;
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
        ] {
            let error = accept_dynamic(name, value).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(says), "{error}");
        }
    }
}
