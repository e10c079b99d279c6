//! The one place that reads the clocks.

use klamm_core::types::{Monotonic, Now, Timestamp};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Both clocks of a process; copies share their zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

#[allow(clippy::disallowed_methods, reason = "this is the drivers' clock")]
impl Clock {
    /// A clock whose monotonic zero is now.
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The monotonic time.
    pub(crate) fn monotonic(self) -> Monotonic {
        Monotonic(self.origin.elapsed().as_nanos() as u64)
    }

    /// Both times, for one step. A wall clock before 1970 reads as 1970.
    pub(crate) fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now {
            monotonic: self.monotonic(),
            wall: Timestamp(wall.as_millis() as i64),
        }
    }

    /// When the runtime's timer has to fire for `deadline`.
    pub(crate) fn instant(self, deadline: Monotonic) -> Instant {
        // A deadline beyond what the clock can express is as good as never.
        let latest = Duration::from_hours(24 * 365);
        self.origin + Duration::from_nanos(deadline.0).min(self.origin.elapsed() + latest)
    }
}
