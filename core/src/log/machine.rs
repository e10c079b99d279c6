//! The log itself: what is appended, what of it is durable, where segments begin.

use super::checkpoint::Checkpoint;
use super::compact::Compaction;
use super::config::LogConfig;
use super::damage::Damage;
use super::epochs::EpochHistory;
use super::place::{LogPlace, Stem};
use super::producers::{Check, Producers};
use super::recover::Recovered;
use super::segment::{Age, Segment, Standing};
use super::spans::Spans;
use super::synced::Noted;
use super::unsynced::Unsynced;
use super::work::{CheckpointOutcome, Draft, WriteCheckpoint};
use crate::bugs::bug;
use crate::config::FlushMode;
use crate::record::{Batch, BatchHeader};
use crate::storage::{LogId, Piece, Presence, Recent, Storage, StorageEvent};
use crate::types::{Fault, LeaderEpoch, Monotonic, Now, Offset, ProducerEpoch, ProducerId};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A place between two batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    /// The offset of the batch that begins there.
    pub(super) offset: Offset,
    /// The base offset of the segment.
    pub(super) segment: Offset,
    /// The byte in the segment.
    pub(super) position: u64,
}

/// What an append did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset after the last record: durable once [`StorageEvent::Durable`] reaches it.
    pub end: Offset,
}

/// What a log is up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Open,
    /// Its last checkpoint is on its way.
    Closing,
    /// Only recovery can bring it back.
    Failed,
    /// Its directory is being removed.
    Deleted,
}

/// Checkpoints that wait at most.
const DRAFTS: usize = 8;

/// The log of one partition.
#[derive(Debug)]
pub struct Log {
    pub(super) id: LogId,
    pub(super) place: LogPlace,
    pub(super) config: LogConfig,
    pub(super) phase: Phase,
    /// Ascending and without a gap; the last is the one that grows.
    pub(super) segments: VecDeque<Segment>,
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) durable: Mark,
    /// The ends of appends that are not durable yet.
    marks: VecDeque<Mark>,
    pub(super) epochs: EpochHistory,
    pub(super) producers: Producers,
    pub(super) spans: Spans,
    /// Segments that begin below it are durable and grow no more. It never goes back.
    settled_to: Offset,
    /// Checkpoints to be written, in the order of their offsets.
    pub(super) drafts: VecDeque<Draft>,
    /// A checkpoint is being written.
    pub(super) writing: bool,
    /// Where the log begins by the mark that is on disk, if one is known.
    pub(super) marked: Option<Offset>,
    /// Another mark is being written.
    pub(super) marking: bool,
    pub(super) noted: Noted,
    /// What was appended and not asked to be synced since, where acknowledgements do not wait for that.
    pub(super) unsynced: Unsynced,
    pub(super) compaction: Compaction,
    /// Where senders found other bytes than were synced.
    pub(super) damage: Damage,
}

impl Log {
    /// A log that has no file yet, and gets none before its first append.
    pub fn create(id: LogId, place: LogPlace, config: LogConfig, storage: &mut Storage) -> Self {
        storage.add_log(id, place.path.clone(), config.flush, false);
        let producers = Producers::new(config.producers, config.producer_expiration_ms);
        Self::empty(id, place, config, producers)
    }

    fn empty(id: LogId, place: LogPlace, config: LogConfig, producers: Producers) -> Self {
        Self {
            id,
            place,
            config,
            phase: Phase::Open,
            segments: VecDeque::new(),
            start: Offset::ZERO,
            end: Offset::ZERO,
            durable: Mark {
                offset: Offset::ZERO,
                segment: Offset::ZERO,
                position: 0,
            },
            marks: VecDeque::new(),
            epochs: EpochHistory::default(),
            producers,
            spans: Spans::default(),
            settled_to: Offset::ZERO,
            drafts: VecDeque::new(),
            writing: false,
            marked: None,
            marking: false,
            noted: Noted::default(),
            unsynced: Unsynced::default(),
            compaction: Compaction::Idle,
            damage: Damage::default(),
        }
    }

