//! Memory that received bytes lie in.
//!
//! Two kinds, one budget a shard. [`Slabs`]: what a read brings lands behind what earlier reads brought, and whole
//! frames are slices of it. [`Buffer`]: a frame that came in pieces continues in a buffer of its own.
//!
//! Invariants: slabs take at most a quarter of the budget and hold only frames that the core has. A slab comes back when
//! nobody has a slice of it any more, and nothing waits for that: without slabs, frames are received into buffers.
//! Buffers take the rest; they grow with the bytes that arrived, never with what a frame claims. Charged when
//! taken, returned when the last `Bytes` of it drops, on whatever thread. Buffers of the smallest size are had even
//! when the budget is used up, so that small requests keep flowing: one connection holds at most one of them then.

mod slabs;

pub(crate) use slabs::Slabs;

use crate::inbox::{Alarm, lock};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

/// Sizes that buffers come in. Each but the first has a sixteenth more than a power of two, so that a batch of that
/// power of two fits with its request around it. Larger buffers are of the size asked for, and are not kept.
const CLASSES: [usize; 5] = [4 << 10, 17 << 10, 68 << 10, 272 << 10, 1088 << 10];

/// The size that is had even over budget.
pub(crate) const SMALLEST: usize = CLASSES[0];

/// The largest size that is kept for reuse.
pub(crate) const LARGEST_KEPT: usize = CLASSES[CLASSES.len() - 1];

/// Bytes of unused buffers kept at most, beside the budget.
const IDLE_BYTES: usize = 16 << 20;

/// The budget of a shard's buffers, and those not in use.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    used: AtomicUsize,
    idle: Mutex<Idle>,
    waiting: AtomicBool,
    alarm: Alarm,
}

#[derive(Default, Debug)]
struct Idle {
    bytes: usize,
    buffers: [Vec<Vec<u8>>; CLASSES.len()],
    /// The fewest of each class that lay unused since the last trim.
    unneeded: [usize; CLASSES.len()],
}

impl Memory {
    /// A budget of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            idle: Mutex::default(),
            waiting: AtomicBool::new(false),
            alarm: Alarm::default(),
        })
    }

    /// Bytes charged now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// Whether a buffer of `bytes` could be had now.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.used().saturating_add(size_for(bytes)) <= self.limit
    }

    /// Whom to wake when memory comes back to somebody who waits.
    pub(crate) fn set_reader(&self, waker: &Waker) {
        self.alarm.set(waker);
    }

    /// Asks for a wake when the next buffer comes back. The caller has to try once more after this.
    pub(crate) fn wait(&self) {
        self.waiting.store(true, Ordering::Release);
    }

    /// A buffer with room for at least `room` bytes; `None` when the budget does not allow it now.
    pub(crate) fn buffer(self: &Arc<Self>, room: usize) -> Option<Buffer> {
        let size = size_for(room);
        if !self.charge(size) {
            return None;
        }
        let bytes = self.take_idle(size).unwrap_or_else(|| Vec::with_capacity(size));
        Some(Buffer {
            bytes,
            size,
            memory: Arc::clone(self),
        })
    }

    fn charge(&self, bytes: usize) -> bool {
        if bytes <= SMALLEST {
            self.used.fetch_add(bytes, Ordering::AcqRel);
            return true;
        }
        let within = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, within)
            .is_ok()
    }

    fn discharge(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        if self.waiting.load(Ordering::Acquire) && self.waiting.swap(false, Ordering::AcqRel) {
            self.alarm.ring();
        }
    }

    fn take_idle(&self, size: usize) -> Option<Vec<u8>> {
        let class = CLASSES.iter().position(|&class| class == size)?;
        let mut idle = lock(&self.idle);
        let bytes = idle.buffers[class].pop()?;
        idle.bytes -= size;
        idle.unneeded[class] = idle.unneeded[class].min(idle.buffers[class].len());
        Some(bytes)
    }

    fn keep(&self, mut bytes: Vec<u8>, size: usize) {
        let Some(class) = CLASSES.iter().position(|&class| class == size) else {
            return;
        };
        let mut idle = lock(&self.idle);
        if idle.bytes + size <= IDLE_BYTES {
            bytes.clear();
            idle.bytes += size;
            idle.buffers[class].push(bytes);
        }
    }

    /// Frees buffers that nobody needed since the last call, half of them at a time. Answers whether any are left.
    pub(crate) fn trim(&self) -> bool {
        let mut freed = Vec::new();
        let mut idle = lock(&self.idle);
        let idle = &mut *idle;
        for (class, buffers) in idle.buffers.iter_mut().enumerate() {
            let surplus = idle.unneeded[class].div_ceil(2).min(buffers.len());
            freed.extend(buffers.drain(..surplus));
            idle.bytes -= surplus * CLASSES[class];
            idle.unneeded[class] = buffers.len();
        }
        idle.bytes > 0
    }
}

