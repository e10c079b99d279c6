//! Disk threads: they carry out what may wait for the device.
//!
//! Two groups, so that tasks, which run long, never hold up syncs. Work of a group is taken in the order it came; its
//! order per file is the business of [`Strands`](super::Strands).

use super::perform::Performer;
use super::queue::{Queue, Turn};
use super::root::Root;
use super::{Cached, Disk, Filled, Work, WorkKind};
use crate::clock::Clock;
use crate::counters::{Counters, count, uncount};
use crate::event::Event;
use crate::inbox::Inbox;
use klamm_core::shard::{Task, TaskOutcome};
use klamm_core::storage::{IoError, IoValue, Job, Next};
use klamm_core::types::FileId;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// The stack of a disk thread, in bytes: walks of directory trees and tasks are iterative.
const STACK: usize = 512 << 10;

/// How long a thread waits with a task that cannot go on, before the next one's turn comes.
const RESPITE: Duration = Duration::from_millis(1);

/// What a shard hears once a piece of work is done.
type Answer = (Arc<Inbox<Event>>, Event);

/// A log directory on the file system, with threads that carry out operations on it.
#[derive(Debug)]
pub struct Threads {
    performer: Performer,
    operations: Queue<Work>,
    tasks: Queue<Work>,
}

impl Threads {
    /// Opens the log directory `path` for `shards` shards, creating it when it is not there.
    pub(crate) fn open(path: &Path, shards: u16, clock: Clock, counters: Arc<Counters>) -> io::Result<Arc<Self>> {
        let root = Root::open(path, shards)?;
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
                    this.work(queue);
                })
            })
            .collect()
    }

    /// Lets the threads end once they have carried out what was handed over.
    pub(crate) fn close(&self) {
        self.operations.close();
        self.tasks.close();
    }

    /// Carries out what comes into `queue`, until it is closed.
    fn work(&self, queue: &Queue<Work>) {
        let mut answer: Option<Answer> = None;
        loop {
            let turn = queue.next();
            if let Some((reply, event)) = answer.take() {
                reply.push(event);
            }
            match turn {
                Turn::Work(work) => answer = self.carry_out(work),
                Turn::Sleep => std::thread::park(),
                Turn::End => return,
            }
        }
    }

    fn carry_out(&self, work: Work) -> Option<Answer> {
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
                    return None;
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
                mut content,
                buffer,
            } => {
                count(&counters.fills, 1);
                let bytes = self.performer.fill(range, &mut content, buffer);
                let filled = Filled { content, bytes };
                Event::Filled { connection, filled }
            }
            WorkKind::Task { op, mut task } => {
                let Some(outcome) = self.run(&mut task) else {
                    std::thread::sleep(RESPITE);
                    let kind = WorkKind::Task { op, task };
                    self.tasks.put(std::iter::once(Work { reply, kind }));
                    return None;
                };
                count(&counters.tasks, 1);
                Event::Task { op, outcome }
            }
        };
        uncount(&counters.disk_queue, 1);
        Some((reply, event))
    }
}

impl Threads {
    /// Runs a task until it is done; `None` when it cannot go on now.
    fn run(&self, task: &mut Task) -> Option<TaskOutcome> {
        let mut done = Ok(IoValue::Done);
        loop {
            match task.resume(done) {
                Next::Io(io) => done = self.performer.perform(&io),
                Next::Later => return None,
                Next::Done(outcome) => return Some(outcome),
            }
        }
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
