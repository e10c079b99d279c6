//! A cluster as its metadata shows it, with one connection for each broker that is asked.

use super::{ClientError, Connection, Patience};
use crate::clock::now;
use klamm_core::config::HostPort;
use klamm_core::wire::Text;
use klamm_core::wire::message::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use klamm_core::wire::message::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
use klamm_core::wire::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
};
use klamm_core::wire::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use klamm_core::wire::message::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a request is tried that fails for a reason that passes.
const ATTEMPTS: u32 = 60;
/// How long to wait before it is repeated.
const PAUSE: Duration = Duration::from_millis(250);

/// Attempts of one request: so many, and no more once a broker's [`Patience`] is over.
#[derive(Debug)]
pub(super) struct Attempts {
    left: u32,
    until: Instant,
}

impl Attempts {
    pub(super) fn new(patience: Patience) -> Self {
        let (left, until) = (ATTEMPTS, now() + patience.0);
        Self { left, until }
    }

    /// Waits for the next attempt; the error of the last one is final where there is none.
    pub(super) async fn again(&mut self, last: ClientError) -> Result<(), ClientError> {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || now() >= self.until {
            return Err(last);
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

/// `DescribeConfigs`' number of a topic (`ConfigResource.Type`).
pub(super) const TOPIC_RESOURCE: i8 = 2;

/// Text of the wire, copied.
pub fn text(text: &str) -> Text {
    Text::from(text.to_owned())
}

/// Where a partition is led.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionLeader {
    /// The partition.
    pub partition: i32,
    /// The broker's id.
    pub leader: i32,
}

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    bootstrap: Vec<HostPort>,
    client_id: String,
    patience: Patience,
    brokers: BTreeMap<i32, HostPort>,
    controller: i32,
    first: Option<Connection>,
    connections: BTreeMap<i32, Connection>,
}

impl Cluster {
    /// A cluster that is reached through any of these addresses, and whose brokers may be silent for so long.
    pub fn new(bootstrap: Vec<HostPort>, client_id: &str, patience: Patience) -> Self {
        Self {
            bootstrap,
            client_id: client_id.to_owned(),
            patience,
            brokers: BTreeMap::new(),
            controller: -1,
            first: None,
            connections: BTreeMap::new(),
        }
    }

    /// The attempts that a request has.
    pub(super) fn attempts(&self) -> Attempts {
        Attempts::new(self.patience)
    }

    /// A connection to whichever bootstrap address answers.
    async fn first(&mut self) -> Result<&mut Connection, ClientError> {
        if self.first.is_none() {
            let mut last = ClientError::Unexpected("no bootstrap address was given".to_owned());
            for address in &self.bootstrap {
                match Connection::open(address, &self.client_id, self.patience).await {
                    Ok(connection) => {
                        self.first = Some(connection);
                        break;
                    }
                    Err(error) => last = error,
                }
            }
            if self.first.is_none() {
                return Err(last);
            }
        }
        self.first
            .as_mut()
            .ok_or_else(|| ClientError::Unexpected("no connection".to_owned()))
    }

