//! Heartbeat: a member says that it lives, and hears whether it has to join anew.

use super::groups::{check_name, group_answer, own, own_if};
use super::{Progress, Work};
use crate::group::{GroupAnswer, GroupAsk, HeartbeatAsk};
use crate::session::{Answer, Call};
use crate::types::ErrorCode;
use crate::wire::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};

/// A request that its group works on.
#[derive(Debug)]
pub(in crate::session) struct Heartbeat;

pub(super) fn begin(request: &HeartbeatRequest, call: &mut Call<'_, '_>) -> Progress {
    let ask = match read(request) {
        Ok(ask) => ask,
        Err(code) => return settle(&GroupAnswer::Alive(code), call),
    };
    match call.ask_group(0, &request.group_id, GroupAsk::Heartbeat(ask)) {
        None => Progress::Working(Work::Heartbeat(Heartbeat)),
        Some(refused) => settle(&refused, call),
    }
}

fn read(request: &HeartbeatRequest) -> Result<HeartbeatAsk, ErrorCode> {
    check_name(&request.group_id)?;
    Ok(HeartbeatAsk {
        member: own(&request.member_id)?,
        instance: own_if(request.group_instance_id.as_ref())?,
        generation: request.generation_id,
    })
}

impl Heartbeat {
    #[expect(clippy::unused_self, reason = "a work is spent by resuming it, whatever it holds")]
    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        settle(&group_answer(answer), call)
    }
}

fn settle(answer: &GroupAnswer, call: &Call<'_, '_>) -> Progress {
    let GroupAnswer::Alive(code) = *answer else {
        panic!("a heartbeat was answered {answer:?}")
    };
    call.respond(&HeartbeatResponse {
        error_code: code.code(),
        ..HeartbeatResponse::default()
    })
}
