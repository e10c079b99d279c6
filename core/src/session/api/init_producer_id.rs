//! InitProducerId: an id for an idempotent producer (KIP-98).

use super::{Progress, Work};
use crate::session::{Answer, Ask, Call};
use crate::types::ErrorCode;
use crate::wire::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

/// A request that waits for an id.
#[derive(Debug)]
pub(in crate::session) struct InitProducerId;

pub(super) fn begin(request: &InitProducerIdRequest, call: &mut Call<'_, '_>) -> Progress {
    match &request.transactional_id {
        // Kafka calls it an error rather than none (`TransactionCoordinator.handleInitProducerId`).
        Some(id) if id.is_empty() => return refuse(ErrorCode::InvalidRequest, call),
        // See `find_coordinator`.
        Some(_) => return refuse(ErrorCode::TransactionalIdAuthorizationFailed, call),
        None => {}
    }
    // An id without an epoch, or an epoch without an id (`KafkaApis.handleInitProducerIdRequest`).
    if (request.producer_id == -1) != (request.producer_epoch == -1) {
        return refuse(ErrorCode::InvalidRequest, call);
    }
    call.ask(call.context.here, Ask::ProducerId);
    Progress::Working(Work::InitProducerId(InitProducerId))
}

impl InitProducerId {
    #[expect(clippy::unused_self, reason = "a work is spent by resuming it, whatever it holds")]
    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        match answer {
            Answer::ProducerId(Some(id)) => {
                let fresh = InitProducerIdResponse {
                    producer_id: id.0,
                    producer_epoch: 0,
                    ..Default::default()
                };
                call.respond(&fresh)
            }
            Answer::ProducerId(None) => refuse(ErrorCode::CoordinatorNotAvailable, call),
            other => panic!("a producer id was asked for, and answered {other:?}"),
        }
    }
}

fn refuse(code: ErrorCode, call: &Call<'_, '_>) -> Progress {
    call.respond(&InitProducerIdResponse {
        error_code: code.code(),
        producer_epoch: -1,
        ..Default::default()
    })
}