/// The size of a buffer that has room for `room` bytes.
fn size_for(room: usize) -> usize {
    CLASSES.iter().copied().find(|&class| class >= room).unwrap_or(room)
}

/// Bytes that arrive for one frame, charged to a [`Memory`].
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    size: usize,
    memory: Arc<Memory>,
}

impl Buffer {
    /// How many bytes are in it.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many more it takes.
    pub(crate) fn room(&self) -> usize {
        self.size - self.bytes.len()
    }

    /// What is in it.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Where to put more; never more than [`room`](Self::room) says.
    pub(crate) fn vec(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes it hold `size` bytes in all. Answers whether the budget allowed it.
    #[must_use]
    pub(crate) fn grow(&mut self, size: usize) -> bool {
        if size <= self.size {
            return true;
        }
        if size > LARGEST_KEPT && self.size > LARGEST_KEPT {
            if !self.memory.charge(size - self.size) {
                return false;
            }
            self.bytes.reserve_exact(size - self.bytes.len());
            self.size = size;
            return true;
        }
        let Some(mut larger) = self.memory.buffer(size) else {
            return false;
        };
        larger.bytes.extend_from_slice(&self.bytes);
        *self = larger;
        true
    }

    /// What is in it, shared. The last copy or slice to drop returns the memory.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.memory.keep(std::mem::take(&mut self.bytes), self.size);
        self.memory.discharge(self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::{LARGEST_KEPT, Memory, SMALLEST};

    #[test]
    fn what_is_charged_comes_back_with_the_last_slice() {
        let memory = Memory::new(1 << 20);
        let mut buffer = memory.buffer(10_000).expect("the budget is untouched");
        buffer.vec().extend_from_slice(&[7; 10_000]);
        let bytes = buffer.freeze();
        let slice = bytes.slice(100..200);
        drop(bytes);
        assert_eq!(memory.used(), 17 << 10);
        assert_eq!(slice, vec![7; 100]);
        drop(slice);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn the_budget_refuses_all_but_the_smallest() {
        let memory = Memory::new(40 << 10);
        let _held = [memory.buffer(16 << 10), memory.buffer(16 << 10)].map(|buffer| buffer.expect("both fit"));
        assert!(memory.buffer(16 << 10).is_none());
        assert!(memory.buffer(SMALLEST).is_some());
        assert!(memory.buffer(SMALLEST).is_some());
    }

    #[test]
    fn growth_keeps_what_arrived_and_charges_only_the_new_size() {
        let memory = Memory::new(16 << 20);
        let mut buffer = memory.buffer(SMALLEST).expect("the budget is untouched");
        buffer.vec().extend_from_slice(b"begin");
        for size in [20_000, LARGEST_KEPT, LARGEST_KEPT + 1, 5 << 20] {
            assert!(buffer.grow(size));
            assert_eq!(buffer.as_slice(), b"begin");
            assert!(buffer.room() >= size - 5);
        }
        assert_eq!(memory.used(), 5 << 20);
        assert!(!buffer.grow(17 << 20));
        assert_eq!(memory.used(), 5 << 20);
        drop(buffer);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn buffers_are_reused_and_then_let_go() {
        let memory = Memory::new(16 << 20);
        let first = memory.buffer(LARGEST_KEPT).expect("the budget is untouched");
        let address = first.as_slice().as_ptr();
        drop(first);
        let second = memory.buffer(LARGEST_KEPT).expect("the first came back");
        assert_eq!(second.as_slice().as_ptr(), address);
        drop(second);
        while memory.trim() {}
        assert!(super::lock(&memory.idle).buffers.iter().all(Vec::is_empty));
    }
}
