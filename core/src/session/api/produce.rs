//! Produce: each partition's batch goes to its home, and is answered once it satisfies the acks.

use super::{Progress, Work, each_once, repeated};
use crate::metadata::{Image, is_internal};
use crate::partition::{Acks, NotProduced, PartitionAnswer, PartitionAsk, Produced};
use crate::record::{BatchHeader, Compression, MAGIC, RecordError};
use crate::session::scatter::Scatter;
use crate::session::{Answer, Call, CloseReason};
use crate::types::{ErrorCode, Refusal, TopicId, TopicPartition, Uuid};
use crate::wire::message::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData, TopicProduceResponse,
};
use crate::wire::{List, Text};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;

const ZSTD_SINCE: i16 = 7;

/// A produce request whose batches are on their way to being durable.
#[derive(Debug)]
pub(in crate::session) struct Produce {
    acks: Acks,
    /// Why all of it is refused.
    message: Option<Text>,
    topics: Vec<Topic>,
    scatter: Scatter,
}

/// What a transactional producer is told of each partition.
const TRANSACTIONAL: (ErrorCode, &str) = (ErrorCode::InvalidTxnState, "This broker does not serve transactions.");

#[derive(Debug)]
struct Topic {
    name: Text,
    id: Uuid,
    partitions: Vec<i32>,
}

pub(super) fn begin(request: ProduceRequest, call: &mut Call<'_, '_>) -> Progress {
    let acks = Acks::from_wire(request.acks);
    let transactional = request.transactional_id.as_ref().map(|_| TRANSACTIONAL);
    let mut scatter = Scatter::new(|code| PartitionAnswer::Produced(Err(code.into())));
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
                .map_or_else(|| check(found, index, call.context.image), |(code, _)| Err(code.into()))
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
                Err(Refusal { code, message: None }) => scatter.refuse(code),
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
        message: transactional.map(|(_, message)| Text::from(message)),
        topics,
        scatter,
    }
    .settle(call)
}

/// Each partition once, with the records that it is named with last: the others are not appended, and not answered
/// (`KafkaApis.handleProduceRequest` keeps them in a map).
fn last_named(mut topics: Vec<TopicProduceData>) -> Vec<TopicProduceData> {
    let order = |one: &TopicProduceData, other: &TopicProduceData| {
        let names = one.name.cmp(&other.name);
        names.then(one.topic_id.cmp(&other.topic_id))
    };
    let again = repeated(&topics, order);
    if !again.is_empty() {
        let take = |&place: &u32| {
            let topic = &mut topics[place as usize];
            let partition_data = core::mem::take(&mut topic.partition_data);
            TopicProduceData {
                partition_data,
                ..topic.clone()
            }
        };
        let more: Vec<_> = again.iter().map(take).collect();
        topics = each_once(topics, order);
        let mut sorted: Vec<usize> = (0..topics.len()).collect();
        sorted.sort_unstable_by(|&one, &other| order(&topics[one], &topics[other]));
        for topic in more {
            if let Ok(at) = sorted.binary_search_by(|&at| order(&topics[at], &topic)) {
                topics[sorted[at]].partition_data.extend(topic.partition_data);
            }
        }
    }
    for topic in &mut topics {
        if topic.partition_data.len() > 1 {
            topic.partition_data = last_records(core::mem::take(&mut topic.partition_data));
        }
    }
    topics
}

/// Each partition where it is named first, with the records that it is named with last.
fn last_records(mut parts: Vec<PartitionProduceData>) -> Vec<PartitionProduceData> {
    let mut places: Vec<u32> = (0..).take(parts.len()).collect();
    places.sort_unstable_by_key(|&place| (parts[place as usize].index, place));
    let same = places.chunk_by(|&one, &other| parts[one as usize].index == parts[other as usize].index);
    let repeated = |same: &[u32]| match *same {
        [first, .., last] => Some((first as usize, last as usize)),
        _ => None,
    };
    let repeated: Vec<_> = same.filter_map(repeated).collect();
    if repeated.is_empty() {
        return parts;
    }
    for (first, last) in repeated {
        parts.swap(first, last);
    }
    each_once(parts, |one, other| one.index.cmp(&other.index))
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
            Some(PartitionAnswer::Produced(result)) => partition_response(index, result, self.message.as_ref()),
            other => panic!("produce was answered {other:?}"),
        };
        // A topic without partitions is not answered (`ProduceResponse` groups partitions).
        let topics = self.topics.into_iter().filter(|topic| !topic.partitions.is_empty());
        let version = call.header.version;
        let responses = topics.map(|topic| TopicProduceResponse {
            name: topic.name,
            topic_id: topic.id,
            partition_responses: List::write_in::<ProduceResponse>(
                version,
                topic.partitions.into_iter().map(&mut respond),
            ),
        });
        call.respond(&ProduceResponse {
            responses: List::write_in::<ProduceResponse>(version, responses),
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

fn partition_response(
    index: i32,
    result: Result<Produced, NotProduced>,
    message: Option<&Text>,
) -> PartitionProduceResponse {
    match result {
        Ok(produced) => PartitionProduceResponse {
            index,
            base_offset: produced.base_offset.0,
            log_append_time_ms: produced.log_append_time.map_or(-1, |time| time.0),
            log_start_offset: produced.log_start_offset.0,
            ..PartitionProduceResponse::default()
        },
        Err(NotProduced {
            refusal,
            records,
            log_start_offset,
        }) => PartitionProduceResponse {
            index,
            error_code: refusal.code.code(),
            base_offset: -1,
            log_start_offset: log_start_offset.map_or(-1, |start| start.0),
            record_errors: records.into_iter().map(record_error).collect(),
            error_message: refusal.message.map(Text::from).or_else(|| message.cloned()),
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
