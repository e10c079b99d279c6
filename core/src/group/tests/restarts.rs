//! What members see of a restart, or a crash at the worst moment.

use super::{GROUP, Log, Scene, consumer, id};
use crate::group::{GroupAnswer, GroupAsk, HeartbeatAsk, JoinAsk, Protocol, StateName};
use crate::types::{ErrorCode, Fault};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

#[test]
fn a_stable_member_hears_nothing_of_a_restart() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    let part = scene.commit(&members[1].member, 1, 7);
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.pass(9000);
    scene.restart();
    scene.pass(9000);
    for it in &members {
        assert_eq!(
            scene.heartbeat(&it.member, 1),
            ErrorCode::None,
            "its session begins anew"
        );
    }
    let part = scene.commit(&members[1].member, 1, 8);
    assert_eq!(scene.committed(part), ErrorCode::None);
    assert_eq!(scene.offset(GROUP, 0), Some(8));
    let sync = scene.sync(&members[1], &[]);
    assert_eq!(scene.synced(sync), Ok("1".into()));
    scene.pass(10_000);
    assert_eq!(
        scene.heartbeat(&members[0].member, 1),
        ErrorCode::UnknownMemberId,
        "it fell silent"
    );
}

#[test]
fn nobody_hears_of_a_generation_before_it_is_durable() {
    let mut scene = Scene::new();
    scene.log = Log::Held;
    let first = scene.join(consumer("", &["range"]));
    scene.pass(3000);
    assert!(scene.waits(first) && scene.is_appending());
    assert_eq!(scene.listed(), [(GROUP.to_string(), StateName::PreparingRebalance)]);
    scene.let_through();
    assert_eq!(scene.joined(first).generation, 1);
}

#[test]
fn a_generation_is_never_issued_twice_wherever_it_crashes() {
    let mut scene = Scene::new();
    let members = scene.gather(2);
    // Its members were told of generation 1, and it has no parts yet.
    scene.restart();
    assert_eq!(scene.state(), Ok(StateName::CompletingRebalance));
    for it in &members {
        assert_eq!(scene.heartbeat(&it.member, 1), ErrorCode::None);
    }
    let early = scene.commit(&members[0].member, 1, 1);
    assert_eq!(scene.committed(early), ErrorCode::RebalanceInProgress);
    let follower = scene.sync(&members[1], &[]);
    let (leader, other) = (members[0].member.to_string(), members[1].member.to_string());
    scene.log = Log::Held;
    let leading = scene.sync(&members[0], &[(&leader, "a"), (&other, "b")]);
    assert!(scene.waits(leading) && scene.waits(follower));
    // Its parts are durable, and nobody was told.
    scene.crash_after_write();
    let follower = scene.sync(&members[1], &[]);
    assert_eq!(scene.synced(follower), Ok("b".into()));
    // Generation 2 is durable, and nobody was told.
    scene.log = Log::Held;
    for it in &members {
        scene.join(consumer(&it.member, &["range", "more"]));
    }
    assert!(scene.is_appending());
    scene.crash_after_write();
    assert_eq!(scene.heartbeat(&leader, 1), ErrorCode::IllegalGeneration);
    let again: Vec<_> = members
        .iter()
        .map(|it| scene.join(consumer(&it.member, &["range", "more"])))
        .collect();
    let joined: Vec<_> = again.into_iter().map(|it| scene.joined(it).generation).collect();
    assert_eq!(
        joined,
        [3, 3],
        "they know more protocols than the record did, so they join the next"
    );
}

