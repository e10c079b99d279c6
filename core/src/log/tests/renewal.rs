//! After a failed sync the page cache shows what the device does not hold, and a sync of the next process succeeds.

use super::bench::{Bench, EPOCH, batch, config};
use super::recovery::{FIRST, filled, one_segment, producer};
use crate::config::{FlushMode, Limits};
use crate::log::{LogConfig, Source, Writes};
use crate::storage::FileOp;
use crate::types::{Fault, Offset};

/// A log of which `known` batches are durable, and whose next `lost` were written, and their sync failed; then the process
/// ended.
fn unsynced(config: LogConfig, known: i32, lost: i32) -> Bench {
    let mut bench = filled(config, known);
    for i in known..known + lost {
        bench.append(batch(2, 30, producer(i * 2), i64::from(i)));
    }
    while let Some((token, op)) = {
        bench.collect();
        bench.asked.pop_front()
    } {
        bench.disk.fail_syncs = matches!(op, FileOp::Sync { .. } | FileOp::SyncAll { .. });
        let result = bench.disk.perform(&op);
        if bench.disk.fail_syncs {
            // The broker halts.
            break;
        }
        bench.answer(token, result);
    }
    assert!(bench.disk.fail_syncs, "there was something to sync");
    bench.disk.fail_syncs = false;
    bench.disk.kill();
    bench
}

#[test]
fn what_a_failed_sync_left_readable_is_on_the_device_before_it_is_served() {
    for writes in [Writes::Ahead, Writes::OneByOne] {
        for config in [one_segment(), config()] {
            let mut bench = unsynced(LogConfig { writes, ..config }, 5, 3);
            bench.restart();
            let end = bench.log.end();
            assert_eq!(bench.log.durable_end(), end);
            assert!(end > Offset(10), "{end}: what was read was kept");
            let before = bench.consume(Offset(0), end, 500);
            bench.disk.power_cut();
            bench.restart();
            assert_eq!(bench.log.end(), end, "it was served, and a power cut took it");
            assert_eq!(bench.consume(Offset(0), end, 500), before);
        }
    }
}

#[test]
fn a_recovery_whose_sync_fails_believes_nothing_and_the_next_one_makes_it_true() {
    let mut bench = unsynced(one_segment(), 5, 3);
    for _ in 0..2 {
        bench.disk.fail_syncs = true;
        let refused = bench.recover(Source::Directory);
        assert!(matches!(refused, Err(Fault::Unsynced(_))), "{refused:?}");
        bench.disk.fail_syncs = false;
    }
    bench.restart();
    bench.disk.power_cut();
    bench.restart();
    assert_eq!(bench.log.end(), Offset(16));
}

#[test]
fn a_recovery_that_dies_anywhere_has_the_device_lose_nothing_that_it_held() {
    let failed = unsynced(one_segment(), 5, 3);
    for steps in 1.. {
        let mut bench = Bench::new();
        bench.config = one_segment();
        bench.disk = failed.disk.clone();
        let mut job = bench.recover_job(Source::Directory);
        let done = bench.run_some(&mut job, steps).is_some();
        bench.disk.power_cut();
        bench.restart();
        assert!(
            bench.log.end() >= Offset(if done { 16 } else { 10 }),
            "after {steps} steps"
        );
        if done {
            break;
        }
    }
}

#[test]
fn only_what_nobody_knows_to_be_synced_is_written_again() {
    let length = filled(one_segment(), 1)
        .disk
        .file(&Bench::new().path(FIRST))
        .map_or(0, <[u8]>::len) as u64;
    let noted = LogConfig {
        note_bytes: 1,
        ..one_segment()
    };
    let checkpointed = LogConfig {
        checkpoint_bytes: length,
        ..one_segment()
    };
    for (how, config, expected) in [
        ("neither", one_segment(), 6 * length),
        ("a note", noted, 0),
        ("a checkpoint", checkpointed, 0),
    ] {
        let mut bench = filled(config, 6);
        let report = bench.restart();
        assert_eq!(report.bytes_renewed, expected, "{how}");
        assert_eq!(bench.restart().bytes_renewed, 0, "{how}: it has a checkpoint now");
    }
    let lazy = LogConfig {
        flush: FlushMode::Os,
        ..one_segment()
    };
    let mut bench = Bench::with(lazy, Limits::default(), FlushMode::Os);
    bench.append(batch(2, 30, producer(0), 0));
    bench.settle();
    assert_eq!(
        bench.restart().bytes_renewed,
        0,
        "nothing was promised but the page cache"
    );
    let mut bench = unsynced(
        LogConfig {
            note_bytes: 1,
            ..one_segment()
        },
        5,
        3,
    );
    assert_eq!(bench.restart().bytes_renewed, 3 * length);
}

#[test]
fn a_batch_of_many_reads_is_written_again_whole() {
    let large = LogConfig {
        segment_bytes: 1 << 28,
        note_bytes: u64::MAX,
        ..config()
    };
    let mut bench = Bench::with(large, Limits::default(), FlushMode::Fsync);
    for bytes in [100, 3 << 20, 10 << 20, 100] {
        bench.append(batch(1, bytes, crate::record::Producer::Plain, 0));
        bench.settle();
    }
    let path = bench.path(FIRST);
    let whole = bench.disk.file(&path).map_or(0, <[u8]>::len) as u64;
    // The last batch is not whole: a few bytes of it are missing.
    bench.disk.spoil(&path, |bytes| bytes.truncate(whole as usize - 3));
    let report = bench.restart();
    assert_eq!(bench.log.end(), Offset(3));
    let size = bench.disk.file(&path).map_or(0, <[u8]>::len) as u64;
    assert_eq!(report.bytes_renewed, size, "nothing of what was cut");
    assert_eq!(report.bytes_truncated, whole - 3 - size);
    assert_eq!(bench.consume(Offset(0), Offset(3), 500).len(), 3);
}

#[test]
fn what_a_process_synced_it_does_not_write_again() {
    let mut bench = filled(one_segment(), 3);
    bench.disk.room = Some(50);
    bench.append(batch(2, 30, producer(6), 0));
    bench.settle();
    assert!(bench.log.has_failed());
    let mut job = bench
        .log
        .recovery(EPOCH, bench.now, &mut bench.storage)
        .expect("nothing works on it");
    let recovered = bench.run(&mut job).expect("the disk is full, and well");
    assert_eq!((recovered.report.bytes_renewed, recovered.end()), (0, Offset(6)));
}
