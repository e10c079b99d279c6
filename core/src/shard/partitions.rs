//! The partitions of this shard: dormant until they are asked something, then recovered, then leading.

use super::clients::Asker;
use super::early::Asked;
use super::mail::Mail;
use super::producer_ids::Issue;
use super::task::{Task, TaskFor};
use super::watches::{News, Watch};
use super::{CONTROLLER, Effect, Effects, Halt, Pending, Phase, Shard, Timer};
use crate::bugs::bug;
use crate::config::{CleanupPolicy, TopicConfig, TopicOverrides};
use crate::controller::{ControllerAnswer, ControllerRequest};
use crate::group::CONSUMER_OFFSETS;
use crate::log::{ClosedLog, LogConfig, LogPlace};
use crate::metadata::{Delta, Topic};
use crate::partition::{LogJob, LogOutcome, Outcome, Partition, PartitionAnswer, PartitionAsk, Purpose, Setting, home};
use crate::session::{Answer, Ask};
use crate::storage::{LogId, Storage, StorageEvent};
use crate::types::{Broken, ErrorCode, FileId, Now, OpId, ShardId, TopicId, TopicPartition};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A part of an ask: the ask, and the part's place in it.
pub(super) type Part = (OpId, usize);

/// An ask to partitions of this shard whose parts are not all answered yet.
#[derive(Debug)]
pub(super) struct Gathering {
    from: ShardId,
    op: OpId,
    /// The watch to begin when all parts answer less than this many bytes.
    watch: Option<(OpId, usize)>,
    /// Each part's partition, and how many bytes its reader takes of it.
    partitions: Vec<(TopicPartition, usize)>,
    answers: Vec<Option<PartitionAnswer>>,
    missing: usize,
}

impl Shard {
    /// Takes the asks that this shard knows enough for now.
    pub(super) fn take_early(&mut self, now: Now, effects: &mut Effects) {
        while let Some(asked) = self.early.next(self.view.image.end()) {
            self.asked(now, asked, effects);
        }
    }

    /// Takes an ask of any shard.
    pub(super) fn asked(&mut self, now: Now, asked: Asked, effects: &mut Effects) {
        let Asked {
            from, op, watch, ask, ..
        } = asked;
        match ask {
            Ask::Partitions { parts, watch_below } => {
                let missing = parts.len();
                let partitions = parts
                    .iter()
                    .map(|(partition, ask)| (*partition, ask.max_bytes()))
                    .collect();
                let answers = parts.iter().map(|_| None).collect();
                let watch = watch.zip(watch_below);
                let gathering = self.gathering.begin(Gathering {
                    from,
                    op,
                    watch,
                    partitions,
                    answers,
                    missing,
                });
                for (place, (partition, ask)) in parts.into_iter().enumerate() {
                    self.ask_partition(now, (gathering, place), partition, ask, effects);
                }
            }
            Ask::Controller(request) => self.ask_controller(from, op, request),
            Ask::ProducerId => match self.producer_ids.ask((from, op)) {
                Issue::Given((to, op), id) => {
                    self.mailbox.send(
                        to,
                        Mail::Answer {
                            op,
                            answer: Answer::ProducerId(Some(id)),
                        },
                        effects,
                    );
                }
                Issue::Reserve => self.reserve_producer_ids(effects),
                Issue::Wait => {}
            },
            Ask::Group { partition, group, ask } => {
                self.ask_group(now, (from, op, watch), (partition, &group), *ask, effects);
            }
            Ask::ListGroups => {
                let answer = Answer::Groups(self.list_groups());
                self.mailbox.send(from, Mail::Answer { op, answer }, effects);
            }
            Ask::Volume => {
                let measure = Task::Measure(self.storage.directory());
                self.run_task(TaskFor::Volume(from, op), measure, effects);
            }
        }
    }

    fn reserve_producer_ids(&mut self, effects: &mut Effects) {
        let ask = Ask::Controller(ControllerRequest::ReserveProducerIds);
        self.ask(CONTROLLER, Asker::ProducerIds, ask, effects);
    }

    pub(super) fn producer_ids_reserved(&mut self, answer: Answer, effects: &mut Effects) {
        let block = match answer {
            Answer::Controller(ControllerAnswer::ProducerIds(block)) => Some(block),
            Answer::Controller(ControllerAnswer::StorageError) => None,
            other => panic!("a block of producer ids was asked for, and answered {other:?}"),
        };
        for ((to, op), id) in self.producer_ids.reserved(block) {
            self.mailbox.send(
                to,
                Mail::Answer {
                    op,
                    answer: Answer::ProducerId(id),
                },
                effects,
            );
        }
        if self.producer_ids.wants_more() {
            self.reserve_producer_ids(effects);
        }
    }

