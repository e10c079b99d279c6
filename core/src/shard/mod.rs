//! The unit that runs on one CPU core: it owns whole machines and only routes between them.
//!
//! A driver calls [`Shard::step`] with one [`Input`] at a time and carries out the [`Effect`]s. Effects carry no order
//! except FIFO per file and per connection: whatever depends on durability is emitted once its completion came in.
//!
//! Invariants:
//! - every effect with an [`OpId`] gets exactly one completion, at disconnect and shutdown too;
//! - a partition, and everything that is asked of it, is handled by its home shard alone;
//! - at a clean stop no operation is in progress, no lease is held and all credits are back ([`Shard::audit`]).

mod boot;
mod clients;
mod compaction;
mod counters;
mod early;
mod effect;
mod groups;
mod input;
mod lifecycle;
mod mail;
mod mailbox;
mod meta;
mod metadata_log;
mod ops;
mod partitions;
mod producer_ids;
mod reports;
mod settings;
mod survey;
mod task;
mod watches;
mod wheel;

pub use crate::session::CloseReason;
pub use boot::{Booted, StoredLog};
pub use counters::{Audit, Counters};
pub use effect::{Effect, Effects, Halt, Report};
pub use input::Input;
pub use mail::{Beginning, Mail};
pub use task::{Task, TaskOutcome};

use crate::config::BrokerConfig;
use crate::group::Budgets;
use crate::log::ClosedLog;
use crate::marks::mark;
use crate::metadata::Image;
use crate::partition::{Outcome, Partition};
use crate::session::{Action, FetchSessions, Peer, RequestId, Room};
use crate::storage::{LogId, Storage, StorageEvent, Token};
use crate::types::{ConnectionId, LogDirectoryId, Monotonic, Now, OpId, Seed, ShardId, TopicPartition};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use clients::{Asker, Client, Held, View};
use early::{Asked, Early};
use groups::Coordinated;
use lifecycle::{Phase, Stopping};
use mailbox::Mailbox;
use metadata_log::MetadataLog;
use ops::Ops;
use partitions::{Gathering, Part};
use producer_ids::ProducerIds;
use reports::Reports;
use survey::Offline;
use task::TaskFor;
use watches::Watches;
use wheel::{TimerKey, Wheel};

/// The shard that boots the process and runs the controller.
const CONTROLLER: ShardId = ShardId(0);

/// One shard of a broker.
#[derive(Debug)]
pub struct Shard {
    /// The settings of the start; those of the view hold what was given since.
    given: Arc<BrokerConfig>,
    view: View,
    seed: Seed,
    phase: Phase,
    ops: Ops<Pending>,
    wheel: Wheel<Timer>,
    mailbox: Mailbox,
    storage: Storage,
    clients: BTreeMap<ConnectionId, Client>,
    /// Partitions that are not dormant, deleted ones included until their directories are gone.
    partitions: BTreeMap<LogId, Partition<Part>>,
    active: BTreeMap<TopicPartition, LogId>,
    names: BTreeMap<LogId, TopicPartition>,
    /// Logs on disk whose partitions are dormant, and how each was closed, if it was. There may be a hundred thousand: where
    /// they lie follows from the image.
    stored: BTreeMap<TopicPartition, Option<Box<ClosedLog>>>,
    /// What the boot found, until each shard has what is its own of it.
    found: BTreeMap<TopicPartition, StoredLog>,
    next_log: u64,
    gathering: Ops<Gathering>,
    early: Early,
    /// For the partitions of `__consumer_offsets` that this shard owns.
    coordinators: BTreeMap<TopicPartition, Coordinated>,
    /// What their members and offsets may hold, together.
    group_budgets: Budgets,
    watches: Watches,
    producer_ids: ProducerIds<(ShardId, OpId)>,
    /// On the controller's shard only.
    metadata: Option<MetadataLog>,
    offline: Offline,
    /// Recoveries that run, and those that wait for their turn.
    recoveries: task::Turns,
    /// The log that is being compacted.
    compacting: Option<LogId>,
    /// One was, and the next has its turn.
    compact_soon: bool,
    /// The timer of the next look for logs to compact.
    compaction_look: Option<TimerKey>,
    stopping: Stopping,
    reports: Reports,
    counters: Counters,
    // Buffers that steps use again.
    actions: Vec<Action>,
    outcome: Outcome<Part>,
    events: Vec<StorageEvent>,
    fired: Vec<Timer>,
}

/// What waits for a completion.
#[derive(Debug)]
enum Pending {
    Storage(Token),
    Response {
        connection: ConnectionId,
        held: Held,
    },
    Ask {
        asker: Asker,
        watch: Option<OpId>,
    },
    Watch {
        connection: ConnectionId,
        request: RequestId,
    },
    Task(TaskFor),
}

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// A fetch has waited for as long as its client wants.
    Deadline(ConnectionId),
    /// A connection may have been idle for too long.
    Idle(ConnectionId),
    /// Something is due in the groups of a partition of `__consumer_offsets`.
    Groups(TopicPartition),
    /// Old segments may have to go.
    Retention,
    /// What was appended to a log has to be synced.
    Sync(LogId),
    /// Logs may have to be compacted.
    Compaction,
    /// The metadata log, which something was lacking to read, is tried again.
    Metadata,
}

