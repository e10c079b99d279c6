//! Groups as their members see them, and as the device holds them.
//!
//! - *one owner*: while a member may rightly believe that a partition is its own, the partition is given to nobody else; and
//!   nobody is dropped who was heard of in time. A member may believe it from the heartbeat that confirms its part on, for as
//!   long as its session and the patience of a rebalance last after the last heartbeat that was answered well; whoever was
//!   fenced, joins anew or has ended believes nothing.
//! - *generations*: they never go back, whatever crashes; a generation has one leader, one protocol, one set of members,
//!   and each member one part of it; nobody does anything in a generation after somebody was told a later one; and a start
//!   of the broker alone is no reason to rebalance.
//! - *group offsets*: see [`offsets`].
//!
//! A group that was deleted, or may have expired, is another one from then on: see [`removal`].

mod counts;
mod device;
mod offsets;
mod records;
mod removal;

#[cfg(test)]
mod tests;

pub use counts::GroupCounts;

use super::{Checker, Oracle};
use crate::frame::{GroupRequest, GroupResponse, Joined, Speaker};
use crate::stage::{MILLIS, Nanos};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// A partition by its topic's name.
pub(crate) type Owned = BTreeSet<(String, i32)>;

/// What was told of a generation.
#[derive(Debug)]
struct Generation {
    /// When somebody heard of it first.
    told_at: Nanos,
    leader: String,
    protocol: String,
    /// As its leader was told them.
    members: Option<BTreeSet<String>>,
    parts: BTreeMap<String, (Bytes, Owned)>,
}

/// What a member may rightly believe.
#[derive(Debug)]
struct Belief {
    generation: i32,
    member: String,
    instance: Option<String>,
    part: Owned,
    /// The broker's process that handed out the part, and the one that last confirmed it.
    handed_in: u32,
    confirmed_in: u32,
    /// When it was handed the part.
    since: Nanos,
    /// How long it is a member after it was last heard of, and is waited for in a rebalance.
    lasts: Nanos,
    /// Until when it may believe; `None` before a heartbeat confirmed the part.
    until: Option<Nanos>,
}

impl Belief {
    /// Of a member that was handed `part` by the broker's process `incarnation`, at `since`; a session lasts `lasts`.
    fn begun(speaker: &Speaker, part: &Owned, incarnation: u32, (since, lasts): (Nanos, Nanos)) -> Self {
        Self {
            generation: speaker.generation,
            member: speaker.member.clone(),
            instance: speaker.instance.clone(),
            part: part.clone(),
            handed_in: incarnation,
            confirmed_in: incarnation,
            since,
            lasts,
            until: None,
        }
    }

    fn is_valid(&self, now: Nanos) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[derive(Default, Debug)]
struct Group {
    generations: BTreeMap<i32, Generation>,
    beliefs: BTreeMap<usize, Belief>,
    /// Member ids that ended, and when: they left, or another took their place.
    ended: BTreeMap<String, Nanos>,
    /// The member id that each instance was told last, and when.
    instances: BTreeMap<String, (String, Nanos)>,
    /// The last process of the broker in which somebody asked to join or to leave.
    asked_in: u32,
    life: removal::Life,
}

/// Everything that is known of groups.
#[derive(Default, Debug)]
pub(super) struct Groups {
    by_name: BTreeMap<String, Group>,
    /// How long offsets are kept, in milliseconds; `None` for ever.
    retention_ms: Option<u64>,
    device: device::Device,
    offsets: offsets::Offsets,
    unread: removal::Unread,
}

/// Who a member is to the group: a static member's ids all begin with its instance, behind which 37 characters make them
/// unique (KIP-345).
fn identity(member: &str) -> &str {
    let instance = member.len().checked_sub(37).and_then(|at| member.get(..at));
    instance.filter(|it| it.starts_with("instance-")).unwrap_or(member)
}

impl Oracle {
    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.by_name.entry(name.to_owned()).or_default()
    }

