//! `Fetch` outside of sessions: offsets, limits, epochs, what is not there.

use super::{NO_TOPIC_ID, Scenario, ZERO_ID};
use crate::batch::{Batch, at};
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("fetch/offsets", offsets),
    ("fetch/an empty partition", empty),
    ("fetch/limits", limits),
    ("fetch/what is not there", not_there),
    ("fetch/leader epochs", leader_epochs),
    ("fetch/several partitions", several),
    ("fetch/a long poll", long_poll),
    ("fetch/as a follower", as_follower),
    ("fetch/odd numbers", odd_numbers),
];

/// A request for partitions of one topic.
fn of(version: i16, topic: (&str, &Json), partitions: &Json) -> Json {
    let topic = if version >= 13 {
        json!({ "topic_id": topic.1, "partitions": partitions })
    } else {
        json!({ "topic": topic.0, "partitions": partitions })
    };
    json!({ "max_wait_ms": 0, "min_bytes": 0, "topics": [topic] })
}

fn from(offset: i64) -> Json {
    json!({ "partition": 0, "fetch_offset": offset, "partition_max_bytes": 1_000_000 })
}

/// A topic with batches at 0, 3 and 4, and its end at 9.
fn filled(peer: &mut Peer, suffix: &str) -> (String, Json) {
    let topic = peer.topic(suffix, 1, &[]);
    for values in [&["a", "b", "c"][..], &["d"], &["e", "f", "g", "h", "i"]] {
        peer.append(&topic, 0, &Batch::of_values(values));
    }
    let id = peer.topic_id(&topic);
    (topic, id)
}

fn offsets(peer: &mut Peer) {
    let (topic, id) = filled(peer, "filled");
    for version in versions("Fetch") {
        let line = peer.connect();
        for offset in [0, 1, 2, 3, 4, 6, 8, 9, 10, 1000, i64::MAX, -1, -2, i64::MIN] {
            peer.note(format!("offset {offset}"));
            peer.call(
                line,
                "Fetch",
                version,
                &of(version, (&topic, &id), &json!([from(offset)])),
            );
        }
        peer.note("committed records only");
        let mut committed = of(version, (&topic, &id), &json!([from(4)]));
        committed["isolation_level"] = json!(1);
        peer.call(line, "Fetch", version, &committed);
        peer.note("an unknown isolation level");
        committed["isolation_level"] = json!(7);
        peer.ask("Fetch", version, &committed);
    }
}

fn empty(peer: &mut Peer) {
    let topic = peer.topic("empty", 1, &[]);
    let id = peer.topic_id(&topic);
    for version in versions("Fetch") {
        for offset in [0, 1, -1] {
            peer.note(format!("offset {offset}"));
            peer.ask("Fetch", version, &of(version, (&topic, &id), &json!([from(offset)])));
        }
    }
}

fn limits(peer: &mut Peer) {
    let (topic, id) = filled(peer, "limited");
    let first = Batch::of_values(&["a", "b", "c"]).bytes().len() as i64;
    for version in versions("Fetch") {
        let line = peer.connect();
        for bytes in [
            0,
            1,
            first - 1,
            first,
            first + 1,
            2 * first,
            1000,
            -1,
            i64::from(i32::MIN),
        ] {
            peer.note(format!("{bytes} bytes of the partition"));
            let mut partition = from(0);
            partition["partition_max_bytes"] = json!(bytes);
            peer.call(line, "Fetch", version, &of(version, (&topic, &id), &json!([partition])));
            peer.note(format!("{bytes} bytes in all"));
            let mut request = of(version, (&topic, &id), &json!([from(0)]));
            request["max_bytes"] = json!(bytes);
            peer.call(line, "Fetch", version, &request);
        }
    }
}

fn not_there(peer: &mut Peer) {
    let (topic, id) = filled(peer, "there");
    for version in versions("Fetch") {
        let line = peer.connect();
        for partition in [1, -1, i32::MAX, i32::MIN] {
            peer.note(format!("partition {partition}"));
            let asked = json!([{ "partition": partition, "fetch_offset": 0, "partition_max_bytes": 1000 }]);
            peer.call(line, "Fetch", version, &of(version, (&topic, &id), &asked));
        }
        for name in ["never-created", "", "a b"] {
            peer.note(format!("topic {name:?}"));
            peer.call(
                line,
                "Fetch",
                version,
                &of(version, (name, &json!(NO_TOPIC_ID)), &json!([from(0)])),
            );
        }
        if version >= 13 {
            peer.note("no id");
            peer.call(
                line,
                "Fetch",
                version,
                &of(version, ("", &json!(ZERO_ID)), &json!([from(0)])),
            );
        }
        peer.note("no topics");
        peer.call(
            line,
            "Fetch",
            version,
            &json!({ "max_wait_ms": 0, "min_bytes": 0, "topics": [] }),
        );
        peer.note("no partitions");
        peer.call(line, "Fetch", version, &of(version, (&topic, &id), &json!([])));
    }
}

