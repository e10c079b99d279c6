//! What compaction does to a log, told as short stories.

use super::super::bench::{Bench, CHECKPOINT, SEGMENT};
use super::{
    RUN, begin, bench, compact, compacted, everything, finish, left, names, pass, put, records, roll, rows_of, text,
};
use crate::config::{CleanupPolicy, CompactionConfig};
use crate::log::{Check, CompactOutcome, CompactRun, LogConfig, Source, TimeAnswer, TimeFound, TimeLookedUp};
use crate::record::{Batch, Compression, Producer};
use crate::types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use alloc::string::String;
use alloc::vec::Vec;

#[test]
fn the_last_value_of_each_key_is_kept_where_it_stood() {
    let mut bench = bench(compacted());
    put(&mut bench, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]);
    put(&mut bench, &[("c", Some("1")), ("b", Some("2"))]);
    roll(&mut bench);
    put(&mut bench, &[("c", Some("2"))]);
    compact(&mut bench);
    let expected = text(&[(2, "a=2"), (3, "c=1"), (4, "b=2"), (5, "c=2")]);
    assert_eq!(left(&mut bench), expected, "what grows is not compacted, nor counted");
    assert_eq!(
        names(&bench, SEGMENT),
        [
            "00000000000000000000.00000000000000000005.1.log",
            "00000000000000000005.log"
        ]
    );
    assert!(begin(&mut bench, RUN).is_none(), "there is nothing more to compact");
    for from in 0..6 {
        let batches = bench.consume(Offset(from), Offset(6), 1);
        assert!(batches[0].header().next_offset() > Offset(from));
    }
    bench.disk.power_cut();
    assert_eq!(bench.restart().batches_read, 1, "what was compacted is not read again");
    assert_eq!(left(&mut bench), expected);
    assert!(begin(&mut bench, RUN).is_none(), "nor compacted again");
    let entry = bench.close();
    let recovered = bench.recover(Source::Clean(entry)).expect("nothing is corrupt");
    bench.reopen(recovered);
    assert_eq!(left(&mut bench), expected);
    roll(&mut bench);
    compact(&mut bench);
    let expected = text(&[(2, "a=2"), (4, "b=2"), (5, "c=2")]);
    assert_eq!(left(&mut bench), expected);
    assert_eq!(
        names(&bench, SEGMENT),
        ["00000000000000000000.00000000000000000006.2.log"]
    );
    assert_eq!(
        names(&bench, CHECKPOINT),
        ["00000000000000000000.00000000000000000006.2.checkpoint"]
    );
}

#[test]
fn a_tombstone_lives_for_as_long_as_it_is_to_and_then_goes() {
    let mut bench = bench(compacted());
    put(&mut bench, &[("a", Some("1")), ("b", Some("1"))]);
    put(&mut bench, &[("a", None), ("c", Some("1"))]);
    roll(&mut bench);
    compact(&mut bench);
    let with = text(&[(1, "b=1"), (2, "a=-"), (3, "c=1")]);
    assert_eq!(left(&mut bench), with);
    pass(&mut bench, 59_999);
    put(&mut bench, &[("d", Some("1"))]);
    roll(&mut bench);
    compact(&mut bench);
    assert_eq!(left(&mut bench).len(), with.len() + 1, "its time is not over");
    // No step of the wall clock makes it go earlier.
    bench.now.wall.0 += 31_536_000_000;
    put(&mut bench, &[("d", Some("2"))]);
    roll(&mut bench);
    compact(&mut bench);
    assert_eq!(left(&mut bench)[1], (2, String::from("a=-")));
    bench.now.wall.0 -= 31_536_000_000;
    pass(&mut bench, 1);
    put(&mut bench, &[("d", Some("3"))]);
    roll(&mut bench);
    compact(&mut bench);
    assert_eq!(left(&mut bench), text(&[(1, "b=1"), (3, "c=1"), (6, "d=3")]));
}

