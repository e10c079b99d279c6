//! Produce, fetch and list offsets, on every shard.

use super::broker::{Broker, Hold};
use super::client::{batch, batch_of, fetch_request, only, produce_request, values};
use crate::config::BrokerConfig;
use crate::record::{Compression, Producer};
use crate::types::{ErrorCode, ProducerEpoch, ProducerId, Sequence};
use crate::wire::message::fetch::FetchResponse;
use alloc::string::String;
use alloc::vec::Vec;

#[test]
fn records_come_back_as_they_were_sent_from_every_shard() {
    let mut broker = Broker::start(3);
    let clients = [0, 1, 2].map(|shard| broker.connect(shard));
    assert_eq!(broker.create(clients[0], "orders", 6).0, 0);
    for partition in 0..6 {
        let from = clients[partition as usize % 3];
        assert_eq!(broker.produce(from, "orders", partition, batch(&["a", "b"])), (0, 0));
        let packed = batch_of(Producer::Plain, Compression::Zstd, &["c"]);
        assert_eq!(broker.produce(from, "orders", partition, packed), (0, 2));
    }
    for client in clients {
        for partition in 0..6 {
            assert_eq!(broker.consume(client, "orders", partition), ["a", "b", "c"]);
        }
    }
    let data = broker.fetch(clients[1], "orders", 0, 3);
    assert_eq!((data.high_watermark, data.log_start_offset), (3, 0));
    assert!(data.records.is_empty());
    assert_eq!(
        broker.fetch(clients[1], "orders", 0, 4).error_code,
        ErrorCode::OffsetOutOfRange.code()
    );
    assert_eq!(
        broker.fetch(clients[1], "orders", 6, 0).error_code,
        ErrorCode::UnknownTopicOrPartition.code()
    );
}

#[test]
fn each_acks_has_its_answer_or_none() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.send(client, &produce_request("orders", 0, 1, batch(&["leader"])), 9);
    assert_eq!(broker.produced(client).unwrap().base_offset, 0);
    broker.send(client, &produce_request("orders", 0, 0, batch(&["none"])), 9);
    assert!(broker.produced(client).is_none(), "acks=0 never gets a frame");
    assert_eq!(broker.produce(client, "orders", 0, batch(&["all"])), (0, 2));
    assert_eq!(broker.consume(client, "orders", 0), ["leader", "none", "all"]);
    broker.send(client, &produce_request("orders", 0, 2, batch(&["two"])), 9);
    assert_eq!(
        broker.produced(client).unwrap().error_code,
        ErrorCode::InvalidRequiredAcks.code()
    );
    assert!(broker.connections[&client].closed.is_none());
    broker.send(client, &produce_request("nowhere", 0, 0, batch(&["lost"])), 9);
    assert!(
        broker.connections[&client].closed.is_some(),
        "the only way to say that it failed"
    );
}

#[test]
fn no_acks_but_none_is_answered_before_the_sync_and_readers_see_nothing_earlier() {
    let mut broker = Broker::start(2);
    let (producer, reader) = (broker.connect(0), broker.connect(1));
    broker.create(producer, "orders", 1);
    broker.produce(producer, "orders", 0, batch(&["first"]));
    broker.hold = Hold::Syncs;
    for acks in [1, -1] {
        broker.send(producer, &produce_request("orders", 0, acks, batch(&["next"])), 9);
    }
    assert!(broker.produced(producer).is_none());
    assert_eq!(broker.consume(reader, "orders", 0), ["first"]);
    broker.let_go();
    assert_eq!(broker.produced(producer).unwrap().base_offset, 1);
    assert_eq!(broker.produced(producer).unwrap().base_offset, 2);
    assert_eq!(broker.consume(reader, "orders", 0), ["first", "next", "next"]);
}

#[test]
fn a_retry_is_answered_with_the_originals_offset_and_not_before_the_original() {
    let mut broker = Broker::start(2);
    let (first, second) = (broker.connect(0), broker.connect(1));
    broker.create(first, "orders", 1);
    let id = ProducerId(broker.producer_id(first));
    let numbered = |base: i32, value: &str| {
        let (epoch, base_sequence) = (ProducerEpoch(0), Sequence(base));
        batch_of(
            Producer::Idempotent {
                id,
                epoch,
                base_sequence,
            },
            Compression::None,
            &[value],
        )
    };
    assert_eq!(broker.produce(first, "orders", 0, numbered(0, "a")), (0, 0));
    broker.hold = Hold::Syncs;
    broker.send(first, &produce_request("orders", 0, -1, numbered(1, "b")), 9);
    broker.send(second, &produce_request("orders", 0, -1, numbered(1, "b")), 9);
    assert!(broker.produced(first).is_none() && broker.produced(second).is_none());
    broker.let_go();
    for client in [first, second] {
        let produced = broker.produced(client).unwrap();
        assert_eq!((produced.error_code, produced.base_offset), (0, 1));
    }
    let gap = broker.produce(first, "orders", 0, numbered(5, "f"));
    assert_eq!(gap, (ErrorCode::OutOfOrderSequenceNumber.code(), -1));
    broker.power_cut(2);
    let client = broker.connect(1);
    assert_eq!(
        broker.produce(client, "orders", 0, numbered(1, "b")),
        (0, 1),
        "after a restart too"
    );
    assert_eq!(broker.consume(client, "orders", 0), ["a", "b"]);
}

