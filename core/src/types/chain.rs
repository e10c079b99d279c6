//! What the batches of a range of a log must be like, and how far they were followed. How is in
//! [`record`](crate::record).

use super::{LeaderEpoch, Offset};
use alloc::vec::Vec;

/// Whether offsets may be missing between two batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gaps {
    /// Each batch begins where the one before it ends.
    None,
    /// Compaction may have left some.
    Allowed,
}

/// Where bytes of a range were read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The page cache had them: they are what was written, or what was checked when it came from the device.
    Cache,
    /// The device: bits may have rotted there.
    Device,
}

/// What is known of the CRC of the batch whose body is passing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Check {
    /// Nothing: all of it came from the page cache so far.
    None,
    /// The CRC of what passed, since something of it came from the device.
    Running(u32),
}

/// What a batch must be like, whatever comes before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    pub(crate) gaps: Gaps,
    /// No batch ends behind this.
    pub(crate) end: Offset,
    /// Where leader epochs begin, ascending. Below the first of them they are not known, but not later.
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
}

/// A place in the batches of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cursor {
    /// Bytes from the header that is due to the range's end.
    pub(crate) left: u64,
    /// Bytes in front of that header.
    pub(crate) skip: u64,
    /// The offset that is due.
    pub(crate) next: Offset,
    /// The leader epoch of the batch before.
    pub(crate) epoch: LeaderEpoch,
    /// Where the last header that was admitted begins, at first the range.
    pub(crate) last: (u64, Offset),
    /// How many bytes of the header that is due were seen, and they.
    pub(crate) seen: usize,
    pub(crate) header: [u8; 61],
    /// Of the batch that the header before begins.
    pub(crate) check: Check,
}

/// The headers of the batches in a range of a file: each must be the one that is due behind the one before it. They are
/// what Kafka's CRC leaves out (base offset, length, leader epoch, magic), so nobody but the broker can tell that they
/// rotted. Of batches with bytes that were read from the device, the CRC is checked too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    pub(crate) due: Due,
    /// The byte of the file where the range ends: where a batch does.
    pub(crate) end_position: u64,
    /// Behind what was sent.
    pub(crate) sent: Cursor,
    /// Behind what was looked at since, how many bytes that were, and where they are from.
    pub(crate) ahead: Cursor,
    pub(crate) looked: usize,
    pub(crate) origin: Origin,
}

/// A range holds something else than it must: bytes that were synced are not what they were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The first byte of the batch in its file.
    pub position: u64,
    /// The first offset that the batch may have.
    pub offset: Offset,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a batch that was synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Its header, or that of the batch behind it, is not the one that is due.
    Header,
    /// Its CRC is not that of its bytes.
    Crc,
}
