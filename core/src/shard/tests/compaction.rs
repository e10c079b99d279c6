//! Compacted topics: what clients may send, and what is left for readers.

use super::administering::{BROKER, DELETE, SET, change};
use super::broker::{Broker, Hold};
use crate::config::{BrokerConfig, CleanupPolicy, CompactionConfig, Limits, TopicConfig};
use crate::record::build::{BatchBuilder, Producer};
use crate::record::codec::Level;
use crate::record::{Compression, split};
use crate::types::{ConnectionId, ErrorCode, Timestamp};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

const TOPIC: &str = "table";

fn config() -> BrokerConfig {
    BrokerConfig {
        topic_defaults: TopicConfig {
            cleanup: CleanupPolicy::Compact,
            compaction: CompactionConfig {
                max_lag_ms: 500,
                ..CompactionConfig::default()
            },
            segment_bytes: 400,
            ..TopicConfig::default()
        },
        cleaner_backoff_ms: 1000,
        limits: Limits {
            tail_cache_bytes: 0,
            cleaner_stretch_bytes: 1,
            ..Limits::default()
        },
        ..BrokerConfig::default()
    }
}

fn keyed(compression: Compression, rows: &[(Option<&str>, &str)]) -> Bytes {
    let mut builder = BatchBuilder::new(compression, Level::Default, Producer::Plain);
    for (key, value) in rows {
        let key = key.map(str::as_bytes);
        builder.append(Timestamp(1_700_000_000_000), key, Some(value.as_bytes()), &[]);
    }
    builder.build().unwrap().to_bytes()
}

/// Offset, key and value of every record, read in steps over whatever gaps there are.
fn table(broker: &mut Broker, client: ConnectionId, partition: i32) -> Vec<(i64, String)> {
    let (mut rows, mut at) = (Vec::new(), 0);
    loop {
        let data = broker.fetch(client, TOPIC, partition, at);
        assert_eq!(data.error_code, 0);
        let before = at;
        for batch in split(&data.records.bytes().expect("a client got bytes")) {
            let opened = batch.expect("whole batches").open(1 << 20).unwrap();
            at = opened.header().next_offset().0;
            for record in opened.records() {
                let record = record.unwrap();
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                let row = format!("{}={}", text(record.key), text(record.value));
                rows.push((opened.offset(&record).0, row));
            }
        }
        if at == before {
            assert_eq!(at, data.high_watermark, "readers get to the end");
            return rows;
        }
    }
}

fn fill(broker: &mut Broker, client: ConnectionId, partitions: i32) {
    for round in 0..10 {
        for partition in 0..partitions {
            let (round, own) = (format!("{round}"), format!("p{partition}"));
            let records = keyed(Compression::Snappy, &[(Some("all"), &round), (Some(&own), &round)]);
            assert_eq!(broker.produce(client, TOPIC, partition, records).0, 0);
        }
    }
}

#[test]
fn every_log_is_compacted_one_after_the_other_and_stays_so() {
    let mut broker = Broker::start_with(2, config());
    let client = broker.connect(0);
    broker.create(client, TOPIC, 6);
    fill(&mut broker, client, 6);
    // The segment that grows is closed once its records waited long enough.
    broker.pass(5000);
    let expected = |partition: i32| Vec::from([(18, String::from("all=9")), (19, format!("p{partition}=9"))]);
    for partition in 0..6 {
        assert_eq!(table(&mut broker, client, partition), expected(partition));
    }
    let sum = |broker: &Broker, of: fn(&crate::shard::Counters) -> u64| -> u64 {
        broker.shards.iter().map(|shard| of(&shard.counters())).sum()
    };
    assert!(sum(&broker, |counters| counters.compactions) >= 6);
    assert!(sum(&broker, |counters| counters.compacted_bytes) > 6 * 400);
    assert_eq!(sum(&broker, |counters| counters.compaction_backlog), 0);
    for stop in [false, true] {
        if stop {
            broker.stop_and_start(2);
        } else {
            broker.power_cut(2);
        }
        let client = broker.connect(1);
        for partition in 0..6 {
            assert_eq!(table(&mut broker, client, partition), expected(partition));
        }
        broker.pass(2000);
        assert_eq!(
            sum(&broker, |counters| counters.compactions),
            0,
            "nothing is compacted again"
        );
    }
}

