//! The `kafka-protocol` crate, from the client's side: a codec that shares nothing with the broker's.

use super::{Api, Codec, Fetched, Listed, Produced, Request, Response, TopicMetadata, TopicRef, group};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, BrokerId, CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, FetchRequest, FetchResponse, InitProducerIdRequest,
    InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, ProduceRequest,
    ProduceResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request as Sent, StrBytes};

pub(super) fn encode(correlation: i32, client: &str, request: &Request, version: i16) -> Bytes {
    let header = |api: ApiKey| {
        RequestHeader::default()
            .with_request_api_key(api as i16)
            .with_request_api_version(version)
            .with_correlation_id(correlation)
            .with_client_id(Some(text(client)))
    };
    match request {
        Request::Metadata { topics } | Request::Look { topics, .. } => {
            frame(&header(ApiKey::Metadata), &metadata_request(topics, version), version)
        }
        Request::CreateTopic {
            name,
            partitions,
            configs,
        } => frame(
            &header(ApiKey::CreateTopics),
            &create_topics(name, *partitions, configs),
            version,
        ),
        Request::DeleteTopic { topic, .. } => {
            frame(&header(ApiKey::DeleteTopics), &delete_topics(topic, version), version)
        }
        Request::InitProducerId => {
            let message = InitProducerIdRequest::default().with_transactional_id(None);
            frame(&header(ApiKey::InitProducerId), &message, version)
        }
        Request::Produce { acks, parts } => {
            let message = ProduceRequest::default()
                .with_acks(*acks)
                .with_timeout_ms(30_000)
                .with_topic_data(produce_topics(parts, version));
            frame(&header(ApiKey::Produce), &message, version)
        }
        Request::Fetch(fetch) => frame(&header(ApiKey::Fetch), &fetch_request(fetch, version), version),
        Request::ListOffsets {
            topic,
            partitions,
            timestamp,
        } => {
            let lookup = |&index: &i32| {
                let lookup = ListOffsetsPartition::default().with_partition_index(index);
                lookup.with_timestamp(*timestamp)
            };
            let topic = ListOffsetsTopic::default()
                .with_name(topic_name(&topic.name))
                .with_partitions(partitions.iter().map(lookup).collect());
            let message = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(vec![topic]);
            frame(&header(ApiKey::ListOffsets), &message, version)
        }
        Request::Group(request) => Codec::Crate.encode_group(correlation, client, request, version),
        Request::Ask { question, .. } => Codec::Crate.encode_question(correlation, client, question, version),
        Request::DeleteRecords {
            topic,
            partition,
            offset,
            ..
        } => frame(
            &header(ApiKey::DeleteRecords),
            &delete_records(topic, *partition, *offset),
            version,
        ),
    }
}

fn metadata_request(topics: &[String], version: i16) -> MetadataRequest {
    let topic = |name: &String| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    MetadataRequest::default()
        .with_topics(Some(topics.iter().map(topic).collect()))
        .with_allow_auto_topic_creation(version < 4)
}

fn delete_records(topic: &TopicRef, partition: i32, offset: i64) -> DeleteRecordsRequest {
    let partition = DeleteRecordsPartition::default()
        .with_partition_index(partition)
        .with_offset(offset);
    let topic = DeleteRecordsTopic::default()
        .with_name(topic_name(&topic.name))
        .with_partitions(vec![partition]);
    DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(30_000)
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

pub(super) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// The frame of a request of this client.
pub(super) fn frame_of<M: Sent>((correlation, client): (i32, &str), message: &M, version: i16) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(M::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(text(client)));
    frame(&header, message, version)
}

fn frame<M: Encodable + HeaderVersion>(header: &RequestHeader, message: &M, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i32(0);
    header
        .encode(&mut bytes, M::header_version(version))
        .expect("a header that its version can carry");
    message
        .encode(&mut bytes, version)
        .expect("a request that its version can carry");
    let length = (bytes.len() - 4) as i32;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes.freeze()
}

fn create_topics(name: &str, partitions: i32, configs: &[(String, String)]) -> CreateTopicsRequest {
    let config = |(key, value): &(String, String)| {
        CreatableTopicConfig::default()
            .with_name(text(key))
            .with_value(Some(text(value)))
    };
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.iter().map(config).collect());
    CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(60_000)
}

fn delete_topics(topic: &TopicRef, version: i16) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default().with_timeout_ms(30_000);
    if version >= 6 {
        let state = DeleteTopicState::default().with_name(None).with_topic_id(id(topic));
        request.with_topics(vec![state])
    } else {
        request.with_topic_names(vec![topic_name(&topic.name)])
    }
}

pub(super) fn id(topic: &TopicRef) -> uuid::Uuid {
    uuid::Uuid::from_bytes(topic.id)
}

