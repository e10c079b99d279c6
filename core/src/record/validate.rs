//! What a leader checks before it appends a producer's batch (`ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`).
//!
//! First what can be told in place: one batch a partition, its size, its CRC (once), its flags, and that its declared count
//! fits its offsets. Then every record: uncompressed ones in place, compressed ones once they are opened, within a bound.
//! So whatever is stored holds as many records as it declares, and has the greatest timestamp that it says.
//!
//! Differences from Kafka, on purpose:
//! - Offset deltas must be the record's place in the batch. Kafka rewrites a compressed batch that breaks this, and does
//!   not look in an uncompressed one.
//! - A producer's claim of `LogAppendTime` is refused whatever the topic wants; Kafka forgets to on some topics.
//! - The delete horizon flag is refused: it would date the tombstones of a client's choice.

use super::batch::{Batch, Restamp, split};
use super::codec::{self, Compression, Level};
use super::error::{BatchError, RecordError, RecordFault, Rejection};
use super::header::{BatchHeader, TimestampType};
use super::walk::Walk;
use crate::types::{Offset, Timestamp};
use alloc::vec::Vec;
use bytes::Bytes;

/// How many records of a batch are named at most when they are refused. Kafka names all; a producer is told of the others
/// that they were in the same batch.
const NAMED_RECORDS: usize = 1000;

/// Whether records must have keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// They may be null.
    Optional,
    /// The topic is compacted by key (`cleanup.policy` has `compact`).
    Required,
}

/// What a topic allows at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProduceRules {
    /// `max.message.bytes`: the largest batch, as it is on the wire.
    pub max_message_bytes: usize,
    /// Whether records must have keys.
    pub keys: Keys,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// The wall clock.
    pub now: Timestamp,
    /// `message.timestamp.before.max.ms`: how far back of `now` a timestamp may lie.
    pub before_max_ms: u64,
    /// `message.timestamp.after.max.ms`: how far ahead of `now` a timestamp may lie.
    pub after_max_ms: u64,
}

impl ProduceRules {
    /// The earliest and the latest timestamp that are allowed.
    fn range(&self) -> (Timestamp, Timestamp) {
        let earliest = i64::try_from(self.before_max_ms).map_or(i64::MIN, |before| self.now.0.saturating_sub(before));
        (
            Timestamp(earliest),
            Timestamp(self.now.0.saturating_add_unsigned(self.after_max_ms)),
        )
    }
}

/// What validation came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validation {
    /// The batch may be appended once it is restamped.
    Valid(Restamp),
    /// The header is fine, but the records are compressed and must be looked at: [`validate_opened`].
    NeedsDecompression,
}

/// The one batch of a producer's records field.
pub fn single_batch(records: &Bytes) -> Result<Batch, BatchError> {
    let mut batches = split(records);
    let batch = batches.next().ok_or(BatchError::Missing)??;
    match batches.next() {
        None => Ok(batch),
        Some(Ok(_)) => Err(BatchError::MoreThanOne),
        Some(Err(error)) => Err(error),
    }
}

/// Checks a producer's batch as far as that can be done in place.
pub fn validate_produce(batch: &Batch, rules: &ProduceRules) -> Result<Validation, Rejection> {
    let header = batch.header();
    check_size(batch, rules)?;
    batch.check_crc()?;
    match check_header(&header)? {
        Compression::None => check_records(&header, batch.body(), rules).map(Validation::Valid),
        _ => Ok(Validation::NeedsDecompression),
    }
}

/// Opens a batch that [`validate_produce`] let pass so far, checks its records, which may have `bound` bytes at most, and
/// writes them under another codec where `to` names one (`compression.type`): the batch to append, and what to restamp.
pub fn validate_opened(
    batch: &Batch,
    rules: &ProduceRules,
    bound: usize,
    to: Option<(Compression, Level)>,
) -> Result<(Batch, Restamp), Rejection> {
    let mut header = batch.header();
    let records = codec::decompress(header.compression()?, batch.body(), bound)?;
    let restamp = check_records(&header, &records, rules)?;
    let Some((to, level)) = to else {
        return Ok((batch.clone(), restamp));
    };
    header.attributes = header.attributes.with_compression(to);
    let recoded = Batch::assemble(header, codec::compress(to, level, &records)?);
    // Kafka, too, looks at the size once more after it compressed anew (`UnifiedLog.append`).
    check_size(&recoded, rules)?;
    Ok((recoded, restamp))
}

