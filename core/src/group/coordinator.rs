//! The coordinator of the groups of one partition of `__consumer_offsets`: it lives with the partition's leader, reads
//! the groups from it, and writes what they decide into it.
//!
//! Invariants:
//! - what it holds follows from its partition: after a write that failed it reads everything anew;
//! - nothing that depends on a record is answered, or shown to others, before the record is durable;
//! - nothing is served before everything is read, and nobody else writes to the partition;
//! - what fails again and again is tried ever more rarely;
//! - every ask is answered once.

use super::ask::{GroupAnswer, GroupAsk, Listed};
use super::backoff::Backoff;
use super::budget::{Budget, Budgets};
use super::classic::{Group, Work};
use super::deadlines::Deadlines;
use super::offsets::Committed;
use super::queue::Queue;
use super::reading::Ignored;
use crate::config::BrokerConfig;
use crate::metadata::{Delta, Image};
use crate::partition::Matter;
use crate::types::{ErrorCode, Monotonic, Now, Offset, Seed, Timestamp, TopicId};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Debug;

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
    pub reports: Vec<(Matter, String)>,
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
    /// A wall clock that no step since the broker's start makes run ahead: what tells the age of records that are read.
    pub steady: Timestamp,
    /// The state of the cluster: which topics there are.
    pub image: &'a Image,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// The partition is being read.
    Loading,
    Active,
    /// The partition could not be read; at this time it is tried again.
    Failed(Monotonic),
    /// It is tried again. Nobody is told anything else before it worked.
    Retrying,
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
    pub(super) deadlines: Deadlines,
    pub(super) queue: Queue<T>,
    /// What members may hold.
    pub(super) budget: Budget,
    /// What committed offsets may hold.
    pub(super) offset_budget: Budget,
    /// Reads that failed in a row.
    pub(super) reading: Backoff,
    /// Records read that this broker does not know.
    pub(super) ignored: Ignored,
    /// Writes that failed in a row.
    pub(super) writing: Backoff,
    /// Until then nothing is written, and what would be is refused with this error.
    pub(super) pause: Option<(Monotonic, ErrorCode)>,
    /// Offsets of topics that are gone may be left.
    pub(super) stale: bool,
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
        budgets: &Budgets,
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
            budget: budgets.members.clone(),
            offset_budget: budgets.offsets.clone(),
            reading: Backoff::default(),
            ignored: Ignored::default(),
            writing: Backoff::default(),
            pause: None,
            stale: false,
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
                if let Some(code) = self.paused(view.now).filter(|_| ask.may_write()) {
                    return outcome.answers.push((part, ask.refused(code)));
                }
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
            // What Kafka's runtime answers for a coordinator that could not be loaded (`CoordinatorRuntime`): clients look
            // for another one and come back.
            State::Failed(_) | State::Retrying => {
                outcome.answers.push((part, ask.refused(ErrorCode::NotCoordinator)));
            }
            State::Stopped => outcome
                .answers
                .push((part, ask.refused(ErrorCode::CoordinatorNotAvailable))),
        }
    }

    /// The groups there are, by name; an error while they are not known.
    pub fn list(&self) -> Result<Vec<Listed>, ErrorCode> {
        match self.state {
            State::Loading => Err(ErrorCode::CoordinatorLoadInProgress),
            State::Failed(_) | State::Retrying => Err(ErrorCode::NotCoordinator),
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
    pub(super) fn ask_group(
        &mut self,
        part: T,
        name: &Arc<str>,
        ask: GroupAsk,
        view: View<'_>,
        outcome: &mut Outcome<T>,
    ) {
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

    /// Topics were deleted: their offsets go.
    pub fn topics_deleted(&mut self, delta: &Delta, view: View<'_>, outcome: &mut Outcome<T>) {
        if self.state != State::Active || delta.deleted.is_empty() {
            return;
        }
        self.stale = true;
        self.forget_stale(view);
        self.hand_over(view, outcome);
    }

    /// Whether its groups are refused because they could not be read.
    pub const fn is_unread(&self) -> bool {
        matches!(self.state, State::Failed(_) | State::Retrying)
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
        self.refuse_all(ErrorCode::NotCoordinator, in_flight, outcome);
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
