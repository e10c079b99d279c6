//! Real clients: each sends the records of a test and reads them back in its own language.

use crate::installed;
use crate::record::{Record, Stored};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A client, by its library.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    /// kcat, with the librdkafka 2.0 of Debian.
    Kcat,
    /// confluent-kafka for Python, with a current librdkafka.
    Python,
    /// Kafka's own client.
    Java,
    /// Kafka's own client, one release back.
    JavaBefore,
}

/// How a producer compresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// snappy: raw from librdkafka, framed from Java.
    Snappy,
    /// lz4 frames.
    Lz4,
    /// zstd.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Its name in `compression.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How a producer forms batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Batching {
    /// As the client does by itself.
    Default,
    /// One record in each batch.
    Single,
    /// As many records in a batch as fit.
    Large,
}

/// The answers to records that were sent: what the producer was told, in the order it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledged {
    /// Which of the records, by its place.
    pub index: usize,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl Client {
    /// Sends `records` with acks=all by an idempotent producer, and waits for all answers. kcat tells none.
    pub fn produce(
        self,
        bootstrap: &str,
        topic: &str,
        records: &[Record],
        how: (Compression, Batching),
    ) -> Vec<Acknowledged> {
        if self == Self::Kcat {
            kcat_produce(bootstrap, topic, records, how);
            return Vec::new();
        }
        self.begin_produce(bootstrap, topic, records, how).finish()
    }

    /// Starts a producer whose answers are read as they come.
    pub fn begin_produce(
        self,
        bootstrap: &str,
        topic: &str,
        records: &[Record],
        how: (Compression, Batching),
    ) -> Sending {
        let file = Scratch::new("records");
        let lines: String = records.iter().map(Record::line).collect();
        fs::write(&file.0, lines).expect("records are written to a file");
        let mut command = self.driver();
        command
            .arg("produce")
            .args([bootstrap, topic])
            .arg(&file.0)
            .args(self.settings(how));
        Sending::start(command, file)
    }

    /// Reads the first `count` records of a partition.
    pub fn consume(self, bootstrap: &str, topic: &str, partition: i32, count: usize) -> Vec<Stored> {
        if self == Self::Kcat {
            return kcat_consume(bootstrap, topic, partition, count, "%h");
        }
        let mut command = self.driver();
        command.args(["consume", bootstrap, topic, &partition.to_string(), &count.to_string()]);
        let lines = output(&mut command);
        String::from_utf8(lines)
            .expect("drivers write text")
            .lines()
            .map(Stored::parse)
            .collect()
    }

    /// Reads `count` records by `members` members of a group together, from where the group is; in the order read.
    pub fn consume_in_group(
        self,
        bootstrap: &str,
        topic: &str,
        group: &str,
        members: usize,
        count: usize,
    ) -> Vec<Stored> {
        let mut command = self.driver();
        let (members, count) = (members.to_string(), count.to_string());
        command.args(["group", bootstrap, topic, group, &members, &count]);
        let lines = output(&mut command);
        let text = String::from_utf8(lines).expect("drivers write text");
        text.lines().map(Stored::parse).collect()
    }

    fn driver(self) -> Command {
        match self {
            Self::Kcat => Command::new("kcat"),
            Self::Python => {
                let mut python = Command::new(installed::client("python/bin/python"));
                python.arg(installed::root().join("tests/clients/client.py"));
                python
            }
            Self::Java => java("kafka-clients-4.4.0", "Client"),
            Self::JavaBefore => java("kafka-tools-4.3.1", "Client"),
        }
    }

    fn settings(self, how: (Compression, Batching)) -> Vec<String> {
        let (compression, batching) = how;
        let of_java = matches!(self, Self::Java | Self::JavaBefore);
        let sizes: &[&str] = match (batching, of_java) {
            (Batching::Default, true) => &[],
            (Batching::Default, false) => &["message.max.bytes=1048588"],
            (Batching::Single, true) => &["batch.size=0"],
            (Batching::Single, false) => &["batch.num.messages=1"],
            (Batching::Large, true) => &["batch.size=1000000", "linger.ms=500"],
            (Batching::Large, false) => &["batch.num.messages=100000", "linger.ms=500"],
        };
        let compression = format!("compression.type={}", compression.name());
        sizes
            .iter()
            .map(|setting| (*setting).to_owned())
            .chain([compression])
            .collect()
    }
}

/// Java with the jars of one folder and the compiled drivers, ready for arguments to `class`.
pub fn java(jars: &str, class: &str) -> Command {
    let mut java = Command::new("java");
    let jars = installed::client(jars);
    let path = format!("{}:{}/*", installed::client("java").display(), jars.display());
    java.args([
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        &path,
        class,
    ]);
    java
}

/// Runs a command to its end and returns what it wrote.
pub fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}; run ci/install", command.get_program().display()));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{told}", output.status);
    output.stdout
}

/// A producer at work.
pub struct Sending {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    errors: Scratch,
    _records: Scratch,
}

