//! Which settings a running broker takes, with which values, and the settings of topics that only clusters need.

use super::Scenario;
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("configs running/what is taken", taken),
    ("configs running/described", described),
    ("configs running/one after the other", steps),
    ("configs running/unclean elections", unclean),
];

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Settings that Kafka takes while it runs, each with values in reach and out of it.
const SETTINGS: &[(&str, &[&str])] = &[
    ("background.threads", &["5", "20", "4", "21", "0"]),
    ("compression.lz4.level", &["1", "17", "0", "18"]),
    ("config.providers", &[""]),
    ("follower.fetch.last.tiered.offset.enable", &["true", "perhaps"]),
    ("follower.replication.throttled.rate", &["0", "1000", "-1", "fast"]),
    ("group.consumer.assignment.interval.ms", &["2000", "-1"]),
    ("group.coordinator.cached.buffer.max.bytes", &["524288", "524287"]),
    ("group.share.assignment.interval.ms", &["2000", "-1"]),
    ("group.streams.assignment.interval.ms", &["2000", "-1"]),
    ("leader.replication.throttled.rate", &["0", "1000", "-1"]),
    ("log.cleaner.backoff.ms", &["0", "-1"]),
    (
        "log.cleaner.dedupe.buffer.size",
        &["2097152", "1048577", "1048576", "0", "-1"],
    ),
    ("log.cleaner.io.buffer.load.factor", &["0.5", "much"]),
    ("log.cleaner.io.buffer.size", &["1000", "-1"]),
    ("log.cleaner.io.max.bytes.per.second", &["1000"]),
    ("log.cleaner.threads", &["2", "3", "0", "-1"]),
    ("log.index.size.max.bytes", &["4", "3"]),
    ("log.local.retention.bytes", &["-2", "5", "-3"]),
    (
        "log.local.retention.ms",
        &["-2", "5", "604800000", "604800001", "-1", "-3"],
    ),
    ("log.segment.delete.delay.ms", &["0", "-1"]),
    ("max.connection.creation.rate", &["1000", "-1"]),
    ("max.connections", &["1000", "-1"]),
    ("max.connections.per.ip", &["1000", "0", "-1"]),
    (
        "max.connections.per.ip.overrides",
        &["127.0.0.1:1000,::1:1000", "", "127.0.0.1", "127.0.0.1:many"],
    ),
    (
        "metric.reporters",
        &[
            "",
            "org.apache.kafka.common.metrics.JmxReporter",
            "org.example.NoSuchClass",
        ],
    ),
    ("num.io.threads", &["4", "16", "3", "17", "0"]),
    ("num.network.threads", &["2", "6", "7", "0"]),
    ("num.recovery.threads.per.data.dir", &["1", "4", "5", "0"]),
    ("num.replica.fetchers", &["2", "3", "0"]),
    ("producer.id.expiration.ms", &["1000", "0"]),
    ("remote.fetch.max.wait.ms", &["1", "0"]),
    ("remote.list.offsets.request.timeout.ms", &["1", "0"]),
    ("remote.log.index.file.cache.total.size.bytes", &["1", "0"]),
    ("remote.log.manager.copier.thread.pool.size", &["5", "20", "4", "21"]),
    ("remote.log.manager.copy.max.bytes.per.second", &["1000", "0"]),
    (
        "remote.log.manager.expiration.thread.pool.size",
        &["5", "20", "4", "21"],
    ),
    ("remote.log.manager.fetch.max.bytes.per.second", &["1000", "0"]),
    ("remote.log.manager.follower.thread.pool.size", &["1", "4", "5", "0"]),
    ("remote.log.reader.threads", &["5", "20", "4", "21"]),
    ("replica.alter.log.dirs.io.max.bytes.per.second", &["1000", "-1"]),
    ("share.coordinator.cached.buffer.max.bytes", &["524288", "524287"]),
    ("transaction.partition.verification.enable", &["false", "perhaps"]),
    ("unclean.leader.election.enable", &["true", "false", "perhaps"]),
    // What differs, and why, is in the list of differences.
    ("cordoned.log.dirs", &["/no/such/directory"]),
    ("listener.name.plaintext.max.connections", &["1000"]),
    ("max.connections", &["0"]),
    ("max.connections.per.ip.overrides", &["localhost:1000"]),
    ("min.insync.replicas", &["2"]),
    ("principal.builder.class", &["org.example.NoSuchClass"]),
];

fn incremental(kind: i8, name: &str, (setting, operation, value): (&str, i8, Option<&str>), only: bool) -> Json {
    let config = json!({ "name": setting, "config_operation": operation, "value": value });
    let resource = json!({ "resource_type": kind, "resource_name": name, "configs": [config] });
    json!({ "resources": [resource], "validate_only": only })
}

