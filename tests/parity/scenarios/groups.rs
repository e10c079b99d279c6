//! Groups of the classic protocol: members that join, sync, beat and leave, alone and in pairs, static ones, and all that
//! a member can get wrong.

use super::Scenario;
use super::find_coordinator::{GROUP, awake};
use crate::message::versions;
use crate::peer::{Line, Peer};
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("groups/a lone member", lone),
    ("groups/two members", two),
    ("groups/static members", static_members),
    ("groups/joins that are wrong", wrong_joins),
    ("groups/calls of nobody", nobody),
    ("groups/described, listed and deleted", administered),
];

const MEMBER_ID_REQUIRED: i16 = 79;

/// A consumer: its connection, and who it is as far as it has been told.
struct Member {
    line: Line,
    group: String,
    id: String,
    instance: Option<&'static str>,
    metadata: &'static str,
    generation: i64,
}

impl Member {
    fn new(peer: &mut Peer, group: &str, metadata: &'static str) -> Self {
        Self {
            line: peer.connect(),
            group: group.to_owned(),
            id: String::new(),
            instance: None,
            metadata,
            generation: -1,
        }
    }

    fn join_request(&self) -> Json {
        json!({ "group_id": self.group, "session_timeout_ms": 30_000, "rebalance_timeout_ms": 20_000,
                "member_id": self.id, "group_instance_id": self.instance, "protocol_type": "consumer",
                "protocols": [{ "name": "range", "metadata": self.metadata }, { "name": "other", "metadata": "" }] })
    }

    /// Sends a join; from version 4 on, a member without an id is given one first.
    fn begin_join(&mut self, peer: &mut Peer, version: i16) {
        if self.id.is_empty() && self.instance.is_none() && version >= 4 {
            let told = peer.call(self.line, "JoinGroup", version, &self.join_request());
            if told["error_code"] == MEMBER_ID_REQUIRED {
                told["member_id"].as_str().unwrap_or_default().clone_into(&mut self.id);
            }
        }
        peer.send(self.line, "JoinGroup", version, &self.join_request());
    }

    fn end_join(&mut self, peer: &mut Peer) -> Json {
        let told = peer.receive(self.line);
        told["member_id"].as_str().unwrap_or_default().clone_into(&mut self.id);
        self.generation = told["generation_id"].as_i64().unwrap_or(-1);
        told
    }

    fn join(&mut self, peer: &mut Peer, version: i16) {
        self.begin_join(peer, version);
        self.end_join(peer);
    }

    fn sync_request(&self, assignments: &Json) -> Json {
        json!({ "group_id": self.group, "generation_id": self.generation, "member_id": self.id,
                "group_instance_id": self.instance, "protocol_type": "consumer", "protocol_name": "range",
                "assignments": assignments })
    }

    fn sync(&self, peer: &mut Peer, version: i16) {
        let own = json!([{ "member_id": self.id, "assignment": "0a0b" }]);
        peer.call(self.line, "SyncGroup", version.min(5), &self.sync_request(&own));
    }

    fn beat(&self, peer: &mut Peer, version: i16) {
        peer.call(self.line, "Heartbeat", version.min(4), &self.call());
    }

    fn call(&self) -> Json {
        json!({ "group_id": self.group, "generation_id": self.generation, "member_id": self.id,
                "group_instance_id": self.instance })
    }

    fn leave(&self, peer: &mut Peer, version: i16) {
        peer.call(
            self.line,
            "LeaveGroup",
            version.min(5),
            &leave(version.min(5), &self.group, &self.id),
        );
    }

    fn commit(&self, peer: &mut Peer, topic: &str, offset: i64) {
        let partitions = json!([{ "partition_index": 0, "committed_offset": offset, "committed_metadata": "m" }]);
        let request = json!({ "group_id": self.group, "generation_id_or_member_epoch": self.generation,
                              "member_id": self.id, "group_instance_id": self.instance,
                              "topics": [{ "name": topic, "partitions": partitions }] });
        peer.call(self.line, "OffsetCommit", 8, &request);
    }
}

fn leave(version: i16, group: &str, member: &str) -> Json {
    if version >= 3 {
        json!({ "group_id": group, "members": [{ "member_id": member }] })
    } else {
        json!({ "group_id": group, "member_id": member })
    }
}

fn describe(peer: &mut Peer, group: &str) {
    for version in [0, 4, 6] {
        peer.ask("DescribeGroups", version, &json!({ "groups": [group] }));
    }
}

