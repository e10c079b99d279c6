//! What clients have in common that come by now and then while the workload lasts: they learn the topics, and ask one thing
//! at a time, each for an errand of its own.

use super::recreator::NAME as PASSING_TOPIC;
use super::{Hands, Pending, Wire, judge_error};
use crate::frame::{Api, Request, Response, TopicRef};
use crate::stage::Nanos;
use std::fmt::Debug;

/// What a visitor comes for.
pub(super) trait Errand: Debug {
    /// What to ask next, of these topics; there is at least one.
    fn next(&mut self, topics: &[TopicRef], wire: &Wire, hands: &mut Hands<'_>) -> Request;

    /// What to make of an answer, which is none about the topics.
    fn answer(&mut self, client: usize, hands: &mut Hands<'_>, pending: &Pending, response: Response);
}

/// A client with an errand.
#[derive(Debug)]
pub(super) struct Visitor {
    errand: Box<dyn Errand>,
    pause: Nanos,
    next_at: Nanos,
    waiting: bool,
    topics: Vec<TopicRef>,
}

impl Visitor {
    pub(super) fn new(pause: Nanos, errand: impl Errand + 'static) -> Self {
        Self {
            errand: Box::new(errand),
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
        let request = if self.topics.is_empty() {
            let topics = hands.options.topics.iter().map(|topic| topic.name.clone()).collect();
            Request::Metadata { topics }
        } else {
            self.errand.next(&self.topics, wire, hands)
        };
        wire.send(hands, request, 0);
    }

    pub(super) fn answer(&mut self, wire: &Wire, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        self.waiting = false;
        let (Response::Metadata { topics }, Request::Metadata { .. }) = (&response, &pending.request) else {
            return self.errand.answer(wire.index, hands, pending, response);
        };
        for told in topics.iter().filter(|told| told.topic.name != PASSING_TOPIC) {
            hands.oracle.metadata(told);
            if told.error != 0 {
                judge_error(hands, Api::Metadata, told.error);
            } else if !self.topics.contains(&told.topic) {
                self.topics.push(told.topic.clone());
            }
        }
    }
}
