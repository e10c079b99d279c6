//! What a broker knows after it was stopped and started: topics, settings, records and where logs begin, producers, groups
//! and their offsets.

use super::Scenario;
use super::find_coordinator::{GROUP, awake};
use super::idempotence::Sender;
use crate::batch::Batch;
use crate::peer::{Line, Peer};
use serde_json::json;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("restart/topics and records", topics),
    ("restart/producers", producers),
    ("restart/groups", groups),
    ("restart/the topic of groups", topic_of_groups),
];

const TOPIC: i8 = 2;

/// What can be told about a topic and its partition 0.
fn look(peer: &mut Peer, topic: &str) {
    let id = peer.topic_id(topic);
    peer.ask(
        "Metadata",
        12,
        &json!({ "topics": [{ "name": topic }], "allow_auto_topic_creation": false }),
    );
    for time in [-1, -2, -3, 0] {
        let partitions = json!([{ "partition_index": 0, "timestamp": time }]);
        let asked = json!([{ "name": topic, "partitions": partitions }]);
        peer.ask("ListOffsets", 7, &json!({ "replica_id": -1, "topics": asked }));
    }
    for (offset, epoch) in [(0, -1), (4, -1), (7, -1), (7, 0), (50, -1)] {
        let partitions = json!([{ "partition": 0, "fetch_offset": offset, "current_leader_epoch": epoch,
                                  "partition_max_bytes": 10_000 }]);
        let asked = json!([{ "topic_id": id, "partitions": partitions }]);
        peer.ask(
            "Fetch",
            16,
            &json!({ "max_wait_ms": 0, "min_bytes": 0, "topics": asked }),
        );
    }
    for epoch in [0, 50] {
        let partitions = json!([{ "partition": 0, "leader_epoch": epoch }]);
        let asked = json!([{ "topic": topic, "partitions": partitions }]);
        peer.ask("OffsetForLeaderEpoch", 4, &json!({ "replica_id": -2, "topics": asked }));
    }
    let resource = json!({ "resource_type": TOPIC, "resource_name": topic,
                           "configuration_keys": ["retention.ms", "max.message.bytes", "segment.bytes"] });
    peer.ask("DescribeConfigs", 4, &json!({ "resources": [resource] }));
    let asked = json!([{ "topic": topic, "partitions": [0] }]);
    peer.ask("DescribeLogDirs", 4, &json!({ "topics": asked }));
}

fn topics(peer: &mut Peer) {
    let kept = peer.topic("kept", 2, &[("retention.ms", "-1"), ("segment.bytes", "1048576")]);
    let (empty, gone) = (peer.topic("empty", 1, &[]), peer.topic("gone", 1, &[]));
    for _ in 0..3 {
        peer.append(&kept, 0, &Batch::of_values(&["a", "b", "c"]));
    }
    peer.append(&kept, 1, &Batch::of_values(&["d"]));
    peer.append(&gone, 0, &Batch::of_values(&["old"]));
    let old_id = peer.topic_id(&gone);
    peer.delete_topic(&gone);
    let again = peer.topic("gone", 1, &[]);
    let partitions = json!([{ "partition_index": 0, "offset": 4 }]);
    let asked = json!([{ "name": kept, "partitions": partitions }]);
    peer.quiet("DeleteRecords", 2, &json!({ "topics": asked, "timeout_ms": 30_000 }));
    let change = json!([{ "name": "max.message.bytes", "config_operation": 0, "value": "5000" }]);
    let resource = json!({ "resource_type": TOPIC, "resource_name": kept, "configs": change });
    peer.quiet("IncrementalAlterConfigs", 1, &json!({ "resources": [resource] }));
    peer.restart();
    for (topic, partitions) in [(&kept, 2), (&empty, 1), (&again, 1)] {
        peer.await_topic(topic, partitions);
        peer.note(topic.as_str());
        look(peer, topic);
    }
    peer.note("the old id");
    peer.ask(
        "Metadata",
        12,
        &json!({ "topics": [{ "topic_id": old_id, "name": null }] }),
    );
    peer.note("appended afterwards");
    let data = json!([{ "index": 0, "records": Batch::of_values(&["after"]).hex() }]);
    let sent = json!([{ "name": kept, "partition_data": data }]);
    peer.ask(
        "Produce",
        8,
        &json!({ "acks": -1, "timeout_ms": 30_000, "topic_data": sent }),
    );
    look(peer, &kept);
}

/// A time of this run, the same for both brokers: Kafka forgets producers whose records are a day old.
#[expect(
    clippy::disallowed_methods,
    reason = "what Kafka still knows of a producer depends on the clock that both brokers have"
)]
static TODAY: LazyLock<i64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
});

fn producers(peer: &mut Peer) {
    let mut first = Sender::new(peer, "topic").at(*TODAY);
    let mut second = first.beside(peer);
    for sequence in [0, 2, 4] {
        first.send(peer, 0, sequence, 2);
    }
    second.send(peer, 0, 0, 2);
    peer.restart();
    peer.await_topic(&first.topic, 1);
    (first.line, second.line) = (peer.connect(), peer.connect());
    // The last again, the first again, a gap, the next.
    for sequence in [4, 0, 8, 6] {
        first.send(peer, 0, sequence, 2);
    }
    second.send(peer, 0, 2, 2);
    // Nobody is given the id of another.
    first.beside(peer).send(peer, 0, 0, 1);
    peer.note("all that is there");
    let partition = json!({ "partition": 0, "fetch_offset": 0, "partition_max_bytes": 100_000 });
    let asked = json!([{ "topic": first.topic, "partitions": [partition] }]);
    peer.ask(
        "Fetch",
        11,
        &json!({ "max_wait_ms": 0, "min_bytes": 0, "topics": asked }),
    );
}

