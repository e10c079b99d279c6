//! Each rule about groups is shown to fail here, with a near miss beside it.

use super::{Checker, Owned, lasts};
use crate::frame::{CommitPart, GroupRequest, GroupResponse, Joined, Request, Response, Speaker, ToldOffset, TopicRef};
use crate::oracle::{Oracle, Retention};
use crate::stage::MILLIS;
use bytes::Bytes;
use klamm_core::config::{FlushMode, TimestampType};

const LASTS_MS: i32 = 100;

fn oracle() -> Oracle {
    Oracle::new(FlushMode::Fsync, TimestampType::CreateTime, Retention::default())
}

fn speaker(member: &str, generation: i32) -> Speaker {
    Speaker {
        group: "group".to_owned(),
        member: member.to_owned(),
        instance: None,
        generation,
    }
}

/// A run of groups, told by the millisecond.
struct Told(Oracle);

impl Told {
    fn at(&mut self, millis: u64) -> &mut Oracle {
        self.0.set_now(millis * MILLIS);
        &mut self.0
    }

    /// A member hears at `millis`, at once, of a generation that `leader` leads.
    fn joins(&mut self, millis: u64, member: &str, generation: i32, leader: &str, members: &[&str]) {
        let joined = Joined {
            error: 0,
            generation,
            protocol: "range".to_owned(),
            leader: leader.to_owned(),
            member: member.to_owned(),
            skip_assignment: false,
            members: members.iter().map(|&member| member.to_owned()).collect(),
        };
        let begin = millis * MILLIS;
        self.at(millis).member_joined(&speaker(member, -1), begin, &joined);
    }

    fn syncs(&mut self, millis: u64, client: usize, (member, generation): (&str, i32), partitions: &[i32]) {
        let part: Owned = partitions.iter().map(|&index| ("topic".to_owned(), index)).collect();
        let bytes = Bytes::from(format!("{partitions:?}"));
        let since = (millis * MILLIS, 1, lasts(LASTS_MS, 5000));
        self.at(millis)
            .member_synced(client, &speaker(member, generation), since, (&bytes, &part));
    }

    fn lives(&mut self, millis: u64, client: usize, (member, generation): (&str, i32), incarnation: u32) {
        let begin = millis * MILLIS;
        self.at(millis)
            .member_lives(client, &speaker(member, generation), begin, incarnation);
    }

    fn found(&self) -> Option<Checker> {
        self.0.violation().map(|violation| violation.checker)
    }
}

/// Member `a`, client 0, owns partition 0 in generation 1 from millisecond 10 on.
fn owned() -> Told {
    let mut told = Told(oracle());
    told.joins(1, "a", 1, "a", &["a"]);
    told.syncs(5, 0, ("a", 1), &[0]);
    told.lives(10, 0, ("a", 1), 1);
    told
}

#[test]
fn a_partition_is_not_given_away_before_its_owner_let_go() {
    for (millis, expected) in [(50, Some(Checker::OneOwner)), (111, None)] {
        let mut told = owned();
        told.joins(40, "b", 2, "b", &["b"]);
        told.syncs(millis, 1, ("b", 2), &[0]);
        assert_eq!(told.found(), expected, "at {millis}, the last sign of life was at 10");
    }
    let mut told = owned();
    told.at(30).member_asks(0, &speaker("a", 1), 1);
    told.joins(40, "b", 2, "b", &["b"]);
    told.syncs(50, 1, ("b", 2), &[0]);
    assert_eq!(told.found(), None, "whoever joins anew has let go");
    let mut told = owned();
    told.joins(40, "b", 2, "b", &["b"]);
    told.syncs(50, 1, ("b", 2), &[1]);
    assert_eq!(told.found(), None, "another partition");
}

