//! Small objects that all clients see: which topic has a name, and which offset a group has committed. Every operation on
//! them, whoever asked on whatever connection, goes into a history that must be linearizable: what was answered is seen
//! everywhere from then on.

use super::{Checker, Oracle};
use crate::frame::{Request, Response};
use crate::stage::Nanos;
use klamm_jepsen::{Call, Linearizability, Model, linearizable};

/// How far the search for an explanation goes for one object.
const BUDGET: u64 = 400_000;

/// What is asked about a topic's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TopicInput {
    Create,
    /// By id, or by name alone.
    Delete(Option<[u8; 16]>),
    Look,
}

/// What is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TopicOutput {
    /// With the id, where the version tells it.
    Created(Option<[u8; 16]>),
    Exists,
    Deleted,
    /// There is no such topic, or none of this name.
    Unknown,
    Found([u8; 16]),
    /// There is one, and the version does not tell its id.
    There,
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum TopicState {
    Absent,
    /// With the id, once somebody was told.
    Present(Option<[u8; 16]>),
}

#[derive(Clone, Copy, Debug)]
struct Topic;

impl Model for Topic {
    type State = TopicState;
    type Input = TopicInput;
    type Output = TopicOutput;

    fn start(&self) -> TopicState {
        TopicState::Absent
    }

    fn only_looks(&self, input: &TopicInput) -> bool {
        *input == TopicInput::Look
    }

    fn step(&self, state: &TopicState, input: &TopicInput, output: Option<&TopicOutput>) -> Option<TopicState> {
        use TopicState::{Absent, Present};
        let state = *state;
        let meant = |asked: &Option<[u8; 16]>| match (state, asked) {
            (Present(Some(known)), Some(asked)) => known == *asked,
            (Present(_), _) => true,
            (Absent, _) => false,
        };
        match (input, output) {
            (TopicInput::Create, Some(TopicOutput::Created(id))) => (state == Absent).then_some(Present(*id)),
            (TopicInput::Create, Some(TopicOutput::Exists)) | (TopicInput::Look, Some(TopicOutput::There)) => {
                (state != Absent).then_some(state)
            }
            (TopicInput::Create, None) if state == Absent => Some(Present(None)),
            (TopicInput::Delete(asked), Some(TopicOutput::Deleted)) => meant(asked).then_some(Absent),
            (TopicInput::Delete(asked), Some(TopicOutput::Unknown)) => {
                let other = state == Absent || asked.is_some() && state == Present(None) || !meant(asked);
                other.then_some(state)
            }
            (TopicInput::Delete(asked), None) if meant(asked) => Some(Absent),
            (TopicInput::Create | TopicInput::Delete(_) | TopicInput::Look, None) => Some(state),
            (TopicInput::Look, Some(TopicOutput::Found(id))) => match state {
                Present(Some(known)) => (known == *id).then_some(state),
                Present(None) => Some(Present(Some(*id))),
                Absent => None,
            },
            (TopicInput::Look, Some(TopicOutput::Unknown)) => (state == Absent).then_some(state),
            _ => None,
        }
    }
}

type TopicCall = Call<String, TopicInput, TopicOutput>;

/// Every operation on a small object.
#[derive(Default, Debug)]
pub(super) struct Registers {
    topics: Vec<TopicCall>,
    /// Topics that were created or deleted, as far as anybody heard.
    changes: u64,
}

impl Oracle {
    /// An answer came in this version of what was asked.
    pub(crate) fn answers_in(&mut self, kind: &'static str, version: i16) {
        self.versions.insert((kind, version));
    }

    /// A client heard the answer to a request that it had sent at `begin`.
    pub(crate) fn heard(&mut self, request: &Request, begin: Nanos, response: &Response) {
        *self.answers.entry(request.kind()).or_default() += 1;
        self.judging(Checker::Protocol);
        if let (Request::Group(request), Response::Group(response)) = (request, response) {
            return self.group_heard(request, begin, response);
        }
        self.judge_deletions(request, begin, response);
        self.judge_ends(request, response);
        self.judge_times(request, begin, response);
        let now = self.now;
        let Registers { topics, changes } = &mut self.registers;
        let mut push = |name: &str, input: TopicInput, output: Option<TopicOutput>| {
            topics.push(Call {
                object: name.to_owned(),
                begin,
                input,
                answer: output.map(|output| (now, output)),
            });
        };
        match (request, response) {
            (Request::CreateTopic { name, .. }, Response::CreateTopic { error, id }) => {
                *changes += u64::from(*error == 0);
                let output = match error {
                    0 => Some(TopicOutput::Created(*id)),
                    // TOPIC_ALREADY_EXISTS
                    36 => Some(TopicOutput::Exists),
                    _ => None,
                };
                push(name, TopicInput::Create, output);
            }
            (Request::DeleteTopic { topic, by_id }, Response::DeleteTopic { error }) => {
                *changes += u64::from(*error == 0);
                let output = match error {
                    0 => Some(TopicOutput::Deleted),
                    // UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID
                    3 | 100 => Some(TopicOutput::Unknown),
                    _ => None,
                };
                push(&topic.name, TopicInput::Delete(by_id.then_some(topic.id)), output);
            }
            (Request::Look { .. }, Response::Metadata { topics }) => {
                for told in topics.iter().filter(|told| told.error == 0) {
                    push(&told.topic.name, TopicInput::Look, Some(TopicOutput::There));
                }
            }
            (Request::Metadata { .. }, Response::Metadata { topics }) => {
                for told in topics {
                    match told.error {
                        0 => push(
                            &told.topic.name,
                            TopicInput::Look,
                            Some(TopicOutput::Found(told.topic.id)),
                        ),
                        3 => push(&told.topic.name, TopicInput::Look, Some(TopicOutput::Unknown)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// How often anybody heard that a topic was created or deleted.
    pub(crate) fn topic_changes(&self) -> u64 {
        self.registers.changes
    }

    /// Nobody will hear what became of a request that was sent at `begin`.
    pub(crate) fn unheard(&mut self, request: &Request, begin: Nanos) {
        if let Request::Group(request) = request {
            self.no_longer_awaited(request);
        }
        self.unanswered(request, begin);
    }

    /// Nobody has heard what becomes of a request that was sent at `begin`: it may take effect at any time, or not.
    pub(crate) fn unanswered(&mut self, request: &Request, begin: Nanos) {
        let (name, input) = match request {
            Request::CreateTopic { name, .. } => (name, TopicInput::Create),
            Request::DeleteTopic { topic, by_id } => (&topic.name, TopicInput::Delete(by_id.then_some(topic.id))),
            Request::Group(request) => return self.group_unanswered(request, begin),
            _ => return,
        };
        self.registers.topics.push(Call {
            object: name.clone(),
            begin,
            input,
            answer: None,
        });
    }

    /// The run is over: judges what clients were told about small objects.
    pub(crate) fn judge_registers(&mut self) {
        self.judge_group_offsets();
        let topics = std::mem::take(&mut self.registers.topics);
        self.counts.metadata_judged += topics.len() as u64;
        if !topics.is_empty() {
            self.judging(Checker::Metadata);
        }
        match linearizable(&Topic, &topics, BUDGET) {
            Linearizability::Linearizable => {}
            Linearizability::Violated { object, stuck, .. } => {
                let text = format!(
                    "no order of what was done explains {:?} for topic {object}",
                    topics[stuck]
                );
                self.violate(Checker::Metadata, text);
            }
            Linearizability::Undecided(object) => {
                self.violate(
                    Checker::Metadata,
                    format!("whether topic {object} is linearizable was not decided"),
                );
            }
        }
    }
}
