//! What those who administer a cluster look at: brokers, partitions, epochs, producers, directories.

use super::broker::Broker;
use super::client::{batch, batch_of, text};
use crate::config::BrokerConfig;
use crate::record::{Compression, Producer};
use crate::storage::tests::disk::VOLUME;
use crate::types::{ConnectionId, ErrorCode, ProducerEpoch, ProducerId, Sequence};
use crate::wire::message::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use crate::wire::message::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse,
};
use crate::wire::message::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, TopicRequest as ProducersOf,
};
use crate::wire::message::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};
use crate::wire::message::list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use crate::wire::message::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

#[test]
fn the_cluster_is_its_brokers_and_no_endpoint_of_controllers() {
    let mut broker = Broker::start(2);
    let client = broker.connect(1);
    for version in 0..=2 {
        let request = DescribeClusterRequest {
            include_cluster_authorized_operations: true,
            ..DescribeClusterRequest::default()
        };
        let cluster: DescribeClusterResponse = broker.call(client, &request, version);
        assert_eq!((cluster.error_code, cluster.controller_id), (0, 1));
        assert_eq!(cluster.cluster_id.len(), 22);
        assert_eq!(cluster.cluster_authorized_operations, 0b1_1111_1010_0000);
        let [only] = cluster.brokers.as_slice() else {
            panic!("{cluster:?}")
        };
        assert_eq!(
            (only.broker_id, &*only.host, only.port, only.is_fenced),
            (1, "localhost", 9092, false)
        );
    }
    for (endpoint_type, code) in [
        (2, ErrorCode::MismatchedEndpointType),
        (7, ErrorCode::UnsupportedEndpointType),
    ] {
        let request = DescribeClusterRequest {
            endpoint_type,
            ..DescribeClusterRequest::default()
        };
        let refused: DescribeClusterResponse = broker.call(client, &request, 1);
        assert_eq!((refused.error_code, refused.brokers.len()), (code.code(), 0));
    }
}

/// A topic, the error, and the partitions of it.
type Told = (String, i16, Vec<i32>);

/// The page from `cursor` on, as topic, error and partitions, and where the next one begins.
fn page(
    broker: &mut Broker,
    client: ConnectionId,
    topics: &[&str],
    response_partition_limit: i32,
    cursor: Option<(&str, i32)>,
) -> (Vec<Told>, Option<(String, i32)>) {
    let request = DescribeTopicPartitionsRequest {
        topics: topics.iter().map(|name| TopicRequest { name: text(name) }).collect(),
        response_partition_limit,
        cursor: cursor.map(|(name, partition_index)| Cursor {
            topic_name: text(name),
            partition_index,
        }),
    };
    let response: DescribeTopicPartitionsResponse = broker.call(client, &request, 0);
    let topics = response.topics.into_iter().map(|topic| {
        let indexes = topic.partitions.iter().map(|it| it.partition_index).collect();
        (topic.name.unwrap().to_string(), topic.error_code, indexes)
    });
    let next = response
        .next_cursor
        .map(|next| (next.topic_name.to_string(), next.partition_index));
    (topics.collect(), next)
}

#[test]
fn partitions_come_in_pages_that_go_on_where_the_last_one_ended() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    for (name, partitions) in [("b", 3), ("a", 2), ("c", 1)] {
        broker.create(client, name, partitions);
    }
    let told = |name: &str, partitions: &[i32]| (name.to_string(), 0, partitions.to_vec());
    let at = |name: &str, partition| Some((name.to_string(), partition));
    let all = vec![told("a", &[0, 1]), told("b", &[0, 1, 2]), told("c", &[0])];
    assert_eq!(page(&mut broker, client, &[], 2000, None), (all, None));
    let first = vec![told("a", &[0, 1]), told("b", &[0])];
    assert_eq!(page(&mut broker, client, &[], 3, None), (first, at("b", 1)));
    let second = vec![told("b", &[1, 2])];
    assert_eq!(page(&mut broker, client, &[], 2, Some(("b", 1))), (second, at("c", 0)));
    assert_eq!(
        page(&mut broker, client, &[], 2, Some(("c", 0))),
        (vec![told("c", &[0])], None)
    );
    // At least one partition comes, whatever the limit; a cursor behind a topic's end goes on with the next.
    assert_eq!(
        page(&mut broker, client, &["c", "a", "a"], 0, None),
        (vec![told("a", &[0])], at("a", 1))
    );
    let rest = vec![told("a", &[]), told("c", &[0])];
    assert_eq!(page(&mut broker, client, &["c", "a"], 5, Some(("a", 9))), (rest, None));
}

#[test]
fn a_topic_that_is_not_there_and_a_cursor_that_cannot_be_are_told() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "a", 1);
    let (unknown, invalid, request) = (
        ErrorCode::UnknownTopicOrPartition.code(),
        ErrorCode::InvalidTopicException.code(),
        ErrorCode::InvalidRequest.code(),
    );
    let (topics, next) = page(&mut broker, client, &["a", "none", "no/ne"], 10, None);
    let codes: Vec<_> = topics.iter().map(|(name, code, _)| (name.as_str(), *code)).collect();
    assert_eq!(
        (codes, next),
        (vec![("a", 0), ("no/ne", invalid), ("none", unknown)], None)
    );
    for cursor in [("b", 0), ("a", -1)] {
        let (topics, _) = page(&mut broker, client, &["a"], 10, Some(cursor));
        assert_eq!(topics, [("a".to_string(), request, vec![])]);
    }
}

