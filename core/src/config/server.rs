//! A broker's settings as a file and a command line give them, made into what the process runs with.
//!
//! Invariant: a setting that asks for protection which is not there (TLS, SASL, an authorizer) is an error, so that a
//! broker is never more open than its settings say.

mod addresses;

use super::broker_keys::{BrokerKey, BrokerRole};
use super::listener::{HostPort, Listener};
use super::overrides::accept;
use super::topic_keys::{Role, TOPIC_KEYS, Unit};
use super::value::{Value, parse_value};
use super::{BrokerConfig, ConfigError, FlushMode, GroupConfig};
use crate::record::Compression;
use crate::types::BrokerId;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What a broker process is told at its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerConfig {
    /// What every shard is told.
    pub broker: BrokerConfig,
    /// What to listen on, for clients; at least one.
    pub listeners: Vec<Listener>,
    /// The log directory; `None` leaves it to the process.
    pub log_dir: Option<String>,
    /// How many shards; `None` leaves it to the process, which knows the machine.
    pub shards: Option<u16>,
    /// `socket.request.max.bytes`.
    pub max_request_bytes: u32,
    /// Klamm's `shutdown.timeout.ms`: how long a stop waits for clients.
    pub shutdown_timeout_ms: u32,
    /// Where metrics and health are served.
    pub metrics: Metrics,
}

/// Where metrics and health are served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Metrics {
    /// Nobody said anything: at this address if it is free.
    Default(HostPort),
    /// At this address.
    At(HostPort),
    /// Nowhere.
    Off,
}

