//! Metadata: brokers, topics, partitions and their leaders; creates topics that are asked for by name where that is
//! allowed.

use super::find_coordinator::offsets_topic;
use super::{Progress, Work, repeated};
use crate::controller::{ControllerAnswer, ControllerRequest, MAX_PARTITIONS_PER_REQUEST, NewTopic, check_topic_name};
use crate::group::CONSUMER_OFFSETS;
use crate::metadata::{Endpoint, Partition, Registration, Topic, is_internal};
use crate::session::{Answer, Ask, Call};
use crate::types::{BrokerId, ErrorCode, TopicId};
use crate::wire::Text;
use crate::wire::message::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What may be done to a topic or the cluster where nobody is denied anything, as bits by
/// `org.apache.kafka.common.acl.AclOperation` code (`AclEntry.supportedOperations`).
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

/// What a topic's operations are while nobody asked for them.
const NOT_ASKED_FOR: i32 = i32::MIN;

/// The leader of a partition whose leader its clients do not reach.
pub(super) const NO_LEADER: i32 = -1;

/// From this version on a client hears that its leader advertises nothing for its listener.
const LISTENER_NOT_FOUND_SINCE: i16 = 6;

/// Topics that could not be created.
enum Failed {
    These(BTreeMap<Text, ErrorCode>),
    All(ErrorCode),
}

impl Default for Failed {
    fn default() -> Self {
        Self::These(BTreeMap::new())
    }
}

impl Failed {
    fn code(&self, name: &Text) -> Option<ErrorCode> {
        match self {
            Self::These(codes) => codes.get(name).copied(),
            Self::All(code) => Some(*code),
        }
    }
}

/// A request that waits for the topics it creates.
#[derive(Debug)]
pub(in crate::session) struct Metadata {
    request: MetadataRequest,
    creating: Vec<Text>,
}

pub(super) fn begin(request: MetadataRequest, call: &mut Call<'_, '_>) -> Progress {
    let creating = missing(&request, call);
    if creating.is_empty() {
        return answer(&request, &Failed::default(), call);
    }
    // The controller would refuse all of them, at many times the memory.
    if creating.len() > MAX_PARTITIONS_PER_REQUEST {
        let failed = Failed::All(ErrorCode::PolicyViolation);
        return answer(&request, &failed, call);
    }
    let topics = creating.iter().map(|name| auto_topic(name, call)).collect();
    let create = ControllerRequest::CreateTopics {
        topics,
        validate_only: false,
    };
    call.ask(call.context.controller, Ask::Controller(create));
    Progress::Working(Work::Metadata(Metadata { request, creating }))
}

/// A topic that nobody described; that of groups is always the same.
fn auto_topic(name: &Text, call: &Call<'_, '_>) -> NewTopic {
    if name.as_str() == CONSUMER_OFFSETS {
        return offsets_topic(&call.context.config.groups);
    }
    NewTopic {
        name: name.to_string(),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        config: Vec::new(),
    }
}

