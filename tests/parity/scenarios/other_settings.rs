//! Groups of brokers that are set up otherwise: groups that are full, members that gather before the first generation,
//! members that are silent for too long, and offsets and groups that expire. The first of these starts the brokers anew;
//! nothing that needs other settings may come after it.

use super::Scenario;
use super::find_coordinator::{GROUP, awake};
use super::members::{Member, await_members, await_state, commit, commit_alone, described, disperse, stable, sync_all};
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("other settings/members gather", gather),
    ("other settings/full groups", full),
    ("other settings/silent members", silent),
    ("other settings/offsets expire", expire),
];

/// Time enough for two more members to come, whatever the machine does besides.
const SETTINGS: &[(&str, &str)] = &[
    ("group.initial.rebalance.delay.ms", "3000"),
    ("group.max.size", "2"),
    ("group.min.session.timeout.ms", "500"),
    ("offsets.retention.check.interval.ms", "400"),
];

/// Who comes while the first generation is awaited is in it, until the group is full.
fn gather(peer: &mut Peer) {
    peer.restart_with(SETTINGS);
    awake(peer, GROUP);
    let versions = [0, 3, 5, 9];
    let groups = versions.map(|version| peer.name(&version.to_string()));
    let mut rounds = Vec::new();
    for place in 0..3 {
        let mut members: Vec<Member> = groups.iter().map(|group| Member::new(peer, group, None)).collect();
        for (member, version) in members.iter_mut().zip(versions) {
            peer.note(format!("version {version}, member {place}"));
            if place < 2 {
                member.begin_join(peer, version);
                await_members(peer, &member.group, place + 1);
            } else {
                // The group is full.
                member.join(peer, version);
            }
        }
        rounds.push(members);
    }
    peer.note("the first generation");
    for member in rounds.iter_mut().take(2).flatten() {
        member.end_join(peer);
    }
    let mut rounds = rounds.into_iter();
    let firsts = rounds.next().into_iter().flatten();
    let seconds = rounds.next().into_iter().flatten();
    for ((first, second), version) in firsts.zip(seconds).zip(versions) {
        let group = first.group.clone();
        let members = [first, second];
        sync_all(peer, &members, version.min(5));
        peer.ask("DescribeGroups", 5, &json!({ "groups": [group] }));
        disperse(peer, &group, &members);
    }
}

/// A group that is full takes its members again, and somebody new once a place is free.
fn full(peer: &mut Peer) {
    awake(peer, GROUP);
    for version in [3, 5] {
        let group = peer.name(&version.to_string());
        let mut members = stable(peer, &group, &[None, None]);
        peer.note("somebody new");
        let mut newcomer = Member::new(peer, &group, None);
        newcomer.join(peer, version);
        if version >= 5 {
            peer.note("a new static member");
            Member::new(peer, &group, Some("instance")).join(peer, version);
        }
        peer.note("the members again");
        members[0].begin_join(peer, version);
        await_state(peer, &group, "PreparingRebalance");
        members[1].join(peer, version);
        members[0].end_join(peer);
        sync_all(peer, &members, 3);
        peer.note("one leaves, and somebody new has a place");
        if let Some(gone) = members.pop() {
            gone.leave(peer, 3);
        }
        await_state(peer, &group, "PreparingRebalance");
        newcomer.id.clear();
        newcomer.begin_join(peer, version);
        await_members(peer, &group, 2);
        peer.note("the other member has its own");
        members[0].join(peer, version);
        newcomer.end_join(peer);
        members.push(newcomer);
        sync_all(peer, &members, 3);
        peer.ask("DescribeGroups", 5, &json!({ "groups": [group] }));
        disperse(peer, &group, &members);
    }
}

/// Members that are not heard of are dropped, static ones too.
fn silent(peer: &mut Peer) {
    awake(peer, GROUP);
    let topic = peer.topic("topic", 1, &[]);
    for instance in [None, Some("instance")] {
        let group = peer.name(instance.unwrap_or("dynamic"));
        // An offset keeps the group from going once it is empty.
        commit_alone(peer, &group, &topic);
        let mut member = Member::new(peer, &group, instance);
        member.session_ms = 500;
        peer.quietly(|peer| member.join(peer, 5));
        await_state(peer, &group, "Empty");
        peer.note(format!("dropped: {group}"));
        peer.ask("DescribeGroups", 5, &json!({ "groups": [group] }));
        for version in 3..=4 {
            peer.ask("Heartbeat", version, &member.call());
        }
        peer.ask("SyncGroup", 5, &member.sync_request(&json!([])));
        peer.ask("OffsetCommit", 8, &member.commit_request((&topic, &Json::Null), 9));
        member.leave(peer, 3);
    }
}

/// Offsets that were given a time go when it is over; groups go with the last of them.
fn expire(peer: &mut Peer) {
    awake(peer, GROUP);
    let (brief, lasting) = (peer.topic("brief", 1, &[]), peer.topic("lasting", 1, &[]));
    let look = |peer: &mut Peer, group: &str| {
        peer.ask("OffsetFetch", 7, &json!({ "group_id": group, "topics": null }));
        for version in [5, 6] {
            peer.ask("DescribeGroups", version, &json!({ "groups": [group] }));
        }
    };
    let has_offset = |peer: &mut Peer, group: &str, topic: &str| {
        let asked = json!([{ "name": topic, "partition_indexes": [0] }]);
        let told = peer.quiet("OffsetFetch", 7, &json!({ "group_id": group, "topics": asked }));
        told["topics"][0]["partitions"][0]["committed_offset"] != -1
    };
    for version in 2..=4 {
        for also in [false, true] {
            let group = peer.name(&format!("{version}-{also}"));
            peer.note(format!("{group}: committed"));
            if also {
                commit_alone(peer, &group, &lasting);
            }
            let mut request = commit(&group, (&brief, &Json::Null), 5);
            request["retention_time_ms"] = json!(600);
            peer.ask("OffsetCommit", version, &request);
            peer.note(format!("{group}: expired"));
            peer.settle("the end of an offset", |peer| !has_offset(peer, &group, &brief));
            if !also {
                await_state(peer, &group, "Dead");
            }
            look(peer, &group);
        }
    }
    peer.note("a group that everybody left");
    let group = peer.name("left");
    let members = stable(peer, &group, &[None]);
    disperse(peer, &group, &members);
    await_state(peer, &group, "Dead");
    look(peer, &group);
    peer.note("what a member needs stays");
    let group = peer.name("needed");
    let members = stable(peer, &group, &[None]);
    let mut request = members[0].commit_request((&brief, &Json::Null), 5);
    request["retention_time_ms"] = json!(1);
    peer.ask("OffsetCommit", 4, &request);
    let other = peer.name("other");
    let mut request = commit(&other, (&brief, &Json::Null), 5);
    request["retention_time_ms"] = json!(1);
    peer.quiet("OffsetCommit", 4, &request);
    peer.settle("the end of an offset of another group", |peer| {
        !has_offset(peer, &other, &brief)
    });
    look(peer, &group);
    assert_eq!(described(peer, &group)["group_state"], "Stable");
    disperse(peer, &group, &members);
}