    /// `client` is about to join or to leave, in the broker's process `incarnation`: it owns nothing any more.
    pub(crate) fn member_asks(&mut self, client: usize, speaker: &Speaker, incarnation: u32) {
        let group = self.group(&speaker.group);
        group.asked_in = group.asked_in.max(incarnation);
        group.beliefs.remove(&client);
        // Whoever else speaks for the same instance may be fenced from now on.
        if speaker.instance.is_some() {
            group.beliefs.retain(|_, belief| belief.instance != speaker.instance);
        }
    }

    /// `client` ended, or was told that it is no member: it owns nothing any more.
    pub(crate) fn member_gone(&mut self, client: usize, group: &str) {
        self.group(group).beliefs.remove(&client);
    }

    /// A member was told a generation.
    pub(crate) fn member_joined(&mut self, speaker: &Speaker, begin: Nanos, joined: &Joined) {
        self.counts.groups.joins += 1;
        let now = self.now;
        self.sign_of_life(&speaker.group, begin);
        if self.lost_page_cache || self.is_of_an_earlier_life(&speaker.group, begin) {
            return;
        }
        let group = self.group(&speaker.group);
        group.life.ids.entry(joined.member.clone()).or_insert(now);
        if let Some(instance) = &speaker.instance {
            let before = group.instances.insert(instance.clone(), (joined.member.clone(), now));
            // Of two answers under way at once nobody knows which is the later.
            if let Some((before, told_at)) = before
                && before != joined.member
                && told_at < begin
            {
                group.ended.entry(before).or_insert(now);
            }
        }
        let fresh = !group.generations.contains_key(&joined.generation);
        let told = group
            .generations
            .entry(joined.generation)
            .or_insert_with(|| Generation {
                told_at: now,
                leader: identity(&joined.leader).to_owned(),
                protocol: joined.protocol.clone(),
                members: None,
                parts: BTreeMap::new(),
            });
        let mut problem = None;
        if told.leader != identity(&joined.leader) {
            problem = Some(format!("is led by {} and by {}", told.leader, joined.leader));
        } else if told.protocol != joined.protocol {
            problem = Some(format!("speaks {} and {}", told.protocol, joined.protocol));
        }
        if !joined.members.is_empty() {
            let members: BTreeSet<String> = joined.members.iter().map(|it| identity(it).to_owned()).collect();
            match &told.members {
                Some(known) if *known != members => problem = Some(format!("consists of {known:?} and of {members:?}")),
                _ => told.members = Some(members),
            }
        }
        self.counts.groups.generations += u64::from(fresh);
        if let Some(problem) = problem.filter(|_| !self.may_be_another(&speaker.group)) {
            let text = format!("generation {} of {} {problem}", joined.generation, speaker.group);
            self.violate(Checker::Generations, text);
        }
        let spoken = Speaker {
            member: joined.member.clone(),
            generation: joined.generation,
            ..speaker.clone()
        };
        self.not_stale(&spoken, begin, "joined");
    }

    /// Nobody does anything in a generation once somebody was told a later one, nor under an id that has ended.
    fn not_stale(&mut self, speaker: &Speaker, begin: Nanos, what: &str) {
        self.judging(Checker::Generations);
        let Speaker {
            group: name,
            member,
            generation,
            ..
        } = speaker;
        let group = self.group(name);
        let later = group.generations.range(generation + 1..);
        let later = later
            .filter(|(_, told)| told.told_at < begin)
            .map(|(&later, _)| later)
            .max();
        let ended = group.ended.get(member).is_some_and(|&ended| ended < begin);
        if let Some(later) = later.filter(|_| !self.may_be_another(name)) {
            let text =
                format!("{member} {what} in generation {generation} of {name}, after generation {later} was told");
            self.violate(Checker::Generations, text);
        } else if ended {
            let text = format!("{member} {what} in {name}, after it had left, or another had taken its place");
            self.violate(Checker::Generations, text);
        }
    }

