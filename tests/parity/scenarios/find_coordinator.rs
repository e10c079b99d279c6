//! `FindCoordinator`: of groups and transactions, one or several, and keys that cannot be.

use super::Scenario;
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("find_coordinator/groups", groups),
    ("find_coordinator/transactions", transactions),
    ("find_coordinator/other kinds", other_kinds),
];

/// The kind of key that a group is.
pub(super) const GROUP: i8 = 0;

const COORDINATOR_NOT_AVAILABLE: i16 = 15;
/// How many partitions `__consumer_offsets` has.
const PARTITIONS: u8 = 50;

fn asked(version: i16, kind: i8, keys: &[&str]) -> Json {
    if version >= 4 {
        json!({ "key_type": kind, "coordinator_keys": keys })
    } else {
        json!({ "key_type": kind, "key": keys.first().copied().unwrap_or_default() })
    }
}

/// The first request makes the topic that the coordinators keep, which takes a broker a moment.
pub(super) fn awake(peer: &mut Peer, kind: i8) {
    peer.settle("a coordinator", |peer| {
        let answer = peer.quiet("FindCoordinator", 4, &asked(4, kind, &["key"]));
        answer["coordinators"][0]["error_code"] != COORDINATOR_NOT_AVAILABLE
    });
    if kind != GROUP {
        return;
    }
    // Names of one character, whose codes follow each other, belong to one partition each.
    let names = (b'0'..b'0' + PARTITIONS).map(|code| json!({ "group_id": char::from(code).to_string(), "topics": [] }));
    let asked = json!({ "groups": names.collect::<Vec<_>>() });
    peer.settle("every coordinator", |peer| {
        let told = peer.quiet("OffsetFetch", 8, &asked);
        let groups = told["groups"].as_array().cloned().unwrap_or_default();
        groups.len() == usize::from(PARTITIONS) && groups.iter().all(|group| group["error_code"] == 0)
    });
}

fn groups(peer: &mut Peer) {
    awake(peer, GROUP);
    let long = "g".repeat(300);
    for version in versions("FindCoordinator") {
        for key in ["group", "", " ", "a/b", "ü", &long] {
            peer.note(format!("group {key:.20?}"));
            peer.ask("FindCoordinator", version, &asked(version, 0, &[key]));
        }
        if version >= 4 {
            for keys in [&[][..], &["a", "b"], &["a", "a"], &["a", ""]] {
                peer.note(format!("groups {keys:?}"));
                peer.ask("FindCoordinator", version, &asked(version, 0, keys));
            }
        }
    }
}

fn transactions(peer: &mut Peer) {
    awake(peer, 1);
    for version in 1..=*versions("FindCoordinator").end() {
        for key in ["", "transaction"] {
            peer.note(format!("transaction {key:?}"));
            peer.ask("FindCoordinator", version, &asked(version, 1, &[key]));
        }
    }
}

fn other_kinds(peer: &mut Peer) {
    for version in 1..=*versions("FindCoordinator").end() {
        for kind in [2, 3, -1, 127] {
            for key in ["", "key", "group:dGhpcyBpcyBubyB0b3BpYw:0"] {
                peer.note(format!("kind {kind}, key {key:?}"));
                peer.ask("FindCoordinator", version, &asked(version, kind, &[key]));
            }
        }
    }
}
