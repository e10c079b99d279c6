//! What can be wrong with a batch, and which of Kafka's errors its producer gets for it.

use super::codec::CodecError;
use super::header::HEADER_LEN;
use crate::types::{ErrorCode, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
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
    /// A client claims the leader's clock.
    LogAppendTime,
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
    /// A record without a key, on a topic that is compacted by key.
    NullKey {
        /// Which record, from 0.
        index: i32,
    },
    /// A record's timestamp is out of the topic's range.
    TimestampRange {
        /// Which record, from 0; `None` when the header's max timestamp is meant.
        index: Option<i32>,
        /// Its timestamp.
        timestamp: Timestamp,
        /// The earliest that is allowed now.
        earliest: Timestamp,
        /// The latest that is allowed now.
        latest: Timestamp,
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
    /// Kafka's error for this (`ProduceRequest.validateRecords`, `UnifiedLog.analyzeAndValidateRecords`,
    /// `LogValidator`), except where Kafka answers `UNKNOWN_SERVER_ERROR`.
    pub const fn error_code(&self) -> ErrorCode {
        match self {
            Self::LengthTooSmall { .. } | Self::UnknownMagic { .. } | Self::Crc { .. } => ErrorCode::CorruptMessage,
            Self::TooLarge { .. } | Self::Codec(CodecError::TooLarge { .. }) => ErrorCode::MessageTooLarge,
            Self::UnknownCodec { .. } | Self::Codec(CodecError::Unsupported(_)) => {
                ErrorCode::UnsupportedCompressionType
            }
            Self::LogAppendTime | Self::TimestampRange { .. } => ErrorCode::InvalidTimestamp,
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
            | Self::NegativeEpoch { .. }
            | Self::Malformed { .. }
            | Self::OffsetDelta { .. }
            | Self::NullKey { .. }
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
            Self::LogAppendTime => f.write_str("producers may not set the timestamp type LogAppendTime"),
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
            Self::NullKey { index } => write!(f, "record {index} has no key, which a compacted topic needs"),
            Self::TimestampRange {
                index,
                timestamp,
                earliest,
                latest,
            } => outside(f, index, timestamp, (earliest, latest)),
            Self::CountMismatch { declared } => {
                write!(f, "the batch declares {declared} records and contains another number")
            }
            Self::Codec(error) => error.fmt(f),
        }
    }
}

fn outside(
    f: &mut fmt::Formatter<'_>,
    index: Option<i32>,
    timestamp: Timestamp,
    (earliest, latest): (Timestamp, Timestamp),
) -> fmt::Result {
    match index {
        Some(index) => write!(f, "record {index} has the timestamp {}", timestamp.0)?,
        None => write!(f, "the batch has the max timestamp {}", timestamp.0)?,
    }
    write!(f, "; the topic allows {} to {} now", earliest.0, latest.0)
}

impl core::error::Error for BatchError {}

impl From<CodecError> for BatchError {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}
