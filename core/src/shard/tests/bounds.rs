//! What clients may have a shard hold, and how long one may have it work.

use super::broker::{Broker, Hold};
use super::client::{batch, fetch_request, produce_request};
use crate::config::{BrokerConfig, Limits};
use crate::shard::{Audit, CloseReason, Effect, Effects, Input};
use crate::types::{ConnectionId, ShardId};
use crate::wire::frame::{encode_request, join};
use crate::wire::message::api_versions::ApiVersionsRequest;
use crate::wire::message::fetch::{FetchRequest, FetchResponse};
use crate::wire::message::metadata::MetadataRequest;
use alloc::vec::Vec;
use bytes::Bytes;

fn start(shards: u16, limits: Limits) -> Broker {
    let config = BrokerConfig {
        limits,
        ..BrokerConfig::default()
    };
    Broker::start_with(shards, config)
}

fn everything() -> MetadataRequest {
    MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    }
}

/// What the only shard holds.
fn held(broker: &Broker) -> Audit {
    broker.shards[0].audit()
}

/// A broker, and two connections of which the first takes nothing of what it asked for.
fn full() -> (Broker, [ConnectionId; 2]) {
    let mut broker = start(
        1,
        Limits {
            unsent_bytes: 100,
            ..Limits::default()
        },
    );
    let clients = [broker.connect(0), broker.connect(0)];
    broker.create(clients[0], "orders", 4);
    broker.hold = Hold::Responses;
    broker.send(clients[0], &everything(), 12);
    assert!(held(&broker).unsent_bytes >= 100);
    (broker, clients)
}

#[test]
fn what_is_not_sent_keeps_all_but_short_answers_from_being_made() {
    let (mut broker, [_, other]) = full();
    let before = held(&broker).unsent_bytes;
    let asked = broker.send(other, &everything(), 12);
    assert_eq!(held(&broker).unsent_bytes, before);
    let third = broker.connect(0);
    let produced = broker.send(third, &produce_request("orders", 0, -1, batch(&["a"])), 9);
    assert_eq!(broker.held_responses().last(), Some(&third));
    broker.let_go();
    assert_eq!(
        (broker.answered(other), broker.answered(third)),
        ([asked].into(), [produced].into())
    );
    assert_eq!(held(&broker).unsent_bytes, 0);
}

#[test]
fn whoever_takes_nothing_goes_when_others_have_waited_for_a_second() {
    let (mut broker, [silent, other]) = full();
    let bytes = held(&broker).unsent_bytes;
    broker.pass(2000);
    assert_eq!(broker.connections[&silent].closed, None, "nobody waits");
    let asked = broker.send(other, &everything(), 12);
    broker.pass(999);
    assert_eq!(broker.connections[&silent].closed, None);
    broker.pass(1);
    assert_eq!(broker.connections[&silent].closed, Some(CloseReason::Unread(bytes)));
    broker.let_go();
    assert_eq!(broker.answered(other), [asked]);
    assert_eq!(broker.connections[&other].closed, None);
}

#[test]
fn a_trickle_protects_nobody_and_whoever_reads_steadily_is_not_closed_for_a_long_answer() {
    let mut broker = start(
        1,
        Limits {
            unsent_bytes: 10_000,
            ..Limits::default()
        },
    );
    let [trickles, steady, other] = [(); 3].map(|()| broker.connect(0));
    broker.create(steady, "orders", 300);
    broker.hold = Hold::Responses;
    for _ in 0..20 {
        broker.send(trickles, &ApiVersionsRequest::default(), 0);
    }
    broker.send(steady, &everything(), 12);
    assert!(held(&broker).unsent_bytes > 10_000);
    let asked = broker.send(other, &everything(), 12);
    for _ in 0..2 {
        broker.pass(900);
        assert!(broker.answered(other).is_empty(), "it waits for room");
        if broker.connections[&trickles].closed.is_none() {
            broker.let_one_go(trickles);
        }
        broker.take_some(steady, 3000);
    }
    let closed = |connection| broker.connections[&connection].closed.clone();
    assert!(matches!(closed(trickles), Some(CloseReason::Unread(_))));
    assert_eq!((closed(steady), closed(other)), (None, None));
    broker.let_go();
    assert_eq!(broker.answered(other), [asked]);
    assert_eq!(held(&broker).unsent_bytes, 0);
}