    fn ask_partition(&mut self, now: Now, part: Part, id: TopicPartition, ask: PartitionAsk, effects: &mut Effects) {
        if matches!(ask, PartitionAsk::Size)
            && let Some(size) = self.dormant_size(id)
        {
            return self.part_answered(part, PartitionAnswer::Size(Ok(size)), effects);
        }
        let log = self
            .active
            .get(&id)
            .copied()
            .or_else(|| self.activate(now, id, effects));
        let Some(log) = log else {
            return self.part_answered(part, ask.refused(ErrorCode::UnknownTopicOrPartition), effects);
        };
        self.with_partition(log, effects, |partition, storage, outcome| {
            partition.ask(part, ask, now, storage, outcome);
        });
    }

    /// The bytes of a dormant partition, where they are known without waking it: to measure all partitions must not
    /// open the logs of all.
    fn dormant_size(&self, id: TopicPartition) -> Option<u64> {
        if self.active.contains_key(&id) {
            return None;
        }
        match self.stored.get(&id) {
            Some(closed) => Some(closed.as_ref()?.size()),
            None => self.view.image.topic(id.topic)?.partition(id.partition).map(|_| 0),
        }
    }

    /// Where the log of a partition lies that the image knows.
    pub(super) fn place_of(&self, id: TopicPartition) -> Option<LogPlace> {
        let topic = self.view.image.topic(id.topic)?;
        let directory = self.storage.directory();
        Some(LogPlace::new(directory, &topic.name, id.topic, id.partition))
    }

    /// Wakes a dormant partition; `None` when there is no such partition any more.
    pub(super) fn activate(&mut self, now: Now, id: TopicPartition, effects: &mut Effects) -> Option<LogId> {
        let topic = Arc::clone(self.view.image.topic(id.topic)?);
        let placed = topic.partitions.get(usize::try_from(id.partition).ok()?)?;
        let config = self.topic_config(&topic);
        let log = self.next_log();
        let setting = Setting {
            log,
            place: LogPlace::new(self.storage.directory(), &topic.name, id.topic, id.partition),
            broker: self.view.config.node_id,
            isr: Arc::clone(&placed.isr),
            replicas: placed.replicas.len(),
            epoch: self.view.image.leader_epoch(placed),
            log_config: LogConfig::new(&config, &self.view.config),
            config,
            opened_in_step: self.view.config.limits.opened_in_step,
        };
        let mut outcome = core::mem::take(&mut self.outcome);
        let partition = match self.stored.remove(&id) {
            None => Partition::create(setting, now, &mut self.storage),
            Some(closed) => {
                let closed = closed.map(|closed| *closed);
                Partition::open(setting, closed, now, &mut self.storage, &mut outcome)
            }
        };
        self.partitions.insert(log, partition);
        self.active.insert(id, log);
        self.names.insert(log, id);
        self.settle_partition(log, outcome, effects);
        Some(log)
    }

    /// Has the active partitions of a topic follow its configuration; dormant ones do when they wake.
    fn reconfigure(&mut self, now: Now, topic: &Topic) {
        let config = self.topic_config(topic);
        let log_config = LogConfig::new(&config, &self.view.config);
        let id = |partition| TopicPartition {
            topic: topic.id,
            partition,
        };
        for log in self.active.range(id(0)..=id(i32::MAX)).map(|(_, log)| log) {
            if let Some(partition) = self.partitions.get_mut(log) {
                partition.reconfigure(&config, log_config.clone(), now);
            }
        }
    }

    /// What a topic's settings mean for its logs. The topic of groups holds what nothing but the rules of groups may let
    /// go of, and its coordinators alone write to it: they keep to its `max.message.bytes` when they take records in, so
    /// its logs take each batch of theirs; and they are compacted, whatever else the topic is set to.
    pub(super) fn topic_config(&self, topic: &Topic) -> Arc<TopicConfig> {
        let given = self.given_config(topic);
        if *topic.name != *CONSUMER_OFFSETS {
            return Arc::new(given);
        }
        Arc::new(TopicConfig {
            cleanup: CleanupPolicy::Compact,
            max_message_bytes: u32::MAX,
            timestamp_before_max_ms: u64::MAX,
            timestamp_after_max_ms: u64::MAX,
            ..given
        })
    }

