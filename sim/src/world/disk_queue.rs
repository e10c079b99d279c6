//! The disk's threads: operations wait their turn per file, take their time, and fail when the weather says so.

use super::Event;
use super::earlier::{EarlierBlocks, Power};
use super::faults::draw_eviction;
use crate::disk::{Disk, Spoil, SyncFailure, SyncTicket};
use crate::options::{Delays, Names, Small};
use crate::oracle::{Damage, is_being_compacted, is_of_a_partition};
use crate::stage::{Fifo, Nanos, Stage};
use klamm_core::storage::{FileOp, IoError, IoErrorKind, IoResult};
use klamm_core::types::{FileId, OpId};
use std::collections::{BTreeMap, VecDeque};

/// Who waits for an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Shard(usize, OpId),
    Task(u64),
}

/// An operation that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) owner: Owner,
    pub(crate) op: FileOp,
    pub(crate) result: IoResult,
    /// When the owner hears of it.
    pub(crate) at: Nanos,
}

/// What is wrong with the disk just now.
#[derive(Default, Debug)]
pub(crate) struct Weather {
    pub(crate) slow_until: Nanos,
    pub(crate) stuck_until: Nanos,
    pub(crate) fail_sync: Option<SyncFailure>,
    pub(crate) fail_name_sync: Option<Names>,
    pub(crate) fail_write: bool,
    pub(crate) misdirect_write: bool,
    pub(crate) rot_compacted: bool,
    /// What is to become of a small file once the process has ended.
    pub(crate) spoil: Option<(Small, Spoil)>,
    pub(super) earlier: Option<EarlierBlocks>,
    /// What becomes of the power now.
    pub(super) power: Power,
    /// Until then no file can be opened.
    pub(crate) no_descriptors_until: Nanos,
    /// Records whose synced bytes were destroyed, and the oracle has not been told.
    pub(crate) damages: Vec<Damage>,
    /// Files that got a name, and the oracle has not been told.
    pub(crate) renamed: Vec<String>,
    /// Files that lost theirs, likewise.
    pub(crate) removed: Vec<String>,
    /// Files that were made shorter, likewise.
    pub(crate) cut: Vec<String>,
    /// Faults that had a victim, by name.
    pub(crate) victims: BTreeMap<&'static str, u64>,
}

impl Names {
    /// Whether the sync is to make one of them durable.
    fn are_in(self, disk: &Disk, ticket: &SyncTicket) -> bool {
        match self {
            Self::Any => disk.covers_names(ticket),
            Self::NewSegment => disk.covers_new(ticket, |name| name.strip_suffix(".log").is_some()),
        }
    }
}

impl Weather {
    /// A fault hit something.
    pub(crate) fn hit(&mut self, fault: &'static str) {
        *self.victims.entry(fault).or_default() += 1;
    }
}

#[derive(Debug)]
struct Queued {
    owner: Owner,
    op: FileOp,
    ticket: Option<SyncTicket>,
}

/// Operations between their effect and their completion.
#[derive(Default, Debug)]
pub(crate) struct DiskQueue {
    next: u64,
    ops: BTreeMap<u64, Queued>,
    files: BTreeMap<FileId, VecDeque<u64>>,
    /// Completions of one file come in order.
    completions: BTreeMap<FileId, Fifo>,
}

/// The files that an operation must wait for.
fn files_of(op: &FileOp) -> &[FileId] {
    match op {
        FileOp::Open { file, .. }
        | FileOp::Close { file }
        | FileOp::Write { file, .. }
        | FileOp::Read { file, .. }
        | FileOp::Truncate { file, .. } => std::slice::from_ref(file),
        FileOp::Sync { files } => files,
        _ => &[],
    }
}

/// An operation as it runs, for people.
fn describe(queued: &Queued) -> String {
    let ends = if queued.ticket.is_some() { "ends" } else { "runs" };
    let what = match &queued.op {
        FileOp::Write { file, position, pieces } => {
            let length: usize = pieces.iter().map(|piece| piece.as_ref().len()).sum();
            format!("Write {{ file: {file:?}, position: {position}, {length} bytes }}")
        }
        op => format!("{op:?}"),
    };
    format!("{:?} {ends} {what}", queued.owner)
}

fn is_sync(op: &FileOp) -> bool {
    matches!(
        op,
        FileOp::Sync { .. } | FileOp::SyncAll { .. } | FileOp::SyncDirectory { .. }
    )
}

