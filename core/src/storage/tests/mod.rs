//! What storage promises, on a disk in memory.

mod descriptors;
pub(crate) mod disk;
mod reopening;

use super::{FileOp, FilePath, IoError, IoErrorKind, IoResult, LogId, Piece, Presence, Storage, StorageEvent, Token};
use crate::config::{FlushMode, Limits};
use crate::types::{Fault, FileId, LogDirectoryId, Monotonic, Offset, ShardId};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;
use disk::Disk;

struct Bench {
    storage: Storage,
    disk: Disk,
    asked: VecDeque<(Token, FileOp)>,
    events: Vec<StorageEvent>,
    files: BTreeMap<u64, FileId>,
    sizes: BTreeMap<u64, i64>,
    flush: FlushMode,
    now: Monotonic,
}

const BYTES: i64 = 10;

impl Bench {
    fn new(flush: FlushMode, limits: &Limits) -> Self {
        Self {
            storage: Storage::new(LogDirectoryId(0), ShardId(2), flush, limits),
            disk: Disk::default(),
            asked: VecDeque::new(),
            events: Vec::new(),
            files: BTreeMap::new(),
            sizes: BTreeMap::new(),
            flush,
            now: Monotonic(0),
        }
    }

    fn path(log: u64) -> FilePath {
        FilePath::new(LogDirectoryId(0), &format!("log{log}"))
    }

    fn add(&mut self, log: u64) {
        let flush = self.flush;
        self.storage.add_log(LogId(log), Self::path(log), flush, false);
        let path = Self::path(log).join("0.log");
        let file = self.storage.add_file(LogId(log), path, Presence::New);
        self.files.insert(log, file);
    }

    /// Appends one record of ten bytes.
    fn append(&mut self, log: u64) {
        let size = self.sizes.entry(log).or_default();
        let pieces = alloc::vec![Piece::Body(Bytes::from_static(b"0123456789"))];
        let position = (*size * BYTES) as u64;
        *size += 1;
        let end = Offset(*size);
        self.storage.append(LogId(log), self.files[&log], position, pieces, end);
    }

    fn collect(&mut self) {
        self.asked.extend(self.storage.drain(self.now));
    }

    fn answer(&mut self, token: Token, result: IoResult) {
        self.storage.complete(token, result, &mut self.events);
    }

    /// Carries out the first operation that was asked for; says which it was.
    fn step(&mut self) -> Option<FileOp> {
        self.collect();
        let (token, op) = self.asked.pop_front()?;
        let result = self.disk.perform(&op);
        self.answer(token, result);
        Some(op)
    }

    fn settle(&mut self) {
        while self.step().is_some() {}
        self.storage.take_events(&mut self.events);
    }

    /// Carries out everything before the first operation for which `stop` holds.
    fn until(&mut self, stop: impl Fn(&FileOp) -> bool) -> FileOp {
        loop {
            self.collect();
            let (_, op) = self.asked.front().expect("it will be asked for");
            if stop(op) {
                return op.clone();
            }
            self.step();
        }
    }

    fn durable(&self, log: u64) -> i64 {
        let ends = self.events.iter().rev().find_map(|event| match event {
            StorageEvent::Durable { log: of, end } if of.0 == log => Some(end.0),
            _ => None,
        });
        ends.unwrap_or(0)
    }
}

fn is_sync(op: &FileOp) -> bool {
    matches!(op, FileOp::Sync { .. } | FileOp::SyncAll { .. })
}

fn limits(open_files: usize, singly: usize) -> Limits {
    Limits {
        open_files,
        files_synced_singly: singly,
        ..Limits::default()
    }
}

#[test]
fn a_write_that_ends_while_a_sync_runs_waits_for_the_next() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.until(is_sync);
    let sync = bench.asked.pop_front().expect("the sync of the first append");
    bench.append(1);
    bench.settle();
    assert_eq!(bench.durable(1), 0, "the round did not end");
    let result = bench.disk.perform(&sync.1);
    bench.answer(sync.0, result);
    assert_eq!(bench.durable(1), 1, "the first round covers what was written before it");
    bench.settle();
    assert_eq!(bench.durable(1), 2);
    assert!(bench.storage.is_quiet());
}

