//! Partitions that nobody uses: their logs are closed, and open again as they were.

use super::broker::{Broker, Hold};
use super::client::{batch, batch_of, produce_request, values};
use crate::config::BrokerConfig;
use crate::record::{Compression, Producer};
use crate::types::{ErrorCode, ProducerEpoch, ProducerId, Sequence};

const INTERVAL: u64 = 1000;

/// Looks for the idle once a second; they are those that were not used for two.
fn config() -> BrokerConfig {
    let mut config = BrokerConfig {
        retention_check_interval_ms: INTERVAL,
        ..BrokerConfig::default()
    };
    config.limits.dormant_after_ms = 2 * INTERVAL;
    config
}

impl Broker {
    fn active(&self) -> u64 {
        self.shards.iter().map(|shard| shard.counters().active_partitions).sum()
    }

    fn sleep(&mut self) {
        self.pass(4 * INTERVAL);
        assert_eq!(self.active(), 0, "nobody uses them");
    }
}

#[test]
fn a_partition_that_nobody_uses_closes_its_files_and_opens_as_it_was_without_a_scan() {
    let mut broker = Broker::start_with(2, config());
    let client = broker.connect(0);
    broker.create(client, "orders", 4);
    let producer = ProducerId(broker.producer_id(client));
    let sequenced = |sequence, value| {
        let (epoch, base_sequence) = (ProducerEpoch(0), Sequence(sequence));
        let producer = Producer::Idempotent {
            id: producer,
            epoch,
            base_sequence,
        };
        batch_of(producer, Compression::None, &[value])
    };
    for partition in 0..4 {
        assert_eq!(broker.produce(client, "orders", partition, sequenced(0, "a")), (0, 0));
    }
    let files = broker.disk.open_files();
    for round in 1..4 {
        broker.sleep();
        assert!(broker.disk.open_files() < files, "their files are closed");
        broker.disk.history.clear();
        for partition in 0..4 {
            assert_eq!(
                broker.list_offset(client, "orders", partition, -1).offset,
                i64::from(round)
            );
        }
        assert!(
            !broker
                .disk
                .history
                .iter()
                .any(|step| *step == "truncate" || *step == "list")
        );
        for partition in 0..4 {
            assert_eq!(
                broker.produce(client, "orders", partition, sequenced(round - 1, "a")),
                (0, i64::from(round) - 1)
            );
            assert_eq!(
                broker.produce(client, "orders", partition, sequenced(round, "a")),
                (0, i64::from(round))
            );
        }
    }
    broker.sleep();
    broker.stop_and_start(3);
    let client = broker.connect(2);
    for partition in 0..4 {
        assert_eq!(broker.consume(client, "orders", partition), ["a", "a", "a", "a"]);
    }
    broker.sleep();
    broker.kill(2);
    let client = broker.connect(1);
    assert_eq!(broker.consume(client, "orders", 3).len(), 4);
}

#[test]
fn who_asks_while_a_log_is_being_closed_waits_until_it_is_open_again() {
    let mut broker = Broker::start_with(1, config());
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["a"])).0, 0);
    broker.hold = Hold::Tasks;
    broker.pass(4 * INTERVAL);
    assert_eq!(broker.active(), 1, "its checkpoint is being written");
    broker.send(client, &produce_request("orders", 0, -1, batch(&["b"])), 9);
    assert!(broker.produced(client).is_none());
    broker.let_go();
    let produced = broker.produced(client).expect("it is answered");
    assert_eq!((produced.error_code, produced.base_offset), (0, 1));
    broker.hold = Hold::Tasks;
    broker.pass(4 * INTERVAL);
    assert_eq!(broker.delete(client, "orders"), 0);
    broker.let_go();
    assert!(broker.disk.files().iter().all(|name| !name.starts_with("orders")));
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn a_stop_while_a_log_is_being_closed_is_a_clean_one() {
    let mut broker = Broker::start_with(1, config());
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["a"])).0, 0);
    broker.hold = Hold::Tasks;
    broker.pass(4 * INTERVAL);
    assert_eq!(broker.active(), 1, "its checkpoint is being written");
    broker.stop();
    broker.let_go();
    broker.assert_stopped();
    assert!(broker.disk.files().iter().any(|name| name == "manifest"));
}

#[test]
fn a_partition_on_which_somebody_waits_does_not_rest() {
    let mut broker = Broker::start_with(1, config());
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.send(client, &super::client::fetch_request("orders", &[(0, 0)], 600_000), 12);
    broker.pass(10 * INTERVAL);
    assert_eq!(broker.active(), 1);
    let other = broker.connect(0);
    assert_eq!(broker.produce(other, "orders", 0, batch(&["a"])), (0, 0));
    let data = super::client::only(broker.receive(client, 12).expect("it is woken"));
    assert_eq!(values(&data), ["a"]);
    broker.sleep();
}

#[test]
fn retention_wakes_only_those_that_have_something_to_remove_and_they_rest_again() {
    let mut config = config();
    config.topic_defaults.retention_ms = Some(60 * INTERVAL);
    let mut broker = Broker::start_with(1, config);
    let client = broker.connect(0);
    broker.create(client, "orders", 6);
    for partition in 0..6 {
        assert_eq!(broker.produce(client, "orders", partition, batch(&["a"])).0, 0);
    }
    broker.sleep();
    broker.disk.history.clear();
    for _ in 0..40 {
        broker.pass(INTERVAL);
        assert_eq!(broker.active(), 0, "they have nothing to remove");
    }
    for _ in 0..60 {
        broker.pass(INTERVAL);
    }
    assert_eq!(broker.active(), 0, "they have nothing to remove any more");
    for partition in 0..6 {
        assert_eq!(
            broker.list_offset(client, "orders", partition, -2).offset,
            1,
            "{partition}"
        );
        assert_eq!(broker.produce(client, "orders", partition, batch(&["b"])), (0, 1));
    }
}

#[test]
fn a_log_that_could_not_be_read_is_tried_again_and_one_that_could_not_be_synced_is_not() {
    for again in [true, false] {
        let mut broker = Broker::start_with(1, config());
        let client = broker.connect(0);
        broker.create(client, "orders", 2);
        for partition in 0..2 {
            assert_eq!(broker.produce(client, "orders", partition, batch(&["a"])).0, 0);
        }
        broker.kill(1);
        let client = broker.connect(0);
        (broker.disk.fail_reads, broker.disk.fail_syncs) = (again, !again);
        let storage = ErrorCode::KafkaStorageError.code();
        assert_eq!(broker.fetch(client, "orders", 0, 0).error_code, storage);
        (broker.disk.fail_reads, broker.disk.fail_syncs) = (false, false);
        assert_eq!(broker.fetch(client, "orders", 0, 0).error_code, storage, "not at once");
        broker.pass(INTERVAL);
        let data = broker.fetch(client, "orders", 0, 0);
        if again {
            assert_eq!(values(&data), ["a"]);
        } else {
            assert_eq!(data.error_code, storage);
        }
        assert_eq!(broker.consume(client, "orders", 1), ["a"], "the other is well");
    }
}
