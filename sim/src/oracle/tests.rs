//! Each checker that no deliberate bug of the broker reaches is shown to fail here, with a near miss beside it.

use super::{Checker, Damage, Oracle, Place, Retention};
use crate::batch::{NewRecord, ProducerTag, build};
use crate::compaction::Compaction;
use crate::compress::Compression;
use crate::disk::Disk;
use crate::draw::Draw;
use crate::frame::{Fetch, FetchPart, Fetched, Request, Response, TopicMetadata, TopicRef};
use crate::value::{Mark, fold_topic};
use bytes::Bytes;
use klamm_core::config::{FlushMode, TimestampType};
use klamm_core::storage::{FileOp, FilePath, OpenMode, Piece};
use klamm_core::types::{FileId, LogDirectoryId, ShardId};

pub(super) const ID: [u8; 16] = [7; 16];
const OTHER: [u8; 16] = [9; 16];

pub(super) fn topic(id: [u8; 16]) -> TopicRef {
    TopicRef {
        name: "orders".to_owned(),
        id,
    }
}

fn told(id: [u8; 16], epoch: i32) -> TopicMetadata {
    TopicMetadata {
        error: 0,
        topic: topic(id),
        partitions: vec![(0, 0, epoch)],
    }
}

/// An oracle that knows the topic.
pub(super) fn oracle() -> Oracle {
    let mut oracle = Oracle::new(FlushMode::Fsync, TimestampType::CreateTime, Retention::default());
    oracle.topic_created("orders", Some(ID));
    oracle.metadata(&told(ID, 0));
    oracle
}

fn mark(sequence: u64, id: &[u8; 16]) -> Mark {
    Mark {
        producer: 1,
        session: 1,
        sequence,
        partition: 0,
        topic: fold_topic(id),
    }
}

/// A batch of one record, sent to the topic, as the broker stamps it.
pub(super) fn batch(oracle: &mut Oracle, sequence: u64, id: &[u8; 16], offset: i64, epoch: i32) -> Bytes {
    let mark = mark(sequence, id);
    let record = NewRecord {
        timestamp: 5,
        key: None,
        value: mark.encode(60),
        headers: Vec::new(),
    };
    let mut bytes = build(&[record], ProducerTag::NONE, Compression::None);
    oracle.sent(Place::new(ID, 0), &[mark], &Bytes::from(bytes.clone()));
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
    Bytes::from(bytes)
}

pub(super) fn answer(high_watermark: i64, records: Bytes) -> Fetched {
    Fetched {
        topic: topic(ID),
        partition: 0,
        error: 0,
        high_watermark,
        last_stable_offset: high_watermark,
        log_start_offset: 0,
        records: Some(records),
    }
}

fn asked(offset: i64) -> Fetch {
    Fetch {
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes: 1 << 20,
        session_id: 0,
        session_epoch: -1,
        parts: vec![FetchPart {
            topic: topic(ID),
            partition: 0,
            leader_epoch: -1,
            offset,
            max_bytes: 1 << 20,
        }],
    }
}

pub(super) fn fetch(oracle: &mut Oracle, client: usize, position: i64, part: &Fetched) -> i64 {
    oracle.fetched(Place::new(ID, 0), client, position, part, &asked(position))
}

pub(super) fn seen(oracle: &Oracle) -> Option<Checker> {
    oracle.violation().map(|violation| violation.checker)
}

/// A disk whose log directory holds one directory with these files, all of it synced.
pub(super) fn disk_with(directory: &str, files: &[(&str, &[u8])]) -> Disk {
    let mut disk = Disk::new();
    let path = |name: &str| FilePath::new(LogDirectoryId(0), &format!("{directory}{name}"));
    let mut ops = vec![FileOp::CreateDirectory { path: path("") }];
    for (&(name, bytes), id) in files.iter().zip(0..) {
        let file = FileId(id);
        let open = FileOp::Open {
            file,
            path: path(&format!("/{name}")),
            mode: OpenMode::CreateNew,
        };
        let write = FileOp::Write {
            file,
            position: 0,
            pieces: vec![Piece::Body(Bytes::copy_from_slice(bytes))],
        };
        ops.extend([open, write, FileOp::Close { file }]);
    }
    ops.push(FileOp::SyncAll {
        directory: LogDirectoryId(0),
        by: ShardId(0),
    });
    for op in ops {
        disk.perform(&op).expect("a fresh disk has room");
    }
    disk
}

