//! The jobs of a partition's log.

use super::ask::{Acks, FetchAsk, Fetched, PartitionAnswer};
use crate::log::{
    CheckpointOutcome, Compact, CompactOutcome, Log, Lookup, LookupOutcome, MarkStart, NoteEnd, NoteSynced, Recover,
    Recovered, StartOutcome, WriteCheckpoint,
};
use crate::record::validate::{ProduceRules, validate_opened};
use crate::record::{Batch, Compression, Level, Rejection, Restamp};
use crate::storage::{IoResult, Job, Next, Storage};
use crate::types::{ErrorCode, Fault};
use alloc::boxed::Box;

/// A job of any kind that a partition asks for. Boxed, because it travels through lists of what are mostly small effects.
#[derive(Debug)]
pub enum LogJob {
    /// Brings a log back from what its directory holds.
    Recover(Box<Recover>),
    /// Writes a checkpoint.
    Checkpoint(Box<WriteCheckpoint>),
    /// Notes how far the log is synced.
    NoteSynced(Box<NoteSynced>),
    /// Compacts the log.
    Compact(Box<Compact>),
    /// Finds where a batch lies, by offset or by time.
    Lookup(Box<Lookup>),
    /// Opens compressed records and checks them, or writes records under another codec.
    Validate(Box<Validate>),
    /// Marks where the log is to begin.
    MarkStart(Box<MarkStart>),
}

/// A batch whose records have to be looked at, or compressed anew.
#[derive(Debug)]
pub struct Validate {
    /// The batch.
    pub batch: Batch,
    /// What its topic allows.
    pub rules: ProduceRules,
    /// The most bytes its records may have.
    pub bound: usize,
    /// The codec that its topic wants instead of its own.
    pub to: Option<(Compression, Level)>,
}

/// What a [`LogJob`] brings home.
#[derive(Debug)]
pub enum LogOutcome {
    /// Of [`LogJob::Recover`].
    Recovered(Box<Result<Recovered, Fault>>),
    /// Of [`LogJob::Checkpoint`].
    Checkpointed(CheckpointOutcome),
    /// Of [`LogJob::NoteSynced`].
    SyncedNoted(NoteEnd),
    /// Of [`LogJob::Compact`].
    Compacted(CompactOutcome),
    /// Of [`LogJob::Lookup`].
    LookedUp(LookupOutcome),
    /// Of [`LogJob::Validate`].
    Validated(Box<Result<(Batch, Restamp), Rejection>>),
    /// Of [`LogJob::MarkStart`].
    StartMarked(StartOutcome),
}

/// Which opening of a log a job was begun for: a log that failed and was recovered is another one, and what was asked of
/// the one before is not answered by it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Incarnation(pub(super) u64);

/// What a job is for; `T` names the part of an ask that waits for it.
#[derive(Debug)]
pub enum Purpose<T> {
    /// To open the log.
    Recover,
    /// To keep recovery short.
    Checkpoint,
    /// To tell a torn tail from damage.
    NoteSynced,
    /// To let the log begin later.
    MarkStart,
    /// To drop what later records of the same keys replaced.
    Compact,
    /// To read on.
    Fetch(T, FetchAsk, Incarnation),
    /// To find a record by its time.
    Locate(T, Incarnation),
    /// To append.
    Produce(T, Acks, Incarnation),
}

impl<T> Purpose<T> {
    /// Which opening of the log the job belongs to; `None` for work that the log itself waits for.
    pub(super) const fn incarnation(&self) -> Option<Incarnation> {
        match self {
            Self::Recover | Self::Checkpoint | Self::NoteSynced | Self::MarkStart | Self::Compact => None,
            Self::Fetch(_, _, incarnation) | Self::Locate(_, incarnation) | Self::Produce(_, _, incarnation) => {
                Some(*incarnation)
            }
        }
    }

    /// The answer that refuses the part that waits, if one does.
    pub fn refused(self, code: ErrorCode) -> Option<(T, PartitionAnswer)> {
        match self {
            Self::Recover | Self::Checkpoint | Self::NoteSynced | Self::MarkStart | Self::Compact => None,
            Self::Fetch(part, ..) => Some((part, PartitionAnswer::Fetched(Fetched::refused(code)))),
            Self::Locate(part, _) => Some((part, PartitionAnswer::Offset(Err(code)))),
            Self::Produce(part, ..) => Some((part, PartitionAnswer::Produced(Err(code.into())))),
        }
    }
}

impl LogOutcome {
    /// Nobody wants it any more: gives back what it holds. `log` is the log that it was for, if that is there still. A fault
    /// is the log directory's, whatever became of the log: a sync that failed must not be tried again.
    pub fn discard(self, log: Option<&mut Log>, storage: &mut Storage) -> Result<(), Fault> {
        match (self, log) {
            (Self::Checkpointed(checkpointed), Some(log)) => return log.worked(&checkpointed, storage),
            (Self::SyncedNoted(end), Some(log)) => log.synced_noted(end, storage),
            (Self::StartMarked(marked), Some(log)) => return log.start_marked(&marked, storage),
            (Self::LookedUp(found), _) => storage.release(found.into_lease()),
            (
                Self::Checkpointed(_)
                | Self::SyncedNoted(_)
                | Self::Compacted(_)
                | Self::Recovered(_)
                | Self::Validated(_)
                | Self::StartMarked(_),
                _,
            ) => {}
        }
        Ok(())
    }
}

impl Job for LogJob {
    type Outcome = LogOutcome;

    fn resume(&mut self, done: IoResult) -> Next<LogOutcome> {
        match self {
            Self::Recover(job) => job
                .resume(done)
                .map(|recovered| LogOutcome::Recovered(Box::new(recovered))),
            Self::Checkpoint(job) => job.resume(done).map(LogOutcome::Checkpointed),
            Self::NoteSynced(job) => job.resume(done).map(LogOutcome::SyncedNoted),
            Self::Compact(job) => job.resume(done).map(LogOutcome::Compacted),
            Self::Lookup(job) => job.resume(done).map(LogOutcome::LookedUp),
            Self::MarkStart(job) => job.resume(done).map(LogOutcome::StartMarked),
            Self::Validate(job) => {
                let checked = validate_opened(&job.batch, &job.rules, job.bound, job.to);
                Next::Done(LogOutcome::Validated(Box::new(checked)))
            }
        }
    }
}
