//! From responses to the socket.
//!
//! Invariants: parts leave in order, whole, or the connection ends: a range that its file no longer has in full is
//! never padded. The headers of batches are followed as they pass, and a batch that is not due is not sent; of what is not in
//! the page cache the CRC is checked as well, by the thread that reads it. At most one read of an uncached range is under
//! way a connection.

use super::{Connection, Outlet, Shared};
use crate::counters::{CloseKind, count};
use crate::disk::{Cached, Disk, Filled, Unfilled};
use bytes::Buf;
use klamm_core::shard::Input;
use klamm_core::types::{Broken, Content, FileId, FileRange, Monotonic, OpId, Origin, Part};
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::task::{Context, Poll};

/// Slices in one system call at most.
const SLICES: usize = 64;

/// Bytes a connection may send in one turn before others get theirs.
const TURN_BYTES: usize = 4 << 20;

/// The smallest piece of a file read at once for a connection that takes little.
const WINDOW_MIN: usize = 32 << 10;

/// The size of the window that cached ranges are read into, in bytes.
pub(crate) const WINDOW: usize = 256 << 10;

/// A response on its way.
#[derive(Debug)]
pub(crate) struct Response {
    op: OpId,
    parts: VecDeque<Part>,
}

impl Response {
    /// The response of `op`.
    pub(crate) fn new(op: OpId, parts: Vec<Part>) -> Self {
        let mut parts = VecDeque::from(parts);
        parts.retain(|part| !part.is_empty());
        Self { op, parts }
    }
}

/// The responses of a connection that are not sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    queue: VecDeque<Response>,
    /// Whether a read of an uncached range is under way or waits for memory.
    pub(crate) filling: bool,
    /// Whether it is among those to send in this turn.
    pub(crate) due: bool,
    /// Whether a deadline for its progress is set.
    pub(crate) watched: bool,
    /// When bytes left last, or the first response came.
    pub(crate) progress: Monotonic,
    /// Bytes of the first response that left and were not told.
    untold: u64,
    /// Whether it waits for its socket to send.
    pub(crate) attempt: Attempt,
    /// How much of a file to read at once.
    window: usize,
    /// Ranges that were found not to be in the page cache, until they are lent. To look was to have the system read them: a
    /// moment later they may be there, and nobody has checked them.
    missed: Vec<FileRange>,
}

impl Outgoing {
    pub(super) fn new(now: Monotonic) -> Self {
        Self {
            queue: VecDeque::new(),
            filling: false,
            due: false,
            watched: false,
            progress: now,
            untold: 0,
            attempt: Attempt::WhenReady,
            window: WINDOW,
            missed: Vec::new(),
        }
    }

    /// Whether everything is sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of what is not sent that lie in memory.
    pub(super) fn bytes_in_memory(&self) -> usize {
        let parts = self.queue.iter().flat_map(|response| &response.parts);
        let inline = |part: &Part| match part {
            Part::Inline(bytes) => bytes.len(),
            Part::Range(..) => 0,
        };
        parts.map(inline).sum()
    }

    /// Adds a response behind the others.
    pub(crate) fn push(&mut self, response: Response, now: Monotonic) {
        if self.queue.is_empty() {
            self.progress = now;
        }
        self.queue.push_back(response);
    }

    /// The operations of what was not sent.
    pub(crate) fn abandon(&mut self) -> impl Iterator<Item = OpId> {
        self.queue.drain(..).map(|response| response.op)
    }

    /// What the range at the front has to be, lent to who reads it until it is [filled](Self::filled).
    pub(crate) fn lend(&mut self) -> Content {
        let Some(Part::Range(range, content)) = self.front() else {
            return Content::Opaque;
        };
        let (range, content) = (*range, std::mem::replace(content, Content::Opaque));
        self.missed.retain(|missed| *missed != range);
        content
    }

    fn front(&mut self) -> Option<&mut Part> {
        self.queue.front_mut().and_then(|response| response.parts.front_mut())
    }

