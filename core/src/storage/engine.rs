//! One shard's hold on one log directory.

use super::commit::Committer;
use super::directories::Directories;
use super::event::{LogId, Purpose, StorageEvent, Token};
use super::file::{FileOp, FilePath, IoError, IoErrorKind, IoResult, Piece};
use super::files::{Files, Presence};
use super::index::{Index, IndexCache};
use super::lease::{Allocator, FileIds, Lease};
use super::outbox::Outbox;
use super::tail::{Recent, TailCache};
use crate::bugs::bug;
use crate::config::{FlushMode, Limits};
use crate::types::{Fault, FileId, LogDirectoryId, Monotonic, Now, Offset, ShardId, Timestamp};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What a shard asks of one log directory, and what it knows of it: descriptors, commit rounds, leases, and what is kept
/// in memory for readers.
///
/// The shard [takes](Self::drain) the operations after each step, and [hands back](Self::complete) every answer.
#[derive(Debug)]
pub struct Storage {
    directory: LogDirectoryId,
    ids: Allocator,
    outbox: Outbox,
    files: Files,
    committer: Committer,
    directories: Directories,
    tail: TailCache,
    indexes: IndexCache,
    /// Raised while no completion was being handled.
    raised: Vec<StorageEvent>,
    fault: Option<Fault>,
    started: Option<Now>,
    /// What found no descriptor, and when it is asked for again.
    unbegun: Vec<Purpose>,
    again_at: Option<Monotonic>,
}

/// Milliseconds before an operation that found no descriptor is asked for again.
const AGAIN_AFTER_MS: u64 = 10;

impl Storage {
    /// Storage of `shard` in `directory`, with nothing open.
    pub fn new(directory: LogDirectoryId, shard: ShardId, flush: FlushMode, limits: &Limits) -> Self {
        Self {
            directory,
            ids: Allocator::new(shard.0),
            outbox: Outbox::default(),
            files: Files::new(limits.open_files),
            committer: Committer::new(directory, shard, flush, limits),
            directories: Directories::default(),
            tail: TailCache::new(limits.tail_cache_bytes),
            indexes: IndexCache::new(limits.index_cache_bytes),
            raised: Vec::new(),
            fault: None,
            started: None,
            unbegun: Vec::new(),
            again_at: None,
        }
    }

    /// The log directory.
    pub const fn directory(&self) -> LogDirectoryId {
        self.directory
    }

