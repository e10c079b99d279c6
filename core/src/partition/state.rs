//! What a partition is at the moment: being opened, led, or lost.

use super::ask::PartitionAsk;
use super::job::{Incarnation, LogJob, LogOutcome, Purpose};
use super::leader::Leader;
use super::outcome::{Closed, Outcome, Recovery};
use super::report::Matter;
use super::setting::Setting;
use crate::bugs::bug;
use crate::config::TopicConfig;
use crate::log::{ClosedLog, Log, LogConfig, LogPlace, Recover, RecoverSettings, Recovered, Source};
use crate::marks::mark;
use crate::storage::{Storage, StorageEvent};
use crate::types::{
    Broken, ErrorCode, Fault, FaultKind, FileId, Flaw, Monotonic, Now, Offset, ProducerEpoch, ProducerId,
};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

/// A partition that is not dormant.
#[derive(Debug)]
pub struct Partition<T> {
    setting: Setting,
    /// How often its log was opened.
    incarnation: Incarnation,
    /// Jobs that it wanted and whose outcome has not come.
    jobs: usize,
    /// When it was asked something last.
    used: Monotonic,
    /// When its log failed last.
    failed_at: Option<Monotonic>,
    /// Until then appends are refused: they failed twice in a row, and each failure costs a recovery.
    refuses_until: Option<Monotonic>,
    pub(super) state: State<T>,
}

/// What is known of a log that is not open, besides what its directory holds.
#[derive(Debug)]
pub(super) struct Known {
    /// How it was closed.
    clean: Option<ClosedLog>,
    /// Records below this are gone, whether their files still are there or not.
    start_at_least: Offset,
    /// Producers that had begun before a write failed.
    begun: Vec<(ProducerId, ProducerEpoch)>,
    /// Why it is not open.
    recovery: Recovery,
}

impl Known {
    const fn closed(clean: Option<ClosedLog>) -> Self {
        Self {
            clean,
            start_at_least: Offset::ZERO,
            begun: Vec::new(),
            recovery: Recovery::Opening,
        }
    }
}

/// Milliseconds before a recovery that failed for a reason that may pass is tried again.
const AGAIN_AFTER_MS: u64 = 1000;

#[derive(Debug)]
pub(super) enum State<T> {
    /// Its log is being recovered. Asks wait, in order.
    Opening {
        known: Known,
        waiting: VecDeque<(T, PartitionAsk)>,
    },
    Leading(Box<Leader<T>>),
    /// Nobody used it for long: its log is being closed. Asks wait, in order.
    Resting {
        log: Log,
        waiting: VecDeque<(T, PartitionAsk)>,
    },
    /// Its log could not be written, and something works on it still: then it is recovered. Asks wait, in order.
    Failed {
        log: Log,
        waiting: VecDeque<(T, PartitionAsk)>,
    },
    /// Its log could not be recovered. What lacks room or could not be read may be well when it is asked for `again`, from
    /// the given time on; what holds less than was synced, or other bytes, is not, and a failed sync must not be tried
    /// again: it would succeed without the bytes.
    Offline {
        why: FaultKind,
        again: Option<(Known, Monotonic)>,
    },
    /// Its topic is gone. A log that is open is removed by storage; one that is being recovered, or is offline, by the
    /// shard once nothing works on it.
    Deleting {
        log: Option<Log>,
    },
}

impl<T> State<T> {
    /// Stands where a state is about to be put.
    const fn nowhere() -> Self {
        Self::Deleting { log: None }
    }

    /// Takes it, to put the next in its place.
    const fn take(&mut self) -> Self {
        core::mem::replace(self, Self::nowhere())
    }
}

impl<T: Copy + Debug> Partition<T> {
    /// A partition that never held a record.
    pub fn create(setting: Setting, now: Now, storage: &mut Storage) -> Self {
        let log = Log::create(setting.log, setting.place.clone(), setting.log_config.clone(), storage);
        let incarnation = Incarnation::default();
        let state = State::Leading(Box::new(Leader::new(&setting, log, incarnation)));
        Self {
            setting,
            incarnation,
            jobs: 0,
            used: now.monotonic,
            failed_at: None,
            refuses_until: None,
            state,
        }
    }

