//! The groups of a run: who takes part in them, and how they behave.

use super::{ClientPlan, Fault, Options, Role};
use crate::draw::Draw;
use crate::frame::{Codec, GroupVersions};
use crate::stage::{MICROS, MILLIS, Nanos};
use klamm_core::config::GroupConfig;
use std::collections::BTreeSet;

/// What a member does besides consuming.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Habit {
    Stays,
    /// Leaves now and then, and comes back.
    Leaves,
    /// Ends without a word now and then, and starts again.
    Crashes,
    /// Is silent for longer than it may be, and goes on as if nothing had been.
    Stalls,
    /// Ends without a word once everything has come to rest, and does not come back.
    Deserts,
}

/// A member of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MemberPlan {
    pub(crate) group: String,
    /// What it subscribes to.
    pub(crate) topics: Vec<String>,
    /// `group.instance.id` of a static member.
    pub(crate) instance: Option<String>,
    pub(crate) habit: Habit,
    /// How long between what its habit has it do.
    pub(crate) habit_every: Nanos,
    pub(crate) session_ms: i32,
    pub(crate) rebalance_ms: i32,
    pub(crate) heartbeat: Nanos,
    pub(crate) pause: Nanos,
    pub(crate) commit_every: Nanos,
    /// Assignors that it speaks, its favourite first.
    pub(crate) protocols: Vec<String>,
    /// How late it joins.
    pub(crate) late: Nanos,
    pub(crate) max_bytes: i32,
}

/// A client that does to groups what operators' tools do: it keeps offsets without being a member, and deletes groups and
/// offsets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ToolPlan {
    /// The group that it keeps offsets in.
    pub(crate) own: String,
    /// Groups of members that it deletes, or offsets of which.
    pub(crate) others: Vec<String>,
    pub(crate) pause: Nanos,
    /// One in this many requests deletes something.
    pub(crate) deletes_one_in: u64,
}

/// A retention that nothing outlives, in milliseconds.
const FOREVER: u64 = 1_000_000_000_000;

/// Draws what the broker's groups are like, and who takes part in them.
pub(super) fn draw(draw: &mut Draw, options: &mut Options) {
    let defaults = GroupConfig::default();
    options.broker.groups = GroupConfig {
        min_session_timeout_ms: 1,
        initial_rebalance_delay_ms: draw.pick(&[0, 5, 50, 300]),
        new_member_join_timeout_ms: draw.pick(&[4000, defaults.new_member_join_timeout_ms]),
        offsets_partitions: draw.within(1, 4) as u32,
        offsets_retention_ms: FOREVER,
        offsets_retention_check_interval_ms: FOREVER,
        // What was broken has to be well again within the patience of the clients.
        retry_max_ms: 4000,
        ..defaults
    };
    if !draw.chance(2, 3) {
        return;
    }
    for number in 0..draw.within(1, 2) {
        let plans = draw_group(draw, options, number);
        options.clients.extend(plans);
    }
}

