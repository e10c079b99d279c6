//! The binary as a broker, with its own commands as clients: what is produced comes back, across stops of every kind.

mod conditions;
mod peers;
mod support;

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::Broker;

fn numbered(count: usize) -> String {
    (0..count).fold(String::new(), |mut lines, i| {
        writeln!(lines, "key {}:value {i}", i % 7).expect("a string takes it");
        lines
    })
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn records_come_back_in_the_order_of_their_partition() {
    let data = directory();
    let broker = Broker::start(data.path(), &["--shards", "2"]);
    broker.run(&["topic", "create", "t", "--partitions", "3"], "");
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let input = numbered(500);
        broker.run(
            &["produce", "t", "--key-separator", ":", "--compression", compression],
            &input,
        );
    }
    let output = broker.run(
        &[
            "consume",
            "t",
            "--exit",
            "--format",
            "key-value",
            "--key-separator",
            ":",
        ],
        "",
    );
    for key in 0..7 {
        let key = format!("key {key}:");
        let of_key = |text: &str| {
            text.lines()
                .filter(|line| line.starts_with(&key))
                .map(str::to_owned)
                .collect()
        };
        let sent: Vec<String> = of_key(&numbered(500).repeat(5));
        let came: Vec<String> = of_key(&output);
        assert_eq!(came, sent);
    }
}

#[test]
fn everything_of_a_record_comes_back() {
    let data = directory();
    let broker = Broker::start(data.path(), &[]);
    broker.run(&["produce", "auto", "-k", "=", "-H", "h=1", "-H", "h=2"], "a=1\nb\n");
    let output = broker.run(&["consume", "auto", "--exit", "--format", "json"], "");
    let shown: Vec<&str> = output.lines().collect();
    let headers = "\"headers\":[[\"h\",\"1\"],[\"h\",\"2\"]]}";
    assert!(
        shown[0].contains("\"offset\":0,") && shown[0].contains("\"key\":\"a\",\"value\":\"1\""),
        "{output}"
    );
    assert!(
        shown[1].contains("\"offset\":1,") && shown[1].contains("\"key\":null,\"value\":\"b\""),
        "{output}"
    );
    assert!(
        shown.len() == 2 && shown.iter().all(|line| line.ends_with(headers)),
        "{output}"
    );
}

#[test]
fn a_consumer_begins_where_it_is_told() {
    let data = directory();
    let broker = Broker::start(data.path(), &[]);
    broker.run(&["produce", "t"], "0\n1\n2\n3\n4\n");
    for (from, expected) in [
        ("beginning", "0\n1\n2\n3\n4\n"),
        ("3", "3\n4\n"),
        ("-2", "3\n4\n"),
        ("@0", "0\n1\n2\n3\n4\n"),
        ("end", ""),
    ] {
        assert_eq!(
            broker.run(&["consume", "t", "--exit", "--from", from], ""),
            expected,
            "from {from}"
        );
    }
    assert_eq!(broker.run(&["consume", "t", "--count", "2"], ""), "0\n1\n");
    assert!(
        broker
            .refusal(&["consume", "nothing-here", "--exit"])
            .contains("UNKNOWN_TOPIC_OR_PARTITION")
    );
}

#[test]
fn acknowledged_records_survive_a_kill_and_a_graceful_stop() {
    let data = directory();
    let mut sent = String::new();
    for (round, signal) in ["KILL", "TERM", "KILL", "INT"].into_iter().enumerate() {
        let mut broker = Broker::start(data.path(), &[]);
        let input = format!("first {round}\nsecond {round}\n");
        broker.run(&["produce", "t"], &input);
        sent.push_str(&input);
        assert_eq!(broker.run(&["consume", "t", "--exit"], ""), sent);
        broker.signal(signal);
        let status = broker.wait();
        assert_eq!(
            status.code(),
            (signal != "KILL").then_some(0),
            "{signal}: {}",
            broker.said()
        );
    }
    let broker = Broker::start(data.path(), &[]);
    assert_eq!(broker.run(&["consume", "t", "--exit"], ""), sent);
}

#[test]
fn topics_are_created_described_and_deleted() {
    let data = directory();
    let broker = Broker::start(data.path(), &["--set", "log.retention.hours=2"]);
    broker.run(
        &[
            "topic",
            "create",
            "orders",
            "-p",
            "4",
            "-c",
            "retention.ms=60000",
            "-c",
            "segment.jitter.ms=5",
        ],
        "",
    );
    assert_eq!(broker.run(&["topic", "list"], ""), "orders  partitions=4\n");
    let described = broker.run(&["topic", "describe", "orders"], "");
    assert!(
        described.contains("partition 3  leader=1") && described.contains("retention.ms=60000"),
        "{described}"
    );
    assert!(
        described.contains("segment.jitter.ms=5") && !described.contains("segment.bytes"),
        "{described}"
    );
    let all = broker.run(&["topic", "describe", "orders", "--all"], "");
    assert!(all.contains("segment.bytes=1073741824"), "{all}");

    let again = broker.refusal(&["topic", "create", "orders"]);
    assert!(again.contains("TOPIC_ALREADY_EXISTS"), "{again}");
    let bad = broker.refusal(&["topic", "create", "bad", "-c", "remote.storage.enable=true"]);
    assert!(
        bad.contains("INVALID_CONFIG") && bad.contains("not available yet"),
        "{bad}"
    );
    let unknown = broker.refusal(&["topic", "create", "bad", "-c", "no.such.key=1"]);
    assert!(
        unknown.contains("INVALID_CONFIG") && unknown.contains("no.such.key"),
        "{unknown}"
    );

    broker.run(&["topic", "delete", "orders"], "");
    assert_eq!(broker.run(&["topic", "list"], ""), "");
}