    /// A partition whose log is on disk; `clean` says how it was closed, if it was.
    pub fn open(
        setting: Setting,
        clean: Option<ClosedLog>,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) -> Self {
        let mut partition = Self {
            setting,
            incarnation: Incarnation::default(),
            jobs: 0,
            used: now.monotonic,
            failed_at: None,
            refuses_until: None,
            state: State::nowhere(),
        };
        partition.reopen(Known::closed(clean), VecDeque::new(), now, storage, outcome);
        partition
    }

    /// Has the log recovered; asks wait.
    fn reopen(
        &mut self,
        known: Known,
        waiting: VecDeque<(T, PartitionAsk)>,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) {
        let setting = &self.setting;
        let settings = RecoverSettings {
            latest_epoch: setting.epoch,
            writes: setting.log_config.writes,
            flush: setting.log_config.flush,
            index_interval_bytes: setting.log_config.index_interval_bytes,
            start_at_least: known.start_at_least,
            wall: now.wall,
        };
        let source = known.clean.clone().map_or(Source::Directory, Source::Clean);
        let job = Recover::new(setting.place.clone(), source, settings, storage.job_files());
        outcome.jobs.push((Purpose::Recover, LogJob::Recover(Box::new(job))));
        self.state = State::Opening { known, waiting };
    }

    /// So many of the jobs that it wanted were begun.
    pub const fn began(&mut self, jobs: usize) {
        self.jobs += jobs;
    }

    /// Takes an ask. Its answer comes now or later, once.
    pub fn ask(&mut self, part: T, ask: PartitionAsk, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        // To be measured is no use: whoever looks on keeps no log open.
        if !matches!(ask, PartitionAsk::Size) {
            self.used = now.monotonic;
        }
        match &mut self.state {
            State::Opening { waiting, .. } | State::Resting { waiting, .. } | State::Failed { waiting, .. } => {
                waiting.push_back((part, ask));
            }
            State::Leading(leader) => {
                Self::put(leader, (part, ask), self.refuses_until, now, storage, outcome);
                self.settle(now, storage, outcome);
            }
            State::Offline { again, .. } => match again.take_if(|(_, at)| now.monotonic >= *at) {
                Some((known, _)) => self.reopen(known, VecDeque::from([(part, ask)]), now, storage, outcome),
                None => outcome.answers.push((part, ask.refused(ErrorCode::KafkaStorageError))),
            },
            State::Deleting { .. } => {
                outcome
                    .answers
                    .push((part, ask.refused(ErrorCode::UnknownTopicOrPartition)));
            }
        }
    }

    /// Puts an ask to the leader, unless it is an append and those are refused.
    fn put(
        leader: &mut Leader<T>,
        (part, ask): (T, PartitionAsk),
        refuses_until: Option<Monotonic>,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) {
        let refuses = refuses_until.is_some_and(|until| now.monotonic < until);
        if refuses && matches!(ask, PartitionAsk::Produce { .. }) {
            outcome.answers.push((part, ask.refused(ErrorCode::KafkaStorageError)));
        } else {
            leader.ask(part, ask, now, storage, outcome);
        }
    }

    /// The log failed. The next append may well succeed, but one that fails soon after another is not tried at once
    /// again.
    fn note_failure(&mut self, now: Monotonic) {
        let before = self.failed_at.replace(now);
        if before.is_some_and(|before| now.millis_since(before) < 2 * AGAIN_AFTER_MS) {
            self.refuses_until = Some(now.plus_millis(AGAIN_AFTER_MS));
        }
    }

    /// Takes what storage says of the partition's log.
    pub fn storage_event(&mut self, event: &StorageEvent, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        match &mut self.state {
            State::Leading(leader) => leader.storage_event(event, storage, outcome),
            State::Deleting { log: Some(log) } | State::Failed { log, .. } | State::Resting { log, .. } => {
                log.handle(event);
            }
            State::Opening { .. } | State::Offline { .. } | State::Deleting { log: None } => {}
        }
        self.settle(now, storage, outcome);
    }

