//! A group of the classic protocol: who is in it, and how far its generation is (`ClassicGroup`).
//!
//! Invariants, asserted after each step:
//! - `joining` counts the members whose clients wait for the next generation; nobody waits for one but while the group
//!   prepares a rebalance, or while the record of the new generation is on its way;
//! - there are no members exactly if the group is empty or prepares a rebalance that nobody takes part in yet; then it has
//!   no leader, and otherwise one that is a member;
//! - each static member is a member, and a pending member is none;
//! - whoever waits for the next generation has an end to the wait: a group that prepares one has a deadline for it, unless
//!   nobody has joined and its members let it wait for less than a second;
//! - while a record that decides on the group is on its way, nothing changes in it but that somebody may stop waiting.

use super::member::{Acquaintance, Member, Waiting};
use super::vote::{CONSUMER, Spoken, subscription};
use crate::bugs::bug;
use crate::config::GroupConfig;
use crate::group::ask::{GroupAnswer, GroupAsk, JoinRefusal, StateName};
use crate::group::budget::{Budget, Charge};
use crate::group::deadlines::{Deadlines, Due};
use crate::group::expiry::Since;
use crate::group::offsets::Offsets;
use crate::types::{ErrorCode, Monotonic, Now, Seed, Timestamp};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

/// What a group works with in one step.
pub(in crate::group) struct Work<'a, T> {
    pub(in crate::group) now: Now,
    pub(in crate::group) config: &'a GroupConfig,
    pub(in crate::group) budget: &'a Budget,
    pub(in crate::group) seed: &'a mut Seed,
    pub(in crate::group) deadlines: &'a mut Deadlines,
    pub(in crate::group) answers: &'a mut Vec<(T, GroupAnswer)>,
}

/// How far a group's generation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::group) enum State {
    /// No members, since then.
    Empty(Since),
    Preparing(Join),
    /// The members have the generation, and the leader's assignment is awaited.
    Completing,
    Stable,
}

/// What ends the wait for members to join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::group) enum Join {
    /// The first members of an empty group wait for others: a delay, as long as some come, up to a bound.
    Initial {
        delay_ms: u64,
        remaining_ms: u64,
        extended: bool,
    },
    /// Every member, or time.
    Ordinary,
}

/// A record that decides on the group and is on its way.
#[derive(Debug)]
pub(in crate::group) struct Storing<T> {
    /// The state that others see meanwhile.
    shown: StateName,
    pub(in crate::group) after: After<T>,
    /// It was handed to the log.
    handed: bool,
}

/// What follows once the record is durable.
#[derive(Debug)]
pub(in crate::group) enum After<T> {
    /// The members hear of their generation.
    Joined,
    /// The group is empty: those hear of it who made it so.
    Emptied(Vec<(T, GroupAnswer)>),
    /// The members get their parts.
    Synced,
    /// A static member that came back under another id hears that nothing changed for it.
    Replaced {
        member: Arc<str>,
        leader: Arc<str>,
        skip_assignment: bool,
    },
    /// Offsets are on their way that a removal of the group has to know.
    Drained,
    /// The group is gone.
    Removed(Option<T>),
}

/// Which record is to be written for a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::group) enum Record {
    /// Members and parts; without parts as long as the generation has none.
    Members,
    /// None: only what is on its way is awaited.
    Nothing,
    /// That the group is gone.
    Tombstone,
}

/// An id that was given to a client, which has not come with it.
#[derive(Debug)]
pub(super) struct Pending {
    /// When its session timeout ends.
    pub(super) expires: Monotonic,
    /// Its deadline in the list.
    pub(super) armed: Monotonic,
    /// What it holds.
    #[expect(dead_code, reason = "it counts until it goes")]
    pub(super) charge: Charge,
}