#[test]
fn a_heartbeat_revives_nobody_and_one_of_a_coordinator_that_reads_confirms_nothing() {
    let mut told = owned();
    told.lives(150, 0, ("a", 1), 2);
    told.joins(160, "b", 2, "b", &["b"]);
    told.syncs(165, 1, ("b", 2), &[0]);
    assert_eq!(told.found(), None, "it had not been heard of for too long");
    let mut told = owned();
    told.lives(90, 0, ("a", 1), 2);
    told.joins(160, "b", 2, "b", &["b"]);
    told.syncs(165, 1, ("b", 2), &[0]);
    assert_eq!(told.found(), Some(Checker::OneOwner), "it had, across the start");
}

#[test]
fn two_members_of_a_generation_share_nothing_and_a_part_is_one() {
    let generation = |parts: [(&str, &[i32]); 2]| {
        let mut told = Told(oracle());
        told.joins(1, "a", 1, "a", &["a", "b"]);
        for (client, (member, part)) in parts.into_iter().enumerate() {
            told.syncs(5, client, (member, 1), part);
        }
        told.found()
    };
    assert_eq!(generation([("a", &[0]), ("b", &[0, 1])]), Some(Checker::OneOwner));
    assert_eq!(generation([("a", &[0]), ("a", &[1])]), Some(Checker::Generations));
    assert_eq!(generation([("a", &[0]), ("b", &[1])]), None);
    assert_eq!(generation([("a", &[0]), ("a", &[0])]), None);
}

#[test]
fn nobody_is_dropped_who_was_heard_of_in_time() {
    for (millis, incarnation, expected) in [
        (50, 1, Some(Checker::OneOwner)),
        (50, 2, Some(Checker::Generations)),
        (111, 1, None),
    ] {
        let mut told = owned();
        // UNKNOWN_MEMBER_ID
        told.at(millis).member_refused(0, &speaker("a", 1), 25, incarnation);
        assert_eq!(told.found(), expected, "at {millis} in {incarnation}");
    }
}

#[test]
fn a_start_is_no_reason_to_rebalance() {
    // REBALANCE_IN_PROGRESS
    let told_of_it = |asked_in: Option<u32>| {
        let mut told = owned();
        if let Some(incarnation) = asked_in {
            told.at(20).member_asks(1, &speaker("", -1), incarnation);
        }
        told.at(50).member_refused(0, &speaker("a", 1), 27, 2);
        told.found()
    };
    assert_eq!(told_of_it(None), Some(Checker::Generations));
    assert_eq!(told_of_it(Some(1)), Some(Checker::Generations), "of an earlier process");
    assert_eq!(told_of_it(Some(2)), None, "somebody wants to join");
}

#[test]
fn a_generation_has_one_leader_and_one_set_of_members_and_none_follows_a_later_one() {
    let second = |member: &str, generation, leader: &str, members: &[&str]| {
        let mut told = Told(oracle());
        told.joins(1, "a", 3, "a", &["a", "b"]);
        told.joins(5, member, generation, leader, members);
        told.found()
    };
    assert_eq!(second("b", 3, "b", &[]), Some(Checker::Generations), "two leaders");
    assert_eq!(
        second("a", 3, "a", &["a", "c"]),
        Some(Checker::Generations),
        "other members"
    );
    assert_eq!(second("b", 2, "a", &[]), Some(Checker::Generations), "back");
    assert_eq!(second("b", 3, "a", &[]), None);
    assert_eq!(second("b", 4, "b", &["b"]), None);
    let id = |last: char| format!("instance-0-{}", std::iter::repeat_n(last, 37).collect::<String>());
    let mut told = Told(oracle());
    told.joins(1, &id('x'), 3, &id('x'), &[&id('x')]);
    told.joins(5, &id('y'), 3, &id('y'), &[&id('y')]);
    assert_eq!(told.found(), None, "a static member came back under another id");
}

fn commit(generation: i32, offset: i64, token: i64) -> GroupRequest {
    let topic = TopicRef {
        name: "topic".to_owned(),
        id: [1; 16],
    };
    GroupRequest::Commit {
        speaker: speaker("a", generation),
        offsets: vec![CommitPart {
            topic,
            partition: 0,
            offset,
            token,
        }],
    }
}

