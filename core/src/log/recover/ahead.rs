//! The deliberate bugs that hold on to what a log was before its tail was cut off: recovery reads the log from its files, as
//! it should, and keeps more than it found there.

use super::Recover;
use crate::bugs::bug;
use crate::log::checkpoint::Checkpoint;

impl Recover {
    /// What the log would have said of itself before a write of it failed.
    pub(in crate::log) fn believe(&mut self, checkpoint: Option<Checkpoint>) {
        self.ahead = checkpoint;
    }

    /// Keeps what is believed of batches that the last segment does not hold.
    pub(super) fn keep_ahead(&mut self) {
        let last = self.at + 1 >= self.listed.len();
        let state = &mut self.state;
        let newer = |ahead: &mut Checkpoint| last && ahead.end > state.segment.end;
        let Some(ahead) = self.ahead.take_if(newer) else { return };
        if bug!(KeepIndexPastTail) && ahead.base == state.segment.base {
            let entries = ahead.index.entries().iter();
            let past = entries.filter(|entry| u64::from(entry.position) >= state.segment.size);
            past.for_each(|&entry| state.segment.index.push(entry));
        }
        if bug!(StaleProducerSnapshot) {
            state.producers = ahead.producers;
        }
    }
}
