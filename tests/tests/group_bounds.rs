//! Groups at the limits of what a broker is set to hold: the real binary refuses what it has to, and goes on.

use klamm_tests::frame::{Answer, Body, Connection, api};
use klamm_tests::{Broker, Options};
use std::thread::sleep;
use std::time::Duration;

const OFFSETS: &str = "__consumer_offsets";
const TOPIC: &str = "orders";

/// Error codes of Kafka.
const UNKNOWN_SERVER_ERROR: i16 = -1;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_COMMIT_OFFSET_SIZE: i16 = 28;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;

fn start(config: &[(&str, &str)]) -> Broker {
    let quick = [("group.initial.rebalance.delay.ms", "0"), ("shards", "1")];
    let lines = quick.iter().chain(config);
    Broker::start_with(Options {
        config: lines
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..Options::default()
    })
}

/// The body of a JoinGroup 3: whoever has no member id is a member at once.
fn join_body(group: &str, member: &str, session_ms: i32, metadata: &[u8]) -> Vec<u8> {
    let mut body = Body::new();
    body.string(group).int(session_ms).int(60_000).string(member);
    body.string("consumer").int(1).string("range");
    body.int(metadata.len() as i32).bytes(metadata);
    body.0
}

/// A member of a group, as it was told.
struct Joined {
    error: i16,
    generation: i32,
    member: String,
}

fn joined(answer: &[u8]) -> Joined {
    let mut answer = Answer(answer);
    answer.skip(4);
    let (error, generation) = (answer.short(), answer.int());
    let protocol = answer.short();
    answer.skip(protocol.max(0) as usize);
    let leader = answer.short();
    answer.skip(leader as usize);
    let length = answer.short();
    let member = String::from_utf8(answer.take(length as usize).to_vec()).expect("ids are UTF-8");
    Joined {
        error,
        generation,
        member,
    }
}

fn join(connection: &mut Connection, group: &str, metadata: &[u8]) -> Joined {
    let body = join_body(group, "", 30_000, metadata);
    joined(
        &connection
            .call(api::JOIN_GROUP, 3, &body)
            .expect("JoinGroup is answered"),
    )
}

/// The only member assigns nothing to itself.
fn sync(connection: &mut Connection, group: &str, who: &Joined) -> i16 {
    let mut body = Body::new();
    body.string(group).int(who.generation).string(&who.member).int(0);
    let answer = connection.call(api::SYNC_GROUP, 2, &body.0);
    let answer = answer.expect("SyncGroup is answered");
    let mut answer = Answer(&answer);
    answer.skip(4);
    answer.short()
}

/// Waits until the coordinators of these groups have read them: until then no heartbeat is refused.
fn await_groups(connection: &mut Connection, groups: &[&str]) {
    for group in groups {
        let mut tries = (0..3000).map(|_| {
            sleep(Duration::from_millis(20));
            connection.heartbeat(group, 1, "nobody")
        });
        assert!(tries.any(|code| code == UNKNOWN_MEMBER_ID), "{group} is never read");
    }
}

fn leave(connection: &mut Connection, group: &str, who: &Joined) -> i16 {
    let mut body = Body::new();
    body.string(group).string(&who.member);
    let answer = connection.call(api::LEAVE_GROUP, 2, &body.0);
    let answer = answer.expect("LeaveGroup is answered");
    let mut answer = Answer(&answer);
    answer.skip(4);
    answer.short()
}

fn delete(connection: &mut Connection, group: &str) -> i16 {
    let mut body = Body::new();
    body.int(1).string(group);
    let answer = connection.call(api::DELETE_GROUPS, 0, &body.0);
    let answer = answer.expect("DeleteGroups is answered");
    let mut answer = Answer(&answer);
    answer.skip(4 + 4 + 2 + group.len());
    answer.short()
}

fn set(connection: &mut Connection, topic: &str, key: &str, value: &str) -> i16 {
    let mut body = Body::new();
    body.int(1)
        .byte(2)
        .string(topic)
        .int(1)
        .string(key)
        .byte(0)
        .string(value);
    body.byte(0);
    let answer = connection.call(api::INCREMENTAL_ALTER_CONFIGS, 0, &body.0);
    let answer = answer.expect("IncrementalAlterConfigs is answered");
    let mut answer = Answer(&answer);
    answer.skip(4 + 4);
    answer.short()
}

