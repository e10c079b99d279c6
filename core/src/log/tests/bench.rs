//! A log on a disk in memory, driven by hand.

use crate::config::{BrokerConfig, FlushMode, Limits, TopicConfig};
use crate::log::{ClosedLog, Log, LogConfig, LogPlace, Read, ReadPlan, Recover, RecoverSettings, Recovered, Source};
use crate::record::codec::Level;
use crate::record::{Batch, BatchBuilder, Compression, Producer, split};
use crate::storage::tests::disk::Disk;
use crate::storage::{FileOp, IoResult, IoValue, Job, LogId, Next, Storage, StorageEvent, Token};
use crate::types::{
    Fault, LeaderEpoch, LogDirectoryId, Monotonic, Now, Offset, Origin, Part, ShardId, Timestamp, TopicId, Uuid,
};
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(super) const EPOCH: LeaderEpoch = LeaderEpoch(3);

/// How the names of segments end.
pub(super) const SEGMENT: &str = ".log";
/// How the names of checkpoints end.
pub(super) const CHECKPOINT: &str = ".checkpoint";

pub(super) struct Bench {
    pub(super) storage: Storage,
    pub(super) disk: Disk,
    pub(super) log: Log,
    pub(super) config: LogConfig,
    pub(super) limits: Limits,
    pub(super) flush: FlushMode,
    pub(super) now: Now,
    /// What recovery takes for the latest leader epoch.
    pub(super) latest_epoch: LeaderEpoch,
    /// Operations that were asked for and not carried out.
    pub(super) asked: VecDeque<(Token, FileOp)>,
    pub(super) events: Vec<StorageEvent>,
}

pub(super) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 200,
        ..LogConfig::new(&TopicConfig::default(), &BrokerConfig::default())
    }
}

pub(super) fn place() -> LogPlace {
    LogPlace::new(LogDirectoryId(0), "orders", TopicId(Uuid(7u128.to_be_bytes())), 0)
}

