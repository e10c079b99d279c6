//! Kafka's command-line tools beyond the rows of the client matrix: what they say and do is compared with what is so.

use klamm_tests::client::{Actor, Member, Produce, Scratch, Tool, output};
use klamm_tests::record::{self, SOME_TIME};
use klamm_tests::{Broker, Client};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const RECORDS: i64 = 30;
const MEMBER: Member<'static> = Member {
    session_ms: 30_000,
    instance: None,
};

/// A broker with a topic of 30 records, ten seconds apart, and a group that has read them all and committed that.
fn read_by(group: &str) -> (Broker, Actor) {
    let broker = Broker::start_with_shards(2);
    broker.create_topic("read", 1, &[]);
    let mut client = Actor::start(Client::Java, &broker.address());
    let mut records = record::text(1, RECORDS as usize, 20);
    for (index, record) in records.iter_mut().enumerate() {
        record.timestamp = SOME_TIME + 10_000 * index as i64;
    }
    client
        .produce("read", &records, Produce::plain())
        .expect("records are sent");
    client.subscribe("read", group, MEMBER).expect("a member joins");
    let read = client.read(RECORDS as usize).expect("a member reads");
    assert_eq!(read.len(), RECORDS as usize);
    client.commit().expect("a member commits");
    (broker, client)
}

fn committed(client: &mut Actor, group: &str) -> BTreeMap<i32, i64> {
    client.committed("read", group).expect("commits are told")
}

#[test]
fn offsets_are_reset_in_each_form_and_deleted() {
    let (broker, mut client) = read_by("reset");
    client.leave().expect("a member leaves");
    let run = |arguments: &[&str]| {
        let all: Vec<&str> = ["--group", "reset"].iter().chain(arguments).copied().collect();
        let told = Tool::Groups.run(&broker.address(), &all);
        told.unwrap_or_else(|refusal| panic!("{arguments:?}: {refusal}"))
    };
    let file = Scratch::new("reset.csv");
    std::fs::write(file.path(), "read,0,9\n").expect("a file");
    let path = file.path().display().to_string();
    let topic = ["--topic", "read"];
    let forms: [(&[&str], i64); 9] = [
        (&["--to-offset", "7"], 7),
        (&["--shift-by", "5"], 12),
        (&["--shift-by", "-2"], 10),
        (&["--to-current"], 10),
        (&["--to-latest"], RECORDS),
        // The time of the fifth record.
        (&["--to-datetime", "2023-11-14T22:14:00.000Z"], 4),
        (&["--by-duration", "PT0S"], RECORDS),
        (&["--to-earliest"], 0),
        (&["--from-file", &path], 9),
    ];
    for (form, offset) in forms {
        let place: &[&str] = if form[0] == "--from-file" { &[] } else { &topic };
        run(&[&["--reset-offsets", "--execute"], place, form].concat());
        let expected: BTreeMap<i32, i64> = [(0, offset)].into_iter().filter(|(_, offset)| *offset > 0).collect();
        assert_eq!(committed(&mut client, "reset"), expected, "{form:?}");
    }
    run(&["--delete-offsets", "--topic", "read"]);
    assert_eq!(
        committed(&mut client, "reset"),
        BTreeMap::new(),
        "nothing is committed any more"
    );
}

#[test]
fn members_are_described_with_their_partitions() {
    let (broker, _member) = read_by("described");
    let arguments = ["--describe", "--group", "described", "--members", "--verbose"];
    let told = Tool::Groups
        .run(&broker.address(), &arguments)
        .expect("members are described");
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("described")).collect();
    let [line] = lines[..] else {
        panic!("one member: {told}")
    };
    assert!(
        line.contains(" 1 ") && line.contains("read"),
        "it has the topic's one partition: {told}"
    );
    let offsets = Tool::Groups.run(&broker.address(), &["--describe", "--group", "described"]);
    let offsets = offsets.expect("offsets are described");
    let line = offsets.lines().find(|line| line.starts_with("described"));
    let words: Vec<&str> = line.expect("a line for the partition").split_whitespace().collect();
    assert_eq!(words[..6], ["described", "read", "0", "30", "30", "0"], "{offsets}");
}

