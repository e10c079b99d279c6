//! The broker is stopped while real producers send, and started again. (The client matrix kills it.)

use klamm_tests::client::{Actor, Produce};
use klamm_tests::frame;
use klamm_tests::record::{Record, SOME_TIME, assert_same, expected};
use klamm_tests::{Broker, Client};
use std::thread;
use std::time::Duration;

fn load(count: usize, partitions: usize) -> Vec<Record> {
    let record = |index: usize| Record {
        partition: i32::try_from(index % partitions).expect("few partitions"),
        timestamp: SOME_TIME + index as i64,
        key: Some(index.to_string().into_bytes()),
        value: Some(format!("{index:0>500}").into_bytes()),
        headers: Vec::new(),
    };
    (0..count).map(record).collect()
}

/// A stop under load ends well, and the producer goes on after the next start: every record stands once, in order,
/// where its producer was told.
#[test]
fn graceful_stop_loses_nothing() {
    let mut broker = Broker::start_with_shards(2);
    let records = load(10_000, 2);
    broker.create_topic("stopped", 2, &[]);
    let address = broker.address();
    let how = Produce {
        each: Some(20),
        ..Produce::idempotent()
    };
    let offsets = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut producer = Actor::start(Client::Confluent, &address);
            producer
                .produce("stopped", &records, how)
                .expect("the producer goes on")
        });
        while broker.connect().end_offset("stopped", 0) < 1000 {
            assert!(
                !sending.is_finished(),
                "the producer ended before its broker was stopped"
            );
            thread::sleep(Duration::from_millis(2));
        }
        assert!(broker.stop().success(), "{}", broker.output());
        broker.restart();
        sending.join().expect("the producer ends")
    });
    let told: Vec<i64> = (0..records.len() as i64).map(|index| index / 2).collect();
    assert_eq!(offsets, told, "where records were acknowledged");
    let mut consumer = Actor::start(Client::Java, &broker.address());
    for partition in 0..2 {
        let sent = expected(&records, partition);
        assert_eq!(broker.connect().end_offset("stopped", partition), sent.len() as i64);
        let read = consumer.read_partition("stopped", partition, sent.len());
        assert_same("stopped", &read.expect("records are read"), &sent);
    }
}

/// A long poll does not hold up a stop: it is answered or its connection closed, well before it was due.
#[test]
fn graceful_stop_releases_waiting_clients() {
    let mut broker = Broker::start();
    broker.create_topic("waited-for", 1, &[]);
    let mut waiting = broker.connect();
    let mut body = frame::Body::new();
    let hours = 10 * 3_600_000;
    body.int(-1)
        .int(hours)
        .int(1)
        .int(i32::MAX)
        .byte(0)
        .int(1)
        .string("waited-for")
        .int(1)
        .int(0)
        .long(0)
        .int(1 << 20);
    waiting
        .send(frame::api::FETCH, 4, &body.0)
        .expect("the request is sent");
    assert!(broker.stop().success(), "{}", broker.output());
    let answered = waiting.receive().is_ok();
    assert!(answered || waiting.is_closed());
}
