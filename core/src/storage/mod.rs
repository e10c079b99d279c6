//! What is durable, and when.
//!
//! Machines above this module append bytes and later learn how far they are durable; none of them names a sync.
//!
//! Invariants:
//! - a write issued after a sync began is not covered by it;
//! - a failed sync is never retried: it takes the log directory offline;
//! - a new or renamed file counts as durable only once its directory was synced too;
//! - a descriptor with unsynced bytes is never closed;
//! - nothing that a lease holds is removed.

pub(crate) mod codec;
mod commit;
mod directories;
mod engine;
mod event;
mod file;
mod files;
mod gather;
mod index;
mod job;
mod lease;
mod outbox;
mod replace;
mod tail;

#[cfg(test)]
pub(crate) mod tests;

pub use codec::DecodeError;
pub use engine::Storage;
pub use event::{LogId, StorageEvent, Token};
pub use file::{
    DirectoryEntry, EntryKind, FileOp, FilePath, IoError, IoErrorKind, IoResult, IoValue, OpenMode, Piece, Volume,
};
pub use files::Presence;
pub use index::{Index, IndexEntry};
pub(crate) use job::Patience;
pub use job::{Job, Next, run_to_end};
pub use lease::{FileIds, Lease};
pub use replace::Replace;
pub use tail::Recent;
