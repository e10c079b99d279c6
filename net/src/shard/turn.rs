//! The turn: take everything that is ready, step the machine with each, carry out what it wants, sleep.

use super::Machine;
use super::pressure::Pressure;
use crate::clock::Clock;
use crate::connection::{Census, Connections, Newcomer, Outlet, Received, Sending, Shared};
use crate::counters::{CloseKind, Counters, count};
use crate::disk::{Disk, Filled, Strands, Unfilled};
use crate::event::Event;
use crate::grumble::Grumble;
use crate::inbox::Inbox;
use crate::lifecycle::Lifecycle;
use crate::memory::{Memory, Slabs};
use crate::options::NetLimits;
use crate::timer::Timer;
use klamm_core::shard::{Effects, Input};
use klamm_core::types::{Broken, ConnectionId, FileId, Monotonic, Now, ShardId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

/// How a shard's driver is tied to the rest of the broker.
#[derive(Debug)]
pub(crate) struct Links<R> {
    pub(crate) id: ShardId,
    pub(crate) lifecycle: Arc<Lifecycle>,
    /// The inboxes of all shards, this one's among them.
    pub(crate) shards: Vec<Arc<Inbox<Event>>>,
    pub(crate) newcomers: Arc<Inbox<Newcomer<R>>>,
    pub(crate) census: Arc<Census>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Clock,
    pub(crate) limits: NetLimits,
}

/// The driver of one shard.
#[derive(Debug)]
pub(crate) struct Driver<M, D, O: Outlet> {
    pub(super) machine: M,
    pub(super) links: Links<O::Raw>,
    pub(super) shared: Shared,
    pub(super) connections: Connections<O>,
    pub(super) strands: Strands<D>,
    pub(super) pressure: Pressure,
    pub(super) now: Now,
    pub(super) inputs: VecDeque<Input>,
    pub(super) effects: Effects,
    /// Others want to be let in, and as many as may be are connected.
    crowded: bool,
    /// Connections with something to send in this turn.
    pub(super) due: Vec<ConnectionId>,
    /// Mail of this turn, by receiver.
    pub(super) outboxes: Vec<Vec<Event>>,
    /// Set by a halt: the machine takes no more inputs.
    pub(super) halted: bool,
    /// Set once the machine was asked to stop.
    pub(super) stopping: bool,
    ready: Arc<Inbox<u32>>,
    events: Vec<Event>,
    places: Vec<u32>,
    arrivals: Vec<Newcomer<O::Raw>>,
    timer: Timer,
}

impl<M: Machine, D: Disk, O: Outlet> Driver<M, D, O> {
    /// The driver of `machine`; to be made inside the shard's runtime.
    pub(crate) fn new(machine: M, disk: Arc<D>, links: Links<O::Raw>) -> Self {
        let ready = Arc::new(Inbox::default());
        let inbox = Arc::clone(&links.shards[usize::from(links.id.0)]);
        let limits = links.limits.clone();
        let slab_bytes = limits.request_memory() / 4;
        let shared = Shared {
            counters: Arc::clone(&links.counters),
            grumble: Grumble::default(),
            memory: Memory::new(limits.request_memory() - slab_bytes),
            fills: Memory::new(limits.fills.max(1).saturating_mul(NetLimits::FILL_BYTES / 16 * 17)),
            slabs: Slabs::new(slab_bytes),
            window: Vec::new(),
            pressed: false,
            short: false,
            now: Monotonic(0),
            limits,
        };
        let counters = Arc::clone(&links.counters);
        let write_now_bytes = links.limits.write_now_bytes;
        Self {
            machine,
            shared,
            connections: Connections::new(Arc::clone(&ready)),
            strands: Strands::new(disk, inbox, counters, write_now_bytes),
            pressure: Pressure::default(),
            now: Now::default(),
            inputs: VecDeque::from([Input::Start]),
            effects: Effects::new(),
            crowded: false,
            due: Vec::new(),
            outboxes: links.shards.iter().map(|_| Vec::new()).collect(),
            halted: false,
            stopping: false,
            ready,
            events: Vec::new(),
            places: Vec::new(),
            arrivals: Vec::new(),
            timer: Timer::new(links.clock),
            links,
        }
    }

    fn inbox(&self) -> &Inbox<Event> {
        &self.links.shards[usize::from(self.links.id.0)]
    }

    /// Runs turns until the machine halted or the broker ends.
    pub(crate) async fn run(mut self) {
        std::future::poll_fn(|cx| self.turn(cx)).await;
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.listen(cx);
        if self.links.lifecycle.aborted() {
            return Poll::Ready(());
        }
        self.now = self.links.clock.now();
        self.shared.now = self.now.monotonic;
        count(&self.shared.counters.turns, 1);
        self.take_events();
        self.take_newcomers();
        self.take_ready();
        if std::mem::take(&mut self.crowded) {
            self.close_idlest();
        }
        self.relieve();
        if self
            .machine
            .next_deadline()
            .is_some_and(|deadline| deadline <= self.now.monotonic)
        {
            self.inputs.push_back(Input::Tick);
        }
        self.settle();
        // Before anything is sent: the disk works meanwhile.
        self.strands.dispatch();
        self.send_due();
        self.settle();
        for (outbox, inbox) in self.outboxes.iter_mut().zip(&self.links.shards) {
            inbox.push_all(outbox);
        }
        self.strands.dispatch();
        if self.halted {
            return Poll::Ready(());
        }
        if !self.due.is_empty() {
            cx.waker().wake_by_ref();
        }
        self.arm(cx);
        Poll::Pending
    }

    /// Makes everything that may happen wake this task.
    fn listen(&self, cx: &Context<'_>) {
        let waker = cx.waker();
        self.inbox().set_reader(waker);
        self.links.newcomers.set_reader(waker);
        self.links.lifecycle.alarm(self.links.id.0).set(waker);
        self.ready.set_reader(waker);
        self.shared.memory.set_reader(waker);
        self.shared.fills.set_reader(waker);
    }

    fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        self.inbox().take(&mut events);
        for event in events.drain(..) {
            match event {
                Event::Io { op, strand, result } => {
                    if let Some(file) = strand {
                        self.strands.ended(file);
                    }
                    self.inputs.push_back(Input::Io { op, result });
                }
                Event::Written { file, outcomes } => {
                    self.strands.ended(file);
                    self.inputs
                        .extend(outcomes.into_iter().map(|(op, result)| Input::Io { op, result }));
                }
                Event::Task { op, outcome } => self.inputs.push_back(Input::Task { op, outcome }),
                Event::Filled { connection, filled } => self.filled(connection, filled),
                Event::Mail { from, mail } => self.inputs.push_back(Input::Mail { from, mail }),
                Event::Reclaim => self.inputs.push_back(Input::Reclaim),
                Event::Crowded => self.crowded = true,
                Event::Shutdown => {
                    self.hurry();
                    self.inputs.push_back(Input::Shutdown);
                }
            }
        }
        self.events = events;
    }

    fn take_newcomers(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        self.links.newcomers.take(&mut arrivals);
        for Newcomer {
            sequence,
            raw,
            peer,
            listener,
            permit,
        } in arrivals.drain(..)
        {
            if self.stopping {
                continue;
            }
            let outlet = match O::adopt(raw) {
                Ok(outlet) => outlet,
                Err(error) => {
                    tracing::warn!(%peer, %error, "cannot take over a connection");
                    continue;
                }
            };
            count(&self.shared.counters.connections_accepted, 1);
            count(&self.shared.counters.connections_open, 1);
            let connection = self
                .connections
                .add(sequence, outlet, peer.clone(), permit, self.now.monotonic);
            let peer = peer.into_string();
            self.inputs.push_back(Input::Connected {
                connection,
                peer,
                listener,
            });
        }
        self.arrivals = arrivals;
    }

    fn take_ready(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        self.ready.take(&mut places);
        for place in places.drain(..) {
            if let Some(id) = self.connections.answer(place) {
                self.receive(id);
                self.send_soon(id);
            }
        }
        self.places = places;
    }

    /// Receives from a connection what there is, unless it stands in a line.
    fn receive(&mut self, id: ConnectionId) {
        let alone = self.connections.get(id).is_some_and(|connection| !connection.in_line);
        if alone && self.receive_now(id) == Some(Received::NoMemory) {
            self.wait_for_memory(id);
        }
    }

    /// Receives from a connection what there is, and sees to all ends of it but a lack of memory.
    pub(super) fn receive_now(&mut self, id: ConnectionId) -> Option<Received> {
        let connection = self.connections.get(id)?;
        let received = connection.receive(&mut self.shared, &mut self.inputs);
        self.pressure.expect_trim(self.now.monotonic);
        match received {
            Received::Idle | Received::NoMemory => {}
            Received::Again => connection.waker.wake_by_ref(),
            Received::Ended(kind) => self.disconnect(id, kind),
        }
        Some(received)
    }

    /// Has the connection send in this turn, if it has something to send or to end.
    pub(super) fn send_soon(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(id)
            && !connection.outgoing.due
            && (!connection.outgoing.is_empty() || connection.closing.is_some())
        {
            connection.outgoing.due = true;
            self.due.push(id);
        }
    }

    /// Steps the machine with all inputs and applies the effects, until nothing more follows at once. Only then may a
    /// commit round begin: it covers everything that was written until then.
    fn settle(&mut self) {
        loop {
            self.effects.begin_turn();
            while let Some(input) = self.inputs.pop_front() {
                if self.halted {
                    continue;
                }
                self.machine.step(self.now, input, &mut self.effects);
                self.apply_effects();
            }
            self.strands.flush(&mut self.inputs);
            if !self.inputs.is_empty() {
                continue;
            }
            if !self.halted {
                self.machine.end_turn(self.now, &mut self.effects);
                self.apply_effects();
                self.strands.flush(&mut self.inputs);
            }
            if self.inputs.is_empty() {
                return;
            }
        }
    }

    fn apply_effects(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain() {
            self.apply(effect);
        }
        self.effects = effects;
    }

    fn send_due(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        for id in due.drain(..) {
            self.send(id);
        }
        // What was found due meanwhile is for the next turn.
        due.append(&mut self.due);
        self.due = due;
    }

    pub(super) fn send(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        connection.outgoing.due = false;
        let sending = connection.send(&**self.strands.disk(), &mut self.shared, &mut self.inputs);
        match sending {
            Sending::Done => {
                if let Some(kind) = connection.closing {
                    self.disconnect(id, kind);
                }
            }
            Sending::Again => connection.waker.wake_by_ref(),
            Sending::Blocked => self.watch(id),
            Sending::Fill(range) => {
                self.watch(id);
                self.fill(id, range);
            }
            Sending::Broken(file, broken) => self.broken(id, file, broken),
            Sending::Ended(kind) => {
                if kind == CloseKind::Unsendable {
                    let why = "a response can no longer be sent in full";
                    self.shared.grumble.closing(self.shared.now, id, &connection.peer, why);
                }
                self.disconnect(id, kind);
            }
        }
    }

    fn filled(&mut self, id: ConnectionId, filled: Filled) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        match connection.outgoing.filled(filled) {
            Ok(()) => self.send_soon(id),
            Err((file, Unfilled::Broken(broken))) => self.broken(id, file, broken),
            Err((_, Unfilled::Unreadable(error))) => {
                let why = format_args!("a response cannot be sent in full: {error}");
                self.shared.grumble.closing(self.shared.now, id, &connection.peer, why);
                self.disconnect(id, CloseKind::Unsendable);
            }
        }
    }

    /// A file holds other batches than a response was to have: nothing of them is sent.
    fn broken(&mut self, id: ConnectionId, file: FileId, broken: Broken) {
        if let Some(connection) = self.connections.get(id) {
            let why = "the batches that a response was to have are not those that were synced";
            self.shared.grumble.closing(self.shared.now, id, &connection.peer, why);
        }
        self.inputs.push_back(Input::Broken { file, broken });
        self.disconnect(id, CloseKind::Unsendable);
    }

    /// Ends a connection: what it had to send is reported, then its end.
    pub(super) fn disconnect(&mut self, id: ConnectionId, kind: CloseKind) {
        let Some(mut connection) = self.connections.remove(id) else {
            return;
        };
        // Counted first: whoever sees the end of the connection finds it counted, and its place free.
        connection.permit = None;
        self.shared.counters.connection_closed(kind);
        let waker = connection.waker.clone();
        connection.outlet.finish(&mut Context::from_waker(&waker));
        self.inputs
            .extend(connection.outgoing.abandon().map(|op| Input::Sent { op }));
        self.inputs.push_back(Input::Disconnected { connection: id });
        tracing::debug!(
            connection = id.0,
            peer = &*connection.peer,
            why = kind.name(),
            "disconnected"
        );
    }

    /// Sleeps until the next deadline, unless something happens before.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let memory = self.shared.memory.used() + self.shared.fills.used() + self.shared.slabs.bytes();
        self.shared
            .counters
            .memory_bytes
            .store(memory as u64, Ordering::Relaxed);
        self.shared.counters.observe(&self.machine.counters());
        let deadlines = [self.machine.next_deadline(), self.pressure.next_deadline()];
        if self.timer.poll(deadlines.into_iter().flatten().min(), cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl<M, D, O: Outlet> Drop for Driver<M, D, O> {
    fn drop(&mut self) {
        let waker = std::task::Waker::noop();
        let mut cx = Context::from_waker(waker);
        for connection in self.connections.iter_mut() {
            connection.outlet.finish(&mut cx);
            self.shared.counters.connection_closed(CloseKind::Shutdown);
        }
    }
}
