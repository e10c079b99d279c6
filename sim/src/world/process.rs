//! The broker's process: its shards, and what a driver keeps around them. It decides nothing that the core should.

use super::ailments::{Ailment, Ailments};
use super::disk_queue::{DiskQueue, Finished, Owner, Turn};
use super::earlier::Power;
use super::{Event, World};
use crate::link::LinkId;
use crate::options::Crash;
use crate::oracle::Checker;
use crate::stage::{Fifo, Nanos};
use bytes::BytesMut;
use klamm_core::config::FlushMode;
use klamm_core::shard::{Audit, CloseReason, Effect, Effects, Halt, Input, Shard, Task};
use klamm_core::storage::{FileOp, IoResult, IoValue, Job, Next};
use klamm_core::types::{Now, OpId, Part, ShardId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A shard and what waits for it.
pub(super) struct Slot {
    shard: Shard,
    inbox: VecDeque<Input>,
    turn_due: bool,
    stalled_until: Nanos,
    /// The ticks on the agenda.
    ticks: BTreeSet<Nanos>,
    serving: bool,
    stopped: bool,
    /// Why it may halt.
    ailments: Ailments,
}

/// A response that waits for those before it.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) op: OpId,
    pub(super) parts: Vec<Part>,
}

impl Outgoing {
    /// Bytes that are to leave.
    pub(super) fn length(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}

/// The driver's end of a connection.
#[derive(Default, Debug)]
pub(super) struct Peer {
    pub(super) shard: usize,
    pub(super) received: BytesMut,
    pub(super) granted: u32,
    pub(super) outgoing: VecDeque<Outgoing>,
    /// Bytes of the first of them that its socket took.
    pub(super) taken: u64,
    pub(super) sending: bool,
    /// Everything before it is sent, then the connection closes.
    pub(super) closing: bool,
    pub(super) gone: bool,
}

/// A task on a disk thread.
struct Running {
    shard: usize,
    op: OpId,
    task: Task,
}

/// One life of the broker's process.
pub(super) struct Process {
    pub(super) slots: Vec<Slot>,
    pub(super) peers: BTreeMap<LinkId, Peer>,
    queue: DiskQueue,
    tasks: BTreeMap<u64, Running>,
    next_task: u64,
    mail: BTreeMap<(usize, usize), Fifo>,
    effects: Effects,
    /// Whether it has been asked to stop.
    pub(super) stopping: bool,
    /// Frames that its shards were given.
    pub(super) frames: u64,
}

impl Process {
    /// Whether every shard accepts clients.
    pub(super) fn is_serving(&self) -> bool {
        !self.stopping && self.slots.iter().all(|slot| slot.serving)
    }

    /// What each shard holds.
    pub(super) fn audits(&self) -> Vec<Audit> {
        self.slots.iter().map(|slot| slot.shard.audit()).collect()
    }

    /// Operations and tasks on the disk's threads.
    pub(super) fn on_disk(&self) -> usize {
        self.queue.len() + self.tasks.len()
    }
}

impl World {
    /// A new process starts.
    pub(super) fn boot(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.incarnation += 1;
        self.oracle.process_started(self.wall);
        let config = Arc::new(self.options.broker.clone());
        let count = self.options.shards;
        let slot = |id, seed| Slot {
            shard: Shard::new(ShardId(id), count, &config, seed),
            inbox: VecDeque::from([Input::Start]),
            turn_due: false,
            stalled_until: 0,
            ticks: BTreeSet::new(),
            serving: false,
            stopped: false,
            ailments: Ailments::default(),
        };
        let slots = (0..count).map(|id| slot(id, self.stage.draw.bits())).collect();
        self.process = Some(Process {
            slots,
            peers: BTreeMap::new(),
            queue: DiskQueue::default(),
            tasks: BTreeMap::new(),
            next_task: 0,
            mail: BTreeMap::new(),
            effects: Effects::new(),
            stopping: false,
            frames: 0,
        });
        self.report.starts += 1;
        self.crash_in_recovery();
        for shard in 0..usize::from(count) {
            self.want_turn(shard);
        }
    }

    /// Now and then a process does not live long.
    fn crash_in_recovery(&mut self) {
        let one_in = self.options.crash_in_recovery;
        let before_rest = self.phase.is_unsafe();
        if before_rest && one_in > 0 && self.report.starts > 1 && self.stage.draw.chance(1, one_in) {
            let crash = self.stage.draw.pick(&[Crash::Kill, Crash::PowerCut]);
            self.crash = Some((crash, self.stage.draw.spread(0, 60)));
        }
    }

