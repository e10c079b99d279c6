//! The directories of logs: made before their first file, and emptied in an order that no crash can turn into a hole.
//!
//! Invariants:
//! - a segment's companion (its checkpoint) is gone durably before the segment is: a checkpoint without its segment is
//!   therefore always corruption;
//! - the segments of a log go one after the other, oldest first: what a crash leaves has no hole;
//! - nothing is removed while a lease holds it.

use super::event::{LogId, Purpose, StorageEvent};
use super::file::{FileOp, FilePath};
use super::files::Files;
use super::outbox::Outbox;
use crate::marks::mark;
use crate::types::FileId;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Whether the directory of a log is there.
#[derive(Debug)]
enum Place {
    Missing,
    /// On its way, with the files that wait for it.
    Making(Vec<FileId>),
    There,
}

/// What is being removed.
#[derive(Debug)]
enum Removal {
    None,
    Companion,
    CompanionSynced,
    Segment,
    SegmentSynced,
    Tree,
    TreeSynced,
}

#[derive(Debug)]
struct Doomed {
    file: FileId,
    companion: FilePath,
}

#[derive(Debug)]
struct Directory {
    path: FilePath,
    place: Place,
    files: Vec<FileId>,
    doomed: VecDeque<Doomed>,
    removal: Removal,
    deleting: bool,
    /// The log failed: nothing more is removed before it was recovered.
    paused: bool,
    /// Jobs and readers that hold the log as a whole.
    holds: u32,
}

#[derive(Debug, Default)]
pub(super) struct Directories {
    map: BTreeMap<LogId, Directory>,
}

impl Directories {
    pub(super) fn add(&mut self, log: LogId, path: FilePath, there: bool) {
        let place = if there { Place::There } else { Place::Missing };
        let directory = Directory {
            path,
            place,
            files: Vec::new(),
            doomed: VecDeque::new(),
            removal: Removal::None,
            deleting: false,
            paused: false,
            holds: 0,
        };
        self.map.insert(log, directory);
    }

    pub(super) fn add_file(&mut self, log: LogId, file: FileId) {
        self.get(log).files.push(file);
    }

    fn get(&mut self, log: LogId) -> &mut Directory {
        self.map.get_mut(&log).expect("the directory of an open log")
    }

    /// Forgets the log; returns its files.
    pub(super) fn remove(&mut self, log: LogId) -> Vec<FileId> {
        let Some(directory) = self.map.remove(&log) else {
            return Vec::new();
        };
        let doomed = directory.doomed.iter().map(|doomed| doomed.file);
        directory.files.iter().copied().chain(doomed).collect()
    }

    /// Whether nothing is being made or removed there, nor waits to be.
    pub(super) fn is_quiet(&self, log: LogId) -> bool {
        self.map.get(&log).is_none_or(|directory| {
            let making = matches!(directory.place, Place::Making(_));
            !making && matches!(directory.removal, Removal::None) && directory.doomed.is_empty()
        })
    }

    /// Whether an operation on the directory is in progress.
    pub(super) fn is_busy(&self, log: LogId) -> bool {
        let busy = |directory: &Directory| {
            !matches!(directory.removal, Removal::None) || matches!(directory.place, Place::Making(_))
        };
        self.map.get(&log).is_some_and(busy)
    }

    /// Whether the directory is there for `file`. If not it is made, and the file is opened after it.
    pub(super) fn ready_for(&mut self, log: LogId, file: FileId, outbox: &mut Outbox) -> bool {
        let directory = self.get(log);
        match &mut directory.place {
            Place::There => true,
            Place::Making(waiting) => {
                if !waiting.contains(&file) {
                    waiting.push(file);
                }
                false
            }
            Place::Missing => {
                directory.place = Place::Making(alloc::vec![file]);
                let path = directory.path.clone();
                outbox.push(Purpose::MakeDirectory(log), FileOp::CreateDirectory { path });
                false
            }
        }
    }

    /// The directory was made, or not; returns the files that waited for it.
    pub(super) fn made(&mut self, log: LogId, well: bool) -> Vec<FileId> {
        let Some(directory) = self.map.get_mut(&log) else {
            return Vec::new();
        };
        let place = if well { Place::There } else { Place::Missing };
        match core::mem::replace(&mut directory.place, place) {
            Place::Making(waiting) => waiting,
            Place::Missing | Place::There => unreachable!("a directory was made that nobody asked for"),
        }
    }

    /// Has the oldest segment of the log removed, once those before it are and nothing holds it.
    pub(super) fn doom(&mut self, log: LogId, file: FileId, companion: FilePath) {
        let directory = self.get(log);
        directory.files.retain(|&kept| kept != file);
        directory.doomed.push_back(Doomed { file, companion });
    }

    /// Nothing more is removed but the whole log.
    pub(super) fn pause(&mut self, log: LogId) {
        if let Some(directory) = self.map.get_mut(&log) {
            directory.paused = true;
        }
    }

