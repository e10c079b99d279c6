//! What can be wrong with a batch, and which of Kafka's errors its producer gets for it.

use super::codec::CodecError;
use super::header::HEADER_LEN;
use crate::types::{ErrorCode, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use alloc::vec::Vec;
use core::fmt;

/// Why a batch was refused. `Display` says what was found and what is allowed; [`error_code`](Self::error_code) is
/// Kafka's answer to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchError {
    /// There is no batch at all.
    Missing,
    /// There is more than one batch for a partition.
    MoreThanOne,
    /// The bytes end before the batch does.
    Truncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes that the batch takes, as far as it is known.
        need: usize,
    },
    /// The length field cannot even hold the header.
    LengthTooSmall {
        /// What it says.
        batch_length: i32,
    },
    /// A format of before Kafka 0.11.
    LegacyMagic {
        /// 0 or 1.
        magic: i8,
    },
    /// No known format.
    UnknownMagic {
        /// The magic byte.
        magic: i8,
    },
    /// The bytes are not those that the CRC was computed for.
    Crc {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// Larger than the topic allows.
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// `max.message.bytes`.
        max: usize,
    },
    /// A codec number that nobody has defined.
    UnknownCodec {
        /// The number.
        id: u8,
    },
    /// A producer chose its own offsets.
    BaseOffset {
        /// The base offset.
        base_offset: Offset,
    },
    /// The declared count is not positive.
    EmptyBatch {
        /// The declared count.
        count: i32,
    },
    /// The declared count and the last offset delta contradict each other.
    OffsetRange {
        /// The declared count.
        count: i32,
        /// The last offset delta, which must be one less.
        last_offset_delta: i32,
    },
    /// A client wrote a control batch.
    Control,
    /// A client set the delete horizon, which is compaction's.
    DeleteHorizon,
    /// A producer id without a sequence number.
    BaseSequence {
        /// The producer.
        producer_id: ProducerId,
        /// The sequence number, which must not be negative.
        base_sequence: Sequence,
    },
    /// A producer id without an epoch.
    NegativeEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch, which must not be negative.
        producer_epoch: ProducerEpoch,
    },
    /// A record cannot be read.
    Malformed {
        /// Which record, from 0.
        index: i32,
        /// What is wrong with it.
        defect: RecordDefect,
    },
    /// A record's offset delta is not its place in the batch.
    OffsetDelta {
        /// Which record, from 0; its offset delta must be the same.
        index: i32,
        /// Its offset delta.
        found: i32,
    },
    /// Bytes are left over after the declared number of records, or missing before it.
    CountMismatch {
        /// The declared count.
        declared: i32,
    },
    /// The records could not be decompressed.
    Codec(CodecError),
}

/// What makes a record unreadable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordDefect {
    /// The records end inside it.
    Truncated,
    /// A variable-length integer goes on past its greatest length.
    Varint,
    /// A negative length where there is no null.
    NegativeLength,
    /// It claims to be longer than what is left of the records.
    LengthBeyondEnd,
    /// A key, value or header reaches past the end of its record.
    FieldBeyondRecord,
    /// Its fields end before its declared length does.
    TrailingBytes,
    /// More headers than its bytes could hold.
    HeaderCount,
}

impl RecordDefect {
    const fn text(self) -> &'static str {
        match self {
            Self::Truncated => "the records end inside it",
            Self::Varint => "a variable-length integer in it does not end",
            Self::NegativeLength => "a length in it is negative",
            Self::LengthBeyondEnd => "its length reaches past the end of the batch",
            Self::FieldBeyondRecord => "a field reaches past the end of the record",
            Self::TrailingBytes => "its fields end before its length does",
            Self::HeaderCount => "it declares more headers than its bytes could hold",
        }
    }
}

impl BatchError {
    /// Whether the request alone says so, before any log is looked at (`ProduceRequest.validateRecords`).
    pub const fn is_of_request(&self) -> bool {
        matches!(
            self,
            Self::Missing
                | Self::MoreThanOne
                | Self::Truncated { .. }
                | Self::LegacyMagic { .. }
                | Self::UnknownMagic { .. }
        )
    }