fn taken(peer: &mut Peer) {
    for name in ["1", ""] {
        for (setting, values) in SETTINGS {
            for value in *values {
                peer.note(format!("{name:?}: {setting}={value}"));
                let change = incremental(BROKER, name, (setting, SET, Some(value)), true);
                peer.ask("IncrementalAlterConfigs", 1, &change);
            }
        }
        peer.note(format!("{name:?}: nobody but some addresses may connect"));
        let config = |name: &str, value: &str| json!({ "name": name, "config_operation": SET, "value": value });
        let configs = [
            config("max.connections.per.ip", "0"),
            config("max.connections.per.ip.overrides", "127.0.0.1:1000"),
        ];
        let resource = json!({ "resource_type": BROKER, "resource_name": name, "configs": configs });
        let change = json!({ "resources": [resource], "validate_only": true });
        peer.ask("IncrementalAlterConfigs", 1, &change);
    }
}

/// Waits until a setting of the broker has a value, and tells what the broker says of it.
fn reached(peer: &mut Peer, setting: &str, value: Option<&str>) {
    let asked = json!({ "resources": [{ "resource_type": BROKER, "resource_name": "1",
                        "configuration_keys": [setting] }], "include_synonyms": true });
    peer.settle("the change of a setting", |peer| {
        let told = peer.quiet("DescribeConfigs", 4, &asked);
        let configs = told["results"][0]["configs"].as_array().cloned().unwrap_or_default();
        let source = configs
            .first()
            .map_or(Json::Null, |config| config["config_source"].clone());
        (source == json!(2)) == value.is_some()
            && configs
                .iter()
                .all(|config| value.is_none_or(|value| config["value"] == value || config["value"].is_null()))
    });
    peer.ask("DescribeConfigs", 4, &asked);
}

fn described(peer: &mut Peer) {
    for (setting, value) in [
        ("leader.replication.throttled.rate", "1000"),
        ("max.connection.creation.rate", "100000"),
        ("max.connections", "5000"),
        ("max.connections.per.ip", "4000"),
        ("max.connections.per.ip.overrides", "127.0.0.1:3000"),
        ("remote.log.manager.copy.max.bytes.per.second", "1000"),
        ("transaction.partition.verification.enable", "false"),
        ("unclean.leader.election.enable", "true"),
    ] {
        peer.note(setting);
        let set = incremental(BROKER, "1", (setting, SET, Some(value)), false);
        peer.ask("IncrementalAlterConfigs", 1, &set);
        reached(peer, setting, Some(value));
        let delete = incremental(BROKER, "1", (setting, DELETE, None), false);
        peer.ask("IncrementalAlterConfigs", 1, &delete);
        reached(peer, setting, None);
    }
}

/// How far a number may go depends on what it is.
fn steps(peer: &mut Peer) {
    const THREADS: &str = "num.io.threads";
    for (operation, value, comes_to) in [
        (SET, Some("16"), Some("16")),
        (SET, Some("33"), Some("16")),
        (SET, Some("20"), Some("20")),
        (DELETE, None, Some("20")),
        (SET, Some("10"), Some("10")),
        (DELETE, None, None),
    ] {
        peer.note(format!("{operation} {value:?}"));
        let change = incremental(BROKER, "1", (THREADS, operation, value), false);
        peer.ask("IncrementalAlterConfigs", 1, &change);
        reached(peer, THREADS, comes_to);
    }
}

fn unclean(peer: &mut Peer) {
    const SETTING: &str = "unclean.leader.election.enable";
    for version in versions("CreateTopics") {
        let name = peer.name(&version.to_string());
        let topic = json!({ "name": name, "num_partitions": 1, "replication_factor": 1, "assignments": [],
                            "configs": [{ "name": SETTING, "value": "true" }] });
        let asked = json!({ "topics": [topic], "timeout_ms": 10_000, "validate_only": false });
        peer.ask("CreateTopics", version, &asked);
    }
    let topic = peer.topic("plain", 1, &[]);
    for (value, source) in [("true", 1), ("false", 1)] {
        let change = incremental(TOPIC, &topic, (SETTING, SET, Some(value)), false);
        peer.ask("IncrementalAlterConfigs", 1, &change);
        let asked = json!({ "resources": [{ "resource_type": TOPIC, "resource_name": topic,
                            "configuration_keys": [SETTING] }], "include_synonyms": true });
        peer.settle("the change of a setting", |peer| {
            let told = peer.quiet("DescribeConfigs", 4, &asked);
            let config = &told["results"][0]["configs"][0];
            config["value"] == value && config["config_source"] == source
        });
        peer.ask("DescribeConfigs", 4, &asked);
    }
}
