//! What reaches a shard from other threads.

use crate::disk::Filled;
use klamm_core::shard::{Mail, TaskOutcome};
use klamm_core::storage::IoResult;
use klamm_core::types::{ConnectionId, FileId, OpId, ShardId};

/// One thing that another thread tells a shard.
#[derive(Debug)]
pub(crate) enum Event {
    /// A disk operation ended; `strand` is the file whose next operation waited for it.
    Io {
        op: OpId,
        strand: Option<FileId>,
        result: IoResult,
    },
    /// A run of writes ended.
    Written {
        file: FileId,
        outcomes: Vec<(OpId, IoResult)>,
    },
    /// A task ran to its end.
    Task { op: OpId, outcome: TaskOutcome },
    /// Bytes of a range to send were read.
    Filled { connection: ConnectionId, filled: Filled },
    /// A message of another shard.
    Mail { from: ShardId, mail: Mail },
    /// Memory for frames runs short at some shard.
    Reclaim,
    /// A client was not let in, since as many are connected as may be.
    Crowded,
    /// The broker is asked to stop.
    Shutdown,
}
