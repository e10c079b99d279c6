//! Groups whose members join, sync, beat, commit and leave in drawn order and drawn versions, each over a connection of
//! its own.
//!
//! Invariant: before anything is sent whose outcome depends on what came before over another connection, the broker has
//! shown that it has taken that in.

use super::Turns;
use super::way::{Way, each};
use crate::peer::{Line, Peer};
use crate::scenarios::find_coordinator::{GROUP, awake};
use crate::scenarios::members::{Member, await_state, commit, disperse, leave, parts};
use serde_json::{Value as Json, json};

const WALKS: usize = 20;
/// How often a group is changed in a walk.
const ROUNDS: usize = 4;
/// Requests in one state of a group.
const REMARKS: usize = 5;
const MOST: usize = 3;

pub(super) fn walks(peer: &mut Peer) {
    awake(peer, GROUP);
    let topic = peer.topic("topic", 1, &[]);
    let id = peer.topic_id(&topic);
    each(peer, WALKS, |way| {
        let group = way.peer.name(&way.number.to_string());
        let [stranger, _] = way.lines;
        let mut walk = Walk {
            way,
            group,
            topic: (&topic, &id),
            stranger,
            members: Vec::new(),
            born: 0,
        };
        walk.go();
    });
}

/// What a group is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    Preparing,
    Completing,
    Stable,
}

struct Walk<'a> {
    way: Way<'a>,
    group: String,
    topic: (&'a str, &'a Json),
    /// A connection of none of the members.
    stranger: Line,
    members: Vec<Member>,
    born: usize,
}

