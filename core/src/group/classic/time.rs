//! The deadlines of a group and its members.
//!
//! Invariant: a sign of life costs no more than to note it: a member's deadline stays where it is, and looks again when it
//! comes, unless it would come too late.

use super::group::{Group, Work};
use super::member::Member;
use crate::group::deadlines::Due;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

impl<T: Copy + Debug> Group<T> {
    /// The member was heard of: it may be silent for its session timeout from now on.
    pub(in crate::group) fn heard(&mut self, id: &str, work: &mut Work<'_, T>) {
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        let timeout = member.session_ms();
        self.expire_in(&mut member, timeout, work);
        self.members.insert(Arc::clone(&member.id), member);
    }

    pub(super) fn expire_in(&self, member: &mut Member<T>, millis: u64, work: &mut Work<'_, T>) {
        member.expires = work.now.monotonic.plus_millis(millis);
        // A deadline that comes too early looks again; only one that would come too late has to move.
        if member.armed.is_none_or(|armed| armed > member.expires) {
            self.disarm_session(member, work);
            self.arm_session(member, work);
        }
    }

    pub(super) fn arm_session(&self, member: &mut Member<T>, work: &mut Work<'_, T>) {
        member.armed = Some(member.expires);
        let due = Due::Session(Arc::clone(&member.id));
        work.deadlines.arm(member.expires, &self.name, due);
    }

    pub(super) fn disarm_session(&self, member: &mut Member<T>, work: &mut Work<'_, T>) {
        if let Some(armed) = member.armed.take() {
            let due = Due::Session(Arc::clone(&member.id));
            work.deadlines.disarm(armed, &self.name, due);
        }
    }

    pub(super) fn arm_join(&mut self, millis: u64, work: &mut Work<'_, T>) {
        self.disarm_join(work);
        let at = work.now.monotonic.plus_millis(millis);
        self.join_deadline = Some(at);
        work.deadlines.arm(at, &self.name, Due::Join);
    }

    pub(super) fn disarm_join(&mut self, work: &mut Work<'_, T>) {
        if let Some(at) = self.join_deadline.take() {
            work.deadlines.disarm(at, &self.name, Due::Join);
        }
    }

    pub(super) fn arm_sync(&mut self, millis: u64, work: &mut Work<'_, T>) {
        self.disarm_sync(work);
        let at = work.now.monotonic.plus_millis(millis);
        self.sync_deadline = Some(at);
        work.deadlines.arm(at, &self.name, Due::Sync);
    }

    pub(super) fn disarm_sync(&mut self, work: &mut Work<'_, T>) {
        if let Some(at) = self.sync_deadline.take() {
            work.deadlines.disarm(at, &self.name, Due::Sync);
        }
    }

    /// Nothing of it is due any more.
    pub(in crate::group) fn disarm(&mut self, work: &mut Work<'_, T>) {
        self.disarm_join(work);
        self.disarm_sync(work);
        let members: Vec<_> = self.members.keys().chain(self.pending.keys()).cloned().collect();
        for id in &members {
            self.remove(id, work);
        }
    }
}
