//! Requests drawn from the wire notation (see `generate`), for every API and version that is served: single ones here, to
//! topics, groups and members that are there and that are not; in `walks`, sequences of several connections, each request
//! in a version of its own.
//!
//! Invariant: what is sent follows from the seed of the run and the name of the scenario.

mod broken;
mod members;
mod producers;
mod sessions;
mod topics;
mod way;
mod world;

use super::find_coordinator::{GROUP, awake};
use super::idempotence::producer;
use super::members::{commit_alone, disperse, stable};
use super::{Scenario, ZERO_ID};
use crate::draw::Draw;
use crate::generate::request;
use crate::message::{Api, versions};
use crate::peer::{Line, Peer};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use world::World;

macro_rules! frames {
    ($($api:literal $run:ident,)*) => {
        &[$((concat!("generated/", $api), |peer| $run(peer, $api)),)*]
    };
}

pub(super) const SCENARIOS: &[Scenario] = frames! {
    "ApiVersions" look,
    "Metadata" look,
    "Fetch" look,
    "ListOffsets" look,
    "DescribeConfigs" look,
    "OffsetForLeaderEpoch" look,
    "DescribeTopicPartitions" look,
    "DescribeProducers" look,
    "DescribeCluster" look,
    "DescribeLogDirs" look,
    "FindCoordinator" look,
    "ListConfigResources" look,
    "InitProducerId" look,
    "ListGroups" groups,
    "DescribeGroups" groups,
    "OffsetFetch" groups,
    "OffsetCommit" groups,
    "OffsetDelete" groups,
    "DeleteGroups" groups,
    "Heartbeat" groups,
    "SyncGroup" groups,
    "LeaveGroup" groups,
    "JoinGroup" joins,
    "CreateTopics" change,
    "DeleteTopics" change,
    "CreatePartitions" change,
    "AlterConfigs" change,
    "IncrementalAlterConfigs" change,
    "DeleteRecords" change,
    "Produce" change,
};

/// Sequences of requests.
pub(super) const WALKS: &[Scenario] = &[
    ("generated/walks of members", members::walks),
    ("generated/walks of topics", topics::walks),
    ("generated/walks of producers", producers::walks),
    ("generated/walks of fetch sessions", sessions::walks),
    ("generated/bodies cut short", broken::bodies),
];

/// Single requests of each version.
const CASES: usize = 24;
/// Connections that they come over.
const LINES: usize = 3;

