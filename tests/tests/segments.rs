//! Segment files as Kafka's own tool reads them.

use klamm_tests::client::{Batching, Compression, Scratch, java, output};
use klamm_tests::record::{self, Record};
use klamm_tests::{Broker, Client};
use std::path::{Path, PathBuf};

/// What `kafka-dump-log --deep-iteration` says of one segment.
struct Dump(String);

impl Dump {
    fn of(segment: &Path) -> Self {
        let mut tool = java("kafka-tools-4.3.1", "org.apache.kafka.tools.DumpLogSegments");
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
    let mut sent = Vec::new();
    for (seed, compression) in (0..).zip(Compression::ALL) {
        let records = record::text(seed, 12_000, 100);
        for producer in [Client::Python, Client::Java] {
            producer.produce(&broker.address(), "dumped", &records, (compression, Batching::Large));
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

/// A changed bit is something that the tool sees, so what it says above means something.
#[test]
fn kafka_dump_log_sees_a_changed_bit() {
    let broker = Broker::start();
    broker.create_topic("dumped", 1, &[]);
    Client::Python.produce(
        &broker.address(),
        "dumped",
        &record::text(1, 10, 100),
        (Compression::None, Batching::Default),
    );
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