fn compactions(broker: &Broker) -> u64 {
    broker.shards.iter().map(|shard| shard.counters().compactions).sum()
}

#[test]
fn how_often_logs_are_looked_through_changes_while_the_broker_runs() {
    let mut config = config();
    config.cleaner_backoff_ms = 1 << 40;
    let mut broker = Broker::start_with(2, config);
    let client = broker.connect(0);
    broker.create(client, TOPIC, 6);
    fill(&mut broker, client, 6);
    broker.pass(100_000);
    assert_eq!(compactions(&broker), 0);
    let given = [("log.cleaner.backoff.ms", SET, Some("1000"))];
    assert_eq!(change(&mut broker, client, (BROKER, ""), &given, 1), 0);
    broker.pass(3000);
    assert!(compactions(&broker) >= 6, "the next look comes by the new setting");
    fill(&mut broker, client, 6);
    let before = compactions(&broker);
    let taken_back = [("log.cleaner.backoff.ms", DELETE, None)];
    assert_eq!(change(&mut broker, client, (BROKER, ""), &taken_back, 1), 0);
    broker.pass(100_000);
    assert!(compactions(&broker) <= before + 6, "one look was due still");
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn how_many_keys_a_compaction_remembers_changes_while_the_broker_runs() {
    let mut config = config();
    config.limits.cleaner_key_bytes = 0;
    config.retention_check_interval_ms = 1 << 40;
    let mut broker = Broker::start_with(1, config);
    let client = broker.connect(0);
    broker.create(client, TOPIC, 1);
    let runs = |broker: &mut Broker| {
        let before = compactions(broker);
        for round in 0..3 {
            for key in 0..40 {
                let (key, round) = (format!("key {key}"), format!("{round}"));
                let records = keyed(Compression::None, &[(Some(&key), &round)]);
                assert_eq!(broker.produce(client, TOPIC, 0, records).0, 0);
            }
        }
        broker.pass(100_000);
        assert_eq!(table(broker, client, 0).len(), 40);
        compactions(broker) - before
    };
    let with_few = runs(&mut broker);
    let given = [("log.cleaner.dedupe.buffer.size", SET, Some("2097152"))];
    assert_eq!(change(&mut broker, client, (BROKER, ""), &given, 1), 0);
    let with_many = runs(&mut broker);
    assert!(with_few > 10 * with_many, "{with_few} runs before, {with_many} now");
}

#[test]
fn a_record_without_a_key_is_refused() {
    let mut broker = Broker::start_with(1, config());
    let client = broker.connect(0);
    broker.create(client, TOPIC, 1);
    for compression in [Compression::None, Compression::Gzip] {
        let records = keyed(compression, &[(Some("a"), "1"), (None, "2")]);
        let refused = broker.produce(client, TOPIC, 0, records);
        assert_eq!(refused, (ErrorCode::InvalidRecord.code(), -1));
        let records = keyed(compression, &[(Some(""), "1")]);
        assert_eq!(broker.produce(client, TOPIC, 0, records).0, 0, "an empty key is one");
    }
}

#[test]
fn a_topic_goes_and_a_broker_stops_while_a_log_is_compacted() {
    for delete in [false, true] {
        let mut broker = Broker::start_with(1, config());
        let client = broker.connect(0);
        broker.create(client, TOPIC, 2);
        fill(&mut broker, client, 2);
        broker.hold = Hold::Compaction;
        broker.pass(2000);
        if delete {
            assert_eq!(broker.delete(client, TOPIC), 0);
        }
        broker.stop();
        assert!(broker.halted[0].is_none(), "it waits for the job");
        broker.let_go();
        broker.assert_stopped();
        assert!(!broker.disk.files().iter().any(|file| file.contains(".log.")));
    }
}
