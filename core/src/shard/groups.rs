//! The group coordinators of this shard: one for each partition of `__consumer_offsets` that it owns, beside that
//! partition. They append to it and read from it by asks like anybody else's.
//!
//! Invariants: a coordinator is there as long as its partition is in the image; each ask of a group is answered once, at
//! once or late; a coordinator's one timer is armed for its next deadline.

use super::clients::Asker;
use super::lifecycle::Phase;
use super::mail::Mail;
use super::task::{Task, TaskFor};
use super::wheel::TimerKey;
use super::{Effects, Pending, Shard, Timer};
use crate::group::{CONSUMER_OFFSETS, Coordinator, GroupAsk, Listed, Loaded, Outcome, ReadRecords, View, Want};
use crate::metadata::Delta;
use crate::partition::{Acks, FetchAsk, Fetched, Fetcher, OffsetTarget, PartitionAnswer, PartitionAsk, home};
use crate::session::{Answer, Ask};
use crate::storage::Lease;
use crate::types::{ErrorCode, Fault, Monotonic, Now, Offset, OpId, ShardId, TopicId, TopicPartition};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The most bytes read of a partition at a time.
const PIECE: usize = 1 << 20;

/// Who waits for an answer of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    to: ShardId,
    op: OpId,
    /// The ask was answered that its answer comes late.
    late: bool,
}

/// A coordinator and its timer.
#[derive(Debug)]
pub(super) struct Coordinated {
    machine: Coordinator<Reply>,
    timer: Option<(Monotonic, TimerKey)>,
    /// It is counted among those that could not be read.
    unread: bool,
}

impl Shard {
    /// Takes coordinators into use for the partitions that this shard owns, and has those that are follow the settings of
    /// their topic.
    pub(super) fn coordinate_groups(&mut self, now: Now, effects: &mut Effects) {
        let Some(topic) = self.view.image.topic_named(CONSUMER_OFFSETS).cloned() else {
            return;
        };
        if self.phase != Phase::Serving {
            return;
        }
        let max_batch = self.given_config(&topic).max_message_bytes as usize;
        for coordinated in self.coordinators.values_mut() {
            coordinated.machine.limit(max_batch);
        }
        for partition in 0..topic.partitions.len() as i32 {
            let id = TopicPartition {
                topic: topic.id,
                partition,
            };
            if home(id, self.view.shards) != self.view.id || self.coordinators.contains_key(&id) {
                continue;
            }
            let mut outcome = Outcome::default();
            let seed = self.seed.fork();
            let machine = Coordinator::new(&self.view.config, max_batch, &self.group_budgets, seed, &mut outcome);
            let coordinated = Coordinated {
                machine,
                timer: None,
                unread: false,
            };
            self.coordinators.insert(id, coordinated);
            if self.stored.contains_key(&id) || self.active.contains_key(&id) {
                self.settle_coordinator(id, outcome, effects);
            } else {
                // It never held a record, and need not be woken to say so.
                self.with_coordinator(now, id, effects, |machine, view, outcome| {
                    machine.read(Ok((Vec::new(), None)), view, outcome);
                });
            }
        }
    }

    /// The cluster changed: topics that are gone take their offsets along, and coordinators come and go with their
    /// partitions.
    pub(super) fn groups_see(&mut self, now: Now, delta: &Delta, effects: &mut Effects) {
        for gone in &delta.deleted {
            let ids: Vec<_> = self.coordinators.keys().copied().collect();
            for id in ids.into_iter().filter(|id| id.topic == gone.id) {
                self.unload(id, effects);
            }
        }
        if !delta.deleted.is_empty() {
            let ids: Vec<_> = self.coordinators.keys().copied().collect();
            for id in ids {
                self.with_coordinator(now, id, effects, |machine, view, outcome| {
                    machine.topics_deleted(delta, view, outcome);
                });
            }
        }
        let here = |id: TopicId| {
            self.view
                .image
                .topic(id)
                .is_some_and(|it| *it.name == *CONSUMER_OFFSETS)
        };
        let created = delta.created.iter().any(|topic| *topic.name == *CONSUMER_OFFSETS);
        let reconfigured = !delta.reconfigured.is_empty();
        if created || reconfigured || delta.changed.iter().any(|&id| here(id)) {
            self.coordinate_groups(now, effects);
        }
    }

