//! Whatever clients do in whatever order, and wherever the process dies: the rules hold.

use super::{Log, Scene, commit, consumer, id};
use crate::config::GroupConfig;
use crate::group::classic::{Group, State};
use crate::group::record::{self, Extent};
use crate::group::{FirstJoin, GroupAnswer, GroupAsk, GroupAsk::Delete, HeartbeatAsk, JoinAsk, Leaver, SyncAsk};
use crate::types::{ErrorCode, Seed};
use crate::wire::coordinator::decode_value;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What clients remember of each other's answers.
#[derive(Default)]
struct Memory {
    members: BTreeSet<(String, i32)>,
    /// The members of each generation that were told of it.
    issued: BTreeMap<i32, BTreeSet<String>>,
    /// The last generation that was told to anybody, since the group was last deleted.
    latest: i32,
    /// The greatest offset whose commit was acknowledged, and the greatest that was sent.
    committed: Option<i64>,
    sent: i64,
    asked: BTreeMap<u32, i64>,
    deleting: bool,
}

impl Memory {
    fn hear(&mut self, scene: &mut Scene) {
        for (part, answer) in core::mem::take(&mut scene.answers) {
            match answer {
                GroupAnswer::Joined(Ok(joined)) => {
                    assert!(joined.generation >= self.latest, "a generation goes back");
                    self.latest = joined.generation;
                    self.issued
                        .entry(joined.generation)
                        .or_default()
                        .insert(joined.member.to_string());
                    self.members.insert((joined.member.to_string(), joined.generation));
                }
                GroupAnswer::Joined(Err(refusal)) if refusal.code == ErrorCode::MemberIdRequired => {
                    self.members.insert((refusal.member.to_string(), -1));
                }
                GroupAnswer::Committed(codes) if codes == [ErrorCode::None] => {
                    self.committed = self.committed.max(self.asked.get(&part).copied());
                }
                GroupAnswer::Deleted(ErrorCode::None) => {
                    self.latest = 0;
                    self.issued.clear();
                    self.committed = None;
                }
                _ => {}
            }
        }
    }

    fn any(&self, seed: &mut Seed) -> (String, i32) {
        let known = self.members.len() as u64;
        if known == 0 || seed.chance(1, 10) {
            return (String::new(), -1);
        }
        let (member, generation) = self.members.iter().nth(seed.below(known) as usize).unwrap().clone();
        (member, if seed.chance(1, 5) { self.latest } else { generation })
    }
}

fn act(scene: &mut Scene, memory: &mut Memory, seed: &mut Seed) {
    let (member, generation) = memory.any(seed);
    let instance = seed.chance(1, 4).then(|| id(["one", "two"][seed.below(2) as usize]));
    match seed.below(12) {
        0..=2 => {
            let protocols: &[&str] = if seed.chance(1, 3) {
                &["range", "more"]
            } else {
                &["range"]
            };
            let first_join = if seed.chance(1, 2) {
                FirstJoin::ComesAgain
            } else {
                FirstJoin::Admitted
            };
            scene.join(JoinAsk {
                instance,
                first_join,
                ..consumer(&member, protocols)
            });
        }
        3 | 4 => {
            scene.ask(GroupAsk::Sync(SyncAsk {
                member: id(&member),
                instance,
                generation,
                protocol_type: None,
                protocol: None,
                assignments: Vec::new(),
            }));
        }
        5 => {
            scene.ask(GroupAsk::Heartbeat(HeartbeatAsk {
                member: id(&member),
                instance,
                generation,
            }));
        }
        6 if seed.chance(1, 2) => {
            scene.ask(GroupAsk::Leave(Vec::from([Leaver {
                member: id(&member),
                instance,
            }])));
        }
        7 | 8 => {
            memory.sent += 1;
            let part = scene.commit_of(super::GROUP, commit(&member, generation, 0, memory.sent));
            memory.asked.insert(part, memory.sent);
        }
        9 if seed.chance(1, 8) => {
            scene.ask(Delete);
            memory.deleting = true;
        }
        10 => scene.log = if seed.chance(1, 2) { Log::Held } else { Log::Prompt },
        _ => scene.pass(seed.within(1, 15_000)),
    }
    if scene.is_appending() && seed.chance(1, 2) {
        scene.let_through();
    }
}