#[test]
fn a_connection_that_asks_much_at_once_lets_others_have_their_turn() {
    let mut broker = start(
        1,
        Limits {
            turn_work: 4,
            connection_unsent_bytes: 1 << 20,
            ..Limits::default()
        },
    );
    let (greedy, other) = (broker.connect(0), broker.connect(0));
    broker.hold = Hold::Responses;
    let frame = |id| {
        join(&encode_request(id, None, &everything(), 12).unwrap())
            .unwrap()
            .slice(4..)
    };
    (0..20).for_each(|id| broker.frame(greedy, frame(id)));
    broker.frame(other, frame(1));
    broker.run();
    let order = broker.held_responses();
    let turn = order.iter().position(|&connection| connection == other);
    assert_eq!(order.len(), 21);
    assert!(turn.is_some_and(|turn| turn < 8), "{turn:?}");
    broker.let_go();
    let ids: Vec<i32> = (0..20).collect();
    assert_eq!(broker.answered(greedy), ids);
}

#[test]
fn a_turn_asks_no_more_partitions_than_it_has_work_for() {
    let mut broker = start(
        1,
        Limits {
            turn_work: 50,
            ..Limits::default()
        },
    );
    let (greedy, other) = (broker.connect(0), broker.connect(0));
    broker.create(greedy, "orders", 2000);
    broker.hold = Hold::Responses;
    let wanted: Vec<_> = (0..2000).map(|partition| (partition, 0)).collect();
    let request = encode_request(1, None, &fetch_request("orders", &wanted, 0), 12).unwrap();
    broker.frame(greedy, join(&request).unwrap().slice(4..));
    broker.frame(
        other,
        join(&encode_request(2, None, &everything(), 12).unwrap())
            .unwrap()
            .slice(4..),
    );
    broker.run();
    assert_eq!(
        broker.held_responses(),
        [other, greedy],
        "the small one does not wait for all of the large one"
    );
}

#[test]
fn what_another_shard_sends_is_part_of_a_turns_work_and_keeps_no_client_waiting() {
    let mut broker = start(
        2,
        Limits {
            turn_work: 50,
            ..Limits::default()
        },
    );
    let (greedy, other) = (broker.connect(1), broker.connect(0));
    broker.create(greedy, "orders", 4000);
    let (now, mut effects) = (broker.now, Effects::new());
    let mut step = |shard: usize, input| {
        broker.shards[shard].step(now, input, &mut effects);
        effects.drain().collect::<Vec<_>>()
    };
    let frame = |request: &Bytes| request.slice(4..);
    let wanted: Vec<_> = (0..4000).map(|partition| (partition, 0)).collect();
    let request = join(&encode_request(1, None, &fetch_request("orders", &wanted, 0), 12).unwrap()).unwrap();
    let asked = step(
        1,
        Input::Frame {
            connection: greedy,
            frame: frame(&request),
        },
    );
    let from = ShardId(1);
    let mut answers = 0;
    let mut asks = 0;
    for effect in asked {
        if let Effect::Mail { to: ShardId(0), mail } = effect {
            asks += 1;
            answers += step(0, Input::Mail { from, mail }).len();
        }
    }
    assert!(asks > 2 && answers < asks, "{answers} of {asks} in one turn");
    let request = join(&encode_request(2, None, &everything(), 12).unwrap()).unwrap();
    let begun = step(
        0,
        Input::Frame {
            connection: other,
            frame: frame(&request),
        },
    );
    assert!(begun.is_empty(), "this turn's work is done: {begun:?}");
    let next = step(0, Input::Tick);
    answers += next.len() - 1;
    assert!(
        matches!(next.first(), Some(Effect::Respond { connection, .. }) if *connection == other),
        "{next:?}"
    );
    for _ in 0..asks {
        answers += step(0, Input::Tick).len();
    }
    assert_eq!(answers, asks, "and then the rest of what was asked");
    assert!(!broker.shards[0].has_left_over());
}

fn patient(min_bytes: i32) -> FetchRequest {
    FetchRequest {
        min_bytes,
        ..fetch_request("orders", &[0, 1, 2, 3].map(|partition| (partition, 0)), 60_000)
    }
}

