//! Logs that are opened again, and files that wait for a descriptor, while rounds run.

use super::{Bench, is_sync, limits};
use crate::config::{FlushMode, Limits};
use crate::storage::{FileOp, IoError, IoErrorKind, IoResult, LogId, Presence, StorageEvent, Token};
use crate::types::{Fault, FileId};

fn refused(kind: IoErrorKind) -> IoResult {
    let text = "refused".into();
    Err(IoError { kind, text })
}

/// Has a file of log 1 opened for a reader; what was asked for, and is not answered.
fn wanted(bench: &mut Bench, name: &str) -> (FileId, Token) {
    let path = Bench::path(1).join(name);
    let file = bench.storage.add_file(LogId(1), path, Presence::Existing);
    assert!(!bench.storage.want(file));
    bench.until(|op| matches!(op, FileOp::Open { .. }));
    let (token, _) = bench.asked.pop_front().expect("the open");
    (file, token)
}

/// Log 1 failed, and is in a round because of that; log 2 is what the round syncs. Log 1 is opened again, with `appends`,
/// before the round ends.
fn opened_again_within_a_round(appends: i64) -> Bench {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    for _ in 0..2 {
        bench.append(1);
        bench.settle();
    }
    assert_eq!(bench.durable(1), 2);
    let (_, first) = wanted(&mut bench, "a.log");
    let (_, second) = wanted(&mut bench, "b.log");
    bench.answer(first, refused(IoErrorKind::NotFound));
    bench.collect();
    bench.storage.take_events(&mut bench.events);
    assert!(matches!(
        bench.events.last(),
        Some(StorageEvent::WriteFailed { log: LogId(1), .. })
    ));
    bench.add(2);
    bench.append(2);
    bench.until(|op| matches!(op, FileOp::Write { .. }));
    bench.step();
    bench.answer(second, refused(IoErrorKind::NotFound));
    bench.until(is_sync);
    let (token, sync) = bench.asked.pop_front().expect("the sync of log 2");
    bench.events.clear();
    bench.storage.forget_log(LogId(1));
    bench.sizes.insert(1, 0);
    bench.storage.add_log(LogId(1), Bench::path(1), FlushMode::Fsync, true);
    let path = Bench::path(1).join("9.log");
    let file = bench.storage.add_file(LogId(1), path, Presence::New);
    bench.files.insert(1, file);
    for _ in 0..appends {
        bench.append(1);
    }
    bench.settle();
    let result = bench.disk.perform(&sync);
    bench.answer(token, result);
    bench
}

#[test]
fn a_round_says_nothing_of_a_log_that_was_opened_again_meanwhile() {
    for appends in [0, 1, 3] {
        let mut bench = opened_again_within_a_round(appends);
        assert_eq!(bench.durable(1), 0, "only the file of log 2 was synced");
        bench.settle();
        assert_eq!(bench.durable(1), appends);
        assert!(bench.storage.is_quiet());
    }
}

#[test]
fn a_file_of_a_closed_log_that_cannot_be_opened_says_nothing_of_the_log_opened_since() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    let (_, open) = wanted(&mut bench, "a.log");
    bench.storage.forget_log(LogId(1));
    bench.add(1);
    bench.answer(open, refused(IoErrorKind::NotFound));
    bench.append(1);
    bench.settle();
    assert_eq!(bench.durable(1), 1);
    assert!(bench.storage.is_quiet());
}

#[test]
fn a_reader_of_a_closed_log_says_nothing_of_the_log_opened_since() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    let (_, open) = wanted(&mut bench, "a.log");
    bench.storage.forget_log(LogId(1));
    bench.add(1);
    bench.answer(open, refused(IoErrorKind::TooManyOpenFiles));
    bench.settle();
    let unreadable = |event: &StorageEvent| matches!(event, StorageEvent::Unreadable { .. });
    assert!(!bench.events.iter().any(unreadable), "{:?}", bench.events);
    assert!(bench.storage.is_quiet());
}

#[test]
fn a_reader_that_finds_no_descriptor_costs_nobody_a_write() {
    let mut bench = Bench::new(FlushMode::Fsync, &Limits::default());
    bench.add(1);
    let (file, open) = wanted(&mut bench, "a.log");
    bench.append(1);
    bench.answer(open, refused(IoErrorKind::TooManyOpenFiles));
    while let Some((token, op)) = {
        bench.collect();
        bench.asked.pop_front()
    } {
        let again = matches!(op, FileOp::Open { file: of, .. } if of == file);
        let result = if again {
            refused(IoErrorKind::TooManyOpenFiles)
        } else {
            bench.disk.perform(&op)
        };
        bench.answer(token, result);
    }
    let fault = Fault::NoDescriptors;
    assert!(
        bench
            .events
            .contains(&StorageEvent::Unreadable { log: LogId(1), fault })
    );
    assert_eq!(bench.durable(1), 1);
    assert!(
        !bench.storage.want(file),
        "it is asked for again when it is wanted again"
    );
    bench.disk.put("log1/a.log", b"");
    bench.settle();
    assert!(bench.storage.want(file));
}

#[test]
fn descriptors_that_lacked_once_are_used_again() {
    let mut bench = Bench::new(FlushMode::Fsync, &limits(20, 16));
    bench.disk.descriptors = Some(2);
    let logs = 0..20;
    let round = |bench: &mut Bench| {
        for log in logs.clone() {
            bench.append(log);
            bench.settle();
        }
    };
    logs.clone().for_each(|log| bench.add(log));
    round(&mut bench);
    assert_eq!(bench.disk.most_open, 2);
    bench.disk.descriptors = None;
    for _ in 0..10 {
        round(&mut bench);
    }
    bench.disk.history.clear();
    round(&mut bench);
    assert_eq!(bench.disk.most_open, 20);
    assert!(!bench.disk.history.contains(&"close"), "each has its descriptor");
}

#[test]
fn what_waits_for_a_descriptor_is_synced_by_time_all_the_same() {
    let mut bench = Bench::new(FlushMode::Os, &Limits::default());
    bench.add(1);
    bench.append(1);
    bench.storage.sync(bench.files[&1]);
    bench.settle();
    assert!(bench.disk.history.contains(&"sync"), "{:?}", bench.disk.history);
    bench.disk.history.clear();
    bench.append(1);
    bench.settle();
    assert!(!bench.disk.history.contains(&"sync"), "once was asked for");
}
