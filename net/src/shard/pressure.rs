//! What happens when clients send faster than they are served, or take nothing.
//!
//! Invariants: a response without progress for the configured time ends its connection: one whose client took nothing,
//! not one whose socket did not say so. A stop closes, after a while, whoever is not done. Connections that need memory
//! for an unfinished frame stand in a line, and while it stands only its head takes memory; a frame within the limits
//! always fits once others have gone. When no memory came back for a second, unfinished frames give way until some
//! does: first those whose clients send nothing, then those in the line that began first, the youngest only
//! in the end and the head never. Whoever finds no slab or no memory has every shard told to let go of what it keeps of
//! earlier frames; and where memory does not come back by any of that, the connection goes whose requests hold most of it
//! for longest. Where clients are not let in for there being too many, the idlest connection goes. So neither clients that
//! stall, nor too many honest ones, nor anything kept can block the rest for good.

use super::Machine;
use super::turn::Driver;
use crate::connection::{Attempt, Outlet, Received};
use crate::counters::{CloseKind, count};
use crate::disk::{Disk, WorkKind};
use crate::event::Event;
use crate::options::NetLimits;
use klamm_core::shard::Input;
use klamm_core::types::{ConnectionId, FileRange, Monotonic};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::Ordering;

/// How long the head of the line waits before others give way, in milliseconds.
const PATIENCE_MS: u64 = 1000;

/// How long nobody may have given way before the youngest in the line does, in milliseconds.
const LAST_RESORT_MS: u64 = 3000;

/// How often the line is looked at while it stands, in milliseconds.
const LOOK_MS: u64 = 100;

/// How soon shards are told again to let go of what they keep, in milliseconds.
const RECLAIM_MS: u64 = 20;

/// Unfinished frames that give way at one look.
const EVICTIONS: usize = 64;

/// How often unused memory is looked through, in milliseconds.
const TRIM_MS: u64 = 2000;

/// How long a response may make no progress once the broker stops, in milliseconds.
const STOPPING_STALL_MS: u64 = 5000;

/// How often a socket that takes no more is tried at least, in milliseconds: it says that there is room only once much of
/// its buffer is free, which takes a slow reader long.
const TRY_MS: u64 = 1000;

/// Who waits for what.
#[derive(Default, Debug)]
pub(super) struct Pressure {
    /// Connections that wait for memory, and since when it does not move by itself.
    memory_line: VecDeque<ConnectionId>,
    stuck_since: Monotonic,
    evicted_at: Monotonic,
    next_look: Option<Monotonic>,
    /// Connections that wait for memory to read a range into.
    fill_line: VecDeque<(ConnectionId, FileRange)>,
    /// When to look whether a connection made progress, soonest first.
    watches: VecDeque<(Monotonic, ConnectionId)>,
    next_trim: Option<Monotonic>,
    /// When a stop waits for clients no longer.
    patient_until: Option<Monotonic>,
    reclaimed_at: Option<Monotonic>,
}

impl Pressure {
    /// Memory is in use: look some time later whether still.
    pub(super) fn expect_trim(&mut self, now: Monotonic) {
        self.next_trim.get_or_insert(now.plus_millis(TRIM_MS));
    }

    /// When something here is to be looked at.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        let watch = self.watches.front().map(|(deadline, _)| *deadline);
        [watch, self.next_look, self.next_trim, self.patient_until]
            .into_iter()
            .flatten()
            .min()
    }
}

impl<M: Machine, D: Disk, O: Outlet> Driver<M, D, O> {
    /// Lets those move on who can, and ends those who must.
    pub(super) fn relieve(&mut self) {
        self.relieve_memory_line();
        self.reclaim();
        self.relieve_fill_line();
        self.end_stalled();
        self.end_patience();
        self.trim();
    }

    /// The connection receives once the budget has room for its unfinished frame.
    pub(super) fn wait_for_memory(&mut self, id: ConnectionId) {
        self.stand_in_line(id, true);
        count(&self.shared.counters.memory_waits, 1);
        if self.pressure.memory_line.is_empty() {
            self.pressure.stuck_since = self.now.monotonic;
            self.shared.pressed = true;
        }
        self.pressure.memory_line.push_back(id);
        self.shared.memory.wait();
    }

    fn stand_in_line(&mut self, id: ConnectionId, stands: bool) {
        if let Some(connection) = self.connections.get(id) {
            connection.in_line = stands;
        }
    }

    /// Has every shard let go of what it keeps, if memory ran short here.
    fn reclaim(&mut self) {
        let now = self.now.monotonic;
        let waiting = self.pressure.memory_line.len();
        self.shared
            .counters
            .memory_line
            .store(waiting as u64, Ordering::Relaxed);
        let recently = |at: Monotonic| now.millis_since(at) < RECLAIM_MS;
        if !std::mem::take(&mut self.shared.short) && waiting == 0 || self.pressure.reclaimed_at.is_some_and(recently) {
            return;
        }
        self.pressure.reclaimed_at = Some(now);
        count(&self.shared.counters.reclaims, 1);
        let (slabs, buffers) = (self.shared.slabs.bytes(), self.shared.memory.used());
        let what = format_args!("{slabs} bytes of slabs and {buffers} of buffers are held, {waiting} connections wait");
        self.shared.grumble.short_of_memory(now, self.links.id, what);
        for (shard, outbox) in self.outboxes.iter_mut().enumerate() {
            if shard == usize::from(self.links.id.0) {
                self.inputs.push_back(Input::Reclaim);
            } else {
                outbox.push(Event::Reclaim);
            }
        }
    }