    /// A member was handed its part. It lasts `lasts` after each sign of life.
    pub(crate) fn member_synced(
        &mut self,
        client: usize,
        speaker: &Speaker,
        (begin, incarnation, lasts): (Nanos, u32, Nanos),
        (bytes, part): (&Bytes, &Owned),
    ) {
        self.counts.groups.syncs += 1;
        self.sign_of_life(&speaker.group, begin);
        if self.lost_page_cache || self.is_of_an_earlier_life(&speaker.group, begin) {
            return;
        }
        self.judging(Checker::OneOwner);
        let now = self.now;
        let Speaker {
            group: name,
            member,
            generation,
            ..
        } = speaker;
        let group = self.group(name);
        let mut problem = None;
        if let Some(told) = group.generations.get_mut(generation) {
            let me = identity(member);
            let overlaps = told
                .parts
                .iter()
                .find(|(other, (_, theirs))| *other != me && !theirs.is_disjoint(part));
            if let Some((other, _)) = overlaps {
                let text = format!("generation {generation} of {name} gives a partition to {member} and to {other}");
                problem = Some((Checker::OneOwner, text));
            }
            match told.parts.get(me) {
                Some((known, _)) if known != bytes => {
                    let text = format!("{member} was told two different parts of generation {generation} of {name}");
                    problem = Some((Checker::Generations, text));
                }
                _ => _ = told.parts.insert(me.to_owned(), (bytes.clone(), part.clone())),
            }
        }
        let rival = group.beliefs.iter().find(|&(&other, belief)| {
            other != client
                && belief.generation < *generation
                && belief.is_valid(now)
                && !belief.part.is_disjoint(part)
                && (speaker.instance.is_none() || belief.instance != speaker.instance)
        });
        if let Some((_, rival)) = rival {
            let text = format!(
                "{name}: {member} was given in generation {generation} what {} still owns in generation {}",
                rival.member, rival.generation
            );
            problem = Some((Checker::OneOwner, text));
        }
        let belief = Belief::begun(speaker, part, incarnation, (now, lasts));
        group.beliefs.insert(client, belief);
        if let Some((checker, text)) = problem.filter(|_| !self.may_be_another(name)) {
            self.violate(checker, text);
        }
        self.not_stale(speaker, begin, "was handed its part");
    }

    /// A heartbeat that was sent at `begin` was answered well. While a coordinator reads its groups it answers every
    /// heartbeat so: it confirms nothing that was not so before.
    pub(crate) fn member_lives(&mut self, client: usize, speaker: &Speaker, begin: Nanos, incarnation: u32) {
        self.counts.groups.heartbeats += 1;
        let Some(belief) = self.group(&speaker.group).beliefs.get_mut(&client) else {
            return;
        };
        if belief.generation != speaker.generation || belief.member != speaker.member {
            return;
        }
        let confirmed = belief.handed_in == incarnation || belief.is_valid(begin);
        if confirmed {
            let until = begin + belief.lasts;
            belief.until = Some(belief.until.map_or(until, |known| known.max(until)));
            let survived = belief.confirmed_in != incarnation;
            belief.confirmed_in = incarnation;
            self.counts.groups.survivals += u64::from(survived);
            self.sign_of_life(&speaker.group, begin);
        } else {
            belief.until = None;
        }
    }

