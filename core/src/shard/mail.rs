//! Messages between the shards of one process.

use crate::controller::Publication;
use crate::log::{ClosedLog, ManifestEntry};
use crate::metadata::Image;
use crate::session::{Answer, Ask};
use crate::storage::Lease;
use crate::types::{Broken, FileId, Offset, OpId, TopicPartition};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A message from one shard to another. Drivers deliver it and look at nothing in it.
#[derive(Debug)]
pub enum Mail {
    /// Do this, and answer.
    Ask {
        /// The asker's operation.
        op: OpId,
        /// The asker's operation that ends when there is news, or with an answer that comes late, if there may be either.
        watch: Option<OpId>,
        /// Where the metadata log ended for the asker: whoever knows less waits until it knows as much.
        seen: Offset,
        /// What to do.
        ask: Ask,
    },
    /// The answer to an ask.
    Answer {
        /// The asker's operation.
        op: OpId,
        /// The answer.
        answer: Answer,
    },
    /// The answer to an ask that was answered [`Answer::Late`].
    Late {
        /// The asker's operation, which the ask named as its watch.
        op: OpId,
        /// The answer.
        answer: Answer,
    },
    /// A watch ended: there is news, or it was given up.
    WatchEnded {
        /// The asker's operation.
        watch: OpId,
    },
    /// News is not wanted any more; ends the watch, unless news has.
    Unwatch {
        /// The asker's operation.
        watch: OpId,
    },
    /// So many bytes are enough to end the watch, which was begun for as many or more.
    Lower {
        /// The asker's operation.
        watch: OpId,
        /// Bytes that can be read since the watch began.
        bytes: usize,
    },
    /// A file of the receiver holds something else than it must.
    Broken {
        /// The file.
        file: FileId,
        /// Where.
        broken: Broken,
    },
    /// What a response pinned can go.
    Release(Vec<Lease>),
    /// The first shard has started: begin.
    Begin(Beginning),
    /// The metadata changed.
    Publish(Publication),
    /// The metadata last published is applied.
    Published,
    /// The sender has no clients any more.
    Drained,
    /// No shard has clients any more: make everything durable and close it.
    CloseLogs,
    /// All logs of the sender are closed.
    Closed(Vec<ManifestEntry>),
}

impl Mail {
    /// Units of work that it is for its receiver.
    pub(super) fn work(&self) -> u32 {
        match self {
            Self::Ask {
                ask: Ask::Partitions { parts, .. },
                ..
            } => u32::try_from(parts.len()).unwrap_or(u32::MAX).max(1),
            _ => 1,
        }
    }
}

/// What a shard needs to know at its start.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The cluster's identity.
    pub cluster_id: Arc<str>,
    /// The state of the cluster.
    pub image: Arc<Image>,
    /// The logs on disk whose partitions the shard owns, and how each was closed, if a clean stop says so.
    pub logs: Vec<(TopicPartition, Option<ClosedLog>)>,
}
