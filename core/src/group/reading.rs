//! How a coordinator takes in what its partition holds.
//!
//! Where a batch cannot be read, or a record is not what its key says it is, nothing of the partition is served before it
//! can be (`CoordinatorLoaderImpl` gives up then, too): what stands behind may take back what stands before, and to leave a
//! record out may bring an older generation back, or an older offset. Records of types that this broker does not know
//! decide on nothing that it serves; they are passed over, as Kafka does, and reported.
//!
//! Invariant: nothing is due and nothing is written before everything is read.

use super::classic::Group;
use super::coordinator::{Coordinator, Outcome, State, View, Want, is_current};
use super::offsets::Offsets;
use super::record::{self, IgnoredKind, Loaded};
use crate::partition::Matter;
use crate::types::{Fault, Now, Offset};
use alloc::format;
use alloc::string::String;
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
        if !matches!(self.state, State::Loading | State::Retrying) {
            return;
        }
        match result {
            Ok((loaded, next)) => {
                // Ages are those at the broker's start: a step of the wall clock since then is none of theirs.
                let now = Now {
                    wall: view.steady,
                    ..view.now
                };
                for loaded in loaded {
                    self.replay(loaded, now);
                }
                match next {
                    Some(next) => outcome.want = Some(Want::Read(next)),
                    None => self.activate(view, outcome),
                }
            }
            Err(fault) => {
                self.groups.clear();
                self.reading.failed();
                let pause_ms = self.reading.pause_ms(0, &self.config.groups);
                self.state = State::Failed(view.now.monotonic.plus_millis(pause_ms));
                let text = format!(
                    "its groups are refused, because they could not be read: {fault}; tried again in {pause_ms} ms"
                );
                outcome.reports.push((Matter::GroupsRead, text));
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
                        let (at, committed) = ((&topic, key.partition), record::committed(&value, now));
                        group.offsets.insert(&key.group, at, committed, &self.offset_budget);
                    }
                    None => {
                        if let Some(group) = self.groups.get_mut(&name) {
                            group.offsets.remove(&topic, key.partition, &self.offset_budget);
                        }
                    }
                }
            }
            Loaded::Group(name, value) => {
                let name: Arc<str> = Arc::from(&*name);
                let before = self.groups.remove(&name).map(|group| group.offsets);
                let mut group = match value {
                    Some(value) => {
                        let mut group = record::loaded_group(Arc::clone(&name), &value, now);
                        group.weigh(&self.budget);
                        group
                    }
                    None if before.as_ref().is_none_or(Offsets::is_none) => return,
                    None => Group::new(Arc::clone(&name), now),
                };
                group.offsets = before.unwrap_or_default();
                self.groups.insert(name, group);
            }
            Loaded::Ignored(at, kind) => self.ignored.add(at, kind),
        }
    }

    /// Everything is read: the groups live.
    fn activate(&mut self, view: View<'_>, outcome: &mut Outcome<T>) {
        self.state = State::Active;
        let failures = self.reading.worked();
        if failures > 0 {
            let text = format!("its groups are served again, after {failures} reads that failed");
            outcome.reports.push((Matter::GroupsServed, text));
        }
        if let Some(text) = self.ignored.report() {
            outcome.reports.push((Matter::GroupsIgnored, text));
        }
        let interval = self.config.groups.offsets_retention_check_interval_ms.max(1);
        self.check_at = view.now.monotonic.plus_millis(self.seed.within(1, interval));
        self.checked = None;
        self.stale = true;
        self.forget_stale(view);
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            self.with(&name, view, outcome, Group::resume);
            self.settle(&name, view, outcome);
        }
        self.hand_over(view, outcome);
    }

    /// Drops offsets of topics that are gone, unless nothing may be written now.
    pub(super) fn forget_stale(&mut self, view: View<'_>) {
        if !self.stale || self.paused(view.now).is_some() {
            return;
        }
        self.stale = false;
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            let offsets = self.groups[&name].offsets.iter();
            let stale = offsets.filter(|(topic, _, it)| !is_current(it, topic, view.image));
            let stale: Vec<_> = stale
                .map(|(topic, partition, _)| (Arc::clone(topic), partition))
                .collect();
            self.stale |= !self.forget(&name, stale);
        }
    }
}

/// Records that say nothing of groups that this broker knows.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Ignored {
    first: Option<(Offset, IgnoredKind)>,
    count: u64,
}

impl Ignored {
    fn add(&mut self, at: Offset, kind: IgnoredKind) {
        self.first.get_or_insert((at, kind));
        self.count += 1;
    }

    fn report(&self) -> Option<String> {
        let (at, kind) = self.first?;
        let others = match self.count - 1 {
            0 => String::new(),
            others => format!(", and {others} others"),
        };
        let text = format!(
            "{kind} at offset {at}{others} are no records of groups that this broker knows; they are left as they are"
        );
        Some(text)
    }
}