    /// Puts the shard's next turn on the agenda.
    fn want_turn(&mut self, shard: usize) {
        let delays = self.options.delays.shard;
        let Some(process) = &mut self.process else { return };
        let slot = &mut process.slots[shard];
        if std::mem::replace(&mut slot.turn_due, true) {
            return;
        }
        let at = (self.stage.now() + self.stage.draw.within(delays.0, delays.1)).max(slot.stalled_until);
        let incarnation = self.incarnation;
        self.stage.at(at, Event::Turn { incarnation, shard });
    }

    /// Something reaches a shard.
    pub(super) fn deliver(&mut self, shard: usize, input: Input) {
        if let Some(process) = &mut self.process {
            process.slots[shard].inbox.push_back(input);
            self.want_turn(shard);
        }
    }

    /// Something will reach a shard at `at`.
    pub(super) fn deliver_at(&mut self, at: Nanos, shard: usize, input: Input) {
        let incarnation = self.incarnation;
        let input = Box::new(input);
        self.stage.at(
            at,
            Event::Deliver {
                incarnation,
                shard,
                input,
            },
        );
    }

    /// The shard does nothing for a while.
    pub(super) fn stall(&mut self, shard: usize, until: Nanos) {
        if let Some(process) = &mut self.process {
            let slot = &mut process.slots[shard];
            slot.stalled_until = until;
        }
    }

    /// The shard takes everything that lies in its inbox, one at a time: as one turn, as the driver in production does, or
    /// each as a turn of its own.
    pub(super) fn turn(&mut self, shard: usize) {
        let Some(process) = &mut self.process else { return };
        let stalled_until = process.slots[shard].stalled_until;
        if stalled_until > self.stage.now() {
            let incarnation = self.incarnation;
            self.stage.at(stalled_until, Event::Turn { incarnation, shard });
            return;
        }
        process.slots[shard].turn_due = false;
        let waiting = process.slots[shard].inbox.len();
        let one_turn = self.stage.draw.chance(1, 2);
        if one_turn {
            process.effects.begin_turn();
        }
        for _ in 0..waiting {
            let stepped = self.drive(shard, |slot, now, effects| {
                let Some(input) = slot.inbox.pop_front() else { return };
                slot.shard.step(now, input, effects);
            });
            if !stepped {
                return;
            }
            self.report.steps += 1;
        }
        self.judge_bounds(shard);
        if one_turn && !self.drive(shard, |slot, now, effects| slot.shard.end_turn(now, effects)) {
            return;
        }
        self.arm(shard);
    }

    /// What a shard holds for those who fetch stays within what it may, at any time.
    fn judge_bounds(&mut self, shard: usize) {
        let Some(process) = &self.process else { return };
        let (waiting, sessions) = process.slots[shard].shard.held_for_fetches();
        let limits = &self.options.broker.limits;
        if waiting > limits.waiting_bytes || sessions > limits.fetch_session_bytes {
            let text = format!("shard {shard} holds {waiting} bytes for fetches that wait, {sessions} for sessions");
            self.oracle.violate(Checker::Bounds, text);
        }
    }

    /// Lets a shard do something and carries out what it wants; false once the process is gone.
    fn drive(&mut self, shard: usize, act: impl FnOnce(&mut Slot, Now, &mut Effects)) -> bool {
        let now = self.clocks();
        let incarnation = self.incarnation;
        let Some(process) = &mut self.process else { return false };
        let mut effects = std::mem::take(&mut process.effects);
        let slot = &mut process.slots[shard];
        act(slot, now, &mut effects);
        // What it says of itself counts where something went wrong that explains it.
        if !self.options.could_read_groups(self.stage.now()) {
            let unread = slot.shard.counters().unread_group_partitions;
            self.oracle.groups_unread(shard, unread);
        }
        for effect in effects.drain() {
            if self.incarnation != incarnation || self.process.is_none() || self.crash_is_due() {
                return false;
            }
            self.carry_out(shard, effect);
        }
        match &mut self.process {
            Some(process) if self.incarnation == incarnation => process.effects = effects,
            _ => return false,
        }
        true
    }

    /// Counts an effect down to the crash that was drawn.
    fn crash_is_due(&mut self) -> bool {
        match &mut self.crash {
            Some((_, left)) if *left > 0 => {
                *left -= 1;
                false
            }
            Some((crash, _)) => {
                let crash = *crash;
                self.crash = None;
                self.crash_now(crash);
                true
            }
            None => false,
        }
    }

    /// Puts the shard's next tick on the agenda, where it is earlier than what is there.
    fn arm(&mut self, shard: usize) {
        let Some(process) = &mut self.process else { return };
        let slot = &mut process.slots[shard];
        let Some(deadline) = slot.shard.next_deadline() else {
            return;
        };
        let at = deadline.0.max(self.stage.now() + 1);
        if slot.ticks.first().is_none_or(|&first| at < first) {
            slot.ticks.insert(at);
            let incarnation = self.incarnation;
            self.stage.at(at, Event::Tick { incarnation, shard });
        }
    }

