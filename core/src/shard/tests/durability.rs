//! Disks that fill up, fail, or have too few descriptors.

use super::broker::{Broker, Hold};
use super::client::{batch, create_request, produce_request};
use crate::config::BrokerConfig;
use crate::shard::Halt;
use crate::types::ErrorCode;
use crate::wire::message::create_topics::CreateTopicsResponse;
use alloc::string::String;

fn storage_error() -> i16 {
    ErrorCode::KafkaStorageError.code()
}

#[test]
fn a_full_disk_refuses_appends_and_once_it_has_room_they_go_on_without_a_restart() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["a"])), (0, 0));
    for room in [0, 1, 40, 70] {
        broker.disk.room = Some(room);
        assert_eq!(
            broker.produce(client, "orders", 0, batch(&["lost"])),
            (storage_error(), -1),
            "{room} bytes left"
        );
        assert_eq!(broker.consume(client, "orders", 0), ["a"], "reads go on");
    }
    broker.disk.room = None;
    broker.pass(1000);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["b"])), (0, 1));
    broker.power_cut(2);
    let client = broker.connect(1);
    assert_eq!(broker.consume(client, "orders", 0), ["a", "b"]);
}

#[test]
fn while_a_disk_stays_full_it_is_tried_and_told_now_and_then() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["a"])), (0, 0));
    broker.disk.room = Some(40);
    let before = broker.shards[0].counters().recoveries;
    for _ in 0..1000 {
        broker.pass(10);
        let refused = broker.produce(client, "orders", 0, batch(&["lost"]));
        assert_eq!(refused, (storage_error(), -1));
    }
    let recoveries = broker.shards[0].counters().recoveries - before;
    assert!((8..=12).contains(&recoveries), "{recoveries} recoveries in ten seconds");
    assert_eq!(broker.consume(client, "orders", 0), ["a"], "reads go on");
    let told = |text: &str| broker.reports.iter().filter(|report| report.contains(text)).count();
    assert_eq!(told("a write failed"), 1, "{:?}", broker.reports);
    assert_eq!(told("a failed write had left"), 1, "{:?}", broker.reports);
    assert_eq!(told("torn write or damage"), 0, "{:?}", broker.reports);
    broker.disk.room = None;
    broker.pass(1000);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["b"])), (0, 1));
}

#[test]
fn a_full_disk_before_the_first_append_leaves_the_partition_usable() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.disk.room = Some(0);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["lost"])).0, storage_error());
    broker.disk.room = None;
    assert_eq!(broker.produce(client, "orders", 0, batch(&["a"])), (0, 0));
    broker.stop_and_start(2);
    let client = broker.connect(0);
    assert_eq!(broker.consume(client, "orders", 0), ["a"]);
}

#[test]
fn everything_asked_meanwhile_of_a_log_that_failed_is_answered() {
    let mut broker = Broker::start(1);
    let clients = [0, 0, 0].map(|shard| broker.connect(shard));
    broker.create(clients[0], "orders", 1);
    broker.produce(clients[0], "orders", 0, batch(&["a"]));
    broker.disk.room = Some(5);
    broker.hold = Hold::Tasks;
    broker.send(clients[0], &produce_request("orders", 0, -1, batch(&["lost"])), 9);
    assert_eq!(broker.produced(clients[0]).unwrap().error_code, storage_error());
    broker.disk.room = None;
    broker.send(clients[1], &produce_request("orders", 0, -1, batch(&["b"])), 9);
    broker.send(clients[2], &super::client::fetch_request("orders", &[(0, 0)], 0), 12);
    assert!(broker.produced(clients[1]).is_none(), "it waits for the recovery");
    broker.let_go();
    assert_eq!(broker.produced(clients[1]).unwrap().base_offset, 1);
    assert_eq!(broker.answered(clients[2]).len(), 1);
    broker.connections.get_mut(&clients[2]).unwrap().received.clear();
    assert_eq!(broker.consume(clients[2], "orders", 0), ["a", "b"]);
}

#[test]
fn a_topic_is_not_created_on_a_full_disk_and_is_once_it_has_room() {
    let mut broker = Broker::start(2);
    let client = broker.connect(1);
    for room in [0, 30, 100] {
        broker.disk.room = Some(room);
        assert_eq!(
            broker.create(client, "orders", 1).0,
            storage_error(),
            "{room} bytes left"
        );
        assert!(broker.describe(client, "orders").partitions.is_empty());
    }
    broker.disk.room = None;
    assert_eq!(broker.create(client, "orders", 1).0, 0);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["a"])), (0, 0));
    broker.power_cut(2);
    let client = broker.connect(0);
    assert_eq!(broker.consume(client, "orders", 0), ["a"]);
}