#[test]
fn topics_are_changed_and_their_oldest_records_deleted() {
    let data = directory();
    let broker = Broker::start(data.path(), &[]);
    broker.run(&["topic", "create", "orders", "-c", "retention.ms=-1"], "");
    broker.run(&["produce", "orders"], &numbered(10));
    let set = [
        "topic",
        "alter",
        "orders",
        "--set",
        "max.message.bytes=4321",
        "--partitions",
        "2",
    ];
    assert_eq!(broker.run(&set, ""), "changed orders\n");
    let described = broker.run(&["topic", "describe", "orders"], "");
    assert!(
        described.contains("partitions=2") && described.contains("max.message.bytes=4321"),
        "{described}"
    );
    broker.run(&["topic", "alter", "orders", "--unset", "max.message.bytes"], "");
    let described = broker.run(&["topic", "describe", "orders"], "");
    assert!(!described.contains("max.message.bytes"), "{described}");
    let begins = broker.run(&["topic", "delete-records", "orders", "-p", "0", "--before", "4"], "");
    assert_eq!(begins, "orders-0 begins at 4\n");
    assert!(
        broker
            .run(&["topic", "describe", "orders"], "")
            .contains("offsets=4..10")
    );
    let begins = broker.run(&["topic", "delete-records", "orders", "-p", "0"], "");
    assert_eq!(begins, "orders-0 begins at 10\n");
    let beyond = broker.refusal(&["topic", "delete-records", "orders", "-p", "0", "--before", "11"]);
    assert!(beyond.contains("OFFSET_OUT_OF_RANGE"), "{beyond}");
    let nothing = broker.refusal(&["topic", "alter", "orders"]);
    assert!(nothing.contains("nothing to change"), "{nothing}");
    let fewer = broker.refusal(&["topic", "alter", "orders", "--partitions", "1"]);
    assert!(fewer.contains("INVALID_PARTITIONS"), "{fewer}");
    let none = broker.refusal(&["topic", "delete-records", "orders", "-p", "7"]);
    assert!(none.contains("no partition 7"), "{none}");
}

#[test]
fn a_topic_has_the_brokers_default_where_it_says_nothing() {
    let data = directory();
    let broker = Broker::start(
        data.path(),
        &["--set", "log.retention.hours=2", "--set", "num.partitions=3"],
    );
    broker.run(&["topic", "create", "t"], "");
    let described = broker.run(&["topic", "describe", "t", "--all"], "");
    assert!(
        described.contains("retention.ms=7200000") && described.contains("partitions=3"),
        "{described}"
    );
}

#[test]
fn load_that_was_counted_is_there() {
    let data = directory();
    let broker = Broker::start(data.path(), &["--flush", "os"]);
    let load = [
        "bench",
        "produce",
        "--json",
        "--total",
        "3MB",
        "--partitions",
        "3",
        "--connections",
        "2",
    ];
    let produced = broker.run(&load, "");
    let consumed = broker.run(
        &[
            "bench",
            "consume",
            "--json",
            "--connections",
            "2",
            "--fetch-size",
            "64KiB",
        ],
        "",
    );
    assert_eq!(number(&consumed, "records"), number(&produced, "records"));
    assert_eq!(number(&consumed, "bytes"), number(&produced, "bytes"));
    let latency = [
        "bench",
        "latency",
        "--json",
        "--rate",
        "200",
        "--duration",
        "500ms",
        "--warmup",
        "100ms",
        "-t",
        "l",
    ];
    assert_eq!(number(&broker.run(&latency, ""), "records"), "120");
}

/// Puts on a load that would go on for a minute, and kills the broker once more records came than can be under way: what the
/// command printed, and what it said.
fn cut_short(broker: &mut Broker, load: &[&str]) -> (String, String) {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_klamm"));
    bench.args(["bench"]).args(load);
    bench.args(["--duration", "60s", "--json", "--bootstrap", &broker.address]);
    let bench = bench
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    while broker.metric("klamm_appended_records_total") < 1000.0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    broker.signal("KILL");
    broker.wait();
    let ended = bench.wait_with_output().expect("it ends");
    let said = String::from_utf8(ended.stderr).expect("UTF-8");
    assert_eq!(ended.status.code(), Some(1), "{said}");
    (String::from_utf8(ended.stdout).expect("UTF-8"), said)
}

