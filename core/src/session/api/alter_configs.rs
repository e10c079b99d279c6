//! `AlterConfigs` and `IncrementalAlterConfigs` (KIP-339): the controller decides; the answer waits until every shard goes
//! by the new settings.

use super::{Progress, Work};
use crate::controller::{
    ConfigAlteration, ConfigChange, ConfigOp, ConfigResource, ControllerAnswer, ControllerRequest,
};
use crate::session::{Answer, Ask, Call};
use crate::types::{ErrorCode, Refusal};
use crate::wire::Text;
use crate::wire::message::alter_configs::{AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse};
use crate::wire::message::incremental_alter_configs::{
    self as incremental, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use alloc::string::ToString;
use alloc::vec::Vec;

/// A request that the controller works on.
#[derive(Debug)]
pub(in crate::session) struct AlterConfigs {
    /// The resources, by kind and name.
    resources: Vec<(i8, Text)>,
    form: Form,
}

/// Which of the two APIs it is.
#[derive(Clone, Copy, Debug)]
enum Form {
    Replacing,
    Incremental,
}

pub(super) fn begin(request: AlterConfigsRequest, call: &mut Call<'_, '_>) -> Progress {
    let changes = request.resources.into_iter().map(|resource| {
        let setting = |it: crate::wire::message::alter_configs::AlterableConfig| {
            (it.name.to_string(), it.value.map(|value| value.to_string()))
        };
        let change = ConfigChange::Replace(resource.configs.into_iter().map(setting).collect());
        ((resource.resource_type, resource.resource_name), change)
    });
    ask(changes, request.validate_only, Form::Replacing, call)
}

pub(super) fn begin_incremental(request: IncrementalAlterConfigsRequest, call: &mut Call<'_, '_>) -> Progress {
    let changes = request.resources.into_iter().map(|resource| {
        let op = |it: incremental::AlterableConfig| {
            let op = ConfigOp::from_wire(it.config_operation, it.value.as_ref().map(Text::as_str));
            (it.name.to_string(), op)
        };
        let change = ConfigChange::Incremental(resource.configs.into_iter().map(op).collect());
        ((resource.resource_type, resource.resource_name), change)
    });
    ask(changes, request.validate_only, Form::Incremental, call)
}

fn ask(
    changes: impl Iterator<Item = ((i8, Text), ConfigChange)>,
    validate_only: bool,
    form: Form,
    call: &mut Call<'_, '_>,
) -> Progress {
    let (mut resources, mut alterations) = (Vec::new(), Vec::new());
    for ((kind, name), change) in changes {
        let resource = ConfigResource::from_wire(kind, &name);
        alterations.push(ConfigAlteration { resource, change });
        resources.push((kind, name));
    }
    let alter = ControllerRequest::AlterConfigs {
        alterations,
        validate_only,
    };
    call.ask(call.context.controller, Ask::Controller(alter));
    Progress::Working(Work::AlterConfigs(AlterConfigs { resources, form }))
}

impl AlterConfigs {
    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        let outcomes: Vec<Result<(), Refusal>> = match answer {
            Answer::Controller(ControllerAnswer::Altered(outcomes)) => outcomes,
            Answer::Controller(ControllerAnswer::StorageError) => {
                let failed = |_: &(i8, Text)| Err(ErrorCode::KafkaStorageError.into());
                self.resources.iter().map(failed).collect()
            }
            other => panic!("a change of settings was answered {other:?}"),
        };
        let results = self.resources.into_iter().zip(outcomes).map(|((kind, name), outcome)| {
            let (code, message) = outcome.map_or_else(|it| (it.code, it.message), |()| (ErrorCode::None, None));
            (code.code(), message.map(Text::from), kind, name)
        });
        match self.form {
            Form::Replacing => {
                let response =
                    |(error_code, error_message, resource_type, resource_name)| AlterConfigsResourceResponse {
                        error_code,
                        error_message,
                        resource_type,
                        resource_name,
                    };
                call.respond(&AlterConfigsResponse {
                    throttle_time_ms: 0,
                    responses: results.map(response).collect(),
                })
            }
            Form::Incremental => {
                let response = |(error_code, error_message, resource_type, resource_name)| {
                    incremental::AlterConfigsResourceResponse {
                        error_code,
                        error_message,
                        resource_type,
                        resource_name,
                    }
                };
                call.respond(&IncrementalAlterConfigsResponse {
                    throttle_time_ms: 0,
                    responses: results.map(response).collect(),
                })
            }
        }
    }
}
