//! Settings of topics and running brokers changed, under Kafka's rules (`ConfigAdminManager`,
//! `ConfigurationControlManager`).
//!
//! Invariant: what is changed of one resource is changed together or not at all.

use super::topics::{check_policy, check_topic_name, refused};
use super::{Controller, Decided};
use crate::config::{
    TopicOverrides, accept_dynamic, check_reconfiguration, default_list_of_broker, default_list_of_topic,
};
use crate::metadata::{BrokerSettingsRecord, Change, MetadataRecord, Settings, TopicSettingsRecord};
use crate::types::{BrokerId, ErrorCode, Refusal};
use crate::wire::MAX_TEXT_BYTES;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What settings belong to (`org.apache.kafka.common.config.ConfigResource`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConfigResource {
    /// The topic of this name.
    Topic(String),
    /// The broker whose id this is; all brokers, where it is empty.
    Broker(String),
    /// A kind of resource, by its number, that has no settings here; and its name.
    Other(i8, String),
}

impl ConfigResource {
    /// Reads the number of the wire (`ConfigResource.Type`).
    pub fn from_wire(kind: i8, name: &str) -> Self {
        match kind {
            2 => Self::Topic(name.to_string()),
            4 => Self::Broker(name.to_string()),
            _ => Self::Other(kind, name.to_string()),
        }
    }
}

/// What happens to one setting (`AlterConfigOp.OpType`, KIP-339).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigOp {
    /// It gets this value.
    Set(Option<String>),
    /// It gets its default.
    Delete,
    /// These parts are added to a list.
    Append(Option<String>),
    /// These parts are taken from a list.
    Subtract(Option<String>),
    /// Nobody has defined this number.
    Unknown(i8),
}

impl ConfigOp {
    /// Reads the number of the wire; 0 to 3 are defined.
    pub fn from_wire(operation: i8, value: Option<&str>) -> Self {
        let value = value.map(ToString::to_string);
        match operation {
            0 => Self::Set(value),
            1 => Self::Delete,
            2 => Self::Append(value),
            3 => Self::Subtract(value),
            other => Self::Unknown(other),
        }
    }

    fn is_without_value(&self) -> bool {
        matches!(self, Self::Set(None) | Self::Append(None) | Self::Subtract(None))
    }
}

/// What is to happen to a resource's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigChange {
    /// These settings change, the others stay (`IncrementalAlterConfigs`).
    Incremental(Vec<(String, ConfigOp)>),
    /// These settings are all there will be (`AlterConfigs`).
    Replace(Vec<(String, Option<String>)>),
}

/// A change of one resource's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigAlteration {
    /// Whose settings.
    pub resource: ConfigResource,
    /// What becomes of them.
    pub change: ConfigChange,
}

/// What is appended to where nobody set a list of a kind of resource; `None` for what is no list.
type Lists = fn(&str) -> Option<&'static str>;

/// The kind of resource that loggers of a broker are (`ConfigResource.Type`).
const BROKER_LOGGER: i8 = 8;

impl<A> Controller<A> {
    pub(super) fn alter_configs(
        &self,
        alterations: &[ConfigAlteration],
        validate_only: bool,
        decided: &mut Decided<A>,
    ) -> Vec<Result<(), Refusal>> {
        let mut named: BTreeMap<&ConfigResource, usize> = BTreeMap::new();
        for alteration in alterations {
            *named.entry(&alteration.resource).or_default() += 1;
        }
        let mut alter = |alteration: &ConfigAlteration| {
            if named[&alteration.resource] > 1 {
                return refused(ErrorCode::InvalidRequest, "Each resource must appear at most once.");
            }
            check_keys(&alteration.change)?;
            let change = match &alteration.resource {
                ConfigResource::Topic(name) => self.alter_topic(name, &alteration.change, decided)?,
                ConfigResource::Broker(name) => self.alter_broker(name, &alteration.change, decided)?,
                // Its settings are the levels of loggers, and there is no logger that has a name.
                ConfigResource::Other(BROKER_LOGGER, name) if name.parse() == Ok(self.config.node_id.0) => {
                    return refused(ErrorCode::InvalidConfig, "There is no logger of this name.");
                }
                ConfigResource::Other(kind, _) => {
                    let text = format!("Resources of type {kind} have no settings here.");
                    return refused(ErrorCode::InvalidRequest, text);
                }
            };
            let Some(change) = change.filter(|_| !validate_only) else {
                return Ok(());
            };
            if !decided.has_room_for(&MetadataRecord::from(change.clone())) {
                let text = "The resources of one request have more settings than fit one commit.";
                return refused(ErrorCode::PolicyViolation, text);
            }
            decided.add(change);
            Ok(())
        };
        alterations.iter().map(&mut alter).collect()
    }

    fn alter_topic(&self, name: &str, change: &ConfigChange, decided: &Decided<A>) -> Result<Option<Change>, Refusal> {
        if name.is_empty() {
            return refused(
                ErrorCode::InvalidRequest,
                "Topics have no settings in common: name one.",
            );
        }
        check_topic_name(name)?;
        let topic = decided.image.topic_named(name);
        let none = Settings::new();
        let before = topic.map_or(&none, |topic| &topic.config);
        let after = changed(before, change, default_list_of_topic)?;
        let settings = after.iter().map(|(key, value)| (key.as_str(), Some(value.as_str())));
        let overrides = match TopicOverrides::parse(settings, &self.config.topic_defaults) {
            Ok((_, overrides)) => overrides,
            Err(error) => return refused(ErrorCode::InvalidConfig, error.to_string()),
        };
        check_policy(name, &overrides)?;
        let Some(topic) = topic else {
            let text = format!("The topic '{name}' does not exist.");
            return refused(ErrorCode::UnknownTopicOrPartition, text);
        };
        let config: Settings = overrides
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let topic_id = topic.id.0.0.to_vec();
        let unchanged = config == topic.config;
        let change = Change::TopicSettings(TopicSettingsRecord { topic_id, config });
        Ok((!unchanged).then_some(change))
    }

