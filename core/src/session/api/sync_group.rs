//! SyncGroup: the leader assigns, and every member hears its part.

use super::groups::{check_name, group_answer, own, own_if, text};
use super::{Progress, Work};
use crate::group::{GroupAnswer, GroupAsk, SyncAsk, Synced};
use crate::session::{Answer, Call};
use crate::types::ErrorCode;
use crate::wire::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use bytes::Bytes;

/// From this version on a member says which protocol it knows (KIP-559).
const SAYS_PROTOCOL: i16 = 5;

/// A request that waits for the assignment.
#[derive(Debug)]
pub(in crate::session) struct SyncGroup;

pub(super) fn begin(request: &SyncGroupRequest, call: &mut Call<'_, '_>) -> Progress {
    let ask = match read(request, call) {
        Ok(ask) => ask,
        Err(code) => return respond(Err(code), call),
    };
    match call.ask_group(0, &request.group_id, GroupAsk::Sync(ask)) {
        None => Progress::Working(Work::SyncGroup(SyncGroup)),
        Some(refused) => settle(refused, call),
    }
}

fn read(request: &SyncGroupRequest, call: &Call<'_, '_>) -> Result<SyncAsk, ErrorCode> {
    let unsaid = request.protocol_type.is_none() || request.protocol_name.is_none();
    if call.header.version >= SAYS_PROTOCOL && unsaid {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    check_name(&request.group_id)?;
    let assignment =
        |it: &SyncGroupRequestAssignment| Ok((own(&it.member_id)?, Bytes::copy_from_slice(&it.assignment)));
    Ok(SyncAsk {
        member: own(&request.member_id)?,
        instance: own_if(request.group_instance_id.as_ref())?,
        generation: request.generation_id,
        protocol_type: own_if(request.protocol_type.as_ref())?,
        protocol: own_if(request.protocol_name.as_ref())?,
        assignments: request.assignments.iter().map(assignment).collect::<Result<_, _>>()?,
    })
}

impl SyncGroup {
    #[expect(clippy::unused_self, reason = "a work is spent by resuming it, whatever it holds")]
    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        settle(group_answer(answer), call)
    }
}

fn settle(answer: GroupAnswer, call: &Call<'_, '_>) -> Progress {
    match answer {
        GroupAnswer::Synced(synced) => respond(synced, call),
        other => panic!("a sync was answered {other:?}"),
    }
}

fn respond(synced: Result<Synced, ErrorCode>, call: &Call<'_, '_>) -> Progress {
    let response = match synced {
        Ok(synced) => SyncGroupResponse {
            protocol_type: synced.protocol_type.as_deref().map(text),
            protocol_name: synced.protocol.as_deref().map(text),
            assignment: synced.assignment,
            ..SyncGroupResponse::default()
        },
        Err(code) => SyncGroupResponse {
            error_code: code.code(),
            ..SyncGroupResponse::default()
        },
    };
    call.respond(&response)
}
