//! Settings of a broker that are given while it runs (KIP-226): to all brokers, or to one.
//!
//! Invariant: a setting that is accepted here acts at once, or is one that does nothing here however it is given.

use super::broker_keys::BrokerKey;
use super::overrides::accept;
use super::server::accept_broker;
use super::topic_keys::{Role, TOPIC_KEYS, TopicKey};
use super::value::{ValueType, parse_value};
use super::{BrokerConfig, ConfigError};
use alloc::collections::BTreeMap;
use alloc::string::String;

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
    PRODUCER_EXPIRATION,
];
const PRODUCER_EXPIRATION: &str = "producer.id.expiration.ms";

/// The topic's setting whose default a broker's setting gives first of all: only such may be given to a running broker
/// (`DynamicLogConfig.ReconfigurableConfigs`).
fn default_of(name: &str) -> Option<&'static TopicKey> {
    let first = |key: &&TopicKey| key.broker.first().is_some_and(|&(broker, _)| broker == name);
    TOPIC_KEYS.iter().find(first)
}

/// Whether the broker's setting may be given while it runs.
pub(super) fn is_dynamic(name: &str) -> bool {
    OTHERS.contains(&name) || default_of(name).is_some()
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
        let expiration = in_effect(PRODUCER_EXPIRATION).and_then(|text| text.parse().ok());
        config.producer_id_expiration_ms = expiration.unwrap_or(config.producer_id_expiration_ms);
        config.topic_defaults = topic_defaults;
        config
    }
}

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
        let names = TOPIC_KEYS.iter().filter_map(|key| key.broker.first());
        for name in names.map(|&(name, _)| name).chain(OTHERS.iter().copied()) {
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
    fn what_acts_only_at_a_start_or_is_wrong_is_refused_by_name() {
        for (name, value, says) in [
            ("num.partitions", "3", "configuration file"),
            ("log.retention.hours", "3", "configuration file"),
            ("no.such.key", "3", "no broker setting"),
            ("message.max.bytes", "many", "whole number"),
            ("log.retention.ms", "-7", "allowed"),
            ("unclean.leader.election.enable", "true", "not available"),
        ] {
            let error = accept_dynamic(name, value).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(says), "{error}");
        }
    }
}
