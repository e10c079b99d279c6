//! How batches are stored: compressed as the topic wants, and synced as often.

use super::broker::{Broker, Hold};
use super::client::{batch, batch_of, long, produce_request, values};
use crate::config::{BrokerConfig, CleanupPolicy, FlushMode};
use crate::record::{Batch, Compression, Producer, split};
use crate::types::{ErrorCode, ProducerEpoch, ProducerId, Sequence};
use crate::wire::message::fetch::PartitionData;
use crate::wire::message::produce::ProduceResponse;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

fn codecs(data: &PartitionData) -> Vec<Compression> {
    let records = data.records.bytes().expect("a client got bytes");
    let codec = |batch: Result<Batch, _>| batch.unwrap().header().compression().unwrap();
    split(&records).map(codec).collect()
}

#[test]
fn batches_are_stored_under_the_codec_that_the_topic_names() {
    for stored in Compression::ALL.map(Some).into_iter().chain([None]) {
        let mut config = BrokerConfig::default();
        config.topic_defaults.compression = stored;
        let mut broker = Broker::start_with(2, config);
        let client = broker.connect(0);
        broker.create(client, "orders", 1);
        let producer = ProducerId(broker.producer_id(client));
        for (sequence, sent) in (0..).zip(Compression::ALL) {
            let (epoch, base_sequence) = (ProducerEpoch(0), Sequence(sequence * 2));
            let producer = Producer::Idempotent {
                id: producer,
                epoch,
                base_sequence,
            };
            let packed = batch_of(producer, sent, &["a", "b"]);
            let offset = i64::from(sequence) * 2;
            assert_eq!(broker.produce(client, "orders", 0, packed.clone()), (0, offset));
            assert_eq!(
                broker.produce(client, "orders", 0, packed),
                (0, offset),
                "it is known again"
            );
        }
        for from_disk in [false, true] {
            if from_disk {
                broker.kill(2);
            }
            let client = broker.connect(1);
            let data = broker.fetch(client, "orders", 0, 0);
            assert_eq!(values(&data), ["a", "b"].repeat(5));
            let expected: Vec<_> = Compression::ALL.map(|sent| stored.unwrap_or(sent)).into();
            assert_eq!(codecs(&data), expected);
        }
    }
}

#[test]
fn compressed_batches_are_opened_before_they_are_stored_however_large() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    for codec in Compression::ALL.into_iter().skip(1) {
        for value in [String::from("a"), long("a")] {
            let good = split(&batch_of(Producer::Plain, codec, &[&value]))
                .next()
                .unwrap()
                .unwrap();
            let damaged = Batch::assemble(good.header(), Bytes::from_static(b"no such data"));
            let mut header = good.header();
            header.record_count = 7;
            header.last_offset_delta = 6;
            let lying = Batch::assemble(header, good.body().clone());
            for bad in [damaged, lying] {
                let refused = broker.produce(client, "orders", 0, bad.to_bytes());
                assert_eq!(refused.0, ErrorCode::InvalidRecord.code(), "{codec}");
            }
        }
    }
    let good = batch_of(Producer::Plain, Compression::Zstd, &["a"]);
    assert_eq!(broker.produce(client, "orders", 0, good), (0, 0), "nothing was stored");
}

#[test]
fn no_batch_overtakes_one_that_is_being_opened() {
    let mut broker = Broker::start(1);
    let clients = [0; 4].map(|shard| broker.connect(shard));
    broker.create(clients[0], "orders", 1);
    broker.hold = Hold::Tasks;
    let packed = |value: &str| batch_of(Producer::Plain, Compression::Lz4, &[value]);
    for (client, records) in
        clients
            .into_iter()
            .zip([packed(&long("a")), batch(&["b"]), packed("c"), packed(&long("d"))])
    {
        broker.send(client, &produce_request("orders", 0, -1, records), 9);
        assert!(broker.produced(client).is_none());
    }
    broker.let_go();
    let offsets = clients.map(|client| broker.produced(client).expect("it is answered").base_offset);
    assert_eq!(offsets, [0, 1, 2, 3]);
    assert_eq!(
        broker.consume(clients[0], "orders", 0),
        [&long("a"), "b", "c", &long("d")]
    );
}

