//! What storage is asked to remember about an operation, and what it has to say.

use crate::types::{Fault, FileId, Offset};

/// A log of this shard, as storage knows it. The shard chooses it; no two logs have the same one at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogId(pub u64);

/// Says which operation a completion belongs to. The shard keeps it beside the operation's id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token(pub(super) Purpose);

/// What an operation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// Makes the directory of a log.
    MakeDirectory(LogId),
    /// Opens a file.
    Open(FileId),
    /// Closes a file.
    Close(FileId),
    /// Writes the append `number` of the log.
    Write { log: LogId, file: FileId, number: u64 },
    /// The part of the running commit round with this place in its list.
    Round(usize),
    /// The next step of removing a segment or a whole log.
    Remove(LogId),
}

/// What became of what logs asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StorageEvent {
    /// Everything of the log below `end` is as durable as `flush` promises.
    Durable {
        /// The log.
        log: LogId,
        /// The first offset that is not durable.
        end: Offset,
    },
    /// Every byte of a file that the log sealed was synced, and its name too, whatever `flush` says.
    Sealed {
        /// The log.
        log: LogId,
        /// The file.
        file: FileId,
    },
    /// A file that a reader of the log waited for can be read.
    Opened {
        /// The log.
        log: LogId,
    },
    /// A file that a reader of the log waited for cannot be read now.
    Unreadable {
        /// The log.
        log: LogId,
        /// Why.
        fault: Fault,
    },
    /// What the log appended and has not seen durable is lost to it; nothing of the log is in progress any more. The log
    /// must be recovered before it is used again.
    WriteFailed {
        /// The log.
        log: LogId,
        /// Why.
        fault: Fault,
    },
    /// The log's directory is gone, durably.
    Deleted {
        /// The log.
        log: LogId,
    },
    /// The log directory failed: nothing in it can be relied on, and storage asks for nothing any more.
    DirectoryFailed(Fault),
}
