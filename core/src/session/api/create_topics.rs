//! CreateTopics: the controller decides; the answer waits until every connection sees the topics.

use super::{Progress, Work};
use crate::config::{TopicOverrides, describe_topic};
use crate::controller::{ControllerAnswer, ControllerRequest, NewTopic, Outcome};
use crate::metadata::Topic;
use crate::session::{Answer, Ask, Call};
use crate::types::{BrokerId, ErrorCode};
use crate::wire::Text;
use crate::wire::message::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

/// A request that the controller works on.
#[derive(Debug)]
pub(in crate::session) struct CreateTopics {
    names: Vec<Text>,
}

pub(super) fn begin(request: &CreateTopicsRequest, call: &mut Call<'_, '_>) -> Progress {
    let names = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let topics = request.topics.iter().map(new_topic).collect();
    let validate_only = request.validate_only;
    call.ask(
        call.context.controller,
        Ask::Controller(ControllerRequest::CreateTopics { topics, validate_only }),
    );
    Progress::Working(Work::CreateTopics(CreateTopics { names }))
}

fn new_topic(topic: &CreatableTopic) -> NewTopic {
    let assignment = |it: &crate::wire::message::create_topics::CreatableReplicaAssignment| {
        (
            it.partition_index,
            it.broker_ids.iter().map(|&id| BrokerId(id)).collect(),
        )
    };
    NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic.assignments.iter().map(assignment).collect(),
        config: topic
            .configs
            .iter()
            .map(|it| (it.name.to_string(), it.value.as_ref().map(Text::to_string)))
            .collect(),
    }
}

impl CreateTopics {
    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        let topics = match answer {
            Answer::Controller(ControllerAnswer::Created(outcomes)) => {
                // One that is named twice is refused, and answered once (`ControllerApis.createTopics`).
                let mut answered = BTreeSet::new();
                let outcomes = self.names.into_iter().zip(outcomes);
                outcomes
                    .filter(|(name, _)| answered.insert(name.clone()))
                    .map(|(name, outcome)| result(name, outcome, call))
                    .collect()
            }
            Answer::Controller(ControllerAnswer::StorageError) => {
                let failed = |name| CreatableTopicResult {
                    name,
                    error_code: ErrorCode::KafkaStorageError.code(),
                    error_message: None,
                    ..CreatableTopicResult::default()
                };
                self.names.into_iter().map(failed).collect()
            }
            other => panic!("create topics was answered {other:?}"),
        };
        call.respond(&CreateTopicsResponse {
            throttle_time_ms: 0,
            topics,
        })
    }
}

fn result(name: Text, outcome: Outcome, call: &Call<'_, '_>) -> CreatableTopicResult {
    match outcome {
        Ok(topic) => CreatableTopicResult {
            name,
            topic_id: topic.id.0,
            num_partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            replication_factor: i16::try_from(topic.partitions[0].replicas.len()).unwrap_or(i16::MAX),
            configs: Some(configs(&topic, call)),
            error_message: None,
            ..CreatableTopicResult::default()
        },
        Err(refusal) => CreatableTopicResult {
            name,
            error_code: refusal.code.code(),
            error_message: refusal.message.map(Text::from),
            configs: Some(Vec::new()),
            ..CreatableTopicResult::default()
        },
    }
}

fn configs(topic: &Topic, call: &Call<'_, '_>) -> Vec<CreatableTopicConfigs> {
    let settings = topic
        .config
        .iter()
        .map(|(key, value)| (key.as_str(), Some(value.as_str())));
    let Ok((_, overrides)) = TopicOverrides::parse(settings, &call.context.config.topic_defaults) else {
        return Vec::new();
    };
    let entry = |entry: crate::config::ConfigEntry| CreatableTopicConfigs {
        name: Text::from(entry.name),
        value: entry.value.map(Text::from),
        read_only: entry.read_only,
        config_source: entry.source.id(),
        is_sensitive: entry.sensitive,
    };
    describe_topic(&overrides, call.context.config)
        .into_iter()
        .map(entry)
        .collect()
}
