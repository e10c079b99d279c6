//! Questions by the `kafka-protocol` crate, from the client's side.

#![allow(
    clippy::field_reassign_with_default,
    reason = "the types of kafka-protocol cannot be written out field by field"
)]

use super::{Answer, OF_THE_TOPIC, Question, QuestionApi, TOPIC, ToldConfig, speak};
use crate::frame::crate_codec::{frame_of as frame, read, text};
use bytes::Bytes;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, DescribeConfigsRequest, DescribeConfigsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, GroupId, ListGroupsRequest, ListGroupsResponse,
};

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

speak!();
