//! Requests that nobody should send: what they get, and that they harm nobody.

use super::broker::Broker;
use super::client::{batch, create_request, delete_request, fetch_request, only, produce_request, text};
use crate::types::{ConnectionId, ErrorCode, Seed};
use crate::wire::frame::{encode_request, join};
use crate::wire::message::api_versions::ApiVersionsRequest;
use crate::wire::message::create_topics::{
    CreatableReplicaAssignment, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use crate::wire::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use crate::wire::message::fetch::FetchResponse;
use crate::wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::message::init_producer_id::InitProducerIdRequest;
use crate::wire::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use crate::wire::message::metadata::{MetadataRequest, MetadataResponse};
use crate::wire::message::produce::ProduceResponse;
use crate::wire::{Message, Text};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

fn frame<M: Message>(request: &M, version: i16) -> Vec<u8> {
    let parts = encode_request(1, Some(&Text::from("hostile")), request, version).unwrap();
    join(&parts).unwrap()[4..].to_vec()
}

/// One honest request of every kind, in an old and a new version.
fn honest() -> Vec<Vec<u8>> {
    let describe = DescribeConfigsRequest {
        resources: vec![resource("orders"), resource("orders")],
        ..DescribeConfigsRequest::default()
    };
    let look_up = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: text("orders"),
            partitions: vec![ListOffsetsPartition::default()],
        }],
        ..ListOffsetsRequest::default()
    };
    let mut session = fetch_request("orders", &[(0, 0), (1, 1)], 10);
    session.session_epoch = 0;
    let coordinate = FindCoordinatorRequest {
        coordinator_keys: vec![text("a"), text("b")],
        ..FindCoordinatorRequest::default()
    };
    vec![
        frame(&produce_request("orders", 0, -1, batch(&["a", "b"])), 3),
        frame(&produce_request("orders", 1, 0, batch(&["a"])), 12),
        frame(&fetch_request("orders", &[(0, 0)], 10), 4),
        frame(&session, 12),
        frame(&look_up, 1),
        frame(&look_up, 11),
        frame(&MetadataRequest::default(), 1),
        frame(&MetadataRequest::default(), 13),
        frame(&InitProducerIdRequest::default(), 5),
        frame(&create_request("new", 3), 2),
        frame(&create_request("new", 3), 7),
        frame(&delete_request("new"), 1),
        frame(&describe, 4),
        frame(&coordinate, 6),
        frame(&ApiVersionsRequest::default(), 4),
    ]
}

fn resource(name: &str) -> DescribeConfigsResource {
    DescribeConfigsResource {
        resource_type: 2,
        resource_name: text(name),
        configuration_keys: None,
    }
}

#[test]
fn spoilt_requests_neither_stop_a_broker_nor_leave_anything_held() {
    let mut broker = Broker::start(2);
    let first = broker.connect(0);
    broker.create(first, "orders", 2);
    let mut seed = Seed::new(7);
    let honest = honest();
    for round in 0..4000 {
        let mut spoilt = honest[round % honest.len()].clone();
        for _ in 0..seed.within(1, 4) {
            let at = seed.within(4, spoilt.len() as u64 - 1) as usize;
            let kind = seed.within(0, 3);
            match kind {
                0 => spoilt[at] = seed.next_u64() as u8,
                1 => spoilt[at] ^= 1 << seed.within(0, 7),
                2 => spoilt.truncate(at.max(5)),
                _ => spoilt.insert(at, seed.next_u64() as u8),
            }
        }
        let client = broker.connect(round % 2);
        broker.frame(client, Bytes::from(spoilt));
        broker.run();
        broker.disconnect(client);
        broker.run();
    }
    broker.disconnect(first);
    broker.run();
    for shard in &broker.shards {
        let audit = shard.audit();
        let held = [
            audit.operations,
            audit.asks,
            audit.watches,
            audit.mail,
            audit.leases,
            audit.connections,
        ];
        assert_eq!(held, [0; 6], "{audit:?}");
    }
    broker.stop_and_start(2);
}

fn created(broker: &mut Broker, client: ConnectionId, request: &CreateTopicsRequest) -> Vec<i16> {
    let response: CreateTopicsResponse = broker.call(client, request, 7);
    response.topics.iter().map(|topic| topic.error_code).collect()
}

#[test]
fn a_partition_assigned_twice_is_refused() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    let assignment = |partition_index| CreatableReplicaAssignment {
        partition_index,
        broker_ids: vec![1],
    };
    let mut request = create_request("orders", -1);
    request.topics[0].replication_factor = -1;
    for (indexes, code) in [
        (vec![0, 0], ErrorCode::InvalidReplicaAssignment),
        (vec![0, 2], ErrorCode::InvalidReplicaAssignment),
        (vec![-1, 0], ErrorCode::InvalidReplicaAssignment),
        (vec![1, 0], ErrorCode::None),
    ] {
        request.topics[0].assignments = indexes.iter().copied().map(assignment).collect();
        assert_eq!(created(&mut broker, client, &request), [code.code()], "{indexes:?}");
    }
    assert_eq!(broker.describe(client, "orders").partitions.len(), 2);
}

#[test]
fn topics_too_large_for_one_commit_are_refused_and_the_metadata_can_be_read_again() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    let long: String = "0".repeat(32_000) + "1:1";
    let mut request = create_request("t0", 1);
    request.topics = (0..1100).map(|_| request.topics[0].clone()).collect();
    for (number, topic) in (0..).zip(&mut request.topics) {
        topic.name = text(&alloc::format!("t{number}"));
        topic.configs = vec![CreatableTopicConfig {
            name: text("follower.replication.throttled.replicas"),
            value: Some(text(&long)),
        }];
    }
    let codes = created(&mut broker, client, &request);
    assert!(
        codes.contains(&0) && codes.contains(&ErrorCode::PolicyViolation.code()),
        "{codes:?}"
    );
    broker.kill(1);
    let client = broker.connect(0);
    for (number, code) in (0..).zip(codes) {
        let described = broker.describe(client, &alloc::format!("t{number}"));
        assert_eq!(described.partitions.is_empty(), code != 0);
    }
}

