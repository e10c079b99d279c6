//! `Produce`: acknowledgements, several partitions, what is not there, what is too large.

use super::{NO_TOPIC_ID, Scenario};
use crate::batch::{Batch, at};
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("produce/acks", acks),
    ("produce/without an answer", unanswered),
    ("produce/several partitions", several_partitions),
    ("produce/what is not there", not_there),
    ("produce/too large", too_large),
    ("produce/pipelined", pipelined),
    ("produce/transactional", transactional),
    ("produce/internal topics", internal_topics),
];

/// A request for one partition, by the topic's id where the version asks for that.
pub(super) fn one(version: i16, topic: (&str, &Json), acks: i16, partition: i32, records: &Json) -> Json {
    let partitions = json!([{ "index": partition, "records": records }]);
    let data = if version >= 13 {
        json!({ "topic_id": topic.1, "partition_data": partitions })
    } else {
        json!({ "name": topic.0, "partition_data": partitions })
    };
    json!({ "acks": acks, "timeout_ms": 30_000, "topic_data": [data] })
}

fn acks(peer: &mut Peer) {
    let topic = peer.topic("acks", 1, &[]);
    let id = peer.topic_id(&topic);
    for version in versions("Produce") {
        let line = peer.connect();
        for acks in [-1, 1, 2, -2, i16::MAX] {
            peer.note(format!("acks {acks}"));
            let records = json!(Batch::of_values(&["a", "bc"]).hex());
            peer.call(
                line,
                "Produce",
                version,
                &one(version, (&topic, &id), acks, 0, &records),
            );
        }
    }
}

/// What follows a request without an answer shows what became of it.
fn unanswered(peer: &mut Peer) {
    let topic = peer.topic("unanswered", 1, &[]);
    let id = peer.topic_id(&topic);
    let ends = json!({ "replica_id": -1, "topics": [{ "name": topic, "partitions": [{ "partition_index": 0, "timestamp": -1 }] }] });
    for version in versions("Produce") {
        let good = json!(Batch::of_values(&["a", "b", "c"]).hex());
        let torn = json!(Batch::of_values(&["a"]).set(at::CRC, &[1, 2, 3, 4]).hex());
        for (note, partition, records) in [
            ("good", 0, &good),
            ("no such partition", 5, &good),
            ("a wrong CRC", 0, &torn),
        ] {
            peer.note(note);
            let line = peer.connect();
            peer.send_unanswered(
                line,
                "Produce",
                version,
                &one(version, (&topic, &id), 0, partition, records),
            );
            peer.call(line, "ListOffsets", 5, &ends);
        }
    }
}

fn several_partitions(peer: &mut Peer) {
    let (one, two) = (peer.topic("one", 3, &[]), peer.topic("two", 2, &[]));
    let ids = [peer.topic_id(&one), peer.topic_id(&two)];
    let names = [one, two];
    for version in versions("Produce") {
        let partition = |index: i32| json!({ "index": index, "records": Batch::of_values(&["x"; 3]).hex() });
        let torn = json!({ "index": 1, "records": Batch::of_values(&["x"]).set(at::CRC, &[0]).hex() });
        let topic = |place: usize, partitions: Json| {
            if version >= 13 {
                json!({ "topic_id": ids[place], "partition_data": partitions })
            } else {
                json!({ "name": names[place], "partition_data": partitions })
            }
        };
        let line = peer.connect();
        for (note, data) in [
            (
                "all",
                json!([
                    topic(0, json!([partition(2), partition(0), partition(1)])),
                    topic(1, json!([partition(1), partition(0)]))
                ]),
            ),
            (
                "one of them unknown",
                json!([topic(0, json!([partition(0), partition(7)]))]),
            ),
            (
                "one of them torn",
                json!([topic(0, json!([partition(0), torn])), topic(1, json!([partition(0)]))]),
            ),
            ("no topic", json!([])),
            ("no partition", json!([topic(0, json!([]))])),
        ] {
            peer.note(note);
            peer.call(
                line,
                "Produce",
                version,
                &json!({ "acks": -1, "timeout_ms": 30_000, "topic_data": data }),
            );
        }
        peer.note("one of them twice");
        let twice = json!([topic(1, json!([partition(0), partition(0)]))]);
        let line = peer.connect();
        peer.call(
            line,
            "Produce",
            version,
            &json!({ "acks": -1, "timeout_ms": 30_000, "topic_data": twice }),
        );
    }
}