#[test]
fn a_long_poll_wakes_at_an_append_on_whatever_shard() {
    let mut broker = Broker::start(3);
    let (reader, writer) = (broker.connect(0), broker.connect(1));
    broker.create(writer, "orders", 6);
    for partition in 0..6 {
        let wanted: Vec<_> = (0..6).map(|it| (it, i64::from(it < partition))).collect();
        broker.send(reader, &fetch_request("orders", &wanted, 30_000), 12);
        assert!(broker.answered(reader).is_empty(), "there is nothing yet");
        assert_eq!(broker.produce(writer, "orders", partition, batch(&["news"])), (0, 0));
        let response: FetchResponse = broker.receive(reader, 12).expect("it wakes");
        let found = response.responses[0]
            .partitions
            .iter()
            .filter(|data| !data.records.is_empty());
        assert_eq!(found.map(|data| data.partition_index).collect::<Vec<_>>(), [partition]);
    }
    for shard in &broker.shards {
        let audit = shard.audit();
        assert_eq!(
            (audit.watches, audit.asks, audit.operations, audit.mail),
            (0, 0, 0, 0),
            "{audit:?}"
        );
    }
}

#[test]
fn a_long_poll_ends_at_its_time_with_what_there_is() {
    let mut broker = Broker::start(2);
    let (reader, writer) = (broker.connect(0), broker.connect(1));
    broker.create(writer, "orders", 1);
    let mut request = fetch_request("orders", &[(0, 0)], 500);
    request.min_bytes = 1_000_000;
    broker.send(reader, &request, 12);
    broker.produce(writer, "orders", 0, batch(&["little"]));
    broker.pass(499);
    assert!(broker.answered(reader).is_empty());
    broker.pass(2);
    assert_eq!(values(&only(broker.receive(reader, 12).unwrap())), ["little"]);
}

#[test]
fn a_minimum_beyond_what_a_response_may_carry_is_met_by_a_full_one() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let big: String = (0..400).map(|_| 'x').collect();
    for _ in 0..3 {
        broker.produce(client, "orders", 0, batch(&[&big]));
    }
    let mut request = fetch_request("orders", &[(0, 0)], 30_000);
    (request.min_bytes, request.max_bytes) = (1_000_000, 300);
    broker.send(client, &request, 12);
    assert_eq!(values(&only(broker.receive(client, 12).expect("it is full"))).len(), 1);
}

#[test]
fn offsets_are_found_by_their_names_and_by_time() {
    let mut broker = Broker::start(2);
    let client = broker.connect(1);
    broker.create(client, "orders", 1);
    let offset = |broker: &mut Broker, timestamp| {
        let found = broker.list_offset(client, "orders", 0, timestamp);
        assert_eq!(found.error_code, 0);
        found.offset
    };
    let empty = [-1, -2, -3, -4, -5, -6, 0].map(|timestamp| offset(&mut broker, timestamp));
    assert_eq!(empty, [0, 0, -1, 0, -1, -1, -1]);
    broker.produce(client, "orders", 0, batch(&["a", "b", "c"]));
    let time = 1_700_000_000_000;
    let found = [-1, -2, -3, -4, 0, time, time + 1].map(|timestamp| offset(&mut broker, timestamp));
    assert_eq!(found, [3, 0, 0, 0, 0, 0, -1]);
    assert_eq!(
        broker.list_offset(client, "orders", 0, -7).error_code,
        ErrorCode::UnsupportedVersion.code()
    );
    let unknown = broker.list_offset(client, "orders", 1, -1);
    assert_eq!(
        (unknown.error_code, unknown.offset),
        (ErrorCode::UnknownTopicOrPartition.code(), -1)
    );
}

