//! The order of operations on each file, across the shard's thread and the disk threads.
//!
//! Invariants: a file has a strand only while something of it waits or runs. While an operation of a strand runs on a
//! disk thread, all later ones wait behind it. A sync waits in the strand of each of its files until it is at the
//! front of all of them, then leaves them all: later operations do not wait for it.

use super::{Disk, Run, SyncRound, Work, WorkKind};
use crate::counters::{Counters, count};
use crate::event::Event;
use crate::inbox::Inbox;
use klamm_core::shard::{Input, Task};
use klamm_core::storage::{FileOp, IoResult, Piece};
use klamm_core::types::{FileId, OpId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Shares of a sync that may run at once.
const SYNC_SHARES: usize = 4;

/// Bytes of one run at most.
const RUN_BYTES: usize = 4 << 20;

/// Pieces of one run at most.
const RUN_PIECES: usize = 1024;

/// One operation in the queue of a file.
#[derive(Debug)]
enum Queued {
    Write {
        op: OpId,
        position: u64,
        pieces: Vec<Piece>,
    },
    /// By its number among the syncs that wait.
    Sync(u64),
    Other {
        op: OpId,
        io: FileOp,
    },
}

#[derive(Default, Debug)]
struct Strand {
    queue: VecDeque<Queued>,
    running: bool,
}

/// A sync that is not at the front of all its files yet.
#[derive(Debug)]
struct WaitingSync {
    op: OpId,
    files: Vec<FileId>,
    behind: usize,
}

/// The order of a shard's disk operations.
#[derive(Debug)]
pub(crate) struct Strands<D> {
    disk: Arc<D>,
    reply: Arc<Inbox<Event>>,
    counters: Arc<Counters>,
    write_now_bytes: usize,
    files: BTreeMap<FileId, Strand>,
    /// Strands to look at, since something was queued or ended.
    stirred: Vec<FileId>,
    syncs: BTreeMap<u64, WaitingSync>,
    next_sync: u64,
    work: Vec<Work>,
}

impl<D: Disk> Strands<D> {
    /// Operations go to `disk` and are answered in `reply`; runs of writes up to `write_now_bytes` are carried out at
    /// once.
    pub(crate) fn new(disk: Arc<D>, reply: Arc<Inbox<Event>>, counters: Arc<Counters>, write_now_bytes: usize) -> Self {
        Self {
            disk,
            reply,
            counters,
            write_now_bytes,
            files: BTreeMap::new(),
            stirred: Vec::new(),
            syncs: BTreeMap::new(),
            next_sync: 0,
            work: Vec::new(),
        }
    }

    /// The disk below.
    pub(crate) fn disk(&self) -> &Arc<D> {
        &self.disk
    }

    /// Takes an operation. It is carried out, or handed over, at the next [`flush`](Self::flush).
    pub(crate) fn submit(&mut self, op: OpId, io: FileOp) {
        match io {
            FileOp::Write { file, position, pieces } => {
                count(&self.counters.writes, 1);
                self.enqueue(file, Queued::Write { op, position, pieces });
            }
            FileOp::Open { file, .. }
            | FileOp::Close { file }
            | FileOp::Read { file, .. }
            | FileOp::Forget { file, .. }
            | FileOp::Truncate { file, .. } => self.enqueue(file, Queued::Other { op, io }),
            FileOp::Sync { files } => self.submit_sync(op, files),
            FileOp::SyncAll { .. }
            | FileOp::SyncDirectory { .. }
            | FileOp::CreateDirectory { .. }
            | FileOp::Rename { .. }
            | FileOp::Remove { .. }
            | FileOp::RemoveTree { .. }
            | FileOp::List { .. }
            | FileOp::Volume { .. }
            | FileOp::Lock { .. } => self.hand_over(WorkKind::Io { op, strand: None, io }),
        }
    }

    /// Takes a task.
    pub(crate) fn submit_task(&mut self, op: OpId, task: Task) {
        let task = Box::new(task);
        self.hand_over(WorkKind::Task { op, task });
    }

    /// Takes any other work for the disk threads.
    pub(crate) fn hand_over(&mut self, kind: WorkKind) {
        let reply = Arc::clone(&self.reply);
        self.work.push(Work { reply, kind });
    }

    fn enqueue(&mut self, file: FileId, queued: Queued) {
        self.files.entry(file).or_default().queue.push_back(queued);
        self.stirred.push(file);
    }

    fn submit_sync(&mut self, op: OpId, mut files: Vec<FileId>) {
        files.sort_unstable();
        files.dedup();
        let number = self.next_sync;
        self.next_sync += 1;
        let mut behind = 0;
        for file in &files {
            if let Some(strand) = self.files.get_mut(file) {
                strand.queue.push_back(Queued::Sync(number));
                self.stirred.push(*file);
                behind += 1;
            }
        }
        let sync = WaitingSync { op, files, behind };
        if behind == 0 {
            self.start_sync(sync);
        } else {
            self.syncs.insert(number, sync);
        }
    }

    fn start_sync(&mut self, sync: WaitingSync) {
        let WaitingSync { op, files, .. } = sync;
        let shares = SYNC_SHARES.min(files.len()).max(1);
        let round = SyncRound::new(op, shares);
        for share in 0..shares {
            let files = files.iter().skip(share).step_by(shares).copied().collect();
            let round = Arc::clone(&round);
            self.hand_over(WorkKind::Sync { files, round });
        }
    }

    /// The operation of `file` that ran on a disk thread ended.
    pub(crate) fn ended(&mut self, file: FileId) {
        if let Some(strand) = self.files.get_mut(&file) {
            strand.running = false;
            self.stirred.push(file);
        }
    }

    /// Carries out what can be carried out at once, and adds its completions to `inputs`; readies the rest for
    /// [`dispatch`](Self::dispatch).
    pub(crate) fn flush(&mut self, inputs: &mut VecDeque<Input>) {
        while let Some(file) = self.stirred.pop() {
            self.pump(file, inputs);
        }
    }

    /// Hands to the disk threads what is ready for them.
    pub(crate) fn dispatch(&mut self) {
        self.disk.submit(&mut self.work);
    }

    fn pump(&mut self, file: FileId, inputs: &mut VecDeque<Input>) {
        while let Some(strand) = self.files.get_mut(&file) {
            if strand.running {
                return;
            }
            match strand.queue.front() {
                None => {
                    self.files.remove(&file);
                    return;
                }
                Some(Queued::Write { .. }) => self.pump_write(file, inputs),
                Some(Queued::Sync(_)) => {
                    if let Some(Queued::Sync(number)) = strand.queue.pop_front() {
                        self.sync_came_to_the_front(number);
                    }
                }
                Some(Queued::Other { .. }) => {
                    strand.running = true;
                    if let Some(Queued::Other { op, io }) = strand.queue.pop_front() {
                        let strand = Some(file);
                        self.hand_over(WorkKind::Io { op, strand, io });
                    }
                }
            }
        }
    }

    fn sync_came_to_the_front(&mut self, number: u64) {
        if let Some(sync) = self.syncs.get_mut(&number) {
            sync.behind -= 1;
            if sync.behind == 0
                && let Some(sync) = self.syncs.remove(&number)
            {
                self.start_sync(sync);
            }
        }
    }

    fn pump_write(&mut self, file: FileId, inputs: &mut VecDeque<Input>) {
        let Some(strand) = self.files.get_mut(&file) else {
            return;
        };
        let (position, run, bytes) = strand.next_run();
        if bytes > self.write_now_bytes {
            strand.running = true;
            self.hand_over(WorkKind::Write { file, position, run });
            return;
        }
        count(&self.counters.writes_now, 1);
        let (taken, error) = self.disk.write_now(file, position, &run.slices());
        let outcomes = run.outcomes(taken, error.as_ref());
        inputs.extend(outcomes.map(|(op, result): (OpId, IoResult)| Input::Io { op, result }));
    }
}

impl Strand {
    /// Takes the writes at the front that continue each other: where they begin, the writes, and their bytes.
    fn next_run(&mut self) -> (u64, Run, usize) {
        let mut writes = Vec::new();
        let (mut start, mut bytes, mut count) = (0, 0, 0);
        while let Some(Queued::Write { position, pieces, .. }) = self.queue.front() {
            let length: usize = pieces.iter().map(|piece| piece.as_ref().len()).sum();
            if writes.is_empty() {
                start = *position;
            } else if *position != start + bytes as u64
                || bytes + length > RUN_BYTES
                || count + pieces.len() > RUN_PIECES
            {
                break;
            }
            bytes += length;
            count += pieces.len();
            if let Some(Queued::Write { op, pieces, .. }) = self.queue.pop_front() {
                writes.push((op, pieces));
            }
        }
        (start, Run { writes }, bytes)
    }
}

#[cfg(test)]
mod tests;
