//! Builds batches: for the metadata log, for our own clients and for tests.

use super::batch::Batch;
use super::codec::{self, Compression, Level};
use super::error::BatchError;
use super::header::{Attributes, BatchHeader, HEADER_LEN, LENGTH_OVERHEAD, MAGIC};
use super::walk::{put_varint, varint_len};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use alloc::vec::Vec;
use bytes::Bytes;

/// A record's header: a key, and a value that may be null.
pub type HeaderRef<'a> = (&'a str, Option<&'a [u8]>);

/// Who writes a batch.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Producer {
    /// Nobody who could be asked again: a batch that is sent twice is there twice.
    #[default]
    Plain,
    /// An idempotent producer.
    Idempotent {
        /// Its id.
        id: ProducerId,
        /// Its incarnation.
        epoch: ProducerEpoch,
        /// The sequence number of the batch's first record.
        base_sequence: Sequence,
    },
}

/// Collects records and makes a batch of them: base offset 0 and no leader epoch, as a producer sends it.
#[derive(Clone, Default, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    level: Level,
    producer: Producer,
    records: Vec<u8>,
    count: usize,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// An empty builder.
    pub fn new(compression: Compression, level: Level, producer: Producer) -> Self {
        Self {
            compression,
            level,
            producer,
            ..Self::default()
        }
    }

    /// Adds a record. Headers keep their order, and may repeat a key.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) -> &mut Self {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let headers = headers.iter().map(|&(key, value)| (key.as_bytes(), value));
        let record = RecordFields {
            timestamp_delta: timestamp.0.wrapping_sub(self.base_timestamp.0),
            offset_delta: self.count as i64,
            key,
            value,
        };
        record.put(headers, &mut self.records);
        self.count += 1;
        self
    }

    /// How many records there are.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the batch as it stands, before compression.
    pub fn uncompressed_len(&self) -> usize {
        HEADER_LEN + self.records.len()
    }

    /// The batch. An error when there is no record, when it would have 2 GiB or more, or when this build lacks the codec.
    pub fn build(self) -> Result<Batch, BatchError> {
        const MAX: usize = i32::MAX as usize - HEADER_LEN;
        if self.count == 0 {
            return Err(BatchError::EmptyBatch { count: 0 });
        }
        if self.records.len() > MAX {
            return Err(BatchError::TooLarge {
                size: self.records.len() + HEADER_LEN,
                max: MAX,
            });
        }
        let (producer_id, producer_epoch, base_sequence) = match self.producer {
            Producer::Plain => (ProducerId::NONE, ProducerEpoch(-1), Sequence(-1)),
            Producer::Idempotent {
                id,
                epoch,
                base_sequence,
            } => (id, epoch, base_sequence),
        };
        let body = codec::compress(self.compression, self.level, &Bytes::from(self.records))?;
        let header = BatchHeader {
            base_offset: Offset::ZERO,
            batch_length: (HEADER_LEN - LENGTH_OVERHEAD) as i32,
            partition_leader_epoch: LeaderEpoch(-1),
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::default().with_compression(self.compression),
            last_offset_delta: self.count as i32 - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            record_count: self.count as i32,
        };
        Ok(Batch::assemble(header, body))
    }
}

/// A record as it is to be written, but for its headers.
pub(super) struct RecordFields<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

impl RecordFields<'_> {
    /// Appends the record with these headers.
    pub(super) fn put<'h>(
        &self,
        headers: impl ExactSizeIterator<Item = (&'h [u8], Option<&'h [u8]>)> + Clone,
        out: &mut Vec<u8>,
    ) {
        let header_bytes: usize = headers
            .clone()
            .map(|(key, value)| nullable_len(Some(key)) + nullable_len(value))
            .sum();
        let length = 1
            + varint_len(self.timestamp_delta)
            + varint_len(self.offset_delta)
            + nullable_len(self.key)
            + nullable_len(self.value)
            + varint_len(headers.len() as i64)
            + header_bytes;
        out.reserve(length + varint_len(length as i64));
        put_varint(out, length as i64);
        out.push(0);
        put_varint(out, self.timestamp_delta);
        put_varint(out, self.offset_delta);
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        put_varint(out, headers.len() as i64);
        for (key, value) in headers {
            put_nullable(out, Some(key));
            put_nullable(out, value);
        }
    }
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_len(bytes.len() as i64) + bytes.len())
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
