//! How a generation gets its parts: the leader assigns, every member is told its own
//! (`GroupMetadataManager.classicGroupSync`); and how members say that they live, and leave.
//!
//! Invariant: a part is told only once the record that holds all parts of its generation is durable.

use super::group::{After, Group, State, Work, refuse_join};
use super::member::Waiting;
use crate::bugs::bug;
use crate::group::ask::{GroupAnswer, HeartbeatAsk, Leaver, StateName, SyncAsk};
use crate::group::expiry::Since;
use crate::types::ErrorCode;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Debug;

impl<T: Copy + Debug> Group<T> {
    /// Takes a request for the assignment. It is answered now, or once there is one.
    pub(in crate::group) fn sync(&mut self, part: T, ask: SyncAsk, work: &mut Work<'_, T>) {
        if let Err(code) = self.check_sync(&ask) {
            return work.answers.push((part, GroupAnswer::Synced(Err(code))));
        }
        match self.state {
            State::Empty(_) => work
                .answers
                .push((part, GroupAnswer::Synced(Err(ErrorCode::UnknownMemberId)))),
            State::Preparing(_) => work
                .answers
                .push((part, GroupAnswer::Synced(Err(ErrorCode::RebalanceInProgress)))),
            State::Completing if self.is_leader(&ask.member) && !work.budget.lets_grow(ask.assigned_bytes()) => {
                let code = ErrorCode::CoordinatorNotAvailable;
                work.answers.push((part, GroupAnswer::Synced(Err(code))));
            }
            State::Completing => {
                self.wait_for_part(part, &ask.member, work);
                if self.is_leader(&ask.member) {
                    self.assign(ask.assignments, work);
                }
            }
            State::Stable => {
                self.has_synced(&ask.member, work);
                let synced = self.synced(&ask.member);
                work.answers.push((part, GroupAnswer::Synced(Ok(synced))));
            }
        }
    }

    fn check_sync(&self, ask: &SyncAsk) -> Result<(), ErrorCode> {
        if self.is_empty() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&ask.member, ask.instance.as_ref())?;
        if ask.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |said: &Option<Arc<str>>, ours: &Option<Arc<str>>| {
            said.as_ref()
                .zip(ours.as_ref())
                .is_some_and(|(said, ours)| said != ours)
        };
        if differs(&ask.protocol_type, &self.protocol_type) || differs(&ask.protocol, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// A member waits for its part. A request of its that waited before, on a connection that it gave up, is told to try
    /// again.
    fn wait_for_part(&mut self, part: T, id: &Arc<str>, work: &mut Work<'_, T>) {
        if let Some(before) = self.stop_syncing(id) {
            let again = GroupAnswer::Synced(Err(ErrorCode::RebalanceInProgress));
            work.answers.push((before, again));
        }
        if let Some(member) = self.members.get_mut(id) {
            member.waiting = Waiting::Sync(part);
        }
        self.has_synced(id, work);
    }

    fn has_synced(&mut self, id: &str, work: &mut Work<'_, T>) {
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.disarm_sync(work);
        }
    }

    /// The leader assigns: the parts go out once they are durable. A member it forgot gets an empty one.
    fn assign(&mut self, assignments: Vec<(Arc<str>, Bytes)>, work: &mut Work<'_, T>) {
        let mut parts: BTreeMap<Arc<str>, Bytes> = assignments.into_iter().collect();
        let shared = self.shared_bytes();
        for member in self.members.values_mut() {
            member.assignment = parts.remove(&member.id).unwrap_or_default();
            member.weigh(shared, work.budget);
        }
        self.enter(State::Stable, work.now);
        self.store(StateName::CompletingRebalance, After::Synced);
        if bug!(AssignmentAnsweredEarly) {
            self.hand_out(work);
        }
    }

