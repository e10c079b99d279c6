//! Groups through whole brokers: their APIs, their partition's shard, crashes and stops.

use super::broker::{Broker, Hold};
use super::client::{batch, produce_request, text};
use crate::config::{BrokerConfig, GroupConfig, ServerConfig};
use crate::types::ErrorCode;
use crate::wire::message::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use crate::wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::wire::message::join_group::{JoinGroupRequest, JoinGroupResponse};
use crate::wire::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use crate::wire::message::offset_commit::{OffsetCommitRequestTopic, OffsetCommitResponse};
use crate::wire::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use crate::wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::members::{
    OFFSETS, commit, commit_request, committed, describe, find, heartbeat, join, join_request, joined, list, stable,
    start, two_clients,
};

#[test]
fn the_first_who_looks_for_a_coordinator_makes_the_topic_of_groups() {
    let mut broker = start(2);
    let client = broker.connect(1);
    let early: HeartbeatResponse = broker.call(
        client,
        &HeartbeatRequest {
            group_id: text("g"),
            ..Default::default()
        },
        4,
    );
    assert_eq!(early.error_code, ErrorCode::NotCoordinator.code());
    assert!(list(&mut broker, client, &[], &[]).is_empty());
    let found = find(&mut broker, client, "g");
    assert_eq!((found.error_code, found.node_id, found.port), (0, 1, 9092));
    assert_eq!(found.error_message.as_deref(), Some("NONE"));
    let topic = broker.describe(client, OFFSETS);
    assert_eq!((topic.partitions.len(), topic.is_internal), (50, true));
    let request = FindCoordinatorRequest {
        coordinator_keys: ["g", "h", "g"].map(text).into(),
        ..FindCoordinatorRequest::default()
    };
    let several: FindCoordinatorResponse = broker.call(client, &request, 6);
    assert_eq!(several.coordinators.len(), 2);
    assert!(
        several
            .coordinators
            .iter()
            .all(|it| it.error_code == 0 && it.node_id == 1)
    );
    let transactional = FindCoordinatorRequest { key_type: 1, ..request };
    let refused: FindCoordinatorResponse = broker.call(client, &transactional, 6);
    assert_eq!(
        refused.coordinators[0].error_code,
        ErrorCode::TransactionalIdAuthorizationFailed.code()
    );
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn the_topic_of_groups_has_as_many_partitions_as_a_topic_may_have() {
    let mut config = BrokerConfig::default();
    let settings = [("offsets.topic.num.partitions", "10000")];
    config.groups = ServerConfig::parse(settings).expect("it is allowed").0.broker.groups;
    let mut broker = Broker::start_with(2, config);
    let client = broker.connect(1);
    assert_eq!(find(&mut broker, client, "g").error_code, 0);
    assert_eq!(broker.describe(client, OFFSETS).partitions.len(), 10_000);
    broker.create(client, "orders", 1);
    assert_eq!(commit(&mut broker, client, "g", "", -1, 7), 0);
}

#[test]
fn nobody_else_writes_where_groups_are_kept() {
    let mut broker = start(2);
    let client = broker.connect(0);
    find(&mut broker, client, "g");
    broker.send(client, &produce_request(OFFSETS, 3, -1, batch(&["forged"])), 9);
    let refused = broker.produced(client).unwrap();
    assert_eq!(refused.error_code, ErrorCode::InvalidTopicException.code());
}

#[test]
fn members_on_every_shard_share_a_group_and_survive_a_power_cut() {
    for shards in [1, 2, 3] {
        let mut broker = start(shards);
        let clients = two_clients(&mut broker, usize::from(shards));
        let members = stable(&mut broker, clients, "g");
        let (client, member) = (members[1].0, members[1].1.member_id.to_string());
        assert_eq!(commit(&mut broker, client, "g", &member, 1, 7), 0);
        assert_eq!(committed(&mut broker, clients[0], "g"), (0, 7));
        broker.power_cut(3 - shards / 2);
        let client = broker.connect(0);
        for (_, it) in &members {
            assert_eq!(heartbeat(&mut broker, client, "g", &it.member_id, 1), 0);
        }
        assert_eq!(commit(&mut broker, client, "g", &member, 1, 8), 0);
        assert_eq!(committed(&mut broker, client, "g"), (0, 8));
        let described = describe(&mut broker, client, "g", 6);
        assert_eq!((&*described.group_state, described.members.len()), ("Stable", 2));
        assert!(described.members[0].client_host.starts_with("/client"));
        assert_eq!(&*described.members[0].client_id, "a test");
        broker.stop();
        broker.assert_stopped();
    }
}

#[test]
fn a_clean_stop_keeps_groups_too_and_lets_waiting_members_go_at_once() {
    let mut broker = start(2);
    let clients = two_clients(&mut broker, 2);
    let members = stable(&mut broker, clients, "g");
    let waiting = broker.connect(1);
    join(&mut broker, waiting, "g");
    assert!(broker.answered(waiting).is_empty());
    broker.stop();
    let released: JoinGroupResponse = broker.receive(waiting, 9).expect("it is let go");
    assert_eq!(released.error_code, ErrorCode::CoordinatorNotAvailable.code());
    broker.assert_stopped();
    broker.kill(2);
    let client = broker.connect(0);
    assert_eq!(
        heartbeat(&mut broker, client, "g", &members[0].1.member_id, 1),
        0,
        "the newcomer is forgotten"
    );
}

#[test]
fn a_member_whose_connection_ends_while_it_waits_is_waited_for_no_longer_than_its_time() {
    let mut broker = start(2);
    let clients = two_clients(&mut broker, 2);
    for client in clients {
        join(&mut broker, client, "g");
    }
    broker.disconnect(clients[1]);
    broker.run();
    broker.pass(400);
    assert_eq!(joined(&mut broker, clients[0]).generation_id, 1);
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn joins_that_wait_hold_no_credits() {
    let mut broker = Broker::start_with(
        2,
        BrokerConfig {
            groups: GroupConfig {
                initial_rebalance_delay_ms: 100,
                offsets_partitions: 1,
                ..GroupConfig::default()
            },
            limits: crate::config::Limits {
                asks_in_flight: 1,
                ..crate::config::Limits::default()
            },
            ..BrokerConfig::default()
        },
    );
    let clients: Vec<_> = (0..20).map(|it| broker.connect(it % 2)).collect();
    find(&mut broker, clients[0], "g");
    for &client in &clients {
        join(&mut broker, client, "g");
    }
    broker.pass(400);
    for &client in &clients {
        assert_eq!(joined(&mut broker, client).generation_id, 1);
    }
}

#[test]
fn a_commit_is_answered_once_it_is_durable_and_not_before() {
    let mut broker = start(2);
    let clients = two_clients(&mut broker, 2);
    broker.hold = Hold::Syncs;
    broker.send(clients[0], &commit_request("g", "", -1, 5), 9);
    assert!(broker.answered(clients[0]).is_empty());
    assert_eq!(committed(&mut broker, clients[1], "g"), (0, -1));
    broker.let_go();
    assert_eq!(broker.answered(clients[0]).len(), 1);
    assert_eq!(committed(&mut broker, clients[1], "g"), (0, 5));
}

#[test]
fn a_full_disk_refuses_commits_and_once_it_has_room_they_go_on() {
    let mut broker = start(2);
    let clients = two_clients(&mut broker, 2);
    let members = stable(&mut broker, clients, "g");
    let (client, member) = (members[0].0, members[0].1.member_id.to_string());
    assert_eq!(commit(&mut broker, client, "g", &member, 1, 1), 0);
    for room in [0, 1, 40, 70] {
        broker.disk.room = Some(room);
        let refused = commit(&mut broker, client, "g", &member, 1, 2);
        assert_eq!(refused, ErrorCode::NotCoordinator.code(), "{room} bytes left");
        assert_eq!(committed(&mut broker, client, "g"), (0, 1));
    }
    broker.disk.room = None;
    broker.pass(1000);
    assert_eq!(
        commit(&mut broker, client, "g", &member, 1, 3),
        0,
        "its member is one still"
    );
    broker.power_cut(1);
    let client = broker.connect(0);
    assert_eq!(committed(&mut broker, client, "g"), (0, 3));
}

#[test]
fn offsets_of_a_deleted_topic_are_gone_whenever_it_crashes() {
    let mut broker = start(2);
    let clients = two_clients(&mut broker, 2);
    assert_eq!(commit(&mut broker, clients[0], "g", "", -1, 9), 0);
    assert_eq!(broker.delete(clients[0], "orders"), 0);
    assert_eq!(
        commit(&mut broker, clients[1], "g", "", -1, 9),
        ErrorCode::UnknownTopicOrPartition.code()
    );
    broker.create(clients[0], "orders", 2);
    assert_eq!(committed(&mut broker, clients[1], "g"), (0, -1));
    broker.power_cut(3);
    let client = broker.connect(2);
    assert_eq!(committed(&mut broker, client, "g"), (0, -1));
}

#[test]
fn groups_are_listed_by_state_and_kind() {
    let mut broker = start(3);
    let clients = two_clients(&mut broker, 3);
    stable(&mut broker, clients, "stable");
    for group in ["e1", "e2", "e3"] {
        assert_eq!(commit(&mut broker, clients[0], group, "", -1, 1), 0);
    }
    let all = list(&mut broker, clients[0], &[], &[]);
    let named: Vec<_> = all.iter().map(|(group, state)| (&**group, &**state)).collect();
    assert_eq!(
        named,
        [("e1", "Empty"), ("e2", "Empty"), ("e3", "Empty"), ("stable", "Stable")]
    );
    assert_eq!(list(&mut broker, clients[0], &["STABLE"], &["Classic"]).len(), 1);
    assert!(list(&mut broker, clients[0], &[], &["consumer"]).is_empty());
}

#[test]
fn a_group_that_is_not_there_is_dead_or_named_so() {
    let mut broker = start(1);
    let client = broker.connect(0);
    find(&mut broker, client, "g");
    let old = describe(&mut broker, client, "none", 5);
    assert_eq!((old.error_code, &*old.group_state), (0, "Dead"));
    assert_ne!(old.authorized_operations, i32::MIN);
    let new = describe(&mut broker, client, "none", 6);
    assert_eq!(
        (new.error_code, &*new.group_state),
        (ErrorCode::GroupIdNotFound.code(), "Dead")
    );
    assert_eq!(new.error_message.as_deref(), Some("Group none not found."));
}

#[test]
fn groups_and_offsets_are_deleted_where_nobody_uses_them() {
    let mut broker = start(2);
    let clients = two_clients(&mut broker, 2);
    let members = stable(&mut broker, clients, "g");
    assert_eq!(commit(&mut broker, members[0].0, "g", &members[0].1.member_id, 1, 4), 0);
    let forget = OffsetDeleteRequest {
        group_id: text("g"),
        topics: ["orders", "none"]
            .map(|topic| OffsetDeleteRequestTopic {
                name: text(topic),
                partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
            })
            .into(),
    };
    let in_use: OffsetDeleteResponse = broker.call(clients[0], &forget, 0);
    let codes: Vec<_> = in_use.topics.iter().map(|it| it.partitions[0].error_code).collect();
    assert_eq!(
        codes,
        [ErrorCode::GroupSubscribedToTopic, ErrorCode::UnknownTopicOrPartition].map(ErrorCode::code)
    );
    let delete = DeleteGroupsRequest {
        groups_names: ["g", "none", "g"].map(text).into(),
    };
    let refused: DeleteGroupsResponse = broker.call(clients[0], &delete, 2);
    let codes: Vec<_> = refused.results.iter().map(|it| it.error_code).collect();
    assert_eq!(
        codes,
        [ErrorCode::NonEmptyGroup, ErrorCode::GroupIdNotFound].map(ErrorCode::code)
    );
    let leave = LeaveGroupRequest {
        group_id: text("g"),
        members: members
            .iter()
            .map(|(_, it)| MemberIdentity {
                member_id: it.member_id.clone(),
                ..MemberIdentity::default()
            })
            .collect(),
        ..LeaveGroupRequest::default()
    };
    let left: LeaveGroupResponse = broker.call(clients[1], &leave, 5);
    assert!(left.members.iter().all(|it| it.error_code == 0) && left.members.len() == 2);
    let forgotten: OffsetDeleteResponse = broker.call(clients[0], &forget, 0);
    assert_eq!(forgotten.topics[0].partitions[0].error_code, 0);
    assert_eq!(committed(&mut broker, clients[0], "g"), (0, -1));
    let deleted: DeleteGroupsResponse = broker.call(clients[0], &delete, 2);
    assert_eq!(deleted.results[0].error_code, 0);
    broker.stop_and_start(2);
    let client = broker.connect(0);
    assert!(list(&mut broker, client, &[], &[]).is_empty());
}

#[test]
fn the_topic_of_groups_can_be_deleted_and_made_anew() {
    let mut broker = start(2);
    let clients = two_clients(&mut broker, 2);
    stable(&mut broker, clients, "g");
    let waiting = broker.connect(0);
    join(&mut broker, waiting, "g");
    assert_eq!(broker.delete(clients[0], OFFSETS), 0);
    let released: JoinGroupResponse = broker.receive(waiting, 9).expect("it is let go");
    assert_eq!(released.error_code, ErrorCode::NotCoordinator.code());
    assert_eq!(
        committed(&mut broker, clients[0], "g").0,
        ErrorCode::NotCoordinator.code()
    );
    assert_eq!(find(&mut broker, clients[0], "g").error_code, 0);
    assert_eq!(committed(&mut broker, clients[0], "g"), (0, -1));
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn many_records_are_read_back_piece_by_piece_and_compacted_ones_too() {
    let mut broker = start(2);
    let clients = two_clients(&mut broker, 2);
    let members = stable(&mut broker, clients, "g");
    let member = members[0].1.member_id.to_string();
    let large = "x".repeat(4000);
    for offset in 0..700 {
        let mut request = commit_request("g", &member, 1, offset);
        for partition in &mut request.topics[0].partitions {
            partition.committed_metadata = Some(text(&large));
        }
        let response: OffsetCommitResponse = broker.call(members[0].0, &request, 9);
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
    }
    broker.kill(1);
    let client = broker.connect(0);
    assert_eq!(committed(&mut broker, client, "g"), (0, 699));
    assert_eq!(heartbeat(&mut broker, client, "g", &member, 1), 0);
    // Before its session ends, so that nothing but compaction changes the log.
    broker.pass(9000);
    assert_eq!(heartbeat(&mut broker, client, "g", &member, 1), 0);
    broker.pass(9000);
    let compactions: u64 = broker.shards.iter().map(|shard| shard.counters().compactions).sum();
    assert!(compactions > 0, "all but the last offset of it goes");
    broker.power_cut(2);
    let client = broker.connect(0);
    assert_eq!(committed(&mut broker, client, "g"), (0, 699));
    assert_eq!(
        heartbeat(&mut broker, client, "g", &member, 1),
        0,
        "it is a member still"
    );
}

#[test]
fn old_versions_say_the_same_in_their_own_way() {
    let mut broker = start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 2);
    find(&mut broker, client, "g");
    broker.send(client, &join_request("g", ""), 2);
    broker.pass(400);
    let joined: JoinGroupResponse = broker.receive(client, 2).expect("no id was needed");
    assert_eq!(
        (joined.error_code, joined.generation_id, joined.members.len()),
        (0, 1, 1)
    );
    let refused: JoinGroupResponse = broker.call(
        client,
        &JoinGroupRequest {
            session_timeout_ms: 1,
            ..join_request("g", "")
        },
        2,
    );
    assert_eq!(refused.error_code, ErrorCode::InvalidSessionTimeout.code());
    let leave = LeaveGroupRequest {
        group_id: text("g"),
        member_id: joined.member_id,
        ..LeaveGroupRequest::default()
    };
    let left: LeaveGroupResponse = broker.call(client, &leave, 1);
    assert_eq!(left.error_code, 0);
    let gone: LeaveGroupResponse = broker.call(client, &leave, 1);
    assert_eq!(gone.error_code, ErrorCode::UnknownMemberId.code());
    let response: OffsetCommitResponse = broker.call(client, &commit_request("g", "", -1, 3), 2);
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
    let all = OffsetFetchRequest {
        group_id: text("g"),
        topics: None,
        ..OffsetFetchRequest::default()
    };
    let told: OffsetFetchResponse = broker.call(client, &all, 5);
    assert_eq!(
        (&*told.topics[0].name, told.topics[0].partitions[0].committed_offset),
        ("orders", 3)
    );
}

#[test]
fn topics_are_named_by_their_ids_in_the_newest_versions() {
    let mut broker = start(1);
    let client = broker.connect(0);
    let (_, id) = broker.create(client, "orders", 2);
    find(&mut broker, client, "g");
    let mut request = commit_request("g", "", -1, 3);
    request.topics[0].topic_id = id;
    request.topics.push(OffsetCommitRequestTopic {
        topic_id: crate::types::Uuid([9; 16]),
        ..request.topics[0].clone()
    });
    let response: OffsetCommitResponse = broker.call(client, &request, 10);
    let codes: Vec<_> = response.topics.iter().map(|it| it.partitions[0].error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownTopicId.code()]);
    let ask = |topics| OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: text("g"),
            topics,
            ..OffsetFetchRequestGroup::default()
        }],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let by_id = [id, crate::types::Uuid([9; 16])].map(|topic_id| OffsetFetchRequestTopics {
        topic_id,
        partition_indexes: vec![0, 1],
        ..OffsetFetchRequestTopics::default()
    });
    let told: OffsetFetchResponse = broker.call(client, &ask(Some(by_id.into())), 10);
    let offsets: Vec<_> = told.groups[0]
        .topics
        .iter()
        .flat_map(|it| it.partitions.iter().map(|it| (it.error_code, it.committed_offset)))
        .collect();
    let unknown = ErrorCode::UnknownTopicId.code();
    assert_eq!(offsets, [(0, 3), (0, -1), (unknown, -1), (unknown, -1)]);
    let all: OffsetFetchResponse = broker.call(client, &ask(None), 10);
    assert_eq!((all.groups[0].topics.len(), all.groups[0].topics[0].topic_id), (1, id));
}