/// What people should know about settings that were accepted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Notes {
    /// Settings that have no effect, each with the reason.
    pub inert: Vec<(String, &'static str)>,
    /// Settings that nobody knows, each with the known one that was perhaps meant.
    pub unknown: Vec<(String, Option<&'static str>)>,
}

/// The values that were given and accepted.
type Values = BTreeMap<&'static str, Value>;

impl ServerConfig {
    /// Reads settings; the last of several values for one name counts.
    ///
    /// Errors name the setting: a value that is not allowed, one that cannot be honoured yet, or listeners that do not
    /// fit together.
    pub fn parse<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(Self, Notes), ConfigError> {
        let mut values = Values::new();
        let mut notes = Notes::default();
        let last: BTreeMap<&str, &str> = settings.into_iter().collect();
        for (name, text) in last {
            refuse_protection(name, text)?;
            let Some(key) = BrokerKey::find(name) else {
                notes.unknown.push((name.to_owned(), suggestion(name)));
                continue;
            };
            let Some(value) = accept_broker(key, text)? else {
                continue;
            };
            if let BrokerRole::Inert(reason) = key.role {
                notes.inert.push((key.name.to_owned(), reason));
            }
            values.insert(key.name, value);
        }
        let (listeners, advertised) = addresses::read(&values, &mut notes)?;
        let config = Self {
            broker: broker_config(&values, advertised)?,
            listeners,
            log_dir: log_dir(&values)?,
            shards: values
                .get("shards")
                .and_then(|shards| u16::try_from(shards.whole()).ok()),
            max_request_bytes: values.get("socket.request.max.bytes").map_or(100 << 20, Value::size32),
            shutdown_timeout_ms: values.get("shutdown.timeout.ms").map_or(8000, Value::size32),
            metrics: metrics(&values)?,
        };
        Ok((config, notes))
    }
}

/// Reads one value; `None` for an empty one where the setting has no default, which means the same as not setting it.
pub(super) fn accept_broker(key: &BrokerKey, text: &str) -> Result<Option<Value>, ConfigError> {
    if text.trim().is_empty() && key.default.is_none() {
        return Ok(None);
    }
    let value = parse_value(key.name, key.kind, key.bounds, text)?;
    match key.role {
        BrokerRole::Only(only, reason) if value.canonical() != only => Err(ConfigError::new(key.name, reason)),
        _ => Ok(Some(value)),
    }
}

/// Refuses whatever sets up TLS or SASL, for one listener too (`listener.name.<name>.ssl.…`).
fn refuse_protection(name: &str, text: &str) -> Result<(), ConfigError> {
    let inner = name
        .strip_prefix("listener.name.")
        .and_then(|rest| rest.split_once('.'))
        .map_or(name, |(_, rest)| rest);
    let protects = ["ssl.", "sasl.", "delegation.token."]
        .iter()
        .any(|prefix| inner.starts_with(prefix))
        || inner.contains(".sasl.")
        || inner == "super.users"
        || inner == "allow.everyone.if.no.acl.found";
    if protects && !text.trim().is_empty() {
        let problem = "TLS, SASL and access control are not available yet, and the broker does not serve in plain what \
                       was meant to be protected; remove the setting to serve everybody in plain";
        return Err(ConfigError::new(name, problem));
    }
    Ok(())
}

fn text_of<'a>(values: &'a Values, name: &str) -> Option<&'a str> {
    match values.get(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn broker_config(values: &Values, advertised: Vec<Listener>) -> Result<BrokerConfig, ConfigError> {
    let mut broker = BrokerConfig {
        advertised,
        node_id: node_id(values)?,
        rack: text_of(values, "broker.rack").map(ToOwned::to_owned),
        cluster_id: text_of(values, "cluster.id").map(ToOwned::to_owned),
        settings: values.iter().map(|(&name, value)| (name, value.canonical())).collect(),
        ..BrokerConfig::default()
    };
    check_roles(values)?;
    for (&name, value) in values {
        broker_setting(&mut broker, name, value);
    }
    broker.connections.check()?;
    topic_defaults(values, &mut broker)?;
    Ok(broker)
}

/// Takes a setting of the broker that is no default of topics.
pub(super) fn broker_setting(broker: &mut BrokerConfig, name: &str, value: &Value) {
    match name {
        "num.partitions" => broker.num_partitions = value.whole() as i32,
        "default.replication.factor" => {
            broker.default_replication_factor = i16::try_from(value.whole()).unwrap_or(i16::MAX);
        }
        "auto.create.topics.enable" => broker.auto_create_topics = value.is_true(),
        "delete.topic.enable" => broker.delete_topics = value.is_true(),
        "producer.id.expiration.ms" => broker.producer_id_expiration_ms = value.size(),
        "connections.max.idle.ms" => broker.connections_max_idle_ms = value.size(),
        "log.retention.check.interval.ms" => broker.retention_check_interval_ms = value.size(),
        "log.cleaner.backoff.ms" => broker.cleaner_backoff_ms = value.size(),
        "log.cleaner.dedupe.buffer.size" => {
            broker.limits.cleaner_key_bytes = usize::try_from(value.size()).unwrap_or(usize::MAX);
        }
        "fetch.max.bytes" => broker.fetch_max_bytes = value.size32(),
        "max.request.partition.size.limit" => broker.max_request_partitions = value.size32(),
        "max.incremental.fetch.session.cache.slots" => broker.limits.fetch_sessions = value.size32() as usize,
        "flush" if *value == Value::Text("os".into()) => broker.flush = FlushMode::Os,
        _ if name.starts_with("max.connection") => broker.connections.set(name, value),
        _ => group_setting(&mut broker.groups, name, value),
    }
}

/// Takes a setting of groups, if it is one.
fn group_setting(groups: &mut GroupConfig, name: &str, value: &Value) {
    match name {
        "group.initial.rebalance.delay.ms" => groups.initial_rebalance_delay_ms = value.size32(),
        "group.max.session.timeout.ms" => groups.max_session_timeout_ms = value.size32(),
        "group.max.size" => groups.max_size = value.size32(),
        "group.min.session.timeout.ms" => groups.min_session_timeout_ms = value.size32(),
        "group.members.max.bytes" => groups.members_max_bytes = value.size(),
        "group.offsets.max.bytes" => groups.offsets_max_bytes = value.size(),
        "offset.metadata.max.bytes" => groups.offset_metadata_max_bytes = value.size32(),
        "offsets.retention.check.interval.ms" => groups.offsets_retention_check_interval_ms = value.size(),
        "offsets.retention.minutes" => groups.offsets_retention_ms = value.size().saturating_mul(60_000),
        "offsets.topic.compression.codec" => groups.offsets_compression = compression(value.whole()),
        "offsets.topic.num.partitions" => groups.offsets_partitions = value.size32(),
        "offsets.topic.segment.bytes" => groups.offsets_segment_bytes = value.size32().max(1 << 20),
        _ => {}
    }
}

/// Kafka's numbers (`CompressionType.id`).
const fn compression(id: i64) -> Compression {
    match id {
        1 => Compression::Gzip,
        2 => Compression::Snappy,
        3 => Compression::Lz4,
        4 => Compression::Zstd,
        _ => Compression::None,
    }
}

fn node_id(values: &Values) -> Result<BrokerId, ConfigError> {
    match (
        values.get("node.id").map(Value::whole),
        values.get("broker.id").map(Value::whole),
    ) {
        (Some(node), Some(broker)) if node != broker => Err(ConfigError::new(
            "node.id",
            format!("it is {node}, but broker.id is {broker}; set one of them"),
        )),
        (Some(id), _) | (None, Some(id)) => Ok(BrokerId(id as i32)),
        (None, None) => Ok(BrokerConfig::default().node_id),
    }
}

fn check_roles(values: &Values) -> Result<(), ConfigError> {
    match values.get("process.roles") {
        Some(Value::List(roles)) if roles.len() < 2 => Err(ConfigError::new(
            "process.roles",
            "this node is broker and controller at once; use 'broker,controller'",
        )),
        _ => Ok(()),
    }
}

/// Puts the broker's settings that are defaults of topics into the topic defaults.
fn topic_defaults(values: &Values, broker: &mut BrokerConfig) -> Result<(), ConfigError> {
    for key in TOPIC_KEYS {
        let Role::Acts(act) = key.role else { continue };
        let Some((&(name, unit), value)) = key.broker.iter().find_map(|row| Some((row, values.get(row.0)?))) else {
            continue;
        };
        let text = match unit {
            Unit::Same => value.canonical(),
            // Below zero is 'no bound', whatever the unit.
            _ if value.whole() < 0 => "-1".to_owned(),
            _ => value.whole().saturating_mul(unit.factor()).to_string(),
        };
        let value = accept(key, &text).map_err(|error| ConfigError::new(name, error.to_string()))?;
        act(&mut broker.topic_defaults, &value);
    }
    Ok(())
}

fn log_dir(values: &Values) -> Result<Option<String>, ConfigError> {
    let named = values
        .get_key_value("log.dirs")
        .or_else(|| values.get_key_value("log.dir"));
    match named {
        Some((_, Value::List(dirs))) if dirs.len() == 1 => Ok(dirs.first().cloned()),
        Some((&name, _)) => Err(ConfigError::new(
            name,
            "name one directory; several are not available yet",
        )),
        None => Ok(None),
    }
}

fn metrics(values: &Values) -> Result<Metrics, ConfigError> {
    let key = "metrics.listener";
    match text_of(values, key) {
        None => Ok(Metrics::Default(HostPort {
            host: "127.0.0.1".to_owned(),
            port: 9464,
        })),
        Some("off") => Ok(Metrics::Off),
        Some(text) => Ok(Metrics::At(HostPort::parse(key, text)?)),
    }
}

/// The known name that is closest to `name`, if it is close.
fn suggestion(name: &str) -> Option<&'static str> {
    const LONGEST: usize = 80;
    if name.len() > LONGEST {
        return None;
    }
    let near = BrokerKey::all().map(|key| (distance(name, key.name), key.name)).min()?;
    (near.0 <= 2).then_some(near.1)
}

/// How many bytes must be inserted, removed or replaced to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().zip(core::iter::once(None).chain(b.bytes().map(Some))) {
            let above = *cell;
            if let Some(y) = y {
                left = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            }
            diagonal = above;
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
