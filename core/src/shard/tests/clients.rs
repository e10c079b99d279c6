//! Clients that come, go and misbehave.

use super::broker::{Broker, Hold};
use super::client::{batch, batch_of, fetch_request, only, produce_request, values};
use crate::config::BrokerConfig;
use crate::record::{Compression, Producer};
use crate::shard::CloseReason;
use crate::types::ErrorCode;
use crate::wire::message::fetch::FetchResponse;
use alloc::vec::Vec;
use bytes::Bytes;

fn assert_nothing_held(broker: &Broker) {
    for shard in &broker.shards {
        let audit = shard.audit();
        let held = [audit.operations, audit.asks, audit.watches, audit.mail, audit.leases];
        assert_eq!(held, [0; 5], "{audit:?}");
    }
}

#[test]
fn a_client_that_leaves_during_a_long_poll_leaves_nothing_behind() {
    let mut broker = Broker::start(3);
    let client = broker.connect(0);
    broker.create(client, "orders", 6);
    let wanted = [0, 1, 2, 3, 4, 5].map(|partition| (partition, 0));
    broker.send(client, &fetch_request("orders", &wanted, 60_000), 12);
    assert!(broker.shards.iter().any(|shard| shard.audit().watches > 0));
    broker.disconnect(client);
    broker.run();
    assert_nothing_held(&broker);
}

#[test]
fn a_client_that_leaves_during_an_append_does_not_undo_it() {
    let mut broker = Broker::start(2);
    let (client, other) = (broker.connect(0), broker.connect(1));
    broker.create(client, "orders", 1);
    broker.hold = Hold::Syncs;
    broker.send(client, &produce_request("orders", 0, -1, batch(&["a"])), 9);
    broker.disconnect(client);
    broker.run();
    broker.let_go();
    assert_nothing_held(&broker);
    assert_eq!(broker.consume(other, "orders", 0), ["a"]);
}

#[test]
fn a_client_that_leaves_while_it_is_sent_a_file_gives_its_lease_back() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 4);
    for partition in 0..4 {
        broker.produce(client, "orders", partition, batch(&["a"]));
    }
    broker.stop_and_start(2);
    for shard in 0..2 {
        for partition in 0..4 {
            let client = broker.connect(shard);
            broker.hold = Hold::Responses;
            broker.send(client, &fetch_request("orders", &[(partition, 0)], 0), 12);
            broker.disconnect(client);
            broker.run();
            broker.let_go();
            assert_nothing_held(&broker);
        }
    }
}

#[test]
fn frames_that_are_no_requests_close_the_connection() {
    let frames: [&[u8]; 6] = [
        b"",
        b"\x00",
        b"\x00\x00\x00\x09",
        b"\x00\x00\x00\x09\x00\x00\x00\x01\xff\xff\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x7f\xff\x00\x00\x00\x00\x00\x01\xff\xff",
        b"\x00\x03\x00\x63\x00\x00\x00\x01\xff\xff\x00",
    ];
    let mut broker = Broker::start(2);
    for frame in frames {
        let client = broker.connect(1);
        broker.frame(client, Bytes::from_static(frame));
        broker.run();
        let closed = broker.connections[&client].closed.clone();
        let reason = closed.unwrap_or_else(|| panic!("{frame:?} is taken"));
        assert!(
            matches!(
                reason,
                CloseReason::MalformedRequest(_) | CloseReason::UnsupportedRequest { .. }
            ),
            "{frame:?}: {reason:?}"
        );
    }
    assert_nothing_held(&broker);
}

#[test]
fn what_was_asked_before_a_request_that_ends_the_connection_is_answered() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.hold = Hold::Syncs;
    broker.send(client, &produce_request("orders", 0, -1, batch(&["a"])), 9);
    broker.send(client, &produce_request("nowhere", 0, 0, batch(&["lost"])), 9);
    broker.send(client, &produce_request("orders", 0, -1, batch(&["too late"])), 9);
    assert!(broker.connections[&client].closed.is_none(), "its turn has not come");
    broker.let_go();
    assert_eq!(broker.produced(client).expect("it is answered").error_code, 0);
    assert!(broker.connections[&client].closed.is_some());
    let other = broker.connect(1);
    assert_eq!(
        broker.consume(other, "orders", 0),
        ["a"],
        "nothing behind it takes effect"
    );
}

