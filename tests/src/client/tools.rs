//! Kafka's command-line tools: what drivers are asked, said in their arguments; each request is a run of its own.

use super::actor::{Endpoint, Refusal};
use super::follow::Follower;
use super::{Scratch, fed, java, member_settings, text, to_send};
use crate::record::{Record, Stored};
use serde_json::{Map, Value, json};
use std::io::BufRead;
use std::process::Command;

/// A tool of Kafka's, by the class that its shell script starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    /// `kafka-topics`.
    Topics,
    /// `kafka-console-producer`.
    ConsoleProducer,
    /// `kafka-console-consumer`.
    ConsoleConsumer,
    /// `kafka-get-offsets`.
    GetOffsets,
    /// `kafka-dump-log`.
    DumpLog,
    /// `kafka-configs`.
    Configs,
    /// `kafka-delete-records`.
    DeleteRecords,
    /// `kafka-consumer-groups`.
    Groups,
    /// `kafka-verifiable-producer`.
    VerifiableProducer,
    /// `kafka-verifiable-consumer`.
    VerifiableConsumer,
    /// `kafka-producer-perf-test`.
    ProducerPerformance,
    /// `kafka-consumer-perf-test`.
    ConsumerPerformance,
    /// `kafka-e2e-latency`.
    EndToEndLatency,
}

/// What a null is on the tools' lines; no text that they are given is that.
const NULL: &str = "\\N";

/// How long a console consumer waits for a record, in milliseconds.
const PATIENCE_MS: &str = "300000";

impl Tool {
    const fn class(self) -> &'static str {
        match self {
            Self::Topics => "org.apache.kafka.tools.TopicCommand",
            Self::ConsoleProducer => "org.apache.kafka.tools.ConsoleProducer",
            Self::ConsoleConsumer => "org.apache.kafka.tools.consumer.ConsoleConsumer",
            Self::GetOffsets => "org.apache.kafka.tools.GetOffsetShell",
            Self::DumpLog => "org.apache.kafka.tools.DumpLogSegments",
            Self::Configs => "kafka.admin.ConfigCommand",
            Self::Groups => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            Self::VerifiableProducer => "org.apache.kafka.tools.VerifiableProducer",
            Self::VerifiableConsumer => "org.apache.kafka.tools.VerifiableConsumer",
            Self::ProducerPerformance => "org.apache.kafka.tools.ProducerPerformance",
            Self::ConsumerPerformance => "org.apache.kafka.tools.ConsumerPerformance",
            Self::EndToEndLatency => "org.apache.kafka.tools.EndToEndLatency",
            Self::DeleteRecords => "org.apache.kafka.tools.DeleteRecordsCommand",
        }
    }

    /// The folder with its jars: `kafka-configs` is a part of the broker.
    const fn jars(self) -> &'static str {
        match self {
            Self::Configs => "kafka_2.13-4.3.1",
            _ => "kafka-tools-4.3.1",
        }
    }

    /// The tool, ready for its arguments.
    pub fn command(self) -> Command {
        java(self.jars(), self.class())
    }

    /// Runs it and returns what it wrote; an error that it only logged counts too.
    pub fn run(self, bootstrap: &str, arguments: &[&str]) -> Result<String, Refusal> {
        self.run_on(bootstrap, arguments, &[])
    }

    /// As `run`, with an input that comes in parts, a moment apart.
    fn run_on(self, bootstrap: &str, arguments: &[&str], input: &[Vec<u8>]) -> Result<String, Refusal> {
        let mut command = self.command();
        command.args(["--bootstrap-server", bootstrap]).args(arguments);
        let ended = fed(&mut command, input);
        let (said, told) = (
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr),
        );
        if ended.status.success() && !told.contains("ERROR") && !told.contains("Exception") {
            return Ok(said.into_owned());
        }
        let text = format!("{self:?}: {}: {said}{told}", ended.status);
        let named = |(name, code): &(&str, i64)| text.contains(name).then_some(*code);
        let code = CODES.iter().find_map(named);
        Err(Refusal { text, code })
    }
}

/// Kafka's codes of the exceptions that tests look for, in the tools' words.
const CODES: [(&str, i64); 4] = [
    ("TopicExistsException", 36),
    ("RecordTooLargeException", 10),
    ("UnknownTopicOrPartitionException", 3),
    ("TransactionalIdAuthorizationException", 53),
];

