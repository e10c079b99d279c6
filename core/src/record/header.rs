//! The 61 bytes in front of a batch's records (`DefaultRecordBatch`), big-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | base offset (stamped by the leader; outside the CRC) |
//! | 8..12 | length of what follows this field (outside the CRC) |
//! | 12..16 | partition leader epoch (stamped by the leader; outside the CRC) |
//! | 16 | magic, always 2 (outside the CRC) |
//! | 17..21 | CRC-32C of byte 21 to the batch's end |
//! | 21..23 | attributes |
//! | 23..27 | last offset delta |
//! | 27..35 | base timestamp |
//! | 35..43 | max timestamp |
//! | 43..51 | producer id |
//! | 51..53 | producer epoch |
//! | 53..57 | base sequence |
//! | 57..61 | record count |

use super::codec::Compression;
use super::error::BatchError;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Bytes of a batch's header.
pub const HEADER_LEN: usize = 61;
/// Bytes in front of what the length field counts: the base offset and the length field itself.
pub const LENGTH_OVERHEAD: usize = 12;
/// The format's version. Magic 0 and 1 ended with Kafka 4.0 (KIP-724).
pub const MAGIC: i8 = 2;

/// Where the bytes of a batch begin that its CRC covers.
pub const CRC_COVERS_FROM: usize = 21;

/// Whose clock gave the records their timestamps (`message.timestamp.type`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum TimestampType {
    /// The producer's: each record has its own.
    #[default]
    CreateTime,
    /// The leader's: every record's timestamp is the batch's max timestamp.
    LogAppendTime,
}

/// The flags of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// How the records are compressed; an error for the codec numbers 5 to 7, which nobody has defined.
    pub const fn compression(self) -> Result<Compression, BatchError> {
        let id = (self.0 & Self::CODEC) as u8;
        match Compression::from_id(id) {
            Some(compression) => Ok(compression),
            None => Err(BatchError::UnknownCodec { id }),
        }
    }

    /// Whose clock the timestamps are from.
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds markers of a coordinator rather than records of a client.
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time at which compaction may drop this batch's tombstones (KIP-534).
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// These flags with another codec.
    #[must_use]
    pub const fn with_compression(self, compression: Compression) -> Self {
        Self((self.0 & !Self::CODEC) | compression.id() as i16)
    }

    /// These flags with another timestamp type.
    #[must_use]
    pub const fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        Self(match timestamp_type {
            TimestampType::CreateTime => self.0 & !Self::LOG_APPEND_TIME,
            TimestampType::LogAppendTime => self.0 | Self::LOG_APPEND_TIME,
        })
    }

    /// These flags, marked as part of a transaction.
    #[must_use]
    pub const fn transactional(self) -> Self {
        Self(self.0 | Self::TRANSACTIONAL)
    }

    /// These flags, marked as a coordinator's control batch.
    #[must_use]
    pub const fn control(self) -> Self {
        Self(self.0 | Self::CONTROL)
    }

    /// These flags, saying that the base timestamp is the delete horizon (KIP-534).
    #[must_use]
    pub const fn with_delete_horizon(self) -> Self {
        Self(self.0 | Self::DELETE_HORIZON)
    }

    /// What is left of these flags when no record is (`DefaultRecordBatch.writeEmptyHeader`).
    #[must_use]
    pub const fn emptied(self) -> Self {
        Self(self.0 & (Self::LOG_APPEND_TIME | Self::TRANSACTIONAL | Self::CONTROL))
    }
}

/// A batch's header, decoded. Its fields are what the bytes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    /// The offset of the batch's first record; 0 from a producer.
    pub base_offset: Offset,
    /// Bytes of the batch after the length field.
    pub batch_length: i32,
    /// The epoch of the leader that appended the batch; −1 from a producer.
    pub partition_leader_epoch: LeaderEpoch,
    /// The format's version.
    pub magic: i8,
    /// CRC-32C of the attributes and everything after them.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// The last record's offset less the base offset. Compaction keeps it even when it drops the last record.
    pub last_offset_delta: i32,
    /// The timestamp that the records' deltas add to, in milliseconds.
    pub base_timestamp: Timestamp,
    /// The greatest timestamp of the records, in milliseconds.
    pub max_timestamp: Timestamp,
    /// The idempotent producer that wrote the batch; −1 for none.
    pub producer_id: ProducerId,
    /// That producer's incarnation; −1 for none.
    pub producer_epoch: ProducerEpoch,
    /// The sequence number of the first record; −1 for none.
    pub base_sequence: Sequence,
    /// How many records the batch has.
    pub record_count: i32,
}

/// The `N` bytes at `at`; every caller's range lies inside the header.
const fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    let mut i = 0;
    while i < N {
        field[i] = bytes[at + i];
        i += 1;
    }
    field
}

