//! JoinGroup: a member joins, and hears of the next generation once it begins.

use super::groups::{check_name, group_answer, own, own_if, text};
use super::{Progress, Work};
use crate::group::{
    FirstJoin, GroupAnswer, GroupAsk, JoinAsk, JoinRefusal, Joined, JoinedMember, Protocol, ReplacedLeader,
};
use crate::session::{Answer, Call};
use crate::types::ErrorCode;
use crate::wire::Text;
use crate::wire::message::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use alloc::sync::Arc;
use bytes::Bytes;

/// From this version on a client without a member id is given one to come again with (KIP-394).
const MEMBER_ID_REQUIRED: i16 = 4;
/// From this version on a leader can be told that the assignment stands (KIP-814).
const SKIPS_ASSIGNMENT: i16 = 9;
/// Below this version a protocol's name cannot be null.
const NULLABLE_PROTOCOL: i16 = 7;

/// A request that waits for the generation.
#[derive(Debug)]
pub(in crate::session) struct JoinGroup;

pub(super) fn begin(request: &JoinGroupRequest, client_id: Option<&Text>, call: &mut Call<'_, '_>) -> Progress {
    let ask = match read(request, client_id, call) {
        Ok(ask) => ask,
        Err(code) => {
            let member = Arc::from(request.member_id.as_str());
            return respond(Err(JoinRefusal { code, member }), call);
        }
    };
    match call.ask_group(0, &request.group_id, GroupAsk::Join(ask)) {
        None => Progress::Working(Work::JoinGroup(JoinGroup)),
        Some(refused) => settle(refused, call),
    }
}

fn read(request: &JoinGroupRequest, client_id: Option<&Text>, call: &Call<'_, '_>) -> Result<JoinAsk, ErrorCode> {
    check_name(&request.group_id)?;
    let groups = &call.context.config.groups;
    let bounds = i64::from(groups.min_session_timeout_ms)..=i64::from(groups.max_session_timeout_ms);
    if !bounds.contains(&i64::from(request.session_timeout_ms)) {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    let protocol = |it: &crate::wire::message::join_group::JoinGroupRequestProtocol| {
        Ok(Protocol {
            name: own(&it.name)?,
            metadata: Bytes::copy_from_slice(&it.metadata),
        })
    };
    let version = call.header.version;
    Ok(JoinAsk {
        member: own(&request.member_id)?,
        instance: own_if(request.group_instance_id.as_ref())?,
        client_id: own_if(client_id)?.unwrap_or_else(|| Arc::from("")),
        client_host: Arc::clone(call.host),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: if version == 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        protocol_type: own(&request.protocol_type)?,
        protocols: request.protocols.iter().map(protocol).collect::<Result<_, _>>()?,
        first_join: if version >= MEMBER_ID_REQUIRED {
            FirstJoin::ComesAgain
        } else {
            FirstJoin::Admitted
        },
        replaced_leader: if version >= SKIPS_ASSIGNMENT {
            ReplacedLeader::SkipsAssignment
        } else {
            ReplacedLeader::MustNotKnow
        },
    })
}

impl JoinGroup {
    #[expect(clippy::unused_self, reason = "a work is spent by resuming it, whatever it holds")]
    pub(super) fn resume(self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        settle(group_answer(answer), call)
    }
}

fn settle(answer: GroupAnswer, call: &Call<'_, '_>) -> Progress {
    match answer {
        GroupAnswer::Joined(joined) => respond(joined, call),
        other => panic!("a join was answered {other:?}"),
    }
}

fn respond(joined: Result<Joined, JoinRefusal>, call: &Call<'_, '_>) -> Progress {
    let no_protocol = || (call.header.version < NULLABLE_PROTOCOL).then_some(Text::EMPTY);
    let response = match joined {
        Ok(joined) => JoinGroupResponse {
            generation_id: joined.generation,
            protocol_type: joined.protocol_type.as_deref().map(text),
            protocol_name: joined.protocol.as_deref().map(text).or_else(no_protocol),
            leader: text(&joined.leader),
            skip_assignment: joined.skip_assignment,
            member_id: text(&joined.member),
            members: joined.members.into_iter().map(member).collect(),
            ..JoinGroupResponse::default()
        },
        Err(refusal) => JoinGroupResponse {
            error_code: refusal.code.code(),
            protocol_name: no_protocol(),
            member_id: text(&refusal.member),
            ..JoinGroupResponse::default()
        },
    };
    call.respond(&response)
}

fn member(member: JoinedMember) -> JoinGroupResponseMember {
    JoinGroupResponseMember {
        member_id: text(&member.id),
        group_instance_id: member.instance.as_deref().map(text),
        metadata: member.metadata,
    }
}
