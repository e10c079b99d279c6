//! Finding records by their timestamps, from the log's start on. What a segment says of its timestamps may be true only of
//! records before the start; then what is found there decides whether to look on behind it.

use super::lookup::{Goal, Lookup, LookupOutcome, TimeFound};
use super::machine::Log;
use super::segment::{Peak, Segment};
use crate::bugs::bug;
use crate::storage::Storage;
use crate::types::{Fault, Offset, Timestamp};
use alloc::boxed::Box;

/// What is known of a record that is looked for by its timestamp.
#[derive(Debug)]
pub enum TimeAnswer {
    /// There is none.
    Nothing,
    /// Run this job, then hand its outcome to [`Log::time_looked_up`].
    Lookup(Box<Lookup>),
}

/// What came of a look-up by time.
#[derive(Debug)]
pub enum TimeLookedUp {
    /// The record, if there is one.
    Found(Option<TimeFound>),
    /// It can be elsewhere: run this job too, and hand in its outcome.
    Again(Box<Lookup>),
}

/// The greatest timestamp of a segment.
fn peak_of(segment: &Segment) -> Option<Peak> {
    let last = segment.index.entries().last().filter(|_| bug!(StaleGreatestTimestamp));
    last.map_or(segment.peak, |entry| {
        let timestamp = entry.max_before;
        segment.peak.map(|peak| Peak { timestamp, ..peak })
    })
}

impl Log {
    /// The first durable record whose timestamp is `timestamp` or later.
    pub fn find_time(&self, timestamp: Timestamp, storage: &mut Storage) -> TimeAnswer {
        self.find_time_behind(self.start, timestamp, storage)
    }

    /// The same, in segments that end behind `from`.
    fn find_time_behind(&self, from: Offset, timestamp: Timestamp, storage: &mut Storage) -> TimeAnswer {
        let late = |peak: Peak| peak.timestamp >= timestamp;
        let fits = |segment: &Segment| segment.end > from && peak_of(segment).is_some_and(late);
        let Some(place) = self.segments.iter().position(fits) else {
            return TimeAnswer::Nothing;
        };
        self.look_into(place, Goal::Time(timestamp), storage)
    }

    fn look_into(&self, place: usize, goal: Goal, storage: &mut Storage) -> TimeAnswer {
        let segment = &self.segments[place];
        let readable = self.readable(segment);
        if readable == 0 {
            return TimeAnswer::Nothing;
        }
        let active = place + 1 == self.segments.len();
        let cached = if active { None } else { storage.index(segment.file) };
        let index = if active {
            Some(&segment.index)
        } else {
            cached.as_deref()
        };
        let known = index.map(|index| {
            let entry = match goal {
                Goal::Time(timestamp) => index.floor_by_time(timestamp),
                _ => index.floor(u32::try_from(self.start.since(segment.base)).unwrap_or(0)),
            };
            (segment.base.plus(i64::from(entry.relative)), u64::from(entry.position))
        });
        TimeAnswer::Lookup(Box::new(self.lookup(place, readable, known, goal, storage)))
    }

    /// The first durable record with the greatest timestamp of the log (KIP-734).
    pub fn find_max_timestamp(&self, storage: &mut Storage) -> TimeAnswer {
        match self.peak_behind(self.start) {
            // It may be that of a record before the start.
            Some(peak) if peak.batch < self.start => {
                let first = self.segments.iter().position(|segment| segment.end > self.start);
                let place = first.expect("a peak lies in a segment");
                self.look_into(place, Goal::Peak, storage)
            }
            Some(peak) => self.find_time(peak.timestamp, storage),
            None => TimeAnswer::Nothing,
        }
    }

    /// The greatest timestamp of the segments that end behind `from`.
    fn peak_behind(&self, from: Offset) -> Option<Peak> {
        let segments = self.segments.iter().filter(|segment| segment.end > from);
        segments.fold(None, |peak, segment| Peak::max(peak, segment.peak))
    }

    /// Takes in what a look-up by time found.
    pub fn time_looked_up(&mut self, outcome: LookupOutcome, storage: &mut Storage) -> Result<TimeLookedUp, Fault> {
        let (goal, base) = (outcome.goal, outcome.base);
        let found = outcome.found.as_ref().ok().map(|found| (found.time, found.peak));
        self.adopt_lookup(outcome, storage)?;
        let (time, peak) = found.unwrap_or_default();
        let end = self
            .segments
            .iter()
            .find(|segment| segment.base == base)
            .map(|segment| segment.end);
        let behind = end.unwrap_or(base).max(self.start);
        let next = match goal {
            // Behind the segment that the log begins in, each holds what its peak says.
            Goal::Time(timestamp) if time.is_none() && base < self.start => {
                self.find_time_behind(behind, timestamp, storage)
            }
            Goal::Peak => match Peak::max(peak, self.peak_behind(behind)) {
                Some(peak) => self.find_time(peak.timestamp, storage),
                None => TimeAnswer::Nothing,
            },
            _ => TimeAnswer::Nothing,
        };
        Ok(match next {
            TimeAnswer::Lookup(job) => TimeLookedUp::Again(job),
            TimeAnswer::Nothing => TimeLookedUp::Found(time),
        })
    }
}
