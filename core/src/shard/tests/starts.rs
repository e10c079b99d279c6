//! How a broker begins: formatting, recognising, refusing, and what a start finds of the one before.

use super::broker::Broker;
use super::client::{batch, values};
use crate::config::BrokerConfig;
use crate::controller::CLUSTER_METADATA;
use crate::shard::{Halt, Shard};
use crate::storage::tests::disk::Disk;
use crate::types::{BrokerId, ErrorCode, Fault, FaultKind};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Why a broker with this configuration does not start on this disk.
fn refusal(config: BrokerConfig, disk: Disk) -> (String, Disk) {
    let mut broker = Broker::boot(2, config, disk);
    broker.run();
    assert_eq!(broker.serving, 0);
    match broker.halted[0].take() {
        Some(Halt::Refused(text)) => (text, broker.disk),
        other => panic!("it starts, or ends otherwise: {other:?}"),
    }
}

#[test]
fn the_first_start_formats_an_empty_directory_and_the_second_finds_its_cluster() {
    let mut broker = Broker::start(2);
    assert!(broker.reported("formatted"));
    let meta = broker.disk.file("meta.klamm").unwrap().to_vec();
    broker.stop_and_start(2);
    assert!(!broker.reported("formatted"));
    assert_eq!(broker.disk.file("meta.klamm").unwrap(), meta);
}

#[test]
fn a_directory_that_is_not_ours_is_refused_untouched() {
    for (name, says) in [("meta.properties", "Apache Kafka"), ("holiday.jpg", "holiday.jpg")] {
        let mut disk = Disk::default();
        disk.put(name, b"precious");
        let (text, disk) = refusal(BrokerConfig::default(), disk);
        assert!(text.contains(says), "{text}");
        assert_eq!(disk.files(), [name], "not even a lock is left");
        assert_eq!(disk.file(name).unwrap(), b"precious");
    }
}

#[test]
fn the_directory_of_another_node_or_cluster_is_refused_and_so_is_a_damaged_or_locked_one() {
    let mut broker = Broker::start(2);
    broker.stop();
    let files = broker.disk.files();
    let config = BrokerConfig::default();
    let node = BrokerConfig {
        node_id: BrokerId(7),
        ..config.clone()
    };
    let cluster = BrokerConfig {
        cluster_id: Some(String::from("another")),
        ..config.clone()
    };
    for (config, says) in [(node, "node.id 1"), (cluster, "belongs to cluster")] {
        let mut disk = broker.disk.clone();
        disk.kill();
        let (text, disk) = refusal(config, disk);
        assert!(text.contains(says), "{text}");
        assert_eq!(disk.files(), files, "the manifest stands for the rightful owner");
    }
    let (text, _) = refusal(config.clone(), broker.disk.clone());
    assert!(text.contains("in use"), "{text}");
    let mut damaged = broker.disk.clone();
    damaged.kill();
    damaged.spoil("meta.klamm", |bytes| bytes[12] ^= 1);
    let (text, _) = refusal(config, damaged);
    assert!(text.contains("checksum"), "{text}");
}

#[test]
fn a_log_whose_directory_is_something_else_is_not_taken_for_an_empty_one() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.produce(client, "orders", 0, batch(&["a"]));
    let mut disk = broker.disk.clone();
    disk.kill();
    let logs = disk.files();
    let log = logs.iter().find(|path| path.starts_with("orders-0.")).unwrap();
    let directory = log.split('/').next().unwrap();
    disk.lose_directories(directory);
    disk.put(directory, b"");
    let files = disk.files();
    let (text, disk) = refusal(BrokerConfig::default(), disk);
    assert!(text.contains(directory) && text.contains("no directory"), "{text}");
    assert_eq!(disk.files(), files, "nothing was changed");
}

#[test]
fn after_a_clean_stop_logs_open_from_the_manifest_without_a_scan() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    assert_eq!(broker.create(client, "orders", 4).0, 0);
    for partition in 0..4 {
        assert_eq!(broker.produce(client, "orders", partition, batch(&["a", "b"])), (0, 0));
    }
    broker.stop_and_start(2);
    assert!(
        !broker.disk.files().contains(&String::from("manifest")),
        "it is gone once a start used it"
    );
    let client = broker.connect(1);
    for partition in 0..4 {
        assert_eq!(broker.produce(client, "orders", partition, batch(&["c"])), (0, 2));
        assert_eq!(broker.consume(client, "orders", partition), ["a", "b", "c"]);
    }
    let scanned: u64 = broker.shards.iter().map(|shard| shard.counters().truncated_bytes).sum();
    assert_eq!(scanned, 0);
}

