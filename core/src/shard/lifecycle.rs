//! How a shard starts and stops.
//!
//! A start: the first shard boots the log directory, reads the metadata log and registers the broker; then every shard
//! begins to serve. A stop: every shard answers what is in progress and lets its clients go; once no shard has clients
//! any more, all logs are made durable and closed; once they are, the first shard writes the manifest.
//!
//! Invariant: the manifest is written last: it says that everything before it is durable.

use super::boot::{self, Boot, Booted, Steps, StoredLog};
use super::mail::{Beginning, Mail};
use super::task::{Task, TaskFor, TaskOutcome};
use super::{CONTROLLER, Effect, Effects, Halt, MetadataLog, Pending, Report, Shard, Timer};
use crate::bugs::bug;
use crate::log::{ClosedLog, LogPlace, ManifestEntry};
use crate::partition::{Closed, LogOutcome, home};
use crate::session::Answer;
use crate::storage::LogId;
use crate::types::{Fault, Now, ShardId, TopicId, TopicPartition};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The process has not begun to serve.
    Starting,
    Serving,
    /// Clients are let go.
    Draining,
    /// This shard has no clients any more; others may.
    Drained,
    /// Logs are being closed.
    Closing,
    /// This shard's logs are closed; those of others may not be.
    Closed,
    /// The first shard writes the manifest.
    WritingManifest,
    /// Nothing is done any more.
    Halted,
}

/// What a stop has gathered so far.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    /// Asked to stop while it was still starting.
    pub(super) early: bool,
    /// What lacks something is waited for no longer.
    pub(super) impatient: bool,
    /// Shards without clients; counted by the first shard.
    pub(super) drained: u16,
    /// No shard has clients any more.
    pub(super) close: bool,
    /// Shards whose logs are closed; counted by the first shard.
    pub(super) closed: u16,
    /// What their logs look like.
    pub(super) entries: Vec<ManifestEntry>,
}

impl Shard {
    /// The process started: the first shard takes the log directory into use, the others wait for it.
    pub(super) fn start(&mut self, effects: &mut Effects) {
        if self.view.id == CONTROLLER {
            let files = self.storage.job_files();
            let boot = Boot::new(self.storage.directory(), &self.view.config, self.seed.fork(), files);
            self.run_task(TaskFor::Boot, Task::Boot(Box::new(boot)), effects);
        }
    }

    pub(super) fn run_task(&mut self, whose: TaskFor, task: Task, effects: &mut Effects) {
        let op = self.ops.begin(Pending::Task(whose));
        effects.push(Effect::Task { op, task });
    }

    pub(super) fn task_done(&mut self, now: Now, whose: TaskFor, outcome: TaskOutcome, effects: &mut Effects) {
        if let TaskOutcome::Log(LogOutcome::Recovered(_)) = outcome {
            self.recovery_ended(effects);
        }
        match (whose, outcome) {
            (TaskFor::Boot, TaskOutcome::Booted(booted)) => match *booted {
                Ok(booted) => self.booted(now, booted, effects),
                Err(reason) => self.halt(Halt::Refused(reason), effects),
            },
            (TaskFor::Cleanup, TaskOutcome::Stepped(result)) => {
                // The directories are nobody's: what is left of them is removed at the next start.
                if let Err(error) = result {
                    let text = format!("the directory of a deleted topic could not be removed: {error}");
                    effects.push(Effect::Report(Report::Warning(text)));
                }
            }
            (TaskFor::Manifest, TaskOutcome::Replaced(result)) => {
                if let Err(error) = result {
                    let text =
                        format!("the manifest could not be written, so the next start recovers all logs: {error}");
                    effects.push(Effect::Report(Report::Warning(text)));
                }
                self.halt(Halt::Stopped, effects);
            }
            (TaskFor::Replay, TaskOutcome::Replayed(chunk)) => self.metadata_replayed(now, *chunk, effects),
            (TaskFor::Metadata, TaskOutcome::Log(job)) => self.metadata_job(now, job, effects),
            (TaskFor::Groups(id, leases, next), TaskOutcome::GroupsRead(loaded)) => {
                self.groups_read(now, (id, leases, next), *loaded, effects);
            }
            (TaskFor::Partition(log, purpose), TaskOutcome::Log(job)) => {
                self.partition_job(now, (log, purpose), job, effects);
                if self.phase == Phase::Closing && self.partitions.contains_key(&log) {
                    // A log that was being recovered when all others were closed, and not one that was closed for its rest,
                    // or that went with its topic.
                    self.close_log(now, log, effects);
                }
            }
            (TaskFor::Survey(last), TaskOutcome::Surveyed(found)) => self.surveyed(now, last, found, effects),
            (TaskFor::Volume(to, op), TaskOutcome::Measured(volume)) => {
                let answer = Answer::Volume(volume.ok());
                self.mailbox.send(to, Mail::Answer { op, answer }, effects);
            }
            (whose, outcome) => panic!("{outcome:?} is not what {whose:?} was for"),
        }
    }

