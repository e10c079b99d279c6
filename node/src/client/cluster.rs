//! A cluster as its metadata shows it, with one connection for each broker that is asked.

use super::{ClientError, Connection};
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
use std::time::Duration;

/// How often a request is repeated that failed for a reason that passes.
const ATTEMPTS: u32 = 60;
/// How long to wait before it is repeated.
const PAUSE: Duration = Duration::from_millis(250);
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
    brokers: BTreeMap<i32, HostPort>,
    controller: i32,
    first: Option<Connection>,
    connections: BTreeMap<i32, Connection>,
}

impl Cluster {
    /// A cluster that is reached through any of these addresses.
    pub fn new(bootstrap: Vec<HostPort>, client_id: &str) -> Self {
        Self {
            bootstrap,
            client_id: client_id.to_owned(),
            brokers: BTreeMap::new(),
            controller: -1,
            first: None,
            connections: BTreeMap::new(),
        }
    }

    /// A connection to whichever bootstrap address answers.
    async fn first(&mut self) -> Result<&mut Connection, ClientError> {
        if self.first.is_none() {
            let mut last = ClientError::Unexpected("no bootstrap address was given".to_owned());
            for address in &self.bootstrap {
                match Connection::open(address, &self.client_id).await {
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
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.metadata(Some(&[name]), create).await {
                Ok(response) => match usable(name, response) {
                    Ok(topic) => return Ok(topic),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let unknown = matches!(error, ClientError::Refused { code: 3, .. }) && !create;
            let connecting = matches!(error, ClientError::Connect { .. });
            if unknown || connecting || !error.is_retriable() || attempt >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
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
        Connection::open(self.address(broker)?, &self.client_id).await
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

    /// The first offset at or after a time in milliseconds, or by Kafka's special times (−1 latest, −2 earliest); `None`
    /// where no record is that late.
    pub async fn offset_at(
        &mut self,
        topic: &str,
        at: PartitionLeader,
        timestamp: i64,
    ) -> Result<Option<i64>, ClientError> {
        let partition = ListOffsetsPartition {
            partition_index: at.partition,
            timestamp,
            ..ListOffsetsPartition::default()
        };
        let topics = vec![ListOffsetsTopic {
            name: text(topic),
            partitions: vec![partition],
        }];
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics,
            ..ListOffsetsRequest::default()
        };
        let answer = self
            .broker(at.leader)
            .await?
            .call::<_, ListOffsetsResponse>(&request)
            .await;
        if answer.is_err() {
            self.drop_broker(at.leader);
        }
        let response = answer?;
        let found = response.topics.iter().flat_map(|topic| &topic.partitions).next();
        let found = found.ok_or_else(|| ClientError::Unexpected("the broker named no offset".to_owned()))?;
        check(
            || format!("looking up an offset of {topic}-{}", at.partition),
            found.error_code,
            None,
        )?;
        Ok((found.offset >= 0).then_some(found.offset))
    }
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
