//! FindCoordinator: who coordinates a group. The topic of groups is created when somebody first asks. Transactional ids
//! are coordinated by nobody yet, and that is said.

use super::{Progress, Work, each_once};
use crate::config::GroupConfig;
use crate::controller::{ControllerRequest, NewTopic};
use crate::group::CONSUMER_OFFSETS;
use crate::session::{Answer, Ask, Call};
use crate::types::ErrorCode;
use crate::wire::message::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::{List, Text};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// From this version on several keys are looked up at once (KIP-699).
const SEVERAL: i16 = 4;

/// A request that waits for the topic of groups.
#[derive(Debug)]
pub(in crate::session) struct FindCoordinator {
    request: FindCoordinatorRequest,
}

/// The topic of groups, as Kafka makes it (`GroupCoordinatorService.groupMetadataTopicConfigs`).
pub(super) fn offsets_topic(groups: &GroupConfig) -> NewTopic {
    let set = |key: &str, value: &str| (String::from(key), Some(String::from(value)));
    NewTopic {
        name: String::from(CONSUMER_OFFSETS),
        partitions: i32::try_from(groups.offsets_partitions).unwrap_or(i32::MAX),
        replication_factor: 1,
        assignments: Vec::new(),
        config: Vec::from([
            set("cleanup.policy", "compact"),
            set("compression.type", "producer"),
            set("segment.bytes", &groups.offsets_segment_bytes.to_string()),
        ]),
    }
}

pub(super) fn begin(request: FindCoordinatorRequest, call: &mut Call<'_, '_>) -> Progress {
    let there = call.context.image.topic_named(CONSUMER_OFFSETS).is_some();
    if request.key_type != GROUP || there {
        return answer(request, call);
    }
    let create = ControllerRequest::CreateTopics {
        topics: Vec::from([offsets_topic(&call.context.config.groups)]),
        validate_only: false,
    };
    call.ask(call.context.controller, Ask::Controller(create));
    Progress::Working(Work::FindCoordinator(FindCoordinator { request }))
}

impl FindCoordinator {
    /// Whether the topic was created, by this request or another, the image says.
    pub(super) fn resume(self, _created: Answer, call: &Call<'_, '_>) -> Progress {
        answer(self.request, call)
    }
}

fn answer(request: FindCoordinatorRequest, call: &Call<'_, '_>) -> Progress {
    let several = call.header.version >= SEVERAL;
    let image = call.context.image;
    let mut reachable = image.reachable(call.listener);
    let own = reachable.find(|(id, ..)| *id == call.context.config.node_id);
    let (code, message) = match request.key_type {
        GROUP if image.topic_named(CONSUMER_OFFSETS).is_some() && own.is_some() => (ErrorCode::None, None),
        GROUP if own.is_none() => (
            ErrorCode::CoordinatorNotAvailable,
            Some("The coordinator has no endpoint for the listener that the request came in on."),
        ),
        GROUP => (
            ErrorCode::CoordinatorNotAvailable,
            Some("The topic of groups could not be created."),
        ),
        // A transactional producer must fail at once, before it writes anything (see `produce`). librdkafka asks again
        // after any error but this one (`rd_kafka_txn_handle_FindCoordinator`), until its caller's time is up.
        TRANSACTION => (
            ErrorCode::TransactionalIdAuthorizationFailed,
            Some("This broker does not serve transactions."),
        ),
        _ => (
            ErrorCode::InvalidRequest,
            Some("The key type is unknown; allowed are 0 (group) and 1 (transaction)."),
        ),
    };
    let message = match (message, several) {
        (Some(message), _) => message,
        (None, true) => "",
        (None, false) => ErrorCode::None.name(),
    };
    let (node_id, host, port) = match own {
        Some((id, _, endpoint)) if code.is_none() => {
            (id.0, Text::from(endpoint.host.clone()), i32::from(endpoint.port))
        }
        _ => (-1, Text::EMPTY, -1),
    };
    if several {
        let coordinator = |key: Text| Coordinator {
            key,
            node_id,
            host: host.clone(),
            port,
            error_code: code.code(),
            error_message: Some(Text::from(message)),
        };
        // Each key is answered once, however often it is named: a small request must not ask for a huge answer.
        let coordinators = each_once(request.coordinator_keys, Text::cmp)
            .into_iter()
            .map(coordinator);
        return call.respond(&FindCoordinatorResponse {
            coordinators: List::write_in::<FindCoordinatorResponse>(call.header.version, coordinators),
            ..FindCoordinatorResponse::default()
        });
    }
    call.respond(&FindCoordinatorResponse {
        error_code: code.code(),
        error_message: Some(Text::from(message)),
        node_id,
        host,
        port,
        ..FindCoordinatorResponse::default()
    })
}
