//! One client at work, whatever it is: what it can be asked, and what it answers.

use super::driver::Driver;
use super::kcat::Kcat;
use super::tools::Tools;
use super::{Client, Compression};
use crate::record::{Record, Stored};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// An error as the client told it.
#[derive(Debug)]
pub struct Refusal {
    /// In its words.
    pub text: String,
    /// Kafka's code, where the client tells it.
    pub code: Option<i64>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {:?})", self.text, self.code)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    pub(super) fn saying(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: None,
        }
    }
}

/// What carries out requests, in the words of `tests/clients/README.md`.
pub(super) trait Endpoint: Send {
    fn call(&mut self, request: &Value) -> Result<Value, Refusal>;
}

/// Where reading begins.
#[derive(Clone, Copy, Debug)]
pub enum From {
    /// The first record.
    Earliest,
    /// What comes from now on.
    Latest,
    /// The first record of that time or later, in milliseconds.
    Timestamp(i64),
}

/// How records are sent.
#[derive(Clone, Copy, Debug)]
pub struct Produce<'a> {
    /// The compression.
    pub compression: Compression,
    /// Whether the producer is idempotent.
    pub idempotent: bool,
    /// The largest request that the client itself lets through, in bytes; without it, Kafka's default.
    pub max_bytes: Option<usize>,
    /// How many records are acknowledged before the next are sent; without it, all are sent as fast as they go.
    pub each: Option<usize>,
    /// The id of a transaction to send them in.
    pub transactional: Option<&'a str>,
    /// Whether to collect as many records in a batch as fit.
    pub large_batches: bool,
}

/// How a client is a group's member.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// How long the group waits for a sign of it, in milliseconds.
    pub session_ms: u32,
    /// Its name, if it is a static member.
    pub instance: Option<&'a str>,
}

impl Produce<'_> {
    /// With that compression and otherwise as clients do by themselves.
    pub const fn compressed(compression: Compression) -> Self {
        Self {
            compression,
            idempotent: false,
            max_bytes: None,
            each: None,
            transactional: None,
            large_batches: false,
        }
    }

    /// Without compression and otherwise as clients do by themselves.
    pub const fn plain() -> Self {
        Self::compressed(Compression::None)
    }

    /// By an idempotent producer.
    pub const fn idempotent() -> Self {
        Self {
            idempotent: true,
            ..Self::plain()
        }
    }
}

/// A client at work. Dropping it ends it as a crash would, without a word to the broker.
pub struct Actor {
    client: Client,
    endpoint: Box<dyn Endpoint>,
}

type Answer = Result<Value, Refusal>;

impl Actor {
    /// Starts a client of the broker at `bootstrap`.
    pub fn start(client: Client, bootstrap: &str) -> Self {
        let endpoint: Box<dyn Endpoint> = match client {
            Client::Kcat => Box::new(Kcat::new(bootstrap)),
            Client::Tools => Box::new(Tools::new(bootstrap)),
            _ => Box::new(Driver::start(client, bootstrap)),
        };
        Self { client, endpoint }
    }

    /// Which client it is.
    pub const fn client(&self) -> Client {
        self.client
    }

    fn call(&mut self, operation: &str, fields: Value) -> Answer {
        let Value::Object(mut request) = fields else {
            panic!("fields are an object");
        };
        request.insert(String::from("op"), operation.into());
        self.endpoint.call(&Value::Object(request))
    }

    /// Creates a topic.
    pub fn create_topic(&mut self, topic: &str, partitions: i32, config: &[(&str, &str)]) -> Result<(), Refusal> {
        let fields = json!({ "topic": topic, "partitions": partitions, "config": object(config) });
        self.call("create_topic", fields).map(drop)
    }

    /// Deletes a topic.
    pub fn delete_topic(&mut self, topic: &str) -> Result<(), Refusal> {
        self.call("delete_topic", json!({ "topic": topic })).map(drop)
    }

    /// The names of all topics.
    pub fn list_topics(&mut self) -> Result<Vec<String>, Refusal> {
        let told = self.call("list_topics", json!({}))?;
        Ok(strings(&told["topics"]))
    }

