//! What a member makes of the answers it gets.

use super::super::{Hands, Pending, Wire, judge_error};
use super::{From, Member, Reader, Step, assignor};
use crate::frame::{
    Api, Fetch, Fetched, GroupRequest, GroupResponse, Joined, Listed, Request, Response, Speaker, ToldOffset,
    TopicMetadata, TopicRef,
};
use crate::oracle::{Checker, Place};
use crate::stage::MILLIS;
use bytes::Bytes;

impl Member {
    pub(in crate::client) fn answer(
        &mut self,
        wire: &mut Wire,
        hands: &mut Hands<'_>,
        pending: &Pending,
        response: Response,
    ) {
        match (response, &pending.request) {
            (Response::Group(response), Request::Group(request)) => {
                if matches!(request, GroupRequest::Heartbeat(_)) {
                    self.beating = false;
                } else {
                    self.waiting = false;
                }
                self.group_answer(wire, hands, pending, (request, response));
            }
            (response, request) => {
                self.waiting = false;
                self.other_answer(wire, hands, request, response);
            }
        }
    }

    fn other_answer(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, request: &Request, response: Response) {
        match (response, request) {
            (Response::Metadata { topics }, _) => self.learn(hands, &topics),
            (Response::Fetch { error, parts, .. }, Request::Fetch(asked)) => {
                if error != 0 {
                    return judge_error(hands, Api::Fetch, error);
                }
                for part in &parts {
                    self.take(wire.index, hands, part, asked);
                }
            }
            (Response::ListOffsets(listed), Request::ListOffsets { topic, partitions, .. }) => {
                if let (Some(found), [partition]) = (listed.first(), &partitions[..]) {
                    self.found_start(wire.index, hands, (topic, *partition), found);
                }
            }
            (response, _) => {
                let text = format!("a member cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
            }
        }
    }

    fn found_start(&mut self, client: usize, hands: &mut Hands<'_>, at: (&TopicRef, i32), found: &Listed) {
        let (topic, partition) = at;
        let place = Place::new(topic.id, partition);
        let start = match found.error {
            0 => {
                hands.oracle.log_start(place, found.offset);
                found.offset
            }
            // KAFKA_STORAGE_ERROR: the disk destroyed it, and it may be refused for good.
            56 if hands.oracle.is_damaged(place) => 0,
            error => return judge_error(hands, Api::ListOffsets, error),
        };
        let mut readers = self.readers.iter_mut();
        let reader = readers.find(|reader| reader.topic == *topic && reader.partition == partition);
        if let Some(reader) = reader.filter(|reader| reader.from == From::Start) {
            reader.from = From::Offset(start);
            hands.oracle.assigned(client);
        }
    }

    fn learn(&mut self, hands: &mut Hands<'_>, topics: &[TopicMetadata]) {
        for told in topics {
            hands.oracle.metadata(told);
            if told.error != 0 {
                self.next_at = hands.stage.now() + 10 * MILLIS;
                return judge_error(hands, Api::Metadata, told.error);
            }
            let count = told.partitions.len() as i32;
            self.topics.insert(told.topic.name.clone(), (told.topic.clone(), count));
        }
        self.step = Step::Join;
    }

    /// Reads one partition's answer.
    fn take(&mut self, client: usize, hands: &mut Hands<'_>, part: &Fetched, asked: &Fetch) {
        let mut readers = self.readers.iter_mut();
        let reader = readers.find(|reader| {
            let same = reader.topic.name == part.topic.name || reader.topic.id == part.topic.id;
            same && reader.partition == part.partition
        });
        // It may have lost the partition meanwhile.
        let Some(reader) = reader else { return };
        let place = Place::new(reader.topic.id, reader.partition);
        let asked_at = asked
            .parts
            .iter()
            .find(|asked| asked.topic == reader.topic && asked.partition == reader.partition);
        let Some(position) = asked_at.map(|asked| asked.offset) else {
            return;
        };
        match part.error {
            0 => {
                let next = hands.oracle.fetched(place, client, position, part, asked);
                if reader.from == From::Offset(position) {
                    reader.from = From::Offset(next);
                }
            }
            // OFFSET_OUT_OF_RANGE
            1 if hands.oracle.may_lack(place) || hands.oracle.may_be_removed(place, position) => {
                reader.from = From::Start;
            }
            1 => {
                let text = format!("{place}: the committed offset {position} is out of range, and nothing removed it");
                hands.oracle.violate(Checker::AcknowledgedDurability, text);
            }
            error => judge_error(hands, Api::Fetch, error),
        }
    }

    fn group_answer(
        &mut self,
        wire: &mut Wire,
        hands: &mut Hands<'_>,
        pending: &Pending,
        (request, response): (&GroupRequest, GroupResponse),
    ) {
        match (request, response) {
            (_, GroupResponse::Found { error: 0 }) => self.knows_coordinator = true,
            (GroupRequest::Join { speaker, .. }, GroupResponse::Joined(joined)) => {
                self.joined(wire, hands, pending, speaker, joined);
            }
            (GroupRequest::Sync { speaker, .. }, GroupResponse::Synced { error: 0, assignment }) => {
                self.synced(wire, hands, pending, speaker, &assignment);
            }
            (GroupRequest::Heartbeat(speaker), GroupResponse::Alive { error: 0 }) => {
                hands
                    .oracle
                    .member_lives(wire.index, speaker, pending.sent_at, self.incarnation);
                self.rest.heartbeats += u32::from(*speaker == self.speaker());
            }
            (GroupRequest::Leave(speaker), GroupResponse::Left { error: 0 | 25 }) => {
                hands.oracle.member_left(speaker);
                let until = hands.stage.now() + hands.stage.draw.within(1, 800) * MILLIS;
                self.forget();
                self.id.clear();
                self.generation = -1;
                self.step = Step::Away(until);
            }
            (GroupRequest::Commit { speaker, .. }, GroupResponse::Committed(parts)) => {
                let error = parts.iter().map(|part| part.error).find(|&error| error != 0);
                match error {
                    None => self.rest.commits += u32::from(*speaker == self.speaker()),
                    // A zombie's refusal says nothing of what it is now.
                    Some(22 | 25 | 27 | 82) if *speaker != self.speaker() => {}
                    Some(error) => self.refused(wire, hands, request, Some(speaker), error),
                }
            }
            (GroupRequest::Fetch { .. }, GroupResponse::Offsets { error: 0, parts }) => {
                for told in parts {
                    self.told(wire, hands, request, &told);
                }
            }
            (
                GroupRequest::Sync { speaker, .. } | GroupRequest::Heartbeat(speaker) | GroupRequest::Leave(speaker),
                GroupResponse::Synced { error, .. } | GroupResponse::Alive { error } | GroupResponse::Left { error },
            ) => self.refused(wire, hands, request, Some(speaker), error),
            (_, GroupResponse::Found { error } | GroupResponse::Offsets { error, .. }) => {
                self.refused(wire, hands, request, None, error);
            }
            (_, response) => {
                let text = format!("a member cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
            }
        }
    }

    /// It was told a committed offset: where it waits for one, it goes on there.
    fn told(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, request: &GroupRequest, told: &ToldOffset) {
        if told.error != 0 {
            return self.refused(wire, hands, request, None, told.error);
        }
        let mut readers = self.readers.iter_mut();
        let reader = readers.find(|reader| {
            let same = reader.topic.name == told.topic.name || reader.topic.id == told.topic.id;
            same && reader.partition == told.partition
        });
        if let Some(reader) = reader.filter(|reader| reader.from == From::Committed) {
            reader.from = if told.offset < 0 {
                From::Start
            } else {
                From::Offset(told.offset)
            };
            hands.oracle.assigned(wire.index);
        }
    }

    fn joined(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, pending: &Pending, speaker: &Speaker, joined: Joined) {
        match joined.error {
            0 => {
                hands.oracle.member_joined(speaker, pending.sent_at, &joined);
                self.id.clone_from(&joined.member);
                self.generation = joined.generation;
                self.next_at = hands.stage.now() + hands.stage.draw.spread(1, 5 * MILLIS);
                self.step = Step::Sync(Box::new(joined));
            }
            // MEMBER_ID_REQUIRED
            79 => {
                self.id = joined.member;
                self.next_at = hands.stage.now() + 1;
            }
            error => {
                let request = &pending.request;
                if let Request::Group(request) = request {
                    self.refused(wire, hands, request, Some(speaker), error);
                }
            }
        }
    }

    fn synced(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, pending: &Pending, speaker: &Speaker, bytes: &Bytes) {
        let Some(part) = assignor::decode(bytes) else {
            let text = format!("{} was handed a part that nobody wrote: {bytes:?}", speaker.member);
            return hands.oracle.violate(Checker::Protocol, text);
        };
        let since = (pending.sent_at, self.incarnation, self.lasts());
        hands.oracle.member_synced(wire.index, speaker, since, (bytes, &part));
        let readers = part.into_iter().filter_map(|(topic, partition)| {
            let (topic, _) = self.topics.get(&topic)?;
            Some(Reader {
                topic: topic.clone(),
                partition,
                from: From::Committed,
            })
        });
        self.readers = readers.collect();
        self.step = Step::Consume;
        let now = hands.stage.now();
        self.next_at = now + 1;
        self.next_beat = now + 1;
        self.next_habit = now + hands.stage.draw.within(1, self.plan.habit_every);
    }

    /// What it asked was refused: what a consumer does then.
    fn refused(
        &mut self,
        wire: &mut Wire,
        hands: &mut Hands<'_>,
        request: &GroupRequest,
        speaker: Option<&Speaker>,
        error: i16,
    ) {
        let now = hands.stage.now();
        if let Some(speaker) = speaker {
            hands
                .oracle
                .member_refused(wire.index, speaker, error, self.incarnation);
            if *speaker != self.speaker() {
                return;
            }
        }
        match error {
            // ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS: now and then it commits before it lets go.
            22 | 27 => {
                if error == 27 && matches!(self.step, Step::Consume) && !self.waiting && hands.stage.draw.chance(1, 2) {
                    let readers = self.readers.clone();
                    let speaker = self.speaker();
                    self.commit(wire, hands, speaker, &readers);
                }
                self.lose(wire, hands);
            }
            // UNKNOWN_MEMBER_ID, GROUP_ID_NOT_FOUND
            25 | 69 if error == 25 || hands.oracle.may_lack_group(&self.plan.group) => {
                self.lose(wire, hands);
                self.id.clear();
                self.generation = -1;
            }
            // FENCED_INSTANCE_ID: another process has its place, and this one ends.
            82 => {
                let until = now + hands.stage.draw.within(100, 1500) * MILLIS;
                let then = if hands.working { Step::Away(until) } else { Step::Gone };
                self.end(wire, hands, then);
            }
            // COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
            14..=16 => {
                self.knows_coordinator = error == 14;
                self.next_at = now + hands.stage.draw.within(2, 20) * MILLIS;
                judge_error(hands, Api::Group(request.api()), error);
            }
            error => judge_error(hands, Api::Group(request.api()), error),
        }
    }

    /// It lets go of its part, and joins anew.
    fn lose(&mut self, wire: &Wire, hands: &mut Hands<'_>) {
        let waiting = self.waiting;
        hands.oracle.member_gone(wire.index, &self.plan.group);
        self.forget();
        self.waiting = waiting;
        self.step = Step::Join;
        self.next_at = hands.stage.now() + hands.stage.draw.spread(1, 40 * MILLIS);
    }
}
