//! The offsets that a group has committed, and who may commit.
//!
//! Invariants:
//! - nothing is in here that is not durable: an offset enters once the record that says it is, in the order of the log;
//! - what is in here is charged for what it holds in memory.

use super::ask::CommitAsk;
use super::budget::{Budget, Charge, GROUP};
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

// What is held at most, as an allocator counted it on a 64-bit machine: 2,500 bytes for a group with one offset, 1,250 for
// each further topic with one, 110 to 225 for each further partition. Nodes of trees are half empty at worst.

/// Bytes that a topic costs a group, besides its name.
const TOPIC: usize = 1200;
/// Bytes that an offset costs, besides what its client keeps with it.
const OFFSET: usize = 232;

/// The offsets of one group.
#[derive(Default, Debug)]
pub(super) struct Offsets {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, Committed>>,
    /// Commits on their way to the log.
    in_flight: usize,
    /// What they hold; nothing while there are none.
    charge: Charge,
}

impl Offsets {
    /// Bytes that the offsets of a group called `group` hold more once one is committed of which topic, partition and bytes
    /// of metadata are given; `promised` is the topic of the one before it in its request. What an offset in its place
    /// holds less is not counted.
    pub(super) fn growth(&self, group: &str, promised: Option<&str>, new: (&str, i32, usize)) -> usize {
        let (topic, partition, metadata) = new;
        if let Some(partitions) = self.topics.get(topic) {
            return match partitions.get(&partition) {
                Some(before) => metadata.saturating_sub(before.metadata.len()),
                None => OFFSET + metadata,
            };
        }
        let first = self.topics.is_empty() && promised.is_none();
        let of_group = if first { GROUP + group.len() } else { 0 };
        let of_topic = if promised == Some(topic) {
            0
        } else {
            TOPIC + topic.len()
        };
        of_group + of_topic + OFFSET + metadata
    }

    /// Bytes that they hold, counted anew.
    #[cfg(test)]
    pub(super) fn held_bytes(&self, group: &str) -> usize {
        let topics: usize = self.topics.keys().map(|topic| TOPIC + topic.len()).sum();
        let offsets: usize = self.iter().map(|(.., it)| OFFSET + it.metadata.len()).sum();
        match self.topics.len() {
            0 => 0,
            _ => GROUP + group.len() + topics + offsets,
        }
    }

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

    /// Takes in an offset of the group called `group`, whatever the budget allows.
    pub(super) fn insert(&mut self, group: &str, at: (&Arc<str>, i32), committed: Committed, budget: &Budget) {
        let (topic, partition) = at;
        let metadata = committed.metadata.len();
        let more = self.growth(group, None, (topic, partition, metadata));
        let before = if let Some(partitions) = self.topics.get_mut(topic) {
            partitions.insert(partition, committed)
        } else {
            let partitions = BTreeMap::from([(partition, committed)]);
            self.topics.insert(Arc::clone(topic), partitions);
            None
        };
        let less = before.map_or(0, |it| it.metadata.len().saturating_sub(metadata));
        if more != less {
            self.charge.resize(self.charge.bytes() + more - less, budget);
        }
    }

    pub(super) fn remove(&mut self, topic: &str, partition: i32, budget: &Budget) {
        let Some(partitions) = self.topics.get_mut(topic) else {
            return;
        };
        let Some(gone) = partitions.remove(&partition) else {
            return;
        };
        let mut less = OFFSET + gone.metadata.len();
        if partitions.is_empty() {
            self.topics.remove(topic);
            less += TOPIC + topic.len();
        }
        let left = if self.topics.is_empty() {
            0
        } else {
            self.charge.bytes() - less
        };
        self.charge.resize(left, budget);
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
