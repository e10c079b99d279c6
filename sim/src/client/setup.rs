//! The first client: it creates the topics that the others use. Where a deleted topic is to have left something behind,
//! it first creates and deletes one of the same name.

use super::{Hands, Pending, Wire, judge_error};
use crate::frame::{Api, Request, Response, TopicMetadata, TopicRef};
use crate::options::Options;
use crate::oracle::Checker;
use crate::stage::{MILLIS, Nanos};
use std::collections::VecDeque;

/// What is to be done; numbers are of topics.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Create(usize),
    /// Creates a topic that is to be deleted.
    CreateForerunner(usize),
    LearnForerunner(usize),
    Delete(TopicRef),
    /// Learns the ids of all topics.
    Learn,
}

#[derive(Default, Debug)]
pub(super) struct Setup {
    steps: VecDeque<Step>,
    waiting: bool,
    next_at: Nanos,
}

impl Setup {
    pub(super) fn new(options: &Options) -> Self {
        let mut steps = VecDeque::new();
        if let Some(image) = options.images.iter().find(|image| image.predecessor) {
            steps.extend([Step::CreateForerunner(image.topic), Step::LearnForerunner(image.topic)]);
        }
        steps.extend((0..options.topics.len()).map(Step::Create));
        if !options.images.is_empty() {
            steps.push_back(Step::Learn);
        }
        Self {
            steps,
            ..Self::default()
        }
    }

    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    pub(super) fn finished(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn disconnected(&mut self) {
        self.waiting = false;
    }

    pub(super) fn step(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        let Some(step) = self.steps.front() else {
            self.next_at = Nanos::MAX;
            return;
        };
        if self.waiting || hands.stage.now() < self.next_at {
            return;
        }
        let topics = &hands.options.topics;
        let request = match step {
            Step::Create(topic) | Step::CreateForerunner(topic) => Request::CreateTopic {
                name: topics[*topic].name.clone(),
                partitions: topics[*topic].partitions,
                configs: topics[*topic].configs.clone(),
            },
            Step::LearnForerunner(topic) => Request::Metadata {
                topics: vec![topics[*topic].name.clone()],
            },
            Step::Delete(topic) => Request::DeleteTopic {
                topic: topic.clone(),
                by_id: wire.plan.versions.delete_topics >= 6,
            },
            Step::Learn => Request::Metadata {
                topics: topics.iter().map(|topic| topic.name.clone()).collect(),
            },
        };
        self.waiting = true;
        wire.send(hands, request, 0);
    }

    pub(super) fn answer(&mut self, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        self.waiting = false;
        let step = self.steps.front().cloned();
        let error = match (step, response) {
            // TOPIC_ALREADY_EXISTS: an earlier attempt had arrived.
            (
                Some(Step::Create(topic)),
                Response::CreateTopic {
                    error: error @ (0 | 36),
                    id,
                },
            ) => {
                let name = &hands.options.topics[topic].name;
                hands.oracle.topic_created(name, id.filter(|_| error == 0));
                self.done()
            }
            (Some(Step::CreateForerunner(_)), Response::CreateTopic { error: 0 | 36, .. }) => self.done(),
            // UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID: an earlier attempt had arrived.
            (Some(Step::Delete(topic)), Response::DeleteTopic { error: 0 | 3 | 100 }) => {
                hands.oracle.topic_deleted(topic.id);
                self.done()
            }
            (Some(Step::Create(_) | Step::CreateForerunner(_)), Response::CreateTopic { error, .. })
            | (Some(Step::Delete(_)), Response::DeleteTopic { error }) => error,
            (Some(Step::LearnForerunner(_)), Response::Metadata { topics }) => match topics.first() {
                Some(TopicMetadata { error: 0, topic, .. }) => {
                    self.done();
                    self.steps.push_front(Step::Delete(topic.clone()));
                    0
                }
                told => told.map_or(-1, |told| told.error),
            },
            (Some(Step::Learn), Response::Metadata { topics }) => {
                for told in &topics {
                    hands.oracle.metadata(told);
                }
                match topics.iter().find(|told| told.error != 0) {
                    Some(told) => told.error,
                    None => self.done(),
                }
            }
            (step, response) => {
                let text = format!("the setup, at {step:?}, cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
                0
            }
        };
        if error != 0 {
            let api: Api = pending.request.api();
            judge_error(hands, api, error);
            self.next_at = hands.stage.now() + 5 * MILLIS;
        }
    }

    fn done(&mut self) -> i16 {
        self.steps.pop_front();
        0
    }
}
