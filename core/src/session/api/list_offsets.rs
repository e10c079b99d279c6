//! ListOffsets: offsets by their special names and by time.

use super::{Progress, Work, repeated};
use crate::partition::{Located, OffsetTarget, PartitionAnswer, PartitionAsk};
use crate::session::scatter::Scatter;
use crate::session::{Answer, Call};
use crate::types::{ErrorCode, LeaderEpoch, TopicPartition};
use crate::wire::Text;
use crate::wire::message::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic, ListOffsetsTopicResponse,
};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// The leader epoch of a client that knows none. Any other is compared, a negative one too
/// (`ReplicaManager.fetchOffset`).
const NO_LEADER_EPOCH: i32 = -1;

/// A request whose partitions are looking.
#[derive(Debug)]
pub(in crate::session) struct ListOffsets {
    topics: Vec<(Text, Vec<i32>)>,
    scatter: Scatter,
}

pub(super) fn begin(request: ListOffsetsRequest, call: &mut Call<'_, '_>) -> Progress {
    let mut scatter = Scatter::new(|code| PartitionAnswer::Offset(Err(code)));
    let mut topics = Vec::with_capacity(request.topics.len());
    let repeated = named_twice(&request);
    let mut answered = BTreeSet::new();
    for topic in request.topics {
        let known = call.context.image.topic_named(&topic.name).cloned();
        let mut indexes = Vec::with_capacity(topic.partitions.len());
        for part in topic.partitions {
            let index = part.partition_index;
            let twice = repeated.contains(&(topic.name.clone(), index));
            if twice && !answered.insert((topic.name.clone(), index)) {
                continue;
            }
            indexes.push(index);
            let known = known
                .as_ref()
                .filter(|topic| (0..topic.partitions.len() as i64).contains(&i64::from(index)));
            let target = target(part.timestamp, call.header.version);
            let ask = match (known, target) {
                _ if twice => Err(ErrorCode::InvalidRequest),
                (_, None) => Err(ErrorCode::UnsupportedVersion),
                (None, _) => Err(ErrorCode::UnknownTopicOrPartition),
                (Some(topic), Some(target)) => Ok((
                    TopicPartition {
                        topic: topic.id,
                        partition: index,
                    },
                    target,
                )),
            };
            match ask {
                Ok((partition, target)) => {
                    let epoch = part.current_leader_epoch;
                    let current_leader_epoch = (epoch != NO_LEADER_EPOCH).then_some(LeaderEpoch(epoch));
                    let ask = PartitionAsk::ListOffset {
                        current_leader_epoch,
                        target,
                    };
                    scatter.add(partition, ask, call.context.shards);
                }
                Err(code) => scatter.refuse(code),
            }
        }
        // A topic without partitions is not answered (`KafkaApis.handleListOffsetRequest` groups partitions).
        if !indexes.is_empty() {
            topics.push((topic.name, indexes));
        }
    }
    scatter.send(None, call);
    ListOffsets { topics, scatter }.settle(call)
}

/// The partitions that are named more than once, wherever: each is refused, and answered once
/// (`ListOffsetsRequest.duplicatePartitions`).
fn named_twice(request: &ListOffsetsRequest) -> BTreeSet<(Text, i32)> {
    let partitions = |(at, topic): (u32, &ListOffsetsTopic)| {
        let indexes = topic.partitions.iter().map(|part| part.partition_index);
        indexes.map(move |index| (at, index)).collect::<Vec<_>>()
    };
    let named: Vec<(u32, i32)> = (0..).zip(&request.topics).flat_map(partitions).collect();
    let name = |at: u32| &request.topics[at as usize].name;
    let order = |one: &(u32, i32), other: &(u32, i32)| (name(one.0), one.1).cmp(&(name(other.0), other.1));
    let repeated = repeated(&named, order).into_iter().map(|place| named[place as usize]);
    repeated.map(|(at, index)| (name(at).clone(), index)).collect()
}

/// The special timestamps, each from the version on that knows it (`ListOffsetsRequest.Builder`).
fn target(timestamp: i64, version: i16) -> Option<OffsetTarget> {
    let since = match timestamp {
        -3 => 7,
        -4 => 8,
        -5 => 9,
        -6 => 11,
        _ => 0,
    };
    OffsetTarget::from_wire(timestamp).filter(|_| version >= since)
}

impl ListOffsets {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &mut Call<'_, '_>) -> Progress {
        let Answer::Partitions { parts, .. } = answer else {
            panic!("list offsets was answered {answer:?}")
        };
        self.scatter.answer(tag, parts);
        self.settle(call)
    }

    fn settle(self, call: &Call<'_, '_>) -> Progress {
        if !self.scatter.is_complete() {
            return Progress::Working(Work::ListOffsets(self));
        }
        let mut answers = self.scatter.into_answers();
        let mut respond = |partition_index| match answers.next() {
            Some(PartitionAnswer::Offset(result)) => partition_response(partition_index, result, call.header.version),
            other => panic!("list offsets was answered {other:?}"),
        };
        let topics = self
            .topics
            .into_iter()
            .map(|(name, partitions)| ListOffsetsTopicResponse {
                name,
                partitions: partitions.into_iter().map(&mut respond).collect(),
            });
        call.respond(&ListOffsetsResponse {
            throttle_time_ms: 0,
            topics: topics.collect(),
        })
    }
}

fn partition_response(
    partition_index: i32,
    result: Result<Located, ErrorCode>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let (located, code) = match result {
        Ok(located) => (located, ErrorCode::None),
        Err(code) => (Located::NOWHERE, code),
    };
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: code.code(),
        timestamp: located.timestamp.map_or(-1, |timestamp| timestamp.0),
        offset: located.offset.map_or(-1, |offset| offset.0),
        leader_epoch: located
            .leader_epoch
            .filter(|_| version >= 4)
            .map_or(-1, |epoch| epoch.0),
    }
}
