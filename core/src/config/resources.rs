//! The settings of groups and of subscriptions to client metrics, as `DescribeConfigs` lists them (`GroupConfig`,
//! `ClientMetricsConfigs`). Groups of the protocols that they tune and subscriptions are not there yet, so none can be
//! set, and all that is shown are defaults.

use super::broker_keys::BrokerKey;
use super::describe::{ConfigEntry, ConfigSource, ConfigSynonym, broker_entry};
use super::{BrokerConfig, ValueType};
use alloc::borrow::ToOwned;
use alloc::vec::Vec;

/// The broker's settings that groups take their defaults from. A group's own key is the name behind `group.`.
const OF_BROKER: &[&str] = &[
    "group.consumer.assignment.interval.ms",
    "group.consumer.heartbeat.interval.ms",
    "group.consumer.session.timeout.ms",
    "group.share.assignment.interval.ms",
    "group.share.delivery.count.limit",
    "group.share.heartbeat.interval.ms",
    "group.share.partition.max.record.locks",
    "group.share.record.lock.duration.ms",
    "group.share.session.timeout.ms",
    "group.streams.assignment.interval.ms",
    "group.streams.heartbeat.interval.ms",
    "group.streams.initial.rebalance.delay.ms",
    "group.streams.num.standby.replicas",
    "group.streams.session.timeout.ms",
];

/// The settings of a group that no broker's setting gives a default: name, type, default, meaning.
const OF_GROUP: &[(&str, ValueType, &str, &str)] = &[
    (
        "share.auto.offset.reset",
        ValueType::String,
        "latest",
        "Where a share group begins in a partition.",
    ),
    (
        "share.isolation.level",
        ValueType::String,
        "read_uncommitted",
        "Whether a share group gets records of transactions that did not commit.",
    ),
    (
        "share.renew.acknowledge.enable",
        ValueType::Boolean,
        "true",
        "Whether a member of a share group may hold a record for longer.",
    ),
];

const OF_CLIENT_METRICS: &[(&str, ValueType, &str, &str)] = &[
    (
        "interval.ms",
        ValueType::Int,
        "300000",
        "Milliseconds between two pushes of a client.",
    ),
    ("match", ValueType::List, "", "Which clients the subscription is for."),
    ("metrics", ValueType::List, "", "Which metrics a client pushes."),
];

/// Every setting of a group, sorted by key.
pub fn describe_group(broker: &BrokerConfig) -> Vec<ConfigEntry> {
    let of_broker = OF_BROKER.iter().filter_map(|name| BrokerKey::find(name));
    let inherited = of_broker.map(|key| ConfigEntry {
        name: key.name.trim_start_matches("group."),
        read_only: false,
        ..broker_entry(key, broker)
    });
    let own = OF_GROUP.iter().map(|row| {
        let entry = default(row);
        let synonym = ConfigSynonym {
            name: entry.name,
            value: entry.value.clone(),
            source: entry.source,
        };
        ConfigEntry {
            synonyms: Vec::from([synonym]),
            ..entry
        }
    });
    let mut entries: Vec<_> = inherited.chain(own).collect();
    entries.sort_unstable_by_key(|entry| entry.name);
    entries
}

/// Every setting of a subscription to client metrics, sorted by key.
pub fn describe_client_metrics() -> Vec<ConfigEntry> {
    OF_CLIENT_METRICS.iter().map(default).collect()
}

fn default(&(name, kind, value, documentation): &(&'static str, ValueType, &str, &'static str)) -> ConfigEntry {
    ConfigEntry {
        name,
        value: Some(value.to_owned()),
        kind,
        source: ConfigSource::Default,
        sensitive: false,
        read_only: false,
        synonyms: Vec::new(),
        documentation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn a_group_takes_its_defaults_from_the_broker() {
        let mut broker = BrokerConfig::default();
        broker
            .settings
            .insert("group.share.delivery.count.limit", String::from("7"));
        let entries = describe_group(&broker);
        assert_eq!(entries.len(), OF_BROKER.len() + OF_GROUP.len());
        assert!(entries.is_sorted_by(|a, b| a.name < b.name));
        let find = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap();
        let limit = find("share.delivery.count.limit");
        assert_eq!(
            (limit.value.as_deref(), limit.source),
            (Some("7"), ConfigSource::StaticBroker)
        );
        let sources: Vec<_> = limit.synonyms.iter().map(|it| (it.name, it.source)).collect();
        let broker_key = "group.share.delivery.count.limit";
        assert_eq!(
            sources,
            [
                (broker_key, ConfigSource::StaticBroker),
                (broker_key, ConfigSource::Default)
            ]
        );
        assert_eq!(find("consumer.session.timeout.ms").value.as_deref(), Some("45000"));
        assert_eq!(find("share.auto.offset.reset").synonyms.len(), 1);
    }

    #[test]
    fn client_metrics_have_three_settings() {
        let entries = describe_client_metrics();
        assert_eq!(
            entries.iter().map(|entry| entry.name).collect::<Vec<_>>(),
            ["interval.ms", "match", "metrics"]
        );
    }
}
