//! Which log is compacted next (`LogCleanerManager.grabFilthiestCompactedLog`).
//!
//! Invariant: one log of a shard is compacted at a time, the one with the greatest share of bytes that never were first.

use super::{Effects, Phase, Shard, Timer};
use crate::log::CompactRun;
use crate::partition::RunEnd;
use crate::storage::LogId;
use crate::types::Now;
use alloc::vec::Vec;

impl Shard {
    /// Looks through the logs for what is to be compacted, and has the next look follow.
    pub(super) fn look_for_compaction(&mut self, now: Now, effects: &mut Effects) {
        if self.phase != Phase::Serving {
            return;
        }
        self.compaction_look = None;
        self.look_for_compaction_in(now, self.view.config.cleaner_backoff_ms);
        let logs: Vec<_> = self.active.values().copied().collect();
        for log in logs {
            self.with_partition(log, effects, |partition, storage, outcome| {
                partition.tend(now, storage, outcome);
            });
        }
        self.compact_next(now, effects);
    }

    /// Has the next look come after so many milliseconds, in place of any other.
    pub(super) fn look_for_compaction_in(&mut self, now: Now, millis: u64) {
        if let Some(key) = self.compaction_look.take() {
            self.wheel.cancel(key);
        }
        let at = now.monotonic.plus_millis(millis.max(1));
        self.compaction_look = Some(self.wheel.arm(at, Timer::Compaction));
    }

    /// Begins to compact the log that needs it most, unless one is being compacted.
    pub(super) fn compact_next(&mut self, now: Now, effects: &mut Effects) {
        if self.phase != Phase::Serving || self.compacting.is_some() {
            return;
        }
        let Self {
            active,
            partitions,
            storage,
            ..
        } = self;
        let due = active.values().filter_map(|log| {
            let cleanable = partitions.get(log)?.cleanable(now, storage)?;
            Some((cleanable, *log))
        });
        let due: Vec<_> = due.collect();
        self.counters.compaction_backlog = due.len() as u64;
        let Some(&(_, log)) = due.iter().max() else { return };
        let run = CompactRun {
            secret: [self.seed.next_u64(), self.seed.next_u64()],
            key_bytes: self.view.config.limits.cleaner_key_bytes / usize::from(self.view.shards),
            stretch_bytes: self.view.config.limits.cleaner_stretch_bytes,
        };
        self.compacting = Some(log);
        self.with_partition(log, effects, |partition, storage, outcome| {
            partition.compact(run, now, storage, outcome);
        });
    }

    /// A run ended. After one that came to its end, the next log has its turn; else none before the next look.
    pub(super) fn compaction_ended(&mut self, log: LogId, end: RunEnd) {
        assert!(self.compacting == Some(log), "a compaction ended that nobody began");
        self.compacting = None;
        if end == RunEnd::Done {
            self.counters.compactions += 1;
            self.compact_soon = true;
        }
    }
}
