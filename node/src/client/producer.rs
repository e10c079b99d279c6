//! A producer for a command line: one request at a time for each partition, repeated until it is known what became of
//! it.
//!
//! Invariant: an idempotent producer never gives a sequence number to two batches, so that a repeated request does not
//! append twice.

use super::cluster::text;
use super::{ClientError, Cluster, PartitionLeader, Partitioner};
use bytes::Bytes;
use klamm_core::record::{self, BatchBuilder, Compression, Level};
use klamm_core::types::{ProducerEpoch, ProducerId, Sequence, Timestamp};
use klamm_core::wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use klamm_core::wire::message::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use klamm_core::wire::versions::ApiKey;

/// The topic is not there (`UNKNOWN_TOPIC_OR_PARTITION`).
const UNKNOWN_TOPIC: i16 = 3;
/// Errors that say the batch of an idempotent producer was appended before (`DUPLICATE_SEQUENCE_NUMBER`).
const DUPLICATE: i16 = 46;

/// What the broker waits for before it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// It does not answer at all.
    None,
    /// The leader's append.
    Leader,
    /// That of all in-sync replicas.
    All,
}

impl Acks {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How to produce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerOptions {
    /// What the broker waits for.
    pub acks: Acks,
    /// How batches are compressed.
    pub compression: Compression,
    /// Whether the broker may recognize a repeated batch; needs [`Acks::All`].
    pub idempotent: bool,
}

/// A record to send.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Message {
    /// The key, if there is one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone on a compacted topic.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A producer for one topic.
#[derive(Debug)]
pub struct Producer {
    topic: String,
    options: ProducerOptions,
    leaders: Vec<PartitionLeader>,
    sequences: Vec<i32>,
    identity: Option<(ProducerId, ProducerEpoch)>,
    partitioner: Partitioner,
}

impl Producer {
    /// Looks the topic up, creating it if the broker does so, and gets an id if the producer is idempotent. With a
    /// `partition` that all records are to go to, a topic that lacks it is refused, and none is created for it.
    pub async fn start(
        cluster: &mut Cluster,
        topic: &str,
        partition: Option<i32>,
        options: ProducerOptions,
    ) -> Result<Self, ClientError> {
        // A topic that is created has this one, whatever the broker's settings say.
        let creates = partition.is_none_or(|wanted| wanted == 0);
        let leaders = match cluster.leaders(topic, creates).await {
            Err(ClientError::Refused {
                code: UNKNOWN_TOPIC, ..
            }) if !creates => {
                let text = format!(
                    "there is no topic {topic}, so it has no partition {}; create it first, with as many as it needs",
                    partition.unwrap_or_default()
                );
                return Err(ClientError::Unexpected(text));
            }
            leaders => leaders?,
        };
        if let Some(wanted) = partition
            && !leaders.iter().any(|leader| leader.partition == wanted)
        {
            let count = leaders.len();
            let text = format!("topic {topic} has no partition {wanted}: it has {count}, counted from 0");
            return Err(ClientError::Unexpected(text));
        }
        let identity = if options.idempotent {
            Some(identity(cluster, &leaders).await?)
        } else {
            None
        };
        Ok(Self {
            topic: topic.to_owned(),
            options,
            sequences: vec![0; leaders.len()],
            identity,
            partitioner: Partitioner::new(leaders.len()),
            leaders,
        })
    }

    /// Sends records, at the time `now` in milliseconds, and returns once each is appended. With `partition` they all go
    /// there.
    pub async fn send(
        &mut self,
        cluster: &mut Cluster,
        messages: &[Message],
        partition: Option<i32>,
        now: i64,
    ) -> Result<(), ClientError> {
        let mut places: Vec<Vec<&Message>> = vec![Vec::new(); self.leaders.len()];
        for message in messages {
            let place = match partition {
                Some(wanted) => self.leaders.iter().position(|leader| leader.partition == wanted),
                None => Some(self.partitioner.place(message.key.as_deref())),
            };
            let gone = || ClientError::Unexpected(format!("topic {} has no such partition", self.topic));
            places.get_mut(place.ok_or_else(gone)?).ok_or_else(gone)?.push(message);
        }
        self.partitioner.advance();
        for (place, messages) in places.iter().enumerate().filter(|(_, messages)| !messages.is_empty()) {
            self.append(cluster, place, messages, now).await?;
        }
        Ok(())
    }

