//! Static members come back.

use super::{Scene, consumer, id};
use crate::group::{GroupAnswer, GroupAsk, HeartbeatAsk, JoinAsk, Joined, Leaver, ReplacedLeader, StateName};
use crate::types::ErrorCode;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

fn fixed(member: &str, instance: &str, protocols: &[&str]) -> JoinAsk {
    JoinAsk {
        instance: Some(id(instance)),
        ..consumer(member, protocols)
    }
}

/// Two static members, `one` and `two`, with their parts, the leader first.
fn stable(scene: &mut Scene) -> Vec<Joined> {
    let asks = ["one", "two"].map(|instance| scene.join(fixed("", instance, &["range"])));
    scene.pass(6000);
    let mut joined: Vec<_> = asks.into_iter().map(|it| scene.joined(it)).collect();
    joined.sort_by_key(|it| it.members.is_empty());
    let (first, second) = (joined[0].member.to_string(), joined[1].member.to_string());
    let follower = scene.sync(&joined[1], &[]);
    let leader = scene.sync(&joined[0], &[(&first, "a"), (&second, "b")]);
    assert_eq!(scene.synced(leader), Ok("a".into()));
    assert_eq!(scene.synced(follower), Ok("b".into()));
    joined
}

fn instance_of(joined: &Joined, of: &Joined) -> alloc::string::String {
    let it = joined.members.iter().find(|it| it.id == of.member).unwrap();
    it.instance.as_deref().unwrap().to_string()
}

#[test]
fn one_that_comes_back_takes_its_part_and_nobody_else_hears_of_it() {
    let mut scene = Scene::new();
    let members = stable(&mut scene);
    let instance = instance_of(&members[0], &members[1]);
    let back = scene.join(fixed("", &instance, &["range"]));
    let back = scene.joined(back);
    assert_eq!((back.generation, &back.leader), (1, &members[0].member));
    assert_ne!(back.member, members[1].member);
    assert_eq!(scene.state(), Ok(StateName::Stable));
    let sync = scene.sync(&back, &[]);
    assert_eq!(scene.synced(sync), Ok("b".into()));
    let fenced = scene.ask(GroupAsk::Heartbeat(HeartbeatAsk {
        member: members[1].member.clone(),
        instance: Some(id(&instance)),
        generation: 1,
    }));
    assert_eq!(scene.answer(fenced), GroupAnswer::Alive(ErrorCode::FencedInstanceId));
    assert_eq!(scene.heartbeat(&members[1].member, 1), ErrorCode::UnknownMemberId);
    scene.restart();
    assert_eq!(
        scene.heartbeat(&back.member, 1),
        ErrorCode::None,
        "its new id is durable"
    );
}

#[test]
fn a_leader_that_comes_back_need_not_assign_and_an_old_one_does_not_learn_that_it_leads() {
    let mut scene = Scene::new();
    let members = stable(&mut scene);
    let instance = instance_of(&members[0], &members[0]);
    let back = scene.join(fixed("", &instance, &["range"]));
    let back = scene.joined(back);
    assert!(back.skip_assignment && back.leader == back.member && back.members.len() == 2);
    let old = JoinAsk {
        replaced_leader: ReplacedLeader::MustNotKnow,
        ..fixed("", &instance, &["range"])
    };
    let again = scene.join(old);
    let again = scene.joined(again);
    assert!(!again.skip_assignment && again.members.is_empty());
    assert_eq!(again.leader, back.member, "the id it had before");
}

#[test]
fn one_that_comes_back_with_another_protocol_has_everybody_join_anew() {
    let mut scene = Scene::new();
    let asks = ["one", "two"].map(|instance| scene.join(fixed("", instance, &["a", "b"])));
    scene.pass(6000);
    let joined: Vec<_> = asks.into_iter().map(|it| scene.joined(it)).collect();
    let leader = joined.iter().find(|it| !it.members.is_empty()).unwrap().clone();
    let sync = scene.sync(&leader, &[]);
    assert_eq!(scene.synced(sync), Ok(String::new()));
    let back = scene.join(fixed("", "two", &["b"]));
    assert!(scene.waits(back));
    assert_eq!(scene.state(), Ok(StateName::PreparingRebalance));
}

#[test]
fn the_one_before_is_fenced_while_it_waits() {
    let mut scene = Scene::new();
    let first = scene.join(fixed("", "one", &["range"]));
    let second = scene.join(fixed("", "one", &["range"]));
    assert_eq!(scene.refused_join(first).0, ErrorCode::FencedInstanceId);
    scene.pass(6000);
    assert_eq!(scene.joined(second).members.len(), 1);
}

