//! From the socket to whole frames.
//!
//! Invariants: what a read brings lands in the shard's slab, and whole frames that may be delivered are slices of it.
//! All else is copied out before the read ends, so that slabs hold delivered frames only. A frame that came in part
//! continues in a buffer that is at most the double of what arrived, or as large as the connection's latest whole
//! frame, and never larger than its own claim. While all slabs are held, frames begin in such buffers too, so that
//! nobody who holds slabs keeps others from being received. Once the budget is used up, a connection begins a frame only
//! when none of its earlier ones is in progress: it has one buffer over budget at most.

use super::{Connection, Outlet, Shared};
use crate::counters::{CloseKind, count};
use crate::memory::{Buffer, LARGEST_KEPT, SMALLEST};
use bytes::{BufMut, Bytes};
use klamm_core::shard::Input;
use std::collections::VecDeque;
use std::task::{Context, Poll};

/// Bytes of a frame's length prefix.
const PREFIX: usize = 4;

/// Bytes a connection may receive in one turn before others get theirs.
const TURN_BYTES: usize = 1 << 20;

/// After a frame of this size the next is expected to be large, too: only its head is read into the slab.
const LARGE_FRAME: usize = 64 << 10;

/// Bytes read for the head of a frame that is expected to be large.
const HEAD_BYTES: usize = 4 << 10;

/// Bytes read at once at least, however few frames are granted.
const LEAST_BYTES: usize = 16 << 10;

/// What a connection has that is not delivered.
#[derive(Default, Debug)]
pub(super) enum Rest {
    /// Nothing: the next byte begins a frame.
    #[default]
    None,
    /// Whole frames that wait for grants, and what follows them; at least one byte.
    Held(Bytes),
    /// The beginning of one frame.
    Partial(Buffer),
}

/// How a turn of receiving ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// Nothing to do until the socket or a grant wakes it.
    Idle,
    /// There may be more at once; others first.
    Again,
    /// Its unfinished frame needs memory that is not to be had now.
    NoMemory,
    /// The connection is at its end.
    Ended(CloseKind),
}

/// How one step of it ended, if it ends the turn.
type Stop = Option<Received>;

impl<O: Outlet> Connection<O> {
    /// Receives what there is and adds the frames to `inputs`.
    pub(crate) fn receive(&mut self, shared: &mut Shared, inputs: &mut VecDeque<Input>) -> Received {
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        let mut received = 0;
        self.awaits_own = false;
        while received < TURN_BYTES {
            if self.closing.is_some() || self.grants == 0 {
                return Received::Idle;
            }
            let stop = match std::mem::take(&mut self.rest) {
                Rest::Held(bytes) => self.cut(bytes, true, shared, inputs),
                Rest::Partial(buffer) => self.continue_frame(buffer, &mut cx, shared, inputs, &mut received),
                Rest::None => self.receive_frames(&mut cx, shared, inputs, &mut received),
            };
            if let Some(stop) = stop {
                return stop;
            }
        }
        Received::Again
    }

    /// Bytes it holds of a frame that is not whole, if it has one.
    pub(crate) fn partial_bytes(&self) -> Option<usize> {
        match &self.rest {
            Rest::Partial(buffer) => Some(buffer.len()),
            Rest::None | Rest::Held(_) => None,
        }
    }

    fn receive_frames(
        &mut self,
        cx: &mut Context<'_>,
        shared: &mut Shared,
        inputs: &mut VecDeque<Input>,
        received: &mut usize,
    ) -> Stop {
        if !self.delivered.is_empty() && !shared.memory.has_room(SMALLEST) {
            count(&shared.counters.memory_waits, 1);
            shared.short = true;
            self.awaits_own = true;
            return Some(Received::Idle);
        }
        let Some(slab) = shared.slabs.current() else {
            shared.short = true;
            return self.begin_frame(cx, shared, received);
        };
        // No more than may be delivered, if frames are as large as the latest: the rest would have to be copied out.
        let deliverable = self.latest_frame.saturating_mul(self.grants as usize);
        let mut limit = match self.latest_frame {
            0 => slab.capacity(),
            1..LARGE_FRAME => slab.capacity().min(deliverable.max(LEAST_BYTES)),
            LARGE_FRAME.. => slab.capacity().min(HEAD_BYTES),
        };
        // What is not delivered has to be copied out; only so much is read that this cannot fail.
        if shared.pressed || !shared.memory.has_room(limit) {
            limit = limit.min(SMALLEST);
        }
        let bytes = match self.outlet.poll_receive(cx, &mut (&mut *slab).limit(limit)) {
            Poll::Pending => return Some(Received::Idle),
            Poll::Ready(Ok(0) | Err(_)) => return Some(Received::Ended(CloseKind::Client)),
            Poll::Ready(Ok(bytes)) => bytes,
        };
        let data = slab.split().freeze();
        self.arrived(bytes, shared, received);
        self.cut(data, false, shared, inputs)
    }

