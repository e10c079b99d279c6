//! The disk model against a real directory: without faults, both answer alike.

use super::{DIRECTORY, path};
use crate::disk::Disk;
use crate::draw::Draw;
use bytes::Bytes;
use klamm_core::storage::{DirectoryEntry, EntryKind, FileOp, FilePath, IoError, IoErrorKind, IoResult, IoValue};
use klamm_core::storage::{OpenMode, Piece};
use klamm_core::types::{FileId, ShardId};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The same operations on a real directory.
struct RealDirectory {
    root: PathBuf,
    open: BTreeMap<FileId, File>,
    locked: bool,
}

impl RealDirectory {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            open: BTreeMap::new(),
            locked: false,
        }
    }

    fn at(&self, path: &FilePath) -> PathBuf {
        self.root.join(&*path.relative)
    }

    fn perform(&mut self, op: &FileOp) -> IoResult {
        self.attempt(op).map_err(|failure| IoError {
            kind: match failure.kind() {
                io::ErrorKind::NotFound => IoErrorKind::NotFound,
                io::ErrorKind::AlreadyExists => IoErrorKind::AlreadyExists,
                io::ErrorKind::WouldBlock => IoErrorKind::Locked,
                _ => IoErrorKind::Device,
            },
            text: failure.to_string(),
        })
    }

    fn file(&self, file: FileId) -> io::Result<&File> {
        self.open.get(&file).ok_or_else(|| io::Error::other("bad descriptor"))
    }

    fn attempt(&mut self, op: &FileOp) -> io::Result<IoValue> {
        match op {
            FileOp::Open { file, path, mode } => {
                let mut options = OpenOptions::new();
                options.read(true).write(true);
                match mode {
                    OpenMode::Existing => &mut options,
                    OpenMode::CreateNew => options.create_new(true),
                    OpenMode::CreateOrEmpty => options.create(true).truncate(true),
                };
                let opened = options.open(self.at(path))?;
                let size = opened.metadata()?.len();
                self.open.insert(*file, opened);
                return Ok(IoValue::Opened { size });
            }
            FileOp::Close { file } => {
                self.open
                    .remove(file)
                    .ok_or_else(|| io::Error::other("bad descriptor"))?;
            }
            FileOp::Write { file, position, pieces } => {
                let mut at = *position;
                for piece in pieces {
                    self.file(*file)?.write_all_at(piece.as_ref(), at)?;
                    at += piece.as_ref().len() as u64;
                }
            }
            FileOp::Read { file, position, length } => {
                let opened = self.file(*file)?;
                let left = opened.metadata()?.len().saturating_sub(*position);
                let mut bytes = vec![0; left.min(u64::from(*length)) as usize];
                opened.read_exact_at(&mut bytes, *position)?;
                return Ok(IoValue::Bytes(Bytes::from(bytes)));
            }
            FileOp::Truncate { file, size } => self.file(*file)?.set_len(*size)?,
            FileOp::Sync { files } => {
                for file in files {
                    self.file(*file)?.sync_data()?;
                }
            }
            FileOp::SyncAll { .. } => {}
            FileOp::SyncDirectory { path } => {
                let directory = File::open(self.at(path))?;
                if !directory.metadata()?.is_dir() {
                    return Err(io::Error::other("not a directory"));
                }
            }
            _ => return self.attempt_names(op),
        }
        Ok(IoValue::Done)
    }

    fn attempt_names(&mut self, op: &FileOp) -> io::Result<IoValue> {
        match op {
            FileOp::CreateDirectory { path } => match fs::create_dir(self.at(path)) {
                Err(failure) if failure.kind() == io::ErrorKind::AlreadyExists && self.at(path).is_dir() => {}
                other => other?,
            },
            FileOp::Rename { from, to } => fs::rename(self.at(from), self.at(to))?,
            FileOp::Remove { path } => ignore_missing(fs::remove_file(self.at(path)))?,
            FileOp::RemoveTree { path } => ignore_missing(fs::remove_dir_all(self.at(path)))?,
            FileOp::List { path } => {
                let mut entries = Vec::new();
                for entry in fs::read_dir(self.at(path))? {
                    let entry = entry?;
                    let metadata = entry.metadata()?;
                    entries.push(DirectoryEntry {
                        name: entry.file_name().to_string_lossy().into_owned(),
                        kind: if metadata.is_dir() {
                            EntryKind::Directory
                        } else {
                            EntryKind::File(metadata.len())
                        },
                    });
                }
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                return Ok(IoValue::Entries(entries));
            }
            FileOp::Lock { path } => {
                if std::mem::replace(&mut self.locked, true) {
                    return Err(io::Error::from(io::ErrorKind::WouldBlock));
                }
                OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(self.at(path))?;
            }
            _ => unreachable!("the other operations are on descriptors"),
        }
        Ok(IoValue::Done)
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

const NAMES: [&str; 8] = ["a", "b", "d", "d/a", "d/b", "e", "e/a", "d/f"];

fn pieces(draw: &mut Draw) -> Vec<Piece> {
    let count = draw.within(1, 3);
    let piece = |draw: &mut Draw| {
        let length = draw.spread(0, 1500) as usize;
        let fill = draw.below(256) as u8;
        Piece::Body(Bytes::from(vec![fill; length]))
    };
    (0..count).map(|_| piece(draw)).collect()
}

/// An operation that makes sense often enough to go deep, and fails often enough to compare the errors.
fn draw_op(draw: &mut Draw, next_file: &mut u64) -> FileOp {
    let file = FileId(draw.below((*next_file).max(1)));
    let named = path(draw.pick(&NAMES));
    match draw.below(20) {
        0..=3 => {
            *next_file += 1;
            FileOp::Open {
                file: FileId(*next_file - 1),
                path: named,
                mode: draw.pick(&[OpenMode::Existing, OpenMode::CreateNew, OpenMode::CreateOrEmpty]),
            }
        }
        4 => FileOp::Close { file },
        5..=8 => FileOp::Write {
            file,
            position: draw.spread(0, 3000),
            pieces: pieces(draw),
        },
        9 | 10 => FileOp::Read {
            file,
            position: draw.spread(0, 3000),
            length: draw.spread(0, 5000) as u32,
        },
        11 => FileOp::Truncate {
            file,
            size: draw.spread(0, 4000),
        },
        12 => FileOp::Sync { files: vec![file] },
        13 => FileOp::SyncDirectory { path: named },
        14 | 15 => FileOp::CreateDirectory { path: named },
        16 => FileOp::Rename {
            from: named,
            to: path(draw.pick(&NAMES)),
        },
        17 => FileOp::Remove { path: named },
        18 => FileOp::RemoveTree { path: named },
        _ => draw
            .pick(
                &[
                    FileOp::List { path: path("") },
                    FileOp::List { path: path("d") },
                    FileOp::SyncAll {
                        directory: DIRECTORY,
                        by: ShardId(0),
                    },
                    FileOp::Lock { path: path(".lock") },
                ]
                .each_ref(),
            )
            .clone(),
    }
}

/// What both must agree on: values to the byte, errors by kind.
fn essence(result: &IoResult) -> Result<&IoValue, IoErrorKind> {
    result.as_ref().map_err(|failure| failure.kind)
}

/// Renames of directories are never asked for; a real directory allows some of them.
fn renames_a_directory(op: &FileOp, root: &Path) -> bool {
    let is_dir = |path: &FilePath| root.join(&*path.relative).is_dir();
    matches!(op, FileOp::Rename { from, to } if is_dir(from) || is_dir(to))
}

fn tree(root: &Path, prefix: &str, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(root).expect("a readable directory") {
        let entry = entry.expect("a readable entry");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            tree(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push((name, fs::read(entry.path()).expect("a readable file")));
        }
    }
}

#[test]
fn without_faults_the_model_answers_as_a_real_directory() {
    let mut succeeded = 0;
    for seed in 0..60 {
        let mut draw = Draw::new(seed);
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut real = RealDirectory::new(temporary.path());
        let mut model = Disk::new();
        let mut next_file = 0;
        for step in 0..250 {
            let op = draw_op(&mut draw, &mut next_file);
            if renames_a_directory(&op, temporary.path()) {
                continue;
            }
            let expected = real.perform(&op);
            let answered = model.perform(&op);
            assert_eq!(
                essence(&answered),
                essence(&expected),
                "seed {seed}, step {step}: {op:?}"
            );
            succeeded += u32::from(expected.is_ok());
        }
        let mut expected = Vec::new();
        tree(temporary.path(), "", &mut expected);
        expected.sort();
        let held: Vec<_> = model
            .files()
            .into_iter()
            .map(|(name, bytes)| (name, bytes.to_vec()))
            .collect();
        assert_eq!(held, expected, "seed {seed}: the trees differ");
        assert_eq!(
            model.used(),
            expected.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
        );
    }
    assert!(
        succeeded > 4000,
        "most operations must succeed for the comparison to mean something: {succeeded}"
    );
}
