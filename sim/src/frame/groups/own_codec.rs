//! Requests of members by Klamm's own wire module, from the client's side.

#![allow(
    clippy::field_reassign_with_default,
    reason = "the types of kafka-protocol cannot be written out field by field"
)]

use super::{
    CONSUMER, CommitPart, Committed, GroupApi, GroupRequest, GroupResponse, Joined, Speaker, ToldOffset, message, speak,
};
use crate::frame::{TopicRef, group};
use bytes::Bytes;
use klamm_core::types::Uuid;
use klamm_core::wire::frame::{decode_response, encode_request, join};
use klamm_core::wire::message::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use klamm_core::wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use klamm_core::wire::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use klamm_core::wire::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use klamm_core::wire::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use klamm_core::wire::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use klamm_core::wire::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use klamm_core::wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use klamm_core::wire::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use klamm_core::wire::{Message, Text};

/// The id of no topic.
const NO_ID: Uuid = Uuid([0; 16]);

fn text(value: &str) -> Text {
    Text::from(value.to_owned())
}

fn group_id(name: &str) -> Text {
    text(name)
}

fn topic_name(name: &str) -> Text {
    text(name)
}

fn topic_id(topic: &TopicRef) -> Uuid {
    Uuid(topic.id)
}

fn named(name: &Text, id: Uuid) -> TopicRef {
    TopicRef {
        name: name.as_str().to_owned(),
        id: id.0,
    }
}

fn frame<M: Message>((correlation, client): (i32, &str), message: &M, version: i16) -> Bytes {
    let parts = encode_request(correlation, Some(&text(client)), message, version);
    let parts: Vec<_> = parts.expect("a request that its version can carry");
    join(&parts).expect("a request in memory")
}

fn read<M: Message>(frame: &Bytes, version: i16) -> Result<(i32, M), String> {
    decode_response::<M>(frame, version).map_err(|error| format!("{error:?}"))
}

speak!();