#[test]
fn a_clean_stop_twice_in_a_row_keeps_logs_that_nobody_used_between() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.produce(client, "orders", 0, batch(&["a"]));
    broker.stop_and_start(2);
    broker.stop_and_start(2);
    let client = broker.connect(0);
    assert_eq!(broker.consume(client, "orders", 0), ["a"]);
}

#[test]
fn what_was_acknowledged_survives_kills_and_power_cuts_under_a_new_leader_epoch() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 3);
    let mut epoch = broker.leader_epoch(client, "orders");
    let mut expected: Vec<String> = Vec::new();
    for round in 0..4 {
        let client = broker.connect(round % 2);
        for value in ["x", "y"] {
            for partition in 0..3 {
                assert_eq!(
                    broker.produce(client, "orders", partition, batch(&[value])),
                    (0, expected.len() as i64)
                );
            }
            expected.push(String::from(value));
        }
        if round % 2 == 0 {
            broker.kill(2);
        } else {
            broker.power_cut(2);
        }
        let client = broker.connect(1);
        for partition in 0..3 {
            assert_eq!(broker.consume(client, "orders", partition), expected);
        }
        let later = broker.leader_epoch(client, "orders");
        assert!(later > epoch, "each start has a leader epoch of its own");
        epoch = later;
    }
}

#[test]
fn what_was_not_synced_is_gone_after_a_power_cut_and_its_offsets_are_used_again() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    broker.produce(client, "orders", 0, batch(&["kept"]));
    broker.hold = super::broker::Hold::Syncs;
    broker.send(
        client,
        &super::client::produce_request("orders", 0, -1, batch(&["lost"])),
        9,
    );
    assert!(
        broker.produced(client).is_none(),
        "nothing is acknowledged before it is synced"
    );
    broker.power_cut(1);
    let client = broker.connect(0);
    assert_eq!(broker.consume(client, "orders", 0), ["kept"]);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["next"])), (0, 1));
    assert_eq!(values(&broker.fetch(client, "orders", 0, 1)), ["next"]);
}

#[test]
fn another_number_of_shards_finds_all_data() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 12);
    for partition in 0..12 {
        assert_eq!(broker.produce(client, "orders", partition, batch(&["a"])), (0, 0));
    }
    broker.stop_and_start(3);
    let client = broker.connect(2);
    for partition in 0..12 {
        assert_eq!(broker.produce(client, "orders", partition, batch(&["b"])), (0, 1));
    }
    broker.kill(1);
    let client = broker.connect(0);
    for partition in 0..12 {
        assert_eq!(broker.consume(client, "orders", partition), ["a", "b"]);
    }
}

/// The metadata log's only segment.
fn metadata_segment(disk: &Disk) -> String {
    let segment = |name: &&String| {
        name.strip_suffix(".log")
            .is_some_and(|name| name.starts_with("__cluster_metadata-0."))
    };
    disk.files().iter().find(segment).unwrap().clone()
}

#[test]
fn a_metadata_log_that_lost_records_does_not_cost_a_topic_its_data() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    assert_eq!(broker.create(client, "orders", 1).0, 0);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["a"])).0, 0);
    let mut flipped = broker.disk.clone();
    flipped.kill();
    let segment = metadata_segment(&flipped);
    flipped.spoil(&segment, |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    let mut lost = broker.disk.clone();
    lost.kill();
    lost.lose(&segment);
    lost.lose(&segment.replace(".log", ".checkpoint"));
    for disk in [flipped, lost] {
        let data = |disk: &Disk| {
            disk.files()
                .into_iter()
                .filter(|name| name.starts_with("orders-0."))
                .collect::<Vec<_>>()
        };
        let before = data(&disk);
        let (text, disk) = refusal(BrokerConfig::default(), disk);
        assert!(text.contains("orders-0.") && text.contains("does not know"), "{text}");
        assert_eq!(data(&disk), before);
    }
}

