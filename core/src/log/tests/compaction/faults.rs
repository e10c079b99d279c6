//! Compaction under failing operations, damage and crashes.

use super::super::bench::{Bench, CHECKPOINT, SEGMENT};
use super::{RUN, begin, bench, compact, compacted, everything, finish, names, one_segment, put, records, roll};
use crate::log::{Check, CompactRun, CompactStop, LogConfig, Source};
use crate::record::{Batch, Compression, Producer};
use crate::storage::{FileOp, IoError, IoErrorKind, IoValue, Job, Next};
use crate::types::{Fault, ProducerEpoch, ProducerId, Seed, Sequence};
use alloc::string::String;
use alloc::vec::Vec;

#[test]
fn a_full_disk_or_a_damaged_segment_ends_it_and_changes_nothing() {
    let mut bench = bench(one_segment());
    for _ in 0..5 {
        put(&mut bench, &[("a", Some("1")), ("b", None)]);
    }
    roll(&mut bench);
    let before = (everything(&mut bench, 1000), bench.disk.files());
    bench.disk.room = Some(10);
    let job = begin(&mut bench, RUN).expect("there is something to compact");
    assert_eq!(finish(&mut bench, job), Err(CompactStop::Later(Fault::NoSpace)));
    bench.disk.room = None;
    assert_eq!((everything(&mut bench, 1000), bench.disk.files()), before);
    let segment = bench.path(&names(&bench, SEGMENT)[0]);
    bench.disk.spoil(&segment, |bytes| bytes[70] ^= 1);
    bench.disk.evict();
    let job = begin(&mut bench, RUN).expect("there is something to compact");
    assert!(matches!(
        finish(&mut bench, job),
        Err(CompactStop::Unreadable(Fault::Corruption(_)))
    ));
    assert!(!bench.disk.is_cached(&segment, 70), "nobody would check it there");
    assert!(begin(&mut bench, RUN).is_none(), "nobody tries again");
    assert_eq!(bench.disk.files(), before.1);
}

#[test]
fn a_damaged_cleaned_segment_is_never_cut() {
    let mut bench = bench(compacted());
    for i in 0..4 {
        put(&mut bench, &[(&alloc::format!("{i}"), Some("1"))]);
    }
    roll(&mut bench);
    compact(&mut bench);
    bench.disk.lose(&bench.path(&names(&bench, CHECKPOINT)[0]));
    let whole = bench.disk.clone();
    let segment = bench.path(&names(&bench, SEGMENT)[0]);
    let length = whole.file(&segment).map_or(0, <[u8]>::len);
    for at in (0..length).step_by(7) {
        bench.disk = whole.clone();
        bench.disk.spoil(&segment, |bytes| bytes.truncate(at));
        // Cut between two batches it reads well, and is shorter; its checkpoint would tell.
        if !matches!(bench.recover(Source::Directory), Err(Fault::Corruption(_))) {
            assert_eq!(at % (length / 4), 0);
        }
    }
}

/// Lets each operation of a compaction fail once in this way, cuts the power after it, and returns how many runs ended
/// early. One that was put off is tried once more before that.
fn failures(kind: IoErrorKind) -> u32 {
    let mut failures = 0;
    for step in 0..60 {
        let mut bench = bench(one_segment());
        for i in 0..6 {
            put(&mut bench, &[("a", Some("1")), (&alloc::format!("{i}"), None)]);
        }
        roll(&mut bench);
        let before = everything(&mut bench, 1000);
        let mut job = begin(&mut bench, RUN).expect("there is something to compact");
        let mut done = Ok(IoValue::Done);
        let mut at = 0;
        let stop = loop {
            match job.resume(done) {
                Next::Io(op) => {
                    let failed = Err(IoError {
                        kind,
                        text: String::from("input/output error"),
                    });
                    done = if at == step { failed } else { bench.disk.perform(&op) };
                    at += 1;
                }
                Next::Later => done = Ok(IoValue::Done),
                Next::Done(outcome) => {
                    match bench.log.compacted(outcome, bench.now, &mut bench.storage) {
                        Ok(Some(next)) => job = next,
                        Ok(None) => break None,
                        Err(stop) => break Some(stop),
                    }
                    done = Ok(IoValue::Done);
                }
            }
        };
        failures += u32::from(stop.is_some());
        if matches!(stop, Some(CompactStop::Later(_))) {
            compact(&mut bench);
        }
        bench.disk.power_cut();
        bench.restart();
        let after = everything(&mut bench, 1000);
        assert!(after == before || after.len() == 7, "step {step}: {after:?}");
    }
    failures
}

#[test]
fn every_failing_operation_is_survived() {
    assert!(failures(IoErrorKind::Device) > 10);
}

#[test]
fn every_operation_without_a_descriptor_is_survived() {
    assert!(failures(IoErrorKind::TooManyOpenFiles) > 3);
}

