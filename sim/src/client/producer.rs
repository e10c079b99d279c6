//! A producer: it appends batches to every partition, several in flight, and if it is idempotent sends what was not
//! answered again, with the same sequence numbers, in order.

use super::{Hands, Pending, Wire, is_retriable, judge_error};
use crate::batch::{NewRecord, ProducerTag, build};
use crate::compaction::Compaction;
use crate::frame::{Api, Listed, ProducePart, Produced, Request, Response, TopicRef};
use crate::options::{LARGEST_BATCH, Options, ProducerPlan};
use crate::oracle::{Checker, Place};
use crate::stage::{MILLIS, Nanos};
use crate::value::{LEAST, Mark, fold_topic};
use bytes::Bytes;
use std::collections::VecDeque;

/// Where a batch stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stand {
    /// Not sent on this connection.
    Waiting,
    /// Sent, not answered.
    InFlight,
    /// Answered with an error; goes out again once nothing of its partition is in flight.
    Failed,
}

#[derive(Debug)]
struct OutBatch {
    id: u64,
    bytes: Bytes,
    /// Its first sequence number.
    first: i32,
    records: u64,
    stand: Stand,
}

/// One partition's batches, oldest first.
#[derive(Debug)]
struct Lane {
    topic: usize,
    partition: i32,
    next_sequence: i32,
    next_mark: u64,
    queue: VecDeque<OutBatch>,
    /// Where the last batch that was answered on this connection ended, for the probe behind it.
    acked_end: i64,
}

/// Who the producer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Identity {
    /// It needs no id.
    Plain,
    /// It has asked for one, or has to.
    Wanted { asked: bool },
    /// The id and epoch it has.
    Known { id: i64, epoch: i16 },
}

#[derive(Debug)]
pub(super) struct Producer {
    number: u32,
    plan: ProducerPlan,
    identity: Identity,
    session: u32,
    topics: Vec<TopicRef>,
    knows_topics: bool,
    asked_topics: bool,
    lanes: Vec<Lane>,
    next_batch: u64,
    next_at: Nanos,
    requests: u64,
}

impl Producer {
    pub(super) fn new(index: usize, plan: &ProducerPlan, options: &Options) -> Self {
        let lanes = options.topics.iter().enumerate().flat_map(|(topic, plan)| {
            (0..plan.partitions).map(move |partition| Lane {
                topic,
                partition,
                next_sequence: options.next_sequence(index, topic, partition),
                next_mark: 0,
                queue: VecDeque::new(),
                acked_end: -1,
            })
        });
        let unknown = |name: &String| TopicRef {
            name: name.clone(),
            id: [0; 16],
        };
        Self {
            number: index as u32,
            plan: plan.clone(),
            identity: match options.heritage(index) {
                Some(tag) => Identity::Known {
                    id: tag.id,
                    epoch: tag.epoch,
                },
                None if plan.idempotent => Identity::Wanted { asked: false },
                None => Identity::Plain,
            },
            session: 0,
            topics: options.topics.iter().map(|topic| unknown(&topic.name)).collect(),
            knows_topics: false,
            asked_topics: false,
            lanes: lanes.collect(),
            next_batch: 0,
            next_at: 0,
            requests: 0,
        }
    }

    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    pub(super) fn finished(&self) -> bool {
        self.lanes.iter().all(|lane| lane.queue.is_empty())
    }

    pub(super) fn connected(&mut self, _wire: &mut Wire, _hands: &mut Hands<'_>) {
        self.asked_topics = false;
        self.knows_topics = false;
        if let Identity::Wanted { asked } = &mut self.identity {
            *asked = false;
        }
        if !self.plan.idempotent {
            self.session += 1;
        }
    }

    pub(super) fn disconnected(&mut self, hands: &mut Hands<'_>) {
        for lane in &mut self.lanes {
            lane.acked_end = -1;
            if self.plan.idempotent {
                for batch in &mut lane.queue {
                    if batch.stand == Stand::InFlight {
                        hands.oracle.counts.retries += 1;
                    }
                    batch.stand = Stand::Waiting;
                }
            } else {
                // Whether they arrived is not known, and without sequence numbers it is not asked again.
                lane.queue.clear();
            }
        }
    }