/// Draws how long offsets are kept, which groups come to be without members now and then, and who deletes what. In half of
/// the runs nothing expires, and in a third of them nobody deletes anything.
pub(super) fn draw_removal(options: &mut Options) {
    let mut draw = Draw::new(options.seed ^ 0x0FF5_E7D3_1E7E_D0FF);
    let expires = draw.chance(1, 2);
    if expires {
        let short = draw.spread(100, 1500);
        options.broker.groups.offsets_retention_ms = draw.pick(&[short, 60_000]);
        options.broker.groups.offsets_retention_check_interval_ms = draw.pick(&[10, 50, 300]);
        // Nothing expires early, however far the clock goes ahead.
        if !options.calm && draw.chance(1, 2) {
            let at = draw.within(50 * MILLIS, options.safety);
            let step = draw.within(60_000, 1 << 36) as i64;
            options.faults.push((at, Fault::WallStep(step)));
            options.faults.sort_by_key(|&(at, _)| at);
        }
    }
    draw_asker(&mut draw, options);
    if !expires && draw.chance(2, 3) {
        return;
    }
    let mut others = Vec::new();
    for name in ["group-0", "group-1"] {
        let fleeting = draw.chance(1, 2);
        if fleeting {
            make_fleeting(&mut draw, options, name);
        }
        if fleeting || draw.chance(1, 4) {
            others.push(name.to_owned());
        }
    }
    let there = |name: &String| options.clients.iter().any(|client| is_member_of(client, name));
    others.retain(there);
    let Some(like) = options.clients.first().cloned() else {
        return;
    };
    for _ in 0..draw.within(1, 2) {
        let codec = if draw.chance(1, 4) { Codec::Crate } else { Codec::Own };
        let plan = ToolPlan {
            own: "loose".to_owned(),
            others: others.clone(),
            pause: draw.spread(2000, 40_000) * MICROS,
            deletes_one_in: draw.pick(&[4, 15, 60]),
        };
        let mut versions = like.versions;
        versions.metadata = draw.within(10, 13) as i16;
        versions.groups = draw_versions(&mut draw, codec, false);
        options.clients.push(ClientPlan {
            role: Role::Tool(plan),
            codec,
            versions,
            timeout: like.timeout,
        });
    }
}

impl Options {
    /// The groups that anybody makes.
    pub(crate) fn groups(&self) -> BTreeSet<String> {
        let made = self.clients.iter().filter_map(|client| match &client.role {
            Role::Member(member) => Some(member.group.clone()),
            Role::Tool(tool) => Some(tool.own.clone()),
            _ => None,
        });
        made.collect()
    }

    /// Whether nothing can have kept the broker by then from reading what it has written of groups: no operation of the
    /// disk was refused, and nothing that was written was lost or changed. A log that could not be written is recovered,
    /// which reads it, and may fail too.
    pub(crate) fn could_read_groups(&self, by: Nanos) -> bool {
        let mut struck = self.faults.iter().filter(|&&(at, _)| at <= by);
        !struck.any(|(_, fault)| {
            matches!(
                fault,
                Fault::FailSync(_)
                    | Fault::FailWriteBack(_)
                    | Fault::FullDisk { .. }
                    | Fault::FailWrite
                    | Fault::UnreadableSector
                    | Fault::Rot
                    | Fault::HeaderRot
                    | Fault::MisdirectWrite
                    | Fault::NoDescriptors { .. }
            )
        })
    }

    /// How long committed offsets are kept, in milliseconds; `None` for longer than any run lasts.
    pub(crate) fn group_retention(&self) -> Option<u64> {
        Some(self.broker.groups.offsets_retention_ms).filter(|&kept| kept < FOREVER)
    }
}

fn is_member_of(client: &ClientPlan, name: &str) -> bool {
    matches!(&client.role, Role::Member(member) if member.group == *name)
}

/// In half of the runs somebody asks about everything that there is.
fn draw_asker(draw: &mut Draw, options: &mut Options) {
    let Some(like) = options.clients.first().cloned() else {
        return;
    };
    if draw.chance(1, 2) {
        let pause = draw.spread(5, 80) * MILLIS;
        let codec = if draw.chance(1, 3) { Codec::Crate } else { Codec::Own };
        options.clients.push(ClientPlan {
            role: Role::Asker { pause },
            codec,
            ..like
        });
    }
}

/// Nobody stays in the group for long, and there are few to begin with.
fn make_fleeting(draw: &mut Draw, options: &mut Options, name: &str) {
    let most = draw.within(1, 2);
    let mut count = 0;
    options.clients.retain(|client| {
        count += u64::from(is_member_of(client, name));
        !is_member_of(client, name) || count <= most
    });
    for client in &mut options.clients {
        if let Role::Member(member) = &mut client.role
            && member.group == name
        {
            member.habit = draw.pick(&[Habit::Leaves, Habit::Leaves, Habit::Crashes]);
            member.habit_every = draw.within(50, 500) * MILLIS;
            member.late = 0;
        }
    }
}

