//! The driver of one shard: its turns.
//!
//! Invariants: the machine gets one input at a time, in the order things happened. Every operation it emits is answered
//! exactly once. Nothing here waits but the turn's end. Effects leave in the order emitted, a file, a connection and a
//! receiving shard at a time.

mod effects;
mod pressure;
mod turn;

pub(crate) use turn::{Driver, Links};

use klamm_core::shard::{self, Effects, Input, Shard};
use klamm_core::types::{Monotonic, Now};

/// What a driver drives: [`Shard`], or a small machine in a test of the driver.
pub trait Machine: Send + 'static {
    /// Takes one input and adds what it causes to `effects`.
    fn step(&mut self, now: Now, input: Input, effects: &mut Effects);

    /// All that was ready is stepped: begins what waited for that, such as a commit round. Many machines wait for nothing.
    fn end_turn(&mut self, _now: Now, _effects: &mut Effects) {}

    /// When it wants an [`Input::Tick`] at the latest.
    fn next_deadline(&self) -> Option<Monotonic>;

    /// What it has done since its start.
    fn counters(&self) -> shard::Counters {
        shard::Counters::default()
    }
}

impl Machine for Shard {
    fn step(&mut self, now: Now, input: Input, effects: &mut Effects) {
        Self::step(self, now, input, effects);
    }

    fn end_turn(&mut self, now: Now, effects: &mut Effects) {
        Self::end_turn(self, now, effects);
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        Self::next_deadline(self)
    }

    fn counters(&self) -> shard::Counters {
        Self::counters(self)
    }
}
