//! A part of a log: one file of batches, and what is known of it.

use super::config::LogConfig;
use super::place::{Cleaning, Stem};
use crate::record::BatchHeader;
use crate::storage::{Index, IndexEntry};
use crate::types::{FileId, Gaps, Monotonic, Offset, Timestamp};

/// The greatest timestamp of some batches, and the first batch that has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peak {
    /// The timestamp.
    pub timestamp: Timestamp,
    /// The base offset of the batch.
    pub batch: Offset,
}

impl Peak {
    /// The greater of two; the earlier where they are equal.
    pub(super) fn max(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) if b.timestamp > a.timestamp => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        }
    }
}

/// How far a segment is on its way to be trusted without being read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It is in memory only: no byte of it was asked to be written.
    Planned,
    /// Its file is there or on its way, and not known to be durable as a whole.
    Written,
    /// All of it was synced, its name too.
    Durable,
}

/// How old a segment is, by a clock that no step of the wall clock moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    /// The monotonic clock when `before_ms` was taken.
    pub(super) since: Monotonic,
    /// How old it was then, in milliseconds.
    pub(super) before_ms: u64,
    /// The wall clock of its first append, for the next start.
    pub(super) began: Timestamp,
}

impl Age {
    pub(super) fn ms(&self, now: Monotonic) -> u64 {
        self.before_ms.saturating_add(now.millis_since(self.since))
    }
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) base: Offset,
    /// The offset after its last batch.
    pub(super) end: Offset,
    /// Bytes of its batches.
    pub(super) size: u64,
    pub(super) file: FileId,
    pub(super) peak: Option<Peak>,
    /// The index while the segment grows; a sealed one's is in its checkpoint, and in storage's cache.
    pub(super) index: Index,
    /// Bytes since the last index entry.
    pub(super) unindexed: u64,
    pub(super) age: Option<Age>,
    pub(super) standing: Standing,
    /// The bytes that its checkpoint covers.
    pub(super) checkpointed: u64,
    /// It has a checkpoint, of whatever it covers: a proof that the segments before it were durable once.
    pub(super) proven: bool,
    /// Compaction made it: its batches ascend, with gaps between them, and nothing is appended to it.
    pub(super) cleaning: Option<Cleaning>,
    /// Where in it records begin that were never compacted.
    pub(super) clean_to: Offset,
}

impl Segment {
    /// A segment to be, beginning at `base`.
    pub(super) fn planned(base: Offset, file: FileId) -> Self {
        Self {
            base,
            end: base,
            size: 0,
            file,
            peak: None,
            index: Index::default(),
            unindexed: 0,
            age: None,
            standing: Standing::Planned,
            checkpointed: 0,
            proven: false,
            cleaning: None,
            clean_to: base,
        }
    }

    /// What its files are called.
    pub(super) fn stem(&self) -> Stem {
        Stem {
            base: self.base,
            cleaning: self.cleaning,
        }
    }

    /// Whether offsets may be missing between its batches.
    pub(super) fn gaps(&self) -> Gaps {
        self.cleaning.map_or(Gaps::None, |_| Gaps::Allowed)
    }

    /// Whether a batch of `length` bytes whose last record is at `last` has to go into another segment.
    pub(super) fn is_full_for(&self, length: u64, last: Offset, config: &LogConfig, now: Monotonic) -> bool {
        if self.size == 0 {
            return false;
        }
        let too_large = self.size + length > u64::from(config.segment_bytes);
        let too_far = last.since(self.base) > i64::from(i32::MAX);
        let too_old = self.age.is_some_and(|age| age.ms(now) > config.segment_ms);
        too_large || too_far || too_old
    }

    /// A batch is added behind the others. Returns its position.
    pub(super) fn add(&mut self, batch: &BatchHeader, length: u64, interval: u32) -> u64 {
        assert!(batch.base_offset >= self.end, "batches of a segment ascend");
        let position = self.size;
        if position > 0 && self.unindexed + length > u64::from(interval) {
            self.index.push(IndexEntry {
                relative: batch.base_offset.since(self.base) as u32,
                position: position as u32,
                max_before: self.peak.map_or(Timestamp(i64::MIN), |peak| peak.timestamp),
            });
            self.unindexed = 0;
        }
        self.unindexed += length;
        self.size += length;
        self.end = batch.next_offset();
        // What compaction emptied is there for its producer alone.
        let peak = (batch.record_count > 0).then_some(Peak {
            timestamp: batch.max_timestamp,
            batch: batch.base_offset,
        });
        self.peak = Peak::max(self.peak, peak);
        position
    }
}
