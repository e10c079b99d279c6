//! Groups and offsets that go: somebody deletes them, or they were kept for long enough (`offsets.retention.minutes`).
//!
//! - A group is deleted only while it has no members. What comes to be under its name later is another group: it begins
//!   anew, and no member of the old one is a member of it.
//! - What was deleted or has expired does not come back.
//! - Nothing expires before its time: not by a step of the wall clock, unless a start believes it, and not while a group has
//!   members.
//! - What a list leaves out is not there, unless some partition of groups could not be read when it was made: the groups of
//!   such a one are in no list, and nothing says so (`GroupCoordinatorService.listGroups`).

use super::{Checker, Group, Oracle, identity};
use crate::frame::{GroupRequest, GroupResponse};
use crate::oracle::Place;
use crate::stage::{MILLIS, Nanos};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// How close to each other signs of life may be to count as one.
const ONE_SIGN: Nanos = 10 * MILLIS;

/// What is known of a group's life.
#[derive(Default, Debug)]
pub(super) struct Life {
    /// What was told before is of an earlier group of this name, or may be.
    since: Nanos,
    /// Member ids that were told since, and when.
    pub(super) ids: BTreeMap<String, Nanos>,
    /// Whether its deletion was asked for by somebody who heard no answer, and may come to pass yet.
    in_doubt: bool,
    /// Deletions whose answers are awaited.
    awaited: u32,
    /// Whether its deletion was ever asked for.
    asked: bool,
    /// When members asked what was answered well, and when it was.
    signs: Vec<(Nanos, Nanos)>,
}

/// When partitions of groups could not be read.
#[derive(Default, Debug)]
pub(super) struct Unread {
    /// Shards that have some now.
    shards: BTreeSet<usize>,
    /// The last time that one was seen to have some.
    last: Option<Nanos>,
}

impl Unread {
    fn note(&mut self, shard: usize, count: u64, now: Nanos) {
        if count > 0 {
            self.shards.insert(shard);
            self.last = Some(now);
        } else if self.shards.remove(&shard) {
            self.last = Some(now);
        }
    }

    /// The process took all of them with it.
    pub(super) fn forget_process(&mut self, now: Nanos) {
        if !std::mem::take(&mut self.shards).is_empty() {
            self.last = Some(now);
        }
    }

    /// Whether there were any at any time since `begin`.
    fn since(&self, begin: Nanos) -> bool {
        !self.shards.is_empty() || self.last.is_some_and(|last| last >= begin)
    }
}

impl Group {
    /// From now on it may be another group.
    fn begin_anew(&mut self, now: Nanos) {
        self.generations.clear();
        self.beliefs.clear();
        self.life.ids.clear();
        self.life.since = now;
    }

    /// What the process was asked for and has not done, it never will.
    pub(super) fn settle_doubt(&mut self, now: Nanos) {
        if std::mem::take(&mut self.life.in_doubt) {
            self.begin_anew(now);
        }
    }
}

/// What a group of this error code is not: nothing was done.
fn is_refusal(error: i16) -> bool {
    // COORDINATOR_LOAD_IN_PROGRESS, NON_EMPTY_GROUP
    [14, 68].contains(&error)
}

/// `GROUP_ID_NOT_FOUND`
const NOT_FOUND: i16 = 69;

impl Oracle {
    /// How long committed offsets are kept, in milliseconds; `None` for ever.
    pub(crate) fn set_group_retention(&mut self, retention_ms: Option<u64>) {
        self.groups.retention_ms = retention_ms;
    }

    /// Whether a member may be told that there is no such group.
    pub(crate) fn may_lack_group(&self, name: &str) -> bool {
        let asked = self.groups.by_name.get(name).is_some_and(|group| group.life.asked);
        self.lost_page_cache || self.groups.retention_ms.is_some() || asked
    }

    /// Whether what was asked at `begin` may concern an earlier group of the name.
    pub(super) fn is_of_an_earlier_life(&mut self, name: &str, begin: Nanos) -> bool {
        begin < self.group(name).life.since
    }

    /// Whether a contradiction may come from a deletion whose answer nobody has heard; from then on it did.
    pub(super) fn may_be_another(&mut self, name: &str) -> bool {
        let now = self.now;
        let group = self.group(name);
        let may = group.life.in_doubt || group.life.awaited > 0;
        if may {
            group.begin_anew(now);
        }
        may
    }

