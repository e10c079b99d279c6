//! Records deleted by request: gone for every connection, and for good, once that is answered.

use super::broker::{Broker, Hold};
use super::client::{batch, delete_request, text};
use crate::config::BrokerConfig;
use crate::types::{ConnectionId, ErrorCode};
use crate::wire::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

/// How the names of segments end.
const SEGMENT: &str = ".log";

fn request(topic: &str, offsets: &[(i32, i64)]) -> DeleteRecordsRequest {
    let partition = |&(partition_index, offset): &(i32, i64)| DeleteRecordsPartition {
        partition_index,
        offset,
    };
    DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: text(topic),
            partitions: offsets.iter().map(partition).collect(),
        }],
        timeout_ms: 30_000,
    }
}

/// Partition, error and low watermark of each answer.
fn answers(response: DeleteRecordsResponse) -> Vec<(i32, i16, i64)> {
    let partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
    partitions
        .map(|it| (it.partition_index, it.error_code, it.low_watermark))
        .collect()
}

fn delete(broker: &mut Broker, client: ConnectionId, offsets: &[(i32, i64)], version: i16) -> Vec<(i32, i16, i64)> {
    answers(broker.call(client, &request("orders", offsets), version))
}

fn filled(shards: u16, partitions: i32, config: BrokerConfig) -> (Broker, ConnectionId) {
    let mut broker = Broker::start_with(shards, config);
    let client = broker.connect(0);
    broker.create(client, "orders", partitions);
    for partition in 0..partitions {
        for values in [["a", "b"], ["c", "d"], ["e", "f"]] {
            assert_eq!(broker.produce(client, "orders", partition, batch(&values)).0, 0);
        }
    }
    (broker, client)
}

#[test]
fn deleted_records_are_gone_on_every_connection_and_after_any_crash() {
    let (mut broker, _) = filled(3, 3, BrokerConfig::default());
    for (version, start) in [(0, 1), (1, 2), (2, 5)] {
        let client = broker.connect(version as usize);
        let expected = vec![(0, 0, start), (1, 0, 0), (2, 0, 6)];
        assert_eq!(
            delete(&mut broker, client, &[(2, -1), (0, start), (1, 0)], version),
            expected
        );
        for round in 0..3 {
            for shard in 0..3 {
                let client = broker.connect(shard);
                assert_eq!(broker.list_offset(client, "orders", 0, -2).offset, start);
                let data = broker.fetch(client, "orders", 0, start);
                assert_eq!(
                    (data.error_code, data.log_start_offset, data.high_watermark),
                    (0, start, 6)
                );
                let below = broker.fetch(client, "orders", 0, start - 1);
                assert_eq!(below.error_code, ErrorCode::OffsetOutOfRange.code());
                assert_eq!(broker.list_offset(client, "orders", 2, -2).offset, 6);
                assert_eq!(broker.consume(client, "orders", 1), ["a", "b", "c", "d", "e", "f"]);
            }
            match round {
                0 => broker.power_cut(3),
                _ => broker.stop_and_start(3),
            }
        }
    }
    // What was deleted before is no error, and changes nothing.
    let client = broker.connect(1);
    assert_eq!(delete(&mut broker, client, &[(0, 3)], 2), [(0, 0, 5)]);
    assert_eq!(broker.produce(client, "orders", 2, batch(&["next"])), (0, 6));
}

#[test]
fn a_look_up_by_time_finds_nothing_that_was_deleted() {
    let (mut broker, client) = filled(1, 1, BrokerConfig::default());
    assert_eq!(broker.list_offset(client, "orders", 0, 0).offset, 0);
    delete(&mut broker, client, &[(0, 3)], 2);
    assert_eq!(broker.list_offset(client, "orders", 0, 0).offset, 3);
    assert_eq!(broker.list_offset(client, "orders", 0, -3).offset, 3);
    delete(&mut broker, client, &[(0, -1)], 2);
    assert_eq!(broker.list_offset(client, "orders", 0, 0).offset, -1);
    assert_eq!(broker.list_offset(client, "orders", 0, -3).offset, -1);
}