#[test]
fn the_broker_bounds_a_page_too() {
    let config = BrokerConfig {
        max_request_partitions: 2,
        ..BrokerConfig::default()
    };
    let mut broker = Broker::start_with(1, config);
    let client = broker.connect(0);
    broker.create(client, "a", 5);
    let (topics, next) = page(&mut broker, client, &[], 2000, None);
    assert_eq!(
        (topics[0].2.as_slice(), next),
        ([0, 1].as_slice(), Some(("a".to_string(), 2)))
    );
}

#[test]
fn resources_with_a_configuration_are_listed_by_their_kind() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let mut list = |resource_types: &[i8], version| {
        let request = ListConfigResourcesRequest {
            resource_types: resource_types.to_vec(),
        };
        let response: ListConfigResourcesResponse = broker.call(client, &request, version);
        let resources = response.config_resources.into_iter();
        let resources: Vec<_> = resources
            .map(|it| (it.resource_type, it.resource_name.to_string()))
            .collect();
        (response.error_code, resources)
    };
    let (logger, node, topic) = ((8, "1".to_string()), (4, "1".to_string()), (2, "orders".to_string()));
    assert_eq!(list(&[], 1), (0, vec![logger, node.clone(), topic.clone()]));
    assert_eq!(list(&[2, 4], 1), (0, vec![node, topic]));
    assert_eq!(list(&[16, 32], 1), (0, vec![]));
    assert_eq!(list(&[2, 3], 1), (ErrorCode::UnsupportedVersion.code(), vec![]));
    assert_eq!(list(&[], 0), (0, vec![]));
}

/// Where `epoch` ends: the error, the epoch found and its end.
fn end_of(broker: &mut Broker, client: ConnectionId, current: i32, epoch: i32, version: i16) -> (i16, i32, i64) {
    let request = OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: text("orders"),
            partitions: vec![OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: current,
                leader_epoch: epoch,
            }],
        }],
        ..OffsetForLeaderEpochRequest::default()
    };
    let response: OffsetForLeaderEpochResponse = broker.call(client, &request, version);
    let end = &response.topics[0].partitions[0];
    (end.error_code, end.leader_epoch, end.end_offset)
}

#[test]
fn an_epoch_ends_where_the_next_one_began() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let first = broker.leader_epoch(client, "orders");
    assert_eq!(
        end_of(&mut broker, client, first, first, 4),
        (0, first, 0),
        "before the first record"
    );
    broker.produce(client, "orders", 0, batch(&["a", "b"]));
    assert_eq!(end_of(&mut broker, client, -1, first, 4), (0, first, 2));
    broker.kill(2);
    let client = broker.connect(1);
    let second = broker.leader_epoch(client, "orders");
    assert!(second > first);
    // The new epoch began where the log ended, though nothing was appended under it.
    for version in 2..=4 {
        assert_eq!(end_of(&mut broker, client, second, first, version), (0, first, 2));
        assert_eq!(end_of(&mut broker, client, second, second, version), (0, second, 2));
    }
    broker.produce(client, "orders", 0, batch(&["c"]));
    assert_eq!(end_of(&mut broker, client, second, first, 4), (0, first, 2));
    assert_eq!(end_of(&mut broker, client, second, second, 4), (0, second, 3));
    let nowhere = (0, -1, -1);
    assert_eq!(
        end_of(&mut broker, client, second, second + 1, 4),
        nowhere,
        "no such epoch yet"
    );
    assert_eq!(
        end_of(&mut broker, client, second, -1, 4),
        nowhere,
        "an undefined epoch"
    );
}

#[test]
fn who_knows_another_current_epoch_is_told_so_and_an_unknown_partition_too() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    let unknown = (ErrorCode::UnknownTopicOrPartition.code(), -1, -1);
    assert_eq!(end_of(&mut broker, client, -1, 0, 4), unknown);
    broker.create(client, "orders", 1);
    broker.kill(1);
    let client = broker.connect(0);
    let epoch = broker.leader_epoch(client, "orders");
    let fenced = (ErrorCode::FencedLeaderEpoch.code(), -1, -1);
    let ahead = (ErrorCode::UnknownLeaderEpoch.code(), -1, -1);
    assert_eq!(end_of(&mut broker, client, epoch - 1, 0, 4), fenced);
    assert_eq!(end_of(&mut broker, client, epoch + 1, 0, 4), ahead);
}

fn producers(
    broker: &mut Broker,
    client: ConnectionId,
    topic: &str,
    partition_indexes: &[i32],
) -> Vec<PartitionResponse> {
    let request = DescribeProducersRequest {
        topics: vec![ProducersOf {
            name: text(topic),
            partition_indexes: partition_indexes.to_vec(),
        }],
    };
    let mut response: DescribeProducersResponse = broker.call(client, &request, 0);
    response.topics.remove(0).partitions
}