    pub(super) fn halt(&mut self, halt: Halt, effects: &mut Effects) {
        self.phase = Phase::Halted;
        effects.push(Effect::Halt(halt));
    }

    fn booted(&mut self, now: Now, booted: Booted, effects: &mut Effects) {
        if booted.formatted {
            let text = format!("formatted the data directory for cluster {}", booted.meta.cluster_id);
            effects.push(Effect::Report(Report::Info(text)));
        }
        if !booted.gone.is_empty() {
            let text = format!(
                "{} directories of partitions are gone that were there at the last stop, with records in them: {}. Each has a \
                 mark in its place, and its partition is offline",
                booted.gone.len(),
                some_names(&booted.gone),
            );
            effects.push(Effect::Report(Report::Warning(text)));
        }
        self.view.cluster_id = Arc::from(booted.meta.cluster_id.as_str());
        self.found = booted.logs.into_iter().map(|log| (log.partition(), log)).collect();
        self.open_metadata_log(now, effects);
    }

    /// Tells every shard to begin, each with the logs that are its own.
    pub(super) fn begin_all(&mut self, effects: &mut Effects) {
        let mut logs: BTreeMap<ShardId, Vec<StoredLog>> = BTreeMap::new();
        let mut orphans: Vec<LogPlace> = Vec::new();
        let mut risen: Vec<StoredLog> = Vec::new();
        for (id, log) in core::mem::take(&mut self.found) {
            let topic = self.view.image.topic(id.topic);
            if topic.is_some_and(|topic| (id.partition as usize) < topic.partitions.len()) {
                logs.entry(home(id, self.view.shards)).or_default().push(log);
            } else if self
                .metadata
                .as_ref()
                .is_some_and(|metadata| metadata.deleted(id.topic))
            {
                match self.namesake(&log.place).filter(|_| bug!(DeletedTopicResurrects)) {
                    Some(topic) => {
                        let place = LogPlace { topic, ..log.place };
                        let log = StoredLog { place, ..log };
                        risen.push(log);
                    }
                    None => orphans.push(log.place),
                }
            } else {
                return self.refuse_unknown(&log.place, effects);
            }
        }
        for log in risen {
            let home = home(log.partition(), self.view.shards);
            logs.entry(home).or_default().push(log);
        }
        if !orphans.is_empty() {
            self.remove_logs(orphans, effects);
        }
        for shard in (0..self.view.shards).map(ShardId) {
            let logs = logs.remove(&shard).unwrap_or_default();
            let logs = logs
                .into_iter()
                .map(|log| (log.partition(), log.clean.map(|said| said.closed)));
            let logs = logs.collect();
            let (cluster_id, image) = (Arc::clone(&self.view.cluster_id), Arc::clone(&self.view.image));
            self.mailbox.send(
                shard,
                Mail::Begin(Beginning {
                    cluster_id,
                    image,
                    logs,
                }),
                effects,
            );
        }
    }

