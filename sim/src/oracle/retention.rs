//! What retention may remove, computed from what clients sent, the configuration and the wall clock. A log that starts
//! where this cannot explain is a violation.
//!
//! Ages are measured by the wall clock as it stood when the process started plus the time since: a step of the clock
//! while it runs makes nothing older.

use super::{Checker, Oracle, Place};
use crate::stage::{MILLIS, Nanos};

/// What may be removed; nothing where both are `None`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Retention {
    /// Records older than this many milliseconds.
    pub(crate) ms: Option<u64>,
    /// Records behind which at least this many bytes stand.
    pub(crate) bytes: Option<u64>,
}

impl Retention {
    /// Whether anything may be removed at all.
    pub(crate) fn is_on(self) -> bool {
        self != Self::default()
    }
}

/// The wall clock, as the world sets it.
#[derive(Default, Debug)]
pub(super) struct WallClock {
    /// What it shows beyond the time that has passed, and since when, oldest first.
    steps: Vec<(Nanos, i64)>,
    /// What it showed so when the broker's process started.
    started: i64,
    /// The latest that any process that has ended can have gone by.
    latest: Option<i64>,
    /// When each process started, and the most that it showed then.
    processes: Vec<(Nanos, i64)>,
}

impl WallClock {
    /// The clock shows `offset` more than the time that has passed, from now on.
    fn stepped(&mut self, now: Nanos, offset: i64, serving: bool) {
        self.steps.push((now, offset));
        if !serving {
            self.started = self.started.max(offset);
            if let Some((_, started)) = self.processes.last_mut() {
                *started = offset.max(*started);
            }
        }
    }

    /// A process starts.
    fn process_started(&mut self, now: Nanos, offset: i64) {
        if self.steps.is_empty() {
            self.steps.push((0, offset));
        } else {
            self.latest = Some(self.latest(now));
        }
        self.started = offset;
        self.processes.push((now, offset));
    }

    /// Whether anything of the moment `from` may have been `kept_ms` old by `by`, to a process that counts the time since
    /// and believes what the wall clock showed when it started.
    pub(super) fn may_have_aged(&self, from: Nanos, by: Nanos, kept_ms: u64) -> bool {
        // Both clocks are read in whole milliseconds.
        let kept = i128::from(kept_ms) - 2;
        if i128::from(by.saturating_sub(from) / MILLIS) >= kept {
            return true;
        }
        self.processes.iter().enumerate().any(|(index, &(since, offset))| {
            let until = self.processes.get(index + 1).map_or(Nanos::MAX, |&(next, _)| next);
            let end = by.min(until);
            let shown = i128::from(offset) + i128::from(end / MILLIS);
            since <= by && end > from && shown - i128::from(self.least(from, end)) >= kept
        })
    }

    /// The latest time that a process can go by, in milliseconds.
    pub(super) fn latest(&self, now: Nanos) -> i64 {
        let this = self.started + (now / MILLIS) as i64;
        self.latest.map_or(this, |latest| latest.max(this))
    }

    /// The least that the clock showed between two moments.
    pub(super) fn least(&self, from: Nanos, to: Nanos) -> i64 {
        let shown = self.steps.iter().enumerate().filter_map(|(index, &(since, offset))| {
            let until = self.steps.get(index + 1).map_or(Nanos::MAX, |&(next, _)| next);
            let at = from.max(since);
            (at <= to && at < until).then_some(offset + (at / MILLIS) as i64)
        });
        shown.min().unwrap_or(0)
    }
}

impl Oracle {
    /// The wall clock steps; `serving` says whether a process runs that has looked at it.
    pub(crate) fn wall_stepped(&mut self, offset: i64, serving: bool) {
        self.clock.stepped(self.now, offset, serving);
    }

    /// A process of the broker starts.
    pub(crate) fn process_started(&mut self, offset: i64) {
        self.clock.process_started(self.now, offset);
    }

    /// The least time that the broker can have given a record that was sent at `sent_at` and is there now.
    pub(super) fn least_append_time(&self, sent_at: Nanos) -> i64 {
        self.clock.least(sent_at, self.now)
    }

    /// Where the log starts, as far as is known: there or later.
    pub(crate) fn known_start(&self, place: Place) -> i64 {
        self.partitions.get(&place).map_or(0, |partition| partition.start)
    }