/// The tools, and what is read with them.
pub(super) struct Tools {
    bootstrap: String,
    topic: String,
    partition: String,
    offset: String,
    member: Option<Follower>,
}

impl Tools {
    /// The tools for the broker at `bootstrap`.
    pub(super) fn new(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            topic: String::new(),
            partition: String::new(),
            offset: String::new(),
            member: None,
        }
    }

    fn topics(&self, arguments: &[&str]) -> Result<String, Refusal> {
        Tool::Topics.run(&self.bootstrap, arguments)
    }

    fn create_topic(&self, request: &Value) -> Result<Value, Refusal> {
        let partitions = request["partitions"].to_string();
        let mut arguments = vec![
            "--create",
            "--topic",
            text(request, "topic"),
            "--partitions",
            &partitions,
        ];
        let config = pairs(&request["config"]);
        arguments.extend(config.iter().flat_map(|pair| ["--config", pair]));
        self.topics(&arguments).map(|_| json!({}))
    }

    /// Lines `Topic: … Partition: … Leader: …`, separated by tabs.
    fn describe_topic(&self, topic: &str) -> Result<Value, Refusal> {
        let told = self.topics(&["--describe", "--topic", topic])?;
        let field = |line: &str, name: &str| -> Option<i64> {
            let mut fields = line.split('\t');
            fields.find_map(|field| field.strip_prefix(name)?.trim().parse().ok())
        };
        let led = told.lines().filter(|line| field(line, "Leader: ").is_some());
        let partitions: Vec<i64> = led.filter_map(|line| field(line, "Partition: ")).collect();
        Ok(json!({ "partitions": partitions }))
    }

    fn create_partitions(&self, request: &Value) -> Result<Value, Refusal> {
        let count = request["partitions"].to_string();
        let arguments = ["--alter", "--topic", text(request, "topic"), "--partitions", &count];
        self.topics(&arguments).map(|_| json!({}))
    }

    /// Lines `  name=value sensitive=false synonyms={…}`.
    fn describe_config(&self, topic: &str) -> Result<Value, Refusal> {
        let arguments = ["--describe", "--all", "--topic", topic];
        let told = Tool::Configs.run(&self.bootstrap, &arguments)?;
        let pair = |line: &str| -> Option<(String, Value)> {
            let (name, rest) = line.strip_prefix("  ")?.split_once('=')?;
            let (value, _) = rest.split_once(" sensitive=")?;
            Some((name.to_owned(), value.into()))
        };
        let config: Map<String, Value> = told.lines().filter_map(pair).collect();
        Ok(json!({ "config": config }))
    }

    fn alter_config(&self, request: &Value) -> Result<Value, Refusal> {
        let changes = pairs(&request["config"]).join(",");
        let arguments = ["--alter", "--topic", text(request, "topic"), "--add-config", &changes];
        Tool::Configs.run(&self.bootstrap, &arguments).map(|_| json!({}))
    }

    fn delete_records(&self, request: &Value) -> Result<Value, Refusal> {
        let file = Scratch::new("offsets.json");
        let place = json!({
            "topic": request["topic"], "partition": request["partition"], "offset": request["before"],
        });
        let asked = json!({ "partitions": [place], "version": 1 });
        std::fs::write(file.path(), asked.to_string()).expect("a file");
        let arguments = ["--offset-json-file", &file.path().display().to_string()];
        Tool::DeleteRecords.run(&self.bootstrap, &arguments).map(|_| json!({}))
    }

    fn produce(&self, request: &Value) -> Result<Value, Refusal> {
        let (records, each) = to_send(request);
        if let Some(id) = request["transactional"].as_str() {
            return self.produce_in_transaction(request, &records, id);
        }
        let parts = records.chunks(each);
        let parts: Vec<Vec<u8>> = parts.map(|part| part.iter().flat_map(line).collect()).collect();
        let idempotent = format!("enable.idempotence={}", request["idempotent"]);
        let size = format!(
            "max.request.size={}",
            request["max_bytes"].as_i64().unwrap_or(1_048_588)
        );
        let null = format!("null.marker={NULL}");
        let mut arguments = vec!["--topic", text(request, "topic")];
        arguments.extend(["--compression-codec", text(request, "compression")]);
        for setting in [&idempotent, &size, "delivery.timeout.ms=180000", "max.block.ms=120000"] {
            arguments.extend(["--command-property", setting]);
        }
        for property in ["parse.key=true", "parse.headers=true", &null] {
            arguments.extend(["--reader-property", property]);
        }
        Tool::ConsoleProducer.run_on(&self.bootstrap, &arguments, &parts)?;
        Ok(json!({ "offsets": [] }))
    }

    /// The one tool with transactions sends lines of a file, in no order.
    fn produce_in_transaction(&self, request: &Value, records: &[Record], id: &str) -> Result<Value, Refusal> {
        let file = Scratch::new("payload.txt");
        let lines: Vec<u8> = records.iter().flat_map(line).collect();
        std::fs::write(file.path(), lines).expect("a file");
        let (path, count) = (file.path().display().to_string(), records.len().to_string());
        let mut arguments = vec!["--topic", text(request, "topic"), "--payload-file", &path];
        arguments.extend(["--num-records", &count, "--throughput", "-1", "--transactional-id", id]);
        Tool::ProducerPerformance.run(&self.bootstrap, &arguments)?;
        Ok(json!({ "offsets": [] }))
    }

    fn assign(&mut self, request: &Value) -> Result<(), Refusal> {
        let [partition] = request["partitions"].as_array().expect("partitions").as_slice() else {
            panic!("the console consumer reads one partition");
        };
        text(request, "topic").clone_into(&mut self.topic);
        self.partition = partition.to_string();
        self.offset = match &request["from"] {
            from if from == "earliest" => String::from("earliest"),
            from if from == "latest" => self.offset_at("latest")?,
            from => self.offset_at(&from["timestamp"].to_string())?,
        };
        Ok(())
    }

    /// What `kafka-get-offsets` says, as `topic:partition:offset`.
    fn offset_at(&self, time: &str) -> Result<String, Refusal> {
        let place = format!("{}:{}", self.topic, self.partition);
        let arguments = ["--topic-partitions", &place, "--time", time];
        let told = Tool::GetOffsets.run(&self.bootstrap, &arguments)?;
        let offset = told.trim().rsplit(':').next().unwrap_or_default();
        Ok(offset.to_owned())
    }

    fn subscribe(&mut self, request: &Value) {
        let mut consumer = Tool::ConsoleConsumer.command();
        let (topic, group) = (text(request, "topic"), text(request, "group"));
        consumer.args([
            "--bootstrap-server",
            &self.bootstrap,
            "--topic",
            topic,
            "--group",
            group,
        ]);
        for setting in &member_settings(request) {
            consumer.args(["--command-property", setting]);
        }
        for property in shown_parts() {
            consumer.args(["--formatter-property", &property]);
        }
        let parse_next = |output: &mut dyn BufRead| {
            let mut lines = output.lines().map_while(Result::ok);
            lines.find_map(|line| parse(&line))
        };
        self.member = Some(Follower::start(consumer, parse_next));
    }

    fn groups(&self, arguments: &[&str]) -> Result<String, Refusal> {
        Tool::Groups.run(&self.bootstrap, arguments)
    }

    /// The last line's last columns are the state and the number of members.
    fn describe_group(&self, group: &str) -> Result<Value, Refusal> {
        let told = self.groups(&["--describe", "--state", "--group", group])?;
        let line = told.lines().rfind(|line| line.starts_with(group));
        let mut words = line.unwrap_or_default().split_whitespace().rev();
        let members: Option<u64> = words.next().and_then(|word| word.parse().ok());
        Ok(json!({ "members": members, "state": words.next() }))
    }

    fn read(&self, count: &str) -> Result<Value, Refusal> {
        let mut arguments = vec!["--topic", &self.topic, "--partition", &self.partition];
        arguments.extend([
            "--offset",
            &self.offset,
            "--max-messages",
            count,
            "--timeout-ms",
            PATIENCE_MS,
        ]);
        let shown = shown_parts();
        for property in &shown {
            arguments.extend(["--formatter-property", property]);
        }
        let told = match Tool::ConsoleConsumer.run(&self.bootstrap, &arguments) {
            // It counts what it read where others see errors.
            Err(refusal) if !refusal.text.contains("Processed a total of") => return Err(refusal),
            Err(refusal) => refusal.text,
            Ok(told) => told,
        };
        let records: Vec<Stored> = told.lines().filter_map(parse).collect();
        Ok(super::told(&records))
    }
}

