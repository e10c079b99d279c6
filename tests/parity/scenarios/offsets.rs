//! Committed offsets: by consumers without a group, fetched in every form, deleted, and commits that are wrong.

use super::find_coordinator::{GROUP, awake};
use super::{NO_TOPIC_ID, Scenario};
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("offsets/committed and fetched", committed),
    ("offsets/commits that are wrong", wrong),
    ("offsets/fetches of what is not there", not_there),
    ("offsets/deleted", deleted),
];

/// A topic by its name, or by its id from version 10 on.
fn topic(version: i16, name: &str, id: &Json, field: &str, partitions: &Json) -> Json {
    let mut topic = if version >= 10 {
        json!({ "topic_id": id })
    } else {
        json!({ "name": name })
    };
    topic[field] = partitions.clone();
    topic
}

fn commit(version: i16, group: &str, name: &str, id: &Json, partitions: &Json) -> Json {
    json!({ "group_id": group, "topics": [topic(version, name, id, "partitions", partitions)] })
}

fn fetch(version: i16, group: &str, topics: &Json) -> Json {
    if version >= 8 {
        json!({ "groups": [{ "group_id": group, "topics": topics }] })
    } else {
        json!({ "group_id": group, "topics": topics })
    }
}

fn committed(peer: &mut Peer) {
    awake(peer, GROUP);
    let name = peer.topic("topic", 3, &[]);
    let id = peer.topic_id(&name);
    for version in versions("OffsetCommit") {
        let group = peer.name(&version.to_string());
        let partition = |index: i32, offset: i64, metadata: Json| {
            json!({ "partition_index": index, "committed_offset": offset, "committed_leader_epoch": index - 1,
                    "committed_metadata": metadata })
        };
        for (note, partitions) in [
            (
                "at first",
                json!([partition(0, 5, json!("first")), partition(1, 0, Json::Null)]),
            ),
            (
                "on and back",
                json!([partition(0, 3, json!("")), partition(1, i64::MAX, json!("ü"))]),
            ),
        ] {
            peer.note(note);
            peer.ask(
                "OffsetCommit",
                version,
                &commit(version, &group, &name, &id, &partitions),
            );
            for version in versions("OffsetFetch") {
                let asked = json!([topic(version, &name, &id, "partition_indexes", &json!([0, 1, 2]))]);
                peer.ask("OffsetFetch", version, &fetch(version, &group, &asked));
                if version >= 2 {
                    peer.ask("OffsetFetch", version, &fetch(version, &group, &Json::Null));
                }
            }
        }
    }
}

fn wrong(peer: &mut Peer) {
    awake(peer, GROUP);
    let name = peer.topic("topic", 1, &[]);
    let id = peer.topic_id(&name);
    let (long, longest) = ("m".repeat(4097), "m".repeat(4096));
    for version in versions("OffsetCommit") {
        let group = peer.name(&version.to_string());
        let partition = |index: i32, offset: i64, metadata: &str| json!([{ "partition_index": index, "committed_offset": offset, "committed_metadata": metadata }]);
        for (note, name, id, partitions) in [
            ("no such partition", name.as_str(), &id, partition(7, 1, "")),
            ("a negative partition", &name, &id, partition(-1, 1, "")),
            (
                "no such topic",
                "never-created",
                &json!(NO_TOPIC_ID),
                partition(0, 1, ""),
            ),
            ("too much metadata", &name, &id, partition(0, 1, &long)),
            ("as much metadata as may be", &name, &id, partition(0, 1, &longest)),
            ("a negative offset", &name, &id, partition(0, -1, "")),
            ("nothing", &name, &id, json!([])),
        ] {
            peer.note(note);
            peer.ask("OffsetCommit", version, &commit(version, &group, name, id, &partitions));
        }
        for (note, group, member, generation) in [
            ("no group", "", "", -1),
            ("a member of no group", "never-joined", "nobody", -1),
            ("a generation of no group", "never-joined", "", 3),
            ("a member and a generation", "never-joined", "nobody", 3),
        ] {
            peer.note(note);
            let mut request = commit(version, group, &name, &id, &partition(0, 1, ""));
            request["member_id"] = json!(member);
            request["generation_id_or_member_epoch"] = json!(generation);
            peer.ask("OffsetCommit", version, &request);
        }
    }
}

fn not_there(peer: &mut Peer) {
    awake(peer, GROUP);
    let name = peer.topic("topic", 1, &[]);
    let id = peer.topic_id(&name);
    for version in versions("OffsetFetch") {
        let of =
            |name: &str, id: &Json, indexes: Json| json!([topic(version, name, id, "partition_indexes", &indexes)]);
        for (note, group, topics) in [
            ("a group that never was", "never-joined", of(&name, &id, json!([0]))),
            ("no group", "", of(&name, &id, json!([0]))),
            (
                "no such topic",
                "never-joined",
                of("never-created", &json!(NO_TOPIC_ID), json!([0, 1])),
            ),
            ("no such partition", "never-joined", of(&name, &id, json!([9, -1]))),
            ("no topics", "never-joined", json!([])),
        ] {
            peer.note(note);
            peer.ask("OffsetFetch", version, &fetch(version, group, &topics));
        }
    }
}

fn deleted(peer: &mut Peer) {
    awake(peer, GROUP);
    let (name, group) = (peer.topic("topic", 2, &[]), peer.name("group"));
    let partitions =
        json!([{ "partition_index": 0, "committed_offset": 1 }, { "partition_index": 1, "committed_offset": 2 }]);
    peer.ask("OffsetCommit", 8, &commit(8, &group, &name, &Json::Null, &partitions));
    let both = json!([{ "partition_index": 0 }, { "partition_index": 7 }]);
    for group in ["never-joined", "", group.as_str()] {
        for (note, topics) in [
            ("no topics", json!([])),
            (
                "a topic without partitions",
                json!([{ "name": name, "partitions": [] }]),
            ),
            (
                "a topic that is not there, without partitions",
                json!([{ "name": "never-created", "partitions": [] }]),
            ),
            (
                "a topic that is not there",
                json!([{ "name": "never-created", "partitions": both }]),
            ),
            (
                "a partition that is not there",
                json!([{ "name": name, "partitions": [{ "partition_index": 7 }] }]),
            ),
            (
                "one that is there and one that is not",
                json!([{ "name": name, "partitions": both }]),
            ),
            (
                "a topic that is there and one that is not",
                json!([{ "name": name, "partitions": [{ "partition_index": 0 }] },
                       { "name": "never-created", "partitions": both }]),
            ),
            (
                "one that is there, again",
                json!([{ "name": name, "partitions": [{ "partition_index": 0 }] }]),
            ),
        ] {
            peer.note(format!("{group:?}: {note}"));
            peer.ask("OffsetDelete", 0, &json!({ "group_id": group, "topics": topics }));
        }
    }
    peer.note("what is left");
    peer.ask("OffsetFetch", 7, &fetch(7, &group, &Json::Null));
}
