//! Random appends, compactions, crashes and restarts, compared with the model.

use super::super::bench::{Bench, CHECKPOINT, EPOCH};
use super::{Row, begin, compacted, everything, names, pass, records, roll, rows_of};
use crate::config::{CompactionConfig, FlushMode, Limits};
use crate::log::{CompactOutcome, CompactRun, LogConfig, Source};
use crate::record::{Compression, Producer};
use crate::storage::{IoValue, Job, Next};
use crate::types::{Offset, ProducerEpoch, ProducerId, Seed, Sequence};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// What a log holds, told by a model that knows every append.
#[derive(Default)]
struct Model {
    rows: Vec<Row>,
}

impl Model {
    fn last(&self, upto: i64) -> BTreeMap<&[u8], i64> {
        let below = self.rows.iter().filter(|row| row.0 < upto);
        below.map(|row| (row.2.as_slice(), row.0)).collect()
    }

    /// Checks what was found: nothing but what was appended, where it was appended, and the last of each key but for
    /// tombstones. Below `clean_to` nothing but the last of a key; from `touched` on everything.
    fn check(&self, found: &[Row], clean_to: i64, touched: i64) {
        let appended: BTreeMap<i64, &Row> = self.rows.iter().map(|row| (row.0, row)).collect();
        assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets ascend");
        for row in found {
            assert_eq!(appended.get(&row.0), Some(&row));
        }
        let offsets: Vec<i64> = found.iter().map(|row| row.0).collect();
        let last = self.last(i64::MAX);
        for row in &self.rows {
            let is_last = last[row.2.as_slice()] == row.0;
            let there = offsets.binary_search(&row.0).is_ok();
            assert!(
                there || !is_last || row.3.is_none(),
                "the last value of a key is gone: {row:?}"
            );
            assert!(there || row.0 < touched, "what was not compacted is gone: {row:?}");
        }
        let last = self.last(clean_to);
        for row in found.iter().filter(|row| row.0 < clean_to) {
            assert_eq!(last[row.2.as_slice()], row.0, "a later record of the key is there");
        }
    }
}

struct Story {
    bench: Bench,
    seed: Seed,
    model: Model,
    sequence: i32,
    swaps: usize,
    /// Where the segments end that were compacted at some time, or may have been.
    touched: i64,
}

impl Story {
    fn new(number: u64) -> Self {
        let mut seed = Seed::new(number);
        let limits = Limits {
            tail_cache_bytes: seed.below(2000) as usize,
            index_cache_bytes: if seed.chance(1, 2) { 1 } else { 1 << 20 },
            open_files: seed.within(1, 4) as usize,
            ..Limits::default()
        };
        let config = LogConfig {
            segment_bytes: seed.within(200, 1500) as u32,
            index_interval_bytes: seed.below(400) as u32,
            checkpoint_bytes: seed.within(100, 3000),
            note_bytes: seed.within(1, 1000),
            compaction: CompactionConfig {
                min_dirty_millionths: 0,
                delete_retention_ms: seed.below(200),
                ..CompactionConfig::default()
            },
            ..compacted()
        };
        Self {
            bench: Bench::with(config, limits, FlushMode::Fsync),
            seed,
            model: Model::default(),
            sequence: 0,
            swaps: 0,
            touched: 0,
        }
    }

    fn append(&mut self) {
        let count = self.seed.within(1, 4);
        let codec = Compression::ALL[self.seed.below(5) as usize];
        let keys: Vec<String> = (0..count).map(|_| alloc::format!("k{}", self.seed.below(12))).collect();
        let values: Vec<Option<String>> = (0..count)
            .map(|_| self.seed.chance(3, 4).then(|| "v".repeat(self.seed.below(60) as usize)))
            .collect();
        let rows: Vec<(&str, Option<&str>)> = keys
            .iter()
            .zip(&values)
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        let producer = Producer::Idempotent {
            id: ProducerId(4),
            epoch: ProducerEpoch(0),
            base_sequence: Sequence(self.sequence),
        };
        let producer = if self.seed.chance(1, 2) {
            producer
        } else {
            Producer::Plain
        };
        if producer != Producer::Plain {
            self.sequence += count as i32;
        }
        let at = self.bench.now.wall.0 + self.seed.below(50) as i64;
        let mut batch = records(&rows, codec, producer, at);
        let base = self.bench.append(batch.clone());
        batch.stamp(base, EPOCH);
        self.model.rows.extend(rows_of(&[batch]));
        self.bench.settle();
        pass(&mut self.bench, self.seed.below(40));
    }