    /// A topic's settings as they were given.
    pub(super) fn given_config(&self, topic: &Topic) -> TopicConfig {
        let settings = topic
            .config
            .iter()
            .map(|(key, value)| (key.as_str(), Some(value.as_str())));
        let defaults = &self.view.config.topic_defaults;
        // The controller accepted every setting; one that a newer version accepted has its default here.
        let parsed = TopicOverrides::parse(settings, defaults).map(|(config, _)| config);
        parsed.unwrap_or_else(|_| defaults.clone())
    }

    /// Lets a partition do something, and does what it wants done.
    pub(super) fn with_partition(
        &mut self,
        log: LogId,
        effects: &mut Effects,
        act: impl FnOnce(&mut Partition<Part>, &mut Storage, &mut Outcome<Part>),
    ) {
        let mut outcome = core::mem::take(&mut self.outcome);
        if let Some(partition) = self.partitions.get_mut(&log) {
            act(partition, &mut self.storage, &mut outcome);
        }
        self.settle_partition(log, outcome, effects);
    }

    fn settle_partition(&mut self, log: LogId, mut outcome: Outcome<Part>, effects: &mut Effects) {
        let id = self.names[&log];
        for (part, answer) in outcome.answers.drain(..) {
            self.part_answered(part, answer, effects);
        }
        if let Some(partition) = self.partitions.get_mut(&log) {
            partition.began(outcome.jobs.len());
        }
        for (purpose, job) in outcome.jobs.drain(..) {
            self.run_log_job(TaskFor::Partition(log, purpose), job, effects);
        }
        for (matter, text) in outcome.reports.drain(..) {
            self.warn((id, matter), &text, effects);
        }
        let readable = core::mem::take(&mut outcome.readable);
        if core::mem::take(&mut outcome.news) {
            self.news(id, News::Other, effects);
        } else if readable > 0 {
            self.news(id, News::Bytes(readable), effects);
        }
        if let Some(fault) = outcome.fault.take() {
            self.halt(Halt::Fault(fault), effects);
        }
        if let Some((why, report)) = outcome.recovered.take() {
            self.count_recovery(id, why, report, effects);
        }
        if core::mem::take(&mut outcome.removable)
            && let Some(partition) = self.partitions.remove(&log)
        {
            self.names.remove(&log);
            self.remove_logs(Vec::from([partition.place().clone()]), effects);
        }
        let partition = self.partitions.get(&log);
        self.offline.note(log, partition.and_then(Partition::offline));
        if let Some(at) = outcome.sync_at.take() {
            self.wheel.arm(at, Timer::Sync(log));
        }
        let compacted = core::mem::take(&mut outcome.compacted);
        self.counters.compacted_bytes += compacted.reclaimed;
        if let Some(end) = compacted.ended {
            self.compaction_ended(log, end);
        }
        if let Some(closed) = outcome.asleep.take() {
            self.fall_asleep(id, log, closed);
        }
        let appended = core::mem::take(&mut outcome.appended);
        self.counters.appended_batches += appended.batches;
        self.counters.appended_records += appended.records;
        self.counters.appended_bytes += appended.bytes;
        let damaged = core::mem::take(&mut outcome.damaged);
        self.counters.damaged_headers += damaged.headers;
        self.counters.damaged_bodies += damaged.bodies;
        self.counters.damaged_reads += damaged.reads;
        self.counters.damaged_logs += damaged.logs;
        self.outcome = outcome;
    }

    /// The partition is dormant again.
    fn fall_asleep(&mut self, id: TopicPartition, log: LogId, closed: Option<ClosedLog>) {
        if self.partitions.remove(&log).is_none() {
            return;
        }
        self.names.remove(&log);
        self.active.remove(&id);
        if let Some(closed) = closed {
            self.stored.insert(id, Some(Box::new(closed)));
        }
    }

    /// Runs a job of a log; recoveries take turns.
    pub(super) fn run_log_job(&mut self, whose: TaskFor, job: LogJob, effects: &mut Effects) {
        let recovery = matches!(job, LogJob::Recover(_));
        let op = self.ops.begin(Pending::Task(whose));
        let task = Task::Log(job);
        let next = if recovery {
            self.recoveries.begin(op, task)
        } else {
            Some((op, task))
        };
        effects_task(next, effects);
    }

