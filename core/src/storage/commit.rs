//! When appends count as durable: commit rounds.
//!
//! Invariants:
//! - a round covers exactly the writes that were answered before it began;
//! - the durable end of a log advances over its contiguous prefix only, across files;
//! - one round runs at a time; the next collects meanwhile;
//! - nothing in a new file counts before the file's name, and its directory's, were synced.

use super::event::{LogId, Purpose, StorageEvent};
use super::file::{FileOp, FilePath};
use super::files::{File, Files};
use super::gather::{Gather, Waiting};
use super::outbox::Outbox;
use crate::bugs::bug;
use crate::config::{FlushMode, Limits};
use crate::marks::mark;
use crate::types::{Fault, FileId, LogDirectoryId, Monotonic, Offset, ShardId};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// An append that is not durable yet.
#[derive(Debug)]
struct Pending {
    file: FileId,
    end: Offset,
    bytes: u64,
    written: bool,
    /// What makes it durable.
    flush: FlushMode,
}

/// The appends of one log.
#[derive(Debug)]
struct Appends {
    /// What makes an append durable, where nothing else is said.
    flush: FlushMode,
    pending: VecDeque<Pending>,
    /// The number of the first pending append.
    first: u64,
    /// Appends below this number were all written.
    written: u64,
    /// Writes without an answer.
    in_flight: u32,
    /// The first append that failed, and why.
    failure: Option<(u64, Fault)>,
    /// It is in the list for the next round.
    listed: bool,
    /// The failure was reported.
    reported: bool,
}

impl Appends {
    fn new(flush: FlushMode) -> Self {
        Self {
            flush,
            pending: VecDeque::new(),
            first: 0,
            written: 0,
            in_flight: 0,
            failure: None,
            listed: false,
            reported: false,
        }
    }

    fn next_number(&self) -> u64 {
        self.first + self.pending.len() as u64
    }

    /// Advances over the writes that were answered; says what of them is new.
    fn advance(&mut self) -> Waiting {
        let mut news = Waiting::default();
        let failed = self.failure.as_ref().map_or(u64::MAX, |&(at, _)| at);
        while self.written < failed {
            match self.pending.get((self.written - self.first) as usize) {
                Some(append) if append.written => {
                    self.written += 1;
                    news.appends += 1;
                    news.bytes += append.bytes;
                }
                _ => break,
            }
        }
        news
    }

    /// Drops what is durable below `upto`; returns the new end.
    fn settle(&mut self, upto: u64) -> Option<Offset> {
        let mut end = None;
        while self.first < upto {
            let append = self.pending.pop_front().expect("a round covers pending appends only");
            assert!(append.written, "only what was written becomes durable");
            self.first += 1;
            end = Some(append.end);
        }
        end
    }

    /// Drops what was written from the front on, up to the first append that waits for a sync; returns the new end.
    fn release(&mut self) -> Option<Offset> {
        let count = (self.written - self.first) as usize;
        let written = self.pending.iter().take(count);
        let released = written.take_while(|append| append.flush == FlushMode::Os).count();
        self.settle(self.first + released as u64)
    }

    /// Whether it failed, and nothing of it moves any more.
    fn is_failed_and_still(&self) -> bool {
        let still = |&(at, _): &(u64, Fault)| self.in_flight == 0 && self.first == at && !self.reported;
        self.failure.as_ref().is_some_and(still)
    }
}

/// How the files of a round are synced.
#[derive(Debug)]
enum Scope {
    /// No file needs it.
    NamesOnly,
    /// Each file on its own.
    Singly(Vec<FileId>),
    /// The whole file system, names and all.
    All,
}

#[derive(Debug)]
struct Round {
    /// Each file and how many of its writes are covered.
    files: Vec<(FileId, u64)>,
    /// Each log and the number its durable prefix will have reached.
    logs: Vec<(LogId, u64)>,
    /// The operations that were emitted.
    ops: Vec<FileOp>,
    /// Directories of logs whose own name becomes durable.
    placed: Vec<LogId>,
    unanswered: usize,
}