    /// The topic that has the name which a log's directory carries.
    fn namesake(&self, place: &LogPlace) -> Option<TopicId> {
        let (front, _) = place.name().rsplit_once('.')?;
        let (name, _) = front.rsplit_once('-')?;
        self.view.image.topic_named(name).map(|topic| topic.id)
    }

    /// The metadata log does not know whose log this is, and never deleted its topic: it has lost records, and nothing
    /// that it says may cost data.
    pub(super) fn refuse_unknown(&mut self, place: &LogPlace, effects: &mut Effects) {
        let text = format!(
            "the data directory holds {}, of a topic that its metadata log does not know: the metadata log is damaged, \
             or another's; no topic's data was touched",
            place.name()
        );
        self.halt(Halt::Refused(text), effects);
    }

    /// Removes the directories of logs that nobody has any more.
    pub(super) fn remove_logs(&mut self, places: Vec<LogPlace>, effects: &mut Effects) {
        let steps = Steps::remove_logs(self.storage.directory(), places);
        self.run_task(TaskFor::Cleanup, Task::Steps(steps), effects);
    }

    pub(super) fn begin(&mut self, now: Now, beginning: Beginning, effects: &mut Effects) {
        // A step of the wall clock later must not make what is there look older.
        self.storage.see(now);
        self.view.cluster_id = beginning.cluster_id;
        self.view.image = beginning.image;
        self.adopt_settings(now, effects);
        let logs = beginning.logs.into_iter();
        self.stored = logs.map(|(id, closed)| (id, closed.map(Box::new))).collect();
        self.phase = Phase::Serving;
        effects.push(Effect::Serve);
        // Shards do not all look through their logs at the same moment.
        let interval = self.view.config.retention_check_interval_ms;
        let first = self.seed.within(1, interval.max(1));
        self.wheel.arm(now.monotonic.plus_millis(first), Timer::Retention);
        let first = self.seed.within(1, self.view.config.cleaner_backoff_ms.max(1));
        self.look_for_compaction_in(now, first);
        self.mailbox.send(CONTROLLER, Mail::Published, effects);
        self.take_early(now, effects);
        self.coordinate_groups(now, effects);
        self.survey(None, effects);
        if self.stopping.early {
            self.shut_down(now, effects);
        }
    }

    /// Asked to stop.
    pub(super) fn shut_down(&mut self, now: Now, effects: &mut Effects) {
        match self.phase {
            Phase::Starting => self.stopping.early = true,
            Phase::Serving => {
                self.phase = Phase::Draining;
                self.shut_down_sessions(now, effects);
                self.stop_coordinators(now, effects);
            }
            _ => {}
        }
    }

    /// The stop has waited for long enough.
    pub(super) fn hurry(&mut self, effects: &mut Effects) {
        self.stopping.impatient = true;
        if let Some(fault) = self.metadata.as_ref().and_then(MetadataLog::lacks) {
            let fault = fault.clone();
            self.stop_without_metadata(&fault, effects);
        }
    }

    /// The metadata log lacks something, and nothing can be changed or closed in good order before it is back. What is
    /// lost by not waiting is the manifest.
    pub(super) fn stop_without_metadata(&mut self, fault: &Fault, effects: &mut Effects) {
        let text = format!(
            "the stop has waited for as long as it may, and the metadata log still cannot be brought back: {fault}; \
             nothing that was acknowledged is lost, and the next start recovers the logs"
        );
        self.halt(Halt::Unclean(text), effects);
    }

    /// Takes the next step of a stop, if it is due; whether it did.
    pub(super) fn run_stop(&mut self, now: Now, effects: &mut Effects) -> bool {
        let shards = self.view.shards;
        let first = self.view.id == CONTROLLER;
        match self.phase {
            Phase::Draining if self.clients.is_empty() && self.is_asked_nothing() => {
                self.phase = Phase::Drained;
                self.mailbox.send(CONTROLLER, Mail::Drained, effects);
            }
            Phase::Drained if first && self.stopping.drained == shards && self.is_metadata_idle() => {
                self.stopping.drained = 0;
                (0..shards).for_each(|shard| self.mailbox.send(ShardId(shard), Mail::CloseLogs, effects));
            }
            Phase::Drained if self.stopping.close => {
                self.phase = Phase::Closing;
                self.close_logs(now, effects);
            }
            Phase::Closed if first && self.stopping.closed == shards => {
                let entries = core::mem::take(&mut self.stopping.entries);
                self.write_manifest(&entries, effects);
            }
            Phase::Closing => return self.report_closed(effects),
            _ => return false,
        }
        true
    }