    /// The partitions of a topic that have a leader, in order.
    pub fn describe_topic(&mut self, topic: &str) -> Result<Vec<i64>, Refusal> {
        let told = self.call("describe_topic", json!({ "topic": topic }))?;
        let mut partitions: Vec<i64> = list(&told["partitions"]).iter().filter_map(Value::as_i64).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// Gives a topic more partitions.
    pub fn create_partitions(&mut self, topic: &str, partitions: i32) -> Result<(), Refusal> {
        let fields = json!({ "topic": topic, "partitions": partitions });
        self.call("create_partitions", fields).map(drop)
    }

    /// The settings of a topic.
    pub fn describe_config(&mut self, topic: &str) -> Result<BTreeMap<String, String>, Refusal> {
        let told = self.call("describe_config", json!({ "topic": topic }))?;
        let config = told["config"].as_object().into_iter().flatten();
        let pairs = config.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        Ok(pairs.collect())
    }

    /// Changes settings of a topic.
    pub fn alter_config(&mut self, topic: &str, config: &[(&str, &str)]) -> Result<(), Refusal> {
        let fields = json!({ "topic": topic, "config": object(config) });
        self.call("alter_config", fields).map(drop)
    }

    /// Deletes the records of a partition that lie before an offset.
    pub fn delete_records(&mut self, topic: &str, partition: i32, before: i64) -> Result<(), Refusal> {
        let fields = json!({ "topic": topic, "partition": partition, "before": before });
        self.call("delete_records", fields).map(drop)
    }

    /// Sends records and returns the offset of each; none where the client does not tell them.
    pub fn produce(&mut self, topic: &str, records: &[Record], how: Produce<'_>) -> Result<Vec<i64>, Refusal> {
        let records: Vec<Value> = records.iter().map(Record::to_json).collect();
        let mut fields = json!({
            "topic": topic,
            "records": records,
            "compression": how.compression.name(),
            "idempotent": how.idempotent,
        });
        let mut set = |name: &str, value: Value| fields[name] = value;
        if let Some(bytes) = how.max_bytes {
            set("max_bytes", bytes.into());
        }
        if let Some(each) = how.each {
            set("each", each.into());
        }
        if let Some(id) = how.transactional {
            set("transactional", id.into());
        }
        if how.large_batches {
            set("large_batches", true.into());
        }
        let told = self.call("produce", fields)?;
        let offset = |offset: &Value| offset.as_i64().expect("an acknowledged record has an offset");
        Ok(list(&told["offsets"]).iter().map(offset).collect())
    }

    /// Takes partitions to read, from somewhere on; returns once that place is known.
    pub fn assign(&mut self, topic: &str, partitions: &[i32], from: From) -> Result<(), Refusal> {
        let from = match from {
            From::Earliest => json!("earliest"),
            From::Latest => json!("latest"),
            From::Timestamp(time) => json!({ "timestamp": time }),
        };
        let fields = json!({ "topic": topic, "partitions": partitions, "from": from });
        self.call("assign", fields).map(drop)
    }

    /// Goes on reading a partition at another offset.
    pub fn seek(&mut self, topic: &str, partition: i32, offset: i64) -> Result<(), Refusal> {
        let fields = json!({ "topic": topic, "partition": partition, "offset": offset });
        self.call("seek", fields).map(drop)
    }

    /// Reads until there are `count` records, and returns them and those that came with them.
    pub fn read(&mut self, count: usize) -> Result<Vec<Stored>, Refusal> {
        let told = self.call("read", json!({ "count": count }))?;
        Ok(list(&told["records"]).iter().map(Stored::from_json).collect())
    }

    /// All of one partition, of which `count` records are known.
    pub fn read_partition(&mut self, topic: &str, partition: i32, count: usize) -> Result<Vec<Stored>, Refusal> {
        self.assign(topic, &[partition], From::Earliest)?;
        let read = if count == 0 { Ok(Vec::new()) } else { self.read(count) };
        self.leave()?;
        read
    }

    /// Joins a group that reads a topic, by itself or as the static member `instance`.
    pub fn subscribe(&mut self, topic: &str, group: &str, member: Member<'_>) -> Result<(), Refusal> {
        let mut fields = json!({ "topic": topic, "group": group, "session_ms": member.session_ms });
        if let Some(instance) = member.instance {
            fields["instance"] = instance.into();
        }
        self.call("subscribe", fields).map(drop)
    }

    /// What a member has read since it was last asked.
    pub fn drain(&mut self) -> Result<Vec<Stored>, Refusal> {
        let told = self.call("drain", json!({}))?;
        Ok(list(&told["records"]).iter().map(Stored::from_json).collect())
    }

    /// Commits what a member has read.
    pub fn commit(&mut self) -> Result<(), Refusal> {
        self.call("commit", json!({})).map(drop)
    }

    /// The offsets that a group has committed, by partition.
    pub fn committed(&mut self, topic: &str, group: &str) -> Result<BTreeMap<i32, i64>, Refusal> {
        let told = self.call("committed", json!({ "topic": topic, "group": group }))?;
        let offsets = told["offsets"].as_object().into_iter().flatten();
        let pair = |(partition, offset): (&String, &Value)| Some((partition.parse().ok()?, offset.as_i64()?));
        // Some clients tell −1 of a partition for which nothing is committed.
        Ok(offsets.filter_map(pair).filter(|(_, offset)| *offset >= 0).collect())
    }

    /// The names of all groups.
    pub fn list_groups(&mut self) -> Result<Vec<String>, Refusal> {
        let told = self.call("list_groups", json!({}))?;
        Ok(strings(&told["groups"]))
    }

    /// The state of a group, in small letters, and how many members it has.
    pub fn describe_group(&mut self, group: &str) -> Result<(String, u64), Refusal> {
        let told = self.call("describe_group", json!({ "group": group }))?;
        let state = told["state"].as_str().unwrap_or_default().to_lowercase();
        Ok((state, told["members"].as_u64().unwrap_or_default()))
    }

    /// Deletes a group that has no members.
    pub fn delete_group(&mut self, group: &str) -> Result<(), Refusal> {
        self.call("delete_group", json!({ "group": group })).map(drop)
    }

    /// Ends reading; a member leaves its group.
    pub fn leave(&mut self) -> Result<(), Refusal> {
        self.call("leave", json!({})).map(drop)
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn strings(value: &Value) -> Vec<String> {
    list(value)
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn object(pairs: &[(&str, &str)]) -> Map<String, Value> {
    let pairs: BTreeMap<&str, &str> = pairs.iter().copied().collect();
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}
