//! Operations as blocking system calls.

use super::root::{OpenFile, Root, io_error, sync_names};
use super::{Cached, Unfilled};
use crate::clock::Clock;
use crate::counters::{Counters, DiskFault, count};
use crate::inbox::lock;
use crate::memory::Buffer;
use bytes::Bytes;
use klamm_core::storage::{
    DirectoryEntry, EntryKind, FileOp, FilePath, IoError, IoErrorKind, IoResult, IoValue, OpenMode, Volume,
};
use klamm_core::types::{Content, FileId, FileRange, LogDirectoryId, Origin, ShardId};
use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FlockOperation, fadvise, fdatasync, flock, fstatvfs, ftruncate, syncfs};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, pwritev};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

/// Slices in one system call at most; Linux takes up to 1024.
const SLICES: usize = 256;

/// Bytes that are read at once of what was sent before.
const PIECE: usize = 64 << 10;

/// No page of the page cache is larger than this, but for what is called huge: advice about part of one is ignored.
const PAGE: u64 = 64 << 10;

/// A log directory, the clock and the counters: all that blocking operations need.
#[derive(Debug)]
pub(crate) struct Performer {
    root: Root,
    clock: Clock,
    counters: Arc<Counters>,
}

impl Performer {
    /// Operations on `root`, which count their syncs in `counters`.
    pub(crate) fn new(root: Root, clock: Clock, counters: Arc<Counters>) -> Self {
        Self { root, clock, counters }
    }

    /// The counters of the disk threads.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Carries out one operation.
    pub(crate) fn perform(&self, io: &FileOp) -> IoResult {
        let result = self.carry_out(io);
        let of = match io {
            // They are counted where they are carried out, by whomever.
            FileOp::Write { .. } | FileOp::Sync { .. } => return result,
            FileOp::Read { .. } => DiskFault::Read,
            FileOp::Truncate { .. } => DiskFault::Write,
            FileOp::SyncAll { .. } | FileOp::SyncDirectory { .. } => DiskFault::Sync,
            _ => DiskFault::Other,
        };
        self.counters.file_operation(of, &result);
        result
    }

