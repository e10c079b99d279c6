//! A client that has records deleted (KIP-107), up to an offset or up to the high watermark.

use super::{Hands, Pending, Wire, judge_error};
use crate::frame::{Api, Request, Response, TopicRef};
use crate::oracle::{Checker, Place};
use crate::stage::Nanos;

/// `POLICY_VIOLATION`: the topic's policy does not let records be deleted.
const POLICY_VIOLATION: i16 = 44;

#[derive(Debug)]
pub(super) struct Trimmer {
    pause: Nanos,
    next_at: Nanos,
    waiting: bool,
    topics: Vec<TopicRef>,
}

impl Trimmer {
    pub(super) fn new(pause: Nanos) -> Self {
        Self {
            pause,
            next_at: 0,
            waiting: false,
            topics: Vec::new(),
        }
    }

    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    pub(super) fn disconnected(&mut self) {
        self.waiting = false;
    }

    pub(super) fn step(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        let now = hands.stage.now();
        if self.waiting || now < self.next_at || !hands.working {
            self.next_at = self.next_at.max(now + self.pause);
            return;
        }
        self.next_at = now + hands.stage.draw.within(1, self.pause);
        self.waiting = true;
        if self.topics.is_empty() {
            let topics = hands.options.topics.iter().map(|topic| topic.name.clone()).collect();
            wire.send(hands, Request::Metadata { topics }, 0);
            return;
        }
        let topic = self.topics[hands.stage.draw.index(self.topics.len())].clone();
        let mut plans = hands.options.topics.iter();
        let count = plans
            .find(|plan| plan.name == topic.name)
            .map_or(1, |plan| plan.partitions);
        let partition = hands.stage.draw.index(count as usize) as i32;
        let place = Place::new(topic.id, partition);
        let (start, end) = (hands.oracle.known_start(place), hands.oracle.acked_end(place));
        let offset = if hands.stage.draw.chance(1, 4) {
            -1
        } else {
            start + hands.stage.draw.below((end - start).max(0) as u64 + 1) as i64
        };
        let request = Request::DeleteRecords {
            topic,
            partition,
            offset,
            version: hands.stage.draw.within(0, 2) as i16,
        };
        hands.oracle.deletion_asked(place, offset);
        wire.send(hands, request, 0);
    }

    pub(super) fn answer(&mut self, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        self.waiting = false;
        match (response, &pending.request) {
            (Response::Metadata { topics }, _) => {
                for told in topics {
                    hands.oracle.metadata(&told);
                    if told.error != 0 {
                        judge_error(hands, Api::Metadata, told.error);
                    } else if !self.topics.contains(&told.topic) {
                        self.topics.push(told.topic);
                    }
                }
            }
            // What it means is the oracle's business.
            (Response::DeleteRecords { error: 0, .. }, _) => {}
            (Response::DeleteRecords { error, .. }, Request::DeleteRecords { topic, partition, .. }) => {
                let place = Place::new(topic.id, *partition);
                // OFFSET_OUT_OF_RANGE: what had been there is gone.
                let gone = error == 1 && hands.oracle.may_lack(place);
                let refused = error == POLICY_VIOLATION && !hands.options.lets_delete(&topic.name);
                if !gone && !refused {
                    judge_error(hands, Api::DeleteRecords, error);
                }
            }
            (response, _) => {
                let text = format!("a trimmer cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
            }
        }
    }
}