impl Sending {
    fn start(mut command: Command, records: Scratch) -> Self {
        let errors = Scratch::new("errors");
        let sink = fs::File::create(&errors.0).expect("a file for errors");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(sink).spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("{}: {error}; run ci/install", command.get_program().display()));
        let lines = BufReader::new(child.stdout.take().expect("the output is piped")).lines();
        Self {
            child,
            lines,
            errors,
            _records: records,
        }
    }

    /// The next answer; `None` when the producer has ended.
    pub fn next_answer(&mut self) -> Option<Acknowledged> {
        let line = self.lines.next()?.expect("the producer writes text");
        let numbers: Vec<i64> = line
            .split(' ')
            .map(|word| word.parse().expect("an answer is numbers"))
            .collect();
        Some(Acknowledged {
            index: usize::try_from(numbers[0]).expect("an index"),
            partition: i32::try_from(numbers[1]).expect("a partition"),
            offset: numbers[2],
        })
    }

    /// The answers that are left, once the producer has ended well.
    pub fn finish(mut self) -> Vec<Acknowledged> {
        let answers = std::iter::from_fn(|| self.next_answer()).collect();
        let status = self.child.wait().expect("the producer ends");
        let errors = fs::read_to_string(&self.errors.0).unwrap_or_default();
        assert!(status.success(), "the producer failed: {status}\n{errors}");
        answers
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // After `finish` it has ended already; a test that fails before must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file or folder of its own, gone with its owner.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A path that nobody else uses; nothing is there yet.
    pub fn new(name: &str) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("klamm-{name}-{}-{number}", std::process::id())))
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // One of the two fits, and neither when nothing was ever written.
        let _ = fs::remove_dir_all(&self.0);
        let _ = fs::remove_file(&self.0);
    }
}

/// What stands between records and between key and value on kcat's input; no record of [`crate::record::text`] holds it.
const RECORD_END: &str = "\n";
const KEY_END: &str = ":";

fn kcat_produce(bootstrap: &str, topic: &str, records: &[Record], how: (Compression, Batching)) {
    let mut input = Vec::new();
    for record in records {
        let (Some(key), Some(value)) = (&record.key, &record.value) else {
            panic!("kcat is given keys and values");
        };
        input.extend_from_slice(key);
        input.extend_from_slice(KEY_END.as_bytes());
        input.extend_from_slice(value);
        input.extend_from_slice(RECORD_END.as_bytes());
    }
    let mut kcat = Command::new("kcat");
    kcat.args([
        "-P", "-b", bootstrap, "-t", topic, "-p", "0", "-K", KEY_END, "-D", RECORD_END,
    ]);
    kcat.args(["-X", "enable.idempotence=true"]);
    for setting in Client::Kcat.settings(how) {
        kcat.args(["-X", &setting]);
    }
    let headers = records.first().map(|record| record.headers.clone()).unwrap_or_default();
    for (name, value) in &headers {
        let value = String::from_utf8(value.clone().expect("kcat sends no null header")).expect("kcat sends text");
        kcat.args(["-H", &format!("{name}={value}")]);
    }
    let child = kcat.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("kcat: {error}; run ci/install"));
    child
        .stdin
        .take()
        .expect("the input is piped")
        .write_all(&input)
        .expect("kcat takes its input");
    let ended = child.wait_with_output().expect("kcat ends");
    assert!(
        ended.status.success(),
        "kcat: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

/// As [`Client::consume`] of kcat, headers left out: it prints them without their lengths, so only plain text ones
/// can be told apart.
pub fn kcat_consume_without_headers(bootstrap: &str, topic: &str, partition: i32, count: usize) -> Vec<Stored> {
    kcat_consume(bootstrap, topic, partition, count, "")
}

fn kcat_consume(bootstrap: &str, topic: &str, partition: i32, count: usize, headers: &str) -> Vec<Stored> {
    let format = format!("%o %T %K %S {headers}\\n%k%s");
    let mut kcat = Command::new("kcat");
    kcat.args(["-C", "-q", "-b", bootstrap, "-t", topic, "-o", "beginning"]);
    kcat.args(["-p", &partition.to_string(), "-c", &count.to_string()]);
    kcat.args(["-X", "check.crcs=true", "-f", &format]);
    let printed = output(&mut kcat);
    let mut rest = printed.as_slice();
    let mut read = Vec::new();
    while !rest.is_empty() {
        read.push(kcat_record(&mut rest, partition));
    }
    read
}

/// Reads one record as `-f` wrote it: its lengths say where key and value end, whatever they hold.
fn kcat_record(rest: &mut &[u8], partition: i32) -> Stored {
    let mut line = String::new();
    BufRead::read_line(rest, &mut line).expect("kcat writes a line first");
    let fields: Vec<&str> = line.trim_end_matches('\n').splitn(5, ' ').collect();
    let [offset, timestamp, key, value, headers] = fields[..] else {
        panic!("not kcat's line: {line}");
    };
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("not a number: {text}"));
    let mut bytes = |length: i64| {
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        rest.read_exact(&mut bytes).expect("kcat writes as much as it said");
        Some(bytes)
    };
    let (key, value) = (bytes(number(key)), bytes(number(value)));
    let headers = headers.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').expect("kcat writes name=value");
        (name.to_owned(), (value != "NULL").then(|| value.as_bytes().to_vec()))
    });
    Stored {
        offset: number(offset),
        record: Record {
            partition,
            timestamp: number(timestamp),
            key,
            value,
            headers: headers.collect(),
        },
    }
}
