//! Produce: each partition's batch goes to its home, and is answered once it satisfies the acks.

use super::{Progress, Work};
use crate::metadata::{Image, is_internal};
use crate::partition::{Acks, NotProduced, PartitionAnswer, PartitionAsk, Produced};
use crate::record::{BatchHeader, Compression, MAGIC, RecordError};
use crate::session::scatter::Scatter;
use crate::session::{Answer, Call, CloseReason};
use crate::types::{ErrorCode, Refusal, TopicId, TopicPartition, Uuid};
use crate::wire::Text;
use crate::wire::message::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData, TopicProduceResponse,
};
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

const ZSTD_SINCE: i16 = 7;

/// A produce request whose batches are on their way to being durable.
#[derive(Debug)]
pub(in crate::session) struct Produce {
    acks: Acks,
    topics: Vec<Topic>,
    scatter: Scatter,
}

#[derive(Debug)]
struct Topic {
    name: Text,
    id: Uuid,
    partitions: Vec<i32>,
}

pub(super) fn begin(request: ProduceRequest, call: &mut Call<'_, '_>) -> Progress {
    let acks = Acks::from_wire(request.acks);
    let transactional = request.transactional_id.as_ref().map(|_| Refusal {
        code: ErrorCode::InvalidTxnState,
        message: Some(String::from("This broker does not serve transactions.")),
    });
    let mut scatter = Scatter::new();
    let topic_data = last_named(request.topic_data);
    let mut topics = Vec::with_capacity(topic_data.len());
    for TopicProduceData {
        name,
        topic_id,
        partition_data,
    } in topic_data
    {
        let found = find_topic(call.context.image, call.header.version, &name, topic_id);
        let mut partitions = Vec::with_capacity(partition_data.len());
        for PartitionProduceData { index, records } in partition_data {
            partitions.push(index);
            let checked = transactional
                .clone()
                .map_or_else(|| check(found, index, call.context.image), Err)
                .and_then(|partition| check_codec(call.header.version, records.as_ref()).map(|()| partition))
                // What is not there is said before what is wrong with all (`KafkaApis.handleProduceRequest`).
                .and_then(|partition| Ok((partition, acks.ok_or(ErrorCode::InvalidRequiredAcks)?)));
            match checked {
                Ok((partition, acks)) => {
                    let ask = PartitionAsk::Produce {
                        records: records.unwrap_or_else(Bytes::new),
                        acks,
                    };
                    scatter.add(partition, ask, call.context.shards);
                }
                Err(refusal) => scatter.add_answer(PartitionAnswer::Produced(Err(refusal.into()))),
            }
        }
        topics.push(Topic {
            name,
            id: topic_id,
            partitions,
        });
    }
    scatter.send(None, call);
    Produce {
        acks: acks.unwrap_or(Acks::All),
        topics,
        scatter,
    }
    .settle(call)
}

/// Each partition once, with the records that it is named with last: the others are not appended, and not answered
/// (`KafkaApis.handleProduceRequest` keeps them in a map).
fn last_named(topic_data: Vec<TopicProduceData>) -> Vec<TopicProduceData> {
    if let [] | [_] = topic_data.as_slice()
        && topic_data.iter().all(|topic| topic.partition_data.len() <= 1)
    {
        return topic_data;
    }
    let mut topics: Vec<TopicProduceData> = Vec::with_capacity(topic_data.len());
    let mut topic_places = BTreeMap::new();
    let mut places = BTreeMap::new();
    for mut topic in topic_data {
        let parts = core::mem::take(&mut topic.partition_data);
        let at = *topic_places
            .entry((topic.name.clone(), topic.topic_id))
            .or_insert_with(|| {
                topics.push(topic);
                topics.len() - 1
            });
        let merged = &mut topics[at].partition_data;
        for part in parts {
            match places.entry((at, part.index)) {
                Entry::Vacant(free) => {
                    free.insert(merged.len());
                    merged.push(part);
                }
                Entry::Occupied(place) => merged[*place.get()] = part,
            }
        }
    }
    topics
}

