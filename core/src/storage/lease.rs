//! Leases and file ids.

use crate::types::FileId;

/// Holds a file: neither removed nor closed until the lease is [released](super::Storage::release). It does not release
/// itself, because a machine cannot reach storage when it is dropped; the shard counts, and asserts at its end.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a lease that is dropped is never released"]
pub struct Lease {
    pub(super) file: FileId,
}

impl Lease {
    /// The file it holds.
    pub const fn file(&self) -> FileId {
        self.file
    }
}

/// File ids for a job, which opens files of its own: no other file of the process has one of them.
#[derive(Debug)]
pub struct FileIds {
    next: u64,
    end: u64,
}

/// File ids a job gets that may open every file of a log.
const MANY: u64 = 1 << 20;
/// File ids a job gets that opens a segment and its checkpoint.
const FEW: u64 = 4;

impl FileIds {
    /// No ids at all.
    pub(crate) const fn none() -> Self {
        Self { next: 0, end: 0 }
    }

    /// The next id.
    #[allow(clippy::should_implement_trait, reason = "it never ends, unlike an iterator")]
    pub fn next(&mut self) -> FileId {
        assert!(self.next < self.end, "a job opened more files than it has ids for");
        self.next += 1;
        FileId(self.next - 1)
    }
}

/// Hands out file ids: the shard in the high 16 bits, a counter below.
#[derive(Debug)]
pub(super) struct Allocator {
    next: u64,
}

impl Allocator {
    pub(super) fn new(shard: u16) -> Self {
        Self {
            next: u64::from(shard) << 48,
        }
    }

    pub(super) fn one(&mut self) -> FileId {
        self.next += 1;
        FileId(self.next - 1)
    }

    pub(super) fn many(&mut self) -> FileIds {
        self.take(MANY)
    }

    pub(super) fn few(&mut self) -> FileIds {
        self.take(FEW)
    }

    fn take(&mut self, count: u64) -> FileIds {
        let next = self.next;
        self.next += count;
        FileIds { next, end: self.next }
    }
}
