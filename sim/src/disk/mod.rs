//! A disk with a memory of what was never synced.
//!
//! Every file and directory exists twice: as the page cache shows it, and as the device holds it. A process kill keeps
//! the first, a power cut leaves the second plus whatever part of the difference had happened to arrive: bytes by
//! sector, sizes, creates, renames and removals *each on its own*.
//!
//! Invariants:
//! - without faults, every operation answers as the same operation on a real directory does;
//! - what a successful sync covered survives any power cut; nothing else is promised;
//! - a sync covers what was written before it began, never what was written while it ran;
//! - synced bytes are destroyed by rot, by misdirected writes and where a file is spoiled, and whoever strikes is told which.

mod damage;
mod directory;
mod earlier;
mod file;
mod operate;
mod sync;

#[cfg(test)]
mod tests;

pub use damage::{Flip, Misdirection, Spoil};
pub use directory::NameLoss;
pub use earlier::Aim;
pub use file::{Filler, SECTOR, Tear};
pub use sync::{Hearers, SyncFailure, SyncTicket};

use crate::draw::Draw;
use directory::Directory;
use earlier::Earlier;
use file::File;
use klamm_core::storage::{IoError, IoErrorKind};
use klamm_core::types::{FileId, ShardId};
use std::collections::{BTreeMap, BTreeSet};

/// A file or directory, whatever its names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InodeId(u32);

#[derive(Debug)]
enum Inode {
    File(File),
    Directory(Directory),
}

/// An open descriptor.
#[derive(Debug)]
struct Descriptor {
    inode: InodeId,
    /// A write-back failed since the last sync through this descriptor: the next one says so.
    failed: Option<Hearers>,
}

/// One file system that holds one log directory.
#[derive(Debug)]
pub struct Disk {
    inodes: BTreeMap<InodeId, Inode>,
    next_inode: u32,
    descriptors: BTreeMap<FileId, Descriptor>,
    /// Write-backs that failed since the process opened its descriptors of the log directory.
    failures: u64,
    /// How many of them each shard's descriptor of it told.
    told: BTreeMap<ShardId, u64>,
    locked: bool,
    /// Counts operations, so that a sync knows what came before it.
    clock: u64,
    /// How many bytes of files fit; `None` for as many as one likes.
    capacity: Option<u64>,
    used: u64,
    /// Sectors that the device cannot read, until they are written again.
    unreadable: BTreeSet<(InodeId, u64)>,
    /// What earlier files left.
    earlier: Earlier,
}

const ROOT: InodeId = InodeId(0);

/// What a power cut did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CutReport {
    /// Files whose bytes or size differ from what the page cache held.
    pub torn_files: usize,
    /// Directories that lost a create, rename or removal.
    pub torn_directories: usize,
    /// Bytes that no sync had covered.
    pub unsynced_bytes: u64,
    /// Files that show what an earlier write left where the last ones did not arrive.
    pub showing_earlier: usize,
}

/// Which of the two a look is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// What the system shows.
    Cache,
    /// What a power cut would leave at least.
    Device,
}

