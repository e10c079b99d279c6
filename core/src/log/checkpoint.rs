//! The checkpoint of a segment: what its first bytes imply, so that they need not be read again.
//!
//! Layout, big-endian: magic `KLMCKPT` and version; base offset i64; bytes covered u64; end offset i64; wall clock of the
//! first append i64; greatest timestamp i64 and the base offset of its batch i64; index entries (count u32; relative
//! offset u32, position u32, greatest timestamp before i64); leader epochs (count u32; epoch i32, start offset i64);
//! producers (count u32; see [`Producers`]); the offset up to which it was compacted i64; CRC-32C u32.
//!
//! Invariant: it is written only after the bytes it covers were synced. So whoever finds a valid checkpoint knows that
//! fewer bytes in the segment, or others, are corruption.

use super::epochs::EpochHistory;
use super::place::Stem;
use super::producers::Producers;
use super::segment::Peak;
use crate::storage::codec::{DecodeError, Decoder, Encoder};
use crate::storage::{Index, IndexEntry};
use crate::types::{Monotonic, Offset, Timestamp};
use alloc::sync::Arc;
use alloc::vec::Vec;

const MAGIC: [u8; 8] = *b"KLMCKPT\x02";

/// The largest checkpoint that is read: several times what the bounds of its parts amount to.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// What the first `size` bytes of a segment imply.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The base offset of the segment.
    pub base: Offset,
    /// The bytes covered.
    pub size: u64,
    /// The offset after the last batch covered.
    pub end: Offset,
    /// The broker's wall clock at the segment's first append.
    pub began: Timestamp,
    /// The greatest timestamp covered.
    pub peak: Option<Peak>,
    /// The sparse index.
    pub index: Arc<Index>,
    /// The leader epochs of the log up to `end`.
    pub epochs: EpochHistory,
    /// The producers of the log as of `end`.
    pub producers: Producers,
    /// No record below this is followed, below this, by another of its key; `base` where nothing is known of that.
    pub clean_to: Offset,
}

impl Checkpoint {
    /// The file's bytes. `now` dates the producers.
    pub fn encode(&self, now: Monotonic) -> Vec<u8> {
        let index = self.index.entries();
        let capacity = 128 + index.len() * 16 + self.epochs.starts().len() * 12 + self.producers.len() * 64;
        let mut out = Encoder::new(MAGIC, capacity);
        out.i64(self.base.0);
        out.u64(self.size);
        out.i64(self.end.0);
        out.i64(self.began.0);
        let (timestamp, offset) = self
            .peak
            .map_or((i64::MIN, -1), |peak| (peak.timestamp.0, peak.batch.0));
        out.i64(timestamp);
        out.i64(offset);
        out.u32(index.len() as u32);
        for entry in index {
            out.u32(entry.relative);
            out.u32(entry.position);
            out.i64(entry.max_before.0);
        }
        self.epochs.encode(&mut out);
        self.producers.encode(now, &mut out);
        out.i64(self.clean_to.0);
        out.seal()
    }

    /// Reads the checkpoint of a segment.
    pub fn decode(bytes: &[u8], segment: impl Into<Stem>) -> Result<Self, DecodeError> {
        let Stem { base, cleaning } = segment.into();
        let mut from = Decoder::open(MAGIC, bytes)?;
        if from.i64()? != base.0 {
            return Err(DecodeError::Value("base offset"));
        }
        let size = from.u64()?;
        let end = Offset(from.i64()?);
        let sound = match cleaning {
            Some(cleaning) => end == cleaning.end,
            None => end >= base && (end == base) == (size == 0),
        };
        if !sound {
            return Err(DecodeError::Value("end offset"));
        }
        let began = Timestamp(from.i64()?);
        let (timestamp, batch) = (Timestamp(from.i64()?), Offset(from.i64()?));
        let peak = (batch.0 >= 0).then_some(Peak { timestamp, batch });
        let count = from.count(16)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(IndexEntry {
                relative: from.u32()?,
                position: from.u32()?,
                max_before: Timestamp(from.i64()?),
            });
        }
        let beyond = |last: &IndexEntry| u64::from(last.position) >= size || base.plus(i64::from(last.relative)) >= end;
        let index = Index::of(entries).filter(|index| !index.entries().last().is_some_and(beyond));
        let index = Arc::new(index.ok_or(DecodeError::Value("index"))?);
        let epochs = EpochHistory::decode(&mut from)?;
        let producers = Producers::decode(&mut from)?;
        let clean_to = Offset(from.i64()?);
        if clean_to < base || clean_to > end {
            return Err(DecodeError::Value("compacted offset"));
        }
        from.end()?;
        Ok(Self {
            base,
            size,
            end,
            began,
            peak,
            index,
            epochs,
            producers,
            clean_to,
        })
    }
}
