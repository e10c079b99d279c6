//! A client that creates a topic, fills it, deletes it and creates it again under its name: nothing of the old one may
//! show in the new one.

use super::{Hands, Pending, Wire, judge_error};
use crate::batch::{NewRecord, ProducerTag, build};
use crate::compress::Compression;
use crate::frame::{Api, Fetch, FetchPart, ProducePart, Request, Response, TopicRef};
use crate::oracle::{Checker, Place};
use crate::stage::{MILLIS, Nanos};
use crate::value::{Mark, fold_topic};
use bytes::Bytes;

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Create,
    Learn,
    ReadEmpty,
    Fill {
        left: u32,
    },
    ReadBack,
    Delete,
    /// The deleted topic's id must be unknown.
    ReadDeleted,
}

#[derive(Debug)]
pub(super) struct Recreator {
    number: u32,
    rounds: u32,
    stage: Stage,
    waiting: bool,
    next_at: Nanos,
    topic: TopicRef,
    earlier: Vec<[u8; 16]>,
    position: i64,
    sequence: u64,
    session: u32,
    acked_end: i64,
}

/// The topic that comes and goes.
pub(super) const NAME: &str = "again";

impl Recreator {
    pub(super) fn new(index: usize, rounds: u32) -> Self {
        Self {
            number: index as u32,
            rounds,
            stage: Stage::Create,
            waiting: false,
            next_at: 0,
            topic: TopicRef {
                name: NAME.to_owned(),
                id: [0; 16],
            },
            earlier: Vec::new(),
            position: 0,
            sequence: 0,
            session: 0,
            acked_end: 0,
        }
    }

    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    pub(super) fn finished(&self) -> bool {
        !self.waiting
    }

    pub(super) fn disconnected(&mut self) {
        self.waiting = false;
        self.session += 1;
    }

    pub(super) fn step(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        let now = hands.stage.now();
        if self.waiting || now < self.next_at {
            return;
        }
        self.next_at = now + hands.stage.draw.within(1, 20) * MILLIS;
        if self.rounds == 0 || !hands.working {
            return;
        }
        self.waiting = true;
        // Only ids tell one incarnation from the other.
        wire.plan.versions.produce = 13;
        wire.plan.versions.fetch = wire.plan.versions.fetch.max(13);
        let request = match self.stage {
            Stage::Create => Request::CreateTopic {
                name: NAME.to_owned(),
                partitions: 1,
                configs: Vec::new(),
            },
            Stage::Learn => Request::Metadata {
                topics: vec![NAME.to_owned()],
            },
            Stage::Fill { .. } => self.fill(hands),
            Stage::ReadEmpty | Stage::ReadBack | Stage::ReadDeleted => Request::Fetch(self.fetch()),
            Stage::Delete => Request::DeleteTopic {
                by_id: wire.plan.versions.delete_topics >= 6,
                topic: self.topic.clone(),
            },
        };
        wire.send(hands, request, 0);
    }

    fn fetch(&self) -> Fetch {
        Fetch {
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: 1 << 20,
            session_id: 0,
            session_epoch: -1,
            parts: vec![FetchPart {
                topic: self.topic.clone(),
                partition: 0,
                leader_epoch: -1,
                offset: self.position,
                max_bytes: 1 << 20,
            }],
        }
    }

    fn fill(&mut self, hands: &mut Hands<'_>) -> Request {
        let mark = Mark {
            producer: self.number,
            session: self.session,
            sequence: self.sequence,
            partition: 0,
            topic: fold_topic(&self.topic.id),
        };
        self.sequence += 1;
        let record = NewRecord {
            timestamp: hands.options.wall,
            key: None,
            value: mark.encode(hands.stage.draw.within(48, 400) as usize),
            headers: Vec::new(),
        };
        let bytes = Bytes::from(build(&[record], ProducerTag::NONE, Compression::None));
        hands.oracle.sent(self.place(), &[mark], &bytes);
        Request::Produce {
            acks: -1,
            parts: vec![ProducePart {
                topic: self.topic.clone(),
                partition: 0,
                records: bytes,
            }],
        }
    }

