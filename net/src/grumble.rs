//! Log lines that clients can cause, so many of them as people can read.
//!
//! Invariant: at most [`LINES`] lines a second, and what was left out is told.

use klamm_core::types::{ConnectionId, Monotonic, ShardId};
use std::cell::Cell;
use std::fmt::Display;
use std::net::SocketAddr;

/// Lines a second.
const LINES: u32 = 10;

/// How long nothing more is said of memory that runs short, in milliseconds.
const SHORT_OF_MEMORY_MS: u64 = 10_000;

/// The lines of one thread.
#[derive(Default, Debug)]
pub(crate) struct Grumble {
    second: Cell<u64>,
    lines: Cell<u32>,
    left_out: Cell<u64>,
    short_of_memory: Cell<Option<Monotonic>>,
}

impl Grumble {
    /// Tells why a connection is closed.
    pub(crate) fn closing(&self, now: Monotonic, connection: ConnectionId, peer: &str, why: impl Display) {
        if self.allows(now) {
            tracing::warn!(connection = connection.0, peer, "closing a connection: {why}");
        }
    }

    /// Tells why a client is not let in.
    pub(crate) fn refusing(&self, now: Monotonic, peer: SocketAddr, why: &str) {
        if self.allows(now) {
            tracing::warn!(%peer, "refusing a connection: {why}");
        }
    }

    /// Tells that memory to receive into runs short, at most once in ten seconds.
    pub(crate) fn short_of_memory(&self, now: Monotonic, shard: ShardId, what: impl Display) {
        let due = |at: Monotonic| now.millis_since(at) >= SHORT_OF_MEMORY_MS;
        if self.short_of_memory.get().is_none_or(due) {
            self.short_of_memory.set(Some(now));
            tracing::warn!(shard = shard.0, "memory for requests runs short: {what}");
        }
    }

    /// Whether one more line may be written. The first one after a silence tells how many could not be.
    fn allows(&self, now: Monotonic) -> bool {
        let second = now.0 / 1_000_000_000;
        if second != self.second.replace(second) {
            self.lines.set(0);
            let left_out = self.left_out.take();
            if left_out > 0 {
                tracing::warn!(
                    left_out,
                    "there were more lines about connections than are written a second"
                );
            }
        }
        let allowed = self.lines.get() < LINES;
        if allowed {
            self.lines.set(self.lines.get() + 1);
        } else {
            self.left_out.set(self.left_out.get() + 1);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::{Grumble, LINES};
    use klamm_core::types::Monotonic;

    #[test]
    fn lines_are_bounded_by_the_second() {
        let grumble = Grumble::default();
        let at = |millis| grumble.allows(Monotonic(0).plus_millis(millis));
        assert_eq!((0..1000).filter(|&millis| at(millis)).count(), LINES as usize);
        assert_eq!(grumble.left_out.get(), 1000 - u64::from(LINES));
        assert!(at(1000), "a new second");
        assert_eq!(grumble.left_out.get(), 0);
    }
}
