//! The system calls of the broker under load: no acknowledgement of acks=all leaves before what it promises is synced.

use klamm_tests::client::Scratch;
use klamm_tests::frame::{api, batch, produce_body, produced};
use klamm_tests::record::Draw;
use klamm_tests::trace::{Append, Early, Trace, strace};
use klamm_tests::{Broker, Options};

const TOPIC: &str = "traced";
const PARTITIONS: i32 = 3;
/// Requests of one connection, sent in groups without waiting.
const REQUESTS: usize = 150;
const GROUP: usize = 5;

/// One connection's appends to one partition.
fn appends(broker: &Broker, connection_number: i32, partition: i32) -> Vec<Append> {
    let mut draw = Draw::new(connection_number as u64);
    let mut connection = broker.connect();
    connection.number_from(connection_number * 100_000);
    let mut told = Vec::new();
    for _ in 0..REQUESTS / GROUP {
        let mut sent = Vec::new();
        for _ in 0..GROUP {
            let length = draw.below(16_000) as usize;
            let batch = batch(&[&draw.bytes(length)]);
            let body = produce_body(-1, TOPIC, partition, &batch);
            sent.push((
                connection.send(api::PRODUCE, 3, &body).expect("the request is sent"),
                batch.len() as u64,
            ));
        }
        for (correlation, length) in sent {
            let (answered, body) = connection.receive().expect("Produce is answered");
            let answer = produced(&body);
            assert_eq!((answered, answer.error), (correlation, 0));
            told.push((correlation, answer.base_offset, length));
        }
    }
    let folder = broker.partition_folder(TOPIC, partition);
    let append = |(correlation, base_offset, length)| Append {
        correlation,
        folder: folder.clone(),
        base_offset,
        length,
    };
    told.into_iter().map(append).collect()
}

/// Runs a broker under `strace` with several connections at once, and judges each acknowledgement.
fn early_acknowledgements(bug: Option<&str>) -> Vec<(i32, Early)> {
    let file = Scratch::new("trace");
    let options = Options {
        bug: bug.map(str::to_owned),
        under: strace(file.path()),
        config: vec![(String::from("shards"), String::from("2"))],
        ..Options::default()
    };
    let mut broker = Broker::start_with(options);
    broker.create_topic(TOPIC, PARTITIONS, &[("segment.bytes", "1048576")]);
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let broker = &broker;
        let connection = |number| scope.spawn(move || appends(broker, number, number % PARTITIONS));
        let running: Vec<_> = (1..=2 * PARTITIONS).map(connection).collect();
        for running in running {
            all.extend(running.join().expect("a connection ends well"));
        }
    });
    for partition in 0..PARTITIONS {
        assert!(
            broker.segments(TOPIC, partition).len() > 1,
            "partition {partition} has rolled"
        );
    }
    broker.stop();
    let trace = Trace::read(&std::fs::read_to_string(file.path()).expect("strace has written"));
    assert!(trace.answers() > all.len(), "every answer is in the trace");
    let unmade = trace.unmade(&all);
    assert!(
        unmade.is_empty(),
        "the trace does not show how these came to be: {unmade:?}"
    );
    trace.too_early(&all)
}

#[test]
fn acknowledgements_wait_for_their_syncs() {
    let early = early_acknowledgements(None);
    assert!(
        early.is_empty(),
        "{} too early, the first: {:?}",
        early.len(),
        &early[..early.len().min(5)]
    );
}

#[test]
fn an_acknowledgement_before_its_sync_is_seen() {
    let early = early_acknowledgements(Some("AckBeforeFsync"));
    assert!(early.iter().any(|(_, early)| *early == Early::Bytes), "{early:?}");
}

#[test]
fn a_missing_directory_sync_is_seen() {
    let early = early_acknowledgements(Some("NoDirectorySync"));
    for name in [Early::SegmentName, Early::FolderName] {
        assert!(early.iter().any(|(_, early)| *early == name), "{name:?}: {early:?}");
    }
}
