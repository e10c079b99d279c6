//! What the topic's `max.message.bytes` refuses, and what it does not.

use super::{GROUP, Log, Scene, commit, consumer, id, leave_ask};
use crate::config::GroupConfig;
use crate::group::{GroupAnswer, GroupAsk, JoinAsk, StateName, budget};
use crate::types::ErrorCode;
use alloc::string::String;

#[test]
fn a_generation_is_issued_and_a_group_deleted_whatever_the_topic_allows() {
    let mut scene = Scene::new();
    scene.limit(100);
    let name: String = ["long"; 50].concat();
    let join = scene.ask_of(&name, GroupAsk::Join(consumer("", &["range"])));
    scene.pass(6000);
    let joined = scene.joined(join);
    assert_eq!(joined.generation, 1);
    let sync = scene.ask_of(&name, GroupAsk::Sync(super::sync_ask(&joined, &[])));
    assert_eq!(scene.synced(sync), Err(ErrorCode::UnknownServerError));
    assert!(scene.reports[0].contains("do not fit"), "{:?}", scene.reports);
    let leave = scene.ask_of(&name, super::leave_ask(&[&joined.member]));
    assert_eq!(scene.left(leave), [ErrorCode::None]);
    scene.restart();
    let again = scene.ask_of(&name, GroupAsk::Join(consumer("", &["range"])));
    scene.pass(6000);
    let again = scene.joined(again);
    assert_eq!(again.generation, 3, "no generation is issued again");
    let leave = scene.ask_of(&name, super::leave_ask(&[&again.member]));
    assert_eq!(scene.left(leave), [ErrorCode::None]);
    let delete = scene.ask_of(&name, GroupAsk::Delete);
    assert_eq!(scene.answer(delete), GroupAnswer::Deleted(ErrorCode::None));
    scene.restart();
    assert_eq!(scene.listed(), []);
}

#[test]
fn a_limit_that_was_lowered_keeps_no_group_from_being_emptied_or_deleted() {
    let mut scene = Scene::new();
    let members = scene.stable(1);
    let part = scene.commit(&members[0].member, 1, 7);
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.limit(70);
    scene.restart();
    let leave = scene.leave(&[&members[0].member]);
    assert_eq!(scene.left(leave), [ErrorCode::None]);
    let delete = scene.ask(GroupAsk::Delete);
    assert_eq!(scene.answer(delete), GroupAnswer::Deleted(ErrorCode::None));
    scene.restart();
    assert_eq!(scene.listed(), []);
    assert_eq!(scene.offset(GROUP, 0), None);
}

#[test]
fn offsets_expire_whatever_the_topic_allows() {
    let mut scene = Scene::with(GroupConfig {
        offsets_retention_ms: 1000,
        ..GroupConfig::default()
    });
    for partition in 0..3 {
        let part = scene.commit_of(GROUP, commit("", -1, partition, 5));
        assert_eq!(scene.committed(part), ErrorCode::None);
    }
    scene.limit(1);
    scene.pass(1_300_000);
    scene.restart();
    assert_eq!(scene.listed(), []);
    assert_eq!([0, 1, 2].map(|partition| scene.offset(GROUP, partition)), [None; 3]);
}

#[test]
fn a_changed_limit_counts_from_the_next_record_on_and_refuses_nothing_else() {
    let mut scene = Scene::new();
    let waiting = scene.ask_of("other", GroupAsk::Join(consumer("", &["range"])));
    scene.log = Log::Held;
    let taken = scene.commit_of(GROUP, commit("", -1, 0, 1));
    let behind = scene.commit_of(GROUP, commit("", -1, 1, 2));
    scene.limit(70);
    let refused = scene.commit_of(GROUP, commit("", -1, 2, 3));
    assert_eq!(scene.committed(refused), ErrorCode::UnknownServerError);
    scene.let_through();
    scene.log = Log::Prompt;
    scene.let_through();
    assert_eq!(scene.committed(taken), ErrorCode::None);
    assert_eq!(scene.committed(behind), ErrorCode::None, "it was taken before");
    assert!(scene.waits(waiting), "another group hears nothing of it");
    scene.limit(1 << 20);
    let part = scene.commit_of(GROUP, commit("", -1, 2, 3));
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.pass(6000);
    assert_eq!(scene.joined(waiting).generation, 1);
}

