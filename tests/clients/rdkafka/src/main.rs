//! Drives librdkafka through `rdkafka`, by the lines that `tests/clients/README.md` describes.

use futures_executor::block_on;
use rdkafka::ClientContext;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Map, Value, json};
use std::io::{BufRead, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);
const TURN: Duration = Duration::from_millis(50);

/// What goes wrong: by Kafka's code where there is one.
struct Refusal {
    text: String,
    code: Option<i32>,
}

impl From<KafkaError> for Refusal {
    fn from(error: KafkaError) -> Self {
        Self {
            text: error.to_string(),
            code: error.rdkafka_error_code().map(|code| code as i32),
        }
    }
}

impl From<RDKafkaErrorCode> for Refusal {
    fn from(code: RDKafkaErrorCode) -> Self {
        Self {
            text: code.to_string(),
            code: Some(code as i32),
        }
    }
}

type Answer = Result<Value, Refusal>;

/// The offsets of the records that were sent, by their place, as the broker acknowledges them.
#[derive(Clone, Default)]
struct Acknowledged(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    offsets: Vec<Option<i64>>,
    failed: Option<KafkaError>,
}

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Self::DeliveryOpaque) {
        let mut told = self.0.lock().expect("nobody panics with it");
        match result {
            Ok(message) => told.offsets[*index] = Some(message.offset()),
            Err((error, _)) => told.failed = Some(error.clone()),
        }
    }
}

struct Driver {
    bootstrap: String,
    admin: AdminClient<DefaultClientContext>,
    consumer: Option<BaseConsumer>,
    member: bool,
    records: Vec<Value>,
    failed: Option<KafkaError>,
}

fn text<'a>(request: &'a Value, name: &str) -> &'a str {
    request[name].as_str().unwrap_or_default()
}

fn number(request: &Value, name: &str) -> i64 {
    request[name].as_i64().unwrap_or_default()
}

fn config(request: &Value) -> Vec<(&str, &str)> {
    let pairs = request["config"].as_object().into_iter().flatten();
    pairs
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
        .collect()
}

fn decode(hex: &Value) -> Option<Vec<u8>> {
    let digits = hex.as_str()?.as_bytes();
    let digit = |c: u8| (c as char).to_digit(16).expect("a hexadecimal digit") as u8;
    Some(
        digits
            .chunks(2)
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect(),
    )
}

fn encode(bytes: Option<&[u8]>) -> Value {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hex = |bytes: &[u8]| -> String {
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| DIGITS[usize::from(digit)] as char).collect()
    };
    bytes.map_or(Value::Null, |bytes| Value::String(hex(bytes)))
}

/// The one result of an admin call for one thing.
fn one<T>(results: KafkaResult<Vec<Result<T, (String, RDKafkaErrorCode)>>>) -> Result<(), Refusal> {
    for result in results? {
        result.map_err(|(_, code)| code)?;
    }
    Ok(())
}

