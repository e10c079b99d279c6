//! What the disk model's faults may and may not do.

mod real_directory;

use super::{Disk, Hearers, SyncFailure};
use crate::draw::Draw;
use bytes::Bytes;
use klamm_core::storage::{FileOp, FilePath, IoErrorKind};
use klamm_core::storage::{OpenMode, Piece};
use klamm_core::types::{FileId, LogDirectoryId, ShardId};

const DIRECTORY: LogDirectoryId = LogDirectoryId(0);

fn path(relative: &str) -> FilePath {
    FilePath::new(DIRECTORY, relative)
}

fn write(file: u64, position: u64, value: u8, length: usize) -> FileOp {
    FileOp::Write {
        file: FileId(file),
        position,
        pieces: vec![Piece::Body(Bytes::from(vec![value; length]))],
    }
}

fn create(file: u64, name: &str) -> FileOp {
    FileOp::Open {
        file: FileId(file),
        path: path(name),
        mode: OpenMode::CreateNew,
    }
}

fn sync(file: u64) -> FileOp {
    FileOp::Sync {
        files: vec![FileId(file)],
    }
}

fn perform(disk: &mut Disk, ops: &[FileOp]) {
    for op in ops {
        disk.perform(op).expect("a healthy disk");
    }
}

/// A disk with `log` durable: 1000 bytes of 1.
fn synced_log() -> Disk {
    let mut disk = Disk::new();
    let directory = FileOp::SyncDirectory { path: path("") };
    perform(&mut disk, &[create(1, "log"), write(1, 0, 1, 1000), sync(1), directory]);
    disk
}

fn content(disk: &Disk, name: &str) -> Option<Vec<u8>> {
    let files = disk.files();
    files
        .into_iter()
        .find(|(path, _)| path == name)
        .map(|(_, bytes)| bytes.to_vec())
}

#[test]
fn a_kill_keeps_the_page_cache_and_a_power_cut_only_what_was_synced() {
    let mut killed = synced_log();
    perform(&mut killed, &[write(1, 1000, 2, 700)]);
    killed.kill();
    assert_eq!(content(&killed, "log").map(|bytes| bytes.len()), Some(1700));
    for seed in 0..200 {
        let mut cut = synced_log();
        perform(&mut cut, &[write(1, 1000, 2, 700)]);
        cut.power_cut(&mut Draw::new(seed));
        let bytes = content(&cut, "log").expect("a durable name");
        assert_eq!(bytes[..1000], [1; 1000], "seed {seed}: synced bytes survive");
    }
}

#[test]
fn a_power_cut_reaches_every_kind_of_tail() {
    let (mut nothing, mut everything, mut prefix, mut zeros, mut stale) = (0, 0, 0, 0, 0);
    for seed in 0..400 {
        let mut disk = synced_log();
        perform(&mut disk, &[write(1, 1000, 2, 500), write(1, 1500, 3, 2000)]);
        let report = disk.power_cut(&mut Draw::new(seed));
        assert_eq!(report.unsynced_bytes, 2500);
        let tail = content(&disk, "log").expect("a durable name").split_off(1000);
        let whole = [vec![2; 500], vec![3; 2000]].concat();
        assert!(
            [0, 500, 2500].contains(&tail.len()),
            "sizes are ones that the file had: {}",
            tail.len()
        );
        assert_eq!(report.torn_files, usize::from(tail != whole));
        match tail {
            tail if tail.is_empty() => nothing += 1,
            tail if tail == whole => everything += 1,
            tail if tail.iter().any(|byte| ![0, 2, 3].contains(byte)) => stale += 1,
            tail if tail.is_sorted_by_key(|byte| *byte == 0) => prefix += 1,
            _ => zeros += 1,
        }
    }
    for (kind, seen) in [nothing, everything, prefix, zeros, stale].into_iter().enumerate() {
        assert!(seen > 5, "kind {kind} was seen {seen} times");
    }
}