fn lone(peer: &mut Peer) {
    awake(peer, GROUP);
    let topic = peer.topic("topic", 1, &[]);
    for version in versions("JoinGroup") {
        let group = peer.name(&version.to_string());
        let mut member = Member::new(peer, &group, "01");
        peer.note("joins");
        member.join(peer, version);
        peer.note("before it has synced");
        member.beat(peer, version);
        member.commit(peer, &topic, 3);
        peer.note("syncs");
        member.sync(peer, version);
        peer.note("syncs again");
        member.sync(peer, version);
        peer.note("stable");
        member.beat(peer, version);
        member.commit(peer, &topic, 5);
        describe(peer, &group);
        peer.note("joins again");
        member.join(peer, version);
        member.sync(peer, version);
        peer.note("leaves");
        member.leave(peer, version);
        peer.note("gone");
        member.beat(peer, version);
        member.leave(peer, version);
        describe(peer, &group);
    }
}

fn two(peer: &mut Peer) {
    awake(peer, GROUP);
    let topic = peer.topic("topic", 1, &[]);
    for version in [0, 3, 5, 9] {
        let group = peer.name(&version.to_string());
        let (mut first, mut second) = (Member::new(peer, &group, "01"), Member::new(peer, &group, "02"));
        peer.note("the first alone");
        first.join(peer, version);
        first.sync(peer, version);
        peer.note("the second joins");
        second.begin_join(peer, version);
        peer.settle("a rebalance", |peer| {
            peer.quiet(
                "Heartbeat",
                0,
                &json!({ "group_id": group,
            "generation_id": first.generation, "member_id": first.id }),
            )["error_code"]
                == 27
        });
        peer.note("the first while the group prepares");
        first.beat(peer, version);
        first.commit(peer, &topic, 1);
        first.sync(peer, version);
        describe(peer, &group);
        peer.note("the first joins again");
        first.join(peer, version);
        peer.note("the second has joined");
        second.end_join(peer);
        peer.note("while the group completes");
        second.beat(peer, version);
        second.commit(peer, &topic, 2);
        peer.note("both sync");
        let assignments =
            json!([{ "member_id": first.id, "assignment": "0a" }, { "member_id": second.id, "assignment": "0b" }]);
        peer.send(
            second.line,
            "SyncGroup",
            version.min(5),
            &second.sync_request(&json!([])),
        );
        peer.call(
            first.line,
            "SyncGroup",
            version.min(5),
            &first.sync_request(&assignments),
        );
        peer.receive(second.line);
        describe(peer, &group);
        peer.note("with the generation before");
        second.generation -= 1;
        second.beat(peer, version);
        second.commit(peer, &topic, 2);
        second.sync(peer, version);
        second.generation += 1;
        peer.note("the second leaves");
        second.leave(peer, version);
        peer.note("the first after that");
        first.beat(peer, version);
        first.leave(peer, version);
    }
}

fn static_members(peer: &mut Peer) {
    awake(peer, GROUP);
    for version in 5..=*versions("JoinGroup").end() {
        let group = peer.name(&version.to_string());
        let mut member = Member::new(peer, &group, "01");
        member.instance = Some("instance");
        peer.note("joins");
        member.join(peer, version);
        member.sync(peer, version);
        let old = member.id.clone();
        peer.note("comes back without its id");
        member.id = String::new();
        member.join(peer, version);
        member.sync(peer, version);
        peer.note("beats under the new id");
        member.beat(peer, version);
        let new = std::mem::replace(&mut member.id, old);
        peer.note("beats under the old id");
        member.beat(peer, version);
        peer.note("joins under the old id");
        member.join(peer, version);
        member.id = new;
        describe(peer, &group);
        for instance in ["unknown", "instance"] {
            peer.note(format!("{instance} leaves"));
            let members = json!([{ "member_id": "", "group_instance_id": instance }]);
            peer.ask(
                "LeaveGroup",
                version.min(5),
                &json!({ "group_id": group, "members": members }),
            );
        }
    }
}

