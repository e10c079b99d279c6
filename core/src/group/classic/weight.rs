//! What a group and its members hold in memory, and who may join for it.

use super::group::Group;
use crate::group::ask::JoinAsk;
use crate::group::budget::{Budget, GROUP, OVERHEAD};
use core::fmt::Debug;

impl<T: Copy + Debug> Group<T> {
    /// Bytes that it holds, counted anew.
    #[cfg(test)]
    pub(in crate::group) fn held_bytes(&self) -> usize {
        let shared = self.shared_bytes();
        let members: usize = self.members.values().map(|it| it.bytes(shared)).sum();
        let pending: usize = self.pending.keys().map(|id| self.pending_bytes(id)).sum();
        let waiting: usize = self.held.iter().map(|(_, ask, _)| ask.bytes()).sum();
        let itself = self.charge.bytes();
        let counted = itself == self.own_bytes();
        assert!(counted || (itself == 0 && self.generation == 0 && self.members.is_empty()));
        itself + members + pending + waiting
    }

    fn own_bytes(&self) -> usize {
        GROUP + self.name.len()
    }

    /// Counts what it holds without its members.
    pub(in crate::group) fn weigh(&mut self, budget: &Budget) {
        self.charge.resize(self.own_bytes(), budget);
    }

    /// Bytes that it holds as long as it has members.
    pub(super) fn shared_bytes(&self) -> usize {
        self.name.len() + self.protocol_type.as_ref().map_or(0, |it| it.len())
    }

    pub(super) fn pending_bytes(&self, id: &str) -> usize {
        OVERHEAD + self.name.len() + id.len()
    }

    /// Whether the budget lets somebody join. A member that says what it said before always may.
    pub(in crate::group) fn may_hold(&self, ask: &JoinAsk, budget: &Budget) -> bool {
        let named = ask.instance.as_ref().and_then(|it| self.statics.get(it));
        let before = self.members.get(&ask.member).or_else(|| self.members.get(named?));
        let itself = self.own_bytes() - self.charge.bytes();
        let bytes = itself + OVERHEAD + self.name.len() + ask.protocol_type.len() + ask.bytes();
        match before {
            Some(member) => budget.lets_grow(bytes.saturating_sub(member.charge.bytes())),
            None => budget.lets_in(bytes),
        }
    }
}
