//! Groups of real clients against the real binary: every record is read by one member, and none again after a crash.

use klamm_tests::client::{Batching, Compression};
use klamm_tests::record::{self, Record, Stored, assert_same, expected};
use klamm_tests::{Broker, Client};

const TOPIC: &str = "shared";
const PARTITIONS: i32 = 6;

/// Demands that the group read, of each partition, what stands from `from` on, in order and once.
fn assert_read(what: &str, read: &[Stored], all: &[Record], from: &[usize]) {
    for partition in 0..PARTITIONS {
        let of = |stored: &&Stored| stored.record.partition == partition;
        let read: Vec<Stored> = read.iter().filter(of).cloned().collect();
        let sent = expected(all, partition);
        let sent = &sent[from[partition as usize]..];
        assert_same(&format!("{what}, partition {partition}"), &read, sent);
    }
}

fn counts(records: &[Record]) -> Vec<usize> {
    let count = |partition| expected(records, partition).len();
    (0..PARTITIONS).map(count).collect()
}

#[test]
fn members_share_the_partitions_and_go_on_where_they_were_after_a_kill() {
    let mut broker = Broker::start_with_shards(2);
    broker.create_topic(TOPIC, PARTITIONS, &[("retention.ms", "-1")]);
    let all = record::mixed(61, 900, PARTITIONS as u64);
    let (first, second) = all.split_at(600);
    let how = (Compression::None, Batching::Default);
    Client::Python.produce(&broker.address(), TOPIC, first, how);
    let read = Client::Python.consume_in_group(&broker.address(), TOPIC, "readers", 3, first.len());
    assert_read("three members", &read, first, &[0; 6]);
    broker.kill();
    broker.restart();
    Client::Python.produce(&broker.address(), TOPIC, second, how);
    let read = Client::Python.consume_in_group(&broker.address(), TOPIC, "readers", 2, second.len());
    assert_read("two members after a kill", &read, &all, &counts(first));
    let read = Client::Python.consume_in_group(&broker.address(), TOPIC, "others", 1, all.len());
    assert_read("another group", &read, &all, &[0; 6]);
}
