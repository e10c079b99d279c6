//! A client that has records deleted (KIP-107), up to an offset or up to the high watermark.

use super::visitor::Errand;
use super::{Hands, Pending, Wire, judge_error};
use crate::frame::{Api, Request, Response, TopicRef};
use crate::oracle::{Checker, Place};

/// `POLICY_VIOLATION`: the topic's policy does not let records be deleted.
const POLICY_VIOLATION: i16 = 44;

#[derive(Debug)]
pub(super) struct Trimmer;

impl Errand for Trimmer {
    fn next(&mut self, topics: &[TopicRef], _: &Wire, hands: &mut Hands<'_>) -> Request {
        let topic = topics[hands.stage.draw.index(topics.len())].clone();
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
        request
    }

    fn answer(&mut self, _: usize, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        match (response, &pending.request) {
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
