//! The unit that runs on one CPU core: it owns whole machines and only routes between them.
//!
//! A driver calls [`Shard::step`] with one [`Input`] at a time and carries out the [`Effect`]s. Effects carry no order
//! except FIFO per file and per connection: whatever depends on durability is emitted once its completion came in.
//! Every effect with an [`OpId`](crate::types::OpId) gets exactly one completion, at disconnect and shutdown too.

mod effect;
mod input;
mod mail;
mod ops;
mod task;
mod wheel;

pub use effect::{CloseReason, Effect, Effects, Halt, Report};
pub use input::Input;
pub use mail::Mail;
pub use task::{Task, TaskOutcome};

use crate::config::BrokerConfig;
use crate::types::{Monotonic, Now, ShardId};
use alloc::sync::Arc;

/// One shard of a broker.
pub struct Shard {
    id: ShardId,
}

impl Shard {
    /// The shard `id` of `count` shards of this process; they share `config`. What it draws by chance follows from
    /// `seed`. The first input must be [`Input::Start`].
    pub fn new(id: ShardId, _count: u16, _config: &Arc<BrokerConfig>, _seed: u64) -> Self {
        Self { id }
    }

    /// Takes one input and adds what it causes to `effects`.
    pub fn step(&mut self, _now: Now, _input: Input, _effects: &mut Effects) {
        let _ = self.id;
    }

    /// When the shard wants an [`Input::Tick`] at the latest; `None` while no timer is armed.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        None
    }
}
