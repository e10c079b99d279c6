//! What survives, and what is said of what does not.

use super::bench::{Bench, CHECKPOINT, EPOCH, SEGMENT, batch, config, place};
use crate::config::{FlushMode, Limits};
use crate::log::{Check, LogConfig, Source, Writes};
use crate::record::{HEADER_LEN, Producer};
use crate::storage::{FileOp, IoError, IoErrorKind, IoValue, Job, Next};
use crate::types::{Fault, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Seed, Sequence};
use alloc::string::String;
use alloc::vec::Vec;

pub(super) const FIRST: &str = "00000000000000000000.log";

pub(super) fn producer(sequence: i32) -> Producer {
    Producer::Idempotent {
        id: ProducerId(9),
        epoch: ProducerEpoch(0),
        base_sequence: Sequence(sequence),
    }
}

/// A log of `count` batches of two records each, all durable.
pub(super) fn filled(config: LogConfig, count: i32) -> Bench {
    let mut bench = Bench::with(config, Limits::default(), FlushMode::Fsync);
    for i in 0..count {
        bench.append(batch(2, 30, producer(i * 2), i64::from(i)));
        bench.settle();
    }
    bench
}

pub(super) fn one_segment() -> LogConfig {
    LogConfig {
        segment_bytes: 1 << 20,
        ..config()
    }
}

#[test]
fn every_prefix_of_a_segment_recovers_to_its_last_whole_batch() {
    let mut bench = filled(one_segment(), 6);
    let path = bench.path(FIRST);
    let whole = bench.disk.file(&path).expect("it was written").to_vec();
    let length = whole.len() / 6;
    for cut in 0..=whole.len() {
        bench.disk.spoil(&path, |bytes| *bytes = whole[..cut].to_vec());
        bench.disk.lose(&bench.path("00000000000000000000.checkpoint"));
        let report = bench.restart();
        let kept = cut / length;
        assert_eq!(bench.log.end(), Offset(kept as i64 * 2));
        assert_eq!(report.bytes_truncated, (cut % length) as u64);
        assert_eq!(bench.disk.file(&path).map(<[u8]>::len), Some(kept * length));
        assert_eq!(bench.disk.open_files(), 0);
        // Everything found was synced; a second recovery finds it by its checkpoint, and changes nothing.
        bench.disk.power_cut();
        let again = bench.restart();
        assert_eq!((again.bytes_truncated, again.batches_read), (0, 0));
        assert_eq!(bench.log.end(), Offset(kept as i64 * 2));
    }
}

#[test]
fn a_recovery_that_dies_anywhere_is_made_good_by_the_next() {
    let mut torn = filled(config(), 30);
    let files = torn.disk.files();
    let last = files
        .iter()
        .rfind(|name| name.ends_with(SEGMENT))
        .expect("a segment")
        .clone();
    torn.disk.spoil(&last, |bytes| bytes.extend_from_slice(&[7; 40]));
    for cut_power in [false, true] {
        for steps in 1.. {
            let mut bench = Bench::new();
            bench.disk = torn.disk.clone();
            bench.disk.kill();
            let mut job = bench.recover_job(Source::Directory);
            let done = bench.run_some(&mut job, steps).is_some();
            if cut_power {
                bench.disk.power_cut();
            }
            bench.disk.kill();
            bench.restart();
            assert_eq!((bench.log.start(), bench.log.end()), (Offset(0), Offset(60)));
            assert_eq!(bench.consume(Offset(0), Offset(60), 500).len(), 30);
            bench.append(batch(1, 5, producer(60), 0));
            bench.settle();
            assert_eq!(bench.log.durable_end(), Offset(61));
            if done {
                break;
            }
        }
    }
}

#[test]
fn each_bit_of_a_header_that_rots_in_the_tail_is_found() {
    let mut bench = filled(one_segment(), 5);
    let path = bench.path(FIRST);
    let whole = bench.disk.file(&path).expect("it was written").to_vec();
    let length = whole.len() / 5;
    for batch in [0, 2, 4] {
        for bit in 0..HEADER_LEN * 8 {
            bench.disk.spoil(&path, |bytes| {
                bytes.clone_from(&whole);
                bytes[batch * length + bit / 8] ^= 1 << (bit % 8);
            });
            bench.disk.lose(&bench.path("00000000000000000000.checkpoint"));
            let recovered = bench
                .recover(Source::Directory)
                .expect("none of it is known to be synced");
            // Nothing but a leader epoch lower than all that are known can hide in the first batch of a log.
            let hidden = batch == 0 && (15 * 8..15 * 8 + 2).contains(&bit);
            let expected = if hidden { 10 } else { batch as i64 * 2 };
            assert_eq!(recovered.end(), Offset(expected), "batch {batch}, bit {bit}");
            assert_eq!(
                recovered.report.bytes_truncated > 0,
                !hidden,
                "batch {batch}, bit {bit}"
            );
            assert_eq!(bench.disk.open_files(), 0);
        }
    }
}

