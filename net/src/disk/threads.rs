//! Disk threads: they carry out what may wait for the device.
//!
//! Two groups, so that tasks, which run long, never hold up syncs. Work of a group is taken in the order it came; its
//! order per file is the business of [`Strands`](super::Strands).

use super::perform::Performer;
use super::root::Root;
use super::{Cached, Disk, Work, WorkKind};
use crate::clock::Clock;
use crate::counters::{Counters, count, uncount};
use crate::event::Event;
use crate::inbox::lock;
use klamm_core::storage::{IoError, IoValue, Job, Next};
use klamm_core::types::FileId;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle, Thread};

/// The stack of a disk thread, in bytes: walks of directory trees and tasks are iterative.
const STACK: usize = 512 << 10;

/// Work that waits for a thread, and threads that wait for work.
#[derive(Default, Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
}

#[derive(Default, Debug)]
struct Waiting {
    work: VecDeque<Work>,
    /// The one that went to sleep last is woken first: its caches are warm.
    sleepers: Vec<Thread>,
    closed: bool,
}

impl Queue {
    fn put(&self, work: impl Iterator<Item = Work>) {
        let woken = {
            let mut waiting = lock(&self.waiting);
            let before = waiting.work.len();
            waiting.work.extend(work);
            let wakes = (waiting.work.len() - before).min(waiting.sleepers.len());
            let asleep = waiting.sleepers.len() - wakes;
            waiting.sleepers.split_off(asleep)
        };
        woken.iter().for_each(Thread::unpark);
    }

    /// The next work; `None` once the queue is closed and empty.
    fn take(&self) -> Option<Work> {
        let this = std::thread::current();
        loop {
            let mut waiting = lock(&self.waiting);
            if let Some(work) = waiting.work.pop_front() {
                // One that woke up by itself is still among the sleepers.
                waiting.sleepers.retain(|sleeper| sleeper.id() != this.id());
                return Some(work);
            }
            if waiting.closed {
                return None;
            }
            if waiting.sleepers.iter().all(|sleeper| sleeper.id() != this.id()) {
                waiting.sleepers.push(this.clone());
            }
            drop(waiting);
            std::thread::park();
        }
    }

    fn close(&self) {
        let sleepers = {
            let mut waiting = lock(&self.waiting);
            waiting.closed = true;
            std::mem::take(&mut waiting.sleepers)
        };
        sleepers.iter().for_each(Thread::unpark);
    }
}

/// A log directory on the file system, with threads that carry out operations on it.
#[derive(Debug)]
pub struct Threads {
    performer: Performer,
    operations: Queue,
    tasks: Queue,
}

impl Threads {
    /// Opens the log directory `path`, creating it when it is not there.
    pub(crate) fn open(path: &Path, clock: Clock, counters: Arc<Counters>) -> io::Result<Arc<Self>> {
        let root = Root::open(path)?;
        Ok(Arc::new(Self {
            performer: Performer::new(root, clock, counters),
            operations: Queue::default(),
            tasks: Queue::default(),
        }))
    }

    /// Starts `operations` threads for operations and `tasks` for tasks, at least one of each. Each runs `guard` first
    /// and keeps what it gave until it ends.
    pub(crate) fn start<G>(
        self: &Arc<Self>,
        operations: usize,
        tasks: usize,
        guard: impl Fn() -> G + Clone + Send + 'static,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let disks = (0..operations.max(1)).map(|i| (format!("klamm-disk-{i}"), false));
        let jobs = (0..tasks.max(1)).map(|i| (format!("klamm-task-{i}"), true));
        disks
            .chain(jobs)
            .map(|(name, tasks)| {
                let (this, guard) = (Arc::clone(self), guard.clone());
                Builder::new().name(name).stack_size(STACK).spawn(move || {
                    let _guard = guard();
                    let queue = if tasks { &this.tasks } else { &this.operations };
                    while let Some(work) = queue.take() {
                        this.carry_out(work);
                    }
                })
            })
            .collect()
    }

    /// Lets the threads end once they have carried out what was handed over.
    pub(crate) fn close(&self) {
        self.operations.close();
        self.tasks.close();
    }

    fn carry_out(&self, work: Work) {
        let Work { reply, kind } = work;
        let counters = self.performer.counters();
        let event = match kind {
            WorkKind::Write { file, position, run } => {
                count(&counters.writes_queued, 1);
                let (taken, error) = self.performer.write(file, position, &run.slices());
                let outcomes = run.outcomes(taken, error.as_ref()).collect();
                // The pieces go here, not on the shard's thread; their memory is back before the answer is.
                drop(run);
                Event::Written { file, outcomes }
            }
            WorkKind::Io { op, strand, io } => Event::Io {
                op,
                strand,
                result: self.performer.perform(&io),
            },
            WorkKind::Sync { files, round } => {
                let error = files.iter().try_for_each(|file| self.performer.sync(*file)).err();
                let Some((op, result)) = round.ended(error) else {
                    uncount(&counters.disk_queue, 1);
                    return;
                };
                Event::Io {
                    op,
                    strand: None,
                    result,
                }
            }
            WorkKind::Fill {
                connection,
                range,
                buffer,
            } => {
                count(&counters.fills, 1);
                let filled = self.performer.fill(range, buffer);
                Event::Filled { connection, filled }
            }
            WorkKind::Task { op, mut task } => {
                let mut done = Ok(IoValue::Done);
                let outcome = loop {
                    match task.resume(done) {
                        Next::Io(io) => done = self.performer.perform(&io),
                        Next::Yield => {
                            std::thread::yield_now();
                            done = Ok(IoValue::Done);
                        }
                        Next::Done(outcome) => break outcome,
                    }
                };
                count(&counters.tasks, 1);
                Event::Task { op, outcome }
            }
        };
        uncount(&counters.disk_queue, 1);
        reply.push(event);
    }
}

impl Disk for Threads {
    fn write_now(&self, file: FileId, position: u64, pieces: &[&[u8]]) -> (u64, Option<IoError>) {
        self.performer.write(file, position, pieces)
    }

    fn read_cached(&self, file: FileId, position: u64, window: &mut [u8]) -> Cached {
        self.performer.read_cached(file, position, window)
    }

    fn submit(&self, work: &mut Vec<Work>) {
        if work.is_empty() {
            return;
        }
        count(&self.performer.counters().disk_queue, work.len() as u64);
        if work.iter().all(|work| !matches!(work.kind, WorkKind::Task { .. })) {
            self.operations.put(work.drain(..));
            return;
        }
        let (tasks, operations): (Vec<_>, Vec<_>) = work
            .drain(..)
            .partition(|work| matches!(work.kind, WorkKind::Task { .. }));
        self.tasks.put(tasks.into_iter());
        self.operations.put(operations.into_iter());
    }
}
