//! Whatever clients do in whatever order, however large the topic's batches are, and wherever a write fails or the process
//! dies: the rules hold.

use super::memory::{Asked, Memory};
use super::{GROUP, Log, Scene, commit, consumer, id};
use crate::config::GroupConfig;
use crate::group::classic::{Group, State};
use crate::group::record::{self, Extent};
use crate::group::{FirstJoin, GroupAsk, HeartbeatAsk, JoinAsk, Leaver, SyncAsk, budget};
use crate::types::Seed;
use crate::wire::coordinator::decode_value;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

const GROUPS: [&str; 2] = [GROUP, "another"];
const INSTANCES: [&str; 2] = ["one", "two"];
const PARTITIONS: i32 = 2;

fn pick<T: Copy>(seed: &mut Seed, from: &[T]) -> T {
    from[seed.below(from.len() as u64) as usize]
}

/// A run: clients of two groups, and what they remember.
struct Run {
    scene: Scene,
    seed: Seed,
    memories: BTreeMap<&'static str, Memory>,
    asked: BTreeMap<u32, (&'static str, Asked)>,
    answered: usize,
    sent: i64,
    expires: bool,
}

impl Run {
    fn new(number: u64) -> Self {
        let mut seed = Seed::new(number);
        let expires = seed.chance(1, 4);
        let scene = Scene::with(GroupConfig {
            offsets_retention_check_interval_ms: if expires { 20_000 } else { 1 << 40 },
            offsets_retention_ms: 60_000,
            members_max_bytes: pick(&mut seed, &[2000, 5000, 128 << 20, 128 << 20]),
            offsets_max_bytes: pick(&mut seed, &[0, 3000, 6000, 256 << 20, 256 << 20]),
            max_size: pick(&mut seed, &[1, 2, 3, i32::MAX as u32]),
            initial_rebalance_delay_ms: pick(&mut seed, &[0, 1, 3000]),
            new_member_join_timeout_ms: pick(&mut seed, &[1000, 300_000]),
            ..GroupConfig::default()
        });
        Self {
            scene,
            seed,
            memories: GROUPS.map(|group| (group, Memory::default())).into(),
            asked: BTreeMap::new(),
            answered: 0,
            sent: 0,
            expires,
        }
    }

    fn memory(&mut self, group: &'static str) -> &mut Memory {
        self.memories.get_mut(group).unwrap()
    }

    fn ask(&mut self, group: &'static str, asked: Asked, ask: GroupAsk) {
        let part = self.scene.ask_of(group, ask);
        self.asked.insert(part, (group, asked));
    }

    fn hear(&mut self) {
        for (part, answer) in core::mem::take(&mut self.scene.answers) {
            self.answered += 1;
            let (group, asked) = self.asked.remove(&part).expect("it was asked");
            let may_begin_anew = self.expires;
            self.memory(group).hear(&asked, answer, may_begin_anew);
        }
    }

    fn join(&mut self, group: &'static str, member: &str) {
        let seed = &mut self.seed;
        let instance = seed.chance(1, 4).then(|| pick(seed, &INSTANCES));
        let protocols: &[&str] = if seed.chance(1, 3) {
            &["range", "more"]
        } else {
            &["range"]
        };
        let ask = JoinAsk {
            instance: instance.map(id),
            first_join: pick(seed, &[FirstJoin::ComesAgain, FirstJoin::Admitted]),
            session_timeout_ms: pick(seed, &[6000, 10_000, 300_000]),
            rebalance_timeout_ms: pick(seed, &[0, 1, 500, 60_000]),
            ..consumer(member, protocols)
        };
        let asked = Asked::Join {
            is_static: instance.is_some(),
        };
        self.ask(group, asked, GroupAsk::Join(ask));
    }

