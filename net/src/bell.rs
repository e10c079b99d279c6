//! The waker of a connection.
//!
//! Invariant: between two answers its place is put among the ready ones once, however often it is rung; after each answer
//! the next ring puts it there again.

use crate::inbox::Inbox;
use crate::sync::AtomicBool;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Wake;

/// Puts a connection's place among the ready ones, once until it is answered.
#[derive(Debug)]
pub(crate) struct Bell {
    place: u32,
    rung: AtomicBool,
    ready: Arc<Inbox<u32>>,
}

impl Bell {
    /// The bell of `place`; whoever rings it puts the place into `ready`.
    pub(crate) fn new(place: u32, ready: Arc<Inbox<u32>>) -> Self {
        Self {
            place,
            rung: AtomicBool::new(false),
            ready,
        }
    }

    /// Taken out of the ready ones: whatever was rung for until now is to be looked at after this.
    pub(crate) fn answer(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.ready.push(self.place);
        }
    }
}
