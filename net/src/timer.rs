//! A shard's alarm clock.
//!
//! Invariant: a deadline that is near is kept to a few microseconds: commit rounds wait for less than the millisecond that
//! the runtime's timers are good to. Where the system gives no such timer, that millisecond has to do.

use crate::clock::Clock;
use klamm_core::types::Monotonic;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

/// Deadlines nearer than this, in nanoseconds, are worth a system call.
const NEAR: u64 = 3_000_000;

/// Wakes a task at a deadline.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    coarse: Pin<Box<Sleep>>,
    coarse_at: Option<Monotonic>,
    fine: Option<AsyncFd<OwnedFd>>,
    fine_at: Option<Monotonic>,
}

impl Timer {
    /// A timer by `clock`; to be made inside the shard's runtime.
    #[allow(
        deprecated,
        reason = "unsound only for types that do not own what they name, unlike `OwnedFd`"
    )]
    pub(crate) fn new(clock: Clock) -> Self {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fine = timerfd_create(TimerfdClockId::Monotonic, flags).map(AsyncFd::new);
        Self {
            clock,
            coarse: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
            coarse_at: None,
            fine: fine.ok().and_then(Result::ok),
            fine_at: None,
        }
    }

    /// Has the task of `cx` woken at `deadline`, and perhaps before; ready when it may have come.
    pub(crate) fn poll(&mut self, deadline: Option<Monotonic>, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.clock.monotonic();
        let near = deadline.filter(|deadline| self.fine.is_some() && deadline.0.saturating_sub(now.0) < NEAR);
        if near.is_some_and(|near| near <= now) {
            return Poll::Ready(());
        }
        self.set_fine(near, now);
        if let (None, Some(deadline)) = (near, deadline)
            && self.coarse_at.is_none_or(|at| deadline < at)
        {
            self.coarse.as_mut().reset(self.clock.instant(deadline).into());
            self.coarse_at = Some(deadline);
        }
        let mut fired = Poll::Pending;
        if self.coarse_at.is_some() && self.coarse.as_mut().poll(cx).is_ready() {
            self.coarse_at = None;
            fired = Poll::Ready(());
        }
        if let Some(fine) = &self.fine
            && let Poll::Ready(Ok(mut ready)) = fine.poll_read_ready(cx)
        {
            ready.clear_ready();
            self.fine_at = None;
            fired = Poll::Ready(());
        }
        fired
    }

    fn set_fine(&mut self, near: Option<Monotonic>, now: Monotonic) {
        let Some(fine) = self.fine.as_ref().filter(|_| near != self.fine_at) else {
            return;
        };
        // Zero stops it.
        let nanos = near.map_or(0, |near| near.0 - now.0);
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: 0,
                tv_nsec: nanos as i64,
            },
        };
        match timerfd_settime(fine, TimerfdTimerFlags::empty(), &once) {
            Ok(_) => self.fine_at = near,
            // The runtime's timers have to do from here on.
            Err(_) => self.fine = None,
        }
    }
}
