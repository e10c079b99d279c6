//! When something is due in the groups of one coordinator.
//!
//! Invariant: whoever arms a deadline remembers when it is, so that it can be disarmed: nothing that is not awaited any
//! more stays in the list, and its size follows from the groups and members there are.

use crate::types::Monotonic;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;

/// What is due in a group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Due {
    /// Who has joined until now makes the next generation.
    Join,
    /// Who has not asked for its assignment by now is dropped.
    Sync,
    /// A member may not have been heard of for too long.
    Session(Arc<str>),
}

#[derive(Default, Debug)]
pub(super) struct Deadlines {
    due: BTreeSet<(Monotonic, Arc<str>, Due)>,
}

impl Deadlines {
    pub(super) fn arm(&mut self, at: Monotonic, group: &Arc<str>, due: Due) {
        let fresh = self.due.insert((at, Arc::clone(group), due));
        debug_assert!(fresh, "a deadline is armed twice");
    }

    pub(super) fn disarm(&mut self, at: Monotonic, group: &Arc<str>, due: Due) {
        self.due.remove(&(at, Arc::clone(group), due));
    }

    pub(super) fn next(&self) -> Option<Monotonic> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// The earliest that has come by `now`.
    pub(super) fn pop(&mut self, now: Monotonic) -> Option<(Arc<str>, Due)> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, group, due)| (group, due))
    }

    pub(super) fn clear(&mut self) {
        self.due.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.due.len()
    }
}
