//! Requests to delete records: each waits until the log durably begins where it asked (KIP-107).
//!
//! Invariant: one mark is on its way at a time, for all that waited when it began.

use super::ask::PartitionAnswer;
use super::job::{LogJob, Purpose};
use super::outcome::Outcome;
use crate::log::{Log, StartOutcome};
use crate::storage::Storage;
use crate::types::{ErrorCode, Fault, Offset};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The requests that wait, and where each wants the log to begin.
#[derive(Debug)]
pub(super) struct Trims<T> {
    waiting: Vec<(T, Offset)>,
}

impl<T> Default for Trims<T> {
    fn default() -> Self {
        Self { waiting: Vec::new() }
    }
}

impl<T: Copy> Trims<T> {
    /// The log is to begin at `upto`; `None` stands for `readable`, the high watermark.
    pub(super) fn ask(
        &mut self,
        part: T,
        upto: Option<Offset>,
        readable: Offset,
        log: &mut Log,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) {
        let upto = upto.unwrap_or(readable);
        if upto > readable {
            let refused = PartitionAnswer::RecordsDeleted(Err(ErrorCode::OffsetOutOfRange));
            return outcome.answers.push((part, refused));
        }
        if upto <= log.marked_start() || upto == Offset::ZERO {
            return outcome
                .answers
                .push((part, PartitionAnswer::RecordsDeleted(Ok(log.start()))));
        }
        self.waiting.push((part, upto));
        self.begin(log, storage, outcome);
    }

    /// Begins the next mark, if one is wanted and none is on its way.
    fn begin(&mut self, log: &mut Log, storage: &mut Storage, outcome: &mut Outcome<T>) {
        let wanted = self.waiting.iter().map(|&(_, upto)| upto).max();
        if let Some(start) = wanted.filter(|_| !log.is_marking()) {
            // What retention removed lies before it, and is to stay away too.
            let start = start.max(log.start());
            let job = LogJob::MarkStart(Box::new(log.mark_start(start, storage)));
            outcome.jobs.push((Purpose::MarkStart, job));
        }
    }

    /// A mark was written, or not.
    pub(super) fn marked(
        &mut self,
        done: &StartOutcome,
        log: &mut Log,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) -> Result<(), Fault> {
        log.start_marked(done, storage)?;
        let begins = done
            .result
            .as_ref()
            .map_or(Err(ErrorCode::KafkaStorageError), |()| Ok(log.start()));
        self.waiting.retain(|&(part, upto)| {
            let waits = upto > done.start;
            if !waits {
                outcome.answers.push((part, PartitionAnswer::RecordsDeleted(begins)));
            }
            waits
        });
        self.begin(log, storage, outcome);
        Ok(())
    }

    /// Refuses all that wait.
    pub(super) fn refuse(self, code: ErrorCode, outcome: &mut Outcome<T>) {
        let refused = self
            .waiting
            .into_iter()
            .map(|(part, _)| (part, PartitionAnswer::RecordsDeleted(Err(code))));
        outcome.answers.extend(refused);
    }
}
