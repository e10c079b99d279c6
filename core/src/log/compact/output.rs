//! The segment that is being written.

use crate::log::place::{LogPlace, Stem};
use crate::log::segment::Segment;
use crate::record::Batch;
use crate::storage::{FileOp, FilePath, OpenMode, Piece};
use crate::types::{FileId, Timestamp};
use alloc::vec::Vec;

/// Bytes written at once; a batch may make it more.
const CHUNK: usize = 1 << 20;

/// A file that becomes a cleaned segment, and what is known of it so far.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) file: FileId,
    pub(super) stem: Stem,
    pub(super) temporary: FilePath,
    pub(super) segment: Segment,
    pub(super) began: Timestamp,
    pieces: Vec<Piece>,
    pending: usize,
    written: u64,
    interval: u32,
}

impl Output {
    pub(super) fn new(place: &LogPlace, stem: Stem, began: Timestamp, file: FileId, interval: u32) -> Self {
        let mut segment = Segment::planned(stem.base, file);
        segment.cleaning = stem.cleaning;
        Self {
            file,
            stem,
            temporary: place.temporary_segment(stem, file.0),
            segment,
            began,
            pieces: Vec::new(),
            pending: 0,
            written: 0,
            interval,
        }
    }

    pub(super) fn create(&self) -> FileOp {
        FileOp::Open {
            file: self.file,
            path: self.temporary.clone(),
            mode: OpenMode::CreateOrEmpty,
        }
    }

    /// Adds a batch behind the others.
    pub(super) fn add(&mut self, batch: &Batch) {
        self.segment.add(&batch.header(), batch.len() as u64, self.interval);
        self.pieces.push(Piece::Header(*batch.header_bytes()));
        self.pieces.push(Piece::Body(batch.body().clone()));
        self.pending += batch.len();
    }

    /// Whether enough was added to be written.
    pub(super) const fn is_full(&self) -> bool {
        self.pending >= CHUNK
    }

    /// Writes what was added since the last write; `None` if nothing was.
    pub(super) fn write(&mut self) -> Option<FileOp> {
        if self.pieces.is_empty() {
            return None;
        }
        let position = self.written;
        self.written += core::mem::take(&mut self.pending) as u64;
        Some(FileOp::Write {
            file: self.file,
            position,
            pieces: core::mem::take(&mut self.pieces),
        })
    }
}
