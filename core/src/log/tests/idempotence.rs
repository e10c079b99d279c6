//! Producer state, compared with a model that remembers everything.

use crate::log::{Check, Producers, WINDOW};
use crate::record::{BatchBuilder, BatchHeader, Compression, Producer, codec::Level};
use crate::types::{ErrorCode, Monotonic, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use proptest::prelude::*;

fn header(id: i64, epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHeader {
    let producer = Producer::Idempotent {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
    };
    let mut builder = BatchBuilder::new(Compression::None, Level::default(), producer);
    for _ in 0..count {
        builder.append(Timestamp(1), None, None, &[]);
    }
    let mut batch = builder.build().expect("it has records");
    batch.stamp(Offset(offset), crate::types::LeaderEpoch(0));
    batch.header()
}

/// Everything a producer ever wrote under its latest epoch: first sequence, count, offset.
#[derive(Clone, Default)]
struct Model {
    epoch: i16,
    batches: Vec<(i32, i32, i64)>,
}

impl Model {
    fn check(&self, epoch: i16, sequence: i32, count: i32) -> Result<Option<i64>, ErrorCode> {
        let last = self.batches.last();
        if epoch == self.epoch {
            let remembered = self.batches.iter().rev().take(WINDOW);
            let same = remembered.clone().find(|batch| (batch.0, batch.1) == (sequence, count));
            if let Some(batch) = same {
                return Ok(Some(batch.2));
            }
        }
        let next = match last {
            Some(&(first, count, _)) if epoch == self.epoch => first.wrapping_add(count) & i32::MAX,
            _ => 0,
        };
        match epoch {
            epoch if epoch < self.epoch => Err(ErrorCode::InvalidProducerEpoch),
            _ if sequence == next => Ok(None),
            _ => Err(ErrorCode::OutOfOrderSequenceNumber),
        }
    }
}

proptest! {
    #[test]
    fn batches_are_new_duplicate_or_refused_as_the_model_says(
        start in prop_oneof![Just(0), Just(i32::MAX - 6)],
        steps in proptest::collection::vec((0i64..3, 0i16..3, -8i32..3, 1i32..4), 1..80),
    ) {
        let mut producers = Producers::new(10, 1000);
        let mut models: BTreeMap<i64, Model> = BTreeMap::new();
        let mut offset = 0;
        for (id, epoch, shift, count) in steps {
            let next = models.get(&id).and_then(|model| model.batches.last()).map_or(start, |last| {
                last.0.wrapping_add(last.1) & i32::MAX
            });
            let sequence = if shift > 0 { shift - 1 } else { next.wrapping_add(shift) & i32::MAX };
            let batch = header(id, epoch, sequence, count, offset);
            let expected = match models.get(&id) {
                Some(model) => model.check(epoch, sequence, count),
                None => Ok(None),
            };
            match (producers.check(&batch, Monotonic(0)), expected) {
                (Check::New, Ok(None)) => {
                    let model = models.entry(id).or_default();
                    if model.epoch != epoch {
                        *model = Model { epoch, batches: Vec::new() };
                    }
                    model.batches.push((sequence, count, offset));
                    producers.update(&batch, Monotonic(0));
                    offset += i64::from(count);
                }
                (Check::Duplicate(past), Ok(Some(original))) => prop_assert_eq!(past.base_offset.0, original),
                (Check::Error(code), Err(expected)) => prop_assert_eq!(code, expected),
                (found, expected) => prop_assert!(false, "{found:?}, and not {expected:?}"),
            }
        }
    }
}

#[test]
fn a_producer_is_forgotten_for_idleness_and_may_then_begin_anywhere() {
    let mut producers = Producers::new(10, 1000);
    producers.update(&header(1, 0, 0, 2, 0), Monotonic(0));
    let odd = header(1, 0, 9, 1, 2);
    let later = |ms| Monotonic(0).plus_millis(ms);
    assert_eq!(
        producers.check(&odd, later(999)),
        Check::Error(ErrorCode::OutOfOrderSequenceNumber)
    );
    assert_eq!(producers.check(&odd, later(1000)), Check::New);
    producers.update(&odd, later(1000));
    assert_eq!(
        producers.check(&header(1, 0, 0, 2, 0), later(1000)),
        Check::Error(ErrorCode::OutOfOrderSequenceNumber)
    );
    producers.expire(later(3000));
    assert!(producers.is_empty());
}

/// Longer than a producer may repeat a batch.
const LONG_MS: u64 = 300_000;

#[test]
fn the_least_recently_used_producers_go_when_there_are_too_many() {
    for limit in [2, 3, 40] {
        let mut producers = Producers::new(limit, u64::MAX);
        let mut now = Monotonic(0);
        for id in 0..200 {
            now = now.plus_millis(LONG_MS);
            let first = header(id, 0, 0, 1, id);
            assert_eq!(producers.check(&first, now), Check::New);
            producers.update(&first, now);
            producers.update(&header(0, 0, id as i32 + 1, 1, id), now);
            assert!(producers.len() <= limit);
        }
        let later = now.plus_millis(LONG_MS);
        let mut known = |id, sequence| producers.check(&header(id, 0, sequence, 1, 0), later);
        assert!(
            matches!(known(0, 200), Check::Duplicate(_)),
            "the busiest is remembered"
        );
        assert_eq!(known(5, 77), Check::New, "an old one is forgotten");
    }
}

#[test]
fn a_producer_that_may_repeat_a_batch_is_not_forgotten_for_others() {
    let mut producers = Producers::new(3, u64::MAX);
    for id in 0..3 {
        producers.update(&header(id, 0, 0, 1, id), Monotonic(0));
    }
    let soon = Monotonic(0).plus_millis(LONG_MS - 1);
    let another = header(7, 0, 0, 1, 3);
    assert_eq!(producers.check(&another, soon), Check::Full);
    assert!(matches!(
        producers.check(&header(0, 0, 0, 1, 9), soon),
        Check::Duplicate(_)
    ));
    assert_eq!(
        producers.check(&header(0, 0, 1, 1, 3), soon),
        Check::New,
        "those that are known go on"
    );
    producers.update(&header(0, 0, 1, 1, 3), soon);
    let later = Monotonic(0).plus_millis(LONG_MS);
    assert_eq!(producers.check(&another, later), Check::New);
    producers.update(&another, later);
    assert_eq!(producers.len(), 3);
    assert!(matches!(
        producers.check(&header(0, 0, 1, 1, 9), later),
        Check::Duplicate(_)
    ));
}

#[test]
fn a_shorter_expiration_lets_others_in_who_were_refused_before() {
    let mut producers = Producers::new(2, u64::MAX);
    for id in 0..2 {
        producers.update(&header(id, 0, 0, 1, id), Monotonic(0));
    }
    let another = header(7, 0, 0, 1, 2);
    let soon = Monotonic(0).plus_millis(1000);
    assert_eq!(producers.check(&another, soon), Check::Full);
    producers.adopt_bounds(2, 1001);
    assert_eq!(producers.check(&another, soon), Check::Full);
    producers.adopt_bounds(2, 1000);
    assert_eq!(producers.check(&another, soon), Check::New);
}

#[test]
fn a_producer_that_has_expired_keeps_nobody_out() {
    let mut producers = Producers::new(1, 1000);
    producers.update(&header(1, 0, 0, 1, 0), Monotonic(0));
    let another = header(2, 0, 0, 1, 1);
    assert_eq!(producers.check(&another, Monotonic(0).plus_millis(999)), Check::Full);
    assert_eq!(producers.check(&another, Monotonic(0).plus_millis(1000)), Check::New);
}

#[test]
fn a_log_that_is_opened_with_one_producer_too_many_forgets_one() {
    let mut producers = Producers::new(usize::MAX, u64::MAX);
    for id in 0..33 {
        producers.update(&header(id, 0, 0, 1, id), Monotonic(0));
    }
    producers.adopt_bounds(32, u64::MAX);
    assert_eq!(producers.len(), 32);
    assert!(matches!(
        producers.check(&header(1, 0, 0, 1, 1), Monotonic(0)),
        Check::Duplicate(_)
    ));
}

#[test]
fn a_batch_without_a_producer_is_always_new() {
    let mut producers = Producers::new(10, 1000);
    let mut builder = BatchBuilder::new(Compression::None, Level::default(), Producer::Plain);
    builder.append(Timestamp(1), None, None, &[]);
    let plain = builder.build().expect("it has a record").header();
    producers.update(&plain, Monotonic(0));
    assert!(producers.is_empty());
    assert_eq!(producers.check(&plain, Monotonic(0)), Check::New);
}

#[test]
fn a_producer_whose_beginning_was_lost_with_a_failed_write_has_to_begin_anew() {
    let now = Monotonic(0);
    let mut before = Producers::new(10, 1000);
    before.update(&header(1, 0, 0, 6, 0), now);
    before.update(&header(2, 0, 40, 2, 6), now);
    before.update(&header(3, 0, 0, 1, 8), now);
    // Of these three, recovery found the last alone.
    let mut after = Producers::new(10, 1000);
    after.update(&header(3, 0, 0, 1, 0), now);
    let refused = Check::Error(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(
        after.check(&header(1, 0, 6, 7, 1), now),
        Check::New,
        "nothing is known of it"
    );
    after.expect_from_start(&before.begun(), now);
    assert_eq!(
        after.check(&header(1, 0, 6, 7, 1), now),
        refused,
        "its first batch would be missing"
    );
    assert_eq!(after.check(&header(1, 0, 0, 6, 1), now), Check::New);
    after.update(&header(1, 0, 0, 6, 1), now);
    assert_eq!(after.check(&header(1, 0, 6, 7, 7), now), Check::New);
    assert_eq!(
        after.check(&header(2, 0, 42, 2, 7), now),
        Check::New,
        "where it began is not known"
    );
    assert_eq!(
        after.check(&header(3, 0, 1, 1, 7), now),
        Check::New,
        "what is in the log counts"
    );
    assert_eq!(after.check(&header(3, 0, 5, 1, 7), now), refused);
}
