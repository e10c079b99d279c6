//! The edges of groups: several that leave at once, static members that were fenced, votes, every call in every state of
//! a group, several groups in one request, and offsets that a group still needs.

use super::Scenario;
use super::find_coordinator::{GROUP, awake};
use super::members::{
    Member, await_members, await_state, commit, commit_alone, disperse, joined, leave, parts, stable, sync_all,
};
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("group edges/several leave", several_leave),
    ("group edges/fenced static members", fenced),
    ("group edges/votes", votes),
    ("group edges/calls while a group prepares", preparing),
    ("group edges/calls while a group completes", completing),
    ("group edges/calls to a stable group", stable_calls),
    ("group edges/session time-outs", session_bounds),
    ("group edges/several groups in a request", several_groups),
    ("group edges/commits", commits),
    ("group edges/offsets that are needed", needed),
    ("group edges/nobody is in yet", nobody_yet),
];

/// Who leaves together: known, unknown, static, fenced, twice.
fn several_leave(peer: &mut Peer) {
    awake(peer, GROUP);
    for version in 3..=*versions("LeaveGroup").end() {
        let group = peer.name(&version.to_string());
        let members = stable(peer, &group, &[None, Some("one"), Some("two"), None]);
        let [first, one, two, last]: [String; 4] = std::array::from_fn(|place| members[place].id.clone());
        let who = |id: &str, instance: Option<&str>| json!({ "member_id": id, "group_instance_id": instance });
        for (note, leaving) in [
            ("nobody", json!([])),
            (
                "two that are unknown",
                json!([who("nobody", None), who("", Some("no-instance"))]),
            ),
            ("neither id nor instance", json!([who("", None)])),
            ("a fenced one", json!([who("nobody", Some("one"))])),
            ("the id of another instance", json!([who(&two, Some("one"))])),
            (
                "an id with an instance that nobody has",
                json!([who(&first, Some("no-instance"))]),
            ),
            ("one unknown, one known", json!([who("nobody", None), who(&last, None)])),
            (
                "a static one by its instance, and again",
                json!([who("", Some("two")), who("", Some("two"))]),
            ),
            (
                "a static one by both, and one that left",
                json!([who(&one, Some("one")), who(&last, None)]),
            ),
            ("the last, and nobody", json!([who(&first, None), who("nobody", None)])),
            ("after all of them", json!([who(&first, None), who("", Some("one"))])),
        ] {
            peer.note(note);
            peer.ask("LeaveGroup", version, &leave(version, &group, &leaving));
            peer.ask("DescribeGroups", 5, &json!({ "groups": [group] }));
        }
    }
}

/// A static member whose instance somebody else took over.
fn fenced(peer: &mut Peer) {
    awake(peer, GROUP);
    let (topic, group) = (peer.topic("topic", 1, &[]), peer.name("group"));
    let id = peer.topic_id(&topic);
    let mut members = stable(peer, &group, &[Some("one"), Some("two")]);
    let old = members[0].id.clone();
    peer.note("comes back");
    members[0].id = String::new();
    members[0].join(peer, 9);
    let [one, two] = [0, 1].map(|place| members[place].id.clone());
    for (note, id_of, instance) in [
        ("the old id", &old, Some("one")),
        ("the old id without its instance", &old, None),
        ("the new id", &one, Some("one")),
        ("the new id without its instance", &one, None),
        ("the id of another", &two, Some("one")),
        ("no id", &String::new(), Some("one")),
        ("an instance that nobody has", &one, Some("three")),
    ] {
        peer.note(note);
        let line = peer.connect();
        let mut who = Member::unjoined(line, &group);
        who.id.clone_from(id_of);
        who.instance = instance.map(str::to_owned);
        who.generation = members[0].generation;
        for version in 3..=4 {
            peer.call(line, "Heartbeat", version, &who.call());
        }
        for version in 3..=5 {
            peer.call(line, "SyncGroup", version, &who.sync_request(&json!([])));
        }
        for version in 7..=10 {
            peer.call(line, "OffsetCommit", version, &who.commit_request((&topic, &id), 5));
        }
    }
    for version in 5..=9 {
        peer.note("joins under the old id");
        let mut stale = Member::new(peer, &group, Some("one"));
        stale.id.clone_from(&old);
        stale.join(peer, version);
        peer.note("joins as an instance that nobody has, under the id of another");
        let mut stale = Member::new(peer, &group, Some("three"));
        stale.id.clone_from(&two);
        stale.join(peer, version);
    }
    disperse(peer, &group, &members);
}

