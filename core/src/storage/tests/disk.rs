//! A disk in memory that tells what was synced from what was not.

use crate::storage::{DirectoryEntry, EntryKind, FileOp, IoError, IoErrorKind, IoResult, IoValue, OpenMode, Volume};
use crate::types::{FileId, Seed};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;

/// Bytes that the volume has in all.
pub(crate) const VOLUME: u64 = 1 << 40;

#[derive(Clone, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Bytes that a failed sync left readable and clean, and not on the device: no later sync writes them.
    forsaken: BTreeSet<usize>,
}

impl Inode {
    fn sync(&mut self) {
        let before = core::mem::replace(&mut self.durable, self.bytes.clone());
        for &at in &self.forsaken {
            self.durable[at] = before.get(at).copied().unwrap_or(0);
        }
    }

    fn fail_sync(&mut self) {
        let dirty = (0..self.bytes.len()).filter(|&at| self.durable.get(at) != Some(&self.bytes[at]));
        self.forsaken.extend(dirty);
    }

    fn truncate(&mut self, size: usize) {
        self.bytes.resize(size, 0);
        self.forsaken.retain(|&at| at < size);
    }

    /// The power goes.
    fn cut(&mut self) {
        self.bytes = self.durable.clone();
        self.forsaken.clear();
    }
}

#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<String, usize>,
    directories: BTreeSet<String>,
}

/// The disk. Everything it is asked for happens at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    names: Names,
    durable: Names,
    open: BTreeMap<FileId, usize>,
    /// Bytes that files may still grow by.
    pub(crate) room: Option<usize>,
    /// Descriptors that may be open at a time.
    pub(crate) descriptors: Option<usize>,
    /// The most that ever were.
    pub(crate) most_open: usize,
    pub(crate) fail_syncs: bool,
    pub(crate) fail_reads: bool,
    /// Whether a process holds the lock.
    locked: bool,
    /// What the page cache was told to hold, and to forget: the file, the bytes, and whether they are there.
    cached: Vec<(usize, Range<u64>, bool)>,
    /// What was asked for, by name.
    pub(crate) history: Vec<&'static str>,
}

fn error(kind: IoErrorKind, text: impl Into<String>) -> IoError {
    IoError {
        kind,
        text: text.into(),
    }
}

impl Disk {
    pub(crate) fn perform(&mut self, op: &FileOp) -> IoResult {
        self.history.push(name(op));
        match op {
            FileOp::Open { file, path, mode } => self.open(*file, &path.relative, *mode),
            FileOp::Close { file } => {
                self.open
                    .remove(file)
                    .ok_or_else(|| error(IoErrorKind::Device, "close: not open"))?;
                Ok(IoValue::Done)
            }
            FileOp::Write { file, position, pieces } => {
                let inode = self.descriptor(*file)?;
                let bytes = pieces.iter().flat_map(AsRef::as_ref);
                for (at, &byte) in (*position as usize..).zip(bytes) {
                    if at >= self.inodes[inode].bytes.len() {
                        self.grow(inode, at + 1)?;
                    }
                    self.inodes[inode].bytes[at] = byte;
                    self.inodes[inode].forsaken.remove(&at);
                }
                Ok(IoValue::Done)
            }
            FileOp::Read { .. } if self.fail_reads => Err(error(IoErrorKind::Device, "read: input/output error")),
            FileOp::Read { file, position, length } => {
                let bytes = &self.inodes[self.descriptor(*file)?].bytes;
                let from = (*position as usize).min(bytes.len());
                let upto = (from + *length as usize).min(bytes.len());
                let read = Bytes::copy_from_slice(&bytes[from..upto]);
                self.cached
                    .push((self.descriptor(*file)?, from as u64..upto as u64, true));
                Ok(IoValue::Bytes(read))
            }
            FileOp::Forget { file, position, length } => {
                let range = *position..position + length;
                self.cached.push((self.descriptor(*file)?, range, false));
                Ok(IoValue::Done)
            }
            FileOp::Truncate { file, size } => {
                let inode = self.descriptor(*file)?;
                self.inodes[inode].truncate(*size as usize);
                Ok(IoValue::Done)
            }
            FileOp::Volume { .. } => Ok(IoValue::Volume(Volume {
                path: String::from("/data"),
                total: VOLUME,
                usable: VOLUME - self.inodes.iter().map(|inode| inode.bytes.len() as u64).sum::<u64>(),
            })),
            FileOp::Sync { .. } | FileOp::SyncAll { .. } | FileOp::SyncDirectory { .. } => self.sync(op),
            _ => self.rename(op),
        }
    }

