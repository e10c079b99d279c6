//! Every operation on a real directory.

use super::super::root::Root;
use super::{Cached, Performer, Unfilled};
use crate::clock::Clock;
use crate::counters::{DiskFault, Snapshot};
use crate::memory::Memory;
use bytes::Bytes;
use klamm_core::record::{BatchBuilder, Compression, Level, Producer};
use klamm_core::storage::{
    DirectoryEntry, EntryKind, FileOp, FilePath, IoErrorKind, IoResult, IoValue, OpenMode, Piece,
};
use klamm_core::types::{
    Broken, Chain, Content, FileId, FileRange, Flaw, Gaps, LeaderEpoch, LogDirectoryId, Offset, Origin, ShardId,
    Timestamp,
};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

const FILE: FileId = FileId(1);

/// A directory with a performer, removed at the end.
struct Place {
    performer: Performer,
    path: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("klamm-perform-{name}-{}", std::process::id()));
        let root = Root::open(&path, 2).expect("the directory can be created");
        let performer = Performer::new(root, Clock::start(), Arc::default());
        Self { performer, path }
    }

    fn perform(&self, io: &FileOp) -> IoResult {
        self.performer.perform(io)
    }

    fn open(&self, file: FileId, name: &str, mode: OpenMode) -> IoResult {
        self.perform(&FileOp::Open {
            file,
            path: path(name),
            mode,
        })
    }

    fn write(&self, position: u64, pieces: Vec<Piece>) -> IoResult {
        self.perform(&FileOp::Write {
            file: FILE,
            position,
            pieces,
        })
    }

    fn read(&self, position: u64, length: u32) -> Bytes {
        match self.perform(&FileOp::Read {
            file: FILE,
            position,
            length,
        }) {
            Ok(IoValue::Bytes(bytes)) => bytes,
            other => panic!("not a read: {other:?}"),
        }
    }

    fn list(&self, name: &str) -> Vec<DirectoryEntry> {
        match self.perform(&FileOp::List { path: path(name) }) {
            Ok(IoValue::Entries(entries)) => entries,
            other => panic!("not a list: {other:?}"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn path(name: &str) -> FilePath {
    FilePath::new(LogDirectoryId(0), name)
}

fn kind(result: IoResult) -> IoErrorKind {
    result.expect_err("it cannot be done").kind
}

fn body(bytes: &[u8]) -> Piece {
    Piece::Body(Bytes::copy_from_slice(bytes))
}

#[test]
fn files_open_as_their_mode_says() {
    let place = Place::new("open");
    assert_eq!(kind(place.open(FILE, "a", OpenMode::Existing)), IoErrorKind::NotFound);
    assert_eq!(
        place.open(FILE, "a", OpenMode::CreateNew),
        Ok(IoValue::Opened { size: 0 })
    );
    assert_eq!(place.write(0, vec![body(b"12345")]), Ok(IoValue::Done));
    assert_eq!(
        kind(place.open(FILE, "a", OpenMode::CreateNew)),
        IoErrorKind::AlreadyExists
    );
    assert_eq!(
        place.open(FILE, "a", OpenMode::Existing),
        Ok(IoValue::Opened { size: 5 })
    );
    assert_eq!(
        place.open(FILE, "a", OpenMode::CreateOrEmpty),
        Ok(IoValue::Opened { size: 0 })
    );
    assert_eq!(
        place.perform(&FileOp::CreateDirectory { path: path("d") }),
        Ok(IoValue::Done)
    );
    assert_eq!(kind(place.open(FILE, "d", OpenMode::Existing)), IoErrorKind::Device);
}

#[test]
fn what_is_written_is_read_and_cut() {
    let place = Place::new("write");
    place.open(FILE, "a", OpenMode::CreateNew).expect("it is new");
    // More pieces than go into one system call, some of them empty.
    let pieces: Vec<Piece> = (0..700_u32)
        .map(|i| body(&i.to_be_bytes()[..(i % 5).min(4) as usize]))
        .collect();
    let content: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_ref().to_vec()).collect();
    assert_eq!(place.write(10, pieces), Ok(IoValue::Done));
    assert_eq!(place.read(10, u32::MAX), content);
    assert_eq!(place.read(0, 10), vec![0; 10]);
    assert_eq!(place.read(12, 3), content[2..5]);
    assert_eq!(place.read(1 << 40, 3), Bytes::new());
    assert_eq!(
        place.perform(&FileOp::Truncate { file: FILE, size: 12 }),
        Ok(IoValue::Done)
    );
    assert_eq!(place.read(10, 100), content[..2]);
    assert_eq!(place.write(0, Vec::new()), Ok(IoValue::Done));
    assert_eq!(place.perform(&FileOp::Close { file: FILE }), Ok(IoValue::Done));
    assert_eq!(kind(place.write(0, vec![body(b"x")])), IoErrorKind::NotFound);
}

#[test]
fn syncs_are_carried_out_and_counted() {
    let place = Place::new("sync");
    place.open(FILE, "a", OpenMode::CreateNew).expect("it is new");
    let directory = LogDirectoryId(0);
    for io in [
        FileOp::Sync { files: vec![FILE] },
        FileOp::SyncAll {
            directory,
            by: ShardId(1),
        },
        FileOp::SyncDirectory { path: path("") },
    ] {
        assert_eq!(place.perform(&io), Ok(IoValue::Done));
    }
    let mut counted = Snapshot::default();
    place.performer.counters().add_to(&mut counted);
    assert_eq!((counted.syncs, counted.sync_buckets.iter().sum::<u64>()), (3, 3));
    let nobodys = FileOp::SyncAll {
        directory,
        by: ShardId(2),
    };
    assert_eq!(kind(place.perform(&nobodys)), IoErrorKind::NotFound);
    assert_eq!(
        kind(place.perform(&FileOp::SyncDirectory { path: path("none") })),
        IoErrorKind::NotFound
    );
}

#[test]
fn directories_are_made_listed_renamed_and_removed() {
    let place = Place::new("tree");
    for name in ["b", "b/c", "b"] {
        assert_eq!(
            place.perform(&FileOp::CreateDirectory { path: path(name) }),
            Ok(IoValue::Done)
        );
    }
    place.open(FILE, "b/file", OpenMode::CreateNew).expect("it is new");
    place.write(0, vec![body(b"123")]).expect("it is open");
    assert_eq!(
        kind(place.perform(&FileOp::CreateDirectory { path: path("b/file") })),
        IoErrorKind::AlreadyExists
    );
    let entry = |name: &str, kind| DirectoryEntry {
        name: String::from(name),
        kind,
    };
    assert_eq!(
        place.list("b"),
        [entry("c", EntryKind::Directory), entry("file", EntryKind::File(3))]
    );
    let renamed = place.perform(&FileOp::Rename {
        from: path("b/file"),
        to: path("b/c/other"),
    });
    assert_eq!(renamed, Ok(IoValue::Done));
    assert_eq!(place.list("b/c"), [entry("other", EntryKind::File(3))]);
    for _ in 0..2 {
        assert_eq!(
            place.perform(&FileOp::Remove {
                path: path("b/c/other")
            }),
            Ok(IoValue::Done)
        );
    }
    assert_eq!(place.list("b/c"), []);
    for _ in 0..2 {
        assert_eq!(
            place.perform(&FileOp::RemoveTree { path: path("b") }),
            Ok(IoValue::Done)
        );
    }
    assert_eq!(place.list(""), []);
    assert_eq!(
        kind(place.perform(&FileOp::RemoveTree { path: path("") })),
        IoErrorKind::PermissionDenied
    );
    assert_eq!(
        kind(place.perform(&FileOp::List { path: path("b") })),
        IoErrorKind::NotFound
    );
    assert_eq!(
        kind(place.perform(&FileOp::Remove { path: path("../x") })),
        IoErrorKind::PermissionDenied
    );
}

#[test]
fn a_lock_is_had_once_and_goes_with_its_holder() {
    let place = Place::new("lock");
    let io = FileOp::Lock { path: path(".lock") };
    let other = || {
        let root = Root::open(&place.path, 1).expect("it is there");
        Performer::new(root, Clock::start(), Arc::default())
    };
    let first = other();
    assert_eq!(first.perform(&io), Ok(IoValue::Done));
    assert_eq!(kind(place.perform(&io)), IoErrorKind::Locked);
    drop(first);
    assert_eq!(place.perform(&io), Ok(IoValue::Done));
    assert_eq!(kind(other().perform(&io)), IoErrorKind::Locked);
}

#[test]
fn the_volume_has_the_directorys_path_and_room_that_writes_take() {
    let place = Place::new("volume");
    let directory = LogDirectoryId(0);
    let Ok(IoValue::Volume(volume)) = place.perform(&FileOp::Volume { directory }) else {
        panic!("a directory that is there has a volume");
    };
    assert_eq!(
        PathBuf::from(&volume.path),
        place.path.canonicalize().expect("it is there")
    );
    assert!(0 < volume.usable && volume.usable <= volume.total, "{volume:?}");
}

#[test]
fn a_file_that_ends_early_is_gone_not_empty() {
    let place = Place::new("ends");
    place.open(FILE, "a", OpenMode::CreateNew).expect("it is new");
    place.write(0, vec![body(b"12345")]).expect("it is open");
    let memory = Memory::new(1 << 20);
    let fill = |position, length| {
        let buffer = memory.buffer(length as usize).expect("the budget is untouched");
        place.performer.fill(
            FileRange {
                file: FILE,
                position,
                length,
            },
            &mut Content::Opaque,
            buffer,
        )
    };
    assert_eq!(fill(1, 3), Ok(Bytes::from_static(b"234")));
    assert_eq!(fill(3, 100), Ok(Bytes::from_static(b"45")));
    let Err(Unfilled::Unreadable(nothing)) = fill(5, 1) else {
        panic!("there is nothing")
    };
    assert_eq!(nothing.kind, IoErrorKind::Device);
    let mut window = [0; 3];
    assert_eq!(place.performer.read_cached(FILE, 2, &mut window), Cached::Read);
    assert_eq!(window, *b"345");
    let part = place.performer.read_cached(FILE, 3, &mut window);
    assert_eq!(part, Cached::Elsewhere, "a part alone is none");
    assert_eq!(place.performer.read_cached(FILE, 5, &mut window), Cached::Gone);
    assert_eq!(place.performer.read_cached(FileId(9), 0, &mut window), Cached::Gone);
}

#[test]
fn what_is_read_from_the_device_is_checked_also_what_was_sent_of_its_batch_before() {
    let place = Place::new("rot");
    place.open(FILE, "a", OpenMode::CreateNew).expect("it is new");
    let mut builder = BatchBuilder::new(Compression::None, Level::default(), Producer::Plain);
    builder.append(Timestamp(5), None, Some(&vec![7; 200_000]), &[]);
    let mut batch = builder.build().expect("it has a record");
    batch.stamp(Offset(40), LeaderEpoch(3));
    let sound = batch.to_bytes();
    let memory = Memory::new(1 << 20);
    let end = (sound.len() as u64, Offset(41));
    for sent in [0, 60, 61, 62, 150_000] {
        for rotten in [None, Some(100), Some(149_999), Some(sound.len() - 1)] {
            let mut bytes = sound.to_vec();
            if let Some(at) = rotten {
                bytes[at] ^= 1;
            }
            place.write(0, vec![body(&bytes)]).expect("it is open");
            let epochs = vec![(LeaderEpoch(3), Offset(0))];
            let mut content = Content::Batches(Box::new(Chain::new((0, Offset(40)), end, Gaps::None, epochs)));
            content
                .pass(&bytes[..sent], Origin::Cache)
                .expect("the header is the one that is due");
            let range = FileRange {
                file: FILE,
                position: sent as u64,
                length: (bytes.len() - sent) as u32,
            };
            let buffer = memory.buffer(range.length as usize).expect("the budget is untouched");
            let filled = place.performer.fill(range, &mut content, buffer);
            let broken = Broken {
                position: 0,
                offset: Offset(40),
                flaw: Flaw::Crc,
            };
            let expected = match rotten {
                None => Ok(sound.slice(sent..)),
                Some(_) => Err(Unfilled::Broken(broken)),
            };
            assert!(filled == expected, "{sent} bytes were sent, {rotten:?} rotted");
        }
    }
}

#[test]
fn what_the_page_cache_forgets_is_there_all_the_same_and_only_of_files_that_are_open() {
    let place = Place::new("forget");
    place.open(FILE, "a", OpenMode::CreateNew).expect("it is new");
    let bytes: Vec<u8> = (0..300_000).map(|at| at as u8).collect();
    place.write(0, vec![body(&bytes)]).expect("it is open");
    let forget = |file, position, length| place.perform(&FileOp::Forget { file, position, length });
    let synced = place.perform(&FileOp::Sync { files: vec![FILE] });
    assert_eq!(synced, Ok(IoValue::Done));
    for (position, length) in [(100_000, 1), (0, 300_000), (299_999, u64::MAX)] {
        assert_eq!(forget(FILE, position, length), Ok(IoValue::Done));
        assert_eq!(place.read(0, 400_000), bytes);
    }
    assert_eq!(kind(forget(FileId(9), 0, 1)), IoErrorKind::NotFound);
}

#[test]
fn a_full_device_is_told_from_a_broken_one() {
    // Writing to it fails as a full disk does; it is no regular file, so it is bound here by hand.
    let place = Place::new("full");
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let open = super::OpenFile {
        file: full,
        path: path("full"),
    };
    place.performer.root.bind(FILE, open);
    assert_eq!(kind(place.write(0, vec![body(b"x")])), IoErrorKind::NoSpace);
}

#[test]
fn what_fails_is_counted_by_its_kind_and_an_ordinary_no_is_not() {
    let place = Place::new("faults");
    let bind = |file, content| {
        let path = path("bound");
        place.performer.root.bind(file, super::OpenFile { file: content, path });
    };
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    bind(FILE, full.expect("Linux has it"));
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let pipe = FileId(2);
    bind(pipe, std::os::fd::OwnedFd::from(writer).into());

    assert!(place.open(FileId(3), "none", OpenMode::Existing).is_err());
    let (position, length) = (0, 1);
    for (io, fault) in [
        (
            FileOp::Write {
                file: FILE,
                position,
                pieces: vec![body(b"x")],
            },
            DiskFault::NoSpace,
        ),
        (
            FileOp::Write {
                file: pipe,
                position,
                pieces: vec![body(b"x")],
            },
            DiskFault::Write,
        ),
        // A pipe has nothing to sync, and no size.
        (FileOp::Sync { files: vec![pipe] }, DiskFault::Sync),
        (FileOp::Truncate { file: pipe, size: 0 }, DiskFault::Write),
        (FileOp::SyncDirectory { path: path("none") }, DiskFault::Sync),
        (FileOp::RemoveTree { path: path("") }, DiskFault::Other),
    ] {
        let before = faults(&place);
        assert!(place.perform(&io).is_err(), "{io:?}");
        let mut expected = before;
        expected[fault as usize] += 1;
        assert_eq!(faults(&place), expected, "{io:?}");
    }
    let before = faults(&place)[DiskFault::Read as usize];
    let mut window = [0; 8];
    assert_eq!(place.performer.read_cached(pipe, position, &mut window), Cached::Gone);
    let memory = Memory::new(1 << 20);
    let buffer = memory.buffer(8).expect("the budget is untouched");
    let range = FileRange {
        file: pipe,
        position,
        length,
    };
    assert!(place.performer.fill(range, &mut Content::Opaque, buffer).is_err());
    assert_eq!(faults(&place)[DiskFault::Read as usize], before + 2);
}

fn faults(place: &Place) -> [u64; DiskFault::ALL.len()] {
    let mut counted = Snapshot::default();
    place.performer.counters().add_to(&mut counted);
    counted.disk_faults
}

#[test]
fn each_shard_syncs_through_a_descriptor_of_its_own() {
    let path = std::env::temp_dir().join(format!("klamm-perform-shards-{}", std::process::id()));
    let root = Root::open(&path, 3).expect("the directory can be created");
    let descriptor = |shard| {
        root.directory(ShardId(shard))
            .map(AsRawFd::as_raw_fd)
            .expect("it is open")
    };
    assert!(descriptor(0) != descriptor(1) && descriptor(1) != descriptor(2) && descriptor(0) != descriptor(2));
    assert_eq!(descriptor(1), descriptor(1), "the same at every sync");
    assert!(root.directory(ShardId(3)).is_err());
    std::fs::remove_dir_all(path).expect("it is ours");
}
