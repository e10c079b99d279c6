//! Client connections of a shard: frames in, responses out.
//!
//! Invariants: a connection delivers no more frames than granted and is not read from without a grant. Its responses
//! leave in the order emitted; the operation of each is reported exactly once, also when the connection ends first.
//! A connection that waits for its client's next request holds no buffer.

mod receive;
mod send;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use receive::Received;
pub(crate) use send::{Attempt, Response, Sending};
pub(crate) use table::{Census, Connections, Full, Permit};

use crate::counters::{CloseKind, Counters};
use crate::grumble::Grumble;
use crate::memory::{Memory, Slabs};
use crate::options::NetLimits;
use bytes::BufMut;
use klamm_core::types::{ConnectionId, ListenerName, Monotonic};
use receive::Rest;
use send::Outgoing;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

/// The connection seam: both directions of a client's connection. Its implementation for production is tokio's
/// [`TcpStream`].
pub trait Outlet: Send + Sized + Unpin + 'static {
    /// A connection as it was accepted, on whatever thread.
    type Raw: Send + 'static;

    /// Takes over an accepted connection, on the thread of its shard.
    fn adopt(raw: Self::Raw) -> io::Result<Self>;

    /// Receives into the room that `buffer` has. `Ok(0)` is the end. Pending leaves a wake behind.
    fn poll_receive<B: BufMut>(&mut self, cx: &mut Context<'_>, buffer: &mut B) -> Poll<io::Result<usize>>;

    /// Sends some of `slices`, which hold at least one byte. Pending leaves a wake behind.
    fn poll_send(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// As [`poll_send`](Self::poll_send), without waiting to be told that there is room: a socket says so only once a good
    /// part of its buffer is free, which takes a slow reader long. `WouldBlock` where there is none; leaves no wake.
    fn send_now(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Nothing more will be sent; what was, is to arrive.
    fn finish(&mut self, cx: &mut Context<'_>);
}

impl Outlet for TcpStream {
    type Raw = std::net::TcpStream;

    fn adopt(raw: Self::Raw) -> io::Result<Self> {
        Self::from_std(raw)
    }

    fn poll_receive<B: BufMut>(&mut self, cx: &mut Context<'_>, buffer: &mut B) -> Poll<io::Result<usize>> {
        pin!(self.read_buf(buffer)).poll(cx)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write_vectored(cx, slices)
    }

    fn send_now(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(&*self, slices)?)
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        // An error says that the client is gone already.
        let _ = Pin::new(self).poll_shutdown(cx);
    }
}

/// What the connections of a shard share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: NetLimits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) grumble: Grumble,
    pub(crate) memory: Arc<Memory>,
    /// What reads of uncached ranges go into.
    pub(crate) fills: Arc<Memory>,
    pub(crate) slabs: Slabs,
    /// What cached ranges are read into on their way out.
    pub(crate) window: Vec<u8>,
    /// Whether connections stand in line for memory: nobody else takes more than the smallest buffer.
    pub(crate) pressed: bool,
    /// Set where a connection found no slab or no memory: whoever keeps any for later is to let go of it.
    pub(crate) short: bool,
    /// The time of this turn.
    pub(crate) now: Monotonic,
}

/// A connection on its way to its shard.
#[derive(Debug)]
pub(crate) struct Newcomer<R> {
    /// Which connection of the process this is.
    pub(crate) sequence: u64,
    pub(crate) raw: R,
    pub(crate) peer: Box<str>,
    pub(crate) listener: ListenerName,
    pub(crate) permit: Permit,
}

/// One client connection.
#[derive(Debug)]
pub(crate) struct Connection<O> {
    pub(crate) id: ConnectionId,
    pub(crate) outlet: O,
    pub(crate) waker: Waker,
    pub(crate) peer: Box<str>,
    /// Set once the core wants it closed: nothing more is read, and it ends when its responses are sent.
    pub(crate) closing: Option<CloseKind>,
    grants: u32,
    rest: Rest,
    /// The size of its latest frame: the next is expected to be alike.
    latest_frame: usize,
    /// The sizes of its frames that are in progress, and when they were delivered, oldest first.
    delivered: VecDeque<(usize, Monotonic)>,
    /// Whether it begins no frame until those in progress are done: the budget was used up.
    awaits_own: bool,
    /// When bytes came last.
    pub(crate) received_at: Monotonic,
    /// When the beginning of its unfinished frame came.
    pub(crate) frame_since: Monotonic,
    /// Whether it stands in a line for memory, which will have it receive.
    pub(crate) in_line: bool,
    pub(crate) outgoing: Outgoing,
    /// Given back before its client sees the end.
    pub(crate) permit: Option<Permit>,
}

/// Whether a connection has asked for anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Served {
    Never,
    Before,
}

impl<O: Outlet> Connection<O> {
    /// The core lets it deliver this many more frames: the first grant is for none, each later one for the oldest in
    /// progress, which is done.
    pub(crate) fn grant(&mut self, frames: u32) {
        let done = self.delivered.len().min(frames as usize);
        self.delivered.drain(..done);
        // With grants left, the socket or a line for memory wakes it.
        let waits = self.grants == 0 || (self.awaits_own && self.delivered.is_empty());
        if waits && frames > 0 {
            self.waker.wake_by_ref();
        }
        self.grants = self.grants.saturating_add(frames);
    }

    /// Since when nothing came or left, if nothing is to be answered now; and whether nothing ever came whole, which is the
    /// lesser claim to be served.
    pub(crate) fn idle_since(&self) -> Option<(Served, Monotonic)> {
        let served = if self.latest_frame == 0 {
            Served::Never
        } else {
            Served::Before
        };
        let idle = self.delivered.is_empty() && self.outgoing.is_empty() && self.closing.is_none() && !self.in_line;
        idle.then_some((served, self.received_at.max(self.outgoing.progress)))
    }

    /// Bytes of memory that its requests hold if one of them is in progress since `before` or longer: the frames, and
    /// what lies in memory of its responses. 0 if none is.
    pub(crate) fn held_since(&self, before: Monotonic) -> usize {
        match self.delivered.front() {
            Some((_, since)) if *since <= before => {
                let frames: usize = self.delivered.iter().map(|(bytes, _)| bytes).sum();
                frames + self.outgoing.bytes_in_memory()
            }
            _ => 0,
        }
    }
}
