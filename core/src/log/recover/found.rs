//! What a recovery starts from, and what it brings home.

use crate::config::FlushMode;
use crate::log::config::Writes;
use crate::log::epochs::EpochHistory;
use crate::log::manifest::ClosedLog;
use crate::log::place::{Cleaning, LogPlace};
use crate::log::producers::Producers;
use crate::log::segment::Peak;
use crate::storage::Index;
use crate::types::{LeaderEpoch, Offset, Timestamp};
use alloc::vec::Vec;

/// What is known of a log before it is recovered.
#[derive(Clone, Debug)]
pub enum Source {
    /// The last stop was clean, and the manifest says this.
    Clean(ClosedLog),
    /// Only what the directory shows.
    Directory,
}

/// What a recovery may assume.
#[derive(Clone, Debug)]
pub struct RecoverSettings {
    /// No batch of the log can carry a later leader epoch than this.
    pub latest_epoch: LeaderEpoch,
    /// How the log's batches were written.
    pub writes: Writes,
    /// What made an append durable.
    pub flush: FlushMode,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// Records below this offset are gone, whether their files still are there or not.
    pub start_at_least: Offset,
    /// The wall clock, for segments whose age nothing else tells.
    pub wall: Timestamp,
}

/// What recovery read, and what it cut off.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RecoveryReport {
    /// Batches that had to be read because no checkpoint covers them.
    pub batches_read: u64,
    /// Bytes that were written once more because nothing says that they were synced.
    pub bytes_renewed: u64,
    /// Bytes that were cut off the end.
    pub bytes_truncated: u64,
    /// Segments that were removed because the one before them ends too early.
    pub segments_removed: u64,
}

/// A segment as recovery leaves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::log) struct FoundSegment {
    pub(in crate::log) base: Offset,
    pub(in crate::log) end: Offset,
    pub(in crate::log) size: u64,
    pub(in crate::log) peak: Option<Peak>,
    pub(in crate::log) began: Timestamp,
    /// Bytes that its checkpoint covers.
    pub(in crate::log) checkpointed: u64,
    /// It has a checkpoint, of whatever it covers.
    pub(in crate::log) proven: bool,
    pub(in crate::log) cleaning: Option<Cleaning>,
    pub(in crate::log) clean_to: Offset,
}

/// A log that can be [opened](crate::log::Log::open).
#[derive(Debug)]
pub struct Recovered {
    pub(in crate::log) place: LogPlace,
    pub(in crate::log) there: bool,
    pub(in crate::log) segments: Vec<FoundSegment>,
    /// The index of the last segment, and the bytes since its last entry.
    pub(in crate::log) index: Index,
    pub(in crate::log) unindexed: u64,
    pub(in crate::log) start: Offset,
    pub(in crate::log) marked: Option<Offset>,
    pub(in crate::log) end: Offset,
    pub(in crate::log) epochs: EpochHistory,
    pub(in crate::log) producers: Producers,
    /// What had to be done.
    pub report: RecoveryReport,
}

impl Recovered {
    /// The offset of the first record.
    pub const fn start(&self) -> Offset {
        self.start
    }

    /// The offset after the last record.
    pub const fn end(&self) -> Offset {
        self.end
    }

    /// The leader epochs that were found.
    pub const fn epochs(&self) -> &EpochHistory {
        &self.epochs
    }
}