    /// What is to be done, each with the token its answer is handed back with. Begins a commit round if one is due.
    pub fn drain(&mut self, now: Monotonic) -> impl Iterator<Item = (Token, FileOp)> + '_ {
        self.begin_round(now);
        self.drain_held()
    }

    /// As [`drain`](Self::drain), but without a new commit round: what is still to be written in this turn shall be
    /// covered by it.
    pub fn drain_held(&mut self) -> impl Iterator<Item = (Token, FileOp)> + '_ {
        self.outbox.drain()
    }

    /// When a commit round that waits for more is due, or something that could not be begun: [`drain`](Self::drain) is to be
    /// called then.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let due = [self.committer.next_deadline(), self.again_at];
        due.into_iter().flatten().min().filter(|_| self.fault.is_none())
    }

    fn begin_round(&mut self, now: Monotonic) {
        if self.fault.is_some() {
            return;
        }
        self.ask_again(now);
        if self.files.starved && !self.committer.is_syncing() {
            for file in self.files.dirty() {
                self.committer.request(file);
            }
        }
        self.committer
            .begin(now, &mut self.files, &mut self.outbox, &mut self.raised);
        let mut events = core::mem::take(&mut self.raised);
        self.report_failures(&mut events);
        self.raised = events;
    }

    /// Whether events wait that no completion will bring: the shard then calls [`take_events`](Self::take_events).
    pub fn has_events(&self) -> bool {
        !self.raised.is_empty()
    }

    /// Takes the events that were raised while no completion was being handled.
    pub fn take_events(&mut self, events: &mut Vec<StorageEvent>) {
        events.append(&mut self.raised);
    }

    /// An operation was answered; what follows from it is added to `events`.
    pub fn complete(&mut self, token: Token, result: IoResult, events: &mut Vec<StorageEvent>) {
        self.outbox.answered();
        events.append(&mut self.raised);
        if self.fault.is_some() {
            return;
        }
        match result {
            Ok(_) => self.done(token.0, events),
            Err(error) => self.failed(token.0, &error, events),
        }
        self.report_failures(events);
    }

    /// Says which logs failed, once nothing of them is in progress.
    fn report_failures(&mut self, events: &mut Vec<StorageEvent>) {
        for (log, fault) in core::mem::take(&mut self.committer.failures) {
            self.directories.pause(log);
            if self.directories.is_busy(log) {
                self.committer.failures.push((log, fault));
            } else {
                events.push(StorageEvent::WriteFailed { log, fault });
            }
        }
    }

    fn done(&mut self, purpose: Purpose, events: &mut Vec<StorageEvent>) {
        match purpose {
            Purpose::MakeDirectory(log) => {
                self.committer.placed(log);
                for file in self.directories.made(log, true) {
                    self.files.ensure_open(file, &mut self.outbox);
                }
                self.pump_log(log, events);
            }
            Purpose::Open(file) => {
                if let Some(log) = self.files.opened(file, &mut self.outbox) {
                    events.push(StorageEvent::Opened { log });
                }
                if self.files.find(file).is_some_and(|file| file.sealing) {
                    self.committer.request(file);
                }
                self.pump_file(file, events);
            }
            Purpose::Close(file) => {
                let log = self.files.find(file).map(|file| file.log);
                self.files.closed(file, &mut self.outbox);
                if let Some(log) = log {
                    self.pump_log(log, events);
                }
            }
            Purpose::Write { log, file, number } => {
                self.files.wrote(file);
                self.committer.written(log, file, number, events);
                self.after_write(file, events);
            }
            Purpose::Round(_) => {
                let left = self.committer.synced(&mut self.files, &mut self.outbox, events);
                self.files.pump(&mut self.outbox);
                // What is to be removed may have waited for the round.
                for (file, _) in left {
                    self.pump_file(file, events);
                }
            }
            Purpose::Remove(log) => {
                self.directories.removed(log, &mut self.files, &mut self.outbox, events);
                self.forget_deleted(log, events);
            }
        }
    }

    fn failed(&mut self, purpose: Purpose, error: &IoError, events: &mut Vec<StorageEvent>) {
        match (purpose, error.kind) {
            (Purpose::Write { log, file, number }, IoErrorKind::NoSpace) if !bug!(HaltOnNoSpace) => {
                self.files.wrote(file);
                self.committer.failed(log, number, Fault::NoSpace);
                self.after_write(file, events);
            }
            (Purpose::Open(file), IoErrorKind::TooManyOpenFiles) => {
                if !self.files.too_many(file, &mut self.outbox) {
                    let state = self.files.get(file);
                    if state.is_only_read() && !state.is_forgotten() {
                        self.unreadable(file, error.fault(), events);
                    } else {
                        self.open_failed(file, &error.fault(), events);
                    }
                }
            }
            (Purpose::Open(file), IoErrorKind::NoSpace) => self.open_failed(file, &Fault::NoSpace, events),
            (Purpose::Open(file), IoErrorKind::NotFound | IoErrorKind::AlreadyExists) => {
                let text = alloc::format!("{}: {error}", self.files.get(file).path);
                self.open_failed(file, &Fault::Corruption(text), events);
            }
            (Purpose::MakeDirectory(log), IoErrorKind::NoSpace) => {
                for file in self.directories.made(log, false) {
                    self.open_failed(file, &Fault::NoSpace, events);
                }
                self.pump_log(log, events);
            }
            (Purpose::Round(place), IoErrorKind::TooManyOpenFiles) if self.committer.is_name_sync(place) => {
                self.ask_again_later(purpose);
            }
            (Purpose::Remove(_), IoErrorKind::TooManyOpenFiles) => self.ask_again_later(purpose),
            (Purpose::Round(place), _) if bug!(FailedNameSyncBelieved) && self.committer.is_name_sync(place) => {
                self.done(purpose, events);
            }
            (Purpose::Round(place), _) if bug!(RetryFailedSync) => {
                if let Some(op) = self.committer.again(place) {
                    self.outbox.push(purpose, op);
                }
            }
            _ => self.fail(error.fault(), events),
        }
    }

    /// The operation was not begun, because the process has too many open files: another one is closed, if one may be, and
    /// it is asked for once more.
    fn ask_again_later(&mut self, purpose: Purpose) {
        self.files.make_room(&mut self.outbox);
        self.unbegun.push(purpose);
    }

    /// Asks for what could not be begun, once it has waited.
    fn ask_again(&mut self, now: Monotonic) {
        if self.unbegun.is_empty() || now < *self.again_at.get_or_insert(now.plus_millis(AGAIN_AFTER_MS)) {
            return;
        }
        self.again_at = None;
        for purpose in core::mem::take(&mut self.unbegun) {
            let op = match purpose {
                Purpose::Round(place) => self.committer.again(place),
                Purpose::Remove(log) => self.directories.again(log, &self.files),
                _ => None,
            };
            self.outbox.push(purpose, op.expect("it is still to be done"));
        }
    }

    /// The log directory cannot be relied on any more.
    fn fail(&mut self, fault: Fault, events: &mut Vec<StorageEvent>) {
        self.outbox.close();
        self.fault = Some(fault.clone());
        self.unbegun.clear();
        events.push(StorageEvent::DirectoryFailed(fault));
    }

    /// A file that only readers want has no descriptor: that costs them their reads, and nobody a write.
    fn unreadable(&mut self, file: FileId, fault: Fault, events: &mut Vec<StorageEvent>) {
        let log = self.files.get(file).log;
        self.files.open_failed(file);
        events.push(StorageEvent::Unreadable { log, fault });
        self.after_write(file, events);
        self.files.pump(&mut self.outbox);
    }

    fn open_failed(&mut self, file: FileId, fault: &Fault, events: &mut Vec<StorageEvent>) {
        if self.files.get(file).is_forgotten() {
            // Its log is closed, and may be open again with other files.
            self.files.open_failed(file);
            self.files.settle(file, &mut self.outbox);
            self.files.pump(&mut self.outbox);
            return;
        }
        let log = self.files.get(file).log;
        for (token, _) in self.files.open_failed(file) {
            if let Purpose::Write { log, file, number } = token.0 {
                self.files.wrote(file);
                self.committer.failed(log, number, fault.clone());
            }
        }
        self.committer.fail_log(log, fault.clone());
        self.after_write(file, events);
        self.files.pump(&mut self.outbox);
    }

    fn after_write(&mut self, file: FileId, events: &mut Vec<StorageEvent>) {
        self.files.settle(file, &mut self.outbox);
        if self.files.is_sync_due(file) {
            self.committer.request(file);
        }
        self.pump_file(file, events);
    }

    fn pump_file(&mut self, file: FileId, events: &mut Vec<StorageEvent>) {
        if let Some(log) = self.files.find(file).map(|file| file.log) {
            self.pump_log(log, events);
        }
    }

    fn pump_log(&mut self, log: LogId, events: &mut Vec<StorageEvent>) {
        self.directories.pump(log, &mut self.files, &mut self.outbox, events);
        self.forget_deleted(log, events);
    }

    fn forget_deleted(&mut self, log: LogId, events: &[StorageEvent]) {
        if events.last() == Some(&StorageEvent::Deleted { log }) {
            self.committer.remove_log(log);
            self.directories.remove(log);
        }
    }

    /// Whether nothing is asked for, in progress or held: how it must be at the end.
    pub fn is_quiet(&self) -> bool {
        let idle = self.fault.is_some() || self.committer.is_idle();
        self.outbox.is_quiet() && self.unbegun.is_empty() && idle && self.files.leases() == 0
    }

    /// Leases that were not released.
    pub fn leases(&self) -> usize {
        self.files.leases()
    }

    /// Lets go of received bytes that are kept for nothing but speed: the batches for readers at the tail.
    pub fn reclaim(&mut self) {
        self.tail.clear();
    }

    /// Bytes of batches kept for readers at the tail.
    #[cfg(test)]
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail.bytes()
    }

    /// Why the log directory failed, if it did.
    pub const fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// File ids for a job that may open many files.
    pub fn job_files(&mut self) -> FileIds {
        self.ids.many()
    }

    /// File ids for a job that opens a segment and its checkpoint at most.
    pub(crate) fn few_files(&mut self) -> FileIds {
        self.ids.few()
    }

    /// The time: the first time is what the [steady clock](Self::steady) starts from.
    pub fn see(&mut self, now: Now) {
        self.started.get_or_insert(now);
    }

    /// A wall clock that no step makes run ahead: the earlier of the wall clock and of what it was when it was
    /// [seen](Self::see) first plus the time since. Whatever deletes by age asks this one.
    pub fn steady(&mut self, now: Now) -> Timestamp {
        let started = *self.started.get_or_insert(now);
        let elapsed = now.monotonic.millis_since(started.monotonic) as i64;
        Timestamp(now.wall.0.min(started.wall.0.saturating_add(elapsed)))
    }

    /// As [`steady`](Self::steady), but the later of the two: no step makes it lag behind. Whatever is kept for a time
    /// from now on asks this one.
    pub fn hasty(&mut self, now: Now) -> Timestamp {
        let started = *self.started.get_or_insert(now);
        let elapsed = now.monotonic.millis_since(started.monotonic) as i64;
        Timestamp(now.wall.0.max(started.wall.0.saturating_add(elapsed)))
    }

    /// Whose file it is; `None` once it is gone.
    pub fn log_of(&self, file: FileId) -> Option<LogId> {
        self.files.find(file).map(|file| file.log)
    }

    /// Holds a file for a reader or a job.
    pub fn lease(&mut self, file: FileId) -> Lease {
        self.files.lease(file, &mut self.outbox);
        Lease { file }
    }

    /// Gives a lease back.
    #[allow(clippy::needless_pass_by_value, reason = "a lease is given back once")]
    pub fn release(&mut self, lease: Lease) {
        let Lease { file } = lease;
        self.files.release(file, &mut self.outbox);
        let mut events = core::mem::take(&mut self.raised);
        self.pump_file(file, &mut events);
        self.raised = events;
    }
}

