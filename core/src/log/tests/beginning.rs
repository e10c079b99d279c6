//! Logs that begin where clients said: what was deleted stays so, and what was not is still there.

use super::bench::{Bench, SEGMENT, batch, config};
use crate::config::{FlushMode, Limits};
use crate::log::{LogConfig, Source};
use crate::record::Producer;
use crate::storage::{FileOp, IoValue};
use crate::types::{Fault, Offset, Seed};
use alloc::string::String;
use alloc::vec::Vec;

/// A log of `count` batches of two records, several to a segment.
fn filled(count: usize) -> Bench {
    let mut bench = Bench::new();
    for _ in 0..count {
        bench.append(batch(2, 60, Producer::Plain, 0));
        bench.settle();
    }
    bench
}

fn named(bench: &Bench, ending: &str) -> Vec<String> {
    let names = bench.disk.files().into_iter();
    names.filter(|name| name.ends_with(ending)).collect()
}

/// Every batch from `start` on is there, and nothing before can be read.
fn check(bench: &mut Bench, start: Offset, end: Offset) {
    assert_eq!((bench.log.start(), bench.log.end()), (start, end));
    if start > Offset(0) {
        assert!(bench.try_read(start.plus(-1), end, 1000, true).is_none());
    }
    let batches = bench.consume(start, end, 700);
    let records: i32 = batches.iter().map(|batch| batch.header().record_count).sum();
    let first = batches.first().map_or(end, |batch| batch.header().base_offset);
    assert!(
        first <= start && i64::from(records) == end.since(first),
        "{first}, {records} records"
    );
}

#[test]
fn what_was_deleted_stays_so_after_a_power_cut_and_a_clean_stop() {
    let mut bench = filled(20);
    for start in [1, 7, 12] {
        bench.delete_below(Offset(start));
        check(&mut bench, Offset(start), Offset(40));
        bench.disk.power_cut();
        bench.restart();
        check(&mut bench, Offset(start), Offset(40));
    }
    let entry = bench.close();
    assert_eq!(entry.start, Offset(12));
    let recovered = bench.recover(Source::Clean(entry)).expect("nothing is corrupt");
    bench.reopen(recovered);
    check(&mut bench, Offset(12), Offset(40));
    bench.delete_below(Offset(15));
    bench.disk.kill();
    bench.restart();
    check(&mut bench, Offset(15), Offset(40));
    assert_eq!(named(&bench, ".start"), [bench.path("00000000000000000015.start")]);
}

#[test]
fn whole_segments_below_the_start_go_once_a_later_one_is_proven() {
    let mut bench = filled(20);
    let before = named(&bench, SEGMENT).len();
    bench.delete_below(Offset(33));
    let left = named(&bench, SEGMENT);
    assert!(left.len() < before && left.len() <= 2, "{left:?}");
    assert!(
        left.iter().all(|name| *name > bench.path("00000000000000000027")),
        "{left:?}"
    );
    assert_eq!(bench.append(batch(2, 60, Producer::Plain, 0)), Offset(40));
    bench.settle();
    bench.disk.power_cut();
    bench.restart();
    check(&mut bench, Offset(33), Offset(42));
}

#[test]
fn an_emptied_log_still_knows_where_it_ends() {
    for count in [1, 3, 20] {
        let mut bench = filled(count);
        let end = bench.log.end();
        bench.delete_below(end);
        check(&mut bench, end, end);
        bench.disk.power_cut();
        bench.restart();
        check(&mut bench, end, end);
        assert_eq!(bench.append(batch(1, 10, Producer::Plain, 0)), end);
        bench.settle();
        bench.disk.power_cut();
        bench.restart();
        check(&mut bench, end, end.plus(1));
    }
}

#[test]
fn a_crash_while_the_start_moves_leaves_the_old_one_or_the_new_one() {
    let mut seen = Vec::new();
    for steps in 0..10 {
        for seed in 0..8 {
            let mut bench = filled(20);
            bench.delete_below(Offset(5));
            let mut job = bench.log.mark_start(Offset(23), &mut bench.storage);
            let done = bench.run_some(&mut job, steps).is_some();
            bench.disk.power_cut_partially(&mut Seed::new(seed));
            bench.restart();
            let start = bench.log.start();
            check(&mut bench, start, Offset(40));
            assert!(
                start == Offset(23) || (start == Offset(5) && !done),
                "{start} after {steps}"
            );
            seen.push(start);
        }
    }
    assert!(seen.contains(&Offset(5)) && seen.contains(&Offset(23)));
}

#[test]
fn a_crash_while_segments_go_leaves_no_hole() {
    for seed in 0..40 {
        let mut bench = filled(20);
        let mut job = bench.log.mark_start(Offset(33), &mut bench.storage);
        let outcome = bench.run(&mut job);
        bench
            .log
            .start_marked(&outcome, &mut bench.storage)
            .expect("the disk is well");
        bench.log.remove_passed(bench.now, &mut bench.storage);
        bench.work();
        bench.log.remove_passed(bench.now, &mut bench.storage);
        let mut chance = Seed::new(seed);
        for _ in 0..chance.below(20) {
            bench.step();
        }
        bench.disk.power_cut_partially(&mut chance);
        bench.restart();
        check(&mut bench, Offset(33), Offset(40));
    }
}

