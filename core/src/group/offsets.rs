//! The offsets that a group has committed, and who may commit.
//!
//! Invariant: nothing is in here that is not durable: an offset enters once the record that says it is, in the order of
//! the log.

use super::ask::CommitAsk;
use super::classic::{Group, State};
use super::expiry::Since;
use crate::bugs::bug;
use crate::types::{ErrorCode, LeaderEpoch, Offset, Timestamp, TopicId};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt::Debug;

/// A committed offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The topic it was committed for; zero where a record of an old form does not say.
    pub id: TopicId,
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record read.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the client keeps with it.
    pub metadata: Arc<str>,
    /// When it was committed, by the wall clock.
    pub at: Timestamp,
    /// The same, for its age.
    pub since: Since,
    /// Until when it is kept, where its client said so: by the wall clock, and for its age.
    pub expires: Option<(Timestamp, Since)>,
}

/// The offsets of one group.
#[derive(Default, Debug)]
pub(super) struct Offsets {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, Committed>>,
    /// Commits on their way to the log.
    in_flight: usize,
}

impl Offsets {
    pub(super) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.topics.get(topic)?.get(&partition)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, i32, &Committed)> {
        let partitions = |(topic, partitions)| -> (&Arc<str>, &BTreeMap<i32, Committed>) { (topic, partitions) };
        self.topics
            .iter()
            .map(partitions)
            .flat_map(|(topic, partitions)| partitions.iter().map(move |(&partition, it)| (topic, partition, it)))
    }

    pub(super) fn insert(&mut self, topic: &Arc<str>, partition: i32, committed: Committed) {
        match self.topics.get_mut(topic) {
            Some(partitions) => drop(partitions.insert(partition, committed)),
            None => drop(
                self.topics
                    .insert(Arc::clone(topic), BTreeMap::from([(partition, committed)])),
            ),
        }
    }

    pub(super) fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// Whether there are none.
    pub(super) fn is_none(&self) -> bool {
        self.topics.is_empty()
    }

    /// Whether there are none, and none on their way.
    pub(super) fn is_void(&self) -> bool {
        self.topics.is_empty() && self.in_flight == 0
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) const fn depart(&mut self) {
        self.in_flight += 1;
    }

    pub(super) fn arrive(&mut self) {
        let left = self.in_flight.checked_sub(1);
        self.in_flight = left.expect("a commit arrives that never departed");
    }
}

impl<T: Copy + Debug> Group<T> {
    /// Whether the offsets may be committed (`ClassicGroup.validateOffsetCommit`): by members of this generation, as long
    /// as they may hold their partitions; by others only while there are no members.
    pub(super) fn check_commit(&self, ask: &CommitAsk) -> Result<(), ErrorCode> {
        if ask.generation < 0 && self.is_empty() {
            return Ok(());
        }
        if ask.generation < 0 && ask.member.is_empty() && ask.instance.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&ask.member, ask.instance.as_ref())?;
        if ask.generation != self.generation && !bug!(StaleGenerationCommits) {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            State::Completing => Err(ErrorCode::RebalanceInProgress),
            State::Empty(_) | State::Preparing(_) | State::Stable => Ok(()),
        }
    }
}