#[test]
fn a_plain_read_is_fine_and_moves_on() {
    let mut oracle = oracle();
    let bytes = batch(&mut oracle, 0, &ID, 0, 0);
    oracle.acked(Place::new(ID, 0), 0, &bytes);
    assert_eq!(fetch(&mut oracle, 1, 0, &answer(1, bytes)), 1);
    assert_eq!(seen(&oracle), None);
}

#[test]
fn a_high_watermark_goes_back_for_nobody() {
    let mut oracle = oracle();
    fetch(&mut oracle, 1, 0, &answer(5, Bytes::new()));
    fetch(&mut oracle, 2, 0, &answer(4, Bytes::new()));
    assert_eq!(seen(&oracle), None, "another client may lag behind");
    fetch(&mut oracle, 1, 0, &answer(4, Bytes::new()));
    assert_eq!(seen(&oracle), Some(Checker::HighWatermark));
}

#[test]
fn nothing_beyond_the_high_watermark_is_served() {
    let mut oracle = oracle();
    let bytes = batch(&mut oracle, 0, &ID, 0, 0);
    fetch(&mut oracle, 1, 0, &answer(0, bytes));
    assert_eq!(seen(&oracle), Some(Checker::HighWatermark));
}

#[test]
fn a_record_of_the_topic_that_was_deleted_is_told_from_one_of_the_new() {
    let mut oracle = oracle();
    let bytes = batch(&mut oracle, 0, &OTHER, 0, 0);
    fetch(&mut oracle, 1, 0, &answer(1, bytes));
    assert_eq!(seen(&oracle), Some(Checker::RecreatedTopic));
}

#[test]
fn an_id_that_was_deleted_is_never_shown_again() {
    let mut oracle = oracle();
    oracle.metadata(&TopicMetadata {
        topic: TopicRef {
            name: "again".to_owned(),
            id: OTHER,
        },
        ..told(OTHER, 0)
    });
    oracle.topic_deleted(OTHER);
    assert_eq!(seen(&oracle), None);
    oracle.metadata(&TopicMetadata {
        topic: TopicRef {
            name: "again".to_owned(),
            id: OTHER,
        },
        ..told(OTHER, 0)
    });
    assert_eq!(seen(&oracle), Some(Checker::RecreatedTopic));
}

#[test]
fn a_topic_whose_creation_was_answered_stays_itself() {
    let mut oracle = oracle();
    oracle.metadata(&told(OTHER, 0));
    assert_eq!(seen(&oracle), Some(Checker::AcknowledgedDurability));
}

#[test]
fn leader_epochs_never_go_back_and_a_crash_takes_a_new_one() {
    let mut oracle = oracle();
    oracle.metadata(&told(ID, 3));
    oracle.metadata(&told(ID, 3));
    assert_eq!(seen(&oracle), None);
    oracle.after_crash(&Disk::new(), false);
    oracle.metadata(&told(ID, 4));
    assert_eq!(seen(&oracle), None);
    oracle.after_crash(&Disk::new(), false);
    oracle.metadata(&told(ID, 4));
    assert_eq!(seen(&oracle), Some(Checker::LeaderEpoch));
}

#[test]
fn a_frame_of_a_process_that_ended_may_name_its_old_epoch() {
    let mut oracle = oracle();
    oracle.metadata(&told(ID, 3));
    oracle.after_crash(&Disk::new(), false);
    oracle.set_stale(true);
    oracle.metadata(&told(ID, 3));
    assert_eq!(seen(&oracle), None);
}