    fn carry_out(&self, io: &FileOp) -> IoResult {
        match io {
            FileOp::Open { file, path, mode } => self.open(*file, path, *mode),
            FileOp::Close { file } => self.root.release(*file).map(|_| IoValue::Done),
            FileOp::Write { file, position, pieces } => {
                let slices: Vec<&[u8]> = pieces.iter().map(AsRef::as_ref).collect();
                self.write(*file, *position, &slices).1.map_or(Ok(IoValue::Done), Err)
            }
            FileOp::Read { file, position, length } => self.read(*file, *position, *length as usize),
            FileOp::Forget { file, position, length } => {
                forget(
                    &self.root.file(*file)?.file,
                    *position,
                    position.saturating_add(*length),
                );
                Ok(IoValue::Done)
            }
            FileOp::Truncate { file, size } => {
                let open = self.root.file(*file)?;
                retry(|| ftruncate(&open.file, *size)).map_err(|error| named("truncate", &open.path, error))?;
                Ok(IoValue::Done)
            }
            FileOp::Sync { files } => files
                .iter()
                .try_for_each(|file| self.sync(*file))
                .map(|()| IoValue::Done),
            FileOp::SyncAll { by, .. } => self.timed(|| {
                let synced = syncfs(self.root.directory(*by)?);
                done(synced.map_err(Into::into), || {
                    String::from("syncfs of the log directory")
                })
            }),
            FileOp::SyncDirectory { path } => self.timed(|| {
                let synced = File::open(self.root.resolve(path)?).and_then(|directory| sync_names(&directory));
                done(synced, || format!("sync directory {path}"))
            }),
            FileOp::CreateDirectory { path } => match fs::create_dir(self.root.resolve(path)?) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.root.resolve(path)?.is_dir() => {
                    Ok(IoValue::Done)
                }
                created => done(created, || format!("create directory {path}")),
            },
            FileOp::Rename { from, to } => {
                let renamed = fs::rename(self.root.resolve(from)?, self.root.resolve(to)?);
                done(renamed, || format!("rename {from} to {to}"))
            }
            FileOp::Remove { path } => done(unless_gone(fs::remove_file(self.root.resolve(path)?)), || {
                format!("remove {path}")
            }),
            FileOp::RemoveTree { path } => self.remove_tree(path),
            FileOp::List { path } => {
                let entries = list(&self.root.resolve(path)?);
                entries
                    .map(IoValue::Entries)
                    .map_err(|error| io_error(&error, &format!("list {path}")))
            }
            FileOp::Volume { .. } => self.volume(),
            FileOp::Lock { path } => self.lock(path),
        }
    }

    fn open(&self, file: FileId, path: &FilePath, mode: OpenMode) -> IoResult {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        match mode {
            OpenMode::Existing => {}
            OpenMode::CreateNew => _ = options.create_new(true),
            OpenMode::CreateOrEmpty => _ = options.create(true).truncate(true),
        }
        let failed = |error: &io::Error| io_error(error, &format!("open {path}"));
        let opened = options.open(self.root.resolve(path)?).map_err(|error| failed(&error))?;
        let metadata = opened.metadata().map_err(|error| failed(&error))?;
        // What is read ahead gets into the page cache without a check, and nobody could tell it from what was written. A file
        // system that knows no advice reads ahead, no more.
        _ = fadvise(&opened, 0, None, Advice::Random);
        if !metadata.is_file() {
            return Err(IoError {
                kind: IoErrorKind::Device,
                text: format!("open {path}: it is not a regular file"),
            });
        }
        self.root.bind(
            file,
            OpenFile {
                file: opened,
                path: path.clone(),
            },
        );
        Ok(IoValue::Opened { size: metadata.len() })
    }

    /// Writes `pieces` one after the other. Answers how many bytes were taken, and what ended it early.
    pub(crate) fn write(&self, file: FileId, position: u64, pieces: &[&[u8]]) -> (u64, Option<IoError>) {
        match self.root.file(file) {
            Ok(open) => {
                let (taken, result) = write_all(&open.file, position, pieces);
                count(&self.counters.bytes_written, taken);
                let result = result.map_err(|error| io_error(&error, &format!("write {}", open.path)));
                self.counters.file_operation(DiskFault::Write, &result);
                (taken, result.err())
            }
            Err(error) => (0, Some(error)),
        }
    }

    /// Reads at most `length` bytes, and never reserves more than the file has.
    fn read(&self, file: FileId, position: u64, length: usize) -> IoResult {
        let open = self.root.file(file)?;
        let failed = |error: &io::Error| io_error(error, &format!("read {}", open.path));
        let size = open.file.metadata().map_err(|error| failed(&error))?.len();
        let length = length.min(usize::try_from(size.saturating_sub(position)).unwrap_or(usize::MAX));
        let mut bytes = Vec::with_capacity(length);
        read_into(&open.file, position, length, &mut bytes).map_err(|error| failed(&error))?;
        Ok(IoValue::Bytes(Bytes::from(bytes)))
    }

    /// Reads as much of `range` as `buffer` has room for, at least one byte, and shows it to `content` before anybody sends
    /// it. What turns out to be broken is dropped from the page cache: whoever reads it again asks the device again.
    pub(crate) fn fill(&self, range: FileRange, content: &mut Content, mut buffer: Buffer) -> Result<Bytes, Unfilled> {
        let open = self.root.file(range.file).map_err(Unfilled::Unreadable)?;
        let failed = |error: &io::Error| {
            let error = io_error(error, &format!("read {}", open.path));
            self.counters.file_operation_failed(DiskFault::Read, &error);
            Unfilled::Unreadable(error)
        };
        if let Some((from, length)) = content.unchecked() {
            show_again(&open.file, from, length, content).map_err(|error| failed(&error))?;
        }
        let length = buffer.room().min(range.length as usize);
        read_into(&open.file, range.position, length, buffer.vec()).map_err(|error| failed(&error))?;
        if buffer.len() == 0 {
            return Err(Unfilled::Unreadable(IoError {
                kind: IoErrorKind::Device,
                text: format!("read {}: the file ends before byte {}", open.path, range.position),
            }));
        }
        let (bytes, end) = (buffer.freeze(), range.position + length as u64);
        content.pass(&bytes, Origin::Device).map_err(|broken| {
            forget(&open.file, broken.position, end);
            Unfilled::Broken(broken)
        })?;
        Ok(bytes)
    }

    /// Fills `window` from the page cache.
    pub(crate) fn read_cached(&self, file: FileId, position: u64, window: &mut [u8]) -> Cached {
        let Ok(open) = self.root.file(file) else {
            return Cached::Gone;
        };
        let wanted = window.len();
        let mut windows = [IoSliceMut::new(window)];
        match retry(|| preadv2(&open.file, &mut windows, position, ReadWriteFlags::NOWAIT)) {
            Ok(0) => Cached::Gone,
            Ok(read) if read == wanted => Cached::Read,
            // A file system without non-blocking reads answers the same as one that would have to wait.
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP) => Cached::Elsewhere,
            Err(error) => {
                let error = named("read", &open.path, error);
                self.counters.file_operation_failed(DiskFault::Read, &error);
                Cached::Gone
            }
        }
    }

    /// `fdatasync` of one file.
    pub(crate) fn sync(&self, file: FileId) -> Result<(), IoError> {
        let open = self.root.file(file)?;
        // Not even an interrupted one is tried again: whether the first one lost something could no longer be told.
        let synced = self.timed(|| fdatasync(&open.file));
        let synced = synced.map_err(|error| named("sync", &open.path, error));
        self.counters.file_operation(DiskFault::Sync, &synced);
        synced
    }

    fn timed<T>(&self, sync: impl FnOnce() -> T) -> T {
        let before = self.clock.monotonic();
        let result = sync();
        self.counters.synced(self.clock.monotonic().0 - before.0);
        result
    }

    fn remove_tree(&self, path: &FilePath) -> IoResult {
        if path.relative.is_empty() {
            return Err(IoError {
                kind: IoErrorKind::PermissionDenied,
                text: String::from("the log directory itself is never removed"),
            });
        }
        done(unless_gone(fs::remove_dir_all(self.root.resolve(path)?)), || {
            format!("remove {path} and all below it")
        })
    }

    fn volume(&self) -> IoResult {
        let path = fs::canonicalize(self.root.resolve(&FilePath::new(LogDirectoryId(0), ""))?);
        let path = path.map_err(|error| io_error(&error, "the log directory's path"))?;
        let directory = self.root.directory(ShardId(0))?;
        let room = fstatvfs(directory).map_err(|error| io_error(&error.into(), "fstatvfs of the log directory"))?;
        Ok(IoValue::Volume(Volume {
            path: path.display().to_string(),
            total: room.f_blocks.saturating_mul(room.f_frsize),
            usable: room.f_bavail.saturating_mul(room.f_frsize),
        }))
    }

    fn lock(&self, path: &FilePath) -> IoResult {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let opened = options.open(self.root.resolve(path)?);
        let file = opened.map_err(|error| io_error(&error, &format!("open {path}")))?;
        retry(|| flock(&file, FlockOperation::NonBlockingLockExclusive)).map_err(|error| named("lock", path, error))?;
        lock(&self.root.locks).push(file);
        Ok(IoValue::Done)
    }
}

