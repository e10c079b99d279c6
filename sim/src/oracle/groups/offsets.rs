//! Committed offsets, each group's of each partition an object of its own: what is fetched was committed, and all commits
//! and fetches have one order (they are linearizable). Each commit carries a token that tells it from all others.
//!
//! A commit that was refused for who sent it has no effect, ever; one whose outcome nobody knows may take effect later.

use super::{Checker, Oracle};
use crate::frame::{GroupRequest, GroupResponse, ToldOffset};
use crate::oracle::Place;
use crate::stage::Nanos;
use klamm_jepsen::{Call, Linearizability, Model, linearizable};
use std::collections::{BTreeMap, BTreeSet};

/// How far the search for an explanation goes for one object.
const BUDGET: u64 = 400_000;

type Object = (String, Place);
type OffsetCall = Call<Object, Input, Option<i64>>;

/// What is asked of an offset.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Input {
    /// Hold what this token was committed with.
    Commit(i64),
    /// Hold nothing.
    Delete,
    /// What is held? Answered at this time: what has been kept for long enough by then may be gone.
    Fetch { group: String, by: Nanos },
}

/// An offset, as the oracle knows what may have expired.
struct Kept<'a> {
    oracle: &'a Oracle,
    /// When each token was sent.
    sent: &'a BTreeMap<i64, Nanos>,
}

impl Model for Kept<'_> {
    type State = Option<i64>;
    type Input = Input;
    /// What a fetch found; `None` of anything else.
    type Output = Option<i64>;

    fn start(&self) -> Option<i64> {
        None
    }

    fn only_looks(&self, input: &Input) -> bool {
        matches!(input, Input::Fetch { .. })
    }

    fn step(&self, state: &Option<i64>, input: &Input, output: Option<&Option<i64>>) -> Option<Option<i64>> {
        match (input, output) {
            (Input::Commit(token), _) => Some(Some(*token)),
            (Input::Delete, _) => Some(None),
            (Input::Fetch { .. }, Some(found)) if found == state => Some(*state),
            (Input::Fetch { group, by }, Some(None)) => {
                let sent = self.sent.get(&(*state)?)?;
                self.oracle.may_have_expired(group, *sent, *by).then_some(None)
            }
            (Input::Fetch { .. }, Some(Some(_))) => None,
            (Input::Fetch { .. }, None) => Some(*state),
        }
    }
}

/// What was committed and fetched.
#[derive(Default, Debug)]
pub(super) struct Offsets {
    calls: Vec<OffsetCall>,
    /// When each token was sent.
    sent_at: BTreeMap<i64, Nanos>,
    /// When the commit of each token was answered well.
    answered: BTreeMap<i64, Nanos>,
    /// What was committed, and nobody deletes.
    standing: BTreeSet<Object>,
    /// What each group committed anything for.
    objects: BTreeMap<String, BTreeSet<Place>>,
    /// What each token was sent for.
    sent: BTreeMap<i64, (Object, i64)>,
    /// Tokens of commits that were refused.
    refused: BTreeSet<i64>,
    /// Tokens that somebody was told.
    told: BTreeSet<i64>,
}

/// Whether the error says that the commit has no effect.
fn is_refusal(error: i16) -> bool {
    // COORDINATOR_LOAD_IN_PROGRESS, ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, GROUP_ID_NOT_FOUND,
    // FENCED_INSTANCE_ID
    [14, 22, 25, 27, 69, 82].contains(&error)
}

impl Offsets {
    /// A commit is sent.
    pub(super) fn sending(&mut self, request: &GroupRequest, now: Nanos) {
        match request {
            GroupRequest::Delete { group, .. } | GroupRequest::DeleteOffsets { group, .. } => {
                self.standing.retain(|(name, _)| name != group);
            }
            _ => {}
        }
        let GroupRequest::Commit { speaker, offsets } = request else {
            return;
        };
        for part in offsets {
            let object = (speaker.group.clone(), Place::new(part.topic.id, part.partition));
            self.objects.entry(object.0.clone()).or_default().insert(object.1);
            self.sent.insert(part.token, (object, part.offset));
            self.sent_at.insert(part.token, now);
        }
    }

    /// An answer to a commit came, or none will.
    pub(super) fn committed(&mut self, request: &GroupRequest, begin: Nanos, answer: Option<(Nanos, &GroupResponse)>) {
        let GroupRequest::Commit { speaker, offsets } = request else {
            return;
        };
        for part in offsets {
            let answered = answer.and_then(|(at, response)| {
                let GroupResponse::Committed(parts) = response else {
                    return None;
                };
                let found = parts.iter().find(|answer| {
                    let same = answer.topic.name == part.topic.name || answer.topic.id == part.topic.id;
                    same && answer.partition == part.partition
                });
                found.map(|found| (at, found.error))
            });
            if answered.is_some_and(|(_, error)| is_refusal(error)) {
                self.refused.insert(part.token);
                continue;
            }
            if let Some((at, 0)) = answered {
                self.answered.insert(part.token, at);
                self.standing
                    .insert((speaker.group.clone(), Place::new(part.topic.id, part.partition)));
            }
            self.calls.push(Call {
                object: (speaker.group.clone(), Place::new(part.topic.id, part.partition)),
                begin,
                input: Input::Commit(part.token),
                answer: answered.filter(|&(_, error)| error == 0).map(|(at, _)| (at, None)),
            });
        }
    }