/// What members can speak, and what becomes of it.
fn votes(peer: &mut Peer) {
    awake(peer, GROUP);
    for (place, (first, second)) in [
        (&["a", "b"][..], &["a", "b"][..]),
        (&["a", "b"], &["b"]),
        (&["a", "b", "c"], &["c", "b"]),
        (&["c", "a"], &["b", "a", "d"]),
        (&["a"], &["b"]),
        (&["a", "b"], &["b", "a"]),
    ]
    .into_iter()
    .enumerate()
    {
        for version in [0, 5, 9] {
            let group = peer.name(&format!("{place}-{version}"));
            peer.note(format!("{first:?} and {second:?}"));
            let mut members = [Member::new(peer, &group, None), Member::new(peer, &group, None)];
            for (member, names) in members.iter_mut().zip([first, second]) {
                member.protocols = names
                    .iter()
                    .map(|name| (*name, format!("{:02x}", name.len())))
                    .collect();
            }
            members[0].join(peer, version);
            members[1].begin_join(peer, version);
            if first.iter().any(|name| second.contains(name)) {
                await_state(peer, &group, "PreparingRebalance");
                await_members(peer, &group, 2);
                members[0].join(peer, version);
            }
            members[1].end_join(peer);
            let taken = members.into_iter().filter(|member| member.generation > 0);
            let taken: Vec<Member> = taken.collect();
            sync_all(peer, &taken, version.min(5));
            peer.ask("DescribeGroups", 5, &json!({ "groups": [group] }));
            disperse(peer, &group, &taken);
        }
    }
}

/// Everything that a member may send that is answered at once, in each version: as it is and with something wrong.
fn every_call(peer: &mut Peer, member: &Member, topic: (&str, &Json), syncs: Syncs) {
    for (note, change) in [
        ("as it is", json!({})),
        ("a generation before", json!({ "generation_id": member.generation - 1 })),
        ("a generation after", json!({ "generation_id": member.generation + 1 })),
        ("no generation", json!({ "generation_id": -1 })),
        ("another member", json!({ "member_id": "nobody" })),
        ("no member", json!({ "member_id": "" })),
        (
            "no member and no generation",
            json!({ "member_id": "", "generation_id": -1 }),
        ),
    ] {
        let mut said = member.sync_request(&json!([]));
        said.as_object_mut()
            .expect("an object")
            .extend(change.as_object().cloned().expect("an object"));
        let beat = json!({ "group_id": said["group_id"], "generation_id": said["generation_id"], "member_id": said["member_id"] });
        for version in versions("Heartbeat") {
            peer.note(format!("{note}: beats"));
            peer.ask("Heartbeat", version, &beat);
        }
        for version in versions("OffsetCommit") {
            peer.note(format!("{note}: commits"));
            let mut request = commit(&member.group, topic, 7);
            request["generation_id_or_member_epoch"] = said["generation_id"].clone();
            request["member_id"] = said["member_id"].clone();
            peer.ask("OffsetCommit", version, &request);
        }
        if note != "as it is" || syncs == Syncs::Answered {
            for version in versions("SyncGroup") {
                peer.note(format!("{note}: syncs"));
                peer.ask("SyncGroup", version, &said);
            }
        }
    }
    for (kind, name) in [
        ("connect", "range"),
        ("consumer", "other"),
        ("", "range"),
        ("consumer", ""),
    ] {
        peer.note(format!("syncs as {kind:?}, {name:?}"));
        let mut request = member.sync_request(&json!([]));
        request["protocol_type"] = json!(kind);
        request["protocol_name"] = json!(name);
        peer.ask("SyncGroup", 5, &request);
    }
    peer.note("looked at");
    for version in versions("DescribeGroups") {
        peer.ask("DescribeGroups", version, &json!({ "groups": [member.group] }));
    }
    peer.ask("DeleteGroups", 2, &json!({ "groups_names": [member.group] }));
}

