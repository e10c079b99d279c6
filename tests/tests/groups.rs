//! Groups of real clients against the real binary: every record is read by one member, and none again after a crash.

use klamm_tests::client::{Actor, Member, Produce};
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

/// Has so many members of a group read until they have `count` records together, commit that, and leave.
fn read_in_group(broker: &Broker, group: &str, members: usize, count: usize) -> Vec<Stored> {
    let member = Member {
        session_ms: 30_000,
        instance: None,
    };
    let mut members: Vec<Actor> = (0..members)
        .map(|_| Actor::start(Client::Confluent, &broker.address()))
        .collect();
    for joining in &mut members {
        joining.subscribe(TOPIC, group, member).expect("a member joins");
    }
    let mut read = Vec::new();
    for _ in 0..2400 {
        for reading in &mut members {
            read.extend(reading.drain().expect("a member reads"));
        }
        if read.len() >= count {
            break;
        }
    }
    // The first who leaves begins a rebalance, and who commits while it completes is told to join again.
    for reader in &mut members {
        reader.commit().expect("a member commits");
    }
    for leaving in &mut members {
        leaving.leave().expect("a member leaves");
    }
    read
}

#[test]
fn members_share_the_partitions_and_go_on_where_they_were_after_a_kill() {
    let mut broker = Broker::start_with_shards(2);
    broker.create_topic(TOPIC, PARTITIONS, &[("retention.ms", "-1")]);
    let all = record::mixed(61, 900, PARTITIONS as u64);
    let (first, second) = all.split_at(600);
    let send = |broker: &Broker, records: &[Record]| {
        let mut producer = Actor::start(Client::Confluent, &broker.address());
        let sent = producer.produce(TOPIC, records, Produce::idempotent());
        assert_eq!(sent.expect("records are sent").len(), records.len());
    };
    send(&broker, first);
    let read = read_in_group(&broker, "readers", 3, first.len());
    assert_read("three members", &read, first, &[0; 6]);
    broker.kill();
    broker.restart();
    send(&broker, second);
    let read = read_in_group(&broker, "readers", 2, second.len());
    assert_read("two members after a kill", &read, &all, &counts(first));
    let read = read_in_group(&broker, "others", 1, all.len());
    assert_read("another group", &read, &all, &[0; 6]);
}

/// A member that lives through the death of its broker is still the member that it was, goes on where it was, and reads
/// nothing twice: the group does not even notice.
#[test]
fn a_member_reads_on_through_a_kill_without_a_rebalance() {
    for client in [Client::Java, Client::Confluent, Client::FranzGo] {
        let mut broker = Broker::start_with_shards(2);
        broker.create_topic(TOPIC, PARTITIONS, &[("retention.ms", "-1")]);
        let all = record::mixed(62, 600, PARTITIONS as u64);
        let mut producer = Actor::start(Client::Confluent, &broker.address());
        let mut member = Actor::start(client, &broker.address());
        let joining = Member {
            session_ms: 45_000,
            instance: None,
        };
        member.subscribe(TOPIC, "steady", joining).expect("a member joins");
        let mut read = Vec::new();
        let mut before = None;
        for part in all.chunks(200) {
            let sent = producer.produce(TOPIC, part, Produce::idempotent());
            assert_eq!(sent.expect("records are sent").len(), part.len());
            let wanted = read.len() + part.len();
            for _ in 0..2400 {
                read.extend(member.drain().expect("a member reads"));
                if read.len() >= wanted {
                    break;
                }
            }
            member.commit().expect("a member commits");
            let described = broker.connect().members("steady");
            assert_eq!(described.len(), 1, "{described:?}");
            assert_eq!(
                before.get_or_insert_with(|| described.clone()),
                &described,
                "{client:?}: another member, or another assignment"
            );
            broker.kill();
            broker.restart();
        }
        assert_read(&format!("{client:?} through kills"), &read, &all, &[0; 6]);
    }
}
