//! The settings of a broker and of its topics, in Kafka's own names and units.
//!
//! Every size, count and interval of the core is here, with its production default, so that a simulation can draw each
//! down to its smallest legal value.
//!
//! A setting that is accepted acts, or is known to change nothing as long as what it tunes is off; one that would have
//! to act and cannot yet is refused with its reason. Nothing is silently without effect.

mod broker;
mod broker_inert;
mod broker_keys;
mod broker_protection;
mod connections;
mod describe;
mod dynamic;
mod groups;
mod listener;
mod overrides;
mod properties;
mod resources;
mod server;
mod settings;
mod topic;
mod topic_keys;
mod value;

pub use crate::record::TimestampType;
pub use broker::{BrokerConfig, FlushMode, Limits};
pub use connections::ConnectionConfig;
pub use describe::{
    ConfigEntry, ConfigSource, ConfigSynonym, describe_broker, describe_broker_defaults, describe_topic,
};
#[cfg(test)]
pub(crate) use dynamic::OTHER_VALUES;
pub use dynamic::{
    accept_dynamic, check_reconfiguration, default_list_of_broker, default_list_of_topic, dynamic_keys, inert_reason,
};
pub use groups::GroupConfig;
pub use listener::{HostPort, Listener};
pub use overrides::TopicOverrides;
pub use properties::{MAX_PROPERTIES_BYTES, parse_properties};
pub use resources::{describe_client_metrics, describe_group};
pub use server::{Metrics, Notes, ServerConfig};
pub use settings::{Effect, Setting, settings};
pub use topic::{CleanupPolicy, CompactionConfig, TopicConfig};
pub use value::{Bounds, ConfigError, Value, ValueType};
