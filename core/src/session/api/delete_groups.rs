//! DeleteGroups: groups without members go, with their offsets.

use super::groups::group_answer;
use super::{Progress, Work};
use crate::group::{GroupAnswer, GroupAsk};
use crate::session::{Answer, Call};
use crate::types::ErrorCode;
use crate::wire::Text;
use crate::wire::message::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// A request that groups work on.
#[derive(Debug)]
pub(in crate::session) struct DeleteGroups {
    groups: Vec<(Text, Option<ErrorCode>)>,
    outstanding: usize,
}

pub(super) fn begin(request: DeleteGroupsRequest, call: &mut Call<'_, '_>) -> Progress {
    let mut seen = BTreeSet::new();
    let names = request.groups_names.into_iter().filter(|it| seen.insert(it.clone()));
    let mut groups: Vec<_> = names.map(|name| (name, None)).collect();
    let mut outstanding = 0;
    for (tag, (name, code)) in (0..).zip(&mut groups) {
        match call.ask_group(tag, name, GroupAsk::Delete) {
            None => outstanding += 1,
            Some(refused) => *code = Some(deleted(&refused)),
        }
    }
    DeleteGroups { groups, outstanding }.settle(call)
}

fn deleted(answer: &GroupAnswer) -> ErrorCode {
    match answer {
        GroupAnswer::Deleted(code) => *code,
        other => panic!("a group was to be deleted, and answered {other:?}"),
    }
}

impl DeleteGroups {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &Call<'_, '_>) -> Progress {
        let before = self.groups[tag as usize].1.replace(deleted(&group_answer(answer)));
        assert!(before.is_none(), "a group answers twice");
        self.outstanding -= 1;
        self.settle(call)
    }

    fn settle(self, call: &Call<'_, '_>) -> Progress {
        if self.outstanding > 0 {
            return Progress::Working(Work::DeleteGroups(self));
        }
        let result = |(group_id, code): (Text, Option<ErrorCode>)| DeletableGroupResult {
            group_id,
            error_code: code.unwrap_or(ErrorCode::NotCoordinator).code(),
            ..DeletableGroupResult::default()
        };
        call.respond(&DeleteGroupsResponse {
            results: self.groups.into_iter().map(result).collect(),
            ..DeleteGroupsResponse::default()
        })
    }
}