/// Whether a sync that is right is answered before others sync.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syncs {
    Answered,
    Waiting,
}

fn preparing(peer: &mut Peer) {
    awake(peer, GROUP);
    let (topic, group) = (peer.topic("topic", 1, &[]), peer.name("group"));
    let id = peer.topic_id(&topic);
    let mut members = stable(peer, &group, &[None, None]);
    let mut newcomer = Member::new(peer, &group, None);
    newcomer.begin_join(peer, 5);
    await_members(peer, &group, 3);
    every_call(peer, &members[0], (&topic, &id), Syncs::Answered);
    peer.note("joins of somebody unknown");
    for version in versions("JoinGroup") {
        let mut stranger = Member::new(peer, &group, None);
        "nobody".clone_into(&mut stranger.id);
        stranger.join(peer, version);
    }
    peer.note("all join");
    for (member, version) in members.iter_mut().zip([3, 9]) {
        member.begin_join(peer, version);
    }
    for member in &mut members {
        member.end_join(peer);
    }
    newcomer.end_join(peer);
    members.push(newcomer);
    sync_all(peer, &members, 5);
    disperse(peer, &group, &members);
}

fn completing(peer: &mut Peer) {
    awake(peer, GROUP);
    let (topic, group) = (peer.topic("topic", 1, &[]), peer.name("group"));
    let id = peer.topic_id(&topic);
    let mut members = joined(peer, &group, &[None, None]);
    every_call(peer, &members[1], (&topic, &id), Syncs::Waiting);
    for version in versions("JoinGroup") {
        for member in &mut members {
            peer.note("joins again as it was");
            member.join(peer, version);
        }
    }
    let order = [1, 0];
    peer.note("a follower and then the leader sync");
    for place in order {
        let own = if members[place].leads {
            parts(&members)
        } else {
            json!([])
        };
        peer.send(members[place].line, "SyncGroup", 5, &members[place].sync_request(&own));
    }
    for place in order {
        peer.receive(members[place].line);
    }
    disperse(peer, &group, &members);
}

fn stable_calls(peer: &mut Peer) {
    awake(peer, GROUP);
    let (topic, group) = (peer.topic("topic", 1, &[]), peer.name("group"));
    let id = peer.topic_id(&topic);
    let mut members = stable(peer, &group, &[None, None]);
    every_call(peer, &members[1], (&topic, &id), Syncs::Answered);
    for version in versions("JoinGroup") {
        peer.note("a follower joins as it was");
        members[1].join(peer, version);
    }
    peer.note("a follower joins with something new to say");
    "0102".clone_into(&mut members[1].protocols[0].1);
    members[1].begin_join(peer, 5);
    await_state(peer, &group, "PreparingRebalance");
    peer.note("the leader joins");
    members[0].join(peer, 5);
    members[1].end_join(peer);
    sync_all(peer, &members, 5);
    peer.note("the leader joins as it was, which begins anew");
    members[0].begin_join(peer, 9);
    await_state(peer, &group, "PreparingRebalance");
    members[1].join(peer, 9);
    members[0].end_join(peer);
    sync_all(peer, &members, 5);
    peer.note("a kind or protocol that the group does not have");
    for version in versions("JoinGroup") {
        for (kind, name) in [
            ("connect", "range"),
            ("consumer", "new"),
            ("", "range"),
            ("consumer", ""),
        ] {
            let mut request = members[1].join_request();
            request["protocol_type"] = json!(kind);
            request["protocols"] = json!([{ "name": name, "metadata": "" }]);
            peer.ask("JoinGroup", version, &request);
        }
    }
    peer.ask("DescribeGroups", 5, &json!({ "groups": [group] }));
    disperse(peer, &group, &members);
}

