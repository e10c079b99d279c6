//! What the core keeps of the frames that clients sent.

use super::broker::Broker;
use super::client::{batch, fetch_request, produce_request, text};
use super::members::{self, commit, find, join, joined, sync, synced};
use crate::types::ConnectionId;
use crate::wire::message::fetch::FetchResponse;
use crate::wire::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use crate::wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// A value whose batch is not worth copying.
fn large() -> String {
    "x".repeat(20_000)
}

/// Leaves behind all that a client can: topics, settings, a fetch session, a producer, a member with its part, an offset.
fn leave_state(broker: &mut Broker, client: ConnectionId) {
    broker.create(client, "orders", 4);
    let settings = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: text("orders"),
            configs: vec![AlterableConfig {
                name: text("retention.ms"),
                config_operation: 0,
                value: Some(text("123456")),
            }],
        }],
        ..IncrementalAlterConfigsRequest::default()
    };
    let altered: IncrementalAlterConfigsResponse = broker.call(client, &settings, 1);
    assert_eq!(altered.responses[0].error_code, 0);
    let wanted = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(text("made-by-asking")),
            ..MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    let _: MetadataResponse = broker.call(client, &wanted, 12);
    let _: InitProducerIdResponse = broker.call(client, &InitProducerIdRequest::default(), 4);
    let mut session = fetch_request("orders", &[(0, 0), (1, 0)], 0);
    session.session_epoch = 0;
    let opened: FetchResponse = broker.call(client, &session, 12);
    assert_ne!(opened.session_id, 0, "the session is kept");
    find(broker, client, "group");
    let member = join(broker, client, "group");
    broker.pass(200);
    let generation = joined(broker, client);
    sync(broker, client, "group", &generation, &[(&member, "part")]);
    assert_eq!(synced(broker, client).0, 0);
    assert_eq!(commit(broker, client, "group", &member, generation.generation_id, 7), 0);
}

#[test]
fn what_clients_leave_behind_keeps_none_of_their_frames() {
    let mut broker = members::start(2);
    let client = broker.connect(0);
    leave_state(&mut broker, client);
    assert_eq!(broker.kept_frames(), 0);
    for partition in 0..4 {
        broker.produce(client, "orders", partition, batch(&["a small record"]));
    }
    assert_eq!(
        broker.kept_frames(),
        0,
        "a small batch is at the tail, its frame is not"
    );
}

#[test]
fn a_member_that_waits_for_others_keeps_no_frame() {
    let mut broker = members::start(1);
    let client = broker.connect(0);
    find(&mut broker, client, "group");
    join(&mut broker, client, "group");
    assert_eq!(broker.answered(client), Vec::<i32>::new(), "the join waits");
    assert_eq!(broker.kept_frames(), 0);
}

#[test]
fn a_long_poll_keeps_no_frame() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 2);
    broker.send(client, &fetch_request("orders", &[(0, 0), (1, 0)], 60_000), 12);
    assert_eq!(broker.answered(client), Vec::<i32>::new(), "the poll waits");
    assert_eq!(broker.kept_frames(), 0);
}

#[test]
fn large_batches_at_the_tail_are_let_go_when_memory_runs_short() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 4);
    for partition in 0..4 {
        broker.send(client, &produce_request("orders", partition, -1, batch(&[&large()])), 9);
        assert_eq!(broker.produced(client).map(|it| it.error_code), Some(0));
    }
    assert_eq!(broker.kept_frames(), 4, "readers at the tail get them without a copy");
    broker.reclaim();
    assert_eq!(broker.kept_frames(), 0);
    for partition in 0..4 {
        assert_eq!(broker.consume(client, "orders", partition), [large()]);
        broker.produce(client, "orders", partition, batch(&["after"]));
        assert_eq!(
            broker.consume(client, "orders", partition),
            [large(), String::from("after")]
        );
    }
}
