//! What a coordinator writes: one batch is on its way at a time, and what comes meanwhile shares the next, as far as it
//! takes it.
//!
//! Invariant: what follows from a record happens once its batch is durable, in the order in which it was asked for; what
//! belongs together is in one batch. The topic's `max.message.bytes` is kept to here and nowhere else, as it is when
//! records are taken in: the log takes each batch of its coordinator, so that a limit lowered meanwhile refuses nothing
//! that was taken.

use super::ask::{FetchAsk, GroupAnswer};
use super::budget::Charge;
use super::offsets::Committed;
use super::record::RecordPair;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What a record costs besides key and value, at most.
const RECORD_OVERHEAD: usize = 40;
/// What a batch costs besides its records.
const BATCH_OVERHEAD: usize = 61;

/// Bytes of tombstones that are made at once. Each takes the name of its group along, so that the offsets of a long name
/// make more than memory holds.
pub(super) const AT_ONCE: usize = 16 << 20;

/// What follows once the records before it are durable.
#[derive(Debug)]
pub(super) enum Then<T> {
    /// A record that decides on a group has landed.
    Landed(Arc<str>),
    /// Offsets are committed; there is no reply where that was answered before. The charge is for what they hold once they
    /// are there.
    Committed {
        group: Arc<str>,
        offsets: Vec<(Arc<str>, i32, Committed)>,
        reply: Option<(T, GroupAnswer)>,
        charge: Charge,
    },
    /// Offsets are gone.
    Forgotten {
        group: Arc<str>,
        offsets: Vec<(Arc<str>, i32)>,
        reply: Option<(T, GroupAnswer)>,
    },
    /// Offsets of a group that is being removed are gone, and others are left.
    Shrunk {
        group: Arc<str>,
        offsets: Vec<(Arc<str>, i32)>,
    },
    /// Offsets can be told.
    Fetch { group: Arc<str>, ask: FetchAsk, part: T },
}

/// One batch, and what follows from it.
#[derive(Debug)]
pub(super) struct Wave<T> {
    pub(super) records: Vec<RecordPair>,
    pub(super) then: Vec<Then<T>>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Batches that were not handed to the log, in order.
    waiting: VecDeque<Wave<T>>,
    /// What follows from the batch that was.
    in_flight: Option<Vec<Then<T>>>,
    max_bytes: usize,
}

/// The records are larger than the log takes in one batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooLarge;

impl<T> Queue<T> {
    pub(super) const fn new(max_bytes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            in_flight: None,
            max_bytes,
        }
    }

    /// From now on batches have this many bytes.
    pub(super) const fn limit(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
    }

    /// Bytes of a batch that the topic takes.
    pub(super) const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Whether the topic takes these records in one batch.
    pub(super) fn takes(&self, records: &[RecordPair]) -> bool {
        BATCH_OVERHEAD + records.iter().map(size).sum::<usize>() <= self.max_bytes
    }

    /// Has records written together, and `then` done, if the topic takes them.
    pub(super) fn push(&mut self, records: Vec<RecordPair>, then: Then<T>) -> Result<(), TooLarge> {
        if !self.takes(&records) {
            return Err(TooLarge);
        }
        self.append(records, then);
        Ok(())
    }

    /// Has records written together, however large, and `then` done.
    pub(super) fn append(&mut self, records: Vec<RecordPair>, then: Then<T>) {
        let bytes = records.iter().map(size).sum::<usize>();
        match self.waiting.back_mut() {
            Some(last) if BATCH_OVERHEAD + last.bytes + bytes <= self.max_bytes => {
                last.records.extend(records);
                last.then.push(then);
                last.bytes += bytes;
            }
            _ => self.waiting.push_back(Wave {
                records,
                then: Vec::from([then]),
                bytes,
            }),
        }
    }

    /// Shares records out to as many batches as they need; the pieces, in order, each record with what it stands for.
    pub(super) fn pieces<K>(&self, records: Vec<(RecordPair, K)>) -> Vec<(Vec<RecordPair>, Vec<K>)> {
        let mut pieces: Vec<(Vec<RecordPair>, Vec<K>)> = Vec::new();
        let mut bytes = usize::MAX;
        for (record, key) in records {
            bytes = bytes.saturating_add(size(&record));
            if BATCH_OVERHEAD.saturating_add(bytes) > self.max_bytes {
                pieces.push((Vec::new(), Vec::new()));
                bytes = size(&record);
            }
            if let Some((records, keys)) = pieces.last_mut() {
                records.push(record);
                keys.push(key);
            }
        }
        pieces
    }

    /// The next batch, if none is on its way. One without records needs no log: it is handed out to be done at once.
    pub(super) fn next(&mut self) -> Option<Wave<T>> {
        if self.in_flight.is_some() {
            return None;
        }
        self.waiting.pop_front()
    }

    /// A batch is on its way; this follows.
    pub(super) fn depart(&mut self, then: Vec<Then<T>>) {
        let before = self.in_flight.replace(then);
        assert!(before.is_none(), "two batches are on their way");
    }

    /// The batch arrived, or never will.
    pub(super) fn arrive(&mut self) -> Vec<Then<T>> {
        let then = self.in_flight.take();
        then.expect("a batch arrives that never departed")
    }

    /// Whether a batch is on its way.
    pub(super) const fn has_departed(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Everything that was not handed to the log, in order.
    pub(super) fn give_up(&mut self) -> Vec<Then<T>> {
        self.waiting.drain(..).flat_map(|wave| wave.then).collect()
    }

    /// Whether nothing is on its way or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.waiting.is_empty()
    }
}