    /// A deletion is sent.
    pub(super) fn removal_sending(&mut self, request: &GroupRequest) {
        if let GroupRequest::Delete { group, .. } = request {
            let life = &mut self.group(group).life;
            life.asked = true;
            life.awaited += 1;
        }
    }

    /// The answer to a deletion came, or never will.
    pub(in crate::oracle) fn no_longer_awaited(&mut self, request: &GroupRequest) {
        if let GroupRequest::Delete { group, .. } = request {
            let life = &mut self.group(group).life;
            life.awaited = life.awaited.saturating_sub(1);
        }
    }

    /// A member asked something at `begin` that was answered well.
    pub(super) fn sign_of_life(&mut self, name: &str, begin: Nanos) {
        let now = self.now;
        let group = self.group(name);
        let last = group.life.signs.last().copied();
        if last.is_none_or(|(last, _)| begin > last + ONE_SIGN) {
            group.life.signs.push((begin, now));
        }
        let lived = group.beliefs.values().any(|belief| belief.is_valid(now));
        // One without members goes with its last offset, or at once where it has none.
        let bare = self.groups.retention_ms.is_some() && !self.groups.offsets.has_any(name);
        if let Some((last, _)) = last
            && !lived
            && (bare || self.may_have_aged(last, now))
        {
            self.group(name).begin_anew(begin);
        }
    }

    fn may_have_aged(&self, from: Nanos, by: Nanos) -> bool {
        let kept = self.groups.retention_ms;
        kept.is_some_and(|kept| self.clock.may_have_aged(from, by, kept))
    }

    /// Whether an offset that was committed at `begin` at the earliest may have expired by `by`. While the group has members
    /// it does not age.
    pub(super) fn may_have_expired(&self, name: &str, begin: Nanos, by: Nanos) -> bool {
        if !self.may_have_aged(begin, by) {
            return false;
        }
        let mut from = begin;
        let signs = self.groups.by_name.get(name).map_or(&[][..], |group| &group.life.signs);
        for &(asked, answered) in signs.iter().filter(|&&(asked, _)| asked > begin) {
            if self.may_have_aged(from, answered.min(by)) {
                return true;
            }
            from = from.max(asked);
        }
        self.may_have_aged(from, by)
    }

    /// Somebody heard the answer to a deletion that he had sent at `begin`.
    pub(super) fn removal_heard(&mut self, request: &GroupRequest, begin: Nanos, response: &GroupResponse) {
        let now = self.now;
        self.no_longer_awaited(request);
        match (request, response) {
            (GroupRequest::Delete { group, .. }, &GroupResponse::Deleted { error }) => {
                if error == 0 {
                    self.counts.groups.deleted += 1;
                    self.groups.offsets.group_deleted(group, begin, Some(now));
                    self.group_deleted(group, begin);
                } else if error == NOT_FOUND {
                    self.groups.offsets.group_missing(group, begin, now);
                } else if !is_refusal(error) {
                    self.may_be_removed_yet(request, begin);
                }
            }
            (GroupRequest::DeleteOffsets { group, parts }, GroupResponse::OffsetsDeleted { error, parts: told }) => {
                if *error == NOT_FOUND {
                    self.groups.offsets.group_missing(group, begin, now);
                } else if *error != 0 && !is_refusal(*error) {
                    self.may_be_removed_yet(request, begin);
                }
                for told in told.iter().filter(|told| *error == 0 && told.error == 0) {
                    let asked = parts
                        .iter()
                        .find(|(topic, partition)| topic.name == told.topic.name && *partition == told.partition);
                    let Some((topic, partition)) = asked else {
                        let text = format!("{group}: an offset was deleted that nobody named: {told:?}");
                        return self.violate(Checker::Protocol, text);
                    };
                    let place = Place::new(topic.id, *partition);
                    self.counts.groups.offsets_deleted += 1;
                    self.groups.offsets.deleted((group.clone(), place), begin, Some(now));
                    if let Some(member) = self.living_since(group, begin, Some(&topic.name)) {
                        let text = format!("{group} {place}: the offset was deleted while {member} consumed the topic");
                        self.violate(Checker::GroupOffsets, text);
                    }
                }
            }
            _ => {}
        }
    }