    fn unload(&mut self, id: TopicPartition, effects: &mut Effects) {
        let Some(Coordinated { machine, timer, unread }) = self.coordinators.remove(&id) else {
            return;
        };
        self.counters.unread_group_partitions -= u64::from(unread);
        if let Some((_, key)) = timer {
            self.wheel.cancel(key);
        }
        let mut outcome = Outcome::default();
        machine.unload(&mut outcome);
        self.settle_coordinator(id, outcome, effects);
    }

    /// The broker stops: nobody waits for other members any more.
    pub(super) fn stop_coordinators(&mut self, now: Now, effects: &mut Effects) {
        let ids: Vec<_> = self.coordinators.keys().copied().collect();
        for id in ids {
            self.with_coordinator(now, id, effects, |machine, _, outcome| machine.stop(outcome));
        }
    }

    /// Takes an ask for a group. Where its answer may wait for other members, it is answered that it comes late, so that
    /// it holds no credit meanwhile.
    pub(super) fn ask_group(
        &mut self,
        now: Now,
        (from, op, late): (ShardId, OpId, Option<OpId>),
        (id, group): (TopicPartition, &Arc<str>),
        ask: GroupAsk,
        effects: &mut Effects,
    ) {
        let reply = Reply {
            to: from,
            op: late.unwrap_or(op),
            late: late.is_some(),
        };
        if reply.late {
            let answer = Answer::Late;
            self.mailbox.send(from, Mail::Answer { op, answer }, effects);
        }
        if !self.coordinators.contains_key(&id) {
            return self.reply(reply, Answer::Group(ask.refused(ErrorCode::NotCoordinator)), effects);
        }
        self.with_coordinator(now, id, effects, |machine, view, outcome| {
            machine.ask(reply, group, ask, view, outcome);
        });
    }

    /// The groups of this shard; an error while some are not known.
    pub(super) fn list_groups(&self) -> Result<Vec<Listed>, ErrorCode> {
        let mut all = Vec::new();
        for coordinated in self.coordinators.values() {
            match coordinated.machine.list() {
                Ok(listed) => all.extend(listed),
                // Nobody coordinates these now, and Kafka lists the others.
                Err(ErrorCode::NotCoordinator) => {}
                Err(code) => return Err(code),
            }
        }
        Ok(all)
    }

    fn reply(&mut self, reply: Reply, answer: Answer, effects: &mut Effects) {
        let Reply { to, op, late } = reply;
        let mail = if late {
            Mail::Late { op, answer }
        } else {
            Mail::Answer { op, answer }
        };
        self.mailbox.send(to, mail, effects);
    }

