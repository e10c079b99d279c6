//! Topics that are created, grown, changed, filled, emptied and deleted in drawn order, and looked at in between, by every
//! API that shows them.
//!
//! Invariant: after each change all partitions that there should be can be used, and no other topic is there, before the
//! next request is sent.

use super::way::{Way, each};
use crate::batch::Batch;
use crate::peer::Peer;
use crate::scenarios::{NO_TOPIC_ID, ZERO_ID};
use serde_json::{Value as Json, json};

const WALKS: usize = 4;
const STEPS: usize = 45;
const NAMES: usize = 3;
const TOPIC: i8 = 2;
const SETTING: &str = "max.message.bytes";

pub(super) fn walks(peer: &mut Peer) {
    each(peer, WALKS, |way| {
        let topics = (0..NAMES).map(|index| Topic {
            name: way.peer.name(&format!("{}-{index}", way.number)),
            partitions: 0,
            id: json!(NO_TOPIC_ID),
        });
        let topics = topics.collect();
        let mut walk = Walk {
            way,
            topics,
            settings: 2000,
        };
        for step in 0..STEPS {
            walk.way.at(step);
            walk.step();
        }
        for topic in walk.topics.iter().filter(|topic| topic.partitions > 0) {
            walk.way.peer.delete_topic(&topic.name);
        }
    });
}

/// A name, and the topic that has it: none where there are no partitions; the id of the last that had it.
struct Topic {
    name: String,
    partitions: i32,
    id: Json,
}

struct Walk<'a> {
    way: Way<'a>,
    topics: Vec<Topic>,
    /// The value of a setting that was last given.
    settings: i32,
}

