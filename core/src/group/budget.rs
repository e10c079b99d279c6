//! What the groups of a shard hold in memory: for clients that may never come back, members with what they say of
//! themselves and what they are assigned, ids given to clients, requests that wait for a record; and the offsets that were
//! committed. Each of the two has a bound of its own, so that neither takes the other's room.
//!
//! Invariant: whatever counts carries its [`Charge`], which is given back when it goes, however it goes; so what is held is
//! the sum of what is there.

use crate::config::GroupConfig;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes that a group costs, besides its name.
pub(super) const GROUP: usize = 1100;
/// What a member, an id or a request costs besides the bytes that clients chose.
pub(super) const OVERHEAD: usize = 512;

/// What the groups of one shard may hold. Clones share it.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// For members (`group.members.max.bytes`).
    pub members: Budget,
    /// For committed offsets (`group.offsets.max.bytes`).
    pub offsets: Budget,
}

impl Budgets {
    /// What `config` allows, none of it held.
    pub fn new(config: &GroupConfig) -> Self {
        let of = |bytes: u64| Budget::new(usize::try_from(bytes).unwrap_or(usize::MAX));
        Self {
            members: of(config.members_max_bytes),
            offsets: of(config.offsets_max_bytes),
        }
    }
}

/// A number of bytes that may be held. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    held: Arc<AtomicUsize>,
    limit: usize,
    /// Whether somebody was refused since it last let somebody in.
    refuses: Arc<AtomicBool>,
}

/// Bytes that are held until this goes.
#[derive(Default, Debug)]
pub(super) struct Charge {
    held: Option<Arc<AtomicUsize>>,
    bytes: usize,
}

impl Budget {
    /// A budget of `limit` bytes, none of them held.
    pub fn new(limit: usize) -> Self {
        Self {
            held: Arc::default(),
            limit,
            refuses: Arc::default(),
        }
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether what is there may grow by so many bytes.
    pub(super) fn lets_grow(&self, bytes: usize) -> bool {
        bytes == 0 || self.held().saturating_add(bytes) <= self.limit
    }

    /// Whether somebody new may take so many bytes: an eighth is left to those who are there.
    pub(super) fn lets_in(&self, bytes: usize) -> bool {
        self.lets_grow(bytes.saturating_add(self.limit / 8))
    }

    /// Whether memory may run short: what may go should.
    pub(super) fn is_half_held(&self) -> bool {
        self.held() > self.limit / 2
    }

    /// Somebody was let in.
    pub(super) fn lets(&self) {
        self.refuses.store(false, Ordering::Relaxed);
    }

    /// Somebody was refused; whether that is the first since somebody was let in.
    pub(super) fn refuses(&self) -> bool {
        !self.refuses.swap(true, Ordering::Relaxed)
    }

    /// Holds so many bytes, whatever the limit.
    pub(super) fn charge(&self, bytes: usize) -> Charge {
        // One thread owns the groups of a shard: nothing is ordered by this count.
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Charge {
            held: Some(Arc::clone(&self.held)),
            bytes,
        }
    }
}

impl Charge {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds so many bytes from now on, whatever the limit.
    pub(super) fn resize(&mut self, bytes: usize, budget: &Budget) {
        if self.held.is_none() {
            *self = budget.charge(0);
        }
        if let Some(held) = &self.held {
            // Before fewer are counted, so that the sum is never below what is there.
            held.fetch_add(bytes, Ordering::Relaxed);
            held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            let before = held.fetch_sub(self.bytes, Ordering::Relaxed);
            assert!(
                before >= self.bytes,
                "more bytes of groups are given back than were held"
            );
        }
    }
}