/// What logs ask for.
impl Storage {
    pub(crate) fn add_log(&mut self, log: LogId, directory: FilePath, flush: FlushMode, there: bool) {
        self.committer.add_log(log, flush);
        self.directories.add(log, directory, there);
    }

    /// The log is closed: its descriptors go as soon as nothing holds them.
    pub(crate) fn forget_log(&mut self, log: LogId) {
        self.committer.remove_log(log);
        self.tail.forget(log);
        for file in self.directories.remove(log) {
            self.indexes.remove(file);
            self.files.forget(file, &mut self.outbox);
        }
    }

    /// Whether nothing of the log is in progress or waiting.
    pub(crate) fn is_log_quiet(&self, log: LogId) -> bool {
        self.committer.is_quiet(log) && self.directories.is_quiet(log)
    }

    pub(crate) fn add_file(&mut self, log: LogId, path: FilePath, presence: Presence) -> FileId {
        let file = self.ids.one();
        self.files.add(file, log, path, presence);
        self.directories.add_file(log, file);
        file
    }

    /// Writes an append; the log hears when everything up to `end` is durable.
    pub(crate) fn append(&mut self, log: LogId, file: FileId, position: u64, pieces: Vec<Piece>, end: Offset) {
        let bytes = pieces.iter().map(|piece| piece.as_ref().len() as u64).sum();
        let Some(number) = self.committer.append(log, file, end, bytes) else {
            return;
        };
        let write = FileOp::Write { file, position, pieces };
        self.files
            .write(file, Purpose::Write { log, file, number }, write, &mut self.outbox);
        self.open_for_writing(log, file);
    }