    /// Has the whole log removed, once nothing holds it.
    pub(super) fn delete(&mut self, log: LogId) {
        self.get(log).deleting = true;
    }

    /// A job reads or writes in the directory.
    pub(super) fn hold(&mut self, log: LogId) {
        self.get(log).holds += 1;
    }

    /// The job ended.
    pub(super) fn let_go(&mut self, log: LogId) {
        if let Some(directory) = self.map.get_mut(&log) {
            assert!(directory.holds > 0, "a log was let go twice");
            directory.holds -= 1;
        }
    }

    /// Takes the next step of removing, if one is due.
    pub(super) fn pump(&mut self, log: LogId, files: &mut Files, outbox: &mut Outbox, events: &mut Vec<StorageEvent>) {
        let Some(directory) = self.map.get_mut(&log) else {
            return;
        };
        if !matches!(directory.removal, Removal::None) {
            return;
        }
        if directory.deleting {
            self.pump_tree(log, files, outbox, events);
        } else if let Some(doomed) = directory.doomed.front().filter(|_| !directory.paused) {
            let file = files.get(doomed.file);
            if file.leases > 0 {
                mark!(RemovalWaitedForLease);
            }
            let free = file.leases == 0 && file.is_quiet();
            if free && files.close_for_removal(doomed.file, outbox) {
                directory.removal = Removal::Companion;
                let path = doomed.companion.clone();
                outbox.push(Purpose::Remove(log), FileOp::Remove { path });
            }
        }
    }

    fn pump_tree(&mut self, log: LogId, files: &mut Files, outbox: &mut Outbox, events: &mut Vec<StorageEvent>) {
        let directory = self.get(log);
        let all = directory
            .files
            .iter()
            .copied()
            .chain(directory.doomed.iter().map(|doomed| doomed.file));
        let all: Vec<FileId> = all.collect();
        let free = |&file: &FileId| files.get(file).leases == 0 && files.get(file).is_quiet();
        if directory.holds > 0 || matches!(directory.place, Place::Making(_)) || !all.iter().all(free) {
            return;
        }
        let mut closed = true;
        for &file in &all {
            closed &= files.close_for_removal(file, outbox);
        }
        if !closed {
            return;
        }
        for file in all {
            files.removed(file);
        }
        directory.files.clear();
        directory.doomed.clear();
        if matches!(directory.place, Place::Missing) {
            events.push(StorageEvent::Deleted { log });
            return;
        }
        directory.removal = Removal::Tree;
        let path = directory.path.clone();
        outbox.push(Purpose::Remove(log), FileOp::RemoveTree { path });
    }

    /// The step of removing that is under way, once more: it was not begun, or not done in full.
    pub(super) fn again(&self, log: LogId, files: &Files) -> Option<FileOp> {
        let directory = self.map.get(&log)?;
        let path = directory.path.clone();
        let doomed = directory.doomed.front();
        match directory.removal {
            Removal::None => None,
            Removal::Companion => doomed.map(|doomed| FileOp::Remove {
                path: doomed.companion.clone(),
            }),
            Removal::Segment => doomed.map(|doomed| FileOp::Remove {
                path: files.get(doomed.file).path.clone(),
            }),
            Removal::CompanionSynced | Removal::SegmentSynced => Some(FileOp::SyncDirectory { path }),
            Removal::Tree => Some(FileOp::RemoveTree { path }),
            Removal::TreeSynced => Some(FileOp::SyncDirectory { path: path.parent() }),
        }
    }

    /// A step of removing was done.
    pub(super) fn removed(
        &mut self,
        log: LogId,
        files: &mut Files,
        outbox: &mut Outbox,
        events: &mut Vec<StorageEvent>,
    ) {
        let Some(directory) = self.map.get_mut(&log) else {
            return;
        };
        let sync = |path: FilePath| FileOp::SyncDirectory { path };
        let (next, op) = match directory.removal {
            Removal::None => unreachable!("a removal that nobody asked for"),
            Removal::Companion => (Removal::CompanionSynced, Some(sync(directory.path.clone()))),
            Removal::CompanionSynced => {
                let file = directory.doomed.front().expect("it is being removed").file;
                let path = files.get(file).path.clone();
                (Removal::Segment, Some(FileOp::Remove { path }))
            }
            Removal::Segment => (Removal::SegmentSynced, Some(sync(directory.path.clone()))),
            Removal::SegmentSynced => {
                let doomed = directory.doomed.pop_front().expect("it was being removed");
                files.removed(doomed.file);
                (Removal::None, None)
            }
            Removal::Tree => (Removal::TreeSynced, Some(sync(directory.path.parent()))),
            Removal::TreeSynced => {
                events.push(StorageEvent::Deleted { log });
                (Removal::None, None)
            }
        };
        let done = matches!(directory.removal, Removal::TreeSynced);
        directory.removal = next;
        if let Some(op) = op {
            outbox.push(Purpose::Remove(log), op);
        } else if !done {
            self.pump(log, files, outbox, events);
        }
    }
}
