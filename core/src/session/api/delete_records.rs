//! `DeleteRecords`: logs begin later, durably before the answer, and every connection sees it (KIP-107).

use super::{Progress, Work};
use crate::config::BrokerConfig;
use crate::metadata::{Topic, is_internal};
use crate::partition::{PartitionAnswer, PartitionAsk};
use crate::session::scatter::Scatter;
use crate::session::{Answer, Call};
use crate::types::{ErrorCode, Offset};
use crate::wire::Text;
use crate::wire::message::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The offset that stands for the high watermark (`DeleteRecordsRequest.HIGH_WATERMARK`).
const HIGH_WATERMARK: i64 = -1;
/// The low watermark of a partition that was refused (`DeleteRecordsResponse.INVALID_LOW_WATERMARK`).
const NOWHERE: i64 = -1;

/// A request whose logs are to begin later.
#[derive(Debug)]
pub(in crate::session) struct DeleteRecords {
    topics: Vec<(Text, Vec<i32>)>,
    scatter: Scatter,
}

pub(super) fn begin(request: DeleteRecordsRequest, call: &mut Call<'_, '_>) -> Progress {
    let mut scatter = Scatter::new(|code| PartitionAnswer::RecordsDeleted(Err(code)));
    let mut topics = Vec::new();
    for (name, offsets) in by_topic(request) {
        // A topic without partitions is not answered (`KafkaApis.handleDeleteRecordsRequest` groups partitions).
        if offsets.is_empty() {
            continue;
        }
        let known = call.context.image.topic_named(&name);
        let refused = known.and_then(|topic| refusal(topic, call.context.config));
        for (&index, &offset) in &offsets {
            let partition = known.and_then(|topic| topic.partition(index));
            let checked = match (partition, refused) {
                (None, _) => Err(ErrorCode::UnknownTopicOrPartition),
                (_, Some(code)) => Err(code),
                _ if offset < HIGH_WATERMARK => Err(ErrorCode::OffsetOutOfRange),
                (Some(partition), None) => Ok(partition),
            };
            match checked {
                Ok(partition) => {
                    let upto = (offset != HIGH_WATERMARK).then_some(Offset(offset));
                    scatter.add(partition, PartitionAsk::DeleteRecords(upto), call.context.shards);
                }
                Err(code) => scatter.refuse(code),
            }
        }
        topics.push((name, offsets.into_keys().collect()));
    }
    scatter.send(None, call);
    DeleteRecords { topics, scatter }.settle(call)
}

/// Each partition once, with the last offset that is given for it.
fn by_topic(request: DeleteRecordsRequest) -> BTreeMap<Text, BTreeMap<i32, i64>> {
    let mut topics: BTreeMap<Text, BTreeMap<i32, i64>> = BTreeMap::new();
    for topic in request.topics {
        let offsets = topics.entry(topic.name).or_default();
        offsets.extend(topic.partitions.iter().map(|it| (it.partition_index, it.offset)));
    }
    topics
}

/// Why no records of the topic may be deleted: it is internal, or keeps the last record of each key
/// (`Partition.deleteRecordsOnLeader`).
fn refusal(topic: &Topic, config: &BrokerConfig) -> Option<ErrorCode> {
    if is_internal(&topic.name) {
        return Some(ErrorCode::InvalidTopicException);
    }
    let given = [&config.dynamic, &config.dynamic_defaults, &config.settings];
    let of_broker = || {
        given
            .into_iter()
            .find_map(|settings| settings.get("log.cleanup.policy"))
    };
    let policy = topic.config.get("cleanup.policy").or_else(of_broker)?;
    let has = |part| policy.split(',').any(|it| it.trim() == part);
    (has("compact") && !has("delete")).then_some(ErrorCode::PolicyViolation)
}

impl DeleteRecords {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &Call<'_, '_>) -> Progress {
        self.scatter.hear(tag, answer);
        self.settle(call)
    }

    fn settle(self, call: &Call<'_, '_>) -> Progress {
        if !self.scatter.is_complete() {
            return Progress::Working(Work::DeleteRecords(self));
        }
        let mut answers = self.scatter.into_answers();
        let mut respond = |partition_index| match answers.next() {
            Some(PartitionAnswer::RecordsDeleted(begins)) => DeleteRecordsPartitionResult {
                partition_index,
                low_watermark: begins.map_or(NOWHERE, |start| start.0),
                error_code: begins.err().unwrap_or(ErrorCode::None).code(),
            },
            other => panic!("the deletion of records was answered {other:?}"),
        };
        let topics = self.topics.into_iter().map(|(name, indexes)| DeleteRecordsTopicResult {
            name,
            partitions: indexes.into_iter().map(&mut respond).collect(),
        });
        call.respond(&DeleteRecordsResponse {
            throttle_time_ms: 0,
            topics: topics.collect(),
        })
    }
}