#[test]
fn an_idle_connection_is_closed_and_one_that_waits_is_not() {
    let mut broker = Broker::start(2);
    let (idle, waiting) = (broker.connect(0), broker.connect(1));
    broker.create(idle, "orders", 1);
    broker.send(waiting, &fetch_request("orders", &[(0, 0)], i32::MAX), 12);
    broker.pass(BrokerConfig::default().connections_max_idle_ms * 2);
    assert_eq!(broker.connections[&idle].closed, Some(CloseReason::Idle));
    assert!(broker.connections[&waiting].closed.is_none());
}

#[test]
fn pipelined_requests_are_answered_in_order_with_the_effects_of_those_before() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 2);
    broker.hold = Hold::Syncs;
    let packed = batch_of(Producer::Plain, Compression::Lz4, &["b"]);
    let sent = [
        broker.send(client, &produce_request("orders", 0, -1, batch(&["a"])), 9),
        broker.send(client, &produce_request("orders", 1, 1, packed), 9),
        broker.send(client, &fetch_request("orders", &[(0, 0), (1, 0)], 0), 12),
        broker.send(client, &produce_request("orders", 0, -1, batch(&["c"])), 9),
    ];
    broker.let_go();
    assert_eq!(broker.answered(client), sent);
    broker.produced(client).unwrap();
    broker.produced(client).unwrap();
    let fetched: FetchResponse = broker.receive(client, 12).unwrap();
    let found = fetched.responses[0].partitions.iter().flat_map(values);
    assert_eq!(found.collect::<Vec<_>>(), ["a", "b"], "and not what came later");
}

#[test]
fn a_fetch_session_lists_only_news_and_takes_changes() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 3);
    broker.produce(client, "orders", 1, batch(&["a"]));
    let mut request = fetch_request("orders", &[(0, 0), (1, 0), (2, 0)], 0);
    request.session_epoch = 0;
    let full: FetchResponse = broker.call(client, &request, 12);
    assert_eq!(full.responses[0].partitions.len(), 3);
    request.session_id = full.session_id;
    assert_ne!(full.session_id, 0);

    request.topics = fetch_request("orders", &[(1, 1)], 0).topics;
    request.session_epoch = 1;
    let nothing: FetchResponse = broker.call(client, &request, 12);
    assert_eq!((nothing.error_code, nothing.responses.len()), (0, 0));

    request.topics.clear();
    request.session_epoch = 2;
    request.max_wait_ms = 60_000;
    broker.send(client, &request, 12);
    let writer = broker.connect(1);
    broker.produce(writer, "orders", 2, batch(&["b"]));
    let news = only(broker.receive(client, 12).expect("it wakes"));
    assert_eq!((news.partition_index, values(&news).len()), (2, 1));

    let again: FetchResponse = broker.call(client, &request, 12);
    assert_eq!(again.error_code, ErrorCode::InvalidFetchSessionEpoch.code());
    request.session_id += 1;
    let unknown: FetchResponse = broker.call(client, &request, 12);
    assert_eq!(unknown.error_code, ErrorCode::FetchSessionIdNotFound.code());
}

#[test]
fn a_partition_named_twice_in_a_fetch_is_read_once() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.produce(client, "orders", 0, batch(&["a", "b"]));
    let twice = fetch_request("orders", &[(0, 2), (0, 0)], 0);
    let response: FetchResponse = broker.call(client, &twice, 12);
    let found = response.responses[0].partitions.iter().flat_map(values);
    assert_eq!(found.collect::<Vec<_>>(), ["a", "b"], "the last word counts");
    assert_eq!(response.responses[0].partitions.len(), 1);
}