#[test]
fn a_producers_last_batch_leaves_its_header_and_what_it_sends_again_is_known() {
    let mut bench = bench(compacted());
    let mut batches = Vec::new();
    for (id, sequence) in [(1, 0), (1, 2), (2, 0), (1, 4)] {
        let producer = Producer::Idempotent {
            id: ProducerId(id),
            epoch: ProducerEpoch(0),
            base_sequence: Sequence(sequence),
        };
        let batch = records(&[("a", Some("x")), ("b", Some("y"))], Compression::Zstd, producer, 9);
        bench.append(batch.clone());
        bench.settle();
        batches.push(batch);
    }
    put(&mut bench, &[("a", Some("last")), ("b", Some("last"))]);
    roll(&mut bench);
    compact(&mut bench);
    assert_eq!(left(&mut bench), text(&[(8, "a=last"), (9, "b=last")]));
    for spoilt in [false, true] {
        bench.disk.power_cut();
        if spoilt {
            // Without the checkpoint, the headers that were kept say it.
            bench.disk.lose(&bench.path(&names(&bench, CHECKPOINT)[0]));
        }
        bench.restart();
        for last in [&batches[2], &batches[3]] {
            let check = bench.log.check(&last.header(), bench.now);
            assert!(
                matches!(check, Check::Duplicate(past) if past.base_offset > Offset(3)),
                "{check:?}"
            );
        }
        assert_eq!(left(&mut bench).len(), 2);
    }
}

#[test]
fn a_batch_that_a_crash_may_take_is_not_its_producers_last() {
    let mut bench = bench(compacted());
    let sent = |sequence, key| {
        let producer = Producer::Idempotent {
            id: ProducerId(1),
            epoch: ProducerEpoch(0),
            base_sequence: Sequence(sequence),
        };
        records(&[(key, Some("x"))], Compression::None, producer, 9)
    };
    let durable = sent(0, "a");
    bench.append(durable.clone());
    bench.settle();
    put(&mut bench, &[("a", Some("last"))]);
    roll(&mut bench);
    bench.append(sent(1, "b"));
    let mut job = begin(&mut bench, RUN).expect("there is something to compact");
    let swapped = bench.run(&mut job);
    assert!(matches!(swapped, CompactOutcome::Swapped(..)));
    bench.disk.power_cut();
    for checkpoint in names(&bench, CHECKPOINT) {
        bench.disk.lose(&bench.path(&checkpoint));
    }
    bench.restart();
    assert_eq!(
        left(&mut bench),
        text(&[(1, "a=last")]),
        "the second batch was not synced"
    );
    let check = bench.log.check(&durable.header(), bench.now);
    assert!(
        matches!(check, Check::Duplicate(past) if past.base_offset == Offset(0)),
        "{check:?}"
    );
}

#[test]
fn an_emptied_stretch_is_read_over_and_readers_get_to_the_end() {
    let mut bench = bench(LogConfig {
        compaction: CompactionConfig {
            delete_retention_ms: 0,
            min_dirty_millionths: 0,
            ..CompactionConfig::default()
        },
        segment_bytes: 100,
        ..compacted()
    });
    put(&mut bench, &[("a", Some("1"))]);
    for _ in 0..4 {
        for _ in 0..3 {
            put(&mut bench, &[("a", None)]);
            roll(&mut bench);
        }
        compact(&mut bench);
    }
    // As if the topic had not been compacted before: records without keys are nobody's last value.
    bench.append(super::super::bench::batch(2, 30, Producer::Plain, 5));
    bench.settle();
    roll(&mut bench);
    compact(&mut bench);
    let end = bench.log.end();
    assert_eq!(
        left(&mut bench),
        [],
        "the last tombstone goes too, once its time is over"
    );
    assert_eq!(bench.log.size(), 61, "the header of the last batch");
    for from in 0..end.0 {
        let plan = bench.try_read(Offset(from), end, 1, true).expect("it is in range");
        assert_eq!(plan.next_offset, end);
        assert_ne!(plan.bytes, 0, "a reader is told where it is");
        bench.fetch(plan);
    }
    put(&mut bench, &[("b", Some("1"))]);
    bench.disk.power_cut();
    bench.restart();
    assert_eq!(left(&mut bench), [(end.0, String::from("b=1"))]);
}

