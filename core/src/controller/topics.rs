//! Topics created and deleted, under Kafka's rules (`ReplicationControlManager`).

use super::{Controller, Decided};
use crate::config::{self, TopicOverrides};
use crate::group::CONSUMER_OFFSETS;
use crate::metadata::{Change, PartitionRecord, RemoveTopicRecord, Topic, TopicRecord};
use crate::types::{BrokerId, ErrorCode, Refusal, TopicId, Uuid};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// More partitions than this in one request are refused.
pub const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;
const MAX_NAME_LENGTH: usize = 249;
/// The topic of the metadata log (`org.apache.kafka.common.internals.Topic.CLUSTER_METADATA_TOPIC_NAME`).
pub(crate) const CLUSTER_METADATA: &str = "__cluster_metadata";

/// A topic to create.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; −1 takes `num.partitions`.
    pub partitions: i32,
    /// How many replicas each; −1 takes `default.replication.factor`.
    pub replication_factor: i16,
    /// The replicas of each partition by its index, as they were given, instead of both counts.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Configuration keys and values.
    pub config: Vec<(String, Option<String>)>,
}

/// A topic to delete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TopicReference {
    /// By name.
    Name(String),
    /// By identity.
    Id(TopicId),
    /// The request names it in a way that cannot be meant.
    Invalid {
        /// The name given, if any.
        name: Option<String>,
        /// The id given; zero if none.
        id: TopicId,
        /// What is wrong.
        reason: &'static str,
    },
}

/// What became of a [`NewTopic`].
pub type Outcome = Result<Arc<Topic>, Refusal>;

/// What became of a [`TopicReference`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedTopic {
    /// Its name, where it is known.
    pub name: Option<String>,
    /// Its identity; zero where it is not known.
    pub id: TopicId,
    /// Whether it is gone.
    pub result: Result<(), Refusal>,
}

pub(super) fn refused<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        code,
        message: Some(message.into()),
    })
}