#[derive(Debug)]
pub(in crate::group) struct Group<T> {
    pub(in crate::group) name: Arc<str>,
    pub(in crate::group) generation: i32,
    pub(in crate::group) protocol_type: Option<Arc<str>>,
    pub(in crate::group) protocol: Option<Arc<str>>,
    pub(in crate::group) leader: Option<Arc<str>>,
    pub(in crate::group) members: BTreeMap<Arc<str>, Member<T>>,
    pub(super) statics: BTreeMap<Arc<str>, Arc<str>>,
    /// Clients that were given a member id to come again with.
    pub(super) pending: BTreeMap<Arc<str>, Pending>,
    pub(super) joining: usize,
    pub(super) spoken: Spoken,
    /// Members that have not asked for their part of this generation, and until when they may.
    pub(super) unsynced: BTreeSet<Arc<str>>,
    pub(super) sync_deadline: Option<Monotonic>,
    pub(super) join_deadline: Option<Monotonic>,
    /// What the members subscribe to, where that is known.
    subscribed: Option<BTreeSet<String>>,
    pub(in crate::group) state: State,
    /// When it came into its state, for the record.
    pub(in crate::group) state_since: Timestamp,
    pub(in crate::group) storing: Option<Storing<T>>,
    /// What was asked while a record was on its way.
    pub(in crate::group) held: VecDeque<(T, GroupAsk, Charge)>,
    pub(in crate::group) overdue: Vec<Due>,
    pub(in crate::group) offsets: Offsets,
    /// What it holds itself, once somebody joined: it stays when its members go. Without, its offsets count it.
    pub(super) charge: Charge,
}

impl<T: Copy + Debug> Group<T> {
    /// A group without members.
    pub(in crate::group) fn new(name: Arc<str>, now: Now) -> Self {
        Self {
            name,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            joining: 0,
            spoken: Spoken::default(),
            unsynced: BTreeSet::new(),
            sync_deadline: None,
            join_deadline: None,
            subscribed: None,
            state: State::Empty(Since::at(now)),
            state_since: now.wall,
            storing: None,
            held: VecDeque::new(),
            overdue: Vec::new(),
            offsets: Offsets::default(),
            charge: Charge::default(),
        }
    }

    /// What others see of the state: nothing that is not durable.
    pub(in crate::group) fn shown(&self) -> StateName {
        self.storing.as_ref().map_or_else(|| self.state_name(), |it| it.shown)
    }

    pub(super) fn state_name(&self) -> StateName {
        match self.state {
            State::Empty(_) => StateName::Empty,
            State::Preparing(_) => StateName::PreparingRebalance,
            State::Completing => StateName::CompletingRebalance,
            State::Stable => StateName::Stable,
        }
    }

    pub(in crate::group) const fn is_empty(&self) -> bool {
        matches!(self.state, State::Empty(_))
    }

    /// Whether nobody would miss it: it was made for somebody who then was refused.
    pub(in crate::group) fn is_void(&self) -> bool {
        self.is_empty()
            && self.generation == 0
            && self.pending.is_empty()
            && self.storing.is_none()
            && self.protocol_type.is_none()
            && self.offsets.is_void()
    }

    /// Whether anybody but its own clients may hear of it: something of it is durable, or somebody takes part.
    pub(in crate::group) fn is_known(&self) -> bool {
        !self.is_empty()
            || self.generation > 0
            || self.protocol_type.is_some()
            || !self.pending.is_empty()
            || !self.offsets.is_none()
    }

    /// Whether it will be gone once the record on its way is durable.
    pub(in crate::group) fn is_being_removed(&self) -> bool {
        matches!(self.storing.as_ref().map(|it| &it.after), Some(After::Removed(_)))
    }

    pub(super) fn enter(&mut self, state: State, now: Now) {
        self.state = state;
        self.state_since = now.wall;
    }

    /// Begins to write a record: until it is durable, what is asked of the group waits.
    pub(in crate::group) fn store(&mut self, shown: StateName, after: After<T>) {
        assert!(self.storing.is_none(), "two records decide on {} at once", self.name);
        self.storing = Some(Storing {
            shown,
            after,
            handed: false,
        });
    }

    /// The record to write, once.
    pub(in crate::group) fn take_record(&mut self) -> Option<Record> {
        let storing = self.storing.as_mut()?;
        if core::mem::replace(&mut storing.handed, true) {
            return None;
        }
        Some(match storing.after {
            After::Removed(_) => Record::Tombstone,
            After::Drained => Record::Nothing,
            _ => Record::Members,
        })
    }

    /// Whether members have a generation and no parts of it yet.
    pub(in crate::group) const fn awaits_assignment(&self) -> bool {
        matches!(self.state, State::Completing)
    }