#[test]
fn what_could_not_be_learnt_at_once_is_compacted_in_several_runs() {
    let mut bench = bench(compacted());
    for i in 0..20 {
        let (once, often) = (alloc::format!("once{i}"), alloc::format!("often{}", i % 3));
        put(&mut bench, &[(&once, Some("v")), (&often, Some("v"))]);
    }
    roll(&mut bench);
    let small = CompactRun {
        key_bytes: 8 * 24,
        ..RUN
    };
    let mut runs = 0;
    while let Some(job) = begin(&mut bench, small) {
        finish(&mut bench, job).expect("the disk is well");
        runs += 1;
        bench.disk.power_cut();
        bench.restart();
        assert!(runs < 20, "each run makes progress");
    }
    assert!(runs > 2);
    let left = left(&mut bench);
    assert_eq!(
        names(&bench, SEGMENT).last().map(String::as_str),
        Some("00000000000000000032.log")
    );
    let often = left
        .iter()
        .filter(|(offset, row)| *offset < 32 && row.starts_with("often"));
    assert_eq!(often.count(), 3, "but for what grows again after a restart");
    assert_eq!(left.iter().filter(|(_, row)| row.starts_with("once")).count(), 20);
}

#[test]
fn lags_and_the_dirty_ratio_say_when() {
    let lag = |min_lag_ms, max_lag_ms, min_dirty_millionths| LogConfig {
        compaction: CompactionConfig {
            min_dirty_millionths,
            min_lag_ms,
            max_lag_ms,
            ..CompactionConfig::default()
        },
        ..compacted()
    };
    let mut bench = bench(lag(1000, u64::MAX, 0));
    put(&mut bench, &[("a", Some("1")), ("a", Some("2"))]);
    roll(&mut bench);
    pass(&mut bench, 1000);
    assert!(begin(&mut bench, RUN).is_none(), "the second is a millisecond younger");
    pass(&mut bench, 1);
    compact(&mut bench);
    put(&mut bench, &[("a", Some("3"))]);
    bench.log.roll_for_compaction(bench.now, &mut bench.storage);
    assert_eq!(names(&bench, SEGMENT).len(), 2);
    // Half of the bytes are dirty: that is not more than half.
    bench.log.reconfigure(lag(0, 500, 900_000), bench.now);
    roll(&mut bench);
    assert!(begin(&mut bench, RUN).is_none());
    put(&mut bench, &[("b", Some("1"))]);
    pass(&mut bench, 501);
    bench.log.roll_for_compaction(bench.now, &mut bench.storage);
    bench.settle();
    compact(&mut bench);
    assert_eq!(left(&mut bench), text(&[(2, "a=3"), (3, "b=1")]));
}

#[test]
fn a_lookup_by_time_finds_what_is_left() {
    let mut bench = bench(compacted());
    for i in 0..30 {
        bench.now.wall.0 += 100;
        let key = alloc::format!("k{}", i % 4);
        put(&mut bench, &[(&key, Some("v")), ("x", Some("v"))]);
    }
    roll(&mut bench);
    compact(&mut bench);
    for restart in [false, true] {
        if restart {
            bench.disk.power_cut();
            bench.restart();
        }
        let rows = everything(&mut bench, 1000);
        let (first, last) = (rows[0].1 - 5, rows[rows.len() - 1].1 + 5);
        for time in first..last {
            let expected = rows.iter().find(|row| row.1 >= time).map(|row| (row.1, row.0));
            let found = found_by_time(&mut bench, time);
            assert_eq!(found.map(|found| (found.timestamp.0, found.offset.0)), expected);
        }
    }
}

