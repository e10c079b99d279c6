//! A client that does to groups what operators' tools do. It keeps offsets in a group of its own without being a member,
//! and looks them up; it deletes offsets and groups, those of members too, and takes the refusal where there are any.

use super::{Hands, Pending, Wire, judge_error};
use crate::frame::{
    Api, Codec, CommitPart, Committed, GroupRequest, GroupResponse, Request, Response, Speaker, TopicMetadata, TopicRef,
};
use crate::options::ToolPlan;
use crate::oracle::{Checker, Place};
use crate::stage::Nanos;

/// How far it has come since all faults ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rest {
    /// They have not.
    NotYet,
    /// It has yet to look at its offsets once more: what was deleted must not have come back.
    LooksAgain,
    Done,
}

#[derive(Debug)]
pub(super) struct Tool {
    number: u32,
    plan: ToolPlan,
    next_at: Nanos,
    waiting: bool,
    /// Every partition that anybody commits offsets for.
    parts: Vec<(TopicRef, i32)>,
    knows_coordinator: bool,
    tokens: i64,
    rest: Rest,
}

impl Tool {
    pub(super) fn new(index: usize, plan: &ToolPlan) -> Self {
        Self {
            number: index as u32,
            plan: plan.clone(),
            next_at: 0,
            waiting: false,
            parts: Vec::new(),
            knows_coordinator: false,
            tokens: 0,
            rest: Rest::NotYet,
        }
    }

    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    pub(super) fn finished(&self) -> bool {
        self.rest == Rest::Done
    }

    pub(super) fn disconnected(&mut self) {
        self.waiting = false;
    }

    pub(super) fn step(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        let now = hands.stage.now();
        if !hands.working && self.rest == Rest::NotYet {
            self.rest = Rest::LooksAgain;
        }
        if self.waiting || now < self.next_at {
            return;
        }
        if self.rest == Rest::Done {
            self.next_at = Nanos::MAX;
            return;
        }
        self.next_at = now + hands.stage.draw.within(1, self.plan.pause);
        self.waiting = true;
        if self.parts.is_empty() {
            let topics = hands.options.topics.iter().map(|topic| topic.name.clone()).collect();
            return wire.send(hands, Request::Metadata { topics }, 0);
        }
        let request = self.next_request(wire.plan.codec, hands);
        hands.oracle.group_sending(&request);
        wire.send(hands, Request::Group(request), 0);
    }

    fn next_request(&mut self, codec: Codec, hands: &mut Hands<'_>) -> GroupRequest {
        if !self.knows_coordinator {
            let group = self.plan.own.clone();
            return GroupRequest::Find { group };
        }
        if self.rest == Rest::LooksAgain {
            return self.look(self.plan.own.clone(), hands);
        }
        let draw = &mut hands.stage.draw;
        let others = self.plan.others.len();
        let other = (others > 0 && draw.chance(1, 2)).then(|| self.plan.others[draw.index(others)].clone());
        let group = other.unwrap_or_else(|| self.plan.own.clone());
        if draw.chance(1, self.plan.deletes_one_in) {
            return if draw.chance(1, 2) {
                let last = if codec == Codec::Own { 3 } else { 2 };
                let version = draw.within(0, last) as i16;
                GroupRequest::Delete { group, version }
            } else {
                let parts = self.some_parts(hands);
                GroupRequest::DeleteOffsets { group, parts }
            };
        }
        if group != self.plan.own || draw.chance(1, 2) {
            return self.look(group, hands);
        }
        let offsets = self.some_parts(hands).into_iter().map(|(topic, partition)| {
            let place = Place::new(topic.id, partition);
            let (start, end) = (hands.oracle.known_start(place), hands.oracle.acked_end(place));
            self.tokens += 1;
            CommitPart {
                topic,
                partition,
                offset: start + hands.stage.draw.below((end - start).max(0) as u64 + 1) as i64,
                token: (i64::from(self.number) << 32) | self.tokens,
            }
        });
        let offsets = offsets.collect();
        let speaker = Speaker {
            group,
            member: String::new(),
            instance: None,
            generation: -1,
        };
        GroupRequest::Commit { speaker, offsets }
    }

    fn look(&self, group: String, hands: &mut Hands<'_>) -> GroupRequest {
        GroupRequest::Fetch {
            group,
            parts: self.parts.clone(),
            stable: hands.stage.draw.chance(1, 2),
        }
    }

    fn some_parts(&self, hands: &mut Hands<'_>) -> Vec<(TopicRef, i32)> {
        let from = hands.stage.draw.index(self.parts.len());
        let count = hands.stage.draw.within(1, 3) as usize;
        self.parts[from..].iter().take(count).cloned().collect()
    }

    pub(super) fn answer(&mut self, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        self.waiting = false;
        match (response, &pending.request) {
            (Response::Metadata { topics }, _) => self.learn(hands, &topics),
            (Response::Group(response), Request::Group(request)) => self.group_answer(hands, request, response),
            (response, _) => {
                let text = format!("a tool cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
            }
        }
    }

    fn learn(&mut self, hands: &mut Hands<'_>, topics: &[TopicMetadata]) {
        self.parts.clear();
        for told in topics {
            hands.oracle.metadata(told);
            if told.error != 0 {
                self.parts.clear();
                return judge_error(hands, Api::Metadata, told.error);
            }
            let partitions = told.partitions.iter();
            self.parts
                .extend(partitions.map(|&(partition, ..)| (told.topic.clone(), partition)));
        }
    }

    fn group_answer(&mut self, hands: &mut Hands<'_>, request: &GroupRequest, response: GroupResponse) {
        let first = |parts: &[Committed]| {
            parts
                .iter()
                .map(|part| part.error)
                .find(|&error| error != 0)
                .unwrap_or(0)
        };
        let error = match (request, response) {
            (_, GroupResponse::Found { error }) => {
                self.knows_coordinator = error == 0;
                error
            }
            (_, GroupResponse::Committed(parts)) => first(&parts),
            (_, GroupResponse::Offsets { error, parts }) => {
                let mut errors = [error].into_iter().chain(parts.iter().map(|part| part.error));
                let error = errors.find(|&error| error != 0).unwrap_or(0);
                if error == 0 && self.rest == Rest::LooksAgain {
                    self.rest = Rest::Done;
                }
                error
            }
            // NON_EMPTY_GROUP
            (GroupRequest::Delete { group, .. }, GroupResponse::Deleted { error: 68 }) if *group != self.plan.own => 0,
            // GROUP_ID_NOT_FOUND
            (_, GroupResponse::Deleted { error: 69 } | GroupResponse::OffsetsDeleted { error: 69, .. }) => 0,
            (GroupRequest::DeleteOffsets { group, .. }, GroupResponse::OffsetsDeleted { error: 0, parts }) => {
                // GROUP_SUBSCRIBED_TO_TOPIC
                let subscribed = parts.iter().any(|part| part.error == 86);
                let excused = subscribed && *group != self.plan.own;
                if excused { 0 } else { first(&parts) }
            }
            (_, GroupResponse::Deleted { error } | GroupResponse::OffsetsDeleted { error, .. }) => error,
            (_, response) => {
                let text = format!("a tool cannot make sense of {response:?}");
                return hands.oracle.violate(Checker::Protocol, text);
            }
        };
        if error != 0 {
            self.knows_coordinator = false;
            judge_error(hands, Api::Group(request.api()), error);
        }
    }
}