impl Driver {
    fn new(bootstrap: &str) -> KafkaResult<Self> {
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            admin: ClientConfig::new().set("bootstrap.servers", bootstrap).create()?,
            consumer: None,
            member: false,
            records: Vec::new(),
            failed: None,
        })
    }

    fn perform(&mut self, request: &Value) -> Answer {
        let topic = text(request, "topic");
        match text(request, "op") {
            "create_topic" | "delete_topic" | "create_partitions" | "delete_records" | "alter_config"
            | "delete_group" => self.change(request)?,
            "list_topics" => {
                let metadata = self.admin.inner().fetch_metadata(None, PATIENCE)?;
                let names: Vec<&str> = metadata.topics().iter().map(|topic| topic.name()).collect();
                return Ok(json!({ "topics": names }));
            }
            "describe_topic" => return self.describe_topic(topic),
            "describe_config" => return self.describe_config(topic),
            "list_groups" | "describe_group" => return self.groups(request),
            "committed" => return self.committed(topic, text(request, "group")),
            "produce" => return self.produce(topic, request),
            "assign" => self.assign(topic, request)?,
            "subscribe" => self.subscribe(topic, request)?,
            "seek" => self.seek(topic, request)?,
            "read" => return self.read(number(request, "count") as usize),
            "drain" => {
                self.turn();
                return self.drained();
            }
            "commit" => self.consumer()?.commit_consumer_state(CommitMode::Sync)?,
            "leave" => self.leave(),
            other => {
                return Err(Refusal {
                    text: format!("unknown operation {other}"),
                    code: None,
                });
            }
        }
        Ok(json!({}))
    }

    fn change(&self, request: &Value) -> Result<(), Refusal> {
        let topic = text(request, "topic");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        match text(request, "op") {
            "create_topic" => {
                let partitions = number(request, "partitions") as i32;
                let mut created = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
                for (name, value) in config(request) {
                    created = created.set(name, value);
                }
                one(block_on(self.admin.create_topics([&created], &options)))
            }
            "delete_topic" => one(block_on(self.admin.delete_topics(&[topic], &options))),
            "create_partitions" => {
                let more = NewPartitions::new(topic, number(request, "partitions") as usize);
                one(block_on(self.admin.create_partitions([&more], &options)))
            }
            "delete_records" => {
                let mut before = TopicPartitionList::new();
                let offset = Offset::Offset(number(request, "before"));
                before.add_partition_offset(topic, number(request, "partition") as i32, offset)?;
                let deleted = block_on(self.admin.delete_records(&before, &options))?;
                deleted.elements().iter().try_for_each(|element| element.error())?;
                Ok(())
            }
            "alter_config" => {
                let mut changes = AlterConfig::new(ResourceSpecifier::Topic(topic));
                for (name, value) in config(request) {
                    changes = changes.set(name, value);
                }
                for result in block_on(self.admin.alter_configs([&changes], &options))? {
                    result.map_err(|(_, code)| code)?;
                }
                Ok(())
            }
            _ => one(block_on(self.admin.delete_groups(&[text(request, "group")], &options))),
        }
    }

    fn describe_topic(&self, topic: &str) -> Answer {
        let metadata = self.admin.inner().fetch_metadata(Some(topic), PATIENCE)?;
        let described = &metadata.topics()[0];
        if let Some(error) = described.error() {
            return Err(RDKafkaErrorCode::from(error).into());
        }
        let led = described
            .partitions()
            .iter()
            .filter(|partition| partition.leader() >= 0);
        let led: Vec<i32> = led.map(|partition| partition.id()).collect();
        Ok(json!({ "partitions": led }))
    }

    fn describe_config(&self, topic: &str) -> Answer {
        let asked = ResourceSpecifier::Topic(topic);
        let mut config = Map::new();
        for resource in block_on(self.admin.describe_configs([&asked], &AdminOptions::new()))? {
            for entry in resource?.entries {
                config.insert(entry.name, entry.value.into());
            }
        }
        Ok(json!({ "config": config }))
    }

    fn groups(&self, request: &Value) -> Answer {
        let client: BaseConsumer = self.settings("unused").create()?;
        if text(request, "op") == "list_groups" {
            let listed = client.fetch_group_list(None, PATIENCE)?;
            let names: Vec<&str> = listed.groups().iter().map(|group| group.name()).collect();
            return Ok(json!({ "groups": names }));
        }
        let listed = client.fetch_group_list(Some(text(request, "group")), PATIENCE)?;
        let group = &listed.groups()[0];
        Ok(json!({ "state": group.state(), "members": group.members().len() }))
    }

    fn committed(&self, topic: &str, group: &str) -> Answer {
        let client: BaseConsumer = self.settings(group).create()?;
        let metadata = client.fetch_metadata(Some(topic), PATIENCE)?;
        let mut asked = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            asked.add_partition(topic, partition.id());
        }
        let mut offsets = Map::new();
        for element in client.committed_offsets(asked, PATIENCE)?.elements() {
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition().to_string(), offset.into());
            }
        }
        Ok(json!({ "offsets": offsets }))
    }

    fn produce(&self, topic: &str, request: &Value) -> Answer {
        let none = Vec::new();
        let records = request["records"].as_array().unwrap_or(&none);
        let transactional = request["transactional"].as_str();
        let acknowledged = Acknowledged::default();
        acknowledged.0.lock().expect("nobody panics with it").offsets = vec![None; records.len()];
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", &self.bootstrap)
            .set("compression.type", text(request, "compression"))
            .set("enable.idempotence", request["idempotent"].to_string())
            .set(
                "message.max.bytes",
                request["max_bytes"].as_i64().unwrap_or(1_048_588).to_string(),
            )
            .set(
                "message.timeout.ms",
                if transactional.is_some() { "60000" } else { "180000" },
            );
        if let Some(id) = transactional {
            settings.set("transactional.id", id);
        }
        let producer: BaseProducer<Acknowledged> = settings.create_with_context(acknowledged.clone())?;
        if transactional.is_some() {
            producer.init_transactions(PATIENCE)?;
            producer.begin_transaction()?;
        }
        let each = request["each"].as_u64().map_or(usize::MAX, |each| each as usize);
        for (index, record) in records.iter().enumerate() {
            send(&producer, topic, record, index)?;
            if (index + 1) % each == 0 {
                acknowledge(&producer);
            }
        }
        acknowledge(&producer);
        let told = acknowledged.0.lock().expect("nobody panics with it");
        if let Some(error) = &told.failed {
            return Err(error.clone().into());
        }
        if transactional.is_some() {
            producer.commit_transaction(PATIENCE)?;
        }
        Ok(json!({ "offsets": told.offsets }))
    }

    fn settings(&self, group: &str) -> ClientConfig {
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true");
        settings
    }

    fn assign(&mut self, topic: &str, request: &Value) -> Result<(), Refusal> {
        self.leave();
        let consumer: BaseConsumer = self.settings("unused").create()?;
        let from = &request["from"];
        let mut places = TopicPartitionList::new();
        for partition in request["partitions"].as_array().into_iter().flatten() {
            let partition = partition.as_i64().unwrap_or_default() as i32;
            let offset = if from == "earliest" {
                Offset::Beginning
            } else if from == "latest" {
                Offset::Offset(consumer.fetch_watermarks(topic, partition, PATIENCE)?.1)
            } else {
                Offset::Offset(number(from, "timestamp"))
            };
            places.add_partition_offset(topic, partition, offset)?;
        }
        if from.is_object() {
            places = consumer.offsets_for_times(places, PATIENCE)?;
        }
        consumer.assign(&places)?;
        self.consumer = Some(consumer);
        Ok(())
    }

    fn subscribe(&mut self, topic: &str, request: &Value) -> Result<(), Refusal> {
        self.leave();
        let mut settings = self.settings(text(request, "group"));
        settings
            .set("auto.offset.reset", "earliest")
            .set("session.timeout.ms", number(request, "session_ms").to_string())
            .set("heartbeat.interval.ms", "500");
        if let Some(instance) = request["instance"].as_str() {
            settings.set("group.instance.id", instance);
        }
        let consumer: BaseConsumer = settings.create()?;
        consumer.subscribe(&[topic])?;
        self.consumer = Some(consumer);
        self.member = true;
        Ok(())
    }

    fn seek(&mut self, topic: &str, request: &Value) -> Result<(), Refusal> {
        self.turn();
        self.records.clear();
        let offset = Offset::Offset(number(request, "offset"));
        let partition = number(request, "partition") as i32;
        Ok(self.consumer()?.seek(topic, partition, offset, PATIENCE)?)
    }

    fn consumer(&self) -> Result<&BaseConsumer, Refusal> {
        self.consumer.as_ref().ok_or_else(|| Refusal {
            text: String::from("there is no consumer"),
            code: None,
        })
    }

    fn read(&mut self, count: usize) -> Answer {
        let until = Instant::now() + PATIENCE;
        while self.records.len() < count && self.failed.is_none() && Instant::now() < until {
            self.turn();
        }
        self.drained()
    }

    /// Reads what has come, waiting for no more than a moment.
    fn turn(&mut self) {
        let Some(consumer) = &self.consumer else {
            return;
        };
        let until = Instant::now() + TURN;
        while let Some(message) = consumer.poll(until.saturating_duration_since(Instant::now())) {
            match message {
                Ok(message) => self.records.push(read(&message)),
                Err(error) => self.failed = Some(error),
            }
        }
    }

    fn drained(&mut self) -> Answer {
        if let Some(error) = self.failed.take() {
            return Err(error.into());
        }
        Ok(json!({ "records": std::mem::take(&mut self.records) }))
    }

    /// Ends the consumer; a member leaves its group as it is dropped.
    fn leave(&mut self) {
        self.consumer = None;
        self.member = false;
        self.records.clear();
        self.failed = None;
    }

    fn answer(&mut self, line: &str) -> Value {
        let request: Value = serde_json::from_str(line).expect("requests are JSON");
        match self.perform(&request) {
            Ok(told) => json!({ "ok": told }),
            Err(refusal) => json!({ "error": refusal.text, "code": refusal.code }),
        }
    }
}

