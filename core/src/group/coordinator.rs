//! The coordinator of the groups of one partition of `__consumer_offsets`: it lives with the partition's leader, reads
//! the groups from it, and writes what they decide into it.
//!
//! Invariants:
//! - what it holds follows from its partition: after a write that failed it reads everything anew;
//! - nothing that depends on a record is answered, or shown to others, before the record is durable;
//! - nothing is served before everything is read, and nobody else writes to the partition;
//! - every ask is answered once.

use super::ask::{GroupAnswer, GroupAsk, Listed};
use super::budget::Budget;
use super::classic::{After, Group, Record, Work};
use super::deadlines::Deadlines;
use super::expiry::Expired;
use super::offsets::Committed;
use super::queue::{Queue, Then};
use super::record::{self, Extent};
use crate::bugs::bug;
use crate::config::BrokerConfig;
use crate::metadata::{Delta, Image};
use crate::record::build::{BatchBuilder, Producer};
use crate::record::codec::Level;
use crate::types::{ErrorCode, Monotonic, Now, Offset, Seed, TopicId};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Debug;
use core::ops::Bound;

/// Groups that one look for what has expired looks at.
const GROUPS_A_CHECK: usize = 64;
/// Milliseconds until a partition that could not be read is read again.
pub(super) const RETRY_MS: u64 = 1000;
/// Deadlines of groups that come to pass in one step.
const DUE_A_STEP: usize = 256;

/// What a coordinator wants of its partition. It wants one thing at a time.
#[derive(PartialEq, Eq, Debug)]
pub enum Want {
    /// To know where it begins.
    Start,
    /// To read from this offset on.
    Read(Offset),
    /// To append this batch, durably.
    Append(Bytes),
}

/// What came of an input; `T` names an ask.
#[derive(Debug)]
pub struct Outcome<T> {
    /// Answers.
    pub answers: Vec<(T, GroupAnswer)>,
    /// What to do with the partition.
    pub want: Option<Want>,
    /// What an operator should know.
    pub reports: Vec<String>,
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self {
            answers: Vec::new(),
            want: None,
            reports: Vec::new(),
        }
    }
}

/// What a coordinator looks at while it handles an input.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The time of the step.
    pub now: Now,
    /// The state of the cluster: which topics there are.
    pub image: &'a Image,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Loading,
    Active,
    /// The partition could not be read; at this time it is tried again.
    Failed(Monotonic),
    /// The broker stops: what is on its way is still written, and nothing new is taken.
    Stopped,
}

/// The coordinator of one partition.
#[derive(Debug)]
pub struct Coordinator<T> {
    pub(super) config: Arc<BrokerConfig>,
    pub(super) seed: Seed,
    pub(super) state: State,
    pub(super) groups: BTreeMap<Arc<str>, Group<T>>,
    deadlines: Deadlines,
    pub(super) queue: Queue<T>,
    pub(super) budget: Budget,
    /// Whether it was reported that the budget is used up.
    pub(super) refuses: bool,
    /// When to look for what has expired, and the group to go on behind.
    pub(super) check_at: Monotonic,
    pub(super) checked: Option<Arc<str>>,
}

impl<T: Copy + Debug> Coordinator<T> {
    /// A coordinator that begins to read its partition, whose topic takes batches of `max_batch` bytes. The log itself is
    /// to take any batch of its coordinator.
    pub fn new(
        config: &Arc<BrokerConfig>,
        max_batch: usize,
        budget: &Budget,
        seed: Seed,
        outcome: &mut Outcome<T>,
    ) -> Self {
        outcome.want = Some(Want::Start);
        Self {
            config: Arc::clone(config),
            seed,
            state: State::Loading,
            groups: BTreeMap::new(),
            deadlines: Deadlines::default(),
            queue: Queue::new(max_batch),
            budget: budget.clone(),
            refuses: false,
            check_at: Monotonic::default(),
            checked: None,
        }
    }

    /// From now on the topic takes batches of `max_batch` bytes (`max.message.bytes`).
    pub const fn limit(&mut self, max_batch: usize) {
        self.queue.limit(max_batch);
    }