fn draw_group(draw: &mut Draw, options: &Options, number: u64) -> Vec<ClientPlan> {
    let mut topics: Vec<String> = options.topics.iter().map(|topic| topic.name.clone()).collect();
    topics.truncate(draw.within(1, 3) as usize);
    let versions = options.clients.first().map(|client| client.versions);
    let Some(versions) = versions else { return Vec::new() };
    let patience = if options.calm { 30_000 } else { draw.spread(60, 1500) };
    let has_statics = draw.chance(1, 2);
    let mut plans = Vec::new();
    for index in 0..draw.within(2, 4) {
        let member = draw_member(draw, (number, index), &topics, has_statics, options.calm);
        let codec = if draw.chance(1, 4) { Codec::Crate } else { Codec::Own };
        let mut versions = versions;
        // Other roles speak other versions; some of those only their own codec knows.
        versions.list_offsets = draw.within(4, codec.list_offsets_last() as u64) as i16;
        versions.fetch = draw.within(4, 18) as i16;
        versions.metadata = draw.within(10, 13) as i16;
        versions.groups = draw_versions(draw, codec, member.instance.is_some());
        plans.push(ClientPlan {
            role: Role::Member(member),
            codec,
            versions,
            timeout: patience * MILLIS,
        });
    }
    plans
}

fn draw_member(draw: &mut Draw, at: (u64, u64), topics: &[String], has_statics: bool, calm: bool) -> MemberPlan {
    let (group, index) = at;
    let session_ms = draw.spread(250, 3000) as i32;
    let habit = draw.pick(&[
        Habit::Stays,
        Habit::Leaves,
        Habit::Crashes,
        Habit::Stalls,
        Habit::Deserts,
    ]);
    // One of each group is there to the end.
    let habit = if index == 0 { Habit::Stays } else { habit };
    let is_static = has_statics && draw.chance(2, 3);
    // Now and then two clients are configured with one instance.
    let twin = index > 1 && !calm && draw.chance(1, 4);
    let instance = if twin { index - 1 } else { index };
    let mut protocols = vec!["range".to_owned(), "roundrobin".to_owned()];
    protocols.rotate_left(draw.index(2));
    // Never its favourite: a member alone would have it elected, and the record of a group names no other, in Kafka's form,
    // so that after a start nobody else could join.
    protocols.insert(draw.within(1, 2) as usize, format!("own-{index}"));
    MemberPlan {
        group: format!("group-{group}"),
        topics: topics.to_vec(),
        instance: is_static.then(|| format!("instance-{group}-{instance}")),
        habit,
        habit_every: draw.within(100, 1500) * MILLIS,
        session_ms,
        rebalance_ms: draw.spread(200, 2500) as i32,
        heartbeat: session_ms as u64 * MILLIS / draw.within(4, 10),
        pause: draw.spread(2000, 20_000) * MICROS,
        commit_every: draw.spread(5, 200) * MILLIS,
        protocols,
        late: if draw.chance(1, 2) {
            0
        } else {
            draw.spread(1, 1500) * MILLIS
        },
        max_bytes: draw.pick(&[3000, 1 << 20]),
    }
}

fn draw_versions(draw: &mut Draw, codec: Codec, is_static: bool) -> GroupVersions {
    let first = GroupVersions::STATIC;
    let last = GroupVersions::LATEST;
    let mut from = |oldest: i16, first: i16, last: i16| {
        let low = if is_static { first } else { oldest };
        draw.within(low as u64, last as u64) as i16
    };
    GroupVersions {
        find: from(0, first.find, last.find),
        join: from(0, first.join, last.join),
        sync: from(0, first.sync, last.sync),
        heartbeat: from(0, first.heartbeat, last.heartbeat),
        leave: from(0, first.leave, last.leave),
        commit: from(2, first.commit, codec.offsets_last()),
        fetch: from(1, first.fetch, codec.offsets_last()),
    }
}
