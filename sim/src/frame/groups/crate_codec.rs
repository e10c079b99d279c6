//! Requests of members by the `kafka-protocol` crate, from the client's side.

#![allow(
    clippy::field_reassign_with_default,
    reason = "the types of kafka-protocol cannot be written out field by field"
)]

use super::{
    CONSUMER, CommitPart, Committed, GroupApi, GroupRequest, GroupResponse, Joined, Speaker, ToldOffset, message, speak,
};
use crate::frame::crate_codec::{frame_of as frame, id as topic_id, named, read, text, topic_name};
use crate::frame::{TopicRef, group};
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, FindCoordinatorRequest, FindCoordinatorResponse, GroupId,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes as Text;

/// The id of no topic.
const NO_ID: uuid::Uuid = uuid::Uuid::nil();

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

speak!();
