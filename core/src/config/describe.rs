//! Settings as DescribeConfigs lists them: every key with value, type, source and synonyms.

use super::broker_inert::THROTTLE_KEYS;
use super::broker_keys::{BrokerKey, BrokerRole};
use super::broker_protection::{self, PROTECTION_KEYS, ProtectionKey};
use super::dynamic::is_dynamic;
use super::topic_keys::{Role, TOPIC_KEYS, TopicKey, Unit};
use super::value::ValueType;
use super::{BrokerConfig, TopicOverrides};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Where a value comes from, by Kafka's `DescribeConfigsResponse.ConfigSource`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConfigSource {
    /// The topic's own setting.
    DynamicTopic,
    /// What the running broker was given.
    DynamicBroker,
    /// What all running brokers were given.
    DynamicDefaultBroker,
    /// The broker's start: its file or command line.
    StaticBroker,
    /// Nobody said anything.
    Default,
}

impl ConfigSource {
    /// The number on the wire.
    pub const fn id(self) -> i8 {
        match self {
            Self::DynamicTopic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicDefaultBroker => 3,
            Self::StaticBroker => 4,
            Self::Default => 5,
        }
    }
}

/// Another place that gives, or would give, a setting its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigSynonym {
    /// The key there.
    pub name: &'static str,
    /// The value there.
    pub value: Option<String>,
    /// The place.
    pub source: ConfigSource,
}

/// One setting as DescribeConfigs shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigEntry {
    /// The key.
    pub name: &'static str,
    /// The value in effect; `None` where there is none.
    pub value: Option<String>,
    /// Its type.
    pub kind: ValueType,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether the value is a secret. None that is can be given yet.
    pub sensitive: bool,
    /// Whether it can only be set at the broker's start.
    pub read_only: bool,
    /// Where the value comes from and would come from otherwise, the one in effect first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What the setting does.
    pub documentation: &'static str,
}

/// Every setting of a topic, sorted by key.
pub fn describe_topic(overrides: &TopicOverrides, broker: &BrokerConfig) -> Vec<ConfigEntry> {
    TOPIC_KEYS
        .iter()
        .filter(|key| key.default.is_some() || overrides.get(key.name).is_some())
        .map(|key| topic_entry(key, overrides, broker))
        .collect()
}

fn topic_entry(key: &'static TopicKey, overrides: &TopicOverrides, broker: &BrokerConfig) -> ConfigEntry {
    let mut synonyms = Vec::new();
    let mut in_effect = None;
    if let Some(value) = overrides.get(key.name) {
        in_effect = Some((value.to_owned(), ConfigSource::DynamicTopic));
        let value = Some(value.to_owned());
        synonyms.push(ConfigSynonym {
            name: key.name,
            value,
            source: ConfigSource::DynamicTopic,
        });
    }
    // Where only one value is accepted, a broker's setting is inert and gives no default.
    let inherits = !matches!(key.role, Role::Only(..));
    for (settings, source) in given(broker) {
        for &(name, unit) in key.broker.iter().filter(|_| inherits) {
            if let Some(value) = settings.get(name) {
                in_effect.get_or_insert_with(|| (in_topic_unit(value, unit), source));
            }
        }
    }
    if let Some(of_broker) = key.broker.first().and_then(|&(name, _)| BrokerKey::find(name)) {
        let of_broker = broker_synonyms(of_broker, broker).into_iter();
        synonyms.extend(of_broker.filter(|it| inherits || it.source == ConfigSource::Default));
    }
    let default = key.default.unwrap_or_default();
    let (value, source) = in_effect.unwrap_or_else(|| (default.to_owned(), ConfigSource::Default));
    ConfigEntry {
        name: key.name,
        value: Some(value),
        kind: key.kind,
        source,
        sensitive: false,
        read_only: false,
        synonyms,
        documentation: key.doc,
    }
}

/// A broker's value, in the unit of the topic's key.
fn in_topic_unit(value: &str, unit: Unit) -> String {
    match value.parse::<i64>() {
        Ok(number) if number >= 0 => number.saturating_mul(unit.factor()).to_string(),
        // Below zero is 'no bound', whatever the unit.
        Ok(_) => "-1".to_owned(),
        Err(_) => value.to_owned(),
    }
}