    /// A log as recovery found it. All of it is durable.
    pub fn open(id: LogId, config: LogConfig, recovered: Recovered, now: Now, storage: &mut Storage) -> Self {
        let Recovered {
            place,
            there,
            segments,
            index,
            unindexed,
            start,
            marked,
            end,
            epochs,
            mut producers,
            ..
        } = recovered;
        storage.see(now);
        storage.add_log(id, place.path.clone(), config.flush, there);
        producers.wake(now.monotonic);
        producers.adopt_bounds(config.producers, config.producer_expiration_ms);
        let mut log = Self::empty(id, place, config, producers);
        for found in segments {
            let stem = Stem {
                base: found.base,
                cleaning: found.cleaning,
            };
            let file = storage.add_file(id, log.place.segment(stem), Presence::Existing);
            let before_ms = u64::try_from(now.wall.0.saturating_sub(found.began.0)).unwrap_or(0);
            log.segments.push_back(Segment {
                end: found.end,
                size: found.size,
                peak: found.peak,
                age: (found.size > 0).then_some(Age {
                    since: now.monotonic,
                    before_ms,
                    began: found.began,
                }),
                standing: Standing::Durable,
                checkpointed: found.checkpointed,
                proven: found.proven,
                cleaning: found.cleaning,
                clean_to: found.clean_to,
                ..Segment::planned(found.base, file)
            });
        }
        log.marked = marked;
        log.end = end;
        match log.segments.back_mut() {
            // It stays as it is; what is appended goes behind it.
            Some(cleaned) if cleaned.cleaning.is_some() => {
                storage.keep_index(cleaned.file, Arc::new(index));
                let file = storage.add_file(id, log.place.segment(end), Presence::New);
                log.segments.push_back(Segment::planned(end, file));
            }
            Some(active) => {
                active.index = index;
                active.unindexed = unindexed;
            }
            None => {}
        }
        log.epochs = epochs;
        log.durable = log.tail();
        log.begin_at(start);
        log.remove_passed(now, storage);
        log
    }

    /// The end of the log, as a place.
    fn tail(&self) -> Mark {
        let (segment, position) = self
            .segments
            .back()
            .map_or((self.end, 0), |last| (last.base, last.size));
        Mark {
            offset: self.end,
            segment,
            position,
        }
    }

    /// Its id.
    pub const fn id(&self) -> LogId {
        self.id
    }

    /// Where it lies.
    pub const fn place(&self) -> &LogPlace {
        &self.place
    }

    /// The offset of the first record (`LogStartOffset`).
    pub const fn start(&self) -> Offset {
        self.start
    }

    /// The offset that the next record gets (`LogEndOffset`).
    pub const fn end(&self) -> Offset {
        self.end
    }

    /// The offset up to which all is as durable as `flush` promises.
    pub const fn durable_end(&self) -> Offset {
        self.durable.offset
    }

