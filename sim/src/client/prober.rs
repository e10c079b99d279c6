//! A prober: it looks up offsets and metadata and compares them with what was acknowledged before it asked.

use super::recreator::NAME as PASSING_TOPIC;
use super::visitor::Errand;
use super::{Hands, Pending, Wire, judge_error};
use crate::frame::{Api, EARLIEST, Fetch, FetchPart, Listed, Request, Response, TopicRef};
use crate::oracle::{Checker, Place};

/// The timestamp that asks for the record with the greatest one, and the first version in which it does (KIP-734).
const GREATEST: i64 = -3;
const GREATEST_SINCE: i16 = 7;

#[derive(Default, Debug)]
pub(super) struct Prober {
    /// What the end of each partition asked for must reach.
    expected: Vec<(Place, i64)>,
    /// Changes of topics that others had heard of when it last looked.
    changes: u64,
}

impl Errand for Prober {
    fn next(&mut self, topics: &[TopicRef], wire: &Wire, hands: &mut Hands<'_>) -> Request {
        // What others were told a moment ago is to be seen here, too.
        let changes = hands.oracle.topic_changes();
        let news = std::mem::replace(&mut self.changes, changes) < changes;
        if news || hands.stage.draw.chance(1, 4) {
            let topics = hands.options.topics.iter().map(|topic| topic.name.clone());
            let passing = (news || hands.stage.draw.chance(1, 2)).then(|| PASSING_TOPIC.to_owned());
            let topics = topics.chain(passing).collect();
            return Request::Metadata { topics };
        }
        if hands.stage.draw.chance(1, 3) {
            return Request::InitProducerId;
        }
        let topic = topics[hands.stage.draw.index(topics.len())].clone();
        if hands.stage.draw.chance(1, 2)
            && let Some(fetch) = random_read(&topic, hands)
        {
            hands.oracle.assigned(wire.index);
            return Request::Fetch(fetch);
        }
        let count = hands.options.topics.iter().find(|plan| plan.name == topic.name);
        let partitions: Vec<i32> = (0..count.map_or(0, |plan| plan.partitions)).collect();
        let timestamp = draw_timestamp(&topic, &partitions, wire.plan.versions.list_offsets, hands);
        self.expected.clear();
        for &partition in &partitions {
            let place = Place::new(topic.id, partition);
            self.expected.push((place, hands.oracle.acked_end(place)));
        }
        Request::ListOffsets {
            topic,
            partitions,
            timestamp,
        }
    }

    fn answer(&mut self, client: usize, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        match (response, &pending.request) {
            (Response::ListOffsets(listed), Request::ListOffsets { timestamp, .. }) => {
                for (place, end) in std::mem::take(&mut self.expected) {
                    let found = listed.iter().find(|found| found.partition == place.partition);
                    compare(hands, place, found, *timestamp, end);
                }
            }
            (
                Response::InitProducerId {
                    error,
                    producer_id,
                    epoch,
                },
                _,
            ) => match error {
                0 => hands.oracle.issued(producer_id, epoch),
                error => judge_error(hands, Api::InitProducerId, error),
            },
            (Response::Fetch { error, parts, .. }, Request::Fetch(asked)) => {
                if error != 0 {
                    judge_error(hands, Api::Fetch, error);
                } else if let (Some(part), Some(from)) = (parts.first(), asked.parts.first()) {
                    let place = Place::new(from.topic.id, from.partition);
                    match part.error {
                        0 => _ = hands.oracle.fetched(place, client, from.offset, part, asked),
                        // OFFSET_OUT_OF_RANGE
                        1 if hands.oracle.may_lack(place) || hands.oracle.may_be_removed(place, from.offset) => {}
                        1 => {
                            let text = format!("{place}: acknowledged offset {} is out of range", from.offset);
                            hands.oracle.violate(Checker::AcknowledgedDurability, text);
                        }
                        error => judge_error(hands, Api::Fetch, error),
                    }
                }
            }
            (response, _) => {
                let text = format!("a prober cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
            }
        }
    }
}

/// What was found for `timestamp` against the end that was acknowledged before it was asked for.
fn compare(hands: &mut Hands<'_>, place: Place, found: Option<&Listed>, timestamp: i64, end: i64) {
    let Some(found) = found else {
        let text = format!("{place}: no offset was answered");
        hands.oracle.violate(Checker::Protocol, text);
        return;
    };
    if found.error != 0 {
        judge_error(hands, Api::ListOffsets, found.error);
        return;
    }
    if timestamp == -1 {
        // For any other offset it is the epoch of the record there.
        hands.oracle.leader_epoch(place, found.leader_epoch);
    }
    if timestamp == EARLIEST {
        hands.oracle.log_start(place, found.offset);
    }
    let text = match timestamp {
        -1 if found.offset < end && !hands.oracle.may_lack(place) => {
            format!("{place}: the end is {}, {end} was acknowledged before", found.offset)
        }
        _ => return,
    };
    hands.oracle.violate(Checker::AcknowledgedDurability, text);
}

/// What an offset is asked for: an end of the log, the greatest timestamp, or one of a record, mostly of a late one.
fn draw_timestamp(topic: &TopicRef, partitions: &[i32], version: i16, hands: &mut Hands<'_>) -> i64 {
    let draw = &mut hands.stage.draw;
    let end = draw.pick(&[-1, -1, EARLIEST]);
    if draw.chance(1, 2) || partitions.is_empty() {
        return end;
    }
    if version >= GREATEST_SINCE && draw.chance(1, 4) {
        return GREATEST;
    }
    let partition = draw.index(partitions.len());
    let place = Place::new(topic.id, partitions[partition]);
    let (back, beside) = (draw.spread(0, 400), draw.pick(&[-1, 0, 0, 1]));
    let known = hands.oracle.some_timestamp(place, back);
    known.map_or(end, |known| known + beside)
}

/// A read from anywhere in a log, of as little as may be: look-ups of offsets meet every entry of an index.
fn random_read(topic: &TopicRef, hands: &mut Hands<'_>) -> Option<Fetch> {
    let plan = hands.options.topics.iter().find(|plan| plan.name == topic.name)?;
    let partition = hands.stage.draw.index(plan.partitions as usize) as i32;
    let place = Place::new(topic.id, partition);
    let (start, end) = (hands.oracle.known_start(place), hands.oracle.acked_end(place));
    if end <= start {
        return None;
    }
    let max_bytes = hands.stage.draw.pick(&[1, 700, 5000]);
    Some(Fetch {
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes,
        session_id: 0,
        session_epoch: -1,
        parts: vec![FetchPart {
            topic: topic.clone(),
            partition,
            leader_epoch: -1,
            offset: start + hands.stage.draw.below((end - start) as u64) as i64,
            max_bytes,
        }],
    })
}
