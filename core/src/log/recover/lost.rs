//! A log that holds less than was synced of it: it is not opened, now or later.
//!
//! Invariant: the manifest, which says how much there was, is gone after one start; so whoever finds it, or the log's note,
//! unfulfilled puts a mark beside what is left before anything else, cuts nothing off, and the mark keeps the log from being
//! opened or begun anew.

use super::{Recover, Step, Turn};
use crate::config::FlushMode;
use crate::marks::mark;
use crate::storage::{FileOp, IoValue, Next, OpenMode};
use crate::types::{Fault, Offset};
use alloc::format;

impl Recover {
    /// Whether a log that ends at `end` has lost what was synced, and not deleted.
    pub(super) fn is_short(&self, end: Offset) -> bool {
        let deleted = self.marks.last().copied().unwrap_or_default();
        end.max(deleted) < self.promised
    }

    /// Whether a segment that is good up to `end` only holds other bytes there than were synced. What deletes records is
    /// durable after them: with `flush=fsync` all below a mark was synced, and live records may stand behind it.
    pub(super) fn is_broken_at(&self, end: Offset) -> bool {
        end < self.synced_to()
    }

    fn synced_to(&self) -> Offset {
        let deleted = self.marks.last().filter(|_| self.settings.flush == FlushMode::Fsync);
        self.promised.max(deleted.copied().unwrap_or_default())
    }

    /// Marks the log, and ends badly.
    pub(super) fn lose(&mut self, end: Offset) -> Turn {
        mark!(SyncedBytesMissing);
        let (name, promised) = (self.place.name(), self.synced_to());
        let text = format!("{name} was synced up to offset {promised}, and is whole up to {end} only");
        self.file = self.files.next();
        self.mark(Fault::Corruption(text))
    }

    /// Takes the next step towards a bad end.
    pub(super) fn end_badly(&mut self, value: &IoValue) -> Turn {
        match core::mem::replace(&mut self.step, Step::Begin) {
            // The process had no descriptor left: once more.
            Step::MarkOpened(fault) if *value == IoValue::Done => self.mark(fault),
            Step::MarkOpened(fault) => self.close(self.file, Step::MarkClosed(fault)),
            Step::MarkClosed(fault) => self.marked(fault),
            Step::Failed(fault) => self.fail(fault),
            step => unreachable!("{step:?} is no bad end"),
        }
    }

    fn mark(&mut self, fault: Fault) -> Turn {
        let open = FileOp::Open {
            file: self.file,
            path: self.place.lost(),
            mode: OpenMode::CreateOrEmpty,
        };
        self.io(Step::MarkOpened(fault), open)
    }

    /// The mark's file is closed: its name is made durable.
    fn marked(&mut self, fault: Fault) -> Turn {
        let path = self.place.path.clone();
        self.io(Step::Failed(fault), FileOp::SyncDirectory { path })
    }

    /// The directory holds a mark.
    pub(super) fn was_lost(&self) -> Turn {
        let (lost, synced) = (self.place.lost(), self.place.synced());
        let text = format!(
            "{lost} in the data directory says that records of this log were lost. Put back what is missing and remove \
             {lost}; or remove {lost} and, if it is there, {synced}, to go on with what is whole and lose the rest for good. \
             Then start the broker again"
        );
        Next::Done(Err(Fault::Corruption(text)))
    }
}