/// What a look-up by time finds, wherever it has to look.
fn found_by_time(bench: &mut Bench, time: i64) -> Option<TimeFound> {
    let mut next = bench.log.find_time(Timestamp(time), &mut bench.storage);
    loop {
        let TimeAnswer::Lookup(mut job) = next else { return None };
        let outcome = bench.run(&mut *job);
        match bench
            .log
            .time_looked_up(outcome, &mut bench.storage)
            .expect("nothing is corrupt")
        {
            TimeLookedUp::Found(found) => return found,
            TimeLookedUp::Again(job) => next = TimeAnswer::Lookup(job),
        }
    }
}

#[test]
fn a_batch_of_which_nothing_is_left_behind_the_start_is_passed_over_by_time() {
    let mut bench = bench(compacted());
    put(&mut bench, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]);
    put(&mut bench, &[("c", Some("2"))]);
    roll(&mut bench);
    compact(&mut bench);
    assert_eq!(left(&mut bench), text(&[(0, "a=1"), (1, "b=1"), (3, "c=2")]));
    bench.delete_below(Offset(2));
    let found = found_by_time(&mut bench, 0).map(|found| found.offset);
    assert_eq!(found, Some(Offset(3)), "offset 2 holds nothing any more");
}

#[test]
fn a_reader_keeps_what_it_holds_while_the_segment_is_replaced() {
    let mut bench = bench(compacted());
    put(&mut bench, &[("a", Some("1")), ("a", Some("2"))]);
    roll(&mut bench);
    let end = bench.log.end();
    let plan = bench.try_read(Offset(0), end, 1000, true).expect("it is in range");
    compact(&mut bench);
    assert_eq!(names(&bench, SEGMENT).len(), 2, "the old file stays for its reader");
    let bytes = bench.fetch(plan);
    let held: Vec<Batch> = crate::record::split(&bytes.into())
        .map(|batch| batch.expect("it is whole"))
        .collect();
    assert_eq!(rows_of(&held).len(), 2);
    bench.settle();
    assert_eq!(names(&bench, SEGMENT).len(), 1);
    assert_eq!(left(&mut bench), text(&[(1, "a=2")]));
}

#[test]
fn a_log_that_is_only_compacted_begins_where_it_began() {
    let mut bench = bench(LogConfig {
        segment_bytes: 100,
        ..compacted()
    });
    for value in ["1", "2", "3"] {
        put(&mut bench, &[("a", Some(value))]);
    }
    roll(&mut bench);
    compact(&mut bench);
    assert!(
        names(&bench, SEGMENT)[0].ends_with(".00000000000000000001.1.log"),
        "a file of its own, without records"
    );
    let end = bench.log.end();
    assert!(!bench.log.retain(end, bench.now, &mut bench.storage));
    bench.settle();
    assert_eq!(bench.log.start(), Offset(0));
    let first = &bench.consume(Offset(0), end, 1)[0];
    assert_eq!(
        first.header().next_offset(),
        Offset(3),
        "who stands at the beginning reads on"
    );
}

#[test]
fn both_policies_at_once() {
    let mut bench = bench(LogConfig {
        cleanup: CleanupPolicy::CompactDelete,
        retention_ms: Some(60_000),
        ..compacted()
    });
    for i in 0..10 {
        put(&mut bench, &[("a", Some("1")), (&alloc::format!("{i}"), Some("v"))]);
        pass(&mut bench, 10);
    }
    roll(&mut bench);
    let job = begin(&mut bench, RUN).expect("there is something to compact");
    pass(&mut bench, 61_000);
    put(&mut bench, &[("new", Some("v"))]);
    let end = bench.log.end();
    assert!(
        !bench.log.retain(end, bench.now, &mut bench.storage),
        "what is read stays"
    );
    finish(&mut bench, job).expect("the disk is well");
    bench.settle();
    while bench.log.retain(end, bench.now, &mut bench.storage) {
        bench.settle();
    }
    bench.settle();
    assert_eq!(left(&mut bench), text(&[(20, "new=v")]));
    assert_eq!(bench.log.start(), Offset(20));
    bench.disk.power_cut();
    bench.restart();
    assert_eq!((bench.log.start(), bench.log.end()), (Offset(20), end));
}
