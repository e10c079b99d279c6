//! Kafka requests as clients send them, and what they read in the answers.

use super::broker::Broker;
use crate::record::build::{BatchBuilder, Producer};
use crate::record::codec::Level;
use crate::record::{Compression, split};
use crate::types::{ConnectionId, Timestamp, Uuid};
use crate::wire::frame::{correlation_id, decode_response, encode_request, join};
use crate::wire::message::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use crate::wire::message::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
use crate::wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData};
use crate::wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::wire::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use crate::wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic};
use crate::wire::message::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use crate::wire::{Message, Text};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

pub(super) fn text(text: &str) -> Text {
    Text::from(text.to_string())
}

/// A batch of these values.
pub(super) fn batch_of(producer: Producer, compression: Compression, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(compression, Level::Default, producer);
    for value in values {
        builder.append(Timestamp(1_700_000_000_000), None, Some(value.as_bytes()), &[]);
    }
    builder.build().unwrap().to_bytes()
}

pub(super) fn batch(values: &[&str]) -> Bytes {
    batch_of(Producer::Plain, Compression::None, values)
}

/// A value that takes so many bytes that a compressed batch of it is opened in a job.
pub(super) fn long(value: &str) -> String {
    value.repeat(150_000)
}

pub(super) fn produce_request(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: text(topic),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(records),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

pub(super) fn fetch_request(topic: &str, wanted: &[(i32, i64)], max_wait_ms: i32) -> FetchRequest {
    let partition = |&(partition, fetch_offset): &(i32, i64)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![FetchTopic {
            topic: text(topic),
            partitions: wanted.iter().map(partition).collect(),
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

pub(super) fn create_request(name: &str, partitions: i32) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: text(name),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    }
}

pub(super) fn delete_request(name: &str) -> DeleteTopicsRequest {
    DeleteTopicsRequest {
        topic_names: vec![text(name)],
        ..DeleteTopicsRequest::default()
    }
}

/// The only partition that is answered.
pub(super) fn only(response: FetchResponse) -> PartitionData {
    assert_eq!((response.error_code, response.responses.len()), (0, 1), "{response:?}");
    let mut partitions = response.responses.into_iter().next().unwrap().partitions;
    assert_eq!(partitions.len(), 1);
    partitions.remove(0)
}

/// The values of the records, in order.
pub(super) fn values(data: &PartitionData) -> Vec<String> {
    let mut values = Vec::new();
    for batch in split(&data.records.bytes().expect("a client got bytes")) {
        let opened = batch.expect("whole batches").open(1 << 20).unwrap();
        for record in opened.records() {
            let value = record.unwrap().value.unwrap_or_default().to_vec();
            values.push(String::from_utf8(value).unwrap());
        }
    }
    values
}

impl Broker {
    pub(super) fn send<M: Message>(&mut self, connection: ConnectionId, request: &M, version: i16) -> i32 {
        self.correlation += 1;
        let parts = encode_request(self.correlation, Some(&Text::from("a test")), request, version).unwrap();
        self.frame(connection, join(&parts).unwrap().slice(4..));
        self.run();
        self.correlation
    }

    /// The next response, if it has come.
    pub(super) fn receive<M: Message>(&mut self, connection: ConnectionId, version: i16) -> Option<M> {
        let frame = self.connections.get_mut(&connection)?.received.pop_front()?;
        Some(decode_response(&frame, version).unwrap().1)
    }

    /// The correlation ids of the responses that came.
    pub(super) fn answered(&self, connection: ConnectionId) -> Vec<i32> {
        let received = self.connections[&connection].received.iter();
        received.map(|frame| correlation_id(frame).unwrap()).collect()
    }

    pub(super) fn call<Q: Message, R: Message>(&mut self, connection: ConnectionId, request: &Q, version: i16) -> R {
        let sent = self.send(connection, request, version);
        assert_eq!(self.answered(connection), [sent], "it is answered at once");
        self.receive(connection, version).unwrap()
    }

    pub(super) fn create(&mut self, connection: ConnectionId, name: &str, partitions: i32) -> (i16, Uuid) {
        let response: CreateTopicsResponse = self.call(connection, &create_request(name, partitions), 7);
        (response.topics[0].error_code, response.topics[0].topic_id)
    }

    pub(super) fn delete(&mut self, connection: ConnectionId, name: &str) -> i16 {
        let response: DeleteTopicsResponse = self.call(connection, &delete_request(name), 5);
        response.responses[0].error_code
    }

    pub(super) fn produced(&mut self, connection: ConnectionId) -> Option<PartitionProduceResponse> {
        let response: ProduceResponse = self.receive(connection, 9)?;
        Some(response.responses[0].partition_responses[0].clone())
    }

    /// Produces with acks=all; the error and the base offset.
    pub(super) fn produce(
        &mut self,
        connection: ConnectionId,
        topic: &str,
        partition: i32,
        records: Bytes,
    ) -> (i16, i64) {
        self.send(connection, &produce_request(topic, partition, -1, records), 9);
        let produced = self.produced(connection).expect("it is answered at once");
        (produced.error_code, produced.base_offset)
    }

    /// What a partition holds from `offset` on, without waiting.
    pub(super) fn fetch(
        &mut self,
        connection: ConnectionId,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> PartitionData {
        only(self.call(connection, &fetch_request(topic, &[(partition, offset)], 0), 12))
    }

    /// All values of a partition, fetched piece by piece.
    pub(super) fn consume(&mut self, connection: ConnectionId, topic: &str, partition: i32) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let data = self.fetch(connection, topic, partition, all.len() as i64);
            assert_eq!(data.error_code, 0, "{topic}-{partition}");
            let some = values(&data);
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    pub(super) fn list_offset(
        &mut self,
        connection: ConnectionId,
        topic: &str,
        partition_index: i32,
        timestamp: i64,
    ) -> ListOffsetsPartitionResponse {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: text(topic),
                partitions: vec![ListOffsetsPartition {
                    partition_index,
                    timestamp,
                    ..ListOffsetsPartition::default()
                }],
            }],
            ..ListOffsetsRequest::default()
        };
        let response: ListOffsetsResponse = self.call(connection, &request, 11);
        response.topics[0].partitions[0].clone()
    }

    pub(super) fn describe(&mut self, connection: ConnectionId, topic: &str) -> MetadataResponseTopic {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(text(topic)),
                ..MetadataRequestTopic::default()
            }]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let mut response: MetadataResponse = self.call(connection, &request, 12);
        response.topics.remove(0)
    }

    pub(super) fn leader_epoch(&mut self, connection: ConnectionId, topic: &str) -> i32 {
        self.describe(connection, topic).partitions[0].leader_epoch
    }

    pub(super) fn producer_id(&mut self, connection: ConnectionId) -> i64 {
        let request = InitProducerIdRequest {
            transactional_id: None,
            ..InitProducerIdRequest::default()
        };
        let response: InitProducerIdResponse = self.call(connection, &request, 4);
        assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        response.producer_id
    }
}
