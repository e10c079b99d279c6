//! What a partition wants done, and what its shard learns of it.

use super::ask::PartitionAnswer;
use super::job::{LogJob, Purpose};
use super::report::Matter;
use crate::bugs::bug;
use crate::log::{ClosedLog, Log, ManifestEntry, RecoveryReport};
use crate::storage::Storage;
use crate::types::{Fault, Monotonic};
use alloc::string::String;
use alloc::vec::Vec;

/// What a partition wants done; `T` names a part of an ask.
#[derive(Debug)]
pub struct Outcome<T> {
    /// Answers to parts.
    pub answers: Vec<(T, PartitionAnswer)>,
    /// Jobs to run.
    pub jobs: Vec<(Purpose<T>, LogJob)>,
    /// What an operator should know.
    pub reports: Vec<(Matter, String)>,
    /// Whoever waits for the partition has to look at it anew.
    pub news: bool,
    /// So many bytes more of records can be read.
    pub readable: usize,
    /// The log directory failed.
    pub fault: Option<Fault>,
    /// Nothing works on the deleted partition's log any more: its directory can be removed.
    pub removable: bool,
    /// A recovery ended.
    pub recovered: Option<(Recovery, RecoveryReport)>,
    /// The partition rests: its log is closed, and this is how it is opened again; `None` where it never held a record.
    /// Nothing is asked of it any more: whoever is asked next wakes another.
    pub asleep: Option<Option<ClosedLog>>,
    /// [`Partition::sync`](super::Partition::sync) is to be called at this time.
    pub sync_at: Option<Monotonic>,
    /// What was appended.
    pub appended: Appended,
    /// What compaction did.
    pub compacted: Compacted,
    /// Damage that was found.
    pub damaged: Damaged,
}

/// Damage that was found, for the counters: bytes that were synced and are not what they were.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Damaged {
    /// Batches that were not those that were due, found as they were to be sent.
    pub headers: u64,
    /// Batches whose CRC was wrong, found as they came from the device to be sent.
    pub bodies: u64,
    /// Look-ups and compactions that ended at it.
    pub reads: u64,
    /// Logs that were not opened for it.
    pub logs: u64,
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        let (answers, jobs, reports) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            answers,
            jobs,
            reports,
            news: false,
            readable: 0,
            fault: None,
            removable: false,
            recovered: None,
            asleep: None,
            sync_at: None,
            appended: Appended::default(),
            compacted: Compacted::default(),
            damaged: Damaged::default(),
        }
    }
}

/// Why a log was recovered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recovery {
    /// To be opened: what is cut off was there before this process, or is damage.
    Opening,
    /// After a write that failed: what is cut off is what that left, and nobody was told that it is there.
    FailedWrite,
}

/// What was appended, for the counters.
#[derive(Clone, Copy, Default, Debug)]
pub struct Appended {
    /// Batches.
    pub batches: u64,
    /// Records, as their batches declare them.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunEnd {
    /// It is done.
    Done,
    /// It is not, and what it lacks may not be there at once.
    PutOff,
}

/// What compaction did, for the counters.
#[derive(Clone, Copy, Default, Debug)]
pub struct Compacted {
    /// A run ended.
    pub ended: Option<RunEnd>,
    /// Bytes that it made the log smaller by.
    pub reclaimed: u64,
}

/// How far a partition is on its way to a clean stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Closed {
    /// Something is in progress.
    NotYet,
    /// It never held a record: there is nothing to remember.
    Empty,
    /// It has to be recovered at the next start.
    Unclean,
    /// Everything is durable; the next start finds it like this.
    Clean(ManifestEntry),
}

impl Closed {
    /// How far a log is that is being closed.
    pub fn of(log: &Log, storage: &Storage) -> Self {
        match log.closed(storage) {
            None if bug!(ManifestBeforeSync) => Self::Clean(ManifestEntry::new(log.place(), log.as_closed())),
            None => Self::NotYet,
            Some(closed) if closed.segments.is_empty() => Self::Empty,
            Some(closed) => Self::Clean(ManifestEntry::new(log.place(), closed)),
        }
    }
}
