//! What a partition is at the moment: being opened, led, or lost.

use super::ask::{PartitionAnswer, PartitionAsk};
use super::job::{Incarnation, LogJob, LogOutcome, Purpose};
use super::leader::Leader;
use crate::config::TopicConfig;
use crate::log::{
    Log, LogConfig, LogPlace, ManifestEntry, Recover, RecoverSettings, Recovered, RecoveryReport, Source,
};
use crate::storage::{LogId, Storage, StorageEvent};
use crate::types::{BrokerId, ErrorCode, Fault, LeaderEpoch, Now, Offset, ProducerEpoch, ProducerId};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

/// What a partition is told when it wakes.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its log's id in this shard.
    pub log: LogId,
    /// Where its log lies.
    pub place: LogPlace,
    /// The broker it is on.
    pub broker: BrokerId,
    /// The replicas in sync.
    pub isr: Arc<[BrokerId]>,
    /// How many replicas it has.
    pub replicas: usize,
    /// Its leader epoch: new with each start of the broker.
    pub epoch: LeaderEpoch,
    /// Its topic's configuration.
    pub config: Arc<TopicConfig>,
    /// What of the configuration its log needs.
    pub log_config: LogConfig,
}

/// What a partition wants done; `T` names a part of an ask.
#[derive(Debug)]
pub struct Outcome<T> {
    /// Answers to parts.
    pub answers: Vec<(T, PartitionAnswer)>,
    /// Jobs to run.
    pub jobs: Vec<(Purpose<T>, LogJob)>,
    /// What an operator should know.
    pub reports: Vec<String>,
    /// Readers may find more than before.
    pub news: bool,
    /// The log directory failed.
    pub fault: Option<Fault>,
    /// Nothing works on the deleted partition's log any more: its directory can be removed.
    pub removable: bool,
    /// A recovery ended.
    pub recovered: Option<RecoveryReport>,
    /// What was appended.
    pub appended: Appended,
}

/// What was appended, for the counters.
#[derive(Clone, Copy, Default, Debug)]
pub struct Appended {
    /// Batches.
    pub batches: u64,
    /// Records, as their batches declare them.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        let (answers, jobs, reports) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            answers,
            jobs,
            reports,
            news: false,
            fault: None,
            removable: false,
            recovered: None,
            appended: Appended::default(),
        }
    }
}

/// A partition that is not dormant.
#[derive(Debug)]
pub struct Partition<T> {
    setting: Setting,
    /// How often its log was opened.
    incarnation: Incarnation,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    /// Its log is being recovered. Asks wait, in order.
    Opening {
        /// Producers that had begun before a write failed.
        begun: Vec<(ProducerId, ProducerEpoch)>,
        waiting: VecDeque<(T, PartitionAsk)>,
    },
    Leading(Leader<T>),
    /// Its log could not be written, and something works on it still: then it is recovered. Asks wait, in order.
    Failed {
        log: Log,
        waiting: VecDeque<(T, PartitionAsk)>,
    },
    /// Its log holds less than was synced, or other bytes.
    Offline,
    /// Its topic is gone. A log that is open is removed by storage; one that is being recovered, or is offline, by the
    /// shard once nothing works on it.
    Deleting {
        log: Option<Log>,
    },
}

impl<T: Copy + Debug> Partition<T> {
    /// A partition that never held a record.
    pub fn create(setting: Setting, storage: &mut Storage) -> Self {
        let log = Log::create(setting.log, setting.place.clone(), setting.log_config.clone(), storage);
        let incarnation = Incarnation::default();
        let state = State::Leading(Leader::new(&setting, log, incarnation));
        Self {
            setting,
            incarnation,
            state,
        }
    }

    /// A partition whose log is on disk; `clean` is what the manifest of a clean stop says of it.
    pub fn open(
        setting: Setting,
        clean: Option<ManifestEntry>,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) -> Self {
        let settings = RecoverSettings {
            latest_epoch: setting.epoch,
            writes: setting.log_config.writes,
            index_interval_bytes: setting.log_config.index_interval_bytes,
            start_at_least: Offset::ZERO,
            wall: now.wall,
        };
        let source = clean.map_or(Source::Directory, Source::Clean);
        let job = Recover::new(setting.place.clone(), source, settings, storage.job_files());
        outcome.jobs.push((Purpose::Recover, LogJob::Recover(Box::new(job))));
        Self {
            setting,
            incarnation: Incarnation::default(),
            state: State::Opening {
                begun: Vec::new(),
                waiting: VecDeque::new(),
            },
        }
    }

