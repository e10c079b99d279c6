//! Idempotent producers that go on, repeat, skip, go back and change epochs in drawn order, and what readers see of it.

use super::way::{Way, each};
use crate::batch::Batch;
use crate::peer::Peer;
use crate::scenarios::idempotence::producer;
use serde_json::{Value as Json, json};

const WALKS: usize = 5;
const STEPS: usize = 40;
const PARTITIONS: usize = 2;

/// What a producer is about to send to a partition, and what it sent last: first sequence number and count.
#[derive(Clone, Copy, Default)]
struct Place {
    next: i32,
    last: (i32, i32),
}

struct Producer {
    id: i64,
    epoch: i16,
    places: [Place; PARTITIONS],
}

pub(super) fn walks(peer: &mut Peer) {
    each(peer, WALKS, |mut way| {
        let topic = way.topic(PARTITIONS);
        let producers = (0..2).map(|_| Producer {
            id: producer(way.peer),
            epoch: 0,
            places: [Place::default(); PARTITIONS],
        });
        let producers = producers.collect();
        let mut walk = Walk { way, topic, producers };
        for step in 0..STEPS {
            walk.way.at(step);
            walk.step();
        }
    });
}

struct Walk<'a> {
    way: Way<'a>,
    topic: (String, Json),
    producers: Vec<Producer>,
}

impl Walk<'_> {
    fn step(&mut self) {
        match self.way.draw.below(8) {
            0 => self.look(),
            1 => {
                let asked = json!({ "name": self.topic.0, "partition_indexes": [0, 1] });
                self.way.call("DescribeProducers", &json!({ "topics": [asked] }));
            }
            _ => self.send(),
        }
    }

    fn send(&mut self) {
        let who = self.way.draw.below(self.producers.len());
        let index = self.way.draw.below(PARTITIONS);
        let mut count = 1 + self.way.draw.below(3) as i32;
        let producer = &mut self.producers[who];
        let place = producer.places[index];
        let mut epoch = producer.epoch;
        let sequence = match self.way.draw.below(10) {
            // The last batch again, with another count now and then.
            0 | 1 if place.next > 0 => {
                if !self.way.draw.one_in(4) {
                    count = place.last.1;
                }
                place.last.0
            }
            2 => place.next + 1,
            3 => 0,
            4 if place.next > 2 => place.next - 2,
            5 => {
                producer.epoch += 1;
                epoch = producer.epoch;
                0
            }
            6 if epoch > 0 => {
                epoch -= 1;
                place.next
            }
            _ => place.next,
        };
        let values = vec!["value"; count as usize];
        let batch = Batch::of_values(&values).by(producer.id, epoch, sequence);
        let data = json!({ "name": self.topic.0, "topic_id": self.topic.1,
                           "partition_data": [{ "index": index, "records": batch.hex() }] });
        let (_, told) = self.way.call(
            "Produce",
            &json!({ "acks": -1, "timeout_ms": 30_000, "topic_data": [data] }),
        );
        if told["responses"][0]["partition_responses"][0]["error_code"] == 0 && sequence + count > place.next
            || epoch > 0 && sequence == 0
        {
            self.producers[who].places[index] = Place {
                next: sequence + count,
                last: (sequence, count),
            };
        }
    }

    fn look(&mut self) {
        let index = self.way.draw.below(PARTITIONS);
        let offset = self.way.draw.below(12);
        let partition = json!({ "partition": index, "fetch_offset": offset, "partition_max_bytes": 100_000 });
        let asked = json!([{ "topic": self.topic.0, "topic_id": self.topic.1, "partitions": [partition] }]);
        self.way
            .call("Fetch", &json!({ "max_wait_ms": 0, "min_bytes": 0, "topics": asked }));
    }
}
