//! Writes the checkpoint of a segment that recovery read, so that no other has to read it again.

use super::scan::State;
use super::{Recover, Step, Turn};
use crate::log::checkpoint::Checkpoint;
use crate::storage::{IoResult, IoValue, Job, Next, Replace};
use crate::types::{Fault, Monotonic};
use alloc::sync::Arc;

impl Recover {
    pub(super) fn write_checkpoint(&mut self) -> Turn {
        let State {
            segment,
            epochs,
            producers,
        } = &self.state;
        let checkpoint = Checkpoint {
            base: segment.base,
            size: segment.size,
            end: segment.end,
            began: segment.age.map_or(self.settings.wall, |age| age.began),
            peak: segment.peak,
            index: Arc::new(segment.index.clone()),
            epochs: epochs.clone(),
            producers: producers.clone(),
            clean_to: segment.clean_to,
        };
        let file = self.files.next();
        let path = self.place.checkpoint(segment.stem());
        let temporary = self.place.temporary(segment.stem(), file.0);
        let bytes = checkpoint.encode(Monotonic(0)).into();
        let mut replace = Replace::new(file, path, temporary, bytes);
        match replace.resume(Ok(IoValue::Done)) {
            Next::Io(op) => self.io(Step::Writing(replace), op),
            Next::Later | Next::Done(_) => unreachable!("writing a file begins with an operation"),
        }
    }

    /// The checkpoint's file took a step. A full disk costs the checkpoint, nothing else, and so does a
    /// lack of descriptors.
    pub(super) fn writing(&mut self, mut replace: Replace, done: IoResult) -> Turn {
        match replace.resume(done) {
            Next::Io(op) => self.io(Step::Writing(replace), op),
            Next::Later => {
                self.step = Step::Writing(replace);
                Next::Later
            }
            Next::Done(Ok(())) => {
                self.state.segment.checkpointed = self.state.segment.size;
                self.state.segment.proven = true;
                self.push_done()
            }
            Next::Done(Err(fault)) if fault.is_shortage() => self.push_done(),
            // It may have been a sync: nobody tries it again.
            Next::Done(Err(fault)) => Next::Done(Err(Fault::Unsynced(alloc::string::ToString::to_string(&fault)))),
        }
    }
}