fn crash(scene: &mut Scene, memory: &mut Memory, seed: &mut Seed) {
    if seed.chance(1, 2) {
        scene.crash_after_write();
    } else {
        scene.restart();
    }
    if memory.deleting {
        // Whether the group was deleted is not known.
        memory.deleting = false;
        memory.latest = 0;
        memory.committed = None;
    }
}

/// Nothing expires: a group that did would begin anew.
fn scene() -> Scene {
    Scene::with(GroupConfig {
        offsets_retention_check_interval_ms: 1 << 40,
        ..GroupConfig::default()
    })
}

#[test]
fn generations_never_go_back_and_acknowledged_offsets_stay() {
    for run in 0..300 {
        let mut seed = Seed::new(run);
        let (mut scene, mut memory) = (scene(), Memory::default());
        for _ in 0..200 {
            act(&mut scene, &mut memory, &mut seed);
            memory.hear(&mut scene);
            if seed.chance(1, 40) {
                crash(&mut scene, &mut memory, &mut seed);
            }
        }
        while scene.is_appending() {
            scene.let_through();
        }
        memory.hear(&mut scene);
        scene.log = Log::Prompt;
        if let (Some(committed), false) = (memory.committed, memory.deleting) {
            let there = scene.offset(super::GROUP, 0);
            assert!(there >= Some(committed), "run {run}: {there:?} after {committed}");
        }
        // Once everybody is silent, nobody waits any more.
        scene.pass(2_000_000);
        assert_eq!(scene.coordinator.deadlines(), 0, "run {run}");
        assert!(scene.coordinator.is_quiet(), "run {run}");
    }
}

#[test]
fn every_ask_is_answered_once_time_has_passed() {
    for run in 0..200 {
        let mut seed = Seed::new(1000 + run);
        let (mut scene, mut memory) = (scene(), Memory::default());
        let mut answered = 0;
        for _ in 0..100 {
            act(&mut scene, &mut memory, &mut seed);
            answered += scene.answers.len();
            memory.hear(&mut scene);
        }
        while scene.is_appending() {
            scene.let_through();
        }
        scene.log = Log::Prompt;
        scene.pass(2_000_000);
        answered += scene.answers.len();
        let waiting: Vec<_> = scene.coordinator.groups.values().collect();
        assert_eq!(answered, scene.next as usize, "run {run}: {waiting:?}");
    }
}

#[test]
fn a_group_reads_back_as_it_was_written() {
    for run in 0..200 {
        let mut seed = Seed::new(5000 + run);
        let (mut scene, mut memory) = (scene(), Memory::default());
        for _ in 0..60 {
            act(&mut scene, &mut memory, &mut seed);
            memory.hear(&mut scene);
        }
        let now = scene.now;
        for group in scene.coordinator.groups.values() {
            if matches!(group.state, State::Preparing(_)) {
                continue;
            }
            let (_, value) = record::group(group, Extent::Members).unwrap();
            let value = decode_value(&value.unwrap()).unwrap();
            let read: Group<u32> = record::loaded_group(group.name.clone(), &value, now);
            let (_, again) = record::group(&read, Extent::Members).unwrap();
            assert_eq!(decode_value(&again.unwrap()), Ok(value), "run {run}");
            assert_eq!(read.generation, group.generation);
            assert_eq!(read.leader, group.leader);
            assert_eq!(read.is_empty(), group.is_empty());
            assert_eq!(read.awaits_assignment(), group.awaits_assignment());
        }
    }
}
