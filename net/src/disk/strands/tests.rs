//! Random operations on a few files, in random order of completion, against a sequential model.

use super::super::{Cached, Disk, Performer, Root, Threads, Work, WorkKind};
use super::Strands;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::event::Event;
use crate::inbox::{Inbox, lock};
use bytes::Bytes;
use klamm_core::shard::Input;
use klamm_core::storage::{FileOp, FilePath, IoError, IoErrorKind, IoResult, IoValue, OpenMode, Piece};
use klamm_core::types::{FileId, LogDirectoryId, OpId, Seed};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

const FILES: u64 = 4;

/// A disk in memory that carries out work when the test says so.
#[derive(Default, Debug)]
struct Model {
    files: Mutex<BTreeMap<FileId, Vec<u8>>>,
    work: Mutex<Vec<Work>>,
    /// Bytes written so far, by file.
    written: Mutex<BTreeMap<FileId, u64>>,
    /// What was written when a sync began.
    covered: Mutex<BTreeMap<OpId, BTreeMap<FileId, u64>>>,
    /// Writes fail from this file size on.
    capacity: Option<usize>,
}

impl Model {
    fn write(&self, file: FileId, position: u64, pieces: &[&[u8]]) -> (u64, Option<IoError>) {
        let mut files = lock(&self.files);
        let content = files.entry(file).or_default();
        let (mut at, mut taken) = (position as usize, 0);
        for byte in pieces.iter().copied().flatten() {
            if self.capacity.is_some_and(|capacity| at >= capacity) {
                let text = String::from("full");
                return (
                    taken,
                    Some(IoError {
                        kind: IoErrorKind::NoSpace,
                        text,
                    }),
                );
            }
            content.resize(content.len().max(at + 1), 0);
            content[at] = *byte;
            (at, taken) = (at + 1, taken + 1);
        }
        *lock(&self.written).entry(file).or_default() += taken;
        (taken, None)
    }

    fn perform(&self, io: &FileOp) -> IoValue {
        let mut files = lock(&self.files);
        match io {
            FileOp::Open { file, .. } => {
                let size = files.entry(*file).or_default().len() as u64;
                IoValue::Opened { size }
            }
            FileOp::Read { file, position, length } => {
                let content = &files[file];
                let start = content.len().min(*position as usize);
                let end = content.len().min(start + *length as usize);
                IoValue::Bytes(Bytes::copy_from_slice(&content[start..end]))
            }
            FileOp::Truncate { file, size } => {
                files.entry(*file).or_default().resize(*size as usize, 0);
                IoValue::Done
            }
            other => panic!("not part of this test: {other:?}"),
        }
    }

    /// Carries out one piece of work, chosen by `seed`; answers whether there was one.
    fn carry_out_one(&self, seed: &mut Seed) -> bool {
        let work = {
            let mut work = lock(&self.work);
            if work.is_empty() {
                return false;
            }
            let chosen = seed.below(work.len() as u64) as usize;
            work.remove(chosen)
        };
        let event = match work.kind {
            WorkKind::Write { file, position, run } => {
                let (taken, error) = self.write(file, position, &run.slices());
                let outcomes: Vec<_> = run.outcomes(taken, error.as_ref()).collect();
                Event::Written { file, outcomes }
            }
            WorkKind::Io { op, strand, io } => {
                let result = Ok(self.perform(&io));
                Event::Io { op, strand, result }
            }
            WorkKind::Sync { files, round } => {
                let written = lock(&self.written);
                let covers = files
                    .iter()
                    .map(|file| (*file, written.get(file).copied().unwrap_or(0)));
                lock(&self.covered).entry(round.op).or_default().extend(covers);
                let Some((op, result)) = round.ended(None) else {
                    return true;
                };
                Event::Io {
                    op,
                    strand: None,
                    result,
                }
            }
            other => panic!("not part of this test: {other:?}"),
        };
        work.reply.push(event);
        true
    }
}

impl Disk for Model {
    fn write_now(&self, file: FileId, position: u64, pieces: &[&[u8]]) -> (u64, Option<IoError>) {
        self.write(file, position, pieces)
    }

    fn read_cached(&self, _file: FileId, _position: u64, _window: &mut [u8]) -> Cached {
        Cached::Elsewhere
    }

    fn submit(&self, work: &mut Vec<Work>) {
        lock(&self.work).append(work);
    }
}

/// Emits operations, keeps the sequential model of their answers, and compares.
struct Harness<D> {
    strands: Strands<D>,
    inbox: Arc<Inbox<Event>>,
    inputs: VecDeque<Input>,
    next: u32,
    expected: BTreeMap<OpId, IoResult>,
    /// Bytes that were to be written to each file so far.
    emitted: BTreeMap<FileId, u64>,
    /// What each sync has to cover.
    promised: BTreeMap<OpId, BTreeMap<FileId, u64>>,
    model: BTreeMap<FileId, Vec<u8>>,
}

