//! Clients of several listeners: each is told the endpoints of its own.

use super::broker::Broker;
use super::client::{batch, fetch_request, only, text};
use crate::config::{BrokerConfig, HostPort, Listener};
use crate::types::{ConnectionId, ErrorCode, ListenerName};
use crate::wire::message::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use crate::wire::message::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};
use crate::wire::message::fetch::FetchResponse;
use crate::wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::message::metadata::{MetadataRequest, MetadataResponse};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// What is advertised: a host and a port.
type Told = (String, i32);

/// A broker with two listeners that are advertised, on as many shards; whatever else comes in on is not.
fn start() -> Broker {
    let advertised = |name: &str, port| Listener {
        name: ListenerName::new(name),
        address: HostPort { host: host(name), port },
    };
    Broker::start_with(
        2,
        BrokerConfig {
            advertised: vec![advertised("INTERNAL", 9092), advertised("EXTERNAL", 19092)],
            ..BrokerConfig::default()
        },
    )
}

fn host(listener: &str) -> String {
    listener.to_lowercase() + ".example"
}

/// A connection on each listener, with what its client has to be told.
fn clients(broker: &mut Broker) -> [(ConnectionId, Vec<Told>); 3] {
    [("INTERNAL", Some(9092)), ("EXTERNAL", Some(19092)), ("BARE", None)].map(|(name, port)| {
        let connection = broker.connect_to(1, name);
        let told = port.into_iter().map(|port| (host(name), port)).collect();
        (connection, told)
    })
}

fn metadata(broker: &mut Broker, client: ConnectionId, version: i16) -> MetadataResponse {
    // Version 0 has no null: no topics are all of them.
    let topics = (version == 0).then(Vec::new);
    let request = MetadataRequest {
        topics,
        ..MetadataRequest::default()
    };
    broker.call(client, &request, version)
}

#[test]
fn each_connection_is_told_the_endpoints_of_its_listener() {
    let mut broker = start();
    for (client, told) in clients(&mut broker) {
        for version in 0..=13 {
            let response = metadata(&mut broker, client, version);
            let brokers = response.brokers.iter();
            let brokers: Vec<Told> = brokers.map(|it| (it.host.to_string(), it.port)).collect();
            assert_eq!(brokers, told, "version {version}");
        }
        let cluster: DescribeClusterResponse = broker.call(client, &DescribeClusterRequest::default(), 0);
        let brokers = cluster.brokers.iter();
        let brokers: Vec<Told> = brokers.map(|it| (it.host.to_string(), it.port)).collect();
        let controller = if told.is_empty() { -1 } else { 1 };
        assert_eq!((brokers, cluster.controller_id), (told, controller));
    }
}

#[test]
fn a_coordinator_is_where_clients_of_the_listener_reach_it() {
    let mut broker = start();
    for (client, told) in clients(&mut broker) {
        let one = FindCoordinatorRequest {
            key: text("group"),
            ..FindCoordinatorRequest::default()
        };
        let found: FindCoordinatorResponse = broker.call(client, &one, 3);
        let several = FindCoordinatorRequest {
            coordinator_keys: vec![text("group")],
            ..FindCoordinatorRequest::default()
        };
        let listed: FindCoordinatorResponse = broker.call(client, &several, 4);
        let listed = &listed.coordinators[0];
        let nobody = (ErrorCode::CoordinatorNotAvailable.code(), -1, (String::new(), -1));
        let expected = told.into_iter().next().map_or(nobody, |told| (0, 1, told));
        let read = |code, id, host: &str, port| (code, id, (host.to_string(), port));
        assert_eq!(read(found.error_code, found.node_id, &found.host, found.port), expected);
        assert_eq!(
            read(listed.error_code, listed.node_id, &listed.host, listed.port),
            expected
        );
    }
}

/// As `KRaftMetadataCache.getPartitionMetadata` has it.
#[test]
fn a_leader_that_a_listener_does_not_reach_is_none() {
    let mut broker = start();
    let clients = clients(&mut broker);
    let (inner, bare) = (clients[0].0, clients[2].0);
    broker.create(inner, "t", 1);
    for version in 0..=13 {
        let partition = metadata(&mut broker, inner, version).topics[0].partitions[0].clone();
        assert_eq!((partition.error_code, partition.leader_id), (0, 1));
        assert_eq!((partition.replica_nodes, partition.isr_nodes), (vec![1], vec![1]));
        assert!(partition.offline_replicas.is_empty());

        let partition = metadata(&mut broker, bare, version).topics[0].partitions[0].clone();
        let error = if version >= 6 {
            ErrorCode::ListenerNotFound
        } else {
            ErrorCode::LeaderNotAvailable
        };
        assert_eq!(
            (partition.error_code, partition.leader_id),
            (error.code(), -1),
            "{version}"
        );
        let named = if version == 0 { vec![] } else { vec![1] };
        assert_eq!((partition.replica_nodes, partition.isr_nodes), (named.clone(), named));
        let offline = if version >= 5 { vec![1] } else { vec![] };
        assert_eq!(partition.offline_replicas, offline, "{version}");
    }
    let request = DescribeTopicPartitionsRequest {
        topics: vec![TopicRequest { name: text("t") }],
        response_partition_limit: 10,
        cursor: None,
    };
    for (client, leader, offline) in [(inner, 1, vec![]), (bare, -1, vec![1])] {
        let response: DescribeTopicPartitionsResponse = broker.call(client, &request, 0);
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.leader_id), (0, leader));
        assert_eq!(
            (&partition.replica_nodes, &partition.offline_replicas),
            (&vec![1], &offline)
        );
    }
}

#[test]
fn a_reader_that_has_to_look_elsewhere_is_told_where_on_its_own_listener() {
    let mut broker = start();
    let before = broker.connect_to(0, "INTERNAL");
    let (_, topic_id) = broker.create(before, "t", 1);
    broker.produce(before, "t", 0, batch(&["a"]));
    broker.stop_and_start(2);
    for (client, told) in clients(&mut broker) {
        let mut request = fetch_request("t", &[(0, 0)], 0);
        request.topics[0].topic_id = topic_id;
        request.topics[0].partitions[0].current_leader_epoch = 0;
        let response: FetchResponse = broker.call(client, &request, 16);
        let endpoints = response.node_endpoints.iter();
        let endpoints: Vec<Told> = endpoints.map(|it| (it.host.to_string(), it.port)).collect();
        let data = only(response);
        assert_eq!(data.error_code, ErrorCode::FencedLeaderEpoch.code());
        assert_eq!(
            (data.current_leader.leader_id, data.current_leader.leader_epoch),
            (1, 1)
        );
        assert_eq!(endpoints, told);
    }
}