/// Whose turn it is among the versions of each API: every one is used as often as any other.
#[derive(Default)]
struct Turns(BTreeMap<&'static str, usize>);

impl Turns {
    /// The next version of an API.
    fn next(&mut self, api: &'static str) -> i16 {
        self.next_from(api, i16::MIN)
    }

    /// The next version of an API that is not below `first`.
    fn next_from(&mut self, api: &'static str, first: i16) -> i16 {
        let able: Vec<i16> = versions(api).filter(|version| *version >= first).collect();
        let turn = self.0.entry(api).or_default();
        *turn += 1;
        able[*turn % able.len()]
    }
}

/// The connections of a scenario, and its draws.
struct Sender {
    draw: Draw,
    lines: Vec<Line>,
}

impl Sender {
    fn new(peer: &mut Peer) -> Self {
        Self {
            draw: peer.draw(),
            lines: (0..LINES).map(|_| peer.connect()).collect(),
        }
    }

    /// Sends a request on one of the connections; one that was closed is replaced.
    fn call(&mut self, peer: &mut Peer, api: &str, version: i16, body: &Json) -> Json {
        let place = self.draw.below(self.lines.len());
        let answer = peer.call(self.lines[place], api, version, body);
        if answer.is_null() {
            self.lines[place] = peer.connect();
        }
        answer
    }

    /// Single requests of a version; the last answer.
    fn cases(&mut self, peer: &mut Peer, api: &str, version: i16, count: usize, world: &World) -> Json {
        let mut answer = Json::Null;
        for case in 0..count {
            let mut body = request(&mut self.draw, Api::named(api), version, &|api, version, field| {
                world.pool(api, version, field)
            });
            name_once(&mut body);
            if asks_for_everything(api, version, &body) {
                continue;
            }
            peer.note(format!("{version}, {case}"));
            answer = self.call(peer, api, version, &body);
        }
        answer
    }
}

/// A topic to be deleted that has an id goes without its name: both together are a scenario of their own.
fn name_once(body: &mut Json) {
    let topics = body
        .get_mut("topics")
        .and_then(Json::as_array_mut)
        .into_iter()
        .flatten();
    for topic in
        topics.filter(|topic| topic.get("name").is_some() && topic.get("topic_id").is_some_and(|id| *id != ZERO_ID))
    {
        if let Some(name) = topic.get_mut("name") {
            *name = Json::Null;
        }
    }
}

/// Whether a request is about what other scenarios left behind.
fn asks_for_everything(api: &str, version: i16, body: &Json) -> bool {
    let none = |field: &str| body[field].as_array().is_none_or(Vec::is_empty);
    match api {
        "Metadata" => none("topics") && (version == 0 || body["topics"].is_null()),
        "DescribeTopicPartitions" | "DescribeLogDirs" => none("topics"),
        "ListConfigResources" => none("resource_types"),
        _ => false,
    }
}

/// APIs that change nothing that another request sees.
fn look(peer: &mut Peer, api: &str) {
    awake(peer, GROUP);
    producer(peer);
    let world = World::of_topics(peer);
    let mut sender = Sender::new(peer);
    for version in versions(api) {
        sender.cases(peer, api, version, CASES, &world);
    }
}

/// APIs that change topics: each version has topics of its own.
fn change(peer: &mut Peer, api: &str) {
    let mut world = World::of_topics(peer);
    let mut sender = Sender::new(peer);
    for version in versions(api) {
        if api != "CreateTopics" {
            let names: Vec<String> = (0..5).map(|index| format!("{version}-{index}")).collect();
            world.topics = peer.topics(&names, 2);
            world.ids = world.topics.iter().map(|name| peer.topic_id(name)).collect();
        }
        sender.cases(peer, api, version, CASES, &world);
    }
}

/// APIs of groups: each version has a group with two members, one of them static, and groups with offsets alone.
fn groups(peer: &mut Peer, api: &str) {
    awake(peer, GROUP);
    let mut world = World::of_topics(peer);
    let mut sender = Sender::new(peer);
    let mut joined = Vec::new();
    let lasting = !matches!(api, "LeaveGroup" | "DeleteGroups" | "OffsetDelete" | "OffsetCommit");
    for version in versions(api) {
        if !lasting || world.groups.is_empty() {
            let live = peer.name(&format!("{version}-live"));
            joined = stable(peer, &live, &[None, Some("instance")]);
            world.members = joined.iter().map(|member| json!(member.id)).collect();
            world.instances = vec![Json::Null, json!("instance")];
            let alone = ["a", "b"].map(|suffix| peer.name(&format!("{version}-{suffix}")));
            for group in &alone {
                commit_alone(peer, group, &world.topics[0]);
            }
            world.groups = [live].into_iter().chain(alone).collect();
        }
        sender.cases(peer, api, version, CASES, &world);
        if !lasting {
            disperse(peer, &world.groups[0], &joined);
        }
    }
    disperse(peer, &world.groups[0], &joined);
    // Kafka 4.3 does not know the last version of it, and keeps what was asked to go.
    if api == "DeleteGroups" {
        for version in versions(api) {
            let alone = ["a", "b"].map(|suffix| peer.name(&format!("{version}-{suffix}")));
            let live = peer.name(&format!("{version}-live"));
            peer.quiet(api, 2, &json!({ "groups_names": [alone[0], alone[1], live] }));
        }
    }
}

/// Joins: to groups that nobody is in, by who is new; and to a group with one member, by that one.
fn joins(peer: &mut Peer, api: &str) {
    awake(peer, GROUP);
    let mut world = World::of_topics(peer);
    let mut sender = Sender::new(peer);
    for version in versions(api) {
        let live = peer.name(&format!("{version}-live"));
        let joined = stable(peer, &live, &[None]);
        world.members = joined.iter().map(|member| json!(member.id)).collect();
        world.groups = vec![live];
        world.newcomers = false;
        sender.cases(peer, api, version, CASES / 2, &world);
        disperse(peer, &world.groups[0], &joined);
        world.newcomers = true;
        world.instances = vec![Json::Null, json!("instance")];
        for case in 0..CASES / 3 {
            let group = peer.name(&format!("{version}-{case}"));
            world.groups = vec![group.clone()];
            let told = sender.cases(peer, api, version, 1, &world);
            let gone = json!([{ "member_id": told["member_id"] }]);
            if told["error_code"] == 0 {
                peer.quiet("LeaveGroup", 3, &json!({ "group_id": group, "members": gone }));
            }
        }
    }
}