/// The first of `records` that have no more than `most` bytes together, but at least one, and whether these are all.
pub(super) fn first_of<K>(records: impl Iterator<Item = (RecordPair, K)>, most: usize) -> (Vec<(RecordPair, K)>, bool) {
    let (mut first, mut bytes) = (Vec::new(), 0);
    for (record, key) in records {
        bytes += size(&record);
        if bytes > most && !first.is_empty() {
            return (first, false);
        }
        first.push((record, key));
    }
    (first, true)
}

fn size((key, value): &RecordPair) -> usize {
    RECORD_OVERHEAD + key.len() + value.as_ref().map_or(0, bytes::Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(bytes: usize) -> RecordPair {
        (Bytes::from(alloc::vec![0; bytes]), None)
    }

    fn then(name: &str) -> Then<u32> {
        Then::Landed(Arc::from(name))
    }

    #[test]
    fn what_comes_meanwhile_shares_the_next_batch_and_what_belongs_together_is_not_torn() {
        let mut queue = Queue::new(1000);
        queue.push(Vec::from([record(100)]), then("a")).unwrap();
        let first = queue.next().unwrap();
        queue.depart(first.then);
        for name in ["b", "c"] {
            queue.push(Vec::from([record(100), record(200)]), then(name)).unwrap();
        }
        queue.push(Vec::from([record(300)]), then("d")).unwrap();
        assert!(queue.next().is_none(), "one batch is on its way at a time");
        assert_eq!(queue.arrive().len(), 1);
        let counts: Vec<_> = core::iter::from_fn(|| queue.next())
            .map(|it| (it.records.len(), it.then.len()))
            .collect();
        assert_eq!(counts, [(4, 2), (1, 1)]);
        assert!(queue.is_idle());
    }

    #[test]
    fn what_no_batch_takes_is_refused_and_what_may_be_torn_is() {
        let mut queue = Queue::new(1000);
        assert_eq!(queue.push(Vec::from([record(900)]), then("a")), Err(TooLarge));
        let pieces = queue.pieces((0..7).map(|number| (record(400), number)).collect());
        let numbers: Vec<_> = pieces.iter().map(|(_, numbers)| numbers.clone()).collect();
        assert_eq!(
            numbers,
            [Vec::from([0, 1]), Vec::from([2, 3]), Vec::from([4, 5]), Vec::from([6])]
        );
        queue.limit(10);
        assert_eq!(
            queue.pieces((0..3).map(|number| (record(1), number)).collect()).len(),
            3
        );
    }

    #[test]
    fn records_are_made_only_as_far_as_they_are_taken() {
        let mut made = 0;
        let mut records = |count: i32| {
            let records = (0..count).map(|number| {
                made += 1;
                (record(60), number)
            });
            let (first, all) = first_of(records, 250);
            let made = core::mem::take(&mut made);
            (first.len(), all, made)
        };
        assert_eq!(records(2), (2, true, 2));
        assert_eq!(records(1000), (2, false, 3));
        let (first, all) = first_of([(record(900), 1), (record(1), 2)].into_iter(), 250);
        assert_eq!((first.len(), all), (1, false), "one is taken, however large");
    }

    #[test]
    fn the_limit_is_the_one_that_holds_when_records_are_taken_in() {
        let mut queue = Queue::new(1000);
        queue.push(Vec::from([record(800)]), then("a")).unwrap();
        queue.limit(300);
        assert_eq!(queue.push(Vec::from([record(200)]), then("b")), Err(TooLarge));
        queue.push(Vec::from([record(100)]), then("c")).unwrap();
        queue.append(Vec::from([record(900)]), then("d"));
        queue.limit(2000);
        queue.push(Vec::from([record(900)]), then("e")).unwrap();
        let counts: Vec<_> = core::iter::from_fn(|| queue.next())
            .map(|it| it.records.len())
            .collect();
        assert_eq!(counts, [1, 1, 2]);
    }
}
