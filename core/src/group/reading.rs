//! How a coordinator takes in what its partition holds.
//!
//! Invariant: nothing is due and nothing is written before everything is read.

use super::classic::Group;
use super::coordinator::{Coordinator, Outcome, RETRY_MS, State, View, Want, is_current};
use super::offsets::Offsets;
use super::record::{self, Loaded};
use crate::types::{Fault, Now, Offset};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

impl<T: Copy + Debug> Coordinator<T> {
    /// The partition begins there, or some of its records were read; `next` is where to read on, `None` at its end.
    pub fn read(
        &mut self,
        result: Result<(Vec<Loaded>, Option<Offset>), Fault>,
        view: View<'_>,
        outcome: &mut Outcome<T>,
    ) {
        if self.state != State::Loading {
            return;
        }
        match result {
            Ok((loaded, next)) => {
                for loaded in loaded {
                    self.replay(loaded, view.now);
                }
                match next {
                    Some(next) => outcome.want = Some(Want::Read(next)),
                    None => self.activate(view, outcome),
                }
            }
            Err(fault) => {
                outcome.reports.push(format!("the groups could not be read: {fault}"));
                self.groups.clear();
                self.state = State::Failed(view.now.monotonic.plus_millis(RETRY_MS));
            }
        }
    }

    fn replay(&mut self, loaded: Loaded, now: Now) {
        match loaded {
            Loaded::Offset(key, value) => {
                let (name, topic): (Arc<str>, Arc<str>) = (Arc::from(&*key.group), Arc::from(&*key.topic));
                match value {
                    Some(value) => {
                        let group = self.groups.entry(name);
                        let group = group.or_insert_with_key(|name| Group::new(Arc::clone(name), now));
                        group
                            .offsets
                            .insert(&topic, key.partition, record::committed(&value, now));
                    }
                    None => {
                        if let Some(group) = self.groups.get_mut(&name) {
                            group.offsets.remove(&topic, key.partition);
                        }
                    }
                }
            }
            Loaded::Group(name, value) => {
                let name: Arc<str> = Arc::from(&*name);
                let before = self.groups.remove(&name).map(|group| group.offsets);
                let mut group = match value {
                    Some(value) => record::loaded_group(Arc::clone(&name), &value, now),
                    None if before.as_ref().is_none_or(Offsets::is_none) => return,
                    None => Group::new(Arc::clone(&name), now),
                };
                group.offsets = before.unwrap_or_default();
                self.groups.insert(name, group);
            }
        }
    }

    /// Everything is read: the groups live.
    fn activate(&mut self, view: View<'_>, outcome: &mut Outcome<T>) {
        self.state = State::Active;
        let interval = self.config.groups.offsets_retention_check_interval_ms.max(1);
        self.check_at = view.now.monotonic.plus_millis(self.seed.within(1, interval));
        self.checked = None;
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            self.forget_stale(&name, view);
            self.with(&name, view, outcome, Group::resume);
            self.settle(&name, view, outcome);
        }
        self.hand_over(view, outcome);
    }

    /// Drops offsets of topics that are gone.
    pub(super) fn forget_stale(&mut self, name: &Arc<str>, view: View<'_>) {
        let offsets = self.groups[name].offsets.iter();
        let stale = offsets.filter(|(topic, _, it)| !is_current(it, topic, view.image));
        let stale: Vec<_> = stale
            .map(|(topic, partition, _)| (Arc::clone(topic), partition))
            .collect();
        self.forget(name, stale);
    }
}
