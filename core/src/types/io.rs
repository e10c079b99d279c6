//! Bytes on their way out: in memory, or still in a file.

use super::{Chain, ShardId};
use alloc::boxed::Box;
use bytes::Bytes;

/// A file as the core knows it. Never reused within a process, so that a late completion cannot meet another file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub u64);

impl FileId {
    /// The shard that gave the id, and whose storage knows the file.
    pub const fn shard(self) -> ShardId {
        ShardId((self.0 >> 48) as u16)
    }
}

/// A range of a file whose bytes will not change while its lease lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileRange {
    /// The file.
    pub file: FileId,
    /// Where the range starts, in bytes from the file's start.
    pub position: u64,
    /// How many bytes it has; never 0.
    pub length: u32,
}

/// One part of a response, sent in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Bytes in memory.
    Inline(Bytes),
    /// Bytes of a file, read by the driver as they are sent.
    Range(FileRange, Content),
}

/// What the bytes of a range have to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Anything: nobody looks at it.
    Opaque,
    /// Batches of a log. Whoever sends them shows them to the chain first, and sends none that it does not admit.
    Batches(Box<Chain>),
}

impl Part {
    /// How many bytes this part puts on the wire.
    pub fn len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Range(range, _) => range.length as usize,
        }
    }

    /// Whether this part puts nothing on the wire.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many bytes `parts` put on the wire together.
pub fn parts_len(parts: &[Part]) -> usize {
    parts.iter().map(Part::len).sum()
}