#[test]
fn two_batches_never_stand_at_one_epoch_and_offset() {
    let mut oracle = oracle();
    let one = batch(&mut oracle, 0, &ID, 0, 0);
    let two = batch(&mut oracle, 1, &ID, 0, 0);
    fetch(&mut oracle, 1, 0, &answer(1, one));
    fetch(&mut oracle, 2, 0, &answer(1, two));
    assert_eq!(seen(&oracle), Some(Checker::LeaderEpoch));
}

#[test]
fn another_record_at_an_acknowledged_offset_is_a_loss() {
    let mut oracle = oracle();
    let one = batch(&mut oracle, 0, &ID, 0, 0);
    let two = batch(&mut oracle, 1, &ID, 0, 1);
    oracle.acked(Place::new(ID, 0), 0, &one);
    fetch(&mut oracle, 1, 0, &answer(1, two));
    assert_eq!(seen(&oracle), Some(Checker::AcknowledgedDurability));
}

#[test]
fn what_nobody_reads_back_is_missing() {
    let mut oracle = oracle();
    let bytes = batch(&mut oracle, 0, &ID, 0, 0);
    oracle.acked(Place::new(ID, 0), 0, &bytes);
    oracle.begin_read_back();
    oracle.end_read_back();
    assert_eq!(seen(&oracle), Some(Checker::AcknowledgedDurability));
}

#[test]
fn a_batch_with_a_flipped_bit_is_never_taken_for_a_record() {
    let mut oracle = oracle();
    let mut bytes = batch(&mut oracle, 0, &ID, 0, 0).to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fetch(&mut oracle, 1, 0, &answer(1, Bytes::from(bytes)));
    assert_eq!(seen(&oracle), Some(Checker::Recovery));
}

#[test]
fn a_fetch_is_woken_soon_after_an_acknowledgement() {
    let mut oracle = oracle();
    let place = Place::new(ID, 0);
    let bytes = batch(&mut oracle, 0, &ID, 0, 0);
    oracle.set_now(100);
    oracle.acked(place, 0, &bytes);
    oracle.set_now(250);
    oracle.woken(place, 1, 0, 100);
    oracle.woken(place, 0, 200, 100);
    assert_eq!(
        seen(&oracle),
        None,
        "nothing came that it waits for, or it has not waited for long"
    );
    oracle.woken(place, 0, 0, 100);
    assert_eq!(seen(&oracle), Some(Checker::Liveness));
}

#[test]
fn sends_that_overtake_show_in_the_history() {
    let mut oracle = oracle();
    let place = Place::new(ID, 0);
    let one = batch(&mut oracle, 0, &ID, 1, 0);
    let two = batch(&mut oracle, 1, &ID, 0, 0);
    oracle.acked(place, 1, &one);
    oracle.acked(place, 0, &two);
    fetch(&mut oracle, 1, 0, &answer(2, Bytes::from([two, one].concat())));
    assert_eq!(seen(&oracle), None);
    oracle.judge_history();
    assert_eq!(seen(&oracle), Some(Checker::Order));
}

#[test]
fn only_what_the_disk_destroyed_may_be_broken() {
    let place = Place::new(ID, 0);
    for (destroyed, expected) in [(true, None), (false, Some(Checker::Recovery))] {
        let mut oracle = oracle();
        let good = batch(&mut oracle, 0, &ID, 0, 0);
        let mut broken = batch(&mut oracle, 1, &ID, 1, 0).to_vec();
        oracle.acked(place, 0, &good);
        oracle.acked(place, 1, &Bytes::from(broken.clone()));
        // One record further than what is served broken below.
        let at = if destroyed { 1 } else { 2 };
        oracle.damaged([Damage::new(place, at, at + 1)]);
        broken[70] ^= 1;
        let served = Bytes::from([good, Bytes::from(broken)].concat());
        let next = fetch(&mut oracle, 1, 0, &answer(2, served));
        assert_eq!(seen(&oracle), expected);
        assert!(!destroyed || next == 2, "the reader goes on behind it");
    }
}

