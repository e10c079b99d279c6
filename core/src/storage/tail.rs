//! Batches that were just appended, kept in memory for readers at the tail.
//!
//! Invariants:
//! - the batches of one log follow each other without a gap up to the log's end;
//! - the bytes held never exceed the limit;
//! - a small batch has a body of its own. A large one shares what it came in, which may be more than itself: whoever runs
//!   out of that memory has [all of it dropped](TailCache::clear).

use super::event::LogId;
use crate::record::{Batch, HEADER_LEN};
use crate::types::Offset;
use alloc::collections::{BTreeMap, VecDeque};

/// A batch and where it stands in its segment.
#[derive(Clone, Debug)]
pub struct Recent {
    /// The batch, as it is in the log.
    pub batch: Batch,
    /// The base offset of its segment.
    pub segment: Offset,
    /// Its first byte in the segment.
    pub position: u64,
    /// The offset after its last record.
    pub next_offset: Offset,
}

/// What an entry takes beside the bytes of the batch: its share of the maps.
const ENTRY_OVERHEAD: usize = 192;

/// A body of up to this many bytes is copied, which costs less than what it may pin: the frame it came in, and all that
/// shares memory with that.
const COPIED: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct TailCache {
    batches: BTreeMap<(LogId, Offset), Recent>,
    /// Oldest first. May name batches that are gone.
    order: VecDeque<(LogId, Offset)>,
    bytes: usize,
    limit: usize,
}

fn cost(batch: &Batch) -> usize {
    HEADER_LEN + batch.body().len() + ENTRY_OVERHEAD
}

impl TailCache {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            batches: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

    /// Adds the newest batch of `log`. One that does not fit empties the log's part: what is left would have a gap.
    pub(super) fn add(&mut self, log: LogId, base: Offset, mut recent: Recent) {
        let bytes = cost(&recent.batch);
        if bytes > self.limit {
            self.forget(log);
            return;
        }
        if recent.batch.body().len() <= COPIED {
            recent.batch = recent.batch.detach();
        }
        self.bytes += bytes;
        self.batches.insert((log, base), recent);
        self.order.push_back((log, base));
        while self.bytes > self.limit {
            let oldest = self.order.pop_front().expect("bytes are held by batches");
            if let Some(gone) = self.batches.remove(&oldest) {
                self.bytes -= cost(&gone.batch);
            }
        }
    }

    /// The batches of `log` from the one that holds `from`; nothing if that one is not here.
    pub(super) fn from(&self, log: LogId, from: Offset) -> impl Iterator<Item = &Recent> {
        let first = self.batches.range((log, Offset(i64::MIN))..=(log, from)).next_back();
        let base = first
            .filter(|(_, recent)| recent.next_offset > from)
            .map(|(&(_, base), _)| base);
        let upto = base.map_or((log, Offset(i64::MIN)), |_| (log, Offset(i64::MAX)));
        let from = (log, base.unwrap_or(Offset(i64::MIN)));
        self.batches.range(from..upto).map(|(_, recent)| recent)
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
        self.order.clear();
        self.bytes = 0;
    }

    /// Drops the batches of `log`.
    pub(super) fn forget(&mut self, log: LogId) {
        let all = (log, Offset(i64::MIN))..=(log, Offset(i64::MAX));
        let gone: alloc::vec::Vec<_> = self.batches.range(all).map(|(&key, _)| key).collect();
        if gone.is_empty() {
            return;
        }
        for key in gone {
            if let Some(recent) = self.batches.remove(&key) {
                self.bytes -= cost(&recent.batch);
            }
        }
        self.order.retain(|&(other, _)| other != log);
    }

    /// Drops the batches of `log` that begin below `end`.
    pub(super) fn forget_below(&mut self, log: LogId, end: Offset) {
        let below = (log, Offset(i64::MIN))..(log, end);
        let gone: alloc::vec::Vec<_> = self.batches.range(below).map(|(&key, _)| key).collect();
        if gone.is_empty() {
            return;
        }
        for key in gone {
            if let Some(recent) = self.batches.remove(&key) {
                self.bytes -= cost(&recent.batch);
            }
        }
        self.order.retain(|&(other, base)| other != log || base >= end);
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
