//! Writes a small file so that a reader finds the old one or the new one, whatever happens.

use super::file::{FileOp, FilePath, IoError, IoResult, OpenMode, Piece};
use super::job::{Job, Next, Patience};
use crate::types::{Fault, FileId};
use bytes::Bytes;

/// A job that writes a file under a temporary name, syncs it, renames it and syncs the directory. When it fails, the file
/// that was there before still is; if it fails in the very end, the new one may be instead.
#[derive(Debug)]
pub struct Replace {
    file: FileId,
    temporary: FilePath,
    path: FilePath,
    bytes: Bytes,
    step: Step,
    fault: Option<Fault>,
    patience: Patience,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Start,
    Opened,
    Written,
    Synced,
    Closed,
    Renamed,
    Durable,
    /// After a failure: the descriptor is closed, the temporary file removed.
    Abandoned,
    Removed,
}

impl Replace {
    /// Gives `path` the contents `bytes`, by way of `temporary` in the same directory.
    pub fn new(file: FileId, path: FilePath, temporary: FilePath, bytes: Bytes) -> Self {
        Self {
            file,
            temporary,
            path,
            bytes,
            step: Step::Start,
            fault: None,
            patience: Patience::new(),
        }
    }

    /// The operation that leads to the next step.
    fn advance(&mut self) -> FileOp {
        let file = self.file;
        let (next, op) = match self.step {
            Step::Start => (
                Step::Opened,
                FileOp::Open {
                    file,
                    path: self.temporary.clone(),
                    mode: OpenMode::CreateOrEmpty,
                },
            ),
            Step::Opened => (
                Step::Written,
                FileOp::Write {
                    file,
                    position: 0,
                    pieces: alloc::vec![Piece::Body(self.bytes.clone())],
                },
            ),
            Step::Written => (
                Step::Synced,
                FileOp::Sync {
                    files: alloc::vec![file],
                },
            ),
            Step::Synced => (Step::Closed, FileOp::Close { file }),
            Step::Closed => (
                Step::Renamed,
                FileOp::Rename {
                    from: self.temporary.clone(),
                    to: self.path.clone(),
                },
            ),
            Step::Renamed => (
                Step::Durable,
                FileOp::SyncDirectory {
                    path: self.path.parent(),
                },
            ),
            Step::Abandoned => (
                Step::Removed,
                FileOp::Remove {
                    path: self.temporary.clone(),
                },
            ),
            Step::Durable | Step::Removed => unreachable!("the job is done"),
        };
        self.step = next;
        op
    }

    /// What to do after the operation that led to the current step failed.
    fn abandon(&mut self, error: &IoError) -> Next<Result<(), Fault>> {
        let fault = error.fault();
        let unbegun = match self.step {
            Step::Opened => Some(Step::Start),
            Step::Durable => Some(Step::Renamed),
            _ => None,
        };
        if let Some(before) = unbegun.filter(|_| self.patience.covers(error)) {
            self.step = before;
            return Next::Later;
        }
        match self.step {
            // A name whose durability is unknown, or a clean-up that failed.
            Step::Durable | Step::Removed | Step::Abandoned => Next::Done(Err(self.fault.take().unwrap_or(fault))),
            Step::Written | Step::Synced => {
                self.fault = Some(fault);
                self.step = Step::Abandoned;
                Next::Io(FileOp::Close { file: self.file })
            }
            _ => {
                self.fault = Some(fault);
                self.step = Step::Abandoned;
                Next::Io(self.advance())
            }
        }
    }
}

impl Job for Replace {
    type Outcome = Result<(), Fault>;

    fn resume(&mut self, done: IoResult) -> Next<Self::Outcome> {
        if let Err(error) = done {
            return self.abandon(&error);
        }
        match self.step {
            Step::Durable => Next::Done(Ok(())),
            Step::Removed => Next::Done(Err(self.fault.take().unwrap_or(Fault::NoSpace))),
            _ => Next::Io(self.advance()),
        }
    }
}