impl<D: Disk> Harness<D> {
    fn new(disk: Arc<D>, write_now_bytes: usize) -> Self {
        let inbox = Arc::new(Inbox::default());
        let counters = Arc::new(Counters::default());
        Self {
            strands: Strands::new(disk, Arc::clone(&inbox), counters, write_now_bytes),
            inbox,
            inputs: VecDeque::new(),
            next: 0,
            expected: BTreeMap::new(),
            emitted: BTreeMap::new(),
            promised: BTreeMap::new(),
            model: BTreeMap::new(),
        }
    }

    fn emit(&mut self, io: FileOp, expected: IoResult) -> OpId {
        let op = OpId {
            slot: self.next,
            generation: 0,
        };
        self.next += 1;
        self.expected.insert(op, expected);
        self.strands.submit(op, io);
        op
    }

    fn emit_sync(&mut self, files: Vec<FileId>) {
        let promise = files
            .iter()
            .map(|file| (*file, self.emitted.get(file).copied().unwrap_or(0)))
            .collect();
        let op = self.emit(FileOp::Sync { files }, Ok(IoValue::Done));
        self.promised.insert(op, promise);
    }

    fn open_all(&mut self) {
        for file in (0..FILES).map(FileId) {
            let path = FilePath::new(LogDirectoryId(0), &format!("file-{}", file.0));
            let mode = OpenMode::CreateNew;
            self.emit(FileOp::Open { file, path, mode }, Ok(IoValue::Opened { size: 0 }));
            self.model.insert(file, Vec::new());
        }
    }

    fn emit_random(&mut self, seed: &mut Seed) {
        let file = FileId(seed.below(FILES));
        let done = || Ok(IoValue::Done);
        let content = self.model.entry(file).or_default();
        match seed.below(10) {
            0 => {
                let size = seed.below(content.len() as u64 + 1);
                content.truncate(size as usize);
                self.emit(FileOp::Truncate { file, size }, done());
            }
            1 | 2 => {
                let start = seed.below(content.len() as u64 + 1) as usize;
                let length = seed.below(100) as usize;
                let bytes = Bytes::copy_from_slice(&content[start..content.len().min(start + length)]);
                let io = FileOp::Read {
                    file,
                    position: start as u64,
                    length: length as u32,
                };
                self.emit(io, Ok(IoValue::Bytes(bytes)));
            }
            3 => {
                let files = (0..FILES).filter(|_| seed.chance(1, 2)).map(FileId).collect();
                self.emit_sync(files);
            }
            _ => {
                let position = if seed.chance(1, 4) {
                    seed.below(content.len() as u64 + 1)
                } else {
                    content.len() as u64
                };
                let pieces: Vec<Piece> = (0..=seed.below(3))
                    .map(|_| Piece::Body(Bytes::from(vec![seed.next_u64() as u8; seed.below(40) as usize])))
                    .collect();
                let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_ref().to_vec()).collect();
                let end = position as usize + bytes.len();
                content.resize(content.len().max(end), 0);
                content[position as usize..end].copy_from_slice(&bytes);
                *self.emitted.entry(file).or_default() += bytes.len() as u64;
                self.emit(FileOp::Write { file, position, pieces }, done());
            }
        }
    }

    /// One turn of a driver; compares every answer.
    fn turn(&mut self) {
        let mut events = Vec::new();
        self.inbox.take(&mut events);
        for event in events {
            match event {
                Event::Io { op, strand, result } => {
                    if let Some(file) = strand {
                        self.strands.ended(file);
                    }
                    self.inputs.push_back(Input::Io { op, result });
                }
                Event::Written { file, outcomes } => {
                    self.strands.ended(file);
                    self.inputs
                        .extend(outcomes.into_iter().map(|(op, result)| Input::Io { op, result }));
                }
                other => panic!("not part of this test: {other:?}"),
            }
        }
        self.strands.flush(&mut self.inputs);
        self.strands.dispatch();
        while let Some(Input::Io { op, result }) = self.inputs.pop_front() {
            let expected = self.expected.remove(&op).expect("each operation is answered once");
            assert_eq!(result, expected, "operation {op:?}");
        }
    }
}