    /// Whether there is no segment, not even an empty one.
    pub fn is_without_segments(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// The leader epochs and where each began.
    pub const fn epochs(&self) -> &EpochHistory {
        &self.epochs
    }

    /// Producers whose first batches are among those remembered: what a [recovery](Self::recovery) after a failed write
    /// may have lost.
    pub fn begun_producers(&self) -> Vec<(ProducerId, ProducerEpoch)> {
        self.producers.begun()
    }

    /// Producers that had begun before the recovery of this log: one of which nothing was kept has to begin anew.
    pub fn expect_from_start(&mut self, begun: &[(ProducerId, ProducerEpoch)], now: Monotonic) {
        self.producers.expect_from_start(begun, now);
    }

    /// What the log remembers of idempotent producers.
    pub const fn producers(&self) -> &Producers {
        &self.producers
    }

    /// What to do with a batch of a client.
    pub fn check(&mut self, batch: &BatchHeader, now: Now) -> Check {
        self.producers.check(batch, now.monotonic)
    }

    /// Appends batches: stamps each with its offset and `epoch`, and has them written. They were validated, and their
    /// producers checked. At least one batch; the end of the offset space must be further away than their records.
    pub fn append(
        &mut self,
        batches: impl IntoIterator<Item = Batch>,
        epoch: LeaderEpoch,
        now: Now,
        storage: &mut Storage,
    ) -> Appended {
        assert!(self.phase == Phase::Open, "an append to a log that is not open");
        storage.see(now);
        let base_offset = self.end;
        self.begin_unsynced(now);
        let mut pieces = Vec::with_capacity(2);
        let mut from = self.tail().position;
        for mut batch in batches {
            batch.stamp(self.end, epoch);
            let header = batch.header();
            let length = batch.len() as u64;
            if self.must_roll(length, &header, now) {
                self.write(core::mem::take(&mut pieces), from, storage);
                self.roll(now, storage);
                from = 0;
            }
            self.add(batch, &header, epoch, now, &mut pieces, storage);
        }
        self.write(pieces, from, storage);
        assert!(self.end > base_offset, "an append adds records");
        if bug!(SyncedNotedEarly) {
            self.noted.grown(self.config.note_bytes);
        }
        self.sync_if_due(base_offset, storage);
        self.draft_if_due(now);
        Appended {
            base_offset,
            end: self.end,
        }
    }

    fn must_roll(&self, length: u64, header: &BatchHeader, now: Now) -> bool {
        let full = |active: &Segment| active.is_full_for(length, header.last_offset(), &self.config, now.monotonic);
        self.segments.back().is_none_or(full)
    }

    /// Takes one stamped batch into the active segment and into memory.
    fn add(
        &mut self,
        batch: Batch,
        header: &BatchHeader,
        epoch: LeaderEpoch,
        now: Now,
        pieces: &mut Vec<Piece>,
        storage: &mut Storage,
    ) {
        assert!(
            header.last_offset_delta >= 0 && header.next_offset() > self.end,
            "a batch has records, and offsets left for them"
        );
        self.epochs.assign(epoch, self.end);
        self.producers.update(header, now.monotonic);
        let active = self.segments.back_mut().expect("an append has a segment");
        let position = active.add(header, batch.len() as u64, self.config.index_interval_bytes);
        active.age.get_or_insert(Age {
            since: now.monotonic,
            before_ms: 0,
            began: now.wall,
        });
        self.end = header.next_offset();
        pieces.push(Piece::Header(*batch.header_bytes()));
        pieces.push(Piece::Body(batch.body().clone()));
        let recent = Recent {
            batch,
            segment: active.base,
            position,
            next_offset: self.end,
        };
        storage.remember(self.id, header.base_offset, recent);
    }

    /// Has `pieces` written to the active segment, of which they are the end.
    fn write(&mut self, pieces: Vec<Piece>, position: u64, storage: &mut Storage) {
        if pieces.is_empty() {
            return;
        }
        let active = self.segments.back_mut().expect("what is written has a segment");
        active.standing = Standing::Written;
        storage.append(self.id, active.file, position, pieces, self.end);
        let mark = self.tail();
        self.marks.push_back(mark);
    }

    /// Ends the active segment, if there is one, and plans the next.
    pub(super) fn roll(&mut self, now: Now, storage: &mut Storage) {
        self.draft(now);
        if let Some(active) = self.segments.back_mut() {
            if storage.seal(active.file) {
                active.standing = Standing::Durable;
            }
            let index = core::mem::take(&mut active.index);
            storage.keep_index(active.file, Arc::new(index));
        }
        let file = storage.add_file(self.id, self.place.segment(self.end), Presence::New);
        self.segments.push_back(Segment::planned(self.end, file));
    }

    /// Plans a checkpoint of the active segment as it is now, unless it has one: once it is written, nothing of this can
    /// be lost unnoticed.
    pub fn draft(&mut self, now: Now) {
        let drafted = self.drafts.back().map_or(Offset(-1), |draft| draft.checkpoint.end);
        let due = |active: &Segment| active.size > active.checkpointed && drafted != active.end;
        if self.segments.back().is_some_and(due) {
            self.push_draft(now);
        }
    }

    /// Plans a checkpoint of the active segment whatever there is of it, unless one is on its way.
    pub(super) fn prove(&mut self, now: Now) {
        let there = |active: &Segment| active.standing != Standing::Planned;
        if self.drafts.is_empty() && !self.writing && self.segments.back().is_some_and(there) {
            self.push_draft(now);
        }
    }

    /// What the active segment implies as it is now, on disk or not.
    pub(super) fn checkpoint(&self, now: Now) -> Option<Checkpoint> {
        let active = self.segments.back()?;
        Some(Checkpoint {
            base: active.base,
            size: active.size,
            end: active.end,
            began: active.age.map_or(now.wall, |age| age.began),
            peak: active.peak,
            index: Arc::new(active.index.clone()),
            epochs: self.epochs.clone(),
            producers: self.producers.clone(),
            clean_to: active.clean_to,
        })
    }

    fn push_draft(&mut self, now: Now) {
        let Some((active, checkpoint)) = self.segments.back().zip(self.checkpoint(now)) else {
            return;
        };
        if self.drafts.len() == DRAFTS {
            // It would only have saved the next start some reading.
            self.drafts.pop_front();
        }
        self.drafts.push_back(Draft {
            file: active.file,
            when_durable: self.config.flush == FlushMode::Fsync && !bug!(AckBeforeFsync),
            taken: now.monotonic,
            checkpoint,
        });
    }

    /// Bounds how much recovery has to read: a checkpoint every so many bytes.
    fn draft_if_due(&mut self, now: Now) {
        let Some(active) = self.segments.back() else { return };
        let last = self.drafts.back().filter(|draft| draft.file == active.file);
        let covered = last.map_or(active.checkpointed, |draft| draft.checkpoint.size);
        if self.config.flush == FlushMode::Fsync && active.size - covered >= self.config.checkpoint_bytes {
            self.draft(now);
        }
    }

    /// Takes in what storage said about this log.
    pub fn handle(&mut self, event: &StorageEvent) {
        match *event {
            StorageEvent::Durable { end, .. } => self.became_durable(end),
            StorageEvent::Sealed { file, .. } => {
                // It is among the last ones.
                let sealed = self.segments.iter_mut().rev().find(|segment| segment.file == file);
                if let Some(segment) = sealed {
                    segment.standing = Standing::Durable;
                }
            }
            StorageEvent::WriteFailed { .. } if self.phase != Phase::Deleted => self.phase = Phase::Failed,
            StorageEvent::WriteFailed { .. }
            | StorageEvent::Opened { .. }
            | StorageEvent::Unreadable { .. }
            | StorageEvent::Deleted { .. }
            | StorageEvent::DirectoryFailed(_) => {}
        }
    }

    fn became_durable(&mut self, end: Offset) {
        assert!(
            end > self.durable.offset && end <= self.end,
            "the durable end advances within the log"
        );
        while let Some(&mark) = self.marks.front() {
            if mark.offset > end {
                break;
            }
            let same = mark.segment == self.durable.segment;
            self.noted
                .grown(mark.position - if same { self.durable.position } else { 0 });
            self.durable = mark;
            self.marks.pop_front();
        }
        assert!(self.durable.offset == end, "durability comes by whole appends");
    }

    /// Whether the log failed, and has to be [recovered](Self::recovery).
    pub fn has_failed(&self) -> bool {
        self.phase == Phase::Failed
    }

    /// The next checkpoint to write, if one is due and none is being written. To be asked after each event and outcome.
    pub fn work(&mut self, storage: &mut Storage) -> Option<WriteCheckpoint> {
        if self.writing || !matches!(self.phase, Phase::Open | Phase::Closing) {
            return None;
        }
        loop {
            let draft = self.drafts.front()?;
            let place = self.segment_of(draft.checkpoint.base);
            let place = place.filter(|&place| self.segments[place].file == draft.file);
            let grown = draft.checkpoint.size > 0;
            let durable = draft.when_durable && grown && self.durable.offset >= draft.checkpoint.end;
            match place {
                Some(place) if !durable && !self.is_durable_through(place) => return None,
                Some(_) => break,
                None => drop(self.drafts.pop_front()),
            }
        }
        let draft = self.drafts.pop_front()?;
        self.writing = true;
        storage.hold(self.id);
        Some(WriteCheckpoint::new(&self.place, draft, &mut storage.few_files()))
    }

    /// Whether the segment at this place and all before it were synced: a checkpoint says so of the whole log below its end.
    fn is_durable_through(&mut self, place: usize) -> bool {
        let settled_to = self.settled_to;
        let mut settled = self.segments.partition_point(|segment| segment.base < settled_to);
        // The last one grows, and what is appended to it is not durable yet.
        while settled + 1 < self.segments.len() && self.segments[settled].standing == Standing::Durable {
            settled += 1;
        }
        self.settled_to = settled_to.max(self.segments[settled].base);
        place < settled || (place == settled && self.segments[place].standing == Standing::Durable)
    }

    /// A checkpoint was written, or not. One that could not be written for want of space or descriptors costs time at the
    /// next start, nothing else; any other fault is the directory's.
    pub fn worked(&mut self, outcome: &CheckpointOutcome, storage: &mut Storage) -> Result<(), Fault> {
        assert!(self.writing, "a checkpoint that nobody asked for");
        self.writing = false;
        storage.let_go(self.id);
        match &outcome.result {
            Ok(()) => {
                let written = self.segments.iter_mut().find(|segment| segment.base == outcome.base);
                if let Some(segment) = written {
                    segment.checkpointed = outcome.size;
                    segment.proven = true;
                }
                Ok(())
            }
            Err(fault) if fault.is_shortage() => Ok(()),
            Err(_) if self.phase == Phase::Deleted => Ok(()),
            Err(fault) => Err(fault.clone()),
        }
    }
}
