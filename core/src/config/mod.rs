//! The settings of a broker and of its topics, in Kafka's own names and units.
//!
//! Every size, count and interval of the core is here, with its production default, so that a simulation can draw each
//! down to its smallest legal value.

mod broker;
mod topic;

pub use crate::record::TimestampType;
pub use broker::{AdvertisedListener, BrokerConfig, FlushMode, Limits};
pub use topic::TopicConfig;