fn add_partitions(connection: &mut Connection, topic: &str, count: i32) -> i16 {
    let mut body = Body::new();
    body.int(1).string(topic).int(count).int(-1).int(30_000).byte(0);
    let answer = connection.call(api::CREATE_PARTITIONS, 1, &body.0);
    let answer = answer.expect("CreatePartitions is answered");
    let mut answer = Answer(&answer);
    answer.skip(4 + 4 + 2 + topic.len());
    answer.short()
}

#[test]
fn a_group_id_longer_than_the_largest_batch_harms_nobody() {
    let broker = start(&[("message.max.bytes", "10000")]);
    let mut connection = broker.connect();
    let long = "g".repeat(11_000);
    connection.find_group(&long);
    let first = join(&mut connection, &long, b"");
    assert_eq!((first.error, first.generation), (0, 1));
    assert_eq!(sync(&mut connection, &long, &first), UNKNOWN_SERVER_ERROR);
    assert_eq!(leave(&mut connection, &long, &first), 0);
    assert_eq!(delete(&mut connection, &long), 0);
    let small = join(&mut connection, "small", b"");
    assert_eq!(sync(&mut connection, "small", &small), 0);
    assert_eq!(connection.heartbeat("small", small.generation, &small.member), 0);
}

#[test]
fn a_limit_lowered_and_raised_while_the_broker_runs_is_kept_to_at_once() {
    let mut broker = start(&[]);
    broker.create_topic(TOPIC, 1, &[]);
    let mut connection = broker.connect();
    let group = "g".repeat(183);
    connection.find_group(&group);
    let member = join(&mut connection, &group, b"what is said");
    assert_eq!(sync(&mut connection, &group, &member), 0);
    assert_eq!(connection.commit("other", TOPIC, 5, ""), 0);
    assert_eq!(set(&mut connection, OFFSETS, "max.message.bytes", "200"), 0);
    assert_eq!(
        connection.commit("other", TOPIC, 6, &"m".repeat(100)),
        UNKNOWN_SERVER_ERROR
    );
    assert_eq!(
        connection.heartbeat(&group, member.generation, &member.member),
        0,
        "nothing is read anew"
    );
    assert_eq!(connection.commit("other", TOPIC, 6, ""), 0);
    assert_eq!(set(&mut connection, OFFSETS, "max.message.bytes", "100000"), 0);
    assert_eq!(connection.commit("other", TOPIC, 7, &"m".repeat(100)), 0);
    assert_eq!(set(&mut connection, OFFSETS, "max.message.bytes", "100"), 0);
    assert_eq!(broker.stop().code(), Some(0));
    broker.restart();
    let mut connection = broker.connect();
    await_groups(&mut connection, &[&group, "other"]);
    assert_eq!(connection.heartbeat(&group, member.generation, &member.member), 0);
    assert_eq!(leave(&mut connection, &group, &member), 0);
    assert_eq!(delete(&mut connection, &group), 0);
    assert_eq!(connection.committed("other", TOPIC), 7);
    assert_eq!(delete(&mut connection, "other"), 0);
    broker.kill();
    broker.restart();
    let mut connection = broker.connect();
    await_groups(&mut connection, &[&group, "other"]);
    assert_eq!(connection.committed("other", TOPIC), -1);
    let next = join(&mut connection, &group, b"");
    assert_eq!((next.error, next.generation), (0, 1), "the group was deleted");
}

