//! How a log ends: cleanly, by deletion, or by a failure after which it is recovered. And how it loses its oldest part.
//!
//! Invariant: a removal that a crash undoes brings segments back that retention removes again; it never leaves a hole.

use super::config::{LogConfig, Writes};
use super::machine::{Log, Phase};
use super::manifest::{ClosedLog, ManifestSegment};
use super::recover::{Recover, RecoverSettings, Source};
use super::segment::{Peak, Standing};
use crate::bugs::bug;
use crate::config::FlushMode;
use crate::marks::mark;
use crate::storage::Storage;
use crate::types::{LeaderEpoch, Now, Offset, Timestamp};

impl Log {
    /// Takes over a changed configuration: the next append and the next look for old segments follow it.
    pub fn reconfigure(&mut self, config: LogConfig, now: Now) {
        self.producers
            .adopt_bounds(config.producers, config.producer_expiration_ms);
        self.producers.expire(now.monotonic);
        self.config = config;
    }

    /// Removes what retention does not keep, as far as it lies below `limit` (the high watermark). Returns whether the
    /// start moved. To be called now and then.
    pub fn retain(&mut self, limit: Offset, now: Now, storage: &mut Storage) -> bool {
        self.producers.expire(now.monotonic);
        if self.phase != Phase::Open || self.is_compacting() {
            return false;
        }
        let steady = storage.steady(now);
        let before = self.start;
        let mut size = self.size();
        while let Some(oldest) = self.segments.front() {
            let expired = is_expired(oldest.peak, &self.config, steady);
            let too_much = is_too_much(size - oldest.size, &self.config);
            let passed = oldest.end <= self.start;
            // Where nothing is ever deleted the log begins where it began, as in Kafka: a reader that stands there goes on.
            let emptied = oldest.size == 0 && oldest.cleaning.is_some() && self.config.cleanup.deletes();
            let goes = expired || too_much || passed || emptied;
            if !goes || oldest.end > limit || (oldest.size == 0 && !emptied && !passed) {
                break;
            }
            if self.segments.len() == 1 {
                if expired && self.durable.offset == self.end {
                    self.roll(now, storage);
                    let active = self.segments.back_mut().expect("the log was rolled");
                    active.standing = Standing::Written;
                    storage.create(self.id, active.file);
                }
                break;
            }
            if !self.may_remove_oldest(now) {
                break;
            }
            size -= self.segments[0].size;
            self.remove_oldest(storage);
        }
        self.start > before
    }

    /// Whether the log can be closed and opened again from what [`closed`](Self::closed) says, with nothing forgotten that
    /// is known now: all of it is durable, and nothing works on it.
    pub fn may_rest(&self, storage: &Storage) -> bool {
        let settled = self.phase == Phase::Open && self.drafts.is_empty();
        settled
            && !self.is_worked_on()
            && self.durable.offset == self.end
            && storage.is_log_quiet(self.id)
            && !self.is_beginning()
            && !self.producers.expects_a_beginning()
    }

    /// Whether the file of a segment that nothing was appended to is on its way.
    fn is_beginning(&self) -> bool {
        let active = self.segments.back();
        active.is_some_and(|active| active.size == 0 && active.standing == Standing::Written)
    }

    /// Whether a job works on what lies on disk.
    fn is_worked_on(&self) -> bool {
        self.writing || self.marking || self.noted.writing || self.is_compacting()
    }