#[test]
fn each_file_sees_its_operations_in_order() {
    for number in 0..200 {
        let mut seed = Seed::new(number);
        let model = Arc::new(Model::default());
        let mut harness = Harness::new(Arc::clone(&model), seed.below(120) as usize);
        harness.open_all();
        for _ in 0..300 {
            match seed.below(3) {
                0 => harness.emit_random(&mut seed),
                1 => harness.turn(),
                _ => _ = model.carry_out_one(&mut seed),
            }
        }
        while !harness.expected.is_empty() {
            harness.turn();
            let moved = model.carry_out_one(&mut seed);
            assert!(
                moved || harness.expected.is_empty(),
                "seed {number}: {:?} are never answered",
                harness.expected
            );
        }
        assert_eq!(*lock(&model.files), harness.model, "seed {number}");
        assert!(harness.strands.files.is_empty() && harness.strands.syncs.is_empty());
        let covered = lock(&model.covered);
        for (op, promise) in &harness.promised {
            for (file, bytes) in promise {
                assert!(
                    covered[op][file] >= *bytes,
                    "seed {number}: {op:?} began before earlier writes ended"
                );
            }
        }
    }
}

#[test]
fn threads_keep_the_order_of_each_file() {
    for number in 0..10 {
        let mut seed = Seed::new(number);
        let path = std::env::temp_dir().join(format!("klamm-strands-{}-{number}", std::process::id()));
        let disk = Threads::open(&path, 1, Clock::start(), Arc::default()).expect("the directory can be created");
        let threads = disk.start(4, 1, || ()).expect("threads can be started");
        let mut harness = Harness::new(Arc::clone(&disk), 60);
        harness.open_all();
        for _ in 0..400 {
            harness.emit_random(&mut seed);
            if seed.chance(1, 3) {
                harness.turn();
            }
        }
        while !harness.expected.is_empty() {
            harness.turn();
            std::thread::yield_now();
        }
        for (file, content) in &harness.model {
            let path = path.join(format!("file-{}", file.0));
            assert_eq!(&std::fs::read(path).expect("it was created"), content, "seed {number}");
        }
        disk.close();
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        std::fs::remove_dir_all(path).expect("it is ours");
    }
}

#[test]
fn a_sync_waits_for_earlier_writes_and_later_writes_do_not_wait_for_it() {
    let model = Arc::new(Model::default());
    let mut harness = Harness::new(Arc::clone(&model), 0);
    let write = |position| FileOp::Write {
        file: FileId(0),
        position,
        pieces: vec![Piece::Body(Bytes::from_static(b"x"))],
    };
    let done = || Ok(IoValue::Done);
    harness.emit(write(0), done());
    harness.emit_sync(vec![FileId(0), FileId(1)]);
    harness.emit(write(1), done());
    harness.turn();
    let kinds = || -> Vec<bool> {
        lock(&model.work)
            .iter()
            .map(|work| matches!(work.kind, WorkKind::Sync { .. }))
            .collect()
    };
    assert_eq!(kinds(), [false], "only the first write may run");
    model.carry_out_one(&mut Seed::new(1));
    harness.turn();
    assert_eq!(
        kinds(),
        [true, true, false],
        "the sync in two shares, and the second write beside it"
    );
}

#[test]
fn a_run_that_fails_half_way_fails_the_writes_it_did_not_reach() {
    let model = Arc::new(Model {
        capacity: Some(5),
        ..Model::default()
    });
    let mut harness = Harness::new(model, 100);
    let piece = || vec![Piece::Header([1; 61]), Piece::Body(Bytes::from_static(b"xx"))];
    let small = || vec![Piece::Body(Bytes::from_static(b"xx"))];
    let full = || {
        Err(IoError {
            kind: IoErrorKind::NoSpace,
            text: String::from("full"),
        })
    };
    let write = |position, pieces| FileOp::Write {
        file: FileId(0),
        position,
        pieces,
    };
    harness.emit(write(0, small()), Ok(IoValue::Done));
    harness.emit(write(2, small()), Ok(IoValue::Done));
    harness.emit(write(4, small()), full());
    harness.emit(write(6, piece()), full());
    harness.turn();
    assert!(harness.expected.is_empty());
}

#[test]
fn a_file_that_is_not_open_is_an_error_not_a_panic() {
    let path = std::env::temp_dir().join(format!("klamm-perform-{}", std::process::id()));
    let counters = Arc::new(Counters::default());
    let performer = Performer::new(
        Root::open(&path, 1).expect("it can be created"),
        Clock::start(),
        counters,
    );
    for io in [
        FileOp::Read {
            file: FileId(9),
            position: 0,
            length: u32::MAX,
        },
        FileOp::Sync { files: vec![FileId(9)] },
        FileOp::Close { file: FileId(9) },
        FileOp::Truncate {
            file: FileId(9),
            size: 0,
        },
    ] {
        assert_eq!(
            performer.perform(&io).expect_err("nothing is open").kind,
            IoErrorKind::NotFound
        );
    }
    std::fs::remove_dir_all(path).expect("it is ours");
}