#[test]
fn a_name_is_durable_only_once_its_directory_was_synced() {
    let mut lost = 0;
    for seed in 0..100 {
        let mut disk = Disk::new();
        perform(&mut disk, &[create(1, "log"), write(1, 0, 1, 10), sync(1)]);
        disk.power_cut(&mut Draw::new(seed));
        lost += u32::from(content(&disk, "log").is_none());
    }
    assert!((20..90).contains(&lost), "lost {lost} of 100");
    for seed in 0..100 {
        let mut disk = synced_log();
        let replace = FileOp::Rename {
            from: path("new"),
            to: path("log"),
        };
        perform(&mut disk, &[create(2, "new"), write(2, 0, 9, 5), sync(2), replace]);
        disk.power_cut(&mut Draw::new(seed));
        let bytes = content(&disk, "log").expect("the old file or the new one");
        assert!(
            bytes == [1; 1000] || bytes == [9; 5],
            "seed {seed}: a rename arrives whole or not at all"
        );
    }
}

#[test]
fn a_failed_sync_of_names_leaves_them_shown_and_not_durable() {
    let mut disk = synced_log();
    perform(&mut disk, &[create(2, "new")]);
    let names = FileOp::SyncDirectory { path: path("") };
    let ticket = disk.begin_sync(&names).expect("the directory");
    assert!(disk.covers_names(&ticket) && disk.covers_new(&ticket, |name| name == "new"));
    assert!(!disk.covers_new(&ticket, |name| name == "log"));
    assert!(disk.fail_sync(&ticket, SyncFailure::StaysDirty).is_err());
    assert!(content(&disk, "new").is_some());
    assert_eq!(disk.durable_names("").expect("the root"), ["log"]);
    disk.kill();
    perform(&mut disk, std::slice::from_ref(&names));
    let ticket = disk.begin_sync(&names).expect("the directory");
    assert!(!disk.covers_names(&ticket));
    assert_eq!(disk.durable_names("").expect("the root"), ["log", "new"]);
}

#[test]
fn a_power_cut_may_bring_back_a_name_that_a_killed_process_had_made_and_removed() {
    let mut came_back = 0;
    for seed in 0..100 {
        let mut disk = synced_log();
        let remove = FileOp::Remove { path: path("new") };
        perform(&mut disk, &[create(2, "new"), write(2, 0, 9, 5), sync(2), remove]);
        disk.kill();
        disk.power_cut(&mut Draw::new(seed));
        came_back += u32::from(content(&disk, "new") == Some(vec![9; 5]));
    }
    assert!((5..80).contains(&came_back), "came back {came_back} times of 100");
}

#[test]
fn a_write_that_came_after_a_sync_began_is_not_covered_by_it() {
    let mut disk = synced_log();
    perform(&mut disk, &[write(1, 1000, 2, 100)]);
    let ticket = disk.begin_sync(&sync(1)).expect("an open file");
    perform(&mut disk, &[write(1, 1100, 3, 100)]);
    disk.end_sync(&ticket).expect("a healthy disk");
    let durable = disk.durable_file("log").expect("a durable file");
    assert_eq!(durable.bytes.len(), 1100);
    assert_eq!(disk.dirty_bytes(), 100);
}

#[test]
fn syncs_may_end_in_another_order_than_they_began() {
    let mut disk = synced_log();
    perform(&mut disk, &[write(1, 1000, 2, 100)]);
    let first = disk.begin_sync(&sync(1)).expect("an open file");
    perform(&mut disk, &[write(1, 1100, 3, 100)]);
    let second = disk.begin_sync(&sync(1)).expect("an open file");
    disk.end_sync(&second).expect("a healthy disk");
    disk.end_sync(&first).expect("a healthy disk");
    let durable = disk.durable_file("log").expect("a durable file").bytes;
    assert_eq!((durable.len(), durable[1150]), (1200, 3));
}

