//! Handing things to a shard from other threads.
//!
//! Invariants: nothing put in is lost, and what one thread puts in comes out in its order. Whoever finds the box empty
//! wakes the reader, nobody else does: at most one wake for all that gathers while the reader works.

use crate::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;
use std::task::Waker;

/// Locks; a thread that died holding the lock left the data whole, since no code under these locks can fail half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes one task from anywhere.
#[derive(Default, Debug)]
pub(crate) struct Alarm {
    waker: Mutex<Option<Waker>>,
}

impl Alarm {
    /// Whom to wake from now on.
    pub(crate) fn set(&self, waker: &Waker) {
        let mut current = lock(&self.waker);
        match &mut *current {
            Some(current) => current.clone_from(waker),
            None => *current = Some(waker.clone()),
        }
    }

    /// Wakes the task; nothing happens before [`set`](Self::set).
    pub(crate) fn ring(&self) {
        // Outside the lock: whom it wakes sets the alarm anew first thing, and would have to wait for it.
        let waker = lock(&self.waker).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A queue of many writers and one reader, which takes everything at once.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    queue: Mutex<Vec<T>>,
    alarm: Alarm,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self {
            queue: Mutex::new(Vec::new()),
            alarm: Alarm::default(),
        }
    }
}

impl<T> Inbox<T> {
    /// The reader, to be woken when something comes in. It has to look into the box once after this.
    pub(crate) fn set_reader(&self, waker: &Waker) {
        self.alarm.set(waker);
    }

    /// Puts one thing in.
    pub(crate) fn push(&self, item: T) {
        let was_empty = {
            let mut queue = lock(&self.queue);
            queue.push(item);
            queue.len() == 1
        };
        if was_empty {
            self.alarm.ring();
        }
    }

    /// Puts all of `items` in, in their order, and leaves it empty.
    pub(crate) fn push_all(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        let was_empty = {
            let mut queue = lock(&self.queue);
            let was_empty = queue.is_empty();
            queue.append(items);
            was_empty
        };
        if was_empty {
            self.alarm.ring();
        }
    }

    /// Swaps what came in for `empty`, which is to be empty, so that both keep their capacity.
    pub(crate) fn take(&self, empty: &mut Vec<T>) {
        debug_assert!(empty.is_empty(), "what is taken must not mix with what was");
        std::mem::swap(&mut *lock(&self.queue), empty);
    }
}
