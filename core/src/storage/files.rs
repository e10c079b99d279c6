//! The files of a shard and their descriptors: opened on demand, closed when idle and the limit is reached.
//!
//! Invariants:
//! - no operation on a file is emitted before its descriptor was opened;
//! - a descriptor with unsynced bytes, an operation in flight or a lease is never closed;
//! - the idle list holds exactly the open files that may be closed.

use super::event::{LogId, Purpose, Token};
use super::file::{FileOp, FilePath, OpenMode};
use super::outbox::Outbox;
use crate::bugs::bug;
use crate::types::FileId;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// Whether a file is on the disk already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// It is there, and its name is durable.
    Existing,
    /// It is created when it is first opened.
    New,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Descriptor {
    Closed,
    /// Waits for others to be closed.
    Queued,
    Opening,
    Open,
    Closing,
}

/// What becomes of a file once nothing holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Kept,
    /// Its log is closed: the descriptor goes, and the entry with it.
    Forgotten,
}

/// What is known of a file's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    /// The file is created when it is first opened.
    Planned,
    /// It was created, and its directory was not synced since.
    Fresh,
    /// It survives whatever happens.
    Durable,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) log: LogId,
    pub(super) path: FilePath,
    name: Name,
    descriptor: Descriptor,
    fate: Fate,
    pub(super) leases: u32,
    /// Writes emitted or waiting for the descriptor, without an answer.
    pub(super) in_flight: u32,
    /// Writes asked for, ever.
    issued: u64,
    /// Writes answered, ever.
    written: u64,
    /// Writes that a sync covered.
    synced: u64,
    /// The running round syncs it.
    in_round: bool,
    /// The log wants to hear when everything is synced.
    pub(super) sealing: bool,
    /// Once so many writes were answered, they are to be synced.
    sync_at: Option<u64>,
    /// A reader waits for the descriptor.
    reader_waits: bool,
    idle_since: Option<u64>,
    waiting: Vec<(Token, FileOp)>,
}

impl File {
    fn new(log: LogId, path: FilePath, presence: Presence) -> Self {
        Self {
            log,
            path,
            name: match presence {
                Presence::Existing => Name::Durable,
                Presence::New => Name::Planned,
            },
            descriptor: Descriptor::Closed,
            fate: Fate::Kept,
            leases: 0,
            in_flight: 0,
            issued: 0,
            written: 0,
            synced: 0,
            in_round: false,
            sealing: false,
            sync_at: None,
            reader_waits: false,
            idle_since: None,
            waiting: Vec::new(),
        }
    }

    /// Whether bytes of it are not known to be synced.
    pub(super) fn is_dirty(&self) -> bool {
        self.issued != self.synced
    }

    /// Whether everything of it is durable, its name included, and it is really there.
    pub(super) fn is_sealed(&self) -> bool {
        !self.is_dirty() && self.name == Name::Durable
    }

    /// Whether its directory has to be synced for its sake.
    pub(super) fn is_fresh(&self) -> bool {
        self.name == Name::Fresh
    }

    /// Whether nothing is going on that ends by itself.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight == 0 && !self.in_round && matches!(self.descriptor, Descriptor::Closed | Descriptor::Open)
    }

    fn is_closable(&self) -> bool {
        let held = self.leases > 0 || self.in_flight > 0 || self.in_round || self.is_dirty();
        self.descriptor == Descriptor::Open && !held && self.waiting.is_empty()
    }

    pub(super) fn is_open(&self) -> bool {
        self.descriptor == Descriptor::Open
    }

    pub(super) fn is_closed(&self) -> bool {
        self.descriptor == Descriptor::Closed
    }

    /// Whether its log is closed.
    pub(super) fn is_forgotten(&self) -> bool {
        self.fate == Fate::Forgotten
    }

    /// Whether nobody wants it open but readers.
    pub(super) fn is_only_read(&self) -> bool {
        self.reader_waits && self.waiting.is_empty() && !self.sealing
    }

    /// Has everything that was asked to be written so far synced once it is written.
    pub(super) fn sync_all_asked(&mut self) {
        self.sync_at = (self.in_flight > 0).then_some(self.issued);
    }
}