    /// Nothing is in progress that a client, or another shard for a client, waits for.
    fn is_asked_nothing(&self) -> bool {
        let mine = self
            .ops
            .iter()
            .all(|pending| matches!(pending, Pending::Storage(_) | Pending::Task(_)));
        mine && self.groups_are_quiet() && self.gathering.len() == 0 && self.early.len() == 0 && self.is_metadata_idle()
    }

    fn is_metadata_idle(&self) -> bool {
        self.metadata.as_ref().is_none_or(MetadataLog::is_idle)
    }

    fn close_logs(&mut self, now: Now, effects: &mut Effects) {
        if bug!(ManifestBeforeSync) {
            // A log's last sync comes with its close.
            return;
        }
        let logs: Vec<_> = self.partitions.keys().copied().collect();
        for log in logs {
            self.close_log(now, log, effects);
        }
        if let Some(metadata) = &mut self.metadata {
            metadata.close(now, &mut self.storage);
        }
    }

    fn close_log(&mut self, now: Now, log: LogId, effects: &mut Effects) {
        if !self.partitions.contains_key(&log) {
            // The job that was the last thing to keep it awake has just ended.
            return;
        }
        self.with_partition(log, effects, |partition, storage, outcome| {
            partition.close(now, storage, outcome);
        });
    }

    /// Once all logs are closed, tells the first shard so; the others are done then.
    fn report_closed(&mut self, effects: &mut Effects) -> bool {
        let settled = self.ops.len() == 0 && self.storage.is_quiet();
        if !settled {
            return false;
        }
        let mut entries = Vec::new();
        let metadata = self.metadata.as_ref().map(|metadata| metadata.closed(&self.storage));
        let partitions = self
            .partitions
            .values()
            .map(|partition| partition.closed(&self.storage));
        for closed in partitions.chain(metadata) {
            match closed {
                Closed::NotYet => return false,
                Closed::Clean(entry) => entries.push(entry),
                Closed::Empty | Closed::Unclean => {}
            }
        }
        // A log that nobody used since the last clean stop is as clean as it was.
        let rested = self
            .stored
            .iter()
            .filter_map(|(id, closed)| Some((*id, closed.as_ref()?)));
        entries.extend(rested.filter_map(|(id, closed)| {
            let place = self.place_of(id)?;
            Some(ManifestEntry::new(&place, ClosedLog::clone(closed)))
        }));
        self.mailbox.send(CONTROLLER, Mail::Closed(entries), effects);
        if self.view.id == CONTROLLER {
            self.phase = Phase::Closed;
            return true;
        }
        self.halt(Halt::Stopped, effects);
        true
    }

    fn write_manifest(&mut self, entries: &[ManifestEntry], effects: &mut Effects) {
        self.phase = Phase::WritingManifest;
        let mut files = self.storage.job_files();
        let replace = boot::write_manifest(self.storage.directory(), entries, &mut files);
        self.run_task(TaskFor::Manifest, Task::Replace(Box::new(replace)), effects);
    }
}

/// The names of directories, as many as people read.
fn some_names(places: &[LogPlace]) -> String {
    const MOST: usize = 8;
    let names: Vec<_> = places.iter().take(MOST).map(LogPlace::name).collect();
    let more = if places.len() > MOST { ", …" } else { "" };
    names.join(", ") + more
}

impl StoredLog {
    /// Whose log it is.
    pub const fn partition(&self) -> TopicPartition {
        self.place.id()
    }
}