    /// The broker, or the disk, says that the log starts at `start`.
    pub(crate) fn log_start(&mut self, place: Place, start: i64) {
        if start <= self.known_start(place) || self.is_history() || !self.partitions.contains_key(&place) {
            return;
        }
        self.judging(Checker::Retention);
        if let Some(offset) = self.must_be_there(place, start) {
            let text = format!("{place}: the log starts at {start}, but nothing may remove the record at {offset}");
            self.violate(Checker::Retention, text);
        } else if let Some(partition) = self.partitions.get_mut(&place) {
            self.counts.records_retired += (start - partition.start) as u64;
            partition.start = start;
        }
    }

    /// Whether a reader at `offset` may be told that it is out of range, because the log starts behind it.
    pub(crate) fn may_be_removed(&self, place: Place, offset: i64) -> bool {
        let past = offset < self.known_start(place) || self.may_be_deleted(place, offset);
        // Where compaction left nothing at the front of a log, that goes too.
        let removes = self.retention_of(place).is_on() || self.compaction_of(place).is_some();
        past || removes && self.must_be_there(place, offset + 1).is_none()
    }

    /// What retention removes of the partition.
    fn retention_of(&self, place: Place) -> Retention {
        match self.compaction_of(place) {
            Some(rule) if !rule.deletes => Retention::default(),
            _ => self.retention,
        }
    }

    /// The first promised record below `start` that may not be gone.
    fn must_be_there(&self, place: Place, start: i64) -> Option<i64> {
        let partition = self.partitions.get(&place)?;
        let retention = self.retention_of(place);
        let enough_behind = |bytes: u64| partition.bytes_from(start) >= bytes;
        if retention.bytes.is_some_and(enough_behind) {
            return None;
        }
        let now = self.clock.latest(self.now);
        let expired = |timestamp: i64| {
            let kept = retention.ms.map(|kept| i128::from(timestamp) + i128::from(kept));
            kept.is_some_and(|until| until < i128::from(now))
        };
        let promised = partition.promised(partition.kept_from(), start);
        let mut kept = promised.filter(|(_, slot)| !expired(slot.timestamp));
        kept.next().map(|(offset, _)| offset)
    }
}

#[cfg(test)]
mod tests {
    use super::WallClock;
    use crate::stage::MILLIS;

    #[test]
    fn a_step_while_a_process_runs_makes_nothing_older_and_one_before_it_does() {
        let mut clock = WallClock::default();
        clock.process_started(0, 1000);
        clock.stepped(10 * MILLIS, 9000, true);
        assert_eq!(clock.latest(20 * MILLIS), 1020);
        clock.process_started(30 * MILLIS, 9000);
        assert_eq!(clock.latest(40 * MILLIS), 9040);
        clock.process_started(50 * MILLIS, 500);
        assert_eq!(
            clock.latest(60 * MILLIS),
            9050,
            "what an earlier one could remove stays removed"
        );
    }

    #[test]
    fn what_has_aged_is_told_by_the_time_since_or_by_a_start_that_believes_the_clock() {
        let mut clock = WallClock::default();
        clock.process_started(0, 1000);
        clock.stepped(10 * MILLIS, 90_000, true);
        let aged = |clock: &WallClock, from: u64, by: u64| clock.may_have_aged(from * MILLIS, by * MILLIS, 500);
        assert!(!aged(&clock, 5, 400), "a step while the process runs");
        assert!(aged(&clock, 5, 505));
        clock.process_started(100 * MILLIS, 90_000);
        assert!(aged(&clock, 5, 150), "a start believes it");
        assert!(!aged(&clock, 20, 150), "what came behind the step is no older");
    }

    #[test]
    fn the_least_time_between_two_moments_sees_every_step() {
        let mut clock = WallClock::default();
        clock.process_started(0, 1000);
        clock.stepped(10 * MILLIS, 400, true);
        clock.stepped(20 * MILLIS, 5000, true);
        assert_eq!(clock.least(5 * MILLIS, 8 * MILLIS), 1005);
        assert_eq!(clock.least(5 * MILLIS, 15 * MILLIS), 410);
        assert_eq!(clock.least(12 * MILLIS, 30 * MILLIS), 412);
        assert_eq!(clock.least(25 * MILLIS, 30 * MILLIS), 5025);
    }
}
