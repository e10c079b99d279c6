//! Syncs: they begin, run while other things happen, and end well or not.

use super::directory::Directory;
use super::file::FileSnapshot;
use super::{Disk, Inode, InodeId, error};
use klamm_core::storage::{FileOp, IoError, IoErrorKind, IoResult, IoValue};
use klamm_core::types::{FileId, ShardId};

/// A sync that began.
#[derive(Debug)]
pub struct SyncTicket {
    began: u64,
    pub(super) files: Vec<(InodeId, FileSnapshot)>,
    directories: Vec<InodeId>,
    /// The shard through whose descriptor of the log directory it goes.
    by: Option<ShardId>,
    /// A write-back had failed already, and this sync is the one that says so.
    reports_failure: bool,
}

impl SyncTicket {
    /// Whether unsynced bytes depend on this sync.
    pub fn covers_bytes(&self) -> bool {
        self.files.iter().any(|(_, snapshot)| !snapshot.is_empty())
    }
}

impl Disk {
    /// Whether a change of names that is not durable depends on this sync.
    pub fn covers_names(&self, ticket: &SyncTicket) -> bool {
        self.directories(ticket).any(Directory::is_dirty)
    }

    /// Whether the name of something new does that `suits`.
    pub fn covers_new(&self, ticket: &SyncTicket, suits: impl Fn(&str) -> bool) -> bool {
        self.directories(ticket)
            .any(|directory| directory.created().any(&suits))
    }

    fn directories<'a>(&'a self, ticket: &'a SyncTicket) -> impl Iterator<Item = &'a Directory> {
        let inodes = ticket.directories.iter().filter_map(|inode| self.inodes.get(inode));
        inodes.filter_map(|inode| match inode {
            Inode::Directory(directory) => Some(directory),
            Inode::File(_) => None,
        })
    }
}

/// How a sync fails; what real file systems were seen to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncFailure {
    /// The pages count as clean and stay readable; once evicted, the file reads as the device has it.
    CleanUntilEvicted,
    /// The pages read as the device has them, at once.
    RevertedAtOnce,
    /// The file has its new size, and zeros.
    SizeWithoutData,
    /// Nothing is lost: the pages stay dirty, and a later sync would write them.
    StaysDirty,
}

/// Who hears of a failed write-back: systems differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hearers {
    /// Every descriptor of the file that is open, at its next sync (Linux since 4.13).
    All,
    /// The first of them that is synced, and nobody after it (Linux before).
    First,
}

impl Disk {
    /// Begins a sync: it will cover what was written before this call.
    pub fn begin_sync(&mut self, op: &FileOp) -> Result<SyncTicket, IoError> {
        let began = self.tick();
        let mut ticket = SyncTicket {
            began,
            files: Vec::new(),
            directories: Vec::new(),
            by: None,
            reports_failure: false,
        };
        match op {
            FileOp::Sync { files } => {
                for file in files {
                    let inode = self.descriptor(*file)?;
                    ticket.files.push((inode, self.file(inode).snapshot(began)));
                    ticket.reports_failure |= self.hear(*file);
                }
            }
            FileOp::SyncAll { by, .. } => {
                ticket.by = Some(*by);
                for (&id, inode) in &self.inodes {
                    match inode {
                        Inode::File(file) if file.is_dirty() => ticket.files.push((id, file.snapshot(began))),
                        Inode::Directory(directory) if directory.is_dirty() => ticket.directories.push(id),
                        Inode::File(_) | Inode::Directory(_) => {}
                    }
                }
                // It keeps the errors for the files' own syncs (Linux's `filemap_fdatawait_keep_errors`).
            }
            FileOp::SyncDirectory { path } => ticket.directories.push(self.resolve_directory(path)?),
            _ => return Err(error(IoErrorKind::Device, "not a sync")),
        }
        Ok(ticket)
    }

    /// The sync ends; what it covers is durable, unless a write-back failed before or meanwhile.
    pub fn end_sync(&mut self, ticket: &SyncTicket) -> IoResult {
        let mut gave_up = false;
        for (inode, snapshot) in &ticket.files {
            if let Some(Inode::File(file)) = self.inodes.get_mut(inode) {
                gave_up |= file.persist(snapshot);
            }
        }
        for inode in &ticket.directories {
            if let Some(Inode::Directory(directory)) = self.inodes.get_mut(inode) {
                directory.persist(ticket.began);
            }
        }
        let news = ticket.by.is_some_and(|shard| self.tell(shard));
        if ticket.reports_failure || news || gave_up {
            return Err(error(IoErrorKind::Device, "sync: input/output error"));
        }
        Ok(IoValue::Done)
    }

    /// The sync fails.
    pub fn fail_sync(&mut self, ticket: &SyncTicket, failure: SyncFailure) -> IoResult {
        for (inode, snapshot) in &ticket.files {
            let Some(Inode::File(file)) = self.inodes.get_mut(inode) else {
                continue;
            };
            match failure {
                SyncFailure::CleanUntilEvicted => file.forsake(ticket.began),
                SyncFailure::RevertedAtOnce => {
                    file.forsake(ticket.began);
                    file.evict_forsaken(|| true);
                }
                SyncFailure::SizeWithoutData => file.persist_size_only(snapshot),
                SyncFailure::StaysDirty => {}
            }
        }
        self.failures += 1;
        if let Some(shard) = ticket.by {
            self.tell(shard);
        }
        Err(error(IoErrorKind::Device, "sync: input/output error"))
    }

    /// Whether a write-back failed that the shard's descriptor of the log directory did not tell yet; it has then.
    fn tell(&mut self, shard: ShardId) -> bool {
        self.told.insert(shard, self.failures).unwrap_or(0) < self.failures
    }

    /// Whether a sync of `file` says that a write-back failed earlier.
    fn hear(&mut self, file: FileId) -> bool {
        let Some(descriptor) = self.descriptors.get_mut(&file) else {
            return false;
        };
        let (failed, inode) = (descriptor.failed.take(), descriptor.inode);
        if failed == Some(Hearers::First) {
            for other in self.descriptors.values_mut().filter(|other| other.inode == inode) {
                other.failed = None;
            }
        }
        failed.is_some()
    }

    /// The system writes dirty pages back on its own and fails. Descriptors that are open now will hear of it at their
    /// next sync: all, or the first that asks. Returns whether there was anything to lose.
    pub fn fail_write_back(&mut self, hearers: Hearers, choose: impl FnOnce(usize) -> usize) -> bool {
        let dirty = self.descriptors.values().map(|descriptor| descriptor.inode);
        let mut dirty: Vec<InodeId> = dirty.filter(|&inode| self.file(inode).dirty_bytes() > 0).collect();
        dirty.sort_unstable();
        dirty.dedup();
        if dirty.is_empty() {
            return false;
        }
        let victim = dirty[choose(dirty.len())];
        let now = self.tick();
        self.file_mut(victim).forsake(now);
        self.failures += 1;
        for descriptor in self.descriptors.values_mut().filter(|open| open.inode == victim) {
            descriptor.failed = Some(hearers);
        }
        true
    }
}