impl Walk<'_> {
    fn go(&mut self) {
        self.remarks(State::Empty);
        for round in 0..ROUNDS {
            self.way.at(round);
            let waiting = self.change();
            if self.members.is_empty() {
                self.remarks(State::Empty);
                continue;
            }
            if let Some(waiting) = waiting {
                self.rebalance(&waiting);
                self.complete();
            }
            self.remarks(State::Stable);
        }
        disperse(self.way.peer, &self.group, &self.members);
    }

    /// Changes the members; the places of those whose joins are under way, or nothing where all goes on as it was.
    fn change(&mut self) -> Option<Vec<usize>> {
        let place = if self.members.is_empty() {
            0
        } else {
            self.way.draw.below(self.members.len())
        };
        let waiting = match self.way.draw.below(5) {
            0 if !self.members.is_empty() => self.depart(place),
            1 if !self.members.is_empty() => self.rejoin(place),
            2 if self.members.get(place).is_some_and(|member| member.instance.is_some()) => {
                self.come_back(place);
                return None;
            }
            _ if self.members.len() < MOST => self.enter(),
            _ => self.rejoin(place),
        };
        Some(waiting)
    }

    /// What a member can speak: in its own order, and one protocol that all have.
    fn protocols(&mut self) -> Vec<(&'static str, String)> {
        let mut names = vec!["range", "sticky", "robin"];
        self.way.draw.shuffle(&mut names);
        let kept = self.way.draw.below(3);
        names.retain(|name| *name == "range" || names_place(name) <= kept);
        let metadata = self.way.draw.below(200);
        names
            .into_iter()
            .map(|name| (name, format!("{metadata:02x}")))
            .collect()
    }

    fn enter(&mut self) -> Vec<usize> {
        self.born += 1;
        let instance = self.way.draw.one_in(2).then(|| format!("instance-{}", self.born));
        let mut member = Member::new(self.way.peer, &self.group, instance.as_deref());
        member.protocols = self.protocols();
        let version = if instance.is_some() {
            self.way.turns.next_from("JoinGroup", 5)
        } else {
            self.way.turns.next("JoinGroup")
        };
        member.begin_join(self.way.peer, version);
        self.members.push(member);
        vec![self.members.len() - 1]
    }

    /// A member joins again with something else to say.
    fn rejoin(&mut self, place: usize) -> Vec<usize> {
        let protocols = self.protocols();
        let member = &mut self.members[place];
        member.protocols = protocols;
        member.protocols[0].1.push_str("ff");
        let version = version_for(self.way.turns, member);
        member.begin_join(self.way.peer, version);
        vec![place]
    }

    /// A static member that has forgotten its id: as it was, so that nobody else hears of it.
    fn come_back(&mut self, place: usize) {
        let member = &mut self.members[place];
        member.id = String::new();
        let version = self.way.turns.next_from("JoinGroup", 5);
        member.join(self.way.peer, version);
        self.remarks(State::Stable);
    }

    fn depart(&mut self, place: usize) -> Vec<usize> {
        // Who leads several others after the leader left is left to chance by Kafka.
        let follower = self.members.iter().position(|member| !member.leads);
        let place = follower.filter(|_| self.members.len() > 2).unwrap_or(place);
        let member = self.members.remove(place);
        let version = if member.instance.is_some() {
            self.way.turns.next_from("LeaveGroup", 3)
        } else {
            self.way.turns.next("LeaveGroup")
        };
        member.leave(self.way.peer, version);
        Vec::new()
    }

    /// All that are not `waiting` join as well, and all are answered.
    fn rebalance(&mut self, waiting: &[usize]) {
        let mut others: Vec<usize> = (0..self.members.len())
            .filter(|place| !waiting.contains(place))
            .collect();
        if !others.is_empty() {
            await_state(self.way.peer, &self.group, "PreparingRebalance");
            let told = self.members.len() - waiting.len();
            self.remarks_of(State::Preparing, &others[..told]);
        }
        self.way.draw.shuffle(&mut others);
        for place in others {
            let version = version_for(self.way.turns, &self.members[place]);
            self.members[place].begin_join(self.way.peer, version);
        }
        for member in &mut self.members {
            member.end_join(self.way.peer);
        }
    }

    /// All sync, the leader somewhere among them.
    fn complete(&mut self) {
        self.remarks(State::Completing);
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        self.way.draw.shuffle(&mut order);
        let all = parts(&self.members);
        for &place in &order {
            let member = &self.members[place];
            let own = if member.leads { all.clone() } else { json!([]) };
            let version = if member.instance.is_some() {
                self.way.turns.next_from("SyncGroup", 3)
            } else {
                self.way.turns.next("SyncGroup")
            };
            self.way
                .peer
                .send(member.line, "SyncGroup", version, &member.sync_request(&own));
        }
        for place in order {
            self.way.peer.receive(self.members[place].line);
        }
    }

    fn remarks(&mut self, state: State) {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.remarks_of(state, &all);
    }

    /// Requests that are answered at once and change no members: by those at `places`, as they are or with something
    /// about them wrong, and by strangers.
    fn remarks_of(&mut self, state: State, places: &[usize]) {
        for _ in 0..REMARKS {
            let member = if places.is_empty() || self.way.draw.one_in(6) {
                None
            } else {
                Some(&self.members[*self.way.draw.pick(places)])
            };
            let nobody = Member::unjoined(self.stranger, &self.group);
            let mut said = member.unwrap_or(&nobody).call();
            let line = member.map_or(self.stranger, |member| member.line);
            let generation = said["generation_id"].as_i64().unwrap_or(-1);
            let wrong = self.way.draw.one_in(2);
            if wrong {
                match self.way.draw.below(4) {
                    0 => said["generation_id"] = json!(generation - 1),
                    1 => said["generation_id"] = json!(generation + 1),
                    2 => said["member_id"] = json!("nobody"),
                    _ => said["group_instance_id"] = json!("no-instance"),
                }
            }
            let protocol = member.map_or_else(|| "range".to_owned(), |member| member.protocol.clone());
            self.remark(state, line, &said, &protocol);
        }
    }

    fn remark(&mut self, state: State, line: Line, said: &Json, protocol: &str) {
        match self.way.draw.below(8) {
            0 | 1 => self.call(line, "Heartbeat", said),
            2 | 3 => {
                let mut request = commit(&self.group, self.topic, self.way.draw.below(100) as i64);
                request["generation_id_or_member_epoch"] = said["generation_id"].clone();
                request["member_id"] = said["member_id"].clone();
                request["group_instance_id"] = said["group_instance_id"].clone();
                self.call(line, "OffsetCommit", &request);
            }
            // A sync that is right waits for the leader's.
            4 if state != State::Completing => {
                let mut request = said.clone();
                request["protocol_type"] = json!("consumer");
                request["protocol_name"] = json!(protocol);
                request["assignments"] = json!([]);
                self.call(line, "SyncGroup", &request);
            }
            5 => {
                let version = self.way.turns.next("OffsetFetch");
                let body = if version >= 8 {
                    json!({ "groups": [{ "group_id": self.group, "topics": null }], "require_stable": self.way.draw.one_in(2) })
                } else {
                    let topics = json!([{ "name": self.topic.0, "partition_indexes": [0, 1] }]);
                    json!({ "group_id": self.group, "topics": topics })
                };
                self.way.peer.call(line, "OffsetFetch", version, &body);
            }
            6 => {
                let version = self.way.turns.next("LeaveGroup");
                let strangers =
                    json!([{ "member_id": "nobody" }, { "member_id": "", "group_instance_id": "no-instance" }]);
                self.way
                    .peer
                    .call(line, "LeaveGroup", version, &leave(version, &self.group, &strangers));
            }
            7 => {
                let mut request = Member::unjoined(line, &self.group).join_request();
                request["member_id"] = json!("nobody");
                self.call(line, "JoinGroup", &request);
            }
            _ => self.call(self.stranger, "DescribeGroups", &json!({ "groups": [self.group] })),
        }
    }

    /// Sends a request in the next version that can say what is in it.
    fn call(&mut self, line: Line, api: &'static str, body: &Json) {
        let first = match api {
            "OffsetCommit" => 7,
            "Heartbeat" | "SyncGroup" => 3,
            _ => 0,
        };
        let first = if body["group_instance_id"].is_null() { 0 } else { first };
        let version = self.way.turns.next_from(api, first);
        self.way.peer.call(line, api, version, body);
    }
}

/// Where a protocol comes in a list of all.
fn names_place(name: &str) -> usize {
    usize::from(name != "range") + usize::from(name == "robin")
}

/// A version in which a member can say who it is.
fn version_for(turns: &mut Turns, member: &Member) -> i16 {
    if member.instance.is_some() {
        turns.next_from("JoinGroup", 5)
    } else {
        turns.next("JoinGroup")
    }
}
