//! What a driver tells a shard.

use super::mail::Mail;
use super::task::TaskOutcome;
use crate::storage::IoResult;
use crate::types::{Broken, ConnectionId, FileId, ListenerName, OpId, ShardId};
use alloc::string::String;
use bytes::Bytes;

/// One thing that happened. A driver delivers them one at a time, in the order they happened.
#[derive(Debug)]
pub enum Input {
    /// The process started. The first input of every shard.
    Start,
    /// A client connected. It may send nothing until a grant.
    Connected {
        /// The connection, new in this process.
        connection: ConnectionId,
        /// The client's address, for people.
        peer: String,
        /// The listener that it came in on.
        listener: ListenerName,
    },
    /// A whole request frame arrived, without its length prefix.
    Frame {
        /// The connection.
        connection: ConnectionId,
        /// Header and body.
        frame: Bytes,
    },
    /// The connection is gone, whoever ended it. Delivered exactly once a connection, and nothing of it after that but
    /// completions.
    Disconnected {
        /// The connection.
        connection: ConnectionId,
    },
    /// So many bytes of the connection's oldest response are with the kernel since the last of them were, and more are to
    /// come. Delivered when the socket takes no more for now, and at least once a second while it takes anything: who takes
    /// too little may have to go.
    Progress {
        /// The connection.
        connection: ConnectionId,
        /// How many, at least 1.
        bytes: u64,
    },
    /// The response is with the kernel, or its connection is gone: what it held can be released.
    Sent {
        /// The response's operation.
        op: OpId,
    },
    /// A range of this file holds something else than it must, and its response was not sent. Delivered before the
    /// response's completion.
    Broken {
        /// The file, of whatever shard.
        file: FileId,
        /// Where.
        broken: Broken,
    },
    /// A disk operation ended.
    Io {
        /// The operation.
        op: OpId,
        /// Its answer.
        result: IoResult,
    },
    /// A task ran to its end.
    Task {
        /// The operation.
        op: OpId,
        /// What it brought.
        outcome: TaskOutcome,
    },
    /// A message of another shard of this process.
    Mail {
        /// The sender.
        from: ShardId,
        /// The message.
        mail: Mail,
    },
    /// The deadline that [`Shard::next_deadline`](super::Shard::next_deadline) named has come.
    Tick,
    /// Memory for received frames runs short: let go of what is kept of earlier ones for nothing but speed. A driver tells
    /// every shard, since a frame may be kept by another one than its connection's.
    Reclaim,
    /// Stop: answer what is in progress, make everything durable, then [`Halt::Stopped`](super::Halt::Stopped).
    Shutdown,
    /// The stop has waited for long enough: where something lacks room or descriptors, end without it, with
    /// [`Halt::Unclean`](super::Halt::Unclean). It comes behind [`Shutdown`](Self::Shutdown).
    Hurry,
}
