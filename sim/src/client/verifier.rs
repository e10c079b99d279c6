//! The last client: when everything is calm it appends a record to every partition, reads every log from its start, and
//! compares where the log ends with the high watermark.

use super::{Hands, Pending, Wire};
use crate::batch::{NewRecord, ProducerTag, build};
use crate::compress::Compression;
use crate::frame::{EARLIEST, Fetch, FetchPart, ProducePart, Request, Response, TopicRef};
use crate::oracle::{Checker, Place};
use crate::stage::{MILLIS, Nanos};
use crate::value::{Mark, fold_topic};
use bytes::Bytes;

/// `KAFKA_STORAGE_ERROR`.
const STORAGE_ERROR: i16 = 56;

/// What comes next for the partition at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Append,
    /// Where does the log start?
    Start,
    Read {
        from: i64,
    },
    /// The log was read up to here; the end offset must agree.
    End {
        read: i64,
    },
}

#[derive(Debug)]
pub(super) struct Verifier {
    number: u32,
    appends: bool,
    max_bytes: i32,
    /// Partitions still to do, the one at hand last; `None` until metadata told them.
    left: Option<Vec<(TopicRef, i32)>>,
    step: Step,
    waiting: bool,
    next_at: Nanos,
}

impl Verifier {
    pub(super) fn new(index: usize, appends: bool, max_bytes: i32) -> Self {
        let mut verifier = Self {
            number: index as u32,
            appends,
            max_bytes,
            left: None,
            step: Step::Append,
            waiting: false,
            next_at: 0,
        };
        verifier.step = verifier.first_step();
        verifier
    }

    fn first_step(&self) -> Step {
        if self.appends { Step::Append } else { Step::Start }
    }

    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    pub(super) fn finished(&self) -> bool {
        self.left.as_ref().is_some_and(Vec::is_empty)
    }

    pub(super) fn disconnected(&mut self) {
        self.waiting = false;
    }

    pub(super) fn step(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        if self.waiting || hands.stage.now() < self.next_at {
            return;
        }
        let request = match &self.left {
            None => Request::Metadata {
                topics: hands.options.topics.iter().map(|topic| topic.name.clone()).collect(),
            },
            Some(left) => match left.last() {
                Some((topic, partition)) => self.ask(topic.clone(), *partition, hands),
                None => return,
            },
        };
        self.waiting = true;
        wire.send(hands, request, 0);
    }

    fn ask(&self, topic: TopicRef, partition: i32, hands: &mut Hands<'_>) -> Request {
        match self.step {
            Step::Append => {
                let mark = Mark {
                    producer: self.number,
                    session: 0,
                    sequence: hands.stage.now(),
                    partition,
                    topic: fold_topic(&topic.id),
                };
                let record = NewRecord {
                    timestamp: hands.options.wall,
                    key: hands.options.key_of(&topic.name),
                    value: mark.encode(100),
                    headers: Vec::new(),
                };
                let records = Bytes::from(build(&[record], ProducerTag::NONE, Compression::None));
                hands.oracle.sent(Place::new(topic.id, partition), &[mark], &records);
                let part = ProducePart {
                    topic,
                    partition,
                    records,
                };
                Request::Produce {
                    acks: -1,
                    parts: vec![part],
                }
            }
            Step::Read { from } => Request::Fetch(Fetch {
                max_wait_ms: 0,
                min_bytes: 0,
                max_bytes: self.max_bytes,
                session_id: 0,
                session_epoch: -1,
                parts: vec![FetchPart {
                    topic,
                    partition,
                    leader_epoch: -1,
                    offset: from,
                    max_bytes: self.max_bytes,
                }],
            }),
            Step::Start | Step::End { .. } => Request::ListOffsets {
                topic,
                partitions: vec![partition],
                timestamp: if self.step == Step::Start { EARLIEST } else { -1 },
            },
        }
    }