#[test]
fn producers_are_told_as_their_last_batches_left_them() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 2);
    let id = broker.producer_id(client);
    for (sequence, values) in [(0, ["a", "b"].as_slice()), (2, &["c"])] {
        let producer = Producer::Idempotent {
            id: ProducerId(id),
            epoch: ProducerEpoch(0),
            base_sequence: Sequence(sequence),
        };
        let records = batch_of(producer, Compression::None, values);
        assert_eq!(broker.produce(client, "orders", 1, records).0, 0);
    }
    let told = producers(&mut broker, client, "orders", &[0, 1, 2, 1]);
    let counts: Vec<_> = told
        .iter()
        .map(|it| (it.partition_index, it.error_code, it.active_producers.len()))
        .collect();
    assert_eq!(
        counts,
        [(0, 0, 0), (1, 0, 1), (2, ErrorCode::UnknownTopicOrPartition.code(), 0)]
    );
    let state = &told[1].active_producers[0];
    assert_eq!(
        (state.producer_id, state.producer_epoch, state.last_sequence),
        (id, 0, 2)
    );
    assert_eq!(state.last_timestamp, 1_700_000_000_000);
    assert_eq!((state.coordinator_epoch, state.current_txn_start_offset), (-1, -1));
    let invalid = &producers(&mut broker, client, "no/ne", &[0])[0];
    assert_eq!(invalid.error_code, ErrorCode::InvalidTopicException.code());
    assert!(invalid.error_message.is_some());
}

/// A topic, and its partitions with their bytes.
type Measured = (String, Vec<(i32, i64)>);

/// The sizes of partitions, by topic, and the bytes that are left of the volume.
fn sizes(
    broker: &mut Broker,
    client: ConnectionId,
    topics: Option<&[(&str, &[i32])]>,
    version: i16,
) -> (Vec<Measured>, i64) {
    let topic = |&(name, partitions): &(&str, &[i32])| DescribableLogDirTopic {
        topic: text(name),
        partitions: partitions.to_vec(),
    };
    let request = DescribeLogDirsRequest {
        topics: topics.map(|topics| topics.iter().map(topic).collect()),
    };
    let response: DescribeLogDirsResponse = broker.call(client, &request, version);
    let [directory] = response.results.as_slice() else {
        panic!("{response:?}")
    };
    assert_eq!(
        (response.error_code, directory.error_code, &*directory.log_dir),
        (0, 0, "/data")
    );
    let total = if version >= 4 { VOLUME as i64 } else { -1 };
    assert_eq!((directory.total_bytes, directory.is_cordoned), (total, false));
    let sizes = directory.topics.iter().map(|topic| {
        let sizes = topic
            .partitions
            .iter()
            .map(|it| (it.partition_index, it.partition_size))
            .collect();
        (topic.name.to_string(), sizes)
    });
    (sizes.collect(), directory.usable_bytes)
}

#[test]
fn the_log_directory_tells_the_bytes_of_each_partition_and_what_is_left() {
    let mut broker = Broker::start(3);
    let client = broker.connect(1);
    broker.create(client, "orders", 3);
    broker.create(client, "empty", 1);
    let records = batch(&["a"]);
    let bytes = records.len() as i64;
    broker.produce(client, "orders", 1, records.clone());
    broker.produce(client, "orders", 1, records.clone());
    broker.produce(client, "orders", 2, records);
    let empty = ("empty".to_string(), vec![(0, 0)]);
    let orders = |indexes: &[i32]| {
        let size = |&index: &i32| (index, [0, 2 * bytes, bytes][index as usize]);
        ("orders".to_string(), indexes.iter().map(size).collect::<Vec<_>>())
    };
    for version in 1..=5 {
        let (told, left) = sizes(&mut broker, client, None, version);
        assert_eq!(told, [empty.clone(), orders(&[0, 1, 2])]);
        assert!(if version >= 4 {
            left < VOLUME as i64 - 3 * bytes
        } else {
            left == -1
        });
    }
    let some: &[(&str, &[i32])] = &[("orders", &[2, 1, 2, 9]), ("none", &[0])];
    assert_eq!(sizes(&mut broker, client, Some(some), 5).0, [orders(&[1, 2])]);
    assert_eq!(sizes(&mut broker, client, Some(&[]), 5).0, []);
    // After a clean stop the manifest knows, and no log is opened for it; after another the logs have to be looked at.
    broker.stop_and_start(2);
    let client = broker.connect(0);
    broker.disk.history.clear();
    assert_eq!(
        sizes(&mut broker, client, None, 5).0,
        [empty.clone(), orders(&[0, 1, 2])]
    );
    assert_eq!(broker.disk.history, ["volume"]);
    broker.kill(2);
    let client = broker.connect(0);
    assert_eq!(sizes(&mut broker, client, None, 5).0, [empty, orders(&[0, 1, 2])]);
}