#[test]
fn a_sync_does_not_bring_back_what_another_gave_up_meanwhile() {
    for failure in [
        SyncFailure::CleanUntilEvicted,
        SyncFailure::RevertedAtOnce,
        SyncFailure::SizeWithoutData,
    ] {
        let mut disk = synced_log();
        perform(&mut disk, &[write(1, 1000, 2, 100)]);
        let first = disk.begin_sync(&sync(1)).expect("an open file");
        perform(&mut disk, &[write(1, 1100, 3, 100)]);
        let second = disk.begin_sync(&sync(1)).expect("an open file");
        assert!(disk.fail_sync(&first, failure).is_err());
        assert!(
            disk.end_sync(&second).is_err(),
            "{failure:?}: it waited for the lost page too"
        );
        let durable = disk.durable_file("log").expect("a durable file").bytes;
        assert_eq!(
            (durable[1050], durable[1150]),
            (0, 3),
            "{failure:?}: only what came after the failure is on the device"
        );
    }
}

#[test]
fn growth_is_no_rewrite_of_durable_bytes_and_an_overwrite_is() {
    let mut disk = synced_log();
    let rewrites = |disk: &Disk| disk.durable_file("log").expect("a durable file").rewrites;
    let before = rewrites(&disk);
    perform(&mut disk, &[write(1, 1000, 2, 100), sync(1)]);
    assert_eq!(rewrites(&disk), before);
    perform(&mut disk, &[write(1, 500, 2, 1), sync(1)]);
    assert_eq!(rewrites(&disk), before + 1);
}

#[test]
fn a_failed_sync_loses_what_its_kind_says_and_a_later_sync_does_not_bring_it_back() {
    let cases = [
        (SyncFailure::CleanUntilEvicted, 2, 1000),
        (SyncFailure::RevertedAtOnce, 0, 1000),
        (SyncFailure::SizeWithoutData, 2, 1100),
        (SyncFailure::StaysDirty, 2, 1100),
    ];
    for (failure, readable, size) in cases {
        let mut disk = synced_log();
        perform(&mut disk, &[write(1, 1000, 2, 100)]);
        let ticket = disk.begin_sync(&sync(1)).expect("an open file");
        assert!(disk.fail_sync(&ticket, failure).is_err());
        assert_eq!(
            content(&disk, "log").expect("a file")[1050],
            readable,
            "{failure:?}: in the cache"
        );
        if failure == SyncFailure::StaysDirty {
            perform(&mut disk, &[sync(1)]);
        }
        let durable = disk.durable_file("log").expect("a durable file").bytes;
        assert_eq!(durable.len(), size, "{failure:?}: on the device");
        let expected = if failure == SyncFailure::StaysDirty { 2 } else { 0 };
        assert!(
            durable[1000..].iter().all(|&byte| byte == expected),
            "{failure:?}: on the device"
        );
    }
}

#[test]
fn only_descriptors_open_at_the_time_hear_of_a_failed_write_back() {
    let mut disk = synced_log();
    perform(&mut disk, &[write(1, 1000, 2, 100)]);
    assert!(disk.fail_write_back(Hearers::All, |_| 0));
    assert!(disk.perform(&sync(1)).is_err(), "the next sync says so");
    perform(&mut disk, &[write(1, 1100, 2, 100)]);
    assert!(disk.fail_write_back(Hearers::All, |_| 0));
    let reopen = FileOp::Open {
        file: FileId(2),
        path: path("log"),
        mode: OpenMode::Existing,
    };
    perform(&mut disk, &[FileOp::Close { file: FileId(1) }, reopen, sync(2)]);
    let durable = disk.durable_file("log").expect("a durable file").bytes;
    assert!(
        durable.get(1100).is_none_or(|&byte| byte == 0),
        "silently lost with the descriptor"
    );
    assert!(!disk.fail_write_back(Hearers::All, |_| 0), "nothing is dirty any more");
}

