//! Operations on their way to the driver.

use super::event::{Purpose, Token};
use super::file::FileOp;
use alloc::vec::Vec;

/// Operations that the shard has not taken yet, and the count of those without an answer.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    ops: Vec<(Token, FileOp)>,
    unanswered: usize,
    closed: bool,
}

impl Outbox {
    /// Asks for `op`. After [`close`](Self::close) it is dropped: nobody waits for it any more.
    pub(super) fn push(&mut self, purpose: Purpose, op: FileOp) {
        if !self.closed {
            self.unanswered += 1;
            self.ops.push((Token(purpose), op));
        }
    }

    /// Takes what was asked for.
    pub(super) fn drain(&mut self) -> alloc::vec::Drain<'_, (Token, FileOp)> {
        self.ops.drain(..)
    }

    /// An operation was answered.
    pub(super) fn answered(&mut self) {
        assert!(self.unanswered > 0, "a completion without an operation");
        self.unanswered -= 1;
    }

    /// Drops what was not taken, and whatever is asked for from now on.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.unanswered -= self.ops.len();
        self.ops.clear();
    }

    /// Whether every operation was taken and answered.
    pub(super) fn is_quiet(&self) -> bool {
        self.unanswered == 0
    }
}
