//! What happens when clients send faster than they are served, or take nothing.
//!
//! Invariants: a response without progress for the configured time ends its connection. Connections that need memory
//! for an unfinished frame stand in a line, and while it stands only its head takes memory; a frame within the limits
//! always fits once others have gone. When the head got nothing for a second, an unfinished frame of somebody else
//! gives way: one whose client sends nothing, else the last in the line. So neither clients that stall nor too many
//! honest ones can block the rest for good.

use super::Machine;
use super::turn::Driver;
use crate::connection::{Outlet, Received, Shared};
use crate::counters::{CloseKind, count};
use crate::disk::{Disk, WorkKind};
use crate::options::NetLimits;
use klamm_core::types::{ConnectionId, FileRange, Monotonic};
use std::collections::VecDeque;

/// How long the head of the line waits before others give way, in milliseconds.
const PATIENCE_MS: u64 = 1000;

/// How often the line is looked at while it stands, in milliseconds.
const LOOK_MS: u64 = 100;

/// How soon slabs are looked at again, in milliseconds: nothing says when one is free.
const SLAB_MS: u64 = 2;

/// Unfinished frames that give way at one look.
const EVICTIONS: usize = 64;

/// How often unused memory is looked through, in milliseconds.
const TRIM_MS: u64 = 2000;

/// How long a response may make no progress once the broker stops, in milliseconds.
const STOPPING_STALL_MS: u64 = 5000;

/// Who waits for what.
#[derive(Default, Debug)]
pub(super) struct Pressure {
    /// Connections that wait for a slab.
    slab_line: VecDeque<ConnectionId>,
    /// Connections that wait for memory, and since when the head of them does.
    memory_line: VecDeque<ConnectionId>,
    head_since: Monotonic,
    next_look: Option<Monotonic>,
    /// Connections that wait for memory to read a range into.
    fill_line: VecDeque<(ConnectionId, FileRange)>,
    /// When to look whether a connection made progress, soonest first.
    watches: VecDeque<(Monotonic, ConnectionId)>,
    next_trim: Option<Monotonic>,
    slab_retry: Option<Monotonic>,
}

impl Pressure {
    /// Memory is in use: look some time later whether still.
    pub(super) fn expect_trim(&mut self, now: Monotonic) {
        self.next_trim.get_or_insert(now.plus_millis(TRIM_MS));
    }

    pub(super) fn wait_for_slab(&mut self, id: ConnectionId) {
        self.slab_line.push_back(id);
    }

    pub(super) fn wait_for_memory(&mut self, id: ConnectionId, shared: &mut Shared) {
        count(&shared.counters.memory_waits, 1);
        if self.memory_line.is_empty() {
            self.head_since = shared.now;
            shared.pressed = true;
        }
        self.memory_line.push_back(id);
        shared.memory.wait();
    }

    /// When something here is to be looked at.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        let watch = self.watches.front().map(|(deadline, _)| *deadline);
        [watch, self.next_look, self.next_trim, self.slab_retry]
            .into_iter()
            .flatten()
            .min()
    }
}

impl<M: Machine, D: Disk, O: Outlet> Driver<M, D, O> {
    /// Lets those move on who can, and ends those who must.
    pub(super) fn relieve(&mut self) {
        self.relieve_slab_line();
        self.relieve_memory_line();
        self.relieve_fill_line();
        self.end_stalled();
        self.trim();
    }

    fn relieve_slab_line(&mut self) {
        while let Some(id) = self.pressure.slab_line.pop_front() {
            if self.receive(id) == Some(Received::NoSlab) {
                // It went to the end of the line; it stays the first.
                self.pressure.slab_line.rotate_right(1);
                break;
            }
        }
        let waits = !self.pressure.slab_line.is_empty();
        self.pressure.slab_retry = waits.then(|| self.now.monotonic.plus_millis(SLAB_MS));
    }

    fn relieve_memory_line(&mut self) {
        if self.pressure.memory_line.is_empty() {
            return;
        }
        self.advance_memory_line();
        let mut evictions = 0;
        while !self.pressure.memory_line.is_empty()
            && self.now.monotonic.millis_since(self.pressure.head_since) >= PATIENCE_MS
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

    /// Serves the line from its head as far as memory goes.
    fn advance_memory_line(&mut self) {
        self.shared.memory.wait();
        let mut head_since = self.pressure.head_since;
        while let Some(id) = self.pressure.memory_line.pop_front() {
            self.shared.pressed = false;
            let received = self.receive(id);
            self.shared.pressed = true;
            if received == Some(Received::NoMemory) {
                // It went to the end of the line; it stays the first.
                self.pressure.memory_line.rotate_right(1);
                break;
            }
            head_since = self.now.monotonic;
        }
        self.pressure.head_since = head_since;
    }

    /// Ends a connection with an unfinished frame so that the head of the line gets its memory. Answers whether one
    /// was found.
    fn evict_one(&mut self) -> bool {
        let head = self.pressure.memory_line.front().copied();
        let line = &self.pressure.memory_line;
        let silent = self
            .connections
            .iter()
            .filter(|connection| Some(connection.id) != head)
            .filter(|connection| self.now.monotonic.millis_since(connection.received_at) >= PATIENCE_MS)
            .filter_map(|connection| connection.partial_bytes().map(|bytes| (bytes, connection.id)))
            .filter(|(_, id)| !line.contains(id))
            .max();
        let victim = silent
            .map(|(_, id)| id)
            .or_else(|| line.back().copied().filter(|last| Some(*last) != head));
        let Some(id) = victim else {
            return false;
        };
        self.pressure.memory_line.retain(|waiting| *waiting != id);
        if let Some(connection) = self.connections.get(id) {
            tracing::warn!(
                connection = id.0,
                peer = &*connection.peer,
                bytes = connection.partial_bytes().unwrap_or(0),
                "closing a connection: memory for requests is used up and its request is not whole"
            );
        }
        self.disconnect(id, CloseKind::Memory);
        true
    }

    /// Has a disk thread read the beginning of `range`, the next that `id` has to send.
    pub(super) fn fill(&mut self, id: ConnectionId, range: FileRange) {
        let length = NetLimits::FILL_BYTES.min(range.length as usize);
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        connection.outgoing.filling = true;
        if let Some(buffer) = self.shared.fills.buffer(length) {
            let connection = id;
            self.strands.hand_over(WorkKind::Fill {
                connection,
                range,
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

    /// Looks at the progress of `id` when it may have stalled.
    pub(super) fn watch(&mut self, id: ConnectionId) {
        let stall = self.stall_ms();
        if let Some(connection) = self.connections.get(id)
            && !connection.outgoing.watched
        {
            connection.outgoing.watched = true;
            let deadline = connection.outgoing.progress.plus_millis(stall);
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
            let progress = connection.outgoing.progress;
            if progress.plus_millis(self.stall_ms()) > now {
                self.watch(id);
                continue;
            }
            if let Some(connection) = self.connections.get(id) {
                let peer = &*connection.peer;
                tracing::warn!(
                    connection = id.0,
                    peer,
                    "closing a connection: it takes nothing of its response"
                );
            }
            self.disconnect(id, CloseKind::Stalled);
        }
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
        let latest = self.now.monotonic.plus_millis(self.stall_ms());
        for (deadline, _) in &mut self.pressure.watches {
            *deadline = latest.min(*deadline);
        }
    }
}
