//! Finding records by their timestamps.

use super::lookup::{Goal, Lookup, LookupOutcome, TimeFound};
use super::machine::Log;
use crate::storage::Storage;
use crate::types::{Fault, Timestamp};
use alloc::boxed::Box;

/// What is known of a record that is looked for by its timestamp.
#[derive(Debug)]
pub enum TimeAnswer {
    /// There is none.
    Nothing,
    /// Run this job, then hand its outcome to [`Log::time_looked_up`].
    Lookup(Box<Lookup>),
}

impl Log {
    /// The first durable record whose timestamp is `timestamp` or later.
    pub fn find_time(&self, timestamp: Timestamp, storage: &mut Storage) -> TimeAnswer {
        let late = |peak: super::Peak| peak.timestamp >= timestamp;
        let place = self.segments.iter().position(|segment| segment.peak.is_some_and(late));
        let Some(place) = place else {
            return TimeAnswer::Nothing;
        };
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
            let entry = index.floor_by_time(timestamp);
            (segment.base.plus(i64::from(entry.relative)), u64::from(entry.position))
        });
        TimeAnswer::Lookup(Box::new(self.lookup(
            place,
            readable,
            known,
            Goal::Time(timestamp),
            storage,
        )))
    }

    /// The first durable record with the greatest timestamp of the log (KIP-734).
    pub fn find_max_timestamp(&self, storage: &mut Storage) -> TimeAnswer {
        match self.max_timestamp() {
            Some(peak) => self.find_time(peak.timestamp, storage),
            None => TimeAnswer::Nothing,
        }
    }

    /// Takes in what a look-up by time found.
    pub fn time_looked_up(
        &mut self,
        outcome: LookupOutcome,
        storage: &mut Storage,
    ) -> Result<Option<TimeFound>, Fault> {
        let found = outcome.found.as_ref().ok().and_then(|found| found.time);
        self.adopt_lookup(outcome, storage)?;
        Ok(found)
    }
}