/// A batch that an earlier file had where `bench` has none yet: it is whole, and begins at the log's end.
fn stale(bench: &Bench, epoch: LeaderEpoch) -> Vec<u8> {
    let mut stale = batch(2, 30, producer(0), 0);
    stale.stamp(bench.log.end(), epoch);
    stale.to_bytes().to_vec()
}

#[test]
fn blocks_of_an_earlier_file_behind_the_last_write_are_cut_and_reported() {
    let (earlier, later) = (LeaderEpoch(EPOCH.0 - 1), LeaderEpoch(EPOCH.0 + 1));
    for (epoch, checkpointed) in [(earlier, true), (earlier, false), (later, true), (later, false)] {
        let mut bench = filled(one_segment(), 3);
        let blocks = stale(&bench, epoch);
        bench
            .disk
            .spoil(&bench.path(FIRST), |bytes| bytes.extend_from_slice(&blocks));
        if !checkpointed {
            bench.disk.lose(&bench.path("00000000000000000000.checkpoint"));
        }
        let report = bench.restart();
        assert_eq!(report.bytes_truncated, blocks.len() as u64, "{epoch:?}");
        assert_eq!(
            (bench.log.end(), bench.consume(Offset(0), Offset(6), 500).len()),
            (Offset(6), 3)
        );
        assert_eq!(bench.append(batch(1, 5, producer(6), 0)), Offset(6));
        bench.settle();
        bench.disk.power_cut();
        bench.restart();
        assert_eq!(bench.log.end(), Offset(7));
    }
}

#[test]
fn less_than_a_checkpoint_covers_is_corruption_and_is_left_as_it_is() {
    let mut bench = filled(config(), 30);
    let path = bench.path(FIRST);
    bench.disk.spoil(&path, |bytes| bytes.truncate(bytes.len() - 1));
    let before = bench.disk.clone();
    let fault = bench.recover(Source::Directory).expect_err("synced bytes are gone");
    assert!(
        matches!(&fault, Fault::Corruption(text) if text.contains(FIRST)),
        "{fault}"
    );
    assert_eq!(bench.disk.files(), before.files());
    assert_eq!(bench.disk.file(&path), before.file(&path));
    assert_eq!(bench.disk.open_files(), 0);
}

#[test]
fn a_missing_segment_is_corruption_whether_its_checkpoint_is_there_or_not() {
    for keep_checkpoint in [true, false] {
        let mut bench = filled(config(), 30);
        let second = bench
            .disk
            .files()
            .into_iter()
            .filter(|name| name.ends_with(SEGMENT))
            .nth(1)
            .expect("two");
        bench.disk.lose(&second);
        if !keep_checkpoint {
            bench.disk.lose(&second.replace(SEGMENT, CHECKPOINT));
        }
        let fault = bench.recover(Source::Directory).expect_err("a sealed segment is gone");
        assert!(matches!(fault, Fault::Corruption(_)), "{fault}");
    }
}

#[test]
fn a_torn_segment_takes_those_behind_it_along() {
    let mut bench = filled(config(), 30);
    let names: Vec<String> = bench.disk.files();
    for name in names.iter().filter(|name| name.ends_with(CHECKPOINT)) {
        bench.disk.lose(name);
    }
    let segments: Vec<&String> = names.iter().filter(|name| name.ends_with(SEGMENT)).collect();
    bench
        .disk
        .spoil(segments[1], |bytes| *bytes.last_mut().expect("it has bytes") ^= 1);
    let report = bench.restart();
    assert_eq!(report.segments_removed as usize, segments.len() - 2);
    let end = bench.log.end();
    let left = bench
        .disk
        .files()
        .into_iter()
        .filter(|name| name.ends_with(SEGMENT))
        .count();
    assert_eq!(left, 2);
    let first = bench.append(batch(1, 5, producer(end.0 as i32), 0));
    assert_eq!(first, end);
    bench.settle();
    bench.disk.power_cut();
    bench.restart();
    assert_eq!(bench.log.end(), end.plus(1));
}

