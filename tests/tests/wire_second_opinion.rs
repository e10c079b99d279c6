//! The `kafka-protocol` crate, whose codec is generated from Kafka 4.1's schemas, reads our bytes and writes them back.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as other;
use kafka_protocol::protocol::{Decodable, Encodable, Message};
use klamm_core::wire::Role;
use klamm_core::wire::reflect::{MESSAGES, for_random_messages};

/// What the other codec makes of some bytes of a version, where it has that version.
type Rewrite = fn(Bytes, i16) -> Option<Bytes>;

fn rewrite<M: Message + Decodable + Encodable>(mut bytes: Bytes, version: i16) -> Option<Bytes> {
    if !(M::VERSIONS.min..=M::VERSIONS.max).contains(&version) {
        return None;
    }
    let message = M::decode(&mut bytes, version).unwrap_or_else(|error| panic!("version {version}: {error}"));
    assert!(
        bytes.is_empty(),
        "version {version}: {} bytes are left over",
        bytes.len()
    );
    let mut written = BytesMut::new();
    message
        .encode(&mut written, version)
        .unwrap_or_else(|error| panic!("version {version}: {error}"));
    Some(written.freeze())
}

const OTHERS: &[(&str, Rewrite)] = &[
    ("RequestHeader", rewrite::<other::RequestHeader>),
    ("ResponseHeader", rewrite::<other::ResponseHeader>),
    ("AlterConfigsRequest", rewrite::<other::AlterConfigsRequest>),
    ("AlterConfigsResponse", rewrite::<other::AlterConfigsResponse>),
    ("ApiVersionsRequest", rewrite::<other::ApiVersionsRequest>),
    ("ApiVersionsResponse", rewrite::<other::ApiVersionsResponse>),
    ("CreatePartitionsRequest", rewrite::<other::CreatePartitionsRequest>),
    ("CreatePartitionsResponse", rewrite::<other::CreatePartitionsResponse>),
    ("CreateTopicsRequest", rewrite::<other::CreateTopicsRequest>),
    ("CreateTopicsResponse", rewrite::<other::CreateTopicsResponse>),
    ("DeleteGroupsRequest", rewrite::<other::DeleteGroupsRequest>),
    ("DeleteGroupsResponse", rewrite::<other::DeleteGroupsResponse>),
    ("DeleteRecordsRequest", rewrite::<other::DeleteRecordsRequest>),
    ("DeleteRecordsResponse", rewrite::<other::DeleteRecordsResponse>),
    ("DeleteTopicsRequest", rewrite::<other::DeleteTopicsRequest>),
    ("DeleteTopicsResponse", rewrite::<other::DeleteTopicsResponse>),
    ("DescribeClusterRequest", rewrite::<other::DescribeClusterRequest>),
    ("DescribeClusterResponse", rewrite::<other::DescribeClusterResponse>),
    ("DescribeConfigsRequest", rewrite::<other::DescribeConfigsRequest>),
    ("DescribeConfigsResponse", rewrite::<other::DescribeConfigsResponse>),
    ("DescribeGroupsRequest", rewrite::<other::DescribeGroupsRequest>),
    ("DescribeGroupsResponse", rewrite::<other::DescribeGroupsResponse>),
    ("DescribeLogDirsRequest", rewrite::<other::DescribeLogDirsRequest>),
    ("DescribeLogDirsResponse", rewrite::<other::DescribeLogDirsResponse>),
    ("DescribeProducersRequest", rewrite::<other::DescribeProducersRequest>),
    ("DescribeProducersResponse", rewrite::<other::DescribeProducersResponse>),
    (
        "DescribeTopicPartitionsRequest",
        rewrite::<other::DescribeTopicPartitionsRequest>,
    ),
    (
        "DescribeTopicPartitionsResponse",
        rewrite::<other::DescribeTopicPartitionsResponse>,
    ),
    ("FetchRequest", rewrite::<other::FetchRequest>),
    ("FetchResponse", rewrite::<other::FetchResponse>),
    ("FindCoordinatorRequest", rewrite::<other::FindCoordinatorRequest>),
    ("FindCoordinatorResponse", rewrite::<other::FindCoordinatorResponse>),
    ("HeartbeatRequest", rewrite::<other::HeartbeatRequest>),
    ("HeartbeatResponse", rewrite::<other::HeartbeatResponse>),
    (
        "IncrementalAlterConfigsRequest",
        rewrite::<other::IncrementalAlterConfigsRequest>,
    ),
    (
        "IncrementalAlterConfigsResponse",
        rewrite::<other::IncrementalAlterConfigsResponse>,
    ),
    ("InitProducerIdRequest", rewrite::<other::InitProducerIdRequest>),
    ("InitProducerIdResponse", rewrite::<other::InitProducerIdResponse>),
    ("JoinGroupRequest", rewrite::<other::JoinGroupRequest>),
    ("JoinGroupResponse", rewrite::<other::JoinGroupResponse>),
    ("LeaveGroupRequest", rewrite::<other::LeaveGroupRequest>),
    ("LeaveGroupResponse", rewrite::<other::LeaveGroupResponse>),
    (
        "ListConfigResourcesRequest",
        rewrite::<other::ListConfigResourcesRequest>,
    ),
    (
        "ListConfigResourcesResponse",
        rewrite::<other::ListConfigResourcesResponse>,
    ),
    ("ListGroupsRequest", rewrite::<other::ListGroupsRequest>),
    ("ListGroupsResponse", rewrite::<other::ListGroupsResponse>),
    ("ListOffsetsRequest", rewrite::<other::ListOffsetsRequest>),
    ("ListOffsetsResponse", rewrite::<other::ListOffsetsResponse>),
    ("MetadataRequest", rewrite::<other::MetadataRequest>),
    ("MetadataResponse", rewrite::<other::MetadataResponse>),
    ("OffsetCommitRequest", rewrite::<other::OffsetCommitRequest>),
    ("OffsetCommitResponse", rewrite::<other::OffsetCommitResponse>),
    ("OffsetDeleteRequest", rewrite::<other::OffsetDeleteRequest>),
    ("OffsetDeleteResponse", rewrite::<other::OffsetDeleteResponse>),
    ("OffsetFetchRequest", rewrite::<other::OffsetFetchRequest>),
    ("OffsetFetchResponse", rewrite::<other::OffsetFetchResponse>),
    (
        "OffsetForLeaderEpochRequest",
        rewrite::<other::OffsetForLeaderEpochRequest>,
    ),
    (
        "OffsetForLeaderEpochResponse",
        rewrite::<other::OffsetForLeaderEpochResponse>,
    ),
    ("ProduceRequest", rewrite::<other::ProduceRequest>),
    ("ProduceResponse", rewrite::<other::ProduceResponse>),
    ("SyncGroupRequest", rewrite::<other::SyncGroupRequest>),
    ("SyncGroupResponse", rewrite::<other::SyncGroupResponse>),
];

#[test]
fn another_codec_writes_back_the_bytes_it_read() {
    // Records of coordinators are none of the protocol's messages, and the other codec does not have them.
    let record = |role| matches!(role, Role::CoordinatorKey(_) | Role::CoordinatorValue(_));
    for &codec in MESSAGES.iter().filter(|codec| !record(codec.schema.role)) {
        let name = codec.schema.name();
        let (_, rewrite) = OTHERS
            .iter()
            .find(|(other, _)| *other == name)
            .unwrap_or_else(|| panic!("no {name}"));
        let mut compared = 0;
        for_random_messages(codec, 20, |version, message| {
            let bytes = codec.encode(&message, version).unwrap();
            if let Some(written) = rewrite(bytes.clone(), version) {
                assert_eq!(written, bytes, "{name} of version {version}");
                compared += 1;
            }
        });
        assert!(compared > 0, "{name}: no version in common");
    }
}
