//! When a log is compacted, and from where to where (`LogCleanerManager.cleanableOffsets`, `LogToClean`).
//!
//! Differences from Kafka, on purpose:
//! - how far a log is compacted is kept with each segment, in its checkpoint, not in one file for all logs; where that is
//!   lost, the segment counts as never compacted, which costs work and nothing else;
//! - `max.compaction.lag.ms` counts from the first append to a segment by a clock that no step of the wall clock moves,
//!   not from the timestamps that producers claim; and a segment that grows is closed for its sake without an append.

use super::Compaction;
use super::input::Input;
use super::job::{Compact, Settings};
use super::keys::{KeyMap, Secret};
use super::rewrite::Keeping;
use crate::log::config::LogConfig;
use crate::log::machine::{Log, Phase};
use crate::log::manifest::ClosedLog;
use crate::log::segment::{Segment, Standing};
use crate::storage::Storage;
use crate::types::{Now, Offset, Timestamp};
use alloc::vec::Vec;

/// What compaction would find in a log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cleanable {
    /// The share of bytes that were never compacted, in millionths.
    pub dirty_millionths: u32,
    /// Those bytes.
    pub dirty_bytes: u64,
}

/// What a shard gives to a run.
#[derive(Clone, Copy, Debug)]
pub struct CompactRun {
    /// Drawn anew for each run, and told to nobody.
    pub secret: Secret,
    /// Bytes of memory for the keys.
    pub key_bytes: usize,
    /// Bytes that are read before the log may stop it.
    pub stretch_bytes: u64,
}

/// From where to where a log could be compacted.
#[derive(Clone, Copy, Debug)]
struct Range {
    /// Where records begin that were never compacted.
    dirty_from: Offset,
    /// How many segments, from the first.
    segments: usize,
}

impl ClosedLog {
    /// Whether a log that was closed like this has something to compact; its last segment will grow again.
    pub(in crate::log) fn is_dirty(&self, config: &LogConfig, steady: Timestamp) -> bool {
        if !config.cleanup.compacts() {
            return false;
        }
        let ends = self.segments.iter().skip(1).map(|next| next.base).chain([self.end]);
        let segments = || self.segments.iter().zip(ends.clone());
        let clean = segments().take_while(|(segment, end)| segment.clean_to == *end).count();
        let waits_since = Timestamp(steady.0.saturating_sub_unsigned(config.compaction.max_lag_ms));
        if segments()
            .skip(clean)
            .any(|(segment, _)| segment.size > 0 && segment.began < waits_since)
        {
            return true;
        }
        let safe_from = Timestamp(steady.0.saturating_sub_unsigned(config.compaction.min_lag_ms));
        let sealed = self.segments.iter().take(self.segments.len().saturating_sub(1));
        let able = sealed.clone().skip(clean);
        let able = able.take_while(|segment| segment.peak.is_none_or(|peak| peak.timestamp <= safe_from));
        let dirty: u64 = able.map(|segment| segment.size).sum();
        let total: u64 = dirty + sealed.take(clean).map(|segment| segment.size).sum::<u64>();
        u128::from(dirty) * 1_000_000 > u128::from(total) * u128::from(config.compaction.min_dirty_millionths)
    }
}

/// A log that has more segments is not compacted: a run has to have ids for its files. It takes segments of a few bytes to
/// get there.
const MOST_SEGMENTS: usize = 1 << 17;

impl Log {
    /// What there is to compact, below `limit` (the high watermark); `None` if it is too little, or not to be done now.
    pub fn cleanable(&self, limit: Offset, now: Now, storage: &mut Storage) -> Option<Cleanable> {
        if !self.may_compact() {
            return None;
        }
        let range = self.cleanable_range(limit, now, storage)?;
        let within = || self.segments.iter().take(range.segments);
        let dirty = || within().filter(|segment| segment.end > range.dirty_from);
        let total: u64 = within().map(|segment| segment.size).sum();
        let dirty_bytes: u64 = dirty().map(|segment| segment.size).sum();
        if dirty_bytes == 0 {
            return None;
        }
        let millionths = u128::from(dirty_bytes) * 1_000_000 / u128::from(total);
        let config = &self.config.compaction;
        let old = |segment: &Segment| segment.age.is_some_and(|age| age.ms(now.monotonic) > config.max_lag_ms);
        let due = millionths > u128::from(config.min_dirty_millionths) || dirty().any(old);
        due.then_some(Cleanable {
            dirty_millionths: millionths as u32,
            dirty_bytes,
        })
    }

