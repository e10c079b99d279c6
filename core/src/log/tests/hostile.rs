//! Directories that no crash leaves, and disks that lost writes or put them elsewhere: what was synced is served as it was or
//! not at all, and whatever is refused is left as it is.

use super::bench::{Bench, CHECKPOINT, SEGMENT, batch, config, run};
use super::recovery::{FIRST, filled, one_segment, producer};
use crate::log::{LogConfig, Read, Source};
use crate::record::{Batch, split};
use crate::storage::{FileOp, FilePath, IoValue, Job, Next};
use crate::types::{Fault, LogDirectoryId, Offset, Origin, Part, Seed};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Puts a directory where a file was, or nothing.
fn put_directory(bench: &mut Bench, path: &str) {
    bench.disk.lose(path);
    let path = FilePath::new(LogDirectoryId(0), path);
    let made = bench.disk.perform(&FileOp::CreateDirectory { path });
    assert_eq!(made, Ok(IoValue::Done));
}

#[test]
fn a_directory_in_the_place_of_a_file_is_not_taken_for_a_file_that_is_missing() {
    let names = [
        FIRST,
        "00000000000000000000.checkpoint",
        "00000000000000000090.log",
        "00000000000000000000.00000000000000000010.1.log",
        "00000000000000000004.start",
        "synced",
        "lost",
    ];
    for name in names {
        let mut bench = filled(one_segment(), 3);
        let path = bench.path(name);
        put_directory(&mut bench, &path);
        let before = bench.disk.files();
        let refused = bench.recover(Source::Directory);
        assert!(
            matches!(&refused, Err(Fault::Corruption(text)) if text.contains(name)),
            "{name}: {refused:?}"
        );
        assert_eq!(bench.disk.files(), before, "{name}: nothing is removed");
        assert_eq!(bench.disk.open_files(), 0);
    }
    for name in ["notes", "0.log", "00000000000000000000.checkpoint.7.tmp"] {
        let mut bench = filled(one_segment(), 3);
        let path = bench.path(name);
        put_directory(&mut bench, &path);
        bench.restart();
        assert_eq!(bench.log.end(), Offset(6), "{name} is nobody's");
    }
}

#[test]
fn files_without_bytes_cost_what_they_held_or_the_log_if_that_was_synced() {
    for (name, recovers) in [(CHECKPOINT, true), ("synced", true), (SEGMENT, false)] {
        let mut bench = filled(config(), 30);
        let ours = |path: &&String| path.ends_with(name);
        for path in bench.disk.files().iter().filter(ours) {
            bench.disk.spoil(path, Vec::clear);
        }
        let recovered = bench.recover(Source::Directory);
        assert_eq!(recovered.is_ok(), recovers, "{name}: {recovered:?}");
        if let Ok(recovered) = recovered {
            assert_eq!(recovered.end(), Offset(60), "{name}");
        }
    }
}

#[test]
fn a_file_that_claims_far_more_than_was_written_is_cut_to_what_was() {
    let mut bench = filled(one_segment(), 3);
    let path = bench.path(FIRST);
    let written = bench.disk.file(&path).map_or(0, <[u8]>::len);
    let claimed = 5 << 20;
    bench.disk.spoil(&path, |bytes| bytes.resize(claimed, 0));
    let report = bench.restart();
    assert_eq!(report.bytes_truncated as usize, claimed - written);
    assert_eq!(bench.consume(Offset(0), Offset(6), 500).len(), 3);
}

#[test]
fn a_segment_that_shrinks_while_it_is_recovered_has_lost_what_its_checkpoint_covers() {
    let mut bench = filled(one_segment(), 3);
    bench.restart();
    bench.append(batch(2, 30, producer(6), 4));
    bench.settle();
    let mut job = bench.recover_job(Source::Directory);
    let mut done = Ok(IoValue::Done);
    let recovered = loop {
        match job.resume(done) {
            Next::Io(op) => {
                if let FileOp::Open { path, .. } = &op
                    && path.name() == FIRST
                {
                    bench.disk.spoil(&path.relative, |bytes| bytes.truncate(70));
                }
                done = bench.disk.perform(&op);
            }
            Next::Later => done = Ok(IoValue::Done),
            Next::Done(recovered) => break recovered,
        }
    };
    assert!(matches!(recovered, Err(Fault::Corruption(_))), "{recovered:?}");
    assert_eq!(bench.disk.open_files(), 0);
}

