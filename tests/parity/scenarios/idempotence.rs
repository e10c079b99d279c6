//! Idempotent producers: ids, sequence numbers with gaps and repetitions, epochs.

use super::Scenario;
use super::produce::one;
use crate::batch::{Batch, Record, SOME_TIME, value};
use crate::message::versions;
use crate::peer::{Line, Peer};
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("idempotence/ids", ids),
    ("idempotence/an id to keep", kept_ids),
    ("idempotence/sequences", sequences),
    ("idempotence/repetitions", repetitions),
    ("idempotence/epochs", epochs),
    ("idempotence/sequences wrap", wrap),
    ("idempotence/an unknown producer", unknown_producer),
    ("idempotence/two producers", two_producers),
];

fn ids(peer: &mut Peer) {
    producer(peer);
    let line = peer.connect();
    for version in versions("InitProducerId") {
        peer.note("an id");
        peer.call(
            line,
            "InitProducerId",
            version,
            &json!({ "transactional_id": null, "transaction_timeout_ms": 60_000 }),
        );
        peer.note("another");
        peer.call(
            line,
            "InitProducerId",
            version,
            &json!({ "transactional_id": null, "transaction_timeout_ms": 0 }),
        );
        peer.note("a negative time-out");
        peer.call(
            line,
            "InitProducerId",
            version,
            &json!({ "transactional_id": null, "transaction_timeout_ms": -1 }),
        );
        peer.note("an empty transactional id");
        peer.call(
            line,
            "InitProducerId",
            version,
            &json!({ "transactional_id": "", "transaction_timeout_ms": 60_000 }),
        );
    }
}

fn kept_ids(peer: &mut Peer) {
    producer(peer);
    for version in 3..=*versions("InitProducerId").end() {
        let first = peer.ask(
            "InitProducerId",
            version,
            &json!({ "transactional_id": null, "transaction_timeout_ms": 60_000 }),
        );
        let id = first["producer_id"].clone();
        for (note, id, epoch) in [
            ("id and epoch", &id, json!(0)),
            ("an old epoch", &id, json!(-1)),
            ("a later epoch", &id, json!(5)),
            ("the last epoch", &id, json!(i16::MAX)),
            ("an epoch alone", &json!(-1), json!(3)),
            ("an id that nobody has", &json!(987_654_321), json!(1)),
            ("a negative id", &json!(-5), json!(1)),
        ] {
            peer.note(note);
            let body = json!({ "transactional_id": null, "transaction_timeout_ms": 60_000, "producer_id": id, "producer_epoch": epoch });
            peer.ask("InitProducerId", version, &body);
        }
    }
}

/// A producer's id that the broker gave out, once it has any to give.
pub(super) fn producer(peer: &mut Peer) -> i64 {
    let request = json!({ "transactional_id": null, "transaction_timeout_ms": 60_000 });
    let mut id = -1;
    peer.settle("a producer id", |peer| {
        let answer = peer.quiet("InitProducerId", 4, &request);
        id = answer["producer_id"].as_i64().unwrap_or(-1);
        answer["error_code"] == 0
    });
    id
}

/// A producer's batches to partition 0 of a topic.
pub(super) struct Sender {
    pub(super) line: Line,
    pub(super) topic: String,
    producer: i64,
    /// What its records have for a time.
    timestamp: i64,
}

impl Sender {
    pub(super) fn new(peer: &mut Peer, suffix: &str) -> Self {
        let topic = peer.topic(suffix, 1, &[]);
        Self {
            line: peer.connect(),
            topic,
            producer: producer(peer),
            timestamp: SOME_TIME,
        }
    }

    /// The same with another time for its records.
    pub(super) fn at(self, timestamp: i64) -> Self {
        Self { timestamp, ..self }
    }

    /// Another producer to the same partition.
    pub(super) fn beside(&self, peer: &mut Peer) -> Self {
        Self {
            line: peer.connect(),
            topic: self.topic.clone(),
            producer: producer(peer),
            timestamp: self.timestamp,
        }
    }

