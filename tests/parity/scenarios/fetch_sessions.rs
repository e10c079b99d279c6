//! Fetch sessions (KIP-227): opened, continued, changed, forgotten; and epochs that are wrong.

use super::Scenario;
use crate::batch::Batch;
use crate::message::versions;
use crate::peer::{Line, Peer};
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("fetch_sessions/a life", a_life),
    ("fetch_sessions/wrong ids and epochs", wrong),
    ("fetch_sessions/a topic goes", topic_goes),
    ("fetch_sessions/errors in it", errors),
];

const FIRST: i16 = 7;

struct Reader {
    line: Line,
    version: i16,
    topic: String,
    id: Json,
}

impl Reader {
    fn new(peer: &mut Peer, version: i16) -> Self {
        let topic = peer.topic(&format!("session-{version}"), 3, &[]);
        let id = peer.topic_id(&topic);
        for partition in 0..2 {
            peer.append(&topic, partition, &Batch::of_values(&["x"; 2]));
        }
        let line = peer.connect();
        Self {
            line,
            version,
            topic,
            id,
        }
    }

    fn topic(&self, partitions: &Json) -> Json {
        if self.version >= 13 {
            json!({ "topic_id": self.id, "partitions": partitions })
        } else {
            json!({ "topic": self.topic, "partitions": partitions })
        }
    }

    /// Fetches the partitions at the offsets, and forgets others; returns the session's id.
    fn fetch(&self, peer: &mut Peer, session: (&Json, i32), partitions: &[(i32, i64)], forgotten: &[i32]) -> Json {
        let asked: Vec<Json> = partitions
            .iter()
            .map(|(index, offset)| json!({ "partition": index, "fetch_offset": offset, "partition_max_bytes": 1000 }))
            .collect();
        let topics = if asked.is_empty() {
            json!([])
        } else {
            json!([self.topic(&json!(asked))])
        };
        let forgotten = if forgotten.is_empty() {
            json!([])
        } else {
            json!([self.topic(&json!(forgotten))])
        };
        let request = json!({ "max_wait_ms": 0, "min_bytes": 0, "session_id": session.0, "session_epoch": session.1,
                              "topics": topics, "forgotten_topics_data": forgotten });
        peer.call(self.line, "Fetch", self.version, &request)["session_id"].clone()
    }
}

fn a_life(peer: &mut Peer) {
    for version in FIRST..=*versions("Fetch").end() {
        let reader = Reader::new(peer, version);
        let zero = json!(0);
        peer.note("opened");
        let session = reader.fetch(peer, (&zero, 0), &[(0, 0), (1, 0), (2, 0)], &[]);
        peer.note("nothing changed in the request: the same records again");
        reader.fetch(peer, (&session, 1), &[], &[]);
        peer.note("one read on");
        reader.fetch(peer, (&session, 2), &[(0, 2)], &[]);
        peer.note("the other read on");
        reader.fetch(peer, (&session, 3), &[(1, 2)], &[]);
        peer.note("nothing new");
        reader.fetch(peer, (&session, 4), &[], &[]);
        peer.append(&reader.topic, 1, &Batch::of_values(&["new"]));
        peer.note("new records in one");
        reader.fetch(peer, (&session, 5), &[], &[]);
        peer.note("one forgotten");
        reader.fetch(peer, (&session, 6), &[], &[1]);
        peer.append(&reader.topic, 1, &Batch::of_values(&["newer"]));
        peer.note("nothing of what was forgotten");
        reader.fetch(peer, (&session, 7), &[], &[]);
        peer.note("forgotten and asked for in one");
        reader.fetch(peer, (&session, 8), &[(1, 3)], &[1]);
        peer.note("closed, by a full fetch without a session");
        reader.fetch(peer, (&session, -1), &[(0, 0)], &[]);
        peer.note("what is closed is not found");
        reader.fetch(peer, (&session, 9), &[], &[]);
    }
}

fn wrong(peer: &mut Peer) {
    for version in FIRST..=*versions("Fetch").end() {
        let reader = Reader::new(peer, version);
        let zero = json!(0);
        let session = reader.fetch(peer, (&zero, 0), &[(0, 0)], &[]);
        for (note, id, epoch) in [
            ("an unknown session", &json!(99), 1),
            ("no session, but an epoch", &zero, 5),
            ("no session and a negative epoch", &zero, -2),
            ("an epoch that skips one", &session, 2),
            ("the epoch 0", &session, 0),
            ("a negative epoch", &session, -2),
        ] {
            peer.note(note);
            reader.fetch(peer, (id, epoch), &[(0, 0)], &[]);
        }
        peer.note("after the errors");
        reader.fetch(peer, (&session, 1), &[], &[]);
    }
}

fn topic_goes(peer: &mut Peer) {
    for version in [7, 11, 12, 13, *versions("Fetch").end()] {
        let reader = Reader::new(peer, version);
        peer.note("opened");
        let session = reader.fetch(peer, (&json!(0), 0), &[(0, 2), (1, 2)], &[]);
        peer.delete_topic(&reader.topic);
        peer.note("the topic is gone");
        reader.fetch(peer, (&session, 1), &[], &[]);
        peer.note("and stays gone");
        reader.fetch(peer, (&session, 2), &[], &[]);
        let topic = peer.topic(&format!("session-{version}"), 3, &[]);
        peer.append(&topic, 0, &Batch::of_values(&["of the new one"; 4]));
        peer.note("another has its name");
        reader.fetch(peer, (&session, 3), &[], &[]);
    }
}

fn errors(peer: &mut Peer) {
    for version in FIRST..=*versions("Fetch").end() {
        let reader = Reader::new(peer, version);
        peer.note("one out of range, one unknown");
        let session = reader.fetch(peer, (&json!(0), 0), &[(0, 50), (1, 0), (9, 0)], &[]);
        peer.note("the errors come again");
        reader.fetch(peer, (&session, 1), &[], &[]);
        peer.note("the offset is put right");
        reader.fetch(peer, (&session, 2), &[(0, 0)], &[9]);
        peer.note("a partition that is asked for twice");
        reader.fetch(peer, (&session, 3), &[(0, 0), (0, 2)], &[]);
    }
}