impl BatchHeader {
    /// Decodes a header, without judging it.
    pub const fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        Self {
            base_offset: Offset(i64::from_be_bytes(field(bytes, 0))),
            batch_length: i32::from_be_bytes(field(bytes, 8)),
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(field(bytes, 12))),
            magic: bytes[16] as i8,
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: Attributes(i16::from_be_bytes(field(bytes, 21))),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: Timestamp(i64::from_be_bytes(field(bytes, 27))),
            max_timestamp: Timestamp(i64::from_be_bytes(field(bytes, 35))),
            producer_id: ProducerId(i64::from_be_bytes(field(bytes, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(bytes, 51))),
            base_sequence: Sequence(i32::from_be_bytes(field(bytes, 53))),
            record_count: i32::from_be_bytes(field(bytes, 57)),
        }
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&self.base_offset.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.partition_leader_epoch.0.to_be_bytes());
        bytes[16..17].copy_from_slice(&self.magic.to_be_bytes());
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.0.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.0.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.0.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.0.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.0.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        bytes
    }

    /// How the records are compressed; an error for an undefined codec.
    pub const fn compression(&self) -> Result<Compression, BatchError> {
        self.attributes.compression()
    }

    /// Whose clock the timestamps are from.
    pub const fn timestamp_type(&self) -> TimestampType {
        self.attributes.timestamp_type()
    }

    /// Whether the batch belongs to a transaction.
    pub const fn is_transactional(&self) -> bool {
        self.attributes.is_transactional()
    }

    /// Whether the batch holds a coordinator's markers.
    pub const fn is_control(&self) -> bool {
        self.attributes.is_control()
    }

    /// Whether an idempotent producer wrote the batch (`DefaultRecordBatch.hasProducerId`).
    pub const fn has_producer_id(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }

    /// The offset of the batch's last record. Saturates, because a rotten header may hold anything.
    pub const fn last_offset(&self) -> Offset {
        self.base_offset.plus(self.last_offset_delta as i64)
    }

    /// The offset after the batch's last record.
    pub const fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// The sequence number of the last record; `None` when the records have none (or the header is rotten).
    pub const fn last_sequence(&self) -> Option<Sequence> {
        if self.base_sequence.0 < 0 || self.last_offset_delta < 0 {
            None
        } else {
            Some(self.base_sequence.plus(self.last_offset_delta))
        }
    }

    /// Bytes of the whole batch, as the length field has it; an error for a length that cannot hold a header.
    pub const fn total_len(&self) -> Result<usize, BatchError> {
        if self.batch_length < (HEADER_LEN - LENGTH_OVERHEAD) as i32 {
            Err(BatchError::LengthTooSmall {
                batch_length: self.batch_length,
            })
        } else {
            Ok(self.batch_length as usize + LENGTH_OVERHEAD)
        }
    }

    /// Refuses every magic but 2: 0 and 1 are old formats, anything else is no format at all.
    pub const fn check_magic(&self) -> Result<(), BatchError> {
        match self.magic {
            MAGIC => Ok(()),
            0 | 1 => Err(BatchError::LegacyMagic { magic: self.magic }),
            magic => Err(BatchError::UnknownMagic { magic }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_header_reads_back_as_its_bytes(bytes in proptest::array::uniform(any::<u8>())) {
            prop_assert_eq!(BatchHeader::parse(&bytes).encode(), bytes);
        }
    }

    #[test]
    fn fields_stand_where_kafka_has_them() {
        let bytes: [u8; HEADER_LEN] = core::array::from_fn(|i| i as u8);
        let header = BatchHeader::parse(&bytes);
        assert_eq!(header.base_offset, Offset(0x0001_0203_0405_0607));
        assert_eq!(header.batch_length, 0x0809_0A0B);
        assert_eq!(header.partition_leader_epoch, LeaderEpoch(0x0C0D_0E0F));
        assert_eq!(header.magic, 0x10);
        assert_eq!(header.crc, 0x1112_1314);
        assert_eq!(header.attributes, Attributes(0x1516));
        assert_eq!(header.last_offset_delta, 0x1718_191A);
        assert_eq!(header.base_timestamp, Timestamp(0x1B1C_1D1E_1F20_2122));
        assert_eq!(header.max_timestamp, Timestamp(0x2324_2526_2728_292A));
        assert_eq!(header.producer_id, ProducerId(0x2B2C_2D2E_2F30_3132));
        assert_eq!(header.producer_epoch, ProducerEpoch(0x3334));
        assert_eq!(header.base_sequence, Sequence(0x3536_3738));
        assert_eq!(header.record_count, 0x393A_3B3C);
    }

    #[test]
    fn attributes_tell_each_flag_from_the_others() {
        let attributes = Attributes(0x3C);
        assert_eq!(attributes.compression(), Ok(Compression::Zstd));
        assert_eq!(attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert!(attributes.is_transactional() && attributes.is_control() && !attributes.has_delete_horizon());
        assert!(Attributes(0x40).has_delete_horizon());
        assert_eq!(Attributes(0x40).transactional().control(), Attributes(0x70));
        assert_eq!(Attributes(0x3C).with_compression(Compression::Gzip), Attributes(0x39));
        assert_eq!(
            Attributes(0x3C).with_timestamp_type(TimestampType::CreateTime),
            Attributes(0x34)
        );
        for id in 5..8 {
            assert_eq!(
                Attributes(id).compression(),
                Err(BatchError::UnknownCodec { id: id as u8 })
            );
        }
    }

    #[test]
    fn sequences_wrap_and_offsets_saturate_at_the_end_of_their_space() {
        let mut header = BatchHeader::parse(&[0; HEADER_LEN]);
        header.base_sequence = Sequence(i32::MAX - 1);
        header.last_offset_delta = 3;
        assert_eq!(header.last_sequence(), Some(Sequence(1)));
        header.base_offset = Offset(i64::MAX - 1);
        assert_eq!(header.next_offset(), Offset(i64::MAX));
        header.base_sequence = Sequence(-1);
        assert_eq!(header.last_sequence(), None);
    }
}
