//! Two clocks, kept apart: timers run on the monotonic one, records and retention on the wall clock.

/// Nanoseconds on a clock that never goes back and whose zero means nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// This instant, `millis` milliseconds later.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000_000)))
    }

    /// Milliseconds since `earlier`, rounded down; 0 when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, as records carry them. The wall clock may step in either direction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// What Kafka writes for 'no timestamp'.
    pub const NONE: Self = Self(-1);
}

/// The time of one step, read once by the driver.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Now {
    /// For timers and deadlines.
    pub monotonic: Monotonic,
    /// For record timestamps and retention.
    pub wall: Timestamp,
}