#[derive(Debug)]
pub(super) struct Files {
    map: BTreeMap<FileId, File>,
    /// Open files that may be closed, the longest idle first.
    idle: BTreeMap<u64, FileId>,
    stamp: u64,
    /// Files whose descriptor is open, or on its way in or out.
    open: BTreeSet<FileId>,
    closing: usize,
    /// Open files that will become idle or leased by themselves.
    queue: VecDeque<FileId>,
    /// Descriptors at most: what was asked for, or less while the process lacks some.
    limit: usize,
    most: usize,
    /// Files opened since the limit was changed.
    opened: usize,
    leases: usize,
    /// Files wait for a descriptor, and only a sync can free one.
    pub(super) starved: bool,
}

impl Files {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            map: BTreeMap::new(),
            idle: BTreeMap::new(),
            stamp: 0,
            open: BTreeSet::new(),
            closing: 0,
            queue: VecDeque::new(),
            limit: limit.max(1),
            most: limit.max(1),
            opened: 0,
            leases: 0,
            starved: false,
        }
    }

    pub(super) fn add(&mut self, file: FileId, log: LogId, path: FilePath, presence: Presence) {
        let before = self.map.insert(file, File::new(log, path, presence));
        assert!(before.is_none(), "{file:?} was used twice");
    }

    pub(super) fn get(&self, file: FileId) -> &File {
        &self.map[&file]
    }

    pub(super) fn get_mut(&mut self, file: FileId) -> &mut File {
        self.map.get_mut(&file).expect("a file that its log registered")
    }

    pub(super) fn find(&self, file: FileId) -> Option<&File> {
        self.map.get(&file)
    }

    pub(super) fn leases(&self) -> usize {
        self.leases
    }

    /// Files that are open and dirty with no write in flight: what a sync would free.
    pub(super) fn dirty(&self) -> impl Iterator<Item = FileId> {
        let open = self.open.iter().copied();
        open.filter(|id| self.map[id].is_open() && self.map[id].is_dirty())
    }

    /// Puts the file into the idle list or takes it out, as it is now; a forgotten one is closed.
    pub(super) fn settle(&mut self, id: FileId, outbox: &mut Outbox) {
        let Some(file) = self.map.get_mut(&id) else { return };
        let closable = file.is_closable();
        match (closable, file.idle_since) {
            (true, None) if file.fate == Fate::Forgotten => self.close(id, outbox),
            (true, None) => {
                self.stamp += 1;
                file.idle_since = Some(self.stamp);
                self.idle.insert(self.stamp, id);
            }
            (false, Some(stamp)) => {
                file.idle_since = None;
                self.idle.remove(&stamp);
            }
            (true, Some(_)) | (false, None) => self.drop_if_forgotten(id),
        }
    }

    fn drop_if_forgotten(&mut self, id: FileId) {
        let Some(file) = self.map.get(&id) else { return };
        let done = file.fate == Fate::Forgotten && file.is_closed() && file.is_quiet() && file.leases == 0;
        if done && file.waiting.is_empty() {
            self.map.remove(&id);
        }
    }

    /// The file's log is closed. The entry goes once nothing holds it.
    pub(super) fn forget(&mut self, id: FileId, outbox: &mut Outbox) {
        let file = self.get_mut(id);
        file.fate = Fate::Forgotten;
        file.sealing = false;
        if let Some(stamp) = file.idle_since.take() {
            self.idle.remove(&stamp);
        }
        self.settle(id, outbox);
    }

    fn close(&mut self, id: FileId, outbox: &mut Outbox) {
        let file = self.get_mut(id);
        assert!(file.descriptor == Descriptor::Open, "only an open descriptor is closed");
        file.descriptor = Descriptor::Closing;
        if let Some(stamp) = file.idle_since.take() {
            self.idle.remove(&stamp);
        }
        self.closing += 1;
        outbox.push(Purpose::Close(id), FileOp::Close { file: id });
    }

    /// Closes the file if it is open, for its removal. Returns whether it is closed already.
    pub(super) fn close_for_removal(&mut self, id: FileId, outbox: &mut Outbox) -> bool {
        let file = self.get_mut(id);
        assert!(file.leases == 0 && file.is_quiet(), "a file in use is removed");
        file.synced = file.issued;
        if file.is_open() {
            self.close(id, outbox);
        }
        self.get(id).is_closed()
    }

    /// Drops the entry of a removed file.
    pub(super) fn removed(&mut self, id: FileId) {
        let file = self.map.remove(&id).expect("a file is removed once");
        assert!(file.is_closed() && file.leases == 0, "a removed file was in use");
    }

    pub(super) fn lease(&mut self, id: FileId, outbox: &mut Outbox) {
        self.leases += 1;
        self.get_mut(id).leases += 1;
        self.settle(id, outbox);
        // It may have been the last file that would have become closable by itself.
        self.pump(outbox);
    }

    pub(super) fn release(&mut self, id: FileId, outbox: &mut Outbox) {
        let file = self.get_mut(id);
        assert!(file.leases > 0, "a lease was released twice");
        file.leases -= 1;
        self.leases -= 1;
        self.settle(id, outbox);
        self.pump(outbox);
    }

    /// A reader wants the file. Returns whether it is open; else it is opened, and the log hears of it.
    pub(super) fn want(&mut self, id: FileId, outbox: &mut Outbox) -> bool {
        let file = self.get_mut(id);
        if file.is_open() {
            return true;
        }
        file.reader_waits = true;
        self.ensure_open(id, outbox);
        false
    }

    /// Emits a write once the descriptor is open.
    pub(super) fn write(&mut self, id: FileId, token: Purpose, op: FileOp, outbox: &mut Outbox) {
        let file = self.get_mut(id);
        file.in_flight += 1;
        file.issued += 1;
        let stamp = file.idle_since.take();
        if file.is_open() {
            outbox.push(token, op);
        } else {
            file.waiting.push((Token(token), op));
        }
        if let Some(stamp) = stamp {
            self.idle.remove(&stamp);
        }
    }

    /// A write was answered, well or not.
    pub(super) fn wrote(&mut self, id: FileId) {
        let file = self.get_mut(id);
        assert!(file.in_flight > 0, "a write was answered twice");
        file.in_flight -= 1;
        file.written += 1;
    }

    /// The file joins a round. Returns how many of its writes the round covers.
    pub(super) fn join_round(&mut self, id: FileId) -> u64 {
        let file = self.get_mut(id);
        file.in_round = true;
        file.written
    }

    /// The round ended well.
    pub(super) fn leave_round(&mut self, id: FileId, covers: u64, outbox: &mut Outbox) {
        let Some(file) = self.map.get_mut(&id) else { return };
        file.in_round = false;
        let covers = if bug!(SyncCoversLaterWrites) {
            file.written
        } else {
            covers
        };
        file.synced = file.synced.max(covers);
        file.name = Name::Durable;
        self.settle(id, outbox);
    }

    /// Has the file opened unless it is, or is on its way.
    pub(super) fn ensure_open(&mut self, id: FileId, outbox: &mut Outbox) {
        let file = self.get_mut(id);
        if file.descriptor == Descriptor::Closed {
            file.descriptor = Descriptor::Queued;
            self.queue.push_back(id);
            self.pump(outbox);
        }
    }

    /// Opens what waits, as far as the limit allows. Files that are merely leased do not count against others: the
    /// reader that holds one may be waiting for the next.
    pub(super) fn pump(&mut self, outbox: &mut Outbox) {
        self.starved = false;
        while let Some(&id) = self.queue.front() {
            if bug!(CloseDirtyDescriptor) {
                self.close_a_dirty_one(outbox);
            }
            if self.open.len() >= self.limit {
                if self.closing > 0 {
                    return;
                }
                if let Some((_, victim)) = self.idle.pop_first() {
                    self.get_mut(victim).idle_since = None;
                    self.close(victim, outbox);
                    return;
                }
                if self.is_any_busy() {
                    self.starved = true;
                    return;
                }
            }
            self.queue.pop_front();
            self.open.insert(id);
            let file = self.get_mut(id);
            file.descriptor = Descriptor::Opening;
            let mode = match file.name {
                Name::Planned => OpenMode::CreateNew,
                Name::Fresh | Name::Durable => OpenMode::Existing,
            };
            let path = file.path.clone();
            outbox.push(Purpose::Open(id), FileOp::Open { file: id, path, mode });
        }
    }

    /// Whether some open file will become closable by itself, or by a sync.
    fn is_any_busy(&self) -> bool {
        let mut open = self.open.iter().map(|id| &self.map[id]);
        open.any(|file| match file.descriptor {
            Descriptor::Opening | Descriptor::Closing => true,
            Descriptor::Open => file.leases == 0,
            Descriptor::Closed | Descriptor::Queued => false,
        })
    }

    /// The deliberate bug: unsynced bytes do not keep a descriptor open, and count as synced with its end.
    fn close_a_dirty_one(&mut self, outbox: &mut Outbox) {
        let mut files = self.map.iter();
        let victim = files.find(|(_, file)| {
            let idle = file.in_flight == 0 && !file.in_round && file.leases == 0;
            file.is_open() && idle && file.is_dirty()
        });
        if let Some((&victim, _)) = victim {
            let file = self.get_mut(victim);
            file.synced = file.issued;
            self.close(victim, outbox);
        }
    }

    /// The descriptor is there: emits what waited for it. Returns the log whose reader waited for it.
    pub(super) fn opened(&mut self, id: FileId, outbox: &mut Outbox) -> Option<LogId> {
        let file = self.get_mut(id);
        assert!(
            file.descriptor == Descriptor::Opening,
            "a file was opened that nobody asked for"
        );
        file.descriptor = Descriptor::Open;
        if file.name == Name::Planned {
            file.name = Name::Fresh;
        }
        for (token, op) in file.waiting.drain(..) {
            outbox.push(token.0, op);
        }
        self.rise();
        let file = self.get_mut(id);
        let reader = core::mem::take(&mut file.reader_waits).then_some(file.log);
        self.settle(id, outbox);
        reader
    }

    /// A descriptor could be had: after as many as there may be, there may be some more again.
    fn rise(&mut self) {
        self.opened += 1;
        if self.opened >= self.limit && self.limit < self.most {
            self.limit = (self.limit + self.limit / 4 + 1).min(self.most);
            self.opened = 0;
        }
    }

    /// Whether the file is to be synced now that a write to it was answered.
    pub(super) fn is_sync_due(&mut self, id: FileId) -> bool {
        let Some(file) = self.map.get_mut(&id) else {
            return false;
        };
        let asked = file.sync_at.take_if(|at| file.written >= *at).is_some();
        asked || (file.sealing && file.in_flight == 0)
    }

    /// The descriptor could not be had because the process has too many. Returns whether it is worth waiting for
    /// another to be closed.
    pub(super) fn too_many(&mut self, id: FileId, outbox: &mut Outbox) -> bool {
        self.open.remove(&id);
        self.get_mut(id).descriptor = Descriptor::Queued;
        self.queue.push_front(id);
        if self.open.is_empty() {
            return false;
        }
        // The rest of the process needs some, too.
        self.limit = (self.open.len() - self.open.len() / 4).max(1);
        self.opened = 0;
        let waits = !self.idle.is_empty() || self.closing > 0 || self.is_any_busy();
        if waits {
            self.pump(outbox);
        }
        waits
    }

    /// The process has too many open files, and somebody else needs one: closes one of ours that may be.
    pub(super) fn make_room(&mut self, outbox: &mut Outbox) {
        if let Some((_, victim)) = self.idle.pop_first() {
            self.get_mut(victim).idle_since = None;
            self.close(victim, outbox);
        }
    }

    /// The file cannot be opened. Returns the writes that waited for it.
    pub(super) fn open_failed(&mut self, id: FileId) -> Vec<(Token, FileOp)> {
        match self.get(id).descriptor {
            Descriptor::Queued => self.queue.retain(|&queued| queued != id),
            _ => drop(self.open.remove(&id)),
        }
        let file = self.get_mut(id);
        file.descriptor = Descriptor::Closed;
        file.reader_waits = false;
        core::mem::take(&mut file.waiting)
    }

    /// The descriptor is gone.
    pub(super) fn closed(&mut self, id: FileId, outbox: &mut Outbox) {
        self.open.remove(&id);
        self.closing -= 1;
        let file = self.get_mut(id);
        file.descriptor = Descriptor::Closed;
        if file.reader_waits || !file.waiting.is_empty() {
            self.ensure_open(id, outbox);
        } else {
            self.drop_if_forgotten(id);
        }
        self.pump(outbox);
    }
}
