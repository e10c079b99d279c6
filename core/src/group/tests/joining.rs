//! Members join, are given their parts, fall silent and leave.

use super::{Log, Scene, consumer};
use crate::config::GroupConfig;
use crate::group::{FirstJoin, GroupAnswer, GroupAsk, JoinAsk, StateName};
use crate::types::ErrorCode;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

#[test]
fn the_first_member_waits_for_others_and_leads() {
    let mut scene = Scene::new();
    let first = scene.join(consumer("", &["range"]));
    assert_eq!(scene.state(), Ok(StateName::PreparingRebalance));
    scene.pass(2999);
    assert!(scene.waits(first));
    scene.pass(1);
    let first = scene.joined(first);
    assert_eq!((first.generation, first.protocol.as_deref()), (1, Some("range")));
    assert_eq!(first.leader, first.member);
    assert_eq!(first.members.len(), 1);
    assert!(first.member.starts_with("client-") && first.member.len() == "client-".len() + 36);
}

#[test]
fn each_new_member_restarts_the_initial_delay_up_to_the_rebalance_timeout() {
    let mut scene = Scene::new();
    let patient = || JoinAsk {
        rebalance_timeout_ms: 7000,
        ..consumer("", &["range"])
    };
    let first = scene.join(patient());
    scene.pass(2000);
    let second = scene.join(patient());
    scene.pass(3999);
    assert!(
        scene.waits(first) && scene.waits(second),
        "the delay began anew at 3000"
    );
    let third = scene.join(patient());
    scene.pass(1000);
    assert!(scene.waits(first), "and again at 6000, for what is left of the timeout");
    scene.pass(1);
    for it in [first, second, third] {
        assert_eq!(scene.joined(it).generation, 1);
    }
}

#[test]
fn parts_reach_every_member_and_one_without_a_part_gets_an_empty_one() {
    let mut scene = Scene::new();
    let members = scene.gather(3);
    let follower = scene.sync(&members[1], &[]);
    assert!(scene.waits(follower));
    assert_eq!(scene.state(), Ok(StateName::CompletingRebalance));
    let (leader, one) = (members[0].member.to_string(), members[1].member.to_string());
    let leading = scene.sync(&members[0], &[(&leader, "a"), (&one, "b"), ("nobody", "c")]);
    assert_eq!(scene.synced(leading), Ok("a".into()));
    assert_eq!(scene.synced(follower), Ok("b".into()));
    let late = scene.sync(&members[2], &[]);
    assert_eq!(scene.synced(late), Ok(String::new()));
    assert_eq!(scene.state(), Ok(StateName::Stable));
}

#[test]
fn a_new_member_has_everybody_join_anew_and_hearts_beat_meanwhile() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    let new = scene.join(consumer("", &["range"]));
    for it in &members {
        assert_eq!(scene.heartbeat(&it.member, 1), ErrorCode::RebalanceInProgress);
    }
    let sync = scene.sync(&members[1], &[]);
    assert_eq!(scene.synced(sync), Err(ErrorCode::RebalanceInProgress));
    let again: Vec<_> = members
        .iter()
        .map(|it| scene.join(consumer(&it.member, &["range"])))
        .collect();
    let new = scene.joined(new);
    assert_eq!((new.generation, new.members.len()), (2, 0));
    let leader = scene.joined(again[0]);
    assert_eq!((leader.generation, leader.members.len()), (2, 3));
    assert_eq!(scene.heartbeat(&members[1].member, 1), ErrorCode::IllegalGeneration);
    assert_eq!(scene.heartbeat(&members[1].member, 2), ErrorCode::None);
}

