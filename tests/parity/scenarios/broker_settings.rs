//! Settings that are given to running brokers, to one and to all (KIP-226), and taken back.

use super::Scenario;
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("broker settings/one by one", one_by_one),
    ("broker settings/at once", at_once),
    ("broker settings/that are wrong", wrong),
];

const BROKER: i8 = 4;
/// The broker itself, and all of them.
const NAMES: [&str; 2] = ["1", ""];
const SETTING: &str = "log.retention.ms";
const LIST: &str = "log.cleanup.policy";

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn incremental(name: &str, changes: &[(&str, i8, Option<&str>)], only: bool) -> Json {
    let change = |(name, operation, value): &(&str, i8, Option<&str>)| json!({ "name": name, "config_operation": operation, "value": value });
    let configs: Vec<Json> = changes.iter().map(change).collect();
    let resource = json!({ "resource_type": BROKER, "resource_name": name, "configs": configs });
    json!({ "resources": [resource], "validate_only": only })
}

fn replacing(name: &str, configs: &[(&str, Option<&str>)], only: bool) -> Json {
    let configs: Vec<Json> = configs
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    let resource = json!({ "resource_type": BROKER, "resource_name": name, "configs": configs });
    json!({ "resources": [resource], "validate_only": only })
}

/// What the broker says of the settings, once one of them has come to a value.
fn described(peer: &mut Peer, setting: &str, value: Option<&str>) {
    let asked = |name: &str| {
        let keys = json!([SETTING, LIST]);
        json!({ "resources": [{ "resource_type": BROKER, "resource_name": name, "configuration_keys": keys }],
                "include_synonyms": true })
    };
    peer.settle("the change of a setting", |peer| {
        let told = peer.quiet("DescribeConfigs", 4, &asked(NAMES[0]));
        let configs = told["results"][0]["configs"].as_array().cloned().unwrap_or_default();
        configs
            .iter()
            .any(|config| config["name"] == setting && config["value"] == json!(value))
    });
    for name in NAMES {
        peer.ask("DescribeConfigs", 4, &asked(name));
    }
}

fn one_by_one(peer: &mut Peer) {
    for version in versions("IncrementalAlterConfigs") {
        for name in NAMES {
            for (note, changes, reached) in [
                (
                    "set",
                    &[(SETTING, SET, Some("5000000"))][..],
                    (SETTING, Some("5000000")),
                ),
                (
                    "set anew",
                    &[(SETTING, SET, Some("6000000"))],
                    (SETTING, Some("6000000")),
                ),
                (
                    "appended",
                    &[(LIST, APPEND, Some("compact"))],
                    (LIST, Some("delete,compact")),
                ),
                (
                    "appended again",
                    &[(LIST, APPEND, Some("compact"))],
                    (LIST, Some("delete,compact")),
                ),
                (
                    "subtracted",
                    &[(LIST, SUBTRACT, Some("delete"))],
                    (LIST, Some("compact")),
                ),
                (
                    "both deleted",
                    &[(SETTING, DELETE, None), (LIST, DELETE, None)],
                    (LIST, Some("delete")),
                ),
                ("deleted again", &[(SETTING, DELETE, None)], (SETTING, None)),
            ] {
                peer.note(format!("{name:?}: {note}"));
                peer.ask("IncrementalAlterConfigs", version, &incremental(name, changes, true));
                peer.ask("IncrementalAlterConfigs", version, &incremental(name, changes, false));
                described(peer, reached.0, reached.1);
            }
        }
    }
    peer.note("of all and of one");
    peer.quiet(
        "IncrementalAlterConfigs",
        1,
        &incremental("", &[(SETTING, SET, Some("7000000"))], false),
    );
    described(peer, SETTING, Some("7000000"));
    peer.quiet(
        "IncrementalAlterConfigs",
        1,
        &incremental("1", &[(SETTING, SET, Some("8000000"))], false),
    );
    described(peer, SETTING, Some("8000000"));
    peer.quiet(
        "IncrementalAlterConfigs",
        1,
        &incremental("1", &[(SETTING, DELETE, None)], false),
    );
    described(peer, SETTING, Some("7000000"));
    peer.quiet(
        "IncrementalAlterConfigs",
        1,
        &incremental("", &[(SETTING, DELETE, None)], false),
    );
    described(peer, SETTING, None);
}

/// Of one broker: among what is set for all of them Kafka holds a setting of its own (KIP-966), which may not go.
fn at_once(peer: &mut Peer) {
    let name = NAMES[0];
    for version in versions("AlterConfigs") {
        peer.note("two");
        let two = [(SETTING, Some("5000000")), (LIST, Some("compact"))];
        peer.ask("AlterConfigs", version, &replacing(name, &two, true));
        peer.ask("AlterConfigs", version, &replacing(name, &two, false));
        described(peer, LIST, Some("compact"));
        peer.note("one of them goes");
        let one = [(SETTING, Some("6000000"))];
        peer.ask("AlterConfigs", version, &replacing(name, &one, false));
        described(peer, SETTING, Some("6000000"));
        peer.note("none");
        peer.ask("AlterConfigs", version, &replacing(name, &[], false));
        described(peer, SETTING, None);
    }
}

/// Nothing of this is taken.
fn wrong(peer: &mut Peer) {
    for name in ["1", "", "9", "one", "-1"] {
        for (note, key, value) in [
            ("a value that cannot be", SETTING, Some("soon")),
            ("no value", SETTING, None),
            ("a value below all", SETTING, Some("-2")),
            ("an unknown setting", "no.such.setting", Some("1")),
            ("no name", "", Some("1")),
            ("one of a start", "node.id", Some("2")),
            ("one of a topic", "retention.ms", Some("5000")),
            ("an unknown element", LIST, Some("compress")),
        ] {
            if ["1", ""].contains(&name) || note == "a value that cannot be" {
                peer.note(format!("{name:?}: {note}"));
                for version in versions("AlterConfigs") {
                    peer.ask("AlterConfigs", version, &replacing(name, &[(key, value)], true));
                }
                for version in versions("IncrementalAlterConfigs") {
                    peer.ask(
                        "IncrementalAlterConfigs",
                        version,
                        &incremental(name, &[(key, SET, value)], true),
                    );
                }
            }
        }
    }
    for (note, changes) in [
        ("appended to no list", &[(SETTING, APPEND, Some("1"))][..]),
        ("subtracted from no list", &[(SETTING, SUBTRACT, Some("1"))]),
        ("a setting twice", &[(SETTING, SET, Some("1")), (SETTING, DELETE, None)]),
        (
            "one good, one wrong",
            &[(SETTING, SET, Some("5000000")), ("no.such.setting", SET, Some("1"))],
        ),
    ] {
        for name in NAMES {
            peer.note(format!("{name:?}: {note}"));
            for version in versions("IncrementalAlterConfigs") {
                peer.ask("IncrementalAlterConfigs", version, &incremental(name, changes, true));
            }
        }
    }
}
