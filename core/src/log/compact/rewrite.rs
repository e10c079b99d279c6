//! What of a batch is kept.

use super::keys::KeyMap;
use crate::bugs::bug;
use crate::record::{Batch, BatchError, Filtered, Record, filter};
use crate::types::{Offset, ProducerId, Timestamp};
use alloc::collections::BTreeMap;

/// What decides.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) keys: KeyMap,
    /// Keys are known of the records below this.
    pub(super) clean_to: Offset,
    /// Where what is compacted ends.
    pub(super) upto: Offset,
    /// Delete horizons up to this are over.
    pub(super) expired: Timestamp,
    /// The delete horizon of tombstones that had none.
    pub(super) horizon: Timestamp,
    /// The offset of the last record that each producer wrote durably; `None` where it is not known, and each may be it.
    pub(super) producers: BTreeMap<ProducerId, Option<Offset>>,
    /// The most bytes a batch may have once its records are decompressed.
    pub(super) decompressed_bytes: usize,
}

impl Keeping {
    /// Learns the keys of a batch; returns whether there was room for them.
    pub(super) fn learn(&mut self, batch: &Batch, from: Offset) -> Result<bool, BatchError> {
        let header = batch.header();
        if header.is_control() || header.next_offset() <= from {
            return Ok(true);
        }
        let room = self.keys.room() as u64;
        if u64::from(header.record_count.unsigned_abs()) > room && !self.keys.is_empty() {
            return Ok(false);
        }
        let opened = batch.open(self.decompressed_bytes)?;
        for record in opened.records() {
            let record = record?;
            if let Some(key) = record.key {
                self.keys.put(key, opened.offset(&record));
            }
        }
        Ok(true)
    }

    /// What is kept of the batch; `None` if nothing is.
    pub(super) fn keep(&self, batch: Batch) -> Result<Option<Batch>, BatchError> {
        let header = batch.header();
        if header.is_control() || header.base_offset >= self.clean_to {
            return Ok(Some(batch));
        }
        let opened = batch.open(self.decompressed_bytes)?;
        let expired = header.base_timestamp <= self.expired || bug!(TombstoneRemovedEarly);
        let over = header.attributes.has_delete_horizon() && expired;
        let kept = |record: &Record<'_>| {
            let Some(key) = record.key else { return false };
            let offset = opened.offset(record);
            let last = self
                .keys
                .last(key)
                .is_none_or(|last| last < offset || last == offset && !bug!(LastValueCompactedAway));
            last && (record.value.is_some() || !over)
        };
        Ok(match filter(&opened, self.horizon, kept)? {
            Filtered::Whole => Some(batch),
            Filtered::Part(part) => Some(part),
            Filtered::Emptied(empty) => self.is_needed(&empty).then_some(empty),
        })
    }

    /// Whether the header alone says something that must not be forgotten.
    fn is_needed(&self, batch: &Batch) -> bool {
        let header = batch.header();
        let last = self.producers.get(&header.producer_id);
        let of_producer =
            header.has_producer_id() && last.is_some_and(|last| last.is_none_or(|last| last == header.last_offset()));
        of_producer && !bug!(LastBatchCompactedAway) || header.next_offset() == self.upto
    }
}
