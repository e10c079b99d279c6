//! A partition whose log fails while something else goes on.

use super::{Acks, LogJob, LogOutcome, Outcome, Partition, PartitionAnswer, PartitionAsk, Purpose, Setting};
use crate::config::{BrokerConfig, FlushMode, Limits, TopicConfig};
use crate::log::{LogConfig, LogPlace, StartOutcome};
use crate::record::codec::Level;
use crate::record::{BatchBuilder, Compression, Producer};
use crate::storage::tests::disk::Disk;
use crate::storage::{LogId, Storage, StorageEvent, run_to_end};
use crate::types::{
    BrokerId, ErrorCode, Fault, LeaderEpoch, LogDirectoryId, Monotonic, Now, Offset, ProducerEpoch, ProducerId,
    Sequence, ShardId, Timestamp, TopicId, Uuid,
};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

const LOG: LogId = LogId(1);

struct Bench {
    partition: Partition<u32>,
    storage: Storage,
    disk: Disk,
    now: Now,
    /// Jobs that wait to be run.
    jobs: VecDeque<(Purpose<u32>, LogJob)>,
    /// Parts that were answered.
    answered: Vec<u32>,
    /// Why appends were refused, and what was said of the log's start.
    refused: Vec<(ErrorCode, Option<Offset>)>,
    faults: Vec<Fault>,
    asleep: bool,
}

impl Bench {
    /// A partition with a record in it.
    fn new() -> Self {
        let now = Now {
            monotonic: Monotonic(0),
            wall: Timestamp(1_000_000),
        };
        let mut storage = Storage::new(LogDirectoryId(0), ShardId(0), FlushMode::Fsync, &Limits::default());
        let config = TopicConfig::default();
        let setting = Setting {
            log: LOG,
            place: LogPlace::new(LogDirectoryId(0), "orders", TopicId(Uuid([7; 16])), 0),
            broker: BrokerId(1),
            isr: Arc::from([BrokerId(1)]),
            replicas: 1,
            epoch: LeaderEpoch(1),
            log_config: LogConfig::new(&config, &BrokerConfig::default()),
            config: Arc::new(config),
            opened_in_step: Limits::default().opened_in_step,
        };
        let partition = Partition::create(setting, now, &mut storage);
        let mut bench = Self {
            partition,
            storage,
            disk: Disk::default(),
            now,
            jobs: VecDeque::new(),
            answered: Vec::new(),
            refused: Vec::new(),
            faults: Vec::new(),
            asleep: false,
        };
        let mut builder = BatchBuilder::new(Compression::None, Level::default(), Producer::Plain);
        builder.append(Timestamp(1), None, Some(b"a"), &[]);
        let records = builder.build().expect("it has a record").to_bytes();
        let acks = Acks::All;
        bench.ask(1, PartitionAsk::Produce { records, acks });
        bench.settle();
        assert_eq!(bench.answered, [1]);
        bench
    }

    fn act(&mut self, act: impl FnOnce(&mut Partition<u32>, Now, &mut Storage, &mut Outcome<u32>)) {
        let mut outcome = Outcome::default();
        act(&mut self.partition, self.now, &mut self.storage, &mut outcome);
        self.partition.began(outcome.jobs.len());
        self.jobs.extend(outcome.jobs);
        for (part, answer) in outcome.answers {
            self.answered.push(part);
            if let PartitionAnswer::Produced(Err(refused)) = answer {
                self.refused.push((refused.refusal.code, refused.log_start_offset));
            }
        }
        self.faults.extend(outcome.fault);
        self.asleep |= outcome.asleep.is_some();
    }

    fn ask(&mut self, part: u32, ask: PartitionAsk) {
        self.act(|partition, now, storage, outcome| partition.ask(part, ask, now, storage, outcome));
    }

    fn tell(&mut self, event: &StorageEvent) {
        self.act(|partition, now, storage, outcome| partition.storage_event(event, now, storage, outcome));
    }

    fn write_failed(&mut self) {
        let fault = Fault::NoSpace;
        self.tell(&StorageEvent::WriteFailed { log: LOG, fault });
    }

    fn done(&mut self, purpose: Purpose<u32>, job: LogOutcome) {
        self.act(|partition, now, storage, outcome| partition.job_done(purpose, job, now, storage, outcome));
    }

    /// Carries out what storage asks for.
    fn settle(&mut self) {
        loop {
            let asked: Vec<_> = self.storage.drain(self.now.monotonic).collect();
            if asked.is_empty() {
                break;
            }
            for (token, op) in asked {
                let result = self.disk.perform(&op);
                let mut events = Vec::new();
                self.storage.complete(token, result, &mut events);
                self.storage.take_events(&mut events);
                for event in &events {
                    self.tell(event);
                }
            }
        }
    }

    /// Runs all jobs to their ends, and those that they call forth.
    fn run_jobs(&mut self) {
        while let Some((purpose, mut job)) = self.jobs.pop_front() {
            let outcome = run_to_end(&mut job, |op| self.disk.perform(&op));
            self.done(purpose, outcome);
            self.settle();
        }
    }
}

#[test]
fn a_log_that_fails_while_it_is_being_closed_for_its_rest_is_brought_back() {
    let mut bench = Bench::new();
    bench.act(|partition, now, storage, outcome| partition.rest(0, now, storage, outcome));
    assert_eq!(bench.jobs.len(), 1, "its checkpoint is to be written");
    bench.write_failed();
    bench.ask(2, PartitionAsk::Size);
    assert_eq!(bench.answered, [1], "something works on the log still");
    bench.run_jobs();
    assert_eq!(bench.answered, [1, 2]);
    assert!(!bench.asleep && bench.faults.is_empty());
    assert_eq!(bench.partition.high_watermark(), Some(Offset(1)));
}

#[test]
fn a_sync_of_names_that_failed_is_the_directorys_fault_though_the_log_failed_before() {
    let mut bench = Bench::new();
    bench.ask(2, PartitionAsk::DeleteRecords(Some(Offset(1))));
    let (purpose, job) = bench.jobs.pop_front().expect("the mark is to be written");
    assert!(matches!(job, LogJob::MarkStart(_)));
    bench.write_failed();
    assert!(bench.faults.is_empty());
    let fault = Fault::Device("sync: input/output error".into());
    let result = Err(fault.clone());
    let start = Offset(1);
    bench.done(purpose, LogOutcome::StartMarked(StartOutcome { start, result }));
    assert_eq!(
        bench.faults,
        [fault],
        "recovery would sync the directory again, and believe it"
    );
}

#[test]
fn who_refuses_a_batch_says_where_the_log_starts_once_it_was_looked_at() {
    let mut bench = Bench::new();
    let producer = Producer::Idempotent {
        id: ProducerId(9),
        epoch: ProducerEpoch(-1),
        base_sequence: Sequence(0),
    };
    let mut builder = BatchBuilder::new(Compression::None, Level::default(), producer);
    builder.append(Timestamp(1), None, Some(b"a"), &[]);
    let without_epoch = builder.build().expect("it has a record").to_bytes();
    let mut corrupt = without_epoch.to_vec();
    *corrupt.last_mut().expect("a byte") ^= 1;
    for (part, records) in [(2, Bytes::new()), (3, corrupt.into()), (4, without_epoch)] {
        let acks = Acks::All;
        bench.ask(part, PartitionAsk::Produce { records, acks });
    }
    let refused = [
        (ErrorCode::InvalidRecord, None),
        (ErrorCode::CorruptMessage, None),
        (ErrorCode::InvalidProducerEpoch, Some(Offset(0))),
    ];
    assert_eq!(bench.refused, refused);
}
