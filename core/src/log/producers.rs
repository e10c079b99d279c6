//! What idempotent producers wrote last, so that a batch sent again is not appended again (KIP-98, KIP-360;
//! `ProducerStateManager`, `ProducerAppendInfo`, `ProducerStateEntry`).
//!
//! Invariants:
//! - at most `limit` producers are remembered, and at most [`WINDOW`] batches of each;
//! - the batches of a producer are of one epoch, in the order of their offsets;
//! - a producer is forgotten for its idleness by the monotonic clock only, and time the broker was down does not count.

use crate::bugs::bug;
use crate::record::BatchHeader;
use crate::storage::codec::{DecodeError, Decoder, Encoder};
use crate::types::{ErrorCode, Monotonic, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Batches remembered of each producer: as many as it may have in flight (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
pub const WINDOW: usize = 5;

/// A batch as it was appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PastBatch {
    /// The sequence number of its first record.
    pub first: Sequence,
    /// How many records follow the first.
    pub last_delta: i32,
    /// The offset of its first record.
    pub base_offset: Offset,
    /// Its greatest timestamp.
    pub timestamp: Timestamp,
}

impl PastBatch {
    const NONE: Self = Self {
        first: Sequence(0),
        last_delta: 0,
        base_offset: Offset(0),
        timestamp: Timestamp(0),
    };

    /// The offset after its last record.
    pub const fn next_offset(&self) -> Offset {
        self.base_offset.plus(self.last_delta as i64 + 1)
    }

    /// The sequence number of its last record.
    pub const fn last(&self) -> Sequence {
        self.first.plus(self.last_delta)
    }
}

/// For how long a producer may repeat a batch, in milliseconds: more than twice as long as clients try by default
/// (`delivery.timeout.ms`). Until then it is not forgotten for others.
const REPEATED_MS: u64 = 5 * 60 * 1000;

/// A producer as the log remembers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActiveProducer {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Its last batch; `None` where that is not remembered.
    pub last: Option<PastBatch>,
}

/// What to do with a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// Append it.
    New,
    /// Refuse it for now: as many producers as are remembered may still repeat what they sent, and this is another.
    Full,
    /// It is in the log already: answer as for the original, once that is as durable as the request asks.
    Duplicate(PastBatch),
    /// Refuse it.
    Error(ErrorCode),
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: ProducerEpoch,
    window: [PastBatch; WINDOW],
    len: u8,
    /// When it was last heard of in this process.
    seen: Monotonic,
    /// How long it had been idle then, in milliseconds, if it was read from a snapshot.
    idle_before: u64,
    /// Orders producers by their last use.
    used: u64,
}

impl Producer {
    fn batches(&self) -> &[PastBatch] {
        &self.window[..usize::from(self.len)]
    }

    fn push(&mut self, batch: PastBatch) {
        if usize::from(self.len) == WINDOW {
            self.window.rotate_left(1);
            self.window[WINDOW - 1] = batch;
        } else {
            self.window[usize::from(self.len)] = batch;
            self.len += 1;
        }
    }

    fn idle_ms(&self, now: Monotonic) -> u64 {
        self.idle_before.saturating_add(now.millis_since(self.seen))
    }
}

/// The producers of one log.
#[derive(Clone, Debug)]
pub struct Producers {
    map: BTreeMap<ProducerId, Producer>,
    limit: usize,
    expiration_ms: u64,
    uses: u64,
    /// While there are `limit` producers: before this time none can be forgotten for another.
    full_until: Monotonic,
}

