//! Appends: what a producer's batch must be, and when it is acknowledged.

use super::{Leader, Unacknowledged};
use crate::bugs::bug;
use crate::log::Check;
use crate::marks::mark;
use crate::partition::ask::{Acks, NotProduced, PartitionAnswer, Produced};
use crate::partition::job::{LogJob, Purpose, Validate};
use crate::partition::outcome::Outcome;
use crate::record::validate::{Keys, ProduceRules, Validation, single_batch, validate_opened, validate_produce};
use crate::record::{Batch, BatchError, CodecError, Rejection, Restamp, TimestampType};
use crate::storage::Storage;
use crate::types::{ErrorCode, Now, Offset, Refusal};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use bytes::Bytes;
use core::fmt::Debug;

/// The most bytes that a compressed batch may have once it is opened.
const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

impl<T: Copy + Debug> Leader<T> {
    pub(super) fn produce(
        &mut self,
        part: T,
        records: &Bytes,
        acks: Acks,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) {
        let rules = self.rules(now);
        let checked = single_batch(records).map_err(Rejection::from).and_then(|batch| {
            let to = batch
                .header()
                .compression()
                .map(|codec| self.config.recompression(codec));
            let validation = match validate_produce(&batch, &rules)? {
                Validation::NeedsDecompression if batch.len() <= self.opened_in_step && to == Ok(None) => {
                    open_small(&batch, &rules, self.opened_in_step * 2)?
                }
                validation => validation,
            };
            Ok((batch, validation, to?))
        });
        match checked {
            Ok((batch, Validation::Valid(restamp), None)) => {
                self.append(part, batch, restamp, acks, now, storage, outcome);
            }
            Ok((batch, _, to)) => {
                self.held = Some(VecDeque::new());
                let job = LogJob::Validate(Box::new(Validate {
                    batch,
                    rules,
                    bound: MAX_DECOMPRESSED_BYTES,
                    to,
                }));
                outcome.jobs.push((Purpose::Produce(part, acks, self.incarnation), job));
            }
            Err(error) => self.reject(part, &error, outcome),
        }
    }

    fn rules(&self, now: Now) -> ProduceRules {
        ProduceRules {
            max_message_bytes: self.config.max_message_bytes as usize,
            keys: if self.config.cleanup.compacts() {
                Keys::Required
            } else {
                Keys::Optional
            },
            timestamp_type: self.config.timestamp_type,
            now: now.wall,
            before_max_ms: self.config.timestamp_before_max_ms,
            after_max_ms: self.config.timestamp_after_max_ms,
        }
    }

