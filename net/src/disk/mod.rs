//! Files: carrying out the core's operations, at once or on disk threads.
//!
//! Invariants: operations on one file start in the order the core emitted them, and each has ended before the next one
//! starts, but for a sync, which later ones do not wait for; a sync starts after all earlier operations on its files
//! have ended. Every operation has exactly one completion.

mod perform;
mod queue;
mod root;
mod strands;
mod threads;

#[cfg(test)]
use perform::Performer;
#[cfg(test)]
use root::Root;
pub(crate) use strands::Strands;
pub use threads::Threads;

use crate::event::Event;
use crate::inbox::{Inbox, lock};
use crate::memory::Buffer;
use bytes::Bytes;
use klamm_core::shard::Task;
use klamm_core::storage::{FileOp, IoError, IoResult, IoValue, Piece};
use klamm_core::types::{Broken, ConnectionId, Content, FileId, FileRange, OpId};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The disk seam: what shards do to files. Its implementation for production is [`Threads`].
pub trait Disk: Send + Sync + 'static {
    /// Writes `pieces` one after the other on the calling thread; may fill the page cache, never waits for the device.
    /// Answers how many bytes were taken, and what ended the write before all were.
    fn write_now(&self, file: FileId, position: u64, pieces: &[&[u8]]) -> (u64, Option<IoError>);

    /// Fills `window` from the page cache, without waiting for the device.
    fn read_cached(&self, file: FileId, position: u64, window: &mut [u8]) -> Cached;

    /// Hands over work that may wait for the device, in any order, and leaves `work` empty. Each is answered in the
    /// inbox of its shard.
    fn submit(&self, work: &mut Vec<Work>);
}

/// What [`Disk::read_cached`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cached {
    /// All of it.
    Read,
    /// Not all of it is in memory, or in the file: a disk thread has to read, and checks what it reads.
    Elsewhere,
    /// The file ends before the first byte, or cannot be read.
    Gone,
}

/// Work for a disk thread, and where its answer goes.
#[derive(Debug)]
pub struct Work {
    pub(crate) reply: Arc<Inbox<Event>>,
    pub(crate) kind: WorkKind,
}

/// The kinds of [`Work`].
#[derive(Debug)]
pub(crate) enum WorkKind {
    /// Writes that continue each other.
    Write { file: FileId, position: u64, run: Run },
    /// Any other operation; `strand` is the file whose next operation waits for it.
    Io {
        op: OpId,
        strand: Option<FileId>,
        io: FileOp,
    },
    /// A share of the files of a sync.
    Sync { files: Vec<FileId>, round: Arc<SyncRound> },
    /// A task to run to its end.
    Task { op: OpId, task: Box<Task> },
    /// Part of a response that was not in the page cache; read into `buffer`, which has the room, and shown to `content`.
    Fill {
        connection: ConnectionId,
        range: FileRange,
        content: Content,
        buffer: Buffer,
    },
}

/// Writes of the core that continue each other in one file.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) writes: Vec<(OpId, Vec<Piece>)>,
}

impl Run {
    /// The pieces of all writes, in order.
    pub(crate) fn slices(&self) -> Vec<&[u8]> {
        self.writes
            .iter()
            .flat_map(|(_, pieces)| pieces.iter().map(AsRef::as_ref))
            .collect()
    }

    /// What each write is told when `taken` bytes of all went into the file and then `error`, if any, came.
    pub(crate) fn outcomes(&self, taken: u64, error: Option<&IoError>) -> impl Iterator<Item = (OpId, IoResult)> {
        let mut left = taken;
        self.writes.iter().map(move |(op, pieces)| {
            let length = pieces.iter().map(|piece| piece.as_ref().len() as u64).sum::<u64>();
            let whole = length <= left;
            left = if whole { left - length } else { 0 };
            let result = match error {
                Some(error) if !whole => Err(error.clone()),
                _ => Ok(IoValue::Done),
            };
            (*op, result)
        })
    }
}

/// A sync shared out over several threads; the last one answers.
#[derive(Debug)]
pub(crate) struct SyncRound {
    op: OpId,
    left: AtomicUsize,
    error: Mutex<Option<IoError>>,
}

impl SyncRound {
    /// A sync in `shares` shares.
    pub(crate) fn new(op: OpId, shares: usize) -> Arc<Self> {
        Arc::new(Self {
            op,
            left: AtomicUsize::new(shares),
            error: Mutex::new(None),
        })
    }

    /// One share ended. The answer to the whole, if this was the last.
    pub(crate) fn ended(&self, error: Option<IoError>) -> Option<(OpId, IoResult)> {
        if let Some(error) = error {
            lock(&self.error).get_or_insert(error);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return None;
        }
        let result = lock(&self.error).take().map_or(Ok(IoValue::Done), Err);
        Some((self.op, result))
    }
}

/// What came of a [`WorkKind::Fill`].
#[derive(Debug)]
pub(crate) struct Filled {
    /// What the rest of the range has to be.
    pub(crate) content: Content,
    /// Bytes that may be sent, at least one.
    pub(crate) bytes: Result<Bytes, Unfilled>,
}

/// Why nothing of a range can be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unfilled {
    /// It cannot be read.
    Unreadable(IoError),
    /// It holds other batches than are due, or with other bytes than they had.
    Broken(Broken),
}