impl Shard {
    /// The shard `id` of `count` shards of this process; they share `config`. What it draws by chance follows from
    /// `seed`. The first input must be [`Input::Start`].
    pub fn new(id: ShardId, count: u16, config: &Arc<BrokerConfig>, seed: u64) -> Self {
        let mut seed = Seed::new(seed);
        let limits = &config.limits;
        let fetch_sessions = FetchSessions::new(limits, seed.fork());
        let (cluster_id, image) = (Arc::from(""), Arc::new(Image::default()));
        let view = View {
            id,
            shards: count,
            config: Arc::clone(config),
            cluster_id,
            image,
            fetch_sessions,
            room: Room::new(limits),
        };
        Self {
            given: Arc::clone(config),
            view,
            seed,
            phase: Phase::Starting,
            ops: Ops::new(),
            wheel: Wheel::new(),
            mailbox: Mailbox::new(id, count, limits.asks_in_flight),
            storage: Storage::new(LogDirectoryId(0), id, config.flush, limits),
            clients: BTreeMap::new(),
            partitions: BTreeMap::new(),
            active: BTreeMap::new(),
            names: BTreeMap::new(),
            stored: BTreeMap::new(),
            found: BTreeMap::new(),
            next_log: 0,
            gathering: Ops::new(),
            early: Early::default(),
            coordinators: BTreeMap::new(),
            group_budgets: Budgets::new(&config.groups),
            watches: Watches::default(),
            producer_ids: ProducerIds::new(),
            metadata: None,
            offline: Offline::default(),
            recoveries: task::Turns::new(limits.recoveries),
            compacting: None,
            compact_soon: false,
            compaction_look: None,
            stopping: Stopping::default(),
            reports: Reports::default(),
            counters: Counters::default(),
            actions: Vec::new(),
            outcome: Outcome::default(),
            events: Vec::new(),
            fired: Vec::new(),
        }
    }

    /// Takes one input and adds what it causes to `effects`.
    pub fn step(&mut self, now: Now, input: Input, effects: &mut Effects) {
        if self.phase == Phase::Halted {
            return self.drop_input(&input);
        }
        // Steps of one turn share its time, and what a turn left over has a tick come.
        if now.monotonic != self.reports.now || matches!(input, Input::Tick) {
            self.view.room.begin_turn();
        }
        self.reports.now = now.monotonic;
        match input {
            Input::Start => self.start(effects),
            Input::Connected {
                connection,
                peer,
                listener,
            } => {
                let address = &peer;
                self.connected(now, connection, Peer { address, listener }, effects);
            }
            Input::Frame { connection, frame } => self.frame(now, connection, frame, effects),
            Input::Disconnected { connection } => self.disconnected(now, connection, effects),
            Input::Progress { connection, bytes } => self.progress(now, connection, bytes),
            Input::Sent { op } => match self.ops.complete(op) {
                Pending::Response { connection, held } => self.sent(now, (connection, held), effects),
                other => panic!("{op:?} was sent, and is {other:?}"),
            },
            Input::Broken { file, broken } if file.shard() == self.view.id => self.found_broken(file, broken, effects),
            Input::Broken { file, broken } => {
                self.mailbox.send(file.shard(), Mail::Broken { file, broken }, effects);
            }
            Input::Io { op, result } => match self.ops.complete(op) {
                Pending::Storage(token) => self.storage.complete(token, result, &mut self.events),
                other => panic!("{op:?} is a disk operation, and is {other:?}"),
            },
            Input::Task { op, outcome } => match self.ops.complete(op) {
                Pending::Task(whose) => self.task_done(now, whose, outcome, effects),
                other => panic!("{op:?} is a task, and is {other:?}"),
            },
            Input::Mail { from, mail } => self.mailbox.arrived(from, mail),
            Input::Tick => self.tick(now, effects),
            Input::Reclaim => self.storage.reclaim(),
            Input::Shutdown => self.shut_down(now, effects),
            Input::Hurry => self.hurry(effects),
        }
        self.settle(now, effects);
    }

    /// Ends the turn that [`Effects::begin_turn`] began.
    pub fn end_turn(&mut self, now: Now, effects: &mut Effects) {
        self.reports.now = now.monotonic;
        effects.end_turn();
        self.settle(now, effects);
    }

