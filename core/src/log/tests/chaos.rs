//! A log through crashes, full disks, retention and restarts in any order: what was durable stays, in order and whole.

use super::bench::{Bench, EPOCH, batch, config};
use crate::config::{FlushMode, Limits};
use crate::log::{Check, LogConfig, MarkStart, Source};
use crate::record::{Batch, Producer};
use crate::storage::FileOp;
use crate::types::{FileId, Offset, ProducerEpoch, ProducerId, Seed, Sequence};
use alloc::vec::Vec;

/// Runs of the test.
const SEEDS: u64 = 60;

struct Chaos {
    bench: Bench,
    seed: Seed,
    /// Every batch that was appended and not lost, in order.
    batches: Vec<Batch>,
    /// The most that ever was durable.
    durable: Offset,
    start: Offset,
    /// The log durably does not begin before this.
    deleted: Offset,
    /// The disk was full at some time: a checkpoint may be missing.
    was_full: bool,
    losses: u32,
    truncations: u32,
}

fn file_of(op: &FileOp) -> Option<FileId> {
    match op {
        FileOp::Open { file, .. }
        | FileOp::Close { file }
        | FileOp::Write { file, .. }
        | FileOp::Read { file, .. }
        | FileOp::Truncate { file, .. } => Some(*file),
        _ => None,
    }
}

impl Chaos {
    fn new(number: u64) -> Self {
        let mut seed = Seed::new(number);
        let flush = if seed.chance(1, 3) {
            FlushMode::Os
        } else {
            FlushMode::Fsync
        };
        let limits = Limits {
            tail_cache_bytes: seed.below(3000) as usize,
            index_cache_bytes: 1,
            open_files: seed.within(1, 4) as usize,
            files_synced_singly: seed.below(3) as usize,
            ..Limits::default()
        };
        let config = LogConfig {
            segment_bytes: seed.within(200, 1500) as u32,
            index_interval_bytes: seed.below(500) as u32,
            checkpoint_bytes: seed.within(100, 3000),
            note_bytes: seed.within(1, 1000),
            retention_ms: None,
            retention_bytes: Some(4000),
            ..config()
        };
        Self {
            bench: Bench::with(LogConfig { flush, ..config }, limits, flush),
            seed,
            batches: Vec::new(),
            durable: Offset(0),
            start: Offset(0),
            deleted: Offset(0),
            was_full: false,
            losses: 0,
            truncations: 0,
        }
    }

    fn append(&mut self) {
        if self.bench.log.has_failed() {
            return self.mend();
        }
        for _ in 0..self.seed.within(1, 3) {
            let producer = Producer::Idempotent {
                id: ProducerId(1),
                epoch: ProducerEpoch(0),
                base_sequence: Sequence(self.bench.log.end().0 as i32),
            };
            let (count, bytes) = (self.seed.within(1, 3), self.seed.below(200));
            let mut batch = batch(count as usize, bytes as usize, producer, 7);
            let base = self.bench.append(batch.clone());
            batch.stamp(base, EPOCH);
            self.batches.push(batch);
        }
    }

    /// Carries out one operation: any that no other on its file comes before.
    fn step(&mut self) {
        self.bench.collect();
        let asked = &self.bench.asked;
        let first = |place: &usize| {
            let file = file_of(&asked[*place].1);
            file.is_none() || asked.iter().position(|(_, op)| file_of(op) == file) == Some(*place)
        };
        let ready: Vec<usize> = (0..asked.len()).filter(first).collect();
        if !ready.is_empty() {
            let place = ready[self.seed.below(ready.len() as u64) as usize];
            let (token, op) = self.bench.asked.remove(place).expect("it is there");
            let result = self.bench.disk.perform(&op);
            self.bench.answer(token, result);
        }
        if self.bench.log.has_failed() {
            self.mend();
        }
    }

    fn note(&mut self) {
        assert!(self.bench.log.durable_end() <= self.bench.log.end());
        self.durable = self.durable.max(self.bench.log.durable_end());
        self.start = self.start.max(self.bench.log.start());
    }

    /// The log failed: it is recovered without a restart.
    fn mend(&mut self) {
        self.note();
        let log = &mut self.bench.log;
        let recovery = log.recovery(EPOCH, self.bench.now, &mut self.bench.storage);
        let mut job = recovery.expect("checkpoints are written at once here");
        let recovered = self.bench.run(&mut job).expect("nothing synced is gone");
        assert!(
            recovered.start() >= self.start,
            "the start does not go back in a process"
        );
        self.bench.reopen(recovered);
        self.losses += 1;
        self.compare();
    }

    /// The job that lets the log begin later, if it can, and where.
    fn mark_start(&mut self) -> Option<(Offset, MarkStart)> {
        let (start, end) = (self.bench.log.start(), self.bench.log.durable_end());
        if self.bench.log.has_failed() || start >= end {
            return None;
        }
        let wanted = Offset(self.seed.within(start.0 as u64 + 1, end.0 as u64) as i64);
        Some((wanted, self.bench.log.mark_start(wanted, &mut self.bench.storage)))
    }

