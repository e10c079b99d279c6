//! What compaction left: cleaned segments, and those whose place they take.
//!
//! A cleaned segment was synced before it got its name, and its name says which offsets it stands for. So whatever a crash
//! left of the segments it was made from, in whatever combination, is superseded by it, and a cleaned segment is never
//! torn: a bad batch in it is damage. What it does not hold any more, and its checkpoint says (which batches a producer sent
//! before its last, where leader epochs began), is told by the checkpoint of the last old one, until it has its own.

use super::{Recover, Turn};
use crate::log::place::Stem;
use crate::marks::mark;
use crate::types::Fault;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;
use core::cmp::Reverse;

impl Recover {
    /// Sorts what was listed, and leaves out what a later generation took the place of: it is removed at the end. A
    /// checkpoint whose segment is neither there nor superseded is corruption.
    pub(super) fn supersede(&mut self) -> Result<(), Fault> {
        self.listed
            .sort_unstable_by_key(|listed| (listed.stem.base, Reverse(listed.stem.generation())));
        let mut kept: Vec<Stem> = Vec::with_capacity(self.listed.len());
        let mut gone = Vec::new();
        self.listed.retain(|listed| {
            let superseded = kept.last().is_some_and(|last| last.supersedes(&listed.stem));
            if superseded {
                mark!(SupersededFound);
                gone.push(self.place.segment(listed.stem));
            } else {
                kept.push(listed.stem);
            }
            !superseded
        });
        let mut checkpoints = BTreeSet::new();
        for stem in core::mem::take(&mut self.checkpoints) {
            let before = kept.partition_point(|other| other.base <= stem.base).checked_sub(1);
            let path = self.place.checkpoint(stem);
            match before.map(|place| kept[place]) {
                Some(found) if found == stem => drop(checkpoints.insert(stem)),
                Some(found) if found.supersedes(&stem) => {
                    self.superseded.insert(stem);
                    gone.push(path);
                }
                _ => {
                    let text = format!("{path} is there, its segment is not");
                    return Err(Fault::Corruption(text));
                }
            }
        }
        self.checkpoints = checkpoints;
        self.remove.append(&mut gone);
        Ok(())
    }

    /// The last checkpoint of what the segment took the place of, if the segment has none of its own. It is told once.
    pub(super) fn predecessor(&mut self) -> Option<Stem> {
        let stem = self.listed[self.at].stem;
        if self.decoded.is_some() {
            return None;
        }
        let last = self.superseded.iter().rev().find(|old| stem.supersedes(old)).copied()?;
        self.superseded.remove(&last);
        Some(last)
    }

    /// The checkpoint of a segment before compaction was read: it counts if it says all up to where the cleaned one ends.
    pub(super) fn inherit(&mut self) {
        let end = self.listed[self.at].stem.cleaning.map(|cleaning| cleaning.end);
        self.inherited = self.decoded.take().filter(|before| Some(before.end) == end);
    }

    /// Puts what was said before compaction in the place of what the batches say that it left; whether there is such.
    pub(super) fn take_inherited(&mut self) -> bool {
        let Some(before) = self.inherited.take() else {
            return false;
        };
        self.state.epochs = before.epochs;
        self.state.producers = before.producers;
        true
    }

    /// A cleaned segment does not hold what it was synced with.
    pub(super) fn damaged(&mut self) -> Turn {
        let segment = &self.state.segment;
        let text = format!(
            "{}, byte {}: the batch is damaged; the segment was synced before it got its name",
            self.place.segment(segment.stem()),
            segment.size
        );
        self.fail(Fault::Corruption(text))
    }
}
