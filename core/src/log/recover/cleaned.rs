//! What compaction left: cleaned segments, and those whose place they take.
//!
//! A cleaned segment was synced before it got its name, and its name says which offsets it stands for. So whatever a crash
//! left of the segments it was made from, in whatever combination, is superseded by it, and a cleaned segment is never
//! torn: a bad batch in it is damage.

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
                Some(found) if found.supersedes(&stem) => gone.push(path),
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
