//! `Metadata`: all topics, some by name or id, unknown ones, automatic creation.

use super::{NO_TOPIC_ID, Scenario, ZERO_ID};
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("metadata/all topics", all_topics),
    ("metadata/by name", by_name),
    ("metadata/by id", by_id),
    ("metadata/names that cannot be", bad_names),
    ("metadata/automatic creation", automatic_creation),
];

/// Whether automatic creation may be declined, which is so from version 4 on.
fn topics(topics: &Json) -> Json {
    json!({ "topics": topics, "allow_auto_topic_creation": false,
            "include_cluster_authorized_operations": true, "include_topic_authorized_operations": true })
}

fn all_topics(peer: &mut Peer) {
    peer.topic("one", 1, &[]);
    peer.topic("three", 3, &[]);
    for version in versions("Metadata") {
        peer.note("an empty list");
        peer.ask("Metadata", version, &topics(&json!([])));
        if version > 0 {
            peer.note("null");
            peer.ask("Metadata", version, &topics(&Json::Null));
        }
    }
}

fn by_name(peer: &mut Peer) {
    let (one, three) = (peer.topic("one", 1, &[]), peer.topic("three", 3, &[]));
    let unknown = peer.name("unknown");
    for version in versions("Metadata") {
        peer.note("those that are there");
        peer.ask(
            "Metadata",
            version,
            &topics(&json!([{ "name": three }, { "name": one }])),
        );
        peer.note("one of them twice");
        peer.ask("Metadata", version, &topics(&json!([{ "name": one }, { "name": one }])));
        if version >= 4 {
            peer.note("one that is not there");
            peer.ask(
                "Metadata",
                version,
                &topics(&json!([{ "name": unknown }, { "name": one }])),
            );
        }
        if version >= 1 {
            peer.note("operations that were not asked for");
            peer.ask("Metadata", version, &json!({ "topics": [{ "name": one }] }));
        }
    }
}

fn by_id(peer: &mut Peer) {
    let one = peer.topic("one", 1, &[]);
    let id = peer.topic_id(&one);
    for version in 10..=*versions("Metadata").end() {
        for (note, asked) in [
            ("an id", json!([{ "topic_id": id, "name": null }])),
            ("an id and a name", json!([{ "topic_id": id, "name": one }])),
            ("an unknown id", json!([{ "topic_id": NO_TOPIC_ID, "name": null }])),
            (
                "an unknown id and a known one",
                json!([{ "topic_id": NO_TOPIC_ID, "name": null }, { "topic_id": id, "name": null }]),
            ),
            (
                "an id and another by name",
                json!([{ "topic_id": id, "name": null }, { "name": one }]),
            ),
            ("neither", json!([{ "topic_id": ZERO_ID, "name": null }])),
        ] {
            peer.note(note);
            peer.ask("Metadata", version, &topics(&asked));
        }
    }
}

fn bad_names(peer: &mut Peer) {
    let long = "x".repeat(250);
    for version in versions("Metadata") {
        for name in ["", ".", "..", "a/b", "a b", "ü", &long, "__consumer_offsets!"] {
            peer.note(format!("name {name:.20?}"));
            peer.ask(
                "Metadata",
                version,
                &json!({ "topics": [{ "name": name }], "allow_auto_topic_creation": true, "include_topic_authorized_operations": true }),
            );
        }
    }
}

/// What the first answer says depends on how soon a broker is done; what comes of it does not.
fn automatic_creation(peer: &mut Peer) {
    for version in versions("Metadata") {
        let name = peer.name(&format!("created-{version}"));
        let asked = json!({ "topics": [{ "name": name }], "allow_auto_topic_creation": true });
        peer.note("at first");
        peer.ask("Metadata", version, &asked);
        peer.await_topic(&name, 1);
        peer.note("in the end");
        peer.ask("Metadata", version, &asked);
    }
}