#[test]
fn what_is_named_again_and_again_is_described_once() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let resources = (0..1000).map(|_| resource("orders")).collect();
    let request = DescribeConfigsRequest {
        resources,
        ..DescribeConfigsRequest::default()
    };
    let described: DescribeConfigsResponse = broker.call(client, &request, 4);
    assert_eq!(described.results.len(), 1);
    let request = FindCoordinatorRequest {
        coordinator_keys: (0..1000).map(|_| text("group")).collect(),
        ..FindCoordinatorRequest::default()
    };
    let found: FindCoordinatorResponse = broker.call(client, &request, 6);
    assert_eq!(found.coordinators.len(), 1);
}

#[test]
fn numbers_below_zero_and_empty_lists_are_answered() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.produce(client, "orders", 0, batch(&["a"]));
    let mut request = fetch_request("orders", &[(0, 0)], i32::MIN);
    (request.min_bytes, request.max_bytes) = (i32::MIN, i32::MIN);
    request.topics[0].partitions[0].partition_max_bytes = i32::MIN;
    let data = only(broker.call(client, &request, 12));
    assert!(
        data.error_code == 0 && !data.records.is_empty(),
        "the first batch always comes"
    );
    for (partition, offset, code) in [
        (0, -1, ErrorCode::OffsetOutOfRange),
        (0, i64::MAX, ErrorCode::OffsetOutOfRange),
        (-1, 0, ErrorCode::UnknownTopicOrPartition),
        (i32::MAX, 0, ErrorCode::UnknownTopicOrPartition),
    ] {
        let data = only(broker.call(client, &fetch_request("orders", &[(partition, offset)], 9), 12));
        assert_eq!(data.error_code, code.code());
        assert_eq!(
            (data.high_watermark, data.records.bytes()),
            (-1, Some(Bytes::new())),
            "empty, never null"
        );
    }
    request.topics.clear();
    let nothing: FetchResponse = broker.call(client, &request, 12);
    assert_eq!((nothing.error_code, nothing.responses.len()), (0, 0));
    let none = MetadataRequest {
        topics: Some(Vec::new()),
        ..MetadataRequest::default()
    };
    let all = MetadataRequest {
        topics: None,
        ..none.clone()
    };
    for (request, version, count) in [(&none, 0, 1), (&none, 1, 0), (&all, 1, 1), (&all, 13, 1)] {
        let response: MetadataResponse = broker.call(client, request, version);
        assert_eq!(response.topics.len(), count, "version {version}");
    }
    let empty = CreateTopicsRequest::default();
    assert_eq!(created(&mut broker, client, &empty), Vec::<i16>::new());
    for index in [-1, 1, i32::MIN, i32::MAX] {
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        assert_eq!(broker.produce(client, "orders", index, batch(&["x"])), (unknown, -1));
    }
    assert_eq!(
        broker.produce(client, "orders", 0, Bytes::new()).0,
        ErrorCode::InvalidRecord.code()
    );
}

#[test]
fn a_partition_named_twice_by_a_producer_is_appended_to_once_with_what_came_last() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 2);
    broker.create(client, "other", 1);
    let named = |topic, partition, value| {
        produce_request(topic, partition, -1, batch(&[value]))
            .topic_data
            .remove(0)
    };
    let mut request = produce_request("orders", 0, -1, batch(&["first"]));
    request.topic_data[0]
        .partition_data
        .extend(named("orders", 0, "second").partition_data);
    request.topic_data.push(named("other", 0, "beside"));
    request.topic_data.push(named("orders", 1, "alone"));
    request.topic_data.push(named("orders", 0, "last"));
    let response: ProduceResponse = broker.call(client, &request, 9);
    let parts = response.responses.iter().flat_map(|topic| {
        let parts = topic.partition_responses.iter();
        parts.map(|part| (topic.name.as_str(), part.index, part.error_code, part.base_offset))
    });
    let expected = [("orders", 0, 0, 0), ("orders", 1, 0, 0), ("other", 0, 0, 0)];
    assert_eq!(parts.collect::<Vec<_>>(), expected);
    assert_eq!(broker.consume(client, "orders", 0), ["last"]);
    assert_eq!(broker.consume(client, "orders", 1), ["alone"]);
}

#[test]
fn a_partition_whose_offset_is_asked_for_twice_is_refused_once_wherever_it_is_named() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 3);
    let named = |indexes: &[i32]| ListOffsetsTopic {
        name: text("orders"),
        partitions: indexes
            .iter()
            .map(|&partition_index| ListOffsetsPartition {
                partition_index,
                timestamp: -1,
                ..ListOffsetsPartition::default()
            })
            .collect(),
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![named(&[0, 1, 1]), named(&[2, 0, 7])],
        ..ListOffsetsRequest::default()
    };
    let response: ListOffsetsResponse = broker.call(client, &request, 9);
    let parts = response.topics.iter().flat_map(|topic| &topic.partitions);
    let answered: Vec<_> = parts.map(|part| (part.partition_index, part.error_code)).collect();
    let (invalid, unknown) = (
        ErrorCode::InvalidRequest.code(),
        ErrorCode::UnknownTopicOrPartition.code(),
    );
    assert_eq!(answered, [(0, invalid), (1, invalid), (2, 0), (7, unknown)]);
}
