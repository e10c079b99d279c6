//! Reads and look-ups, compared with going through everything.

use super::bench::{Bench, EPOCH, batch, config};
use crate::config::{FlushMode, Limits};
use crate::log::{LogConfig, Read, TimeAnswer, TimeFound, TimeLookedUp};
use crate::record::{Batch, BatchBuilder, Compression, Producer, codec::Level};
use crate::storage::{FileOp, IoError, IoErrorKind, IoValue, Job as _, Next};
use crate::types::{Fault, Offset, Part, Timestamp};
use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;

/// A batch of a model: records, bytes of value, timestamp, compressed.
type Shape = (usize, usize, i64, bool);

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    proptest::collection::vec((1usize..4, 0usize..400, 0i64..50, any::<bool>()), 1..25)
}

fn build(&(count, bytes, timestamp, compressed): &Shape) -> Batch {
    let compression = if compressed {
        Compression::Lz4
    } else {
        Compression::None
    };
    let mut builder = BatchBuilder::new(compression, Level::default(), Producer::Plain);
    for i in 0..count {
        builder.append(
            Timestamp(timestamp + i as i64),
            None,
            Some(&alloc::vec![b'x'; bytes]),
            &[],
        );
    }
    builder.build().expect("it has records")
}

#[derive(Clone, Copy, Debug)]
struct Knobs {
    segment_bytes: u32,
    interval: u32,
    tail: usize,
    indexes: usize,
    open_files: usize,
    restart: bool,
}

fn knobs() -> impl Strategy<Value = Knobs> {
    let sizes = (200u32..2500, 0u32..600, prop_oneof![Just(0), 100usize..3000]);
    (
        sizes,
        prop_oneof![Just(1usize), Just(1 << 20)],
        1usize..3,
        any::<bool>(),
    )
        .prop_map(
            |((segment_bytes, interval, tail), indexes, open_files, restart)| Knobs {
                segment_bytes,
                interval,
                tail,
                indexes,
                open_files,
                restart,
            },
        )
}

fn filled(knobs: Knobs, shapes: &[Shape]) -> (Bench, Vec<Batch>) {
    let config = LogConfig {
        segment_bytes: knobs.segment_bytes,
        index_interval_bytes: knobs.interval,
        ..config()
    };
    let limits = Limits {
        tail_cache_bytes: knobs.tail,
        index_cache_bytes: knobs.indexes,
        open_files: knobs.open_files,
        ..Limits::default()
    };
    let mut bench = Bench::with(config, limits, FlushMode::Fsync);
    let mut batches = Vec::new();
    for shape in shapes {
        let mut batch = build(shape);
        let base = bench.append(batch.clone());
        batch.stamp(base, EPOCH);
        batches.push(batch);
        bench.settle();
    }
    assert!(bench.storage.tail_bytes() <= knobs.tail);
    if knobs.restart {
        bench.disk.power_cut();
        bench.restart();
    }
    (bench, batches)
}

