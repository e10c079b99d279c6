//! How batches are stored: compressed as the topic wants, and synced as often.

use super::broker::{Broker, Hold};
use super::client::{batch, batch_of, produce_request, values};
use crate::config::{BrokerConfig, FlushMode};
use crate::record::{Compression, Producer, split};
use crate::types::{ErrorCode, ProducerEpoch, ProducerId, Sequence};
use crate::wire::message::fetch::PartitionData;
use alloc::vec::Vec;

fn codecs(data: &PartitionData) -> Vec<Compression> {
    let records = data.records.bytes().expect("a client got bytes");
    let codec = |batch: Result<crate::record::Batch, _>| batch.unwrap().header().compression().unwrap();
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
fn a_batch_that_is_damaged_inside_is_refused_where_it_has_to_be_opened() {
    let mut config = BrokerConfig::default();
    config.topic_defaults.compression = Some(Compression::Gzip);
    let mut broker = Broker::start_with(1, config);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let good = batch_of(Producer::Plain, Compression::Zstd, &["a"]);
    let header = split(&good).next().unwrap().unwrap().header();
    let lying = crate::record::Batch::assemble(header, bytes::Bytes::from_static(b"no zstd"));
    let refused = broker.produce(client, "orders", 0, lying.to_bytes());
    assert_eq!(refused.0, ErrorCode::InvalidRecord.code());
    assert_eq!(broker.produce(client, "orders", 0, good), (0, 0));
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
