//! Checkpoints on their way to disk.

use super::checkpoint::Checkpoint;
use super::place::LogPlace;
use crate::storage::{FileIds, FilePath, IoResult, Job, Next, Replace};
use crate::types::{Fault, FileId, Monotonic, Offset};

/// A checkpoint that waits for the bytes it covers to be synced.
#[derive(Debug)]
pub(super) struct Draft {
    /// The segment's file.
    pub(super) file: FileId,
    /// That the log is durable up to the checkpoint's end is enough; else the segment has to be sealed.
    pub(super) when_durable: bool,
    /// When it was taken.
    pub(super) taken: Monotonic,
    pub(super) checkpoint: Checkpoint,
}

/// The job that writes a checkpoint.
#[derive(Debug)]
pub struct WriteCheckpoint {
    draft: Draft,
    file: FileId,
    path: FilePath,
    temporary: FilePath,
    replace: Option<Replace>,
}

/// What became of a checkpoint.
#[derive(Debug)]
pub struct CheckpointOutcome {
    pub(super) base: Offset,
    pub(super) size: u64,
    pub(super) result: Result<(), Fault>,
}

impl WriteCheckpoint {
    pub(super) fn new(place: &LogPlace, draft: Draft, files: &mut FileIds) -> Self {
        let file = files.next();
        let base = draft.checkpoint.base;
        Self {
            file,
            path: place.checkpoint(base),
            temporary: place.temporary(base, file.0),
            draft,
            replace: None,
        }
    }
}

impl Job for WriteCheckpoint {
    type Outcome = CheckpointOutcome;

    fn resume(&mut self, done: IoResult) -> Next<CheckpointOutcome> {
        let Self {
            draft,
            file,
            path,
            temporary,
            replace,
        } = self;
        let replace = replace.get_or_insert_with(|| {
            let bytes = draft.checkpoint.encode(draft.taken).into();
            Replace::new(*file, path.clone(), temporary.clone(), bytes)
        });
        match replace.resume(done) {
            Next::Io(op) => Next::Io(op),
            Next::Later => Next::Later,
            Next::Done(result) => Next::Done(CheckpointOutcome {
                base: draft.checkpoint.base,
                size: draft.checkpoint.size,
                result,
            }),
        }
    }
}