/// What a read has to begin with and may hold at most: whole batches from the one that holds `from`.
fn check_read(bench: &mut Bench, batches: &[Batch], from: Offset, upto: Offset, max: usize) {
    let plan = bench.try_read(from, upto, max, true).expect("the offset is in range");
    let next = plan.next_offset;
    let bytes = bench.fetch(plan);
    let candidates = batches.iter().filter(|batch| batch.header().next_offset() > from);
    let expected: Vec<&Batch> = candidates
        .take_while(|batch| batch.header().next_offset() <= next)
        .collect();
    let joined: Vec<u8> = expected.iter().flat_map(|batch| batch.to_bytes()).collect();
    assert_eq!(bytes, joined, "from {from} upto {upto} at most {max}");
    assert!(next <= upto);
    assert!(
        bytes.len() <= max || expected.len() == 1,
        "more than asked for, and more than one batch"
    );
    assert_eq!(
        expected.is_empty(),
        from >= upto,
        "a read below the limit finds something"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_read_is_a_run_of_whole_batches_from_the_one_asked_for(
        knobs in knobs(), shapes in shapes(), sizes in proptest::collection::vec(1usize..2000, 4),
        bounds in proptest::collection::vec(any::<prop::sample::Index>(), 4),
    ) {
        let (mut bench, batches) = filled(knobs, &shapes);
        let ends: Vec<Offset> = batches.iter().map(|batch| batch.header().next_offset()).collect();
        let end = bench.log.end();
        for (max, bound) in sizes.into_iter().zip(bounds) {
            let upto = ends[bound.index(ends.len())];
            for from in 0..=upto.0 {
                check_read(&mut bench, &batches, Offset(from), upto, max);
            }
        }
        prop_assert!(bench.try_read(end.plus(1), end, 100, true).is_none());
        let all = bench.consume(Offset(0), end, 700);
        prop_assert_eq!(all, batches);
        bench.settle();
        prop_assert!(bench.storage.is_quiet());
        prop_assert!(bench.disk.most_open <= knobs.open_files + 1, "a job has one file open at a time");
    }

    #[test]
    fn a_look_up_by_time_finds_what_going_through_finds(
        knobs in knobs(),
        shapes in shapes(),
        start in prop_oneof![Just(0usize), 0usize..75],
    ) {
        let (mut bench, batches) = filled(knobs, &shapes);
        let start = Offset((start as i64).min(bench.log.end().0));
        if start > Offset(0) {
            bench.delete_below(start);
        }
        let mut records = Vec::new();
        for batch in &batches {
            let opened = batch.open(1 << 20).expect("we built it");
            for record in opened.records() {
                let record = record.expect("we built it");
                records.push((opened.timestamp(&record), opened.offset(&record)));
            }
        }
        records.retain(|&(_, offset)| offset >= start);
        for timestamp in -1..60 {
            let expected = records.iter().find(|&&(time, _)| time.0 >= timestamp);
            let found = find_time(&mut bench, Some(Timestamp(timestamp)));
            let found = found.map(|found| (found.timestamp, found.offset));
            prop_assert_eq!(found.as_ref(), expected, "timestamp {}", timestamp);
        }
        let Some(greatest) = records.iter().map(|&(time, _)| time).max() else {
            prop_assert_eq!(find_time(&mut bench, None), None);
            return Ok(());
        };
        let expected = records.iter().find(|&&(time, _)| time == greatest).expect("it is there").1;
        let found = find_time(&mut bench, None).expect("there are records");
        prop_assert_eq!((found.timestamp, found.offset, found.epoch), (greatest, expected, EPOCH));
    }

    #[test]
    fn a_replay_yields_every_batch(knobs in knobs(), shapes in shapes()) {
        let (mut bench, batches) = filled(knobs, &shapes);
        let mut job = Some(bench.log.replay(&mut bench.storage));
        let mut seen = Vec::new();
        while let Some(mut piece) = job {
            let chunk = bench.run(&mut piece).expect("nothing is corrupt");
            seen.extend(chunk.batches);
            job = chunk.rest;
        }
        prop_assert_eq!(seen, batches);
        prop_assert!(bench.disk.open_files() <= knobs.open_files);
    }
}

#[test]
fn a_replay_that_finds_no_descriptor_lacks_something_and_the_device_is_well() {
    let mut bench = Bench::new();
    bench.append(batch(1, 10, Producer::Plain, 0));
    bench.settle();
    let mut job = bench.log.replay(&mut bench.storage);
    assert!(matches!(job.resume(Ok(IoValue::Done)), Next::Io(FileOp::Open { .. })));
    let error = IoError {
        kind: IoErrorKind::TooManyOpenFiles,
        text: String::from("no descriptor"),
    };
    let Next::Done(Err(fault)) = job.resume(Err(error)) else {
        panic!("it goes on without its file")
    };
    assert_eq!(fault, Fault::NoDescriptors);
}

fn find_time(bench: &mut Bench, timestamp: Option<Timestamp>) -> Option<TimeFound> {
    let answer = match timestamp {
        Some(timestamp) => bench.log.find_time(timestamp, &mut bench.storage),
        None => bench.log.find_max_timestamp(&mut bench.storage),
    };
    let TimeAnswer::Lookup(mut job) = answer else {
        return None;
    };
    loop {
        let outcome = bench.run(&mut *job);
        let found = bench.log.time_looked_up(outcome, &mut bench.storage);
        match found.expect("nothing is corrupt") {
            TimeLookedUp::Found(found) => return found,
            TimeLookedUp::Again(next) => job = next,
        }
    }
}

#[test]
fn a_reader_at_the_tail_is_served_from_memory_up_to_where_it_may_read() {
    let mut bench = Bench::new();
    bench.append(batch(2, 3000, Producer::Plain, 0));
    bench.append(batch(2, 10, Producer::Plain, 0));
    let plan = bench.try_read(Offset(1), Offset(4), 100_000, true).expect("in range");
    assert!(plan.leases.is_empty() && plan.parts.iter().all(|part| matches!(part, Part::Inline(_))));
    assert_eq!((plan.parts.len(), plan.next_offset), (3, Offset(4)));
    let first = bench.try_read(Offset(0), Offset(2), 100_000, true).expect("in range");
    assert_eq!(first.next_offset, Offset(2));
    let nothing = bench.try_read(Offset(2), Offset(2), 100_000, true).expect("in range");
    assert_eq!((nothing.bytes, nothing.next_offset), (0, Offset(2)));
    let nothing = bench.try_read(Offset(0), Offset(4), 100, false).expect("in range");
    assert_eq!((nothing.bytes, nothing.next_offset), (0, Offset(0)));
    assert!(matches!(
        bench.log.read(Offset(5), Offset(4), 1, true, &mut bench.storage),
        Read::OutOfRange
    ));
    bench.settle();
}

#[test]
fn rot_in_a_header_is_found_by_a_look_up_and_not_followed() {
    let knobs = Knobs {
        segment_bytes: 1 << 20,
        interval: 1 << 20,
        tail: 0,
        indexes: 1 << 20,
        open_files: 4,
        restart: false,
    };
    let shapes: Vec<Shape> = (0..4).map(|i| (2, 30, i, false)).collect();
    let (mut bench, batches) = filled(knobs, &shapes);
    let path = bench.path("00000000000000000000.log");
    let second = batches[0].len();
    bench.disk.spoil(&path, |bytes| bytes[second + 7] ^= 1);
    let Read::Lookup(mut job) = bench.log.read(Offset(5), Offset(8), 1, true, &mut bench.storage) else {
        panic!("only a look-up can tell where the batch lies")
    };
    let outcome = bench.run(&mut *job);
    let adopted = bench.log.adopt_lookup(outcome, &mut bench.storage);
    assert!(matches!(adopted, Err(crate::types::Fault::Corruption(_))));
    bench.settle();
    assert!(bench.storage.is_quiet());
}