#[test]
fn a_reader_in_a_hole_of_a_compacted_log_meets_the_damage_behind_it() {
    let place = Place::new(ID, 0);
    let rule = Compaction::draw(&mut Draw::new(1));
    // Whether it is compacted, whether something acknowledged lies in the hole, whether anything was destroyed behind it.
    let cases = [
        (true, false, true, None),
        (true, true, true, Some(Checker::Recovery)),
        (true, false, false, Some(Checker::Recovery)),
        (false, false, true, Some(Checker::Recovery)),
    ];
    for (compacted, between, destroyed, expected) in cases {
        let mut oracle = oracle();
        if compacted {
            oracle.set_compaction([("orders".to_owned(), rule)].into());
        }
        let good = batch(&mut oracle, 0, &ID, 0, 0);
        oracle.acked(place, 0, &good);
        if between {
            let middle = batch(&mut oracle, 1, &ID, 3, 0);
            oracle.acked(place, 3, &middle);
        }
        if destroyed {
            oracle.damaged([Damage::new(place, 8, 9), Damage::new(place, 5, 6)]);
        }
        let mut broken = batch(&mut oracle, 2, &ID, 5, 0).to_vec();
        broken[70] ^= 1;
        let served = Bytes::from([good, Bytes::from(broken)].concat());
        let next = fetch(&mut oracle, 1, 0, &answer(9, served));
        assert_eq!(seen(&oracle), expected, "{compacted} {between} {destroyed}");
        assert!(expected.is_some() || next == 6, "the reader goes on behind the first");
    }
}

#[test]
fn a_stray_batch_of_more_records_than_it_destroyed_leads_into_the_rest_of_them() {
    let place = Place::new(ID, 0);
    for (claims, expected) in [(true, None), (false, Some(Checker::RecreatedTopic))] {
        let mut oracle = oracle();
        let whole = batch(&mut oracle, 0, &ID, 0, 0);
        oracle.acked(place, 0, &whole);
        let record = |sequence| NewRecord {
            timestamp: 5,
            key: None,
            value: mark(sequence, &OTHER).encode(50),
            headers: Vec::new(),
        };
        let stray = build(&[record(7), record(8)], ProducerTag::NONE, Compression::None);
        let damage = Damage::new(place, 0, 1);
        oracle.damaged([if claims { damage.claimed_by(&stray) } else { damage }]);
        let served = Bytes::from([&stray[..], &whole[whole.len() - 9..]].concat());
        let next = fetch(&mut oracle, 1, 0, &answer(2, served));
        assert_eq!(seen(&oracle), expected);
        assert!(!claims || next == 3, "the reader goes on behind the rest");
    }
}

#[test]
fn what_stands_before_the_damage_is_still_promised() {
    let place = Place::new(ID, 0);
    for (damaged_from, expected) in [(0, None), (1, Some(Checker::AcknowledgedDurability))] {
        let mut oracle = oracle();
        let bytes = batch(&mut oracle, 0, &ID, 0, 0);
        oracle.acked(place, 0, &bytes);
        oracle.damaged([Damage::new(place, damaged_from, damaged_from + 1)]);
        oracle.begin_read_back();
        oracle.end_read_back();
        assert_eq!(seen(&oracle), expected);
    }
}

#[test]
fn only_a_damaged_partition_may_be_refused() {
    let mut oracle = oracle();
    let place = Place::new(ID, 0);
    assert!(!oracle.refused(place));
    oracle.damaged([Damage::new(place, 3, 4)]);
    assert!(oracle.refused(place));
    assert!(!oracle.refused(Place::new(ID, 1)));
}

