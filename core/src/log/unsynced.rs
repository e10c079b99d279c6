//! With flush=os, how much of a log was not asked to be synced yet: `flush.messages` and `flush.ms`.
//!
//! Invariant: at most `flush.messages` records, the last one's append included, are acknowledged without a sync after the
//! one before; a sync is begun `flush.ms` after the first record that needs one. With flush=fsync every append is synced
//! before it is acknowledged, so that any value holds.

use super::machine::{Log, Phase};
use super::segment::Standing;
use crate::config::FlushMode;
use crate::storage::Storage;
use crate::types::{Monotonic, Now, Offset};

/// What was appended since the last sync.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Unsynced {
    records: u64,
    since: Option<Monotonic>,
    /// The sync by time was asked for.
    told: bool,
}

impl Log {
    pub(super) fn begin_unsynced(&mut self, now: Now) {
        if self.config.flush == FlushMode::Os {
            self.unsynced.since.get_or_insert(now.monotonic);
        }
    }

    /// Has what was just appended from `base` on synced before it counts, if `flush.messages` is reached with it.
    pub(super) fn sync_if_due(&mut self, base: Offset, storage: &mut Storage) {
        if self.config.flush != FlushMode::Os {
            return;
        }
        self.unsynced.records += u64::try_from(self.end.since(base)).unwrap_or(0);
        if self.unsynced.records >= self.config.flush_messages {
            storage.demand_sync(self.id);
            self.sync(storage);
        }
    }

    /// When what was appended has to be synced by `flush.ms`, if nobody was told yet: call [`sync`](Self::sync) then.
    pub fn sync_at(&mut self) -> Option<Monotonic> {
        let at = self.unsynced.since?.plus_millis(self.config.flush_ms?);
        (!core::mem::replace(&mut self.unsynced.told, true)).then_some(at)
    }

    /// Has all that was written synced.
    pub fn sync(&mut self, storage: &mut Storage) {
        self.unsynced = Unsynced::default();
        if self.phase != Phase::Open {
            return;
        }
        let written = self
            .segments
            .iter()
            .filter(|segment| segment.standing == Standing::Written);
        written.for_each(|segment| storage.sync(segment.file));
    }
}