/// Decides what is synced when, for one shard and log directory.
#[derive(Debug)]
pub(super) struct Committer {
    directory: LogDirectoryId,
    shard: ShardId,
    flush: FlushMode,
    files_synced_singly: usize,
    logs: BTreeMap<LogId, Appends>,
    /// Logs with appends that were written since their last round.
    listed: Vec<LogId>,
    /// Files to sync whatever their appends say.
    requested: BTreeSet<FileId>,
    /// Logs whose directory has a name that is not durable yet.
    unplaced: BTreeSet<LogId>,
    round: Option<Round>,
    /// What was written since the last round began.
    waiting: Waiting,
    gather: Gather,
    /// Logs that failed and of which no write moves any more, to be reported.
    pub(super) failures: Vec<(LogId, Fault)>,
}

impl Committer {
    pub(super) fn new(directory: LogDirectoryId, shard: ShardId, flush: FlushMode, limits: &Limits) -> Self {
        Self {
            directory,
            shard,
            flush,
            files_synced_singly: limits.files_synced_singly,
            logs: BTreeMap::new(),
            listed: Vec::new(),
            requested: BTreeSet::new(),
            unplaced: BTreeSet::new(),
            round: None,
            waiting: Waiting::default(),
            gather: Gather::new(limits.round_wait_nanos),
            failures: Vec::new(),
        }
    }

    pub(super) fn add_log(&mut self, log: LogId, flush: FlushMode) {
        let before = self.logs.insert(log, Appends::new(flush));
        assert!(before.is_none(), "{log:?} is open twice");
    }

    /// Forgets a log that is closed or failed. Whatever of it was not durable stays where it is, and the round that runs
    /// says nothing of it: the same log may be opened again before that ends.
    pub(super) fn remove_log(&mut self, log: LogId) {
        self.logs.remove(&log);
        self.listed.retain(|&listed| listed != log);
        self.unplaced.remove(&log);
        if let Some(round) = &mut self.round {
            round.logs.retain(|&(covered, _)| covered != log);
            round.placed.retain(|&placed| placed != log);
        }
    }

    /// The directory of the log was created: its name has to be synced.
    pub(super) fn placed(&mut self, log: LogId) {
        self.unplaced.insert(log);
    }

    /// Whether nothing of the log waits for anything.
    pub(super) fn is_quiet(&self, log: LogId) -> bool {
        self.logs
            .get(&log)
            .is_none_or(|appends| appends.pending.is_empty() && appends.in_flight == 0)
    }

    /// Whether an append of the log failed.
    pub(super) fn has_failed(&self, log: LogId) -> bool {
        self.logs.get(&log).is_some_and(|appends| appends.failure.is_some())
    }

    /// A new append; returns its number. One to a log that failed is lost with those before it, and has none.
    pub(super) fn append(&mut self, log: LogId, file: FileId, end: Offset, bytes: u64) -> Option<u64> {
        let appends = self.logs.get_mut(&log).expect("an append to an open log");
        if appends.failure.is_some() {
            return None;
        }
        let number = appends.next_number();
        appends.pending.push_back(Pending {
            file,
            end,
            bytes,
            written: false,
            flush: appends.flush,
        });
        appends.in_flight += 1;
        Some(number)
    }

    /// The last append of the log counts only once it was synced, whatever those of its log need.
    pub(super) fn demand_sync(&mut self, log: LogId) {
        if let Some(last) = self.logs.get_mut(&log).and_then(|appends| appends.pending.back_mut()) {
            last.flush = FlushMode::Fsync;
        }
    }

    /// A write was answered well.
    pub(super) fn written(&mut self, log: LogId, file: FileId, number: u64, events: &mut Vec<StorageEvent>) {
        let Some(appends) = self.logs.get_mut(&log) else { return };
        appends.in_flight -= 1;
        if let Some(append) = appends.pending.get_mut((number - appends.first) as usize) {
            append.written = true;
        }
        let news = appends.advance();
        let end = if bug!(AckBeforeFsync) {
            appends.settle(appends.written)
        } else {
            appends.release()
        };
        if let Some(end) = end {
            events.push(StorageEvent::Durable { log, end });
            if bug!(AckBeforeFsync) {
                self.requested.insert(file);
            }
        } else {
            self.waiting.appends += news.appends;
            self.waiting.bytes += news.bytes;
        }
        self.list(log);
    }

    /// A write failed: the append and all after it are lost to the log.
    pub(super) fn failed(&mut self, log: LogId, number: u64, fault: Fault) {
        let Some(appends) = self.logs.get_mut(&log) else { return };
        appends.in_flight -= 1;
        match &appends.failure {
            Some((at, _)) if *at <= number => {}
            _ => appends.failure = Some((number, fault)),
        }
        self.list(log);
    }

