//! Real clients: each library as a process of its own, driven by lines of JSON, and each command-line client by its
//! own arguments.
//!
//! An [`Actor`] is one client at work: one process that may be a group's member and may crash. What it can be asked is
//! the same for all; what a client cannot carry is in [`Carries`], and what it cannot do at all the client matrix names.

mod actor;
mod driver;
mod follow;
mod kcat;
mod tools;

pub use actor::{Actor, From, Member, Produce, Refusal};
pub use tools::Tool;

use crate::installed;
use crate::record::{Record, Stored};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// A client, by its library.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Client {
    /// Kafka's own client.
    Java,
    /// Kafka's own command-line tools.
    Tools,
    /// confluent-kafka for Python, with a current librdkafka.
    Confluent,
    /// kcat, with the librdkafka 2.0 of Debian.
    Kcat,
    /// kafka-python.
    KafkaPython,
    /// aiokafka.
    AioKafka,
    /// KafkaJS.
    KafkaJs,
    /// franz-go.
    FranzGo,
    /// kafka-go.
    KafkaGo,
    /// librdkafka in Rust.
    RdKafka,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Java,
        Self::Tools,
        Self::Confluent,
        Self::Kcat,
        Self::KafkaPython,
        Self::AioKafka,
        Self::KafkaJs,
        Self::FranzGo,
        Self::KafkaGo,
        Self::RdKafka,
    ];

    /// Its own name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Java => "kafka-clients",
            Self::Tools => "Kafka's tools",
            Self::Confluent => "confluent-kafka",
            Self::Kcat => "kcat",
            Self::KafkaPython => "kafka-python",
            Self::AioKafka => "aiokafka",
            Self::KafkaJs => "KafkaJS",
            Self::FranzGo => "franz-go",
            Self::KafkaGo => "kafka-go",
            Self::RdKafka => "rdkafka",
        }
    }

    /// Why it cannot be run here, if so.
    pub fn missing(self) -> Option<String> {
        let missing = |path: &PathBuf| (!path.exists()).then(|| format!("{} is missing", path.display()));
        match self {
            Self::Kcat => Command::new("kcat")
                .arg("-V")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .err()
                .map(|error| format!("kcat: {error}")),
            _ => self.installed().iter().find_map(missing),
        }
    }

    /// What `ci/install` puts there for it.
    fn installed(self) -> Vec<PathBuf> {
        let parts: &[&str] = match self {
            Self::Java => &["kafka-clients-4.4.0", "java/Driver.class"],
            Self::Tools => &["kafka-tools-4.3.1", "kafka_2.13-4.3.1", "java"],
            Self::Kcat => &[],
            Self::Confluent | Self::KafkaPython | Self::AioKafka => &["python.stamp", "python/bin/python"],
            Self::KafkaJs => &["kafkajs.stamp", "kafkajs/driver.js"],
            Self::FranzGo => &["go/franz"],
            Self::KafkaGo => &["go/segment"],
            Self::RdKafka => &["rdkafka/klamm-client-rdkafka"],
        };
        parts.iter().map(|part| installed::clients().join(part)).collect()
    }

    /// The command that drives its library, but for the address of the broker.
    fn command(self) -> Command {
        let python = |script: &str| {
            let mut python = Command::new(installed::client("python/bin/python"));
            python.arg(installed::root().join("tests/clients/python").join(script));
            // The sources lie in the repository, and nothing is to be left there.
            python.env("PYTHONDONTWRITEBYTECODE", "1");
            python
        };
        match self {
            Self::Java => java("kafka-clients-4.4.0", "Driver"),
            Self::Confluent => python("confluent.py"),
            Self::KafkaPython => python("kafka_python.py"),
            Self::AioKafka => python("aio.py"),
            Self::KafkaJs => {
                let mut node = Command::new("node");
                node.arg(installed::client("kafkajs/driver.js"));
                node
            }
            Self::FranzGo => Command::new(installed::client("go/franz")),
            Self::KafkaGo => Command::new(installed::client("go/segment")),
            Self::RdKafka => Command::new(installed::client("rdkafka/klamm-client-rdkafka")),
            Self::Tools | Self::Kcat => unreachable!("{} is no library", self.name()),
        }
    }

    /// What it can carry.
    pub const fn carries(self) -> Carries {
        let all = Carries {
            text_only: false,
            one_partition: false,
            timestamps: true,
            null_in_header: true,
            null_key_with_null_value: true,
            empty_read_as_null: false,
            headers_by_name: false,
            idempotent: true,
            commits_by_itself: false,
        };
        match self {
            Self::Java | Self::Confluent | Self::FranzGo | Self::RdKafka => all,
            Self::Tools => Carries {
                text_only: true,
                one_partition: true,
                commits_by_itself: true,
                timestamps: false,
                ..all
            },
            Self::Kcat => Carries {
                text_only: true,
                commits_by_itself: true,
                timestamps: false,
                ..all
            },
            Self::KafkaPython => Carries {
                null_in_header: false,
                null_key_with_null_value: false,
                ..all
            },
            Self::AioKafka => Carries {
                null_key_with_null_value: false,
                ..all
            },
            Self::KafkaJs => Carries {
                null_in_header: false,
                headers_by_name: true,
                ..all
            },
            Self::KafkaGo => Carries {
                empty_read_as_null: true,
                idempotent: false,
                ..all
            },
        }
    }
}