#[test]
fn a_mark_behind_the_end_is_where_the_log_goes_on() {
    let lazy = LogConfig {
        flush: FlushMode::Os,
        ..config()
    };
    let mut bench = Bench::with(lazy, Limits::default(), FlushMode::Os);
    for _ in 0..4 {
        bench.append(batch(2, 60, Producer::Plain, 0));
        bench.settle();
    }
    bench.delete_below(Offset(6));
    let path = bench.log.place().path.parent();
    assert_eq!(bench.disk.perform(&FileOp::SyncDirectory { path }), Ok(IoValue::Done));
    bench.disk.power_cut();
    bench.restart();
    check(&mut bench, Offset(6), Offset(6));
    bench.append(batch(2, 60, Producer::Plain, 0));
    bench.settle();
    bench.restart();
    check(&mut bench, Offset(6), Offset(8));
}

#[test]
fn without_a_descriptor_for_the_mark_the_log_begins_where_it_did() {
    let mut bench = filled(3);
    let mut job = bench.log.mark_start(Offset(2), &mut bench.storage);
    bench.disk.descriptors = Some(0);
    let outcome = bench.run(&mut job);
    bench.disk.descriptors = None;
    assert_eq!(outcome.result, Err(Fault::NoDescriptors));
    let fault = bench.log.start_marked(&outcome, &mut bench.storage);
    assert!(fault.is_ok() && !bench.log.is_marking());
    check(&mut bench, Offset(0), Offset(6));
}

/// Four batches of two records, of which the device has the first two, and whose records were all deleted; then the power
/// goes.
fn deleted_and_cut() -> Bench {
    let lazy = LogConfig {
        segment_bytes: 1 << 20,
        flush: FlushMode::Os,
        ..config()
    };
    let mut bench = Bench::with(lazy, Limits::default(), FlushMode::Os);
    for written_back in [true, false] {
        for _ in 0..2 {
            bench.append(batch(2, 60, Producer::Plain, 0));
            bench.settle();
        }
        if written_back {
            bench.log.sync(&mut bench.storage);
            bench.settle();
        }
    }
    bench.delete_below(Offset(8));
    assert_eq!(bench.log.start(), Offset(8));
    bench.disk.power_cut();
    bench
}

#[test]
fn a_log_that_lost_its_end_down_to_below_what_was_deleted_begins_and_ends_there() {
    let mut bench = deleted_and_cut();
    for _ in 0..2 {
        bench.restart();
        check(&mut bench, Offset(8), Offset(8));
    }
    assert_eq!(named(&bench, SEGMENT), [""; 0], "what was deleted is gone");
    // What is appended then is found again, with nothing but the mark to say where the log begins.
    bench.append(batch(2, 60, Producer::Plain, 0));
    bench.settle();
    bench.log.sync(&mut bench.storage);
    bench.settle();
    for cut_power in [false, true] {
        if cut_power {
            bench.disk.power_cut();
        }
        bench.restart();
        check(&mut bench, Offset(8), Offset(10));
    }
    let entry = bench.close();
    let recovered = bench.recover(Source::Clean(entry)).expect("nothing is corrupt");
    bench.reopen(recovered);
    check(&mut bench, Offset(8), Offset(10));
}

#[test]
fn a_recovery_that_dies_while_it_lets_a_log_begin_anew_is_made_good_by_the_next() {
    let cut = deleted_and_cut();
    for steps in 1.. {
        let mut done = false;
        for number in 0..8 {
            let mut bench = deleted_and_cut();
            bench.disk = cut.disk.clone();
            let mut job = bench.recover_job(Source::Directory);
            done = bench.run_some(&mut job, steps).is_some();
            if number > 0 {
                bench.disk.power_cut_partially(&mut Seed::new(number));
            }
            bench.restart();
            check(&mut bench, Offset(8), Offset(8));
        }
        if done {
            break;
        }
    }
}

#[test]
fn damage_below_what_was_deleted_costs_nothing_that_stands_behind_it() {
    // With a note and without: what is deleted was synced before.
    for note in [true, false] {
        let mut bench = filled(6);
        bench.delete_below(Offset(6));
        let segment = named(&bench, SEGMENT)[0].clone();
        let gone = named(&bench, ".checkpoint").into_iter();
        let gone = gone.chain(named(&bench, "/synced").into_iter().filter(|_| !note));
        gone.for_each(|name| bench.disk.lose(&name));
        bench.disk.spoil(&segment, |bytes| bytes[70] ^= 1);
        let before = bench.disk.file(&segment).map(<[u8]>::to_vec);
        let fault = bench
            .recover(Source::Directory)
            .expect_err("synced records are damaged");
        assert!(matches!(fault, Fault::Corruption(_)), "{fault:?}");
        assert_eq!(
            bench.disk.file(&segment).map(<[u8]>::to_vec),
            before,
            "nothing is cut off"
        );
    }
}

#[test]
fn a_log_that_lost_its_end_is_left_as_it_is_whatever_was_deleted_of_it() {
    let noting = LogConfig {
        note_bytes: 1,
        ..config()
    };
    let mut bench = Bench::with(noting, Limits::default(), FlushMode::Fsync);
    for _ in 0..40 {
        bench.append(batch(2, 60, Producer::Plain, 0));
        bench.settle();
    }
    let segments = named(&bench, SEGMENT);
    assert!(segments.len() > 3, "{segments:?}");
    // The mark is there, and what it passes by is not removed yet.
    let mark = bench.log.place().start(bench.log.end().plus(-2));
    bench.disk.put(&mark.relative, b"");
    for lost in &segments[2..] {
        bench.disk.lose(lost);
        bench.disk.lose(&lost.replace(SEGMENT, ".checkpoint"));
    }
    let fault = bench.recover(Source::Directory).expect_err("the note says more");
    assert!(matches!(fault, Fault::Corruption(_)), "{fault:?}");
    assert_eq!(named(&bench, SEGMENT), segments[..2], "nothing is removed");
}