    /// What a member asked under `speaker` was refused for who it is, or because of a rebalance.
    pub(crate) fn member_refused(&mut self, client: usize, speaker: &Speaker, error: i16, incarnation: u32) {
        let counts = &mut self.counts.groups;
        match error {
            // REBALANCE_IN_PROGRESS
            27 => counts.rebalances += 1,
            // UNKNOWN_MEMBER_ID
            25 => counts.evictions += 1,
            // FENCED_INSTANCE_ID
            82 => counts.fenced += 1,
            _ => {}
        }
        if self.lost_page_cache {
            return;
        }
        let now = self.now;
        let group = self.group(&speaker.group);
        let Some(belief) = group.beliefs.get(&client) else {
            return;
        };
        let meant = belief.generation == speaker.generation && belief.member == speaker.member;
        if !meant || !belief.is_valid(now) {
            return;
        }
        let Speaker {
            group: name,
            member,
            generation,
            ..
        } = speaker;
        // ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID
        if [22, 25].contains(&error) {
            let checker = if belief.handed_in == incarnation {
                Checker::OneOwner
            } else {
                Checker::Generations
            };
            let text = format!(
                "{member} was heard of in time in generation {generation} of {name}, and is told error {error}"
            );
            self.violate(checker, text);
        } else if error == 27 && group.asked_in < incarnation && group.is_whole(*generation, now) {
            let text =
                format!("{name} rebalances after generation {generation}, for no reason but a start of the broker");
            self.violate(Checker::Generations, text);
        }
    }

    /// A member has left.
    pub(crate) fn member_left(&mut self, speaker: &Speaker) {
        self.counts.groups.leaves += 1;
        let now = self.now;
        let member = speaker.member.clone();
        self.group(&speaker.group).ended.entry(member).or_insert(now);
    }

    /// A member heard the answer to a request that it had sent at `begin`.
    pub(super) fn group_heard(&mut self, request: &GroupRequest, begin: Nanos, response: &GroupResponse) {
        match (request, response) {
            (GroupRequest::Commit { speaker, offsets }, GroupResponse::Committed(answers)) => {
                let now = self.now;
                let known = &mut self.groups.offsets;
                known.committed(request, begin, Some((now, response)));
                let good = answers.iter().filter(|answer| answer.error == 0).count() as u64;
                let stale = answers.iter().any(|answer| [22, 25, 82].contains(&answer.error));
                self.counts.groups.commits += good;
                self.counts.groups.stale_commits += u64::from(stale);
                if answers.len() != offsets.len() {
                    let text = format!("{} offsets were committed, {} answered", offsets.len(), answers.len());
                    self.violate(Checker::Protocol, text);
                }
                if good > 0 && speaker.generation >= 0 {
                    self.sign_of_life(&speaker.group, begin);
                }
                if good > 0 && !self.lost_page_cache {
                    self.not_stale(speaker, begin, "committed offsets");
                }
            }
            (GroupRequest::Fetch { .. }, GroupResponse::Offsets { error: 0, parts }) => {
                self.offsets_told(request, begin, parts);
            }
            _ => self.removal_heard(request, begin, response),
        }
    }

    /// Nobody has heard what becomes of a request that was sent at `begin`.
    pub(super) fn group_unanswered(&mut self, request: &GroupRequest, begin: Nanos) {
        self.groups.offsets.committed(request, begin, None);
        self.may_be_removed_yet(request, begin);
    }

    /// A member sends a request.
    pub(crate) fn group_sending(&mut self, request: &GroupRequest) {
        self.groups.offsets.sending(request, self.now);
        self.removal_sending(request);
    }
}

impl Groups {
    /// Nothing that was under way with the last process concerns the next.
    pub(super) fn forget_process(&mut self, now: Nanos) {
        self.device.forget_process();
        self.unread.forget_process(now);
        for group in self.by_name.values_mut() {
            group.settle_doubt(now);
        }
    }
}

impl Group {
    /// Whether every member of the generation has been heard of all along.
    fn is_whole(&self, generation: i32, now: Nanos) -> bool {
        let members = self.generations.get(&generation).and_then(|told| told.members.as_ref());
        members.is_some_and(|members| {
            members.iter().all(|member| {
                let mut beliefs = self.beliefs.values();
                beliefs.any(|it| it.generation == generation && identity(&it.member) == member && it.is_valid(now))
            })
        })
    }
}

/// How long a member is one after it was last heard of, and is waited for.
pub(crate) fn lasts(session_ms: i32, rebalance_ms: i32) -> Nanos {
    session_ms.min(rebalance_ms).max(0) as u64 * MILLIS
}
