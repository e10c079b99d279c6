//! What a coordinator does when time has passed: deadlines of groups and members, and what expires.
//!
//! Invariant: one step does a bounded amount of it, and the rest follows.

use super::classic::After;
use super::coordinator::{Coordinator, Outcome, State, View};
use super::expiry::Expired;
use crate::types::Monotonic;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::ops::Bound;

/// Groups that one look for what has expired looks at.
const GROUPS_A_CHECK: usize = 64;
/// Deadlines of groups that come to pass in one step.
const DUE_A_STEP: usize = 256;

impl<T: Copy + Debug> Coordinator<T> {
    /// When it wants to be [called](Self::fire) at the latest.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match self.state {
            State::Active => {
                let next = self.deadlines.next().map_or(self.check_at, |it| it.min(self.check_at));
                Some(match self.pause {
                    Some((until, _)) if self.stale => until,
                    Some((until, _)) => next.max(until),
                    None => next,
                })
            }
            State::Failed(again) => Some(again),
            State::Loading | State::Retrying | State::Stopped => None,
        }
    }

    /// A deadline has come.
    pub fn fire(&mut self, view: View<'_>, outcome: &mut Outcome<T>) {
        match self.state {
            State::Failed(again) if again <= view.now.monotonic => self.read_anew(State::Retrying, outcome),
            // Whatever is due may have to be written.
            State::Active if self.paused(view.now).is_some() => {}
            State::Active => {
                self.forget_stale(view);
                for _ in 0..DUE_A_STEP {
                    let Some((name, due)) = self.deadlines.pop(view.now.monotonic) else {
                        break;
                    };
                    self.with(&name, view, outcome, |group, work| {
                        if group.storing.is_some() {
                            group.overdue.push(due);
                        } else {
                            group.due(due, work);
                        }
                    });
                    self.settle(&name, view, outcome);
                }
                if self.check_at <= view.now.monotonic {
                    self.expire(view, outcome);
                }
                self.hand_over(view, outcome);
            }
            _ => {}
        }
    }

    /// Looks at some groups for what has expired, and comes again for the others.
    fn expire(&mut self, view: View<'_>, outcome: &mut Outcome<T>) {
        let from = self.checked.take().map_or(Bound::Unbounded, Bound::Excluded);
        let names = self
            .groups
            .range((from, Bound::Unbounded))
            .map(|(name, _)| Arc::clone(name));
        let names: Vec<_> = names.take(GROUPS_A_CHECK).collect();
        let retention_ms = self.config.groups.offsets_retention_ms;
        for name in &names {
            match self.groups[name].expired(retention_ms, view.now) {
                // Those that are too many at once are found by the next look.
                Expired::Offsets(gone) => drop(self.forget(name, gone)),
                Expired::Group => {
                    if let Some(group) = self.groups.get_mut(name) {
                        group.store(group.shown(), After::Removed(None));
                    }
                }
            }
            self.settle(name, view, outcome);
        }
        let rest = names.len() == GROUPS_A_CHECK;
        self.checked = names.into_iter().next_back().filter(|_| rest);
        let pause = if rest {
            1
        } else {
            self.config.groups.offsets_retention_check_interval_ms.max(1)
        };
        self.check_at = view.now.monotonic.plus_millis(pause);
    }
}
