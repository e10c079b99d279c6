//! Requests of members by the `kafka-protocol` crate, from the client's side.

use super::{CONSUMER, CommitPart, Committed, GroupApi, GroupRequest, GroupResponse, Joined, Speaker, ToldOffset};
use crate::frame::crate_codec::{frame, id, named, read, text, topic_name};
use crate::frame::{TopicRef, group};
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, FindCoordinatorResponse, GroupId, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, RequestHeader, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

fn instance(speaker: &Speaker) -> Option<StrBytes> {
    speaker.instance.as_deref().map(text)
}

pub(super) fn encode(correlation: i32, client: &str, request: &GroupRequest, version: i16) -> Bytes {
    let header = |api: ApiKey| {
        RequestHeader::default()
            .with_request_api_key(api as i16)
            .with_request_api_version(version)
            .with_correlation_id(correlation)
            .with_client_id(Some(text(client)))
    };
    match request {
        GroupRequest::Find { group } => {
            let message = FindCoordinatorRequest::default();
            let message = if version >= 4 {
                message.with_coordinator_keys(vec![text(group)])
            } else {
                message.with_key(text(group))
            };
            frame(&header(ApiKey::FindCoordinator), &message, version)
        }
        GroupRequest::Join { .. } => frame(&header(ApiKey::JoinGroup), &join_request(request), version),
        GroupRequest::Sync { .. } => frame(&header(ApiKey::SyncGroup), &sync_request(request, version), version),
        GroupRequest::Heartbeat(speaker) => {
            let message = HeartbeatRequest::default()
                .with_group_id(group_id(&speaker.group))
                .with_generation_id(speaker.generation)
                .with_member_id(text(&speaker.member))
                .with_group_instance_id(instance(speaker));
            frame(&header(ApiKey::Heartbeat), &message, version)
        }
        GroupRequest::Leave(speaker) => {
            let message = LeaveGroupRequest::default().with_group_id(group_id(&speaker.group));
            let message = if version >= 3 {
                let member = MemberIdentity::default()
                    .with_member_id(text(&speaker.member))
                    .with_group_instance_id(instance(speaker));
                message.with_members(vec![member])
            } else {
                message.with_member_id(text(&speaker.member))
            };
            frame(&header(ApiKey::LeaveGroup), &message, version)
        }
        GroupRequest::Commit { speaker, offsets } => {
            let message = OffsetCommitRequest::default()
                .with_group_id(group_id(&speaker.group))
                .with_generation_id_or_member_epoch(speaker.generation)
                .with_member_id(text(&speaker.member))
                .with_group_instance_id(instance(speaker))
                .with_topics(commit_topics(offsets));
            frame(&header(ApiKey::OffsetCommit), &message, version)
        }
        GroupRequest::Fetch { group, parts, stable } => {
            let message = fetch_request(group, parts, *stable, version);
            frame(&header(ApiKey::OffsetFetch), &message, version)
        }
    }
}

fn join_request(request: &GroupRequest) -> JoinGroupRequest {
    let GroupRequest::Join {
        speaker,
        session_ms,
        rebalance_ms,
        protocols,
    } = request
    else {
        return JoinGroupRequest::default();
    };
    let protocol = |(name, metadata): &(String, Bytes)| {
        JoinGroupRequestProtocol::default()
            .with_name(text(name))
            .with_metadata(metadata.clone())
    };
    JoinGroupRequest::default()
        .with_group_id(group_id(&speaker.group))
        .with_session_timeout_ms(*session_ms)
        .with_rebalance_timeout_ms(*rebalance_ms)
        .with_member_id(text(&speaker.member))
        .with_group_instance_id(instance(speaker))
        .with_protocol_type(text(CONSUMER))
        .with_protocols(protocols.iter().map(protocol).collect())
}

fn sync_request(request: &GroupRequest, version: i16) -> SyncGroupRequest {
    let GroupRequest::Sync {
        speaker,
        protocol,
        assignments,
        ..
    } = request
    else {
        return SyncGroupRequest::default();
    };
    let assignment = |(member, part): &(String, Bytes)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(part.clone())
    };
    SyncGroupRequest::default()
        .with_group_id(group_id(&speaker.group))
        .with_generation_id(speaker.generation)
        .with_member_id(text(&speaker.member))
        .with_group_instance_id(instance(speaker))
        .with_protocol_type((version >= 5).then(|| text(CONSUMER)))
        .with_protocol_name((version >= 5).then(|| text(protocol)))
        .with_assignments(assignments.iter().map(assignment).collect())
}