fn produce_topics(parts: &[super::ProducePart], version: i16) -> Vec<TopicProduceData> {
    let data = |part: &&super::ProducePart| {
        let data = PartitionProduceData::default().with_index(part.partition);
        data.with_records(Some(part.records.clone()))
    };
    let topics = group(parts, |part| &part.topic).into_iter();
    let topics = topics.map(|(topic, parts)| {
        let topic_data = TopicProduceData::default().with_partition_data(parts.iter().map(data).collect());
        if version >= 13 {
            topic_data.with_topic_id(id(topic))
        } else {
            topic_data.with_name(topic_name(&topic.name))
        }
    });
    topics.collect()
}

fn fetch_request(fetch: &super::Fetch, version: i16) -> FetchRequest {
    let partition = |part: &&super::FetchPart| {
        FetchPartition::default()
            .with_partition(part.partition)
            .with_current_leader_epoch(part.leader_epoch)
            .with_fetch_offset(part.offset)
            .with_partition_max_bytes(part.max_bytes)
    };
    let topics = group(&fetch.parts, |part| &part.topic).into_iter();
    let topics = topics.map(|(topic, parts)| {
        let asked = FetchTopic::default().with_partitions(parts.iter().map(partition).collect());
        if version >= 13 {
            asked.with_topic_id(id(topic))
        } else {
            asked.with_topic(topic_name(&topic.name))
        }
    });
    FetchRequest::default()
        .with_max_wait_ms(fetch.max_wait_ms)
        .with_min_bytes(fetch.min_bytes)
        .with_max_bytes(fetch.max_bytes)
        .with_session_id(if version >= 7 { fetch.session_id } else { 0 })
        .with_session_epoch(if version >= 7 { fetch.session_epoch } else { -1 })
        .with_topics(topics.collect())
}

pub(super) fn decode(api: Api, version: i16, bytes: &Bytes) -> Result<(i32, Response), String> {
    Ok(match api {
        Api::Metadata => {
            let (correlation, message) = read::<MetadataResponse>(bytes, version)?;
            (correlation, metadata(message))
        }
        Api::CreateTopics => {
            let (correlation, message) = read::<CreateTopicsResponse>(bytes, version)?;
            let [topic] = message.topics.as_slice() else {
                return Err(format!(
                    "one topic was to be created, {} were answered",
                    message.topics.len()
                ));
            };
            let id = (version >= 7).then(|| topic.topic_id.into_bytes());
            let error = topic.error_code;
            (correlation, Response::CreateTopic { error, id })
        }
        Api::DeleteTopics => {
            let (correlation, message) = read::<DeleteTopicsResponse>(bytes, version)?;
            let [topic] = message.responses.as_slice() else {
                return Err(format!(
                    "one topic was to be deleted, {} were answered",
                    message.responses.len()
                ));
            };
            let error = topic.error_code;
            (correlation, Response::DeleteTopic { error })
        }
        Api::InitProducerId => {
            let (correlation, message) = read::<InitProducerIdResponse>(bytes, version)?;
            let response = Response::InitProducerId {
                error: message.error_code,
                producer_id: message.producer_id.0,
                epoch: message.producer_epoch,
            };
            (correlation, response)
        }
        Api::Produce => {
            let (correlation, message) = read::<ProduceResponse>(bytes, version)?;
            (correlation, produced(&message))
        }
        Api::Fetch => {
            let (correlation, message) = read::<FetchResponse>(bytes, version)?;
            (correlation, fetched(&message))
        }
        Api::ListOffsets => {
            let (correlation, message) = read::<ListOffsetsResponse>(bytes, version)?;
            (correlation, listed(&message))
        }
        Api::Group(api) => {
            let (correlation, message) = Codec::Crate.decode_group(api, version, bytes)?;
            (correlation, Response::Group(message))
        }
        Api::Ask(api) => {
            let (correlation, answer) = Codec::Crate.decode_question(api, version, bytes)?;
            (correlation, Response::Told(answer))
        }
        Api::DeleteRecords => {
            let (correlation, message) = read::<DeleteRecordsResponse>(bytes, version)?;
            (correlation, records_deleted(&message)?)
        }
    })
}

pub(super) fn read<M: Decodable + HeaderVersion>(bytes: &Bytes, version: i16) -> Result<(i32, M), String> {
    let mut bytes = bytes.clone();
    let header = ResponseHeader::decode(&mut bytes, M::header_version(version)).map_err(|error| error.to_string())?;
    let message = M::decode(&mut bytes, version).map_err(|error| error.to_string())?;
    if !bytes.is_empty() {
        return Err(format!("{} bytes stand after the response", bytes.len()));
    }
    Ok((header.correlation_id, message))
}

pub(super) fn named(name: &TopicName, id: uuid::Uuid) -> TopicRef {
    TopicRef {
        name: name.0.as_str().to_owned(),
        id: id.into_bytes(),
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
            records: part.records.clone(),
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
