//! How a log takes in what a compaction made.
//!
//! Invariants:
//! - the segments of a log follow each other without a gap at any time;
//! - what a reader holds of an old segment stays readable until it lets go;
//! - nothing remembered of an old segment is used for the new one.

use super::Compaction;
use super::job::{Compact, CompactOutcome, CompactStop, Swapped};
use crate::log::machine::{Log, Mark, Phase};
use crate::log::segment::{Age, Segment, Standing};
use crate::storage::{Presence, Storage};
use crate::types::Now;
use alloc::sync::Arc;

impl Log {
    /// Whether a compaction runs.
    pub fn is_compacting(&self) -> bool {
        self.compaction == Compaction::Running
    }

    /// Takes in what the job brought; what is to be run next, if it is not done. An error is for people to read, but for
    /// [`CompactStop::Directory`].
    pub fn compacted(
        &mut self,
        outcome: CompactOutcome,
        now: Now,
        storage: &mut Storage,
    ) -> Result<Option<Compact>, CompactStop> {
        assert!(self.is_compacting(), "a compaction that nobody asked for");
        let mut job = match outcome {
            CompactOutcome::More(job) => job,
            CompactOutcome::Swapped(job, swapped) => {
                // A log that failed is opened again from what lies on the disk, and one that is deleted needs nothing.
                if matches!(self.phase, Phase::Open | Phase::Closing) {
                    self.adopt(*swapped, storage);
                }
                job
            }
            CompactOutcome::Ended(result) => return self.compaction_ended(result, now, storage).map(|()| None),
        };
        if self.phase != Phase::Open {
            job.stop();
        }
        Ok(Some(job))
    }

    fn compaction_ended(
        &mut self,
        result: Result<(), CompactStop>,
        now: Now,
        storage: &mut Storage,
    ) -> Result<(), CompactStop> {
        self.compaction = match result {
            Err(CompactStop::Unreadable(_)) => Compaction::Refused,
            _ => Compaction::Idle,
        };
        storage.let_go(self.id());
        // What was to be removed meanwhile.
        self.remove_passed(now, storage);
        match result {
            Err(CompactStop::Directory(_)) if self.phase == Phase::Deleted => Ok(()),
            other => other,
        }
    }

    /// The segment takes the place of those between its base and its end.
    fn adopt(&mut self, swapped: Swapped, storage: &mut Storage) {
        let (base, end) = (
            swapped.stem.base,
            swapped.stem.cleaning.map_or(swapped.stem.base, |it| it.end),
        );
        let from = self.segments.partition_point(|segment| segment.base < base);
        let upto = self.segments.partition_point(|segment| segment.base < end);
        let replaced = from < upto && self.segments[from].base == base && self.segments[upto - 1].end == end;
        assert!(
            replaced && upto < self.segments.len(),
            "a cleaned segment has a group to replace"
        );
        let file = storage.add_file(self.id(), self.place().segment(swapped.stem), Presence::Existing);
        let age = self.segments[from].age.map(|age| Age {
            began: swapped.began,
            ..age
        });
        let segment = Segment {
            end,
            size: swapped.size,
            peak: swapped.peak,
            age,
            standing: Standing::Durable,
            checkpointed: swapped.checkpointed,
            proven: true,
            cleaning: swapped.stem.cleaning,
            clean_to: swapped.clean_to,
            ..Segment::planned(base, file)
        };
        let old: alloc::vec::Vec<Segment> = self.segments.drain(from..upto).collect();
        self.segments.insert(from, segment);
        storage.keep_index(file, Arc::new(swapped.index));
        storage.forget_recent(self.id(), end);
        self.spans.forget(base, end);
        self.damage.forget(base, end);
        if self.durable.segment >= base && self.durable.segment < end {
            self.durable = Mark {
                segment: base,
                position: swapped.size,
                ..self.durable
            };
        }
        for gone in old {
            storage.remove(self.id(), gone.file, self.place().checkpoint(gone.stem()));
        }
    }
}