    /// Whoever sent from a file of its log found other bytes there than were synced. What begins there is looked at before
    /// it is sent again.
    pub fn found_broken(&mut self, file: FileId, broken: Broken, outcome: &mut Outcome<T>) {
        let State::Leading(leader) = &mut self.state else {
            return;
        };
        if leader.log_mut().found_broken(file, broken) {
            let (at, byte) = (broken.offset, broken.position);
            let wrong = match broken.flaw {
                Flaw::Header => "or the one behind it, is not the one that was synced",
                Flaw::Crc => "does not have its CRC any more",
            };
            outcome.damaged.headers += u64::from(broken.flaw == Flaw::Header);
            outcome.damaged.bodies += u64::from(broken.flaw == Flaw::Crc);
            let text = alloc::format!("the batch at offset {at}, byte {byte} of its segment, {wrong}; it was not sent");
            outcome.reports.push((Matter::Read, text));
        }
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
        self.jobs -= 1;
        match (job, &mut self.state) {
            (LogOutcome::Recovered(recovered), _) => self.recovered(*recovered, now, storage, outcome),
            (LogOutcome::Compacted(brought), _) => self.compacted(brought, now, storage, outcome),
            (job, State::Leading(leader)) => leader.job_done(purpose, job, now, storage, outcome),
            (LogOutcome::Checkpointed(done), State::Resting { log, .. }) => {
                outcome.fault = log.worked(&done, storage).err();
            }
            (job, state) => {
                let code = match state {
                    State::Deleting { .. } => ErrorCode::UnknownTopicOrPartition,
                    _ => ErrorCode::KafkaStorageError,
                };
                outcome.answers.extend(purpose.refused(code));
                let log = match state {
                    State::Deleting { log } => log.as_mut(),
                    State::Failed { log, .. } | State::Resting { log, .. } => Some(log),
                    _ => None,
                };
                outcome.fault = job.discard(log, storage).err();
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
        let (waiting, mut known) = match self.state.take() {
            State::Opening { waiting, known } => (waiting, known),
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
                outcome.recovered = Some((known.recovery, recovered.report));
                let (id, config) = (self.setting.log, self.setting.log_config.clone());
                let mut log = Log::open(id, config, recovered, now, storage);
                log.expect_from_start(&core::mem::take(&mut known.begun), now.monotonic);
                self.incarnation = Incarnation(self.incarnation.0 + 1);
                let mut leader = Leader::new(&self.setting, log, self.incarnation);
                for asked in waiting {
                    Self::put(&mut leader, asked, self.refuses_until, now, storage, outcome);
                }
                self.state = State::Leading(Box::new(leader));
                outcome.news = true;
            }
            Err(fault) => {
                outcome.damaged.logs += u64::from(fault.is_corruption());
                if bug!(OneLogHaltsAll) {
                    outcome.fault = Some(fault.clone());
                }
                outcome
                    .reports
                    .push((Matter::Offline, alloc::format!("taken offline: {fault}")));
                let passes = fault.is_shortage() || matches!(fault, Fault::Device(_));
                let again = passes.then(|| (known, now.monotonic.plus_millis(AGAIN_AFTER_MS)));
                self.state = State::Offline {
                    why: fault.kind(),
                    again,
                };
                let refused = |(part, ask): (T, PartitionAsk)| (part, ask.refused(ErrorCode::KafkaStorageError));
                outcome.answers.extend(waiting.into_iter().map(refused));
            }
        }
    }

    /// Starts what has become due: a checkpoint, or the recovery of a log that could not be written.
    pub(super) fn settle(&mut self, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        if let State::Leading(leader) = &mut self.state {
            leader.work(storage, outcome);
        }
        self.state = match self.state.take() {
            State::Leading(leader) if leader.has_failed() => {
                self.note_failure(now.monotonic);
                let (log, waiting) = leader.fail(outcome);
                State::Failed { log, waiting }
            }
            State::Resting { log, waiting } if log.has_failed() => {
                self.note_failure(now.monotonic);
                State::Failed { log, waiting }
            }
            state => state,
        };
        if let State::Failed { log, waiting } = &mut self.state
            && let Some(job) = log.recovery(self.setting.epoch, now, storage)
        {
            outcome.jobs.push((Purpose::Recover, LogJob::Recover(Box::new(job))));
            let known = Known {
                clean: None,
                start_at_least: log.start(),
                begun: log.begun_producers(),
                recovery: Recovery::FailedWrite,
            };
            let waiting = core::mem::take(waiting);
            self.state = State::Opening { known, waiting };
        }
        self.settle_rest(now, storage, outcome);
    }

    /// The topic is gone: nothing is answered any more but that, and the log is removed, once nobody reads or works on
    /// it. Where storage removes it, [`StorageEvent::Deleted`] says when it is gone.
    pub fn delete(&mut self, storage: &mut Storage, outcome: &mut Outcome<T>) {
        let gone = ErrorCode::UnknownTopicOrPartition;
        outcome.news = true;
        let log = match self.state.take() {
            State::Leading(leader) => Some(leader.delete(storage, outcome)),
            State::Opening { waiting, .. } => {
                outcome
                    .answers
                    .extend(waiting.into_iter().map(|(part, ask)| (part, ask.refused(gone))));
                None
            }
            State::Failed { mut log, waiting } | State::Resting { mut log, waiting } => {
                outcome
                    .answers
                    .extend(waiting.into_iter().map(|(part, ask)| (part, ask.refused(gone))));
                log.delete(storage);
                Some(log)
            }
            State::Offline { .. } => {
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

    /// Has what was appended synced: the time of `flush.ms` has come.
    pub fn sync(&mut self, storage: &mut Storage) {
        if let State::Leading(leader) = &mut self.state {
            leader.sync(storage);
        }
    }

    /// Deletes segments that retention does not keep.
    pub fn retain(&mut self, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        if let State::Leading(leader) = &mut self.state {
            leader.retain(now, storage);
        }
        self.settle(now, storage, outcome);
    }

    /// Begins to close the log if nobody used the partition for `idle_ms`, nobody waits for anything of it, and nothing
    /// would be forgotten; [`Outcome::asleep`] says when it is closed.
    pub fn rest(&mut self, idle_ms: u64, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        let idle = self.jobs == 0 && now.monotonic >= self.used.plus_millis(idle_ms);
        // A log that has a directory and no segment is not worth remembering how.
        let known = |leader: &Leader<T>| !leader.is_empty() || self.incarnation == Incarnation::default();
        self.state = match self.state.take() {
            State::Leading(leader) if idle && known(&leader) && leader.may_rest(storage) => State::Resting {
                log: leader.rest(now, storage),
                waiting: VecDeque::new(),
            },
            state => state,
        };
        self.settle(now, storage, outcome);
    }

    /// Takes the closing of a log that rests further. Whoever asked meanwhile has it opened again.
    fn settle_rest(&mut self, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        let State::Resting { log, .. } = &mut self.state else {
            return;
        };
        if let Some(job) = log.work(storage) {
            outcome
                .jobs
                .push((Purpose::Checkpoint, LogJob::Checkpoint(Box::new(job))));
            return;
        }
        if let Some(job) = log.note_synced(storage) {
            outcome
                .jobs
                .push((Purpose::NoteSynced, LogJob::NoteSynced(Box::new(job))));
            return;
        }
        let Some(entry) = log.closed(storage) else { return };
        let State::Resting { log, waiting } = self.state.take() else {
            unreachable!("it was just looked at")
        };
        let held = !entry.segments.is_empty();
        let start = log.start();
        log.forget(storage);
        if waiting.is_empty() {
            outcome.asleep = Some(held.then_some(entry));
            return;
        }
        mark!(RestDisturbed);
        let known = Known {
            start_at_least: start,
            ..Known::closed(held.then_some(entry))
        };
        self.reopen(known, waiting, now, storage, outcome);
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
            State::Resting { log, .. } => Closed::of(log, storage),
            State::Opening { .. } | State::Failed { .. } | State::Deleting { .. } => Closed::NotYet,
            State::Offline { .. } => Closed::Unclean,
        }
    }

    /// Why its log is not open and nothing is asked of it, if that is so.
    pub const fn offline(&self) -> Option<FaultKind> {
        match &self.state {
            State::Offline { why, .. } => Some(*why),
            _ => None,
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
