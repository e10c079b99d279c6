//! What the cluster is: topics, partitions, brokers and producer ids, as an immutable image that every shard shares.
//!
//! Invariants:
//! - an image follows from the records of the metadata log alone, in their order; nothing else changes it;
//! - a topic id is used once; a name leads to at most one topic;
//! - producer ids below [`Image::next_producer_id`] are reserved, and it never goes back;
//! - a broker's start count grows by one with each of its registrations, and with it the leader epoch of every
//!   partition it leads: one durable record gives all of them a new epoch.

mod endpoints;
mod image;
mod record;

pub use endpoints::{Endpoint, Endpoints};
pub use image::{ApplyError, Delta, Image, Partition, Registration, Settings, Topic};
pub use record::{
    AddPartitionsRecord, BrokerSettingsRecord, Change, EndpointRecord, MetadataRecord, PartitionRecord,
    RegisterBrokerRecord, RemoveTopicRecord, ReserveProducerIdsRecord, TopicRecord, TopicSettingsRecord,
};

/// Whether the broker alone writes to a topic of this name (`org.apache.kafka.common.internals.Topic.isInternal`).
pub fn is_internal(topic: &str) -> bool {
    matches!(
        topic,
        "__consumer_offsets" | "__transaction_state" | "__share_group_state"
    )
}