    /// Begins a frame in a buffer of its own. One frame at a time is slower, and needs no slab.
    fn begin_frame(&mut self, cx: &mut Context<'_>, shared: &Shared, received: &mut usize) -> Stop {
        let expected = if shared.pressed { 0 } else { self.latest_frame };
        let buffer = shared
            .memory
            .buffer(expected.clamp(SMALLEST, LARGEST_KEPT))
            .or_else(|| shared.memory.buffer(SMALLEST));
        let mut buffer = buffer.expect("the smallest is had even over budget");
        let bytes = match self.outlet.poll_receive(cx, &mut buffer.vec().limit(PREFIX)) {
            Poll::Pending => return Some(Received::Idle),
            Poll::Ready(Ok(0) | Err(_)) => return Some(Received::Ended(CloseKind::Client)),
            Poll::Ready(Ok(bytes)) => bytes,
        };
        count(&shared.counters.slab_shortages, 1);
        self.arrived(bytes, shared, received);
        self.rest = Rest::Partial(buffer);
        self.frame_since = shared.now;
        None
    }

    fn arrived(&mut self, bytes: usize, shared: &Shared, received: &mut usize) {
        *received += bytes;
        self.received_at = shared.now;
        count(&shared.counters.bytes_in, bytes as u64);
    }

    /// Delivers the whole frames in `data` as far as granted, and keeps the rest; `own` says that `data` is not of a
    /// slab.
    fn cut(&mut self, mut data: Bytes, own: bool, shared: &Shared, inputs: &mut VecDeque<Input>) -> Stop {
        while !data.is_empty() {
            let size = match self.frame_size(&data, shared) {
                Ok(size) => size,
                Err(stop) => return Some(stop),
            };
            let Some(size) = size.filter(|&size| size <= data.len()) else {
                return self.keep_partial(data, size, shared);
            };
            if self.grants == 0 {
                let copy = if own { None } else { copy(&data, shared) };
                self.rest = Rest::Held(copy.unwrap_or(data));
                return Some(Received::Idle);
            }
            let mut frame = data.split_to(size);
            self.deliver(frame.split_off(PREFIX), shared, inputs);
        }
        None
    }

    fn deliver(&mut self, frame: Bytes, shared: &Shared, inputs: &mut VecDeque<Input>) {
        self.grants -= 1;
        self.latest_frame = frame.len() + PREFIX;
        self.delivered.push_back((self.latest_frame, shared.now));
        count(&shared.counters.frames, 1);
        let connection = self.id;
        inputs.push_back(Input::Frame { connection, frame });
    }

    /// The size of the frame at the front of `data`, prefix included; `None` while the prefix is not whole.
    fn frame_size(&self, data: &[u8], shared: &Shared) -> Result<Option<usize>, Received> {
        let Some(prefix) = data.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let claim = i32::from_be_bytes(*prefix);
        match usize::try_from(claim) {
            Ok(size) if size <= shared.limits.max_request_bytes => Ok(Some(size + PREFIX)),
            _ => {
                let limit = shared.limits.max_request_bytes;
                let why = format_args!("a request of {claim} bytes; socket.request.max.bytes is {limit}");
                shared.grumble.closing(shared.now, self.id, &self.peer, why);
                Err(Received::Ended(CloseKind::Oversize))
            }
        }
    }

    /// Copies the beginning of a frame into a buffer of its own.
    fn keep_partial(&mut self, data: Bytes, size: Option<usize>, shared: &Shared) -> Stop {
        let expected = if shared.pressed {
            data.len()
        } else {
            self.latest_frame.min(LARGEST_KEPT).max(data.len() * 2)
        };
        let wanted = size.map_or(PREFIX, |size| size.min(expected));
        let buffer = shared
            .memory
            .buffer(wanted)
            .or_else(|| shared.memory.buffer(data.len()));
        let Some(mut buffer) = buffer else {
            self.rest = Rest::Held(data);
            return Some(Received::NoMemory);
        };
        buffer.vec().extend_from_slice(&data);
        self.rest = Rest::Partial(buffer);
        self.frame_since = shared.now;
        None
    }

    /// Receives more of a frame into its own buffer, never anything beyond the frame.
    fn continue_frame(
        &mut self,
        mut buffer: Buffer,
        cx: &mut Context<'_>,
        shared: &mut Shared,
        inputs: &mut VecDeque<Input>,
        received: &mut usize,
    ) -> Stop {
        let size = match self.frame_size(buffer.as_slice(), shared) {
            Ok(size) => size,
            Err(stop) => return Some(stop),
        };
        let target = size.unwrap_or(PREFIX);
        if buffer.len() == target {
            self.deliver(buffer.freeze().slice(PREFIX..), shared, inputs);
            return None;
        }
        if buffer.room() == 0 && (shared.pressed || !buffer.grow(target.min(buffer.len() * 2))) {
            self.rest = Rest::Partial(buffer);
            return Some(Received::NoMemory);
        }
        let limit = buffer.room().min(target - buffer.len());
        let outcome = self.outlet.poll_receive(cx, &mut buffer.vec().limit(limit));
        let stop = match outcome {
            Poll::Pending => Some(Received::Idle),
            Poll::Ready(Ok(0) | Err(_)) => Some(Received::Ended(CloseKind::Client)),
            Poll::Ready(Ok(bytes)) => {
                self.arrived(bytes, shared, received);
                None
            }
        };
        self.rest = Rest::Partial(buffer);
        stop
    }
}

/// What is in a slab, in memory of its own.
fn copy(data: &[u8], shared: &Shared) -> Option<Bytes> {
    let mut buffer = shared.memory.buffer(data.len())?;
    buffer.vec().extend_from_slice(data);
    Some(buffer.freeze())
}