/// The next compaction would give its file the same generation, and recovery could not tell which of the two counts.
#[test]
fn a_name_that_no_descriptor_was_left_to_sync_stands_all_the_same() {
    let mut bench = bench(one_segment());
    for _ in 0..6 {
        put(&mut bench, &[("a", Some("1")), ("b", Some("2"))]);
    }
    roll(&mut bench);
    let mut job = begin(&mut bench, RUN).expect("there is something to compact");
    let mut done = Ok(IoValue::Done);
    let mut refusals = 3;
    let ended = loop {
        match job.resume(done) {
            Next::Io(FileOp::SyncDirectory { .. }) if refusals > 0 => {
                refusals -= 1;
                done = Err(IoError {
                    kind: IoErrorKind::TooManyOpenFiles,
                    text: String::from("too many open files"),
                });
            }
            Next::Io(op) => done = bench.disk.perform(&op),
            Next::Later => done = Ok(IoValue::Done),
            Next::Done(outcome) => match bench.log.compacted(outcome, bench.now, &mut bench.storage) {
                Ok(Some(next)) => (job, done) = (next, Ok(IoValue::Done)),
                Ok(None) => break Ok(()),
                Err(stop) => break Err(stop),
            },
        }
    };
    assert_eq!((ended, refusals), (Ok(()), 0));
    put(&mut bench, &[("a", Some("3")), ("c", Some("4"))]);
    roll(&mut bench);
    compact(&mut bench);
    let whole = everything(&mut bench, 1000);
    bench.disk.power_cut();
    bench.restart();
    assert_eq!(everything(&mut bench, 1000), whole);
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_segments_or_the_new() {
    for stretch_bytes in [1, 1 << 20] {
        let mut fresh = bench(LogConfig {
            segment_bytes: 300,
            ..compacted()
        });
        let mut seed = Seed::new(77);
        for i in 0..14 {
            put(
                &mut fresh,
                &[("a", Some("1")), (&alloc::format!("{}", i % 4), Some("2")), ("b", None)],
            );
        }
        roll(&mut fresh);
        let old = everything(&mut fresh, 10_000);
        let files = fresh.disk.clone();
        let mut groups = Vec::new();
        let mut steps = 0;
        let mut finished = false;
        while !finished {
            fresh.disk = files.clone();
            fresh.restart();
            let run = CompactRun { stretch_bytes, ..RUN };
            let mut job = begin(&mut fresh, run).expect("there is something to compact");
            let mut left = steps;
            finished = loop {
                let Some(outcome) = fresh.run_steps(&mut job, &mut left) else {
                    break false;
                };
                match fresh
                    .log
                    .compacted(outcome, fresh.now, &mut fresh.storage)
                    .expect("the disk is well")
                {
                    Some(next) => job = next,
                    None => break true,
                }
                while left > 0 && fresh.step() {
                    left -= 1;
                }
            };
            steps += 1;
            for _ in 0..6 {
                let cut = fresh.disk.clone();
                fresh.disk.power_cut_partially(&mut seed);
                fresh.restart();
                let rows = everything(&mut fresh, 10_000);
                if !groups.contains(&rows) {
                    groups.push(rows);
                }
                fresh.disk = cut;
            }
        }
        // The old log, and one more for each group that was swapped: a prefix is new, the rest is old.
        let new = groups.last().expect("it was finished").clone();
        assert!(groups.contains(&old) && groups.len() > 2, "{} states", groups.len());
        for rows in &groups {
            let changed = (0..=42).any(|cut| {
                let prefix = new.iter().filter(|row| row.0 < cut);
                let rest = old.iter().filter(|row| row.0 >= cut);
                rows.iter().eq(prefix.chain(rest))
            });
            assert!(changed, "neither old nor new: {rows:?}");
        }
    }
}

/// Four batches of a producer, of which compaction leaves a header, and one in a segment behind them without a checkpoint.
fn superseded_batches() -> (Bench, Vec<Batch>) {
    let mut bench = bench(one_segment());
    let mut batches = Vec::new();
    for sequence in [0, 2, 4, 6] {
        let producer = Producer::Idempotent {
            id: ProducerId(1),
            epoch: ProducerEpoch(0),
            base_sequence: Sequence(sequence),
        };
        let batch = records(&[("a", Some("x")), ("b", Some("y"))], Compression::None, producer, 9);
        bench.append(batch.clone());
        bench.settle();
        batches.push(batch);
    }
    put(&mut bench, &[("a", Some("last")), ("b", Some("last"))]);
    roll(&mut bench);
    put(&mut bench, &[("c", Some("grows"))]);
    (bench, batches)
}

/// A producer may repeat all that it has in flight, not its last batch alone, and only that one leaves its header.
#[test]
fn a_crash_at_any_operation_forgets_no_batch_that_a_producer_may_repeat() {
    let mut bare = 0;
    let mut steps = 0;
    let mut finished = false;
    while !finished {
        let (mut fresh, batches) = superseded_batches();
        let mut job = begin(&mut fresh, RUN).expect("there is something to compact");
        let mut left = steps;
        finished = loop {
            let Some(outcome) = fresh.run_steps(&mut job, &mut left) else {
                break false;
            };
            let next = fresh.log.compacted(outcome, fresh.now, &mut fresh.storage);
            match next.expect("the disk is well") {
                Some(next) => job = next,
                None => break true,
            }
        };
        steps += 1;
        fresh.disk.power_cut();
        let cleaned = |name: &String| name.split('.').count() > 2;
        let [segments, checkpoints] = [SEGMENT, CHECKPOINT].map(|suffix| names(&fresh, suffix));
        bare += usize::from(segments.iter().any(cleaned) && !checkpoints.iter().any(cleaned));
        // Recovery removes what it learnt it from.
        for _ in 0..2 {
            fresh.restart();
            for batch in &batches {
                let check = fresh.log.check(&batch.header(), fresh.now);
                assert!(
                    matches!(check, Check::Duplicate(past) if past.first == batch.header().base_sequence),
                    "after {steps} steps: {check:?}"
                );
            }
            fresh.disk.power_cut();
        }
    }
    assert!(bare > 0, "a crash between the name of the segment and its checkpoint");
}