    /// Sends `count` records from a sequence number on.
    pub(super) fn send(&self, peer: &mut Peer, epoch: i16, sequence: i32, count: usize) {
        peer.note(format!("epoch {epoch}, {count} from {sequence}"));
        let timed = Record {
            timestamp: self.timestamp,
            ..value(b"x")
        };
        let batch = Batch::of(&vec![timed; count]).by(self.producer, epoch, sequence);
        peer.call(
            self.line,
            "Produce",
            8,
            &one(8, (&self.topic, &Json::Null), -1, 0, &json!(batch.hex())),
        );
    }
}

fn sequences(peer: &mut Peer) {
    let sender = Sender::new(peer, "sequences");
    for (sequence, count) in [
        (0, 3),
        (3, 2),
        (6, 1),
        (5, 1),
        (4, 1),
        (0, 1),
        (6, 2),
        (7, 1),
        (-5, 1),
        (8, 1),
        (i32::MAX, 1),
        (9, 1),
    ] {
        sender.send(peer, 0, sequence, count);
    }
}

fn repetitions(peer: &mut Peer) {
    let sender = Sender::new(peer, "repetitions");
    for sequence in 0..8 {
        sender.send(peer, 0, sequence * 2, 2);
    }
    // The last five are remembered.
    for sequence in [14, 12, 10, 8, 6, 4, 0] {
        sender.send(peer, 0, sequence, 2);
    }
    // Neither the batch that was sent nor the next one.
    for (sequence, count) in [(14, 1), (14, 3), (13, 2), (15, 1), (16, 1), (16, 1), (16, 2)] {
        sender.send(peer, 0, sequence, count);
    }
}

fn epochs(peer: &mut Peer) {
    let sender = Sender::new(peer, "epochs");
    for (epoch, sequence) in [
        (0, 0),
        (0, 1),
        (1, 5),
        (1, 0),
        (0, 2),
        (0, 0),
        (1, 1),
        (3, 0),
        (2, 0),
        (-1, 0),
        (i16::MAX, 0),
        (3, 1),
    ] {
        sender.send(peer, epoch, sequence, 1);
    }
}

/// After the largest sequence number comes 0.
fn wrap(peer: &mut Peer) {
    let sender = Sender::new(peer, "wrap");
    for (sequence, count) in [(i32::MAX - 2, 2), (i32::MAX, 1), (0, 1), (i32::MAX, 1), (1, 1)] {
        sender.send(peer, 0, sequence, count);
    }
    let sender = Sender::new(peer, "across");
    for (sequence, count) in [(i32::MAX - 1, 4), (i32::MAX - 1, 4), (2, 1), (1, 1), (3, 1)] {
        sender.send(peer, 0, sequence, count);
    }
}

/// A broker without any state of a producer takes what comes.
fn unknown_producer(peer: &mut Peer) {
    for (suffix, epoch, sequence) in [("zero", 0, 0), ("middle", 0, 77), ("epoch", 5, 0), ("both", 5, 77)] {
        let sender = Sender::new(peer, suffix);
        sender.send(peer, epoch, sequence, 2);
        sender.send(peer, epoch, sequence + 2, 1);
        sender.send(peer, epoch, sequence, 2);
    }
}

fn two_producers(peer: &mut Peer) {
    let first = Sender::new(peer, "shared");
    let second = first.beside(peer);
    for sequence in 0..3 {
        first.send(peer, 0, sequence, 1);
        second.send(peer, 0, sequence * 2, 2);
    }
    first.send(peer, 0, 0, 1);
    second.send(peer, 0, 0, 2);
    peer.note("all that is there");
    let partition = json!({ "partition": 0, "fetch_offset": 0, "partition_max_bytes": 100_000 });
    let body =
        json!({ "max_wait_ms": 0, "min_bytes": 0, "topics": [{ "topic": first.topic, "partitions": [partition] }] });
    peer.ask("Fetch", 11, &body);
}