    pub(super) fn answer(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        self.waiting = false;
        let error = match (response, &pending.request) {
            (Response::Metadata { topics }, _) => self.learn(hands, &topics),
            (Response::Produce(answers), Request::Produce { parts, .. }) => match answers.first() {
                Some(answer) if answer.error == 0 => {
                    let place = Place::new(parts[0].topic.id, parts[0].partition);
                    hands.oracle.acked(place, answer.base_offset, &parts[0].records);
                    self.step = Step::Start;
                    0
                }
                answer => answer.map_or(-1, |answer| answer.error),
            },
            (Response::Fetch { error: 0, parts, .. }, Request::Fetch(asked)) => match parts.first() {
                Some(part) if part.error == 0 => {
                    let asked_part = &asked.parts[0];
                    let place = Place::new(asked_part.topic.id, asked_part.partition);
                    let next = hands.oracle.fetched(place, wire.index, asked_part.offset, part, asked);
                    self.step = if next == asked_part.offset || next >= part.high_watermark {
                        Step::End { read: next }
                    } else {
                        Step::Read { from: next }
                    };
                    0
                }
                // OFFSET_OUT_OF_RANGE: retention was faster.
                Some(part) if part.error == 1 && self.may_be_removed(hands, asked.parts[0].offset) => {
                    self.step = Step::Start;
                    0
                }
                part => part.map_or(-1, |part| part.error),
            },
            (Response::ListOffsets(listed), _) => match listed.first() {
                Some(found) if found.error == 0 => {
                    self.found(wire.index, hands, found.offset);
                    0
                }
                found => found.map_or(-1, |found| found.error),
            },
            (response, _) => {
                let text = format!("the verifying client cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
                0
            }
        };
        if error == STORAGE_ERROR
            && let Some(left) = &mut self.left
            && let Some((topic, partition)) = left.last()
            && hands.oracle.refused(Place::new(topic.id, *partition))
        {
            left.pop();
            self.step = self.first_step();
        } else if error != 0 {
            // A partition may still be opening; the phase has its own bound on how long that may take.
            hands.oracle.counts.errors += 1;
            if !super::is_retriable(error) {
                let text = format!("error {error} when everything is calm, at {:?}", self.step);
                hands.oracle.violate(Checker::Liveness, text);
            }
            self.next_at = hands.stage.now() + 20 * MILLIS;
        }
    }

    fn learn(&mut self, hands: &mut Hands<'_>, topics: &[crate::frame::TopicMetadata]) -> i16 {
        let mut left = Vec::new();
        for told in topics {
            hands.oracle.metadata(told);
            if told.error != 0 {
                return told.error;
            }
            for &(partition, error, _) in &told.partitions {
                if error != 0 {
                    return error;
                }
                left.push((told.topic.clone(), partition));
            }
        }
        self.left = Some(left);
        0
    }

    /// The partition at hand.
    fn place(&self) -> Option<Place> {
        let (topic, partition) = self.left.as_ref()?.last()?;
        Some(Place::new(topic.id, *partition))
    }

    fn may_be_removed(&self, hands: &Hands<'_>, offset: i64) -> bool {
        self.place()
            .is_some_and(|place| hands.oracle.may_be_removed(place, offset))
    }

    /// The log's start or its end was found.
    fn found(&mut self, client: usize, hands: &mut Hands<'_>, offset: i64) {
        match self.step {
            Step::Start => {
                if let Some(place) = self.place() {
                    hands.oracle.log_start(place, offset);
                    hands.oracle.assigned(client);
                }
                self.step = Step::Read { from: offset };
            }
            Step::End { read } => self.compare_end(hands, read, offset),
            Step::Append | Step::Read { .. } => {}
        }
    }

    fn compare_end(&mut self, hands: &mut Hands<'_>, read: i64, end: i64) {
        if end > read {
            // A request without acks that had been under way; it must become readable in time.
            self.step = Step::Read { from: read };
            return;
        }
        let excused = self.place().is_some_and(|place| hands.oracle.may_lack(place));
        if end < read && !excused {
            let text = format!("the log was read up to {read}, its end is said to be {end}");
            hands.oracle.violate(Checker::HighWatermark, text);
        }
        if let Some(left) = &mut self.left {
            left.pop();
        }
        self.step = self.first_step();
    }
}
