//! Sparse indexes of segments, and a bounded cache of those that are not being appended to.
//!
//! Invariants:
//! - entries ascend in offset and in position, strictly;
//! - the implied first entry, the segment's own start, is never stored;
//! - an index has at most [`Index::MAX_ENTRIES`] entries: beyond, every second one goes.

use crate::bugs::bug;
use crate::types::{FileId, Timestamp};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Where a batch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// The batch's base offset, relative to the segment's.
    pub relative: u32,
    /// Its first byte in the segment.
    pub position: u32,
    /// The greatest timestamp of all batches before it.
    pub max_before: Timestamp,
}

/// A sparse index: every entry is the start of a batch.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Index {
    entries: Vec<IndexEntry>,
}

impl Index {
    /// The most entries an index has: 4 MiB of them.
    pub const MAX_ENTRIES: usize = 1 << 18;

    /// The start of the segment: the entry that needs no storing.
    pub const START: IndexEntry = IndexEntry {
        relative: 0,
        position: 0,
        max_before: Timestamp(i64::MIN),
    };

    /// An index of `entries`; `None` unless they ascend and none is the segment's start.
    pub fn of(entries: Vec<IndexEntry>) -> Option<Self> {
        let ascend = entries
            .windows(2)
            .all(|pair| pair[0].relative < pair[1].relative && pair[0].position < pair[1].position);
        let start = entries
            .first()
            .is_some_and(|first| first.position == 0 || first.relative == 0);
        (ascend && !start && entries.len() <= Self::MAX_ENTRIES).then_some(Self { entries })
    }

    /// The entries, ascending.
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Adds an entry behind the others.
    pub fn push(&mut self, entry: IndexEntry) {
        let last = self.entries.last().copied().unwrap_or(Self::START);
        let ascends = entry.relative > last.relative && entry.position > last.position;
        if bug!(KeepIndexPastTail) && !ascends {
            return;
        }
        assert!(ascends, "index entries ascend");
        if self.entries.len() == Self::MAX_ENTRIES {
            let mut keep = false;
            self.entries.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.entries.push(entry);
    }

    /// The last entry at or before the relative offset.
    pub fn floor(&self, relative: u32) -> IndexEntry {
        self.before(self.entries.partition_point(|entry| entry.relative <= relative))
    }

    /// The last entry before which no batch has a timestamp of `timestamp` or later.
    pub fn floor_by_time(&self, timestamp: Timestamp) -> IndexEntry {
        self.before(self.entries.partition_point(|entry| entry.max_before < timestamp))
    }

    /// The last entry at or before both bounds.
    pub fn floor_within(&self, relative: u32, position: u32) -> IndexEntry {
        let within = |entry: &IndexEntry| entry.relative <= relative && entry.position <= position;
        self.before(self.entries.partition_point(within))
    }

    fn before(&self, place: usize) -> IndexEntry {
        place.checked_sub(1).map_or(Self::START, |place| self.entries[place])
    }

    /// Drops the entries at or behind `position`.
    pub fn truncate(&mut self, position: u64) {
        let kept = self
            .entries
            .partition_point(|entry| u64::from(entry.position) < position);
        self.entries.truncate(kept);
    }

    /// Bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<IndexEntry>() + 64
    }
}

/// Indexes of sealed segments, the least recently used dropped first.
#[derive(Debug)]
pub(super) struct IndexCache {
    indexes: BTreeMap<FileId, (u64, Arc<Index>)>,
    order: BTreeMap<u64, FileId>,
    stamp: u64,
    bytes: usize,
    limit: usize,
}

impl IndexCache {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            indexes: BTreeMap::new(),
            order: BTreeMap::new(),
            stamp: 0,
            bytes: 0,
            limit,
        }
    }

    pub(super) fn get(&mut self, file: FileId) -> Option<Arc<Index>> {
        let (stamp, index) = self.indexes.get_mut(&file)?;
        self.order.remove(stamp);
        self.stamp += 1;
        *stamp = self.stamp;
        self.order.insert(self.stamp, file);
        Some(index.clone())
    }

    /// Adds an index. The newest stays even if it alone is over the limit: somebody is about to read with it.
    pub(super) fn add(&mut self, file: FileId, index: Arc<Index>) {
        self.remove(file);
        self.bytes += index.bytes();
        self.stamp += 1;
        self.indexes.insert(file, (self.stamp, index));
        self.order.insert(self.stamp, file);
        while self.bytes > self.limit && self.indexes.len() > 1 {
            let (_, oldest) = self.order.pop_first().expect("as many as indexes");
            self.forget(oldest);
        }
    }

    fn forget(&mut self, file: FileId) -> Option<u64> {
        let (stamp, index) = self.indexes.remove(&file)?;
        self.bytes -= index.bytes();
        Some(stamp)
    }

    pub(super) fn remove(&mut self, file: FileId) {
        if let Some(stamp) = self.forget(file) {
            self.order.remove(&stamp);
        }
    }
}
