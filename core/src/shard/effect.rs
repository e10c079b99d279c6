//! What a shard wants done.

use super::mail::Mail;
use super::task::Task;
use crate::config::ConnectionConfig;
use crate::session::CloseReason;
use crate::storage::FileOp;
use crate::types::{ConnectionId, Fault, OpId, Part, ShardId};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One thing to do.
#[derive(Debug)]
pub enum Effect {
    /// Carry out a disk operation; answer with [`Input::Io`](super::Input::Io).
    Io {
        /// The operation.
        op: OpId,
        /// What to do.
        io: FileOp,
    },
    /// Run a task to its end on a disk thread; answer with [`Input::Task`](super::Input::Task).
    Task {
        /// The operation.
        op: OpId,
        /// The machine to run.
        task: Task,
    },
    /// Send a response, in the order emitted; answer with [`Input::Sent`](super::Input::Sent), also when the
    /// connection is gone.
    Respond {
        /// The connection.
        connection: ConnectionId,
        /// The operation.
        op: OpId,
        /// The whole frame with its length prefix.
        parts: Vec<Part>,
    },
    /// Deliver a message to another shard, in the order emitted.
    Mail {
        /// The receiver.
        to: ShardId,
        /// The message.
        mail: Mail,
    },
    /// The connection may deliver this many more frames.
    Grant {
        /// The connection.
        connection: ConnectionId,
        /// How many more.
        frames: u32,
    },
    /// Send what was emitted before this for the connection, then close it. Answered by
    /// [`Input::Disconnected`](super::Input::Disconnected).
    Close {
        /// The connection.
        connection: ConnectionId,
        /// Why, for the log and the metrics.
        reason: CloseReason,
    },
    /// The broker is up: accept clients. Emitted once, by each shard.
    Serve,
    /// How many connections there may be from now on. Emitted by one shard, whenever that changes after the start.
    Connections(Box<ConnectionConfig>),
    /// Something that people should know.
    Report(Report),
    /// This shard does nothing any more. After [`Halt::Stopped`] of every shard the process ends well; after any
    /// other it ends at once and badly.
    Halt(Halt),
}

/// The effects of steps, in order. The driver owns and reuses it.
#[derive(Default, Debug)]
pub struct Effects {
    list: Vec<Effect>,
    in_turn: bool,
}

impl Effects {
    /// No effects yet.
    pub const fn new() -> Self {
        Self {
            list: Vec::new(),
            in_turn: false,
        }
    }

    /// Says that several steps make one turn, ended by [`Shard::end_turn`](super::Shard::end_turn): a commit round
    /// waits for its end, so that it covers what all of them write. Without it, every step is a turn of its own.
    pub fn begin_turn(&mut self) {
        self.in_turn = true;
    }

    pub(super) fn end_turn(&mut self) {
        self.in_turn = false;
    }

    pub(super) const fn is_in_turn(&self) -> bool {
        self.in_turn
    }

    /// Adds an effect behind the others.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Takes all effects, in order.
    pub fn drain(&mut self) -> alloc::vec::Drain<'_, Effect> {
        self.list.drain(..)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Why a shard stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Halt {
    /// It was asked to stop, and everything is durable.
    Stopped,
    /// It was asked to stop and cannot do so in good order; what was acknowledged is durable. The text says what is
    /// missing.
    Unclean(String),
    /// The broker cannot start; the text says why and what to do.
    Refused(String),
    /// The log directory failed.
    Fault(Fault),
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Unclean(text) | Self::Refused(text) => f.write_str(text),
            Self::Fault(fault) => write!(f, "the log directory failed: {fault}"),
        }
    }
}

/// Something that people should know; a driver logs it. Never on the data path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// Something ordinary worth a line.
    Info(String),
    /// Something an operator should look at.
    Warning(String),
}
