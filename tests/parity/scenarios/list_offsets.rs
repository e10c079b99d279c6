//! `ListOffsets`: by time, by the special times, with epochs, and of what is not there.

use super::Scenario;
use crate::batch::{Batch, Record, SOME_TIME, value};
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("list_offsets/times", times),
    ("list_offsets/an empty partition", empty),
    ("list_offsets/leader epochs", leader_epochs),
    ("list_offsets/what is not there", not_there),
    ("list_offsets/several", several),
];

fn request(topic: &str, partitions: &Json) -> Json {
    json!({ "replica_id": -1, "topics": [{ "name": topic, "partitions": partitions }], "timeout_ms": 1000 })
}

fn one(topic: &str, timestamp: i64) -> Json {
    request(topic, &json!([{ "partition_index": 0, "timestamp": timestamp }]))
}

const TIMES: [i64; 19] = [
    -1,
    -2,
    -3,
    -4,
    -5,
    -6,
    -7,
    -100,
    i64::MIN,
    0,
    1,
    SOME_TIME - 1,
    SOME_TIME,
    SOME_TIME + 1,
    SOME_TIME + 100,
    SOME_TIME + 150,
    SOME_TIME + 200,
    SOME_TIME + 201,
    i64::MAX,
];

fn times(peer: &mut Peer) {
    let topic = peer.topic("timed", 1, &[]);
    let at = |timestamp: i64| Record {
        timestamp,
        ..value(b"x")
    };
    for times in [&[0, 100, 50][..], &[10], &[200, 150, 200], &[20]] {
        let records: Vec<Record<'_>> = times.iter().map(|time| at(SOME_TIME + time)).collect();
        peer.append(&topic, 0, &Batch::of(&records));
    }
    for version in versions("ListOffsets") {
        for time in TIMES {
            peer.note(format!("time {time}"));
            peer.ask("ListOffsets", version, &one(&topic, time));
        }
        for (note, replica, isolation) in [
            ("committed", -1, 1),
            ("as a debugger", -2, 0),
            ("as a follower", 1, 0),
            ("isolation 9", -1, 9),
        ] {
            peer.note(note);
            let mut asked = one(&topic, -1);
            asked["replica_id"] = json!(replica);
            asked["isolation_level"] = json!(isolation);
            peer.ask("ListOffsets", version, &asked);
        }
    }
}

fn empty(peer: &mut Peer) {
    let topic = peer.topic("empty", 1, &[]);
    for version in versions("ListOffsets") {
        for time in [-1, -2, -3, -4, -5, -6, 0, SOME_TIME, i64::MAX] {
            peer.note(format!("time {time}"));
            peer.ask("ListOffsets", version, &one(&topic, time));
        }
    }
}

fn leader_epochs(peer: &mut Peer) {
    let topic = peer.topic("epochs", 1, &[]);
    peer.append(&topic, 0, &Batch::of_values(&["x"]));
    for version in 4..=*versions("ListOffsets").end() {
        for epoch in [-1, 0, 1, 77, -2, i32::MAX] {
            for time in [-1, -2, SOME_TIME] {
                peer.note(format!("epoch {epoch}, time {time}"));
                let asked = json!([{ "partition_index": 0, "timestamp": time, "current_leader_epoch": epoch }]);
                peer.ask("ListOffsets", version, &request(&topic, &asked));
            }
        }
    }
}

fn not_there(peer: &mut Peer) {
    let topic = peer.topic("there", 1, &[]);
    for version in versions("ListOffsets") {
        for partition in [1, -1, i32::MAX] {
            peer.note(format!("partition {partition}"));
            peer.ask(
                "ListOffsets",
                version,
                &request(&topic, &json!([{ "partition_index": partition, "timestamp": -1 }])),
            );
        }
        for name in ["never-created", "", "a b"] {
            peer.note(format!("topic {name:?}"));
            peer.ask("ListOffsets", version, &one(name, -1));
        }
        peer.note("nothing");
        peer.ask("ListOffsets", version, &json!({ "replica_id": -1, "topics": [] }));
        peer.note("no partition");
        peer.ask("ListOffsets", version, &request(&topic, &json!([])));
    }
}

fn several(peer: &mut Peer) {
    let (first, second) = (peer.topic("first", 2, &[]), peer.topic("second", 1, &[]));
    peer.append(&first, 1, &Batch::of_values(&["x"; 4]));
    let partition = |index: i32, time: i64| json!({ "partition_index": index, "timestamp": time });
    for version in versions("ListOffsets") {
        for (note, topics) in [
            (
                "two topics",
                json!([{ "name": second, "partitions": [partition(0, -1)] },
                                  { "name": first, "partitions": [partition(1, -1), partition(0, -2)] }]),
            ),
            (
                "a partition twice",
                json!([{ "name": first, "partitions": [partition(1, -1), partition(1, -2)] }]),
            ),
            (
                "a topic twice",
                json!([{ "name": first, "partitions": [partition(1, -1)] }, { "name": first, "partitions": [partition(0, -1)] }]),
            ),
            (
                "one unknown",
                json!([{ "name": first, "partitions": [partition(5, -1), partition(1, -1)] }]),
            ),
        ] {
            peer.note(note);
            peer.ask("ListOffsets", version, &json!({ "replica_id": -1, "topics": topics }));
        }
    }
}
