//! `CreateTopics` and `DeleteTopics`: good and bad requests, and topics that come again under their old name.

use super::{NO_TOPIC_ID, Scenario, ZERO_ID};
use crate::batch::Batch;
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("create_topics/good", good),
    ("create_topics/bad names", bad_names),
    ("create_topics/bad numbers", bad_numbers),
    ("create_topics/configs", configs),
    ("create_topics/several", several),
    ("create_topics/only validated", only_validated),
    ("delete_topics/by name", by_name),
    ("delete_topics/by id", by_id),
    ("topics/deleted and created again", created_again),
];

fn create(topics: &Json) -> Json {
    json!({ "topics": topics, "timeout_ms": 30_000 })
}

fn good(peer: &mut Peer) {
    for version in versions("CreateTopics") {
        let name = |suffix: &str| format!("created-{version}-{suffix}");
        let mut topics = vec![
            json!({ "name": name("one"), "num_partitions": 1, "replication_factor": 1 }),
            json!({ "name": name("assigned"), "num_partitions": -1, "replication_factor": -1,
                    "assignments": [{ "partition_index": 0, "broker_ids": [1] }, { "partition_index": 1, "broker_ids": [1] }] }),
            json!({ "name": name("set"), "num_partitions": 2, "replication_factor": 1,
                    "configs": [{ "name": "retention.ms", "value": "1000" }, { "name": "segment.bytes", "value": "1048576" }] }),
        ];
        if version >= 4 {
            topics.push(json!({ "name": name("defaults"), "num_partitions": -1, "replication_factor": -1 }));
        }
        for topic in topics {
            peer.note(format!("{topic:.60}"));
            peer.ask("CreateTopics", version, &create(&json!([topic])));
        }
    }
}

fn bad_names(peer: &mut Peer) {
    let taken = peer.topic("taken", 1, &[]);
    let dotted = peer.topic("a.b", 1, &[]);
    let long = "x".repeat(250);
    let named = |name: &str| json!({ "name": name, "num_partitions": 1, "replication_factor": 1 });
    for version in versions("CreateTopics") {
        for (note, topic) in [
            ("a name that is taken", named(&taken)),
            (
                "a name that collides but for a dot",
                named(&dotted.replace("a.b", "a_b")),
            ),
            ("no name", named("")),
            ("a dot", named(".")),
            ("two dots", named("..")),
            ("a slash", named("a/b")),
            ("a space", named("a b")),
            ("an umlaut", named("ü")),
            ("250 characters", named(&long)),
            ("249 characters", named(&long[..249])),
            ("an internal topic", named("__transaction_state_not")),
            ("the metadata log", named("__cluster_metadata")),
        ] {
            peer.note(note);
            peer.ask("CreateTopics", version, &create(&json!([topic])));
        }
    }
}

fn bad_numbers(peer: &mut Peer) {
    let assigned = |brokers: Json| json!({ "name": "assigned-badly", "num_partitions": -1, "replication_factor": -1, "assignments": brokers });
    let bad = |partitions: i32, replicas: i16| json!({ "name": "bad", "num_partitions": partitions, "replication_factor": replicas });
    for version in versions("CreateTopics") {
        for (note, topic) in [
            ("no partitions", bad(0, 1)),
            ("minus two partitions", bad(-2, 1)),
            ("too many partitions", bad(10_001, 1)),
            ("no replicas", bad(1, 0)),
            ("minus two replicas", bad(1, -2)),
            ("two replicas", bad(1, 2)),
            ("no partitions of two replicas", bad(0, 2)),
            ("no partitions of minus two replicas", bad(0, -2)),
            (
                "partitions and an assignment",
                json!({ "name": "bad", "num_partitions": 1, "replication_factor": -1,
                "assignments": [{ "partition_index": 0, "broker_ids": [1] }] }),
            ),
            (
                "replicas and an assignment",
                json!({ "name": "bad", "num_partitions": -1, "replication_factor": 1,
                "assignments": [{ "partition_index": 0, "broker_ids": [1] }] }),
            ),
            (
                "an unknown broker",
                assigned(json!([{ "partition_index": 0, "broker_ids": [9] }])),
            ),
            (
                "a broker twice",
                assigned(json!([{ "partition_index": 0, "broker_ids": [1, 1] }])),
            ),
            (
                "no broker",
                assigned(json!([{ "partition_index": 0, "broker_ids": [] }])),
            ),
            (
                "a partition left out",
                assigned(json!([{ "partition_index": 1, "broker_ids": [1] }])),
            ),
            (
                "a partition twice",
                assigned(
                    json!([{ "partition_index": 0, "broker_ids": [1] }, { "partition_index": 0, "broker_ids": [1] }]),
                ),
            ),
        ] {
            peer.note(note);
            peer.ask("CreateTopics", version, &create(&json!([topic])));
        }
    }
}