    /// Takes an ask for a group of its partition. Its answer comes now or later, once.
    pub fn ask(&mut self, part: T, group: &Arc<str>, ask: GroupAsk, view: View<'_>, outcome: &mut Outcome<T>) {
        match self.state {
            State::Active => {
                self.ask_group(part, group, ask, view, outcome);
                self.settle(group, view, outcome);
                self.hand_over(view, outcome);
            }
            // A member is not to give up while its group is read back (`GroupCoordinatorService.heartbeat`).
            State::Loading if matches!(ask, GroupAsk::Heartbeat(_)) => {
                outcome.answers.push((part, ask.refused(ErrorCode::None)));
            }
            State::Loading => outcome
                .answers
                .push((part, ask.refused(ErrorCode::CoordinatorLoadInProgress))),
            State::Failed(_) => outcome.answers.push((part, ask.refused(ErrorCode::NotCoordinator))),
            State::Stopped => outcome
                .answers
                .push((part, ask.refused(ErrorCode::CoordinatorNotAvailable))),
        }
    }

    /// The groups there are, by name; an error while they are not known.
    pub fn list(&self) -> Result<Vec<Listed>, ErrorCode> {
        match self.state {
            State::Loading => Err(ErrorCode::CoordinatorLoadInProgress),
            State::Failed(_) => Err(ErrorCode::NotCoordinator),
            State::Stopped => Err(ErrorCode::CoordinatorNotAvailable),
            State::Active => Ok(self
                .groups
                .values()
                .filter(|it| it.is_known())
                .map(Group::listed)
                .collect()),
        }
    }

    /// Handles an ask of a group, unless a record that decides on the group is on its way: then it waits.
    fn ask_group(&mut self, part: T, name: &Arc<str>, ask: GroupAsk, view: View<'_>, outcome: &mut Outcome<T>) {
        if let Some(group) = self.groups.get_mut(name).filter(|group| group.storing.is_some())
            && !matches!(ask, GroupAsk::Fetch(_))
        {
            if ask.may_wait() && !self.budget.lets_grow(ask.bytes()) {
                return outcome
                    .answers
                    .push((part, ask.refused(ErrorCode::CoordinatorNotAvailable)));
            }
            let charge = self.budget.charge(ask.bytes());
            return group.held.push_back((part, ask, charge));
        }
        match ask {
            GroupAsk::Join(ask) => self.join(part, name, ask, view, outcome),
            GroupAsk::Commit(ask) => self.commit(part, name, &ask, view, outcome),
            GroupAsk::Fetch(ask) => self.fetch(part, name, ask, view, outcome),
            GroupAsk::Delete => self.delete(part, name, outcome),
            GroupAsk::DeleteOffsets(wanted) => self.delete_offsets(part, name, &wanted, outcome),
            GroupAsk::Describe => {
                let known = self.groups.get(name).filter(|it| it.is_known());
                let described = known.map(Group::described).ok_or(ErrorCode::GroupIdNotFound);
                outcome.answers.push((part, GroupAnswer::Described(described)));
            }
            ask @ (GroupAsk::Sync(_) | GroupAsk::Heartbeat(_) | GroupAsk::Leave(_)) => {
                self.ask_of_member(part, name, ask, view, outcome);
            }
        }
    }

    fn ask_of_member(&mut self, part: T, name: &Arc<str>, ask: GroupAsk, view: View<'_>, outcome: &mut Outcome<T>) {
        if !self.groups.contains_key(name) {
            return outcome.answers.push((part, unknown_member(&ask)));
        }
        self.with(name, view, outcome, |group, work| match ask {
            GroupAsk::Sync(ask) => group.sync(part, ask, work),
            GroupAsk::Leave(leavers) => group.leave(part, &leavers, work),
            GroupAsk::Heartbeat(ask) => {
                let code = group.heartbeat(&ask, work);
                work.answers.push((part, GroupAnswer::Alive(code)));
            }
            ask => panic!("{ask:?} is no member's"),
        });
    }

