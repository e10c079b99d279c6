//! Requests that name very much: each thing is answered, in order, and what is told again has a bound.

use super::administering::BROKER;
use super::broker::Broker;
use super::client::{batch, produce_request, text};
use super::members::{commit, find, start, two_clients};
use crate::types::ErrorCode;
use crate::wire::message::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use crate::wire::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use crate::wire::message::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
use crate::wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use crate::wire::message::produce::{ProduceResponse, TopicProduceData};
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

#[test]
fn more_groups_than_are_asked_at_once_are_answered_in_order() {
    for shards in 1..=2 {
        let mut broker = start(shards);
        let [client, _] = two_clients(&mut broker, usize::from(shards));
        broker.create(client, "orders", 1);
        find(&mut broker, client, "any");
        assert_eq!(commit(&mut broker, client, "group 700", "", -1, 7), 0);
        let names: Vec<_> = (0..1000).map(|number| text(&format!("group {number}"))).collect();
        let repeated = names.iter().chain(&names[..300]).cloned().collect();
        let request = DescribeGroupsRequest {
            groups: repeated,
            include_authorized_operations: false,
        };
        let described: DescribeGroupsResponse = broker.call(client, &request, 5);
        assert!(described.groups.iter().map(|it| &it.group_id).eq(&names));
        let there = described.groups.iter().filter(|it| it.group_state != "Dead");
        assert_eq!(
            there.map(|it| it.group_id.to_string()).collect::<Vec<_>>(),
            ["group 700"]
        );

        let topic = || OffsetFetchRequestTopics {
            name: text("orders"),
            partition_indexes: vec![0],
            ..OffsetFetchRequestTopics::default()
        };
        let group = |name: &crate::wire::Text| OffsetFetchRequestGroup {
            group_id: name.clone(),
            topics: Some(vec![topic()]),
            ..OffsetFetchRequestGroup::default()
        };
        let request = OffsetFetchRequest {
            groups: names.iter().map(group).collect(),
            ..OffsetFetchRequest::default()
        };
        let told: OffsetFetchResponse = broker.call(client, &request, 8);
        let offsets = told.groups.iter().map(|it| it.topics[0].partitions[0].committed_offset);
        assert!(offsets.eq((0..1000).map(|number| if number == 700 { 7 } else { -1 })));

        let request = DeleteGroupsRequest { groups_names: names };
        let deleted: DeleteGroupsResponse = broker.call(client, &request, 2);
        let none = ErrorCode::GroupIdNotFound.code();
        let codes = deleted.results.iter().map(|it| it.error_code);
        assert!(codes.eq((0..1000).map(|number| if number == 700 { 0 } else { none })));
    }
}

/// The offsets told of the partitions asked for, each with its partition, of two mentions of a topic.
fn told(broker: &mut Broker, client: crate::types::ConnectionId, mentions: [Vec<i32>; 2]) -> Vec<(i32, i64)> {
    let topic = |partition_indexes| OffsetFetchRequestTopic {
        name: text("orders"),
        partition_indexes,
    };
    let request = OffsetFetchRequest {
        group_id: text("g"),
        topics: Some(mentions.map(topic).into()),
        ..OffsetFetchRequest::default()
    };
    let response: OffsetFetchResponse = broker.call(client, &request, 5);
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|it| (it.partition_index, it.committed_offset)).collect()
}

#[test]
fn an_offset_is_told_as_often_as_it_is_asked_for_but_for_very_many() {
    let mut broker = start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    find(&mut broker, client, "g");
    assert_eq!(commit(&mut broker, client, "g", "", -1, 7), 0);
    let few = told(&mut broker, client, [vec![0, 5, 0], vec![0]]);
    assert_eq!(few, [(0, 7), (5, -1), (0, 7), (0, 7)]);
    let many = told(&mut broker, client, [vec![0; 600], [vec![0; 600], vec![5, 0]].concat()]);
    assert_eq!(many, [(0, 7), (5, -1)]);
}

#[test]
fn a_broker_has_many_names_and_is_described_by_a_few_of_them() {
    let mut broker = start(1);
    let client = broker.connect(0);
    let resource = |zeros: usize| DescribeConfigsResource {
        resource_type: BROKER,
        resource_name: text(&format!("{}1", "0".repeat(zeros))),
        configuration_keys: Some(["node.id", "log.dirs"].map(text).into()),
    };
    let request = DescribeConfigsRequest {
        resources: (0..100).map(resource).collect(),
        ..DescribeConfigsRequest::default()
    };
    let response: DescribeConfigsResponse = broker.call(client, &request, 4);
    assert_eq!(response.results.len(), 10);
    for result in &response.results {
        let names: Vec<_> = result.configs.iter().map(|it| it.name.to_string()).collect();
        assert_eq!(names, ["log.dirs", "node.id"]);
    }
}

#[test]
fn a_partition_that_is_named_again_has_the_records_named_last() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 3);
    broker.create(client, "bills", 1);
    let part = |index, value| {
        let request = produce_request("orders", index, -1, batch(&[value]));
        request.topic_data[0].partition_data[0].clone()
    };
    let topic = |name, parts: Vec<_>| TopicProduceData {
        name: text(name),
        partition_data: parts,
        ..TopicProduceData::default()
    };
    let mut request = produce_request("orders", 0, -1, batch(&["-"]));
    request.topic_data = vec![
        topic("orders", vec![part(2, "a"), part(0, "b"), part(2, "c")]),
        topic("bills", vec![part(0, "d")]),
        topic("orders", vec![part(1, "e"), part(0, "f"), part(9, "g")]),
    ];
    let response: ProduceResponse = broker.call(client, &request, 5);
    let answered: Vec<(_, Vec<_>)> = response
        .responses
        .iter()
        .map(|topic| {
            let parts = topic.partition_responses.iter();
            (
                topic.name.to_string(),
                parts.map(|it| (it.index, it.error_code)).collect(),
            )
        })
        .collect();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(
        answered,
        [
            ("orders".to_string(), vec![(2, 0), (0, 0), (1, 0), (9, unknown)]),
            ("bills".to_string(), vec![(0, 0)])
        ]
    );
    let read: Vec<_> = (0..3).map(|index| broker.consume(client, "orders", index)).collect();
    assert_eq!(read, [["f"], ["e"], ["c"]]);
    assert_eq!(broker.consume(client, "bills", 0), ["d"]);
}