/// Topic settings, right and wrong.
const CONFIGS: &[(&str, Option<&str>)] = &[
    ("retention.ms", Some("soon")),
    ("retention.ms", Some("-1")),
    ("retention.ms", Some("-2")),
    ("retention.ms", Some(" 5 ")),
    ("retention.ms", None),
    ("retention.bytes", Some("1")),
    ("no.such.setting", Some("1")),
    ("", Some("1")),
    ("cleanup.policy", Some("delete")),
    ("cleanup.policy", Some("burn")),
    ("cleanup.policy", Some("")),
    ("segment.bytes", Some("-5")),
    ("segment.bytes", Some("1")),
    ("segment.bytes", Some("1048576")),
    ("segment.ms", Some("0")),
    ("min.insync.replicas", Some("0")),
    ("min.insync.replicas", Some("2")),
    ("max.message.bytes", Some("-1")),
    ("max.message.bytes", Some("0")),
    ("compression.type", Some("producer")),
    ("compression.type", Some("brotli")),
    ("message.timestamp.type", Some("LogAppendTime")),
    ("message.timestamp.type", Some("never")),
    ("message.timestamp.before.max.ms", Some("-1")),
    ("min.cleanable.dirty.ratio", Some("2")),
    ("min.cleanable.dirty.ratio", Some("0.25")),
    ("preallocate", Some("maybe")),
    ("preallocate", Some("TRUE")),
    ("unclean.leader.election.enable", Some("false")),
    ("index.interval.bytes", Some("x")),
    ("segment.jitter.ms", Some("5")),
    ("leader.replication.throttled.replicas", Some("*")),
    ("leader.replication.throttled.replicas", Some("nonsense")),
    ("delete.retention.ms", Some("-1")),
    ("file.delete.delay.ms", Some("1")),
    ("flush.messages", Some("0")),
    ("compression.gzip.level", Some("11")),
    ("compression.zstd.level", Some("3")),
    ("local.retention.ms", Some("1")),
];

fn configs(peer: &mut Peer) {
    let versions = [*versions("CreateTopics").start(), *versions("CreateTopics").end()];
    for version in versions {
        for (place, (name, value)) in CONFIGS.iter().enumerate() {
            peer.note(format!("{name}={value:?}"));
            let topic = json!({ "name": format!("configured-{version}-{place}"), "num_partitions": 1, "replication_factor": 1,
                                "configs": [{ "name": name, "value": value }] });
            peer.ask("CreateTopics", version, &create(&json!([topic])));
        }
        peer.note("a setting twice");
        let topic = json!({ "name": format!("configured-{version}-twice"), "num_partitions": 1, "replication_factor": 1,
                            "configs": [{ "name": "retention.ms", "value": "1" }, { "name": "retention.ms", "value": "2" }] });
        peer.ask("CreateTopics", version, &create(&json!([topic])));
    }
}

fn several(peer: &mut Peer) {
    for version in versions("CreateTopics") {
        let topic = |suffix: &str| json!({ "name": format!("several-{version}-{suffix}"), "num_partitions": 1, "replication_factor": 1 });
        peer.note("no topic");
        peer.ask("CreateTopics", version, &create(&json!([])));
        peer.note("a good and a bad one");
        peer.ask(
            "CreateTopics",
            version,
            &create(&json!([topic("a"), topic("with space")])),
        );
        peer.note("one twice");
        peer.ask(
            "CreateTopics",
            version,
            &create(&json!([topic("twice"), topic("twice"), topic("b")])),
        );
    }
}

fn only_validated(peer: &mut Peer) {
    for version in versions("CreateTopics") {
        let name = format!("validated-{version}");
        let request = |partitions: i32| {
            json!({ "topics": [{ "name": name, "num_partitions": partitions, "replication_factor": 1 }], "timeout_ms": 30_000,
                    "validate_only": true })
        };
        peer.note("good");
        peer.ask("CreateTopics", version, &request(3));
        peer.note("good again: the first was not created");
        peer.ask("CreateTopics", version, &request(3));
        peer.note("bad");
        peer.ask("CreateTopics", version, &request(0));
        peer.note("the topic of groups");
        let offsets = json!([{ "name": "__consumer_offsets", "num_partitions": 3, "replication_factor": 1 }]);
        let request = json!({ "topics": offsets, "timeout_ms": 30_000, "validate_only": true });
        peer.ask("CreateTopics", version, &request);
        for (note, topics) in [
            ("too many partitions together", &[("a", 6_000), ("b", 4_001)][..]),
            ("too many partitions, and a bad topic", &[("a", 10_001), ("b c", 1)]),
            (
                "too many partitions but for one that is there twice",
                &[("a", 6_000), ("a", 6_000), ("b", 1)],
            ),
        ] {
            peer.note(note);
            let topic = |(suffix, count): &(&str, i32)| json!({ "name": format!("{name}-{suffix}"), "num_partitions": count, "replication_factor": 1 });
            let topics: Vec<Json> = topics.iter().map(topic).collect();
            peer.ask(
                "CreateTopics",
                version,
                &json!({ "topics": topics, "timeout_ms": 30_000, "validate_only": true }),
            );
        }
    }
}

