//! What groups wait for and how long, as far as it can be told apart by seconds; and who is never answered.
//!
//! Times are far enough apart that a slow machine does not blur them: what is looked at holds for a second and a half
//! before and after.

use super::Scenario;
use super::find_coordinator::{GROUP, awake};
use super::members::{Member, await_state, disperse, joined, leave, parts, stable};
use crate::message::versions;
use crate::peer::Peer;
use serde_json::json;
use std::thread::sleep;
use std::time::Duration;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("group waits/ids that nobody comes with", given_ids),
    ("group waits/static members that do not join", idle_statics),
    ("group waits/a second join and sync", superseded),
    ("group waits/a protocol named twice", named_twice),
    ("group waits/a group of a long name", long_name),
];

/// Ids are given, and kept for the session time-out that was asked for.
fn given_ids(peer: &mut Peer) {
    awake(peer, GROUP);
    let mut given = Vec::new();
    for session_ms in [8_000, 30_000, 1_800_000] {
        let group = peer.name(&session_ms.to_string());
        let mut member = Member::new(peer, &group, None);
        member.session_ms = session_ms;
        peer.note(format!("a session of {session_ms} ms: is given an id"));
        let told = peer.call(member.line, "JoinGroup", 5, &member.join_request());
        told["member_id"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut member.id);
        given.push(member);
    }
    sleep(Duration::from_secs(12));
    for mut member in given {
        peer.note(format!("a session of {} ms: comes after 12 seconds", member.session_ms));
        member.join(peer, 5);
        let group = member.group.clone();
        disperse(peer, &group, &[member]);
    }
}

/// Static members let one rebalance time-out pass, and most of the next: who joins then is answered at its end.
fn idle_statics(peer: &mut Peer) {
    const REBALANCE_MS: u64 = 8_000;
    awake(peer, GROUP);
    let group = peer.name("group");
    let mut members = stable(peer, &group, &[Some("one"), Some("two"), None]);
    let request = |member: &Member| {
        let mut request = member.join_request();
        request["rebalance_timeout_ms"] = json!(REBALANCE_MS);
        request
    };
    peer.quietly(|peer| {
        // A leader that joins begins anew; with the others' joins, all have the shorter time-out.
        peer.send(members[0].line, "JoinGroup", 5, &request(&members[0]));
        await_state(peer, &group, "PreparingRebalance");
        for member in &members[1..] {
            peer.send(member.line, "JoinGroup", 5, &request(member));
        }
        for member in &mut members {
            member.end_join(peer);
        }
        super::members::sync_all(peer, &members, 3);
    });
    let last = members.pop().expect("three members");
    peer.note("one leaves, and nobody joins");
    peer.ask("LeaveGroup", 3, &leave(3, &group, &json!([last.identity()])));
    sleep(Duration::from_millis(REBALANCE_MS * 3 / 2));
    peer.ask("DescribeGroups", 5, &json!({ "groups": [group] }));
    peer.note("one joins in the middle of the second time-out");
    peer.send(members[0].line, "JoinGroup", 5, &request(&members[0]));
    sleep(Duration::from_millis(REBALANCE_MS / 4));
    peer.ask("DescribeGroups", 5, &json!({ "groups": [group] }));
    sleep(Duration::from_millis(REBALANCE_MS / 2));
    peer.note("the second time-out is over, and not yet one since the join");
    peer.ask("DescribeGroups", 5, &json!({ "groups": [group] }));
    members[0].end_join(peer);
    disperse(peer, &group, &members);
}

/// A member asks again on another connection before it is answered on the first.
fn superseded(peer: &mut Peer) {
    awake(peer, GROUP);
    let group = peer.name("joins");
    let mut joining = stable(peer, &group, &[None, None]);
    let first = joining[0].line;
    peer.note("joins");
    joining[0].begin_join(peer, 5);
    await_state(peer, &group, "PreparingRebalance");
    joining[0].line = peer.connect();
    peer.note("joins again on another connection");
    joining[0].begin_join(peer, 5);
    sleep(Duration::from_millis(500));
    joining[1].join(peer, 5);
    joining[0].end_join(peer);
    let group_of_syncs = peer.name("syncs");
    let syncing = joined(peer, &group_of_syncs, &[None, None]);
    let second = syncing[1].line;
    peer.note("syncs");
    peer.send(second, "SyncGroup", 3, &syncing[1].sync_request(&json!([])));
    sleep(Duration::from_millis(500));
    let again = peer.connect();
    peer.note("syncs again on another connection");
    peer.send(again, "SyncGroup", 3, &syncing[1].sync_request(&json!([])));
    sleep(Duration::from_millis(500));
    peer.call(
        syncing[0].line,
        "SyncGroup",
        3,
        &syncing[0].sync_request(&parts(&syncing)),
    );
    peer.receive(again);
    for line in [first, second] {
        peer.receive(line);
    }
    disperse(peer, &group, &joining);
    disperse(peer, &group_of_syncs, &syncing);
}

/// A member that names a protocol twice.
fn named_twice(peer: &mut Peer) {
    awake(peer, GROUP);
    let group = peer.name("group");
    let mut member = Member::new(peer, &group, None);
    member.protocols = vec![("range", "01".to_owned()), ("range", "02".to_owned())];
    member.join(peer, *versions("JoinGroup").end());
    peer.quiet("DeleteGroups", 2, &json!({ "groups_names": [group] }));
}

/// The longest name that a group can have in a record.
fn long_name(peer: &mut Peer) {
    awake(peer, GROUP);
    let topic = peer.topic("topic", 1, &[]);
    for (bytes, version) in [(30_001, 5), (32_767, 5), (32_767, 9)] {
        let group = char::from(b'a' + u8::try_from(version).expect("few"))
            .to_string()
            .repeat(bytes);
        peer.note(format!("{bytes} bytes"));
        let mut member = Member::new(peer, &group, None);
        member.join(peer, version);
        let all = parts(std::slice::from_ref(&member));
        peer.call(member.line, "SyncGroup", 3, &member.sync_request(&all));
        peer.call(member.line, "Heartbeat", 3, &member.call());
        peer.call(
            member.line,
            "OffsetCommit",
            8,
            &member.commit_request((&topic, &json!(null)), 7),
        );
        peer.ask(
            "OffsetFetch",
            8,
            &json!({ "groups": [{ "group_id": group, "topics": null }] }),
        );
        peer.call(
            member.line,
            "LeaveGroup",
            3,
            &leave(3, &group, &json!([member.identity()])),
        );
        peer.ask("DeleteGroups", 2, &json!({ "groups_names": [group] }));
    }
}
