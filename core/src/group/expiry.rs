//! When offsets and groups are forgotten (`OffsetExpirationConditionImpl`, `ClassicGroup.offsetExpirationCondition`).
//!
//! Records carry the wall clock, because they outlive the process; ages are counted on the monotonic clock, so that a step
//! of the wall clock while the broker runs expires nothing. Only at a start the wall clock is believed: what is younger
//! than 'now' counts as new then.
//!
//! Invariant: an offset goes only once its retention has passed since it was committed, or, in a group that had members,
//! since the last of them left; never one of a topic that members subscribe to.

use super::classic::{Group, State};
use crate::bugs::bug;
use crate::types::{Now, Timestamp};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

/// A moment, in milliseconds of the monotonic clock; before the process began it is negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Since(i64);

const NANOS_PER_MILLI: u64 = 1_000_000;

impl Since {
    /// This moment.
    pub fn at(now: Now) -> Self {
        Self((now.monotonic.0 / NANOS_PER_MILLI) as i64)
    }

    /// What a record calls `past`, as far as the wall clock can be believed: not later than now.
    pub fn of(past: Timestamp, now: Now) -> Self {
        let age = now.wall.0.saturating_sub(past.0).max(0);
        Self(Self::at(now).0.saturating_sub(age))
    }

    /// This many milliseconds later, or earlier.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    fn age_ms(self, now: Now) -> u64 {
        u64::try_from(Self::at(now).0.saturating_sub(self.0)).unwrap_or(0)
    }
}

/// What a group loses now.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Expired {
    /// These offsets, and it stays.
    Offsets(Vec<(Arc<str>, i32)>),
    /// Everything, itself included.
    Group,
}

impl<T: Copy + Debug> Group<T> {
    /// What has been kept for `retention_ms` and goes now. Nothing goes while something is on its way to the log that
    /// may renew it.
    pub(super) fn expired(&self, retention_ms: u64, now: Now) -> Expired {
        let nothing = Expired::Offsets(Vec::new());
        if self.storing.is_some() || self.offsets.in_flight() > 0 {
            return nothing;
        }
        let left = match (self.state, &self.protocol_type) {
            (_, None) => None,
            (State::Empty(since), Some(_)) => Some(since),
            (State::Stable, Some(_)) if self.is_consumers() && self.knows_subscriptions() => None,
            _ if self.offsets.is_none() => None,
            _ => return nothing,
        };
        let mut gone = Vec::new();
        let mut kept = false;
        for (topic, partition, committed) in self.offsets.iter() {
            let over = match committed.expires {
                Some((_, at)) => Since::at(now) >= at,
                None if bug!(OffsetsAgeByWallClock) => {
                    let age = now.wall.0.saturating_sub(committed.at.0);
                    u64::try_from(age).is_ok_and(|age| age >= retention_ms)
                }
                None => left.unwrap_or(committed.since).age_ms(now) >= retention_ms,
            };
            if over && !self.is_subscribed_to(topic) {
                gone.push((Arc::clone(topic), partition));
            } else {
                kept = true;
            }
        }
        if kept || !self.is_empty() || self.has_pending() {
            return Expired::Offsets(gone);
        }
        Expired::Group
    }
}

#[cfg(test)]
mod tests {
    use super::Since;
    use crate::types::{Monotonic, Now, Timestamp};

    #[test]
    fn ages_follow_the_monotonic_clock_and_a_future_timestamp_counts_as_new() {
        let now = |millis: u64, wall| Now {
            monotonic: Monotonic(0).plus_millis(millis),
            wall: Timestamp(wall),
        };
        let since = Since::of(Timestamp(1000), now(5, 4000));
        assert_eq!(since.age_ms(now(5, 4000)), 3000);
        assert_eq!(
            since.age_ms(now(7, 9_000_000)),
            3002,
            "a step of the wall clock ages nothing"
        );
        assert_eq!(Since::of(Timestamp(9000), now(5, 4000)).age_ms(now(5, 0)), 0);
        assert_eq!(Since::at(now(5, 0)).age_ms(now(4, 0)), 0);
    }
}