#[test]
fn a_damaged_checkpoint_costs_a_scan_and_nothing_else() {
    let mut bench = filled(config(), 30);
    for name in bench.disk.files().iter().filter(|name| name.ends_with(CHECKPOINT)) {
        bench.disk.spoil(name, |bytes| bytes[20] ^= 1);
    }
    let report = bench.restart();
    assert_eq!(report.batches_read, 30);
    assert_eq!(bench.consume(Offset(0), Offset(60), 500).len(), 30);
    assert_eq!(bench.restart().batches_read, 0, "there are new checkpoints");
}

#[test]
fn producers_are_known_again_after_any_start() {
    let mut bench = filled(config(), 30);
    let duplicate = batch(2, 30, producer(52), 0).header();
    let next = batch(2, 30, producer(60), 0).header();
    let stranger = batch(2, 30, producer(70), 0).header();
    let entry = bench.close();
    for source in [Source::Clean(entry), Source::Directory] {
        let recovered = bench.recover(source).expect("nothing is corrupt");
        bench.reopen(recovered);
        let Check::Duplicate(original) = bench.log.check(&duplicate, bench.now) else {
            panic!("the producer's last five batches are remembered")
        };
        assert_eq!((original.base_offset, original.next_offset()), (Offset(52), Offset(54)));
        assert_eq!(bench.log.check(&next, bench.now), Check::New);
        assert!(matches!(bench.log.check(&stranger, bench.now), Check::Error(_)));
    }
    for name in bench.disk.files().iter().filter(|name| name.ends_with(CHECKPOINT)) {
        bench.disk.lose(name);
    }
    bench.restart();
    assert_eq!(bench.log.check(&next, bench.now), Check::New);
    assert!(matches!(bench.log.check(&duplicate, bench.now), Check::Duplicate(_)));
}

#[test]
fn a_full_disk_costs_what_was_not_durable_and_the_log_serves_on() {
    let mut bench = filled(config(), 3);
    let (end, room) = (bench.log.durable_end(), 50);
    bench.disk.room = Some(room);
    bench.append(batch(2, 30, producer(6), 0));
    bench.append(batch(2, 30, producer(8), 0));
    bench.settle();
    assert!(bench.log.has_failed());
    let mut job = bench
        .log
        .recovery(EPOCH, bench.now, &mut bench.storage)
        .expect("no checkpoint is being written");
    let recovered = bench
        .run(&mut job)
        .expect("a full disk does not keep a log from recovering");
    assert_eq!(recovered.report.bytes_truncated, room as u64);
    bench.reopen(recovered);
    bench.settle();
    assert_eq!(bench.log.end(), end);
    assert_eq!(bench.disk.open_files(), 0);
    assert_eq!(
        bench.log.check(&batch(2, 30, producer(6), 0).header(), bench.now),
        Check::New
    );
    bench.disk.room = None;
    assert_eq!(bench.append(batch(2, 30, producer(6), 0)), end);
    bench.settle();
    assert_eq!(bench.log.durable_end(), end.plus(2));
    bench.disk.power_cut();
    bench.restart();
    assert_eq!(bench.consume(Offset(0), end.plus(2), 500).len(), 4);
}

#[test]
fn a_manifest_that_does_not_fit_the_disk_is_not_believed() {
    let mut bench = filled(config(), 12);
    let mut entry = bench.close();
    let recovered = bench.recover(Source::Clean(entry.clone())).expect("nothing is corrupt");
    bench.reopen(recovered);
    bench.append(batch(2, 30, producer(24), 0));
    bench.settle();
    // The manifest is that of the stop before: more was appended since.
    let recovered = bench.recover(Source::Clean(entry.clone())).expect("nothing is corrupt");
    assert_eq!(recovered.end(), Offset(26));
    assert_eq!(bench.disk.open_files(), 0);
    entry.segments.last_mut().expect("it has segments").base = Offset(20);
    let recovered = bench.recover(Source::Clean(entry)).expect("nothing is corrupt");
    assert_eq!(recovered.end(), Offset(26));
}