    pub(super) fn append(
        &mut self,
        part: T,
        mut batch: Batch,
        restamp: Restamp,
        acks: Acks,
        now: Now,
        storage: &mut Storage,
        outcome: &mut Outcome<T>,
    ) {
        let header = batch.header();
        let refusal = |code, text: &str| {
            let message = Some(String::from(text));
            NotProduced::from(Refusal { code, message })
        };
        if header.is_transactional() {
            let text = "This broker does not serve transactions.";
            let refused = PartitionAnswer::Produced(Err(refusal(ErrorCode::InvalidTxnState, text)));
            return outcome.answers.push((part, refused));
        }
        let minimum = usize::from(self.config.min_insync_replicas).min(self.replication_factor);
        if acks == Acks::All && self.replicas.len() < minimum {
            let refused = refusal(ErrorCode::NotEnoughReplicas, "Too few replicas are in sync.");
            return self.refuse(part, refused, outcome);
        }
        let mut appended_at = now.wall;
        let (base_offset, end) = match self.log.check(&header, now) {
            Check::New => {
                if i64::MAX - self.log.end().0 <= i64::from(header.last_offset_delta) {
                    let refused = refusal(ErrorCode::InvalidRecord, "The partition has no offsets left.");
                    return self.refuse(part, refused, outcome);
                }
                batch.restamp(restamp);
                outcome.appended.batches += 1;
                outcome.appended.records += u64::from(header.record_count.unsigned_abs());
                let bytes = batch.len();
                outcome.appended.bytes += bytes as u64;
                let appended = self.log.append([batch], self.epoch, now, storage);
                self.unreadable.push_back((appended.end, bytes));
                outcome.sync_at = self.log.sync_at().or(outcome.sync_at);
                (appended.base_offset, appended.end)
            }
            Check::Duplicate(_) if bug!(RetryGetsNewOffset) => (self.log.end(), self.log.end()),
            Check::Duplicate(original) if bug!(RetryAnsweredEarly) => (original.base_offset, Offset::ZERO),
            Check::Duplicate(original) => {
                if original.next_offset() > self.log.durable_end() {
                    mark!(RetryBeforeDurable);
                }
                appended_at = original.timestamp;
                (original.base_offset, original.next_offset())
            }
            Check::Full => {
                // Of the errors after which every client tries again, the one that says that nothing was appended.
                let text = "The partition remembers as many producers as it may. Try again later.";
                return self.refuse(part, refusal(ErrorCode::NotEnoughReplicas, text), outcome);
            }
            Check::Error(code) => return self.refuse(part, code.into(), outcome),
        };
        let log_append_time = (self.config.timestamp_type == TimestampType::LogAppendTime).then_some(appended_at);
        let produced = Produced {
            base_offset,
            log_append_time,
            log_start_offset: self.log.start(),
        };
        self.acknowledge_later(Unacknowledged { part, end, produced }, acks);
        self.acknowledge(outcome);
    }

    /// A batch is not what a producer's has to be.
    pub(super) fn reject(&self, part: T, rejection: &Rejection, outcome: &mut Outcome<T>) {
        let refused = NotProduced::from(rejection);
        if rejection.is_of_request() {
            return outcome.answers.push((part, PartitionAnswer::Produced(Err(refused))));
        }
        self.refuse(part, refused, outcome);
    }

    /// An append is refused. Who looked at the log says where it starts, but for batches that are corrupt or too large
    /// (`ReplicaManager.appendToLocalLog`).
    fn refuse(&self, part: T, mut refused: NotProduced, outcome: &mut Outcome<T>) {
        let code = refused.refusal.code;
        if !matches!(code, ErrorCode::CorruptMessage | ErrorCode::MessageTooLarge) {
            refused.log_start_offset = Some(self.log.start());
        }
        outcome.answers.push((part, PartitionAnswer::Produced(Err(refused))));
    }

    /// Appends wait in the order of their ends; only a retry comes with an end before that of the last.
    fn acknowledge_later(&mut self, waiting: Unacknowledged<T>, acks: Acks) {
        let queue = match acks {
            // Nobody waits for it, but what comes behind on its connection has to see its effect.
            Acks::None | Acks::Leader => &mut self.until_synced,
            Acks::All => &mut self.until_committed,
        };
        let at = queue.partition_point(|before| before.end <= waiting.end);
        queue.insert(at, waiting);
    }

    /// Answers the appends that satisfy their acks.
    pub(super) fn acknowledge(&mut self, outcome: &mut Outcome<T>) {
        let (synced, committed) = (self.log.durable_end(), self.high_watermark);
        for (queue, reached) in [(&mut self.until_synced, synced), (&mut self.until_committed, committed)] {
            while let Some(first) = queue.pop_front() {
                if first.end > reached {
                    queue.push_front(first);
                    break;
                }
                outcome
                    .answers
                    .push((first.part, PartitionAnswer::Produced(Ok(first.produced))));
            }
        }
    }
}

/// Opens a compressed batch here and now, if its records are at most so many bytes.
fn open_small(batch: &Batch, rules: &ProduceRules, bound: usize) -> Result<Validation, Rejection> {
    match validate_opened(batch, rules, bound, None) {
        Ok((_, restamp)) => Ok(Validation::Valid(restamp)),
        Err(Rejection::Batch(BatchError::Codec(CodecError::TooLarge { .. }))) => Ok(Validation::NeedsDecompression),
        Err(rejection) => Err(rejection),
    }
}