impl DiskQueue {
    /// Operations under way.
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }

    /// Takes an operation; it runs once everything before it on its files has.
    pub(crate) fn submit(&mut self, turn: &mut Turn<'_>, owner: Owner, op: FileOp) {
        let id = self.next;
        self.next += 1;
        for file in files_of(&op) {
            self.files.entry(*file).or_default().push_back(id);
        }
        let ready = self.is_ready(id, &op);
        self.ops.insert(
            id,
            Queued {
                owner,
                op,
                ticket: None,
            },
        );
        if ready {
            turn.schedule(id);
        }
    }

    fn is_ready(&self, id: u64, op: &FileOp) -> bool {
        files_of(op).iter().all(|file| self.files[file].front() == Some(&id))
    }

    /// The operation's time has come. `None` when it still takes time.
    pub(crate) fn run(&mut self, turn: &mut Turn<'_>, disk: &mut Disk, id: u64) -> Option<Finished> {
        let queued = self.ops.get_mut(&id)?;
        let now = turn.stage.now();
        turn.stage.trace.line(now, || format!("        {}", describe(queued)));
        if let Some(ticket) = queued.ticket.take() {
            let result = turn.end_sync(disk, &ticket);
            return self.finish(turn, id, result);
        }
        let result = if is_sync(&queued.op) {
            match turn.begin_sync(disk, &queued.op) {
                Ok(ticket) => {
                    queued.ticket = Some(ticket);
                    turn.schedule_sync_end(id);
                    None
                }
                Err(failure) => Some(Err(failure)),
            }
        } else {
            Some(turn.perform(disk, &queued.op))
        };
        self.leave_queues(turn, id);
        result.and_then(|result| self.finish(turn, id, result))
    }

    /// What waited behind the operation may run.
    fn leave_queues(&mut self, turn: &mut Turn<'_>, id: u64) {
        let files: Vec<FileId> = files_of(&self.ops[&id].op).to_vec();
        for file in files {
            let Some(queue) = self.files.get_mut(&file) else {
                continue;
            };
            if queue.front() == Some(&id) {
                queue.pop_front();
            }
            match queue.front().copied() {
                Some(next) if self.is_ready(next, &self.ops[&next].op) => turn.schedule(next),
                Some(_) => {}
                None => {
                    self.files.remove(&file);
                }
            }
        }
    }

    fn finish(&mut self, turn: &mut Turn<'_>, id: u64, result: IoResult) -> Option<Finished> {
        let queued = self.ops.remove(&id)?;
        let mut at = turn.stage.now() + turn.stage.draw.within(turn.delays.shard.0, turn.delays.shard.1);
        if let [file] = files_of(&queued.op) {
            if matches!(queued.op, FileOp::Close { .. }) {
                at = self.completions.remove(file).unwrap_or_default().arrival(at);
            } else if !is_sync(&queued.op) {
                at = self.completions.entry(*file).or_default().arrival(at);
            }
        }
        Some(Finished {
            owner: queued.owner,
            op: queued.op,
            result,
            at,
        })
    }

    /// The process dies: of a write that was running, any prefix may have been taken.
    pub(crate) fn die(self, disk: &mut Disk, draw: &mut crate::draw::Draw) {
        for (id, queued) in &self.ops {
            let FileOp::Write { file, position, pieces } = &queued.op else {
                continue;
            };
            if self.files[file].front() == Some(id) && draw.chance(1, 2) {
                let length: usize = pieces.iter().map(|piece| piece.as_ref().len()).sum();
                let taken = draw.within(0, length as u64);
                // Whether it succeeds makes no difference: nobody is left to hear.
                let _ = disk.write(*file, *position, pieces, taken);
            }
        }
    }
}

/// What an operation needs from the world.
pub(crate) struct Turn<'a> {
    pub(crate) stage: &'a mut Stage<Event>,
    pub(crate) delays: &'a Delays,
    pub(crate) weather: &'a mut Weather,
    pub(crate) incarnation: u32,
}

