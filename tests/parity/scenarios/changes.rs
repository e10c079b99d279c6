//! What changes topics and settings: `CreatePartitions`, `AlterConfigs`, `IncrementalAlterConfigs`, `DeleteRecords`; and
//! what they lead to.

use super::Scenario;
use super::find_coordinator::{GROUP, awake};
use super::members::{Member, commit, sync_all};
use crate::batch::Batch;
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("changes/partitions", partitions),
    ("changes/settings at once", settings_at_once),
    ("changes/settings one by one", settings_one_by_one),
    ("changes/settings that are wrong", wrong_settings),
    ("changes/records deleted", records_deleted),
    ("changes/resources with settings", resources),
    ("changes/more replicas than there are", more_replicas),
];

const TOPIC: i8 = 2;

fn partitions(peer: &mut Peer) {
    for version in versions("CreatePartitions") {
        let name = peer.topic(&version.to_string(), 2, &[]);
        let one = |topic: &str, count: i32, assignments: Json| json!({ "topics": [{ "name": topic, "count": count, "assignments": assignments }], "timeout_ms": 30_000 });
        for (note, topic, count, assignments) in [
            ("as many", name.as_str(), 2, Json::Null),
            ("fewer", &name, 1, Json::Null),
            ("none", &name, 0, Json::Null),
            ("a negative number", &name, -1, Json::Null),
            ("an unknown topic", "never-created", 3, Json::Null),
            ("an unknown broker", &name, 3, json!([{ "broker_ids": [9] }])),
            ("too few assignments", &name, 4, json!([{ "broker_ids": [1] }])),
            ("a broker twice", &name, 3, json!([{ "broker_ids": [1, 1] }])),
            ("no broker", &name, 3, json!([{ "broker_ids": [] }])),
            ("one more, assigned", &name, 3, json!([{ "broker_ids": [1] }])),
            ("two more", &name, 5, Json::Null),
        ] {
            peer.note(note);
            peer.ask("CreatePartitions", version, &one(topic, count, assignments));
        }
        peer.await_topic(&name, 5);
        peer.note("only validated");
        let mut request = one(&name, 9, Json::Null);
        request["validate_only"] = json!(true);
        peer.ask("CreatePartitions", version, &request);
        for (note, count) in [("as many as may be", 10_005), ("one too many", 10_006)] {
            peer.note(note);
            request["topics"][0]["count"] = json!(count);
            peer.ask("CreatePartitions", version, &request);
        }
        peer.note("what there is");
        peer.ask("Metadata", 12, &json!({ "topics": [{ "name": name }] }));
        peer.note("nothing");
        peer.ask(
            "CreatePartitions",
            version,
            &json!({ "topics": [], "timeout_ms": 1000 }),
        );
    }
}

/// Describes some settings of a topic once a change of them has come through.
fn described(peer: &mut Peer, topic: &str, reached: (&str, &str)) {
    let all = json!({ "resources": [{ "resource_type": TOPIC, "resource_name": topic,
                      "configuration_keys": [reached.0, "retention.ms", "cleanup.policy", "max.message.bytes"] }] });
    peer.settle("the change of a setting", |peer| {
        let told = peer.quiet("DescribeConfigs", 4, &all);
        let configs = told["results"][0]["configs"].as_array().cloned().unwrap_or_default();
        configs
            .iter()
            .any(|config| config["name"] == reached.0 && config["value"] == reached.1)
    });
    peer.ask("DescribeConfigs", 4, &all);
}