    pub(super) fn step(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        if !self.knows_topics {
            if !std::mem::replace(&mut self.asked_topics, true) {
                let topics = self.topics.iter().map(|topic| topic.name.clone()).collect();
                wire.send(hands, Request::Metadata { topics }, 0);
            }
            return;
        }
        if self.identity == (Identity::Wanted { asked: false }) {
            self.identity = Identity::Wanted { asked: true };
            wire.send(hands, Request::InitProducerId, 0);
        }
        if matches!(self.identity, Identity::Wanted { .. }) {
            return;
        }
        let now = hands.stage.now();
        if now < self.next_at || wire.in_flight() >= self.plan.in_flight {
            return;
        }
        self.next_at = now + hands.stage.draw.within(self.plan.pause / 2, self.plan.pause);
        self.send_some(wire, hands);
    }

    /// Sends one request with batches of one partition or several: first what has to go again, then new ones.
    fn send_some(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        let most = hands.stage.draw.within(1, self.plan.batches_a_request);
        // The first partition is hot: several batches of it are in flight at once.
        let anywhere = hands.stage.draw.index(self.lanes.len());
        let start = hands.stage.draw.pick(&[0, anywhere]);
        let mut parts = Vec::new();
        let mut lanes = Vec::new();
        for offset in 0..self.lanes.len() {
            let index = (start + offset) % self.lanes.len();
            if parts.len() as u64 == most {
                break;
            }
            if !self.prepare(index, hands) {
                continue;
            }
            let lane = &mut self.lanes[index];
            let Some(batch) = lane.queue.iter_mut().find(|batch| batch.stand == Stand::Waiting) else {
                continue;
            };
            batch.stand = Stand::InFlight;
            parts.push(ProducePart {
                topic: self.topics[lane.topic].clone(),
                partition: lane.partition,
                records: batch.bytes.clone(),
            });
            lanes.push((index, batch.id));
        }
        if parts.is_empty() {
            return;
        }
        self.requests += 1;
        let probed = self.lanes[lanes[0].0].partition;
        let topic = parts[0].topic.clone();
        wire.send(
            hands,
            Request::Produce {
                acks: self.plan.acks,
                parts,
            },
            0,
        );
        if self.plan.acks == 0 {
            for (index, id) in lanes {
                self.lanes[index].queue.retain(|batch| batch.id != id);
            }
        } else if self.plan.probe_every > 0 && self.requests.is_multiple_of(self.plan.probe_every) {
            let probe = Request::ListOffsets {
                topic,
                partitions: vec![probed],
                timestamp: -1,
            };
            wire.send(hands, probe, lanes[0].0 as u64);
        }
    }

    /// Sees to it that the lane has a batch that waits; false when it may not send now.
    fn prepare(&mut self, index: usize, hands: &mut Hands<'_>) -> bool {
        let lane = &mut self.lanes[index];
        let failed = lane.queue.iter().any(|batch| batch.stand == Stand::Failed);
        if failed {
            if lane.queue.iter().any(|batch| batch.stand == Stand::InFlight) {
                return false;
            }
            for batch in &mut lane.queue {
                batch.stand = Stand::Waiting;
            }
            hands.oracle.counts.retries += 1;
        }
        if lane.queue.iter().any(|batch| batch.stand == Stand::Waiting) {
            return true;
        }
        if !hands.working || lane.queue.len() >= 5 {
            return false;
        }
        self.new_batch(index, hands);
        true
    }

