//! Klamm's own wire module, from the client's side.

use super::{Api, Codec, Fetched, Listed, Produced, Request, Response, TopicMetadata, TopicRef, group};
use bytes::Bytes;
use klamm_core::types::Uuid;
use klamm_core::wire::frame::{decode_response, encode_request, join};
use klamm_core::wire::message::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use klamm_core::wire::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use klamm_core::wire::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use klamm_core::wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use klamm_core::wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use klamm_core::wire::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use klamm_core::wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use klamm_core::wire::message::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use klamm_core::wire::{Message, Text};

pub(super) fn encode(correlation: i32, client: &str, request: &Request, version: i16) -> Bytes {
    let client_id = text(client);
    let whole = |parts: Result<_, klamm_core::wire::EncodeError>| {
        let parts: Vec<_> = parts.expect("a request that its version can carry");
        join(&parts).expect("a request in memory")
    };
    macro_rules! frame {
        ($message:expr) => {
            whole(encode_request(correlation, Some(&client_id), &$message, version))
        };
    }
    match request {
        Request::Metadata { topics } | Request::Look { topics, .. } => frame!(MetadataRequest {
            topics: Some(topics.iter().map(|name| metadata_topic(name)).collect()),
            allow_auto_topic_creation: version < 4,
            ..MetadataRequest::default()
        }),
        Request::CreateTopic {
            name,
            partitions,
            configs,
        } => frame!(create_topics(name, *partitions, configs)),
        Request::DeleteTopic { topic, .. } => frame!(delete_topics(topic, version)),
        Request::InitProducerId => frame!(InitProducerIdRequest {
            transactional_id: None,
            ..InitProducerIdRequest::default()
        }),
        Request::Produce { acks, parts } => frame!(ProduceRequest {
            acks: *acks,
            timeout_ms: 30_000,
            topic_data: produce_topics(parts),
            ..ProduceRequest::default()
        }),
        Request::Fetch(fetch) => frame!(fetch_request(fetch)),
        Request::ListOffsets {
            topic,
            partitions,
            timestamp,
        } => frame!(ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: text(&topic.name),
                partitions: partitions.iter().map(|&index| lookup(index, *timestamp)).collect(),
            }],
            ..ListOffsetsRequest::default()
        }),
        Request::Group(request) => Codec::Own.encode_group(correlation, client, request, version),
        Request::Ask { question, .. } => Codec::Own.encode_question(correlation, client, question, version),
        Request::DeleteRecords {
            topic,
            partition,
            offset,
            ..
        } => frame!(delete_records(topic, *partition, *offset)),
    }
}

fn delete_records(topic: &TopicRef, partition: i32, offset: i64) -> DeleteRecordsRequest {
    DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: text(&topic.name),
            partitions: vec![DeleteRecordsPartition {
                partition_index: partition,
                offset,
            }],
        }],
        timeout_ms: 30_000,
    }
}

fn records_deleted(message: &DeleteRecordsResponse) -> Result<Response, String> {
    let parts: Vec<_> = message.topics.iter().flat_map(|topic| &topic.partitions).collect();
    let [part] = parts.as_slice() else {
        return Err(format!("one partition was named, {} were answered", parts.len()));
    };
    Ok(Response::DeleteRecords {
        error: part.error_code,
        low_watermark: part.low_watermark,
    })
}

fn text(value: &str) -> Text {
    Text::from(value.to_owned())
}

fn metadata_topic(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic {
        name: Some(text(name)),
        ..MetadataRequestTopic::default()
    }
}

fn create_topics(name: &str, partitions: i32, configs: &[(String, String)]) -> CreateTopicsRequest {
    let config = |(key, value): &(String, String)| CreatableTopicConfig {
        name: text(key),
        value: Some(text(value)),
    };
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: text(name),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.iter().map(config).collect(),
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    }
}

fn delete_topics(topic: &TopicRef, version: i16) -> DeleteTopicsRequest {
    let mut request = DeleteTopicsRequest {
        timeout_ms: 30_000,
        ..DeleteTopicsRequest::default()
    };
    if version >= 6 {
        request.topics.push(DeleteTopicState {
            name: None,
            topic_id: Uuid(topic.id),
        });
    } else {
        request.topic_names.push(text(&topic.name));
    }
    request
}

fn produce_topics(parts: &[super::ProducePart]) -> Vec<TopicProduceData> {
    let data = |part: &&super::ProducePart| PartitionProduceData {
        index: part.partition,
        records: Some(part.records.clone()),
    };
    let topics = group(parts, |part| &part.topic).into_iter();
    let topics = topics.map(|(topic, parts)| TopicProduceData {
        name: text(&topic.name),
        topic_id: Uuid(topic.id),
        partition_data: parts.iter().map(data).collect(),
    });
    topics.collect()
}

fn fetch_request(fetch: &super::Fetch) -> FetchRequest {
    let partition = |part: &&super::FetchPart| FetchPartition {
        partition: part.partition,
        current_leader_epoch: part.leader_epoch,
        fetch_offset: part.offset,
        partition_max_bytes: part.max_bytes,
        ..FetchPartition::default()
    };
    let topics = group(&fetch.parts, |part| &part.topic).into_iter();
    let topics = topics.map(|(topic, parts)| FetchTopic {
        topic: text(&topic.name),
        topic_id: Uuid(topic.id),
        partitions: parts.iter().map(partition).collect(),
    });
    FetchRequest {
        max_wait_ms: fetch.max_wait_ms,
        min_bytes: fetch.min_bytes,
        max_bytes: fetch.max_bytes,
        session_id: fetch.session_id,
        session_epoch: fetch.session_epoch,
        topics: topics.collect(),
        ..FetchRequest::default()
    }
}