    /// Whether a request of a member is one (`ClassicGroup.validateMember`).
    pub(in crate::group) fn check_member(&self, member: &str, instance: Option<&Arc<str>>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.statics.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if **current != *member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) {
            Ok(())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    pub(super) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// The longest that any member lets a rebalance wait.
    pub(super) fn rebalance_timeout_ms(&self) -> u64 {
        self.members.values().map(Member::patience_ms).max().unwrap_or(0)
    }

    pub(super) fn all_joined(&self) -> bool {
        if bug!(RebalanceWithoutWaiting) && self.joining > 0 {
            return true;
        }
        self.members.len() == self.joining && self.pending.is_empty()
    }

    /// Makes a member, whose client waits for the next generation.
    pub(in crate::group) fn insert(&mut self, member: Member<T>, protocol_type: &Arc<str>) {
        if self.members.is_empty() {
            self.protocol_type = Some(Arc::clone(protocol_type));
        }
        if let Some(instance) = &member.instance {
            self.statics.insert(Arc::clone(instance), Arc::clone(&member.id));
        }
        if self.leader.is_none() {
            self.leader = Some(Arc::clone(&member.id));
        }
        self.joining += usize::from(member.is_joining());
        self.spoken.add(&member);
        self.pending.remove(&member.id);
        let before = self.members.insert(Arc::clone(&member.id), member);
        assert!(before.is_none(), "a member joins {} twice", self.name);
    }

    /// Lets a member or a pending one go. Whoever waits for it is told that it is unknown, to join anew.
    pub(in crate::group) fn remove(&mut self, id: &str, work: &mut Work<'_, T>) {
        self.stop_expecting(id, work);
        self.unsynced.remove(id);
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        self.disarm_session(&mut member, work);
        self.spoken.remove(&member);
        self.joining -= usize::from(member.is_joining());
        Self::dismiss(&member, ErrorCode::UnknownMemberId, &Arc::from(""), work);
        if let Some(instance) = &member.instance {
            self.statics.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Lets an id go that nobody has come with.
    pub(super) fn stop_expecting(&mut self, id: &str, work: &mut Work<'_, T>) -> Option<Arc<str>> {
        let (id, Pending { armed, .. }) = self.pending.remove_entry(id)?;
        work.deadlines.disarm(armed, &self.name, Due::Session(Arc::clone(&id)));
        Some(id)
    }

    /// Tells whoever waits for a member that it will not get what it waits for.
    pub(super) fn dismiss(member: &Member<T>, code: ErrorCode, id: &Arc<str>, work: &mut Work<'_, T>) {
        match member.waiting {
            Waiting::Nothing => {}
            Waiting::Join(part) => work.answers.push((part, refuse_join(code, id))),
            Waiting::Sync(part) => work.answers.push((part, GroupAnswer::Synced(Err(code)))),
        }
    }

    /// A record that decides on the group is durable.
    pub(in crate::group) fn landed(&mut self, work: &mut Work<'_, T>) {
        let Some(storing) = self.storing.take() else {
            panic!("a record of {} is durable that nobody wrote", self.name);
        };
        match storing.after {
            After::Joined => self.announce(work),
            After::Synced => self.hand_out(work),
            After::Emptied(answers) => work.answers.extend(answers),
            After::Replaced {
                member,
                leader,
                skip_assignment,
            } => self.reinstated(&member, leader, skip_assignment, work),
            After::Removed(part) => work
                .answers
                .extend(part.map(|part| (part, GroupAnswer::Deleted(ErrorCode::None)))),
            After::Drained => {}
        }
        for due in core::mem::take(&mut self.overdue) {
            if self.storing.is_some() {
                self.overdue.push(due);
            } else {
                self.due(due, work);
            }
        }
    }

    /// Tells every member its generation.
    fn announce(&mut self, work: &mut Work<'_, T>) {
        let patience = self.rebalance_timeout_ms();
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            self.answer_join(&id, work);
            self.heard(&id, work);
            if let Some(member) = self.members.get_mut(&id) {
                member.acquaintance = Acquaintance::Known;
            }
            self.unsynced.insert(id);
        }
        self.arm_sync(patience, work);
    }

    fn answer_join(&mut self, id: &Arc<str>, work: &mut Work<'_, T>) {
        let Some(part) = self.stop_joining(id) else { return };
        let joined = self.joined(id, self.is_leader(id));
        work.answers.push((part, GroupAnswer::Joined(Ok(joined))));
    }

    /// The request of a member that waits for the next generation, if one does; it waits no more.
    pub(super) fn stop_joining(&mut self, id: &str) -> Option<T> {
        let member = self.members.get_mut(id)?;
        let Waiting::Join(part) = member.waiting else {
            return None;
        };
        member.waiting = Waiting::Nothing;
        self.joining -= 1;
        Some(part)
    }

    /// The request of a member that waits for its part, if one does; it waits no more.
    pub(super) fn stop_syncing(&mut self, id: &str) -> Option<T> {
        let member = self.members.get_mut(id)?;
        let Waiting::Sync(part) = member.waiting else {
            return None;
        };
        member.waiting = Waiting::Nothing;
        Some(part)
    }

    /// Gives every member that waits for it its part.
    pub(super) fn hand_out(&mut self, work: &mut Work<'_, T>) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(part) = self.stop_syncing(&id) {
                work.answers.push((part, GroupAnswer::Synced(Ok(self.synced(&id)))));
                self.heard(&id, work);
            }
        }
    }

