//! A batch as it travels: its header copied out, its records still in the bytes they came in.

use super::crc;
use super::error::BatchError;
use super::header::{BatchHeader, CRC_COVERS_FROM, HEADER_LEN, LENGTH_OVERHEAD, TimestampType};
use crate::types::{LeaderEpoch, Offset, Timestamp};
use alloc::vec::Vec;
use bytes::Bytes;

/// One batch: a header of its own, which can be stamped, and the records' bytes, shared with whatever they came in.
///
/// Invariant: magic is 2, and the length field counts exactly the header's rest and the body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    header: [u8; HEADER_LEN],
    body: Bytes,
}

/// What a leader must change in a batch before it appends it. Each change but `Keep` computes the CRC anew, so it may
/// only follow a check of the old one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a batch whose timestamps are not restamped is indexed under what its producer claimed"]
pub enum Restamp {
    /// Nothing: the header already says the truth.
    Keep,
    /// The producer's claim about its greatest timestamp was wrong; this is the real one.
    MaxTimestamp(Timestamp),
    /// The topic wants the leader's clock.
    LogAppendTime(Timestamp),
}

impl Batch {
    /// The batch at the start of `bytes`, and how many bytes it takes. The body is a slice, not a copy.
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(Self::too_short(bytes));
        };
        let parsed = BatchHeader::parse(header);
        parsed.check_magic()?;
        let total = parsed.total_len()?;
        if total > bytes.len() {
            return Err(BatchError::Truncated {
                have: bytes.len(),
                need: total,
            });
        }
        Ok(Self {
            header: *header,
            body: bytes.slice(HEADER_LEN..total),
        })
    }

    /// What is wrong with `bytes` that cannot hold a header: an old format's batches are shorter, and deserve their own
    /// error.
    fn too_short(bytes: &[u8]) -> BatchError {
        match bytes.get(16) {
            Some(&magic @ (0 | 1)) => BatchError::LegacyMagic { magic: magic as i8 },
            _ => BatchError::Truncated {
                have: bytes.len(),
                need: HEADER_LEN,
            },
        }
    }

    /// A batch of `header` and `body`. Sets the length field, the magic and the CRC, whatever `header` has there.
    ///
    /// The body must be shorter than 2 GiB less the header, which whoever builds one has to bound anyway.
    pub fn assemble(mut header: BatchHeader, body: Bytes) -> Self {
        header.magic = super::MAGIC;
        header.batch_length = i32::try_from(body.len() + HEADER_LEN - LENGTH_OVERHEAD)
            .expect("a batch that is built is bounded by its builder");
        let mut batch = Self {
            header: header.encode(),
            body,
        };
        batch.seal();
        batch
    }

    /// The header, decoded.
    pub const fn header(&self) -> BatchHeader {
        BatchHeader::parse(&self.header)
    }

    /// The header's bytes: the first part of what is written to disk.
    pub const fn header_bytes(&self) -> &[u8; HEADER_LEN] {
        &self.header
    }

    /// The bytes after the header, compressed if the header says so.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The same batch with a body of its own, so that a small batch does not keep the frame it came in alive.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self {
            header: self.header,
            body: Bytes::copy_from_slice(&self.body),
        }
    }

    /// Bytes of the whole batch.
    #[allow(clippy::len_without_is_empty, reason = "a batch has its header, and is never empty")]
    pub fn len(&self) -> usize {
        HEADER_LEN + self.body.len()
    }

    /// The CRC of the covered bytes as they are now, over both pieces without joining them.
    pub fn compute_crc(&self) -> u32 {
        crc::extend(crc::crc32c(&self.header[CRC_COVERS_FROM..]), &self.body)
    }

    /// Compares the stored CRC with the bytes.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let (stored, computed) = (self.header().crc, self.compute_crc());
        if stored == computed {
            Ok(())
        } else {
            Err(BatchError::Crc { stored, computed })
        }
    }

    /// Writes the batch's place in its partition. Both fields lie outside the CRC.
    pub fn stamp(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        self.header[0..8].copy_from_slice(&base_offset.0.to_be_bytes());
        self.header[12..16].copy_from_slice(&leader_epoch.0.to_be_bytes());
    }

    /// Makes the change that validation asked for.
    pub fn restamp(&mut self, restamp: Restamp) {
        match restamp {
            Restamp::Keep => {}
            Restamp::MaxTimestamp(timestamp) => self.set_timestamp(TimestampType::CreateTime, timestamp),
            Restamp::LogAppendTime(timestamp) => self.set_log_append_time(timestamp),
        }
    }

    /// Gives every record the leader's time (`DefaultRecordBatch.setMaxTimestamp`), and computes the CRC anew.
    pub fn set_log_append_time(&mut self, timestamp: Timestamp) {
        self.set_timestamp(TimestampType::LogAppendTime, timestamp);
    }

    fn set_timestamp(&mut self, timestamp_type: TimestampType, max_timestamp: Timestamp) {
        let attributes = self.header().attributes.with_timestamp_type(timestamp_type);
        self.header[21..23].copy_from_slice(&attributes.0.to_be_bytes());
        self.header[35..43].copy_from_slice(&max_timestamp.0.to_be_bytes());
        self.seal();
    }

    fn seal(&mut self) {
        let crc = self.compute_crc();
        self.header[17..21].copy_from_slice(&crc.to_be_bytes());
    }

    /// Appends the whole batch to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
        out.extend_from_slice(&self.body);
    }

    /// The whole batch in one piece: a copy, for whoever cannot send two.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.len());
        self.write_to(&mut out);
        out.into()
    }
}

