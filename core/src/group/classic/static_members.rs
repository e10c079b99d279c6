//! Static members (KIP-345): one that was restarted takes its old place under a new member id, and where nothing changes
//! by that, nobody else hears of it.
//!
//! Invariant: an instance id stands for one member id, the latest; whoever uses an older one is fenced.

use super::group::{After, Group, State, Work};
use super::member::{Acquaintance, Waiting};
use crate::group::ask::{GroupAnswer, JoinAsk, Joined, ReplacedLeader, StateName};
use crate::marks::mark;
use crate::types::ErrorCode;
use alloc::sync::Arc;
use core::fmt::Debug;

impl<T: Copy + Debug> Group<T> {
    /// A static member comes back without its member id: `before` is the id it had, `id` the one it gets.
    pub(super) fn replace_static(
        &mut self,
        part: T,
        mut ask: JoinAsk,
        before: &Arc<str>,
        id: Arc<str>,
        work: &mut Work<'_, T>,
    ) {
        mark!(StaticMemberReplaced);
        let leader_before = self.leader.clone().unwrap_or_else(|| Arc::clone(&id));
        let skips = ask.replaced_leader == ReplacedLeader::SkipsAssignment;
        self.rename(before, &id, work);
        ask.member = Arc::clone(&id);
        self.update(part, ask, work);
        self.heard(&id, work);
        match self.state {
            State::Stable if self.spoken.elect(self.members.values()) == self.protocol => {
                let leads = self.is_leader(&id);
                let after = After::Replaced {
                    member: id,
                    leader: if skips {
                        self.leader.clone().unwrap_or(leader_before)
                    } else {
                        leader_before
                    },
                    skip_assignment: skips && leads,
                };
                self.store(StateName::Stable, after);
            }
            // The leader may have assigned to the old id by now.
            State::Stable | State::Completing => self.prepare(work),
            State::Preparing(_) => self.wait_or_complete(work),
            State::Empty(_) => panic!("{}: an empty group has a static member", self.name),
        }
    }

    fn rename(&mut self, before: &Arc<str>, id: &Arc<str>, work: &mut Work<'_, T>) {
        let Some(mut member) = self.members.remove(before) else {
            panic!("{}: a static member is no member", self.name);
        };
        Self::dismiss(&member, ErrorCode::FencedInstanceId, before, work);
        self.joining -= usize::from(member.is_joining());
        member.waiting = Waiting::Nothing;
        self.disarm_session(&mut member, work);
        member.id = Arc::clone(id);
        member.acquaintance = Acquaintance::Known;
        member.weigh(self.shared_bytes(), work.budget);
        if let Some(instance) = &member.instance {
            self.statics.insert(Arc::clone(instance), Arc::clone(id));
        }
        if self.is_leader(before) {
            self.leader = Some(Arc::clone(id));
        }
        if self.unsynced.remove(before) {
            self.unsynced.insert(Arc::clone(id));
        }
        self.members.insert(Arc::clone(id), member);
    }

    /// The record that names the new id is durable.
    pub(super) fn reinstated(
        &mut self,
        id: &Arc<str>,
        leader: Arc<str>,
        skip_assignment: bool,
        work: &mut Work<'_, T>,
    ) {
        let Some(part) = self.stop_joining(id) else { return };
        let joined = Joined {
            leader,
            skip_assignment,
            ..self.joined(id, skip_assignment)
        };
        work.answers.push((part, GroupAnswer::Joined(Ok(joined))));
    }
}
