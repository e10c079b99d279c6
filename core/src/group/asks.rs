//! What a coordinator does for a group that may not be there: joins, commits, look-ups, deletions.

use super::ask::{CommitAsk, CommitOffset, FetchAsk, GroupAnswer, GroupAsk, JoinAsk, JoinRefusal, Stability};
use super::budget::Charge;
use super::classic::{After, Group, State};
use super::coordinator::{Coordinator, Outcome, View, is_current};
use super::expiry::Since;
use super::offsets::Committed;
use super::queue::{AT_ONCE, Then, first_of};
use super::record;
use super::writing::tombstones;
use crate::bugs::bug;
use crate::metadata::Image;
use crate::partition::Matter;
use crate::types::{ErrorCode, Now, Timestamp};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

impl<T: Copy + Debug> Coordinator<T> {
    /// A client without a member id makes the group, where there is none.
    pub(super) fn join(&mut self, part: T, name: &Arc<str>, ask: JoinAsk, view: View<'_>, outcome: &mut Outcome<T>) {
        let refuse = |code, member| GroupAnswer::Joined(Err(JoinRefusal { code, member }));
        let largest = ask.protocols.iter().map(|it| it.metadata.len()).max();
        if largest.is_some_and(|bytes| bytes > self.queue.max_bytes()) {
            // Its group could never be stored with it.
            return outcome
                .answers
                .push((part, refuse(ErrorCode::InvalidRequest, ask.member)));
        }
        if !self.groups.contains_key(name) {
            if !ask.member.is_empty() {
                return outcome
                    .answers
                    .push((part, refuse(ErrorCode::UnknownMemberId, ask.member)));
            }
            self.groups
                .insert(Arc::clone(name), Group::new(Arc::clone(name), view.now));
        }
        if self.groups.get(name).is_some_and(|it| it.may_hold(&ask, &self.budget)) {
            self.budget.lets();
            self.with(name, view, outcome, |group, work| {
                group.weigh(work.budget);
                group.join(part, ask, work);
            });
            return;
        }
        // Clients try again after a pause: members that are gone give their bytes back.
        let answer = refuse(ErrorCode::CoordinatorNotAvailable, ask.member);
        outcome.answers.push((part, answer));
        if self.budget.refuses() {
            let text = "members hold all bytes that group.members.max.bytes allows: nobody joins before some are gone";
            outcome.reports.push((Matter::GroupsMemory, String::from(text)));
        }
    }

    /// Takes offsets to remember (`OffsetMetadataManager.commitOffset`).
    pub(super) fn commit(
        &mut self,
        part: T,
        name: &Arc<str>,
        ask: &CommitAsk,
        view: View<'_>,
        outcome: &mut Outcome<T>,
    ) {
        let all = |code| GroupAnswer::Committed(alloc::vec![code; ask.offsets.len()]);
        if !self.groups.contains_key(name) {
            if ask.generation >= 0 {
                return outcome.answers.push((part, all(ask.no_group)));
            }
            // A consumer that assigns its partitions itself, or a tool.
            self.groups
                .insert(Arc::clone(name), Group::new(Arc::clone(name), view.now));
        }
        let checked = self.with(name, view, outcome, |group, work| {
            group.check_commit(ask)?;
            if matches!(group.state, State::Stable | State::Preparing(_)) {
                group.heard(&ask.member, work);
            }
            Ok(())
        });
        if let Some(Err(code)) = checked {
            return outcome.answers.push((part, all(code)));
        }
        let count = ask.offsets.len();
        let mut codes = Vec::with_capacity(count);
        let (mut records, mut offsets) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut charge = self.offset_budget.charge(0);
        for it in &ask.offsets {
            let mut code = self.check_offset(it, view.image);
            if code.is_none() {
                let committed = committed(it, ask.retention_ms, view.now);
                let pair = record::offset(name, &it.topic, it.partition, &committed).ok();
                let promised = offsets.last().map(|(topic, ..): &(Arc<str>, i32, Committed)| &**topic);
                if let Some(pair) = pair.filter(|_| self.may_remember((name, promised), it, &mut charge, outcome)) {
                    records.push(pair);
                    offsets.push((Arc::clone(&it.topic), it.partition, committed));
                } else {
                    code = ErrorCode::InvalidCommitOffsetSize;
                }
            }
            codes.push(code);
        }
        if records.is_empty() {
            return outcome.answers.push((part, GroupAnswer::Committed(codes)));
        }
        let mut reply = Some((part, GroupAnswer::Committed(codes)));
        if bug!(OffsetAnsweredEarly) {
            outcome.answers.extend(reply.take());
        }
        let then = Then::Committed {
            group: Arc::clone(name),
            offsets,
            reply,
            charge,
        };
        if self.queue.push(records, then).is_err() {
            // As Kafka's runtime refuses what does not fit one batch (`CoordinatorOperationExceptionHelper`).
            return outcome.answers.push((part, all(ErrorCode::UnknownServerError)));
        }
        if let Some(group) = self.groups.get_mut(name) {
            group.offsets.depart();
        }
    }

