//! The first client: it creates the topics that the others use.

use super::{Hands, Pending, Wire, judge_error};
use crate::frame::{Api, Request, Response};
use crate::oracle::Checker;
use crate::stage::{MILLIS, Nanos};

#[derive(Default, Debug)]
pub(super) struct Setup {
    created: usize,
    wanted: usize,
    waiting: bool,
    next_at: Nanos,
}

impl Setup {
    pub(super) fn new(wanted: usize) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    pub(super) fn finished(&self) -> bool {
        self.created == self.wanted
    }

    pub(super) fn disconnected(&mut self) {
        self.waiting = false;
    }

    pub(super) fn step(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        if self.finished() {
            self.next_at = Nanos::MAX;
            return;
        }
        if self.waiting || hands.stage.now() < self.next_at {
            return;
        }
        let plan = &hands.options.topics[self.created];
        let request = Request::CreateTopic {
            name: plan.name.clone(),
            partitions: plan.partitions,
            configs: plan.configs.clone(),
        };
        self.waiting = true;
        wire.send(hands, request, 0);
    }

    pub(super) fn answer(&mut self, hands: &mut Hands<'_>, _pending: &Pending, response: Response) {
        self.waiting = false;
        match response {
            // TOPIC_ALREADY_EXISTS: an earlier attempt had arrived.
            Response::CreateTopic {
                error: error @ (0 | 36),
                id,
            } => {
                let name = &hands.options.topics[self.created].name;
                hands.oracle.topic_created(name, id.filter(|_| error == 0));
                self.created += 1;
            }
            Response::CreateTopic { error, .. } => {
                judge_error(hands, Api::CreateTopics, error);
                self.next_at = hands.stage.now() + 5 * MILLIS;
            }
            response => {
                let text = format!("the setup cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
            }
        }
    }
}