fn commit_topics(offsets: &[CommitPart]) -> Vec<OffsetCommitRequestTopic> {
    let partition = |part: &&CommitPart| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(part.partition)
            .with_committed_offset(part.offset)
            .with_committed_metadata(Some(text(&part.token.to_string())))
    };
    let topics = group(offsets, |part| &part.topic).into_iter();
    let topics = topics.map(|(topic, parts)| {
        OffsetCommitRequestTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(parts.iter().map(partition).collect())
    });
    topics.collect()
}

fn fetch_request(name: &str, parts: &[(TopicRef, i32)], stable: bool, version: i16) -> OffsetFetchRequest {
    let topics = group(parts, |(topic, _)| topic).into_iter();
    let topics = topics.map(|(topic, parts)| (topic, parts.iter().map(|(_, partition)| *partition).collect()));
    let request = OffsetFetchRequest::default().with_require_stable(stable && version >= 7);
    if version < 8 {
        let topics = topics.map(|(topic, partitions)| {
            OffsetFetchRequestTopic::default()
                .with_name(topic_name(&topic.name))
                .with_partition_indexes(partitions)
        });
        return request
            .with_group_id(group_id(name))
            .with_topics(Some(topics.collect()));
    }
    let topics = topics.map(|(topic, partitions)| {
        OffsetFetchRequestTopics::default()
            .with_name(topic_name(&topic.name))
            .with_topic_id(if version >= 10 { id(topic) } else { uuid::Uuid::nil() })
            .with_partition_indexes(partitions)
    });
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(group_id(name))
        .with_topics(Some(topics.collect()));
    request.with_groups(vec![group])
}

pub(super) fn decode(api: GroupApi, version: i16, bytes: &Bytes) -> Result<(i32, GroupResponse), String> {
    Ok(match api {
        GroupApi::FindCoordinator => {
            let (correlation, message) = read::<FindCoordinatorResponse>(bytes, version)?;
            let several = message.coordinators.first().map(|it| it.error_code);
            let error = several.unwrap_or(message.error_code);
            (correlation, GroupResponse::Found { error })
        }
        GroupApi::JoinGroup => {
            let (correlation, message) = read::<JoinGroupResponse>(bytes, version)?;
            let members = message.members.iter().map(|it| it.member_id.to_string());
            let joined = Joined {
                error: message.error_code,
                generation: message.generation_id,
                protocol: message.protocol_name.map_or_else(String::new, |it| it.to_string()),
                leader: message.leader.to_string(),
                member: message.member_id.to_string(),
                skip_assignment: message.skip_assignment,
                members: members.collect(),
            };
            (correlation, GroupResponse::Joined(joined))
        }
        GroupApi::SyncGroup => {
            let (correlation, message) = read::<SyncGroupResponse>(bytes, version)?;
            let (error, assignment) = (message.error_code, message.assignment);
            (correlation, GroupResponse::Synced { error, assignment })
        }
        GroupApi::Heartbeat => {
            let (correlation, message) = read::<HeartbeatResponse>(bytes, version)?;
            let error = message.error_code;
            (correlation, GroupResponse::Alive { error })
        }
        GroupApi::LeaveGroup => {
            let (correlation, message) = read::<LeaveGroupResponse>(bytes, version)?;
            let each = message.members.iter().map(|it| it.error_code);
            let error = each.chain([message.error_code]).find(|&it| it != 0).unwrap_or(0);
            (correlation, GroupResponse::Left { error })
        }
        GroupApi::OffsetCommit => {
            let (correlation, message) = read::<OffsetCommitResponse>(bytes, version)?;
            let parts = message.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|part| Committed {
                    topic: named(&topic.name, topic.topic_id),
                    partition: part.partition_index,
                    error: part.error_code,
                })
            });
            (correlation, GroupResponse::Committed(parts.collect()))
        }
        GroupApi::OffsetFetch => {
            let (correlation, message) = read::<OffsetFetchResponse>(bytes, version)?;
            (correlation, offsets(&message))
        }
    })
}

fn offsets(message: &OffsetFetchResponse) -> GroupResponse {
    let metadata = |it: &Option<StrBytes>| it.as_ref().map_or_else(String::new, ToString::to_string);
    let old = message.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |part| ToldOffset {
            topic: named(&topic.name, uuid::Uuid::nil()),
            partition: part.partition_index,
            error: part.error_code,
            offset: part.committed_offset,
            metadata: metadata(&part.metadata),
        })
    });
    let new = message.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| {
        topic.partitions.iter().map(move |part| ToldOffset {
            topic: named(&topic.name, topic.topic_id),
            partition: part.partition_index,
            error: part.error_code,
            offset: part.committed_offset,
            metadata: metadata(&part.metadata),
        })
    });
    let error = message.groups.first().map_or(message.error_code, |it| it.error_code);
    GroupResponse::Offsets {
        error,
        parts: old.chain(new).collect(),
    }
}