/// What a verifiable client says, a JSON object a line: the pairs of those named `name`.
fn told(lines: &str, name: &str, field: &str) -> BTreeSet<(i64, String)> {
    let events = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events = events.filter(|event| event["name"] == name);
    let pair = |event: Value| Some((event["offset"].as_i64()?, event[field].as_str()?.to_owned()));
    events.filter_map(pair).collect()
}

#[test]
fn the_verifiable_consumer_reads_what_the_verifiable_producer_sent() {
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

#[test]
fn the_performance_tools_count_what_stands() {
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
#[test]
fn the_latency_tool_reads_each_record_that_it_sends() {
    let broker = Broker::start_with_shards(2);
    let arguments = [
        "--topic",
        "timed",
        "--num-records",
        "200",
        "--producer-acks",
        "all",
        "--record-size",
        "100",
    ];
    let told = Tool::EndToEndLatency
        .run(&broker.address(), &arguments)
        .expect("records are sent and read");
    assert!(told.contains("Avg latency: ") && told.contains("99.9th = "), "{told}");
    // It makes the topic itself, and sends each record once the one before it was read.
    assert_eq!(broker.connect().end_offset("timed", 0), 200);
}

#[test]
fn the_performance_producer_is_refused_a_transaction_and_leaves_nothing() {
    let broker = Broker::start_with_shards(2);
    broker.create_topic("refused", 1, &[]);
    let plain = [
        "--topic",
        "refused",
        "--num-records",
        "100",
        "--record-size",
        "100",
        "--throughput",
        "-1",
    ];
    let transactional = [
        &plain[..],
        &["--transactional-id", "t", "--transaction-duration-ms", "100"],
    ]
    .concat();
    let refusal = Tool::ProducerPerformance
        .run(&broker.address(), &transactional)
        .expect_err("there are no transactions");
    assert_eq!(
        refusal.code,
        Some(53),
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED: {refusal}"
    );
    assert_eq!(broker.connect().end_offset("refused", 0), 0);
    Tool::ProducerPerformance
        .run(&broker.address(), &plain)
        .expect("records without a transaction are sent");
    assert_eq!(broker.connect().end_offset("refused", 0), 100);
}

/// Groups are kept as Kafka's own records, which its tool reads.
#[test]
fn dump_log_decodes_the_offsets_of_groups() {
    let (broker, mut client) = read_by("dumped");
    client.leave().expect("a member leaves");
    let decoded = |partition: i32| -> String {
        let mut dump = Tool::DumpLog.command();
        dump.args(["--offsets-decoder", "--files"]);
        let files = broker.segments("__consumer_offsets", partition);
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        dump.arg(files.join(","));
        String::from_utf8(output(&mut dump)).expect("the tool writes text")
    };
    let kept = klamm_tests::broker::listed(&broker.log_dir());
    let partition = kept.iter().find_map(|path| {
        let name = path.file_name()?.to_str()?.strip_prefix("__consumer_offsets-")?;
        name.split('.').next()?.parse().ok()
    });
    let told = decoded(partition.expect("the group's partition has a folder"));
    let key = r#"key: {"type":"1","data":{"group":"dumped","topic":"read","partition":0}}"#;
    let commit = told.lines().find(|line| line.contains(key));
    let commit = commit.unwrap_or_else(|| panic!("a commit is decoded: {told}"));
    assert!(commit.contains(&format!("\"offset\":{RECORDS}")), "{commit}");
    let metadata = |line: &str| line.contains("\"protocolType\":\"consumer\"") && line.contains("\"generation\":1");
    assert!(told.lines().any(metadata), "the group's members are decoded: {told}");
}