    /// Refuses everything that waits: the group is let go of, and what becomes of it is not known here.
    pub(in crate::group) fn release(&mut self, code: ErrorCode, answers: &mut Vec<(T, GroupAnswer)>) {
        for member in self.members.values_mut() {
            match core::mem::replace(&mut member.waiting, Waiting::Nothing) {
                Waiting::Nothing => {}
                Waiting::Join(part) => answers.push((part, refuse_join(code, &member.id))),
                Waiting::Sync(part) => answers.push((part, GroupAnswer::Synced(Err(code)))),
            }
        }
        self.joining = 0;
        for (part, ask, _) in core::mem::take(&mut self.held) {
            answers.push((part, ask.refused(code)));
        }
        match self.storing.as_mut().map(|storing| &mut storing.after) {
            Some(After::Emptied(waiting)) => answers.extend(
                core::mem::take(waiting)
                    .into_iter()
                    .map(|(part, _)| (part, GroupAnswer::Left(Err(code)))),
            ),
            Some(After::Removed(part)) => answers.extend(part.take().map(|part| (part, GroupAnswer::Deleted(code)))),
            _ => {}
        }
    }

    pub(in crate::group) fn is_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Learns what the members subscribe to (`ClassicGroup.computeSubscribedTopics`).
    pub(in crate::group) fn learn_subscriptions(&mut self) {
        self.subscribed = match &self.protocol {
            _ if !self.is_consumers() => None,
            _ if self.members.is_empty() => Some(BTreeSet::new()),
            None => None,
            Some(protocol) => {
                let each = self.members.values().map(|it| subscription(&it.metadata(protocol)));
                let all: Option<Vec<_>> = each.collect();
                all.map(|all| all.into_iter().flatten().collect())
            }
        };
    }

    /// Whether offsets of `topic` are in use; unknown subscriptions of consumers may name any.
    pub(in crate::group) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed
            .as_ref()
            .map_or_else(|| self.is_consumers(), |topics| topics.contains(topic))
    }

    pub(in crate::group) const fn knows_subscriptions(&self) -> bool {
        self.subscribed.is_some()
    }

    pub(in crate::group) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What holds after each step.
    pub(in crate::group) fn check(&self) {
        let name = &self.name;
        assert!(self.joining <= self.members.len(), "{name}: more join than there are");
        let may_join = matches!(self.state, State::Preparing(_)) || self.storing.is_some();
        assert!(self.joining == 0 || may_join, "{name}: a join waits for nothing");
        let ends = self.join_deadline.is_some() || self.storing.is_some() || bug!(JoinTimerNotRearmed);
        assert!(self.joining == 0 || ends, "{name}: a join waits without end");
        match self.state {
            State::Empty(_) => assert!(self.members.is_empty(), "{name}: an empty group has members"),
            State::Completing | State::Stable => assert!(!self.members.is_empty(), "{name}: nobody is left"),
            State::Preparing(_) => {}
        }
        let led = self.leader.as_ref().is_some_and(|it| self.members.contains_key(it));
        assert_eq!(led, !self.members.is_empty(), "{name}: a group is led by a member");
        assert!(
            self.statics.len() <= self.members.len(),
            "{name}: a static member is gone"
        );
        assert!(
            self.unsynced.len() <= self.members.len(),
            "{name}: a part awaits nobody"
        );
        assert!(
            self.held.is_empty() || self.storing.is_some(),
            "{name}: held for nothing"
        );
    }
}

pub(super) fn refuse_join(code: ErrorCode, member: &Arc<str>) -> GroupAnswer {
    GroupAnswer::Joined(Err(JoinRefusal {
        code,
        member: Arc::clone(member),
    }))
}
