//! LeaveGroup: members leave, or are removed by a tool.

use super::groups::{check_name, group_answer, own, own_if};
use super::{Progress, Work};
use crate::group::{GroupAnswer, GroupAsk, Leaver};
use crate::session::{Answer, Call};
use crate::types::ErrorCode;
use crate::wire::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse};
use alloc::vec::Vec;

/// From this version on several members are named, and answered one by one.
const SEVERAL: i16 = 3;

/// A request that its group works on.
#[derive(Debug)]
pub(in crate::session) struct LeaveGroup {
    members: Vec<MemberIdentity>,
}

pub(super) fn begin(request: LeaveGroupRequest, call: &mut Call<'_, '_>) -> Progress {
    let members = if call.header.version >= SEVERAL {
        request.members
    } else {
        Vec::from([MemberIdentity {
            member_id: request.member_id,
            ..MemberIdentity::default()
        }])
    };
    let work = LeaveGroup { members };
    let leavers = check_name(&request.group_id).and_then(|()| work.leavers());
    let leavers = match leavers {
        Ok(leavers) => leavers,
        Err(code) => return work.settle(GroupAnswer::Left(Err(code)), call),
    };
    match call.ask_group(0, &request.group_id, GroupAsk::Leave(leavers)) {
        None => Progress::Working(Work::LeaveGroup(work)),
        Some(refused) => work.settle(refused, call),
    }
}

impl LeaveGroup {
    fn leavers(&self) -> Result<Vec<Leaver>, ErrorCode> {
        let leaver = |it: &MemberIdentity| {
            Ok(Leaver {
                member: own(&it.member_id)?,
                instance: own_if(it.group_instance_id.as_ref())?,
            })
        };
        self.members.iter().map(leaver).collect()
    }

    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        self.settle(group_answer(answer), call)
    }

    fn settle(self, answer: GroupAnswer, call: &Call<'_, '_>) -> Progress {
        let GroupAnswer::Left(left) = answer else {
            panic!("a leave was answered {answer:?}")
        };
        let response = match left {
            Err(code) => LeaveGroupResponse {
                error_code: code.code(),
                ..LeaveGroupResponse::default()
            },
            Ok(codes) if call.header.version < SEVERAL => LeaveGroupResponse {
                error_code: codes.first().map_or(0, |code| code.code()),
                ..LeaveGroupResponse::default()
            },
            Ok(codes) => LeaveGroupResponse {
                members: self.members.into_iter().zip(codes).map(member).collect(),
                ..LeaveGroupResponse::default()
            },
        };
        call.respond(&response)
    }
}

fn member((member, code): (MemberIdentity, ErrorCode)) -> MemberResponse {
    MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: code.code(),
    }
}