#[test]
fn the_topic_of_groups_keeps_its_partitions_and_its_policy() {
    let broker = start(&[("offsets.topic.num.partitions", "3")]);
    broker.create_topic(TOPIC, 1, &[]);
    let mut connection = broker.connect();
    connection.find_group("g");
    let groups = ["a", "b", "c", "d", "e", "f"];
    let members = groups.map(|group| {
        let member = join(&mut connection, group, b"");
        assert_eq!(sync(&mut connection, group, &member), 0);
        assert_eq!(connection.commit(&format!("{group}-offsets"), TOPIC, 9, ""), 0);
        member
    });
    assert_eq!(add_partitions(&mut connection, OFFSETS, 7), INVALID_REQUEST);
    assert_eq!(add_partitions(&mut connection, TOPIC, 7), 0);
    for (group, member) in groups.iter().zip(&members) {
        assert_eq!(
            connection.heartbeat(group, member.generation, &member.member),
            0,
            "{group}"
        );
        assert_eq!(connection.committed(&format!("{group}-offsets"), TOPIC), 9, "{group}");
    }
    for policy in ["delete", "compact,delete"] {
        assert_eq!(set(&mut connection, OFFSETS, "cleanup.policy", policy), INVALID_CONFIG);
    }
    assert_eq!(set(&mut connection, OFFSETS, "cleanup.policy", "compact"), 0);
}

#[test]
fn members_that_never_come_back_hold_no_more_than_they_may() {
    const ALLOWED: u64 = 16 << 20;
    let allowed = ALLOWED.to_string();
    let broker = start(&[("group.members.max.bytes", &allowed)]);
    let mut connection = broker.connect();
    connection.find_group("honest");
    let honest = join(&mut connection, "honest", b"");
    assert_eq!(sync(&mut connection, "honest", &honest), 0);
    // What one large join takes besides what is held, and what a process takes that was used at all.
    let large = vec![7; 1_000_000];
    let before = broker.peak_resident_bytes();
    let body = |number: u32| join_body(&format!("bogus-{number}"), "", 1_800_000, &large);
    let codes: Vec<i16> = (0..200)
        .map(|number| {
            let answer = connection.call(api::JOIN_GROUP, 3, &body(number));
            joined(&answer.expect("JoinGroup is answered")).error
        })
        .collect();
    let taken = codes.iter().filter(|&&code| code == 0).count() as u64;
    assert!((1..=ALLOWED / 1_000_000).contains(&taken), "{taken} joined");
    let others: Vec<i16> = codes.into_iter().filter(|&code| code != 0).collect();
    assert!(others.iter().all(|&code| code == COORDINATOR_NOT_AVAILABLE));
    let grown = broker.peak_resident_bytes() - before;
    assert!(grown < 3 * ALLOWED, "{grown} bytes more than before");
    assert_eq!(connection.heartbeat("honest", honest.generation, &honest.member), 0);
    let again = join_body("honest", &honest.member, 30_000, b"");
    let answer = connection.call(api::JOIN_GROUP, 3, &again);
    let again = joined(&answer.expect("JoinGroup is answered"));
    assert_eq!((again.error, again.generation), (0, 2));
    assert_eq!(sync(&mut connection, "honest", &again), 0);
}

#[test]
fn offsets_that_nobody_deletes_hold_no_more_than_they_may() {
    const ALLOWED: u64 = 16 << 20;
    let broker = start(&[("group.offsets.max.bytes", &ALLOWED.to_string())]);
    broker.create_topic(TOPIC, 1, &[]);
    let mut connection = broker.connect();
    connection.find_group("g");
    assert_eq!(connection.commit("first", TOPIC, 7, ""), 0);
    let before = broker.peak_resident_bytes();
    let metadata = "m".repeat(4000);
    let codes = (0..20_000).map(|number| connection.commit(&format!("group-{number}"), TOPIC, 7, &metadata));
    let taken = codes.take_while(|&code| code == 0).count() as u64;
    assert!((ALLOWED / 8000..ALLOWED / 4000).contains(&taken), "{taken} were taken");
    assert_eq!(
        connection.commit("another", TOPIC, 7, &metadata),
        INVALID_COMMIT_OFFSET_SIZE
    );
    let grown = broker.peak_resident_bytes() - before;
    // Besides what is held, the log's newest batches and its buffers.
    assert!(grown < ALLOWED + (24 << 20), "{grown} bytes more than before");
    assert_eq!(connection.commit("first", TOPIC, 8, ""), 0);
    assert_eq!(connection.committed("first", TOPIC), 8);
    assert_eq!(connection.committed(&format!("group-{}", taken - 1), TOPIC), 7);
}