    /// A job of a partition's log ended.
    pub(super) fn partition_job(
        &mut self,
        now: Now,
        (log, purpose): (LogId, Purpose<Part>),
        job: LogOutcome,
        effects: &mut Effects,
    ) {
        if !self.partitions.contains_key(&log) {
            // Its topic went while the job ran.
            let discarded = job.discard(None, &mut self.storage);
            assert!(discarded.is_ok(), "without a log there is no fault to tell of");
            if let Some((part, answer)) = purpose.refused(ErrorCode::UnknownTopicOrPartition) {
                self.part_answered(part, answer, effects);
            }
            return;
        }
        self.with_partition(log, effects, |partition, storage, outcome| {
            partition.job_done(purpose, job, now, storage, outcome);
        });
        if core::mem::take(&mut self.compact_soon) {
            self.compact_next(now, effects);
        }
    }

    /// A recovery ended: the next takes its turn.
    pub(super) fn recovery_ended(&mut self, effects: &mut Effects) {
        effects_task(self.recoveries.end(), effects);
    }

    /// Readers that wait for this partition may find something.
    fn news(&mut self, id: TopicPartition, news: News, effects: &mut Effects) {
        if bug!(LostWakeUp) {
            return;
        }
        for (to, watch) in self.watches.news(id, news) {
            self.mailbox.send(to, Mail::WatchEnded { watch }, effects);
        }
    }

    fn part_answered(&mut self, (gathering, place): Part, answer: PartitionAnswer, effects: &mut Effects) {
        self.counters.refused_batches += u64::from(matches!(answer, PartitionAnswer::Produced(Err(_))));
        let asked = self.gathering.get_mut(gathering);
        let before = asked.answers[place].replace(answer);
        assert!(before.is_none(), "a part is answered twice: {before:?}");
        asked.missing -= 1;
        if asked.missing == 0 {
            let asked = self.gathering.complete(gathering);
            self.gathered(asked, effects);
        }
    }

    fn gathered(&mut self, asked: Gathering, effects: &mut Effects) {
        let Gathering {
            from,
            op,
            watch,
            mut partitions,
            answers,
            ..
        } = asked;
        let parts: Vec<PartitionAnswer> = answers.into_iter().flatten().collect();
        let (mut bytes, mut enough) = (0, false);
        let mut stale = false;
        for ((id, room), answer) in partitions.iter_mut().zip(&parts) {
            if let PartitionAnswer::Fetched(fetched) = answer {
                bytes += fetched.bytes();
                *room = room.saturating_sub(fetched.bytes());
                enough |= fetched.is_enough();
                let partition = self.active.get(&*id).and_then(|log| self.partitions.get(log));
                stale |= partition.and_then(Partition::high_watermark) != fetched.high_watermark;
            }
        }
        let watch = watch
            .filter(|&(_, below)| !enough && bytes < below)
            .map(|(watch, below)| (watch, below - bytes));
        let answer = Answer::Partitions {
            parts,
            watching: watch.is_some(),
        };
        self.mailbox.send(from, Mail::Answer { op, answer }, effects);
        match watch {
            // News came between the answers of the parts.
            Some((watch, _)) if stale => self.mailbox.send(from, Mail::WatchEnded { watch }, effects),
            Some((watch, missing)) => self.watches.add((from, watch), missing, partitions),
            None => {}
        }
    }

    /// Fewer bytes are enough for a watch to end.
    pub(super) fn lower(&mut self, watch: Watch, bytes: usize, effects: &mut Effects) {
        if self.watches.lower(watch, bytes) {
            let (to, watch) = watch;
            self.mailbox.send(to, Mail::WatchEnded { watch }, effects);
        }
    }

    pub(super) fn unwatch(&mut self, watch: Watch, effects: &mut Effects) {
        if self.watches.end(watch) {
            let (to, watch) = watch;
            self.mailbox.send(to, Mail::WatchEnded { watch }, effects);
        }
    }

    pub(super) fn storage_event(&mut self, now: Now, event: &StorageEvent, effects: &mut Effects) {
        let log = match event {
            StorageEvent::Durable { log, .. }
            | StorageEvent::Sealed { log, .. }
            | StorageEvent::Opened { log }
            | StorageEvent::Unreadable { log, .. }
            | StorageEvent::WriteFailed { log, .. }
            | StorageEvent::Deleted { log } => *log,
            // With one log directory, a broker that lost it has nothing left to serve.
            StorageEvent::DirectoryFailed(fault) => return self.halt(Halt::Fault(fault.clone()), effects),
        };
        if self.metadata_log_event(now, log, event, effects) || !self.partitions.contains_key(&log) {
            return;
        }
        if let StorageEvent::Deleted { .. } = event {
            self.partitions.remove(&log);
            self.names.remove(&log);
            return;
        }
        self.with_partition(log, effects, |partition, storage, outcome| {
            partition.storage_event(event, now, storage, outcome);
        });
    }