    /// Lets a group do something; `None` when there is no such group.
    pub(super) fn with<R>(
        &mut self,
        name: &Arc<str>,
        view: View<'_>,
        outcome: &mut Outcome<T>,
        act: impl FnOnce(&mut Group<T>, &mut Work<'_, T>) -> R,
    ) -> Option<R> {
        let group = self.groups.get_mut(name)?;
        let mut work = Work {
            now: view.now,
            config: &self.config.groups,
            budget: &self.budget,
            seed: &mut self.seed,
            deadlines: &mut self.deadlines,
            answers: &mut outcome.answers,
        };
        Some(act(group, &mut work))
    }

    /// Writes what the group decided on, and goes on with what waited for it, until nothing is left to do.
    pub(super) fn settle(&mut self, name: &Arc<str>, view: View<'_>, outcome: &mut Outcome<T>) {
        loop {
            let Some(group) = self.groups.get_mut(name) else { return };
            if let Some(record) = group.take_record() {
                self.write(name, record, view, outcome);
            } else if group.storing.is_none()
                && let Some((part, ask, charge)) = group.held.pop_front()
            {
                drop(charge);
                self.ask_group(part, name, ask, view, outcome);
            } else {
                group.check();
                if group.is_void() {
                    self.groups.remove(name);
                }
                return;
            }
        }
    }

    /// Has the record written that decides on a group. What takes the group back, and what says no more than its
    /// generation, is written whatever size the topic allows; members that it does not allow are refused.
    fn write(&mut self, name: &Arc<str>, record: Record, view: View<'_>, outcome: &mut Outcome<T>) {
        let group = &self.groups[name];
        let joining = matches!(group.storing.as_ref().map(|it| &it.after), Some(After::Joined));
        let records = match record {
            Record::Members if joining && bug!(GenerationNotDurable) => Some(Vec::new()),
            Record::Nothing => Some(Vec::new()),
            // With its offsets, at once: no half of a group stays.
            Record::Tombstone => {
                let offsets = group.offsets.iter();
                let gone = offsets.map(|(topic, partition, _)| record::offset_gone(name, topic, partition));
                gone.chain([record::group_gone(name)]).collect::<Result<_, _>>().ok()
            }
            Record::Members => {
                let whole = record::group(group, Extent::Members).ok().map(|pair| Vec::from([pair]));
                let fits = whole.filter(|records| self.queue.takes(records));
                // The generation is written in any case; without its members, who after a start have to join anew.
                fits.or_else(|| {
                    let small = joining || group.members.is_empty();
                    let pair = small.then(|| record::group(group, Extent::Generation).ok());
                    pair.flatten().map(|pair| Vec::from([pair]))
                })
            }
        };
        if let Some(records) = records {
            return self.queue.append(records, Then::Landed(Arc::clone(name)));
        }
        let text =
            format!("group {name}: its members do not fit one record of __consumer_offsets; they have to join anew");
        outcome.reports.push(text);
        self.with(name, view, outcome, Group::cannot_store);
    }

    /// Hands the next batch to the log, if none is on its way.
    pub(super) fn hand_over(&mut self, view: View<'_>, outcome: &mut Outcome<T>) {
        while let Some(wave) = self.queue.next() {
            if wave.records.is_empty() {
                self.follow(wave.then, view, outcome);
                continue;
            }
            let batch = self.batch(&wave.records, view.now);
            self.queue.depart(wave.then);
            assert!(outcome.want.is_none(), "a coordinator wants one thing at a time");
            outcome.want = Some(Want::Append(batch));
            return;
        }
    }

    fn batch(&self, records: &[record::RecordPair], now: Now) -> Bytes {
        let build = |compression| {
            let mut builder = BatchBuilder::new(compression, Level::Default, Producer::Plain);
            for (key, value) in records {
                builder.append(now.wall, Some(key), value.as_deref(), &[]);
            }
            builder.build()
        };
        // A build without a codec writes what every build reads.
        let batch = build(self.config.groups.offsets_compression).or_else(|_| build(crate::record::Compression::None));
        batch.expect("a batch of bounded size is built").to_bytes()
    }

    /// The batch that was handed over is durable, or was refused.
    pub fn appended(&mut self, result: Result<(), ErrorCode>, view: View<'_>, outcome: &mut Outcome<T>) {
        let then = self.queue.arrive();
        match result {
            Ok(()) => self.follow(then, view, outcome),
            Err(code) => self.fail(code, then, outcome),
        }
        if self.state != State::Loading {
            self.hand_over(view, outcome);
        }
    }

    /// Does what was to follow from records that are durable now.
    fn follow(&mut self, then: Vec<Then<T>>, view: View<'_>, outcome: &mut Outcome<T>) {
        for then in then {
            match then {
                Then::Landed(name) => self.landed(&name, view, outcome),
                Then::Committed { group, offsets, reply } => {
                    self.apply(&group, offsets, view);
                    outcome.answers.extend(reply);
                    self.settle(&group, view, outcome);
                }
                Then::Forgotten { group, offsets, reply } => {
                    if let Some(it) = self.groups.get_mut(&group) {
                        for (topic, partition) in &offsets {
                            it.offsets.remove(topic, *partition);
                        }
                    }
                    outcome.answers.extend(reply);
                    self.settle(&group, view, outcome);
                }
                Then::Fetch { group, ask, part } => self.tell(part, &group, &ask, view, outcome),
            }
        }
    }

    fn landed(&mut self, name: &Arc<str>, view: View<'_>, outcome: &mut Outcome<T>) {
        let removed = self.groups.get(name).is_some_and(Group::is_being_removed);
        self.with(name, view, outcome, Group::landed);
        if removed && let Some(mut group) = self.groups.remove(name) {
            assert!(
                group.offsets.in_flight() == 0,
                "{name} is removed while offsets are committed"
            );
            let mut work = Work {
                now: view.now,
                config: &self.config.groups,
                budget: &self.budget,
                seed: &mut self.seed,
                deadlines: &mut self.deadlines,
                answers: &mut outcome.answers,
            };
            group.disarm(&mut work);
            for (part, ask, charge) in group.held {
                drop(charge);
                self.ask_group(part, name, ask, view, outcome);
                self.settle(name, view, outcome);
            }
        }
        self.settle(name, view, outcome);
    }

    /// Offsets are durable.
    fn apply(&mut self, name: &Arc<str>, offsets: Vec<(Arc<str>, i32, Committed)>, view: View<'_>) {
        let Some(group) = self.groups.get_mut(name) else {
            panic!("offsets were committed for {name}, which is gone");
        };
        group.offsets.arrive();
        for (topic, partition, committed) in offsets {
            // A topic that was deleted meanwhile: nobody is told of its offset any more, and a start drops it.
            if is_current(&committed, &topic, view.image) {
                group.offsets.insert(&topic, partition, committed);
            }
        }
    }

    /// A write failed: whoever waits is told so, and the partition says what holds.
    fn fail(&mut self, code: ErrorCode, mut then: Vec<Then<T>>, outcome: &mut Outcome<T>) {
        let code = seen_by_clients(code);
        then.extend(self.queue.give_up());
        for then in then {
            match then {
                Then::Committed { reply, .. } | Then::Forgotten { reply, .. } => {
                    outcome
                        .answers
                        .extend(reply.map(|(part, answer)| (part, refused(answer, code))));
                }
                Then::Fetch { part, .. } => outcome.answers.push((part, GroupAnswer::Offsets(Err(code)))),
                Then::Landed(_) => {}
            }
        }
        self.let_go(code, outcome);
        if self.state == State::Stopped {
            return;
        }
        outcome.reports.push(format!(
            "a record could not be written ({code}); the groups are read anew"
        ));
        self.restart(outcome);
    }

    fn restart(&mut self, outcome: &mut Outcome<T>) {
        self.groups.clear();
        self.deadlines.clear();
        self.state = State::Loading;
        outcome.want = Some(Want::Start);
    }

    /// Answers everybody who waits.
    fn let_go(&mut self, code: ErrorCode, outcome: &mut Outcome<T>) {
        for group in self.groups.values_mut() {
            group.release(code, &mut outcome.answers);
        }
    }

    /// Has tombstones written for offsets, whatever size the topic allows.
    pub(super) fn forget(&mut self, name: &Arc<str>, offsets: Vec<(Arc<str>, i32)>) {
        let gone = |(topic, partition): (Arc<str>, i32)| {
            let record = record::offset_gone(name, &topic, partition).ok()?;
            Some((record, (topic, partition)))
        };
        for (piece, offsets) in self.queue.pieces(offsets.into_iter().filter_map(gone).collect()) {
            let then = Then::Forgotten {
                group: Arc::clone(name),
                offsets,
                reply: None,
            };
            self.queue.append(piece, then);
        }
    }

    /// Topics were deleted: their offsets go.
    pub fn topics_deleted(&mut self, delta: &Delta, view: View<'_>, outcome: &mut Outcome<T>) {
        if self.state != State::Active || delta.deleted.is_empty() {
            return;
        }
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            self.forget_stale(&name, view);
        }
        self.hand_over(view, outcome);
    }

