//! What clients keep in the memory that requests are received into, and that it stops nobody.

use klamm_tests::frame::{Body, Connection, api, batch, request};
use klamm_tests::{Broker, Options};
use std::io::Write as _;

const TOPIC: &str = "kept";

/// Sizes of records: one that is copied out of its request, and one that stays where it came in while it is at the tail.
const SMALL: usize = 20;
const LARGE: usize = 10_000;

fn start() -> Broker {
    let broker = Broker::start_with(Options {
        config: vec![(String::from("shards"), String::from("1"))],
        metrics: true,
        ..Options::default()
    });
    broker.create_topic(TOPIC, 1, &[]);
    broker
}

/// A Produce request of one good batch, and of `bytes` of records for a topic that is not there.
fn with_filler(batch: &[u8], bytes: usize) -> Vec<u8> {
    let mut body = Body::new();
    body.short(-1).short(-1).int(30_000).int(2);
    for (topic, records) in [(TOPIC, batch), ("nowhere", &vec![0; bytes])] {
        body.string(topic)
            .int(1)
            .int(0)
            .int(records.len() as i32)
            .bytes(records);
    }
    request(api::PRODUCE, 3, 1, &body.0)
}

fn call(connection: &mut Connection, request: &[u8]) {
    connection.stream().write_all(request).expect("the broker takes it");
    connection.receive_frame().expect("the broker answers");
}

/// Records of one client among other requests of another, more than all slabs hold: what is kept of the records must not
/// keep the others' memory.
fn records_among_requests(size: usize) -> Broker {
    let broker = start();
    let (mut producer, mut other) = (broker.connect(), broker.connect());
    let record = batch(&[&vec![b'r'; size]]);
    let filler = with_filler(&[], 50_000);
    for offset in 0..400 {
        let told = producer.produce(TOPIC, 0, &record).expect("Produce is answered");
        assert_eq!((told.error, told.base_offset), (0, offset));
        for _ in 0..5 {
            call(&mut other, &filler);
        }
    }
    assert_eq!(broker.connect().end_offset(TOPIC, 0), 400);
    broker
}

#[test]
fn small_records_keep_no_memory_of_requests() {
    let broker = records_among_requests(SMALL);
    assert_eq!(broker.metric("klamm_slab_shortages_total"), 0);
}

#[test]
fn large_records_at_the_tail_give_way_to_requests() {
    let mut broker = records_among_requests(LARGE);
    assert!(
        broker.metric("klamm_memory_reclaims_total") > 0,
        "memory never ran short"
    );
    assert!(broker.stop().success());
    assert!(
        broker.output().contains("memory for requests runs short"),
        "{}",
        broker.output()
    );
}

#[test]
fn records_in_giant_requests_give_way_to_others() {
    for size in [SMALL, LARGE] {
        let broker = start();
        let record = batch(&[&vec![b'r'; size]]);
        for _ in 0..2 {
            call(&mut broker.connect(), &with_filler(&record, 90 << 20));
        }
        // Without the memory of the two it does not fit.
        call(&mut broker.connect(), &with_filler(&record, 90 << 20));
        assert_eq!(broker.connect().end_offset(TOPIC, 0), 3);
        assert_eq!(broker.metric("klamm_connections_closed_total{reason=\"memory\"}"), 0);
    }
}