#[test]
fn who_does_not_join_within_the_rebalance_timeout_is_dropped_and_another_leads() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    let follower = scene.join(consumer(&members[1].member, &["range", "other"]));
    for _ in 0..20 {
        assert_eq!(
            scene.heartbeat(&members[0].member, 1),
            ErrorCode::RebalanceInProgress,
            "it lives, and does not join"
        );
        assert!(scene.waits(follower));
        scene.pass(3000);
    }
    let follower = scene.joined(follower);
    assert_eq!((follower.generation, follower.members.len()), (2, 1));
    assert_eq!(scene.heartbeat(&members[0].member, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn a_silent_member_is_dropped_after_its_session_timeout_and_not_before() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    scene.pass(9000);
    assert_eq!(scene.heartbeat(&members[0].member, 1), ErrorCode::None);
    scene.pass(999);
    assert_eq!(scene.heartbeat(&members[0].member, 1), ErrorCode::None);
    scene.pass(1);
    assert_eq!(scene.heartbeat(&members[0].member, 1), ErrorCode::RebalanceInProgress);
    assert_eq!(scene.heartbeat(&members[1].member, 1), ErrorCode::UnknownMemberId);
    scene.pass(20_000);
    assert_eq!(scene.state(), Ok(StateName::Empty), "the other is silent too");
}

#[test]
fn a_rebalance_that_needs_a_member_does_not_wait_for_a_dead_one() {
    let mut scene = Scene::new();
    let members = scene.stable(3);
    scene.pass(5000);
    let leader = scene.join(consumer(&members[0].member, &["range"]));
    scene.heartbeat(&members[1].member, 1);
    scene.pass(5000);
    let one = scene.join(consumer(&members[1].member, &["range"]));
    assert_eq!(scene.joined(leader).members.len(), 2);
    assert_eq!(scene.joined(one).generation, 2);
}

#[test]
fn a_client_that_must_come_again_is_given_an_id_and_waited_for_as_long_as_its_session() {
    let mut scene = Scene::new();
    let ask = |member: &str| JoinAsk {
        first_join: FirstJoin::ComesAgain,
        ..consumer(member, &["range"])
    };
    let first = scene.join(ask(""));
    let (code, member) = scene.refused_join(first);
    assert_eq!(code, ErrorCode::MemberIdRequired);
    let again = scene.join(ask(&member));
    let lost = scene.join(ask(""));
    assert_eq!(scene.refused_join(lost).0, ErrorCode::MemberIdRequired);
    scene.pass(3000);
    let joined = scene.joined(again);
    assert_eq!(*joined.member, *member);
    let sync = scene.sync(&joined, &[]);
    assert_eq!(scene.synced(sync), Ok(String::new()));
    let leader = scene.join(ask(&member));
    assert!(scene.waits(leader), "the one that was given an id may come yet");
    scene.pass(7000);
    assert_eq!(scene.joined(leader).generation, 2);
}

/// Somebody with a session of half an hour, who has to come again with an id.
fn patient(member: &str) -> JoinAsk {
    JoinAsk {
        first_join: FirstJoin::ComesAgain,
        session_timeout_ms: 1_800_000,
        ..consumer(member, &["range"])
    }
}

#[test]
fn an_id_that_nobody_comes_with_is_kept_until_its_session_ends_and_no_longer() {
    let mut scene = Scene::new();
    let [early, late] = [0, 1].map(|_| {
        let given = scene.join(patient(""));
        scene.refused_join(given).1
    });
    scene.pass(1_799_999);
    let comes = scene.join(patient(&early));
    assert!(scene.waits(comes), "it is a member");
    scene.pass(1);
    let comes = scene.join(patient(&late));
    assert_eq!(scene.refused_join(comes).0, ErrorCode::UnknownMemberId);
}

#[test]
fn ids_that_nobody_comes_with_hold_no_more_than_half_of_the_memory_for_longer_than_seconds() {
    let mut scene = Scene::with(GroupConfig {
        members_max_bytes: 100_000,
        ..GroupConfig::default()
    });
    let mut given = Vec::new();
    loop {
        let ask = scene.join(patient(""));
        let (code, member) = scene.refused_join(ask);
        if code == ErrorCode::CoordinatorNotAvailable {
            break;
        }
        given.push(member);
    }
    scene.pass(9_999);
    let kept_out = scene.join(consumer("", &["range"]));
    assert_eq!(scene.refused_join(kept_out).0, ErrorCode::CoordinatorNotAvailable);
    scene.pass(1);
    let held = scene.budget.held();
    assert!((40_000..=50_000).contains(&held), "{held} bytes are held");
    let newcomer = scene.join(consumer("", &["range"]));
    assert!(scene.waits(newcomer), "there is room again");
    let known = given.iter().filter(|member| {
        let comes = scene.join(patient(member));
        scene.waits(comes)
    });
    assert!(known.count() > 50, "the others are kept, and may come");
}

#[test]
fn an_id_that_was_never_given_is_unknown() {
    let mut scene = Scene::new();
    let stranger = scene.join(consumer("stranger", &["range"]));
    assert_eq!(
        scene.refused_join(stranger),
        (ErrorCode::UnknownMemberId, "stranger".into())
    );
    assert_eq!(
        scene.state(),
        Err(ErrorCode::GroupIdNotFound),
        "no group is made for it"
    );
    scene.stable(1);
    let stranger = scene.join(consumer("stranger", &["range"]));
    assert_eq!(scene.refused_join(stranger).0, ErrorCode::UnknownMemberId);
    assert_eq!(scene.heartbeat("stranger", 1), ErrorCode::UnknownMemberId);
}

#[test]
fn members_vote_for_a_protocol_that_all_speak() {
    let mut scene = Scene::new();
    let asks: Vec<_> = [&["a", "b", "c"], &["c", "b", "d"], &["b", "c", "x"]]
        .map(|protocols| scene.join(consumer("", protocols)))
        .into();
    scene.pass(6000);
    for it in asks {
        assert_eq!(
            scene.joined(it).protocol.as_deref(),
            Some("b"),
            "two votes of three, a is not common"
        );
    }
}

#[test]
fn who_speaks_no_common_protocol_or_is_of_another_kind_is_refused() {
    let mut scene = Scene::new();
    let none = scene.join(consumer("", &[]));
    assert_eq!(scene.refused_join(none).0, ErrorCode::InconsistentGroupProtocol);
    assert!(scene.listed().is_empty());
    scene.stable(1);
    let connect = JoinAsk {
        protocol_type: Arc::from("connect"),
        ..consumer("", &["range"])
    };
    for ask in [consumer("", &["other"]), connect] {
        let refused = scene.join(ask);
        assert_eq!(scene.refused_join(refused).0, ErrorCode::InconsistentGroupProtocol);
    }
    assert_eq!(scene.state(), Ok(StateName::Stable), "nobody is disturbed");
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut scene = Scene::with(GroupConfig {
        max_size: 2,
        ..GroupConfig::default()
    });
    let asks = [0, 1, 2].map(|_| scene.join(consumer("", &["range"])));
    assert_eq!(
        scene.refused_join(asks[2]),
        (ErrorCode::GroupMaxSizeReached, String::new())
    );
    scene.pass(6000);
    let members = [scene.joined(asks[0]), scene.joined(asks[1])];
    let late = scene.join(consumer("", &["range"]));
    assert_eq!(scene.refused_join(late).0, ErrorCode::GroupMaxSizeReached);
    let again = scene.join(consumer(&members[1].member, &["range"]));
    assert_eq!(scene.joined(again).generation, 1, "a member is no newcomer");
}

#[test]
fn an_answer_that_was_lost_is_given_again_and_a_leader_that_joins_assigns_anew() {
    let mut scene = Scene::new();
    let members = scene.gather(2);
    let leader = scene.join(consumer(&members[0].member, &["range"]));
    assert_eq!(
        scene.joined(leader).members.len(),
        2,
        "it joins a generation that has no parts yet"
    );
    let sync = scene.sync(&members[0], &[]);
    assert_eq!(scene.synced(sync), Ok(String::new()));
    let follower = scene.join(consumer(&members[1].member, &["range"]));
    assert_eq!(scene.joined(follower).generation, 1);
    let leader = scene.join(consumer(&members[0].member, &["range"]));
    assert!(scene.waits(leader));
    assert_eq!(scene.state(), Ok(StateName::PreparingRebalance));
}

#[test]
fn who_joins_on_a_second_connection_is_answered_there() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    let lost = scene.join(consumer(&members[0].member, &["range"]));
    let again = scene.join(consumer(&members[0].member, &["range"]));
    assert_eq!(scene.refused_join(lost).0, ErrorCode::RebalanceInProgress);
    let other = scene.join(consumer(&members[1].member, &["range"]));
    assert_eq!(scene.joined(again).generation, 2);
    assert_eq!(scene.joined(other).generation, 2);
}