/// What a broker was given, the last word first.
fn given(broker: &BrokerConfig) -> [(&BTreeMap<&'static str, String>, ConfigSource); 3] {
    [
        (&broker.dynamic, ConfigSource::DynamicBroker),
        (&broker.dynamic_defaults, ConfigSource::DynamicDefaultBroker),
        (&broker.settings, ConfigSource::StaticBroker),
    ]
}

/// The settings that give a broker's setting its value: itself, and others in other units
/// (`DynamicBrokerConfig.brokerConfigSynonyms`).
fn units_of(key: &'static BrokerKey) -> &'static [&'static str] {
    const ROLL: &[&str] = &["log.roll.ms", "log.roll.hours"];
    const JITTER: &[&str] = &["log.roll.jitter.ms", "log.roll.jitter.hours"];
    const RETENTION: &[&str] = &["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
    const FLUSH: &[&str] = &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"];
    let all = [ROLL, JITTER, RETENTION];
    let units = all.into_iter().find(|units| units.contains(&key.name));
    let units = units.or_else(|| (key.name == FLUSH[0]).then_some(FLUSH));
    units.unwrap_or(core::slice::from_ref(&key.name))
}

/// Where the value of a broker's setting comes from, the last word first. What stands before the setting's own name is
/// not told (`ConfigHelper.configSynonyms`), but for what somebody has given where that is all there is.
fn broker_synonyms(key: &'static BrokerKey, broker: &BrokerConfig) -> Vec<ConfigSynonym> {
    let synonym = |name, value: &str, source| ConfigSynonym {
        name,
        value: Some(value.to_owned()),
        source,
    };
    let mut all: Vec<ConfigSynonym> = Vec::new();
    for (settings, source) in given(broker) {
        let values = units_of(key)
            .iter()
            .filter_map(|&name| Some((name, settings.get(name)?)));
        all.extend(values.map(|(name, value)| synonym(name, value, source)));
    }
    let defaults = units_of(key).iter().filter_map(|name| BrokerKey::find_any(name));
    all.extend(defaults.filter_map(|key| Some(synonym(key.name, key.default?, ConfigSource::Default))));
    match all.iter().position(|synonym| synonym.name == key.name) {
        Some(own) => drop(all.drain(..own)),
        None => all.retain(|synonym| synonym.source != ConfigSource::Default),
    }
    all
}

/// Every setting of the broker, sorted by key.
pub fn describe_broker(broker: &BrokerConfig) -> Vec<ConfigEntry> {
    let mut entries: Vec<ConfigEntry> = BrokerKey::all().map(|key| broker_entry(key, broker)).collect();
    let is_given = |key: &&BrokerKey| {
        given(broker)
            .iter()
            .any(|(settings, _)| settings.contains_key(key.name))
    };
    entries.extend(
        THROTTLE_KEYS
            .iter()
            .filter(is_given)
            .map(|key| broker_entry(key, broker)),
    );
    entries.extend(PROTECTION_KEYS.iter().map(protection_entry));
    entries.sort_unstable_by_key(|entry| entry.name);
    entries
}

/// One setting of the broker.
pub(super) fn broker_entry(key: &'static BrokerKey, broker: &BrokerConfig) -> ConfigEntry {
    let synonyms = broker_synonyms(key, broker);
    let in_effect = synonyms.first().filter(|synonym| synonym.name == key.name);
    ConfigEntry {
        name: key.name,
        kind: key.kind,
        source: in_effect.map_or(ConfigSource::Default, |synonym| synonym.source),
        value: in_effect.and_then(|synonym| synonym.value.clone()),
        sensitive: false,
        read_only: !is_dynamic(key.name),
        documentation: match key.role {
            BrokerRole::Only(_, reason) if key.doc.is_empty() => reason,
            _ => key.doc,
        },
        synonyms,
    }
}

fn protection_entry(key: &'static ProtectionKey) -> ConfigEntry {
    let default = key.default.map(|value| ConfigSynonym {
        name: key.name,
        value: Some(value.to_owned()),
        source: ConfigSource::Default,
    });
    ConfigEntry {
        name: key.name,
        value: key.default.map(ToOwned::to_owned),
        kind: key.kind,
        source: ConfigSource::Default,
        sensitive: key.kind == ValueType::Password,
        read_only: true,
        synonyms: default.into_iter().collect(),
        documentation: broker_protection::DOC,
    }
}

/// The settings that all running brokers were given, sorted by key (`ConfigHelper.describeConfigs`).
pub fn describe_broker_defaults(broker: &BrokerConfig) -> Vec<ConfigEntry> {
    let source = ConfigSource::DynamicDefaultBroker;
    let mut entries = describe_broker(broker);
    entries.retain_mut(|entry| {
        entry.synonyms.retain(|synonym| synonym.source == source);
        entry.source = source;
        entry.value = entry.synonyms.first().and_then(|synonym| synonym.value.clone());
        entry.value.is_some()
    });
    entries
}
