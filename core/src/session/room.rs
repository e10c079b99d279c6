//! What the sessions of a shard share: the work of a turn, and the memory that waits for clients.
//!
//! Invariants:
//! - a turn begins no request, and takes no message of the shard to itself, once its work is used up: what is left is
//!   done in the next turn, in order, one request a connection and round, so no connection keeps others waiting;
//! - no request begins while its connection has [`Limits::connection_unsent_bytes`] or more that are not sent, nor,
//!   unless its answer is no larger than itself, while those of the shard have [`Limits::unsent_bytes`]: what is unsent
//!   exceeds these by the answers of requests that had begun, at most;
//! - fetches that wait hold no more than [`Limits::waiting_bytes`];
//! - what is charged is given back: without connections nothing is.

use crate::config::Limits;
use crate::types::{ConnectionId, Monotonic};
use alloc::collections::BTreeMap;

/// How long a request waits for room before a connection that takes too little goes, in milliseconds.
const PATIENCE_MS: u64 = 1000;

/// How long until the next one goes, in milliseconds.
const LOOK_MS: u64 = 100;

/// Where a connection waits, in one of two lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// For its turn.
    Turn(u64),
    /// For room.
    Room(u64),
}

/// The work and the memory that sessions of a shard share.
#[derive(Debug)]
pub struct Room {
    /// Units of work that are left of this turn.
    work: u32,
    work_of_a_turn: u32,
    unsent: usize,
    unsent_limit: usize,
    waiting: usize,
    waiting_limit: usize,
    /// The number of the next place in a line.
    next_place: u64,
    /// Connections with a request that may begin in a later turn.
    queue: BTreeMap<u64, ConnectionId>,
    /// Connections with a request that may begin once less is unsent, and since when.
    parked: BTreeMap<u64, (ConnectionId, Monotonic)>,
    /// Not before this time does another connection go to make room.
    next_look: Monotonic,
}

impl Room {
    /// All of the room.
    pub fn new(limits: &Limits) -> Self {
        Self {
            work: limits.turn_work,
            work_of_a_turn: limits.turn_work.max(1),
            unsent: 0,
            unsent_limit: limits.unsent_bytes,
            waiting: 0,
            waiting_limit: limits.waiting_bytes,
            next_place: 0,
            queue: BTreeMap::new(),
            parked: BTreeMap::new(),
            next_look: Monotonic(0),
        }
    }

    /// A turn begins.
    pub const fn begin_turn(&mut self) {
        self.work = self.work_of_a_turn;
    }

    /// Whether this turn may begin more.
    pub const fn has_work(&self) -> bool {
        self.work > 0
    }

    /// So much of this turn's work is done.
    pub const fn worked(&mut self, units: u32) {
        self.work = self.work.saturating_sub(units);
    }

    /// Bytes of responses that are not sent.
    pub const fn unsent(&self) -> usize {
        self.unsent
    }

    /// Bytes that fetches hold while they wait.
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// So many bytes of responses left, or never will.
    pub fn sent(&mut self, bytes: usize) {
        self.unsent = self
            .unsent
            .checked_sub(bytes)
            .expect("no more leaves than was to be sent");
    }

    /// The connection that may begin a request now.
    pub fn next_turn(&mut self) -> Option<ConnectionId> {
        if !self.has_work() {
            return None;
        }
        // Whoever waits for room has waited for a turn before.
        let parked = if self.is_full() { None } else { self.parked.pop_first() };
        parked
            .map(|(_, (connection, _))| connection)
            .or_else(|| self.queue.pop_first().map(|(_, connection)| connection))
    }

    /// Whether a later turn has something to begin.
    pub fn has_turns(&self) -> bool {
        !self.queue.is_empty() || (!self.parked.is_empty() && !self.is_full())
    }