/// A file as the device holds it.
#[derive(Clone, Copy, Debug)]
pub struct DurableFile<'a> {
    /// Which file it is.
    pub inode: InodeId,
    /// Its durable bytes.
    pub bytes: &'a [u8],
    /// Counts changes of durable bytes other than growth at the end.
    pub rewrites: u64,
    /// How many of the bytes somebody wrote, or synced: behind them is what an earlier write left.
    pub claimed: usize,
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk {
    /// An empty log directory.
    pub fn new() -> Self {
        Self {
            inodes: BTreeMap::from([(ROOT, Inode::Directory(Directory::default()))]),
            next_inode: 1,
            descriptors: BTreeMap::new(),
            failures: 0,
            told: BTreeMap::new(),
            locked: false,
            clock: 0,
            capacity: None,
            used: 0,
            unreadable: BTreeSet::new(),
            earlier: Earlier::default(),
        }
    }

    /// How many bytes the files hold together.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Bounds the bytes that the files hold together; writes beyond fail with a short write.
    pub fn set_capacity(&mut self, capacity: Option<u64>) {
        self.capacity = capacity;
    }

    /// Descriptors that are open.
    pub fn open_files(&self) -> usize {
        self.descriptors.len()
    }

    /// Bytes that no sync has covered.
    pub fn dirty_bytes(&self) -> u64 {
        let files = self.inodes.values().filter_map(|inode| match inode {
            Inode::File(file) => Some(file.dirty_bytes()),
            Inode::Directory(_) => None,
        });
        files.sum()
    }

    /// The process died: descriptors and the lock are gone, the page cache stays.
    pub fn kill(&mut self) {
        self.descriptors.clear();
        self.failures = 0;
        self.told.clear();
        self.locked = false;
        self.collect();
    }

    /// Memory runs short: clean pages leave the page cache, those that `leaves` picks. Only where a write-back had failed
    /// does anybody notice. Returns whether there was such a page.
    pub fn evict(&mut self, mut leaves: impl FnMut() -> bool) -> bool {
        let mut noticed = false;
        for inode in self.inodes.values_mut() {
            if let Inode::File(file) = inode {
                noticed |= file.evict_forsaken(&mut leaves);
            }
        }
        noticed
    }

    /// The power goes: only what the device holds remains, and whatever part of the rest had arrived.
    pub fn power_cut(&mut self, draw: &mut Draw) -> CutReport {
        let mut report = CutReport {
            unsynced_bytes: self.dirty_bytes(),
            ..CutReport::default()
        };
        let uniform = draw.chance(1, 2).then(|| (draw_tear(draw), draw_loss(draw)));
        let aim = self.earlier.take_aim();
        for (id, inode) in &mut self.inodes {
            let (tear, loss) = uniform.unwrap_or_else(|| (draw_tear(draw), draw_loss(draw)));
            match inode {
                Inode::File(file) => {
                    let filler = draw.pick(&[Filler::Zeros, Filler::Stale]);
                    let (tear, filler) = Aim::at(aim, *id).unwrap_or((tear, filler));
                    report.torn_files += usize::from(file.cut(tear, filler, draw));
                    report.showing_earlier += usize::from(file.unclaimed(View::Device).is_some());
                }
                Inode::Directory(directory) => {
                    report.torn_directories += usize::from(directory.cut(loss, draw));
                }
            }
        }
        self.descriptors.clear();
        self.failures = 0;
        self.told.clear();
        self.locked = false;
        self.collect();
        report
    }

    /// Forgets what no name leads to any more.
    fn collect(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            if let Some(Inode::Directory(directory)) = self.inodes.get(&id) {
                for child in directory.reach() {
                    if reached.insert(child) {
                        open.push(child);
                    }
                }
            }
        }
        self.inodes.retain(|id, _| reached.contains(id));
        let sizes = self.inodes.values().filter_map(|inode| match inode {
            Inode::File(file) => Some(file.occupied()),
            Inode::Directory(_) => None,
        });
        self.used = sizes.sum();
    }

    /// The names of a directory as `view` shows it, ascending; `None` when there is no such directory.
    pub fn names(&self, view: View, path: &str) -> Option<Vec<&str>> {
        match self.inodes.get(&self.find(view, path)?)? {
            Inode::Directory(directory) => {
                let names = match view {
                    View::Cache => directory.names(),
                    View::Device => directory.durable(),
                };
                Some(names.keys().map(|name| &**name).collect())
            }
            Inode::File(_) => None,
        }
    }

    /// The bytes of a file as `view` shows them; `None` when there is no such file.
    pub fn bytes(&self, view: View, path: &str) -> Option<&[u8]> {
        match (self.inodes.get(&self.find(view, path)?)?, view) {
            (Inode::File(file), View::Cache) => Some(file.cache()),
            (Inode::File(file), View::Device) => Some(file.durable()),
            (Inode::Directory(_), _) => None,
        }
    }

    /// The names of a directory that the device holds, ascending; `None` when there is no such directory.
    pub fn durable_names(&self, path: &str) -> Option<Vec<&str>> {
        self.names(View::Device, path)
    }

    /// The file at `path` as the device holds it: reached by durable names only.
    pub fn durable_file(&self, path: &str) -> Option<DurableFile<'_>> {
        let inode = self.find(View::Device, path)?;
        match self.inodes.get(&inode)? {
            Inode::File(file) => Some(DurableFile {
                inode,
                bytes: file.durable(),
                rewrites: file.rewrites(),
                claimed: file
                    .unclaimed(View::Device)
                    .map_or(file.durable().len(), |from| from as usize),
            }),
            Inode::Directory(_) => None,
        }
    }

    /// The path of an open file, as the system shows it; `None` where no name leads to it any more.
    pub fn path_of(&self, file: FileId) -> Option<String> {
        let inode = self.descriptors.get(&file)?.inode;
        let mut paths = self.files().into_iter().map(|(path, _)| path);
        paths.find(|path| self.find(View::Cache, path) == Some(inode))
    }

    fn find(&self, view: View, path: &str) -> Option<InodeId> {
        let mut at = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match self.inodes.get(&at)? {
                Inode::Directory(directory) => {
                    let names = match view {
                        View::Cache => directory.names(),
                        View::Device => directory.durable(),
                    };
                    at = *names.get(name)?;
                }
                Inode::File(_) => return None,
            }
        }
        Some(at)
    }

    /// Every file that the page cache shows, with its path and bytes, ascending by path.
    pub fn files(&self) -> Vec<(String, &[u8])> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, id)) = open.pop() {
            match &self.inodes[&id] {
                Inode::File(file) => found.push((path, file.cache())),
                Inode::Directory(directory) => {
                    for (name, &child) in directory.names() {
                        let slash = if path.is_empty() { "" } else { "/" };
                        open.push((format!("{path}{slash}{name}"), child));
                    }
                }
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

fn draw_tear(draw: &mut Draw) -> Tear {
    draw.pick(&[Tear::Nothing, Tear::Everything, Tear::Prefix, Tear::Sectors])
}

fn draw_loss(draw: &mut Draw) -> NameLoss {
    draw.pick(&[NameLoss::All, NameLoss::Nothing, NameLoss::Suffix, NameLoss::Any])
}

fn error(kind: IoErrorKind, text: impl Into<String>) -> IoError {
    IoError {
        kind,
        text: text.into(),
    }
}