    /// An offset was told. What is wrong with it on the face of it.
    fn told(&mut self, object: Object, (begin, at): (Nanos, Nanos), told: &ToldOffset) -> Option<String> {
        let (group, place) = &object;
        let token = if told.offset < 0 {
            None
        } else {
            let token = told.metadata.parse().ok();
            match token.and_then(|token| self.sent.get(&token)) {
                Some((sent_for, offset)) if *sent_for == object && *offset == told.offset => {}
                _ => {
                    let (offset, metadata) = (told.offset, &told.metadata);
                    return Some(format!(
                        "{group} {place}: offset {offset} with {metadata:?} was told, which nobody committed"
                    ));
                }
            }
            token
        };
        if let Some(token) = token {
            if self.refused.contains(&token) {
                return Some(format!(
                    "{group} {place}: offset {} was told, whose commit had been refused",
                    told.offset
                ));
            }
            self.told.insert(token);
        }
        self.fetched(object, (begin, at), token);
        None
    }

    fn fetched(&mut self, object: Object, (begin, at): (Nanos, Nanos), found: Option<i64>) {
        let group = object.0.clone();
        self.calls.push(Call {
            object,
            begin,
            input: Input::Fetch { group, by: at },
            answer: Some((at, found)),
        });
    }

    /// An offset was deleted, by an answer that came at `answered`; `None` where nobody knows.
    pub(super) fn deleted(&mut self, object: Object, begin: Nanos, answered: Option<Nanos>) {
        self.calls.push(Call {
            object,
            begin,
            input: Input::Delete,
            answer: answered.map(|at| (at, None)),
        });
    }

    fn objects_of(&self, group: &str) -> Vec<Object> {
        let places = self.objects.get(group).into_iter().flatten();
        places.map(|&place| (group.to_owned(), place)).collect()
    }

    /// All offsets of a group were deleted.
    pub(super) fn group_deleted(&mut self, group: &str, begin: Nanos, answered: Option<Nanos>) {
        for object in self.objects_of(group) {
            self.deleted(object, begin, answered);
        }
    }

    /// Somebody was told that there is no such group, hence no offset of it.
    pub(super) fn group_missing(&mut self, group: &str, begin: Nanos, at: Nanos) {
        for object in self.objects_of(group) {
            self.fetched(object, (begin, at), None);
        }
    }

    /// Whether the group has an offset for sure, unless it has expired.
    pub(super) fn has_any(&self, group: &str) -> bool {
        let from = (group.to_owned(), Place::new([0; 16], i32::MIN));
        let mut standing = self.standing.range(from..);
        standing.next().is_some_and(|(name, _)| name == group)
    }

    /// Whether the commit of the token had been answered well by then.
    pub(super) fn was_committed(&self, token: i64, by: Nanos) -> bool {
        self.answered.get(&token).is_some_and(|&at| at < by)
    }
}

impl Oracle {
    /// Offsets of `group` were told to somebody who had asked for `parts` at `begin`.
    pub(super) fn offsets_told(&mut self, request: &GroupRequest, begin: Nanos, told: &[ToldOffset]) {
        let GroupRequest::Fetch { group, parts, .. } = request else {
            return;
        };
        for told in told.iter().filter(|told| told.error == 0) {
            let asked = parts.iter().find(|(topic, partition)| {
                (topic.name == told.topic.name || topic.id == told.topic.id) && *partition == told.partition
            });
            let Some((topic, partition)) = asked else {
                let text = format!("{group}: an offset was told that was not asked for: {told:?}");
                self.violate(Checker::Protocol, text);
                continue;
            };
            let object = (group.clone(), Place::new(topic.id, *partition));
            let now = self.now;
            self.counts.groups.offsets_told += u64::from(told.offset >= 0);
            let expired = told.offset < 0 && self.groups.offsets.standing.remove(&object);
            self.counts.groups.expired += u64::from(expired);
            if let Some(text) = self.groups.offsets.told(object, (begin, now), told) {
                self.violate(Checker::GroupOffsets, text);
            }
        }
    }

    /// The run is over: judges what was committed and told.
    pub(in crate::oracle) fn judge_group_offsets(&mut self) {
        if self.lost_page_cache {
            return;
        }
        let offsets = &mut self.groups.offsets;
        let told = std::mem::take(&mut offsets.told);
        let mut calls = std::mem::take(&mut offsets.calls);
        // A commit that nobody knows the outcome of and nobody was told need not have happened.
        calls.retain(|call| match (&call.input, &call.answer) {
            (Input::Commit(token), None) => told.contains(token),
            _ => true,
        });
        self.counts.groups.offsets_judged += calls.len() as u64;
        if !calls.is_empty() {
            self.judging(Checker::GroupOffsets);
        }
        let sent = std::mem::take(&mut self.groups.offsets.sent_at);
        let kept = Kept {
            oracle: self,
            sent: &sent,
        };
        match linearizable(&kept, &calls, BUDGET) {
            Linearizability::Linearizable => {}
            Linearizability::Violated {
                object: (group, place),
                stuck,
                ..
            } => {
                let text = format!(
                    "{group} {place}: no order of commits and fetches explains {:?}",
                    calls[stuck]
                );
                self.violate(Checker::GroupOffsets, text);
            }
            Linearizability::Undecided((group, place)) => {
                let text = format!("{group} {place}: whether the offsets are linearizable was not decided");
                self.violate(Checker::GroupOffsets, text);
            }
        }
    }
}
