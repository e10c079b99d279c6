//! What requests name: topics of which they want nothing, what is not there, and kinds that are none.

use super::broker::Broker;
use super::client::{batch, produce_request, text};
use super::members::{commit_request, find, start};
use crate::types::ErrorCode;
use crate::wire::message::delete_records::{DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic};
use crate::wire::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use crate::wire::message::list_offsets::{ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic};
use crate::wire::message::offset_commit::OffsetCommitResponse;
use crate::wire::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use crate::wire::message::produce::ProduceResponse;
use alloc::vec;
use alloc::vec::Vec;

#[test]
fn a_topic_of_which_nothing_is_wanted_is_not_answered() {
    let mut broker = start(2);
    let client = broker.connect(0);
    find(&mut broker, client, "g");
    broker.create(client, "orders", 1);
    let mut produce = produce_request("orders", 0, -1, batch(&["a"]));
    let mut other = produce.topic_data[0].clone();
    other.name = text("empty");
    other.partition_data.clear();
    produce.topic_data.push(other);
    let told: ProduceResponse = broker.call(client, &produce, 9);
    assert_eq!((told.responses.len(), &*told.responses[0].name), (1, "orders"));

    let ends = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: text("orders"),
            ..ListOffsetsTopic::default()
        }],
        ..ListOffsetsRequest::default()
    };
    assert!(
        broker
            .call::<_, ListOffsetsResponse>(client, &ends, 7)
            .topics
            .is_empty()
    );

    let cut = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: text("orders"),
            ..DeleteRecordsTopic::default()
        }],
        ..DeleteRecordsRequest::default()
    };
    assert!(
        broker
            .call::<_, DeleteRecordsResponse>(client, &cut, 2)
            .topics
            .is_empty()
    );

    // A commit tells of a topic that is not there, even so.
    let mut commit = commit_request("g", "", -1, 1);
    commit.topics[0].partitions.clear();
    assert!(
        broker
            .call::<_, OffsetCommitResponse>(client, &commit, 8)
            .topics
            .is_empty()
    );
    commit.topics[0].name = text("nowhere");
    assert_eq!(
        broker.call::<_, OffsetCommitResponse>(client, &commit, 8).topics.len(),
        1
    );
}

#[test]
fn what_is_not_there_is_said_before_what_is_wrong_with_a_request() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    for (topic, partition, code) in [
        ("nowhere", 0, unknown),
        ("orders", 1, unknown),
        ("orders", 0, ErrorCode::InvalidRequiredAcks.code()),
    ] {
        broker.send(client, &produce_request(topic, partition, 2, batch(&["a"])), 9);
        assert_eq!(broker.produced(client).unwrap().error_code, code, "{topic}-{partition}");
    }
}

#[test]
fn a_group_that_is_not_there_is_unknown_whatever_offsets_of_it_are_to_be_deleted() {
    let mut broker = start(1);
    let client = broker.connect(0);
    find(&mut broker, client, "g");
    let nowhere = OffsetDeleteRequestTopic {
        name: text("nowhere"),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
    };
    for topics in [vec![], vec![nowhere]] {
        let request = OffsetDeleteRequest {
            group_id: text("never-joined"),
            topics,
        };
        let told: OffsetDeleteResponse = broker.call(client, &request, 0);
        assert_eq!(told.error_code, ErrorCode::GroupIdNotFound.code());
        assert_eq!(told.topics, []);
    }
}

#[test]
fn one_resource_of_no_kind_spoils_a_description() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let kinds = |kinds: &[i8]| {
        let resource = |&resource_type: &i8| DescribeConfigsResource {
            resource_type,
            resource_name: text("orders"),
            ..DescribeConfigsResource::default()
        };
        DescribeConfigsRequest {
            resources: kinds.iter().map(resource).collect(),
            ..DescribeConfigsRequest::default()
        }
    };
    let mut codes = |request: &DescribeConfigsRequest| {
        let told: DescribeConfigsResponse = broker.call(client, request, 4);
        told.results.iter().map(|result| result.error_code).collect::<Vec<_>>()
    };
    let invalid = ErrorCode::InvalidRequest.code();
    assert_eq!(codes(&kinds(&[2])), [0]);
    assert_eq!(codes(&kinds(&[2, 3])), [invalid, invalid]);
}