    /// A tick on the agenda came; the deadline may have moved since.
    pub(super) fn tick(&mut self, shard: usize) {
        let now = self.stage.now();
        let Some(process) = &mut self.process else { return };
        let slot = &mut process.slots[shard];
        slot.ticks.remove(&now);
        if slot.shard.next_deadline().is_some_and(|deadline| deadline.0 <= now) {
            slot.inbox.push_back(Input::Tick);
            self.want_turn(shard);
        } else {
            self.arm(shard);
        }
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        self.report.effects += 1;
        match effect {
            Effect::Io { op, io } => self.submit(Owner::Shard(shard, op), io),
            Effect::Task { op, task } => {
                let Some(process) = &mut self.process else { return };
                let id = process.next_task;
                process.next_task += 1;
                process.tasks.insert(id, Running { shard, op, task });
                self.schedule_task(id);
            }
            Effect::Respond { connection, op, parts } => {
                self.enqueue_response(shard, LinkId(connection.0), Outgoing { op, parts });
            }
            Effect::Mail { to, mail } => {
                let delays = &self.options.delays;
                // A client may hear of something from one shard, and ask another that has mail of it still unread.
                let slow = self.stage.draw.chance(1, 8);
                let most = if slow { 4 * delays.network.1 } else { delays.shard.1 };
                let at = self.stage.now() + self.stage.draw.within(delays.shard.0, most);
                let to = usize::from(to.0);
                let Some(process) = &mut self.process else { return };
                let at = process.mail.entry((shard, to)).or_default().arrival(at);
                let from = ShardId(shard as u16);
                self.deliver_at(at, to, Input::Mail { from, mail });
            }
            Effect::Grant { connection, frames } => self.grant(LinkId(connection.0), frames),
            Effect::Close { connection, reason } => {
                self.note_fault(&|| format!("the broker closes connection {}: {reason}", connection.0));
                let link = LinkId(connection.0);
                match reason {
                    // What it does not take is what is to go.
                    CloseReason::Unread(_) => {
                        self.weather.hit("slow client closed for room");
                        self.drop_peer(link);
                    }
                    _ => self.close_after_responses(link),
                }
            }
            Effect::Serve => {
                if let Some(process) = &mut self.process {
                    process.slots[shard].serving = true;
                }
            }
            // Its links are few, and nobody is refused one.
            Effect::Connections(_) => {}
            Effect::Report(report) => self.note_fault(&|| format!("shard {shard} reports {report:?}")),
            Effect::Halt(halt) => self.halted(shard, &halt),
        }
    }

    fn submit(&mut self, owner: Owner, op: FileOp) {
        let Some(process) = &mut self.process else { return };
        let mut turn = Turn {
            stage: &mut self.stage,
            delays: &self.options.delays,
            weather: &mut self.weather,
            incarnation: self.incarnation,
        };
        process.queue.submit(&mut turn, owner, op);
    }

    /// A disk operation's time has come.
    pub(super) fn run_disk(&mut self, op: u64) {
        let Some(process) = &mut self.process else { return };
        let mut turn = Turn {
            stage: &mut self.stage,
            delays: &self.options.delays,
            weather: &mut self.weather,
            incarnation: self.incarnation,
        };
        let finished = process.queue.run(&mut turn, &mut self.disk, op);
        if std::mem::take(&mut self.weather.power) != Power::Stays {
            self.crash_now(Crash::PowerCut);
            return;
        }
        self.oracle.damaged(self.weather.damages.drain(..));
        for path in self.weather.renamed.drain(..) {
            self.oracle.swapped(&self.disk, &path);
            self.oracle.marked(&self.disk, &path);
            self.oracle.checkpointed(&self.disk, &path);
        }
        for path in self.weather.removed.drain(..) {
            self.oracle.removed(&self.disk, &path);
            self.oracle.cut_away(&self.disk, &path);
        }
        for path in self.weather.cut.drain(..) {
            self.oracle.cut(&self.disk, &path);
        }
        let Some(finished) = finished else { return };
        self.note_failure(&finished);
        match finished.owner {
            Owner::Shard(shard, op) => {
                let result = finished.result;
                self.deliver_at(finished.at, shard, Input::Io { op, result });
            }
            Owner::Task(task) => self.resume_task(task, finished.result),
        }
    }