impl Turn<'_> {
    fn delay(&mut self, range: (Nanos, Nanos)) -> Nanos {
        let now = self.stage.now();
        let slow = if now < self.weather.slow_until { 100 } else { 1 };
        let delay = self.stage.draw.within(range.0, range.1) * slow;
        delay + self.weather.stuck_until.saturating_sub(now)
    }

    fn schedule(&mut self, op: u64) {
        let delay = self.delay(self.delays.disk);
        let incarnation = self.incarnation;
        self.stage.after(delay, Event::Disk { incarnation, op });
    }

    fn schedule_sync_end(&mut self, op: u64) {
        let delay = self.delay(self.delays.sync);
        let incarnation = self.incarnation;
        self.stage.after(delay, Event::Disk { incarnation, op });
    }

    /// What the device does not hold leaves the page cache some time.
    fn schedule_eviction(&mut self) {
        let after = draw_eviction(&mut self.stage.draw);
        self.stage.after(after, Event::Evict);
    }

    fn lacks_descriptor(&mut self) -> Result<(), IoError> {
        if self.stage.now() >= self.weather.no_descriptors_until {
            return Ok(());
        }
        self.weather.hit("no descriptor left");
        Err(IoError {
            kind: IoErrorKind::TooManyOpenFiles,
            text: "open: too many open files".to_owned(),
        })
    }

    fn begin_sync(&mut self, disk: &mut Disk, op: &FileOp) -> Result<SyncTicket, IoError> {
        if matches!(op, FileOp::SyncDirectory { .. }) {
            self.lacks_descriptor()?;
        }
        disk.begin_sync(op)
    }

    fn end_sync(&mut self, disk: &mut Disk, ticket: &SyncTicket) -> IoResult {
        if ticket.covers_bytes()
            && let Some(failure) = self.weather.fail_sync.take()
        {
            self.weather.hit("failed sync");
            self.schedule_eviction();
            return disk.fail_sync(ticket, failure);
        }
        if let Some(names) = self.weather.fail_name_sync
            && names.are_in(disk, ticket)
        {
            self.weather.fail_name_sync = None;
            self.weather.hit("failed sync of names");
            // The names are shown, and a later sync would make them durable.
            return disk.fail_sync(ticket, SyncFailure::StaysDirty);
        }
        if self.weather.misdirect_write
            && let Some(misdirection) = disk.draw_misdirection(ticket, is_of_a_partition, &mut self.stage.draw)
        {
            self.weather.misdirect_write = false;
            self.weather.hit("misdirected write");
            self.schedule_eviction();
            self.weather
                .damages
                .extend(Damage::of_misdirection(disk, &misdirection));
            let now = self.stage.now();
            self.stage.trace.line(now, || format!("        {misdirection:?}"));
            return disk.end_sync_misdirected(ticket, &misdirection);
        }
        let result = disk.end_sync(ticket);
        if self.weather.rot_compacted
            && let Some(flip) = disk.draw_flip(is_being_compacted, &mut self.stage.draw)
        {
            self.weather.rot_compacted = false;
            self.weather.hit("bit rot in what compaction makes");
            self.weather.damages.extend(Damage::of_flip(disk, &flip));
            disk.flip(&flip);
        }
        result
    }

    fn perform(&mut self, disk: &mut Disk, op: &FileOp) -> IoResult {
        let FileOp::Write { file, position, pieces } = op else {
            return self.perform_other(disk, op);
        };
        if std::mem::take(&mut self.weather.fail_write) {
            self.weather.hit("failed write");
            let length: usize = pieces.iter().map(|piece| piece.as_ref().len()).sum();
            let taken = self.stage.draw.within(0, length as u64);
            // The prefix that the device took before it gave up.
            let _ = disk.write(*file, *position, pieces, taken);
            return Err(IoError {
                kind: IoErrorKind::Device,
                text: "write: input/output error".to_owned(),
            });
        }
        let result = disk.perform(op);
        if result.is_err() {
            self.weather.hit("write without space");
        } else if let Some(earlier) = &mut self.weather.earlier {
            self.weather.power = earlier.wrote(disk, *file, *position);
            if self.weather.power == Power::Raises {
                self.weather.hit("earlier batches behind a log");
            }
        }
        result
    }

    /// Anything but a write or a sync of files.
    fn perform_other(&mut self, disk: &mut Disk, op: &FileOp) -> IoResult {
        if matches!(op, FileOp::Open { .. } | FileOp::List { .. }) {
            self.lacks_descriptor()?;
        }
        let result = disk.perform(op);
        if let (FileOp::Rename { to, .. }, Ok(_)) = (op, &result) {
            self.weather.renamed.push(to.relative.to_string());
        }
        if let (FileOp::Remove { path }, Ok(_)) = (op, &result) {
            self.weather.removed.push(path.relative.to_string());
        }
        if let (FileOp::Truncate { file, .. }, Ok(_)) = (op, &result) {
            self.weather.cut.extend(disk.path_of(*file));
        }
        if result.is_err() && matches!(op, FileOp::Read { .. }) {
            self.weather.hit("failed read");
        }
        result
    }
}