fn named(what: &str, path: &FilePath, error: Errno) -> IoError {
    io_error(&error.into(), &format!("{what} {path}"))
}

fn done(result: io::Result<()>, what: impl FnOnce() -> String) -> IoResult {
    result
        .map(|()| IoValue::Done)
        .map_err(|error| io_error(&error, &what()))
}

fn unless_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Writes all pieces, continuing short writes. A write that takes nothing is an error.
fn write_all(file: &File, position: u64, pieces: &[&[u8]]) -> (u64, io::Result<()>) {
    let mut taken = 0;
    for pieces in pieces.chunks(SLICES) {
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
        }
        let mut rest = &mut slices[..pieces.len()];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match retry(|| pwritev(file, rest, position + taken)) {
                Ok(0) => return (taken, Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    taken += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(error) => return (taken, Err(error.into())),
            }
        }
    }
    (taken, Ok(()))
}

/// Appends up to `length` bytes from `position` to `bytes`, which has the room; fewer only at the end of the file.
fn read_into(file: &File, position: u64, length: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    let start = bytes.len();
    while bytes.len() - start < length {
        let at = position + (bytes.len() - start) as u64;
        // The vector may have more room than was asked for; what it reads beyond is cut off below.
        if retry(|| pread(file, spare_capacity(bytes), at))? == 0 {
            break;
        }
    }
    bytes.truncate(start + length);
    Ok(())
}

/// Shows `content` what was sent of a batch without a check: `length` bytes from `position`.
fn show_again(file: &File, mut position: u64, mut length: u64, content: &mut Content) -> io::Result<()> {
    let mut piece = Vec::with_capacity(PIECE.min(length as usize));
    while length > 0 {
        piece.clear();
        read_into(file, position, PIECE.min(length as usize), &mut piece)?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        content.catch_up(&piece);
        position += piece.len() as u64;
        length -= piece.len() as u64;
    }
    Ok(())
}

/// Has the page cache forget the pages from that of the byte `from` to that of the byte `to`, as far as the device has them.
fn forget(file: &File, from: u64, to: u64) {
    let first = from - from % PAGE;
    // None stands for all up to the end.
    let length = to
        .checked_next_multiple_of(PAGE)
        .and_then(|end| NonZeroU64::new(end - first));
    _ = fadvise(file, first, length, Advice::DontNeed);
}

fn list(path: &Path) -> io::Result<Vec<DirectoryEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        let kind = if metadata.is_file() {
            EntryKind::File(metadata.len())
        } else if metadata.is_dir() {
            EntryKind::Directory
        } else {
            EntryKind::Other
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push(DirectoryEntry { name, kind });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

#[cfg(test)]
mod tests;
