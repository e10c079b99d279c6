//! Asks of shards that know more of the cluster than this one does yet: a publication reaches shards one after the other,
//! and who has seen a topic already must not hear that there is none.
//!
//! Invariants: asks of one shard are taken in the order sent; nothing is held that was asked under an image this shard
//! has. What is held is bounded by the askers' credits, and ends with the publication that is on its way.

use crate::marks::mark;
use crate::session::Ask;
use crate::types::{Offset, OpId, ShardId};
use alloc::collections::VecDeque;

/// An ask, and what its asker knew.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) from: ShardId,
    pub(super) op: OpId,
    pub(super) watch: Option<OpId>,
    /// Where the metadata log ended for the asker.
    pub(super) seen: Offset,
    pub(super) ask: Ask,
}

/// The asks that wait for an image.
#[derive(Debug, Default)]
pub(super) struct Early {
    waiting: VecDeque<Asked>,
}

impl Early {
    /// The ask, if it can be taken by a shard that knows the metadata up to `known`; else it waits.
    pub(super) fn admit(&mut self, asked: Asked, known: Offset) -> Option<Asked> {
        let behind_another = self.waiting.iter().any(|before| before.from == asked.from);
        if asked.seen <= known && !behind_another {
            return Some(asked);
        }
        mark!(EarlyAskHeld);
        self.waiting.push_back(asked);
        None
    }

    /// The next ask that can be taken now. What one shard has seen never goes back, so its asks come in order.
    pub(super) fn next(&mut self, known: Offset) -> Option<Asked> {
        let at = self.waiting.iter().position(|asked| asked.seen <= known)?;
        self.waiting.remove(at)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