#[test]
fn many_dirty_files_are_synced_by_one_operation_few_singly() {
    let mut bench = Bench::new(FlushMode::Fsync, &limits(100, 3));
    for log in 0..4 {
        bench.add(log);
        bench.append(log);
    }
    bench.settle();
    for log in 0..4 {
        bench.append(log);
    }
    // All are written before the first round begins.
    bench.collect();
    for (token, op) in core::mem::take(&mut bench.asked) {
        let result = bench.disk.perform(&op);
        bench.answer(token, result);
    }
    let by_its_own = |op| matches!(op, FileOp::SyncAll { by: ShardId(2), .. });
    assert!(
        by_its_own(bench.until(is_sync)),
        "through a descriptor that no other shard shares"
    );
    bench.settle();
    for log in 0..3 {
        bench.append(log);
    }
    bench.collect();
    for (token, op) in core::mem::take(&mut bench.asked) {
        let result = bench.disk.perform(&op);
        bench.answer(token, result);
    }
    let FileOp::Sync { files } = bench.until(is_sync) else {
        panic!("three files are synced singly")
    };
    assert_eq!(files.len(), 3);
    bench.settle();
    assert_eq!((bench.durable(0), bench.durable(3)), (3, 2));
}

#[test]
fn a_failed_sync_is_the_end() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.until(is_sync);
    bench.disk.fail_syncs = true;
    bench.append(1);
    bench.settle();
    assert!(matches!(
        bench.events.last(),
        Some(StorageEvent::DirectoryFailed(Fault::Device(_)))
    ));
    assert_eq!(bench.durable(1), 0);
    bench.disk.fail_syncs = false;
    let before = bench.disk.history.len();
    bench.append(1);
    bench.settle();
    assert_eq!(
        bench.disk.history.len(),
        before,
        "nothing is asked for after a failed sync"
    );
    assert!(bench.storage.is_quiet(), "no operation is left without an answer");
}

#[test]
fn a_full_disk_fails_one_log_from_there_on_and_nothing_else() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    bench.add(2);
    bench.append(1);
    bench.append(2);
    bench.settle();
    bench.append(1);
    bench.until(|op| matches!(op, FileOp::Write { .. }));
    bench.step();
    bench.disk.room = Some(4);
    bench.append(1);
    bench.append(1);
    bench.settle();
    let failed = StorageEvent::WriteFailed {
        log: LogId(1),
        fault: Fault::NoSpace,
    };
    assert_eq!(bench.durable(1), 2, "what was written before becomes durable");
    assert_eq!(bench.events.last(), Some(&failed), "the failure is said last");
    assert_eq!(bench.events.iter().filter(|&event| *event == failed).count(), 1);
    bench.disk.room = None;
    bench.append(2);
    bench.settle();
    assert_eq!(bench.durable(2), 2);
    bench.storage.forget_log(LogId(1));
    bench.settle();
    assert_eq!(bench.disk.open_files(), 1, "the failed log's descriptor is closed");
}

#[test]
fn a_file_that_cannot_be_created_for_want_of_space_fails_its_log_only() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.append(1);
    bench.until(|op| matches!(op, FileOp::Open { .. }));
    let (token, _) = bench.asked.pop_front().expect("the open");
    let full = IoError {
        kind: IoErrorKind::NoSpace,
        text: "open: no space left on device".into(),
    };
    bench.answer(token, Err(full));
    bench.settle();
    let failed = StorageEvent::WriteFailed {
        log: LogId(1),
        fault: Fault::NoSpace,
    };
    assert_eq!(bench.events, [failed]);
    assert!(bench.storage.is_quiet());
}

#[test]
fn descriptors_stay_within_their_limit_and_dirty_ones_stay_open() {
    let mut bench = Bench::new(FlushMode::Fsync, &limits(2, 16));
    for log in 0..10 {
        bench.add(log);
        bench.append(log);
    }
    bench.settle();
    for log in (0..10).rev() {
        bench.append(log);
    }
    bench.settle();
    assert!((0..10).all(|log| bench.durable(log) == 2));
    assert_eq!(bench.disk.most_open, 2);
    let mut dirty = false;
    for op in &bench.disk.history {
        dirty = match *op {
            "write" => true,
            "sync" | "sync all" => false,
            "close" => panic_if(dirty),
            _ => dirty,
        };
    }
    assert!(bench.storage.is_quiet());
}

