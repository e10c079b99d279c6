//! The records of the metadata log, as protobuf messages: fields are added, never renumbered.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// One record of the metadata log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetadataRecord {
    /// What changes; absent in a record that a newer version wrote.
    #[prost(oneof = "Change", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub change: Option<Change>,
}

/// What a metadata record changes.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Change {
    /// A broker started.
    #[prost(message, tag = "1")]
    RegisterBroker(RegisterBrokerRecord),
    /// A topic was created.
    #[prost(message, tag = "2")]
    Topic(TopicRecord),
    /// A topic was deleted.
    #[prost(message, tag = "3")]
    RemoveTopic(RemoveTopicRecord),
    /// Producer ids were set aside.
    #[prost(message, tag = "4")]
    ReserveProducerIds(ReserveProducerIdsRecord),
    /// A topic's own settings changed.
    #[prost(message, tag = "5")]
    TopicSettings(TopicSettingsRecord),
    /// Settings of brokers changed while they run.
    #[prost(message, tag = "6")]
    BrokerSettings(BrokerSettingsRecord),
    /// A topic got more partitions.
    #[prost(message, tag = "7")]
    AddPartitions(AddPartitionsRecord),
}

/// A broker started, and names where it is reached.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RegisterBrokerRecord {
    /// `node.id`.
    #[prost(int32, tag = "1")]
    pub broker: i32,
    /// How many times this broker has registered, this time included.
    #[prost(uint32, tag = "2")]
    pub starts: u32,
    /// The advertised host of the first endpoint; of the only one, where `endpoints` is empty: then it holds for clients
    /// of every listener.
    #[prost(string, tag = "3")]
    pub host: String,
    /// The port with `host`.
    #[prost(uint32, tag = "4")]
    pub port: u32,
    /// `broker.rack`.
    #[prost(string, optional, tag = "5")]
    pub rack: Option<String>,
    /// What is advertised, one a listener; empty in records that do not tell listeners apart.
    #[prost(message, repeated, tag = "6")]
    pub endpoints: Vec<EndpointRecord>,
}

/// Where clients of one listener reach a broker.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EndpointRecord {
    /// The listener's name.
    #[prost(string, tag = "1")]
    pub listener: String,
    /// The advertised host.
    #[prost(string, tag = "2")]
    pub host: String,
    /// The advertised port.
    #[prost(uint32, tag = "3")]
    pub port: u32,
}

/// A topic was created, with all its partitions.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TopicRecord {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub topic_id: Vec<u8>,
    /// The topic's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The partitions, by index.
    #[prost(message, repeated, tag = "3")]
    pub partitions: Vec<PartitionRecord>,
    /// The configuration keys that the topic sets itself.
    #[prost(btree_map = "string, string", tag = "4")]
    pub config: BTreeMap<String, String>,
}

/// A partition of a created topic.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PartitionRecord {
    /// The brokers that hold it, preferred leader first.
    #[prost(int32, repeated, tag = "1")]
    pub replicas: Vec<i32>,
    /// The in-sync replicas.
    #[prost(int32, repeated, tag = "2")]
    pub isr: Vec<i32>,
    /// The leader.
    #[prost(int32, tag = "3")]
    pub leader: i32,
    /// The leader epoch at the leader's start `leader_starts`.
    #[prost(int32, tag = "4")]
    pub leader_epoch: i32,
    /// The leader's start count when `leader_epoch` was set.
    #[prost(uint32, tag = "5")]
    pub leader_starts: u32,
    /// The version of this partition's state.
    #[prost(int32, tag = "6")]
    pub partition_epoch: i32,
}

/// A topic was deleted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemoveTopicRecord {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub topic_id: Vec<u8>,
}

/// Producer ids were set aside.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReserveProducerIdsRecord {
    /// The first id that is still free after this.
    #[prost(int64, tag = "1")]
    pub next: i64,
}

/// A topic's own settings changed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TopicSettingsRecord {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub topic_id: Vec<u8>,
    /// All configuration keys that the topic sets itself from now on.
    #[prost(btree_map = "string, string", tag = "2")]
    pub config: BTreeMap<String, String>,
}

/// Settings of brokers changed while they run.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BrokerSettingsRecord {
    /// Whose settings; absent for those that all brokers share.
    #[prost(int32, optional, tag = "1")]
    pub broker: Option<i32>,
    /// All settings that were given to a running broker and hold from now on.
    #[prost(btree_map = "string, string", tag = "2")]
    pub config: BTreeMap<String, String>,
}

/// A topic got more partitions.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AddPartitionsRecord {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub topic_id: Vec<u8>,
    /// The index of the first new partition.
    #[prost(uint32, tag = "2")]
    pub first: u32,
    /// The new partitions, by index.
    #[prost(message, repeated, tag = "3")]
    pub partitions: Vec<PartitionRecord>,
}

impl From<Change> for MetadataRecord {
    fn from(change: Change) -> Self {
        Self { change: Some(change) }
    }
}