impl Producers {
    /// No producers yet; at most `limit` are remembered, each for `expiration_ms` of idleness
    /// (`producer.id.expiration.ms`).
    pub fn new(limit: usize, expiration_ms: u64) -> Self {
        Self {
            map: BTreeMap::new(),
            limit: limit.max(1),
            expiration_ms,
            uses: 0,
            full_until: Monotonic(0),
        }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The producers that are not forgotten, by id.
    pub fn active(&self, now: Monotonic) -> impl Iterator<Item = ActiveProducer> {
        let active = self
            .map
            .iter()
            .filter(move |(_, producer)| producer.idle_ms(now) < self.expiration_ms);
        active.map(|(&id, producer)| ActiveProducer {
            id,
            epoch: producer.epoch,
            last: producer.batches().last().copied(),
        })
    }

    /// What to do with a batch of a client. A producer that is not known may begin with any sequence number.
    pub fn check(&mut self, batch: &BatchHeader, now: Monotonic) -> Check {
        if !batch.has_producer_id() {
            return Check::New;
        }
        let known = self.map.get(&batch.producer_id);
        let Some(producer) = known.filter(|known| known.idle_ms(now) < self.expiration_ms) else {
            let known = known.is_some();
            return if known || self.has_room(now) {
                Check::New
            } else {
                Check::Full
            };
        };
        if batch.producer_epoch == producer.epoch
            && let Some(original) = duplicate(producer, batch)
        {
            return Check::Duplicate(original);
        }
        if batch.producer_epoch < producer.epoch {
            return Check::Error(ErrorCode::InvalidProducerEpoch);
        }
        let expected = match producer.batches().last() {
            Some(last) if batch.producer_epoch == producer.epoch => last.last().plus(1),
            _ => Sequence(0),
        };
        if batch.base_sequence == expected {
            Check::New
        } else {
            Check::Error(ErrorCode::OutOfOrderSequenceNumber)
        }
    }

    /// A batch was appended; its header carries its offset.
    pub fn update(&mut self, batch: &BatchHeader, now: Monotonic) {
        if !batch.has_producer_id() || batch.is_control() || batch.last_sequence().is_none() {
            return;
        }
        self.uses += 1;
        let used = self.uses;
        let producer = self.map.entry(batch.producer_id).or_insert_with(|| Producer {
            epoch: batch.producer_epoch,
            window: [PastBatch::NONE; WINDOW],
            len: 0,
            seen: now,
            idle_before: 0,
            used,
        });
        if producer.epoch != batch.producer_epoch || producer.idle_ms(now) >= self.expiration_ms {
            producer.epoch = batch.producer_epoch;
            producer.len = 0;
        }
        producer.push(PastBatch {
            first: batch.base_sequence,
            last_delta: batch.last_offset_delta,
            base_offset: batch.base_offset,
            timestamp: batch.max_timestamp,
        });
        producer.seen = now;
        producer.idle_before = 0;
        producer.used = used;
        self.forget_idle(now);
    }

    /// Whether one more can be remembered, without forgetting one that may repeat a batch. All are looked at once, and not
    /// again before the first of them may go: no use of one makes that earlier.
    fn has_room(&mut self, now: Monotonic) -> bool {
        if self.map.len() < self.limit {
            return true;
        }
        if now < self.full_until {
            return false;
        }
        let repeats_ms = self.repeats_ms();
        let may_go = |producer: &Producer| {
            producer
                .seen
                .plus_millis(repeats_ms.saturating_sub(producer.idle_before))
        };
        self.full_until = self.map.values().map(may_go).min().unwrap_or_default();
        self.full_until <= now
    }

    /// Each producer, and the offset of the last record of its last batch below `durable`; `None` where that is not
    /// remembered. A batch that a crash may take away stands for none before it.
    pub(super) fn last_offsets(&self, durable: Offset) -> BTreeMap<ProducerId, Option<Offset>> {
        let last = |producer: &Producer| {
            let stays = |batch: &&PastBatch| batch.next_offset() <= durable;
            let batch = producer.batches().iter().rev().find(stays);
            batch.map(|batch| batch.next_offset().plus(-1))
        };
        self.map.iter().map(|(&id, producer)| (id, last(producer))).collect()
    }

    /// Producers that began with what is remembered of them.
    pub(super) fn begun(&self) -> Vec<(ProducerId, ProducerEpoch)> {
        let begun = self.map.iter().filter(|(_, producer)| {
            let first = producer.batches().first();
            first.is_none_or(|first| first.first == Sequence(0))
        });
        begun.map(|(&id, producer)| (id, producer.epoch)).collect()
    }

    /// These had begun, and what they had sent may be lost: one that is not known any more must begin anew. Otherwise
    /// the rest of what it has under way would be taken for a beginning, and its first batches would be missing.
    pub(super) fn expect_from_start(&mut self, begun: &[(ProducerId, ProducerEpoch)], now: Monotonic) {
        for &(id, epoch) in begun {
            self.uses += 1;
            let used = self.uses;
            self.map.entry(id).or_insert_with(|| Producer {
                epoch,
                window: [PastBatch::NONE; WINDOW],
                len: 0,
                seen: now,
                idle_before: 0,
                used,
            });
        }
        self.forget_idle(now);
    }

    /// Whether one that had begun is still to begin anew: only this process knows.
    pub(super) fn expects_a_beginning(&self) -> bool {
        self.map.values().any(|producer| producer.len == 0)
    }

    /// For how long a producer may repeat a batch, and is known, in milliseconds.
    fn repeats_ms(&self) -> u64 {
        REPEATED_MS.min(self.expiration_ms)
    }

    /// Where there are too many, forgets a sixteenth of them, so that each costs little, if so many are idle.
    fn forget_idle(&mut self, now: Monotonic) {
        let repeats_ms = self.repeats_ms();
        self.forget_least_used(self.limit / 16, |producer| producer.idle_ms(now) >= repeats_ms);
    }

    /// Where there are too many, forgets those, and `spare` at least: of those that `may_go` the least recently used.
    fn forget_least_used(&mut self, spare: usize, may_go: impl Fn(&Producer) -> bool) {
        if self.map.len() <= self.limit {
            return;
        }
        let idle = self.map.values().filter(|&producer| may_go(producer));
        let mut uses: Vec<u64> = idle.map(|producer| producer.used).collect();
        let gone = (self.map.len() - self.limit).max(spare).min(uses.len());
        let Some(last) = gone.checked_sub(1) else { return };
        let (_, &mut bound, _) = uses.select_nth_unstable(last);
        self.map
            .retain(|_, producer| producer.used > bound || !may_go(producer));
    }

    /// Forgets the producers that were idle for too long.
    pub fn expire(&mut self, now: Monotonic) {
        self.map
            .retain(|_, producer| producer.idle_ms(now) < self.expiration_ms);
    }

    /// Counts idleness from `now` on: the producers come from another process, or from a job.
    pub(super) fn wake(&mut self, now: Monotonic) {
        self.full_until = Monotonic(0);
        for producer in self.map.values_mut() {
            producer.seen = now;
        }
    }

    /// Takes over the bounds of the configuration.
    pub(super) fn adopt_bounds(&mut self, limit: usize, expiration_ms: u64) {
        self.limit = limit.max(1);
        self.expiration_ms = expiration_ms;
        self.full_until = Monotonic(0);
        self.forget_least_used(0, |_| true);
    }

    /// The snapshot at `now`.
    pub(super) fn encode(&self, now: Monotonic, out: &mut Encoder) {
        let mut producers: Vec<_> = self.map.iter().collect();
        producers.sort_by_key(|(_, producer)| producer.used);
        out.u32(producers.len() as u32);
        for (id, producer) in producers {
            out.i64(id.0);
            out.i16(producer.epoch.0);
            out.u64(producer.idle_ms(now));
            out.u8(producer.len);
            for batch in producer.batches() {
                out.i32(batch.first.0);
                out.i32(batch.last_delta);
                out.i64(batch.base_offset.0);
                out.i64(batch.timestamp.0);
            }
        }
    }

    /// Reads a snapshot. The bounds are those of the default until [`adopt_bounds`](Self::adopt_bounds).
    pub(super) fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let count = from.count(19)?;
        let mut producers = Self::new(usize::MAX, u64::MAX);
        for _ in 0..count {
            let id = ProducerId(from.i64()?);
            let producer = producers.decode_one(from)?;
            if id.0 < 0 || producers.map.insert(id, producer).is_some() {
                return Err(DecodeError::Value("producer id"));
            }
        }
        Ok(producers)
    }

