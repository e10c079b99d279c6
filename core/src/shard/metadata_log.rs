//! The controller and its log: the metadata log of a single node, which a Raft quorum takes over later.
//!
//! Invariants:
//! - the image is what the durable part of the log says; the offset of a record is its place in it;
//! - a batch is appended only once the one before it is durable, so that recovery can tell damage from a torn write: only
//!   the last batch can be torn, and only since the last start, whose registration has a checkpoint;
//! - a log that could not be written is recovered and read again before the next commit, because what was refused may
//!   have reached the disk all the same.

use super::lifecycle::Phase;
use super::mail::Mail;
use super::task::{Task, TaskFor};
use super::{Effect, Effects, Halt, Report, Shard, Timer};
use crate::config::{FlushMode, TopicConfig};
use crate::controller::{CLUSTER_METADATA, Controller, ControllerRequest, Publication};
use crate::log::{Log, LogConfig, LogPlace, Recover, RecoverSettings, ReplayChunk, Source, Writes};
use crate::marks::mark;
use crate::metadata::{Delta, Image, MetadataRecord};
use crate::partition::{Closed, LogJob, LogOutcome, Matter, Recovery};
use crate::record::build::{BatchBuilder, Producer};
use crate::record::codec::Level;
use crate::record::{Batch, Compression};
use crate::session::Answer;
use crate::storage::{LogId, Storage, StorageEvent};
use crate::types::{Fault, LeaderEpoch, Now, Offset, OpId, ShardId, TopicId, TopicPartition, Uuid};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::sync::Arc;
use prost::Message;