    fn relieve_memory_line(&mut self) {
        if self.pressure.memory_line.is_empty() {
            return;
        }
        if self.advance_memory_line() {
            self.pressure.stuck_since = self.now.monotonic;
        }
        let mut evictions = 0;
        while !self.pressure.memory_line.is_empty()
            && self.now.monotonic.millis_since(self.pressure.stuck_since) >= PATIENCE_MS
            && evictions < EVICTIONS
            && self.evict_one()
        {
            evictions += 1;
            self.advance_memory_line();
        }
        let waits = !self.pressure.memory_line.is_empty();
        self.shared.pressed = waits;
        self.pressure.next_look = waits.then(|| self.now.monotonic.plus_millis(LOOK_MS));
    }

    /// Serves the line from its head as far as memory goes. Answers whether anybody was served.
    fn advance_memory_line(&mut self) -> bool {
        self.shared.memory.wait();
        let mut moved = false;
        while let Some(id) = self.pressure.memory_line.pop_front() {
            self.shared.pressed = false;
            let received = self.receive_now(id);
            self.shared.pressed = true;
            if received == Some(Received::NoMemory) {
                self.pressure.memory_line.push_front(id);
                return moved;
            }
            moved = true;
            self.stand_in_line(id, false);
        }
        moved
    }

    /// Ends a connection so that the head of the line gets its memory. Answers whether that came back already, and
    /// another may be ended if it is not enough.
    fn evict_one(&mut self) -> bool {
        let now = self.now.monotonic;
        let silent = self
            .connections
            .iter()
            .filter(|connection| !connection.in_line)
            .filter(|connection| now.millis_since(connection.received_at) >= PATIENCE_MS)
            .filter_map(|connection| connection.partial_bytes().map(|bytes| (bytes, connection.id)))
            .max();
        let connections = &mut self.connections;
        let behind_the_head = self.pressure.memory_line.iter().skip(1);
        let ages =
            behind_the_head.filter_map(|id| connections.get(*id).map(|connection| (connection.frame_since, *id)));
        let ages: BTreeSet<_> = ages.collect();
        let since = self.pressure.stuck_since.max(self.pressure.evicted_at);
        let last_resort = now.millis_since(since) >= LAST_RESORT_MS;
        let oldest = ages.first().filter(|_| ages.len() > 1);
        if let Some(id) = silent.map(|(_, id)| id).or(oldest.map(|(_, id)| *id)) {
            return self.evict_unfinished(id);
        }
        if !last_resort {
            return false;
        }
        if let Some((bytes, id)) = self.greatest_holder() {
            let why = format_args!("memory for requests is used up, and its requests hold {bytes} bytes of it");
            self.evict(id, why);
            return false;
        }
        // The youngest has had the least time: it goes only when nothing else helps.
        ages.first().is_some_and(|(_, id)| self.evict_unfinished(*id))
    }

    fn evict_unfinished(&mut self, id: ConnectionId) -> bool {
        let bytes = self
            .connections
            .get(id)
            .and_then(|connection| connection.partial_bytes());
        let bytes = bytes.unwrap_or(0);
        let why = format_args!("memory for requests is used up, and of its request only {bytes} bytes came");
        self.evict(id, why);
        true
    }

    fn evict(&mut self, id: ConnectionId, why: std::fmt::Arguments<'_>) {
        let now = self.now.monotonic;
        self.pressure.memory_line.retain(|waiting| *waiting != id);
        self.pressure.evicted_at = now;
        if let Some(connection) = self.connections.get(id) {
            self.shared.grumble.closing(now, id, &connection.peer, why);
        }
        self.disconnect(id, CloseKind::Memory);
    }

    /// The connection whose requests hold most memory, and how many bytes, among those that make no end of one.
    fn greatest_holder(&mut self) -> Option<(usize, ConnectionId)> {
        let before = self.now.monotonic.0.saturating_sub(LAST_RESORT_MS * 1_000_000);
        self.connections
            .iter()
            .map(|connection| (connection.held_since(Monotonic(before)), connection.id))
            .filter(|(bytes, _)| *bytes > 0)
            .max()
    }

