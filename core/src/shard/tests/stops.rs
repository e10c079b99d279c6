//! Clean stops, whatever is under way.

use super::broker::{Broker, Hold};
use super::client::{batch, create_request, fetch_request, only, produce_request, values};
use crate::config::BrokerConfig;
use crate::shard::{CloseReason, Halt};

#[test]
fn a_stop_answers_who_waits_and_closes_every_connection() {
    let mut broker = Broker::start(3);
    let clients = [0, 1, 2].map(|shard| broker.connect(shard));
    broker.create(clients[0], "orders", 6);
    broker.produce(clients[0], "orders", 3, batch(&["a"]));
    let idle = broker.connect(1);
    let wanted = [0, 1, 2, 3, 4, 5].map(|partition| (partition, i64::from(partition == 3)));
    for client in clients {
        broker.send(client, &fetch_request("orders", &wanted, 60_000), 12);
    }
    broker.stop();
    broker.assert_stopped();
    for client in clients {
        assert_eq!(broker.answered(client).len(), 1, "a long poll ends early");
        assert_eq!(broker.connections[&client].closed, Some(CloseReason::Shutdown));
    }
    assert_eq!(broker.connections[&idle].closed, Some(CloseReason::Shutdown));
}

#[test]
fn an_append_under_way_is_made_durable_and_acknowledged_before_the_stop_ends() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.hold = Hold::Syncs;
    broker.send(client, &produce_request("orders", 0, -1, batch(&["a"])), 9);
    broker.stop();
    assert_eq!(broker.halted, [None, None]);
    broker.let_go();
    assert_eq!(broker.produced(client).unwrap().error_code, 0);
    broker.assert_stopped();
    broker.power_cut(2);
    let client = broker.connect(1);
    assert_eq!(broker.consume(client, "orders", 0), ["a"]);
}

#[test]
fn a_client_that_never_stops_sending_does_not_keep_the_broker_from_stopping() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.hold = Hold::Syncs;
    broker.send(client, &produce_request("orders", 0, -1, batch(&["a"])), 9);
    broker.stop();
    broker.send(client, &produce_request("orders", 0, -1, batch(&["b"])), 9);
    broker.send(client, &fetch_request("orders", &[(0, 9)], 60_000), 12);
    broker.let_go();
    broker.assert_stopped();
    assert_eq!(
        broker.answered(client).len(),
        1,
        "what came after the stop is not taken"
    );
}

#[test]
fn a_client_that_connects_during_a_stop_is_let_go_at_once() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.hold = Hold::Syncs;
    broker.send(client, &produce_request("orders", 0, -1, batch(&["a"])), 9);
    broker.stop();
    let late = broker.connect(0);
    assert_eq!(broker.connections[&late].closed, Some(CloseReason::Shutdown));
    assert_eq!(broker.connections[&late].granted, 0, "it may not even send");
    broker.let_go();
    broker.assert_stopped();
}

#[test]
fn a_stop_waits_for_logs_that_are_being_opened() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 8);
    for partition in 0..8 {
        broker.produce(client, "orders", partition, batch(&["a"]));
    }
    broker.kill(2);
    broker.hold = Hold::Tasks;
    let client = broker.connect(0);
    let wanted: [_; 8] = core::array::from_fn(|partition| (partition as i32, 0));
    broker.send(client, &fetch_request("orders", &wanted, 0), 12);
    broker.disconnect(client);
    broker.run();
    broker.stop();
    assert_eq!(broker.halted, [None, None], "recoveries are under way");
    broker.let_go();
    broker.assert_stopped();
}

#[test]
fn a_stop_waits_for_the_recovery_of_a_log_that_retention_woke() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 8);
    for partition in 0..8 {
        broker.produce(client, "orders", partition, batch(&["a"]));
    }
    broker.kill(2);
    broker.hold = Hold::Tasks;
    broker.pass(BrokerConfig::default().retention_check_interval_ms);
    assert!(broker.shards.iter().any(|shard| shard.counters().active_partitions > 0));
    broker.stop();
    broker.let_go();
    broker.assert_stopped();
    broker.kill(2);
    let client = broker.connect(1);
    for partition in 0..8 {
        assert_eq!(broker.consume(client, "orders", partition), ["a"]);
    }
}