fn check_size(batch: &Batch, rules: &ProduceRules) -> Result<(), BatchError> {
    let (size, max) = (batch.len(), rules.max_message_bytes);
    if size > max {
        return Err(BatchError::TooLarge { size, max });
    }
    Ok(())
}

/// What a client's header may say; answers its codec.
fn check_header(header: &BatchHeader) -> Result<Compression, BatchError> {
    let compression = header.compression()?;
    if header.base_offset != Offset::ZERO {
        return Err(BatchError::BaseOffset {
            base_offset: header.base_offset,
        });
    }
    if header.record_count <= 0 {
        return Err(BatchError::EmptyBatch {
            count: header.record_count,
        });
    }
    if header.last_offset_delta != header.record_count - 1 {
        return Err(BatchError::OffsetRange {
            count: header.record_count,
            last_offset_delta: header.last_offset_delta,
        });
    }
    if header.is_control() {
        return Err(BatchError::Control);
    }
    if header.attributes.has_delete_horizon() {
        return Err(BatchError::DeleteHorizon);
    }
    if header.has_producer_id() {
        let BatchHeader {
            producer_id,
            producer_epoch,
            base_sequence,
            ..
        } = *header;
        if base_sequence.0 < 0 {
            return Err(BatchError::BaseSequence {
                producer_id,
                base_sequence,
            });
        }
        if producer_epoch.0 < 0 {
            return Err(BatchError::NegativeEpoch {
                producer_id,
                producer_epoch,
            });
        }
    }
    Ok(compression)
}

/// Walks uncompressed records. Kafka, too, replaces a wrong claim about the greatest timestamp rather than refuse it.
fn check_records(header: &BatchHeader, records: &[u8], rules: &ProduceRules) -> Result<Restamp, Rejection> {
    let (earliest, latest) = match rules.timestamp_type {
        TimestampType::CreateTime => rules.range(),
        TimestampType::LogAppendTime => (Timestamp(i64::MIN), Timestamp(i64::MAX)),
    };
    let mut max_timestamp = Timestamp::NONE;
    let mut at_fault = Vec::new();
    for (index, record) in (0..).zip(Walk::new(records, header.record_count)) {
        let record = record?;
        if record.offset_delta != index {
            let found = record.offset_delta;
            return Err(BatchError::OffsetDelta { index, found }.into());
        }
        let timestamp = Timestamp(header.base_timestamp.0.wrapping_add(record.timestamp_delta));
        max_timestamp = max_timestamp.max(timestamp);
        let fault = if record.key.is_none() && rules.keys == Keys::Required {
            RecordFault::NullKey
        } else if header.timestamp_type() == TimestampType::LogAppendTime {
            RecordFault::LogAppendTime
        } else if (earliest..=latest).contains(&timestamp) || timestamp == Timestamp::NONE {
            continue;
        } else {
            RecordFault::Timestamp {
                timestamp,
                earliest,
                latest,
            }
        };
        if at_fault.len() < NAMED_RECORDS {
            at_fault.push(RecordError { index, fault });
        }
    }
    if !at_fault.is_empty() {
        return Err(Rejection::Records(at_fault));
    }
    Ok(match rules.timestamp_type {
        TimestampType::LogAppendTime => Restamp::LogAppendTime(rules.now),
        TimestampType::CreateTime if max_timestamp == header.max_timestamp => Restamp::Keep,
        TimestampType::CreateTime => Restamp::MaxTimestamp(max_timestamp),
    })
}

#[cfg(all(test, feature = "std"))]
mod tests;