    fn sync(&mut self, op: &FileOp) -> IoResult {
        if self.fail_syncs {
            if let FileOp::Sync { files } = op {
                for file in files {
                    let inode = self.descriptor(*file)?;
                    self.inodes[inode].fail_sync();
                }
            }
            return Err(error(IoErrorKind::Device, "sync: input/output error"));
        }
        match op {
            FileOp::Sync { files } => {
                for file in files {
                    let inode = self.descriptor(*file)?;
                    self.inodes[inode].sync();
                }
            }
            FileOp::SyncAll { .. } => {
                self.inodes.iter_mut().for_each(Inode::sync);
                self.durable = self.names.clone();
            }
            FileOp::SyncDirectory { path } => {
                let inside = |entry: &str| entry.rsplit_once('/').map_or("", |(parent, _)| parent) == &*path.relative;
                self.durable.files.retain(|name, _| !inside(name));
                self.durable.directories.retain(|name| !inside(name));
                let files = self.names.files.iter().filter(|(name, _)| inside(name));
                self.durable
                    .files
                    .extend(files.map(|(name, &inode)| (name.clone(), inode)));
                let directories = self.names.directories.iter().filter(|name| inside(name));
                self.durable.directories.extend(directories.cloned());
            }
            _ => unreachable!("only syncs come here"),
        }
        Ok(IoValue::Done)
    }

    fn rename(&mut self, op: &FileOp) -> IoResult {
        match op {
            FileOp::CreateDirectory { path } => drop(self.names.directories.insert(path.relative.to_string())),
            FileOp::Rename { from, to } => {
                let inode = self.names.files.remove(&*from.relative);
                let inode = inode.ok_or_else(|| error(IoErrorKind::NotFound, format!("rename {from}")))?;
                self.names.files.insert(to.relative.to_string(), inode);
            }
            FileOp::Remove { path } => drop(self.names.files.remove(&*path.relative)),
            FileOp::RemoveTree { path } => {
                let below = format!("{}/", path.relative);
                self.names.files.retain(|name, _| !name.starts_with(&below));
                self.names.directories.remove(&*path.relative);
            }
            FileOp::List { path } => return self.list(&path.relative),
            FileOp::Lock { .. } if self.locked => return Err(error(IoErrorKind::Locked, "lock: held")),
            FileOp::Lock { path } => {
                self.locked = true;
                if !self.names.files.contains_key(&*path.relative) {
                    self.put(&path.relative, b"");
                }
            }
            _ => unreachable!("every other operation was handled"),
        }
        Ok(IoValue::Done)
    }

    fn list(&self, directory: &str) -> IoResult {
        let root = directory.is_empty();
        if !root && !self.names.directories.contains(directory) {
            return Err(error(IoErrorKind::NotFound, format!("list {directory}")));
        }
        let below = if root { String::new() } else { format!("{directory}/") };
        let inside = |path: &String| {
            let name = path.strip_prefix(&below)?;
            (!name.is_empty() && !name.contains('/')).then(|| name.to_string())
        };
        let files = self.names.files.iter().filter_map(|(path, &inode)| {
            let kind = EntryKind::File(self.inodes[inode].bytes.len() as u64);
            inside(path).map(|name| DirectoryEntry { name, kind })
        });
        let directories = self.names.directories.iter().filter_map(|path| {
            let kind = EntryKind::Directory;
            inside(path).map(|name| DirectoryEntry { name, kind })
        });
        Ok(IoValue::Entries(files.chain(directories).collect()))
    }

    fn open(&mut self, file: FileId, path: &str, mode: OpenMode) -> IoResult {
        if self.descriptors.is_some_and(|most| self.open.len() >= most) {
            return Err(error(IoErrorKind::TooManyOpenFiles, "open: too many open files"));
        }
        let inode = match (self.names.files.get(path), mode) {
            (Some(_), OpenMode::CreateNew) => return Err(error(IoErrorKind::AlreadyExists, path)),
            (None, OpenMode::Existing) => return Err(error(IoErrorKind::NotFound, path)),
            (Some(&inode), OpenMode::Existing) => inode,
            (Some(&inode), OpenMode::CreateOrEmpty) => {
                self.inodes[inode].truncate(0);
                inode
            }
            (None, _) => {
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                if !parent.is_empty() && !self.names.directories.contains(parent) {
                    return Err(error(IoErrorKind::NotFound, path));
                }
                self.inodes.push(Inode::default());
                self.names.files.insert(path.into(), self.inodes.len() - 1);
                self.inodes.len() - 1
            }
        };
        assert!(self.open.insert(file, inode).is_none(), "{file:?} is open already");
        self.most_open = self.most_open.max(self.open.len());
        Ok(IoValue::Opened {
            size: self.inodes[inode].bytes.len() as u64,
        })
    }

    fn descriptor(&self, file: FileId) -> Result<usize, IoError> {
        let inode = self.open.get(&file).copied();
        inode.ok_or_else(|| error(IoErrorKind::Device, format!("{file:?} is not open")))
    }

    fn grow(&mut self, inode: usize, size: usize) -> Result<(), IoError> {
        let more = size - self.inodes[inode].bytes.len();
        if let Some(room) = &mut self.room {
            if *room < more {
                return Err(error(IoErrorKind::NoSpace, "write: no space left on device"));
            }
            *room -= more;
        }
        self.inodes[inode].bytes.resize(size, 0);
        Ok(())
    }

