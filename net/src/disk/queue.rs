//! Work for a group of threads.
//!
//! Invariants: work is taken in the order it came, each piece once. While work waits, no thread of the group sleeps that
//! nobody woke. A thread says that it sleeps before it does, and before it hands over what it did: whoever brings the next
//! work because of that finds it, and wakes no other.

use crate::inbox::lock;
use crate::sync::{Mutex, Thread, current};
use std::collections::VecDeque;

/// Work that waits for a thread, and threads that wait for work.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    work: VecDeque<T>,
    /// The one that went to sleep last is woken first: its caches are warm.
    sleepers: Vec<Thread>,
    closed: bool,
}

/// What a thread of the group does next.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    /// Carry this out.
    Work(T),
    /// Park, and look again.
    Sleep,
    /// The queue is closed and empty.
    End,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                work: VecDeque::new(),
                sleepers: Vec::new(),
                closed: false,
            }),
        }
    }
}

impl<T> Queue<T> {
    /// Adds work behind what waits.
    pub(crate) fn put(&self, work: impl Iterator<Item = T>) {
        let woken = {
            let mut waiting = lock(&self.waiting);
            let before = waiting.work.len();
            waiting.work.extend(work);
            let wakes = (waiting.work.len() - before).min(waiting.sleepers.len());
            let asleep = waiting.sleepers.len() - wakes;
            waiting.sleepers.split_off(asleep)
        };
        woken.iter().for_each(Thread::unpark);
    }

    /// What the calling thread does next.
    pub(crate) fn next(&self) -> Turn<T> {
        let this = current();
        let mut waiting = lock(&self.waiting);
        // One that woke up by itself is still among the sleepers.
        waiting.sleepers.retain(|sleeper| sleeper.id() != this.id());
        if let Some(work) = waiting.work.pop_front() {
            return Turn::Work(work);
        }
        if waiting.closed {
            return Turn::End;
        }
        waiting.sleepers.push(this);
        Turn::Sleep
    }

    /// Lets the threads end once the queue is empty.
    pub(crate) fn close(&self) {
        let sleepers = {
            let mut waiting = lock(&self.waiting);
            waiting.closed = true;
            std::mem::take(&mut waiting.sleepers)
        };
        sleepers.iter().for_each(Thread::unpark);
    }
}
