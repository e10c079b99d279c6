//! Questions by Klamm's own wire module, from the client's side.

#![allow(
    clippy::field_reassign_with_default,
    reason = "the types of kafka-protocol cannot be written out field by field"
)]

use super::{Answer, OF_THE_TOPIC, Question, QuestionApi, TOPIC, ToldConfig, speak};
use bytes::Bytes;
use klamm_core::wire::frame::{decode_response, encode_request, join};
use klamm_core::wire::message::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use klamm_core::wire::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use klamm_core::wire::message::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
use klamm_core::wire::message::list_groups::{ListGroupsRequest, ListGroupsResponse};
use klamm_core::wire::{Message, Text};

fn text(value: &str) -> Text {
    Text::from(value.to_owned())
}

fn group_id(name: &str) -> Text {
    text(name)
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