#[test]
fn a_stop_while_the_metadata_log_recovers_from_a_full_disk_ends_well() {
    let mut broker = Broker::start(2);
    let client = broker.connect(1);
    broker.create(client, "orders", 1);
    broker.disk.room = Some(20);
    broker.hold = Hold::Tasks;
    let request = create_request("more", 1);
    broker.send(client, &request, 7);
    broker.disk.room = None;
    broker.stop();
    broker.let_go();
    broker.assert_stopped();
    broker.kill(2);
    let client = broker.connect(0);
    assert_eq!(broker.describe(client, "orders").partitions.len(), 1);
}

/// A broker with a record whose metadata log lacks room and descriptors: a change waits for it.
fn lacking() -> Broker {
    let mut broker = Broker::start(2);
    let client = broker.connect(1);
    broker.create(client, "orders", 1);
    broker.produce(client, "orders", 0, batch(&["a"]));
    (broker.disk.room, broker.disk.descriptors) = (Some(0), Some(0));
    broker.send(client, &create_request("more", 1), 7);
    broker.pass(1000);
    assert!(broker.reported("the metadata log cannot be read now"));
    broker
}

/// The broker ended without the metadata log, and says so; with room the next one has everything.
fn assert_unclean(mut broker: Broker) {
    let Some(Halt::Unclean(text)) = &broker.halted[0] else {
        panic!("{:?}", broker.halted)
    };
    assert!(text.contains("metadata log") && text.contains("nothing that was acknowledged is lost"));
    (broker.disk.room, broker.disk.descriptors) = (None, None);
    broker.kill(2);
    let client = broker.connect(0);
    assert_eq!(broker.consume(client, "orders", 0), ["a"]);
    assert_eq!(broker.create(client, "again", 1).0, 0);
}

#[test]
fn a_stop_waits_for_what_the_metadata_log_lacks_until_it_is_hurried() {
    let mut broker = lacking();
    broker.stop();
    broker.pass(7000);
    assert_eq!(broker.halted, [None, None], "room may come back");
    broker.hurry();
    assert_unclean(broker);
}

#[test]
fn a_hurried_stop_lets_a_recovery_that_has_begun_end() {
    for comes_back in [false, true] {
        let mut broker = lacking();
        broker.hold = Hold::Tasks;
        broker.pass(1000);
        broker.stop();
        broker.hurry();
        assert_eq!(broker.halted, [None, None], "it is being recovered");
        if comes_back {
            (broker.disk.room, broker.disk.descriptors) = (None, None);
        }
        broker.let_go();
        if comes_back {
            broker.assert_stopped();
        } else {
            assert_unclean(broker);
        }
    }
}

#[test]
fn a_hurried_stop_that_lacks_nothing_ends_in_good_order() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.hold = Hold::Syncs;
    broker.send(client, &produce_request("orders", 0, -1, batch(&["a"])), 9);
    broker.stop();
    broker.hurry();
    assert_eq!(broker.halted, [None, None], "what was begun is made durable");
    broker.let_go();
    broker.assert_stopped();
}

#[test]
fn a_stop_before_the_start_has_ended_stops_all_the_same() {
    let mut broker = Broker::boot(2, BrokerConfig::default(), crate::storage::tests::disk::Disk::default());
    broker.stop();
    broker.assert_stopped();
    assert_eq!(broker.halted, [Some(Halt::Stopped), Some(Halt::Stopped)]);
}

#[test]
fn a_response_that_is_still_being_sent_is_waited_for() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 4);
    for partition in 0..4 {
        broker.produce(client, "orders", partition, batch(&["a"]));
    }
    broker.stop_and_start(2);
    let client = broker.connect(0);
    broker.hold = Hold::Responses;
    broker.send(client, &fetch_request("orders", &[(1, 0)], 0), 12);
    let leases: usize = broker.shards.iter().map(|shard| shard.audit().leases).sum();
    assert_eq!(leases, 1, "what is sent from a file is leased");
    broker.stop();
    assert!(broker.halted.contains(&None));
    broker.let_go();
    assert_eq!(values(&only(broker.receive(client, 12).unwrap())), ["a"]);
    broker.assert_stopped();
}
