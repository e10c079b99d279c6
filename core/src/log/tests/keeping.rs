//! Rolling, retention and the ends of logs, whatever the wall clock does.

use super::bench::{Bench, SEGMENT, batch, config};
use crate::config::{FlushMode, Limits};
use crate::log::{Check, LogConfig, Source};
use crate::record::Producer;
use crate::types::{Monotonic, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

fn bench(config: LogConfig) -> Bench {
    let mut bench = Bench::with(config, Limits::default(), FlushMode::Fsync);
    bench.now.wall = Timestamp(1_000_000_000);
    bench
}

fn append(bench: &mut Bench, count: usize) {
    for _ in 0..count {
        bench.append(batch(2, 30, Producer::Plain, bench.now.wall.0));
        bench.settle();
    }
}

fn segments(bench: &Bench) -> usize {
    bench.disk.files().iter().filter(|name| name.ends_with(SEGMENT)).count()
}

fn pass(bench: &mut Bench, ms: u64) {
    bench.now.monotonic = bench.now.monotonic.plus_millis(ms);
    bench.now.wall.0 += ms as i64;
}

#[test]
fn a_segment_is_rolled_by_its_age_and_not_by_a_stepping_clock() {
    let mut bench = bench(LogConfig {
        segment_bytes: 1 << 20,
        segment_ms: 1000,
        ..config()
    });
    append(&mut bench, 2);
    for years in [10, -20, 5, 3] {
        bench.now.wall.0 += years * 31_536_000_000;
        append(&mut bench, 2);
    }
    assert_eq!(segments(&bench), 1);
    pass(&mut bench, 1001);
    append(&mut bench, 3);
    assert_eq!(segments(&bench), 2);
}

#[test]
fn retention_by_time_keeps_what_a_forward_step_makes_look_old() {
    let mut bench = bench(LogConfig {
        retention_ms: Some(60_000),
        ..config()
    });
    append(&mut bench, 30);
    let end = bench.log.end();
    bench.now.wall.0 += 31_536_000_000;
    assert!(!bench.log.retain(end, bench.now, &mut bench.storage));
    assert_eq!(bench.log.start(), Offset(0));
    bench.now.wall.0 -= 31_536_000_000;
    pass(&mut bench, 61_000);
    append(&mut bench, 1);
    let below = Offset(20);
    assert!(bench.log.retain(below, bench.now, &mut bench.storage));
    bench.settle();
    let start = bench.log.start();
    assert!(start > Offset(0) && start <= below, "nothing above the limit goes");
    assert!(bench.try_read(Offset(0), end, 10, true).is_none());
    bench.disk.power_cut();
    bench.restart();
    assert_eq!(bench.log.start(), start, "a removal that is done is durable");
    assert_eq!(bench.consume(start, end, 500)[0].header().base_offset, start);
}

#[test]
fn a_log_whose_every_record_expired_still_knows_where_it_ends() {
    let mut bench = bench(LogConfig {
        retention_ms: Some(60_000),
        ..config()
    });
    append(&mut bench, 3);
    pass(&mut bench, 61_000);
    let end = bench.log.end();
    assert!(
        !bench.log.retain(end, bench.now, &mut bench.storage),
        "the segment that follows is not there yet"
    );
    bench.settle();
    assert!(
        !bench.log.retain(end, bench.now, &mut bench.storage),
        "nothing proves yet where the log begins"
    );
    bench.settle();
    assert!(bench.log.retain(end, bench.now, &mut bench.storage));
    bench.settle();
    assert_eq!((bench.log.start(), bench.log.end()), (end, end));
    bench.disk.power_cut();
    bench.restart();
    assert_eq!((bench.log.start(), bench.log.end()), (end, end));
    let entry = bench.close();
    let recovered = bench.recover(Source::Clean(entry)).expect("nothing is corrupt");
    bench.reopen(recovered);
    assert_eq!((bench.log.start(), bench.log.end()), (end, end));
    assert_eq!(bench.append(batch(1, 5, Producer::Plain, 0)), end);
}

#[test]
fn retention_by_size_keeps_at_least_that_much() {
    let mut bench = bench(LogConfig {
        retention_ms: None,
        retention_bytes: Some(2500),
        ..config()
    });
    append(&mut bench, 60);
    let (end, size) = (bench.log.end(), bench.log.size());
    assert!(size > 5000);
    bench.log.retain(end, bench.now, &mut bench.storage);
    bench.settle();
    assert!((2500..=3500).contains(&bench.log.size()), "{}", bench.log.size());
    assert!(!bench.log.retain(end, bench.now, &mut bench.storage));
    assert!(bench.storage.is_quiet());
}

#[test]
fn a_segment_that_is_being_read_goes_when_the_reader_is_done() {
    let mut bench = bench(LogConfig {
        retention_ms: None,
        retention_bytes: Some(0),
        ..config()
    });
    bench.limits.tail_cache_bytes = 0;
    append(&mut bench, 20);
    bench.disk.power_cut();
    bench.restart();
    let end = bench.log.end();
    let plan = bench.try_read(Offset(0), end, 300, true).expect("in range");
    assert_eq!(plan.leases.len(), 1);
    bench.log.retain(end, bench.now, &mut bench.storage);
    bench.settle();
    assert!(bench.disk.file(&bench.path("00000000000000000000.log")).is_some());
    let bytes = bench.fetch(plan);
    assert!(!bytes.is_empty());
    bench.settle();
    assert_eq!(segments(&bench), 1);
}

#[test]
fn a_long_segment_gets_checkpoints_while_it_grows() {
    let mut bench = bench(LogConfig {
        segment_bytes: 1 << 20,
        checkpoint_bytes: 500,
        note_bytes: 100,
        ..config()
    });
    append(&mut bench, 20);
    bench.disk.power_cut();
    let report = bench.restart();
    assert!(report.batches_read < 5, "{report:?}");
    assert_eq!(bench.log.end(), Offset(40));
    assert_eq!(bench.consume(Offset(0), Offset(40), 300).len(), 20);
}

#[test]
fn a_deleted_log_leaves_nothing() {
    let mut bench = bench(config());
    append(&mut bench, 20);
    bench.log.delete(&mut bench.storage);
    bench.settle();
    assert_eq!(bench.disk.files().len(), 0);
    assert_eq!(bench.disk.open_files(), 0);
    assert!(bench.storage.is_quiet());
}

#[test]
fn the_clock_of_retention_never_runs_ahead() {
    let mut bench = bench(config());
    let steady = |bench: &mut Bench, monotonic, wall| {
        bench.now.monotonic = Monotonic(0).plus_millis(monotonic);
        bench.now.wall = Timestamp(wall);
        bench.storage.steady(bench.now).0
    };
    assert_eq!(steady(&mut bench, 0, 1000), 1000);
    assert_eq!(steady(&mut bench, 10, 90_000), 1010);
    assert_eq!(steady(&mut bench, 20, 500), 500);
}

/// A log whose records retention has removed, all of them, and a batch of those.
fn emptied() -> (Bench, crate::record::Batch) {
    let mut bench = bench(LogConfig {
        retention_ms: Some(60_000),
        ..config()
    });
    let producer = Producer::Idempotent {
        id: ProducerId(5),
        epoch: ProducerEpoch(0),
        base_sequence: Sequence(0),
    };
    let sent = batch(2, 30, producer, bench.now.wall.0);
    bench.append(sent.clone());
    bench.settle();
    pass(&mut bench, 61_000);
    let end = bench.log.end();
    for _ in 0..3 {
        bench.log.retain(end, bench.now, &mut bench.storage);
        bench.settle();
    }
    assert_eq!((bench.log.start(), bench.log.end()), (end, end));
    assert_eq!(bench.log.size(), 0);
    (bench, sent)
}

#[test]
fn a_log_that_retention_emptied_still_knows_its_producers_and_epochs_however_it_was_closed() {
    for clean in [false, true] {
        let (mut bench, sent) = emptied();
        let epochs = bench.log.epochs().clone();
        let before = bench.log.check(&sent.header(), bench.now);
        assert!(matches!(before, Check::Duplicate(_)), "{before:?}");
        for _ in 0..2 {
            let entry = bench.close();
            let source = if clean { Source::Clean(entry) } else { Source::Directory };
            let recovered = bench.recover(source).expect("nothing is corrupt");
            bench.reopen(recovered);
            let after = bench.log.check(&sent.header(), bench.now);
            assert!(
                matches!(after, Check::Duplicate(_)),
                "clean {clean}: the retry is {after:?}"
            );
            assert_eq!(*bench.log.epochs(), epochs, "clean {clean}");
        }
    }
}

#[test]
fn an_empty_log_whose_checkpoint_rotted_is_read_as_after_a_crash() {
    let (mut bench, _) = emptied();
    let end = bench.log.end();
    let entry = bench.close();
    for name in bench.disk.files().iter().filter(|name| name.ends_with(".checkpoint")) {
        bench.disk.spoil(name, |bytes| bytes[9] ^= 1);
    }
    let recovered = bench.recover(Source::Clean(entry)).expect("its segment is there");
    bench.reopen(recovered);
    assert_eq!((bench.log.start(), bench.log.end()), (end, end));
    let entry = bench.close();
    bench.disk.history.clear();
    let recovered = bench.recover(Source::Clean(entry)).expect("its segment is there");
    assert_eq!((recovered.start(), recovered.end()), (end, end));
    assert!(
        !bench.disk.history.contains(&"list"),
        "it has a checkpoint again: {:?}",
        bench.disk.history
    );
}