    /// Up to here, no record is followed by another of its key.
    pub fn compacted_to(&self) -> Offset {
        let dirty = self.segments.iter().find(|segment| segment.clean_to < segment.end);
        dirty.map_or(self.end(), |segment| segment.clean_to)
    }

    /// Closes the segment that grows if its records have waited for compaction long enough. To be called now and then.
    pub fn roll_for_compaction(&mut self, now: Now, storage: &mut Storage) {
        let durable = self.durable_end() == self.end();
        let Some(active) = self.segments.back() else { return };
        let waits = active
            .age
            .is_some_and(|age| age.ms(now.monotonic) > self.config.compaction.max_lag_ms);
        if self.may_compact() && durable && active.size > 0 && waits {
            self.roll(now, storage);
        }
    }

    fn may_compact(&self) -> bool {
        self.config.cleanup.compacts() && self.phase == Phase::Open && self.compaction == Compaction::Idle
    }

    fn cleanable_range(&self, limit: Offset, now: Now, storage: &mut Storage) -> Option<Range> {
        let steady = storage.steady(now);
        let safe_from =
            i64::try_from(self.config.compaction.min_lag_ms).map_or(i64::MIN, |lag| steady.0.saturating_sub(lag));
        let active = self.segments.len().checked_sub(1)?;
        let dirty = self
            .segments
            .iter()
            .position(|segment| segment.clean_to < segment.end)?;
        let settled = |segment: &Segment| {
            let drafted = self.drafts.iter().any(|draft| draft.file == segment.file);
            segment.standing == Standing::Durable && segment.end <= limit && !drafted
        };
        let old_enough = |segment: &Segment| {
            self.config.compaction.min_lag_ms == 0
                || segment.peak.is_none_or(|peak| peak.timestamp <= Timestamp(safe_from))
        };
        let sealed = self.segments.iter().take(active).enumerate();
        let able = sealed.take_while(|&(place, segment)| settled(segment) && (place < dirty || old_enough(segment)));
        let segments = able.count();
        (segments > dirty && segments <= MOST_SEGMENTS && !self.writing).then(|| Range {
            dirty_from: self.segments[dirty].clean_to,
            segments,
        })
    }

    /// Begins to compact what is [cleanable](Self::cleanable). The outcomes of the job are to be handed to
    /// [`compacted`](Self::compacted).
    pub fn compact(&mut self, limit: Offset, run: CompactRun, now: Now, storage: &mut Storage) -> Option<Compact> {
        self.cleanable(limit, now, storage)?;
        let range = self.cleanable_range(limit, now, storage)?;
        let segments = || self.segments.iter().take(range.segments);
        let upto = segments().next_back()?.end;
        let generation = segments()
            .map(|segment| segment.stem().generation())
            .max()?
            .checked_add(1)?;
        let input = |segment: &Segment| Input {
            stem: segment.stem(),
            end: segment.end,
            size: segment.size,
            began: segment.age.map_or(now.wall, |age| age.began),
        };
        let inputs: Vec<Input> = segments().map(input).collect();
        let retention = i64::try_from(self.config.compaction.delete_retention_ms).unwrap_or(i64::MAX);
        let keeping = Keeping {
            keys: KeyMap::new(run.secret, run.key_bytes),
            clean_to: range.dirty_from,
            upto,
            expired: storage.steady(now),
            horizon: Timestamp(storage.hasty(now).0.saturating_add(retention)),
            producers: self.producers.last_offsets(self.durable.offset),
            decompressed_bytes: self.config.decompressed_bytes,
        };
        let settings = Settings {
            dirty_from: range.dirty_from,
            generation,
            group_bytes: u64::from(self.config.segment_bytes),
            index_interval_bytes: self.config.index_interval_bytes,
            stretch_bytes: run.stretch_bytes,
        };
        self.compaction = Compaction::Running;
        storage.hold(self.id());
        Some(Compact::new(
            self.place().clone(),
            inputs,
            keeping,
            settings,
            storage.job_files(),
        ))
    }
}
