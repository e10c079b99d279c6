//! kcat: what drivers are asked, said in its arguments; each request is a run of its own.

use super::actor::{Endpoint, Refusal};
use super::follow::Follower;
use super::{fed, member_settings, output, text, to_send, told};
use crate::record::{Record, Stored};
use serde_json::{Value, json};
use std::io::BufRead;
use std::process::Command;

/// What stands between records and between key and value on kcat's input; no text that it is given holds it.
const RECORD_END: &str = "\n";
const KEY_END: &str = ":";

/// Kafka's codes of the errors that tests look for, in librdkafka's words.
const CODES: [(&str, i64); 2] = [
    ("Message size too large", 10),
    ("Transactional Id authorization failed", 53),
];

/// Where reading goes on.
struct Place {
    topic: String,
    partition: i64,
    offset: String,
}

/// kcat, and what it reads.
pub(super) struct Kcat {
    bootstrap: String,
    place: Option<Place>,
    member: Option<Follower>,
}

impl Kcat {
    /// kcat for the broker at `bootstrap`.
    pub(super) fn new(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            place: None,
            member: None,
        }
    }

    fn command(&self, mode: &str) -> Command {
        // It waits for records without end.
        let mut kcat = Command::new("timeout");
        kcat.args(["300", "kcat", mode, "-b", &self.bootstrap]);
        kcat
    }

    fn metadata(&self, topic: Option<&str>) -> Value {
        let mut kcat = self.command("-L");
        kcat.arg("-J");
        if let Some(topic) = topic {
            kcat.args(["-t", topic]);
        }
        serde_json::from_slice(&output(&mut kcat)).expect("kcat writes JSON")
    }

    fn list_topics(&self) -> Value {
        let metadata = self.metadata(None);
        let topics = metadata["topics"].as_array().expect("kcat lists topics");
        let names: Vec<&Value> = topics.iter().map(|topic| &topic["topic"]).collect();
        json!({ "topics": names })
    }

    fn describe_topic(&self, topic: &str) -> Result<Value, Refusal> {
        let metadata = self.metadata(Some(topic));
        let described = &metadata["topics"][0];
        if let Some(error) = described["error"].as_str() {
            return Err(Refusal::saying(error));
        }
        let partitions = described["partitions"].as_array().expect("a topic has partitions");
        let led = partitions
            .iter()
            .filter(|partition| partition["leader"].as_i64() >= Some(0));
        let led: Vec<&Value> = led.map(|partition| &partition["partition"]).collect();
        Ok(json!({ "partitions": led }))
    }

    /// A run has one partition and one set of headers, so the records are sent in as many.
    fn produce(&self, request: &Value) -> Result<Value, Refusal> {
        let (mut records, each) = to_send(request);
        records.sort_by_key(|record| record.partition);
        let same = |a: &Record, b: &Record| (a.partition, &a.headers) == (b.partition, &b.headers);
        for run in records.chunk_by(same) {
            self.produce_run(request, run, each)?;
        }
        Ok(json!({ "offsets": [] }))
    }

    fn produce_run(&self, request: &Value, records: &[Record], each: usize) -> Result<(), Refusal> {
        let mut kcat = self.command("-P");
        let partition = records[0].partition.to_string();
        kcat.args(["-t", text(request, "topic"), "-p", &partition, "-Z"]);
        kcat.args(["-K", KEY_END, "-D", RECORD_END]);
        let bytes = request["max_bytes"].as_i64().unwrap_or(1_048_588);
        let settings = [
            format!("compression.type={}", text(request, "compression")),
            format!("enable.idempotence={}", request["idempotent"]),
            format!("message.max.bytes={bytes}"),
            String::from("message.timeout.ms=180000"),
        ];
        let transactional = request["transactional"]
            .as_str()
            .map(|id| format!("transactional.id={id}"));
        for setting in settings.iter().chain(&transactional) {
            kcat.args(["-X", setting]);
        }
        if !request["each"].is_null() {
            // Or it ends when no broker is there.
            kcat.arg("-E");
        }
        for (name, value) in &records[0].headers {
            let value = String::from_utf8(value.clone().expect("kcat sends no null header")).expect("kcat sends text");
            kcat.args(["-H", &format!("{name}={value}")]);
        }
        let parts = records.chunks(each);
        let parts: Vec<Vec<u8>> = parts.map(|part| part.iter().flat_map(line).collect()).collect();
        let ended = fed(&mut kcat, &parts);
        let told = String::from_utf8_lossy(&ended.stderr);
        if ended.status.success() && !told.contains("Delivery failed") {
            return Ok(());
        }
        let named = |(words, code): &(&str, i64)| told.contains(words).then_some(*code);
        Err(Refusal {
            code: CODES.iter().find_map(named),
            text: told.into_owned(),
        })
    }

    fn assign(&mut self, request: &Value) {
        let [partition] = request["partitions"].as_array().expect("partitions").as_slice() else {
            panic!("kcat reads one partition");
        };
        let topic = text(request, "topic").to_owned();
        let partition = partition.as_i64().expect("a number");
        let offset = match &request["from"] {
            from if from == "earliest" => String::from("beginning"),
            from if from == "latest" => self.end(&topic, partition),
            from => format!("s@{}", from["timestamp"]),
        };
        self.place = Some(Place {
            topic,
            partition,
            offset,
        });
    }

    /// The offset of the next record.
    fn end(&self, topic: &str, partition: i64) -> String {
        let mut kcat = self.command("-Q");
        kcat.args(["-t", &format!("{topic}:{partition}:-1")]);
        let told = String::from_utf8(output(&mut kcat)).expect("kcat writes text");
        let offset = told.trim().rsplit(' ').next().expect("kcat tells an offset");
        offset.to_owned()
    }

    fn subscribe(&mut self, request: &Value) {
        let mut kcat = Command::new("kcat");
        kcat.args(["-b", &self.bootstrap, "-q", "-u", "-f", "%p\\n%o %T %K %S %h\\n%k%s"]);
        for setting in &member_settings(request) {
            kcat.args(["-X", setting]);
        }
        kcat.args(["-G", text(request, "group"), text(request, "topic")]);
        let parse_next = |mut output: &mut dyn BufRead| {
            let mut line = String::new();
            output.read_line(&mut line).expect("kcat writes text first");
            let partition = line.trim_end().parse().ok()?;
            Some(parse(&mut output, partition))
        };
        self.member = Some(Follower::start(kcat, parse_next));
    }

    /// Header texts have no lengths, so that only plain ones can be told apart.
    fn read(&mut self, count: u64) -> Vec<Stored> {
        let place = self.place.as_ref().expect("a partition was assigned");
        let mut kcat = self.command("-C");
        kcat.args(["-q", "-t", &place.topic, "-o", &place.offset]);
        kcat.args(["-p", &place.partition.to_string(), "-c", &count.to_string()]);
        kcat.args(["-X", "check.crcs=true", "-f", "%o %T %K %S %h\\n%k%s"]);
        let printed = output(&mut kcat);
        let (mut rest, mut read) = (printed.as_slice(), Vec::new());
        while !rest.is_empty() {
            read.push(parse(&mut rest, place.partition));
        }
        read
    }
}

