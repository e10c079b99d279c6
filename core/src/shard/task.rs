//! The jobs a shard hands to disk threads, as one type, so that drivers run them without knowing them.

use super::boot::{Boot, Booted, Steps};
use super::partitions::Part;
use super::survey::Survey;
use crate::group::{Loaded, ReadRecords};
use crate::log::{Replay, ReplayChunk};
use crate::marks::mark;
use crate::partition::{LogJob, LogOutcome, Purpose};
use crate::storage::{FileOp, IoError, IoResult, IoValue, Job, Lease, LogId, Next, Replace, Volume};
use crate::types::{Fault, LogDirectoryId, Offset, OpId, ShardId, TopicPartition};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// A job of any kind. Boxed, because it travels through lists of what are mostly small effects.
#[derive(Debug)]
pub enum Task {
    /// Takes the log directory into use.
    Boot(Box<Boot>),
    /// A few operations one after the other.
    Steps(Steps),
    /// Replaces a small file.
    Replace(Box<Replace>),
    /// A job of a log.
    Log(LogJob),
    /// Reads the metadata log.
    Replay(Box<Replay>),
    /// Reads records of groups.
    ReadGroups(Box<ReadRecords>),
    /// Looks for logs that lost records.
    Survey(Survey),
    /// Measures the file system that holds the log directory.
    Measure(LogDirectoryId),
}

/// What a [`Task`] brings home.
#[derive(Debug)]
pub enum TaskOutcome {
    /// Of [`Task::Boot`]: what is there, or why the broker must not start.
    Booted(Box<Result<Booted, String>>),
    /// Of [`Task::Steps`].
    Stepped(Result<(), IoError>),
    /// Of [`Task::Replace`].
    Replaced(Result<(), Fault>),
    /// Of [`Task::Log`].
    Log(LogOutcome),
    /// Of [`Task::Replay`].
    Replayed(Box<Result<ReplayChunk, Fault>>),
    /// Of [`Task::ReadGroups`].
    GroupsRead(Box<Result<Vec<Loaded>, Fault>>),
    /// Of [`Task::Survey`]: whose logs they are.
    Surveyed(Vec<TopicPartition>),
    /// Of [`Task::Measure`].
    Measured(Result<Volume, IoError>),
}

/// What a task is for.
#[derive(Debug)]
pub(super) enum TaskFor {
    Boot,
    /// Directories nobody has any more are removed.
    Cleanup,
    /// The manifest of a clean stop is written.
    Manifest,
    /// A job of the metadata log.
    Metadata,
    /// The metadata log is read.
    Replay,
    Partition(LogId, Purpose<Part>),
    /// The groups of a partition are read; what the read pins, and where it ends.
    Groups(TopicPartition, Vec<Lease>, Offset),
    /// Logs that lost records are looked for; the last one of the stretch.
    Survey(TopicPartition),
    /// An ask of this shard's wants to know the room that there is.
    Volume(ShardId, OpId),
}

impl Job for Task {
    type Outcome = TaskOutcome;

    fn resume(&mut self, done: IoResult) -> Next<TaskOutcome> {
        match self {
            Self::Boot(job) => job.resume(done).map(|booted| TaskOutcome::Booted(Box::new(booted))),
            Self::Steps(job) => job.resume(done).map(TaskOutcome::Stepped),
            Self::Replace(job) => job.resume(done).map(TaskOutcome::Replaced),
            Self::Log(job) => job.resume(done).map(TaskOutcome::Log),
            Self::ReadGroups(job) => job.resume(done).map(|read| TaskOutcome::GroupsRead(Box::new(read))),
            Self::Replay(job) => job.resume(done).map(|chunk| TaskOutcome::Replayed(Box::new(chunk))),
            Self::Survey(job) => job.resume(done).map(TaskOutcome::Surveyed),
            Self::Measure(directory) => match done {
                Ok(IoValue::Volume(volume)) => Next::Done(TaskOutcome::Measured(Ok(volume))),
                Ok(_) => Next::Io(FileOp::Volume { directory: *directory }),
                Err(error) => Next::Done(TaskOutcome::Measured(Err(error))),
            },
        }
    }
}

/// Recoveries take turns: each reads a log, and all at once would only get in each other's way.
#[derive(Debug)]
pub(super) struct Turns {
    limit: usize,
    running: usize,
    waiting: VecDeque<(OpId, Task)>,
}

impl Turns {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            running: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The task, if it may start now; else it waits.
    pub(super) fn begin(&mut self, op: OpId, task: Task) -> Option<(OpId, Task)> {
        if self.running >= self.limit {
            mark!(TaskWaited);
            self.waiting.push_back((op, task));
            return None;
        }
        self.running += 1;
        Some((op, task))
    }

    /// One has ended: the next, if one waits.
    pub(super) fn end(&mut self) -> Option<(OpId, Task)> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.running -= 1;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_run_than_may_and_none_is_forgotten() {
        let task = || Task::Steps(Steps::default());
        let op = |slot| OpId { slot, generation: 0 };
        let mut turns = Turns::new(2);
        assert!(turns.begin(op(1), task()).is_some());
        assert!(turns.begin(op(2), task()).is_some());
        assert!(turns.begin(op(3), task()).is_none());
        assert_eq!(turns.end().map(|(op, _)| op.slot), Some(3));
        assert!(turns.end().is_none() && turns.end().is_none());
        assert_eq!(turns.running, 0);
    }
}