    /// Whether there is room for one more offset; then it is held for it. One that is there may always be committed anew,
    /// as long as its client keeps no more with it.
    fn may_remember(
        &self,
        (name, promised): (&str, Option<&str>),
        it: &CommitOffset,
        charge: &mut Charge,
        outcome: &mut Outcome<T>,
    ) -> bool {
        let new = (&*it.topic, it.partition, it.metadata.len());
        let more = self
            .groups
            .get(name)
            .map_or(0, |group| group.offsets.growth(name, promised, new));
        if more == 0 {
            return true;
        }
        if self.offset_budget.lets_grow(more) {
            charge.resize(charge.bytes() + more, &self.offset_budget);
            self.offset_budget.lets();
            return true;
        }
        if self.offset_budget.refuses() {
            let text = "committed offsets hold all bytes that group.offsets.max.bytes allows: none is taken for a partition \
                        that its group has none for, before some expire or are deleted";
            outcome.reports.push((Matter::GroupsMemory, String::from(text)));
        }
        false
    }

    fn check_offset(&self, it: &CommitOffset, image: &Image) -> ErrorCode {
        let max = self.config.groups.offset_metadata_max_bytes as usize;
        let there = image.topic(it.id).is_some_and(|topic| {
            usize::try_from(it.partition).is_ok_and(|partition| partition < topic.partitions.len())
        });
        // Kafka counts UTF-16 units; bytes are never fewer.
        let long = it.metadata.len() > max && it.metadata.encode_utf16().count() > max;
        match (there, long) {
            (false, _) => ErrorCode::UnknownTopicOrPartition,
            (true, true) => ErrorCode::OffsetMetadataTooLarge,
            (true, false) => ErrorCode::None,
        }
    }

    /// Takes a question for offsets.
    pub(super) fn fetch(&mut self, part: T, name: &Arc<str>, ask: FetchAsk, view: View<'_>, outcome: &mut Outcome<T>) {
        if ask.stability == Stability::AsItIs || self.queue.is_idle() {
            return self.tell(part, name, &ask, view, outcome);
        }
        let then = Then::Fetch {
            group: Arc::clone(name),
            ask,
            part,
        };
        self.queue.append(Vec::new(), then);
    }

    /// Tells the offsets that are durable. A topic that is gone, or that another took the name of, has none.
    pub(super) fn tell(&self, part: T, name: &Arc<str>, ask: &FetchAsk, view: View<'_>, outcome: &mut Outcome<T>) {
        let group = self.groups.get(name);
        let told = |(topic, partition, it): (&Arc<str>, i32, &Committed)| {
            is_current(it, topic, view.image).then(|| (Arc::clone(topic), partition, it.clone()))
        };
        let offsets = match (group, &ask.wanted) {
            (None, _) => Vec::new(),
            (Some(group), None) => group.offsets.iter().filter_map(told).collect(),
            (Some(group), Some(wanted)) => {
                let partitions = wanted
                    .iter()
                    .flat_map(|(topic, partitions)| partitions.iter().map(move |&partition| (topic, partition)));
                let there = partitions
                    .filter_map(|(topic, partition)| Some((topic, partition, group.offsets.get(topic, partition)?)));
                there.filter_map(told).collect()
            }
        };
        outcome.answers.push((part, GroupAnswer::Offsets(Ok(offsets))));
    }