#[test]
fn records_at_fault_are_named() {
    let mut config = BrokerConfig::default();
    config.topic_defaults.cleanup = CleanupPolicy::Compact;
    let mut broker = Broker::start_with(1, config);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    for records in [
        batch(&["a", "b"]),
        batch_of(Producer::Plain, Compression::Gzip, &["a", "b"]),
    ] {
        for (version, named) in [(7, vec![]), (8, vec![0, 1])] {
            let request = produce_request("orders", 0, -1, records.clone());
            let response: ProduceResponse = broker.call(client, &request, version);
            let answer = &response.responses[0].partition_responses[0];
            assert_eq!(answer.error_code, ErrorCode::InvalidRecord.code());
            let indexes = answer.record_errors.iter().map(|record| record.batch_index);
            assert_eq!(indexes.collect::<Vec<_>>(), named);
            assert!(
                answer
                    .record_errors
                    .iter()
                    .all(|record| record.batch_index_error_message.is_some())
            );
        }
    }
}

fn unsynced(flush_messages: u64, flush_ms: Option<u64>) -> Broker {
    let mut config = BrokerConfig {
        flush: FlushMode::Os,
        ..BrokerConfig::default()
    };
    config.topic_defaults.flush_messages = flush_messages;
    config.topic_defaults.flush_ms = flush_ms;
    let mut broker = Broker::start_with(1, config);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    // Its names and its first sync are done with.
    assert_eq!(broker.produce(client, "orders", 0, batch(&["0"])).0, 0);
    broker.disk.history.clear();
    broker
}

#[test]
fn every_so_many_records_the_answer_waits_for_a_sync() {
    let mut broker = unsynced(3, None);
    let clients = [0; 5].map(|shard| broker.connect(shard));
    broker.hold = Hold::Syncs;
    // One record was appended before.
    for (client, (values, waits)) in clients
        .into_iter()
        .zip([(&["1"][..], false), (&["2", "3"], true), (&["4"], true)])
    {
        broker.send(client, &produce_request("orders", 0, 1, batch(values)), 9);
        assert_eq!(broker.produced(client).is_none(), waits, "{values:?}");
    }
    broker.let_go();
    for client in &clients[1..3] {
        assert_eq!(broker.produced(*client).expect("it is synced").error_code, 0);
    }
    broker.power_cut(1);
    let client = broker.connect(0);
    let kept = broker.consume(client, "orders", 0);
    assert!(kept.len() >= 4 && kept[..4] == ["0", "1", "2", "3"], "{kept:?}");
}

#[test]
fn after_so_long_what_was_appended_is_synced_once() {
    let mut broker = unsynced(i64::MAX as u64, Some(500));
    let client = broker.connect(0);
    let syncs = |broker: &Broker| broker.disk.history.iter().filter(|step| **step == "sync").count();
    broker.pass(1000);
    broker.disk.history.clear();
    for round in 1..3 {
        for value in ["a", "b"] {
            assert_eq!(broker.produce(client, "orders", 0, batch(&[value])).0, 0);
        }
        broker.pass(400);
        assert_eq!(syncs(&broker), round - 1, "it is not time yet");
        broker.pass(200);
        assert_eq!(syncs(&broker), round);
        broker.pass(5000);
        assert_eq!(syncs(&broker), round, "there is nothing to sync");
    }
    broker.power_cut(1);
    let client = broker.connect(0);
    assert_eq!(broker.consume(client, "orders", 0), ["0", "a", "b", "a", "b"]);
}

#[test]
fn without_a_bound_nothing_is_synced_for_those_who_want_the_page_cache() {
    let mut broker = unsynced(i64::MAX as u64, None);
    let client = broker.connect(0);
    for _ in 0..50 {
        assert_eq!(broker.produce(client, "orders", 0, batch(&["a"])).0, 0);
    }
    broker.pass(10_000);
    assert!(!broker.disk.history.contains(&"sync"));
}