/// The names to create: each once, known to be legal, and not there yet.
fn missing(request: &MetadataRequest, call: &Call<'_, '_>) -> Vec<Text> {
    if !request.allow_auto_topic_creation || !call.context.config.auto_create_topics {
        return Vec::new();
    }
    let asked = request.topics.as_deref().unwrap_or_default().iter();
    let names = asked
        .filter(|topic| topic.topic_id.is_zero())
        .filter_map(|topic| topic.name.as_ref());
    let mut missing: Vec<Text> = names
        .filter(|name| check_topic_name(name).is_ok() && call.context.image.topic_named(name).is_none())
        .cloned()
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

impl Metadata {
    pub(super) fn resume(self, created: Answer, call: &Call<'_, '_>) -> Progress {
        let failed = match created {
            Answer::Controller(ControllerAnswer::Created(outcomes)) => {
                let failures = self.creating.into_iter().zip(outcomes);
                failures
                    .filter_map(|(name, outcome)| outcome.err().map(|refusal| (name, refusal.code)))
                    .collect()
            }
            Answer::Controller(ControllerAnswer::StorageError) => self
                .creating
                .into_iter()
                .map(|name| (name, ErrorCode::KafkaStorageError))
                .collect(),
            other => panic!("the creation of topics was answered {other:?}"),
        };
        answer(&self.request, &Failed::These(failed), call)
    }
}

fn answer(request: &MetadataRequest, failed: &Failed, call: &Call<'_, '_>) -> Progress {
    let image = call.context.image;
    let version = call.header.version;
    let all = match &request.topics {
        None => true,
        Some(topics) => version == 0 && topics.is_empty(),
    };
    let reached = &reached(call);
    let topics = if all {
        image
            .topics()
            .map(|topic| describe(topic, request, reached, call))
            .collect()
    } else {
        // Each topic is described once, however often it is named: a small request must not ask for a huge answer.
        let asked = request.topics.as_deref().unwrap_or_default();
        let order = |one: &MetadataRequestTopic, other: &MetadataRequestTopic| {
            let names = one.name.cmp(&other.name);
            names.then(one.topic_id.cmp(&other.topic_id))
        };
        let mut again = repeated(asked, order).into_iter().peekable();
        let first = (0..).zip(asked).filter(|(place, _)| again.next_if_eq(place).is_none());
        first
            .map(|(_, topic)| find(topic, request, failed, reached, call))
            .collect()
    };
    let broker = |(id, registration, endpoint): (BrokerId, &Registration, &Endpoint)| MetadataResponseBroker {
        node_id: id.0,
        host: Text::from(endpoint.host.clone()),
        port: i32::from(endpoint.port),
        rack: registration.rack.clone().map(Text::from),
    };
    let mut response = MetadataResponse {
        brokers: image.reachable(call.listener).map(broker).collect(),
        cluster_id: Some(Text::from(call.context.cluster_id.to_string())),
        controller_id: call.context.config.node_id.0,
        topics,
        ..MetadataResponse::default()
    };
    if (8..=10).contains(&version) && request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    call.respond(&response)
}

fn find(
    asked: &MetadataRequestTopic,
    request: &MetadataRequest,
    failed: &Failed,
    reached: &BTreeSet<BrokerId>,
    call: &Call<'_, '_>,
) -> MetadataResponseTopic {
    let image = call.context.image;
    let by_id = !asked.topic_id.is_zero();
    let may_ask = call.header.version >= 8 && request.include_topic_authorized_operations;
    let refuse = |code: ErrorCode| MetadataResponseTopic {
        error_code: code.code(),
        // Nobody is denied anything on a topic that could be there either (`KafkaApis.handleTopicMetadataRequest`).
        topic_authorized_operations: if may_ask && !by_id && asked.name.is_some() {
            TOPIC_OPERATIONS
        } else {
            NOT_ASKED_FOR
        },
        // Before version 12 the name may not be null.
        name: asked
            .name
            .clone()
            .or_else(|| (call.header.version < 12).then(Text::default)),
        topic_id: asked.topic_id,
        ..MetadataResponseTopic::default()
    };
    if call.header.version < 12 && (by_id || asked.name.is_none()) {
        return refuse(ErrorCode::InvalidRequest);
    }
    let found = match &asked.name {
        _ if by_id => image.topic(TopicId(asked.topic_id)).ok_or(ErrorCode::UnknownTopicId),
        Some(name) => match (image.topic_named(name), check_topic_name(name)) {
            (Some(topic), _) => Ok(topic),
            (None, Err(refusal)) => Err(refusal.code),
            (None, Ok(())) => Err(failed.code(name).unwrap_or(ErrorCode::UnknownTopicOrPartition)),
        },
        None => Err(ErrorCode::UnknownTopicId),
    };
    found.map_or_else(refuse, |topic| describe(topic, request, reached, call))
}

fn describe(
    topic: &Arc<Topic>,
    request: &MetadataRequest,
    reached: &BTreeSet<BrokerId>,
    call: &Call<'_, '_>,
) -> MetadataResponseTopic {
    let mut described = MetadataResponseTopic {
        name: Some(Text::from(topic.name.to_string())),
        topic_id: topic.id.0,
        is_internal: is_internal(&topic.name),
        partitions: (0..)
            .zip(&topic.partitions)
            .map(|it| partition(it, reached, call))
            .collect(),
        ..MetadataResponseTopic::default()
    };
    if call.header.version >= 8 && request.include_topic_authorized_operations {
        described.topic_authorized_operations = TOPIC_OPERATIONS;
    }
    described
}

/// The brokers that clients of the connection's listener reach.
pub(super) fn reached(call: &Call<'_, '_>) -> BTreeSet<BrokerId> {
    let reachable = call.context.image.reachable(call.listener);
    reachable.map(|(id, ..)| id).collect()
}

/// The ids of those of `brokers` that `wanted` says.
pub(super) fn ids(brokers: &[BrokerId], wanted: impl Fn(&BrokerId) -> bool) -> Vec<i32> {
    let brokers = brokers.iter().filter(|id| wanted(id));
    brokers.map(|id| id.0).collect()
}

/// A partition for clients that reach these brokers: a leader they do not reach is none
/// (`KRaftMetadataCache.getPartitionMetadata`).
fn partition(
    (partition_index, partition): (i32, &Partition),
    reached: &BTreeSet<BrokerId>,
    call: &Call<'_, '_>,
) -> MetadataResponsePartition {
    let image = call.context.image;
    let version = call.header.version;
    // Version 0 has no replicas that are offline: it names those that are not, and says that some are missing.
    let named = |id: &BrokerId| version > 0 || reached.contains(id);
    let (replica_nodes, isr_nodes) = (ids(&partition.replicas, named), ids(&partition.isr, named));
    let all = replica_nodes.len() == partition.replicas.len() && isr_nodes.len() == partition.isr.len();
    let (error, leader_id) = match (reached.contains(&partition.leader), image.broker(partition.leader)) {
        (true, _) if all => (ErrorCode::None, partition.leader.0),
        (true, _) => (ErrorCode::ReplicaNotAvailable, partition.leader.0),
        (false, Some(_)) if version >= LISTENER_NOT_FOUND_SINCE => (ErrorCode::ListenerNotFound, NO_LEADER),
        (false, _) => (ErrorCode::LeaderNotAvailable, NO_LEADER),
    };
    MetadataResponsePartition {
        error_code: error.code(),
        partition_index,
        leader_id,
        leader_epoch: image.leader_epoch(partition).0,
        replica_nodes,
        isr_nodes,
        offline_replicas: ids(&partition.replicas, |id| !reached.contains(id)),
    }
}