/// Waits until the coordinators of these groups have read what they kept.
fn await_groups(peer: &mut Peer, groups: &[&str]) {
    awake(peer, GROUP);
    for group in groups {
        let asked = json!({ "groups": [{ "group_id": group, "topics": null }] });
        peer.settle("a coordinator", |peer| {
            peer.quiet("OffsetFetch", 8, &asked)["groups"][0]["error_code"] == 0
        });
    }
}

fn commit(peer: &mut Peer, line: Line, group: &str, member: (&str, i64), topic: &str, offset: i64) {
    let partitions = json!([{ "partition_index": 0, "committed_offset": offset, "committed_metadata": "m",
                              "committed_leader_epoch": 0 }]);
    let request = json!({ "group_id": group, "generation_id_or_member_epoch": member.1, "member_id": member.0,
                          "topics": [{ "name": topic, "partitions": partitions }] });
    peer.call(line, "OffsetCommit", 8, &request);
}

fn groups(peer: &mut Peer) {
    let topic = peer.topic("topic", 1, &[]);
    let (group, alone, dropped) = (peer.name("group"), peer.name("alone"), peer.name("dropped"));
    await_groups(peer, &[&group, &alone, &dropped]);
    let line = peer.connect();
    let mut join = json!({ "group_id": group, "session_timeout_ms": 60_000, "rebalance_timeout_ms": 20_000,
                           "member_id": "", "group_instance_id": null, "protocol_type": "consumer",
                           "protocols": [{ "name": "range", "metadata": "01" }] });
    join["member_id"] = peer.call(line, "JoinGroup", 5, &join)["member_id"].clone();
    let joined = peer.call(line, "JoinGroup", 5, &join);
    let member = joined["member_id"].as_str().unwrap_or_default().to_owned();
    let generation = joined["generation_id"].as_i64().unwrap_or_default();
    let own = json!({ "group_id": group, "generation_id": generation, "member_id": member });
    let mut sync = own.clone();
    sync["assignments"] = json!([{ "member_id": member, "assignment": "0a0b" }]);
    peer.call(line, "SyncGroup", 3, &sync);
    commit(peer, line, &group, (&member, generation), &topic, 7);
    commit(peer, line, &alone, ("", -1), &topic, 9);
    commit(peer, line, &dropped, ("", -1), &topic, 1);
    peer.call(line, "DeleteGroups", 2, &json!({ "groups_names": [dropped] }));
    peer.restart();
    peer.await_topic(&topic, 1);
    await_groups(peer, &[&group, &alone, &dropped]);
    let line = peer.connect();
    for name in [&group, &alone, &dropped] {
        peer.note(name.as_str());
        let asked = json!({ "groups": [{ "group_id": name, "topics": null }] });
        peer.call(line, "OffsetFetch", 8, &asked);
        peer.call(line, "DescribeGroups", 6, &json!({ "groups": [name] }));
    }
    peer.note("the member goes on");
    peer.call(line, "Heartbeat", 3, &own);
    peer.call(line, "SyncGroup", 3, &sync);
    commit(peer, line, &group, (&member, generation), &topic, 8);
    peer.note("an old generation");
    commit(peer, line, &group, (&member, generation - 1), &topic, 2);
    peer.note("the member joins again");
    let joined = peer.call(line, "JoinGroup", 5, &join);
    let generation = joined["generation_id"].as_i64().unwrap_or_default();
    peer.note("and leaves");
    let members = json!([{ "member_id": member }]);
    peer.call(line, "LeaveGroup", 3, &json!({ "group_id": group, "members": members }));
    commit(peer, line, &group, (&member, generation), &topic, 3);
    peer.call(line, "DescribeGroups", 6, &json!({ "groups": [group] }));
}

/// The topic of groups is a topic like others to whoever administers it; with it go all groups. Nothing that needs them
/// may come after this.
fn topic_of_groups(peer: &mut Peer) {
    const NAME: &str = "__consumer_offsets";
    let (topic, group) = (peer.topic("topic", 1, &[]), peer.name("group"));
    await_groups(peer, &[&group]);
    let line = peer.connect();
    commit(peer, line, &group, ("", -1), &topic, 5);
    let create = |only: bool| {
        let created = json!([{ "name": NAME, "num_partitions": 50, "replication_factor": 1,
                               "configs": [{ "name": "cleanup.policy", "value": "compact" }] }]);
        json!({ "topics": created, "timeout_ms": 30_000, "validate_only": only })
    };
    peer.note("it is there");
    peer.ask("CreateTopics", 5, &create(false));
    for count in [49, 50, 51] {
        peer.note(format!("{count} partitions"));
        let topics = json!([{ "name": NAME, "count": count, "assignments": null }]);
        let request = json!({ "topics": topics, "timeout_ms": 30_000, "validate_only": true });
        peer.ask("CreatePartitions", 3, &request);
    }
    peer.note("deleted");
    peer.ask(
        "DeleteTopics",
        5,
        &json!({ "topic_names": [NAME], "timeout_ms": 30_000 }),
    );
    peer.await_no_topic(NAME);
    peer.note("created");
    peer.ask("CreateTopics", 5, &create(true));
    peer.quiet("CreateTopics", 5, &create(false));
    peer.await_topic(NAME, 50);
    await_groups(peer, &[&group]);
    let line = peer.connect();
    peer.note("the group is gone");
    peer.call(line, "DescribeGroups", 6, &json!({ "groups": [group] }));
    peer.note("and comes again");
    commit(peer, line, &group, ("", -1), &topic, 6);
    peer.call(
        line,
        "OffsetFetch",
        8,
        &json!({ "groups": [{ "group_id": group, "topics": null }] }),
    );
}
