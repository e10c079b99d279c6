//! Where a broker stands between its start and its end, as all of its threads see it.
//!
//! Invariants: the end is decided once. It is good only when every shard stopped in good order.

use crate::inbox::{Alarm, lock};
use crate::options::Exit;
use klamm_core::shard::Halt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

const NOT_YET: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

/// Whether clients are let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Doors {
    /// Some shard is not up.
    NotYet,
    /// All shards are up.
    Open,
    /// Never again: the broker stops.
    Closed,
}

#[derive(Default, Debug)]
struct Standing {
    /// Shards that are up.
    serving: u16,
    /// Shards that stopped in good order.
    stopped: u16,
    exit: Option<Exit>,
}

/// The standing of one broker.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    shards: u16,
    standing: Mutex<Standing>,
    changed: Condvar,
    doors: AtomicU8,
    /// Everything ends at once.
    aborted: AtomicBool,
    /// Woken at every change; one for each shard, and the last for the acceptor.
    alarms: Vec<Alarm>,
}

impl Lifecycle {
    /// The standing of a broker of `shards` shards that starts.
    pub(crate) fn new(shards: u16) -> Self {
        Self {
            shards,
            standing: Mutex::default(),
            changed: Condvar::new(),
            doors: AtomicU8::new(NOT_YET),
            aborted: AtomicBool::new(false),
            alarms: (0..=shards).map(|_| Alarm::default()).collect(),
        }
    }

    /// The alarm of a shard; the one after the last shard's is the acceptor's.
    pub(crate) fn alarm(&self, index: u16) -> &Alarm {
        &self.alarms[usize::from(index)]
    }

    /// The number of shards.
    pub(crate) fn shards(&self) -> u16 {
        self.shards
    }

    /// Whether clients are accepted now.
    pub(crate) fn doors(&self) -> Doors {
        match self.doors.load(Ordering::Acquire) {
            NOT_YET => Doors::NotYet,
            OPEN => Doors::Open,
            _ => Doors::Closed,
        }
    }

    /// Whether everything is to end at once.
    pub(crate) fn aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }

    /// Whether the end is decided.
    pub(crate) fn ended(&self) -> bool {
        lock(&self.standing).exit.is_some()
    }

    /// A shard is up.
    pub(crate) fn serves(&self) {
        let mut standing = lock(&self.standing);
        standing.serving += 1;
        if standing.serving == self.shards && standing.exit.is_none() {
            let _ = self
                .doors
                .compare_exchange(NOT_YET, OPEN, Ordering::AcqRel, Ordering::Acquire);
        }
        drop(standing);
        self.announce();
    }

    /// No client is accepted any more.
    pub(crate) fn stop_accepting(&self) {
        self.doors.store(CLOSED, Ordering::Release);
        self.announce();
    }

    /// A shard does nothing any more.
    pub(crate) fn halted(&self, halt: &Halt) {
        match halt {
            Halt::Stopped => {
                let mut standing = lock(&self.standing);
                standing.stopped += 1;
                if standing.stopped == self.shards {
                    standing.exit.get_or_insert(Exit::Stopped);
                }
                drop(standing);
                self.doors.store(CLOSED, Ordering::Release);
                self.announce();
            }
            Halt::Unclean(text) => self.abort(Exit::Unclean(text.clone())),
            Halt::Refused(text) => self.abort(Exit::Refused(text.clone())),
            Halt::Fault(fault) => self.abort(Exit::Fault(fault.to_string())),
        }
    }

    /// Everything ends at once, with `exit` unless the end was decided before.
    pub(crate) fn abort(&self, exit: Exit) {
        lock(&self.standing).exit.get_or_insert(exit);
        self.aborted.store(true, Ordering::Release);
        self.doors.store(CLOSED, Ordering::Release);
        self.announce();
    }

    fn announce(&self) {
        self.changed.notify_all();
        self.alarms.iter().for_each(Alarm::ring);
    }

    /// Waits until clients are accepted, or the end is decided.
    pub(crate) fn wait_until_accepting(&self) -> Result<(), Exit> {
        let mut standing = lock(&self.standing);
        loop {
            if let Some(exit) = &standing.exit {
                return Err(exit.clone());
            }
            if standing.serving == self.shards {
                return Ok(());
            }
            standing = self.changed.wait(standing).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the end.
    pub(crate) fn wait(&self) -> Exit {
        let mut standing = lock(&self.standing);
        loop {
            if let Some(exit) = &standing.exit {
                return exit.clone();
            }
            standing = self.changed.wait(standing).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Ends the broker if its thread panics.
#[derive(Debug)]
pub(crate) struct Guard(pub(crate) std::sync::Arc<Lifecycle>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abort(Exit::Panicked);
        }
    }
}