    fn decode_one(&mut self, from: &mut Decoder<'_>) -> Result<Producer, DecodeError> {
        self.uses += 1;
        let mut producer = Producer {
            epoch: ProducerEpoch(from.i16()?),
            window: [PastBatch::NONE; WINDOW],
            len: 0,
            seen: Monotonic(0),
            idle_before: from.u64()?,
            used: self.uses,
        };
        let len = from.u8()?;
        if usize::from(len) > WINDOW {
            return Err(DecodeError::Value("count of batches"));
        }
        for _ in 0..len {
            let batch = PastBatch {
                first: Sequence(from.i32()?),
                last_delta: from.i32()?,
                base_offset: Offset(from.i64()?),
                timestamp: Timestamp(from.i64()?),
            };
            if batch.first.0 < 0 || batch.last_delta < 0 || batch.base_offset.0 < 0 {
                return Err(DecodeError::Value("batch of a producer"));
            }
            producer.push(batch);
        }
        Ok(producer)
    }
}

/// The remembered batch that `batch` is: the same sequence numbers, first and last.
fn duplicate(producer: &Producer, batch: &BatchHeader) -> Option<PastBatch> {
    let mut batches = producer.batches();
    if bug!(DuplicateWindowOfOne) {
        batches = &batches[batches.len().saturating_sub(1)..];
    }
    let same = |past: &&PastBatch| past.first == batch.base_sequence && past.last_delta == batch.last_offset_delta;
    batches.iter().find(same).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Compression, Level};

    fn first_of(id: i64) -> BatchHeader {
        let (id, epoch, base_sequence) = (ProducerId(id), ProducerEpoch(0), Sequence(0));
        let producer = crate::record::Producer::Idempotent {
            id,
            epoch,
            base_sequence,
        };
        let mut builder = BatchBuilder::new(Compression::None, Level::default(), producer);
        builder.append(Timestamp(1), None, Some(b"v"), &[]);
        builder.build().expect("it has a record").header()
    }

    #[test]
    fn who_is_remembered_is_looked_at_once_while_none_may_go() {
        let at = |ms| Monotonic(0).plus_millis(ms);
        let mut producers = Producers::new(2, u64::MAX);
        producers.update(&first_of(1), at(10));
        producers.update(&first_of(2), at(20));
        assert_eq!(producers.check(&first_of(3), at(30)), Check::Full);
        assert_eq!(producers.full_until, at(10 + REPEATED_MS));
        // The first goes on: what was learned holds, until it is time to look again.
        producers.update(&first_of(1), at(40));
        assert_eq!(producers.check(&first_of(3), at(50)), Check::Full);
        assert_eq!(producers.full_until, at(10 + REPEATED_MS));
        assert_eq!(producers.check(&first_of(3), at(10 + REPEATED_MS)), Check::Full);
        assert_eq!(producers.full_until, at(20 + REPEATED_MS));
        assert_eq!(producers.check(&first_of(3), at(20 + REPEATED_MS)), Check::New);
    }
}