    /// Puts the bytes read of the range at the front in its place; or says why there are none, and in which file.
    pub(crate) fn filled(&mut self, filled: Filled) -> Result<(), (FileId, Unfilled)> {
        self.filling = false;
        let Some(Part::Range(range, content)) = self.front() else {
            return Ok(());
        };
        *content = filled.content;
        let bytes = filled.bytes.map_err(|unfilled| (range.file, unfilled))?;
        let whole = advance_range(range, bytes.len());
        if let Some(response) = self.queue.front_mut() {
            if whole {
                response.parts.pop_front();
            }
            response.parts.push_front(Part::Inline(bytes));
        }
        Ok(())
    }

    /// Takes `sent` bytes off the front; adds what is sent in full to `inputs`, also what had no bytes. What was sent of
    /// ranges was read into `window`, one behind the other.
    fn advance(&mut self, mut sent: usize, mut window: &[u8], shared: &Shared, inputs: &mut VecDeque<Input>) {
        while let Some(response) = self.queue.front_mut() {
            while let Some(part) = response.parts.front_mut() {
                let step = part.len().min(sent);
                sent -= step;
                self.untold += step as u64;
                let whole = match part {
                    Part::Inline(bytes) => {
                        bytes.advance(step);
                        bytes.is_empty()
                    }
                    Part::Range(range, content) => {
                        let (bytes, rest) = window.split_at(step);
                        if let Content::Batches(chain) = content {
                            chain.sent(bytes);
                        }
                        window = rest;
                        advance_range(range, step)
                    }
                };
                if !whole {
                    return;
                }
                response.parts.pop_front();
            }
            count(&shared.counters.responses, 1);
            self.untold = 0;
            inputs.push_back(Input::Sent { op: response.op });
            self.queue.pop_front();
        }
    }
}

/// Takes `step` bytes off the front of `range`; answers whether none are left.
fn advance_range(range: &mut FileRange, step: usize) -> bool {
    range.position += step as u64;
    range.length -= step as u32;
    range.length == 0
}

/// When a connection tries to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    /// When its socket has said that there is room.
    WhenReady,
    /// Now, to find out whether its client takes anything at all.
    Now,
}

/// How a turn of sending ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sending {
    /// Everything is with the kernel.
    Done,
    /// Nothing to do until the socket wakes it.
    Blocked,
    /// It could take more at once; others first.
    Again,
    /// This range is not in the page cache.
    Fill(FileRange),
    /// This file holds other batches than are due: the connection is at its end.
    Broken(FileId, Broken),
    /// The connection is at its end.
    Ended(CloseKind),
}

/// What stands behind the slices that were gathered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Behind {
    /// More, or nothing: look again.
    More,
    NotCached(FileRange),
    Gone,
    Broken(FileId, Broken),
}

impl<O: Outlet> Connection<O> {
    /// Sends what the socket takes; adds to `inputs` what is sent in full, and how much is sent of what is not.
    pub(crate) fn send<D: Disk>(&mut self, disk: &D, shared: &mut Shared, inputs: &mut VecDeque<Input>) -> Sending {
        if self.outgoing.filling {
            return Sending::Blocked;
        }
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        let mut window = std::mem::take(&mut shared.window);
        window.resize(WINDOW, 0);
        let sending = self.send_through(disk, &mut window, &mut cx, shared, inputs);
        shared.window = window;
        if let bytes @ 1.. = std::mem::take(&mut self.outgoing.untold) {
            let connection = self.id;
            inputs.push_back(Input::Progress { connection, bytes });
        }
        sending
    }

