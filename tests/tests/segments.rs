//! Segment files as Kafka's own tool reads them.

use klamm_tests::client::{Actor, Compression, From, Produce, Scratch, Tool, output};
use klamm_tests::record::{self, Record};
use klamm_tests::{Broker, Client, Options};
use std::path::{Path, PathBuf};

/// What `kafka-dump-log --deep-iteration` says of one segment.
struct Dump(String);

impl Dump {
    fn of(segment: &Path) -> Self {
        let mut tool = Tool::DumpLog.command();
        tool.args(["--deep-iteration", "--print-data-log", "--files"])
            .arg(segment);
        Self(String::from_utf8(output(&mut tool)).expect("the tool writes text"))
    }

    fn batches(&self) -> impl Iterator<Item = &str> {
        self.0.lines().filter(|line| line.starts_with("baseOffset: "))
    }

    fn records(&self) -> impl Iterator<Item = &str> {
        self.0.lines().filter(|line| line.starts_with("| offset: "))
    }
}

/// The word behind `name: ` in a line of the tool.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let name = format!("{name}: ");
    let (_, rest) = line.split_once(&name).unwrap_or_else(|| panic!("no {name} in {line}"));
    rest.split(' ').next().unwrap_or_default()
}

fn number(line: &str, name: &str) -> i64 {
    field(line, name)
        .parse()
        .unwrap_or_else(|_| panic!("{name} is no number in {line}"))
}

/// What the tool prints of a record at `offset`.
fn assert_dumped(line: &str, offset: i64, record: &Record) {
    let text =
        |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().expect("text records are not null")).expect("text");
    assert_eq!(number(line, "| offset"), offset, "{line}");
    assert_eq!(number(line, "CreateTime"), record.timestamp, "{line}");
    assert_eq!(field(line, "key"), text(&record.key), "{line}");
    assert_eq!(field(line, "payload"), text(&record.value), "{line}");
}

/// Demands that every batch is whole and follows the one before it; returns the next offset and the records in the
/// largest batch.
fn assert_sound(segment: &Path, dump: &Dump, first_offset: i64) -> (i64, i64) {
    let named: i64 = segment
        .file_stem()
        .and_then(|stem| stem.to_str())
        .and_then(|stem| stem.parse().ok())
        .expect("a name");
    assert_eq!(named, first_offset, "a segment is named by its first offset");
    assert!(!dump.0.contains("invalid bytes"), "{}", dump.0);
    let (mut next, mut position, mut largest) = (first_offset, 0, 0);
    for batch in dump.batches() {
        assert_eq!(field(batch, "isvalid"), "true", "{batch}");
        assert_eq!(field(batch, "magic"), "2", "{batch}");
        assert_eq!(
            (number(batch, "baseOffset"), number(batch, "position")),
            (next, position),
            "{batch}"
        );
        assert!(number(batch, "producerId") >= 0, "the producer was idempotent: {batch}");
        next = number(batch, "lastOffset") + 1;
        position += number(batch, "size");
        largest = largest.max(number(batch, "count"));
    }
    let length = std::fs::metadata(segment).expect("the segment is there").len();
    assert_eq!(
        position,
        i64::try_from(length).expect("a length"),
        "the tool read the whole segment"
    );
    (next, largest)
}

#[test]
fn kafka_dump_log_reads_every_segment() {
    let broker = Broker::start();
    broker.create_topic("dumped", 1, &[("segment.bytes", "1048576")]);
    let mut producers = [Client::Confluent, Client::Java].map(|client| Actor::start(client, &broker.address()));
    let mut sent = Vec::new();
    for (seed, compression) in (0..).zip(Compression::ALL) {
        let records = record::text(seed, 12_000, 100);
        let how = Produce {
            compression,
            large_batches: true,
            ..Produce::idempotent()
        };
        for producer in &mut producers {
            producer.produce("dumped", &records, how).expect("records are sent");
            sent.extend(records.iter().cloned());
        }
    }
    let segments = broker.segments("dumped", 0);
    assert!(segments.len() > 3, "the log has rolled: {segments:?}");
    let (mut next, mut largest, mut codecs) = (0, 0, std::collections::BTreeSet::new());
    for segment in &segments {
        let dump = Dump::of(segment);
        let first = next;
        let most;
        (next, most) = assert_sound(segment, &dump, first);
        largest = largest.max(most);
        codecs.extend(dump.batches().map(|batch| field(batch, "compresscodec").to_owned()));
        let mut read = 0;
        for (line, offset) in dump.records().zip(first..) {
            assert_dumped(line, offset, &sent[usize::try_from(offset).expect("an offset")]);
            read += 1;
        }
        assert_eq!(first + read, next, "records in {}", segment.display());
    }
    assert_eq!(
        next,
        i64::try_from(sent.len()).expect("a count"),
        "records in all segments"
    );
    assert!(largest >= 1000, "the largest batch has {largest} records");
    assert_eq!(codecs.len(), Compression::ALL.len(), "{codecs:?}");
}