fn settings_at_once(peer: &mut Peer) {
    for version in versions("AlterConfigs") {
        let topic = peer.topic(&version.to_string(), 1, &[("max.message.bytes", "2000")]);
        let alter = |configs: Json| json!({ "resources": [{ "resource_type": TOPIC, "resource_name": topic, "configs": configs }] });
        peer.note("one setting, and the others go");
        peer.ask(
            "AlterConfigs",
            version,
            &alter(json!([{ "name": "retention.ms", "value": "5000" }])),
        );
        described(peer, &topic, ("retention.ms", "5000"));
        peer.note("only validated");
        let mut request = alter(json!([{ "name": "retention.ms", "value": "7000" }]));
        request["validate_only"] = json!(true);
        peer.ask("AlterConfigs", version, &request);
        peer.note("none");
        peer.ask("AlterConfigs", version, &alter(json!([])));
        described(peer, &topic, ("retention.ms", "604800000"));
    }
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn incremental(topic: &str, changes: &[(&str, i8, Option<&str>)]) -> Json {
    let change = |(name, operation, value): &(&str, i8, Option<&str>)| json!({ "name": name, "config_operation": operation, "value": value });
    let configs: Vec<Json> = changes.iter().map(change).collect();
    json!({ "resources": [{ "resource_type": TOPIC, "resource_name": topic, "configs": configs }] })
}

fn settings_one_by_one(peer: &mut Peer) {
    for version in versions("IncrementalAlterConfigs") {
        let topic = peer.topic(&version.to_string(), 1, &[("max.message.bytes", "2000")]);
        for (note, changes, reached) in [
            (
                "set",
                &[("retention.ms", SET, Some("5000"))][..],
                ("retention.ms", "5000"),
            ),
            (
                "deleted",
                &[("retention.ms", DELETE, None)],
                ("retention.ms", "604800000"),
            ),
            (
                "deleted again",
                &[("retention.ms", DELETE, None)],
                ("retention.ms", "604800000"),
            ),
            (
                "two",
                &[("retention.ms", SET, Some("1")), ("max.message.bytes", DELETE, None)],
                ("retention.ms", "1"),
            ),
            ("nothing", &[], ("retention.ms", "1")),
        ] {
            peer.note(note);
            peer.ask("IncrementalAlterConfigs", version, &incremental(&topic, changes));
            described(peer, &topic, reached);
        }
    }
}

fn wrong_settings(peer: &mut Peer) {
    let topic = peer.topic("topic", 1, &[]);
    for version in versions("IncrementalAlterConfigs") {
        for (note, topic, changes) in [
            (
                "a value that cannot be",
                topic.as_str(),
                &[("retention.ms", SET, Some("soon"))][..],
            ),
            ("no value", &topic, &[("retention.ms", SET, None)]),
            ("an unknown setting", &topic, &[("no.such.setting", SET, Some("1"))]),
            (
                "an unknown setting deleted",
                &topic,
                &[("no.such.setting", DELETE, None)],
            ),
            ("appended to no list", &topic, &[("retention.ms", APPEND, Some("1"))]),
            (
                "subtracted from no list",
                &topic,
                &[("retention.ms", SUBTRACT, Some("1"))],
            ),
            ("an unknown operation", &topic, &[("retention.ms", 9, Some("1"))]),
            (
                "a setting twice",
                &topic,
                &[("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))],
            ),
            ("no name", &topic, &[("", SET, Some("1"))]),
            ("an unknown topic", "never-created", &[("retention.ms", SET, Some("1"))]),
            ("a topic that cannot be", "a b", &[("retention.ms", SET, Some("1"))]),
        ] {
            peer.note(note);
            peer.ask("IncrementalAlterConfigs", version, &incremental(topic, changes));
        }
    }
    for version in versions("AlterConfigs") {
        for (note, kind, name, key, value) in [
            (
                "a value that cannot be",
                TOPIC,
                topic.as_str(),
                "retention.ms",
                Some("soon"),
            ),
            ("no value", TOPIC, &topic, "retention.ms", None),
            ("an unknown setting", TOPIC, &topic, "no.such.setting", Some("1")),
            ("an unknown topic", TOPIC, "never-created", "retention.ms", Some("1")),
            ("an unknown broker", 4, "9", "log.retention.ms", Some("1")),
            ("a broker that is no number", 4, "one", "log.retention.ms", Some("1")),
            ("an unknown kind", 3, "x", "x", Some("1")),
        ] {
            peer.note(note);
            let configs = json!([{ "name": key, "value": value }]);
            peer.ask(
                "AlterConfigs",
                version,
                &json!({ "resources": [{ "resource_type": kind, "resource_name": name, "configs": configs }] }),
            );
        }
    }
    peer.note("two unknown kinds of one name");
    let resource = |kind: i8| json!({ "resource_type": kind, "resource_name": "x", "configs": [] });
    peer.ask("AlterConfigs", 1, &json!({ "resources": [resource(3), resource(-1)] }));
}

fn records_deleted(peer: &mut Peer) {
    for version in versions("DeleteRecords") {
        let topic = peer.topic(&version.to_string(), 1, &[]);
        for _ in 0..3 {
            peer.append(&topic, 0, &Batch::of_values(&["a", "b", "c"]));
        }
        let one = |topic: &str, index: i32, offset: i64| json!({ "topics": [{ "name": topic, "partitions": [{ "partition_index": index, "offset": offset }] }], "timeout_ms": 30_000 });
        for (note, topic, index, offset) in [
            ("up to 0", topic.as_str(), 0, 0),
            ("into a batch", &topic, 0, 4),
            ("back", &topic, 0, 1),
            ("beyond the end", &topic, 0, 10),
            ("a negative offset", &topic, 0, -5),
            ("an unknown partition", &topic, 3, 1),
            ("an unknown topic", "never-created", 0, 1),
            ("everything", &topic, 0, -1),
        ] {
            peer.note(note);
            peer.ask("DeleteRecords", version, &one(topic, index, offset));
            for time in [-1, -2, -3, 0] {
                let partitions = json!([{ "partition_index": 0, "timestamp": time }]);
                peer.ask(
                    "ListOffsets",
                    7,
                    &json!({ "replica_id": -1, "topics": [{ "name": topic, "partitions": partitions }] }),
                );
            }
            for offset in [0, 4, 9] {
                let partitions = json!([{ "partition": 0, "fetch_offset": offset, "partition_max_bytes": 10_000 }]);
                peer.ask("Fetch", 11, &json!({ "max_wait_ms": 0, "min_bytes": 0, "topics": [{ "topic": topic, "partitions": partitions }] }));
            }
        }
        peer.note("nothing");
        peer.ask("DeleteRecords", version, &json!({ "topics": [], "timeout_ms": 1000 }));
    }
}

fn resources(peer: &mut Peer) {
    for version in versions("ListConfigResources") {
        for kinds in [&[4_i8][..], &[8], &[16], &[32], &[9], &[4, 4]] {
            peer.note(format!("kinds {kinds:?}"));
            peer.ask("ListConfigResources", version, &json!({ "resource_types": kinds }));
        }
    }
}

/// What has fewer replicas than `min.insync.replicas` wants takes records if all of them are in sync
/// (`Partition.effectiveMinIsr`); the topic of groups too.
fn more_replicas(peer: &mut Peer) {
    const NAME: &str = "min.insync.replicas";
    const OFFSETS: &str = "__consumer_offsets";
    awake(peer, GROUP);
    let topic = peer.topic("topic", 1, &[]);
    for (note, operation, wanted) in [("two", SET, "2"), ("as before", DELETE, "1")] {
        peer.note(note);
        let value = (operation == SET).then_some(wanted);
        for name in [topic.as_str(), OFFSETS] {
            peer.ask(
                "IncrementalAlterConfigs",
                1,
                &incremental(name, &[(NAME, operation, value)]),
            );
            described(peer, name, (NAME, wanted));
        }
        for acks in [-1, 1] {
            let data = json!([{ "name": topic, "partition_data": [{ "index": 0, "records": Batch::of_values(&["a"]).hex() }] }]);
            peer.ask(
                "Produce",
                8,
                &json!({ "acks": acks, "timeout_ms": 30_000, "topic_data": data }),
            );
        }
        let group = peer.name(wanted);
        let mut member = Member::new(peer, &group, None);
        member.join(peer, 5);
        sync_all(peer, std::slice::from_ref(&member), 3);
        for group in [group.as_str(), "changes-alone"] {
            let request = if group == member.group {
                member.commit_request((&topic, &Json::Null), 1)
            } else {
                commit(group, (&topic, &Json::Null), 1)
            };
            peer.ask("OffsetCommit", 8, &request);
            peer.ask("OffsetFetch", 7, &json!({ "group_id": group, "topics": null }));
        }
        member.leave(peer, 3);
        peer.ask("DescribeGroups", 5, &json!({ "groups": [group] }));
    }
}