#[test]
fn a_fetch_that_waits_is_charged_and_pins_nothing() {
    let mut broker = Broker::start(1);
    let clients = [broker.connect(0), broker.connect(0)];
    broker.create(clients[0], "orders", 4);
    broker.produce(clients[0], "orders", 0, batch(&["a"]));
    broker.stop_and_start(1);
    let clients = clients.map(|_| broker.connect(0));
    for client in clients {
        broker.send(client, &patient(10_000), 12);
    }
    let waiting = held(&broker);
    assert!(waiting.waiting_bytes > 2 * 4 * 100, "{waiting:?}");
    assert_eq!((waiting.watches, waiting.leases), (2, 0));
    broker.disconnect(clients[0]);
    broker.run();
    assert_eq!(held(&broker).waiting_bytes, waiting.waiting_bytes / 2);
    broker.pass(60_001);
    broker.pass(1);
    let response: FetchResponse = broker.receive(clients[1], 12).expect("its time is up");
    assert_eq!(response.responses[0].partitions.len(), 4);
    assert_eq!(held(&broker).waiting_bytes, 0);
}

/// A broker with room for one fetch that waits, and two clients, of which the first is that one.
fn crowded() -> (Broker, [ConnectionId; 2]) {
    let mut broker = start(
        1,
        Limits {
            waiting_bytes: 3000,
            ..Limits::default()
        },
    );
    let clients = [broker.connect(0), broker.connect(0)];
    broker.create(clients[0], "orders", 4);
    broker.send(clients[0], &patient(1), 12);
    assert_eq!(broker.answered(clients[0]), []);
    (broker, clients)
}

#[test]
fn where_there_is_no_room_to_wait_a_fetch_is_answered_and_the_next_has_to_wait() {
    let (mut broker, [_, client]) = crowded();
    broker.send(client, &patient(1), 12);
    let response: FetchResponse = broker.receive(client, 12).expect("it is answered at once");
    assert_eq!(response.throttle_time_ms, 100);
    assert_eq!(response.responses[0].partitions.len(), 4);
    let before = held(&broker);
    let asked = broker.send(client, &everything(), 12);
    broker.pass(99);
    assert_eq!((broker.answered(client), held(&broker).unsent_bytes), (Vec::new(), 0));
    assert_eq!(held(&broker).waiting_bytes, before.waiting_bytes);
    broker.pass(3);
    assert_eq!(broker.answered(client), [asked]);
}

#[test]
fn a_fetch_without_room_to_wait_keeps_its_connection_no_longer_than_it_would_have_waited() {
    let (mut broker, [_, client]) = crowded();
    let request = FetchRequest {
        max_wait_ms: 30,
        ..patient(1)
    };
    broker.send(client, &request, 12);
    let response: FetchResponse = broker.receive(client, 12).expect("it is answered at once");
    assert_eq!(response.throttle_time_ms, 30);
    let asked = broker.send(client, &everything(), 12);
    broker.pass(33);
    assert_eq!(broker.answered(client), [asked]);
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn a_fetch_that_waits_for_much_is_not_asked_anew_for_every_little() {
    let mut broker = Broker::start(1);
    let (client, producer) = (broker.connect(0), broker.connect(0));
    broker.create(client, "orders", 4);
    broker.send(client, &patient(100_000), 12);
    let watch = |broker: &Broker| broker.shards[0].watches.all().collect::<Vec<_>>();
    let begun = watch(&broker);
    assert_eq!(begun.len(), 1);
    for partition in [0, 1, 2, 3, 0, 1] {
        broker.produce(producer, "orders", partition, batch(&["a"]));
        assert_eq!(watch(&broker), begun);
    }
}

#[test]
fn a_fetch_is_answered_when_all_shards_together_have_enough() {
    let size = batch(&["a"]).len() as i32;
    for (shards, batches) in [(1, 3), (2, 1), (2, 5), (3, 2), (3, 7), (3, 12)] {
        let mut broker = Broker::start(shards);
        let (client, producer) = (broker.connect(0), broker.connect(0));
        broker.create(client, "orders", 4);
        let sent = broker.send(client, &patient(batches * size), 12);
        for count in 1..=batches {
            assert_eq!(broker.answered(client), [], "{count} of {batches}, {shards} shards");
            broker.produce(producer, "orders", count % 4, batch(&["a"]));
        }
        assert_eq!(broker.answered(client), [sent], "{batches} batches, {shards} shards");
    }
}
