//! Members of groups, for scenarios of several: who they are as far as they have been told, and what they send.

use crate::peer::{Line, Peer};
use serde_json::{Value as Json, json};

const MEMBER_ID_REQUIRED: i16 = 79;
/// The versions in which groups are brought into a state that is not compared.
const JOIN: i16 = 5;
const SYNC: i16 = 3;

/// A member: its connection, and who it is.
pub(super) struct Member {
    pub(super) line: Line,
    pub(super) group: String,
    pub(super) id: String,
    pub(super) instance: Option<String>,
    /// Names and metadata, as hexadecimal digits.
    pub(super) protocols: Vec<(&'static str, String)>,
    /// What the group speaks, as far as the member knows.
    pub(super) protocol: String,
    pub(super) generation: i64,
    pub(super) leads: bool,
    pub(super) session_ms: i32,
}

impl Member {
    /// A member that has not joined.
    pub(super) fn new(peer: &mut Peer, group: &str, instance: Option<&str>) -> Self {
        Self {
            instance: instance.map(str::to_owned),
            ..Self::unjoined(peer.connect(), group)
        }
    }

    /// Somebody who only has a connection.
    pub(super) fn unjoined(line: Line, group: &str) -> Self {
        Self {
            line,
            group: group.to_owned(),
            id: String::new(),
            instance: None,
            protocols: vec![("range", "01".to_owned())],
            protocol: "range".to_owned(),
            generation: -1,
            leads: false,
            session_ms: 60_000,
        }
    }

    pub(super) fn join_request(&self) -> Json {
        let protocols: Vec<Json> = self
            .protocols
            .iter()
            .map(|(name, metadata)| json!({ "name": name, "metadata": metadata }))
            .collect();
        json!({ "group_id": self.group, "session_timeout_ms": self.session_ms, "rebalance_timeout_ms": 60_000,
                "member_id": self.id, "group_instance_id": self.instance, "protocol_type": "consumer",
                "protocols": protocols })
    }

    /// Sends a join; from version 4 on, a member without an id is given one first.
    pub(super) fn begin_join(&mut self, peer: &mut Peer, version: i16) {
        if self.id.is_empty() && self.instance.is_none() && version >= 4 {
            let told = peer.call(self.line, "JoinGroup", version, &self.join_request());
            if told["error_code"] == MEMBER_ID_REQUIRED {
                told["member_id"].as_str().unwrap_or_default().clone_into(&mut self.id);
            }
        }
        peer.send(self.line, "JoinGroup", version, &self.join_request());
    }

    pub(super) fn end_join(&mut self, peer: &mut Peer) -> Json {
        let told = peer.receive(self.line);
        if told["error_code"] == 0 {
            told["member_id"].as_str().unwrap_or_default().clone_into(&mut self.id);
            self.generation = told["generation_id"].as_i64().unwrap_or(-1);
            self.leads = told["leader"] == told["member_id"];
            told["protocol_name"]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut self.protocol);
        }
        told
    }

    pub(super) fn join(&mut self, peer: &mut Peer, version: i16) -> Json {
        self.begin_join(peer, version);
        self.end_join(peer)
    }

    /// What a member says of itself in most requests.
    pub(super) fn call(&self) -> Json {
        json!({ "group_id": self.group, "generation_id": self.generation, "member_id": self.id,
                "group_instance_id": self.instance })
    }

    pub(super) fn sync_request(&self, assignments: &Json) -> Json {
        let mut request = self.call();
        request["protocol_type"] = json!("consumer");
        request["protocol_name"] = json!(self.protocol);
        request["assignments"] = assignments.clone();
        request
    }

    /// A commit of an offset of partition 0.
    pub(super) fn commit_request(&self, topic: (&str, &Json), offset: i64) -> Json {
        let mut request = commit(&self.group, topic, offset);
        request["generation_id_or_member_epoch"] = json!(self.generation);
        request["member_id"] = json!(self.id);
        request["group_instance_id"] = json!(self.instance);
        request
    }

    /// How a member names itself where it leaves.
    pub(super) fn identity(&self) -> Json {
        json!({ "member_id": self.id, "group_instance_id": self.instance })
    }