    /// Lets a coordinator do something, and does what it wants done.
    fn with_coordinator(
        &mut self,
        now: Now,
        id: TopicPartition,
        effects: &mut Effects,
        act: impl FnOnce(&mut Coordinator<Reply>, View<'_>, &mut Outcome<Reply>),
    ) {
        let Some(coordinated) = self.coordinators.get_mut(&id) else {
            return;
        };
        let mut outcome = Outcome::default();
        let view = View {
            now,
            steady: self.storage.steady(now),
            image: &self.view.image,
        };
        act(&mut coordinated.machine, view, &mut outcome);
        let unread = coordinated.machine.is_unread();
        self.counters.unread_group_partitions += u64::from(unread);
        self.counters.unread_group_partitions -= u64::from(core::mem::replace(&mut coordinated.unread, unread));
        let next = coordinated.machine.next_deadline();
        if coordinated.timer.map(|(at, _)| at) != next {
            if let Some((_, key)) = coordinated.timer.take() {
                self.wheel.cancel(key);
            }
            coordinated.timer = next.map(|at| (at, self.wheel.arm(at, Timer::Groups(id))));
        }
        self.settle_coordinator(id, outcome, effects);
    }

    fn settle_coordinator(&mut self, id: TopicPartition, outcome: Outcome<Reply>, effects: &mut Effects) {
        for (reply, answer) in outcome.answers {
            self.reply(reply, Answer::Group(answer), effects);
        }
        for (matter, text) in outcome.reports {
            self.warn((id, matter), &text, effects);
        }
        let Some(want) = outcome.want else { return };
        let ask = match want {
            Want::Start => PartitionAsk::ListOffset {
                current_leader_epoch: None,
                target: OffsetTarget::Earliest,
            },
            Want::Read(offset) => PartitionAsk::Fetch(FetchAsk {
                fetcher: Fetcher::Consumer,
                current_leader_epoch: None,
                offset,
                last_fetched_epoch: None,
                max_bytes: PIECE,
            }),
            Want::Append(records) => PartitionAsk::Produce {
                records,
                acks: Acks::All,
            },
        };
        let parts = Vec::from([(id, ask)]);
        let ask = Ask::Partitions {
            parts,
            watch_below: None,
        };
        self.ask(self.view.id, Asker::Coordinator(id), ask, effects);
    }

    /// A coordinator's own partition answered it.
    pub(super) fn coordinator_answered(&mut self, now: Now, id: TopicPartition, answer: Answer, effects: &mut Effects) {
        let Answer::Partitions { parts, .. } = answer else {
            panic!("a partition was asked, and answered {answer:?}");
        };
        for part in parts {
            match part {
                PartitionAnswer::Produced(result) => {
                    let result = result.map(|_| ()).map_err(|not| not.refusal.code);
                    self.with_coordinator(now, id, effects, |machine, view, outcome| {
                        machine.appended(result, view, outcome);
                    });
                }
                PartitionAnswer::Offset(located) => {
                    let start = located.map(|it| (Vec::new(), Some(it.offset.unwrap_or_default())));
                    self.coordinator_read(now, id, start.map_err(unreadable), effects);
                }
                PartitionAnswer::Fetched(fetched) => self.coordinator_fetched(now, id, fetched, effects),
                other => panic!("a coordinator was answered {other:?}"),
            }
        }
    }

    fn coordinator_fetched(&mut self, now: Now, id: TopicPartition, fetched: Fetched, effects: &mut Effects) {
        let Some(plan) = fetched.plan else {
            return self.coordinator_read(now, id, Err(unreadable(fetched.error)), effects);
        };
        if plan.parts.is_empty() {
            self.release(plan.leases, effects);
            return self.coordinator_read(now, id, Ok((Vec::new(), None)), effects);
        }
        let task = Task::ReadGroups(Box::new(ReadRecords::new(plan.parts)));
        let whose = TaskFor::Groups(id, plan.leases, plan.next_offset);
        self.run_task(whose, task, effects);
    }

    /// Records of a coordinator's partition were read, up to `next`.
    pub(super) fn groups_read(
        &mut self,
        now: Now,
        (id, leases, next): (TopicPartition, Vec<Lease>, Offset),
        loaded: Result<Vec<Loaded>, Fault>,
        effects: &mut Effects,
    ) {
        self.release(leases, effects);
        self.coordinator_read(now, id, loaded.map(|loaded| (loaded, Some(next))), effects);
    }

    fn coordinator_read(
        &mut self,
        now: Now,
        id: TopicPartition,
        result: Result<(Vec<Loaded>, Option<Offset>), Fault>,
        effects: &mut Effects,
    ) {
        self.with_coordinator(now, id, effects, |machine, view, outcome| {
            machine.read(result, view, outcome);
        });
    }

    /// A deadline of a coordinator has come.
    pub(super) fn groups_due(&mut self, now: Now, id: TopicPartition, effects: &mut Effects) {
        if let Some(coordinated) = self.coordinators.get_mut(&id) {
            coordinated.timer = None;
        }
        self.with_coordinator(now, id, effects, Coordinator::fire);
    }

    /// An answer that was announced as late has come.
    pub(super) fn late_answer(&mut self, now: Now, op: OpId, answer: Answer, effects: &mut Effects) {
        let Pending::Watch { connection, request } = self.ops.complete(op) else {
            panic!("{op:?} awaits no late answer, and got {answer:?}");
        };
        let mut answer = Some(answer);
        self.with_session(now, connection, effects, &mut |session, context, actions| {
            let answer = answer.take().expect("an answer is handled once");
            session.answer((request, 0), answer, None, context, actions);
        });
    }

    /// Whether no coordinator has anything on its way.
    pub(super) fn groups_are_quiet(&self) -> bool {
        self.coordinators.values().all(|it| it.machine.is_quiet())
    }
}

fn unreadable(code: ErrorCode) -> Fault {
    Fault::Device(code.to_string())
}
