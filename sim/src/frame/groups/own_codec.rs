//! Requests of members by Klamm's own wire module, from the client's side.

use super::{CONSUMER, CommitPart, Committed, GroupApi, GroupRequest, GroupResponse, Joined, ToldOffset};
use crate::frame::{TopicRef, group};
use bytes::Bytes;
use klamm_core::types::Uuid;
use klamm_core::wire::frame::{decode_response, encode_request, join};
use klamm_core::wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use klamm_core::wire::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use klamm_core::wire::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use klamm_core::wire::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use klamm_core::wire::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use klamm_core::wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use klamm_core::wire::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use klamm_core::wire::{Message, Text};

fn text(value: &str) -> Text {
    Text::from(value.to_owned())
}

fn named(name: &Text, id: Uuid) -> TopicRef {
    TopicRef {
        name: name.as_str().to_owned(),
        id: id.0,
    }
}

pub(super) fn encode(correlation: i32, client: &str, request: &GroupRequest, version: i16) -> Bytes {
    let client_id = text(client);
    macro_rules! frame {
        ($message:expr) => {{
            let parts = encode_request(correlation, Some(&client_id), &$message, version);
            let parts: Vec<_> = parts.expect("a request that its version can carry");
            join(&parts).expect("a request in memory")
        }};
    }
    match request {
        GroupRequest::Find { group } => {
            let several = version >= 4;
            frame!(FindCoordinatorRequest {
                key: if several { Text::default() } else { text(group) },
                coordinator_keys: several.then(|| text(group)).into_iter().collect(),
                ..FindCoordinatorRequest::default()
            })
        }
        GroupRequest::Join { .. } => frame!(join_request(request)),
        GroupRequest::Sync { .. } => frame!(sync_request(request)),
        GroupRequest::Heartbeat(speaker) => frame!(HeartbeatRequest {
            group_id: text(&speaker.group),
            generation_id: speaker.generation,
            member_id: text(&speaker.member),
            group_instance_id: speaker.instance.as_deref().map(text),
        }),
        GroupRequest::Leave(speaker) => {
            let mut message = LeaveGroupRequest {
                group_id: text(&speaker.group),
                ..LeaveGroupRequest::default()
            };
            if version >= 3 {
                message.members.push(MemberIdentity {
                    member_id: text(&speaker.member),
                    group_instance_id: speaker.instance.as_deref().map(text),
                    ..MemberIdentity::default()
                });
            } else {
                message.member_id = text(&speaker.member);
            }
            frame!(message)
        }
        GroupRequest::Commit { speaker, offsets } => frame!(OffsetCommitRequest {
            group_id: text(&speaker.group),
            generation_id_or_member_epoch: speaker.generation,
            member_id: text(&speaker.member),
            group_instance_id: speaker.instance.as_deref().map(text),
            topics: commit_topics(offsets),
            ..OffsetCommitRequest::default()
        }),
        GroupRequest::Fetch { group, parts, stable } => {
            frame!(fetch_request(group, parts, *stable, version))
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
    let protocol = |(name, metadata): &(String, Bytes)| JoinGroupRequestProtocol {
        name: text(name),
        metadata: metadata.clone(),
    };
    JoinGroupRequest {
        group_id: text(&speaker.group),
        session_timeout_ms: *session_ms,
        rebalance_timeout_ms: *rebalance_ms,
        member_id: text(&speaker.member),
        group_instance_id: speaker.instance.as_deref().map(text),
        protocol_type: text(CONSUMER),
        protocols: protocols.iter().map(protocol).collect(),
        ..JoinGroupRequest::default()
    }
}

fn sync_request(request: &GroupRequest) -> SyncGroupRequest {
    let GroupRequest::Sync {
        speaker,
        protocol,
        assignments,
        ..
    } = request
    else {
        return SyncGroupRequest::default();
    };
    let assignment = |(member, part): &(String, Bytes)| SyncGroupRequestAssignment {
        member_id: text(member),
        assignment: part.clone(),
    };
    SyncGroupRequest {
        group_id: text(&speaker.group),
        generation_id: speaker.generation,
        member_id: text(&speaker.member),
        group_instance_id: speaker.instance.as_deref().map(text),
        protocol_type: Some(text(CONSUMER)),
        protocol_name: Some(text(protocol)),
        assignments: assignments.iter().map(assignment).collect(),
    }
}

fn commit_topics(offsets: &[CommitPart]) -> Vec<OffsetCommitRequestTopic> {
    let partition = |part: &&CommitPart| OffsetCommitRequestPartition {
        partition_index: part.partition,
        committed_offset: part.offset,
        committed_metadata: Some(text(&part.token.to_string())),
        ..OffsetCommitRequestPartition::default()
    };
    let topics = group(offsets, |part| &part.topic).into_iter();
    let topics = topics.map(|(topic, parts)| OffsetCommitRequestTopic {
        name: text(&topic.name),
        topic_id: Uuid(topic.id),
        partitions: parts.iter().map(partition).collect(),
    });
    topics.collect()
}

fn fetch_request(name: &str, parts: &[(TopicRef, i32)], stable: bool, version: i16) -> OffsetFetchRequest {
    let topics = group(parts, |(topic, _)| topic).into_iter();
    let topics = topics.map(|(topic, parts)| (topic, parts.iter().map(|(_, partition)| *partition).collect()));
    let mut request = OffsetFetchRequest {
        require_stable: stable && version >= 7,
        ..OffsetFetchRequest::default()
    };
    if version < 8 {
        request.group_id = text(name);
        let topics = topics.map(|(topic, partition_indexes)| OffsetFetchRequestTopic {
            name: text(&topic.name),
            partition_indexes,
        });
        request.topics = Some(topics.collect());
        return request;
    }
    let topics = topics.map(|(topic, partition_indexes)| OffsetFetchRequestTopics {
        name: text(&topic.name),
        topic_id: Uuid(topic.id),
        partition_indexes,
    });
    request.groups.push(OffsetFetchRequestGroup {
        group_id: text(name),
        topics: Some(topics.collect()),
        ..OffsetFetchRequestGroup::default()
    });
    request
}

pub(super) fn decode(api: GroupApi, version: i16, frame: &Bytes) -> Result<(i32, GroupResponse), String> {
    Ok(match api {
        GroupApi::FindCoordinator => {
            let (correlation, message) = read::<FindCoordinatorResponse>(frame, version)?;
            let several = message.coordinators.first().map(|it| it.error_code);
            let error = several.unwrap_or(message.error_code);
            (correlation, GroupResponse::Found { error })
        }
        GroupApi::JoinGroup => {
            let (correlation, message) = read::<JoinGroupResponse>(frame, version)?;
            let members = message.members.iter().map(|it| it.member_id.as_str().to_owned());
            let joined = Joined {
                error: message.error_code,
                generation: message.generation_id,
                protocol: message
                    .protocol_name
                    .map_or_else(String::new, |it| it.as_str().to_owned()),
                leader: message.leader.as_str().to_owned(),
                member: message.member_id.as_str().to_owned(),
                skip_assignment: message.skip_assignment,
                members: members.collect(),
            };
            (correlation, GroupResponse::Joined(joined))
        }
        GroupApi::SyncGroup => {
            let (correlation, message) = read::<SyncGroupResponse>(frame, version)?;
            let (error, assignment) = (message.error_code, message.assignment);
            (correlation, GroupResponse::Synced { error, assignment })
        }
        GroupApi::Heartbeat => {
            let (correlation, message) = read::<HeartbeatResponse>(frame, version)?;
            let error = message.error_code;
            (correlation, GroupResponse::Alive { error })
        }
        GroupApi::LeaveGroup => {
            let (correlation, message) = read::<LeaveGroupResponse>(frame, version)?;
            let each = message.members.iter().map(|it| it.error_code);
            let error = each.chain([message.error_code]).find(|&it| it != 0).unwrap_or(0);
            (correlation, GroupResponse::Left { error })
        }
        GroupApi::OffsetCommit => {
            let (correlation, message) = read::<OffsetCommitResponse>(frame, version)?;
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
            let (correlation, message) = read::<OffsetFetchResponse>(frame, version)?;
            (correlation, offsets(&message))
        }
    })
}

fn offsets(message: &OffsetFetchResponse) -> GroupResponse {
    let metadata = |it: &Option<Text>| it.as_ref().map_or_else(String::new, |it| it.as_str().to_owned());
    let old = message.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |part| ToldOffset {
            topic: named(&topic.name, Uuid::default()),
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

fn read<M: Message>(frame: &Bytes, version: i16) -> Result<(i32, M), String> {
    decode_response::<M>(frame, version).map_err(|error| format!("{error:?}"))
}