#[test]
fn one_that_does_not_join_in_time_stays_until_its_session_ends() {
    let mut scene = Scene::new();
    let asks = ["one", "two"].map(|instance| {
        let ask = JoinAsk {
            session_timeout_ms: 300_000,
            ..fixed("", instance, &["range"])
        };
        scene.join(ask)
    });
    scene.pass(6000);
    let joined: Vec<_> = asks.into_iter().map(|it| scene.joined(it)).collect();
    let leader = joined.iter().find(|it| !it.members.is_empty()).unwrap().clone();
    let instance = instance_of(&leader, &leader);
    let again = scene.join(JoinAsk {
        session_timeout_ms: 300_000,
        ..fixed(&leader.member, &instance, &["range", "more"])
    });
    assert!(scene.waits(again), "a generation without parts yet, and other metadata");
    scene.pass(60_000);
    assert_eq!(
        scene.joined(again).members.len(),
        2,
        "the other is of the generation all the same"
    );
}

#[test]
fn a_tool_removes_one_by_its_instance_alone() {
    let mut scene = Scene::new();
    stable(&mut scene);
    let leaver = |instance: &str| Leaver {
        member: id(""),
        instance: Some(id(instance)),
    };
    let leave = scene.ask(GroupAsk::Leave(Vec::from([leaver("one"), leaver("three")])));
    assert_eq!(scene.left(leave), [ErrorCode::None, ErrorCode::UnknownMemberId]);
    assert_eq!(scene.state(), Ok(StateName::PreparingRebalance));
}

#[test]
fn static_members_that_nobody_need_wait_for_are_not_waited_for_again_and_again() {
    let mut scene = Scene::new();
    let hasty = |instance| JoinAsk {
        rebalance_timeout_ms: 0,
        session_timeout_ms: 1_800_000,
        ..fixed("", instance, &["range"])
    };
    stable(&mut scene);
    let [_, two] = ["one", "two"].map(|instance| {
        let back = scene.join(hasty(instance));
        scene.joined(back)
    });
    let leave = scene.ask(GroupAsk::Leave(Vec::from([Leaver {
        member: id(""),
        instance: Some(id("one")),
    }])));
    assert_eq!(scene.left(leave), [ErrorCode::None]);
    assert_eq!(scene.state(), Ok(StateName::PreparingRebalance));
    // What is due now is done in one go, and then nothing but checks and sessions.
    scene.fire();
    let next = scene.coordinator.next_deadline().unwrap();
    assert!(next > scene.now.monotonic.plus_millis(1000), "{next:?}");
    scene.pass(1_000_000);
    assert_eq!(scene.state(), Ok(StateName::PreparingRebalance));
    assert_eq!(scene.heartbeat(&two.member, 1), ErrorCode::RebalanceInProgress);
    // Whoever joins is waited for no longer than members let a rebalance wait.
    let other = scene.join(JoinAsk {
        rebalance_timeout_ms: 500,
        ..fixed("", "one", &["range"])
    });
    assert!(scene.waits(other));
    scene.pass(500);
    let joined = scene.joined(other);
    assert_eq!(
        (joined.generation, joined.members.len()),
        (2, 2),
        "the static one stays"
    );
}

#[test]
fn who_joins_after_others_did_not_is_answered_when_the_wait_that_runs_ends() {
    let mut scene = Scene::new();
    let instances = ["one", "two", "three"];
    let ask = |instance| JoinAsk {
        rebalance_timeout_ms: 6000,
        session_timeout_ms: 1_800_000,
        ..fixed("", instance, &["range"])
    };
    let asks = instances.map(|instance| scene.join(ask(instance)));
    scene.pass(6000);
    let [first, ..] = asks.map(|it| scene.joined(it));
    let leave = scene.ask(GroupAsk::Leave(Vec::from([Leaver {
        member: id(""),
        instance: Some(id("three")),
    }])));
    assert_eq!(scene.left(leave), [ErrorCode::None]);
    // Nobody joins until the wait has ended three times, and half of the fourth is over.
    scene.pass(21_000);
    assert_eq!(scene.state(), Ok(StateName::PreparingRebalance));
    let back = scene.join(ask("one"));
    scene.pass(2999);
    assert!(scene.waits(back));
    scene.pass(1);
    let back = scene.joined(back);
    assert_eq!((back.generation, back.members.len()), (first.generation + 1, 2));
}

#[test]
fn static_members_that_are_gone_leave_an_empty_group_once_their_sessions_end() {
    let mut scene = Scene::new();
    stable(&mut scene);
    let leave = scene.ask(GroupAsk::Leave(Vec::from([Leaver {
        member: id(""),
        instance: Some(id("one")),
    }])));
    assert_eq!(scene.left(leave), [ErrorCode::None]);
    scene.pass(120_000);
    assert_eq!(scene.state(), Ok(StateName::Empty));
    assert_eq!(scene.coordinator.deadlines(), 0);
}
