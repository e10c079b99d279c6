//! Reads a segment batch by batch.
//!
//! Invariants: every batch that comes out has its CRC and stands where it belongs; no more is held than a chunk and the
//! batch that reaches beyond it; what was read and did not come out leaves the page cache, where nobody would check it.

use crate::log::place::Stem;
use crate::record::{Batch, BatchHeader, HEADER_LEN};
use crate::storage::FileOp;
use crate::types::{FileId, Offset, Timestamp};
use alloc::format;
use alloc::string::String;
use bytes::{Bytes, BytesMut};

/// A segment that is to be read.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct Input {
    pub(in crate::log) stem: Stem,
    /// Where the next segment begins.
    pub(in crate::log) end: Offset,
    pub(in crate::log) size: u64,
    /// The wall clock at its first append.
    pub(in crate::log) began: Timestamp,
}

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;

/// An open segment.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) file: FileId,
    input: Input,
    /// Where the next batch begins, in bytes and in offsets.
    position: u64,
    expected: Offset,
    pending: BytesMut,
    /// The first byte that was not read.
    read_to: u64,
}

impl Reader {
    pub(super) fn new(file: FileId, input: Input) -> Self {
        Self {
            file,
            input,
            position: 0,
            expected: input.stem.base,
            pending: BytesMut::new(),
            read_to: 0,
        }
    }

    /// Has what was read and did not come out leave the page cache; `None` where there is nothing of it, or no more.
    pub(super) fn forget(&mut self) -> Option<FileOp> {
        let (file, position) = (self.file, self.position);
        let length = core::mem::take(&mut self.read_to).saturating_sub(position);
        (length > 0).then_some(FileOp::Forget { file, position, length })
    }

    /// What to read next; `None` at the end.
    pub(super) fn next_read(&self) -> Option<FileOp> {
        let position = self.position + self.pending.len() as u64;
        let left = self.input.size - position;
        (left > 0).then_some(FileOp::Read {
            file: self.file,
            position,
            length: left.min(CHUNK) as u32,
        })
    }

    /// Takes what was read; says what is wrong if that was nothing.
    pub(super) fn take(&mut self, bytes: &Bytes) -> Result<(), String> {
        if bytes.is_empty() {
            return Err(self.wrong("the segment is shorter than it was"));
        }
        self.pending.extend_from_slice(bytes);
        self.read_to = self.position + self.pending.len() as u64;
        Ok(())
    }

    /// The next batch, if what was read holds all of it.
    pub(super) fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        let Some(header) = self.pending.first_chunk::<HEADER_LEN>() else {
            return self.nothing_more();
        };
        let header = BatchHeader::parse(header);
        let length = header.check_magic().and_then(|()| header.total_len());
        let length = length.map_err(|error| self.wrong(&format!("{error}")))?;
        if self.position + length as u64 > self.input.size {
            return Err(self.wrong("a batch reaches beyond the end"));
        }
        if length > self.pending.len() {
            return self.nothing_more();
        }
        let gap = header.base_offset.since(self.expected);
        let follows = gap == 0 || (gap > 0 && self.input.stem.cleaning.is_some());
        if !follows || header.last_offset_delta < 0 || header.next_offset() > self.input.end {
            return Err(self.wrong("the batch is not one that belongs here"));
        }
        let whole = self.pending.split_to(length).freeze();
        let batch = Batch::parse(&whole).and_then(|batch| batch.check_crc().map(|()| batch));
        let batch = batch.map_err(|error| self.wrong(&format!("{error}")))?;
        self.position += length as u64;
        self.expected = header.next_offset();
        Ok(Some(batch))
    }

    fn nothing_more(&self) -> Result<Option<Batch>, String> {
        match self.next_read() {
            None if !self.pending.is_empty() => Err(self.wrong("the segment ends inside a batch")),
            _ => Ok(None),
        }
    }

    /// What is wrong, and where.
    pub(super) fn wrong(&self, what: &str) -> String {
        format!("{}.log, byte {}: {what}", self.input.stem, self.position)
    }
}
