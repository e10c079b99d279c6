//! Random requests to APIs that only look: any message that the notation allows, with names, ids and numbers mapped onto
//! those that say something. The same in every run.
//!
//! What both answer alike for a known reason (see `differences.txt`) is told apart by scenarios of its own; here it is
//! left out, so that a difference means something new: parts of a request named twice, topics without partitions.

use super::{NO_TOPIC_ID, Scenario, ZERO_ID};
use crate::batch::{Batch, SOME_TIME};
use crate::message::{Api, told, versions};
use crate::peer::Peer;
use klamm_core::wire::reflect::for_random_messages;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("generated/Fetch", |peer| {
        run(peer, "Fetch");
    }),
    ("generated/ListOffsets", |peer| {
        run(peer, "ListOffsets");
    }),
    ("generated/Metadata", |peer| {
        run(peer, "Metadata");
    }),
    ("generated/DescribeConfigs", |peer| {
        run(peer, "DescribeConfigs");
    }),
    ("generated/OffsetForLeaderEpoch", |peer| {
        run(peer, "OffsetForLeaderEpoch");
    }),
    ("generated/DescribeTopicPartitions", |peer| {
        run(peer, "DescribeTopicPartitions");
    }),
    ("generated/DescribeProducers", |peer| {
        run(peer, "DescribeProducers");
    }),
    ("generated/DescribeCluster", |peer| {
        run(peer, "DescribeCluster");
    }),
];

/// Requests of each version.
const CASES: u32 = 30;

/// What names and ids are mapped onto: two topics, and some that are not there.
struct World {
    names: Vec<String>,
    ids: Vec<Json>,
}

fn run(peer: &mut Peer, api: &str) {
    let first = peer.topic("first", 3, &[("retention.ms", "-1")]);
    let second = peer.topic("second", 1, &[]);
    for (topic, partition, values) in [
        (&first, 0, &["a", "b"][..]),
        (&first, 1, &["c"]),
        (&second, 0, &["d"; 7]),
    ] {
        peer.append(topic, partition, &Batch::of_values(values));
        peer.append(topic, partition, &Batch::of_values(values));
    }
    let world = World {
        ids: vec![peer.topic_id(&first), peer.topic_id(&second), json!(NO_TOPIC_ID)],
        names: vec![first, second, "never-created".to_owned(), "a b".to_owned()],
    };
    let codec = Api::named(api).request_codec();
    let served = versions(api);
    let mut requests = Vec::new();
    for_random_messages(codec, CASES, |version, message| {
        if served.contains(&version) {
            requests.push((version, told(codec, &codec.complete(&message), version)));
        }
    });
    let line = peer.connect();
    for (place, (version, mut request)) in requests.into_iter().enumerate() {
        world.map(api, version, "", &mut request);
        // What asks for everything sees what other scenarios left behind.
        if request
            .get("topics")
            .is_some_and(|topics| topics.as_array().is_none_or(Vec::is_empty))
        {
            continue;
        }
        peer.note(format!("{place}"));
        peer.call(line, api, version, &request);
    }
}

impl World {
    fn map(&self, api: &str, version: i16, name: &str, value: &mut Json) {
        match value {
            Json::Object(fields) => {
                for (name, value) in fields {
                    self.map(api, version, name, value);
                }
            }
            Json::Array(values) => {
                for value in &mut *values {
                    self.map(api, version, name, value);
                }
                let mut seen = BTreeSet::new();
                values.retain(|value| !lacks_partitions(value) && seen.insert(identity(value)));
            }
            Json::Null if name != "name" => {}
            value => *value = self.scalar(api, version, name, value),
        }
    }

    fn scalar(&self, api: &str, version: i16, name: &str, value: &Json) -> Json {
        let draw = value.to_string().bytes().map(usize::from).sum::<usize>();
        let pick = |pool: &[i64]| json!(pool[draw % pool.len()]);
        match name {
            // A request of Metadata that names both is a scenario of its own, and old versions create what they name.
            "topic_id" if api == "Metadata" => json!(ZERO_ID),
            "name" if api == "Metadata" && version < 4 => json!(self.names[[0, 1, 3][draw % 3]]),
            "allow_auto_topic_creation" => json!(false),
            "topic_id" => self.ids[draw % self.ids.len()].clone(),
            "topic" | "name" | "topic_name" | "resource_name" => json!(self.names[draw % self.names.len()]),
            "configuration_keys" => json!(["retention.ms", "cleanup.policy", "no.such.setting"][draw % 3]),
            "partition" | "partitions" | "partition_index" | "partition_indexes" => pick(&[0, 0, 1, 2, 7, -1]),
            "fetch_offset" => pick(&[0, 1, 2, 3, 4, 14, 100, -1]),
            "timestamp" => pick(&[-1, -2, -3, -4, -5, -6, -7, 0, SOME_TIME, SOME_TIME + 1, i64::MAX]),
            "current_leader_epoch" | "leader_epoch" => pick(&[-1, 0, 0, 1, 5]),
            "max_bytes" | "partition_max_bytes" => pick(&[1000, 10_000, i64::from(i32::MAX)]),
            "min_bytes" | "isolation_level" => pick(&[0, 1]),
            "session_epoch" | "replica_id" | "last_fetched_epoch" => json!(-1),
            "session_id" | "max_wait_ms" => json!(0),
            "resource_type" => pick(&[2, 2, 2, 4]),
            "endpoint_type" => pick(&[1, 1, 2, 0]),
            "response_partition_limit" => pick(&[1, 2, 3, 2000, 0, -1]),
            _ => value.clone(),
        }
    }
}

/// Whether this is a topic without a partition.
fn lacks_partitions(value: &Json) -> bool {
    let lists = ["partitions", "partition_indexes"]
        .into_iter()
        .filter_map(|name| value.get(name));
    lists.into_iter().any(|list| list.as_array().is_some_and(Vec::is_empty))
}

/// What a part of a request is about.
fn identity(value: &Json) -> String {
    let fields = [
        "topic",
        "name",
        "topic_id",
        "partition",
        "partition_index",
        "resource_type",
        "resource_name",
    ];
    let said: Vec<String> = fields
        .iter()
        .filter_map(|name| Some(value.get(name)?.to_string()))
        .collect();
    if said.is_empty() {
        value.to_string()
    } else {
        said.join(" ")
    }
}