    /// Kafka's error for this (`ProduceRequest.validateRecords`, `UnifiedLog.analyzeAndValidateRecords`,
    /// `LogValidator`), except where Kafka answers `UNKNOWN_SERVER_ERROR`.
    pub const fn error_code(&self) -> ErrorCode {
        match self {
            Self::LengthTooSmall { .. } | Self::UnknownMagic { .. } | Self::Crc { .. } => ErrorCode::CorruptMessage,
            Self::TooLarge { .. } | Self::Codec(CodecError::TooLarge { .. }) => ErrorCode::MessageTooLarge,
            Self::UnknownCodec { .. } | Self::Codec(CodecError::Unsupported(_)) => {
                ErrorCode::UnsupportedCompressionType
            }
            // Below whatever epoch the producer has (`ProducerAppendInfo.checkProducerEpoch`).
            Self::NegativeEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            // Undecodable bytes under a right CRC stay undecodable when they are sent again, so this is not
            // CORRUPT_MESSAGE, which clients retry.
            Self::Missing
            | Self::MoreThanOne
            | Self::Truncated { .. }
            | Self::LegacyMagic { .. }
            | Self::BaseOffset { .. }
            | Self::EmptyBatch { .. }
            | Self::OffsetRange { .. }
            | Self::Control
            | Self::DeleteHorizon
            | Self::BaseSequence { .. }
            | Self::Malformed { .. }
            | Self::OffsetDelta { .. }
            | Self::CountMismatch { .. }
            | Self::Codec(CodecError::Corrupt(_)) => ErrorCode::InvalidRecord,
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missing => f.write_str("there is no record batch; exactly one is needed for each partition"),
            Self::MoreThanOne => f.write_str("there is more than one record batch for the partition; one is allowed"),
            Self::Truncated { have, need } => {
                write!(f, "the record batch is cut off: {have} bytes of at least {need}")
            }
            Self::LengthTooSmall { batch_length } => write!(
                f,
                "the batch length {batch_length} is below {}, which the header alone takes",
                HEADER_LEN - super::LENGTH_OVERHEAD
            ),
            Self::LegacyMagic { magic } => write!(f, "message format v{magic} is not supported; v2 is needed"),
            Self::UnknownMagic { magic } => write!(f, "magic {magic} is no message format; 2 is needed"),
            Self::Crc { stored, computed } => write!(
                f,
                "the batch's CRC is {stored:#010x}, and its bytes give {computed:#010x}"
            ),
            Self::TooLarge { size, max } => {
                write!(f, "the batch has {size} bytes, above max.message.bytes, which is {max}")
            }
            Self::UnknownCodec { id } => write!(f, "compression codec {id} does not exist; 0 to 4 are allowed"),
            Self::BaseOffset { base_offset } => write!(f, "the base offset is {base_offset}; producers send 0"),
            Self::EmptyBatch { count } => write!(f, "the batch declares {count} records; at least 1 is needed"),
            Self::OffsetRange {
                count,
                last_offset_delta,
            } => {
                write!(
                    f,
                    "the batch declares {count} records but a last offset delta of {last_offset_delta}"
                )
            }
            Self::Control => f.write_str("clients may not write control batches"),
            Self::DeleteHorizon => f.write_str("clients may not set a batch's delete horizon"),
            Self::BaseSequence {
                producer_id,
                base_sequence,
            } => {
                write!(
                    f,
                    "producer {producer_id} sent the sequence number {}; 0 or more is needed",
                    base_sequence.0
                )
            }
            Self::NegativeEpoch {
                producer_id,
                producer_epoch,
            } => {
                write!(
                    f,
                    "producer {producer_id} sent the epoch {producer_epoch}; 0 or more is needed"
                )
            }
            Self::Malformed { index, defect } => write!(f, "record {index} is malformed: {}", defect.text()),
            Self::OffsetDelta { index, found } => write!(f, "record {index} has the offset delta {found}"),
            Self::CountMismatch { declared } => {
                write!(f, "the batch declares {declared} records and contains another number")
            }
            Self::Codec(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BatchError {}

impl From<CodecError> for BatchError {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

/// A record that its topic does not take, in a batch that is sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordError {
    /// Which record, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub fault: RecordFault,
}

/// Why a topic does not take a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordFault {
    /// It has no key, and the topic is compacted by key.
    NullKey,
    /// Its batch claims the leader's clock.
    LogAppendTime,
    /// Its timestamp is out of the topic's range.
    Timestamp {
        /// Its timestamp.
        timestamp: Timestamp,
        /// The earliest that is allowed now.
        earliest: Timestamp,
        /// The latest that is allowed now.
        latest: Timestamp,
    },
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NullKey => f.write_str("The record has no key, which a compacted topic needs."),
            Self::LogAppendTime => f.write_str("Producers may not set the timestamp type LogAppendTime."),
            Self::Timestamp {
                timestamp,
                earliest,
                latest,
            } => write!(
                f,
                "The record has the timestamp {}; the topic allows {} to {} now.",
                timestamp.0, earliest.0, latest.0
            ),
        }
    }
}

/// Why a producer's batch is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// The batch cannot be taken from anybody.
    Batch(BatchError),
    /// Some of its records cannot be taken by this topic; the first of them, at least one, by ascending index.
    Records(Vec<RecordError>),
}

impl Rejection {
    /// Kafka's error for this: one bad timestamp decides for all (`LogValidator.processRecordErrors`).
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::Batch(error) => error.error_code(),
            Self::Records(records) => {
                let in_time = |record: &RecordError| record.fault == RecordFault::NullKey;
                if records.iter().all(in_time) {
                    ErrorCode::InvalidRecord
                } else {
                    ErrorCode::InvalidTimestamp
                }
            }
        }
    }

    /// As [`BatchError::is_of_request`].
    pub const fn is_of_request(&self) -> bool {
        match self {
            Self::Batch(error) => error.is_of_request(),
            Self::Records(_) => false,
        }
    }

    /// The records at fault, by ascending index; the first of them, where there are many.
    pub fn records(&self) -> &[RecordError] {
        match self {
            Self::Batch(_) => &[],
            Self::Records(records) => records,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Records(records) => {
                f.write_str("The topic does not take records of this batch.")?;
                let mut first = records.iter().take(3);
                first.try_for_each(|record| write!(f, " Record {}: {}", record.index, record.fault))
            }
        }
    }
}

impl core::error::Error for Rejection {}

impl From<BatchError> for Rejection {
    fn from(error: BatchError) -> Self {
        Self::Batch(error)
    }
}

impl From<CodecError> for Rejection {
    fn from(error: CodecError) -> Self {
        Self::Batch(error.into())
    }
}
