//! Where a log begins: at its first segment, or behind what clients had deleted (`DeleteRecords`, KIP-107).
//!
//! The second is marked by an empty file whose name is the offset: it is there or not, whatever happens to it.
//!
//! Invariants:
//! - the log begins at an offset that was asked for only once the mark is durable: what was deleted stays so, and where the
//!   log lost its end down to below the mark, it begins and ends there: no offset that was deleted is given again;
//! - only whole segments below the start are removed, the oldest first, never the one that grows;
//! - a segment is removed only while a later one is durably there and has a checkpoint: the log never forgets where it
//!   ends, and recovery can tell a start that moved from a first segment that was lost.

use super::machine::{Log, Phase};
use super::segment::Standing;
use crate::bugs::bug;
use crate::config::FlushMode;
use crate::storage::{FileOp, FilePath, IoErrorKind, IoResult, Job, Next, Replace, Storage};
use crate::types::{Fault, Now, Offset};
use bytes::Bytes;

/// The job that marks where a log begins.
#[derive(Debug)]
pub struct MarkStart {
    start: Offset,
    replace: Replace,
    step: Step,
    /// The directory whose sync makes the log's own directory durable, where nothing says that it is.
    parent: Option<FilePath>,
    /// The mark before, which says nothing any more.
    before: Option<FilePath>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Begin,
    /// The name of the log's directory is being synced.
    Placing,
    Marking,
    Removing,
}

/// What became of a mark.
#[derive(Debug)]
pub struct StartOutcome {
    /// Where the log is to begin.
    pub start: Offset,
    /// Whether it may.
    pub result: Result<(), Fault>,
}

impl Job for MarkStart {
    type Outcome = StartOutcome;

    fn resume(&mut self, done: IoResult) -> Next<StartOutcome> {
        match (self.step, done) {
            (Step::Begin, done) => match self.parent.take() {
                Some(path) => {
                    self.step = Step::Placing;
                    Next::Io(FileOp::SyncDirectory { path })
                }
                None => self.mark(done),
            },
            (Step::Placing, Err(error)) if error.kind == IoErrorKind::TooManyOpenFiles => {
                self.done(Err(Fault::NoDescriptors))
            }
            (Step::Placing, Err(error)) => self.done(Err(Fault::Device(error.text))),
            (Step::Placing | Step::Marking, done) => self.mark(done),
            // A mark that is left over is removed by the next recovery.
            (Step::Removing, _) => self.done(Ok(())),
        }
    }
}

impl MarkStart {
    /// Takes the next step of the mark's file.
    fn mark(&mut self, done: IoResult) -> Next<StartOutcome> {
        self.step = Step::Marking;
        let result = match self.replace.resume(done) {
            Next::Io(FileOp::SyncDirectory { .. }) if bug!(StartMarkNotSynced) => Ok(()),
            Next::Io(op) => return Next::Io(op),
            Next::Later => return Next::Later,
            Next::Done(result) => result,
        };
        match self.before.take() {
            Some(path) if result.is_ok() => {
                self.step = Step::Removing;
                Next::Io(FileOp::Remove { path })
            }
            _ => self.done(result),
        }
    }

    fn done(&mut self, result: Result<(), Fault>) -> Next<StartOutcome> {
        let start = self.start;
        Next::Done(StartOutcome { start, result })
    }
}

impl Log {
    /// Whether a mark is being written.
    pub const fn is_marking(&self) -> bool {
        self.marking
    }

    /// Up to where records are gone for good. Those that retention removed may come back with a power cut.
    pub fn marked_start(&self) -> Offset {
        self.marked.unwrap_or_default()
    }

    /// The job that lets the log begin at `start`, a readable offset not before its start. One at a time.
    pub fn mark_start(&mut self, start: Offset, storage: &mut Storage) -> MarkStart {
        assert!(!self.marking, "the start of a log is marked twice at once");
        assert!(
            self.start <= start && start <= self.durable.offset,
            "a log begins at an offset that it holds"
        );
        self.marking = true;
        storage.hold(self.id);
        let file = storage.few_files().next();
        let (path, temporary) = (self.place.start(start), self.place.temporary_start(start, file.0));
        // Without acknowledgements that waited for it, the directory's name may not be durable; then it may be lost, and the
        // log begin anew at offsets that were deleted.
        let placed = self.config.flush == FlushMode::Fsync || self.segments.iter().any(|segment| segment.proven);
        MarkStart {
            start,
            replace: Replace::new(file, path, temporary, Bytes::new()),
            step: Step::Begin,
            parent: (!placed).then(|| self.place.path.parent()),
            before: self.marked.map(|before| self.place.start(before)),
        }
    }

    /// The mark was written, or not: for want of space or descriptors the log begins where it did; any other fault is the
    /// directory's.
    pub fn start_marked(&mut self, outcome: &StartOutcome, storage: &mut Storage) -> Result<(), Fault> {
        assert!(self.marking, "a mark that nobody asked for");
        self.marking = false;
        storage.let_go(self.id);
        match &outcome.result {
            Ok(()) => {
                self.marked = Some(outcome.start);
                self.begin_at(outcome.start);
                Ok(())
            }
            Err(fault) if fault.is_shortage() => Ok(()),
            Err(_) if self.phase == Phase::Deleted => Ok(()),
            Err(fault) => Err(fault.clone()),
        }
    }

    /// The log begins at `start` from now on, unless it begins later.
    pub(super) fn begin_at(&mut self, start: Offset) {
        self.start = self.start.max(start);
        self.epochs.advance_start(self.start);
        self.spans.advance_start(self.start);
    }

    /// Removes segments that lie below the start, as far as they may go now. To be called when the start moved, and
    /// after each checkpoint.
    pub fn remove_passed(&mut self, now: Now, storage: &mut Storage) {
        while self.phase == Phase::Open
            && self.segments.front().is_some_and(|oldest| oldest.end <= self.start)
            && self.may_remove_oldest(now)
        {
            self.remove_oldest(storage);
        }
    }

    /// Whether the oldest segment may go; asks for the checkpoint that is missing, if one is.
    pub(super) fn may_remove_oldest(&mut self, now: Now) -> bool {
        if self.is_compacting() {
            // What a compaction reads stays until it is done.
            return false;
        }
        let [oldest, next] = [0, 1].map(|place| self.segments.get(place).map(|segment| segment.standing));
        if oldest != Some(Standing::Durable) || next.is_none_or(|next| next == Standing::Planned) {
            return false;
        }
        if self.segments.len() == 2 && !self.is_there_for_good() {
            return false;
        }
        let proven = self.segments.iter().skip(1).any(|segment| segment.proven);
        if !proven {
            self.prove(now);
        }
        proven
    }

    /// Whether the last segment would be found after any crash.
    fn is_there_for_good(&self) -> bool {
        let Some(last) = self.segments.back() else { return false };
        last.standing == Standing::Durable || (last.size > 0 && self.durable.offset > last.base)
    }

    /// Removes the oldest segment, behind which there is another.
    pub(super) fn remove_oldest(&mut self, storage: &mut Storage) {
        let gone = self.segments.pop_front().expect("there is one to remove");
        storage.remove(self.id, gone.file, self.place.checkpoint(gone.stem()));
        let next = self.segments.front().expect("a log keeps its last segment").base;
        self.begin_at(next);
    }
}