    fn new_batch(&mut self, index: usize, hands: &mut Hands<'_>) {
        let count = hands.stage.draw.within(1, self.plan.batch_records);
        let lane = &mut self.lanes[index];
        let topic = &self.topics[lane.topic];
        let mut records = Vec::with_capacity(count as usize);
        let mut marks = Vec::with_capacity(count as usize);
        let mut size = 0;
        for _ in 0..count {
            let bytes = hands
                .stage
                .draw
                .within(LEAST as u64, self.plan.value_bytes.max(LEAST as u64));
            size += bytes + 80;
            if size > LARGEST_BATCH - 100 && !records.is_empty() {
                break;
            }
            let mark = Mark {
                producer: self.number,
                session: self.session,
                sequence: lane.next_mark,
                partition: lane.partition,
                topic: fold_topic(&topic.id),
            };
            lane.next_mark += 1;
            marks.push(mark);
            records.push(match hands.options.topics[lane.topic].compaction {
                Some(compaction) => keyed_record(&mark, bytes as usize, &compaction, hands),
                None => new_record(&mark, bytes as usize, hands),
            });
        }
        let tag = match self.identity {
            Identity::Known { id, epoch } => ProducerTag {
                id,
                epoch,
                base_sequence: lane.next_sequence,
            },
            Identity::Plain | Identity::Wanted { .. } => ProducerTag::NONE,
        };
        let first = lane.next_sequence;
        lane.next_sequence = ProducerTag::later(first, records.len() as i32);
        let bytes = Bytes::from(build(&records, tag, self.plan.compression));
        let place = Place::new(topic.id, lane.partition);
        hands.oracle.sent(place, &marks, &bytes);
        lane.queue.push_back(OutBatch {
            id: self.next_batch,
            bytes,
            first,
            records: records.len() as u64,
            stand: Stand::Waiting,
        });
        self.next_batch += 1;
    }

    pub(super) fn answer(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, pending: &Pending, response: Response) {
        match (response, &pending.request) {
            (Response::Metadata { topics }, _) => {
                self.knows_topics = true;
                for told in topics {
                    hands.oracle.metadata(&told);
                    if told.error != 0 {
                        judge_error(hands, Api::Metadata, told.error);
                        self.knows_topics = false;
                    }
                    if let Some(topic) = self.topics.iter_mut().find(|topic| topic.name == told.topic.name) {
                        topic.id = told.topic.id;
                    }
                }
                self.asked_topics = self.knows_topics;
                if !self.knows_topics {
                    // Ask again on another connection, a little later.
                    wire.hang_up(hands);
                }
            }
            (
                Response::InitProducerId {
                    error,
                    producer_id,
                    epoch,
                },
                _,
            ) => {
                if error == 0 {
                    hands.oracle.issued(producer_id, epoch);
                    self.identity = Identity::Known { id: producer_id, epoch };
                    self.session += 1;
                    for lane in &mut self.lanes {
                        lane.next_sequence = 0;
                    }
                } else {
                    judge_error(hands, Api::InitProducerId, error);
                    self.identity = Identity::Wanted { asked: false };
                    self.next_at = hands.stage.now() + 10 * MILLIS;
                }
            }
            (Response::Produce(answers), Request::Produce { parts, .. }) => {
                self.answered(hands, parts, &answers);
            }
            (Response::ListOffsets(listed), _) => self.probed(hands, pending.note as usize, &listed),
            (response, _) => {
                let text = format!("a producer cannot make sense of {response:?}");
                hands.oracle.violate(Checker::Protocol, text);
            }
        }
    }

    fn answered(&mut self, hands: &mut Hands<'_>, parts: &[ProducePart], answers: &[Produced]) {
        for part in parts {
            let answer = answers.iter().find(|answer| {
                let same_topic = answer.topic.name == part.topic.name || answer.topic.id == part.topic.id;
                same_topic && answer.partition == part.partition
            });
            let Some(answer) = answer else {
                let text = format!("no answer for partition {} of {}", part.partition, part.topic.name);
                hands.oracle.violate(Checker::Protocol, text);
                continue;
            };
            let place = Place::new(part.topic.id, part.partition);
            let damaged = hands.oracle.is_damaged(place);
            let topics = &self.topics;
            let lane = self
                .lanes
                .iter_mut()
                .find(|lane| topics[lane.topic].name == part.topic.name && lane.partition == part.partition);
            let Some(lane) = lane else { continue };
            let Some(at) = lane.queue.iter().position(|batch| batch.bytes == part.records) else {
                continue;
            };
            if answer.error == 0 {
                let batch = &lane.queue[at];
                lane.acked_end = answer.base_offset + batch.records as i64;
                hands.oracle.acked(place, answer.base_offset, &part.records);
                lane.queue.remove(at);
            } else if damaged && self.plan.idempotent && !(is_retriable(answer.error) && hands.working) {
                // Its predecessors may be gone, or the partition be refused for good.
                self.identity = Identity::Wanted { asked: false };
            } else {
                Self::refused(
                    &self.plan,
                    &mut self.identity,
                    &mut self.next_at,
                    lane,
                    hands,
                    at,
                    answer.error,
                );
            }
        }
        if matches!(self.identity, Identity::Wanted { .. }) {
            self.start_over(hands);
        }
    }