fn session_bounds(peer: &mut Peer) {
    awake(peer, GROUP);
    for version in versions("JoinGroup") {
        for session_ms in [5_999, 6_000, 1_800_000, 1_800_001, 0, i32::MIN, i32::MAX] {
            peer.note(format!("{session_ms} ms"));
            let group = peer.name(&format!("{version}-{session_ms}"));
            let mut member = Member::new(peer, &group, None);
            member.session_ms = session_ms;
            "nobody".clone_into(&mut member.id);
            member.join(peer, version);
        }
    }
}

fn several_groups(peer: &mut Peer) {
    awake(peer, GROUP);
    let topic = peer.topic("topic", 2, &[]);
    let id = peer.topic_id(&topic);
    for version in versions("DeleteGroups") {
        let (live, alone, dead) = (
            peer.name(&format!("{version}-live")),
            peer.name(&format!("{version}-alone")),
            peer.name(&format!("{version}-dead")),
        );
        let members = stable(peer, &live, &[None]);
        commit_alone(peer, &live, &topic);
        commit_alone(peer, &alone, &topic);
        let gone = stable(peer, &dead, &[None]);
        disperse(peer, &dead, &gone);
        let all = [live.as_str(), &alone, "never-joined", &dead];
        peer.note("all of them");
        for version in versions("DescribeGroups") {
            peer.ask("DescribeGroups", version, &json!({ "groups": all }));
        }
        for version in 8..=*versions("OffsetFetch").end() {
            let some = json!([{ "name": topic, "topic_id": id, "partition_indexes": [0, 1, 7] }]);
            let asked: Vec<Json> = all
                .iter()
                .zip([&Json::Null, &some, &some, &json!([])])
                .map(|(group, topics)| json!({ "group_id": group, "topics": topics }))
                .collect();
            for stable in [false, true] {
                peer.ask(
                    "OffsetFetch",
                    version,
                    &json!({ "groups": asked, "require_stable": stable }),
                );
            }
        }
        peer.note("all of them deleted, and twice");
        for _ in 0..2 {
            peer.ask("DeleteGroups", version, &json!({ "groups_names": all }));
        }
        disperse(peer, &live, &members);
        // Kafka 4.3 does not know the last version of it, and keeps what was asked to go.
        peer.quiet("DeleteGroups", 2, &json!({ "groups_names": all }));
        peer.ask("DescribeGroups", 6, &json!({ "groups": all }));
    }
}

/// Commits by members and by nobody, to a group that has members and to one that has none.
fn commits(peer: &mut Peer) {
    awake(peer, GROUP);
    let topic = peer.topic("topic", 1, &[]);
    let id = peer.topic_id(&topic);
    let (live, empty) = (peer.name("live"), peer.name("empty"));
    let members = stable(peer, &live, &[None, Some("one")]);
    let gone = stable(peer, &empty, &[None]);
    disperse(peer, &empty, &gone);
    for version in versions("OffsetCommit") {
        for member in &members {
            peer.note("a member");
            peer.ask(
                "OffsetCommit",
                version,
                &member.commit_request((&topic, &id), i64::from(version)),
            );
        }
        for group in [&live, &empty] {
            peer.note(format!("nobody, to {group}"));
            peer.ask(
                "OffsetCommit",
                version,
                &commit(group, (&topic, &id), i64::from(version)),
            );
            peer.note(format!("a member that left, to {group}"));
            let mut request = gone[0].commit_request((&topic, &id), 1);
            request["group_id"] = json!(group);
            peer.ask("OffsetCommit", version, &request);
            peer.note("what is there");
            let asked = json!([{ "group_id": group, "topics": null }]);
            peer.ask("OffsetFetch", 10, &json!({ "groups": asked }));
        }
    }
    disperse(peer, &live, &members);
}