fn not_there(peer: &mut Peer) {
    let topic = peer.topic("there", 1, &[]);
    let id = peer.topic_id(&topic);
    let records = json!(Batch::of_values(&["x"]).hex());
    for version in versions("Produce") {
        let line = peer.connect();
        for partition in [1, -1, i32::MAX, i32::MIN] {
            peer.note(format!("partition {partition}"));
            peer.call(
                line,
                "Produce",
                version,
                &one(version, (&topic, &id), -1, partition, &records),
            );
        }
        for name in ["never-created", "", "a b"] {
            peer.note(format!("topic {name:?}"));
            peer.call(
                line,
                "Produce",
                version,
                &one(version, (name, &json!(NO_TOPIC_ID)), -1, 0, &records),
            );
        }
    }
}

fn too_large(peer: &mut Peer) {
    let default = peer.topic("default", 1, &[]);
    let small = peer.topic("small", 1, &[("max.message.bytes", "200")]);
    let ids = [peer.topic_id(&default), peer.topic_id(&small)];
    for version in versions("Produce") {
        let line = peer.connect();
        let value = |length: usize| json!(Batch::of_values(&[&"v".repeat(length)]).hex());
        for (note, topic, id, length) in [
            ("more than 200 bytes", &small, &ids[1], 200),
            ("200 bytes", &small, &ids[1], 200 - 61 - 9),
            ("201 bytes", &small, &ids[1], 201 - 61 - 9),
        ] {
            peer.note(note);
            peer.call(
                line,
                "Produce",
                version,
                &one(version, (topic, id), -1, 0, &value(length)),
            );
        }
        if version == 13 || version == 3 {
            for length in [1_048_588 - 61 - 11, 1_048_589 - 61 - 11] {
                peer.note(format!("a value of {length} bytes"));
                peer.call(
                    line,
                    "Produce",
                    version,
                    &one(version, (&default, &ids[0]), -1, 0, &value(length)),
                );
            }
        }
    }
}

/// Requests of one connection take effect in their order.
fn pipelined(peer: &mut Peer) {
    let topic = peer.topic("pipelined", 1, &[]);
    let ends = json!({ "replica_id": -1, "topics": [{ "name": topic, "partitions": [{ "partition_index": 0, "timestamp": -1 }] }] });
    let line = peer.connect();
    for round in 0..5 {
        let records = json!(Batch::of_values(&["x"; 2]).hex());
        peer.send(
            line,
            "Produce",
            9,
            &one(
                9,
                (&topic, &Json::Null),
                if round % 2 == 0 { -1 } else { 1 },
                0,
                &records,
            ),
        );
        peer.send(line, "ListOffsets", 7, &ends);
        peer.send_unanswered(line, "Produce", 9, &one(9, (&topic, &Json::Null), 0, 0, &records));
        peer.send(line, "ListOffsets", 7, &ends);
    }
    for _ in 0..15 {
        peer.receive(line);
    }
}

/// Until there are transactions, a transactional producer is refused.
fn transactional(peer: &mut Peer) {
    let topic = peer.topic("transactional", 1, &[]);
    let id = peer.topic_id(&topic);
    for version in versions("Produce") {
        let line = peer.connect();
        let sealed = Batch::of_values(&["x"])
            .by(4000, 0, 0)
            .set(at::ATTRIBUTES, &[0, 0x10])
            .sealed();
        peer.note("the bit of the batch");
        peer.call(
            line,
            "Produce",
            version,
            &one(version, (&topic, &id), -1, 0, &json!(sealed.hex())),
        );
    }
}

fn internal_topics(peer: &mut Peer) {
    let records = json!(Batch::of_values(&["x"]).hex());
    let line = peer.connect();
    peer.quiet(
        "FindCoordinator",
        4,
        &json!({ "key_type": 0, "coordinator_keys": ["g"] }),
    );
    for version in [3, 8, 12] {
        peer.note("no such partition");
        peer.call(
            line,
            "Produce",
            version,
            &one(version, ("__consumer_offsets", &Json::Null), -1, 999, &records),
        );
    }
}