#[test]
fn a_generation_that_was_not_durable_was_told_to_nobody() {
    let mut scene = Scene::new();
    scene.log = Log::Held;
    let first = scene.join(consumer("", &["range"]));
    scene.pass(3000);
    assert!(scene.waits(first));
    scene.restart();
    assert_eq!(scene.state(), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(scene.stable(1)[0].generation, 1);
}

#[test]
fn members_that_are_gone_for_good_after_a_restart_leave_an_empty_group_of_a_later_generation() {
    let mut scene = Scene::new();
    scene.gather(2);
    scene.restart();
    scene.pass(60_000);
    assert_eq!(scene.state(), Ok(StateName::Empty));
    assert_eq!(scene.stable(1)[0].generation, 3);
}

#[test]
fn parts_that_could_not_be_written_are_told_to_nobody_and_the_leader_tries_again() {
    let mut scene = Scene::new();
    let members = scene.gather(2);
    let follower = scene.sync(&members[1], &[]);
    scene.log = Log::Full;
    let leading = scene.sync(&members[0], &[]);
    assert_eq!(scene.synced(leading), Err(ErrorCode::NotCoordinator));
    assert_eq!(scene.synced(follower), Err(ErrorCode::NotCoordinator));
    let leader = members[0].member.to_string();
    let leading = scene.sync(&members[0], &[(&leader, "all")]);
    assert_eq!(scene.synced(leading), Ok("all".into()));
}

#[test]
fn members_too_many_for_one_record_join_but_get_no_parts() {
    let mut scene = Scene::new();
    let large = || JoinAsk {
        protocols: Vec::from([Protocol {
            name: id("range"),
            metadata: Bytes::from(alloc::vec![7; 600_000]),
        }]),
        ..consumer("", &[])
    };
    let asks = [0, 1].map(|_| scene.join(large()));
    scene.pass(6000);
    let joined: Vec<_> = asks.into_iter().map(|it| scene.joined(it)).collect();
    let leader = joined.iter().find(|it| !it.members.is_empty()).unwrap();
    let sync = scene.sync(leader, &[]);
    assert_eq!(scene.synced(sync), Err(ErrorCode::UnknownServerError));
    assert_eq!(scene.heartbeat(&leader.member, 1), ErrorCode::RebalanceInProgress);
    assert!(scene.reports[0].contains("do not fit"), "{:?}", scene.reports);
    scene.restart();
    assert_eq!(scene.heartbeat(&leader.member, 1), ErrorCode::UnknownMemberId);
    assert_eq!(scene.stable(1)[0].generation, 2, "its generation is not issued again");
}

#[test]
fn while_the_groups_are_read_members_are_told_to_wait() {
    let mut scene = Scene::new();
    scene.stable(1);
    scene.coordinator = super::Coordinator::new(
        &alloc::sync::Arc::new(scene.config.clone()),
        1 << 20,
        &scene.budgets,
        crate::types::Seed::new(9),
        &mut super::Outcome::default(),
    );
    assert_eq!(scene.heartbeat("m", 1), ErrorCode::None, "no member is to give up");
    let join = scene.join(consumer("", &["range"]));
    assert_eq!(scene.refused_join(join).0, ErrorCode::CoordinatorLoadInProgress);
    assert_eq!(scene.coordinator.list(), Err(ErrorCode::CoordinatorLoadInProgress));
    scene.read(Err(Fault::NoSpace));
    assert_eq!(scene.heartbeat("m", 1), ErrorCode::NotCoordinator);
    scene.pass(1000);
    assert_eq!(scene.state(), Ok(StateName::Stable), "it was tried again");
}

#[test]
fn a_batch_of_another_form_is_not_taken_for_ours() {
    let mut scene = Scene::new();
    scene.stable(1);
    let mut damaged = scene.batches[0].to_vec();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let mut job = super::ReadRecords::new(Vec::from([crate::types::Part::Inline(Bytes::from(damaged))]));
    let read = crate::storage::Job::resume(&mut job, Ok(crate::storage::IoValue::Done));
    assert!(matches!(read, crate::storage::Next::Done(Err(Fault::Corruption(_)))));
}

#[test]
fn what_is_asked_while_a_record_decides_waits_for_it_and_is_answered_in_order() {
    let mut scene = Scene::new();
    let members = scene.gather(2);
    scene.log = Log::Held;
    let leading = scene.sync(&members[0], &[]);
    let follower = scene.sync(&members[1], &[]);
    let beat = scene.ask(GroupAsk::Heartbeat(HeartbeatAsk {
        member: members[1].member.clone(),
        instance: None,
        generation: 1,
    }));
    let commit = scene.commit(&members[1].member, 1, 1);
    let join = scene.join(consumer("", &["range"]));
    assert!(
        [leading, follower, beat, commit, join]
            .iter()
            .all(|&it| scene.waits(it))
    );
    scene.log = Log::Prompt;
    scene.let_through();
    assert_eq!(scene.answer(beat), GroupAnswer::Alive(ErrorCode::None));
    assert_eq!(scene.committed(commit), ErrorCode::None);
    assert_eq!(scene.synced(follower), Ok(String::new()));
    assert_eq!(scene.synced(leading), Ok(String::new()));
    assert!(scene.waits(join));
    assert_eq!(scene.state(), Ok(StateName::PreparingRebalance));
}
