//! The checkers. One pass puts every value that is known to stand somewhere into its log; a second one follows each
//! process through it.

use crate::history::{History, Key, Message, Op, Outcome, Process, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What must not be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Anomaly {
    /// Two values at one offset of a log.
    InconsistentOffsets,
    /// One value at two offsets. Kafka allows it to producers that are not idempotent and send again.
    Duplicate,
    /// An acknowledged value that nobody polled, though somebody polled a later offset of its log.
    LostWrite,
    /// An acknowledged value beyond everything that was polled, though every log was polled to its end.
    Unseen,
    /// A process polled an offset that is not after the one it polled before.
    NonmonotonicPoll,
    /// A process polled past an offset that holds a value.
    PollSkip,
    /// A process sent a value after another, and it came to lie before it.
    NonmonotonicSend,
}

impl Anomaly {
    /// As Jepsen names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::InconsistentOffsets => "inconsistent-offsets",
            Self::Duplicate => "duplicate",
            Self::LostWrite => "lost-write",
            Self::Unseen => "unseen",
            Self::NonmonotonicPoll => "nonmonotonic-poll",
            Self::PollSkip => "poll-skip",
            Self::NonmonotonicSend => "nonmonotonic-send",
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An anomaly and where it shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What it is.
    pub anomaly: Anomaly,
    /// The message that shows it.
    pub message: Message,
    /// What it conflicts with: the other offset or the other value, by kind.
    pub other: i64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { key, offset, value } = self.message;
        let other = self.other;
        let (key, value) = (key.0, value.0);
        match self.anomaly {
            Anomaly::InconsistentOffsets => write!(f, "log {key} offset {offset} holds {value} and {other}"),
            Anomaly::Duplicate => write!(f, "log {key} holds {value} at {offset} and at {other}"),
            Anomaly::LostWrite => write!(f, "log {key}: {value} at {offset} was never polled, {other} was"),
            Anomaly::Unseen => write!(f, "log {key}: {value} at {offset} was not polled, only up to {other}"),
            Anomaly::NonmonotonicPoll => write!(f, "log {key}: {value} at {offset} was polled after {other}"),
            Anomaly::PollSkip => write!(f, "log {key}: the poll of {offset} left out {other}"),
            Anomaly::NonmonotonicSend => write!(f, "log {key}: {value} came to {offset}, after a send to {other}"),
        }
    }
}

/// What stands at an offset.
#[derive(Clone, Copy, Default)]
struct Slot {
    value: Option<Value>,
    polled: bool,
}

/// A log as the history shows it: dense over the offsets that it names.
#[derive(Default)]
struct Log {
    first: i64,
    slots: Vec<Slot>,
    last_polled: Option<i64>,
}

impl Log {
    fn slot(&mut self, offset: i64) -> &mut Slot {
        &mut self.slots[(offset - self.first) as usize]
    }
}

/// Everything that is wrong with a history, in the order it shows.
pub fn check(history: &History) -> Vec<Finding> {
    let mut logs = span(history);
    let mut findings = Vec::new();
    place(history, &mut logs, &mut findings);
    find_lost(history, &mut logs, &mut findings);
    follow_processes(history, &mut logs, &mut findings);
    findings
}

/// Every message that an operation proves.
fn messages(op: &Op) -> impl Iterator<Item = Message> + '_ {
    let (sent, polled): (Option<Message>, &[Message]) = match op {
        Op::Send {
            key,
            value,
            outcome: Outcome::Acknowledged(offset),
            ..
        } => {
            let message = Message {
                key: *key,
                offset: *offset,
                value: *value,
            };
            (Some(message), &[])
        }
        Op::Poll { messages, .. } => (None, messages),
        Op::Send { .. } | Op::Assign { .. } => (None, &[]),
    };
    sent.into_iter().chain(polled.iter().copied())
}