#[test]
fn a_metadata_log_that_cannot_be_brought_back_for_want_of_descriptors_waits_for_them() {
    let mut broker = Broker::start(2);
    let client = broker.connect(1);
    assert_eq!(broker.create(client, "orders", 1).0, 0);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["a"])), (0, 0));
    (broker.disk.room, broker.disk.descriptors) = (Some(0), Some(0));
    broker.send(client, &create_request("others", 1), 7);
    for _ in 0..3 {
        broker.pass(1000);
        assert_eq!(broker.halted, [None, None], "the rest can still be served");
        assert!(broker.reported("the metadata log cannot be read now"));
    }
    (broker.disk.room, broker.disk.descriptors) = (None, None);
    let reader = broker.connect(0);
    assert_eq!(broker.consume(reader, "orders", 0), ["a"]);
    assert!(broker.answered(client).is_empty(), "changes wait");
    broker.pass(1000);
    let refused: CreateTopicsResponse = broker.receive(client, 7).expect("the log is back");
    assert_eq!(refused.topics[0].error_code, storage_error());
    assert_eq!(broker.create(client, "others", 1).0, 0);
    broker.power_cut(2);
    let client = broker.connect(0);
    assert_eq!(broker.describe(client, "others").partitions.len(), 1);
}

#[test]
fn a_change_whose_write_reached_the_disk_but_was_refused_is_taken_over() {
    let mut broker = Broker::start(2);
    let client = broker.connect(1);
    broker.hold = Hold::Syncs;
    let request = create_request("orders", 1);
    broker.send(client, &request, 7);
    assert!(broker.answered(client).is_empty(), "it is not durable yet");
    broker.kill(2);
    let client = broker.connect(0);
    let described = broker.describe(client, "orders");
    assert_eq!(described.partitions.len(), 1, "the page cache kept it");
    let again: CreateTopicsResponse = broker.call(client, &request, 7);
    assert_eq!(again.topics[0].error_code, ErrorCode::TopicAlreadyExists.code());
}

#[test]
fn a_failed_sync_halts_and_nothing_that_waited_for_it_is_acknowledged() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.disk.fail_syncs = true;
    broker.send(client, &produce_request("orders", 0, -1, batch(&["lost"])), 9);
    assert!(
        broker
            .produced(client)
            .is_none_or(|produced| produced.error_code == storage_error())
    );
    assert!(matches!(broker.halted[0], Some(Halt::Fault(_))), "{:?}", broker.halted);
    let syncs = broker.disk.history.iter().filter(|op| op.starts_with("sync")).count();
    broker.run();
    assert_eq!(
        broker.disk.history.iter().filter(|op| op.starts_with("sync")).count(),
        syncs,
        "it is not tried again"
    );
}

#[test]
fn more_partitions_are_used_than_descriptors_may_be_open() {
    let mut config = BrokerConfig::default();
    config.limits.open_files = 4;
    let mut broker = Broker::start_with(2, config);
    let client = broker.connect(0);
    broker.create(client, "orders", 40);
    for value in ["a", "b"] {
        for partition in 0..40 {
            assert_eq!(broker.produce(client, "orders", partition, batch(&[value])).0, 0);
        }
    }
    broker.stop_and_start(2);
    let client = broker.connect(1);
    broker.disk.most_open = 0;
    for partition in 0..40 {
        assert_eq!(broker.produce(client, "orders", partition, batch(&["c"])), (0, 2));
        assert_eq!(broker.consume(client, "orders", partition), ["a", "b", "c"]);
    }
    assert!(
        broker.disk.most_open <= 12,
        "{} descriptors were open",
        broker.disk.most_open
    );
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn a_partition_that_lost_what_was_synced_says_so_and_the_others_serve() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 2);
    for partition in 0..2 {
        broker.produce(client, "orders", partition, batch(&["a"]));
    }
    broker.stop();
    let log = broker
        .disk
        .files()
        .into_iter()
        .find(|name| name.starts_with("orders-0.") && !name.contains("checkpoint"));
    broker.disk.spoil(&log.unwrap(), |bytes| bytes.truncate(20));
    broker.kill(2);
    let client = broker.connect(1);
    assert_eq!(broker.fetch(client, "orders", 0, 0).error_code, storage_error());
    assert_eq!(broker.produce(client, "orders", 0, batch(&["b"])).0, storage_error());
    assert_eq!(broker.list_offset(client, "orders", 0, -1).error_code, storage_error());
    assert_eq!(broker.consume(client, "orders", 1), [String::from("a")]);
    assert!(broker.reported("orders-0"), "{:?}", broker.reports);
    assert_eq!(broker.delete(client, "orders"), 0, "it can still be deleted");
    broker.stop();
    broker.assert_stopped();
}
