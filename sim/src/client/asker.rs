//! A client that asks what changes nothing, in every version: what the broker speaks, how topics are configured, which
//! topics and groups there are. What it is told must agree with what is known.

use super::visitor::Errand;
use super::{Hands, Pending, Wire, judge_error};
use crate::frame::{Answer, Api, LAST_API_VERSIONS, Question, Request, Response, ToldConfig, TopicMetadata, TopicRef};
use crate::oracle::Checker;
use crate::stage::Nanos;
use bytes::Bytes;
use std::collections::BTreeSet;

/// `UNSUPPORTED_VERSION`
const UNSUPPORTED_VERSION: i16 = 35;
/// `GROUP_ID_NOT_FOUND`
const NOT_FOUND: i16 = 69;
/// `NOT_COORDINATOR`
const NOT_COORDINATOR: i16 = 16;

/// Keys of the APIs that simulated clients speak, with the versions that they may speak.
const SPOKEN: [(i16, i16, i16); 21] = [
    (0, 3, 13),
    (1, 4, 18),
    (2, 1, 11),
    (3, 0, 13),
    (8, 2, 10),
    (9, 1, 10),
    (10, 0, 6),
    (11, 0, 9),
    (12, 0, 4),
    (13, 0, 5),
    (14, 0, 5),
    (15, 0, 6),
    (16, 0, 5),
    (18, 0, LAST_API_VERSIONS),
    (19, 2, 7),
    (20, 1, 6),
    (21, 0, 2),
    (22, 0, 5),
    (32, 1, 4),
    (42, 0, 3),
    (47, 0, 0),
];

#[derive(Default, Debug)]
pub(super) struct Asker {
    /// What the broker said that it speaks: it says the same every time.
    spoken: Option<Vec<(i16, i16, i16)>>,
    /// Groups whose coordinator has answered.
    coordinated: BTreeSet<String>,
}

impl Errand for Asker {
    fn next(&mut self, _: &[TopicRef], wire: &Wire, hands: &mut Hands<'_>) -> Request {
        draw_request(wire, hands)
    }

    fn answer(&mut self, _: usize, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        match (response, &pending.request) {
            (Response::Metadata { topics }, Request::Look { version, .. }) => {
                for told in topics {
                    looked(hands, told, *version);
                }
            }
            (Response::Told(answer), Request::Ask { question, version }) => {
                self.told(hands, pending, (question, *version), answer);
            }
            (response, _) => {
                let text = format!("an asker cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
            }
        }
    }
}

impl Asker {
    fn told(&mut self, hands: &mut Hands<'_>, pending: &Pending, asked: (&Question, i16), answer: Answer) {
        let begin = pending.sent_at;
        let (question, version) = asked;
        let error = match (question, answer) {
            (Question::Versions, Answer::Versions { error, apis }) => {
                if let Some(text) = self.wrong_versions(version, error, &apis) {
                    hands.oracle.violate(Checker::Protocol, text);
                }
                0
            }
            (Question::Configs { topic, keys }, Answer::Configs { error: 0, configs }) => {
                if let Some(text) = wrong_configs(hands, topic, keys.as_deref(), &configs) {
                    hands.oracle.violate(Checker::Metadata, text);
                }
                0
            }
            (Question::Groups, Answer::Groups { error: 0, names }) => {
                let known = hands.options.groups();
                if let Some(stranger) = names.iter().find(|&name| !known.contains(name)) {
                    let text = format!("group {stranger:?} is listed, which nobody made");
                    hands.oracle.violate(Checker::GroupOffsets, text);
                }
                let absent = known.iter().filter(|&name| !names.contains(name));
                hands.oracle.groups_not_listed(absent, begin);
                0
            }
            (Question::Group(name), Answer::Group { error, state, members }) => {
                self.told_group(hands, name, begin, (error, &state, &members))
            }
            (
                _,
                Answer::Versions { error, .. }
                | Answer::Configs { error, .. }
                | Answer::Groups { error, .. }
                | Answer::Group { error, .. },
            ) => error,
        };
        if error != 0 {
            judge_error(hands, Api::Ask(question.api()), error);
        }
    }

    /// What is wrong with the versions that are told.
    /// What a group is said to be; the error that is left to judge. Nobody coordinates a group before somebody looked for
    /// its coordinator: that makes the topic of the groups.
    fn told_group(
        &mut self,
        hands: &mut Hands<'_>,
        name: &str,
        begin: Nanos,
        (error, state, members): (i16, &str, &[(String, Bytes)]),
    ) -> i16 {
        match error {
            NOT_COORDINATOR if !self.coordinated.contains(name) => return 0,
            0 if state != "Dead" => hands.oracle.group_described(name, begin, state, members),
            0 | NOT_FOUND => hands.oracle.group_missing(name, begin),
            error => return error,
        }
        self.coordinated.insert(name.to_owned());
        0
    }

