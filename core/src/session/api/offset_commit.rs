//! OffsetCommit: offsets are remembered, once they are durable.

use super::groups::{check_length, group_answer, own, own_if};
use super::{Progress, Work};
use crate::group::{CommitAsk, CommitOffset, GroupAnswer, GroupAsk};
use crate::metadata::Topic;
use crate::session::{Answer, Call};
use crate::types::{ErrorCode, LeaderEpoch, Offset, TopicId};
use crate::wire::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// From this version on topics are named by their ids.
const TOPIC_IDS: i16 = 10;
/// From this version on a group that is not there is named so (KIP-848).
const NAMES_NO_GROUP: i16 = 9;

/// A request on its way to the log.
#[derive(Debug)]
pub(in crate::session) struct OffsetCommit {
    topics: Vec<OffsetCommitRequestTopic>,
    /// The code of each partition, in the order of the request, where it is known without the group.
    known: Vec<Option<ErrorCode>>,
}

pub(super) fn begin(request: OffsetCommitRequest, call: &mut Call<'_, '_>) -> Progress {
    let (mut known, mut offsets) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let found = find(topic, call);
        for partition in &topic.partitions {
            match found.and_then(|topic| offset(topic, partition)) {
                Ok(offset) => {
                    offsets.push(offset);
                    known.push(None);
                }
                Err(code) => known.push(Some(code)),
            }
        }
    }
    let ask = read(&request, offsets, call);
    let work = OffsetCommit {
        topics: request.topics,
        known,
    };
    let ask = match ask {
        Ok(ask) if ask.offsets.is_empty() => return work.settle(GroupAnswer::Committed(Vec::new()), call),
        Ok(ask) => ask,
        Err(code) => {
            let codes = alloc::vec![code; work.known.len()];
            return work.settle(GroupAnswer::Committed(codes), call);
        }
    };
    match call.ask_group(0, &request.group_id, GroupAsk::Commit(ask)) {
        None => Progress::Working(Work::OffsetCommit(work)),
        Some(refused) => work.settle(refused, call),
    }
}

fn find<'a>(topic: &OffsetCommitRequestTopic, call: &'a Call<'_, '_>) -> Result<&'a Topic, ErrorCode> {
    let image = call.context.image;
    if call.header.version >= TOPIC_IDS {
        let found = image.topic(TopicId(topic.topic_id));
        return found.map(|topic| &**topic).ok_or(ErrorCode::UnknownTopicId);
    }
    let found = image.topic_named(&topic.name);
    found.map(|topic| &**topic).ok_or(ErrorCode::UnknownTopicOrPartition)
}

fn offset(topic: &Topic, it: &OffsetCommitRequestPartition) -> Result<CommitOffset, ErrorCode> {
    let index = usize::try_from(it.partition_index).ok();
    if index.is_none_or(|index| index >= topic.partitions.len()) {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let epoch = it.committed_leader_epoch;
    Ok(CommitOffset {
        topic: Arc::clone(&topic.name),
        id: topic.id,
        partition: it.partition_index,
        offset: Offset(it.committed_offset),
        leader_epoch: (epoch >= 0).then_some(LeaderEpoch(epoch)),
        metadata: it
            .committed_metadata
            .as_ref()
            .map_or_else(|| Arc::from(""), |it| Arc::from(it.as_str())),
    })
}

fn read(
    request: &OffsetCommitRequest,
    offsets: Vec<CommitOffset>,
    call: &Call<'_, '_>,
) -> Result<CommitAsk, ErrorCode> {
    check_length(&request.group_id)?;
    Ok(CommitAsk {
        member: own(&request.member_id)?,
        instance: own_if(request.group_instance_id.as_ref())?,
        generation: request.generation_id_or_member_epoch,
        retention_ms: (request.retention_time_ms != -1).then_some(request.retention_time_ms),
        no_group: if call.header.version >= NAMES_NO_GROUP {
            ErrorCode::GroupIdNotFound
        } else {
            ErrorCode::IllegalGeneration
        },
        offsets,
    })
}

impl OffsetCommit {
    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        self.settle(group_answer(answer), call)
    }

    fn settle(self, answer: GroupAnswer, call: &Call<'_, '_>) -> Progress {
        let GroupAnswer::Committed(codes) = answer else {
            panic!("a commit was answered {answer:?}")
        };
        let mut codes = codes.into_iter();
        let mut known = self.known.into_iter();
        let mut partition = |it: OffsetCommitRequestPartition| {
            let code = known.next().flatten().or_else(|| codes.next());
            OffsetCommitResponsePartition {
                partition_index: it.partition_index,
                error_code: code.unwrap_or(ErrorCode::None).code(),
            }
        };
        // A topic that there is, and of which no partition is committed, is not answered
        // (`KafkaApis.handleOffsetCommitRequest`).
        let empty = |topic: &OffsetCommitRequestTopic| topic.partitions.is_empty() && find(topic, call).is_ok();
        let topics = self.topics.into_iter().filter(|topic| !empty(topic));
        let topic = |topic: OffsetCommitRequestTopic| OffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions: topic.partitions.into_iter().map(&mut partition).collect(),
        };
        call.respond(&OffsetCommitResponse {
            topics: topics.map(topic).collect(),
            ..OffsetCommitResponse::default()
        })
    }
}