#[test]
fn producer_ids_are_unique_across_shards_and_starts() {
    let mut config = BrokerConfig::default();
    config.limits.producer_id_block = 3;
    let mut broker = Broker::start_with(2, config);
    let mut ids = Vec::new();
    for round in 0..4 {
        for shard in 0..2 {
            let client = broker.connect(shard);
            ids.extend((0..4).map(|_| broker.producer_id(client)));
        }
        match round {
            0 => broker.kill(2),
            1 => broker.power_cut(2),
            _ => broker.stop_and_start(2),
        }
    }
    let given = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), given);
}

#[test]
fn an_epoch_that_is_not_the_leaders_is_fenced_or_unknown() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.kill(2);
    let client = broker.connect(0);
    let epoch = broker.leader_epoch(client, "orders");
    for (known, code) in [
        (epoch - 1, ErrorCode::FencedLeaderEpoch),
        (epoch, ErrorCode::None),
        (epoch + 1, ErrorCode::UnknownLeaderEpoch),
    ] {
        let mut request = fetch_request("orders", &[(0, 0)], 0);
        request.topics[0].partitions[0].current_leader_epoch = known;
        assert_eq!(only(broker.call(client, &request, 12)).error_code, code.code());
    }
}

#[test]
fn a_reader_at_the_end_of_a_segment_gets_it_without_waiting_for_more() {
    let mut config = BrokerConfig::default();
    config.topic_defaults.segment_bytes = 300;
    let mut broker = Broker::start_with(1, config);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let big: String = (0..100).map(|_| 'x').collect();
    for _ in 0..6 {
        broker.produce(client, "orders", 0, batch(&[&big]));
    }
    broker.stop_and_start(1);
    let client = broker.connect(0);
    let mut request = fetch_request("orders", &[(0, 0)], 30_000);
    request.min_bytes = 10_000;
    broker.send(client, &request, 12);
    let found = values(&only(
        broker
            .receive(client, 12)
            .expect("the next segment comes with the next fetch"),
    ));
    assert!(!found.is_empty() && found.len() < 6);
}

#[test]
fn retention_moves_the_start_and_readers_below_it_are_out_of_range() {
    let mut config = BrokerConfig::default();
    config.topic_defaults.segment_bytes = 300;
    config.topic_defaults.retention_bytes = Some(500);
    let interval = config.retention_check_interval_ms;
    let mut broker = Broker::start_with(2, config);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let big: String = (0..100).map(|_| 'x').collect();
    for _ in 0..20 {
        broker.produce(client, "orders", 0, batch(&[&big]));
    }
    broker.pass(interval * 2);
    let client = broker.connect(1);
    let start = broker.list_offset(client, "orders", 0, -2).offset;
    assert!(start > 0 && start < 20, "{start}");
    assert_eq!(
        broker.fetch(client, "orders", 0, start - 1).error_code,
        ErrorCode::OffsetOutOfRange.code()
    );
    assert_eq!(
        values(&broker.fetch(client, "orders", 0, start)).len() as i64,
        20 - start
    );
    broker.kill(2);
    let client = broker.connect(1);
    assert_eq!(broker.list_offset(client, "orders", 0, -2).offset, start);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["next"])), (0, 20));
}

#[test]
fn what_does_not_fit_a_response_in_full_comes_as_far_as_it_fits() {
    let mut config = BrokerConfig::default();
    config.topic_defaults.index_interval_bytes = 1;
    let mut broker = Broker::start_with(2, config);
    let client = broker.connect(0);
    broker.create(client, "orders", 3);
    let value = "x".repeat(100);
    let length = batch(&[&value]).len();
    for partition in 0..3 {
        for _ in 0..10 {
            assert_eq!(broker.produce(client, "orders", partition, batch(&[&value])).0, 0);
        }
    }
    for from_disk in [false, true] {
        if from_disk {
            broker.stop_and_start(2);
        }
        let client = broker.connect(1);
        // Fetched once alone, so that look-ups do not come between.
        for partition in 0..3 {
            assert_eq!(broker.consume(client, "orders", partition).len(), 10);
        }
        for (max_bytes, expected) in [
            (15 * length, [10, 5, 0]),
            (15 * length + length / 2, [10, 5, 0]),
            (20 * length + length - 1, [10, 10, 0]),
            (1, [1, 0, 0]),
        ] {
            let mut request = fetch_request("orders", &[(0, 0), (1, 0), (2, 0)], 0);
            request.max_bytes = max_bytes as i32;
            let response: FetchResponse = broker.call(client, &request, 12);
            let parts = &response.responses[0].partitions;
            let counts: Vec<usize> = parts.iter().map(|data| values(data).len()).collect();
            assert_eq!(counts, expected, "{max_bytes} bytes, from disk: {from_disk}");
        }
    }
    broker.stop();
    broker.assert_stopped();
}
