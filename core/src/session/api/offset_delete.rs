//! OffsetDelete: offsets of topics that a group does not subscribe to any more go.

use super::groups::{check_name, group_answer};
use super::{Progress, Work};
use crate::group::{GroupAnswer, GroupAsk};
use crate::session::{Answer, Call};
use crate::types::ErrorCode;
use crate::wire::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A request that its group works on.
#[derive(Debug)]
pub(in crate::session) struct OffsetDelete {
    topics: Vec<OffsetDeleteRequestTopic>,
    /// The code of each partition, in the order of the request, where it is known without the group.
    known: Vec<Option<ErrorCode>>,
}

pub(super) fn begin(request: OffsetDeleteRequest, call: &mut Call<'_, '_>) -> Progress {
    let (mut known, mut wanted) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let found = call.context.image.topic_named(&topic.name);
        for it in &topic.partitions {
            let index = usize::try_from(it.partition_index).ok();
            match found.filter(|found| index.is_some_and(|index| index < found.partitions.len())) {
                Some(found) => {
                    wanted.push((Arc::clone(&found.name), it.partition_index));
                    known.push(None);
                }
                None => known.push(Some(ErrorCode::UnknownTopicOrPartition)),
            }
        }
    }
    let work = OffsetDelete {
        topics: request.topics,
        known,
    };
    if let Err(code) = check_name(&request.group_id) {
        return work.settle(GroupAnswer::OffsetsDeleted(Err(code)), call);
    }
    // The group is asked whatever is left to delete: its error stands instead of all partitions'
    // (`KafkaApis.handleOffsetDeleteRequest`, `OffsetDeleteResponse.Builder.merge`).
    match call.ask_group(0, &request.group_id, GroupAsk::DeleteOffsets(wanted)) {
        None => Progress::Working(Work::OffsetDelete(work)),
        Some(refused) => work.settle(refused, call),
    }
}

impl OffsetDelete {
    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        self.settle(group_answer(answer), call)
    }

    fn settle(self, answer: GroupAnswer, call: &Call<'_, '_>) -> Progress {
        let codes = match answer {
            GroupAnswer::OffsetsDeleted(Ok(codes)) => codes,
            GroupAnswer::OffsetsDeleted(Err(code)) => {
                return call.respond(&OffsetDeleteResponse {
                    error_code: code.code(),
                    ..OffsetDeleteResponse::default()
                });
            }
            other => panic!("offsets were to be deleted, and answered {other:?}"),
        };
        let (mut codes, mut known) = (codes.into_iter(), self.known.into_iter());
        let mut partition = |it: crate::wire::message::offset_delete::OffsetDeleteRequestPartition| {
            let code = known.next().flatten().or_else(|| codes.next());
            OffsetDeleteResponsePartition {
                partition_index: it.partition_index,
                error_code: code.unwrap_or(ErrorCode::None).code(),
            }
        };
        let empty = |topic: &OffsetDeleteRequestTopic| {
            topic.partitions.is_empty() && call.context.image.topic_named(&topic.name).is_some()
        };
        let topics = self.topics.into_iter().filter(|topic| !empty(topic));
        let topic = |topic: OffsetDeleteRequestTopic| OffsetDeleteResponseTopic {
            name: topic.name,
            partitions: topic.partitions.into_iter().map(&mut partition).collect(),
        };
        call.respond(&OffsetDeleteResponse {
            topics: topics.map(topic).collect(),
            ..OffsetDeleteResponse::default()
        })
    }
}