#[test]
fn a_member_is_too_large_where_the_topic_says_so() {
    let mut scene = Scene::new();
    let large = || JoinAsk {
        instance: None,
        ..super::with_metadata(&consumer("", &[]), 3 << 20)
    };
    let join = scene.join(large());
    assert_eq!(scene.refused_join(join).0, ErrorCode::InvalidRequest);
    assert_eq!(scene.listed(), [], "nothing is left of it");
    scene.limit(4 << 20);
    let join = scene.join(large());
    scene.pass(6000);
    let joined = scene.joined(join);
    let sync = scene.sync(&joined, &[]);
    assert_eq!(scene.synced(sync), Ok(String::new()));
    assert_eq!(scene.state(), Ok(StateName::Stable));
    assert_eq!(joined.member, id(&joined.leader));
}

#[test]
fn members_that_hold_all_there_is_keep_others_out_and_nobody_who_is_there() {
    let mut scene = Scene::with(GroupConfig {
        members_max_bytes: 106_000,
        ..GroupConfig::default()
    });
    let members = scene.stable(1);
    let bogus = super::with_metadata(&consumer("", &[]), 20_000);
    let mut refused = 0;
    for number in 0..10 {
        let group = alloc::format!("bogus{number}");
        let join = scene.ask_of(&group, GroupAsk::Join(bogus.clone()));
        refused += usize::from(!scene.waits(join));
    }
    assert_eq!(refused, 6);
    assert!(scene.budget.held() <= 106_000);
    assert_eq!(scene.reports.len(), 1, "it is said once: {:?}", scene.reports);
    let kept_out = scene.ask_of("honest", GroupAsk::Join(bogus));
    assert_eq!(scene.refused_join(kept_out).0, ErrorCode::CoordinatorNotAvailable);
    let member = &members[0].member;
    let again = scene.join(consumer(member, &["range"]));
    let again = scene.joined(again);
    let part = scene.sync(&again, &[(member, "all")]);
    assert_eq!(scene.synced(part), Ok("all".into()));
    let part = scene.commit(member, again.generation, 7);
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.pass(1_000_000);
    assert_eq!(
        scene.budget.held(),
        budget::GROUP + GROUP.len(),
        "only the group is left, for its offset"
    );
    let honest = scene.join(consumer("", &["range"]));
    assert!(scene.waits(honest));
}

#[test]
fn groups_that_everybody_left_count_until_they_expire() {
    const ALLOWED: u64 = 30_000;
    let mut scene = Scene::with(GroupConfig {
        members_max_bytes: ALLOWED,
        ..GroupConfig::default()
    });
    let mut left = 0;
    loop {
        let group = alloc::format!("left{left}");
        let join = scene.ask_of(&group, GroupAsk::Join(consumer("", &["range"])));
        if !scene.waits(join) {
            assert_eq!(scene.refused_join(join).0, ErrorCode::CoordinatorNotAvailable);
            break;
        }
        scene.pass(6000);
        let member = scene.joined(join).member;
        let leave = scene.ask_of(&group, leave_ask(&[&member]));
        assert_eq!(scene.left(leave), [ErrorCode::None]);
        left += 1;
        assert!(left < 100, "nothing counts them");
    }
    assert_eq!(scene.listed().len(), left);
    scene.restart();
    assert_eq!(scene.listed().len(), left);
    scene.pass(700_000_000);
    assert_eq!((scene.listed().len(), scene.budget.held()), (0, 0));
    let honest = scene.join(consumer("", &["range"]));
    assert!(scene.waits(honest));
}