    fn send_through<D: Disk>(
        &mut self,
        disk: &D,
        window: &mut [u8],
        cx: &mut Context<'_>,
        shared: &mut Shared,
        inputs: &mut VecDeque<Input>,
    ) -> Sending {
        let mut turn = 0;
        while turn < TURN_BYTES {
            self.outgoing.advance(0, &[], shared, inputs);
            if self.outgoing.queue.is_empty() {
                return Sending::Done;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let window = &mut window[..self.outgoing.window];
            let missed = &self.outgoing.missed;
            let (filled, behind) = gather(&mut self.outgoing.queue, missed, disk, window, &mut slices);
            if let Behind::NotCached(range) = behind
                && !missed.contains(&range)
            {
                self.outgoing.missed.push(range);
            }
            if filled == 0 {
                return match behind {
                    Behind::NotCached(range) => Sending::Fill(range),
                    Behind::Broken(file, broken) => Sending::Broken(file, broken),
                    Behind::More | Behind::Gone => Sending::Ended(CloseKind::Unsendable),
                };
            }
            let offered = slices[..filled].iter().map(|slice| slice.len()).sum();
            let sent = match send_slices(&mut self.outlet, &mut slices[..filled], self.outgoing.attempt, cx) {
                Ok(sent) => sent,
                Err(kind) => return Sending::Ended(kind),
            };
            turn += sent;
            self.outgoing.took(sent, offered);
            if sent > 0 {
                self.outgoing.progress = shared.now;
                count(&shared.counters.bytes_out, sent as u64);
            }
            self.outgoing.advance(sent, window, shared, inputs);
            if sent < offered {
                return Sending::Blocked;
            }
        }
        Sending::Again
    }
}

impl Outgoing {
    /// The socket took `sent` of `offered` bytes: what it did not take of a file was read in vain.
    fn took(&mut self, sent: usize, offered: usize) {
        self.window = if sent < offered {
            sent.next_power_of_two().clamp(WINDOW_MIN, WINDOW)
        } else {
            (self.window * 2).min(WINDOW)
        };
    }
}

/// Sends as much of `slices` as the socket takes.
fn send_slices<O: Outlet>(
    outlet: &mut O,
    mut slices: &mut [IoSlice<'_>],
    attempt: Attempt,
    cx: &mut Context<'_>,
) -> Result<usize, CloseKind> {
    let mut sent = 0;
    while !slices.is_empty() {
        let taken = match attempt {
            Attempt::WhenReady => outlet.poll_send(cx, slices),
            Attempt::Now => match outlet.send_now(slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
                other => Poll::Ready(other),
            },
        };
        match taken {
            Poll::Pending => break,
            Poll::Ready(Ok(0) | Err(_)) => return Err(CloseKind::Client),
            Poll::Ready(Ok(bytes)) => {
                sent += bytes;
                IoSlice::advance_slices(&mut slices, bytes);
            }
        }
    }
    Ok(sent)
}

/// Gathers the next bytes to send: parts in memory as they are, ranges by way of `window`, where their batches are looked
/// at. What was `missed` is not looked for again. Answers how many of `slices` it used, none of them empty, and what ended
/// it.
fn gather<'a, D: Disk>(
    queue: &'a mut VecDeque<Response>,
    missed: &[FileRange],
    disk: &D,
    mut window: &'a mut [u8],
    slices: &mut [IoSlice<'a>; SLICES],
) -> (usize, Behind) {
    let mut used = 0;
    for part in queue.iter_mut().flat_map(|response| &mut response.parts) {
        if used == SLICES {
            break;
        }
        match part {
            Part::Inline(bytes) => slices[used] = IoSlice::new(bytes),
            Part::Range(range, content) => {
                let wanted = window.len().min(range.length as usize);
                if wanted == 0 {
                    break;
                }
                if missed.contains(range) {
                    return (used, Behind::NotCached(*range));
                }
                match disk.read_cached(range.file, range.position, &mut window[..wanted]) {
                    Cached::Read => {}
                    Cached::Elsewhere => return (used, Behind::NotCached(*range)),
                    Cached::Gone => return (used, Behind::Gone),
                }
                let (bytes, rest) = std::mem::take(&mut window).split_at_mut(wanted);
                if let Content::Batches(chain) = content
                    && let Err(broken) = chain.look(bytes, Origin::Cache)
                {
                    return (used, Behind::Broken(range.file, broken));
                }
                slices[used] = IoSlice::new(bytes);
                if wanted < range.length as usize {
                    return (used + 1, Behind::More);
                }
                window = rest;
            }
        }
        used += 1;
    }
    (used, Behind::More)
}