#[test]
fn a_leader_epoch_that_was_never_given_ends_the_start_and_not_in_a_panic() {
    let mut broker = Broker::start(1);
    broker.stop();
    let mut disk = broker.disk.clone();
    disk.kill();
    disk.lose("manifest");
    let segment = metadata_segment(&disk);
    disk.lose(&segment.replace(".log", ".checkpoint"));
    disk.spoil(&segment, |bytes| bytes[15] = 77);
    let mut broker = Broker::boot(1, BrokerConfig::default(), disk);
    broker.run();
    let halted = broker.halted[0].take();
    assert!(
        matches!(&halted, Some(Halt::Fault(Fault::Corruption(text))) if text.contains("77")),
        "{halted:?}"
    );
}

/// What a disk holds but for checkpoints, which say nothing that the rest does not.
fn contents(disk: &Disk) -> Vec<(String, Vec<u8>)> {
    let kept = disk.files().into_iter().filter(|name| !name.ends_with(".checkpoint"));
    kept.map(|name| (name.clone(), disk.file(&name).unwrap().to_vec()))
        .collect()
}

#[test]
fn a_metadata_log_damaged_before_its_last_batch_stops_the_start_and_nothing_is_touched() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    assert_eq!(broker.create(client, "orders", 1).0, 0);
    for _ in 0..3 {
        let client = broker.connect(0);
        assert_eq!(broker.produce(client, "orders", 0, batch(&["a"])).0, 0);
        broker.kill(2);
    }
    let segment = metadata_segment(&broker.disk);
    let length = broker.disk.file(&segment).unwrap().len();
    for at in 0..length {
        let mut disk = broker.disk.clone();
        disk.kill();
        disk.lose(&segment.replace(".log", ".checkpoint"));
        disk.spoil(&segment, |bytes| bytes[at] ^= 0x40);
        let before = contents(&disk);
        let mut damaged = Broker::boot(2, BrokerConfig::default(), disk);
        damaged.run();
        if let Some(halted) = damaged.halted[0].take() {
            assert!(
                matches!(&halted, Halt::Fault(Fault::Corruption(text)) if text.contains("metadata")),
                "byte {at}: {halted:?}"
            );
            assert_eq!(contents(&damaged.disk), before, "byte {at}");
            continue;
        }
        // Only the last batch, a registration, may pass for torn; its start is given once more, and all data is there.
        let client = damaged.connect(1);
        assert_eq!(damaged.consume(client, "orders", 0), ["a", "a", "a"], "byte {at}");
        assert!(at > length / 2, "byte {at}");
    }
}

#[test]
fn a_start_that_the_metadata_log_lost_behind_its_checkpoint_is_noticed() {
    let mut broker = Broker::start(1);
    broker.kill(1);
    let segment = metadata_segment(&broker.disk);
    let mut disk = broker.disk.clone();
    disk.kill();
    disk.spoil(&segment, |bytes| bytes.truncate(bytes.len() - 1));
    let mut broker = Broker::boot(1, BrokerConfig::default(), disk);
    broker.run();
    let halted = broker.halted[0].take();
    assert!(matches!(&halted, Some(Halt::Fault(Fault::Corruption(_)))), "{halted:?}");
}

#[test]
fn a_log_that_was_there_at_a_clean_stop_and_is_gone_is_never_begun_anew() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 2);
    for partition in 0..2 {
        assert_eq!(broker.produce(client, "orders", partition, batch(&["a"])), (0, 0));
    }
    broker.stop();
    broker.disk.lose_directories("orders-0.");
    let storage = ErrorCode::KafkaStorageError.code();
    for round in 0..4 {
        match round {
            // Not even when nobody uses it before the process dies.
            0..3 => broker.kill(2),
            _ => broker.stop_and_start(2),
        }
        if round > 0 {
            let client = broker.connect(0);
            assert_eq!(
                broker.fetch(client, "orders", 0, 0).error_code,
                storage,
                "round {round}"
            );
            assert_eq!(
                broker.produce(client, "orders", 0, batch(&["b"])).0,
                storage,
                "round {round}"
            );
            assert_eq!(broker.consume(client, "orders", 1), ["a"]);
        }
    }
    assert!(broker.reported("lost"), "{:?}", broker.reports);
    let client = broker.connect(0);
    assert_eq!(broker.delete(client, "orders"), 0);
    assert_eq!(broker.create(client, "orders", 1).0, 0);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["c"])), (0, 0));
}

/// Partitions that are offline for damage.
fn damaged(broker: &Broker) -> u64 {
    let offline = |shard: &Shard| shard.counters().offline_partitions;
    let counts: Vec<_> = broker.shards.iter().map(offline).collect();
    for other in FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::Corruption) {
        assert!(counts.iter().all(|counts| counts[other as usize] == 0), "{other:?}");
    }
    counts.iter().map(|counts| counts[FaultKind::Corruption as usize]).sum()
}