#[test]
fn a_log_starts_later_only_where_retention_explains_it() {
    let by = |ms, bytes| Retention { ms, bytes };
    let cases = [
        (Retention::default(), false),
        (by(Some(50), None), true),
        (by(Some(150), None), false),
        (by(None, Some(100)), true),
        (by(None, Some(10_000)), false),
    ];
    for (retention, explained) in cases {
        let mut oracle = oracle();
        oracle.retention = retention;
        let place = Place::new(ID, 0);
        for offset in 0..3 {
            let bytes = batch(&mut oracle, offset, &ID, offset as i64, 0);
            oracle.acked(place, offset as i64, &bytes);
        }
        // The records are of time 5, and it is 105.
        oracle.process_started(105);
        assert_eq!(oracle.may_be_removed(place, 1), explained, "{retention:?}");
        let mut answer = answer(3, Bytes::new());
        answer.log_start_offset = 2;
        fetch(&mut oracle, 1, 3, &answer);
        assert_eq!(
            seen(&oracle),
            (!explained).then_some(Checker::Retention),
            "{retention:?}"
        );
    }
}

#[test]
fn what_retention_removed_is_not_missed() {
    for (start, expected) in [(1, None), (0, Some(Checker::AcknowledgedDurability))] {
        let mut oracle = oracle();
        oracle.retention.ms = Some(1);
        oracle.process_started(1000);
        let place = Place::new(ID, 0);
        let bytes = batch(&mut oracle, 0, &ID, 0, 0);
        oracle.acked(place, 0, &bytes);
        oracle.log_start(place, start);
        oracle.begin_read_back();
        oracle.end_read_back();
        assert_eq!(seen(&oracle), expected);
    }
}

fn create(oracle: &mut Oracle, begin: u64, id: [u8; 16]) {
    let request = Request::CreateTopic {
        name: "orders".to_owned(),
        partitions: 1,
        configs: Vec::new(),
    };
    let response = Response::CreateTopic { error: 0, id: Some(id) };
    oracle.heard(&request, begin, &response);
}

fn look(oracle: &mut Oracle, begin: u64, error: i16, id: [u8; 16]) {
    let topics = vec!["orders".to_owned()];
    let response = Response::Metadata {
        topics: vec![TopicMetadata {
            error,
            topic: topic(id),
            partitions: Vec::new(),
        }],
    };
    oracle.heard(&Request::Metadata { topics }, begin, &response);
}

fn delete(id: [u8; 16]) -> Request {
    Request::DeleteTopic {
        topic: topic(id),
        by_id: true,
    }
}

#[test]
fn whoever_looks_after_a_change_was_answered_sees_it() {
    // A look that began before the creation was answered may miss it, and one behind it may not.
    for (begin, expected) in [(5, None), (11, Some(Checker::Metadata))] {
        let mut oracle = oracle();
        oracle.set_now(10);
        create(&mut oracle, 1, ID);
        oracle.set_now(20);
        look(&mut oracle, begin, 3, [0; 16]);
        oracle.judge_registers();
        assert_eq!(seen(&oracle), expected);
    }
}

#[test]
fn a_deletion_that_nobody_heard_of_may_show_later_but_what_it_deleted_never_comes_back() {
    for (last, expected) in [(3, None), (0, Some(Checker::Metadata))] {
        let mut oracle = oracle();
        oracle.set_now(10);
        create(&mut oracle, 1, ID);
        oracle.unheard(&delete(ID), 12);
        for (now, error) in [(20, 0), (30, 3), (40, last)] {
            oracle.set_now(now);
            look(&mut oracle, now - 5, error, ID);
        }
        oracle.judge_registers();
        assert_eq!(seen(&oracle), expected);
    }
}

#[test]
fn a_topic_that_is_created_again_has_its_new_id_for_everybody() {
    for (told, expected) in [(OTHER, None), (ID, Some(Checker::Metadata))] {
        let mut oracle = oracle();
        oracle.set_now(10);
        create(&mut oracle, 1, ID);
        oracle.set_now(20);
        oracle.heard(&delete(ID), 15, &Response::DeleteTopic { error: 0 });
        oracle.set_now(30);
        create(&mut oracle, 25, OTHER);
        oracle.set_now(40);
        look(&mut oracle, 35, 0, told);
        oracle.judge_registers();
        assert_eq!(seen(&oracle), expected);
    }
}