    pub(super) fn leave(&self, peer: &mut Peer, version: i16) -> Json {
        peer.call(
            self.line,
            "LeaveGroup",
            version,
            &leave(version, &self.group, &json!([self.identity()])),
        )
    }
}

/// A commit by nobody.
pub(super) fn commit(group: &str, topic: (&str, &Json), offset: i64) -> Json {
    let partitions = json!([{ "partition_index": 0, "committed_offset": offset, "committed_metadata": "m" }]);
    json!({ "group_id": group, "topics": [{ "name": topic.0, "topic_id": topic.1, "partitions": partitions }] })
}

/// A leave of several; of the first alone where the version knows one.
pub(super) fn leave(version: i16, group: &str, members: &Json) -> Json {
    if version >= 3 {
        json!({ "group_id": group, "members": members })
    } else {
        json!({ "group_id": group, "member_id": members[0]["member_id"] })
    }
}

/// What `DescribeGroups` tells of a group, not compared.
pub(super) fn described(peer: &mut Peer, group: &str) -> Json {
    peer.quiet("DescribeGroups", 5, &json!({ "groups": [group] }))["groups"][0].clone()
}

/// Waits until a group is in a state.
pub(super) fn await_state(peer: &mut Peer, group: &str, state: &str) {
    peer.settle(&format!("{state} of {group}"), |peer| {
        described(peer, group)["group_state"] == state
    });
}

/// Waits until a group has so many members.
pub(super) fn await_members(peer: &mut Peer, group: &str, count: usize) {
    peer.settle(&format!("{count} members of {group}"), |peer| {
        described(peer, group)["members"]
            .as_array()
            .is_some_and(|members| members.len() == count)
    });
}

/// All that the leader gives out: one byte for each member, by its place.
pub(super) fn parts(members: &[Member]) -> Json {
    let parts = members.iter().zip(1..);
    let parts = parts.map(|(member, place)| json!({ "member_id": member.id, "assignment": format!("{place:02x}") }));
    Json::Array(parts.collect())
}

/// All members that wait for the parts of their generation sync, the leader last.
pub(super) fn sync_all(peer: &mut Peer, members: &[Member], version: i16) {
    let order = || {
        members
            .iter()
            .filter(|member| !member.leads)
            .chain(members.iter().filter(|member| member.leads))
    };
    for member in order() {
        let own = if member.leads { parts(members) } else { json!([]) };
        peer.send(member.line, "SyncGroup", version, &member.sync_request(&own));
    }
    for member in order() {
        peer.receive(member.line);
    }
}

/// Makes a stable group of one member for each of `instances`, in that order; the first leads. Nothing of it is
/// compared.
pub(super) fn stable(peer: &mut Peer, group: &str, instances: &[Option<&str>]) -> Vec<Member> {
    peer.quietly(|peer| {
        let mut members = joined(peer, group, instances);
        for member in &mut members {
            member.leads = member.leads && member.generation > 0;
        }
        sync_all(peer, &members, SYNC);
        await_state(peer, group, "Stable");
        members
    })
}

/// As [`stable`], before anybody synced.
pub(super) fn joined(peer: &mut Peer, group: &str, instances: &[Option<&str>]) -> Vec<Member> {
    peer.quietly(|peer| {
        let mut members: Vec<Member> = Vec::new();
        for instance in instances {
            let mut newcomer = Member::new(peer, group, *instance);
            newcomer.begin_join(peer, JOIN);
            if !members.is_empty() {
                await_state(peer, group, "PreparingRebalance");
                await_members(peer, group, members.len() + 1);
            }
            for member in &mut members {
                member.begin_join(peer, JOIN);
            }
            newcomer.end_join(peer);
            for member in &mut members {
                member.end_join(peer);
            }
            members.push(newcomer);
        }
        members
    })
}

/// Commits an offset by nobody, not compared.
pub(super) fn commit_alone(peer: &mut Peer, group: &str, topic: &str) {
    peer.quiet("OffsetCommit", 8, &commit(group, (topic, &Json::Null), 3));
}

/// Lets members go, not compared.
pub(super) fn disperse(peer: &mut Peer, group: &str, members: &[Member]) {
    let all: Vec<Json> = members.iter().map(|member| json!({ "member_id": member.id })).collect();
    peer.quiet("LeaveGroup", 3, &json!({ "group_id": group, "members": all }));
}