    /// Takes an ask. Its answer comes now or later, once.
    pub fn ask(&mut self, part: T, ask: PartitionAsk, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        match &mut self.state {
            State::Opening { waiting, .. } | State::Failed { waiting, .. } => waiting.push_back((part, ask)),
            State::Leading(leader) => {
                leader.ask(part, ask, now, storage, outcome);
                self.settle(now, storage, outcome);
            }
            State::Offline => outcome.answers.push((part, ask.refused(ErrorCode::KafkaStorageError))),
            State::Deleting { .. } => {
                outcome
                    .answers
                    .push((part, ask.refused(ErrorCode::UnknownTopicOrPartition)));
            }
        }
    }

    /// Takes what storage says of the partition's log.
    pub fn storage_event(&mut self, event: &StorageEvent, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        match &mut self.state {
            State::Leading(leader) => leader.storage_event(event, storage, outcome),
            State::Deleting { log: Some(log) } | State::Failed { log, .. } => log.handle(event),
            State::Opening { .. } | State::Offline | State::Deleting { log: None } => {}
        }
        self.settle(now, storage, outcome);
    }

    /// Takes what a job brought.
    pub fn job_done(
        &mut self,
        purpose: Purpose<T>,
        job: LogOutcome,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) {
        match (job, &mut self.state) {
            (LogOutcome::Recovered(recovered), _) => self.recovered(*recovered, now, storage, outcome),
            (job, State::Leading(leader)) => leader.job_done(purpose, job, now, storage, outcome),
            (job, state) => {
                let code = match state {
                    State::Deleting { .. } => ErrorCode::UnknownTopicOrPartition,
                    _ => ErrorCode::KafkaStorageError,
                };
                outcome.answers.extend(purpose.refused(code));
                let log = match state {
                    State::Deleting { log } => log.as_mut(),
                    State::Failed { log, .. } => Some(log),
                    _ => None,
                };
                job.discard(log, storage);
            }
        }
        self.settle(now, storage, outcome);
    }

    fn recovered(
        &mut self,
        recovered: Result<Recovered, Fault>,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) {
        let (waiting, begun) = match core::mem::replace(&mut self.state, State::Offline) {
            State::Opening { waiting, begun } => (waiting, begun),
            State::Deleting { log } => {
                self.state = State::Deleting { log };
                outcome.removable = true;
                return;
            }
            other => panic!("a log was recovered that is {other:?}"),
        };
        // A leader epoch lies outside Kafka's CRC: one that was never given is damage.
        let later = |recovered: &Recovered| recovered.epochs().latest() > Some(self.setting.epoch);
        let recovered = match recovered {
            Ok(recovered) if later(&recovered) => Err(Fault::Corruption(alloc::format!(
                "{} carries a later leader epoch than any that was given",
                self.setting.place.name()
            ))),
            other => other,
        };
        match recovered {
            Ok(recovered) => {
                outcome.recovered = Some(recovered.report);
                let (id, config) = (self.setting.log, self.setting.log_config.clone());
                let mut log = Log::open(id, config, recovered, now, storage);
                log.expect_from_start(&begun, now.monotonic);
                self.incarnation = Incarnation(self.incarnation.0 + 1);
                let mut leader = Leader::new(&self.setting, log, self.incarnation);
                for (part, ask) in waiting {
                    leader.ask(part, ask, now, storage, outcome);
                }
                self.state = State::Leading(leader);
                outcome.news = true;
            }
            Err(fault) => {
                outcome.reports.push(alloc::format!("taken offline: {fault}"));
                let refused = |(part, ask): (T, PartitionAsk)| (part, ask.refused(ErrorCode::KafkaStorageError));
                outcome.answers.extend(waiting.into_iter().map(refused));
            }
        }
    }

