//! DeleteGroups: groups without members go, with their offsets.

use super::groups::{Round, group_answer};
use super::{Progress, Work, each_once};
use crate::group::{GroupAnswer, GroupAsk};
use crate::session::{Answer, Call};
use crate::types::ErrorCode;
use crate::wire::message::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use crate::wire::{List, Text};
use alloc::vec::Vec;

/// A request that groups work on.
#[derive(Debug)]
pub(in crate::session) struct DeleteGroups {
    groups: Vec<Text>,
    round: Round<ErrorCode>,
}

pub(super) fn begin(request: DeleteGroupsRequest, call: &mut Call<'_, '_>) -> Progress {
    let groups = each_once(request.groups_names, Text::cmp);
    DeleteGroups {
        round: Round::new(groups.len()),
        groups,
    }
    .settle(call)
}

fn deleted(answer: &GroupAnswer) -> ErrorCode {
    match answer {
        GroupAnswer::Deleted(code) => *code,
        other => panic!("a group was to be deleted, and answered {other:?}"),
    }
}

impl DeleteGroups {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &mut Call<'_, '_>) -> Progress {
        self.round.hear(tag, deleted(&group_answer(answer)));
        self.settle(call)
    }

    fn settle(mut self, call: &mut Call<'_, '_>) -> Progress {
        let groups = &self.groups;
        let ask = |at: usize| {
            let refused = call.ask_group(at as u32, &groups[at], GroupAsk::Delete);
            refused.map(|refused| deleted(&refused))
        };
        if !self.round.go_on(ask) {
            return Progress::Working(Work::DeleteGroups(self));
        }
        let result = |(group_id, code): (Text, ErrorCode)| DeletableGroupResult {
            group_id,
            error_code: code.code(),
            ..DeletableGroupResult::default()
        };
        let results = self.groups.into_iter().zip(self.round.into_answers()).map(result);
        call.respond(&DeleteGroupsResponse {
            results: List::write_in::<DeleteGroupsResponse>(call.header.version, results),
            ..DeleteGroupsResponse::default()
        })
    }
}