/// A consumer's metadata: version, topics, no user data (`ConsumerProtocolSubscription`).
fn subscription(topic: &str) -> String {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend((topic.len() as i16).to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend((-1_i32).to_be_bytes());
    crate::message::hex(&bytes)
}

/// Offsets of topics that members subscribe to are not deleted, and no offsets of members whose subscription is unknown.
fn needed(peer: &mut Peer) {
    awake(peer, GROUP);
    let (wanted, other) = (peer.topic("wanted", 1, &[]), peer.topic("other", 1, &[]));
    let whole = subscription(&wanted);
    for (note, metadata) in [
        ("a subscription", whole.clone()),
        ("no user data", whole[..whole.len() - 8].to_owned()),
        ("no text", "000000000001".to_owned() + "0001ff" + "ffffffff"),
        ("noise", "0102".to_owned()),
        ("nothing", String::new()),
    ] {
        let group = peer.name(&note.replace(' ', "-"));
        for topic in [&wanted, &other] {
            commit_alone(peer, &group, topic);
        }
        let mut member = Member::new(peer, &group, None);
        member.protocols = vec![("range", metadata)];
        peer.note(note);
        member.join(peer, 5);
        let delete = |topic: &str| {
            let topics = json!([{ "name": topic, "partitions": [{ "partition_index": 0 }, { "partition_index": 4 }] }]);
            json!({ "group_id": group, "topics": topics })
        };
        for state in ["completing", "stable", "empty"] {
            peer.note(format!("{note}, {state}"));
            for topic in [&wanted, &other] {
                peer.ask("OffsetDelete", 0, &delete(topic));
            }
            peer.ask(
                "OffsetFetch",
                9,
                &json!({ "groups": [{ "group_id": group, "topics": null }] }),
            );
            match state {
                "completing" => {
                    peer.call(member.line, "SyncGroup", 3, &member.sync_request(&json!([])));
                }
                "stable" => {
                    member.leave(peer, 3);
                }
                _ => {}
            }
        }
    }
}

/// Groups that nobody is in yet: who asked was refused, or was given an id to come again with.
fn nobody_yet(peer: &mut Peer) {
    awake(peer, GROUP);
    let topic = peer.topic("topic", 1, &[]);
    let look = |peer: &mut Peer, group: &str| {
        for version in [5, 6] {
            peer.ask("DescribeGroups", version, &json!({ "groups": [group] }));
        }
        peer.ask("ListGroups", 5, &json!({ "states_filter": ["Empty"] }));
        let topics = json!([{ "name": topic, "partitions": [{ "partition_index": 0 }] }]);
        peer.ask("OffsetDelete", 0, &json!({ "group_id": group, "topics": topics }));
    };
    for version in [0, 3, 4, 5, 9] {
        let refused = peer.name(&format!("{version}-refused"));
        let mut member = Member::new(peer, &refused, None);
        member.protocols.clear();
        peer.note("was refused");
        peer.ask("JoinGroup", version, &member.join_request());
        look(peer, &refused);
        peer.note("was refused, and comes with an id");
        "nobody".clone_into(&mut member.id);
        peer.ask("JoinGroup", version, &member.join_request());
        peer.note("was refused; deleted");
        for _ in 0..2 {
            peer.ask("DeleteGroups", 2, &json!({ "groups_names": [refused] }));
        }
        if version < 4 {
            continue;
        }
        for what in ["leaves", "is an instance", "commits", "finds the group deleted"] {
            let group = peer.name(&format!("{version}-{}", what.replace(' ', "-")));
            let mut member = Member::new(peer, &group, None);
            peer.note("is given an id");
            let told = peer.ask("JoinGroup", version, &member.join_request());
            told["member_id"]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut member.id);
            look(peer, &group);
            peer.ask("Heartbeat", 3, &member.call());
            peer.ask("SyncGroup", 3, &member.sync_request(&json!([])));
            peer.note(what);
            match what {
                "leaves" => {
                    member.leave(peer, 3);
                }
                "is an instance" if version >= 5 => {
                    member.instance = Some("instance".to_owned());
                    peer.ask("JoinGroup", version, &member.join_request());
                }
                "commits" => {
                    peer.ask("OffsetCommit", 8, &member.commit_request((&topic, &Json::Null), 1));
                }
                _ => {
                    peer.ask("DeleteGroups", 2, &json!({ "groups_names": [group] }));
                    peer.ask("JoinGroup", version, &member.join_request());
                }
            }
            look(peer, &group);
            peer.quiet("DeleteGroups", 2, &json!({ "groups_names": [group] }));
        }
    }
}