#[test]
fn an_impossible_epoch_in_a_segment_before_one_that_was_synced_is_corruption_and_costs_nothing() {
    let mut bench = filled(config(), 30);
    let first = bench.path(FIRST);
    let length = batch(2, 30, producer(0), 0).len();
    bench.disk.lose(&bench.path("00000000000000000000.checkpoint"));
    bench.disk.spoil(&first, |bytes| bytes[length + 15] = 9);
    let before = bench.disk.clone();
    let fault = bench
        .recover(Source::Directory)
        .expect_err("the next segment has a checkpoint");
    assert!(matches!(&fault, Fault::Corruption(_)), "{fault}");
    assert_eq!(bench.disk.files(), before.files());
    assert_eq!(bench.disk.file(&first), before.file(&first));
    assert_eq!(bench.disk.open_files(), 0);
}

#[test]
fn in_a_log_written_one_by_one_only_the_last_batch_can_be_torn() {
    let writes = Writes::OneByOne;
    let mut bench = filled(
        LogConfig {
            writes,
            ..one_segment()
        },
        5,
    );
    let path = bench.path(FIRST);
    bench.disk.lose(&bench.path("00000000000000000000.checkpoint"));
    let whole = bench.disk.file(&path).expect("it was written").to_vec();
    let length = whole.len() / 5;
    for at in 0..whole.len() {
        bench.disk.spoil(&path, |bytes| {
            bytes.clone_from(&whole);
            bytes[at] ^= 0x10;
        });
        let recovered = bench.recover(Source::Directory);
        // An epoch that nothing before or after contradicts is the one thing that cannot be noticed.
        let epoch = (12..16).contains(&(at % length));
        if at / length < 4 {
            let fault = recovered.expect_err("a batch behind it is whole");
            assert!(
                matches!(&fault, Fault::Corruption(text) if text.contains(FIRST)),
                "byte {at}: {fault}"
            );
            assert_eq!(
                bench.disk.file(&path).map(<[u8]>::len),
                Some(whole.len()),
                "nothing is cut"
            );
            assert_eq!(bench.disk.open_files(), 0);
        } else if !epoch {
            assert_eq!(recovered.expect("it may be torn").end(), Offset(8), "byte {at}");
        }
    }
    bench
        .disk
        .spoil(&path, |bytes| *bytes = whole[..whole.len() - 1].to_vec());
    assert_eq!(
        bench.recover(Source::Directory).expect("it may be torn").end(),
        Offset(8)
    );
}

#[test]
fn in_a_log_written_one_by_one_a_later_segment_proves_the_earlier() {
    let writes = Writes::OneByOne;
    let mut bench = filled(LogConfig { writes, ..config() }, 30);
    for name in bench.disk.files().iter().filter(|name| name.ends_with(CHECKPOINT)) {
        bench.disk.lose(name);
    }
    let path = bench.path(FIRST);
    bench
        .disk
        .spoil(&path, |bytes| *bytes.last_mut().expect("it has bytes") ^= 1);
    let before = bench.disk.files();
    let fault = bench.recover(Source::Directory).expect_err("a segment is behind it");
    assert!(matches!(fault, Fault::Corruption(_)), "{fault}");
    assert_eq!(bench.disk.files(), before);
}

#[test]
fn an_empty_directory_is_an_empty_log_and_so_is_none() {
    let mut bench = Bench::new();
    assert_eq!(bench.restart().batches_read, 0);
    assert_eq!((bench.log.start(), bench.log.end()), (Offset(0), Offset(0)));
    let directory = crate::storage::FileOp::CreateDirectory { path: place().path };
    bench.disk.perform(&directory).expect("the disk is well");
    bench.restart();
    bench.append(batch(1, 5, producer(0), 0));
    bench.settle();
    bench.disk.power_cut();
    bench.restart();
    assert_eq!(bench.log.end(), Offset(1), "the directory's own name was synced, too");
    let expected = [bench.path("00000000000000000000.checkpoint"), bench.path(FIRST)];
    assert_eq!(bench.disk.files(), expected);
}

#[test]
fn a_recovery_waits_for_descriptors_when_the_process_has_none() {
    let mut bench = filled(config(), 12);
    let mut job = bench.recover_job(Source::Directory);
    bench.disk.descriptors = Some(0);
    assert!(bench.run_some(&mut job, 40).is_none());
    bench.disk.descriptors = Some(1);
    bench.disk.most_open = 0;
    let recovered = bench.run(&mut job).expect("nothing is corrupt");
    assert_eq!(recovered.end(), Offset(24));
    assert_eq!(bench.disk.most_open, 1);
}