    fn alter_broker(&self, name: &str, change: &ConfigChange, decided: &Decided<A>) -> Result<Option<Change>, Refusal> {
        let node = self.config.node_id;
        let broker = match name.parse() {
            _ if name.is_empty() => None,
            Ok(id) if id == node.0 => Some(node),
            Ok(id) => {
                let text = format!(
                    "Broker {} is another; this one is {node}, or empty for all.",
                    BrokerId(id)
                );
                return refused(ErrorCode::InvalidRequest, text);
            }
            Err(_) => {
                let text = format!("The name of a broker is its id, a whole number, and not '{name}'.");
                return refused(ErrorCode::InvalidRequest, text);
            }
        };
        let after = changed(decided.image.broker_settings(broker), change, default_list_of_broker)?;
        let accept = |(key, value): (&String, &String)| match accept_dynamic(key, value) {
            Ok((key, value)) => Ok((key.to_string(), value)),
            Err(error) => refused(ErrorCode::InvalidRequest, error.to_string()),
        };
        let config: Settings = after.iter().map(accept).collect::<Result<_, _>>()?;
        let image = &decided.image;
        let settings = |of| {
            if of == broker {
                &config
            } else {
                image.broker_settings(of)
            }
        };
        let before = (self.config).with_dynamic(image.broker_settings(None), image.broker_settings(Some(node)));
        let after = self.config.with_dynamic(settings(None), settings(Some(node)));
        if let Err(error) = check_reconfiguration(&before, &after) {
            return refused(ErrorCode::InvalidRequest, error.to_string());
        }
        let unchanged = config == *image.broker_settings(broker);
        let broker = broker.map(|id| id.0);
        Ok((!unchanged).then_some(Change::BrokerSettings(BrokerSettingsRecord { broker, config })))
    }
}

/// Each key is named once, and has a value where one is needed.
fn check_keys(change: &ConfigChange) -> Result<(), Refusal> {
    let keys: Vec<(&str, bool)> = match change {
        ConfigChange::Incremental(ops) => ops
            .iter()
            .map(|(key, op)| (key.as_str(), op.is_without_value()))
            .collect(),
        ConfigChange::Replace(all) => all.iter().map(|(key, value)| (key.as_str(), value.is_none())).collect(),
    };
    let mut seen = BTreeSet::new();
    if !keys.iter().all(|&(key, _)| seen.insert(key)) {
        return refused(ErrorCode::InvalidRequest, "A key is named twice.");
    }
    let without: Vec<&str> = keys
        .iter()
        .filter(|(_, without)| *without)
        .map(|&(key, _)| key)
        .collect();
    if !without.is_empty() {
        let text = format!("These settings need a value: {}.", without.join(", "));
        return refused(ErrorCode::InvalidRequest, text);
    }
    Ok(())
}

/// The settings as they would be after the change; values are not looked at.
fn changed(before: &Settings, change: &ConfigChange, lists: Lists) -> Result<Settings, Refusal> {
    let ops = match change {
        ConfigChange::Replace(all) => {
            let given = all
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
            return Ok(given.collect());
        }
        ConfigChange::Incremental(ops) => ops,
    };
    let mut after = before.clone();
    for (key, op) in ops {
        match op {
            ConfigOp::Set(Some(value)) => drop(after.insert(key.clone(), value.clone())),
            ConfigOp::Delete => drop(after.remove(key)),
            ConfigOp::Append(Some(parts)) | ConfigOp::Subtract(Some(parts)) => {
                let Some(default) = lists(key) else {
                    let text = format!("{key}: only lists can be appended to and subtracted from.");
                    return refused(ErrorCode::InvalidConfig, text);
                };
                let list = after.get(key).map_or(default, String::as_str);
                let mut list: Vec<&str> = list.split(',').filter(|part| !part.is_empty()).collect();
                let parts = parts.split(',').map(str::trim);
                if matches!(op, ConfigOp::Append(_)) {
                    let mut there: BTreeSet<&str> = list.iter().copied().collect();
                    list.extend(parts.filter(|&part| there.insert(part)));
                } else {
                    let gone: BTreeSet<&str> = parts.collect();
                    list.retain(|part| !gone.contains(part));
                }
                let list = list.join(",");
                if list.len() > MAX_TEXT_BYTES {
                    let text = format!("{key}: a value has at most {MAX_TEXT_BYTES} bytes.");
                    return refused(ErrorCode::InvalidConfig, text);
                }
                after.insert(key.clone(), list);
            }
            ConfigOp::Unknown(number) => {
                return refused(ErrorCode::InvalidRequest, format!("There is no operation {number}."));
            }
            ConfigOp::Set(None) | ConfigOp::Append(None) | ConfigOp::Subtract(None) => {
                unreachable!("values were asked for before")
            }
        }
    }
    Ok(after)
}