    /// Takes down what a shard is told where its operation failed.
    fn note_failure(&mut self, finished: &Finished) {
        let (Err(error), Some(process)) = (&finished.result, &mut self.process) else {
            return;
        };
        let (shard, task) = match finished.owner {
            Owner::Shard(shard, _) => (shard, None),
            Owner::Task(task) => match process.tasks.get(&task) {
                Some(running) => (running.shard, Some(&running.task)),
                None => return,
            },
        };
        let ailment = Ailment::of(&finished.op, error, task);
        process.slots[shard].ailments.add(ailment);
        let (owner, now) = (finished.owner, self.stage.now());
        self.stage.trace.line(now, || format!("        {owner:?}: {error:?}"));
    }

    fn schedule_task(&mut self, task: u64) {
        let delays = self.options.delays.shard;
        let delay = self.stage.draw.within(delays.0, delays.1);
        let incarnation = self.incarnation;
        let result = Ok(IoValue::Done);
        self.stage.after(
            delay,
            Event::Task {
                incarnation,
                task,
                result,
            },
        );
    }

    /// A task hears of its operation, or gets the thread again.
    pub(super) fn resume_task(&mut self, task: u64, result: IoResult) {
        let Some(process) = &mut self.process else { return };
        let Some(running) = process.tasks.get_mut(&task) else {
            return;
        };
        match running.task.resume(result) {
            Next::Io(op) => self.submit(Owner::Task(task), op),
            Next::Later => self.schedule_task(task),
            Next::Done(outcome) => {
                let Running { shard, op, .. } = process.tasks.remove(&task).expect("the task that was just resumed");
                let delays = self.options.delays.shard;
                let at = self.stage.now() + self.stage.draw.within(delays.0, delays.1);
                self.deliver_at(at, shard, Input::Task { op, outcome });
            }
        }
    }

    /// A shard does nothing any more.
    fn halted(&mut self, shard: usize, halt: &Halt) {
        self.note_fault(&|| format!("shard {shard} halts: {halt}"));
        let Some(process) = &mut self.process else { return };
        if *halt == Halt::Stopped && process.stopping {
            process.slots[shard].stopped = true;
            if process.slots.iter().all(|slot| slot.stopped) {
                self.stopped();
            }
            return;
        }
        let began = process.slots.iter().any(|slot| slot.serving);
        let ailments = process.slots[shard].ailments;
        self.oracle.judging(Checker::Halts);
        if !ailments.explain(halt, began) {
            let text = format!("shard {shard} halts, and what its disk told it is no reason ({ailments:?}): {halt}");
            // Before it serves it does nothing but recover what there is.
            let checker = if began { Checker::Halts } else { Checker::Recovery };
            self.oracle.violate(checker, text);
        }
        self.report.halts += 1;
        self.crash_now(Crash::Kill);
    }

    /// The process ended as it was asked to.
    fn stopped(&mut self) {
        let left = self.process.take().map_or(0, |process| process.on_disk());
        self.report.clean_stops += 1;
        self.crash = None;
        self.links.broker_died(&mut self.stage, &self.options.delays);
        self.disk.kill();
        self.spoil();
        let everything_open = self.phase.is_last_stop();
        self.oracle.after_stop(&self.disk, everything_open);
        if left > 0 {
            let text = format!("the broker stopped with {left} operations on the disk");
            self.oracle.violate(Checker::Bounds, text);
        }
        self.process_ended();
    }

    /// The process ends at once, and badly.
    pub(super) fn crash_now(&mut self, crash: Crash) {
        let Some(process) = self.process.take() else { return };
        self.crash = None;
        self.note_fault(&|| format!("the broker's process ends: {crash:?}"));
        let unsynced = self.disk.dirty_bytes();
        self.report.crashes += 1;
        self.report.crashes_with_unsynced_bytes += u64::from(unsynced > 0);
        self.report.crashes_in_recovery += u64::from(!process.is_serving() && !process.stopping);
        process.queue.die(&mut self.disk, &mut self.stage.draw);
        self.oracle.before_crash(&self.disk);
        match crash {
            Crash::Kill => self.disk.kill(),
            Crash::PowerCut => {
                if self.options.broker.flush == FlushMode::Os {
                    // What was promised lies in the page cache: no record of the disk's says what a cut may take.
                    self.disk.forget_earlier();
                }
                let cut = self.disk.power_cut(&mut self.stage.draw);
                self.report.torn_files += cut.torn_files as u64;
                for _ in 0..cut.showing_earlier {
                    self.weather.hit("earlier blocks shown");
                }
                self.report.lost_names += cut.torn_directories as u64;
                self.note_fault(&|| format!("the power cut tears {cut:?}"));
            }
        }
        self.spoil();
        self.links.broker_died(&mut self.stage, &self.options.delays);
        self.oracle.after_crash(&self.disk, crash == Crash::PowerCut);
        self.process_ended();
    }
}
