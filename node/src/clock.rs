//! The only place of this crate that reads a clock.

use std::time::{Instant, SystemTime};

/// This instant.
#[allow(clippy::disallowed_methods, reason = "commands and benchmarks run in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970, as records carry them.
#[allow(
    clippy::disallowed_methods,
    reason = "a client stamps its records with the wall clock"
)]
pub(crate) fn wall_millis() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