#[test]
fn members_that_never_ask_for_their_parts_are_dropped() {
    let mut scene = Scene::new();
    let members = scene.gather(2);
    let leader = members[0].member.to_string();
    let sync = scene.sync(&members[0], &[(&leader, "all")]);
    assert_eq!(scene.synced(sync), Ok("all".into()));
    for _ in 0..20 {
        assert_eq!(scene.heartbeat(&members[0].member, 1), ErrorCode::None);
        assert_eq!(scene.heartbeat(&members[1].member, 1), ErrorCode::None);
        scene.pass(3000);
    }
    assert_eq!(scene.heartbeat(&members[0].member, 1), ErrorCode::RebalanceInProgress);
    assert_eq!(scene.heartbeat(&members[1].member, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn leaving_is_answered_member_by_member_and_the_others_rebalance() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    let leave = scene.leave(&["stranger", &members[0].member]);
    assert_eq!(scene.left(leave), [ErrorCode::UnknownMemberId, ErrorCode::None]);
    assert_eq!(scene.heartbeat(&members[1].member, 1), ErrorCode::RebalanceInProgress);
    let alone = scene.join(consumer(&members[1].member, &["range"]));
    assert_eq!(scene.joined(alone).members.len(), 1, "it leads now");
}

#[test]
fn the_last_to_leave_hears_of_it_once_the_log_says_that_the_group_is_empty() {
    let mut scene = Scene::new();
    let members = scene.stable(1);
    scene.log = Log::Held;
    let leave = scene.leave(&[&members[0].member]);
    assert!(scene.waits(leave) && scene.is_appending());
    assert_eq!(scene.listed(), [("g".to_string(), StateName::PreparingRebalance)]);
    scene.let_through();
    assert_eq!(scene.left(leave), [ErrorCode::None]);
    assert_eq!(scene.state(), Ok(StateName::Empty));
}

#[test]
fn asks_of_a_group_that_is_not_there_are_refused() {
    let mut scene = Scene::new();
    assert_eq!(scene.heartbeat("m", 1), ErrorCode::UnknownMemberId);
    let leave = scene.leave(&["m", "n"]);
    assert_eq!(scene.left(leave), [ErrorCode::UnknownMemberId; 2]);
    let delete = scene.ask(GroupAsk::Delete);
    assert_eq!(scene.answer(delete), GroupAnswer::Deleted(ErrorCode::GroupIdNotFound));
    let forget = scene.ask(GroupAsk::DeleteOffsets(Vec::new()));
    assert_eq!(
        scene.answer(forget),
        GroupAnswer::OffsetsDeleted(Err(ErrorCode::GroupIdNotFound))
    );
}

#[test]
fn a_storm_of_joins_is_taken_without_looking_at_every_member_for_each() {
    let mut scene = Scene::new();
    let asks: Vec<_> = (0..3000)
        .map(|_| scene.join(consumer("", &["range", "roundrobin"])))
        .collect();
    assert_eq!(scene.coordinator.deadlines(), 3001, "one a member, one for the group");
    scene.pass(6000);
    assert_eq!(scene.batches.len(), 1, "one record begins the generation");
    let leading = asks
        .into_iter()
        .filter(|&it| !scene.joined(it).members.is_empty())
        .count();
    assert_eq!(leading, 1);
}

#[test]
fn at_a_stop_whoever_waits_is_let_go_and_nobody_else_is_taken() {
    let mut scene = Scene::new();
    let first = scene.join(consumer("", &["range"]));
    scene.step(|it, _, outcome| it.stop(outcome));
    assert_eq!(scene.refused_join(first).0, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(scene.heartbeat("m", 1), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(scene.coordinator.next_deadline(), None);
}