    /// A run, whole or cut short by a crash.
    fn compact(&mut self) {
        let run = CompactRun {
            secret: [self.seed.next_u64(), 1],
            key_bytes: self.seed.within(1, 600) as usize,
            stretch_bytes: self.seed.within(1, 2000),
        };
        let Some(mut job) = begin(&mut self.bench, run) else {
            return;
        };
        let grows = self.bench.log.segments.back().map_or(0, |active| active.base.0);
        self.touched = self.touched.max(grows);
        let steps = if self.seed.chance(1, 3) {
            self.seed.below(60) as usize
        } else {
            usize::MAX
        };
        let mut left = steps;
        let mut done = Ok(IoValue::Done);
        while left > 0 {
            left -= 1;
            match job.resume(done) {
                Next::Io(op) => done = self.bench.disk.perform(&op),
                Next::Later => done = Ok(IoValue::Done),
                Next::Done(outcome) => {
                    self.swaps += usize::from(matches!(outcome, CompactOutcome::Swapped(..)));
                    let next = self
                        .bench
                        .log
                        .compacted(outcome, self.bench.now, &mut self.bench.storage);
                    let Some(next) = next.expect("the disk is well") else {
                        self.bench.settle();
                        return;
                    };
                    job = next;
                    done = Ok(IoValue::Done);
                    // Old files go while the rest is compacted.
                    for _ in 0..self.seed.below(8) {
                        self.bench.step();
                    }
                }
            }
        }
        self.crash();
    }

    fn crash(&mut self) {
        for _ in 0..self.seed.within(1, 2) {
            if self.seed.chance(2, 3) {
                self.bench.disk.power_cut_partially(&mut self.seed);
            } else {
                self.bench.disk.kill();
            }
            let mut job = self.bench.recover_job(Source::Directory);
            let steps = self.seed.below(30) as usize;
            self.bench.run_some(&mut job, steps);
        }
        if self.seed.chance(1, 4) {
            let checkpoints = names(&self.bench, CHECKPOINT);
            if !checkpoints.is_empty() {
                let lost = &checkpoints[self.seed.below(checkpoints.len() as u64) as usize];
                self.bench.disk.lose(&self.bench.path(lost));
            }
        }
        let end = self.bench.log.end();
        self.bench.restart();
        assert_eq!(self.bench.log.end(), end, "all of it was durable");
    }

    fn check(&mut self) {
        self.bench.settle();
        let max = self.seed.within(1, 1500) as usize;
        let found = everything(&mut self.bench, max);
        self.model.check(&found, self.bench.log.compacted_to().0, self.touched);
        // From anywhere, the first record read is the first that is there.
        let end = self.bench.log.durable_end();
        for _ in 0..5 {
            let from = self.seed.below(end.0 as u64 + 1) as i64;
            let expected: Vec<Row> = found.iter().filter(|row| row.0 >= from).cloned().collect();
            let read = rows_of(&self.bench.consume(Offset(from), end, max));
            let read: Vec<Row> = read.into_iter().filter(|row| row.0 >= from).collect();
            assert_eq!(read, expected);
        }
    }

    fn run(&mut self) {
        for _ in 0..60 {
            match self.seed.below(12) {
                0..7 => self.append(),
                7 => roll(&mut self.bench),
                8 | 9 => self.compact(),
                10 => self.crash(),
                _ => {
                    let entry = self.bench.close();
                    self.bench.disk.power_cut_partially(&mut self.seed);
                    let recovered = self.bench.recover(Source::Clean(entry)).expect("nothing is corrupt");
                    self.bench.reopen(recovered);
                }
            }
            if self.seed.chance(1, 3) {
                self.check();
            }
        }
        self.check();
    }
}

#[test]
fn whatever_happens_the_last_value_of_each_key_is_there() {
    let (mut swaps, mut compacted) = (0, 0);
    for number in 0..50 {
        let mut story = Story::new(number);
        story.run();
        swaps += story.swaps;
        compacted += usize::from(story.touched > 0);
    }
    assert!(
        swaps > 150 && compacted > 40,
        "{swaps} segments were made in {compacted} logs"
    );
}