    /// When [`is_stuck`](Self::is_stuck) is to be asked.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let (_, (_, since)) = self.parked.first_key_value()?;
        Some(since.plus_millis(PATIENCE_MS).max(self.next_look))
    }

    /// Whether somebody has waited for room too long: a connection that takes too little has to make some. Answers so
    /// once a tenth of a second.
    pub fn is_stuck(&mut self, now: Monotonic) -> bool {
        let stuck = self.is_full() && self.next_deadline().is_some_and(|at| at <= now);
        if stuck {
            self.next_look = now.plus_millis(LOOK_MS);
        }
        stuck
    }

    pub(super) const fn is_full(&self) -> bool {
        self.unsent >= self.unsent_limit
    }

    /// Whether others wait for their turn.
    pub(super) fn is_contended(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The connection waits for its turn, at this place.
    pub(super) fn queue(&mut self, connection: ConnectionId) -> Place {
        let place = self.place();
        self.queue.insert(place, connection);
        Place::Turn(place)
    }

    /// The connection waits for room, at this place.
    pub(super) fn park(&mut self, connection: ConnectionId, now: Monotonic) -> Place {
        let place = self.place();
        self.parked.insert(place, (connection, now));
        Place::Room(place)
    }

    const fn place(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place
    }

    /// The connection at this place is gone, and waits no longer.
    pub(super) fn leave(&mut self, place: Place) {
        match place {
            Place::Turn(place) => self.queue.remove(&place).is_some(),
            Place::Room(place) => self.parked.remove(&place).is_some(),
        };
    }

    pub(super) const fn owe(&mut self, bytes: usize) {
        self.unsent += bytes;
    }

    /// Charges a fetch that is to wait; false where there is no room for it.
    pub(super) const fn charge_waiting(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.waiting_limit.saturating_sub(self.waiting);
        if fits {
            self.waiting += bytes;
        }
        fits
    }

    pub(super) fn discharge_waiting(&mut self, bytes: usize) {
        self.waiting = self.waiting.checked_sub(bytes).expect("what is given back was charged");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Room {
        Room::new(&Limits {
            turn_work: 3,
            unsent_bytes: 100,
            waiting_bytes: 50,
            ..Limits::default()
        })
    }

    #[test]
    fn a_turn_ends_with_its_work_and_the_next_goes_on_in_order() {
        let mut room = room();
        for connection in 1..=2 {
            room.queue(ConnectionId(connection));
        }
        room.worked(2);
        assert_eq!(room.next_turn(), Some(ConnectionId(1)));
        room.worked(7);
        assert_eq!(room.next_turn(), None);
        assert!(room.has_turns());
        room.begin_turn();
        assert_eq!(room.next_turn(), Some(ConnectionId(2)));
        assert!(!room.has_turns());
    }

    #[test]
    fn whoever_waits_for_room_has_it_once_some_was_sent_or_has_somebody_make_it() {
        let mut room = room();
        room.owe(100);
        room.park(ConnectionId(1), Monotonic(0));
        assert_eq!((room.next_turn(), room.has_turns()), (None, false));
        let late = Monotonic(0).plus_millis(PATIENCE_MS);
        assert_eq!(room.next_deadline(), Some(late));
        assert!(!room.is_stuck(Monotonic(1)));
        assert!(room.is_stuck(late));
        assert!(!room.is_stuck(late), "one at a time");
        assert!(room.is_stuck(late.plus_millis(LOOK_MS)));
        room.sent(1);
        assert!(!room.is_stuck(late.plus_millis(2 * LOOK_MS)));
        assert_eq!(room.next_turn(), Some(ConnectionId(1)));
        assert_eq!(room.next_deadline(), None);
    }

    #[test]
    fn whoever_waited_for_room_does_not_wait_for_those_that_come_after_it() {
        let mut room = room();
        room.owe(100);
        room.park(ConnectionId(1), Monotonic(0));
        room.queue(ConnectionId(2));
        assert_eq!(room.next_turn(), Some(ConnectionId(2)));
        room.sent(1);
        room.queue(ConnectionId(2));
        assert_eq!(room.next_turn(), Some(ConnectionId(1)));
    }

    #[test]
    fn whoever_leaves_waits_no_longer_and_keeps_nobody_from_the_place_behind_it() {
        let mut room = room();
        room.owe(100);
        let gone = [
            room.park(ConnectionId(1), Monotonic(0)),
            room.queue(ConnectionId(2)),
            room.queue(ConnectionId(3)),
        ];
        room.park(ConnectionId(4), Monotonic(5));
        room.queue(ConnectionId(5));
        for place in gone {
            room.leave(place);
        }
        assert_eq!(room.next_deadline(), Some(Monotonic(5).plus_millis(PATIENCE_MS)));
        assert_eq!(room.next_turn(), Some(ConnectionId(5)));
        room.sent(1);
        assert_eq!(room.next_turn(), Some(ConnectionId(4)));
        assert!(!room.has_turns() && !room.is_contended());
    }

    #[test]
    fn fetches_wait_within_the_bound() {
        let mut room = room();
        assert!(room.charge_waiting(30));
        assert!(!room.charge_waiting(21));
        assert!(room.charge_waiting(20));
        room.discharge_waiting(30);
        assert_eq!(room.waiting(), 20);
    }
}