    /// Starts what has become due: a checkpoint, or the recovery of a log that could not be written.
    fn settle(&mut self, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        if let State::Leading(leader) = &mut self.state {
            leader.work(storage, outcome);
        }
        self.state = match core::mem::replace(&mut self.state, State::Offline) {
            State::Leading(leader) if leader.has_failed() => {
                let (log, waiting) = leader.fail(outcome);
                State::Failed { log, waiting }
            }
            state => state,
        };
        if let State::Failed { log, waiting } = &mut self.state
            && let Some(job) = log.recovery(self.setting.epoch, now, storage)
        {
            outcome.jobs.push((Purpose::Recover, LogJob::Recover(Box::new(job))));
            self.state = State::Opening {
                begun: log.begun_producers(),
                waiting: core::mem::take(waiting),
            };
        }
    }

    /// The topic is gone: nothing is answered any more but that, and the log is removed, once nobody reads or works on
    /// it. Where storage removes it, [`StorageEvent::Deleted`] says when it is gone.
    pub fn delete(&mut self, storage: &mut Storage, outcome: &mut Outcome<T>) {
        let gone = ErrorCode::UnknownTopicOrPartition;
        outcome.news = true;
        let log = match core::mem::replace(&mut self.state, State::Offline) {
            State::Leading(leader) => Some(leader.delete(storage, outcome)),
            State::Opening { waiting, .. } => {
                outcome
                    .answers
                    .extend(waiting.into_iter().map(|(part, ask)| (part, ask.refused(gone))));
                None
            }
            State::Failed { mut log, waiting } => {
                outcome
                    .answers
                    .extend(waiting.into_iter().map(|(part, ask)| (part, ask.refused(gone))));
                log.delete(storage);
                Some(log)
            }
            State::Offline => {
                outcome.removable = true;
                None
            }
            State::Deleting { .. } => panic!("a partition is deleted twice"),
        };
        self.state = State::Deleting { log };
    }

    /// Takes a changed configuration into use: whatever is asked from now on is held to it.
    pub fn reconfigure(&mut self, config: &Arc<TopicConfig>, log_config: LogConfig, now: Now) {
        self.setting.config = Arc::clone(config);
        self.setting.log_config = log_config;
        if let State::Leading(leader) = &mut self.state {
            leader.reconfigure(&self.setting, now);
        }
    }

    /// Deletes segments that retention does not keep.
    pub fn retain(&mut self, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        if let State::Leading(leader) = &mut self.state {
            leader.retain(now, storage);
        }
        self.settle(now, storage, outcome);
    }

    /// Begins to close the log, for a clean stop: nothing is asked of the partition any more.
    pub fn close(&mut self, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        if let State::Leading(leader) = &mut self.state {
            leader.close(now, storage);
        }
        self.settle(now, storage, outcome);
    }

    /// Whether nothing is in progress, so that the process may end.
    pub fn closed(&self, storage: &Storage) -> Closed {
        match &self.state {
            State::Leading(leader) => leader.closed(storage),
            State::Opening { .. } | State::Failed { .. } | State::Deleting { .. } => Closed::NotYet,
            State::Offline => Closed::Unclean,
        }
    }

    /// Where its log lies.
    pub const fn place(&self) -> &LogPlace {
        &self.setting.place
    }

    /// The offset after the last readable record; `None` while it does not lead.
    pub fn high_watermark(&self) -> Option<Offset> {
        match &self.state {
            State::Leading(leader) => Some(leader.high_watermark()),
            _ => None,
        }
    }
}

/// How far a partition is on its way to a clean stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Closed {
    /// Something is in progress.
    NotYet,
    /// It never held a record: there is nothing to remember.
    Empty,
    /// It has to be recovered at the next start.
    Unclean,
    /// Everything is durable; the next start finds it like this.
    Clean(ManifestEntry),
}

impl Closed {
    /// How far a log is that is being closed.
    pub fn of(log: &Log, storage: &Storage) -> Self {
        match log.closed(storage) {
            None => Self::NotYet,
            Some(entry) if entry.segments.is_empty() => Self::Empty,
            Some(entry) => Self::Clean(entry),
        }
    }
}
