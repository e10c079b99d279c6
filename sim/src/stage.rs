//! The virtual time, and what is going to happen in it. Everything that a part of the world needs to act: the clock,
//! the draws, the agenda and the trace.

use crate::draw::Draw;
use crate::trace::Trace;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Nanoseconds of virtual time since the run began.
pub(crate) type Nanos = u64;

/// A millisecond of virtual time.
pub(crate) const MILLIS: Nanos = 1_000_000;
/// A microsecond of virtual time.
pub(crate) const MICROS: Nanos = 1_000;

#[derive(Debug)]
struct Entry<E> {
    at: Nanos,
    /// Drawn, so that events due at the same instant come in any order.
    tie: u32,
    event: E,
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.tie).cmp(&(self.at, self.tie))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

/// Clock, draws, agenda and trace of one run.
#[derive(Debug)]
pub(crate) struct Stage<E> {
    now: Nanos,
    /// The draws of everything but the options.
    pub(crate) draw: Draw,
    /// What happened so far.
    pub(crate) trace: Trace,
    agenda: BinaryHeap<Entry<E>>,
}

impl<E> Stage<E> {
    pub(crate) fn new(draw: Draw, trace: Trace) -> Self {
        Self {
            now: 0,
            draw,
            trace,
            agenda: BinaryHeap::new(),
        }
    }

    /// The virtual time.
    pub(crate) fn now(&self) -> Nanos {
        self.now
    }

    /// Puts `event` on the agenda, not before now.
    pub(crate) fn at(&mut self, at: Nanos, event: E) {
        let at = at.max(self.now);
        let tie = self.draw.bits() as u32;
        self.agenda.push(Entry { at, tie, event });
    }

    /// Puts `event` on the agenda, `delay` from now.
    pub(crate) fn after(&mut self, delay: Nanos, event: E) {
        self.at(self.now + delay, event);
    }

    /// Advances to the next event before `end` and takes it; `None` once there is none.
    pub(crate) fn next(&mut self, end: Nanos) -> Option<E> {
        if self.agenda.peek()?.at >= end {
            self.now = end;
            return None;
        }
        let entry = self.agenda.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}

/// A channel that keeps its order: what is sent later arrives later.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Fifo {
    last: Nanos,
}

impl Fifo {
    /// When something that would arrive at `at` on its own does arrive.
    pub(crate) fn arrival(&mut self, at: Nanos) -> Nanos {
        self.last = at.max(self.last + 1);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::{Fifo, Stage};
    use crate::draw::Draw;
    use crate::trace::Trace;

    #[test]
    fn events_come_in_time_and_ties_in_any_order() {
        let mut first = [0; 2];
        for seed in 0..100 {
            let mut stage = Stage::new(Draw::new(seed), Trace::new(false));
            stage.at(20, 2);
            stage.at(10, 0);
            stage.at(10, 1);
            let tied = stage.next(30).expect("an event");
            assert_eq!(stage.now(), 10);
            first[tied] += 1;
            assert_eq!(stage.next(30), Some(1 - tied));
            assert_eq!(stage.next(15), None, "not due before the end");
            assert_eq!(stage.now(), 15);
            assert_eq!(stage.next(30), Some(2));
        }
        assert!(first[0] > 20 && first[1] > 20, "{first:?}");
    }

    #[test]
    fn a_fifo_never_overtakes() {
        let mut fifo = Fifo::default();
        assert_eq!(fifo.arrival(10), 10);
        assert_eq!(fifo.arrival(5), 11);
        assert_eq!(fifo.arrival(11), 12);
    }
}