/// zstd only since version 7: a client of an earlier one could not read back what it wrote (KIP-110).
fn check_codec(version: i16, records: Option<&Bytes>) -> Result<(), Refusal> {
    let header = records
        .filter(|_| version < ZSTD_SINCE)
        .and_then(|records| records.first_chunk())
        .map(BatchHeader::parse);
    match header {
        Some(header) if header.magic == MAGIC && header.compression() == Ok(Compression::Zstd) => Err(Refusal {
            code: ErrorCode::UnsupportedCompressionType,
            message: Some(format!("zstd is served since version {ZSTD_SINCE} of Produce.")),
        }),
        _ => Ok(()),
    }
}

fn find_topic(image: &Image, version: i16, name: &Text, id: Uuid) -> Result<TopicId, ErrorCode> {
    if version >= 13 {
        return match image.topic(TopicId(id)) {
            Some(topic) => Ok(topic.id),
            None => Err(ErrorCode::UnknownTopicId),
        };
    }
    image
        .topic_named(name)
        .map(|topic| topic.id)
        .ok_or(ErrorCode::UnknownTopicOrPartition)
}

fn check(topic: Result<TopicId, ErrorCode>, index: i32, image: &Image) -> Result<TopicPartition, Refusal> {
    let topic = topic?;
    let Some(found) = image.topic(topic) else {
        return Err(ErrorCode::UnknownTopicOrPartition.into());
    };
    if !(0..found.partitions.len() as i64).contains(&i64::from(index)) {
        return Err(ErrorCode::UnknownTopicOrPartition.into());
    }
    // What the broker keeps of itself is written by nobody else.
    if is_internal(&found.name) {
        return Err(ErrorCode::InvalidTopicException.into());
    }
    Ok(TopicPartition {
        topic,
        partition: index,
    })
}

impl Produce {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &mut Call<'_, '_>) -> Progress {
        let Answer::Partitions { parts, .. } = answer else {
            panic!("produce was answered {answer:?}")
        };
        self.scatter.answer(tag, parts);
        self.settle(call)
    }

    fn settle(self, call: &Call<'_, '_>) -> Progress {
        if !self.scatter.is_complete() {
            return Progress::Working(Work::Produce(self));
        }
        if self.acks == Acks::None {
            return self.settle_silently();
        }
        let mut answers = self.scatter.into_answers();
        let mut respond = |index| match answers.next() {
            Some(PartitionAnswer::Produced(result)) => partition_response(index, result),
            other => panic!("produce was answered {other:?}"),
        };
        // A topic without partitions is not answered (`ProduceResponse` groups partitions).
        let topics = self.topics.into_iter().filter(|topic| !topic.partitions.is_empty());
        let responses = topics.map(|topic| TopicProduceResponse {
            name: topic.name,
            topic_id: topic.id,
            partition_responses: topic.partitions.into_iter().map(&mut respond).collect(),
        });
        call.respond(&ProduceResponse {
            responses: responses.collect(),
            ..ProduceResponse::default()
        })
    }

    /// Without acks an error has only one way to be noticed: the connection closes (`KafkaApis.handleProduceRequest`).
    fn settle_silently(self) -> Progress {
        let failed = self.scatter.into_answers().find_map(|answer| match answer {
            PartitionAnswer::Produced(Err(not)) => Some(not.refusal.code),
            _ => None,
        });
        failed.map_or(Progress::Silent, |code| {
            Progress::Close(CloseReason::FailedWithoutAcks(code.name()))
        })
    }
}

fn partition_response(index: i32, result: Result<Produced, NotProduced>) -> PartitionProduceResponse {
    match result {
        Ok(produced) => PartitionProduceResponse {
            index,
            base_offset: produced.base_offset.0,
            log_append_time_ms: produced.log_append_time.map_or(-1, |time| time.0),
            log_start_offset: produced.log_start_offset.0,
            ..PartitionProduceResponse::default()
        },
        Err(NotProduced { refusal, records }) => PartitionProduceResponse {
            index,
            error_code: refusal.code.code(),
            base_offset: -1,
            record_errors: records.into_iter().map(record_error).collect(),
            error_message: refusal.message.map(Text::from),
            ..PartitionProduceResponse::default()
        },
    }
}

fn record_error(record: RecordError) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage {
        batch_index: record.index,
        batch_index_error_message: Some(record.fault.to_string().into()),
    }
}
