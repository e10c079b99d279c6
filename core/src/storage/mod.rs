//! What is durable, and when.
//!
//! Machines above this module append bytes and later learn how far they are durable; none of them names a sync.
//!
//! Invariants:
//! - a write issued after a sync began is not covered by it;
//! - a failed sync is never retried: it takes the log directory offline;
//! - a new or renamed file counts as durable only once its directory was synced too.

mod file;
mod job;

pub use file::{DirectoryEntry, EntryKind, FileOp, FilePath, IoError, IoErrorKind, IoResult, IoValue, OpenMode, Piece};
pub use job::{Job, Next, run_to_end};