/// A batch of `count` records with `bytes` bytes of value each.
pub(super) fn batch(count: usize, bytes: usize, producer: Producer, timestamp: i64) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None, Level::default(), producer);
    for i in 0..count {
        let value = alloc::vec![b'a' + (i % 26) as u8; bytes];
        builder.append(Timestamp(timestamp + i as i64), None, Some(&value), &[]);
    }
    builder.build().expect("it has records")
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(config(), Limits::default(), FlushMode::Fsync)
    }

    pub(super) fn with(config: LogConfig, limits: Limits, flush: FlushMode) -> Self {
        let mut storage = Storage::new(LogDirectoryId(0), ShardId(1), flush, &limits);
        let log = Log::create(LogId(1), place(), config.clone(), &mut storage);
        Self {
            storage,
            disk: Disk::default(),
            log,
            config,
            limits,
            flush,
            now: Now {
                monotonic: Monotonic(0),
                wall: Timestamp(1_000_000),
            },
            latest_epoch: EPOCH,
            asked: VecDeque::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn append(&mut self, batch: Batch) -> Offset {
        let appended = self.log.append([batch], EPOCH, self.now, &mut self.storage);
        appended.base_offset
    }

    /// Takes what storage asks for.
    pub(super) fn collect(&mut self) {
        self.asked.extend(self.storage.drain(self.now.monotonic));
        let mut events = Vec::new();
        self.storage.take_events(&mut events);
        self.hear(events);
    }

    fn hear(&mut self, events: Vec<StorageEvent>) {
        for event in &events {
            self.log.handle(event);
        }
        self.events.extend(events);
    }

    /// Carries out one operation and hands its answer back.
    pub(super) fn step(&mut self) -> bool {
        self.collect();
        let Some((token, op)) = self.asked.pop_front() else {
            return false;
        };
        let result = self.disk.perform(&op);
        self.answer(token, result);
        true
    }

    pub(super) fn answer(&mut self, token: Token, result: IoResult) {
        let mut events = Vec::new();
        self.storage.complete(token, result, &mut events);
        self.storage.take_events(&mut events);
        self.hear(events);
        self.work();
    }

    /// Writes the checkpoints and notes that are due.
    pub(super) fn work(&mut self) {
        while let Some(mut job) = self.log.note_synced(&mut self.storage) {
            let end = self.run(&mut job);
            self.log.synced_noted(end, &mut self.storage);
        }
        while let Some(mut job) = self.log.work(&mut self.storage) {
            let outcome = self.run(&mut job);
            self.log.worked(&outcome, &mut self.storage).expect("the disk is well");
        }
    }

    /// Runs until nothing is asked for any more.
    pub(super) fn settle(&mut self) {
        self.work();
        while self.step() {}
    }

    /// Runs a job, new or waiting for another chance, to its end.
    pub(super) fn run<J: Job>(&mut self, job: &mut J) -> J::Outcome {
        run(&mut self.disk, job)
    }

    /// The job dies after `steps` operations, if it is not done by then.
    pub(super) fn run_some<J: Job>(&mut self, job: &mut J, steps: usize) -> Option<J::Outcome> {
        let mut done = Ok(IoValue::Done);
        for _ in 0..steps {
            match job.resume(done) {
                Next::Io(op) => done = self.disk.perform(&op),
                Next::Later => done = Ok(IoValue::Done),
                Next::Done(outcome) => return Some(outcome),
            }
        }
        None
    }

    /// As [`run_some`](Self::run_some), counting down `left` over several jobs.
    pub(super) fn run_steps<J: Job>(&mut self, job: &mut J, left: &mut usize) -> Option<J::Outcome> {
        let mut done = Ok(IoValue::Done);
        while *left > 0 {
            *left -= 1;
            match job.resume(done) {
                Next::Io(op) => done = self.disk.perform(&op),
                Next::Later => done = Ok(IoValue::Done),
                Next::Done(outcome) => return Some(outcome),
            }
        }
        None
    }

    pub(super) fn recover_job(&mut self, source: Source) -> Recover {
        let settings = RecoverSettings {
            latest_epoch: self.latest_epoch,
            writes: self.config.writes,
            flush: self.config.flush,
            index_interval_bytes: self.config.index_interval_bytes,
            start_at_least: Offset::ZERO,
            wall: self.now.wall,
        };
        self.storage = Storage::new(LogDirectoryId(0), ShardId(1), self.flush, &self.limits);
        self.asked.clear();
        self.disk.kill();
        Recover::new(place(), source, settings, self.storage.job_files())
    }

    pub(super) fn recover(&mut self, source: Source) -> Result<Recovered, Fault> {
        let mut job = self.recover_job(source);
        self.run(&mut job)
    }

    pub(super) fn reopen(&mut self, recovered: Recovered) {
        self.log = Log::open(LogId(1), self.config.clone(), recovered, self.now, &mut self.storage);
    }

    /// A new process finds what the last one left.
    pub(super) fn restart(&mut self) -> crate::log::RecoveryReport {
        let recovered = self.recover(Source::Directory).expect("nothing is corrupt");
        let report = recovered.report;
        self.reopen(recovered);
        report
    }

    /// Lets the log begin at `start`, and everything happen that comes of it.
    pub(super) fn delete_below(&mut self, start: Offset) {
        let mut job = self.log.mark_start(start, &mut self.storage);
        let outcome = self.run(&mut job);
        let marked = self.log.start_marked(&outcome, &mut self.storage);
        marked.expect("the disk is well");
        self.log.remove_passed(self.now, &mut self.storage);
        self.settle();
        self.log.remove_passed(self.now, &mut self.storage);
        self.settle();
    }

    /// Stops cleanly.
    pub(super) fn close(&mut self) -> ClosedLog {
        self.log.close(self.now, &mut self.storage);
        self.settle();
        let entry = self.log.closed(&self.storage).expect("everything is durable");
        assert!(self.storage.is_quiet());
        entry
    }

    /// Reads, doing what it takes.
    pub(super) fn try_read(&mut self, from: Offset, upto: Offset, max: usize, one: bool) -> Option<ReadPlan> {
        let mut read = self.log.read(from, upto, max, one, &mut self.storage);
        for _ in 0..8 {
            match read {
                Read::Plan(plan) => return Some(plan),
                Read::OutOfRange => return None,
                Read::Opening => {
                    self.settle();
                    read = self.log.read(from, upto, max, one, &mut self.storage);
                }
                Read::Lookup(mut job) => {
                    let outcome = self.run(&mut *job);
                    let adopted = self.log.adopt_lookup(outcome, &mut self.storage);
                    adopted.expect("nothing is corrupt");
                    read = self.log.read(from, upto, max, one, &mut self.storage);
                }
            }
        }
        panic!("a read does not come to an end")
    }

    /// The bytes of a plan; its leases are released.
    pub(super) fn fetch(&mut self, plan: ReadPlan) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in plan.parts {
            match part {
                Part::Inline(part) => bytes.extend_from_slice(&part),
                Part::Range(range, mut content) => {
                    let read = self.disk.perform(&FileOp::Read {
                        file: range.file,
                        position: range.position,
                        length: range.length,
                    });
                    let Ok(IoValue::Bytes(part)) = read else {
                        panic!("a leased range is readable: {read:?}")
                    };
                    assert_eq!(part.len(), range.length as usize);
                    for piece in part.chunks(97) {
                        content
                            .pass(piece, Origin::Device)
                            .expect("the batches are those that are due");
                    }
                    bytes.extend_from_slice(&part);
                }
            }
        }
        for lease in plan.leases {
            self.storage.release(lease);
        }
        assert_eq!(bytes.len(), plan.bytes);
        bytes
    }

    /// Every batch from `from` to `upto`, fetched in pieces of at most `max` bytes.
    pub(super) fn consume(&mut self, from: Offset, upto: Offset, max: usize) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut at = from;
        while at < upto {
            let plan = self.try_read(at, upto, max, true).expect("the offset is in range");
            let next = plan.next_offset;
            assert!(next > at, "a read with at_least_one makes progress");
            let bytes = self.fetch(plan);
            batches.extend(split(&bytes.into()).map(|batch| batch.expect("plans hold whole batches")));
            at = next;
        }
        batches
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.log.place().path.join(name).relative.to_string()
    }
}

pub(super) fn run<J: Job>(disk: &mut Disk, job: &mut J) -> J::Outcome {
    crate::storage::run_to_end(job, |op| disk.perform(&op))
}
