//! The operations that take effect at once: everything but syncs.

use super::directory::Directory;
use super::file::File;
use super::{Descriptor, Disk, Inode, InodeId, ROOT, error};
use bytes::Bytes;
use klamm_core::storage::{DirectoryEntry, EntryKind, FileOp, FilePath, IoError, IoErrorKind, IoResult, IoValue};
use klamm_core::storage::{OpenMode, Piece, Volume};
use klamm_core::types::FileId;

/// What a device without a bound says that it has.
const ENDLESS: u64 = 1 << 50;

impl Disk {
    /// Carries out `op` at once and without a fault; a sync is durable when this returns.
    pub fn perform(&mut self, op: &FileOp) -> IoResult {
        match op {
            FileOp::Sync { .. } | FileOp::SyncAll { .. } | FileOp::SyncDirectory { .. } => {
                let ticket = self.begin_sync(op)?;
                self.end_sync(&ticket)
            }
            FileOp::Open { file, path, mode } => self.open(*file, path, *mode),
            FileOp::Close { file } => {
                self.descriptors.remove(file).ok_or_else(|| bad_descriptor(*file))?;
                Ok(IoValue::Done)
            }
            FileOp::Write { file, position, pieces } => self.write(*file, *position, pieces, u64::MAX),
            FileOp::Read { file, position, length } => {
                let inode = self.descriptor(*file)?;
                if self.is_unreadable(inode, *position, u64::from(*length)) {
                    return Err(error(IoErrorKind::Device, "read: input/output error"));
                }
                let bytes = self.file(inode).read(*position, u64::from(*length));
                Ok(IoValue::Bytes(Bytes::copy_from_slice(bytes)))
            }
            // What rots here rots in the page cache, too.
            FileOp::Forget { file, .. } => self.descriptor(*file).map(|_| IoValue::Done),
            FileOp::Truncate { file, size } => {
                let inode = self.descriptor(*file)?;
                self.resize(inode, *size);
                Ok(IoValue::Done)
            }
            FileOp::CreateDirectory { path } => self.create_directory(path),
            FileOp::Rename { from, to } => self.rename(from, to),
            FileOp::Remove { path } => self.remove(path),
            FileOp::RemoveTree { path } => self.remove_tree(path),
            FileOp::List { path } => self.list(path),
            FileOp::Volume { .. } => Ok(IoValue::Volume(self.volume())),
            FileOp::Lock { path } => self.lock(path),
        }
    }

    /// Writes at most `limit` bytes of `pieces`; when that or the disk's capacity cuts it short, fails for want of
    /// space with the prefix written.
    pub fn write(&mut self, file: FileId, position: u64, pieces: &[Piece], limit: u64) -> IoResult {
        let now = self.tick();
        let inode = self.descriptor(file)?;
        let mut at = position;
        for piece in pieces {
            let bytes = piece.as_ref();
            let room = self.room(inode, at).min(limit.saturating_sub(at - position));
            let taken = room.min(bytes.len() as u64);
            let before = self.file(inode).occupied();
            self.file_mut(inode).write(at, &bytes[..taken as usize], now);
            self.wrote(inode, at, taken);
            self.used += self.file(inode).occupied() - before;
            at += taken;
            if taken < bytes.len() as u64 {
                return Err(error(IoErrorKind::NoSpace, "write: no space left on device"));
            }
        }
        Ok(IoValue::Done)
    }

    fn volume(&self) -> Volume {
        let total = self.capacity.unwrap_or(ENDLESS);
        Volume {
            path: String::from("/data"),
            total,
            usable: total.saturating_sub(self.used),
        }
    }

