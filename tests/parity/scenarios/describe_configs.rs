//! `DescribeConfigs`: topics and brokers, all settings and some, and resources that are not there.

use super::Scenario;
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("describe_configs/topics", topics),
    ("describe_configs/the broker", broker),
    ("describe_configs/some settings", some),
    ("describe_configs/what is not there", not_there),
];

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn of(kind: i8, name: &str, keys: &Json) -> Json {
    json!({ "resources": [{ "resource_type": kind, "resource_name": name, "configuration_keys": keys }] })
}

fn topics(peer: &mut Peer) {
    let plain = peer.topic("plain", 1, &[]);
    let set = peer.topic(
        "set",
        1,
        &[
            ("retention.ms", "1000"),
            ("segment.bytes", "1048576"),
            ("message.timestamp.type", "LogAppendTime"),
        ],
    );
    for version in versions("DescribeConfigs") {
        for (note, topic) in [("all defaults", &plain), ("some set", &set)] {
            for synonyms in [false, true] {
                peer.note(format!("{note}, synonyms {synonyms}"));
                let mut asked = of(TOPIC, topic, &Json::Null);
                asked["include_synonyms"] = json!(synonyms);
                asked["include_documentation"] = json!(synonyms);
                peer.ask("DescribeConfigs", version, &asked);
            }
        }
    }
}

fn broker(peer: &mut Peer) {
    for version in versions("DescribeConfigs") {
        for (note, name) in [("broker 1", "1"), ("all brokers", "")] {
            for synonyms in [false, true] {
                peer.note(format!("{note}, synonyms {synonyms}"));
                let mut asked = of(BROKER, name, &Json::Null);
                asked["include_synonyms"] = json!(synonyms);
                peer.ask("DescribeConfigs", version, &asked);
            }
        }
    }
}

fn some(peer: &mut Peer) {
    let topic = peer.topic("some", 1, &[("retention.ms", "1000")]);
    for version in versions("DescribeConfigs") {
        for (note, keys) in [
            ("two", json!(["retention.ms", "cleanup.policy"])),
            ("none", json!([])),
            ("one twice", json!(["retention.ms", "retention.ms"])),
            ("an unknown one", json!(["no.such.setting", "retention.ms"])),
            ("a broker's", json!(["log.retention.ms"])),
        ] {
            peer.note(note);
            peer.ask("DescribeConfigs", version, &of(TOPIC, &topic, &keys));
        }
        peer.note("two resources");
        let resource = |kind: i8, name: &str, key: &str| json!({ "resource_type": kind, "resource_name": name, "configuration_keys": [key] });
        let two = json!({ "resources": [resource(TOPIC, &topic, "retention.ms"), resource(BROKER, "1", "message.max.bytes")] });
        peer.ask("DescribeConfigs", version, &two);
        peer.note("a resource twice");
        let twice = json!({ "resources": [resource(TOPIC, &topic, "retention.ms"), resource(TOPIC, &topic, "cleanup.policy")] });
        peer.ask("DescribeConfigs", version, &twice);
    }
}

fn not_there(peer: &mut Peer) {
    for version in versions("DescribeConfigs") {
        peer.note("no resource");
        peer.ask("DescribeConfigs", version, &json!({ "resources": [] }));
        for (kind, name) in [
            (TOPIC, "never-created"),
            (TOPIC, ""),
            (TOPIC, "a b"),
            (BROKER, "2"),
            (BROKER, "-1"),
            (BROKER, "one"),
            (8, "1"),
            (16, "metrics"),
            (32, "group"),
            (0, "x"),
            (1, "x"),
            (3, "x"),
            (127, "x"),
            (-1, "x"),
        ] {
            peer.note(format!("resource {kind} {name:?}"));
            peer.ask("DescribeConfigs", version, &of(kind, name, &Json::Null));
        }
    }
}