#[test]
fn a_log_that_lost_records_is_told_of_at_each_start_before_anybody_asks_for_it() {
    // More than are looked at in one go, and the damaged ones among the last.
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 600);
    for partition in 0..600 {
        assert_eq!(broker.produce(client, "orders", partition, batch(&["a"])), (0, 0));
    }
    broker.stop();
    for lost in ["orders-7.", "orders-599."] {
        broker.disk.lose_directories(lost);
    }
    for round in 0..3 {
        // The first start finds the manifest, the others a mark among logs that all have to be recovered.
        broker.kill(2);
        assert_eq!(
            broker.reported("2 directories of partitions are gone"),
            round == 0,
            "{:?}",
            broker.reports
        );
        for lost in ["orders-7: taken offline", "orders-599: taken offline"] {
            assert!(broker.reported(lost), "round {round}: {:?}", broker.reports);
        }
        assert_eq!(damaged(&broker), 2, "round {round}");
        let active: u64 = broker
            .shards
            .iter()
            .map(|shard| shard.counters().active_partitions)
            .sum();
        assert_eq!(active, 2, "all others sleep on");
    }
    let client = broker.connect(1);
    assert_eq!(broker.consume(client, "orders", 8), ["a"]);
    assert_eq!(broker.delete(client, "orders"), 0);
    assert_eq!(damaged(&broker), 0);
}

#[test]
fn a_log_that_is_shorter_than_at_the_clean_stop_is_offline_and_stays_so() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    for value in ["a", "b"] {
        assert_eq!(broker.produce(client, "orders", 0, batch(&[value])).0, 0);
    }
    broker.stop();
    let files = broker.disk.files();
    let named = |end: &str| {
        files
            .iter()
            .find(|name| name.starts_with("orders-0.") && name.ends_with(end))
    };
    let segment = named(".log").unwrap().clone();
    broker.disk.lose(named(".checkpoint").unwrap());
    broker.disk.spoil(&segment, |bytes| bytes.truncate(bytes.len() - 1));
    let left = broker.disk.file(&segment).unwrap().to_vec();
    for _ in 0..2 {
        broker.kill(1);
        let client = broker.connect(0);
        let storage = ErrorCode::KafkaStorageError.code();
        assert_eq!(broker.fetch(client, "orders", 0, 0).error_code, storage);
        assert_eq!(broker.disk.file(&segment).unwrap(), left, "nothing is cut");
    }
}

#[test]
fn a_start_after_a_kill_writes_no_more_of_the_metadata_log_again_than_other_logs_go_without_a_note() {
    const NOTED: u64 = 2048;
    let mut config = BrokerConfig::default();
    config.limits.note_bytes = NOTED;
    let mut broker = Broker::start_with(1, config);
    let client = broker.connect(0);
    for topic in 0..100 {
        assert_eq!(broker.create(client, &format!("topic-{topic}"), 1).0, 0);
    }
    let is_metadata = |path: &&String| path.starts_with(CLUSTER_METADATA) && path.strip_suffix(".log").is_some();
    let files = broker.disk.files();
    let log = files.iter().find(is_metadata).expect("it was written");
    let bytes = broker.disk.file(log).map_or(0, <[u8]>::len) as u64;
    assert!(bytes > 4 * NOTED, "{bytes} bytes");
    broker.kill(1);
    let renewed = broker.shards[0].counters().renewed_bytes;
    assert!(renewed > 0 && renewed < NOTED, "{renewed} of {bytes} bytes");
}

#[test]
fn a_torn_tail_of_the_metadata_log_is_cut_and_told_of() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    assert_eq!(broker.create(client, "orders", 1).0, 0);
    let is_metadata = |path: &String| path.starts_with(CLUSTER_METADATA) && path.strip_suffix(".log").is_some();
    let log = broker.disk.files().into_iter().find(is_metadata);
    broker
        .disk
        .spoil(&log.expect("it was written"), |bytes| bytes.extend([0; 100]));
    broker.kill(1);
    assert_eq!(broker.shards[0].counters().truncated_bytes, 100);
    assert!(
        broker.reported("__cluster_metadata-0: recovery cut off 100 bytes"),
        "{:?}",
        broker.reports
    );
}