    /// Asks for topics, all of them if `topics` is `None`; the brokers are remembered.
    pub async fn metadata(&mut self, topics: Option<&[&str]>, create: bool) -> Result<MetadataResponse, ClientError> {
        let named = |name: &&str| MetadataRequestTopic {
            name: Some(text(name)),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(named).collect()),
            allow_auto_topic_creation: create,
            ..MetadataRequest::default()
        };
        let answer = self.first().await?.call::<_, MetadataResponse>(&request).await;
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                self.first = None;
                return Err(error);
            }
        };
        self.controller = response.controller_id;
        for broker in &response.brokers {
            let port = u16::try_from(broker.port).unwrap_or(0);
            let address = HostPort {
                host: broker.host.as_str().to_owned(),
                port,
            };
            if self
                .brokers
                .insert(broker.node_id, address.clone())
                .is_some_and(|known| known != address)
            {
                self.connections.remove(&broker.node_id);
            }
        }
        Ok(response)
    }

    /// A topic whose partitions all have leaders. Waits for it where that may help; with `create` the broker creates it
    /// if its settings say so.
    pub async fn topic(&mut self, name: &str, create: bool) -> Result<MetadataResponseTopic, ClientError> {
        let mut attempts = self.attempts();
        loop {
            let error = match self.metadata(Some(&[name]), create).await {
                Ok(response) => match usable(name, response) {
                    Ok(topic) => return Ok(topic),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let unknown = matches!(error, ClientError::Refused { code: 3, .. }) && !create;
            let connecting = matches!(error, ClientError::Connect { .. });
            if unknown || connecting || !error.is_retriable() {
                return Err(error);
            }
            attempts.again(error).await?;
        }
    }

    /// The partitions of a topic and their leaders, by ascending partition.
    pub async fn leaders(&mut self, name: &str, create: bool) -> Result<Vec<PartitionLeader>, ClientError> {
        let topic = self.topic(name, create).await?;
        let leader = |partition: &klamm_core::wire::message::metadata::MetadataResponsePartition| PartitionLeader {
            partition: partition.partition_index,
            leader: partition.leader_id,
        };
        let mut leaders: Vec<PartitionLeader> = topic.partitions.iter().map(leader).collect();
        leaders.sort_unstable_by_key(|leader| leader.partition);
        Ok(leaders)
    }

    /// A new connection to a broker, the caller's own.
    pub async fn open(&self, broker: i32) -> Result<Connection, ClientError> {
        Connection::open(self.address(broker)?, &self.client_id, self.patience).await
    }

    fn address(&self, broker: i32) -> Result<&HostPort, ClientError> {
        let unknown = || ClientError::Unexpected(format!("the cluster names no address for broker {broker}"));
        self.brokers.get(&broker).ok_or_else(unknown)
    }

    /// The connection to a broker.
    pub async fn broker(&mut self, broker: i32) -> Result<&mut Connection, ClientError> {
        if !self.connections.contains_key(&broker) {
            let connection = self.open(broker).await?;
            self.connections.insert(broker, connection);
        }
        let gone = || ClientError::Unexpected("no connection".to_owned());
        self.connections.get_mut(&broker).ok_or_else(gone)
    }

    /// Forgets the connection to a broker, after an error on it.
    pub fn drop_broker(&mut self, broker: i32) {
        self.connections.remove(&broker);
    }

    /// The connection to the controller, or to any broker where none is named: brokers pass such requests on.
    pub(super) async fn controller(&mut self) -> Result<&mut Connection, ClientError> {
        if self.brokers.is_empty() {
            self.metadata(Some(&[]), false).await?;
        }
        if self.brokers.contains_key(&self.controller) {
            return self.broker(self.controller).await;
        }
        self.first().await
    }

    /// Creates a topic; −1 leaves partitions or replicas to the broker.
    pub async fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        replicas: i16,
        configs: &[(&str, &str)],
    ) -> Result<(), ClientError> {
        let config = |&(name, value): &(&str, &str)| CreatableTopicConfig {
            name: text(name),
            value: Some(text(value)),
        };
        let controller = self.controller().await?;
        // Before version 4 the broker has no defaults to offer (KIP-464).
        let old = controller.version(klamm_core::wire::versions::ApiKey::CreateTopics)? < 4;
        let topic = CreatableTopic {
            name: text(name),
            num_partitions: if old && partitions < 0 { 1 } else { partitions },
            replication_factor: if old && replicas < 0 { 1 } else { replicas },
            configs: configs.iter().map(config).collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 30_000,
            ..CreateTopicsRequest::default()
        };
        let response: CreateTopicsResponse = controller.call(&request).await?;
        for result in response.topics {
            let message = result.error_message.as_ref().map(Text::as_str);
            check(|| format!("creating topic {name}"), result.error_code, message)?;
        }
        Ok(())
    }

    /// Deletes a topic.
    pub async fn delete_topic(&mut self, name: &str) -> Result<(), ClientError> {
        let request = DeleteTopicsRequest {
            topic_names: vec![text(name)],
            timeout_ms: 30_000,
            ..DeleteTopicsRequest::default()
        };
        let response: DeleteTopicsResponse = self.controller().await?.call(&request).await?;
        for result in response.responses {
            let message = result.error_message.as_ref().map(Text::as_str);
            check(|| format!("deleting topic {name}"), result.error_code, message)?;
        }
        Ok(())
    }

    /// Every setting of a topic.
    pub async fn topic_configs(&mut self, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, ClientError> {
        let resource = DescribeConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: text(name),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            ..DescribeConfigsRequest::default()
        };
        let response: DescribeConfigsResponse = self.controller().await?.call(&request).await?;
        let mut configs = Vec::new();
        for result in response.results {
            let message = result.error_message.as_ref().map(Text::as_str);
            check(|| format!("describing topic {name}"), result.error_code, message)?;
            configs.extend(result.configs);
        }
        Ok(configs)
    }

    /// The first offset of each partition at or after a time in milliseconds, or by Kafka's special times (−1 latest, −2
    /// earliest); `None` where no record is that late. One request for each broker; the first error ends it.
    pub async fn offsets_at(
        &mut self,
        topic: &str,
        partitions: &[PartitionLeader],
        timestamp: i64,
    ) -> Result<BTreeMap<i32, Option<i64>>, ClientError> {
        let mut offsets = BTreeMap::new();
        for (leader, led) in by_leader(partitions) {
            for (partition, found) in self.offsets_led(topic, leader, &led, timestamp).await? {
                offsets.insert(partition, found?);
            }
        }
        Ok(offsets)
    }

    /// [`offsets_at`](Self::offsets_at) of one partition.
    pub async fn offset_at(
        &mut self,
        topic: &str,
        at: PartitionLeader,
        timestamp: i64,
    ) -> Result<Option<i64>, ClientError> {
        let found = self.offsets_at(topic, &[at], timestamp).await?;
        Ok(found.get(&at.partition).copied().flatten())
    }

    /// What [`offsets_at`](Self::offsets_at) finds of the partitions that one broker leads, in one request; the broker
    /// may refuse some of them.
    pub async fn offsets_led(
        &mut self,
        topic: &str,
        leader: i32,
        partitions: &[i32],
        timestamp: i64,
    ) -> Result<BTreeMap<i32, Result<Option<i64>, ClientError>>, ClientError> {
        let partition = |&partition_index: &i32| ListOffsetsPartition {
            partition_index,
            timestamp,
            ..ListOffsetsPartition::default()
        };
        let topics = vec![ListOffsetsTopic {
            name: text(topic),
            partitions: partitions.iter().map(partition).collect(),
        }];
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics,
            ..ListOffsetsRequest::default()
        };
        let answer = self
            .broker(leader)
            .await?
            .call::<_, ListOffsetsResponse>(&request)
            .await;
        if answer.is_err() {
            self.drop_broker(leader);
        }
        let mut found = BTreeMap::new();
        for partition in answer?.topics.iter().flat_map(|topic| &topic.partitions) {
            let index = partition.partition_index;
            let what = || format!("looking up an offset of {topic}-{index}");
            let offset = (partition.offset >= 0).then_some(partition.offset);
            found.insert(index, check(what, partition.error_code, None).map(|()| offset));
        }
        if let Some(left_out) = partitions.iter().find(|partition| !found.contains_key(partition)) {
            let text = format!("the broker named no offset of {topic}-{left_out}");
            return Err(ClientError::Unexpected(text));
        }
        Ok(found)
    }
}

/// The partitions that each broker leads, in their order.
pub fn by_leader(partitions: &[PartitionLeader]) -> BTreeMap<i32, Vec<i32>> {
    let mut led: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for at in partitions {
        led.entry(at.leader).or_default().push(at.partition);
    }
    led
}

fn usable(name: &str, response: MetadataResponse) -> Result<MetadataResponseTopic, ClientError> {
    check(|| "asking for metadata".to_owned(), response.error_code, None)?;
    let topic = response.topics.into_iter().next();
    let topic = topic.ok_or_else(|| ClientError::Unexpected(format!("the broker did not answer for topic {name}")))?;
    check(|| format!("topic {name}"), topic.error_code, None)?;
    for partition in &topic.partitions {
        check(
            || format!("topic {name}, partition {}", partition.partition_index),
            partition.error_code,
            None,
        )?;
    }
    Ok(topic)
}

pub(super) fn check(what: impl Fn() -> String, code: i16, message: Option<&str>) -> Result<(), ClientError> {
    if code == 0 {
        Ok(())
    } else {
        Err(ClientError::refused(what(), code, message))
    }
}
