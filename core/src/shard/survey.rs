//! Which logs are known to have lost records, looked for behind a start: an operator hears of them then, and not when a
//! client asks for one, which may be weeks later.
//!
//! Invariants: only logs are looked at of which the manifest of a clean stop says nothing; nobody waits for it, and a stop
//! waits for one stretch of it at most.

use super::lifecycle::Phase;
use super::task::{Task, TaskFor};
use super::{Effects, Shard};
use crate::log::LogPlace;
use crate::storage::{FileIds, FileOp, IoErrorKind, IoResult, IoValue, Job, LogId, Next, OpenMode};
use crate::types::{FaultKind, FileId, Now, TopicPartition};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::ops::Bound;

/// Logs that are looked at before the job comes home.
const STRETCH: usize = 256;

/// Looks which of some logs carry the mark of one that lost records.
#[derive(Debug)]
pub struct Survey {
    places: VecDeque<LogPlace>,
    files: FileIds,
    /// The mark that is being opened or closed.
    file: FileId,
    /// A mark was found, and is being closed: its log is no longer among the places.
    closing: bool,
    found: Vec<TopicPartition>,
}

impl Survey {
    fn new(places: VecDeque<LogPlace>, mut files: FileIds) -> Self {
        Self {
            places,
            file: files.next(),
            files,
            closing: false,
            found: Vec::new(),
        }
    }

    /// Looks at the first of the logs that are left.
    fn look(&mut self) -> Next<Vec<TopicPartition>> {
        let Some(place) = self.places.front() else {
            return Next::Done(core::mem::take(&mut self.found));
        };
        Next::Io(FileOp::Open {
            file: self.file,
            path: place.lost(),
            mode: OpenMode::Existing,
        })
    }
}

impl Job for Survey {
    type Outcome = Vec<TopicPartition>;

    fn resume(&mut self, done: IoResult) -> Next<Self::Outcome> {
        match done {
            // However it was closed, that says nothing of the log behind it.
            _ if core::mem::take(&mut self.closing) => {}
            Ok(IoValue::Opened { .. }) => {
                self.found.extend(self.places.pop_front().map(|place| place.id()));
                let file = core::mem::replace(&mut self.file, self.files.next());
                self.closing = true;
                return Next::Io(FileOp::Close { file });
            }
            // It would cost others what they need, and what it looks for is told when somebody needs that.
            Err(error) if error.kind == IoErrorKind::TooManyOpenFiles => self.places.clear(),
            Err(_) => _ = self.places.pop_front(),
            Ok(_) => {}
        }
        self.look()
    }
}

/// The partitions of a shard that are offline, by why.
#[derive(Default, Debug)]
pub(super) struct Offline {
    why: BTreeMap<LogId, FaultKind>,
    counts: [u64; FaultKind::ALL.len()],
}

impl Offline {
    /// The log's partition is offline for this reason, or is not.
    pub(super) fn note(&mut self, log: LogId, why: Option<FaultKind>) {
        if why.is_none() && self.why.is_empty() {
            return;
        }
        let before = match why {
            Some(why) => self.why.insert(log, why),
            None => self.why.remove(&log),
        };
        if let Some(before) = before {
            self.counts[before as usize] -= 1;
        }
        if let Some(why) = why {
            self.counts[why as usize] += 1;
        }
    }

    /// How many there are, in the order of [`FaultKind::ALL`].
    pub(super) const fn counts(&self) -> [u64; FaultKind::ALL.len()] {
        self.counts
    }
}

impl Shard {
    /// Looks at a stretch of the stored logs behind `last`; from the first on without one.
    pub(super) fn survey(&mut self, last: Option<TopicPartition>, effects: &mut Effects) {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let unknown = self
            .stored
            .range((from, Bound::Unbounded))
            .filter(|(_, closed)| closed.is_none());
        let places = unknown.take(STRETCH).filter_map(|(id, _)| self.place_of(*id));
        let places: VecDeque<_> = places.collect();
        if let Some(last) = places.back().map(LogPlace::id) {
            let survey = Survey::new(places, self.storage.job_files());
            self.run_task(TaskFor::Survey(last), Task::Survey(survey), effects);
        }
    }

    /// Wakes the partitions that were found: recovery finds the mark again, tells of it, and takes them offline.
    pub(super) fn surveyed(
        &mut self,
        now: Now,
        last: TopicPartition,
        found: Vec<TopicPartition>,
        effects: &mut Effects,
    ) {
        if self.phase != Phase::Serving {
            return;
        }
        for id in found {
            if !self.active.contains_key(&id) {
                self.activate(now, id, effects);
            }
        }
        self.survey(Some(last), effects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{IoError, Storage};
    use crate::types::{LogDirectoryId, ShardId, TopicId, Uuid};
    use alloc::string::String;

    fn failed(kind: IoErrorKind) -> IoResult {
        let text = String::new();
        Err(IoError { kind, text })
    }

    #[test]
    fn a_mark_that_cannot_be_closed_says_nothing_of_the_log_behind_it() {
        for closed in [
            Ok(IoValue::Done),
            failed(IoErrorKind::Device),
            failed(IoErrorKind::TooManyOpenFiles),
        ] {
            let place = |partition| LogPlace::new(LogDirectoryId(0), "t", TopicId(Uuid([1; 16])), partition);
            let config = crate::config::BrokerConfig::default();
            let mut storage = Storage::new(LogDirectoryId(0), ShardId(0), config.flush, &config.limits);
            let mut survey = Survey::new([place(0), place(1), place(2)].into(), storage.job_files());
            let opened = || Ok(IoValue::Opened { size: 0 });
            let looked_at = |next: &Next<Vec<TopicPartition>>, partition| {
                let wanted = place(partition).lost();
                matches!(next, Next::Io(FileOp::Open { path, .. }) if *path == wanted)
            };
            assert!(looked_at(&survey.resume(Ok(IoValue::Done)), 0));
            assert!(matches!(survey.resume(opened()), Next::Io(FileOp::Close { .. })));
            assert!(looked_at(&survey.resume(closed), 1));
            assert!(looked_at(&survey.resume(failed(IoErrorKind::NotFound)), 2));
            assert!(matches!(survey.resume(opened()), Next::Io(FileOp::Close { .. })));
            let Next::Done(found) = survey.resume(Ok(IoValue::Done)) else {
                panic!("nothing is left")
            };
            assert_eq!(found, [place(0).id(), place(2).id()]);
        }
    }
}
