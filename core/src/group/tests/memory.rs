//! What the clients of a group remember of each other's answers, and hold against the next.

use crate::group::{GroupAnswer, Joined};
use crate::types::{ErrorCode, Seed};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

/// What was asked, as far as its answer says something.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Join {
        is_static: bool,
    },
    /// By this member, of this generation.
    Sync(String, i32),
    /// To change an offset, as the change of this number.
    Change(usize),
    /// To delete the group, as the change of this number of each partition.
    Delete(usize),
    Other,
}

/// A generation as members were told of it.
#[derive(Default, Debug)]
struct Issued {
    leader: Option<String>,
    members: Option<BTreeSet<String>>,
    owner: Option<String>,
}

/// A change of an offset that was asked for: to a value, or to none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Unknown,
    Done,
    Refused,
}

/// What clients remember of one group.
#[derive(Default, Debug)]
pub(super) struct Memory {
    members: BTreeSet<(String, i32)>,
    /// Ids of members that were static: they stand for an instance, and others may take their place.
    statics: BTreeSet<String>,
    issued: BTreeMap<i32, Issued>,
    /// The last generation that anybody was told of.
    latest: i32,
    /// Somebody asked to delete the group since then.
    deleting: bool,
    /// The changes of offsets in the order asked: of which partition (or of all), to what, and what is known of them.
    changes: Vec<(Option<i32>, Option<i64>, Fate)>,
}

impl Memory {
    /// A member that may be one, and a generation it may know.
    pub(super) fn any(&self, seed: &mut Seed) -> (String, i32) {
        let known = self.members.len() as u64;
        if known == 0 || seed.chance(1, 10) {
            return (String::new(), -1);
        }
        let (member, generation) = self.members.iter().nth(seed.below(known) as usize).unwrap().clone();
        (member, if seed.chance(1, 5) { self.latest } else { generation })
    }

    pub(super) fn changes(&mut self, partition: i32, to: Option<i64>) -> Asked {
        self.changes.push((Some(partition), to, Fate::Unknown));
        Asked::Change(self.changes.len() - 1)
    }

    pub(super) fn deletes(&mut self) -> Asked {
        self.deleting = true;
        self.changes.push((None, None, Fate::Unknown));
        Asked::Delete(self.changes.len() - 1)
    }

    pub(super) fn hear(&mut self, asked: &Asked, answer: GroupAnswer, may_begin_anew: bool) {
        match (asked, answer) {
            (Asked::Join { is_static }, GroupAnswer::Joined(Ok(joined))) => {
                self.hear_generation(&joined, *is_static, may_begin_anew);
            }
            (Asked::Join { .. }, GroupAnswer::Joined(Err(refusal))) if refusal.code == ErrorCode::MemberIdRequired => {
                self.members.insert((refusal.member.to_string(), -1));
            }
            (Asked::Sync(member, generation), GroupAnswer::Synced(Ok(synced))) => {
                self.hear_part(member, *generation, &synced.assignment);
            }
            (Asked::Change(number), GroupAnswer::Committed(codes) | GroupAnswer::OffsetsDeleted(Ok(codes))) => {
                self.know(*number, codes == [ErrorCode::None]);
            }
            (Asked::Change(number), GroupAnswer::OffsetsDeleted(Err(_))) => self.know(*number, false),
            (Asked::Delete(number), GroupAnswer::Deleted(code)) => self.know(*number, code.is_none()),
            _ => {}
        }
    }

    fn know(&mut self, number: usize, done: bool) {
        self.changes[number].2 = if done { Fate::Done } else { Fate::Refused };
    }

    fn hear_generation(&mut self, joined: &Joined, is_static: bool, may_begin_anew: bool) {
        let (member, generation) = (joined.member.to_string(), joined.generation);
        if is_static {
            self.statics.insert(member.clone());
        }
        for it in joined.members.iter().filter(|it| it.instance.is_some()) {
            self.statics.insert(it.id.to_string());
        }
        let anew = generation < self.latest || !self.agrees(joined, &member);
        if anew {
            assert!(
                self.deleting || may_begin_anew,
                "generation {generation} is issued after {}, and again: {joined:?} beside {self:?}",
                self.latest
            );
            // Everybody of the group that is gone is a member no more.
            self.issued.clear();
            self.deleting = false;
        }
        self.latest = generation;
        let issued = self.issued.entry(generation).or_default();
        issued.leader.get_or_insert_with(|| joined.leader.to_string());
        if !joined.members.is_empty() {
            let all = || joined.members.iter().map(|it| it.id.to_string()).collect();
            issued.members.get_or_insert_with(all);
        }
        self.members.insert((member, generation));
    }

    /// Whether what a member is told of a generation is what others were.
    fn agrees(&self, joined: &Joined, member: &str) -> bool {
        let Some(issued) = self.issued.get(&joined.generation) else {
            return true;
        };
        let same = |one: &str, other: &str| one == other || self.statics.contains(one);
        let one_leader = issued.leader.as_ref().is_none_or(|it| same(it, &joined.leader));
        let known = |id: &str| {
            let all = issued.members.as_ref();
            self.statics.contains(id) || all.is_none_or(|all| all.contains(id))
        };
        one_leader && known(member) && joined.members.iter().all(|it| known(&it.id))
    }

    /// The one part of a generation has one owner.
    fn hear_part(&mut self, member: &str, generation: i32, part: &Bytes) {
        if part.is_empty() || self.statics.contains(member) {
            return;
        }
        let Some(issued) = self.issued.get_mut(&generation) else {
            return;
        };
        let owner = issued.owner.get_or_insert_with(|| member.to_string());
        assert_eq!(owner, member, "generation {generation} has two owners");
    }

    /// An offset is what the last change made it that is known to be done, or one of those that came later and may be.
    pub(super) fn told_offset(&mut self, partition: i32, there: Option<i64>, may_be_gone: bool) {
        let of = |(_, (which, ..)): &(usize, &(Option<i32>, Option<i64>, Fate))| which.is_none_or(|it| it == partition);
        let all: Vec<_> = self.changes.iter().enumerate().filter(of).collect();
        let done = all.iter().rposition(|(_, (.., fate))| *fate == Fate::Done);
        let from = done.unwrap_or(0);
        let mut may_be: Vec<_> = all[from..]
            .iter()
            .filter(|(_, (.., fate))| *fate != Fate::Refused)
            .map(|(number, (_, to, _))| (Some(*number), *to))
            .collect();
        if done.is_none() || may_be_gone {
            may_be.insert(0, (None, None));
        }
        // The first that explains it: a later one may still be on its way.
        let told = may_be.iter().find(|(_, to)| *to == there);
        let Some((number, _)) = told else {
            panic!("{there:?} is told of partition {partition}, after {all:?}");
        };
        // What was told is durable: it does not go back.
        if let Some(number) = *number {
            self.changes[number].2 = Fate::Done;
        }
    }
}
