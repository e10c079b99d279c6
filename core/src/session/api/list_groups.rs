//! ListGroups: the groups that this broker coordinates, on all shards.

use super::super::Action;
use super::groups::text;
use super::{Progress, Work};
use crate::group::Listed;
use crate::session::{Answer, Ask, Call};
use crate::types::{ErrorCode, ShardId};
use crate::wire::Text;
use crate::wire::message::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

/// The one kind of group there is (`GroupType.CLASSIC`).
const CLASSIC: &str = "classic";

/// A request that the shards work on.
#[derive(Debug)]
pub(in crate::session) struct ListGroups {
    states: BTreeSet<String>,
    types: BTreeSet<String>,
    groups: Vec<Listed>,
    failed: Option<ErrorCode>,
    outstanding: u16,
}

pub(super) fn begin(request: ListGroupsRequest, call: &mut Call<'_, '_>) -> Progress {
    for shard in 0..call.context.shards {
        call.actions.push(Action::Ask {
            request: call.request,
            tag: u32::from(shard),
            to: ShardId(shard),
            ask: Ask::ListGroups,
        });
    }
    Progress::Working(Work::ListGroups(ListGroups {
        states: folded(request.states_filter),
        types: folded(request.types_filter),
        groups: Vec::new(),
        failed: None,
        outstanding: call.context.shards,
    }))
}

/// What a filter names, however often and in whatever case: it is looked up once a group.
fn folded(filter: Vec<Text>) -> BTreeSet<String> {
    filter.into_iter().map(|it| it.trim().to_ascii_lowercase()).collect()
}

impl ListGroups {
    pub(super) fn resume(mut self, answer: Answer, call: &Call<'_, '_>) -> Progress {
        match answer {
            Answer::Groups(Ok(groups)) => self.groups.extend(groups),
            Answer::Groups(Err(code)) => self.failed = Some(code),
            other => panic!("groups were to be listed, and answered {other:?}"),
        }
        self.outstanding -= 1;
        if self.outstanding > 0 {
            return Progress::Working(Work::ListGroups(self));
        }
        if let Some(code) = self.failed {
            return call.respond(&ListGroupsResponse {
                error_code: code.code(),
                ..ListGroupsResponse::default()
            });
        }
        let named =
            |filter: &BTreeSet<String>, name: &str| filter.is_empty() || filter.contains(&name.to_ascii_lowercase());
        if !named(&self.types, CLASSIC) {
            self.groups.clear();
        }
        self.groups.retain(|it| named(&self.states, it.state.name()));
        self.groups.sort_by(|one, other| one.group.cmp(&other.group));
        let listed = |it: Listed| ListedGroup {
            group_id: text(&it.group),
            protocol_type: it.protocol_type.as_deref().map_or(Text::EMPTY, text),
            group_state: Text::from(it.state.name()),
            group_type: Text::from(CLASSIC),
        };
        call.respond(&ListGroupsResponse {
            groups: self.groups.into_iter().map(listed).collect(),
            ..ListGroupsResponse::default()
        })
    }
}
