//! A partition's part in compaction: what of its log could be compacted, and the job that does it.

use super::job::{LogJob, Purpose};
use super::outcome::{Outcome, RunEnd};
use super::report::Matter;
use super::state::{Partition, State};
use crate::log::{Cleanable, CompactOutcome, CompactRun, CompactStop, Log};
use crate::storage::Storage;
use crate::types::Now;
use alloc::boxed::Box;
use alloc::format;
use core::fmt::Debug;

impl<T: Copy + Debug> Partition<T> {
    /// What there is to compact, if it is worth a run.
    pub fn cleanable(&self, now: Now, storage: &mut Storage) -> Option<Cleanable> {
        match &self.state {
            State::Leading(leader) => leader.log().cleanable(leader.high_watermark(), now, storage),
            _ => None,
        }
    }

    /// Looks after the log: closes the segment that grows where its records have waited for compaction long enough, and has
    /// noted how far it is synced. To be called now and then.
    pub fn tend(&mut self, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        if let State::Leading(leader) = &mut self.state {
            leader.log_mut().roll_for_compaction(now, storage);
            leader.log_mut().want_note();
        }
        self.settle(now, storage, outcome);
    }

    /// Begins a run, if there is something to compact still; [`Outcome::compacted`] says when it ended.
    pub fn compact(&mut self, run: CompactRun, now: Now, storage: &mut Storage, outcome: &mut Outcome<T>) {
        let State::Leading(leader) = &mut self.state else {
            outcome.compacted.ended = Some(RunEnd::PutOff);
            return;
        };
        let limit = leader.high_watermark();
        match leader.log_mut().compact(limit, run, now, storage) {
            Some(job) => outcome.jobs.push((Purpose::Compact, LogJob::Compact(Box::new(job)))),
            None => outcome.compacted.ended = Some(RunEnd::PutOff),
        }
    }

    /// Takes what a run brought, and has it go on.
    pub(super) fn compacted(
        &mut self,
        brought: CompactOutcome,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) {
        let log: &mut Log = match &mut self.state {
            State::Leading(leader) => leader.log_mut(),
            State::Failed { log, .. } | State::Resting { log, .. } | State::Deleting { log: Some(log) } => log,
            State::Opening { .. } | State::Offline { .. } | State::Deleting { log: None } => {
                panic!("a log waits for its compaction whatever becomes of it")
            }
        };
        let before = log.size();
        let stop = match log.compacted(brought, now, storage) {
            Ok(Some(job)) => {
                outcome.jobs.push((Purpose::Compact, LogJob::Compact(Box::new(job))));
                None
            }
            Ok(None) => {
                outcome.compacted.ended = Some(RunEnd::Done);
                None
            }
            Err(stop) => Some(stop),
        };
        outcome.compacted.reclaimed += before.saturating_sub(log.size());
        let Some(stop) = stop else { return };
        outcome.compacted.ended = Some(RunEnd::PutOff);
        match stop {
            CompactStop::Asked => {}
            CompactStop::Later(fault) => {
                let text = format!("compaction is put off: {fault}");
                outcome.reports.push((Matter::Compaction, text));
            }
            CompactStop::Unreadable(fault) => {
                outcome.damaged.reads += u64::from(fault.is_corruption());
                let text = format!("it is not compacted any more until the next start: {fault}");
                outcome.reports.push((Matter::Compaction, text));
            }
            CompactStop::Directory(fault) => outcome.fault = Some(fault),
        }
    }
}