    fn act(&mut self) {
        let group = pick(&mut self.seed, &GROUPS);
        let (member, generation) = self.memories[group].any(&mut self.seed);
        let seed = &mut self.seed;
        let instance = seed.chance(1, 4).then(|| id(pick(seed, &INSTANCES)));
        let partition = seed.below(PARTITIONS as u64) as i32;
        match seed.below(16) {
            0..=2 => self.join(group, &member),
            3 | 4 => {
                let owner = self.memories[group].any(&mut self.seed).0;
                let assignments = Vec::from([(id(&owner), Bytes::from_static(b"all"))]);
                let ask = SyncAsk {
                    member: id(&member),
                    instance,
                    generation,
                    protocol_type: None,
                    protocol: None,
                    assignments,
                };
                self.ask(group, Asked::Sync(member, generation), GroupAsk::Sync(ask));
            }
            5 => {
                let member = id(&member);
                let ask = HeartbeatAsk {
                    member,
                    instance,
                    generation,
                };
                self.ask(group, Asked::Other, GroupAsk::Heartbeat(ask));
            }
            6 if seed.chance(1, 2) => {
                let member = id(&member);
                let ask = GroupAsk::Leave(Vec::from([Leaver { member, instance }]));
                self.ask(group, Asked::Other, ask);
            }
            7 | 8 => {
                self.sent += 1;
                let ask = commit(&member, generation, partition, self.sent);
                let change = self
                    .memories
                    .get_mut(group)
                    .unwrap()
                    .changes(partition, Some(self.sent));
                self.ask(group, change, GroupAsk::Commit(ask));
            }
            9 if seed.chance(1, 8) => {
                let asked = self.memory(group).deletes();
                self.ask(group, asked, GroupAsk::Delete);
            }
            10 => {
                let change = self.memory(group).changes(partition, None);
                let wanted = Vec::from([(id("orders"), partition)]);
                self.ask(group, change, GroupAsk::DeleteOffsets(wanted));
            }
            11 => self.scene.log = pick(seed, &[Log::Held, Log::Held, Log::Prompt, Log::Full]),
            12 if seed.chance(1, 4) => {
                let max_batch = pick(seed, &[1, 150, 300, 1 << 20, 1 << 20]);
                self.scene.limit(max_batch);
            }
            _ => {
                let millis = seed.within(1, 15_000);
                self.scene.pass(millis);
            }
        }
        if self.scene.is_appending() && self.seed.chance(1, 2) {
            self.scene.let_through();
        }
        self.hear();
    }

    fn crash(&mut self) {
        if self.seed.chance(1, 2) {
            self.scene.crash_after_write();
        } else {
            self.scene.restart();
        }
        self.asked.clear();
        self.look();
    }

    /// What is told of the offsets is what was asked for last, or what nobody knows the fate of.
    fn look(&mut self) {
        for group in GROUPS {
            for partition in 0..PARTITIONS {
                let there = self.scene.offset(group, partition);
                let may_be_gone = self.expires;
                self.memory(group).told_offset(partition, there, may_be_gone);
            }
        }
        self.hear();
    }

    fn settle(&mut self) {
        while self.scene.is_appending() {
            self.scene.let_through();
        }
        self.scene.log = Log::Prompt;
        self.hear();
    }
}

#[test]
fn generations_are_issued_once_and_acknowledged_offsets_stay() {
    for number in 0..400 {
        let mut run = Run::new(number);
        for _ in 0..200 {
            run.act();
            if run.seed.chance(1, 40) {
                run.crash();
            }
            if run.seed.chance(1, 20) {
                run.look();
            }
        }
        run.settle();
        run.look();
        // Once everybody is silent, nobody waits any more.
        run.scene.pass(2_000_000);
        assert_eq!(run.scene.coordinator.deadlines(), 0, "run {number}");
        assert!(run.scene.coordinator.is_quiet(), "run {number}");
        let groups = run.scene.coordinator.groups.keys();
        let themselves: usize = groups.map(|name| budget::GROUP + name.len()).sum();
        assert!(run.scene.budget.held() <= themselves, "run {number}: nobody is in them");
        let offsets = run.scene.budgets.offsets.held();
        run.scene.restart();
        assert_eq!(run.scene.budgets.offsets.held(), offsets, "run {number}");
        run.look();
    }
}

#[test]
fn every_ask_is_answered_once_time_has_passed() {
    for number in 0..200 {
        let mut run = Run::new(1000 + number);
        for _ in 0..100 {
            run.act();
        }
        run.settle();
        run.scene.pass(2_000_000);
        run.hear();
        let waiting: Vec<_> = run.scene.coordinator.groups.values().collect();
        assert!(run.asked.is_empty(), "run {number}: {:?} of {waiting:?}", run.asked);
        assert_eq!(run.answered, run.scene.next as usize, "run {number}");
    }
}

#[test]
fn a_group_reads_back_as_it_was_written() {
    for number in 0..200 {
        let mut run = Run::new(5000 + number);
        for _ in 0..60 {
            run.act();
        }
        let now = run.scene.now;
        for group in run.scene.coordinator.groups.values() {
            if matches!(group.state, State::Preparing(_)) {
                continue;
            }
            let (_, value) = record::group(group, Extent::Members).unwrap();
            let value = decode_value(&value.unwrap()).unwrap();
            let read: Group<u32> = record::loaded_group(group.name.clone(), &value, now);
            let (_, again) = record::group(&read, Extent::Members).unwrap();
            assert_eq!(decode_value(&again.unwrap()), Ok(value), "run {number}");
            assert_eq!(read.generation, group.generation);
            assert_eq!(read.leader, group.leader);
            assert_eq!(read.is_empty(), group.is_empty());
            assert_eq!(read.awaits_assignment(), group.awaits_assignment());
        }
    }
}