    fn delete(&mut self) {
        let Some((wanted, mut job)) = self.mark_start() else {
            return;
        };
        let outcome = self.bench.run(&mut job);
        let marked = self.bench.log.start_marked(&outcome, &mut self.bench.storage);
        marked.expect("an empty file needs no space");
        self.deleted = wanted;
        self.bench.log.remove_passed(self.bench.now, &mut self.bench.storage);
    }

    fn crash(&mut self) {
        self.note();
        let mut latest = self.start;
        if self.seed.chance(1, 3)
            && let Some((wanted, mut job)) = self.mark_start()
        {
            let steps = self.seed.below(8) as usize;
            self.bench.run_some(&mut job, steps);
            latest = latest.max(wanted);
        }
        let power = self.seed.chance(2, 3);
        if power && self.bench.flush == FlushMode::Os {
            // Nothing is promised but that what is left is a prefix, and what was deleted stays so.
            self.durable = Offset(0);
        }
        for _ in 0..self.seed.within(1, 3) {
            if power {
                self.bench.disk.power_cut_partially(&mut self.seed);
            } else {
                self.bench.disk.kill();
            }
            let mut job = self.bench.recover_job(Source::Directory);
            let steps = self.seed.below(40) as usize;
            self.bench.run_some(&mut job, steps);
        }
        if power {
            self.bench.disk.power_cut_partially(&mut self.seed);
        }
        self.bench.disk.room = None;
        self.truncations += u32::from(self.bench.restart().bytes_truncated > 0);
        self.start = self.bench.log.start();
        assert!(
            self.deleted <= self.start && self.start <= latest,
            "the log begins at {}, not from {} to {latest}",
            self.start,
            self.deleted
        );
        self.compare();
    }

    fn stop(&mut self) {
        self.bench.disk.room = None;
        self.bench.settle();
        if self.bench.log.has_failed() {
            return self.mend();
        }
        let entry = self.bench.close();
        self.note();
        assert_eq!(self.durable, self.bench.log.end());
        self.bench.disk.power_cut_partially(&mut self.seed);
        let recovered = self.bench.recover(Source::Clean(entry)).expect("nothing is corrupt");
        assert!(
            recovered.report.batches_read == 0 || self.was_full,
            "a clean start reads nothing"
        );
        self.bench.reopen(recovered);
        self.compare();
    }

    /// After a recovery: everything that was durable is there, and what else is there is what was appended.
    fn compare(&mut self) {
        let (start, end) = (self.bench.log.start(), self.bench.log.end());
        assert!(end >= self.durable, "{end} is there, {} was durable", self.durable);
        assert_eq!(self.bench.log.durable_end(), end, "recovery syncs what it keeps");
        if let Some(lost) = self.batches.iter().find(|batch| batch.header().base_offset == end) {
            let check = self.bench.log.check(&lost.header(), self.bench.now);
            assert_eq!(check, Check::New, "what was lost may be sent again");
        }
        self.batches.retain(|batch| batch.header().next_offset() <= end);
        self.durable = end;
        let kept = self.batches.iter().filter(|batch| batch.header().next_offset() > start);
        let kept: Vec<Batch> = kept.cloned().collect();
        let found = self.bench.consume(start, end, 400);
        assert_eq!(found, kept);
        if let Some(last) = kept.last() {
            let check = self.bench.log.check(&last.header(), self.bench.now);
            assert!(matches!(check, Check::Duplicate(past) if past.next_offset() == end));
        }
    }

    fn run(&mut self) {
        for _ in 0..150 {
            match self.seed.below(40) {
                0..15 => self.append(),
                15..36 => {
                    for _ in 0..self.seed.within(1, 6) {
                        self.step();
                    }
                }
                36 => self.crash(),
                37 => {
                    let room = self.seed.chance(1, 2).then(|| self.seed.below(600) as usize);
                    self.bench.disk.room = room;
                    self.was_full |= room.is_some();
                }
                38 if self.seed.chance(1, 2) => self.delete(),
                38 => {
                    let limit = self.bench.log.durable_end();
                    self.bench.log.retain(limit, self.bench.now, &mut self.bench.storage);
                }
                _ => self.stop(),
            }
            self.note();
        }
        self.stop();
        self.bench.settle();
        assert!(self.bench.storage.is_quiet());
    }
}

#[test]
fn what_was_durable_survives_whatever_happens() {
    let (mut losses, mut truncations) = (0, 0);
    for number in 0..SEEDS {
        let mut chaos = Chaos::new(number);
        chaos.run();
        losses += chaos.losses;
        truncations += chaos.truncations;
    }
    assert!(
        losses > 10 && truncations > 10,
        "{losses} full disks and {truncations} torn tails are too few"
    );
}
