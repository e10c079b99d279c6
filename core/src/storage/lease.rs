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
    first: u64,
    next: u64,
    end: u64,
}

/// File ids a job gets that may open every file of a log. It has few open at a time: where a log has more files, it uses its
/// ids once more, those first that it closed longest ago.
const MANY: u64 = 1 << 20;
/// File ids a job gets that opens a segment and its checkpoint.
const FEW: u64 = 4;

impl FileIds {
    /// No ids at all.
    pub(crate) const fn none() -> Self {
        Self {
            first: 0,
            next: 0,
            end: 0,
        }
    }

    /// The next id.
    #[allow(clippy::should_implement_trait, reason = "it never ends, unlike an iterator")]
    pub fn next(&mut self) -> FileId {
        if self.next == self.end && self.end - self.first == MANY {
            self.next = self.first;
        }
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
        FileIds {
            first: next,
            next,
            end: self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Allocator, MANY};

    #[test]
    fn a_job_with_more_files_than_ids_uses_them_once_more_and_no_other_job_has_one() {
        let mut ids = Allocator::new(3);
        let (mut one, mut other) = (ids.many(), ids.many());
        let first = one.next();
        for at in 1..2 * MANY + 7 {
            assert_eq!(one.next().0 - first.0, at % MANY);
        }
        let beyond = first.0 + MANY;
        assert_eq!((other.next().0, ids.one().0), (beyond, beyond + MANY));
    }
}