    /// The process dies; the page cache stays.
    pub(crate) fn kill(&mut self) {
        self.locked = false;
        self.open.clear();
    }

    /// The power goes: only what was synced stays.
    pub(crate) fn power_cut(&mut self) {
        self.locked = false;
        self.open.clear();
        self.names = self.durable.clone();
        self.inodes.iter_mut().for_each(Inode::cut);
    }

    /// The power goes, and of what was not synced each piece and each name arrived or did not, on its own.
    pub(crate) fn power_cut_partially(&mut self, seed: &mut Seed) {
        const SECTOR: usize = 32;
        self.open.clear();
        for inode in &mut self.inodes {
            let longest = inode.bytes.len().max(inode.durable.len());
            let size = if seed.chance(1, 2) {
                inode.durable.len()
            } else {
                inode.bytes.len()
            };
            let mut kept = alloc::vec![0; longest];
            for from in (0..longest).step_by(SECTOR) {
                let source = if seed.chance(1, 2) {
                    &inode.bytes
                } else {
                    &inode.durable
                };
                let upto = (from + SECTOR).min(source.len());
                if from < upto {
                    kept[from..upto].copy_from_slice(&source[from..upto]);
                }
            }
            kept.truncate(size);
            inode.durable = kept;
            inode.cut();
        }
        let files: BTreeSet<&String> = self.names.files.keys().chain(self.durable.files.keys()).collect();
        let mut kept = Names::default();
        for name in files {
            let source = if seed.chance(1, 2) { &self.names } else { &self.durable };
            kept.files
                .extend(source.files.get(name).map(|&inode| (name.clone(), inode)));
        }
        for name in self.names.directories.union(&self.durable.directories) {
            let source = if seed.chance(1, 2) { &self.names } else { &self.durable };
            kept.directories.extend(source.directories.get(name).cloned());
        }
        let below = |name: &String| {
            kept.directories
                .iter()
                .any(|directory| name.starts_with(&format!("{directory}/")))
        };
        kept.files.retain(|name, _| below(name));
        self.names = kept.clone();
        self.durable = kept;
    }

    pub(crate) fn open_files(&self) -> usize {
        self.open.len()
    }

    /// The bytes of a file.
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        self.names.files.get(path).map(|&inode| &*self.inodes[inode].bytes)
    }

    /// Puts a file there, durably.
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) {
        self.inodes.push(Inode {
            bytes: bytes.to_vec(),
            durable: bytes.to_vec(),
            ..Inode::default()
        });
        self.names.files.insert(path.into(), self.inodes.len() - 1);
        self.durable.files.insert(path.into(), self.inodes.len() - 1);
    }

    /// The bytes of a file, to be spoilt; what they become is durable.
    pub(crate) fn spoil(&mut self, path: &str, spoil: impl FnOnce(&mut Vec<u8>)) {
        let inode = &mut self.inodes[self.names.files[path]];
        spoil(&mut inode.bytes);
        inode.durable = inode.bytes.clone();
        inode.forsaken.clear();
    }

    /// The names of all files.
    pub(crate) fn files(&self) -> Vec<String> {
        self.names.files.keys().cloned().collect()
    }

    /// Removes a file, durably.
    pub(crate) fn lose(&mut self, path: &str) {
        self.names.files.remove(path);
        self.durable.files.remove(path);
    }

    /// Memory runs short: the page cache holds nothing.
    pub(crate) fn evict(&mut self) {
        self.cached.clear();
    }

    /// Whether a byte of a file was read since, and not forgotten.
    pub(crate) fn is_cached(&self, path: &str, position: u64) -> bool {
        let inode = self.names.files[path];
        let at = |(file, range, _): &&(usize, Range<u64>, bool)| *file == inode && range.contains(&position);
        self.cached.iter().rev().find(at).is_some_and(|(.., there)| *there)
    }

    /// Removes directories whose names begin so, and all in them, durably.
    pub(crate) fn lose_directories(&mut self, prefix: &str) {
        for names in [&mut self.names, &mut self.durable] {
            names.files.retain(|name, _| !name.starts_with(prefix));
            names.directories.retain(|name| !name.starts_with(prefix));
        }
    }
}

fn name(op: &FileOp) -> &'static str {
    match op {
        FileOp::Open { .. } => "open",
        FileOp::Close { .. } => "close",
        FileOp::Write { .. } => "write",
        FileOp::Read { .. } => "read",
        FileOp::Forget { .. } => "forget",
        FileOp::Truncate { .. } => "truncate",
        FileOp::Sync { .. } => "sync",
        FileOp::SyncAll { .. } => "sync all",
        FileOp::SyncDirectory { .. } => "sync directory",
        FileOp::CreateDirectory { .. } => "create directory",
        FileOp::Rename { .. } => "rename",
        FileOp::Remove { .. } => "remove",
        FileOp::RemoveTree { .. } => "remove tree",
        FileOp::List { .. } => "list",
        FileOp::Lock { .. } => "lock",
        FileOp::Volume { .. } => "volume",
    }
}