    /// How many bytes a write at `position` may take.
    fn room(&self, inode: InodeId, position: u64) -> u64 {
        let Some(capacity) = self.capacity else {
            return u64::MAX;
        };
        let inside = self.file(inode).size().saturating_sub(position);
        inside + capacity.saturating_sub(self.used)
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn descriptor(&self, file: FileId) -> Result<InodeId, IoError> {
        let found = self.descriptors.get(&file);
        found
            .map(|descriptor| descriptor.inode)
            .ok_or_else(|| bad_descriptor(file))
    }

    pub(super) fn file(&self, inode: InodeId) -> &File {
        match &self.inodes[&inode] {
            Inode::File(file) => file,
            Inode::Directory(_) => unreachable!("descriptors are of files only"),
        }
    }

    pub(super) fn file_mut(&mut self, inode: InodeId) -> &mut File {
        match self.inodes.get_mut(&inode) {
            Some(Inode::File(file)) => file,
            _ => unreachable!("descriptors are of files only"),
        }
    }

    fn directory_mut(&mut self, inode: InodeId) -> &mut Directory {
        match self.inodes.get_mut(&inode) {
            Some(Inode::Directory(directory)) => directory,
            _ => unreachable!("a resolved directory"),
        }
    }

    fn add(&mut self, inode: Inode) -> InodeId {
        let id = InodeId(self.next_inode);
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        id
    }

    fn resolve(&self, relative: &str) -> Result<InodeId, IoError> {
        let mut at = ROOT;
        for name in relative.split('/').filter(|name| !name.is_empty()) {
            match &self.inodes[&at] {
                Inode::Directory(directory) => {
                    let found = directory.names().get(name);
                    at = *found.ok_or_else(|| error(IoErrorKind::NotFound, format!("{relative}: not found")))?;
                }
                Inode::File(_) => return Err(error(IoErrorKind::Device, format!("{relative}: not a directory"))),
            }
        }
        Ok(at)
    }

    pub(super) fn resolve_directory(&self, path: &FilePath) -> Result<InodeId, IoError> {
        let inode = self.resolve(&path.relative)?;
        match self.inodes[&inode] {
            Inode::Directory(_) => Ok(inode),
            Inode::File(_) => Err(error(IoErrorKind::Device, format!("{path}: not a directory"))),
        }
    }

    /// The directory that holds `path`, and what `path` names now.
    fn place(&self, path: &FilePath) -> Result<(InodeId, Option<InodeId>), IoError> {
        let parent = self.resolve_directory(&path.parent())?;
        let Inode::Directory(directory) = &self.inodes[&parent] else {
            unreachable!("a resolved directory")
        };
        Ok((parent, directory.names().get(path.name()).copied()))
    }

    fn is_directory(&self, inode: InodeId) -> bool {
        matches!(self.inodes[&inode], Inode::Directory(_))
    }

    fn open(&mut self, file: FileId, path: &FilePath, mode: OpenMode) -> IoResult {
        let (parent, existing) = self.place(path)?;
        let now = self.tick();
        let inode = match (existing, mode) {
            (Some(_), OpenMode::CreateNew) => {
                return Err(error(IoErrorKind::AlreadyExists, format!("open {path}: already there")));
            }
            (Some(inode), _) if self.is_directory(inode) => {
                return Err(error(IoErrorKind::Device, format!("open {path}: is a directory")));
            }
            (Some(inode), OpenMode::Existing) => inode,
            (Some(inode), OpenMode::CreateOrEmpty) => {
                self.resize(inode, 0);
                inode
            }
            (None, OpenMode::Existing) => {
                return Err(error(IoErrorKind::NotFound, format!("open {path}: not found")));
            }
            (None, OpenMode::CreateNew | OpenMode::CreateOrEmpty) => {
                let file = self.earlier.created(parent, path.name());
                let inode = self.add(Inode::File(file));
                self.directory_mut(parent).link(path.name(), inode, now);
                inode
            }
        };
        let reused = self.descriptors.insert(file, Descriptor { inode, failed: None });
        assert!(reused.is_none(), "file id {file:?} was used twice in one process");
        Ok(IoValue::Opened {
            size: self.file(inode).size(),
        })
    }

    fn resize(&mut self, inode: InodeId, size: u64) {
        let now = self.tick();
        let before = self.file(inode).occupied();
        self.file_mut(inode).truncate(size, now);
        self.used = self.used + self.file(inode).occupied() - before;
    }

    fn create_directory(&mut self, path: &FilePath) -> IoResult {
        if path.relative.is_empty() {
            return Ok(IoValue::Done);
        }
        let (parent, existing) = self.place(path)?;
        match existing {
            Some(inode) if self.is_directory(inode) => Ok(IoValue::Done),
            Some(_) => Err(error(
                IoErrorKind::AlreadyExists,
                format!("mkdir {path}: a file is there"),
            )),
            None => {
                let now = self.tick();
                let inode = self.add(Inode::Directory(Directory::default()));
                self.directory_mut(parent).link(path.name(), inode, now);
                Ok(IoValue::Done)
            }
        }
    }

    /// The only name of `file` is gone.
    fn forget_name(&mut self, file: InodeId) {
        self.used -= self.file(file).occupied();
        self.file_mut(file).unlinked();
    }

    fn rename(&mut self, from: &FilePath, to: &FilePath) -> IoResult {
        let (from_parent, source) = self.place(from)?;
        let (to_parent, target) = self.place(to)?;
        let source = source.ok_or_else(|| error(IoErrorKind::NotFound, format!("rename {from}: not found")))?;
        if target == Some(source) {
            return Ok(IoValue::Done);
        }
        if self.is_directory(source) || target.is_some_and(|target| self.is_directory(target)) {
            return Err(error(
                IoErrorKind::Device,
                format!("rename {from}: only files are renamed"),
            ));
        }
        let now = self.tick();
        if from_parent == to_parent {
            self.directory_mut(from_parent)
                .rename(from.name(), to.name(), source, now);
        } else {
            self.directory_mut(to_parent).link(to.name(), source, now);
            self.directory_mut(from_parent).unlink(from.name(), now);
        }
        if let Some(target) = target {
            self.forget_name(target);
        }
        Ok(IoValue::Done)
    }

    fn remove(&mut self, path: &FilePath) -> IoResult {
        let (parent, existing) = match self.place(path) {
            Ok(place) => place,
            Err(missing) if missing.kind == IoErrorKind::NotFound => return Ok(IoValue::Done),
            Err(other) => return Err(other),
        };
        match existing {
            None => Ok(IoValue::Done),
            Some(inode) if self.is_directory(inode) => {
                Err(error(IoErrorKind::Device, format!("remove {path}: is a directory")))
            }
            Some(inode) => {
                let now = self.tick();
                let remains = self.file(inode).remains();
                self.earlier.removed(parent, path.name(), remains);
                self.forget_name(inode);
                self.directory_mut(parent).unlink(path.name(), now);
                Ok(IoValue::Done)
            }
        }
    }

    fn remove_tree(&mut self, path: &FilePath) -> IoResult {
        assert!(!path.relative.is_empty(), "the log directory itself is never removed");
        let (parent, existing) = match self.place(path) {
            Ok(place) => place,
            Err(missing) if missing.kind == IoErrorKind::NotFound => return Ok(IoValue::Done),
            Err(other) => return Err(other),
        };
        match existing {
            None => Ok(IoValue::Done),
            Some(inode) if self.is_directory(inode) => {
                self.clear_directory(inode);
                let now = self.tick();
                self.directory_mut(parent).unlink(path.name(), now);
                Ok(IoValue::Done)
            }
            Some(_) => Err(error(IoErrorKind::Device, format!("remove {path}: not a directory"))),
        }
    }

    fn clear_directory(&mut self, inode: InodeId) {
        let children: Vec<(Box<str>, InodeId)> = match &self.inodes[&inode] {
            Inode::Directory(directory) => directory.names().iter().map(|(name, &id)| (name.clone(), id)).collect(),
            Inode::File(_) => unreachable!("a resolved directory"),
        };
        for (name, child) in children {
            if self.is_directory(child) {
                self.clear_directory(child);
            } else {
                self.forget_name(child);
            }
            let now = self.tick();
            self.directory_mut(inode).unlink(&name, now);
        }
    }

    fn list(&self, path: &FilePath) -> IoResult {
        let inode = self.resolve_directory(path)?;
        let Inode::Directory(directory) = &self.inodes[&inode] else {
            unreachable!("a resolved directory")
        };
        let entries = directory.names().iter().map(|(name, id)| DirectoryEntry {
            name: name.to_string(),
            kind: match &self.inodes[id] {
                Inode::File(file) => EntryKind::File(file.size()),
                Inode::Directory(_) => EntryKind::Directory,
            },
        });
        Ok(IoValue::Entries(entries.collect()))
    }

    fn lock(&mut self, path: &FilePath) -> IoResult {
        if self.locked {
            return Err(error(
                IoErrorKind::Locked,
                format!("lock {path}: held by another process"),
            ));
        }
        let (parent, existing) = self.place(path)?;
        match existing {
            Some(inode) if self.is_directory(inode) => {
                return Err(error(IoErrorKind::Device, format!("lock {path}: is a directory")));
            }
            Some(_) => {}
            None => {
                let now = self.tick();
                let inode = self.add(Inode::File(File::default()));
                self.directory_mut(parent).link(path.name(), inode, now);
            }
        }
        self.locked = true;
        Ok(IoValue::Done)
    }
}

fn bad_descriptor(file: FileId) -> IoError {
    error(IoErrorKind::Device, format!("{file:?}: bad file descriptor"))
}