fn panic_if(dirty: bool) -> bool {
    assert!(!dirty, "a descriptor was closed while bytes were not synced");
    dirty
}

#[test]
fn a_new_file_that_lost_its_descriptor_before_its_first_write_is_not_synced() {
    let mut bench = Bench::new(FlushMode::Fsync, &limits(2, 16));
    bench.add(1);
    bench.append(1);
    bench.until(is_sync);
    let (token, sync) = bench.asked.pop_front().expect("the sync that runs meanwhile");
    bench.add(2);
    bench.storage.create(LogId(2), bench.files[&2]);
    bench.until(|op| matches!(op, FileOp::SyncDirectory { .. }));
    while let Some((token, op)) = bench.asked.pop_front() {
        let result = bench.disk.perform(&op);
        bench.answer(token, result);
    }
    // The descriptor goes to another log, and what is written to the new file waits for it.
    bench.add(3);
    bench.append(3);
    while bench.step().is_some_and(|op| !matches!(op, FileOp::Close { .. })) {}
    bench.append(2);
    let result = bench.disk.perform(&sync);
    bench.answer(token, result);
    bench.settle();
    assert_eq!(bench.storage.fault(), None);
    assert_eq!((1..=3).map(|log| bench.durable(log)).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_log_that_is_deleted_while_a_round_syncs_it_goes_when_the_round_is_over() {
    for flush in [FlushMode::Fsync, FlushMode::Os] {
        let mut bench = Bench::new(flush, &Limits::default());
        bench.add(1);
        bench.append(1);
        bench.step();
        bench.step();
        bench.step();
        assert!(!bench.storage.seal(bench.files[&1]));
        bench.until(is_sync);
        let (token, sync) = bench.asked.pop_front().expect("the sync");
        bench.storage.delete(LogId(1));
        bench.settle();
        assert_eq!(bench.disk.files(), ["log1/0.log"]);
        let result = bench.disk.perform(&sync);
        bench.answer(token, result);
        bench.settle();
        assert_eq!(bench.events.last(), Some(&StorageEvent::Deleted { log: LogId(1) }));
        assert!(bench.disk.files().is_empty());
    }
}

#[test]
fn a_process_out_of_descriptors_closes_idle_ones_and_goes_on() {
    let mut bench = Bench::new(FlushMode::Fsync, &limits(100, 16));
    bench.disk.descriptors = Some(3);
    for log in 0..10 {
        bench.add(log);
        bench.append(log);
        bench.settle();
    }
    assert!((0..10).all(|log| bench.durable(log) == 1));
    assert_eq!(bench.disk.most_open, 3);
}

#[test]
fn without_fsync_written_is_durable_and_a_sealed_file_is_synced_all_the_same() {
    let mut bench = Bench::new(FlushMode::Os, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.settle();
    assert_eq!(bench.durable(1), 1);
    assert_eq!(bench.disk.history, ["create directory", "open", "write"]);
    let file = bench.files[&1];
    assert!(!bench.storage.seal(file));
    bench.settle();
    let sealed = StorageEvent::Sealed { log: LogId(1), file };
    assert_eq!(bench.events.last(), Some(&sealed));
    bench.disk.power_cut();
    assert_eq!(bench.disk.file("log1/0.log"), Some(&b"0123456789"[..]));
}

#[test]
fn without_fsync_descriptors_are_freed_by_syncs_when_they_run_out() {
    let mut bench = Bench::new(FlushMode::Os, &limits(2, 16));
    for log in 0..6 {
        bench.add(log);
        bench.append(log);
    }
    bench.settle();
    assert!((0..6).all(|log| bench.durable(log) == 1));
    assert_eq!(bench.disk.most_open, 2);
}

#[test]
fn what_is_leased_is_removed_at_its_release_companion_first() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.settle();
    let file = bench.files[&1];
    let lease = bench.storage.lease(file);
    bench
        .storage
        .remove(LogId(1), file, Bench::path(1).join("0.checkpoint"));
    bench.settle();
    assert!(bench.disk.file("log1/0.log").is_some());
    bench.disk.history.clear();
    bench.storage.release(lease);
    bench.settle();
    assert_eq!(
        bench.disk.history,
        ["close", "remove", "sync directory", "remove", "sync directory"]
    );
    assert_eq!(bench.disk.file("log1/0.log"), None);
    assert!(bench.storage.is_quiet());
}

#[test]
fn a_reader_gets_on_once_leases_alone_keep_descriptors_open() {
    let mut bench = Bench::new(FlushMode::Fsync, &limits(2, 16));
    for log in 0..3 {
        bench.add(log);
        bench.append(log);
        bench.settle();
    }
    let [first, second, third] = [bench.files[&0], bench.files[&1], bench.files[&2]];
    assert!(!bench.storage.want(first));
    bench.settle();
    let held = bench.storage.lease(first);
    // The third has to wait while the second is on its way. Once both readers hold what they have, nobody closes any.
    assert!(!bench.storage.want(second) && !bench.storage.want(third));
    bench.until(|op| matches!(op, FileOp::Open { file, .. } if *file == second));
    bench.step();
    let also_held = bench.storage.lease(second);
    bench.settle();
    assert!(bench.storage.want(third), "nobody else will ever close a descriptor");
    bench.storage.release(held);
    bench.storage.release(also_held);
    bench.settle();
    assert!(bench.storage.is_quiet());
}

#[test]
fn a_deleted_log_goes_when_nothing_holds_it_and_an_unborn_one_at_once() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.settle();
    let lease = bench.storage.lease(bench.files[&1]);
    bench.storage.hold(LogId(1));
    bench.storage.delete(LogId(1));
    bench.storage.release(lease);
    bench.settle();
    assert!(bench.disk.file("log1/0.log").is_some(), "a job works in it");
    bench.storage.let_go(LogId(1));
    bench.settle();
    assert_eq!(bench.disk.files().len(), 0);
    assert_eq!(bench.events.last(), Some(&StorageEvent::Deleted { log: LogId(1) }));
    bench.add(2);
    bench.storage.delete(LogId(2));
    assert!(bench.storage.has_events());
    bench.settle();
    assert_eq!(bench.events.last(), Some(&StorageEvent::Deleted { log: LogId(2) }));
    assert!(bench.storage.is_quiet());
}

#[test]
fn a_round_waits_for_appends_that_the_last_answers_call_forth_and_no_longer_than_it_may() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.until(is_sync);
    let (token, sync) = bench.asked.pop_front().expect("the sync of the first append");
    bench.append(1);
    bench.settle();
    bench.now = Monotonic(200);
    let synced = bench.disk.perform(&sync);
    bench.answer(token, synced);
    bench.settle();
    assert_eq!(bench.durable(1), 1);
    assert!(!bench.storage.is_quiet(), "the second append waits");
    assert_eq!(bench.storage.next_deadline(), Some(Monotonic(400)));
    bench.append(1);
    bench.settle();
    assert_eq!(bench.durable(1), 3, "as many as were under way: one round for both");
    assert_eq!(bench.storage.next_deadline(), None);

    bench.now = Monotonic(1000);
    bench.append(1);
    bench.append(1);
    bench.until(is_sync);
    let (token, sync) = bench.asked.pop_front().expect("the sync");
    bench.append(1);
    bench.settle();
    let synced = bench.disk.perform(&sync);
    bench.answer(token, synced);
    bench.settle();
    let deadline = bench.storage.next_deadline().expect("it waits for two more");
    bench.now = deadline;
    bench.settle();
    assert_eq!(bench.durable(1), 6, "nobody came");
    assert!(bench.storage.is_quiet());
}

#[test]
fn a_round_that_waits_is_forgotten_with_its_log() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.until(is_sync);
    let (token, sync) = bench.asked.pop_front().expect("the sync of the first append");
    bench.append(1);
    bench.settle();
    bench.now = Monotonic(200);
    let synced = bench.disk.perform(&sync);
    bench.answer(token, synced);
    bench.settle();
    assert!(bench.storage.next_deadline().is_some());
    bench.storage.delete(LogId(1));
    bench.settle();
    assert_eq!(bench.storage.next_deadline(), None, "nothing is left to wait for");
    assert!(bench.storage.is_quiet());
}
