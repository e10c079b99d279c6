//! DescribeGroups: groups and their members.

use super::groups::{Round, group_answer, text};
use super::{Progress, Work, each_once};
use crate::group::{Described, DescribedMember, GroupAnswer, GroupAsk};
use crate::session::{Answer, Call};
use crate::types::ErrorCode;
use crate::wire::message::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use crate::wire::{List, Text};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

/// From this version on a group that is not there is an error (KIP-1043).
const NAMES_NO_GROUP: i16 = 6;
/// From this version on what may be done to a group is told where it is asked for.
const OPERATIONS: i16 = 3;
/// What may be done to a group where nobody is denied anything, as bits by
/// `org.apache.kafka.common.acl.AclOperation` code (`AclEntry.supportedOperations`).
const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;

/// A request that groups work on.
#[derive(Debug)]
pub(in crate::session) struct DescribeGroups {
    groups: Vec<Text>,
    round: Round<Told>,
    with_operations: bool,
}

/// Boxed, because most names that a request can have are of no group.
type Told = Result<Box<Described>, ErrorCode>;

pub(super) fn begin(request: DescribeGroupsRequest, call: &mut Call<'_, '_>) -> Progress {
    // Each group is described once, however often it is named: a small request must not ask for a huge answer.
    let groups = each_once(request.groups, Text::cmp);
    DescribeGroups {
        round: Round::new(groups.len()),
        groups,
        with_operations: call.header.version >= OPERATIONS && request.include_authorized_operations,
    }
    .settle(call)
}

fn described(answer: GroupAnswer) -> Told {
    match answer {
        GroupAnswer::Described(described) => described.map(Box::new),
        other => panic!("a description was asked for, and answered {other:?}"),
    }
}

impl DescribeGroups {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &mut Call<'_, '_>) -> Progress {
        self.round.hear(tag, described(group_answer(answer)));
        self.settle(call)
    }

    fn settle(mut self, call: &mut Call<'_, '_>) -> Progress {
        let groups = &self.groups;
        let ask = |at: usize| {
            call.ask_group(at as u32, &groups[at], GroupAsk::Describe)
                .map(described)
        };
        if !self.round.go_on(ask) {
            return Progress::Working(Work::DescribeGroups(self));
        }
        let (version, with_operations) = (call.header.version, self.with_operations);
        let describe = |(name, answer): (Text, Told)| {
            let mut group = describe(name, answer, version);
            if with_operations && group.error_code == ErrorCode::None.code() {
                group.authorized_operations = GROUP_OPERATIONS;
            }
            group
        };
        let groups = self.groups.into_iter().zip(self.round.into_answers()).map(describe);
        call.respond(&DescribeGroupsResponse {
            groups: List::write_in::<DescribeGroupsResponse>(version, groups),
            ..DescribeGroupsResponse::default()
        })
    }
}

fn describe(name: Text, described: Told, version: i16) -> DescribedGroup {
    match described {
        Ok(described) => DescribedGroup {
            group_id: name,
            group_state: Text::from(described.state.name()),
            protocol_type: described.protocol_type.as_deref().map_or(Text::EMPTY, text),
            protocol_data: described.protocol.as_deref().map_or(Text::EMPTY, text),
            members: described.members.into_iter().map(member).collect(),
            ..DescribedGroup::default()
        },
        Err(ErrorCode::GroupIdNotFound) => {
            let named = version >= NAMES_NO_GROUP;
            let code = if named {
                ErrorCode::GroupIdNotFound
            } else {
                ErrorCode::None
            };
            DescribedGroup {
                error_code: code.code(),
                error_message: named.then(|| Text::from(format!("Group {name} not found."))),
                group_id: name,
                group_state: Text::from("Dead"),
                ..DescribedGroup::default()
            }
        }
        Err(code) => DescribedGroup {
            error_code: code.code(),
            group_id: name,
            ..DescribedGroup::default()
        },
    }
}

fn member(member: DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: text(&member.id),
        group_instance_id: member.instance.as_deref().map(text),
        client_id: text(&member.client_id),
        client_host: text(&member.client_host),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    }
}