    /// When it wants to be [called](Self::fire) at the latest.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match self.state {
            State::Active => Some(self.deadlines.next().map_or(self.check_at, |it| it.min(self.check_at))),
            State::Failed(again) => Some(again),
            State::Loading | State::Stopped => None,
        }
    }

    /// A deadline has come.
    pub fn fire(&mut self, view: View<'_>, outcome: &mut Outcome<T>) {
        match self.state {
            State::Failed(again) if again <= view.now.monotonic => self.restart(outcome),
            State::Active => {
                for _ in 0..DUE_A_STEP {
                    let Some((name, due)) = self.deadlines.pop(view.now.monotonic) else {
                        break;
                    };
                    self.with(&name, view, outcome, |group, work| {
                        if group.storing.is_some() {
                            group.overdue.push(due);
                        } else {
                            group.due(due, work);
                        }
                    });
                    self.settle(&name, view, outcome);
                }
                if self.check_at <= view.now.monotonic {
                    self.expire(view, outcome);
                }
                self.hand_over(view, outcome);
            }
            _ => {}
        }
    }

    /// Looks at some groups for what has expired, and comes again for the others.
    fn expire(&mut self, view: View<'_>, outcome: &mut Outcome<T>) {
        let from = self.checked.take().map_or(Bound::Unbounded, Bound::Excluded);
        let names = self
            .groups
            .range((from, Bound::Unbounded))
            .map(|(name, _)| Arc::clone(name));
        let names: Vec<_> = names.take(GROUPS_A_CHECK).collect();
        let retention_ms = self.config.groups.offsets_retention_ms;
        for name in &names {
            match self.groups[name].expired(retention_ms, view.now) {
                Expired::Offsets(gone) => self.forget(name, gone),
                Expired::Group => {
                    if let Some(group) = self.groups.get_mut(name) {
                        group.store(group.shown(), After::Removed(None));
                    }
                }
            }
            self.settle(name, view, outcome);
        }
        let rest = names.len() == GROUPS_A_CHECK;
        self.checked = names.into_iter().next_back().filter(|_| rest);
        let pause = if rest {
            1
        } else {
            self.config.groups.offsets_retention_check_interval_ms.max(1)
        };
        self.check_at = view.now.monotonic.plus_millis(pause);
    }

    /// The broker stops: everybody who waits for other members is answered, so that clients are let go at once.
    pub fn stop(&mut self, outcome: &mut Outcome<T>) {
        self.let_go(ErrorCode::CoordinatorNotAvailable, outcome);
        self.state = State::Stopped;
    }

    /// The partition is gone: everything that waits is answered.
    pub fn unload(mut self, outcome: &mut Outcome<T>) {
        self.state = State::Stopped;
        let in_flight = if self.queue.has_departed() {
            self.queue.arrive()
        } else {
            Vec::new()
        };
        self.fail(ErrorCode::NotLeaderOrFollower, in_flight, outcome);
    }

    /// Whether nothing is on its way to the log.
    pub fn is_quiet(&self) -> bool {
        self.queue.is_idle()
    }

    /// How many deadlines are armed.
    pub fn deadlines(&self) -> usize {
        self.deadlines.len()
    }
}

