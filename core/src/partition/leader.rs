//! The leader of a partition: appends, reads and look-ups.

mod produce;

use super::ask::{FetchAsk, Fetched, Fetcher, Located, OffsetTarget, PartitionAnswer, PartitionAsk, Produced};
use super::job::{Incarnation, LogJob, LogOutcome, Purpose};
use super::outcome::{Closed, Outcome};
use super::replicas::Replicas;
use super::report::Matter;
use super::setting::Setting;
use super::trims::Trims;
use crate::config::TopicConfig;
use crate::log::{Log, Read, TimeAnswer, TimeFound, TimeLookedUp};
use crate::marks::mark;
use crate::storage::{Storage, StorageEvent};
use crate::types::{BrokerId, ErrorCode, Fault, LeaderEpoch, Now, Offset};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

/// An append that does not satisfy its acks yet.
#[derive(Debug)]
struct Unacknowledged<T> {
    part: T,
    /// Every record below this must be as durable as the acks ask.
    end: Offset,
    produced: Produced,
}

/// A partition that this broker leads.
#[derive(Debug)]
pub(super) struct Leader<T> {
    log: Log,
    incarnation: Incarnation,
    broker: BrokerId,
    replicas: Replicas,
    replication_factor: usize,
    epoch: LeaderEpoch,
    config: Arc<TopicConfig>,
    opened_in_step: usize,
    high_watermark: Offset,
    /// The ends and sizes of batches appended that lie at or above the high watermark, in order.
    unreadable: VecDeque<(Offset, usize)>,
    /// Appends that wait for this replica, in the order of their ends.
    until_synced: VecDeque<Unacknowledged<T>>,
    /// Appends that wait for the high watermark, in the order of their ends.
    until_committed: VecDeque<Unacknowledged<T>>,
    /// Produce requests behind one whose records are being opened.
    held: Option<VecDeque<(T, PartitionAsk)>>,
    /// Reads that wait for a file to be opened.
    unread: Vec<(T, FetchAsk)>,
    /// Requests to delete records that wait until that is durable.
    trims: Trims<T>,
}

impl<T: Copy + Debug> Leader<T> {
    /// The leader of a log that is durable from end to end.
    pub(super) fn new(setting: &Setting, log: Log, incarnation: Incarnation) -> Self {
        let mut leader = Self {
            incarnation,
            broker: setting.broker,
            replicas: Replicas::new(&setting.isr),
            replication_factor: setting.replicas,
            epoch: setting.epoch,
            config: Arc::clone(&setting.config),
            opened_in_step: setting.opened_in_step,
            high_watermark: log.start(),
            log,
            unreadable: VecDeque::new(),
            until_synced: VecDeque::new(),
            until_committed: VecDeque::new(),
            held: None,
            unread: Vec::new(),
            trims: Trims::default(),
        };
        leader.advance_high_watermark();
        leader
    }

    pub(super) const fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Whether its log has no segment.
    pub(super) fn is_empty(&self) -> bool {
        self.log.is_without_segments()
    }

    /// Whether nobody waits for anything of it, and its log can be closed.
    pub(super) fn may_rest(&self, storage: &Storage) -> bool {
        let unasked = self.until_synced.is_empty() && self.until_committed.is_empty() && self.unread.is_empty();
        unasked && self.held.is_none() && self.log.may_rest(storage)
    }

    /// Closes the log of a leader that [may rest](Self::may_rest).
    pub(super) fn rest(self, now: Now, storage: &mut Storage) -> Log {
        let mut log = self.log;
        log.close(now, storage);
        log
    }

    pub(super) const fn log(&self) -> &Log {
        &self.log
    }

    pub(super) const fn log_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    pub(super) fn has_failed(&self) -> bool {
        self.log.has_failed()
    }

    pub(super) fn ask(
        &mut self,
        part: T,
        ask: PartitionAsk,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) {
        match ask {
            PartitionAsk::Produce { records, acks } => match &mut self.held {
                Some(held) => {
                    mark!(AppendWaitedForJob);
                    held.push_back((part, PartitionAsk::Produce { records, acks }));
                }
                None => self.produce(part, &records, acks, now, storage, outcome),
            },
            PartitionAsk::Fetch(ask) => self.fetch(part, ask, storage, outcome),
            PartitionAsk::ListOffset {
                current_leader_epoch,
                target,
            } => match self.check_epoch(current_leader_epoch) {
                Ok(()) => self.locate(part, target, storage, outcome),
                Err(code) => outcome.answers.push((part, PartitionAnswer::Offset(Err(code)))),
            },
            PartitionAsk::EpochEnd {
                current_leader_epoch,
                leader_epoch,
            } => {
                let checked = self.check_epoch(current_leader_epoch);
                let end = checked.map(|()| leader_epoch.and_then(|epoch| self.end_of_epoch(epoch)));
                outcome.answers.push((part, PartitionAnswer::EpochEnd(end)));
            }
            PartitionAsk::Producers => {
                let active = self.log.producers().active(now.monotonic).collect();
                outcome.answers.push((part, PartitionAnswer::Producers(Ok(active))));
            }
            PartitionAsk::DeleteRecords(upto) => {
                let readable = self.high_watermark;
                self.trims.ask(part, upto, readable, &mut self.log, storage, outcome);
            }
            PartitionAsk::Size => outcome.answers.push((part, PartitionAnswer::Size(Ok(self.log.size())))),
        }
    }