    /// Forgets a group without members (`GroupCoordinatorShard.deleteGroups`).
    pub(super) fn delete(&mut self, part: T, name: &Arc<str>, outcome: &mut Outcome<T>) {
        let Some(group) = self.groups.get_mut(name) else {
            return outcome
                .answers
                .push((part, GroupAnswer::Deleted(ErrorCode::GroupIdNotFound)));
        };
        if !group.is_empty() {
            return outcome
                .answers
                .push((part, GroupAnswer::Deleted(ErrorCode::NonEmptyGroup)));
        }
        if group.offsets.in_flight() > 0 {
            // What is being committed has to go too: it is taken in first.
            group.store(group.shown(), After::Drained);
            let charge = self.budget.charge(GroupAsk::Delete.bytes());
            return group.held.push_front((part, GroupAsk::Delete, charge));
        }
        let reply = if bug!(GroupDeletionAnsweredEarly) {
            outcome.answers.push((part, GroupAnswer::Deleted(ErrorCode::None)));
            None
        } else {
            Some(part)
        };
        group.store(group.shown(), After::Removed(reply));
    }

    /// Forgets offsets that nobody uses (`OffsetMetadataManager.deleteOffsets`).
    pub(super) fn delete_offsets(
        &mut self,
        part: T,
        name: &Arc<str>,
        wanted: &[(Arc<str>, i32)],
        outcome: &mut Outcome<T>,
    ) {
        let Some(group) = self.groups.get_mut(name) else {
            let unknown = GroupAnswer::OffsetsDeleted(Err(ErrorCode::GroupIdNotFound));
            return outcome.answers.push((part, unknown));
        };
        if group.offsets.in_flight() > 0 {
            // What is being committed may be what is to go: it is taken in first.
            group.store(group.shown(), After::Drained);
            let again = GroupAsk::DeleteOffsets(wanted.to_vec());
            let charge = self.budget.charge(again.bytes());
            return group.held.push_front((part, again, charge));
        }
        if !group.is_empty() && !group.is_consumers() {
            let in_use = GroupAnswer::OffsetsDeleted(Err(ErrorCode::NonEmptyGroup));
            return outcome.answers.push((part, in_use));
        }
        let (mut codes, mut gone) = (Vec::with_capacity(wanted.len()), BTreeSet::new());
        for (topic, partition) in wanted {
            if group.is_subscribed_to(topic) {
                codes.push(ErrorCode::GroupSubscribedToTopic);
                continue;
            }
            codes.push(ErrorCode::None);
            if group.offsets.get(topic, *partition).is_some() {
                gone.insert((Arc::clone(topic), *partition));
            }
        }
        // Each once, however often it is named; all at once, or none: whoever is told that it failed may believe it.
        let (gone, all) = first_of(tombstones(name, gone.into_iter()), AT_ONCE);
        if !all {
            let large = GroupAnswer::OffsetsDeleted(Err(ErrorCode::UnknownServerError));
            return outcome.answers.push((part, large));
        }
        let (records, gone) = gone.into_iter().unzip();
        let mut reply = Some((part, GroupAnswer::OffsetsDeleted(Ok(codes))));
        if bug!(GroupDeletionAnsweredEarly) {
            outcome.answers.extend(reply.take());
        }
        let then = Then::Forgotten {
            group: Arc::clone(name),
            offsets: gone,
            reply,
        };
        self.queue.append(records, then);
    }
}

fn committed(it: &CommitOffset, retention_ms: Option<i64>, now: Now) -> Committed {
    let since = Since::at(now);
    let until = |ms: i64| (Timestamp(now.wall.0.saturating_add(ms)), since.plus_millis(ms));
    Committed {
        id: it.id,
        offset: it.offset,
        leader_epoch: it.leader_epoch,
        metadata: Arc::clone(&it.metadata),
        at: now.wall,
        since,
        expires: retention_ms.map(until),
    }
}