    /// The log cannot go on, though no write of it failed.
    pub(super) fn fail_log(&mut self, log: LogId, fault: Fault) {
        let Some(appends) = self.logs.get_mut(&log) else { return };
        if appends.failure.is_none() {
            appends.failure = Some((appends.next_number(), fault));
        }
        self.list(log);
    }

    fn list(&mut self, log: LogId) {
        let Some(appends) = self.logs.get_mut(&log) else { return };
        let news = appends.written > appends.first || (appends.failure.is_some() && appends.in_flight == 0);
        if news && !appends.listed {
            appends.listed = true;
            self.listed.push(log);
        }
    }

    /// Has the file synced in the next round.
    pub(super) fn request(&mut self, file: FileId) {
        self.requested.insert(file);
    }

    /// Begins a round if none runs, something waits for one, and it need not wait for more.
    pub(super) fn begin(
        &mut self,
        now: Monotonic,
        files: &mut Files,
        outbox: &mut Outbox,
        events: &mut Vec<StorageEvent>,
    ) {
        while self.may_begin(now) {
            let waiting = core::mem::take(&mut self.waiting);
            let round = self.collect(files);
            for (place, op) in round.ops.iter().enumerate() {
                outbox.push(Purpose::Round(place), op.clone());
            }
            let empty = round.unanswered == 0;
            self.round = Some(round);
            if empty {
                self.end(files, outbox, events);
            } else {
                self.gather.began(now, waiting);
            }
        }
    }

    fn may_begin(&mut self, now: Monotonic) -> bool {
        if self.round.is_some() {
            return false;
        }
        self.gather.ended(now, self.waiting);
        !self.requested.is_empty() || (!self.listed.is_empty() && self.gather.may_begin(now, self.waiting))
    }