    /// A batch was refused.
    fn refused(
        plan: &ProducerPlan,
        identity: &mut Identity,
        next_at: &mut Nanos,
        lane: &mut Lane,
        hands: &mut Hands<'_>,
        at: usize,
        error: i16,
    ) {
        if !plan.idempotent {
            judge_error(hands, Api::Produce, error);
            lane.queue.remove(at);
            return;
        }
        // OUT_OF_ORDER_SEQUENCE_NUMBER is what those behind a refused batch are told.
        let behind_failed = at > 0 && lane.queue.iter().take(at).any(|batch| batch.stand != Stand::Waiting);
        if error == 45 && behind_failed || is_retriable(error) {
            if is_retriable(error) {
                judge_error(hands, Api::Produce, error);
                *next_at = hands.stage.now() + 5 * MILLIS;
            }
            lane.queue[at].stand = Stand::Failed;
            return;
        }
        if hands.oracle.may_have_lost() {
            *identity = Identity::Wanted { asked: false };
            return;
        }
        let queue: Vec<_> = lane
            .queue
            .iter()
            .map(|batch| (batch.first, batch.records, batch.stand))
            .collect();
        let text = format!(
            "topic {} partition {}: error {error} for batch {at} of {queue:?} of {identity:?}, whose predecessors were \
             all acknowledged",
            lane.topic, lane.partition
        );
        hands.oracle.violate(Checker::Idempotence, text);
    }

    /// What was promised is gone as the promise allows: begin again as somebody else.
    fn start_over(&mut self, hands: &mut Hands<'_>) {
        hands.oracle.counts.started_over += 1;
        for lane in &mut self.lanes {
            lane.queue.clear();
        }
    }

    /// The probe that went out right behind a batch must see it: requests of one connection take effect in order.
    fn probed(&mut self, hands: &mut Hands<'_>, lane: usize, listed: &[Listed]) {
        let [listed] = listed else {
            hands.oracle.violate(
                Checker::Protocol,
                format!("one offset was asked for, {} came", listed.len()),
            );
            return;
        };
        if listed.error != 0 {
            judge_error(hands, Api::ListOffsets, listed.error);
            return;
        }
        let expected = self.lanes[lane].acked_end;
        let topic = &self.topics[self.lanes[lane].topic];
        let place = Place::new(topic.id, self.lanes[lane].partition);
        if expected >= 0 {
            hands.oracle.judging(Checker::Order);
        }
        if listed.offset < expected && !hands.oracle.may_lack(place) {
            let text = format!(
                "a look behind a batch that ended at {expected} saw the end at {}",
                listed.offset
            );
            hands.oracle.violate(Checker::Order, text);
        }
    }
}

fn new_record(mark: &Mark, bytes: usize, hands: &mut Hands<'_>) -> NewRecord {
    let jitter = hands.stage.draw.below(2000) as i64 - 1000;
    NewRecord {
        timestamp: hands.options.wall + (hands.stage.now() / MILLIS) as i64 + jitter,
        key: hands
            .stage
            .draw
            .chance(1, 2)
            .then(|| mark.sequence.to_be_bytes().to_vec()),
        value: mark.encode(bytes),
        headers: if mark.sequence.is_multiple_of(7) {
            vec![(b"again".to_vec(), b"1".to_vec()), (b"again".to_vec(), b"2".to_vec())]
        } else {
            Vec::new()
        },
    }
}

/// A record for a compacted topic. A tombstone says in a header who sent it.
fn keyed_record(mark: &Mark, bytes: usize, compaction: &Compaction, hands: &mut Hands<'_>) -> NewRecord {
    let (key, tombstone) = compaction.draw_key(&mut hands.stage.draw);
    let mut record = NewRecord {
        key: Some(key),
        ..new_record(mark, bytes, hands)
    };
    if tombstone {
        record.value = Vec::new();
        record.headers = vec![(b"mark".to_vec(), mark.encode(LEAST))];
    }
    record
}