impl Endpoint for Tools {
    fn call(&mut self, request: &Value) -> Result<Value, Refusal> {
        let topic = text(request, "topic");
        match text(request, "op") {
            "create_topic" => self.create_topic(request),
            "delete_topic" => self.topics(&["--delete", "--topic", topic]).map(|_| json!({})),
            "list_topics" => {
                let told = self.topics(&["--list"])?;
                Ok(json!({ "topics": told.lines().collect::<Vec<_>>() }))
            }
            "describe_topic" => self.describe_topic(topic),
            "create_partitions" => self.create_partitions(request),
            "describe_config" => self.describe_config(topic),
            "alter_config" => self.alter_config(request),
            "delete_records" => self.delete_records(request),
            "produce" => self.produce(request),
            "assign" => self.assign(request).map(|()| json!({})),
            "seek" => {
                self.offset = request["offset"].to_string();
                Ok(json!({}))
            }
            "read" => self.read(&request["count"].to_string()),
            "subscribe" => {
                self.subscribe(request);
                Ok(json!({}))
            }
            "drain" => {
                let read = self.member.as_mut().expect("a member").drain();
                Ok(super::told(&read))
            }
            "list_groups" => {
                let told = self.groups(&["--list"])?;
                Ok(json!({ "groups": told.lines().collect::<Vec<_>>() }))
            }
            "describe_group" => self.describe_group(text(request, "group")),
            "delete_group" => {
                let arguments = ["--delete", "--group", text(request, "group")];
                let told = self.groups(&arguments)?;
                // It ends well, whatever it says.
                if told.contains("successful") {
                    Ok(json!({}))
                } else {
                    Err(Refusal::saying(told))
                }
            }
            "leave" => {
                if let Some(member) = self.member.take() {
                    member.leave();
                }
                Ok(json!({}))
            }
            other => Err(Refusal::saying(format!("the tools have nothing for {other}"))),
        }
    }
}

