//! `OffsetForLeaderEpoch`: where leader epochs end (KIP-101, KIP-320).

use super::{Progress, Work};
use crate::partition::{PartitionAnswer, PartitionAsk};
use crate::session::scatter::Scatter;
use crate::session::{Answer, Call};
use crate::types::{ErrorCode, LeaderEpoch};
use crate::wire::Text;
use crate::wire::message::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};
use alloc::vec::Vec;

/// A request whose partitions are looking.
#[derive(Debug)]
pub(in crate::session) struct OffsetForLeaderEpoch {
    topics: Vec<(Text, Vec<i32>)>,
    scatter: Scatter,
}

pub(super) fn begin(request: OffsetForLeaderEpochRequest, call: &mut Call<'_, '_>) -> Progress {
    let mut scatter = Scatter::new(|code| PartitionAnswer::EpochEnd(Err(code)));
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let known = call.context.image.topic_named(&topic.topic);
        for part in &topic.partitions {
            match known.and_then(|topic| topic.partition(part.partition)) {
                Some(partition) => scatter.add(partition, ask(part), call.context.shards),
                None => scatter.refuse(ErrorCode::UnknownTopicOrPartition),
            }
        }
        let indexes = topic.partitions.iter().map(|part| part.partition).collect();
        topics.push((topic.topic, indexes));
    }
    scatter.send(None, call);
    OffsetForLeaderEpoch { topics, scatter }.settle(call)
}

fn ask(part: &OffsetForLeaderPartition) -> PartitionAsk {
    let known = |epoch: i32| (epoch != -1).then_some(LeaderEpoch(epoch));
    PartitionAsk::EpochEnd {
        current_leader_epoch: known(part.current_leader_epoch),
        leader_epoch: known(part.leader_epoch),
    }
}

impl OffsetForLeaderEpoch {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &mut Call<'_, '_>) -> Progress {
        self.scatter.hear(tag, answer);
        self.settle(call)
    }

    fn settle(self, call: &Call<'_, '_>) -> Progress {
        if !self.scatter.is_complete() {
            return Progress::Working(Work::OffsetForLeaderEpoch(self));
        }
        let mut answers = self.scatter.into_answers();
        let mut respond = |partition| {
            let base = EpochEndOffset {
                partition,
                ..EpochEndOffset::default()
            };
            match answers.next() {
                Some(PartitionAnswer::EpochEnd(Ok(Some((epoch, end))))) => EpochEndOffset {
                    leader_epoch: epoch.0,
                    end_offset: end.0,
                    ..base
                },
                Some(PartitionAnswer::EpochEnd(Ok(None))) => base,
                Some(PartitionAnswer::EpochEnd(Err(code))) => EpochEndOffset {
                    error_code: code.code(),
                    ..base
                },
                other => panic!("the end of an epoch was asked for, and answered {other:?}"),
            }
        };
        let topics = self
            .topics
            .into_iter()
            .map(|(topic, partitions)| OffsetForLeaderTopicResult {
                topic,
                partitions: partitions.into_iter().map(&mut respond).collect(),
            });
        call.respond(&OffsetForLeaderEpochResponse {
            throttle_time_ms: 0,
            topics: topics.collect(),
        })
    }
}