#[test]
fn a_failed_write_back_is_told_to_all_who_had_the_file_open_or_to_the_first_who_asks() {
    for (hearers, told) in [(Hearers::All, [true, true]), (Hearers::First, [true, false])] {
        let mut disk = synced_log();
        let open = FileOp::Open {
            file: FileId(2),
            path: path("log"),
            mode: OpenMode::Existing,
        };
        perform(&mut disk, &[open, write(1, 1000, 2, 100)]);
        assert!(disk.fail_write_back(hearers, |_| 0));
        let all = FileOp::SyncAll {
            directory: DIRECTORY,
            by: ShardId(0),
        };
        assert!(
            disk.perform(&all).is_err(),
            "a sync of everything says so and takes nobody's error away"
        );
        let heard = [2, 1].map(|file| disk.perform(&sync(file)).is_err());
        assert_eq!(heard, told, "{hearers:?}");
        perform(&mut disk, &[sync(1), sync(2)]);
    }
}

#[test]
fn a_full_disk_takes_a_prefix_and_takes_the_rest_once_there_is_room() {
    let mut disk = synced_log();
    disk.set_capacity(Some(1300));
    let short = disk.perform(&write(1, 1000, 2, 700)).map_err(|failure| failure.kind);
    assert_eq!(short, Err(IoErrorKind::NoSpace));
    assert_eq!(content(&disk, "log").map(|bytes| bytes.len()), Some(1300));
    perform(&mut disk, &[write(1, 900, 3, 400)]);
    disk.set_capacity(None);
    perform(&mut disk, &[write(1, 1000, 2, 700)]);
    assert_eq!(content(&disk, "log").map(|bytes| bytes.len()), Some(1700));
}

#[test]
fn every_shard_hears_once_that_a_write_back_failed() {
    let all = |shard| FileOp::SyncAll {
        directory: DIRECTORY,
        by: ShardId(shard),
    };
    let synced = |disk: &mut Disk, shard| {
        let ticket = disk.begin_sync(&all(shard)).expect("a sync of all names no file");
        disk.end_sync(&ticket).is_ok()
    };
    let mut disk = synced_log();
    perform(&mut disk, &[write(1, 1000, 2, 100)]);
    assert!(disk.fail_write_back(Hearers::All, |_| 0));
    assert!(!synced(&mut disk, 0), "the first to ask");
    assert!(synced(&mut disk, 0), "told already");
    assert!(!synced(&mut disk, 1), "nobody took its news");

    perform(&mut disk, &[write(1, 1100, 2, 100)]);
    let (failing, beside) = (disk.begin_sync(&all(0)), disk.begin_sync(&all(1)));
    let (failing, beside) = (failing.expect("it begins"), beside.expect("it begins"));
    assert!(disk.fail_sync(&failing, SyncFailure::StaysDirty).is_err());
    assert!(synced(&mut disk, 0), "told by the sync that failed");
    assert!(disk.end_sync(&beside).is_err(), "it waited for the same pages");

    perform(&mut disk, &[write(1, 1200, 2, 100)]);
    assert!(disk.fail_write_back(Hearers::All, |_| 0));
    disk.kill();
    assert!(
        synced(&mut disk, 0) && synced(&mut disk, 1),
        "descriptors that were opened later"
    );
}

#[test]
fn a_process_that_starts_later_does_not_hear_of_what_failed_before() {
    let ends: [fn(&mut Disk); 2] = [Disk::kill, |disk| _ = disk.power_cut(&mut Draw::new(1))];
    for end in ends {
        let mut disk = synced_log();
        perform(&mut disk, &[write(1, 1000, 2, 100)]);
        assert!(disk.fail_write_back(Hearers::All, |_| 0));
        end(&mut disk);
        let all = FileOp::SyncAll {
            directory: DIRECTORY,
            by: ShardId(0),
        };
        perform(&mut disk, &[all]);
    }
}