impl Told {
    /// A commit that is sent and answered at once.
    fn commits(&mut self, millis: u64, request: &GroupRequest, error: i16) {
        let GroupRequest::Commit { offsets, .. } = request else {
            return;
        };
        let answers = offsets.iter().map(|part| crate::frame::Committed {
            topic: part.topic.clone(),
            partition: part.partition,
            error,
        });
        let answer = Response::Group(GroupResponse::Committed(answers.collect()));
        let begin = millis * MILLIS;
        self.at(millis).group_sending(request);
        self.at(millis).heard(&Request::Group(request.clone()), begin, &answer);
    }

    /// What was committed is looked up.
    fn is_told(&mut self, millis: u64, offset: i64, token: i64) {
        let topic = TopicRef {
            name: "topic".to_owned(),
            id: [1; 16],
        };
        let request = Request::Group(GroupRequest::Fetch {
            group: "group".to_owned(),
            parts: vec![(topic.clone(), 0)],
            stable: false,
        });
        let told = ToldOffset {
            topic,
            partition: 0,
            error: 0,
            offset,
            metadata: token.to_string(),
        };
        let answer = Response::Group(GroupResponse::Offsets {
            error: 0,
            parts: vec![told],
        });
        self.at(millis).heard(&request, millis * MILLIS, &answer);
    }

    fn judged(mut self) -> Option<Checker> {
        self.0.judge_registers();
        self.found()
    }
}

#[test]
fn a_commit_of_an_old_generation_has_no_effect() {
    let mut told = Told(oracle());
    told.joins(1, "a", 1, "a", &["a"]);
    told.joins(5, "a", 2, "a", &["a"]);
    told.commits(9, &commit(1, 7, 1), 0);
    assert_eq!(told.judged(), Some(Checker::Generations));
    let mut told = Told(oracle());
    told.joins(1, "a", 1, "a", &["a"]);
    told.commits(4, &commit(1, 7, 1), 0);
    told.joins(5, "a", 2, "a", &["a"]);
    told.commits(9, &commit(2, 8, 2), 0);
    // ILLEGAL_GENERATION
    told.commits(10, &commit(1, 9, 3), 22);
    told.is_told(12, 8, 2);
    assert_eq!(told.found(), None);
    told.is_told(13, 9, 3);
    assert_eq!(told.judged(), Some(Checker::GroupOffsets), "it was refused");
}

#[test]
fn a_committed_offset_is_told_and_nothing_else_is() {
    let after = |offset, token| {
        let mut told = Told(oracle());
        told.commits(1, &commit(1, 7, 1), 0);
        told.commits(3, &commit(1, 8, 2), 0);
        told.is_told(5, offset, token);
        told.judged()
    };
    assert_eq!(after(8, 2), None);
    assert_eq!(after(7, 1), Some(Checker::GroupOffsets), "an older one");
    assert_eq!(after(-1, 0), Some(Checker::GroupOffsets), "none at all");
    assert_eq!(after(9, 2), Some(Checker::GroupOffsets), "another than was committed");
    assert_eq!(after(8, 5), Some(Checker::GroupOffsets), "what nobody committed");
}

#[test]
fn a_commit_without_an_answer_may_take_effect_later() {
    let mut told = Told(oracle());
    told.commits(1, &commit(1, 7, 1), 0);
    let unknown = commit(1, 8, 2);
    told.at(2).group_sending(&unknown);
    told.at(3).unheard(&Request::Group(unknown), 2 * MILLIS);
    told.is_told(5, 7, 1);
    told.is_told(6, 8, 2);
    told.is_told(7, 8, 2);
    assert_eq!(told.found(), None);
    told.is_told(8, 7, 1);
    assert_eq!(told.judged(), Some(Checker::GroupOffsets), "and is not undone");
}

mod removal;
