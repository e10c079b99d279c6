//! Groups in fake time over a log in memory: scenarios that read as text.

mod commits;
mod damage;
mod joining;
mod limits;
mod memory;
mod offsets;
mod random;
mod restarts;
mod statics;

use super::*;
use crate::config::{BrokerConfig, GroupConfig};
use crate::metadata::{Change, Delta, Image, MetadataRecord, PartitionRecord, RemoveTopicRecord, TopicRecord};
use crate::storage::{IoValue, Job, Next};
use crate::types::{ErrorCode, Fault, Monotonic, Now, Offset, Part, Seed, Timestamp, TopicId};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

pub(super) const GROUP: &str = "g";

/// What happens to batches that the coordinator appends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Log {
    /// They are durable at once.
    Prompt,
    /// They wait until they are let through.
    Held,
    /// The next one fails, and nothing of it is kept.
    Full,
    /// All are refused with this error, and nothing of them is kept.
    Broken(ErrorCode),
}

/// A coordinator with its partition's log and its clients.
pub(super) struct Scene {
    pub(super) config: BrokerConfig,
    /// `max.message.bytes` of the topic.
    max_batch: usize,
    /// What members may hold.
    pub(super) budget: Budget,
    pub(super) budgets: Budgets,
    pub(super) coordinator: Coordinator<u32>,
    pub(super) image: Image,
    pub(super) now: Now,
    /// When the process began.
    began: Now,
    pub(super) log: Log,
    /// The batches that are durable.
    pub(super) batches: Vec<Bytes>,
    appending: Option<Bytes>,
    pub(super) answers: BTreeMap<u32, GroupAnswer>,
    pub(super) reports: Vec<String>,
    /// How often the partition was read from its beginning.
    pub(super) reads: usize,
    /// How often something was appended to it, or was to be.
    pub(super) appends: usize,
    next: u32,
    starts: u64,
}

fn id(text: &str) -> Arc<str> {
    Arc::from(text)
}

fn record(change: Change) -> MetadataRecord {
    change.into()
}