/// Twelve thousand records of 500 keys, each batch under the codec.
fn table(seed: i64) -> Vec<Record> {
    let record = |number: i64| Record {
        partition: 0,
        timestamp: 1_700_000_000_000 + number,
        key: Some(format!("key{}", number * 7 % 500).into_bytes()),
        value: Some(format!("{seed}-{number}-{}", "v".repeat(60)).into_bytes()),
        headers: Vec::new(),
    };
    (0..12_000).map(record).collect()
}

/// Waits until nothing of a log is left that was not compacted: cleaned segments say in their names where they end.
fn wait_until_compacted(broker: &Broker, topic: &str) -> Vec<PathBuf> {
    for _ in 0..600 {
        let segments = broker.segments(topic, 0);
        let dots = |path: &PathBuf| {
            path.to_string_lossy()
                .rsplit('/')
                .next()
                .map(|name| name.matches('.').count())
        };
        if !segments.is_empty() && segments.iter().all(|segment| dots(segment) == Some(3)) {
            return segments;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{topic} is not compacted: {}", broker.output());
}

#[test]
fn kafka_reads_what_compaction_left() {
    let mut broker = Broker::start_with(Options {
        config: vec![(String::from("log.cleaner.backoff.ms"), String::from("100"))],
        ..Options::default()
    });
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("max.compaction.lag.ms", "1000"),
    ];
    broker.create_topic("table", 1, &configs);
    let mut producer = Actor::start(Client::Java, &broker.address());
    let mut sent = Vec::new();
    for (seed, compression) in (0..).zip(Compression::ALL) {
        let records = table(seed);
        let how = Produce {
            compression,
            large_batches: true,
            ..Produce::idempotent()
        };
        producer.produce("table", &records, how).expect("records are sent");
        sent.extend(records);
    }
    let mut last = std::collections::BTreeMap::new();
    for (offset, record) in (0..).zip(&sent) {
        last.insert(record.key.clone(), (offset, record));
    }
    let mut expected: Vec<(i64, &Record)> = last.into_values().collect();
    expected.sort_unstable_by_key(|&(offset, _)| offset);

    let mut dumped = 0;
    for segment in wait_until_compacted(&broker, "table") {
        let dump = Dump::of(&segment);
        assert!(!dump.0.contains("invalid bytes"), "{}", dump.0);
        assert!(
            dump.batches().all(|batch| field(batch, "isvalid") == "true"),
            "{}",
            dump.0
        );
        for (line, &(offset, record)) in dump.records().zip(&expected[dumped..]) {
            assert_dumped(line, offset, record);
        }
        dumped += dump.records().count();
    }
    assert_eq!(dumped, expected.len(), "records in all segments");
    for restart in [false, true] {
        if restart {
            broker.kill();
            broker.restart();
        }
        for client in [Client::Java, Client::Confluent] {
            let mut reader = Actor::start(client, &broker.address());
            reader
                .assign("table", &[0], From::Earliest)
                .expect("the partition is assigned");
            let read = reader.read(expected.len()).expect("records are read");
            for (stored, &(offset, record)) in read.iter().zip(&expected) {
                assert_eq!((stored.offset, &stored.record), (offset, record));
            }
            assert_eq!(read.len(), expected.len());
        }
    }
}

/// A changed bit is something that the tool sees, so what it says above means something.
#[test]
fn kafka_dump_log_sees_a_changed_bit() {
    let broker = Broker::start();
    broker.create_topic("dumped", 1, &[]);
    let mut producer = Actor::start(Client::Confluent, &broker.address());
    let records = record::text(1, 10, 100);
    producer
        .produce("dumped", &records, Produce::plain())
        .expect("records are sent");
    let segment: PathBuf = broker.segments("dumped", 0).remove(0);
    let mut bytes = std::fs::read(&segment).expect("the segment is there");
    // The last byte counts the last record's headers; the one before belongs to its value.
    let value = bytes.len() - 2;
    bytes[value] ^= 1;
    let folder = Scratch::new("segment");
    std::fs::create_dir_all(folder.path()).expect("a folder");
    let copy = folder.path().join(segment.file_name().expect("a name"));
    std::fs::write(&copy, bytes).expect("a copy");
    let dump = Dump::of(&copy);
    assert!(
        dump.batches().any(|batch| field(batch, "isvalid") == "false"),
        "{}",
        dump.0
    );
}