/// Whether clients may use `name` for a topic (`org.apache.kafka.common.internals.Topic.validate`).
pub fn check_topic_name(name: &str) -> Result<(), Refusal> {
    let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    // Its records are the broker's own (`ControllerApis.createTopics`).
    let reason = match name {
        "" => String::from("it is empty"),
        "." | ".." | CLUSTER_METADATA => format!("'{name}' is reserved"),
        _ if name.len() > MAX_NAME_LENGTH => {
            format!(
                "it has {} characters, and at most {MAX_NAME_LENGTH} are allowed",
                name.len()
            )
        }
        _ if !name.bytes().all(legal) => {
            format!("'{name}' holds other characters than ASCII letters, digits, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    refused(
        ErrorCode::InvalidTopicException,
        format!("Topic name is invalid: {reason}"),
    )
}

impl<A> Decided<A> {
    /// A partition that its first replica leads and all have in sync.
    pub(super) fn new_partition(&self, replicas: Vec<i32>) -> PartitionRecord {
        let leader = replicas[0];
        PartitionRecord {
            leader,
            leader_epoch: 0,
            leader_starts: self.image.broker(BrokerId(leader)).map_or(0, |broker| broker.starts),
            partition_epoch: 0,
            isr: replicas.clone(),
            replicas,
        }
    }
}

impl<A> Controller<A> {
    pub(super) fn create_topics(
        &mut self,
        topics: &[NewTopic],
        validate_only: bool,
        decided: &mut Decided<A>,
    ) -> Vec<Outcome> {
        let mut seen = BTreeSet::new();
        let mut repeated = BTreeSet::new();
        for topic in topics {
            if !seen.insert(topic.name.as_str()) {
                repeated.insert(topic.name.as_str());
            }
        }
        let counted = topics.iter().filter(|topic| !repeated.contains(topic.name.as_str()));
        let total: usize = counted.map(|topic| self.asked_partitions(topic)).sum();
        if total > MAX_PARTITIONS_PER_REQUEST {
            let refuse = |_| {
                let text = format!("One request creates at most {MAX_PARTITIONS_PER_REQUEST} partitions.");
                refused(ErrorCode::PolicyViolation, text)
            };
            return topics.iter().map(refuse).collect();
        }
        let mut create = |topic: &NewTopic| {
            if repeated.contains(topic.name.as_str()) {
                return refused(ErrorCode::InvalidRequest, "Duplicate topic name.");
            }
            if topic.name == CLUSTER_METADATA {
                let text = format!("The topic {CLUSTER_METADATA} is the broker's own.");
                return refused(ErrorCode::InvalidRequest, text);
            }
            let record = self.plan_topic(topic, decided)?;
            if validate_only {
                return Ok(preview(&record));
            }
            if !decided.has_room_for(&record) {
                let text = "The topics of one request have more configuration and partitions than fit one commit.";
                return refused(ErrorCode::PolicyViolation, text);
            }
            decided.add(Change::Topic(record));
            Ok(decided
                .delta
                .created
                .last()
                .map(Arc::clone)
                .expect("a topic record creates a topic"))
        };
        topics.iter().map(&mut create).collect()
    }

    /// How many partitions a topic counts for in its request, whatever else is wrong with it
    /// (`ReplicationControlManager.validateTotalNumberOfPartitions`).
    fn asked_partitions(&self, topic: &NewTopic) -> usize {
        match topic.partitions {
            _ if !topic.assignments.is_empty() => topic.assignments.len(),
            -1 => self.config.num_partitions.unsigned_abs() as usize,
            count => usize::try_from(count).unwrap_or(0),
        }
    }

    fn plan_topic(&mut self, topic: &NewTopic, decided: &Decided<A>) -> Result<TopicRecord, Refusal> {
        check_topic_name(&topic.name)?;
        if decided.image.topic_named(&topic.name).is_some() {
            return refused(
                ErrorCode::TopicAlreadyExists,
                format!("Topic '{}' already exists.", topic.name),
            );
        }
        if let Some(other) = decided.image.name_colliding_with(&topic.name) {
            let text = format!(
                "Topic '{}' differs from the existing topic '{other}' only in '.' and '_'.",
                topic.name
            );
            return refused(ErrorCode::InvalidTopicException, text);
        }
        // Settings are judged first (`ReplicationControlManager.createTopics`).
        let overrides = parse_config(topic, &self.config)?;
        let replicas = self.place_replicas(topic)?;
        let place = |replicas| decided.new_partition(replicas);
        let topic_id = self.new_topic_id(decided);
        Ok(TopicRecord {
            topic_id: topic_id.0.0.to_vec(),
            name: topic.name.clone(),
            partitions: replicas.into_iter().map(place).collect(),
            config: overrides,
        })
    }

    /// The replicas of each partition, by index.
    fn place_replicas(&self, topic: &NewTopic) -> Result<Vec<Vec<i32>>, Refusal> {
        if !topic.assignments.is_empty() {
            return self.check_assignments(topic);
        }
        // A factor that no cluster has is judged before the number of partitions, one that this cluster lacks brokers for
        // after it (`ReplicationControlManager.createTopic`).
        let factor = match topic.replication_factor {
            -1 => self.config.default_replication_factor,
            factor => factor,
        };
        if factor <= 0 {
            let text = format!("Replication factor {factor}; allowed are 1 and more, or -1 for the default.");
            return refused(ErrorCode::InvalidReplicationFactor, text);
        }
        let partitions = match topic.partitions {
            -1 => self.config.num_partitions,
            count if count > 0 => count,
            count => {
                let text = format!("{count} partitions were asked for; allowed are 1 and more, or -1 for the default.");
                return refused(ErrorCode::InvalidPartitions, text);
            }
        };
        let brokers = i16::try_from(self.image.brokers().count()).unwrap_or(i16::MAX);
        if factor > brokers {
            let text = format!("Replication factor {factor} cannot be reached: {brokers} broker(s) are registered.");
            return refused(ErrorCode::InvalidReplicationFactor, text);
        }
        Ok((0..partitions).map(|_| Vec::from([self.config.node_id.0])).collect())
    }

    fn check_assignments(&self, topic: &NewTopic) -> Result<Vec<Vec<i32>>, Refusal> {
        if topic.partitions != -1 || topic.replication_factor != -1 {
            let text = "With a manual assignment, the number of partitions and the replication factor must be -1.";
            return refused(ErrorCode::InvalidRequest, text);
        }
        let mut assignments: Vec<_> = topic.assignments.iter().collect();
        assignments.sort_by_key(|(index, _)| *index);
        let mut placed = Vec::with_capacity(assignments.len());
        for (expected, (index, brokers)) in (0..).zip(assignments.iter().copied()) {
            if *index < expected {
                let text = format!("Partition {index} has several assignments.");
                return refused(ErrorCode::InvalidReplicaAssignment, text);
            }
            if *index > expected {
                let text = format!("Partition {expected} has no assignment; they must be consecutive from 0.");
                return refused(ErrorCode::InvalidReplicaAssignment, text);
            }
            if brokers.is_empty() {
                let text = format!("The assignment of partition {index} names no broker.");
                return refused(ErrorCode::InvalidReplicaAssignment, text);
            }
            let distinct: BTreeSet<_> = brokers.iter().collect();
            if distinct.len() != brokers.len() {
                let text = format!("The assignment of partition {index} names a broker twice.");
                return refused(ErrorCode::InvalidReplicaAssignment, text);
            }
            if let Some(unknown) = brokers.iter().find(|&&id| self.image.broker(id).is_none()) {
                let text = format!("The assignment of partition {index} names broker {unknown}, which is unknown.");
                return refused(ErrorCode::InvalidReplicaAssignment, text);
            }
            if brokers.len() != assignments[0].1.len() {
                let text = format!("Partition {index} has another number of replicas than partition 0.");
                return refused(ErrorCode::InvalidReplicaAssignment, text);
            }
            placed.push(brokers.iter().map(|id| id.0).collect());
        }
        Ok(placed)
    }

    /// An id that no topic has. Kafka keeps the first two for itself, and avoids a leading '-', which command lines
    /// take for an option.
    fn new_topic_id(&mut self, decided: &Decided<A>) -> TopicId {
        loop {
            let id = Uuid(self.seed.bytes16());
            let reserved = u128::from_be_bytes(id.0) <= 1 || id.to_string().starts_with('-');
            if !reserved && decided.image.topic(TopicId(id)).is_none() {
                return TopicId(id);
            }
        }
    }
}

fn parse_config(topic: &NewTopic, broker: &config::BrokerConfig) -> Result<BTreeMap<String, String>, Refusal> {
    let pairs = topic.config.iter().map(|(key, value)| (key.as_str(), value.as_deref()));
    match TopicOverrides::parse(pairs, &broker.topic_defaults) {
        Ok((_, overrides)) => check_policy(&topic.name, &overrides).map(|()| {
            let owned = |(key, value): (&str, &str)| (key.to_string(), value.to_string());
            overrides.iter().map(owned).collect()
        }),
        Err(error) => refused(ErrorCode::InvalidConfig, error.to_string()),
    }
}

/// The topic of groups is compacted, and nothing else takes its records: a generation that retention removed would be
/// issued again, and an offset be lost.
pub(super) fn check_policy(topic: &str, overrides: &TopicOverrides) -> Result<(), Refusal> {
    let given = overrides.iter().find(|(key, _)| *key == "cleanup.policy");
    match given {
        Some((key, policy)) if topic == CONSUMER_OFFSETS && policy != "compact" => {
            let text = format!("{key} of {CONSUMER_OFFSETS} is compact: what groups say of themselves does not age.");
            refused(ErrorCode::InvalidConfig, text)
        }
        _ => Ok(()),
    }
}

/// The topic as it would be, for a request that only checks.
fn preview(record: &TopicRecord) -> Arc<Topic> {
    let mut image = crate::metadata::Image::default();
    let mut delta = crate::metadata::Delta::default();
    let applied = image.apply(image.end(), &Change::Topic(record.clone()).into(), &mut delta);
    assert!(applied.is_ok(), "an empty image takes any topic");
    delta.created.remove(0)
}

pub(super) fn delete_topics<A>(topics: Vec<TopicReference>, decided: &mut Decided<A>) -> Vec<DeletedTopic> {
    let mut named = BTreeMap::new();
    for topic in &topics {
        *named.entry(key(topic)).or_insert(0) += 1;
    }
    let repeated: BTreeSet<_> = named
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(key, _)| key)
        .collect();
    let both = named_both_ways(&topics, decided);
    let named_by_id: BTreeSet<TopicId> = both.values().copied().collect();
    let only_refused_by_name = |topic: &TopicReference| match topic {
        TopicReference::Id(id) => named_by_id.contains(id) && !repeated.contains(&key(topic)),
        TopicReference::Name(_) | TopicReference::Invalid { .. } => false,
    };
    let mut deleted = Vec::with_capacity(topics.len());
    for topic in topics {
        let twice = repeated.contains(&key(&topic));
        match &topic {
            TopicReference::Name(name) if !twice && both.contains_key(name) => {
                let text = "The topic is named by its id, too.";
                deleted.push(DeletedTopic {
                    id: both[name],
                    name: Some(name.clone()),
                    result: refused(ErrorCode::InvalidRequest, text),
                });
            }
            topic if only_refused_by_name(topic) => {}
            _ => deleted.push(delete_topic(topic, twice, decided)),
        }
    }
    deleted
}

/// The names of topics whose ids are given, too. Such a topic is refused, and that is answered once, by name and id
/// (`ControllerApis.deleteTopics`).
fn named_both_ways<A>(topics: &[TopicReference], decided: &Decided<A>) -> BTreeMap<String, TopicId> {
    let ids = topics.iter().filter_map(|topic| match topic {
        TopicReference::Id(id) => Some(*id),
        TopicReference::Name(_) | TopicReference::Invalid { .. } => None,
    });
    let ids: BTreeSet<TopicId> = ids.collect();
    let both = topics.iter().filter_map(|topic| match topic {
        TopicReference::Name(name) => {
            let found = decided.image.topic_named(name)?;
            ids.contains(&found.id).then(|| (name.clone(), found.id))
        }
        TopicReference::Id(_) | TopicReference::Invalid { .. } => None,
    });
    both.collect()
}

/// What a topic is called in a request; an empty name is one.
fn key(topic: &TopicReference) -> (Option<String>, TopicId) {
    match topic {
        TopicReference::Name(name) => (Some(name.clone()), TopicId::default()),
        TopicReference::Id(id) => (None, *id),
        TopicReference::Invalid { name, id, .. } => (name.clone(), *id),
    }
}

fn delete_topic<A>(topic: TopicReference, twice: bool, decided: &mut Decided<A>) -> DeletedTopic {
    let refuse = |name, id, code, message: &str| {
        let result = refused(code, message);
        DeletedTopic { name, id, result }
    };
    let (found, name, id) = match topic {
        TopicReference::Invalid { name, id, reason } => {
            return refuse(name, id, ErrorCode::InvalidRequest, reason);
        }
        TopicReference::Name(name) if twice => {
            return refuse(
                Some(name),
                TopicId::default(),
                ErrorCode::InvalidRequest,
                "Duplicate topic name.",
            );
        }
        TopicReference::Id(id) if twice => {
            return refuse(None, id, ErrorCode::InvalidRequest, "Duplicate topic id.");
        }
        TopicReference::Name(name) => (
            decided.image.topic_named(&name).cloned(),
            Some(name),
            TopicId::default(),
        ),
        TopicReference::Id(id) => (decided.image.topic(id).cloned(), None, id),
    };
    let Some(found) = found else {
        return match name {
            Some(_) => {
                let text = "This server does not host this topic-partition.";
                refuse(name, id, ErrorCode::UnknownTopicOrPartition, text)
            }
            None => refuse(
                None,
                id,
                ErrorCode::UnknownTopicId,
                "This server does not host this topic ID.",
            ),
        };
    };
    decided.add(Change::RemoveTopic(RemoveTopicRecord {
        topic_id: found.id.0.0.to_vec(),
    }));
    DeletedTopic {
        name: Some(found.name.to_string()),
        id: found.id,
        result: Ok(()),
    }
}