    /// So many partitions of groups cannot be read by a shard now, and something that happened to the disk explains it.
    pub(crate) fn groups_unread(&mut self, shard: usize, count: u64) {
        let now = self.now;
        self.groups.unread.note(shard, count, now);
    }

    /// Somebody who had asked at `begin` was told which groups there are; of those that anybody makes these are left out.
    pub(crate) fn groups_not_listed<'a>(&mut self, absent: impl Iterator<Item = &'a String>, begin: Nanos) {
        if self.groups.unread.since(begin) {
            return;
        }
        for name in absent {
            self.group_missing(name, begin);
        }
    }

    /// Somebody who had asked at `begin` was told that there is no such group.
    pub(crate) fn group_missing(&mut self, name: &str, begin: Nanos) {
        let now = self.now;
        self.groups.offsets.group_missing(name, begin, now);
        self.has_its_members(name, begin, &|_, _| false);
    }

    /// Somebody who had asked at `begin` was told that a group is like this: its members and their parts.
    pub(crate) fn group_described(&mut self, name: &str, begin: Nanos, state: &str, members: &[(String, Bytes)]) {
        self.has_its_members(name, begin, &|id, part| {
            let told = members.iter().find(|(member, _)| member == id);
            // Only then the parts are told that members have.
            told.is_some_and(|(_, told)| state != "Stable" || part.is_none_or(|part| part == told))
        });
    }

    /// Whoever was a member all the time since `begin` is told as one: by id, and with the part that it was handed.
    fn has_its_members(&mut self, name: &str, begin: Nanos, told: &dyn Fn(&str, Option<&Bytes>) -> bool) {
        if self.lost_page_cache {
            return;
        }
        let now = self.now;
        let group = self.group(name);
        let missing = group.beliefs.values().find(|belief| {
            let generation = group.generations.get(&belief.generation);
            let part = generation.and_then(|it| it.parts.get(identity(&belief.member)));
            belief.since < begin && belief.is_valid(now) && !told(&belief.member, part.map(|(bytes, _)| bytes))
        });
        if let Some(belief) = missing {
            let (member, generation) = (&belief.member, belief.generation);
            let text = format!("{name} is told without {member}, a member of generation {generation}, or its part");
            self.violate(Checker::Generations, text);
        }
    }

    /// Nobody knows what becomes of a deletion that was sent at `begin`.
    pub(super) fn may_be_removed_yet(&mut self, request: &GroupRequest, begin: Nanos) {
        match request {
            GroupRequest::Delete { group, .. } => {
                self.groups.offsets.group_deleted(group, begin, None);
                self.group(group).life.in_doubt = true;
            }
            GroupRequest::DeleteOffsets { group, parts } => {
                for (topic, partition) in parts {
                    let object = (group.clone(), Place::new(topic.id, *partition));
                    self.groups.offsets.deleted(object, begin, None);
                }
            }
            _ => {}
        }
    }

    /// A member that has rightly believed all the time since `begin` that it is one, and owned something of `topic`.
    fn living_since(&mut self, name: &str, begin: Nanos, topic: Option<&str>) -> Option<String> {
        let now = self.now;
        let lost = self.lost_page_cache;
        let mut beliefs = self.group(name).beliefs.values();
        let living = beliefs.find(|belief| {
            let concerned = topic.is_none_or(|topic| belief.part.iter().any(|(name, _)| name == topic));
            !lost && concerned && belief.since < begin && belief.is_valid(now)
        });
        living.map(|belief| belief.member.clone())
    }

    /// The group's deletion, sent at `begin`, was answered.
    fn group_deleted(&mut self, name: &str, begin: Nanos) {
        self.judging(Checker::Generations);
        if let Some(member) = self.living_since(name, begin, None) {
            let text = format!("{name} was deleted while {member} was a member of it");
            self.violate(Checker::Generations, text);
        }
        let now = self.now;
        let group = self.group(name);
        let ids = std::mem::take(&mut group.life.ids);
        for (id, _) in ids.into_iter().filter(|&(_, told_at)| told_at < begin) {
            group.ended.entry(id).or_insert(now);
        }
        group.begin_anew(now);
    }
}