    /// The last append of the log counts only once it was synced, even where others count once they are written.
    pub(crate) fn demand_sync(&mut self, log: LogId) {
        self.committer.demand_sync(log);
    }

    /// Has what was written to the file synced in the next round, and what was asked to be written once it is.
    pub(crate) fn sync(&mut self, file: FileId) {
        self.files.get_mut(file).sync_all_asked();
        self.committer.request(file);
    }

    /// Creates the file although nothing is written to it yet; [`StorageEvent::Sealed`] says when it is durable.
    pub(crate) fn create(&mut self, log: LogId, file: FileId) {
        self.files.get_mut(file).sealing = true;
        self.open_for_writing(log, file);
    }

    fn open_for_writing(&mut self, log: LogId, file: FileId) {
        if self.files.get(file).is_open() || self.fault.is_some() {
            return;
        }
        if self.directories.ready_for(log, file, &mut self.outbox) {
            self.files.ensure_open(file, &mut self.outbox);
        }
    }

    /// No more is written to the file: says whether everything of it is synced, else [`StorageEvent::Sealed`] will.
    pub(crate) fn seal(&mut self, file: FileId) -> bool {
        let state = self.files.get_mut(file);
        if state.is_sealed() && !self.committer.has_failed(state.log) {
            return true;
        }
        state.sealing = true;
        if state.in_flight == 0 {
            self.committer.request(file);
        }
        false
    }