fn by_name(peer: &mut Peer) {
    for version in versions("DeleteTopics") {
        let (one, two) = (
            peer.topic(&format!("one-{version}"), 1, &[]),
            peer.topic(&format!("two-{version}"), 2, &[]),
        );
        let delete = |names: &[&str]| {
            let topics: Vec<Json> = names.iter().map(|name| json!({ "name": name })).collect();
            if version >= 6 {
                json!({ "topics": topics, "timeout_ms": 30_000 })
            } else {
                json!({ "topic_names": names, "timeout_ms": 30_000 })
            }
        };
        for (note, names) in [
            ("none", &[][..]),
            ("unknown", &["never-created"]),
            ("an impossible name", &["a b"]),
            ("no name", &[""]),
            ("one twice", &[&one, &one]),
            ("one and an unknown one", &[&one, "never-created"]),
        ] {
            peer.note(note);
            peer.ask("DeleteTopics", version, &delete(names));
        }
        peer.note("one");
        peer.ask("DeleteTopics", version, &delete(&[&two]));
        peer.await_no_topic(&two);
        peer.note("one that was deleted");
        peer.ask("DeleteTopics", version, &delete(&[&two]));
    }
}

fn by_id(peer: &mut Peer) {
    let version = 6;
    let (one, two) = (peer.topic("one", 1, &[]), peer.topic("two", 1, &[]));
    let (first, second) = (peer.topic_id(&one), peer.topic_id(&two));
    for (note, topics) in [
        ("an unknown id", json!([{ "topic_id": NO_TOPIC_ID, "name": null }])),
        ("no id and no name", json!([{ "topic_id": ZERO_ID, "name": null }])),
        ("an id and its name", json!([{ "topic_id": first, "name": one }])),
        (
            "an id twice",
            json!([{ "topic_id": first, "name": null }, { "topic_id": first, "name": null }]),
        ),
        (
            "by id and by name",
            json!([{ "topic_id": first, "name": null }, { "name": one }]),
        ),
        ("an id", json!([{ "topic_id": second, "name": null }])),
    ] {
        peer.note(note);
        peer.ask(
            "DeleteTopics",
            version,
            &json!({ "topics": topics, "timeout_ms": 30_000 }),
        );
    }
}

/// The new topic shows nothing of the old one, and the old id is unknown.
fn created_again(peer: &mut Peer) {
    let topic = peer.topic("again", 1, &[]);
    let old = peer.topic_id(&topic);
    peer.append(&topic, 0, &Batch::of_values(&["old", "older"]));
    peer.delete_topic(&topic);
    peer.topic("again", 1, &[]);
    let new = peer.topic_id(&topic);
    let fetch = |id: &Json, offset: i64| {
        json!({ "max_wait_ms": 0, "min_bytes": 0, "topics": [{ "topic_id": id,
                "partitions": [{ "partition": 0, "fetch_offset": offset, "partition_max_bytes": 1000 }] }] })
    };
    let line = peer.connect();
    for (note, id, offset) in [
        ("the old id", &old, 0),
        ("the new id", &new, 0),
        ("the old end by the new id", &new, 2),
    ] {
        peer.note(note);
        peer.call(line, "Fetch", 13, &fetch(id, offset));
    }
    for (note, id) in [("by the old id", &old), ("by the new id", &new)] {
        peer.note(note);
        let data = json!([{ "topic_id": id, "partition_data": [{ "index": 0, "records": Batch::of_values(&["new"]).hex() }] }]);
        peer.call(
            line,
            "Produce",
            13,
            &json!({ "acks": -1, "timeout_ms": 30_000, "topic_data": data }),
        );
        peer.call(
            line,
            "Metadata",
            12,
            &json!({ "topics": [{ "topic_id": id, "name": null }] }),
        );
    }
    peer.note("all that is there");
    peer.call(line, "Fetch", 13, &fetch(&new, 0));
}