impl Walk<'_> {
    fn step(&mut self) {
        let place = self.way.draw.below(NAMES);
        // A topic that is there is left alone for most of the time.
        if self.topics[place].partitions == 0 && !self.way.draw.one_in(3) {
            return self.create(place);
        }
        match self.way.draw.below(14) {
            0 => self.create(place),
            1 => self.delete(place),
            2 => self.grow(place),
            3 => self.set(place),
            4..=6 => self.append(place),
            7 => self.cut(place),
            look => self.look(place, look),
        }
    }

    fn partition(&mut self) -> i32 {
        *self.way.draw.pick(&[0, 0, 0, 1, 2, 5, -1])
    }

    fn create(&mut self, place: usize) {
        let count = *self.way.draw.pick(&[1, 2, 3]);
        let only = self.way.draw.one_in(5);
        let configs = if self.way.draw.one_in(2) {
            json!([{ "name": SETTING, "value": "1500" }])
        } else {
            json!([])
        };
        let topic = json!({ "name": self.topics[place].name, "num_partitions": count, "replication_factor": 1,
                            "configs": configs });
        let (_, told) = self.way.call(
            "CreateTopics",
            &json!({ "topics": [topic], "timeout_ms": 30_000, "validate_only": only }),
        );
        if told["topics"][0]["error_code"] == 0 && !only {
            let topic = &mut self.topics[place];
            topic.partitions = count;
            self.way.peer.await_topic(&topic.name, count);
            topic.id = self.way.peer.topic_id(&topic.name);
        }
    }

    fn delete(&mut self, place: usize) {
        let topic = &self.topics[place];
        let by_id = self.way.draw.one_in(2);
        let one = if by_id {
            json!({ "name": null, "topic_id": topic.id })
        } else {
            json!({ "name": topic.name, "topic_id": ZERO_ID })
        };
        let body = json!({ "topics": [one], "topic_names": [topic.name], "timeout_ms": 30_000 });
        let (_, told) = self.way.call("DeleteTopics", &body);
        if told["responses"][0]["error_code"] == 0 {
            let topic = &mut self.topics[place];
            topic.partitions = 0;
            self.way.peer.await_no_topic(&topic.name);
        }
    }

    fn grow(&mut self, place: usize) {
        let topic = &self.topics[place];
        let count = topic.partitions + *self.way.draw.pick(&[1, 1, 0, -1]);
        let body =
            json!({ "topics": [{ "name": topic.name, "count": count, "assignments": null }], "timeout_ms": 30_000 });
        let (_, told) = self.way.call("CreatePartitions", &body);
        if told["results"][0]["error_code"] == 0 {
            let topic = &mut self.topics[place];
            topic.partitions = count;
            self.way.peer.await_topic(&topic.name, count);
        }
    }

    fn set(&mut self, place: usize) {
        self.settings += 1;
        let name = self.topics[place].name.clone();
        let value = self.settings.to_string();
        let (api, config) = if self.way.draw.one_in(2) {
            ("AlterConfigs", json!({ "name": SETTING, "value": value }))
        } else {
            (
                "IncrementalAlterConfigs",
                json!({ "name": SETTING, "value": value, "config_operation": 0 }),
            )
        };
        let resource = json!({ "resource_type": TOPIC, "resource_name": name, "configs": [config] });
        let (_, told) = self.way.call(api, &json!({ "resources": [resource] }));
        if told["responses"][0]["error_code"] == 0 {
            self.way.peer.settle("the change of a setting", |peer| {
                let asked = json!({ "resource_type": TOPIC, "resource_name": name, "configuration_keys": [SETTING] });
                let told = peer.quiet("DescribeConfigs", 4, &json!({ "resources": [asked] }));
                told["results"][0]["configs"][0]["value"] == value
            });
        }
    }

    fn append(&mut self, place: usize) {
        let index = self.partition();
        let text = "v".repeat(1 + self.way.draw.below(20));
        let batch = Batch::of_values(&vec![text.as_str(); 1 + self.way.draw.below(3)]);
        let topic = &self.topics[place];
        let data = json!({ "name": topic.name, "topic_id": topic.id,
                           "partition_data": [{ "index": index, "records": batch.hex() }] });
        let acks = *self.way.draw.pick(&[-1, 1]);
        self.way.call(
            "Produce",
            &json!({ "acks": acks, "timeout_ms": 30_000, "topic_data": [data] }),
        );
    }

    fn cut(&mut self, place: usize) {
        let partition =
            json!({ "partition_index": self.partition(), "offset": *self.way.draw.pick(&[0, 1, 2, -1, 500]) });
        let topic = json!({ "name": self.topics[place].name, "partitions": [partition] });
        self.way
            .call("DeleteRecords", &json!({ "topics": [topic], "timeout_ms": 30_000 }));
    }

    fn look(&mut self, place: usize, what: usize) {
        let index = self.partition();
        let topic = &self.topics[place];
        let (name, id) = (topic.name.clone(), topic.id.clone());
        match what {
            8 => {
                // Older versions create what they name.
                let version = self.way.turns.next_from("Metadata", 4);
                let asked = if version >= 12 && self.way.draw.one_in(2) {
                    json!({ "name": null, "topic_id": id })
                } else {
                    json!({ "name": name })
                };
                self.way.call_as(
                    "Metadata",
                    version,
                    &json!({ "topics": [asked], "allow_auto_topic_creation": false }),
                );
            }
            9 => {
                // By time it is a scenario of its own what is found below the log's start.
                let time = *self.way.draw.pick(&[-1, -2, -3]);
                let partition = json!({ "partition_index": index, "timestamp": time });
                let asked = json!([{ "name": name, "partitions": [partition] }]);
                self.way
                    .call("ListOffsets", &json!({ "replica_id": -1, "topics": asked }));
            }
            10 => {
                let offset = *self.way.draw.pick(&[0, 0, 1, 3, 50]);
                let partition = json!({ "partition": index, "fetch_offset": offset, "partition_max_bytes": 100_000 });
                let asked = json!([{ "topic": name, "topic_id": id, "partitions": [partition] }]);
                self.way
                    .call("Fetch", &json!({ "max_wait_ms": 0, "min_bytes": 0, "topics": asked }));
            }
            11 => {
                let keys = json!([SETTING, "retention.ms"]);
                let asked = json!({ "resource_type": TOPIC, "resource_name": name, "configuration_keys": keys });
                let body = json!({ "resources": [asked], "include_synonyms": self.way.draw.one_in(2) });
                self.way.call("DescribeConfigs", &body);
            }
            12 => {
                let asked = json!({ "topic": name, "partitions": [index] });
                self.way.call("DescribeLogDirs", &json!({ "topics": [asked] }));
            }
            _ => {
                self.way
                    .call("DescribeTopicPartitions", &json!({ "topics": [{ "name": name }] }));
            }
        }
    }
}