    /// Whether the file can be read now; else it is opened, and the log hears of it.
    pub(crate) fn want(&mut self, file: FileId) -> bool {
        self.files.want(file, &mut self.outbox)
    }

    /// Removes a sealed segment and its companion, once nothing holds it.
    pub(crate) fn remove(&mut self, log: LogId, file: FileId, companion: FilePath) {
        self.indexes.remove(file);
        self.directories.doom(log, file, companion);
        let mut events = core::mem::take(&mut self.raised);
        self.pump_log(log, &mut events);
        self.raised = events;
    }

    /// Removes everything of the log, once nothing holds it; [`StorageEvent::Deleted`] says when.
    pub(crate) fn delete(&mut self, log: LogId) {
        self.tail.forget(log);
        self.directories.delete(log);
        let mut events = core::mem::take(&mut self.raised);
        self.pump_log(log, &mut events);
        self.raised = events;
    }

    /// A job works in the log's directory: it is not deleted meanwhile.
    pub(crate) fn hold(&mut self, log: LogId) {
        self.directories.hold(log);
    }

    /// The job ended.
    pub(crate) fn let_go(&mut self, log: LogId) {
        self.directories.let_go(log);
        let mut events = core::mem::take(&mut self.raised);
        self.pump_log(log, &mut events);
        self.raised = events;
    }

    pub(crate) fn remember(&mut self, log: LogId, base: Offset, recent: Recent) {
        self.tail.add(log, base, recent);
    }

    /// The batches that begin below `end` are not what the log holds any more.
    pub(crate) fn forget_recent(&mut self, log: LogId, end: Offset) {
        self.tail.forget_below(log, end);
    }

    pub(crate) fn recent(&self, log: LogId, from: Offset) -> impl Iterator<Item = &Recent> {
        self.tail.from(log, from)
    }

    pub(crate) fn index(&mut self, file: FileId) -> Option<Arc<Index>> {
        self.indexes.get(file)
    }

    pub(crate) fn keep_index(&mut self, file: FileId, index: Arc<Index>) {
        self.indexes.add(file, index);
    }
}