    /// Begins to close the log: its last checkpoint is written, as [`work`](Self::work) asks. No more appends.
    pub fn close(&mut self, now: Now, storage: &mut Storage) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Closing;
        self.draft(now);
        if self.config.writes == Writes::Ahead {
            self.want_note();
        }
        let written = self
            .segments
            .back_mut()
            .filter(|active| active.standing == Standing::Written);
        if let Some(active) = written
            && storage.seal(active.file)
        {
            active.standing = Standing::Durable;
        }
    }

    /// How the log was closed, for the manifest to say, once it is closed and everything of it is durable; `None` before. To be
    /// asked after each event and outcome.
    pub fn closed(&self, storage: &Storage) -> Option<ClosedLog> {
        let at_work = self.is_worked_on() || self.is_to_be_noted();
        let settled = self.phase == Phase::Closing && self.drafts.is_empty() && !at_work;
        let durable = self
            .segments
            .iter()
            .all(|segment| segment.standing != Standing::Written);
        if !settled || !durable || self.durable.offset != self.end || !storage.is_log_quiet(self.id) {
            return None;
        }
        Some(self.as_closed())
    }

    /// The log as it would be closed now, durable or not.
    pub(crate) fn as_closed(&self) -> ClosedLog {
        let there = self
            .segments
            .iter()
            .filter(|segment| segment.standing != Standing::Planned);
        let segments = there.map(|segment| ManifestSegment {
            base: segment.base,
            size: segment.size,
            peak: segment.peak,
            began: segment.age.map_or(Timestamp(0), |age| age.began),
            generation: segment.cleaning.map_or(0, |cleaning| cleaning.generation),
            clean_to: segment.clean_to,
        });
        ClosedLog {
            start: self.start,
            end: self.end,
            segments: segments.collect(),
        }
    }

    /// Forgets a closed log: its descriptors go as soon as nobody reads with them.
    pub fn forget(self, storage: &mut Storage) {
        storage.forget_log(self.id);
    }

    /// Has everything of the log removed once nobody reads it. The log is to be kept, and outcomes handed to it, until
    /// [`StorageEvent::Deleted`](crate::storage::StorageEvent::Deleted).
    pub fn delete(&mut self, storage: &mut Storage) {
        self.phase = Phase::Deleted;
        self.drafts.clear();
        storage.delete(self.id);
    }

    /// The job that brings a failed log back; `None` while something works on it: ask again after its outcome. The log is
    /// of no use any more then: [open](Self::open) it again from what the job finds.
    ///
    /// `latest_epoch` is the latest leader epoch that was appended under.
    pub fn recovery(&mut self, latest_epoch: LeaderEpoch, now: Now, storage: &mut Storage) -> Option<Recover> {
        assert!(self.phase == Phase::Failed, "only a failed log is recovered");
        if self.is_worked_on() {
            return None;
        }
        mark!(LogBroughtBack);
        storage.forget_log(self.id);
        let settings = RecoverSettings {
            latest_epoch,
            writes: self.config.writes,
            flush: self.config.flush,
            index_interval_bytes: self.config.index_interval_bytes,
            start_at_least: self.start,
            wall: now.wall,
        };
        let mut recover = Recover::new(self.place.clone(), Source::Directory, settings, storage.job_files());
        if self.config.flush == FlushMode::Fsync {
            recover.promise(self.durable.offset);
        }
        if bug!(StaleProducerSnapshot) || bug!(KeepIndexPastTail) {
            recover.believe(self.checkpoint(now));
        }
        Some(recover)
    }
}

/// Whether so many bytes beside the oldest segment are enough.
fn is_too_much(spare: u64, config: &LogConfig) -> bool {
    config.cleanup.deletes() && config.retention_bytes.is_some_and(|kept| spare >= kept)
}

/// Whether records up to this timestamp are older than `retention.ms` allows.
fn is_expired(peak: Option<Peak>, config: &LogConfig, steady: Timestamp) -> bool {
    let (Some(kept), Some(peak)) = (config.retention_ms.filter(|_| config.cleanup.deletes()), peak) else {
        return false;
    };
    let age = i128::from(steady.0) - i128::from(peak.timestamp.0);
    peak.timestamp.0 >= 0 && age > i128::from(kept)
}

impl ClosedLog {
    /// Whether [`Log::retain`] would find something to remove from the closed log, or compaction something to do.
    pub fn is_due(&self, config: &LogConfig, steady: Timestamp) -> bool {
        if self.is_dirty(config, steady) {
            return true;
        }
        // What compaction left nothing in goes with what is behind it.
        let Some(oldest) = self.segments.iter().find(|oldest| oldest.size > 0) else {
            return false;
        };
        let spare = self.size() - oldest.size;
        let too_much = is_too_much(spare, config) && self.segments.len() > 1;
        let passed = self.segments.get(1).is_some_and(|next| next.base <= self.start);
        too_much || passed || is_expired(oldest.peak, config, steady)
    }
}
