//! DeleteTopics: by name, and since version 6 by id too (KIP-516).

use super::{Progress, Work};
use crate::controller::{ControllerAnswer, ControllerRequest, DeletedTopic, TopicReference};
use crate::session::{Answer, Ask, Call};
use crate::types::{ErrorCode, TopicId, Uuid};
use crate::wire::message::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use crate::wire::{List, Text};
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

/// A request that the controller works on.
#[derive(Debug)]
pub(in crate::session) struct DeleteTopics {
    named: Vec<(Option<Text>, Uuid)>,
}

pub(super) fn begin(request: DeleteTopicsRequest, call: &mut Call<'_, '_>) -> Progress {
    let named: Vec<_> = match call.header.version {
        6.. => request
            .topics
            .into_iter()
            .map(|DeleteTopicState { name, topic_id }| (name, topic_id))
            .collect(),
        _ => request
            .topic_names
            .into_iter()
            .map(|name| (Some(name), Uuid::ZERO))
            .collect(),
    };
    if !call.context.config.delete_topics {
        let disabled = if call.header.version < 3 {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::TopicDeletionDisabled
        };
        return refuse(named, disabled, call);
    }
    let topics = named.iter().map(reference).collect();
    call.ask(
        call.context.controller,
        Ask::Controller(ControllerRequest::DeleteTopics(topics)),
    );
    Progress::Working(Work::DeleteTopics(DeleteTopics { named }))
}

fn reference((name, id): &(Option<Text>, Uuid)) -> TopicReference {
    let invalid = |reason| {
        let name = name.as_ref().map(Text::to_string);
        TopicReference::Invalid {
            name,
            id: TopicId(*id),
            reason,
        }
    };
    match name {
        None if id.is_zero() => invalid("Neither a topic name nor a topic id is given."),
        None => TopicReference::Id(TopicId(*id)),
        Some(name) if id.is_zero() => TopicReference::Name(name.to_string()),
        Some(_) => invalid("Both a topic name and a topic id are given; allowed is one of them."),
    }
}

impl DeleteTopics {
    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        match answer {
            Answer::Controller(ControllerAnswer::Deleted(topics)) => {
                // One that is named twice is refused, and answered once (`ControllerApis.deleteTopics`).
                let mut answered = BTreeSet::new();
                let once = |topic: &DeletedTopic| {
                    let refused = topic
                        .result
                        .as_ref()
                        .is_err_and(|it| it.code == ErrorCode::InvalidRequest);
                    let nameable = topic.name.is_some() == topic.id.0.is_zero();
                    !(refused && nameable) || answered.insert((topic.name.clone(), topic.id))
                };
                respond(topics.into_iter().filter(once).map(result), call)
            }
            Answer::Controller(ControllerAnswer::StorageError) => {
                refuse(self.named, ErrorCode::KafkaStorageError, call)
            }
            other => panic!("delete topics was answered {other:?}"),
        }
    }
}

fn refuse(named: Vec<(Option<Text>, Uuid)>, code: ErrorCode, call: &Call<'_, '_>) -> Progress {
    let refused = |(name, topic_id)| DeletableTopicResult {
        name,
        topic_id,
        error_code: code.code(),
        ..DeletableTopicResult::default()
    };
    respond(named.into_iter().map(refused), call)
}

fn respond(results: impl Iterator<Item = DeletableTopicResult>, call: &Call<'_, '_>) -> Progress {
    call.respond(&DeleteTopicsResponse {
        throttle_time_ms: 0,
        responses: List::write_in::<DeleteTopicsResponse>(call.header.version, results),
    })
}

fn result(topic: DeletedTopic) -> DeletableTopicResult {
    let (error_code, error_message) = match topic.result {
        Ok(()) => (ErrorCode::None, None),
        Err(refusal) => (refusal.code, refusal.message.map(Text::from)),
    };
    DeletableTopicResult {
        name: topic.name.map(Text::from),
        topic_id: topic.id.0,
        error_code: error_code.code(),
        error_message,
    }
}