    /// Nobody gets a part of this generation.
    pub(super) fn call_off_sync(&mut self, code: ErrorCode, work: &mut Work<'_, T>) {
        let shared = self.shared_bytes();
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = Bytes::new();
                member.weigh(shared, work.budget);
            }
            if let Some(part) = self.stop_syncing(&id) {
                work.answers.push((part, GroupAnswer::Synced(Err(code))));
                self.heard(&id, work);
            }
        }
    }

    /// The record of the parts, or of a static member that came back, is larger than the log takes: nothing of it holds,
    /// and the members join anew.
    pub(in crate::group) fn cannot_store(&mut self, work: &mut Work<'_, T>) {
        let Some(storing) = self.storing.take() else {
            panic!("no record of {} was to be written", self.name);
        };
        match storing.after {
            After::Synced => {
                self.enter(State::Completing, work.now);
                self.call_off_sync(ErrorCode::UnknownServerError, work);
                self.prepare(work);
            }
            After::Replaced { .. } => self.prepare(work),
            // These records are written whatever their size; one that cannot even be encoded is taken back like others.
            After::Joined => self.disband(work),
            After::Emptied(waiting) => {
                let refused = |(part, _)| (part, GroupAnswer::Left(Err(ErrorCode::UnknownServerError)));
                work.answers.extend(waiting.into_iter().map(refused));
            }
            After::Removed(part) => {
                let refused = |part| (part, GroupAnswer::Deleted(ErrorCode::UnknownServerError));
                work.answers.extend(part.map(refused));
            }
            After::Drained => {}
        }
    }

    /// Nobody gets the generation: all have to join anew.
    fn disband(&mut self, work: &mut Work<'_, T>) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(part) = self.stop_joining(&id) {
                work.answers
                    .push((part, refuse_join(ErrorCode::UnknownServerError, &id)));
            }
            self.remove(&id, work);
        }
        self.protocol = None;
        self.learn_subscriptions();
        self.enter(State::Empty(Since::at(work.now)), work.now);
    }

    /// Members that have not asked for their part in time are dropped.
    pub(super) fn sync_due(&mut self, work: &mut Work<'_, T>) {
        self.sync_deadline = None;
        if !matches!(self.state, State::Completing | State::Stable) || self.unsynced.is_empty() {
            return;
        }
        for id in core::mem::take(&mut self.unsynced) {
            self.remove(&id, work);
        }
        self.prepare(work);
    }

    /// Takes a sign of life (`GroupMetadataManager.classicGroupHeartbeat`).
    pub(in crate::group) fn heartbeat(&mut self, ask: &HeartbeatAsk, work: &mut Work<'_, T>) -> ErrorCode {
        if let Err(code) = self.check_member(&ask.member, ask.instance.as_ref()) {
            return code;
        }
        if ask.generation != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        match self.state {
            State::Empty(_) => ErrorCode::UnknownMemberId,
            State::Preparing(_) => {
                self.heard(&ask.member, work);
                ErrorCode::RebalanceInProgress
            }
            State::Completing | State::Stable => {
                self.heard(&ask.member, work);
                ErrorCode::None
            }
        }
    }

    /// Lets members go (`GroupMetadataManager.classicGroupLeave`). Where nobody is left, the answer waits until the log
    /// says so too.
    pub(in crate::group) fn leave(&mut self, part: T, leavers: &[Leaver], work: &mut Work<'_, T>) {
        let codes: Vec<_> = leavers.iter().map(|leaver| self.let_go(leaver, work)).collect();
        if codes.iter().any(|code| code.is_none()) {
            match self.state {
                State::Completing | State::Stable => self.prepare(work),
                State::Preparing(_) => self.complete_if_all_joined(work),
                State::Empty(_) => {}
            }
        }
        let answer = (part, GroupAnswer::Left(Ok(codes)));
        match self.storing.as_mut().map(|storing| &mut storing.after) {
            Some(After::Emptied(waiting)) => waiting.push(answer),
            _ => work.answers.push(answer),
        }
    }

    fn let_go(&mut self, leaver: &Leaver, work: &mut Work<'_, T>) -> ErrorCode {
        let named = leaver.instance.as_ref().and_then(|it| self.statics.get(it)).cloned();
        let id = match named {
            Some(id) if leaver.member.is_empty() => id,
            _ if leaver.member.is_empty() => return ErrorCode::UnknownMemberId,
            _ => Arc::clone(&leaver.member),
        };
        if !leaver.member.is_empty()
            && !self.pending.contains_key(&id)
            && let Err(code) = self.check_member(&id, leaver.instance.as_ref())
        {
            return code;
        }
        self.remove(&id, work);
        ErrorCode::None
    }
}