/// Kafka's id of the metadata partition (`org.apache.kafka.common.Uuid.METADATA_TOPIC_ID`).
const TOPIC: TopicId = TopicId(Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
/// The metadata log, as a partition.
pub(super) const PARTITION: TopicPartition = TopicPartition {
    topic: TOPIC,
    partition: 0,
};

/// Milliseconds before a log that lacked something is tried again.
const AGAIN_AFTER_MS: u64 = 1000;

/// The metadata log and its controller.
#[derive(Debug)]
pub(super) struct MetadataLog {
    id: LogId,
    place: LogPlace,
    config: LogConfig,
    state: State,
    controller: Option<Controller<(ShardId, OpId)>>,
    /// The leader epoch of this start: what the log's batches carry.
    epoch: LeaderEpoch,
    registered: bool,
    /// Topics that had been deleted when the process started: what is left of them on disk can go.
    deleted: BTreeSet<TopicId>,
}

#[derive(Debug)]
enum State {
    /// The log is being recovered.
    Recovering,
    /// It is being read into an image.
    Replaying {
        log: Log,
        read: Box<(Image, Delta)>,
    },
    Open(Log),
    /// It could not be written, and something works on it still.
    Failed(Log),
    /// It could not be brought back for want of room or descriptors, and is tried again soon.
    Lacking(Fault),
    /// It cannot be read any more.
    Lost,
}

impl MetadataLog {
    /// Nothing is being changed, and the log is not on its way back from a failure.
    pub(super) fn is_idle(&self) -> bool {
        let settled = matches!(self.state, State::Open(_) | State::Lost);
        settled && self.controller.as_ref().is_none_or(Controller::is_idle)
    }

    /// Whether the metadata log says that the topic was deleted before this start.
    pub(super) fn deleted(&self, topic: TopicId) -> bool {
        self.deleted.contains(&topic)
    }

    /// What it lacks, where it waits for something.
    pub(super) const fn lacks(&self) -> Option<&Fault> {
        match &self.state {
            State::Lacking(fault) => Some(fault),
            _ => None,
        }
    }

    pub(super) fn close(&mut self, now: Now, storage: &mut Storage) {
        if let State::Open(log) = &mut self.state {
            log.close(now, storage);
        }
    }

    pub(super) fn closed(&self, storage: &Storage) -> Closed {
        match &self.state {
            State::Open(log) => Closed::of(log, storage),
            State::Lost => Closed::Unclean,
            State::Recovering | State::Replaying { .. } | State::Failed(_) | State::Lacking(_) => Closed::NotYet,
        }
    }

    fn recovery(&self, source: Source, now: Now, storage: &mut Storage) -> Recover {
        let settings = RecoverSettings {
            // Only the log itself says which epochs there were.
            latest_epoch: LeaderEpoch(i32::MAX),
            writes: self.config.writes,
            flush: self.config.flush,
            index_interval_bytes: self.config.index_interval_bytes,
            start_at_least: Offset::ZERO,
            wall: now.wall,
        };
        Recover::new(self.place.clone(), source, settings, storage.job_files())
    }
}

impl Shard {
    /// Opens the metadata log, or begins a new one.
    pub(super) fn open_metadata_log(&mut self, now: Now, effects: &mut Effects) {
        let id = self.next_log();
        let place = LogPlace::new(self.storage.directory(), CLUSTER_METADATA, TOPIC, PARTITION.partition);
        let config = LogConfig::new(&TopicConfig::default(), &self.view.config);
        let config = LogConfig {
            retention_ms: None,
            retention_bytes: None,
            // What is issued once must not be issued again after a power cut, whatever records are promised.
            flush: FlushMode::Fsync,
            writes: Writes::OneByOne,
            // As far as other logs note that they are synced: a start writes no more than that once again.
            checkpoint_bytes: config.checkpoint_bytes.min(config.note_bytes),
            ..config
        };
        let (state, epoch) = (State::Recovering, LeaderEpoch::default());
        let mut metadata = MetadataLog {
            id,
            place,
            config,
            state,
            controller: None,
            epoch,
            registered: false,
            deleted: BTreeSet::new(),
        };
        if let Some(stored) = self.found.remove(&PARTITION) {
            let source = stored
                .clean
                .map_or(Source::Directory, |said| Source::Clean(said.closed));
            let recover = metadata.recovery(source, now, &mut self.storage);
            self.run_log_job(TaskFor::Metadata, LogJob::Recover(Box::new(recover)), effects);
            self.metadata = Some(metadata);
        } else if let Some(log) = self.found.values().next() {
            let place = log.place.clone();
            self.refuse_unknown(&place, effects);
        } else {
            let (place, config) = (metadata.place.clone(), metadata.config.clone());
            metadata.state = State::Open(Log::create(id, place, config, &mut self.storage));
            self.metadata = Some(metadata);
            self.metadata_read(Image::default(), Delta::default(), effects);
        }
    }

    /// A job of the metadata log ended.
    pub(super) fn metadata_job(&mut self, now: Now, job: LogOutcome, effects: &mut Effects) {
        let Some(metadata) = &mut self.metadata else {
            panic!("{job:?} without a metadata log")
        };
        let why = match self.phase {
            Phase::Starting => Recovery::Opening,
            _ => Recovery::FailedWrite,
        };
        match (job, &mut metadata.state) {
            (LogOutcome::Recovered(recovered), State::Recovering) => {
                let recovered = match *recovered {
                    Ok(recovered) => recovered,
                    Err(fault) => return self.metadata_unread(fault, now, effects),
                };
                let report = recovered.report;
                let log = Log::open(metadata.id, metadata.config.clone(), recovered, now, &mut self.storage);
                let replay = log.replay(&mut self.storage);
                let read = Box::default();
                metadata.state = State::Replaying { log, read };
                self.run_task(TaskFor::Replay, Task::Replay(Box::new(replay)), effects);
                self.count_recovery(PARTITION, why, report, effects);
            }
            (LogOutcome::Checkpointed(done), State::Open(log) | State::Failed(log)) => {
                if let Err(fault) = log.worked(&done, &mut self.storage) {
                    return self.metadata_lost(fault, effects);
                }
                self.recover_metadata_log(now, effects);
            }
            (job, state) => panic!("{job:?} for a metadata log that is {state:?}"),
        }
    }

    /// The metadata log cannot be read. A broker that serves waits for what it lacks only.
    fn metadata_unread(&mut self, fault: Fault, now: Now, effects: &mut Effects) {
        if self.phase == Phase::Starting || !fault.is_shortage() {
            return self.metadata_lost(fault, effects);
        }
        if self.stopping.impatient {
            return self.stop_without_metadata(&fault, effects);
        }
        if let Some(metadata) = &mut self.metadata {
            metadata.state = State::Lacking(fault.clone());
        }
        let text = format!("the metadata log cannot be read now, and nothing is changed until it can: {fault}");
        self.warn((PARTITION, Matter::Offline), &text, effects);
        self.wheel
            .arm(now.monotonic.plus_millis(AGAIN_AFTER_MS), Timer::Metadata);
    }

    /// Tries once more to bring back the metadata log.
    pub(super) fn read_metadata_again(&mut self, now: Now, effects: &mut Effects) {
        let Some(metadata) = &mut self.metadata else { return };
        metadata.state = State::Recovering;
        let recover = metadata.recovery(Source::Directory, now, &mut self.storage);
        self.run_log_job(TaskFor::Metadata, LogJob::Recover(Box::new(recover)), effects);
    }

    fn metadata_lost(&mut self, fault: Fault, effects: &mut Effects) {
        if let Some(metadata) = &mut self.metadata {
            metadata.state = State::Lost;
        }
        self.halt(Halt::Fault(fault), effects);
    }

    /// A piece of the metadata log was read.
    pub(super) fn metadata_replayed(&mut self, now: Now, chunk: Result<ReplayChunk, Fault>, effects: &mut Effects) {
        let Some(metadata) = &mut self.metadata else {
            panic!("a metadata log was read that is not there")
        };
        let State::Replaying { log, mut read } = core::mem::replace(&mut metadata.state, State::Lost) else {
            panic!("a metadata log was read that is not being read");
        };
        let (image, delta) = &mut *read;
        let rest = match chunk.and_then(|chunk| apply(&chunk.batches, image, delta).map(|()| chunk.rest)) {
            Ok(rest) => rest,
            Err(fault) => {
                log.forget(&mut self.storage);
                return self.metadata_unread(fault, now, effects);
            }
        };
        if let Some(rest) = rest {
            metadata.state = State::Replaying { log, read };
            return self.run_task(TaskFor::Replay, Task::Replay(Box::new(rest)), effects);
        }
        if image.end() != log.end() {
            let text = format!(
                "the metadata log ends at {}, and its records at {}",
                log.end(),
                image.end()
            );
            return self.metadata_lost(Fault::Corruption(text), effects);
        }
        metadata.state = State::Open(log);
        let (image, delta) = *read;
        self.metadata_read(image, delta, effects);
    }

    /// The state of the cluster is known: at a start the controller begins with it; after a failed write it takes over
    /// what had reached the disk all the same.
    fn metadata_read(&mut self, image: Image, delta: Delta, effects: &mut Effects) {
        let config = Arc::clone(&self.view.config);
        let Some(metadata) = &mut self.metadata else { return };
        if let Some(controller) = &mut metadata.controller {
            let publication = controller.adopt(image, delta, usize::from(self.view.shards));
            return self.publish(publication.as_ref(), effects);
        }
        let starts = image.broker(config.node_id).map_or(0, |broker| broker.starts);
        metadata.epoch = LeaderEpoch(i32::try_from(starts).unwrap_or(i32::MAX));
        metadata.deleted = delta.deleted.iter().map(|topic| topic.id).collect();
        if let State::Open(log) = &metadata.state
            && log.epochs().latest() > Some(metadata.epoch)
        {
            let text = format!(
                "the metadata log carries leader epoch {:?}, after {starts} starts",
                log.epochs().latest()
            );
            return self.metadata_lost(Fault::Corruption(text), effects);
        }
        metadata.controller = Some(Controller::new(image, config, self.seed.fork()));
    }

    /// Lets the controller decide, and hands out its answers; whether it did anything.
    pub(super) fn run_controller(&mut self, now: Now, effects: &mut Effects) -> bool {
        let Some(metadata) = &mut self.metadata else {
            return false;
        };
        let (State::Open(log), Some(controller)) = (&mut metadata.state, &mut metadata.controller) else {
            return false;
        };
        let mut busy = false;
        let begins = !core::mem::replace(&mut metadata.registered, true);
        let records = if begins {
            Some(controller.register())
        } else {
            controller.next_commit()
        };
        // Only now: what changes nothing, a refusal above all, is answered by the decision itself.
        for ((to, op), answer) in controller.answers() {
            self.mailbox.send(
                to,
                Mail::Answer {
                    op,
                    answer: Answer::Controller(answer),
                },
                effects,
            );
            busy = true;
        }
        if let Some(records) = records {
            let batch = encode(&records, now);
            log.append([batch], metadata.epoch, now, &mut self.storage);
            if begins {
                // A start that the log lost would give its leader epochs out again.
                log.draft(now);
            }
            busy = true;
        }
        if let Some(job) = log.work(&mut self.storage) {
            self.run_task(TaskFor::Metadata, Task::Log(LogJob::Checkpoint(Box::new(job))), effects);
            busy = true;
        }
        busy
    }

    pub(super) fn ask_controller(&mut self, from: ShardId, op: OpId, request: ControllerRequest) {
        let controller = self.metadata.as_mut().and_then(|metadata| metadata.controller.as_mut());
        let Some(controller) = controller else {
            panic!("shard {from} asks a controller that is not here")
        };
        controller.submit((from, op), request);
    }

    /// One more shard applies what was published.
    pub(super) fn published(&mut self) {
        let controller = self.metadata.as_mut().and_then(|metadata| metadata.controller.as_mut());
        let Some(controller) = controller else {
            panic!("something was published without a controller")
        };
        controller.published();
    }

    /// Takes what storage says of the metadata log; false when it speaks of another.
    pub(super) fn metadata_log_event(
        &mut self,
        now: Now,
        id: LogId,
        event: &StorageEvent,
        effects: &mut Effects,
    ) -> bool {
        let Some(metadata) = self.metadata.as_mut().filter(|metadata| metadata.id == id) else {
            return false;
        };
        let (State::Open(log) | State::Failed(log)) = &mut metadata.state else {
            return true;
        };
        log.handle(event);
        match event {
            StorageEvent::Durable { end, .. } => self.metadata_durable(*end, effects),
            StorageEvent::WriteFailed { fault, .. } => {
                let text = format!("the metadata log could not be written: {fault}");
                effects.push(Effect::Report(Report::Warning(text)));
                if let Some(controller) = &mut metadata.controller {
                    controller.append_failed();
                }
                if self.phase == Phase::Starting {
                    self.halt(Halt::Fault(fault.clone()), effects);
                } else {
                    self.recover_metadata_log(now, effects);
                }
            }
            _ => {}
        }
        true
    }

    /// Begins to bring a metadata log back that could not be written, once nothing works on it any more.
    fn recover_metadata_log(&mut self, now: Now, effects: &mut Effects) {
        let Some(metadata) = &mut self.metadata else { return };
        let mut log = match core::mem::replace(&mut metadata.state, State::Lost) {
            State::Open(log) | State::Failed(log) if log.has_failed() => log,
            state => {
                metadata.state = state;
                return;
            }
        };
        let Some(recover) = log.recovery(LeaderEpoch(i32::MAX), now, &mut self.storage) else {
            metadata.state = State::Failed(log);
            return;
        };
        mark!(MetadataLogBroughtBack);
        metadata.state = State::Recovering;
        self.run_log_job(TaskFor::Metadata, LogJob::Recover(Box::new(recover)), effects);
    }

    fn metadata_durable(&mut self, end: Offset, effects: &mut Effects) {
        let shards = usize::from(self.view.shards);
        let Some(controller) = self.metadata.as_mut().and_then(|metadata| metadata.controller.as_mut()) else {
            return;
        };
        let publication = controller.committed(end, shards);
        if self.phase == Phase::Starting {
            self.view.image = publication.image;
            return self.begin_all(effects);
        }
        self.publish(Some(&publication), effects);
    }

    fn publish(&mut self, publication: Option<&Publication>, effects: &mut Effects) {
        let Some(publication) = publication else { return };
        for shard in (0..self.view.shards).map(ShardId) {
            self.mailbox.send(shard, Mail::Publish(publication.clone()), effects);
        }
    }
}

/// One batch of metadata records.
fn encode(records: &[MetadataRecord], now: Now) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None, Level::Default, Producer::Plain);
    for record in records {
        builder.append(now.wall, None, Some(&record.encode_to_vec()), &[]);
    }
    builder.build().expect("metadata records fit a batch")
}

/// Applies the records of batches.
fn apply(batches: &[Batch], image: &mut Image, delta: &mut Delta) -> Result<(), Fault> {
    let corrupt =
        |at: Offset, text: &dyn core::fmt::Display| Fault::Corruption(format!("the metadata log, offset {at}: {text}"));
    for batch in batches {
        let base = batch.header().base_offset;
        let opened = batch.open(MAX_BATCH_BYTES).map_err(|error| corrupt(base, &error))?;
        for record in opened.records() {
            let record = record.map_err(|error| corrupt(base, &error))?;
            let offset = opened.offset(&record);
            let decoded = MetadataRecord::decode(record.value.unwrap_or_default());
            let decoded = decoded.map_err(|error| corrupt(offset, &error))?;
            image
                .apply(offset, &decoded, delta)
                .map_err(|error| corrupt(offset, &error))?;
        }
    }
    Ok(())
}

/// Metadata batches are not compressed; this bounds one that claims to be.
const MAX_BATCH_BYTES: usize = 64 << 20;
