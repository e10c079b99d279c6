//! What a leader checks before it appends a producer's batch (`ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`).
//!
//! Always, on the owning shard: one batch a partition, its size, its CRC (once), its flags, and that its declared count fits
//! its offsets. Uncompressed records are then walked in place.
//!
//! Compressed records are opened in a job, and only where something depends on what is inside: a compacted topic needs to
//! see the keys, and a bound on the past needs every timestamp. Elsewhere the declared count and the greatest timestamp
//! stay claims, and the bound on the future is held against the claim. Kafka opens every compressed batch.
//!
//! Differences from Kafka, on purpose:
//! - Offset deltas must be the record's place in the batch. Kafka rewrites a compressed batch that breaks this, and does
//!   not look in an uncompressed one.
//! - A producer's claim of `LogAppendTime` is refused whatever the topic wants; Kafka forgets to on some topics.
//! - The delete horizon flag is refused: it would date the tombstones of a client's choice.

use super::batch::{Batch, Restamp, split};
use super::codec::{self, Compression, Level};
use super::error::BatchError;
use super::header::{BatchHeader, TimestampType};
use super::walk::Walk;
use crate::types::{Offset, Timestamp};
use bytes::Bytes;

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

    fn bounds_the_past(&self) -> bool {
        self.timestamp_type == TimestampType::CreateTime && self.before_max_ms < i64::MAX as u64
    }

    fn open_compressed(&self) -> bool {
        self.keys == Keys::Required || self.bounds_the_past()
    }
}

/// What validation came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validation {
    /// The batch may be appended once it is restamped.
    Valid(Restamp),
    /// The header is fine, but the records are compressed and must be looked at: [`validate_opened`], in a job.
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
pub fn validate_produce(batch: &Batch, rules: &ProduceRules) -> Result<Validation, BatchError> {
    let header = batch.header();
    check_size(batch, rules)?;
    batch.check_crc()?;
    let compression = check_header(&header)?;
    match compression {
        Compression::None => check_records(&header, batch.body(), rules).map(Validation::Valid),
        _ if rules.open_compressed() => Ok(Validation::NeedsDecompression),
        _ => check_claims(&header, rules).map(Validation::Valid),
    }
}

/// Opens a batch that [`validate_produce`] let pass so far, checks its records, which may have `bound` bytes at most, and
/// writes them under another codec where `to` names one (`compression.type`): the batch to append, and what to restamp.
/// For a job.
pub fn validate_opened(
    batch: &Batch,
    rules: &ProduceRules,
    bound: usize,
    to: Option<(Compression, Level)>,
) -> Result<(Batch, Restamp), BatchError> {
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
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(BatchError::LogAppendTime);
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

/// Takes a compressed batch by what its header claims.
fn check_claims(header: &BatchHeader, rules: &ProduceRules) -> Result<Restamp, BatchError> {
    if rules.timestamp_type == TimestampType::LogAppendTime {
        return Ok(Restamp::LogAppendTime(rules.now));
    }
    let (earliest, latest) = rules.range();
    if header.max_timestamp > latest {
        return Err(BatchError::TimestampRange {
            index: None,
            timestamp: header.max_timestamp,
            earliest,
            latest,
        });
    }
    Ok(Restamp::Keep)
}

/// Walks uncompressed records. Kafka, too, replaces a wrong claim about the greatest timestamp rather than refuse it.
fn check_records(header: &BatchHeader, records: &[u8], rules: &ProduceRules) -> Result<Restamp, BatchError> {
    let (earliest, latest) = match rules.timestamp_type {
        TimestampType::CreateTime => rules.range(),
        TimestampType::LogAppendTime => (Timestamp(i64::MIN), Timestamp(i64::MAX)),
    };
    let mut max_timestamp = Timestamp::NONE;
    for (index, record) in (0..).zip(Walk::new(records, header.record_count)) {
        let record = record?;
        if record.offset_delta != index {
            return Err(BatchError::OffsetDelta {
                index,
                found: record.offset_delta,
            });
        }
        if record.key.is_none() && rules.keys == Keys::Required {
            return Err(BatchError::NullKey { index });
        }
        let timestamp = Timestamp(header.base_timestamp.0.wrapping_add(record.timestamp_delta));
        if !(earliest..=latest).contains(&timestamp) && timestamp != Timestamp::NONE {
            return Err(BatchError::TimestampRange {
                index: Some(index),
                timestamp,
                earliest,
                latest,
            });
        }
        max_timestamp = max_timestamp.max(timestamp);
    }
    Ok(match rules.timestamp_type {
        TimestampType::LogAppendTime => Restamp::LogAppendTime(rules.now),
        TimestampType::CreateTime if max_timestamp == header.max_timestamp => Restamp::Keep,
        TimestampType::CreateTime => Restamp::MaxTimestamp(max_timestamp),
    })
}

#[cfg(all(test, feature = "std"))]
mod tests;
