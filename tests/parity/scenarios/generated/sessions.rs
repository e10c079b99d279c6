//! Fetch sessions (KIP-227) that go on, change what they ask for, lose step, and end in drawn order, while records come.

use super::way::{Way, each};
use crate::batch::Batch;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

const WALKS: usize = 4;
const STEPS: usize = 40;
const PARTITIONS: usize = 3;
/// The first version with sessions.
const FIRST: i16 = 7;

pub(super) fn walks(peer: &mut Peer) {
    each(peer, WALKS, |mut way| {
        let topic = way.topic(PARTITIONS);
        let mut walk = Walk {
            way,
            topic,
            session: json!(0),
            epoch: 0,
            version: FIRST,
            offsets: [0; PARTITIONS],
        };
        for step in 0..STEPS {
            walk.way.at(step);
            walk.step();
        }
    });
}

struct Walk<'a> {
    way: Way<'a>,
    topic: (String, Json),
    session: Json,
    epoch: i32,
    /// A session is held in one version: the ids and names of another are not its own.
    version: i16,
    offsets: [i64; PARTITIONS],
}

impl Walk<'_> {
    fn step(&mut self) {
        match self.way.draw.below(9) {
            0 | 1 => self.begin(),
            2 | 3 => self.append(),
            4 => self.lose_step(),
            5 => self.end(),
            _ => self.go_on(),
        }
    }

    fn append(&mut self) {
        let index = self.way.draw.below(PARTITIONS);
        self.way
            .peer
            .append(&self.topic.0, index as i32, &Batch::of_values(&["a", "b"]));
    }

    /// What is asked of some partitions; now and then of one that there is not.
    fn asked(&mut self, most: usize) -> Json {
        let count = self.way.draw.below(most + 1);
        let first = self.way.draw.below(PARTITIONS);
        let mut partitions = Vec::new();
        for place in 0..count {
            let index = (first + place) % PARTITIONS;
            if self.way.draw.one_in(3) {
                self.offsets[index] += 1;
            }
            partitions.push(
                json!({ "partition": index, "fetch_offset": self.offsets[index], "partition_max_bytes": 10_000 }),
            );
        }
        if count > 0 && self.way.draw.one_in(8) {
            partitions.push(json!({ "partition": 9, "fetch_offset": 0, "partition_max_bytes": 10_000 }));
        }
        if partitions.is_empty() {
            json!([])
        } else {
            json!([{ "topic": self.topic.0, "topic_id": self.topic.1, "partitions": partitions }])
        }
    }

    fn fetch(&mut self, session: &Json, epoch: i32, topics: &Json, forgotten: &Json) -> Json {
        let body = json!({ "max_wait_ms": 0, "min_bytes": 0, "session_id": session, "session_epoch": epoch,
                           "topics": topics, "forgotten_topics_data": forgotten });
        self.way.call_as("Fetch", self.version, &body)
    }

    fn begin(&mut self) {
        self.version = self.way.turns.next_from("Fetch", FIRST);
        let topics = self.asked(PARTITIONS);
        let old = if self.way.draw.one_in(2) {
            self.session.clone()
        } else {
            json!(0)
        };
        let told = self.fetch(&old, 0, &topics, &json!([]));
        self.session = told["session_id"].clone();
        self.epoch = 1;
    }

    fn go_on(&mut self) {
        if self.session == 0 {
            return self.begin();
        }
        let topics = self.asked(2);
        let forgotten = if self.way.draw.one_in(4) {
            let index = self.way.draw.below(PARTITIONS);
            json!([{ "topic": self.topic.0, "topic_id": self.topic.1, "partitions": [index] }])
        } else {
            json!([])
        };
        let told = self.fetch(&self.session.clone(), self.epoch, &topics, &forgotten);
        if told["error_code"] == 0 {
            self.epoch += 1;
        }
    }

    fn lose_step(&mut self) {
        let topics = self.asked(1);
        let (session, epoch) = if self.way.draw.one_in(2) {
            (self.session.clone(), self.epoch + 1 + self.way.draw.below(3) as i32)
        } else {
            (json!(77_777), 1)
        };
        self.fetch(&session, epoch, &topics, &json!([]));
    }

    /// A fetch that ends the session, or never was in one.
    fn end(&mut self) {
        let topics = self.asked(PARTITIONS);
        self.fetch(&self.session.clone(), -1, &topics, &json!([]));
        self.session = json!(0);
        self.epoch = 0;
    }
}