    /// The largest epoch not above `epoch`, and where it ends. The current epoch began where the log ended then, though
    /// nothing may have been appended under it yet (`LeaderEpochFileCache.endOffsetFor`).
    fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let end = self.log.end();
        if epoch >= self.epoch {
            return (epoch == self.epoch).then_some((epoch, end));
        }
        let epochs = self.log.epochs();
        let last = epochs.latest().map_or((epoch, end), |latest| (latest, end));
        epochs.end_offset_for(epoch, end).or(Some(last))
    }

    fn check_epoch(&self, known: Option<LeaderEpoch>) -> Result<(), ErrorCode> {
        match known {
            Some(known) if known < self.epoch => Err(ErrorCode::FencedLeaderEpoch),
            Some(known) if known > self.epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Answers how many more bytes readers find.
    fn advance_high_watermark(&mut self) -> usize {
        self.replicas.synced(self.broker, self.log.durable_end());
        let committed = self.replicas.committed();
        self.high_watermark = committed.max(self.high_watermark);
        let mut bytes = 0;
        while let Some((_, more)) = self.unreadable.pop_front_if(|(end, _)| *end <= committed) {
            bytes += more;
        }
        assert!(
            self.log.start() <= self.high_watermark && self.high_watermark <= self.log.end(),
            "the high watermark {} lies in the log, {} to {}",
            self.high_watermark,
            self.log.start(),
            self.log.end()
        );
        bytes
    }

    fn fetch(&mut self, part: T, ask: FetchAsk, storage: &mut Storage, outcome: &mut Outcome<T>) {
        let diverging = match self.check_reader(ask).and_then(|()| self.diverging(ask)) {
            Ok(diverging) => diverging,
            Err(code) => {
                let refused = Fetched::refused(code);
                return outcome.answers.push((part, PartitionAnswer::Fetched(refused)));
            }
        };
        let mut fetched = Fetched {
            error: ErrorCode::None,
            high_watermark: Some(self.high_watermark),
            log_start_offset: Some(self.log.start()),
            diverging,
            plan: None,
            cut: false,
        };
        if fetched.diverging.is_none() {
            match self
                .log
                .read(ask.offset, self.high_watermark, ask.max_bytes, true, storage)
            {
                Read::Plan(plan) => {
                    fetched.cut = plan.bytes > 0 && plan.next_offset < self.high_watermark;
                    fetched.plan = Some(plan);
                }
                Read::OutOfRange => fetched = Fetched::refused(ErrorCode::OffsetOutOfRange),
                Read::Opening => return self.unread.push((part, ask)),
                Read::Lookup(job) => {
                    let purpose = Purpose::Fetch(part, ask, self.incarnation);
                    return outcome.jobs.push((purpose, LogJob::Lookup(job)));
                }
            }
        }
        outcome.answers.push((part, PartitionAnswer::Fetched(fetched)));
    }

    /// Whether a reader may read. No broker but this one holds a replica, and it does not read from itself: whoever claims
    /// otherwise is told to look again (`Partition.followerReplicaOrThrow`).
    fn check_reader(&self, ask: FetchAsk) -> Result<(), ErrorCode> {
        self.check_epoch(ask.current_leader_epoch)?;
        match (ask.fetcher, ask.current_leader_epoch) {
            (Fetcher::Consumer, _) => Ok(()),
            (Fetcher::Broker(_), Some(_)) => Err(ErrorCode::UnknownLeaderEpoch),
            (Fetcher::Broker(_), None) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// Where a reader's log leaves this one, if it does (KIP-595). A last epoch that cannot be placed, or an offset below
    /// the log's start, is out of range (`Partition.readRecords`).
    fn diverging(&self, ask: FetchAsk) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        let Some(last) = ask.last_fetched_epoch else {
            return Ok(None);
        };
        let ours = self.end_of_epoch(last).ok_or(ErrorCode::OffsetOutOfRange)?;
        if ask.offset < self.log.start() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        Ok((ours.0 < last || ours.1 < ask.offset).then_some(ours))
    }

    fn locate(&mut self, part: T, target: OffsetTarget, storage: &mut Storage, outcome: &mut Outcome<T>) {
        let at = |offset: Offset| {
            let leader_epoch = self.log.epochs().epoch_of(offset).or(Some(self.epoch));
            Located {
                offset: Some(offset),
                timestamp: None,
                leader_epoch,
            }
        };
        let located = match target {
            OffsetTarget::Latest => Located {
                leader_epoch: Some(self.epoch),
                ..at(self.high_watermark)
            },
            OffsetTarget::Earliest => at(self.log.start()),
            OffsetTarget::Tiered => Located::NOWHERE,
            OffsetTarget::MaxTimestamp | OffsetTarget::At(_) => {
                return self.locate_by_time(part, target, storage, outcome);
            }
        };
        outcome.answers.push((part, PartitionAnswer::Offset(Ok(located))));
    }

    fn locate_by_time(&self, part: T, target: OffsetTarget, storage: &mut Storage, outcome: &mut Outcome<T>) {
        let answer = match target {
            OffsetTarget::At(timestamp) => self.log.find_time(timestamp, storage),
            _ => self.log.find_max_timestamp(storage),
        };
        match answer {
            TimeAnswer::Nothing => outcome.answers.push((part, self.located(None))),
            TimeAnswer::Lookup(job) => {
                let purpose = Purpose::Locate(part, self.incarnation);
                outcome.jobs.push((purpose, LogJob::Lookup(job)));
            }
        }
    }

    /// A record that was found by its time, if readers may see it.
    fn located(&self, found: Option<TimeFound>) -> PartitionAnswer {
        let readable = found.filter(|found| found.offset < self.high_watermark);
        PartitionAnswer::Offset(Ok(readable.map_or(Located::NOWHERE, |found| Located {
            offset: Some(found.offset),
            timestamp: Some(found.timestamp),
            leader_epoch: Some(found.epoch),
        })))
    }

    pub(super) fn storage_event(&mut self, event: &StorageEvent, storage: &mut Storage, outcome: &mut Outcome<T>) {
        self.log.handle(event);
        match event {
            StorageEvent::Durable { .. } => {
                outcome.readable += self.advance_high_watermark();
                self.acknowledge(outcome);
            }
            StorageEvent::Opened { .. } => {
                for (part, ask) in core::mem::take(&mut self.unread) {
                    self.fetch(part, ask, storage, outcome);
                }
            }
            StorageEvent::Unreadable { fault, .. } => self.refuse_unread(fault, outcome),
            StorageEvent::WriteFailed { fault, .. } => {
                outcome
                    .reports
                    .push((Matter::Write, alloc::format!("a write failed: {fault}")));
            }
            StorageEvent::Sealed { .. } | StorageEvent::Deleted { .. } | StorageEvent::DirectoryFailed(_) => {}
        }
    }

    /// What reads wait for cannot be opened now.
    fn refuse_unread(&mut self, fault: &Fault, outcome: &mut Outcome<T>) {
        let text = alloc::format!("a segment cannot be opened for its readers: {fault}");
        outcome.reports.push((Matter::Read, text));
        for (part, _) in core::mem::take(&mut self.unread) {
            let refused = Fetched::refused(ErrorCode::KafkaStorageError);
            outcome.answers.push((part, PartitionAnswer::Fetched(refused)));
        }
    }

    pub(super) fn job_done(
        &mut self,
        purpose: Purpose<T>,
        job: LogOutcome,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) {
        if purpose
            .incarnation()
            .is_some_and(|incarnation| incarnation != self.incarnation)
        {
            outcome.answers.extend(purpose.refused(ErrorCode::KafkaStorageError));
            outcome.fault = job.discard(Some(&mut self.log), storage).err();
            return;
        }
        match (purpose, job) {
            (Purpose::Checkpoint, LogOutcome::Checkpointed(done)) => {
                outcome.fault = self.log.worked(&done, storage).err();
                self.log.remove_passed(now, storage);
            }
            (Purpose::NoteSynced, LogOutcome::SyncedNoted(end)) => self.log.synced_noted(end, storage),
            (Purpose::MarkStart, LogOutcome::StartMarked(done)) => {
                outcome.fault = self.trims.marked(&done, &mut self.log, storage, outcome).err();
                self.log.remove_passed(now, storage);
            }
            (Purpose::Fetch(part, ask, _), LogOutcome::LookedUp(found)) => {
                match self.log.adopt_lookup(found, storage) {
                    Ok(()) => self.fetch(part, ask, storage, outcome),
                    Err(fault) => {
                        outcome.damaged.reads += u64::from(fault.is_corruption());
                        outcome
                            .reports
                            .push((Matter::Read, alloc::format!("a read failed: {fault}")));
                        let refused = Fetched::refused(ErrorCode::KafkaStorageError);
                        outcome.answers.push((part, PartitionAnswer::Fetched(refused)));
                    }
                }
            }
            (Purpose::Locate(part, _), LogOutcome::LookedUp(found)) => match self.log.time_looked_up(found, storage) {
                Ok(TimeLookedUp::Again(job)) => {
                    let purpose = Purpose::Locate(part, self.incarnation);
                    outcome.jobs.push((purpose, LogJob::Lookup(job)));
                }
                Ok(TimeLookedUp::Found(found)) => outcome.answers.push((part, self.located(found))),
                Err(fault) => {
                    outcome.damaged.reads += u64::from(fault.is_corruption());
                    let text = alloc::format!("a look-up by time failed: {fault}");
                    outcome.reports.push((Matter::Read, text));
                    outcome
                        .answers
                        .push((part, PartitionAnswer::Offset(Err(ErrorCode::KafkaStorageError))));
                }
            },
            (Purpose::Produce(part, acks, _), LogOutcome::Validated(validated)) => {
                match *validated {
                    Ok((batch, restamp)) => self.append(part, batch, restamp, acks, now, storage, outcome),
                    Err(error) => self.reject(part, &error, outcome),
                }
                let held = self.held.take().unwrap_or_default();
                for (part, ask) in held {
                    self.ask(part, ask, now, storage, outcome);
                }
            }
            (_, job) => panic!("{job:?} is not what this job was for"),
        }
    }

    /// Starts the log's own work, if some is due.
    pub(super) fn work(&mut self, storage: &mut Storage, outcome: &mut Outcome<T>) {
        if let Some(job) = self.log.work(storage) {
            outcome
                .jobs
                .push((Purpose::Checkpoint, LogJob::Checkpoint(Box::new(job))));
        }
        if let Some(job) = self.log.note_synced(storage) {
            outcome
                .jobs
                .push((Purpose::NoteSynced, LogJob::NoteSynced(Box::new(job))));
        }
    }

    /// The log could not be written: what was not acknowledged is refused. Asks that had not reached the log wait until
    /// it is back.
    pub(super) fn fail(self, outcome: &mut Outcome<T>) -> (Log, VecDeque<(T, PartitionAsk)>) {
        let mut waiting = self.held.unwrap_or_default();
        waiting.extend(
            self.unread
                .into_iter()
                .map(|(part, ask)| (part, PartitionAsk::Fetch(ask))),
        );
        for unacknowledged in self.until_synced.into_iter().chain(self.until_committed) {
            let refused = PartitionAnswer::Produced(Err(ErrorCode::KafkaStorageError.into()));
            outcome.answers.push((unacknowledged.part, refused));
        }
        self.trims.refuse(ErrorCode::KafkaStorageError, outcome);
        (self.log, waiting)
    }

    /// Refuses everything that waits, and has the log removed.
    pub(super) fn delete(self, storage: &mut Storage, outcome: &mut Outcome<T>) -> Log {
        let gone = ErrorCode::UnknownTopicOrPartition;
        for (part, ask) in self.held.into_iter().flatten() {
            outcome.answers.push((part, ask.refused(gone)));
        }
        for (part, _) in self.unread {
            outcome
                .answers
                .push((part, PartitionAnswer::Fetched(Fetched::refused(gone))));
        }
        for unacknowledged in self.until_synced.into_iter().chain(self.until_committed) {
            outcome
                .answers
                .push((unacknowledged.part, PartitionAnswer::Produced(Err(gone.into()))));
        }
        self.trims.refuse(gone, outcome);
        let mut log = self.log;
        log.delete(storage);
        log
    }

    pub(super) fn reconfigure(&mut self, setting: &Setting, now: Now) {
        self.config = Arc::clone(&setting.config);
        self.log.reconfigure(setting.log_config.clone(), now);
    }

    pub(super) fn sync(&mut self, storage: &mut Storage) {
        self.log.sync(storage);
    }

    pub(super) fn retain(&mut self, now: Now, storage: &mut Storage) {
        self.log.retain(self.high_watermark, now, storage);
    }

    pub(super) fn close(&mut self, now: Now, storage: &mut Storage) {
        self.log.close(now, storage);
    }

    pub(super) fn closed(&self, storage: &Storage) -> Closed {
        Closed::of(&self.log, storage)
    }
}