/// What a client can send and show of a record.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact about a client's library, and no two follow from one another"
)]
pub struct Carries {
    /// Keys and values are lines of text.
    pub text_only: bool,
    /// The client chooses the partition, by the key.
    pub one_partition: bool,
    /// It can set a record's time.
    pub timestamps: bool,
    /// It can send a header without a value.
    pub null_in_header: bool,
    /// It can send a record without key and value.
    pub null_key_with_null_value: bool,
    /// It shows what is empty as null.
    pub empty_read_as_null: bool,
    /// It shows headers by their names, in the order of each name's first.
    pub headers_by_name: bool,
    /// Its producers can be idempotent.
    pub idempotent: bool,
    /// A member of a group commits by itself what it has read, a moment later.
    pub commits_by_itself: bool,
}

impl Carries {
    /// `record` as the client can send it.
    pub fn sendable(self, mut record: Record) -> Record {
        if !self.null_in_header {
            for (_, value) in &mut record.headers {
                value.get_or_insert_default();
            }
        }
        if self.headers_by_name {
            group_by_name(&mut record.headers);
        }
        if !self.null_key_with_null_value && record.key.is_none() {
            record.value.get_or_insert_default();
        }
        record
    }

    /// What the client shows of what stands in the log.
    pub fn shown(self, stored: &Stored) -> Stored {
        let mut stored = stored.clone();
        if self.empty_read_as_null {
            let hide = |bytes: &mut Option<Vec<u8>>| *bytes = bytes.take().filter(|bytes| !bytes.is_empty());
            let record = &mut stored.record;
            hide(&mut record.key);
            hide(&mut record.value);
            record.headers.iter_mut().for_each(|(_, value)| hide(value));
        }
        if self.headers_by_name {
            group_by_name(&mut stored.record.headers);
        }
        stored
    }
}

/// Puts headers of the same name together, in the order of each name's first.
fn group_by_name(headers: &mut [(String, Option<Vec<u8>>)]) {
    let names: Vec<String> = headers.iter().map(|(name, _)| name.clone()).collect();
    headers.sort_by_key(|(name, _)| names.iter().position(|known| known == name));
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
    /// All of them, in the order of their numbers in a batch's attributes.
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

/// Java with the jars of one folder and the compiled driver, ready for arguments to `class`.
pub fn java(folder: &str, class: &str) -> Command {
    let mut java = Command::new("java");
    let folder = installed::client(folder);
    let path = format!("{}:{}/*", installed::client("java").display(), folder.display());
    java.args([
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
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

/// Runs a command on an input that comes in parts, a moment apart.
fn fed(command: &mut Command, parts: &[Vec<u8>]) -> Output {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        child.unwrap_or_else(|error| panic!("{}: {error}; run ci/install", command.get_program().display()));
    let mut input = child.stdin.take().expect("the input is piped");
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            sleep(Duration::from_millis(2));
        }
        // A command that ended before it read all says why in its output.
        let _ = input.write_all(part).and_then(|()| input.flush());
    }
    drop(input);
    child.wait_with_output().expect("the command ends")
}

/// The text that a request has under that name, or none.
fn text<'a>(request: &'a Value, name: &str) -> &'a str {
    request[name].as_str().unwrap_or_default()
}

/// The records that a request wants sent, and how many of them are to go at once.
fn to_send(request: &Value) -> (Vec<Record>, usize) {
    let records = request["records"].as_array().expect("records to send");
    let records: Vec<Record> = records.iter().map(Record::from_json).collect();
    let each = request["each"].as_u64().map_or(records.len(), |each| each as usize);
    (records, each)
}

/// Records as an answer shows them.
fn told(records: &[Stored]) -> Value {
    json!({ "records": records.iter().map(Stored::to_json).collect::<Vec<_>>() })
}

/// The settings of a command-line client that is a group's member, as `name=value`.
fn member_settings(request: &Value) -> Vec<String> {
    let instance = request["instance"].as_str();
    let instance = instance.map(|name| format!("group.instance.id={name}"));
    let settings = [
        format!("session.timeout.ms={}", request["session_ms"]),
        String::from("heartbeat.interval.ms=500"),
        String::from("auto.offset.reset=earliest"),
        String::from("auto.commit.interval.ms=100"),
    ];
    settings.into_iter().chain(instance).collect()
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
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::remove_file(&self.0);
    }
}