/// Waits until all that was sent has been answered. (`flush` looks only ten times a second.)
fn acknowledge(producer: &BaseProducer<Acknowledged>) {
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
}

fn send(producer: &BaseProducer<Acknowledged>, topic: &str, record: &Value, index: usize) -> Result<(), Refusal> {
    let (key, value) = (decode(&record["key"]), decode(&record["value"]));
    let mut headers = OwnedHeaders::new();
    for header in record["headers"].as_array().into_iter().flatten() {
        let value = decode(&header[1]);
        headers = headers.insert(Header {
            key: header[0].as_str().unwrap_or_default(),
            value: value.as_ref(),
        });
    }
    let mut sent: BaseRecord<'_, Vec<u8>, Vec<u8>, Box<usize>> = BaseRecord::with_opaque_to(topic, Box::new(index))
        .partition(number(record, "partition") as i32)
        .timestamp(number(record, "timestamp"))
        .headers(headers);
    if let Some(key) = &key {
        sent = sent.key(key);
    }
    if let Some(value) = &value {
        sent = sent.payload(value);
    }
    loop {
        match producer.send(sent) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                sent = again;
                producer.poll(TURN);
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
    producer.poll(Duration::ZERO);
    Ok(())
}

fn read(message: &rdkafka::message::BorrowedMessage<'_>) -> Value {
    let headers: Vec<Value> = message.headers().map_or_else(Vec::new, |headers| {
        let pairs = headers.iter().map(|header| json!([header.key, encode(header.value)]));
        pairs.collect()
    });
    json!({
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp().to_millis(),
        "key": encode(message.key()),
        "value": encode(message.payload()),
        "headers": headers,
    })
}

fn main() {
    let bootstrap = std::env::args().nth(1).expect("where the broker is");
    let mut driver = Driver::new(&bootstrap).expect("a client");
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let tell = |answer: &Value| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")
            .and_then(|()| out.flush())
            .expect("the answer is read");
    };
    let librdkafka = rdkafka::util::get_rdkafka_version().1;
    tell(&json!({ "ready": format!("librdkafka {librdkafka}") }));
    loop {
        let idle = if driver.member {
            Duration::from_millis(1)
        } else {
            PATIENCE
        };
        match lines.recv_timeout(idle) {
            Ok(line) => tell(&driver.answer(&line)),
            Err(RecvTimeoutError::Timeout) => driver.turn(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    driver.leave();
}