    fn place(&self) -> Place {
        Place::new(self.topic.id, 0)
    }

    pub(super) fn answer(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        self.waiting = false;
        match (response, &pending.request) {
            // TOPIC_ALREADY_EXISTS: an earlier attempt had arrived.
            (Response::CreateTopic { error, .. }, _) => match error {
                0 | 36 => self.stage = Stage::Learn,
                error => judge_error(hands, Api::CreateTopics, error),
            },
            (Response::Metadata { topics }, _) => {
                for told in topics {
                    self.learn(hands, &told);
                }
            }
            (Response::Produce(answers), Request::Produce { parts, .. }) => {
                let Some(answer) = answers.first() else { return };
                if answer.error != 0 {
                    judge_error(hands, Api::Produce, answer.error);
                    return;
                }
                hands.oracle.acked(self.place(), answer.base_offset, &parts[0].records);
                self.acked_end = answer.base_offset + 1;
                if let Stage::Fill { left } = self.stage {
                    self.stage = if left > 0 {
                        Stage::Fill { left: left - 1 }
                    } else {
                        Stage::ReadBack
                    };
                }
            }
            (Response::Fetch { error, parts, .. }, Request::Fetch(asked)) => {
                if error != 0 {
                    judge_error(hands, Api::Fetch, error);
                } else if let Some(part) = parts.first() {
                    self.fetched(wire, hands, part, asked);
                }
            }
            (Response::DeleteTopic { error }, _) => match error {
                // UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID: an earlier attempt had arrived.
                0 | 3 | 100 => {
                    hands.oracle.topic_deleted(self.topic.id);
                    self.earlier.push(self.topic.id);
                    self.stage = Stage::ReadDeleted;
                    self.position = 0;
                }
                error => judge_error(hands, Api::DeleteTopics, error),
            },
            (response, _) => {
                let text = format!("the recreating client cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
            }
        }
    }

    fn learn(&mut self, hands: &mut Hands<'_>, told: &crate::frame::TopicMetadata) {
        if told.error != 0 {
            // The broker may have stopped before a creation that was never answered.
            judge_error(hands, Api::Metadata, told.error);
            self.stage = Stage::Create;
            return;
        }
        if self.earlier.contains(&told.topic.id) {
            let text = format!("topic {NAME} has the id that it had before it was deleted");
            hands.oracle.violate(Checker::RecreatedTopic, text);
            return;
        }
        hands.oracle.metadata(told);
        self.topic.id = told.topic.id;
        self.position = 0;
        self.acked_end = 0;
        self.stage = Stage::ReadEmpty;
    }

    fn fetched(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, part: &crate::frame::Fetched, asked: &Fetch) {
        if self.stage == Stage::ReadDeleted {
            if part.error == 0 {
                let text = format!("the deleted topic {NAME} still answers under its old id");
                hands.oracle.violate(Checker::RecreatedTopic, text);
            }
            self.rounds -= 1;
            self.stage = Stage::Create;
            hands.oracle.counts.topics_recreated += 1;
            return;
        }
        // OFFSET_OUT_OF_RANGE: retention was here.
        if part.error == 1 && hands.oracle.may_be_removed(self.place(), self.position) {
            self.stage = Stage::Delete;
            return;
        }
        if part.error != 0 {
            judge_error(hands, Api::Fetch, part.error);
            return;
        }
        if self.stage == Stage::ReadEmpty {
            if part.high_watermark != 0 {
                let text = format!("the new topic {NAME} begins with {} records", part.high_watermark);
                hands.oracle.violate(Checker::RecreatedTopic, text);
            }
            let left = hands.stage.draw.below(6) as u32;
            self.stage = Stage::Fill { left };
            return;
        }
        self.position = hands
            .oracle
            .fetched(self.place(), wire.index, self.position, part, asked);
        if self.position >= self.acked_end {
            self.stage = Stage::Delete;
        }
    }
}