    async fn append(
        &mut self,
        cluster: &mut Cluster,
        place: usize,
        messages: &[&Message],
        now: i64,
    ) -> Result<(), ClientError> {
        let batch = self.batch(place, messages, now)?;
        let mut attempts = cluster.attempts();
        loop {
            match self.request(cluster, place, &batch).await {
                Ok(()) => break,
                Err(ClientError::Refused { code: DUPLICATE, .. }) if self.identity.is_some() => break,
                Err(error) if !error.is_retriable() => return Err(error),
                // Without an id a repeated batch may be there twice: only what was surely not appended is sent again.
                Err(error @ ClientError::Io { .. }) if self.identity.is_none() => return Err(error),
                Err(error) => {
                    attempts.again(error).await?;
                    if let Ok(leaders) = cluster.leaders(&self.topic, true).await
                        && leaders.len() == self.leaders.len()
                    {
                        self.leaders = leaders;
                    }
                }
            }
        }
        let count = i32::try_from(messages.len()).unwrap_or(i32::MAX);
        if let Some(sequence) = self.sequences.get_mut(place) {
            *sequence = sequence
                .checked_add(count)
                .unwrap_or_else(|| *sequence - i32::MAX - 1 + count);
        }
        Ok(())
    }

    fn batch(&self, place: usize, messages: &[&Message], now: i64) -> Result<Bytes, ClientError> {
        let producer = match (self.identity, self.sequences.get(place)) {
            (Some((id, epoch)), Some(&sequence)) => record::Producer::Idempotent {
                id,
                epoch,
                base_sequence: Sequence(sequence),
            },
            _ => record::Producer::Plain,
        };
        let mut builder = BatchBuilder::new(self.options.compression, Level::Default, producer);
        for message in messages {
            let headers: Vec<(&str, Option<&[u8]>)> = message
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), Some(value.as_slice())))
                .collect();
            builder.append(
                Timestamp(now),
                message.key.as_deref(),
                message.value.as_deref(),
                &headers,
            );
        }
        let batch = builder
            .build()
            .map_err(|error| ClientError::Unexpected(error.to_string()))?;
        Ok(batch.to_bytes())
    }

    async fn request(&self, cluster: &mut Cluster, place: usize, batch: &Bytes) -> Result<(), ClientError> {
        let gone = || ClientError::Unexpected(format!("topic {} has no such partition", self.topic));
        let at = *self.leaders.get(place).ok_or_else(gone)?;
        let data = PartitionProduceData {
            index: at.partition,
            records: Some(batch.clone()),
        };
        let topic = TopicProduceData {
            name: text(&self.topic),
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: self.options.acks.code(),
            timeout_ms: 30_000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        let connection = cluster.broker(at.leader).await?;
        let answer = if self.options.acks == Acks::None {
            let version = connection.version(ApiKey::Produce)?;
            connection
                .send(&request, version)
                .await
                .map(|_| ProduceResponse::default())
        } else {
            connection.call(&request).await
        };
        if answer.is_err() {
            cluster.drop_broker(at.leader);
        }
        let response = answer?;
        for partition in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
            if partition.error_code != 0 {
                let what = format!("producing to {}-{}", self.topic, at.partition);
                let message = partition.error_message.as_ref().map(klamm_core::wire::Text::as_str);
                return Err(ClientError::refused(what, partition.error_code, message));
            }
        }
        Ok(())
    }
}

/// A new producer id, from any broker.
async fn identity(
    cluster: &mut Cluster,
    leaders: &[PartitionLeader],
) -> Result<(ProducerId, ProducerEpoch), ClientError> {
    let none = || ClientError::Unexpected("the topic has no partition".to_owned());
    let broker = leaders.first().ok_or_else(none)?.leader;
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    let mut attempts = cluster.attempts();
    loop {
        let response: InitProducerIdResponse = cluster.broker(broker).await?.call(&request).await?;
        if response.error_code == 0 {
            return Ok((ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)));
        }
        let error = ClientError::refused("asking for a producer id", response.error_code, None);
        if !error.is_retriable() {
            return Err(error);
        }
        attempts.again(error).await?;
    }
}
