//! Requests of groups as clients send them, and what they read in the answers.

use super::broker::Broker;
use super::client::text;
use crate::config::{BrokerConfig, GroupConfig};
use crate::types::{ConnectionId, ErrorCode};
use crate::wire::message::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup};
use crate::wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::wire::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use crate::wire::message::list_groups::{ListGroupsRequest, ListGroupsResponse};
use crate::wire::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use crate::wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use crate::wire::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

pub(super) const OFFSETS: &str = "__consumer_offsets";

pub(super) fn start(shards: u16) -> Broker {
    let config = BrokerConfig {
        groups: GroupConfig {
            initial_rebalance_delay_ms: 100,
            offsets_segment_bytes: 1 << 20,
            ..GroupConfig::default()
        },
        ..BrokerConfig::default()
    };
    Broker::start_with(shards, config)
}

pub(super) fn find(broker: &mut Broker, client: ConnectionId, group: &str) -> FindCoordinatorResponse {
    let request = FindCoordinatorRequest {
        key: text(group),
        ..FindCoordinatorRequest::default()
    };
    broker.call(client, &request, 3)
}

pub(super) fn join_request(group: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: text(group),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: text(member),
        protocol_type: text("consumer"),
        protocols: vec![JoinGroupRequestProtocol {
            name: text("range"),
            metadata: Bytes::from_static(b"\0\0\0\0\0\x01\0\x06orders"),
        }],
        ..JoinGroupRequest::default()
    }
}

/// Asks for a member id, and joins with it; the answer comes once the generation begins.
pub(super) fn join(broker: &mut Broker, client: ConnectionId, group: &str) -> String {
    let first: JoinGroupResponse = broker.call(client, &join_request(group, ""), 9);
    assert_eq!(first.error_code, ErrorCode::MemberIdRequired.code());
    let member = first.member_id.to_string();
    broker.send(client, &join_request(group, &member), 9);
    member
}

pub(super) fn joined(broker: &mut Broker, client: ConnectionId) -> JoinGroupResponse {
    let joined: JoinGroupResponse = broker.receive(client, 9).expect("the generation has begun");
    assert_eq!(joined.error_code, 0, "{joined:?}");
    joined
}

pub(super) fn sync(
    broker: &mut Broker,
    client: ConnectionId,
    group: &str,
    joined: &JoinGroupResponse,
    parts: &[(&str, &str)],
) {
    let assignment = |(member, part): &(&str, &str)| SyncGroupRequestAssignment {
        member_id: text(member),
        assignment: Bytes::copy_from_slice(part.as_bytes()),
    };
    let request = SyncGroupRequest {
        group_id: text(group),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: Some(text("consumer")),
        protocol_name: Some(text("range")),
        assignments: parts.iter().map(assignment).collect(),
        ..SyncGroupRequest::default()
    };
    broker.send(client, &request, 5);
}

pub(super) fn synced(broker: &mut Broker, client: ConnectionId) -> (i16, Bytes) {
    let synced: SyncGroupResponse = broker.receive(client, 5).expect("the parts are there");
    (synced.error_code, synced.assignment)
}

pub(super) fn heartbeat(broker: &mut Broker, client: ConnectionId, group: &str, member: &str, generation: i32) -> i16 {
    let request = HeartbeatRequest {
        group_id: text(group),
        generation_id: generation,
        member_id: text(member),
        ..HeartbeatRequest::default()
    };
    let response: HeartbeatResponse = broker.call(client, &request, 4);
    response.error_code
}

pub(super) fn commit_request(group: &str, member: &str, generation: i32, offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: text(group),
        generation_id_or_member_epoch: generation,
        member_id: text(member),
        topics: vec![OffsetCommitRequestTopic {
            name: text("orders"),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                committed_metadata: Some(text("why")),
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

pub(super) fn commit(
    broker: &mut Broker,
    client: ConnectionId,
    group: &str,
    member: &str,
    generation: i32,
    offset: i64,
) -> i16 {
    let response: OffsetCommitResponse = broker.call(client, &commit_request(group, member, generation, offset), 9);
    response.topics[0].partitions[0].error_code
}

pub(super) fn committed(broker: &mut Broker, client: ConnectionId, group: &str) -> (i16, i64) {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: text(group),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: text("orders"),
                partition_indexes: vec![0],
                ..OffsetFetchRequestTopics::default()
            }]),
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    };
    let response: OffsetFetchResponse = broker.call(client, &request, 8);
    let group = &response.groups[0];
    let offset = group
        .topics
        .first()
        .map_or(-2, |topic| topic.partitions[0].committed_offset);
    (group.error_code, offset)
}

pub(super) fn describe(broker: &mut Broker, client: ConnectionId, group: &str, version: i16) -> DescribedGroup {
    let request = DescribeGroupsRequest {
        groups: vec![text(group), text(group)],
        include_authorized_operations: version >= 3,
    };
    let response: DescribeGroupsResponse = broker.call(client, &request, version);
    assert_eq!(response.groups.len(), 1, "a group is described once");
    response.groups[0].clone()
}

pub(super) fn list(
    broker: &mut Broker,
    client: ConnectionId,
    states: &[&str],
    types: &[&str],
) -> Vec<(String, String)> {
    let request = ListGroupsRequest {
        states_filter: states.iter().map(|it| text(it)).collect(),
        types_filter: types.iter().map(|it| text(it)).collect(),
    };
    let response: ListGroupsResponse = broker.call(client, &request, 5);
    assert_eq!(response.error_code, 0);
    let listed = response.groups.iter();
    listed
        .map(|it| (it.group_id.to_string(), it.group_state.to_string()))
        .collect()
}

/// Two members of a group, on shards of their own, with their parts: the leader's first.
pub(super) fn stable(
    broker: &mut Broker,
    clients: [ConnectionId; 2],
    group: &str,
) -> [(ConnectionId, JoinGroupResponse); 2] {
    for client in clients {
        join(broker, client, group);
    }
    broker.pass(400);
    let mut joined = clients.map(|client| (client, joined(broker, client)));
    joined.sort_by_key(|(_, it)| it.members.is_empty());
    let (leader, follower) = (joined[0].1.member_id.to_string(), joined[1].1.member_id.to_string());
    sync(broker, joined[1].0, group, &joined[1].1.clone(), &[]);
    sync(
        broker,
        joined[0].0,
        group,
        &joined[0].1.clone(),
        &[(&leader, "first"), (&follower, "second")],
    );
    assert_eq!(synced(broker, joined[0].0), (0, Bytes::from_static(b"first")));
    assert_eq!(synced(broker, joined[1].0), (0, Bytes::from_static(b"second")));
    joined
}

pub(super) fn two_clients(broker: &mut Broker, shards: usize) -> [ConnectionId; 2] {
    let clients = [broker.connect(0), broker.connect(shards - 1)];
    broker.create(clients[0], "orders", 2);
    assert_eq!(find(broker, clients[0], "g").error_code, 0);
    clients
}
