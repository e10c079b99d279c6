//! Who may commit when, and how long offsets are kept.

use super::{GROUP, Log, Scene, commit, consumer, id};
use crate::config::GroupConfig;
use crate::group::{CommitAsk, FetchAsk, GroupAnswer, GroupAsk, JoinAsk, Stability, StateName};
use crate::types::{ErrorCode, Timestamp};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

const HOUR: u64 = 3_600_000;

fn short_lived() -> GroupConfig {
    GroupConfig {
        offsets_retention_ms: 10 * HOUR,
        offsets_retention_check_interval_ms: HOUR,
        ..GroupConfig::default()
    }
}

#[test]
fn members_commit_while_they_may_hold_partitions() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    let member = members[1].member.to_string();
    for (who, generation, expected) in [
        (&*member, 1, ErrorCode::None),
        (&*member, 0, ErrorCode::IllegalGeneration),
        (&*member, 2, ErrorCode::IllegalGeneration),
        ("stranger", 1, ErrorCode::UnknownMemberId),
        ("", -1, ErrorCode::UnknownMemberId),
        (&*member, -1, ErrorCode::IllegalGeneration),
    ] {
        let part = scene.commit(who, generation, 5);
        assert_eq!(scene.committed(part), expected, "{who} {generation}");
    }
    let leader = scene.join(consumer(&members[0].member, &["range"]));
    let revoked = scene.commit(&member, 1, 6);
    assert_eq!(
        scene.committed(revoked),
        ErrorCode::None,
        "a commit on revoke, as the group prepares"
    );
    let follower = scene.join(consumer(&member, &["range"]));
    assert_eq!(scene.joined(leader).generation, 2);
    assert_eq!(scene.joined(follower).generation, 2);
    let early = scene.commit(&member, 2, 7);
    assert_eq!(scene.committed(early), ErrorCode::RebalanceInProgress);
    assert_eq!(scene.offset(GROUP, 0), Some(6));
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut scene = Scene::new();
    let members = scene.stable(1);
    for offset in 0..10 {
        scene.pass(9999);
        let part = scene.commit(&members[0].member, 1, offset);
        assert_eq!(scene.committed(part), ErrorCode::None);
    }
}

#[test]
fn others_commit_while_there_are_no_members() {
    let mut scene = Scene::new();
    let part = scene.commit("", -1, 3);
    assert_eq!(scene.committed(part), ErrorCode::None);
    assert_eq!((scene.offset(GROUP, 0), scene.offset(GROUP, 1)), (Some(3), None));
    assert_eq!(scene.state(), Ok(StateName::Empty));
    let late = scene.commit_of("unknown", commit("m", 4, 0, 1));
    assert_eq!(scene.committed(late), ErrorCode::GroupIdNotFound);
    assert_eq!(scene.listed().len(), 1);
}

#[test]
fn what_is_no_partition_or_too_long_is_refused_for_itself() {
    let mut scene = Scene::new();
    let mut ask = commit("", -1, 0, 1);
    let good = ask.offsets[0].clone();
    let far = crate::group::CommitOffset {
        partition: 4,
        ..good.clone()
    };
    let long = crate::group::CommitOffset {
        metadata: Arc::from("x".repeat(4097)),
        partition: 1,
        ..good.clone()
    };
    let most = crate::group::CommitOffset {
        metadata: Arc::from("ü".repeat(4096)),
        partition: 2,
        ..good
    };
    ask.offsets.extend([far, long, most]);
    let part = scene.commit_of(GROUP, ask);
    let codes = [
        ErrorCode::None,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::OffsetMetadataTooLarge,
        ErrorCode::None,
    ];
    assert_eq!(scene.answer(part), GroupAnswer::Committed(codes.into()));
    assert_eq!([0, 1, 2].map(|it| scene.offset(GROUP, it)), [Some(1), None, Some(1)]);
}