    fn wrong_versions(&mut self, version: i16, error: i16, apis: &[(i16, i16, i16)]) -> Option<String> {
        if version > LAST_API_VERSIONS {
            // Whoever speaks too new a version learns which there are (KIP-511).
            let right = error == UNSUPPORTED_VERSION && apis == [(18, 0, LAST_API_VERSIONS)];
            return (!right).then(|| format!("ApiVersions {version} is answered error {error}, with {apis:?}"));
        }
        if error != 0 {
            return Some(format!("ApiVersions {version} is answered error {error}"));
        }
        let lacks = SPOKEN.iter().find(|&&(key, first, last)| {
            let mut served = apis.iter();
            !served.any(|&(it, from, to)| it == key && from <= first && last <= to)
        });
        if let Some(lacks) = lacks {
            return Some(format!("{lacks:?} is not among the versions that are told: {apis:?}"));
        }
        let known = self.spoken.get_or_insert_with(|| apis.to_vec());
        (known != apis).then(|| format!("the versions {known:?} have become {apis:?}"))
    }
}

fn draw_request(wire: &Wire, hands: &mut Hands<'_>) -> Request {
    let codec = wire.plan.codec;
    let topics = &hands.options.topics;
    let draw = &mut hands.stage.draw;
    let future = LAST_API_VERSIONS as u64 + 1;
    let (question, first, last) = match draw.below(6) {
        0 => (Question::Versions, 0, codec.api_versions_last() as u64),
        1 => (Question::Versions, future, 100),
        2 => {
            let plan = &topics[draw.index(topics.len())];
            let keys = draw.chance(1, 2).then(|| {
                let given = plan.configs.iter().map(|(key, _)| key.clone());
                given.chain(["retention.ms".to_owned()]).collect()
            });
            let topic = plan.name.clone();
            (Question::Configs { topic, keys }, 1, 4)
        }
        3 => (Question::Groups, 0, 5),
        4 if !hands.options.groups().is_empty() => {
            let groups: Vec<String> = hands.options.groups().into_iter().collect();
            let name = groups[draw.index(groups.len())].clone();
            (Question::Group(name), 0, 6)
        }
        _ => {
            return Request::Look {
                topics: topics.iter().map(|topic| topic.name.clone()).collect(),
                version: draw.below(10) as i16,
            };
        }
    };
    let version = draw.within(first, last) as i16;
    Request::Ask { question, version }
}

/// A topic as a version of Metadata tells it that knows no ids.
fn looked(hands: &mut Hands<'_>, mut told: TopicMetadata, version: i16) {
    if told.error != 0 {
        return judge_error(hands, Api::Metadata, told.error);
    }
    let mut plans = hands.options.topics.iter();
    let plan = plans.find(|plan| plan.name == told.topic.name);
    if plan.is_none_or(|plan| plan.partitions as usize != told.partitions.len()) {
        let text = format!("Metadata {version} tells {told:?}, as which no topic was created");
        return hands.oracle.violate(Checker::Metadata, text);
    }
    if let Some(id) = hands.oracle.id_of(&told.topic.name) {
        told.topic.id = id;
        hands.oracle.metadata(&told);
    }
}

/// What is wrong with a topic's settings: those that it was given are told as given, and no others.
fn wrong_configs(hands: &Hands<'_>, topic: &str, keys: Option<&[String]>, told: &[ToldConfig]) -> Option<String> {
    let plan = hands.options.topics.iter().find(|plan| plan.name == topic)?;
    let asked = |key: &str| keys.is_none_or(|keys| keys.iter().any(|it| it == key));
    for (key, value) in plan.configs.iter().filter(|(key, _)| asked(key)) {
        let found = told.iter().find(|it| it.name == *key);
        let right = found.is_some_and(|it| it.given && it.value.as_ref().is_some_and(|it| is_same(it, value)));
        if !right {
            return Some(format!(
                "{topic} was given {key}={value}, and is told to have {found:?}"
            ));
        }
    }
    let given = |it: &ToldConfig| plan.configs.iter().any(|(key, _)| *key == it.name);
    let stray = told.iter().find(|it| it.given && !given(it) || !asked(&it.name));
    stray.map(|stray| format!("{topic} is told to have {stray:?}, which nobody gave it or asked for"))
}

/// Whether two values are one: a number is told as a broker writes it.
fn is_same(told: &str, given: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().map(f64::to_bits);
    told == given || number(told).is_some_and(|it| Some(it) == number(given))
}
