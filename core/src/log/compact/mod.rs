//! Compaction: of the records of a key, all but the last go (`Cleaner`, `LogCleanerManager`).
//!
//! A [`Compact`] job reads the part of a log that was never compacted and learns the last offset of each key; then it
//! reads the log from its start up to there, group by group of segments, and writes what is to be kept of each group into
//! a file of its own. That file is synced, gets the name of a [cleaned segment](super::Cleaning), and the directory is
//! synced: with the name it takes the place of the group, for the log, which hears of it at once, and for
//! every recovery. Only then are the old files removed, once nobody reads them. So a crash leaves the old segments, or
//! the new one, or the new one beside some of the old, which are superseded.
//!
//! What is kept:
//! - every record at or behind the offset up to which keys are known, and every control batch;
//! - of records below it, those with the last offset of their key that have a value;
//! - tombstones, until the delete horizon of their batch is over. A batch gets it when compaction first comes upon a
//!   tombstone in it and has removed the older records of the key: the time then, and `delete.retention.ms` (KIP-534);
//! - of a batch without any record left, its header, where it is the last of its producer, so that what it sends next is
//!   still told from what it sent before; and the last of what is compacted, so that readers get to its end.
//!
//! Invariants:
//! - offsets, timestamps, order, leader epochs and producer fields of what is kept stay as they were;
//! - nothing at or behind the high watermark is touched, nor the segment that grows;
//! - while the job runs, no segment is removed from the log, and nothing else writes what it writes;
//! - groups take their places in ascending order: a tombstone never goes before the older records of its key.

mod adopt;
mod input;
mod job;
mod keys;
mod output;
mod plan;
mod rewrite;

pub use job::{Compact, CompactOutcome, CompactStop, Swapped};
pub use plan::{Cleanable, CompactRun};

/// What compaction does to a log at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compaction {
    Idle,
    /// A job works on its segments.
    Running,
    /// A segment could not be read: nobody tries again before the next start.
    Refused,
}