#[test]
fn nobody_sees_an_offset_before_it_is_durable() {
    let mut scene = Scene::new();
    scene.log = Log::Held;
    let first = scene.commit("", -1, 1);
    let second = scene.commit("", -1, 2);
    assert!(scene.waits(first) && scene.waits(second));
    assert_eq!(scene.offset(GROUP, 0), None);
    assert!(scene.listed().is_empty());
    let stable = scene.ask(GroupAsk::Fetch(FetchAsk {
        wanted: None,
        stability: Stability::Required,
    }));
    scene.let_through();
    assert_eq!(scene.committed(first), ErrorCode::None);
    assert!(scene.waits(second) && scene.waits(stable), "they share the next batch");
    assert_eq!(scene.offset(GROUP, 0), Some(1));
    scene.let_through();
    assert_eq!(scene.committed(second), ErrorCode::None);
    match scene.answer(stable) {
        GroupAnswer::Offsets(Ok(offsets)) => assert_eq!(offsets[0].2.offset.0, 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_write_that_failed_only_what_is_durable_is_there() {
    let mut scene = Scene::new();
    let members = scene.stable(1);
    let good = scene.commit(&members[0].member, 1, 1);
    assert_eq!(scene.committed(good), ErrorCode::None);
    scene.log = Log::Full;
    let lost = scene.commit(&members[0].member, 1, 2);
    assert_eq!(scene.committed(lost), ErrorCode::NotCoordinator);
    assert_eq!(scene.offset(GROUP, 0), Some(1));
    assert_eq!(
        scene.heartbeat(&members[0].member, 1),
        ErrorCode::None,
        "and its members are"
    );
    assert_eq!(scene.reports.len(), 1);
}

#[test]
fn a_deleted_topic_takes_its_offsets_along_and_one_of_the_same_name_has_none() {
    let mut scene = Scene::new();
    let part = scene.commit("", -1, 9);
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.log = Log::Held;
    scene.delete_topic(1);
    assert_eq!(scene.offset(GROUP, 0), None, "before the log says so");
    scene.create_topic("orders", 2);
    assert_eq!(scene.offset(GROUP, 0), None);
    scene.restart();
    assert_eq!(
        scene.offset(GROUP, 0),
        None,
        "the tombstone was lost, and is written now"
    );
    let part = scene.commit("", -1, 9);
    assert_eq!(
        scene.committed(part),
        ErrorCode::UnknownTopicOrPartition,
        "of the old topic"
    );
}

#[test]
fn a_commit_that_lands_after_its_topic_was_deleted_is_seen_by_nobody() {
    let mut scene = Scene::new();
    scene.log = Log::Held;
    let part = scene.commit("", -1, 9);
    scene.delete_topic(1);
    scene.create_topic("orders", 2);
    scene.let_through();
    assert_eq!(scene.committed(part), ErrorCode::None);
    assert_eq!(scene.offset(GROUP, 0), None);
    scene.restart();
    assert_eq!(scene.offset(GROUP, 0), None);
}

#[test]
fn offsets_outlive_their_group_for_their_retention_and_then_both_go() {
    let mut scene = Scene::with(short_lived());
    let members = scene.stable(1);
    let part = scene.commit(&members[0].member, 1, 5);
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.pass_alive(&members, 20 * HOUR);
    assert_eq!(
        scene.offset(GROUP, 0),
        Some(5),
        "its members are subscribed to the topic"
    );
    let leave = scene.leave(&[&members[0].member]);
    assert_eq!(scene.left(leave), [ErrorCode::None]);
    scene.pass(9 * HOUR);
    assert_eq!(
        scene.offset(GROUP, 0),
        Some(5),
        "it counts from when the last member left"
    );
    scene.pass(3 * HOUR);
    assert_eq!(scene.offset(GROUP, 0), None);
    assert_eq!(scene.state(), Err(ErrorCode::GroupIdNotFound));
    scene.restart();
    assert!(scene.listed().is_empty());
}

#[test]
fn a_step_of_the_wall_clock_expires_nothing_while_the_broker_runs() {
    let mut scene = Scene::with(short_lived());
    let part = scene.commit("", -1, 5);
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.now.wall = Timestamp(scene.now.wall.0 + 100 * HOUR as i64);
    scene.pass(9 * HOUR);
    assert_eq!(scene.offset(GROUP, 0), Some(5));
    scene.now.wall = Timestamp(1000);
    scene.pass(3 * HOUR);
    assert_eq!(scene.offset(GROUP, 0), None, "its time has passed");
}

#[test]
fn nor_does_one_before_the_groups_are_read_anew() {
    let mut scene = Scene::with(short_lived());
    let part = scene.commit("", -1, 5);
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.now.wall = Timestamp(scene.now.wall.0 + 100 * HOUR as i64);
    scene.log = Log::Full;
    let part = scene.commit("", -1, 6);
    assert_eq!(scene.committed(part), ErrorCode::NotCoordinator, "the write failed");
    scene.pass(9 * HOUR);
    assert_eq!(scene.offset(GROUP, 0), Some(5));
    scene.restart();
    scene.pass(3 * HOUR);
    assert_eq!(scene.offset(GROUP, 0), None, "a start believes the clock");
}

#[test]
fn offsets_age_across_restarts() {
    let mut scene = Scene::with(short_lived());
    let part = scene.commit("", -1, 5);
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.pass(6 * HOUR);
    scene.restart();
    scene.pass(6 * HOUR);
    assert_eq!(scene.offset(GROUP, 0), None);
}

#[test]
fn an_offset_with_a_retention_of_its_own_goes_by_that() {
    let mut scene = Scene::with(short_lived());
    let ask = CommitAsk {
        retention_ms: Some(HOUR as i64),
        ..commit("", -1, 0, 5)
    };
    let part = scene.commit_of(GROUP, ask);
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.restart();
    assert_eq!(scene.offset(GROUP, 0), Some(5));
    scene.pass(3 * HOUR);
    assert_eq!(scene.offset(GROUP, 0), None);
}

#[test]
fn a_stable_group_of_consumers_loses_offsets_of_topics_it_left_and_others_keep_all() {
    let mut scene = Scene::with(short_lived());
    let part = scene.commit("", -1, 5);
    assert_eq!(scene.committed(part), ErrorCode::None);
    let mut ask = consumer("", &["range"]);
    ask.protocols[0].metadata = super::subscription(&["other"]);
    let member = scene.join(ask);
    scene.pass(3000);
    let member = scene.joined(member);
    scene.sync(&member, &[]);
    scene.answers.clear();
    scene.pass_alive(&[member], 12 * HOUR);
    assert_eq!(scene.offset(GROUP, 0), None);
    assert_eq!(scene.state(), Ok(StateName::Stable));
    let part = scene.commit_of("connect", commit("", -1, 0, 5));
    assert_eq!(scene.committed(part), ErrorCode::None);
    let ask = JoinAsk {
        protocol_type: id("connect"),
        ..consumer("", &["range"])
    };
    scene.ask_of("connect", GroupAsk::Join(ask));
    scene.pass(1000);
    assert_eq!(scene.offset("connect", 0), Some(5));
}

#[test]
fn a_group_without_members_is_deleted_with_all_that_was_being_committed() {
    let mut scene = Scene::new();
    let members = scene.stable(1);
    let delete = scene.ask(GroupAsk::Delete);
    assert_eq!(scene.answer(delete), GroupAnswer::Deleted(ErrorCode::NonEmptyGroup));
    let leave = scene.leave(&[&members[0].member]);
    assert_eq!(scene.left(leave), [ErrorCode::None]);
    scene.log = Log::Held;
    let commit = scene.commit("", -1, 5);
    let delete = scene.ask(GroupAsk::Delete);
    let join = scene.join(consumer("", &["range"]));
    scene.let_through();
    assert_eq!(scene.committed(commit), ErrorCode::None);
    assert!(scene.waits(delete));
    scene.log = Log::Prompt;
    scene.let_through();
    assert_eq!(scene.answer(delete), GroupAnswer::Deleted(ErrorCode::None));
    assert_eq!(scene.offset(GROUP, 0), None);
    scene.pass(3000);
    assert_eq!(scene.joined(join).generation, 1, "it begins a new group");
    scene.restart();
    assert_eq!(scene.offset(GROUP, 0), None);
}

#[test]
fn offsets_that_nobody_uses_are_deleted_and_others_are_not() {
    let mut scene = Scene::new();
    let members = scene.stable(1);
    let part = scene.commit(&members[0].member, 1, 5);
    assert_eq!(scene.committed(part), ErrorCode::None);
    let delete = |scene: &mut Scene| {
        let part = scene.ask(GroupAsk::DeleteOffsets(Vec::from([
            (id("orders"), 0),
            (id("other"), 0),
        ])));
        scene.answer(part)
    };
    let codes = Vec::from([ErrorCode::GroupSubscribedToTopic, ErrorCode::None]);
    assert_eq!(delete(&mut scene), GroupAnswer::OffsetsDeleted(Ok(codes)));
    assert_eq!(scene.offset(GROUP, 0), Some(5));
    let leave = scene.leave(&[&members[0].member]);
    assert_eq!(scene.left(leave), [ErrorCode::None]);
    let codes = Vec::from([ErrorCode::None, ErrorCode::None]);
    assert_eq!(delete(&mut scene), GroupAnswer::OffsetsDeleted(Ok(codes)));
    assert_eq!(scene.offset(GROUP, 0), None);
    assert_eq!(scene.state(), Ok(StateName::Empty));
    assert_eq!(scene.listed(), [(GROUP.to_string(), StateName::Empty)]);
}

#[test]
fn an_offset_is_gone_once_its_deletion_is_answered_even_one_that_was_on_its_way() {
    let mut scene = Scene::new();
    scene.log = Log::Held;
    let committing = scene.commit("", -1, 7);
    let deleting = scene.ask(GroupAsk::DeleteOffsets(Vec::from([(id("orders"), 0)])));
    let behind = scene.commit_of(GROUP, commit("", -1, 1, 8));
    assert!([committing, deleting, behind].iter().all(|&it| scene.waits(it)));
    scene.log = Log::Prompt;
    scene.let_through();
    assert_eq!(scene.committed(committing), ErrorCode::None);
    assert_eq!(
        scene.answer(deleting),
        GroupAnswer::OffsetsDeleted(Ok(Vec::from([ErrorCode::None])))
    );
    assert_eq!(scene.committed(behind), ErrorCode::None);
    assert_eq!((scene.offset(GROUP, 0), scene.offset(GROUP, 1)), (None, Some(8)));
    scene.restart();
    assert_eq!((scene.offset(GROUP, 0), scene.offset(GROUP, 1)), (None, Some(8)));
}