#[test]
fn two_segments_that_claim_the_same_offsets_are_never_both_believed() {
    for checkpointed in [true, false] {
        let mut bench = filled(config(), 30);
        let files = bench.disk.files();
        let segments: Vec<&String> = files.iter().filter(|name| name.ends_with(SEGMENT)).collect();
        let copied = bench.disk.file(segments[1]).expect("it is there").to_vec();
        let inside = bench.path(&format!("{:020}{SEGMENT}", 2));
        bench.disk.put(&inside, &copied);
        if !checkpointed {
            for name in files.iter().filter(|name| name.ends_with(CHECKPOINT)) {
                bench.disk.lose(name);
            }
        }
        match bench.recover(Source::Directory) {
            Ok(recovered) => {
                assert!(!checkpointed, "what is behind it was synced");
                bench.reopen(recovered);
                let end = bench.log.end();
                let read = bench.consume(Offset(0), end, 500);
                assert_eq!(read.len() as i64 * 2, end.0, "no offset is there twice");
            }
            Err(Fault::Corruption(_)) => {
                assert!(checkpointed);
                assert!(bench.disk.file(&inside).is_some(), "nothing is removed");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// What a client gets from `from` on that the device serves; nothing where it is refused.
fn serve(bench: &mut Bench, from: Offset, upto: Offset) -> Option<Vec<Batch>> {
    loop {
        match bench.log.read(from, upto, 300, true, &mut bench.storage) {
            Read::OutOfRange => return None,
            Read::Opening => bench.settle(),
            Read::Lookup(mut job) => {
                let outcome = run(&mut bench.disk, &mut *job);
                bench.log.adopt_lookup(outcome, &mut bench.storage).ok()?;
            }
            Read::Plan(plan) => {
                let mut whole = Some(Vec::new());
                for part in plan.parts {
                    let Part::Range(range, mut content) = part else {
                        panic!("nothing is kept in memory")
                    };
                    let (file, position, length) = (range.file, range.position, range.length);
                    let Ok(IoValue::Bytes(bytes)) = bench.disk.perform(&FileOp::Read { file, position, length }) else {
                        panic!("a leased range is readable")
                    };
                    match content.pass(&bytes, Origin::Device) {
                        Ok(()) if bytes.len() == length as usize => {
                            let batches = split(&bytes).map(|batch| batch.expect("whole batches"));
                            if let Some(whole) = &mut whole {
                                whole.extend(batches);
                            }
                        }
                        Ok(()) => whole = None,
                        Err(broken) => {
                            bench.log.found_broken(file, broken);
                            whole = None;
                        }
                    }
                }
                for lease in plan.leases {
                    bench.storage.release(lease);
                }
                return whole;
            }
        }
    }
}

/// A sector of a segment is what another sector was, or nothing: a write was lost, or went elsewhere. Which file it is in.
fn misplace(bench: &mut Bench, seed: &mut Seed) -> String {
    let sector = [16, 64, 128, 512][seed.below(4) as usize];
    let mut segments = bench.disk.files();
    segments.retain(|name| name.ends_with(SEGMENT));
    let draw = |seed: &mut Seed| segments[seed.below(segments.len() as u64) as usize].clone();
    let (from, to) = (draw(seed), draw(seed));
    let source = bench.disk.file(&from).expect("it is there").to_vec();
    let at = seed.below(source.len().div_ceil(sector) as u64) as usize * sector;
    let mut bytes = source[at..(at + sector).min(source.len())].to_vec();
    if seed.chance(1, 3) {
        bytes.fill(0);
    }
    bench.disk.spoil(&to, |target| {
        let at = seed.below(target.len().div_ceil(sector) as u64) as usize * sector;
        let length = bytes.len().min(target.len() - at);
        target[at..at + length].copy_from_slice(&bytes[..length]);
    });
    to
}

/// A log that noted how far it was synced behind its last checkpoint, and its batches.
fn noted(note_bytes: u64) -> (Bench, Vec<Batch>) {
    let config = LogConfig { note_bytes, ..config() };
    let limits = crate::config::Limits {
        tail_cache_bytes: 0,
        ..crate::config::Limits::default()
    };
    let mut bench = Bench::with(config, limits, crate::config::FlushMode::Fsync);
    for i in 0..30 {
        bench.append(batch(2, 30, producer(i * 2), i64::from(i)));
        bench.settle();
    }
    let all = bench.consume(Offset(0), Offset(60), 500);
    (bench, all)
}

#[test]
fn a_sector_that_was_lost_or_misplaced_is_never_served_and_costs_nobody_else() {
    let (mut refused, mut kept_back, mut cut) = (0, 0, 0);
    for number in 0..400 {
        let mut seed = Seed::new(number);
        let note_bytes = if seed.chance(1, 2) { 1 } else { u64::MAX };
        let (mut bench, all) = noted(note_bytes);
        if seed.chance(1, 3) {
            for name in bench.disk.files().iter().filter(|name| name.ends_with(CHECKPOINT)) {
                bench.disk.spoil(name, |bytes| bytes[9] ^= 1);
            }
        }
        let spoiled = misplace(&mut bench, &mut seed);
        let before = bench.disk.file(&spoiled).map(<[u8]>::to_vec);
        let recovered = match bench.recover(Source::Directory) {
            Ok(recovered) => recovered,
            Err(fault) => {
                assert!(matches!(fault, Fault::Corruption(_)), "seed {number}: {fault}");
                assert_eq!(bench.disk.file(&spoiled).map(<[u8]>::to_vec), before, "seed {number}");
                refused += 1;
                continue;
            }
        };
        let end = recovered.end();
        assert!(note_bytes > 1 || end == Offset(60), "seed {number}: cut below the note");
        cut += u32::from(end < Offset(60));
        bench.reopen(recovered);
        let mut missing = 0;
        for (place, original) in all.iter().enumerate().take(end.0 as usize / 2) {
            let from = Offset(place as i64 * 2);
            let Some(served) = serve(&mut bench, from, end) else {
                missing += 1;
                continue;
            };
            for (batch, sent) in served.iter().zip(&all[place..]) {
                assert_eq!(batch, sent, "seed {number}: from {from}");
            }
            assert_eq!(served.first(), Some(original), "seed {number}: from {from}");
        }
        // A sector of 512 bytes can hit five batches of 129, and a look-up does not get around their headers.
        kept_back += missing;
        let segments = bench.disk.files();
        for from in (0..end.0).step_by(2).map(Offset) {
            let latest = bench.path(&format!("{:020}{SEGMENT}", from.0));
            let mut others = segments.iter().filter(|name| name.ends_with(SEGMENT));
            if others.rfind(|&name| *name <= latest) != Some(&spoiled) {
                let served = serve(&mut bench, from, end);
                let some = served.is_some_and(|served| !served.is_empty());
                assert!(some, "seed {number}: {from} lies elsewhere");
            }
        }
    }
    assert!(
        refused > 20 && kept_back > 100 && cut > 5,
        "{refused} {kept_back} {cut}"
    );
}
