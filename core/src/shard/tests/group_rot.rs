//! Rot in `__consumer_offsets`, where it rests.

use super::broker::Broker;
use super::members::{OFFSETS, commit, committed, find, heartbeat, list, stable, start, two_clients};
use crate::group::partition_of;
use crate::shard::Shard;
use crate::types::ErrorCode;
use alloc::format;
use alloc::string::{String, ToString};

const NOT_COORDINATOR: i16 = ErrorCode::NotCoordinator.code();

/// The file that holds the records of a group.
fn file_of(broker: &Broker, group: &str) -> String {
    let directory = format!("{OFFSETS}-{}.", partition_of(group, 50));
    let mut files = broker.disk.files().into_iter();
    let found = files.find(|path| path.starts_with(&directory) && path.strip_suffix(".log").is_some());
    found.expect("it was written")
}

fn unread(broker: &Broker) -> u64 {
    let counted = broker.shards.iter().map(Shard::counters);
    counted.map(|counters| counters.unread_group_partitions).sum()
}

fn refusals(broker: &Broker) -> usize {
    broker
        .reports
        .iter()
        .filter(|text| text.contains("its groups are refused"))
        .count()
}

#[test]
fn rot_refuses_the_groups_of_its_partition_and_no_others_until_it_is_sound_again() {
    let mut broker = start(2);
    let clients = two_clients(&mut broker, 2);
    let members = stable(&mut broker, clients, "g");
    let member = members[1].1.member_id.to_string();
    assert_eq!(commit(&mut broker, members[1].0, "g", &member, 1, 7), 0);
    assert_eq!(commit(&mut broker, clients[0], "other", "", -1, 8), 0);
    let path = file_of(&broker, "g");
    broker.stop();
    broker.assert_stopped();
    let sound = broker.disk.file(&path).expect("it is there").to_vec();
    broker.disk.spoil(&path, |bytes| *bytes.last_mut().unwrap() ^= 1);
    broker.kill(2);
    let client = broker.connect(0);
    assert_eq!(find(&mut broker, client, "g").error_code, 0);
    let at = sound.len() as u64 - 1;
    assert!(!broker.disk.is_cached(&path, at), "nobody would check it there");
    for _ in 0..100 {
        assert_eq!(heartbeat(&mut broker, client, "g", &member, 1), NOT_COORDINATOR);
        assert_eq!(commit(&mut broker, client, "g", &member, 1, 9), NOT_COORDINATOR);
        assert_eq!(committed(&mut broker, client, "g").0, NOT_COORDINATOR);
        assert_eq!(committed(&mut broker, client, "other"), (0, 8));
        assert_eq!(commit(&mut broker, client, "other", "", -1, 8), 0);
        let listed = list(&mut broker, client, &[], &[]);
        assert_eq!(listed, [("other".to_string(), "Empty".to_string())]);
        assert_eq!(unread(&broker), 1);
        broker.pass(1000);
    }
    assert_eq!(refusals(&broker), 2, "{:?}", broker.reports);
    assert!(
        broker.reported("and 5 times before, not reported"),
        "{:?}",
        broker.reports
    );
    broker.disk.spoil(&path, |bytes| bytes.clone_from(&sound));
    broker.pass(30_000);
    assert_eq!(unread(&broker), 0);
    assert!(broker.reported("its groups are served again"));
    assert_eq!(heartbeat(&mut broker, client, "g", &member, 1), 0);
    assert_eq!(committed(&mut broker, client, "g"), (0, 7));
    assert_eq!(commit(&mut broker, client, "g", &member, 1, 10), 0);
    broker.power_cut(1);
    let client = broker.connect(0);
    assert_eq!(committed(&mut broker, client, "g"), (0, 10));
    assert_eq!(heartbeat(&mut broker, client, "g", &member, 1), 0);
}

#[test]
fn a_partition_that_is_unread_stops_cleanly_and_its_topic_can_go() {
    let mut broker = start(2);
    let clients = two_clients(&mut broker, 2);
    assert_eq!(commit(&mut broker, clients[0], "g", "", -1, 7), 0);
    let path = file_of(&broker, "g");
    broker.stop();
    broker.disk.spoil(&path, |bytes| *bytes.last_mut().unwrap() ^= 1);
    broker.kill(2);
    assert_eq!(unread(&broker), 1);
    let client = broker.connect(1);
    assert_eq!(broker.delete(client, OFFSETS), 0);
    assert_eq!(unread(&broker), 0);
    assert_eq!(find(&mut broker, client, "g").error_code, 0);
    assert_eq!(committed(&mut broker, client, "g"), (0, -1));
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn more_replicas_in_sync_than_there_can_be_keep_no_group_from_writing() {
    // Kafka asks for no more than a partition has (`Partition.effectiveMinIsr`).
    let mut broker = start(2);
    let mut config = broker.config.clone();
    config.topic_defaults.min_insync_replicas = 2;
    broker.config = config;
    broker.kill(2);
    let clients = two_clients(&mut broker, 2);
    stable(&mut broker, clients, "g");
    assert_eq!(commit(&mut broker, clients[0], "other", "", -1, 7), 0);
    assert!(broker.reports.is_empty(), "{:?}", broker.reports);
}