fn wrong_joins(peer: &mut Peer) {
    awake(peer, GROUP);
    for version in versions("JoinGroup") {
        let group = peer.name(&version.to_string());
        let member = Member::new(peer, &group, "01");
        let protocol = json!([{ "name": "range", "metadata": "" }]);
        for (note, field, value) in [
            ("no group", "group_id", json!("")),
            ("a session too short", "session_timeout_ms", json!(5_999)),
            ("a session too long", "session_timeout_ms", json!(1_800_001)),
            ("a negative session", "session_timeout_ms", json!(-1)),
            ("no protocol", "protocols", json!([])),
            ("no kind of protocol", "protocol_type", json!("")),
            ("a member that nobody knows", "member_id", json!("nobody")),
        ] {
            peer.note(note);
            let mut request = member.join_request();
            request[field] = value;
            peer.ask("JoinGroup", version, &request);
        }
        let mut first = Member::new(peer, &group, "01");
        first.join(peer, version);
        first.sync(peer, version);
        for (note, kind, protocols) in [
            ("another kind", "connect", &protocol),
            (
                "no protocol in common",
                "consumer",
                &json!([{ "name": "new", "metadata": "" }]),
            ),
        ] {
            peer.note(note);
            let mut request = member.join_request();
            request["protocol_type"] = json!(kind);
            request["protocols"] = protocols.clone();
            peer.ask("JoinGroup", version, &request);
        }
        peer.note("syncs that are wrong");
        for (kind, name) in [("connect", "range"), ("consumer", "new")] {
            let mut request = first.sync_request(&json!([]));
            request["protocol_type"] = json!(kind);
            request["protocol_name"] = json!(name);
            peer.ask("SyncGroup", version.min(5), &request);
        }
        first.leave(peer, version);
    }
}

/// Calls that name a group or a member that is not there.
fn nobody(peer: &mut Peer) {
    awake(peer, GROUP);
    for group in ["never-joined", ""] {
        for api in ["Heartbeat", "SyncGroup"] {
            for version in versions(api) {
                for (member, generation) in [("nobody", 1), ("", -1), ("", 0)] {
                    peer.note(format!("group {group:?}, member {member:?}, generation {generation}"));
                    let kind = if api == "SyncGroup" {
                        json!("consumer")
                    } else {
                        Json::Null
                    };
                    let mut request = json!({ "group_id": group, "generation_id": generation, "member_id": member });
                    if api == "SyncGroup" {
                        request["protocol_type"] = kind;
                        request["protocol_name"] = json!("range");
                    }
                    peer.ask(api, version, &request);
                }
            }
        }
        for version in versions("LeaveGroup") {
            for member in ["nobody", ""] {
                peer.note(format!("group {group:?}, member {member:?}"));
                peer.ask("LeaveGroup", version, &leave(version, group, member));
            }
        }
    }
}

fn administered(peer: &mut Peer) {
    awake(peer, GROUP);
    let (live, dead) = (peer.name("live"), peer.name("dead"));
    let mut member = Member::new(peer, &live, "01");
    member.join(peer, 9);
    member.sync(peer, 9);
    let mut gone = Member::new(peer, &dead, "01");
    gone.join(peer, 9);
    gone.sync(peer, 9);
    gone.leave(peer, 5);
    for version in versions("DescribeGroups") {
        for groups in [
            &[][..],
            &[live.as_str(), &dead],
            &["never-joined"],
            &[""],
            &[&live, &live],
        ] {
            peer.note(format!("{} groups", groups.len()));
            peer.ask(
                "DescribeGroups",
                version,
                &json!({ "groups": groups, "include_authorized_operations": true }),
            );
        }
    }
    for version in versions("ListGroups") {
        for (states, kinds) in [
            (&[][..], &[][..]),
            (&["Stable"], &[]),
            (&["empty", "Dead"], &[]),
            (&["nonsense"], &[]),
            (&[], &["classic"]),
            (&[], &["Consumer"]),
            (&[], &["nonsense"]),
        ] {
            peer.note(format!("states {states:?}, kinds {kinds:?}"));
            peer.ask(
                "ListGroups",
                version,
                &json!({ "states_filter": states, "types_filter": kinds }),
            );
        }
    }
    for version in versions("DeleteGroups") {
        for groups in [&[][..], &["never-joined"], &[""], &[live.as_str()]] {
            peer.note(format!("deletion of {groups:?}"));
            peer.ask("DeleteGroups", version, &json!({ "groups_names": groups }));
        }
    }
    peer.note("deletion of an empty group");
    peer.ask("DeleteGroups", 2, &json!({ "groups_names": [dead] }));
    describe(peer, &dead);
    member.leave(peer, 5);
}