/// Room for every offset that the history names.
fn span(history: &History) -> Vec<Log> {
    let mut bounds: Vec<Option<(i64, i64)>> = Vec::new();
    for message in history.ops.iter().flat_map(messages) {
        let index = message.key.0 as usize;
        if bounds.len() <= index {
            bounds.resize(index + 1, None);
        }
        let (low, high) = bounds[index].unwrap_or((message.offset, message.offset));
        bounds[index] = Some((low.min(message.offset), high.max(message.offset)));
    }
    let log = |bounds: Option<(i64, i64)>| match bounds {
        None => Log::default(),
        Some((low, high)) => Log {
            first: low,
            slots: vec![Slot::default(); (high - low + 1) as usize],
            last_polled: None,
        },
    };
    bounds.into_iter().map(log).collect()
}

/// Puts every message into its log: inconsistent offsets and duplicates.
fn place(history: &History, logs: &mut [Log], findings: &mut Vec<Finding>) {
    let mut offsets: Vec<Option<(Key, i64)>> = Vec::new();
    for op in &history.ops {
        let polled = matches!(op, Op::Poll { .. });
        for message in messages(op) {
            let log = &mut logs[message.key.0 as usize];
            if polled {
                log.last_polled = log.last_polled.max(Some(message.offset));
            }
            let slot = log.slot(message.offset);
            slot.polled |= polled;
            match slot.value {
                Some(known) if known != message.value => findings.push(Finding {
                    anomaly: Anomaly::InconsistentOffsets,
                    message,
                    other: i64::from(known.0),
                }),
                _ => slot.value = Some(message.value),
            }
            let index = message.value.0 as usize;
            if offsets.len() <= index {
                offsets.resize(index + 1, None);
            }
            match offsets[index] {
                Some((key, offset)) if (key, offset) != (message.key, message.offset) => findings.push(Finding {
                    anomaly: Anomaly::Duplicate,
                    message,
                    other: offset,
                }),
                _ => offsets[index] = Some((message.key, message.offset)),
            }
        }
    }
}

/// Acknowledged values that nobody polled: lost, or unseen.
fn find_lost(history: &History, logs: &mut [Log], findings: &mut Vec<Finding>) {
    for op in &history.ops {
        let Op::Send { .. } = op else { continue };
        for message in messages(op) {
            let log = &mut logs[message.key.0 as usize];
            let last = log.last_polled;
            if log.slot(message.offset).polled {
                continue;
            }
            let anomaly = match last {
                Some(last) if last > message.offset => Anomaly::LostWrite,
                _ if history.polled_to_the_end => Anomaly::Unseen,
                _ => continue,
            };
            findings.push(Finding {
                anomaly,
                message,
                other: last.unwrap_or(-1),
            });
        }
    }
}

/// Where each process stands in each log: polls that go back or leave out, sends that overtake.
fn follow_processes(history: &History, logs: &mut [Log], findings: &mut Vec<Finding>) {
    let mut polled: BTreeMap<Process, BTreeMap<Key, i64>> = BTreeMap::new();
    let mut sent: BTreeMap<(Process, Key), i64> = BTreeMap::new();
    for op in &history.ops {
        match op {
            Op::Assign { process } => {
                polled.remove(process);
            }
            Op::Poll { process, messages } => {
                let positions = polled.entry(*process).or_default();
                for &message in messages {
                    let before = positions.insert(message.key, message.offset);
                    if let Some(before) = before {
                        let log = &mut logs[message.key.0 as usize];
                        findings.extend(judge_step(log, message, before));
                    }
                }
            }
            Op::Send {
                process,
                key,
                value,
                outcome: Outcome::Acknowledged(offset),
            } => {
                if let Some(before) = sent.insert((*process, *key), *offset)
                    && before >= *offset
                {
                    let message = Message {
                        key: *key,
                        offset: *offset,
                        value: *value,
                    };
                    findings.push(Finding {
                        anomaly: Anomaly::NonmonotonicSend,
                        message,
                        other: before,
                    });
                }
            }
            Op::Send { .. } => {}
        }
    }
}

/// A process went from offset `before` to `message`.
fn judge_step(log: &mut Log, message: Message, before: i64) -> Option<Finding> {
    if message.offset <= before {
        return Some(Finding {
            anomaly: Anomaly::NonmonotonicPoll,
            message,
            other: before,
        });
    }
    let skipped = (before + 1..message.offset).find(|&offset| log.slot(offset).value.is_some());
    skipped.map(|other| Finding {
        anomaly: Anomaly::PollSkip,
        message,
        other,
    })
}