    /// Closes the connection that has been idle longest, those first that never asked for anything: others want to be let
    /// in.
    pub(super) fn close_idlest(&mut self) {
        let now = self.now.monotonic;
        let gives_way = self.shared.limits.idle_gives_way.as_millis() as u64;
        let idle = self
            .connections
            .iter()
            .filter_map(|connection| connection.idle_since().map(|since| (since, connection.id)));
        let idlest = idle
            .filter(|((_, since), _)| now.millis_since(*since) >= gives_way)
            .min();
        if let Some((_, id)) = idlest
            && let Some(connection) = self.connections.get(id)
        {
            let why = "it is idle, and others want to be let in";
            self.shared.grumble.closing(now, id, &connection.peer, why);
            self.disconnect(id, CloseKind::Idle);
        }
    }

    /// Has a disk thread read the beginning of `range`, the next that `id` has to send.
    pub(super) fn fill(&mut self, id: ConnectionId, range: FileRange) {
        let length = NetLimits::FILL_BYTES.min(range.length as usize);
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        connection.outgoing.filling = true;
        if let Some(buffer) = self.shared.fills.buffer(length) {
            let content = connection.outgoing.lend();
            self.strands.hand_over(WorkKind::Fill {
                connection: id,
                range,
                content,
                buffer,
            });
        } else {
            self.pressure.fill_line.push_back((id, range));
            self.shared.fills.wait();
        }
    }

    fn relieve_fill_line(&mut self) {
        for _ in 0..self.pressure.fill_line.len() {
            let waiting = self.pressure.fill_line.len();
            if let Some((id, range)) = self.pressure.fill_line.pop_front() {
                self.fill(id, range);
            }
            if self.pressure.fill_line.len() == waiting {
                self.pressure.fill_line.rotate_right(1);
                return;
            }
        }
    }

    /// Looks at the progress of `id` in a while.
    pub(super) fn watch(&mut self, id: ConnectionId) {
        let deadline = self.now.monotonic.plus_millis(self.stall_ms().min(TRY_MS));
        if let Some(connection) = self.connections.get(id)
            && !connection.outgoing.watched
        {
            connection.outgoing.watched = true;
            self.pressure.watches.push_back((deadline, id));
        }
    }

    fn stall_ms(&self) -> u64 {
        let stall = self.shared.limits.send_stall.as_millis() as u64;
        if self.stopping {
            stall.min(STOPPING_STALL_MS)
        } else {
            stall
        }
    }

    fn end_stalled(&mut self) {
        let now = self.now.monotonic;
        while let Some((_, id)) = self.pressure.watches.pop_front_if(|(deadline, _)| *deadline <= now) {
            let Some(connection) = self.connections.get(id) else {
                continue;
            };
            connection.outgoing.watched = false;
            if connection.outgoing.is_empty() {
                continue;
            }
            let stalls_at = connection.outgoing.progress.plus_millis(self.stall_ms());
            if self.takes_something(id) || stalls_at > now {
                self.watch(id);
                continue;
            }
            if let Some(connection) = self.connections.get(id) {
                let why = "it takes nothing of its response";
                self.shared.grumble.closing(now, id, &connection.peer, why);
            }
            self.disconnect(id, CloseKind::Stalled);
        }
    }

    /// Whether the client of `id` takes something now, or has taken all.
    fn takes_something(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get(id) else {
            return true;
        };
        let before = connection.outgoing.progress;
        connection.outgoing.attempt = Attempt::Now;
        // The caller watches it.
        connection.outgoing.watched = true;
        self.send(id);
        let Some(connection) = self.connections.get(id) else {
            return true;
        };
        connection.outgoing.attempt = Attempt::WhenReady;
        connection.outgoing.watched = false;
        connection.outgoing.is_empty() || connection.outgoing.progress > before
    }

    /// A stop has waited for its clients for long enough.
    fn end_patience(&mut self) {
        if self
            .pressure
            .patient_until
            .is_none_or(|until| until > self.now.monotonic)
        {
            return;
        }
        self.pressure.patient_until = None;
        let left: Vec<_> = self.connections.iter().map(|connection| connection.id).collect();
        if !left.is_empty() {
            let (shard, connections) = (self.links.id.0, left.len());
            tracing::warn!(
                shard,
                connections,
                "closing connections that are not done, since the broker stops"
            );
        }
        for id in left {
            self.disconnect(id, CloseKind::Shutdown);
        }
        self.inputs.push_back(Input::Hurry);
    }

    /// Gives back memory that nobody needs.
    fn trim(&mut self) {
        let now = self.now.monotonic;
        if self.pressure.next_trim.is_none_or(|deadline| deadline > now) {
            return;
        }
        let buffers = self.shared.memory.trim();
        let fills = self.shared.fills.trim();
        let kept = self.shared.slabs.trim() | buffers | fills;
        self.pressure.next_trim = kept.then(|| now.plus_millis(TRIM_MS));
    }

    /// The broker stops: who takes nothing gets less time.
    pub(super) fn hurry(&mut self) {
        self.stopping = true;
        let patience = self.shared.limits.stop_patience.as_millis() as u64;
        self.pressure
            .patient_until
            .get_or_insert(self.now.monotonic.plus_millis(patience));
        let latest = self.now.monotonic.plus_millis(self.stall_ms());
        for (deadline, _) in &mut self.pressure.watches {
            *deadline = latest.min(*deadline);
        }
    }
}
