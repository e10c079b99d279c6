//! DescribeGroups: groups and their members.

use super::groups::{group_answer, text};
use super::{Progress, Work};
use crate::group::{Described, DescribedMember, GroupAnswer, GroupAsk};
use crate::session::{Answer, Call};
use crate::types::ErrorCode;
use crate::wire::Text;
use crate::wire::message::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use alloc::collections::BTreeSet;
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
    groups: Vec<(Text, Option<Result<Described, ErrorCode>>)>,
    with_operations: bool,
    outstanding: usize,
}

pub(super) fn begin(request: DescribeGroupsRequest, call: &mut Call<'_, '_>) -> Progress {
    // Each group is described once, however often it is named: a small request must not ask for a huge answer.
    let mut seen = BTreeSet::new();
    let names = request.groups.into_iter().filter(|it| seen.insert(it.clone()));
    let mut groups: Vec<_> = names.map(|name| (name, None)).collect();
    let mut outstanding = 0;
    for (tag, (name, answer)) in (0..).zip(&mut groups) {
        match call.ask_group(tag, name, GroupAsk::Describe) {
            None => outstanding += 1,
            Some(refused) => *answer = Some(described(refused)),
        }
    }
    let with_operations = call.header.version >= OPERATIONS && request.include_authorized_operations;
    DescribeGroups {
        groups,
        with_operations,
        outstanding,
    }
    .settle(call)
}

fn described(answer: GroupAnswer) -> Result<Described, ErrorCode> {
    match answer {
        GroupAnswer::Described(described) => described,
        other => panic!("a description was asked for, and answered {other:?}"),
    }
}

impl DescribeGroups {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &Call<'_, '_>) -> Progress {
        let before = self.groups[tag as usize].1.replace(described(group_answer(answer)));
        assert!(before.is_none(), "a group answers twice");
        self.outstanding -= 1;
        self.settle(call)
    }

    fn settle(self, call: &Call<'_, '_>) -> Progress {
        if self.outstanding > 0 {
            return Progress::Working(Work::DescribeGroups(self));
        }
        let (version, with_operations) = (call.header.version, self.with_operations);
        let describe = |(name, answer): (Text, Option<Result<Described, ErrorCode>>)| {
            let mut group = describe(name, answer.unwrap_or(Err(ErrorCode::NotCoordinator)), version);
            if with_operations && group.error_code == ErrorCode::None.code() {
                group.authorized_operations = GROUP_OPERATIONS;
            }
            group
        };
        call.respond(&DescribeGroupsResponse {
            groups: self.groups.into_iter().map(describe).collect(),
            ..DescribeGroupsResponse::default()
        })
    }
}

fn describe(name: Text, described: Result<Described, ErrorCode>, version: i16) -> DescribedGroup {
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