#[test]
fn a_load_that_the_broker_does_not_survive_tells_what_was_measured_and_fails() {
    for load in [
        &["produce", "--total", "1TB", "--connections", "3"][..],
        &["latency", "--rate", "1000", "--warmup", "0s"],
    ] {
        let data = directory();
        let mut broker = Broker::start(data.path(), &["--flush", "os"]);
        let (printed, said) = cut_short(&mut broker, load);
        let records: u64 = number(&printed, "records").parse().expect("a number");
        let timed: u64 = number(&printed, "count").parse().expect("a number");
        assert!(records > 0 && timed > 0, "{printed}");
        assert!(
            printed.contains("\"error\":\"") && said.starts_with("klamm: "),
            "{printed}\n{said}"
        );
    }
}

#[test]
fn a_consumer_that_meets_damage_tells_what_it_read_until_then_and_fails() {
    let data = directory();
    let mut broker = Broker::start(data.path(), &[]);
    broker.run(&["bench", "produce", "--total", "2MB"], "");
    broker.signal("TERM");
    assert!(broker.wait().success(), "{}", broker.said());
    let in_folder = |path: &Path| {
        std::fs::read_dir(path)
            .expect("it is there")
            .map(|it| it.expect("an entry").path())
    };
    let log = in_folder(data.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("bench-0."))
        })
        .and_then(|path| in_folder(&path).find(|file| file.extension().is_some_and(|end| end == "log")))
        .expect("the topic has a segment");
    let mut bytes = std::fs::read(&log).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).expect("it can be written");
    let broker = Broker::start(data.path(), &[]);
    let (printed, said) = broker.failure(&["bench", "consume", "--fetch-size", "64KiB"]);
    assert!(
        printed.starts_with("consume, cut short: ") && !printed.contains(": 0 records"),
        "{printed}"
    );
    assert!(said.contains("partition 0, batch at offset"), "{said}");
}

#[test]
fn a_partition_that_a_topic_lacks_is_looked_for_before_anything_is_created() {
    let data = directory();
    let broker = Broker::start(data.path(), &[]);
    let said = broker.refusal(&["produce", "missing", "--partition", "9"]);
    assert!(
        said.contains("no topic missing") && said.contains("partition 9"),
        "{said}"
    );
    assert_eq!(broker.run(&["topic", "list"], ""), "", "it was not created");
    broker.run(&["produce", "missing", "--partition", "0"], "one\n");
    let said = broker.refusal(&["produce", "missing", "--partition", "9"]);
    assert!(said.contains("topic missing has no partition 9: it has 1"), "{said}");
}

/// A number of a flat JSON object.
fn number<'a>(object: &'a str, name: &str) -> &'a str {
    let start = object
        .find(&format!("\"{name}\":"))
        .unwrap_or_else(|| panic!("no {name} in {object}"));
    object[start + name.len() + 3..]
        .split([',', '}'])
        .next()
        .expect("it ends")
}

#[test]
fn the_broker_says_how_it_is() {
    let data = directory();
    let broker = Broker::start(data.path(), &[]);
    broker.run(&["produce", "t"], "one\n");
    assert_eq!(
        broker.get("/ready"),
        ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned())
    );
    assert_eq!(broker.get("/health").0, "HTTP/1.1 200 OK");
    assert_eq!(broker.get("/other").0, "HTTP/1.1 404 Not Found");
    assert!(broker.metric("klamm_requests_total") >= 3.0 && broker.metric("klamm_file_written_bytes_total") > 0.0);
    assert!(broker.metric("klamm_sync_seconds_count") >= 1.0 && broker.metric("process_resident_memory_bytes") > 0.0);
}

#[test]
fn settings_without_effect_and_unknown_ones_are_named_once() {
    let data = directory();
    let file = data.path().with_extension("properties");
    std::fs::write(&file, "num.io.threads=8\nnum.partition=3\n").expect("a file");
    let broker = Broker::start(data.path(), &["--config", file.to_str().expect("UTF-8")]);
    std::fs::remove_file(&file).expect("it is ours");
    let said = broker.said();
    assert_eq!(
        said.matches("settings without effect: num.io.threads").count(),
        1,
        "{said}"
    );
    assert!(said.contains("num.partition (did you mean num.partitions?)"), "{said}");
}

#[test]
fn a_consumer_says_what_it_cannot_read_and_ends_with_its_reader() {
    let data = directory();
    let broker = Broker::start(data.path(), &[]);
    broker.run(&["produce", "t"], "one\ntwo\n");
    for exit in [&[][..], &["--exit"]] {
        let said = broker.refusal(&[&["consume", "t", "--from", "9"], exit].concat());
        assert!(said.contains("holds offsets 0 up to 2"), "{said}");
    }
    let mut consumer = Command::new(env!("CARGO_BIN_EXE_klamm"));
    consumer.args(["consume", "t", "--bootstrap", &broker.address]);
    consumer.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut consumer = consumer.spawn().expect("it runs");
    let mut lines = BufReader::new(consumer.stdout.take().expect("it is piped")).lines();
    assert_eq!(lines.next().expect("a record").expect("text"), "one");
    drop(lines);
    broker.run(&["produce", "t"], "three\n");
    let ended = consumer.wait_with_output().expect("it ends");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}
