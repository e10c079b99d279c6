//! The broker is killed while real producers send, and started again: every record stands once, in order, where its
//! producer was told.

use klamm_tests::client::{Acknowledged, Batching, Compression};
use klamm_tests::frame;
use klamm_tests::record::{Record, SOME_TIME, assert_same, expected};
use klamm_tests::{Broker, Client};

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

/// Sends `records` and kills the broker each time another part of them was acknowledged.
fn send_through_kills(
    broker: &mut Broker,
    producer: Client,
    topic: &str,
    records: &[Record],
    kills: usize,
) -> Vec<Acknowledged> {
    let mut sending = producer.begin_produce(&broker.address(), topic, records, (Compression::Lz4, Batching::Default));
    let mut answers = Vec::new();
    for kill in 1..=kills {
        while answers.len() < records.len() * kill / (kills + 2) {
            answers.push(sending.next_answer().expect("the producer goes on"));
        }
        broker.kill();
        broker.restart();
    }
    answers.extend(sending.finish());
    answers
}

fn assert_kept(broker: &Broker, topic: &str, records: &[Record], answers: &[Acknowledged], partitions: i32) {
    assert_eq!(answers.len(), records.len(), "every record was acknowledged");
    for partition in 0..partitions {
        let sent = expected(records, partition);
        let read = Client::Java.consume(&broker.address(), topic, partition, sent.len());
        assert_same(&format!("{topic}-{partition}"), &read, &sent);
        for answer in answers.iter().filter(|answer| answer.partition == partition) {
            let stored = &read[usize::try_from(answer.offset).expect("an offset")];
            assert_eq!(
                stored.record, records[answer.index],
                "record {} stands where its producer was told",
                answer.index
            );
        }
        let (_, beyond) = broker
            .connect()
            .fetch(topic, partition, sent.len() as i64)
            .expect("Fetch is answered");
        assert!(beyond.is_empty(), "nothing stands behind the last record");
    }
}

fn survives_kills(producer: Client, shards: u16) {
    let mut broker = Broker::start_with_shards(shards);
    let records = load(60_000, 3);
    broker.create_topic("killed", 3, &[("segment.bytes", "1048576")]);
    let answers = send_through_kills(&mut broker, producer, "killed", &records, 3);
    assert_kept(&broker, "killed", &records, &answers, 3);
    broker.kill();
    broker.restart();
    assert_kept(&broker, "killed", &records, &answers, 3);
}

#[test]
fn python_producer_loses_nothing_to_kills() {
    survives_kills(Client::Python, 1);
}

#[test]
fn java_producer_loses_nothing_to_kills() {
    survives_kills(Client::Java, 3);
}

/// A stop under load ends well, and the producer goes on after the next start.
#[test]
fn graceful_stop_loses_nothing() {
    let mut broker = Broker::start_with_shards(2);
    let records = load(40_000, 2);
    broker.create_topic("stopped", 2, &[]);
    let how = (Compression::None, Batching::Default);
    let mut sending = Client::Python.begin_produce(&broker.address(), "stopped", &records, how);
    let mut answers: Vec<Acknowledged> = (0..10_000)
        .map(|_| sending.next_answer().expect("the producer sends"))
        .collect();
    assert!(broker.stop().success(), "{}", broker.output());
    broker.restart();
    answers.extend(sending.finish());
    assert_kept(&broker, "stopped", &records, &answers, 2);
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
