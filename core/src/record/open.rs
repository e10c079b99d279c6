//! A batch whose records can be read: decompressed, if it had to be.

use super::batch::Batch;
use super::codec;
use super::error::BatchError;
use super::header::{BatchHeader, TimestampType};
use super::walk::{Record, Walk};
use crate::types::{Offset, Timestamp};
use bytes::Bytes;

/// A batch's header and its uncompressed records.
#[derive(Clone, Debug)]
pub struct Opened {
    header: BatchHeader,
    records: Bytes,
}

impl Batch {
    /// Makes the records readable: without a copy where they are not compressed. They may have `bound` bytes at most.
    pub fn open(&self, bound: usize) -> Result<Opened, BatchError> {
        let header = self.header();
        let records = codec::decompress(header.compression()?, self.body(), bound)?;
        Ok(Opened { header, records })
    }
}

impl Opened {
    /// The batch's header.
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records' bytes, uncompressed.
    pub const fn bytes(&self) -> &Bytes {
        &self.records
    }

    /// The records, in order. Yields an error where they are not what the header declares, and ends there.
    pub fn records(&self) -> Walk<'_> {
        Walk::new(&self.records, self.header.record_count)
    }

    /// Where `record` stands in its partition.
    pub const fn offset(&self, record: &Record<'_>) -> Offset {
        self.header.base_offset.plus(record.offset_delta as i64)
    }

    /// The timestamp of `record`: its own, or the leader's for the whole batch.
    pub const fn timestamp(&self, record: &Record<'_>) -> Timestamp {
        match self.header.timestamp_type() {
            TimestampType::CreateTime => Timestamp(self.header.base_timestamp.0.wrapping_add(record.timestamp_delta)),
            TimestampType::LogAppendTime => self.header.max_timestamp,
        }
    }
}
