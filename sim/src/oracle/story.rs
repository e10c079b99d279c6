//! The run as a history of sends and polls, for the checkers that know nothing of brokers.

use super::{Checker, Oracle, Place};
use klamm_jepsen::{Anomaly, History, Key, Message, Op, Outcome, Process, Value, check};
use std::collections::BTreeMap;

/// What clients did, as it is told.
#[derive(Default, Debug)]
pub(super) struct Story {
    ops: Vec<Op>,
    keys: BTreeMap<Place, Key>,
    values: u32,
}

impl Story {
    /// A name for the next record that is sent.
    pub(super) fn next_value(&mut self) -> Value {
        self.values += 1;
        Value(self.values - 1)
    }

    fn key(&mut self, place: Place) -> Key {
        let next = Key(self.keys.len() as u32);
        *self.keys.entry(place).or_insert(next)
    }

    /// A record was acknowledged to the simulated producer that sent it.
    pub(super) fn acked(&mut self, place: Place, producer: u32, value: Value, offset: i64) {
        let key = self.key(place);
        self.ops.push(Op::Send {
            process: Process(producer),
            key,
            value,
            outcome: Outcome::Acknowledged(offset),
        });
    }

    /// A client polled, in this order.
    pub(super) fn polled(&mut self, place: Place, client: usize, records: Vec<(i64, Value)>) {
        if records.is_empty() {
            return;
        }
        let key = self.key(place);
        let messages = records
            .into_iter()
            .map(|(offset, value)| Message { key, offset, value });
        self.ops.push(Op::Poll {
            process: Process(client as u32),
            messages: messages.collect(),
        });
    }

    /// A client reads from somewhere else now.
    pub(super) fn assigned(&mut self, client: usize) {
        self.ops.push(Op::Assign {
            process: Process(client as u32),
        });
    }
}

impl Oracle {
    /// Where promises about the partition begin.
    fn kept_from(&self, place: Place) -> i64 {
        self.partitions
            .get(&place)
            .map_or(0, super::places::Partition::kept_from)
    }

    /// A client reads from somewhere else now.
    pub(crate) fn assigned(&mut self, client: usize) {
        self.story.assigned(client);
    }

    /// The run is over, and everything was read: judges its history. Topics that come and go are left out, and so is a
    /// run that was allowed to lose.
    pub(crate) fn judge_history(&mut self) {
        if self.lost_page_cache {
            return;
        }
        // Where each of them starts: what came before, retention has removed.
        let staying: BTreeMap<Key, i64> = {
            let keys = self.story.keys.iter();
            // The checkers know no logs that compaction left gaps in.
            keys.filter(|&(&place, _)| self.stays(place) && !self.is_damaged(place) && !self.has_gaps(place))
                .map(|(&place, &key)| (key, self.kept_from(place)))
                .collect()
        };
        let ops = std::mem::take(&mut self.story.ops).into_iter().filter(|op| match op {
            Op::Send {
                key,
                outcome: Outcome::Acknowledged(offset),
                ..
            } => staying.get(key).is_some_and(|start| offset >= start),
            Op::Send { key, .. } => staying.contains_key(key),
            Op::Poll { messages, .. } => messages
                .first()
                .is_some_and(|message| staying.contains_key(&message.key)),
            Op::Assign { .. } => true,
        });
        let history = History {
            ops: ops.collect(),
            polled_to_the_end: true,
        };
        if let Some(finding) = check(&history).first() {
            let checker = match finding.anomaly {
                Anomaly::Duplicate => Checker::Idempotence,
                Anomaly::NonmonotonicPoll | Anomaly::PollSkip | Anomaly::NonmonotonicSend => Checker::Order,
                Anomaly::InconsistentOffsets | Anomaly::LostWrite | Anomaly::Unseen => Checker::AcknowledgedDurability,
            };
            self.violate(checker, format!("{}: {finding}", finding.anomaly));
        }
    }
}
