//! `CreatePartitions`: the controller decides; the answer waits until every connection sees the partitions (KIP-195).

use super::{Progress, Work};
use crate::controller::{ControllerAnswer, ControllerRequest, MorePartitions};
use crate::session::{Answer, Ask, Call};
use crate::types::{BrokerId, ErrorCode};
use crate::wire::Text;
use crate::wire::message::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use alloc::string::ToString;
use alloc::vec::Vec;

/// A request that the controller works on.
#[derive(Debug)]
pub(in crate::session) struct CreatePartitions {
    names: Vec<Text>,
}

pub(super) fn begin(request: &CreatePartitionsRequest, call: &mut Call<'_, '_>) -> Progress {
    let names = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let create = ControllerRequest::CreatePartitions {
        topics: request.topics.iter().map(more_partitions).collect(),
        validate_only: request.validate_only,
    };
    call.ask(call.context.controller, Ask::Controller(create));
    Progress::Working(Work::CreatePartitions(CreatePartitions { names }))
}

fn more_partitions(topic: &CreatePartitionsTopic) -> MorePartitions {
    let replicas =
        |assignment: &CreatePartitionsAssignment| assignment.broker_ids.iter().map(|&id| BrokerId(id)).collect();
    let assignments = topic.assignments.as_ref();
    MorePartitions {
        name: topic.name.to_string(),
        count: topic.count,
        assignments: assignments.map(|assignments| assignments.iter().map(replicas).collect()),
    }
}

impl CreatePartitions {
    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        let outcomes = match answer {
            Answer::Controller(ControllerAnswer::PartitionsCreated(outcomes)) => outcomes,
            Answer::Controller(ControllerAnswer::StorageError) => {
                let failed = |_: &Text| Err(ErrorCode::KafkaStorageError.into());
                self.names.iter().map(failed).collect()
            }
            other => panic!("create partitions was answered {other:?}"),
        };
        let results = self.names.into_iter().zip(outcomes).map(|(name, outcome)| {
            let (code, message) = outcome.map_or_else(|it| (it.code, it.message), |()| (ErrorCode::None, None));
            CreatePartitionsTopicResult {
                name,
                error_code: code.code(),
                error_message: message.map(Text::from),
            }
        });
        call.respond(&CreatePartitionsResponse {
            throttle_time_ms: 0,
            results: results.collect(),
        })
    }
}
