//! The tools that send and read records, beyond what the client matrix has them do.

use crate::Form;
use klamm_tests::Broker;
use klamm_tests::client::Tool;
use serde_json::Value;
use std::collections::BTreeSet;

pub(crate) const FORMS: &[Form] = &[
    Form {
        name: "`kafka-verifiable-producer`, and `kafka-verifiable-consumer --verbose` beside it",
        run: verified,
    },
    Form {
        name: "`kafka-producer-perf-test`, `kafka-consumer-perf-test`",
        run: measured,
    },
    Form {
        name: "`kafka-e2e-latency`",
        run: timed,
    },
];

/// What a verifiable client says, a JSON object a line: the pairs of those named `name`.
fn told(lines: &str, name: &str, field: &str) -> BTreeSet<(i64, String)> {
    let events = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events = events.filter(|event| event["name"] == name);
    let pair = |event: Value| Some((event["offset"].as_i64()?, event[field].as_str()?.to_owned()));
    events.filter_map(pair).collect()
}

fn verified() {
    let broker = Broker::start_with_shards(2);
    broker.create_topic("verified", 1, &[]);
    let arguments = ["--topic", "verified", "--max-messages", "500"];
    let sent = Tool::VerifiableProducer
        .run(&broker.address(), &arguments)
        .expect("records are sent");
    let arguments = [
        &arguments[..],
        &["--group-id", "verifying", "--reset-policy", "earliest", "--verbose"],
    ]
    .concat();
    let read = Tool::VerifiableConsumer
        .run(&broker.address(), &arguments)
        .expect("records are read");
    let sent = told(&sent, "producer_send_success", "value");
    let expected: BTreeSet<(i64, String)> = (0..500).map(|offset| (offset, offset.to_string())).collect();
    assert_eq!(sent, expected, "each record was acknowledged where it stands");
    assert_eq!(told(&read, "record_data", "value"), sent);
}

fn measured() {
    let broker = Broker::start_with_shards(2);
    broker.create_topic("measured", 1, &[]);
    let arguments = [
        "--topic",
        "measured",
        "--num-records",
        "2000",
        "--record-size",
        "100",
        "--throughput",
        "-1",
    ];
    let sent = Tool::ProducerPerformance
        .run(&broker.address(), &arguments)
        .expect("records are sent");
    assert!(sent.contains("2000 records sent"), "{sent}");
    assert_eq!(broker.connect().end_offset("measured", 0), 2000);
    let arguments = ["--topic", "measured", "--num-records", "2000", "--timeout", "120000"];
    let read = Tool::ConsumerPerformance
        .run(&broker.address(), &arguments)
        .expect("records are read");
    let columns = read
        .lines()
        .find(|line| line.contains("nMsg"))
        .expect("a line of names");
    let place = columns.split(", ").position(|name| name == "data.consumed.in.nMsg");
    let line = read.lines().last().expect("a line of numbers");
    let count = line.split(", ").nth(place.expect("the number of records is told"));
    assert_eq!(count, Some("2000"), "{read}");
}

/// The tool itself compares what it reads with what it sent.
fn timed() {
    let broker = Broker::start_with_shards(2);
    let sent = ["--topic", "timed", "--num-records", "200", "--record-size", "100"];
    let told = Tool::EndToEndLatency
        .run(&broker.address(), &[&sent[..], &["--producer-acks", "all"]].concat())
        .expect("records are sent and read");
    assert!(told.contains("Avg latency: ") && told.contains("99.9th = "), "{told}");
    // It makes the topic itself, and sends each record once the one before it was read.
    assert_eq!(broker.connect().end_offset("timed", 0), 200);
}