    /// When the shard wants an [`Input::Tick`] at the latest; `None` while no timer is armed.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        if self.phase == Phase::Halted {
            None
        } else {
            let deadlines = [
                self.wheel.next_deadline(),
                self.storage.next_deadline(),
                self.view.room.next_deadline(),
                self.has_left_over().then_some(self.reports.now),
            ];
            deadlines.into_iter().flatten().min()
        }
    }

    /// Whether the last turn had no work left for something: the next goes on with it.
    fn has_left_over(&self) -> bool {
        self.mailbox.has_mail() || self.view.room.has_turns()
    }

    /// Handles what the input caused inside the shard, until nothing is left but effects, and what the turn has no work
    /// left for.
    fn settle(&mut self, now: Now, effects: &mut Effects) {
        loop {
            if self.phase == Phase::Halted {
                return;
            }
            if let Some((from, mail)) = self.next_mail() {
                self.receive(now, from, mail, effects);
                if from != self.view.id {
                    // What others ask is not made less by keeping the clients of this shard waiting.
                    self.take_turn(now, effects);
                }
            } else if !self.events.is_empty() || self.storage.has_events() {
                let mut events = core::mem::take(&mut self.events);
                self.storage.take_events(&mut events);
                for event in events.drain(..) {
                    self.storage_event(now, &event, effects);
                }
                events.append(&mut self.events);
                self.events = events;
            } else if !self.take_turn(now, effects)
                && !self.run_controller(now, effects)
                && !self.run_storage(now, effects)
                && (self.mailbox.has_mail() || !self.run_stop(now, effects))
            {
                return;
            }
        }
    }

    /// The next message, if this turn has work left for it.
    fn next_mail(&mut self) -> Option<(ShardId, Mail)> {
        if !self.view.room.has_work() {
            if self.mailbox.has_mail() {
                mark!(TurnWorkUsedUp);
            }
            return None;
        }
        let (from, mail) = self.mailbox.take()?;
        self.view.room.worked(mail.work());
        Some((from, mail))
    }

    /// Hands the disk operations that storage wants to the driver; whether events came of it.
    fn run_storage(&mut self, now: Now, effects: &mut Effects) -> bool {
        let Self { storage, ops, .. } = self;
        let held = effects.is_in_turn();
        let mut emit = |(token, io)| {
            let op = ops.begin(Pending::Storage(token));
            effects.push(Effect::Io { op, io });
        };
        if held {
            storage.drain_held().for_each(&mut emit);
        } else {
            storage.drain(now.monotonic).for_each(&mut emit);
        }
        self.storage.has_events()
    }

    fn receive(&mut self, now: Now, from: ShardId, mail: Mail, effects: &mut Effects) {
        match mail {
            Mail::Ask { op, watch, seen, ask } => {
                let asked = Asked {
                    from,
                    op,
                    watch,
                    seen,
                    ask,
                };
                if let Some(asked) = self.early.admit(asked, self.view.image.end()) {
                    self.asked(now, asked, effects);
                }
            }
            Mail::Answer { op, answer } => self.answered(now, from, (op, answer), effects),
            Mail::Late { op, answer } => self.late_answer(now, op, answer, effects),
            Mail::WatchEnded { watch } => self.watch_ended(now, watch, effects),
            Mail::Lower { watch, bytes } => self.lower((from, watch), bytes, effects),
            Mail::Unwatch { watch } => self.unwatch((from, watch), effects),
            Mail::Broken { file, broken } => self.found_broken(file, broken, effects),
            Mail::Release(leases) => self.release(leases, effects),
            Mail::Begin(beginning) => self.begin(now, beginning, effects),
            Mail::Publish(publication) => {
                self.view.image = publication.image;
                self.apply_delta(now, &publication.delta, effects);
                self.groups_see(now, &publication.delta, effects);
                self.mailbox.send(CONTROLLER, Mail::Published, effects);
                self.take_early(now, effects);
            }
            Mail::Published => self.published(),
            Mail::Drained => self.stopping.drained += 1,
            Mail::CloseLogs => self.stopping.close = true,
            Mail::Closed(entries) => {
                self.stopping.closed += 1;
                self.stopping.entries.extend(entries);
            }
        }
    }

    fn tick(&mut self, now: Now, effects: &mut Effects) {
        // Before what requests that began have left over: whoever waits does not wait for all of that.
        self.take_turn(now, effects);
        let mut fired = core::mem::take(&mut self.fired);
        self.wheel
            .fire(now.monotonic, self.view.config.limits.timers_per_tick, &mut fired);
        for timer in fired.drain(..) {
            match timer {
                Timer::Deadline(connection) => self.session_deadline(now, connection, effects),
                Timer::Idle(connection) => self.idle(now, connection, effects),
                Timer::Groups(id) => self.groups_due(now, id, effects),
                Timer::Retention => {
                    self.view.fetch_sessions.expire(now.monotonic);
                    self.retain(now, effects);
                }
                Timer::Sync(log) => {
                    if let Some(partition) = self.partitions.get_mut(&log) {
                        partition.sync(&mut self.storage);
                    }
                }
                Timer::Compaction => self.look_for_compaction(now, effects),
                Timer::Metadata => self.read_metadata_again(now, effects),
            }
        }
        self.fired = fired;
        self.make_room(now, effects);
    }

    /// After a halt nothing is done any more, but completions are still taken, so that each comes to its end.
    fn drop_input(&mut self, input: &Input) {
        if let Input::Io { op, .. } | Input::Task { op, .. } | Input::Sent { op } = input {
            self.ops.complete(*op);
        }
    }

    fn next_log(&mut self) -> LogId {
        self.next_log += 1;
        LogId(self.next_log)
    }
}

#[cfg(test)]
mod tests;