fn lookup(index: i32, timestamp: i64) -> ListOffsetsPartition {
    ListOffsetsPartition {
        partition_index: index,
        timestamp,
        ..ListOffsetsPartition::default()
    }
}

pub(super) fn decode(api: Api, version: i16, frame: &Bytes) -> Result<(i32, Response), String> {
    let response = match api {
        Api::Metadata => read::<MetadataResponse>(frame, version)?.map(metadata),
        Api::CreateTopics => {
            read::<CreateTopicsResponse>(frame, version)?.and_then(|message| created(&message, version))?
        }
        Api::DeleteTopics => read::<DeleteTopicsResponse>(frame, version)?.and_then(|message| deleted(&message))?,
        Api::InitProducerId => {
            read::<InitProducerIdResponse>(frame, version)?.map(|message| Response::InitProducerId {
                error: message.error_code,
                producer_id: message.producer_id,
                epoch: message.producer_epoch,
            })
        }
        Api::Produce => read::<ProduceResponse>(frame, version)?.map(|message| produced(&message)),
        Api::Fetch => read::<FetchResponse>(frame, version)?.map(|message| fetched(&message)),
        Api::ListOffsets => read::<ListOffsetsResponse>(frame, version)?.map(|message| listed(&message)),
        Api::Group(api) => {
            let (correlation, message) = Codec::Own.decode_group(api, version, frame)?;
            let message = Response::Group(message);
            Read { correlation, message }
        }
        Api::Ask(api) => {
            let (correlation, answer) = Codec::Own.decode_question(api, version, frame)?;
            let message = Response::Told(answer);
            Read { correlation, message }
        }
        Api::DeleteRecords => {
            read::<DeleteRecordsResponse>(frame, version)?.and_then(|message| records_deleted(&message))?
        }
    };
    Ok((response.correlation, response.message))
}

/// A message and the correlation id that came with it.
struct Read<M> {
    correlation: i32,
    message: M,
}

impl<M> Read<M> {
    fn map<T>(self, change: impl FnOnce(M) -> T) -> Read<T> {
        Read {
            correlation: self.correlation,
            message: change(self.message),
        }
    }

    fn and_then<T>(self, change: impl FnOnce(M) -> Result<T, String>) -> Result<Read<T>, String> {
        Ok(Read {
            correlation: self.correlation,
            message: change(self.message)?,
        })
    }
}

fn read<M: Message>(frame: &Bytes, version: i16) -> Result<Read<M>, String> {
    let (correlation, message) = decode_response::<M>(frame, version).map_err(|error| format!("{error:?}"))?;
    Ok(Read { correlation, message })
}

fn named(name: &Text, id: Uuid) -> TopicRef {
    TopicRef {
        name: name.as_str().to_owned(),
        id: id.0,
    }
}

fn metadata(message: MetadataResponse) -> Response {
    let topics = message.topics.into_iter().map(|topic| TopicMetadata {
        error: topic.error_code,
        topic: named(&topic.name.unwrap_or_default(), topic.topic_id),
        partitions: {
            let told = topic.partitions.iter();
            told.map(|told| (told.partition_index, told.error_code, told.leader_epoch))
                .collect()
        },
    });
    Response::Metadata {
        topics: topics.collect(),
    }
}

fn created(message: &CreateTopicsResponse, version: i16) -> Result<Response, String> {
    let [topic] = message.topics.as_slice() else {
        return Err(format!(
            "one topic was to be created, {} were answered",
            message.topics.len()
        ));
    };
    Ok(Response::CreateTopic {
        error: topic.error_code,
        id: (version >= 7).then_some(topic.topic_id.0),
    })
}

fn deleted(message: &DeleteTopicsResponse) -> Result<Response, String> {
    let [topic] = message.responses.as_slice() else {
        return Err(format!(
            "one topic was to be deleted, {} were answered",
            message.responses.len()
        ));
    };
    Ok(Response::DeleteTopic {
        error: topic.error_code,
    })
}

fn produced(message: &ProduceResponse) -> Response {
    let parts = message.responses.iter().flat_map(|topic| {
        topic.partition_responses.iter().map(|part| Produced {
            topic: named(&topic.name, topic.topic_id),
            partition: part.index,
            error: part.error_code,
            base_offset: part.base_offset,
            log_start_offset: part.log_start_offset,
        })
    });
    Response::Produce(parts.collect())
}

fn fetched(message: &FetchResponse) -> Response {
    let parts = message.responses.iter().flat_map(|topic| {
        topic.partitions.iter().map(|part| Fetched {
            topic: named(&topic.topic, topic.topic_id),
            partition: part.partition_index,
            error: part.error_code,
            high_watermark: part.high_watermark,
            last_stable_offset: part.last_stable_offset,
            log_start_offset: part.log_start_offset,
            records: part.records.bytes(),
        })
    });
    Response::Fetch {
        error: message.error_code,
        session_id: message.session_id,
        parts: parts.collect(),
    }
}

fn listed(message: &ListOffsetsResponse) -> Response {
    let parts = message.topics.iter().flat_map(|topic| topic.partitions.iter());
    let parts = parts.map(|part| Listed {
        partition: part.partition_index,
        error: part.error_code,
        offset: part.offset,
        timestamp: part.timestamp,
        leader_epoch: part.leader_epoch,
    });
    Response::ListOffsets(parts.collect())
}