/// The batches of a records field, one after the other. Ends after the first error: behind it, no boundary is known.
#[derive(Clone, Debug)]
pub struct Split {
    rest: Bytes,
}

/// The batches that `records` holds. Checks lengths and magic, but neither the CRC nor the contents.
pub fn split(records: &Bytes) -> Split {
    Split { rest: records.clone() }
}

impl Iterator for Split {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = Batch::parse(&self.rest);
        self.rest = match &batch {
            Ok(batch) => self.rest.slice(batch.len()..),
            Err(_) => Bytes::new(),
        };
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ErrorCode, ProducerEpoch, ProducerId, Sequence};

    fn header() -> BatchHeader {
        BatchHeader {
            base_offset: Offset::ZERO,
            batch_length: 0,
            partition_leader_epoch: LeaderEpoch(-1),
            magic: 0,
            crc: 0,
            attributes: super::super::Attributes(0),
            last_offset_delta: 0,
            base_timestamp: Timestamp(5),
            max_timestamp: Timestamp(5),
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch(-1),
            base_sequence: Sequence(-1),
            record_count: 1,
        }
    }

    fn batch(body: &'static [u8]) -> Batch {
        Batch::assemble(header(), Bytes::from_static(body))
    }

    #[test]
    fn batches_come_apart_without_copying_their_bodies() {
        let (first, second) = (batch(b"first"), batch(b"the second"));
        let mut joined = Vec::new();
        first.write_to(&mut joined);
        second.write_to(&mut joined);
        let joined = Bytes::from(joined);

        let parts: Vec<_> = split(&joined).map(|part| part.expect("both are whole")).collect();
        assert_eq!(parts, [first, second]);
        assert_eq!(parts[1].body().as_ptr(), joined[joined.len() - 10..].as_ptr());
        assert_eq!(parts.iter().map(Batch::len).sum::<usize>(), joined.len());
    }

    #[test]
    fn a_cut_is_an_error_at_every_byte_and_the_last_item() {
        let whole = batch(b"records").to_bytes();
        for length in 1..whole.len() {
            let results: Vec<_> = split(&whole.slice(..length)).collect();
            let need = if length < HEADER_LEN { HEADER_LEN } else { whole.len() };
            assert_eq!(results, [Err(BatchError::Truncated { have: length, need })]);
        }
        assert_eq!(split(&Bytes::new()).count(), 0);
    }

    #[test]
    fn every_magic_but_two_is_refused_by_its_own_error() {
        let whole = batch(b"records").to_bytes();
        for magic in i8::MIN..=i8::MAX {
            let mut bytes = whole.to_vec();
            bytes[16] = magic as u8;
            let result = split(&bytes.into()).next().expect("there are bytes");
            match magic {
                2 => assert!(result.is_ok()),
                0 | 1 => assert_eq!(result, Err(BatchError::LegacyMagic { magic })),
                _ => assert_eq!(result.expect_err("no format").error_code(), ErrorCode::CorruptMessage),
            }
        }
        // A whole message of format v1 is shorter than the header of v2.
        let mut legacy = [0; 34];
        legacy[16] = 1;
        assert_eq!(
            Batch::parse(&Bytes::copy_from_slice(&legacy)),
            Err(BatchError::LegacyMagic { magic: 1 })
        );
    }

    #[test]
    fn a_lying_length_is_refused() {
        for (length, expected) in [
            (48, BatchError::LengthTooSmall { batch_length: 48 }),
            (-1, BatchError::LengthTooSmall { batch_length: -1 }),
            (i32::MIN, BatchError::LengthTooSmall { batch_length: i32::MIN }),
            (
                i32::MAX,
                BatchError::Truncated {
                    have: 68,
                    need: i32::MAX as usize + 12,
                },
            ),
        ] {
            let mut bytes = batch(b"records").to_bytes().to_vec();
            bytes[8..12].copy_from_slice(&i32::to_be_bytes(length));
            assert_eq!(Batch::parse(&bytes.into()), Err(expected));
        }
    }

    #[test]
    fn stamps_leave_the_crc_valid_and_log_append_time_renews_it() {
        let mut batch = batch(b"records");
        let crc = batch.header().crc;
        batch.stamp(Offset(1 << 40), LeaderEpoch(7));
        assert_eq!(batch.header().base_offset, Offset(1 << 40));
        assert_eq!(batch.header().partition_leader_epoch, LeaderEpoch(7));
        assert_eq!(batch.header().crc, crc);
        assert_eq!(batch.check_crc(), Ok(()));

        batch.restamp(Restamp::LogAppendTime(Timestamp(99)));
        assert_eq!(batch.header().timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(batch.header().max_timestamp, Timestamp(99));
        assert_ne!(batch.header().crc, crc);
        assert_eq!(batch.check_crc(), Ok(()));
        batch.restamp(Restamp::MaxTimestamp(Timestamp(5)));
        assert_eq!(batch.header().timestamp_type(), TimestampType::CreateTime);
        assert_eq!(batch.header().crc, crc);
    }
}
