//! The end of a recovery: what lies behind the last good batch goes, and the names of what stays become durable.

use super::behind::Behind;
use super::{Purpose, Recover, Recovered, Source, Step, Turn};
use crate::bugs::bug;
use crate::log::config::Writes;
use crate::log::place::Stem;
use crate::log::producers::Producers;
use crate::log::segment::Segment;
use crate::marks::mark;
use crate::storage::{FileOp, Index, Next};
use crate::types::{Fault, Offset};
use alloc::format;

impl Recover {
    /// The segment ends with its last good batch.
    pub(super) fn tear(&mut self) -> Turn {
        if self.state.segment.cleaning.is_some() {
            return self.damaged();
        }
        self.torn = true;
        if self.settings.writes == Writes::OneByOne {
            self.behind = Behind::from(self.state.segment.size + 1);
            return self.look_behind();
        }
        self.cut()
    }

    /// Cuts the log off behind its last good batch, if nothing behind it was known to be synced.
    pub(super) fn cut(&mut self) -> Turn {
        self.later = self.at + 1;
        self.object()
    }

    /// Looks whether a segment behind the torn one was known to be synced; if none was, cuts.
    pub(super) fn object(&mut self) -> Turn {
        self.purpose = Purpose::Object;
        if let Some(listed) = self.listed.get(self.later) {
            let stem = listed.stem;
            if self.settings.writes == Writes::OneByOne || stem.cleaning.is_some() {
                let (path, end) = (self.place.segment(stem), self.state.segment.end);
                let text = format!("{path} is there, so all before it was synced, but that ends at offset {end}");
                return self.fail(Fault::Corruption(text));
            }
            return self.open_checkpoint(stem);
        }
        let end = self.state.segment.end;
        let torn_inside = self.state.segment.base == self.listed[self.at].stem.base;
        if self.is_short(end) || (torn_inside && self.is_broken_at(end)) {
            return self.lose(end);
        }
        let kept = if torn_inside { self.at + 1 } else { self.at };
        for listed in self.listed.split_off(kept) {
            self.give_up(listed.stem, listed.size, self.checkpoints.contains(&listed.stem));
        }
        if !torn_inside {
            return self.tidy();
        }
        let size = self.state.segment.size;
        self.report.bytes_truncated += self.listed[self.at].size - size;
        if bug!(GapAfterShortWrite) {
            self.state.segment.size = self.listed[self.at].size;
            return self.sync_segment();
        }
        mark!(TailCut);
        let truncate = FileOp::Truncate {
            file: self.segment_file,
            size,
        };
        self.io(Step::Truncated, truncate)
    }

    /// Removes what has to go, if anything has.
    pub(super) fn tidy(&mut self) -> Turn {
        let kept = self.marks.last().copied();
        if let Some(mark) = kept.filter(|&mark| mark > self.end()) {
            if self.is_short(self.end()) {
                return self.lose(self.end());
            }
            self.begin_at(mark);
        }
        // Only the last mark says anything.
        let gone = self.marks.iter().filter(|&&mark| Some(mark) != kept);
        self.remove.extend(gone.map(|&mark| self.place.start(mark)));
        self.marks.retain(|&mark| Some(mark) == kept);
        if self.remove.is_empty() {
            return self.finish();
        }
        self.companion_removed()
    }

    /// What is left of the log was deleted, and what had followed it is lost: the log begins anew where it was to begin, and
    /// no offset below is given again (Kafka's `LogLoader` does the same).
    fn begin_at(&mut self, mark: Offset) {
        mark!(LogBeganAtMark);
        for found in core::mem::take(&mut self.done) {
            let (base, cleaning) = (found.base, found.cleaning);
            self.give_up(Stem { base, cleaning }, found.size, found.proven);
        }
        self.state.segment = Segment::planned(mark, self.file);
        // Nobody knows what followed of whom.
        self.state.producers = Producers::new(usize::MAX, u64::MAX);
    }

    /// Has a segment removed.
    fn give_up(&mut self, stem: Stem, size: u64, has_checkpoint: bool) {
        mark!(SegmentGivenUp);
        self.report.segments_removed += 1;
        self.report.bytes_truncated += size;
        self.remove.push(self.place.segment(stem));
        if has_checkpoint {
            self.companions.push(self.place.checkpoint(stem));
        }
    }

    /// Removes the next checkpoint whose segment is to go; after the last, makes that durable, because a checkpoint without
    /// its segment is corruption.
    pub(super) fn companion_removed(&mut self) -> Turn {
        if let Some(path) = self.companions.pop() {
            return self.io(Step::CompanionRemoved, FileOp::Remove { path });
        }
        if !matches!(self.step, Step::CompanionRemoved) {
            return self.removed();
        }
        let path = self.place.path.clone();
        self.io(Step::CompanionsSynced, FileOp::SyncDirectory { path })
    }

    /// Removes the next file; after the last, makes it all durable.
    pub(super) fn removed(&mut self) -> Turn {
        if let Some(path) = self.remove.pop() {
            return self.io(Step::Removed, FileOp::Remove { path });
        }
        if bug!(RecoverWithoutSync) {
            return self.finish();
        }
        let path = self.place.path.clone();
        self.io(Step::RemovalsSynced, FileOp::SyncDirectory { path })
    }

    /// The offset after the last record that is kept.
    fn end(&self) -> Offset {
        self.done.last().map_or(self.state.segment.end, |last| last.end)
    }

    pub(super) fn finish(&mut self) -> Turn {
        let last = self.done.last();
        let end = self.end();
        if self.is_short(end) {
            return self.lose(end);
        }
        let marked = self.marks.last().copied();
        let start = self.done.first().map_or(end, |first| first.base);
        let start = match &self.source {
            Source::Clean(entry) => entry.start,
            Source::Directory => start,
        };
        let mut producers = core::mem::replace(&mut self.state.producers, Producers::new(usize::MAX, u64::MAX));
        if bug!(ForgetProducers) || (bug!(CleanCloseForgetsProducers) && matches!(self.source, Source::Clean(_))) {
            producers = Producers::new(usize::MAX, u64::MAX);
        }
        let grown = last.is_some_and(|last| last.base == self.state.segment.base);
        let segment = &mut self.state.segment;
        let (index, unindexed) = if grown {
            (core::mem::take(&mut segment.index), segment.unindexed)
        } else {
            (Index::default(), 0)
        };
        Next::Done(Ok(Recovered {
            place: self.place.clone(),
            there: self.there,
            segments: core::mem::take(&mut self.done),
            index,
            unindexed,
            start: start
                .max(self.settings.start_at_least)
                .max(marked.unwrap_or_default())
                .min(end),
            marked,
            end,
            epochs: core::mem::take(&mut self.state.epochs),
            producers,
            report: self.report,
        }))
    }
}
