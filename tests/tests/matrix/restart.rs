//! A row about a broker that is killed under load: what was acknowledged stands.

use crate::cells::{Cell, Row, options};
use klamm_tests::client::{Actor, Produce};
use klamm_tests::record::{Record, SOME_TIME, Stored, assert_same, expected};
use klamm_tests::{Broker, Client};
use std::thread;
use std::time::Duration;

pub(crate) const ROWS: &[Row] = &[Row {
    name: "the broker is killed under load, twice",
    run: killed,
}];

const RECORDS: usize = 6000;
const KILLS: usize = 2;

fn load(partitions: usize) -> Vec<Record> {
    let record = |index: usize| Record {
        partition: i32::try_from(index % partitions).expect("few partitions"),
        timestamp: SOME_TIME + index as i64,
        key: Some(format!("key-{index}").into_bytes()),
        value: Some(format!("{index:0>500}").into_bytes()),
        headers: Vec::new(),
    };
    (0..RECORDS).map(record).collect()
}

/// Sends everything while the broker is killed each time another part of it stands.
fn send_through_kills(cell: &Cell<'_>, broker: &mut Broker, topic: &str, records: &[Record]) -> Vec<i64> {
    let how = Produce {
        each: Some(10),
        idempotent: cell.client.carries().idempotent,
        ..Produce::plain()
    };
    let (address, client) = (broker.address(), cell.client);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut actor = Actor::start(client, &address);
            actor
                .produce(topic, records, how)
                .expect("a producer outlives its broker")
        });
        for kill in 1..=KILLS {
            let standing = |broker: &Broker| {
                let ends = (0..cell.partitions()).map(|partition| broker.connect().end_offset(topic, partition));
                ends.sum::<i64>() as usize
            };
            while standing(broker) < RECORDS * kill / (KILLS + 1) {
                assert!(
                    !sending.is_finished(),
                    "the producer ended before its broker was killed"
                );
                thread::sleep(Duration::from_millis(2));
            }
            broker.kill();
            broker.restart();
        }
        sending.join().expect("the producer ends")
    })
}

fn killed(cell: &Cell<'_>) {
    let mut broker = Broker::start_with(options());
    let (topic, partitions) = ("killed", cell.partitions());
    broker.create_topic(topic, partitions, &[("segment.bytes", "1048576")]);
    let records = load(partitions as usize);
    let offsets = send_through_kills(cell, &mut broker, topic, &records);
    let mut actor = Actor::start(cell.client, &broker.address());
    let mut java = Actor::start(Client::Java, &broker.address());
    for partition in 0..partitions {
        let end = broker.connect().end_offset(topic, partition) as usize;
        let read = actor.read_partition(topic, partition, end).expect("records are read");
        if cell.client.carries().idempotent {
            let sent = expected(&records, partition);
            let sent = cell.timed(&mut java, topic, partition, &sent);
            cell.assert_read(&read, &sent);
            assert_eq!(end, sent.len(), "the end of {topic}-{partition}");
        } else {
            assert_at_least_once(&read, &expected(&records, partition));
        }
        let own = records
            .iter()
            .zip(&offsets)
            .filter(|(record, _)| record.partition == partition);
        for (record, offset) in own {
            let stored = &read[usize::try_from(*offset).expect("an offset")];
            assert_eq!(&stored.record, record, "a record stands where its producer was told");
        }
    }
}

/// A producer without idempotence may send again what stands already, and no record is missing or out of order.
fn assert_at_least_once(read: &[Stored], sent: &[Stored]) {
    let mut first: Vec<Stored> = Vec::new();
    for stored in read {
        if !first.iter().rev().take(1000).any(|known| known.record == stored.record) {
            first.push(Stored {
                offset: first.len() as i64,
                record: stored.record.clone(),
            });
        }
    }
    assert_same("each record's first", &first, sent);
}