/// Settings as `name=value`.
fn pairs(config: &Value) -> Vec<String> {
    let config = config.as_object().expect("a configuration").iter();
    let pair = |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
    config.map(pair).collect()
}

/// What the console consumer is to write of a record.
fn shown_parts() -> Vec<String> {
    let parts = ["timestamp", "partition", "offset", "headers", "key"].map(|part| format!("print.{part}=true"));
    parts.into_iter().chain([format!("null.literal={NULL}")]).collect()
}

fn shown(bytes: Option<&[u8]>) -> &str {
    bytes.map_or(NULL, |bytes| {
        std::str::from_utf8(bytes).expect("the tools are given text")
    })
}

/// A record on the console producer's input: headers, key, value.
fn line(record: &Record) -> Vec<u8> {
    let pairs = record.headers.iter();
    let headers: Vec<String> = pairs
        .map(|(name, value)| format!("{name}:{}", shown(value.as_deref())))
        .collect();
    let headers = if headers.is_empty() {
        NULL.to_owned()
    } else {
        headers.join(",")
    };
    let (key, value) = (shown(record.key.as_deref()), shown(record.value.as_deref()));
    format!("{headers}\t{key}\t{value}\n").into_bytes()
}

/// A record as the console consumer writes it; other lines are none.
fn parse(line: &str) -> Option<Stored> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [timestamp, partition, offset, headers, key, value] = fields[..] else {
        return None;
    };
    let bytes = |text: &str| (text != NULL).then(|| text.as_bytes().to_vec());
    let header = |pair: &str| {
        let (name, value) = pair.split_once(':').expect("the consumer writes name:value");
        (name.to_owned(), bytes(value))
    };
    let headers = if headers == "NO_HEADERS" { "" } else { headers };
    Some(Stored {
        offset: offset.strip_prefix("Offset:")?.parse().ok()?,
        record: Record {
            partition: partition.strip_prefix("Partition:")?.parse().ok()?,
            timestamp: timestamp.strip_prefix("CreateTime:")?.parse().ok()?,
            key: bytes(key),
            value: bytes(value),
            headers: headers.split(',').filter(|pair| !pair.is_empty()).map(header).collect(),
        },
    })
}