    /// Whoever sent from a file found other bytes in it than were synced.
    pub(super) fn found_broken(&mut self, file: FileId, broken: Broken, effects: &mut Effects) {
        let log = self
            .storage
            .log_of(file)
            .filter(|log| self.partitions.contains_key(log));
        if let Some(log) = log {
            self.with_partition(log, effects, |partition, _, outcome| {
                partition.found_broken(file, broken, outcome);
            });
        }
    }

    /// Lets go of topics that are gone, and has those that changed follow.
    pub(super) fn apply_delta(&mut self, now: Now, delta: &Delta, effects: &mut Effects) {
        let mut changed = delta.changed.clone();
        if !delta.reconfigured.is_empty() {
            self.adopt_settings(now, effects);
            changed = self.active.keys().map(|id| id.topic).collect();
        }
        for id in changed {
            if let Some(topic) = self.view.image.topic(id).cloned() {
                self.reconfigure(now, &topic);
            }
        }
        let mut stored = Vec::new();
        for topic in &delta.deleted {
            for partition in 0..topic.partitions.len() as i32 {
                let id = TopicPartition {
                    topic: topic.id,
                    partition,
                };
                if home(id, self.view.shards) != self.view.id {
                    continue;
                }
                if self.stored.remove(&id).is_some() {
                    let directory = self.storage.directory();
                    stored.push(LogPlace::new(directory, &topic.name, id.topic, id.partition));
                }
                if let Some(log) = self.active.remove(&id) {
                    self.with_partition(log, effects, |partition, storage, outcome| {
                        partition.delete(storage, outcome);
                    });
                }
            }
        }
        if !stored.is_empty() {
            self.remove_logs(stored, effects);
        }
    }

    /// Has every log look for segments that it need not keep, puts those that nobody uses to rest, and wakes a few dormant
    /// ones that have something to remove.
    pub(super) fn retain(&mut self, now: Now, effects: &mut Effects) {
        if self.phase != Phase::Serving {
            return;
        }
        let next = now
            .monotonic
            .plus_millis(self.view.config.retention_check_interval_ms.max(1));
        self.wheel.arm(next, Timer::Retention);
        let logs: Vec<_> = self.active.values().copied().collect();
        for log in logs {
            self.with_partition(log, effects, |partition, storage, outcome| {
                partition.retain(now, storage, outcome);
            });
        }
        self.rest(now, effects);
        for id in self.due(now) {
            self.activate(now, id, effects);
        }
    }

    /// Has partitions rest that nobody has used for long.
    fn rest(&mut self, now: Now, effects: &mut Effects) {
        let idle_ms = self.view.config.limits.dormant_after_ms;
        let unwatched: Vec<_> = self
            .active
            .iter()
            .filter(|(id, _)| !self.watches.is_watched(**id))
            .map(|(_, log)| *log)
            .collect();
        for log in unwatched {
            self.with_partition(log, effects, |partition, storage, outcome| {
                partition.rest(idle_ms, now, storage, outcome);
            });
        }
    }

    /// A few dormant partitions that have to be looked at: those of which nobody knows what they hold, and those with
    /// segments that retention does not keep.
    fn due(&mut self, now: Now) -> Vec<TopicPartition> {
        let steady = self.storage.steady(now);
        let mut known: Option<(TopicId, LogConfig)> = None;
        let mut due = Vec::new();
        for (&id, closed) in &self.stored {
            if due.len() == self.view.config.limits.recoveries {
                break;
            }
            let Some(topic) = self.view.image.topic(id.topic) else {
                continue;
            };
            let config = match &known {
                Some((topic, config)) if *topic == id.topic => config,
                _ => {
                    let config = LogConfig::new(&self.topic_config(topic), &self.view.config);
                    &known.insert((id.topic, config)).1
                }
            };
            if closed.as_ref().is_none_or(|closed| closed.is_due(config, steady)) {
                due.push(id);
            }
        }
        due
    }
}

fn effects_task(task: Option<(OpId, Task)>, effects: &mut Effects) {
    if let Some((op, task)) = task {
        effects.push(Effect::Task { op, task });
    }
}