fn leader_epochs(peer: &mut Peer) {
    let (topic, id) = filled(peer, "epochs");
    for version in 9..=*versions("Fetch").end() {
        let line = peer.connect();
        for epoch in [-1, 0, 1, 50, i32::MAX, -2] {
            peer.note(format!("leader epoch {epoch}"));
            let mut partition = from(4);
            partition["current_leader_epoch"] = json!(epoch);
            peer.call(line, "Fetch", version, &of(version, (&topic, &id), &json!([partition])));
        }
        if version >= 12 {
            for (epoch, offset) in [(0, 4), (0, 9), (0, 20), (5, 4), (-1, 4)] {
                peer.note(format!("last fetched epoch {epoch} at {offset}"));
                let mut partition = from(offset);
                partition["last_fetched_epoch"] = json!(epoch);
                peer.call(line, "Fetch", version, &of(version, (&topic, &id), &json!([partition])));
            }
        }
    }
}

fn several(peer: &mut Peer) {
    let topic = peer.topic("several", 3, &[]);
    for partition in 0..3 {
        peer.append(&topic, partition, &Batch::of_values(&["x"; 3]));
    }
    let id = peer.topic_id(&topic);
    let partition =
        |index: i32, offset: i64| json!({ "partition": index, "fetch_offset": offset, "partition_max_bytes": 1000 });
    for version in versions("Fetch") {
        let line = peer.connect();
        for (note, partitions, bytes) in [
            (
                "all",
                json!([partition(0, 0), partition(1, 1), partition(2, 2)]),
                10_000,
            ),
            ("in another order", json!([partition(2, 0), partition(0, 0)]), 10_000),
            (
                "with one unknown",
                json!([partition(0, 0), partition(7, 0), partition(1, 0)]),
                10_000,
            ),
            (
                "with one out of range",
                json!([partition(0, 9), partition(1, 0)]),
                10_000,
            ),
            (
                "room for one",
                json!([partition(0, 0), partition(1, 0), partition(2, 0)]),
                80,
            ),
            (
                "room for none, the first of them empty",
                json!([partition(0, 3), partition(1, 0), partition(2, 0)]),
                1,
            ),
            ("one of them twice", json!([partition(0, 0), partition(0, 1)]), 10_000),
        ] {
            peer.note(note);
            let mut request = of(version, (&topic, &id), &partitions);
            request["max_bytes"] = json!(bytes);
            peer.call(line, "Fetch", version, &request);
        }
    }
}

/// A fetch that waits is answered once there is enough; what is sent behind it on its connection waits for it.
fn long_poll(peer: &mut Peer) {
    for version in versions("Fetch") {
        let topic = peer.topic(&format!("awaited-{version}"), 1, &[]);
        let id = peer.topic_id(&topic);
        let line = peer.connect();
        let mut request = of(version, (&topic, &id), &json!([from(0)]));
        request["max_wait_ms"] = json!(30_000);
        request["min_bytes"] = json!(1);
        peer.note("until there is a record");
        peer.send(line, "Fetch", version, &request);
        peer.note("behind it");
        peer.send(line, "Metadata", 12, &json!({ "topics": [{ "name": topic }] }));
        peer.append(&topic, 0, &Batch::of_values(&["awaited"]));
        peer.receive(line);
        peer.receive(line);
        peer.note("until the time is over");
        request["max_wait_ms"] = json!(20);
        request["min_bytes"] = json!(100_000);
        peer.call(line, "Fetch", version, &request);
        peer.note("an error ends the wait");
        let mut wrong = of(version, (&topic, &id), &json!([from(77)]));
        wrong["max_wait_ms"] = json!(30_000);
        wrong["min_bytes"] = json!(1);
        peer.call(line, "Fetch", version, &wrong);
    }
}

fn as_follower(peer: &mut Peer) {
    let (topic, id) = filled(peer, "followed");
    for version in versions("Fetch") {
        for replica in [0, 1, 2, -2] {
            peer.note(format!("replica {replica}"));
            let mut request = of(version, (&topic, &id), &json!([from(0)]));
            if version >= 15 {
                request["replica_state"] = json!({ "replica_id": replica, "replica_epoch": 0 });
            } else {
                request["replica_id"] = json!(replica);
            }
            peer.ask("Fetch", version, &request);
        }
    }
}

fn odd_numbers(peer: &mut Peer) {
    let (topic, id) = filled(peer, "odd");
    for version in versions("Fetch") {
        let line = peer.connect();
        for (note, field, number) in [
            ("a negative wait", "max_wait_ms", -1),
            ("a negative minimum", "min_bytes", -1),
            ("a maximum of 0", "max_bytes", 0),
        ] {
            peer.note(note);
            let mut request = of(version, (&topic, &id), &json!([from(0)]));
            request[field] = json!(number);
            peer.call(line, "Fetch", version, &request);
        }
        peer.note("a torn batch was never there");
        let torn = Batch::of_values(&["t"]).set(at::CRC, &[0, 0, 0, 0]);
        let partitions = json!([{ "index": 0, "records": torn.hex() }]);
        peer.ask(
            "Produce",
            7,
            &json!({ "acks": 1, "timeout_ms": 1000, "topic_data": [{ "name": topic, "partition_data": partitions }] }),
        );
        peer.call(line, "Fetch", version, &of(version, (&topic, &id), &json!([from(8)])));
    }
}