    /// When [`begin`](Self::begin) will begin a round that waits for more.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        let asked = !self.listed.is_empty();
        self.gather.next_deadline().filter(|_| asked)
    }

    fn collect(&mut self, files: &mut Files) -> Round {
        let mut logs = Vec::with_capacity(self.listed.len());
        let mut members: Vec<FileId> = core::mem::take(&mut self.requested).into_iter().collect();
        for log in core::mem::take(&mut self.listed) {
            let Some(appends) = self.logs.get_mut(&log) else {
                continue;
            };
            appends.listed = false;
            let covered = (appends.written - appends.first) as usize;
            // A failed log syncs what it wrote in vain too, so that its descriptors can be closed.
            let upto = if appends.in_flight == 0 {
                appends.pending.len()
            } else {
                covered
            };
            for append in appends.pending.iter().take(upto) {
                if members.last() != Some(&append.file) {
                    members.push(append.file);
                }
            }
            logs.push((log, appends.written));
        }
        members.sort_unstable();
        members.dedup();
        let asked = |file: &File| file.sealing && file.is_sealed();
        let due = |file: &File| file.is_fresh() || asked(file) || (file.is_open() && file.is_dirty());
        members.retain(|&file| files.find(file).is_some_and(due));
        self.round_of(&members, logs, files)
    }

    fn round_of(&mut self, members: &[FileId], logs: Vec<(LogId, u64)>, files: &mut Files) -> Round {
        let mut names: BTreeSet<FilePath> = BTreeSet::new();
        let mut placed = Vec::new();
        for &member in members {
            let file = files.get(member);
            if file.is_fresh() {
                let directory = file.path.parent();
                if self.unplaced.contains(&file.log) && !placed.contains(&file.log) {
                    names.insert(directory.parent());
                    placed.push(file.log);
                }
                names.insert(directory);
            }
        }
        if self.flush == FlushMode::Fsync && bug!(NoDirectorySync) {
            names.clear();
        }
        let names = names.into_iter().map(|path| FileOp::SyncDirectory { path });
        let ops: Vec<FileOp> = match self.scope(members, files) {
            Scope::NamesOnly => names.collect(),
            Scope::Singly(files) => core::iter::once(FileOp::Sync { files }).chain(names).collect(),
            Scope::All => alloc::vec![FileOp::SyncAll {
                directory: self.directory,
                by: self.shard,
            }],
        };
        Round {
            files: members.iter().map(|&file| (file, files.join_round(file))).collect(),
            logs,
            unanswered: ops.len(),
            ops,
            placed,
        }
    }

    fn scope(&self, members: &[FileId], files: &Files) -> Scope {
        // A new file that lost its descriptor before anything was written to it has only its name to sync: what was asked to
        // be written since waits for the descriptor.
        let dirty = |file: &File| file.is_open() && file.is_dirty();
        let dirty: Vec<FileId> = members.iter().copied().filter(|&file| dirty(files.get(file))).collect();
        match dirty.len() {
            0 => Scope::NamesOnly,
            count if count <= self.files_synced_singly => Scope::Singly(dirty),
            _ => {
                mark!(RoundSyncedAll);
                Scope::All
            }
        }
    }

    /// An operation of the round was answered well. Returns the files that the round lets go, if it is over.
    pub(super) fn synced(
        &mut self,
        files: &mut Files,
        outbox: &mut Outbox,
        events: &mut Vec<StorageEvent>,
    ) -> Vec<(FileId, u64)> {
        let round = self.round.as_mut().expect("an answer to a round that runs");
        round.unanswered -= 1;
        if round.unanswered == 0 {
            self.end(files, outbox, events)
        } else {
            Vec::new()
        }
    }

    /// The operation at `place` of the round once more: it was not begun. (The deliberate bug retries a failed sync.)
    pub(super) fn again(&self, place: usize) -> Option<FileOp> {
        self.round.as_ref().and_then(|round| round.ops.get(place).cloned())
    }

    /// Whether the operation at `place` of the round syncs a directory: the one kind that needs a descriptor first.
    pub(super) fn is_name_sync(&self, place: usize) -> bool {
        matches!(self.again(place), Some(FileOp::SyncDirectory { .. }))
    }

    fn end(&mut self, files: &mut Files, outbox: &mut Outbox, events: &mut Vec<StorageEvent>) -> Vec<(FileId, u64)> {
        let round = self.round.take().expect("a round ends once");
        for log in &round.placed {
            self.unplaced.remove(log);
        }
        for &(file, covers) in &round.files {
            files.leave_round(file, covers, outbox);
            self.report_sealed(file, files, events);
        }
        for (log, upto) in round.logs {
            let Some(appends) = self.logs.get_mut(&log) else {
                continue;
            };
            let upto = if bug!(SyncCoversLaterWrites) {
                appends.written
            } else {
                upto
            };
            let settled = appends.settle(upto.max(appends.first));
            if let Some(end) = appends.release().or(settled) {
                events.push(StorageEvent::Durable { log, end });
            }
            self.report(log, files);
        }
        round.files
    }

    /// Says that all of the file is synced, if its log wants to hear it. A write that failed is never among what is.
    fn report_sealed(&mut self, file: FileId, files: &mut Files, events: &mut Vec<StorageEvent>) {
        let Some(state) = files.find(file).filter(|state| state.sealing) else {
            return;
        };
        let log = state.log;
        if self.logs.get(&log).is_none_or(|appends| appends.failure.is_some()) {
            return;
        }
        if state.is_sealed() {
            events.push(StorageEvent::Sealed { log, file });
            files.get_mut(file).sealing = false;
        } else if state.in_flight == 0 {
            self.requested.insert(file);
        }
    }

    /// Says that the log failed, once all that it wrote was synced through the descriptors that wrote it.
    fn report(&mut self, log: LogId, files: &Files) {
        let Some(appends) = self.logs.get_mut(&log) else { return };
        if !appends.is_failed_and_still() {
            return;
        }
        if appends.pending.iter().any(|append| {
            files
                .find(append.file)
                .is_some_and(|file| file.is_open() && file.is_dirty())
        }) {
            self.list(log);
            return;
        }
        appends.reported = true;
        appends.pending.clear();
        if let Some((_, fault)) = appends.failure.clone() {
            self.failures.push((log, fault));
        }
    }

    /// Whether no round runs and none is needed.
    pub(super) fn is_idle(&self) -> bool {
        self.round.is_none() && self.listed.is_empty() && self.requested.is_empty()
    }

    /// Whether a round runs.
    pub(super) fn is_syncing(&self) -> bool {
        self.round.is_some()
    }
}
