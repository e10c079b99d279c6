//! What needs a descriptor, where the process has none left: it waits, or is refused, and the device is not to blame.

use super::Bench;
use super::disk::Disk;
use crate::config::{FlushMode, Limits};
use crate::storage::{FileOp, FilePath, IoError, IoErrorKind, IoResult, LogId, Replace, StorageEvent, run_to_end};
use crate::types::{Fault, FileId, LogDirectoryId};
use alloc::collections::BTreeSet;
use alloc::format;
use bytes::Bytes;

fn no_descriptor() -> IoResult {
    Err(IoError {
        kind: IoErrorKind::TooManyOpenFiles,
        text: "too many open files".into(),
    })
}

fn is_name_sync(op: &FileOp) -> bool {
    matches!(op, FileOp::SyncDirectory { .. })
}

#[test]
fn a_directory_whose_sync_found_no_descriptor_is_synced_a_little_later() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.settle();
    bench.add(2);
    bench.append(2);
    let first = bench.until(is_name_sync);
    let (token, _) = bench.asked.pop_front().expect("it was asked for");
    bench.answer(token, no_descriptor());
    bench.settle();
    assert_eq!(bench.durable(2), 0, "its name is not");
    assert!(bench.disk.history.contains(&"close"), "an idle descriptor made room");
    assert!(!bench.storage.is_quiet());
    let again = bench.storage.next_deadline().expect("it is asked for again");
    assert!(again > bench.now);
    bench.now = again;
    assert_eq!(format!("{:?}", bench.until(is_name_sync)), format!("{first:?}"));
    bench.settle();
    assert_eq!(bench.durable(2), 1);
    assert!(bench.storage.fault().is_none() && bench.storage.is_quiet());
}

#[test]
fn a_log_is_removed_though_descriptors_lack_meanwhile() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.settle();
    bench.storage.delete(LogId(1));
    let mut refused = BTreeSet::new();
    while !bench.events.contains(&StorageEvent::Deleted { log: LogId(1) }) {
        bench.collect();
        let Some((token, op)) = bench.asked.pop_front() else {
            bench.now = bench.storage.next_deadline().expect("something waits");
            continue;
        };
        let needs_one = is_name_sync(&op) || matches!(op, FileOp::RemoveTree { .. });
        let result = if needs_one && refused.insert(format!("{op:?}")) {
            no_descriptor()
        } else {
            bench.disk.perform(&op)
        };
        bench.answer(token, result);
    }
    assert_eq!(refused.len(), 2, "the tree, and its parent's sync");
    assert!(bench.disk.files().is_empty() && bench.storage.is_quiet());
}

/// Replaces `old` by `new`, the operation for which `refuses` holds finding no descriptor `times` times.
fn replace(refuses: fn(&FileOp) -> bool, times: usize) -> (Result<(), Fault>, Disk) {
    let mut disk = Disk::default();
    disk.put("old", b"old");
    let path = |name| FilePath::new(LogDirectoryId(0), name);
    let mut job = Replace::new(FileId(1), path("old"), path("temporary"), Bytes::from_static(b"new"));
    let mut left = times;
    let outcome = run_to_end(&mut job, |op| {
        if refuses(&op) && left > 0 {
            left -= 1;
            return no_descriptor();
        }
        disk.perform(&op)
    });
    (outcome, disk)
}

#[test]
fn a_file_is_replaced_once_there_is_a_descriptor() {
    let is_open = |op: &FileOp| matches!(op, FileOp::Open { .. });
    for refuses in [is_open, is_name_sync] {
        let (outcome, mut disk) = replace(refuses, 20);
        assert_eq!(outcome, Ok(()));
        disk.power_cut();
        assert_eq!((disk.files().len(), disk.file("old")), (1, Some(&b"new"[..])));
    }
}

#[test]
fn a_file_that_finds_no_descriptor_for_long_is_not_replaced_and_the_device_is_not_to_blame() {
    let (outcome, disk) = replace(|op| matches!(op, FileOp::Open { .. }), usize::MAX);
    assert_eq!(outcome, Err(Fault::NoDescriptors));
    assert_eq!((disk.files().len(), disk.file("old")), (1, Some(&b"old"[..])));
    let (outcome, disk) = replace(is_name_sync, usize::MAX);
    assert_eq!(outcome, Err(Fault::NoDescriptors));
    assert_eq!(disk.open_files(), 0);
}