#[test]
fn an_offset_that_cannot_be_and_a_partition_that_is_not_there_are_refused_alone() {
    let (mut broker, client) = filled(2, 3, BrokerConfig::default());
    let out_of_range = ErrorCode::OffsetOutOfRange.code();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let told = delete(&mut broker, client, &[(0, 7), (1, -2), (2, 1), (3, 0), (-1, 0)], 2);
    assert_eq!(
        told,
        [
            (-1, unknown, -1),
            (0, out_of_range, -1),
            (1, out_of_range, -1),
            (2, 0, 1),
            (3, unknown, -1)
        ]
    );
    let told = answers(broker.call(client, &request("nobody", &[(0, 0)]), 2));
    assert_eq!(told, [(0, unknown, -1)]);
    // The last offset of a partition that is named twice counts.
    assert_eq!(delete(&mut broker, client, &[(0, 3), (0, 2)], 2), [(0, 0, 2)]);
}

#[test]
fn records_are_deleted_durably_before_that_is_answered() {
    let (mut broker, client) = filled(1, 1, BrokerConfig::default());
    let other = broker.connect(0);
    broker.hold = Hold::Tasks;
    broker.send(client, &request("orders", &[(0, 2)]), 2);
    broker.send(other, &request("orders", &[(0, 4)]), 2);
    assert!(broker.answered(client).is_empty());
    let reader = broker.connect(0);
    assert_eq!(
        broker.list_offset(reader, "orders", 0, -2).offset,
        0,
        "nothing has happened yet"
    );
    broker.let_go();
    let first: DeleteRecordsResponse = broker.receive(client, 2).expect("it is durable");
    let second: DeleteRecordsResponse = broker.receive(other, 2).expect("it is durable");
    assert_eq!((answers(first), answers(second)), (vec![(0, 0, 2)], vec![(0, 0, 4)]));
    assert_eq!(broker.list_offset(reader, "orders", 0, -2).offset, 4);
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn whoever_deletes_records_hears_that_the_topic_goes() {
    let (mut broker, client) = filled(2, 2, BrokerConfig::default());
    let other = broker.connect(1);
    broker.hold = Hold::Tasks;
    broker.send(client, &request("orders", &[(0, 2), (1, 3)]), 2);
    broker.send(other, &delete_request("orders"), 5);
    broker.let_go();
    let told: DeleteRecordsResponse = broker.receive(client, 2).expect("it is answered");
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(answers(told), [(0, unknown, -1), (1, unknown, -1)]);
    assert_eq!(broker.answered(other).len(), 1);
    assert!(
        broker.disk.files().iter().all(|name| !name.starts_with("orders")),
        "{:?}",
        broker.disk.files()
    );
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn what_retention_removed_before_it_was_deleted_stays_away() {
    let mut config = BrokerConfig::default();
    config.topic_defaults.segment_bytes = 100;
    config.topic_defaults.retention_bytes = Some(0);
    config.retention_check_interval_ms = 1000;
    let (mut broker, client) = filled(1, 1, config);
    for _ in 0..3 {
        broker.pass(1000);
    }
    let start = broker.list_offset(client, "orders", 0, -2).offset;
    assert_eq!(start, 4, "retention was here");
    assert_eq!(delete(&mut broker, client, &[(0, 3)], 2), [(0, 0, start)]);
    let mark = |name: &alloc::string::String| name.ends_with("00000000000000000004.start");
    assert!(
        broker.disk.files().iter().any(mark),
        "no sync covers the removal, and a power cut may undo it"
    );
    broker.power_cut(1);
    let client = broker.connect(0);
    assert_eq!(broker.list_offset(client, "orders", 0, -2).offset, start);
}

#[test]
fn segments_that_hold_only_deleted_records_leave_the_disk() {
    let mut config = BrokerConfig::default();
    config.topic_defaults.segment_bytes = 100;
    let (mut broker, client) = filled(1, 1, config);
    let segments = |broker: &Broker| {
        let names = broker.disk.files().into_iter();
        names
            .filter(|name| name.starts_with("orders") && name.ends_with(SEGMENT))
            .collect::<Vec<_>>()
    };
    assert_eq!(segments(&broker).len(), 3);
    assert_eq!(delete(&mut broker, client, &[(0, 5)], 2), [(0, 0, 5)]);
    broker.run();
    let left = segments(&broker);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].ends_with("00000000000000000004.log"));
    broker.power_cut(1);
    let client = broker.connect(0);
    assert_eq!(
        super::client::values(&broker.fetch(client, "orders", 0, 5)),
        ["e".to_string(), "f".to_string()]
    );
}