impl Endpoint for Kcat {
    fn call(&mut self, request: &Value) -> Result<Value, Refusal> {
        match text(request, "op") {
            "list_topics" => Ok(self.list_topics()),
            "describe_topic" => self.describe_topic(text(request, "topic")),
            "produce" => self.produce(request),
            "assign" => {
                self.assign(request);
                Ok(json!({}))
            }
            "seek" => {
                let place = self.place.as_mut().expect("a partition was assigned");
                place.offset = request["offset"].to_string();
                Ok(json!({}))
            }
            "read" => {
                let count = request["count"].as_u64().expect("a number");
                Ok(told(&self.read(count)))
            }
            "subscribe" => {
                self.subscribe(request);
                Ok(json!({}))
            }
            "drain" => Ok(told(&self.member.as_mut().expect("a member").drain())),
            "leave" => {
                self.place = None;
                if let Some(member) = self.member.take() {
                    member.leave();
                }
                Ok(json!({}))
            }
            other => Err(Refusal::saying(format!("kcat has nothing for {other}"))),
        }
    }
}

/// A record on kcat's input, where nothing stands for null.
fn line(record: &Record) -> Vec<u8> {
    let mut line = record.key.clone().unwrap_or_default();
    line.extend_from_slice(KEY_END.as_bytes());
    line.extend_from_slice(record.value.as_deref().unwrap_or_default());
    line.extend_from_slice(RECORD_END.as_bytes());
    line
}

/// Reads one record as `-f` wrote it: its lengths say where key and value end, whatever they hold.
fn parse(rest: &mut impl BufRead, partition: i64) -> Stored {
    let mut line = String::new();
    rest.read_line(&mut line).expect("kcat writes a line first");
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
            partition: i32::try_from(partition).expect("partitions are 32 bits"),
            timestamp: number(timestamp),
            key,
            value,
            headers: headers.collect(),
        },
    }
}