/// Whether the topic that an offset was committed for is there.
pub(super) fn is_current(committed: &Committed, topic: &str, image: &Image) -> bool {
    let there = image.topic_named(topic);
    there.is_some_and(|there| committed.id == TopicId::default() || committed.id == there.id)
}

/// What a member hears of a group that is not there.
fn unknown_member(ask: &GroupAsk) -> GroupAnswer {
    match ask {
        GroupAsk::Leave(leavers) => GroupAnswer::Left(Ok(alloc::vec![ErrorCode::UnknownMemberId; leavers.len()])),
        ask => ask.refused(ErrorCode::UnknownMemberId),
    }
}

/// An answer that was to say that all is well.
fn refused(answer: GroupAnswer, code: ErrorCode) -> GroupAnswer {
    match answer {
        GroupAnswer::Committed(codes) => GroupAnswer::Committed(alloc::vec![code; codes.len()]),
        GroupAnswer::OffsetsDeleted(_) => GroupAnswer::OffsetsDeleted(Err(code)),
        GroupAnswer::Deleted(_) => GroupAnswer::Deleted(code),
        other => other,
    }
}

/// What clients are told when a record could not be written, so that they look for their coordinator and try again
/// (`CoordinatorOperationExceptionHelper`).
const fn seen_by_clients(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        // No client of a group knows what to do about a size.
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
        other => other,
    }
}