#[test]
fn a_sync_of_names_that_found_no_descriptor_is_asked_for_again() {
    let mut bench = filled(one_segment(), 3);
    bench.disk.lose(&bench.path("00000000000000000000.checkpoint"));
    let mut job = bench.recover_job(Source::Directory);
    let mut done = Ok(IoValue::Done);
    let mut refused = None;
    let mut after = None;
    let recovered = loop {
        match job.resume(done) {
            Next::Io(FileOp::SyncDirectory { path }) if refused.is_none() => {
                refused = Some(path);
                let (kind, text) = (IoErrorKind::TooManyOpenFiles, String::from("no descriptor"));
                done = Err(IoError { kind, text });
            }
            Next::Io(op) => {
                if refused.is_some() {
                    after.get_or_insert_with(|| op.clone());
                }
                done = bench.disk.perform(&op);
            }
            Next::Later => done = Ok(IoValue::Done),
            Next::Done(recovered) => break recovered,
        }
    };
    assert_eq!(recovered.expect("nothing is corrupt").end(), Offset(6));
    assert!(matches!(after, Some(FileOp::SyncDirectory { path }) if Some(&path) == refused.as_ref()));
}

#[test]
fn a_checkpoint_that_finds_no_descriptor_costs_reading_and_nothing_else() {
    let mut bench = filled(one_segment(), 3);
    let before = bench
        .disk
        .file(&bench.path("00000000000000000000.checkpoint"))
        .map(<[u8]>::to_vec);
    bench.append(batch(2, 30, producer(6), 3));
    bench.settle();
    bench.disk.descriptors = Some(bench.disk.open_files());
    bench.log.draft(bench.now);
    bench.settle();
    let after = bench
        .disk
        .file(&bench.path("00000000000000000000.checkpoint"))
        .map(<[u8]>::to_vec);
    assert_eq!(after, before, "there was none to write it with");
    bench.disk.descriptors = None;
    bench.append(batch(2, 30, producer(8), 4));
    bench.settle();
    assert_eq!(bench.log.durable_end(), Offset(10), "the log goes on");
    bench.restart();
    assert_eq!(bench.log.end(), Offset(10));
}

#[test]
fn a_log_whose_first_segment_never_was_durable_begins_at_its_beginning() {
    let mut bench = filled(config(), 30);
    for name in bench.disk.files() {
        if name.ends_with(CHECKPOINT) || name.ends_with(FIRST) {
            bench.disk.lose(&name);
        }
    }
    let report = bench.restart();
    assert!(report.segments_removed > 1);
    assert_eq!((bench.log.start(), bench.log.end()), (Offset(0), Offset(0)));
    assert!(bench.disk.files().is_empty());
    assert_eq!(bench.append(batch(1, 5, producer(0), 0)), Offset(0));
    bench.settle();
    bench.disk.power_cut();
    bench.restart();
    assert_eq!(bench.log.end(), Offset(1));
}

#[test]
fn a_cut_that_dies_anywhere_leaves_no_checkpoint_without_its_segment() {
    let mut torn = filled(config(), 30);
    let files = torn.disk.files();
    let segments: Vec<&String> = files.iter().filter(|name| name.ends_with(SEGMENT)).collect();
    assert!(segments.len() > 3);
    torn.disk.spoil(segments[1], |bytes| bytes.truncate(70));
    // Nothing proves that the later ones were synced.
    for name in files.iter().filter(|name| name.ends_with(CHECKPOINT)) {
        torn.disk.spoil(name, |bytes| bytes[9] ^= 1);
    }
    for steps in 1.. {
        let mut done = false;
        for number in 0..8 {
            let mut bench = Bench::new();
            bench.disk = torn.disk.clone();
            let mut job = bench.recover_job(Source::Directory);
            done = bench.run_some(&mut job, steps).is_some();
            if number > 0 {
                bench.disk.power_cut_partially(&mut Seed::new(number));
            }
            let recovered = bench.recover(Source::Directory);
            let recovered = recovered.unwrap_or_else(|fault| panic!("after {steps} steps: {fault}"));
            bench.reopen(recovered);
            let end = bench.log.end();
            assert!(bench.log.start() == Offset(0) && end > Offset(0) && end < Offset(60));
        }
        if done {
            break;
        }
    }
}