/// A consumer's subscription to these topics.
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = Vec::from([0, 0]);
    bytes.extend_from_slice(&(topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend_from_slice(&(topic.len() as i16).to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.into()
}

/// A consumer of `orders` that speaks these protocols.
pub(super) fn consumer(member: &str, protocols: &[&str]) -> JoinAsk {
    let protocol = |name: &&str| Protocol {
        name: id(name),
        metadata: subscription(&["orders"]),
    };
    JoinAsk {
        member: id(member),
        instance: None,
        client_id: id("client"),
        client_host: id("/127.0.0.1"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: id("consumer"),
        protocols: protocols.iter().map(protocol).collect(),
        first_join: FirstJoin::Admitted,
        replaced_leader: ReplacedLeader::SkipsAssignment,
    }
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::with(GroupConfig::default())
    }

    pub(super) fn with(groups: GroupConfig) -> Self {
        let config = BrokerConfig {
            groups,
            ..BrokerConfig::default()
        };
        let now = Now {
            monotonic: Monotonic(0).plus_millis(1_000_000),
            wall: Timestamp(1_700_000_000_000),
        };
        let max_batch = 1 << 20;
        let budgets = Budgets::new(&config.groups);
        let mut scene = Self {
            max_batch,
            budget: budgets.members.clone(),
            coordinator: Coordinator::new(
                &Arc::new(config.clone()),
                max_batch,
                &budgets,
                Seed::new(1),
                &mut Outcome::default(),
            ),
            budgets,
            config,
            image: Image::default(),
            now,
            began: now,
            log: Log::Prompt,
            batches: Vec::new(),
            appending: None,
            answers: BTreeMap::new(),
            reports: Vec::new(),
            reads: 0,
            appends: 0,
            next: 0,
            starts: 0,
        };
        scene.create_topic("orders", 1);
        scene.restart();
        scene
    }

    pub(super) fn create_topic(&mut self, name: &str, identity: u8) {
        let partition = PartitionRecord {
            replicas: Vec::from([1]),
            isr: Vec::from([1]),
            leader: 1,
            leader_epoch: 0,
            leader_starts: 0,
            partition_epoch: 0,
        };
        self.change(Change::Topic(TopicRecord {
            topic_id: Vec::from([identity; 16]),
            name: name.to_string(),
            partitions: (0..4).map(|_| partition.clone()).collect(),
            config: BTreeMap::new(),
        }));
    }

    pub(super) fn delete_topic(&mut self, identity: u8) {
        let delta = self.remove_topic(identity);
        self.step(|coordinator, view, outcome| coordinator.topics_deleted(&delta, view, outcome));
    }

    /// A topic is gone, and the coordinator does not hear of it.
    pub(super) fn remove_topic(&mut self, identity: u8) -> Delta {
        self.change(Change::RemoveTopic(RemoveTopicRecord {
            topic_id: Vec::from([identity; 16]),
        }))
    }

    fn change(&mut self, change: Change) -> Delta {
        let mut delta = Delta::default();
        self.image.apply(self.image.end(), &record(change), &mut delta).unwrap();
        delta
    }

    /// The process ends, however; another one reads what was durable.
    pub(super) fn restart(&mut self) {
        self.starts += 1;
        self.began = self.now;
        self.appending = None;
        self.log = Log::Prompt;
        let config = Arc::new(self.config.clone());
        let mut outcome = Outcome::default();
        self.coordinator = Coordinator::new(
            &config,
            self.max_batch,
            &self.budgets,
            Seed::new(self.starts),
            &mut outcome,
        );
        self.answers.clear();
        self.take(outcome);
    }

    /// The topic's `max.message.bytes` is changed.
    pub(super) fn limit(&mut self, max_batch: usize) {
        self.max_batch = max_batch;
        self.coordinator.limit(max_batch);
    }

    fn steady(&self) -> Timestamp {
        let elapsed = self.now.monotonic.millis_since(self.began.monotonic) as i64;
        Timestamp(self.now.wall.0.min(self.began.wall.0 + elapsed))
    }

    /// Has the coordinator do something, whose outcome the caller has to see to.
    pub(super) fn act(&mut self, act: impl FnOnce(&mut Coordinator<u32>, View<'_>, &mut Outcome<u32>)) -> Outcome<u32> {
        let mut outcome = Outcome::default();
        let view = View {
            now: self.now,
            steady: self.steady(),
            image: &self.image,
        };
        act(&mut self.coordinator, view, &mut outcome);
        outcome
    }

    fn step(&mut self, act: impl FnOnce(&mut Coordinator<u32>, View<'_>, &mut Outcome<u32>)) {
        let outcome = self.act(act);
        if self.coordinator.list().is_ok() {
            let groups = self.coordinator.groups.values();
            let held: usize = groups.map(classic::Group::held_bytes).sum();
            assert_eq!(self.budget.held(), held, "what is held is what is there");
            let groups = self.coordinator.groups.values();
            let held: usize = groups.map(|group| group.offsets.held_bytes(&group.name)).sum();
            let offsets = self.budgets.offsets.held();
            let waiting = !self.coordinator.is_quiet();
            assert!(
                held == offsets || (waiting && held < offsets),
                "{held} of {offsets} are there"
            );
        }
        self.take(outcome);
    }

    fn take(&mut self, outcome: Outcome<u32>) {
        for (part, answer) in outcome.answers {
            let before = self.answers.insert(part, answer);
            assert!(before.is_none(), "ask {part} is answered twice: {before:?}");
        }
        self.reports.extend(outcome.reports.into_iter().map(|(_, text)| text));
        match outcome.want {
            None => {}
            Some(Want::Start) => {
                self.reads += 1;
                self.read(Ok((Vec::new(), Some(Offset(0)))));
            }
            Some(Want::Read(at)) => {
                let next = self.batches.get(at.0 as usize).cloned();
                let loaded = next.clone().map_or_else(|| Ok(Vec::new()), load);
                self.read(loaded.map(|loaded| (loaded, next.map(|_| at.plus(1)))));
            }
            Some(Want::Append(batch)) => {
                assert!(self.appending.is_none(), "one batch at a time");
                self.appends += 1;
                match self.log {
                    Log::Held => self.appending = Some(batch),
                    Log::Prompt => {
                        self.batches.push(batch);
                        self.step(|it, view, outcome| it.appended(Ok(()), view, outcome));
                    }
                    Log::Full => {
                        self.log = Log::Prompt;
                        self.step(|it, view, outcome| it.appended(Err(ErrorCode::KafkaStorageError), view, outcome));
                    }
                    Log::Broken(code) => self.step(|it, view, outcome| it.appended(Err(code), view, outcome)),
                }
            }
        }
    }

    pub(super) fn read(&mut self, result: Result<(Vec<Loaded>, Option<Offset>), Fault>) {
        self.step(|it, view, outcome| it.read(result, view, outcome));
    }

    /// The batch that is held becomes durable, and the coordinator hears of it.
    pub(super) fn let_through(&mut self) {
        let batch = self.appending.take().expect("a batch is on its way");
        self.batches.push(batch);
        self.step(|it, view, outcome| it.appended(Ok(()), view, outcome));
    }

    /// The batch that is held becomes durable, and the process dies before anybody hears of it.
    pub(super) fn crash_after_write(&mut self) {
        self.batches.extend(self.appending.take());
        self.restart();
    }

    pub(super) fn is_appending(&self) -> bool {
        self.appending.is_some()
    }

    pub(super) fn ask(&mut self, ask: GroupAsk) -> u32 {
        self.ask_of(GROUP, ask)
    }

    pub(super) fn ask_of(&mut self, group: &str, ask: GroupAsk) -> u32 {
        self.next += 1;
        let (part, group) = (self.next, id(group));
        self.step(|it, view, outcome| it.ask(part, &group, ask, view, outcome));
        part
    }

    /// The answer, which has to be there.
    pub(super) fn answer(&mut self, part: u32) -> GroupAnswer {
        self.answers.remove(&part).expect("it is answered")
    }

    pub(super) fn waits(&self, part: u32) -> bool {
        !self.answers.contains_key(&part)
    }

    /// What is due now is done.
    pub(super) fn fire(&mut self) {
        self.step(Coordinator::fire);
    }

    pub(super) fn pass(&mut self, millis: u64) {
        let until = self.now.monotonic.plus_millis(millis);
        let wall = self.now.wall.0 + millis as i64;
        let mut at_once = 0;
        while let Some(deadline) = self.coordinator.next_deadline().filter(|it| *it <= until) {
            at_once = if deadline > self.now.monotonic { 0 } else { at_once + 1 };
            assert!(at_once < 100, "something is due again and again");
            self.now.monotonic = self.now.monotonic.max(deadline);
            self.step(Coordinator::fire);
        }
        self.now = Now {
            monotonic: until,
            wall: Timestamp(wall),
        };
    }

    pub(super) fn join(&mut self, ask: JoinAsk) -> u32 {
        self.ask(GroupAsk::Join(ask))
    }

    pub(super) fn joined(&mut self, part: u32) -> Joined {
        match self.answer(part) {
            GroupAnswer::Joined(Ok(joined)) => joined,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn refused_join(&mut self, part: u32) -> (ErrorCode, String) {
        match self.answer(part) {
            GroupAnswer::Joined(Err(refusal)) => (refusal.code, refusal.member.to_string()),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn sync(&mut self, joined: &Joined, assignments: &[(&str, &'static str)]) -> u32 {
        self.ask(GroupAsk::Sync(sync_ask(joined, assignments)))
    }

    pub(super) fn synced(&mut self, part: u32) -> Result<String, ErrorCode> {
        match self.answer(part) {
            GroupAnswer::Synced(synced) => synced.map(|it| String::from_utf8(it.assignment.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        let part = self.ask(GroupAsk::Heartbeat(HeartbeatAsk {
            member: id(member),
            instance: None,
            generation,
        }));
        match self.answer(part) {
            GroupAnswer::Alive(code) => code,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn leave(&mut self, members: &[&str]) -> u32 {
        self.ask(leave_ask(members))
    }

    pub(super) fn left(&mut self, part: u32) -> Vec<ErrorCode> {
        match self.answer(part) {
            GroupAnswer::Left(Ok(codes)) => codes,
            other => panic!("{other:?}"),
        }
    }

    /// Commits an offset of `orders`-0.
    pub(super) fn commit(&mut self, member: &str, generation: i32, offset: i64) -> u32 {
        self.commit_of(GROUP, commit(member, generation, 0, offset))
    }

    pub(super) fn commit_of(&mut self, group: &str, ask: CommitAsk) -> u32 {
        self.ask_of(group, GroupAsk::Commit(ask))
    }

    pub(super) fn committed(&mut self, part: u32) -> ErrorCode {
        match self.answer(part) {
            GroupAnswer::Committed(codes) => codes[0],
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn offset(&mut self, group: &str, partition: i32) -> Option<i64> {
        let part = self.ask_of(
            group,
            GroupAsk::Fetch(FetchAsk {
                wanted: Some(Vec::from([(id("orders"), Arc::from([partition]))])),
                stability: Stability::AsItIs,
            }),
        );
        match self.answer(part) {
            GroupAnswer::Offsets(Ok(offsets)) => offsets.first().map(|(_, _, it)| it.offset.0),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn state(&mut self) -> Result<StateName, ErrorCode> {
        let part = self.ask(GroupAsk::Describe);
        match self.answer(part) {
            GroupAnswer::Described(described) => described.map(|it| it.state),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn listed(&self) -> Vec<(String, StateName)> {
        let listed = self.coordinator.list().unwrap();
        listed.into_iter().map(|it| (it.group.to_string(), it.state)).collect()
    }

    /// Members that joined an empty group together, the leader first.
    pub(super) fn gather(&mut self, count: usize) -> Vec<Joined> {
        let asks: Vec<_> = (0..count).map(|_| self.join(consumer("", &["range"]))).collect();
        self.pass(6000);
        let mut joined: Vec<_> = asks.into_iter().map(|part| self.joined(part)).collect();
        joined.sort_by_key(|it| it.members.is_empty());
        joined
    }

    /// Such members, each with its part: its place.
    pub(super) fn stable(&mut self, count: usize) -> Vec<Joined> {
        let members = self.gather(count);
        let parts = ["0", "1", "2", "3"];
        let all: Vec<_> = members.iter().map(|it| it.member.to_string()).collect();
        let assignments: Vec<_> = all.iter().map(String::as_str).zip(parts).collect();
        for (place, member) in members.iter().enumerate().rev() {
            let sent = if place == 0 { assignments.as_slice() } else { &[] };
            self.sync(member, sent);
        }
        self.answers.clear();
        assert_eq!(self.state(), Ok(StateName::Stable));
        members
    }

    /// Members keep saying that they live, while time passes.
    pub(super) fn pass_alive(&mut self, members: &[Joined], millis: u64) {
        for _ in 0..millis.div_ceil(3000) {
            self.pass(3000);
            for it in members {
                assert_eq!(self.heartbeat(&it.member, it.generation), ErrorCode::None);
            }
        }
    }
}

/// What the batch says, or why it cannot be read.
pub(super) fn load(batch: Bytes) -> Result<Vec<Loaded>, Fault> {
    let mut job = ReadRecords::new(Vec::from([Part::Inline(batch)]));
    match job.resume(Ok(IoValue::Done)) {
        Next::Done(loaded) => loaded,
        other => panic!("{other:?}"),
    }
}

pub(super) fn sync_ask(joined: &Joined, assignments: &[(&str, &'static str)]) -> SyncAsk {
    let assignment = |(member, part): &(&str, &'static str)| (id(member), Bytes::from_static(part.as_bytes()));
    SyncAsk {
        member: Arc::clone(&joined.member),
        instance: None,
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments.iter().map(assignment).collect(),
    }
}

pub(super) fn leave_ask(members: &[&str]) -> GroupAsk {
    let leaver = |member: &&str| Leaver {
        member: id(member),
        instance: None,
    };
    GroupAsk::Leave(members.iter().map(leaver).collect())
}

/// The same join with so many bytes of metadata in one protocol.
pub(super) fn with_metadata(ask: &JoinAsk, bytes: usize) -> JoinAsk {
    let metadata = Bytes::from(alloc::vec![7; bytes]);
    JoinAsk {
        protocols: Vec::from([Protocol {
            name: id("range"),
            metadata,
        }]),
        ..ask.clone()
    }
}

pub(super) fn commit(member: &str, generation: i32, partition: i32, offset: i64) -> CommitAsk {
    CommitAsk {
        member: id(member),
        instance: None,
        generation,
        retention_ms: None,
        no_group: ErrorCode::GroupIdNotFound,
        offsets: Vec::from([CommitOffset {
            topic: id("orders"),
            id: TopicId(crate::types::Uuid([1; 16])),
            partition,
            offset: Offset(offset),
            leader_epoch: None,
            metadata: id("why"),
        }]),
    }
}

#[test]
fn a_group_belongs_to_the_partition_that_java_would_choose() {
    // "polygenelubricants" has Java's hash i32::MIN, whose absolute value Kafka takes for 0.
    for (group, partition) in [
        ("", 0),
        ("a", 47),
        ("console-consumer-1", 24),
        ("polygenelubricants", 0),
        ("ü", 2),
    ] {
        assert_eq!(partition_of(group, 50), partition, "{group}");
    }
}
