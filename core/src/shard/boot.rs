//! The first and the last thing that happens in a log directory: it is locked, recognised or formatted, and its
//! manifest is taken away; at a clean stop the manifest is written.
//!
//! Invariants:
//! - a directory that is not ours is left exactly as it was, and so is one of another cluster or node;
//! - the manifest is gone, durably, before anything else changes: it speaks of a clean stop, and the directory is not
//!   clean any more;
//! - a log that the manifest names and whose directory is gone has lost its records: it gets a directory with a mark in it
//!   before the manifest goes, so that it is never taken for one that held none.

use super::meta::MetaFile;
use crate::bugs::bug;
use crate::config::BrokerConfig;
use crate::controller::CLUSTER_METADATA;
use crate::log::{LogPlace, ManifestEntry, manifest};
use crate::storage::{
    DirectoryEntry, EntryKind, FileIds, FileOp, FilePath, IoError, IoErrorKind, IoResult, IoValue, Job, Next, OpenMode,
    Replace,
};
use crate::types::{FileId, LogDirectoryId, Seed, Uuid};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

const LOCK: &str = ".lock";
const META: &str = "meta.klamm";
const META_NEW: &str = "meta.klamm.new";
const MANIFEST: &str = "manifest";
const MANIFEST_NEW: &str = "manifest.new";
/// What a fresh file system holds of its own.
const LOST_AND_FOUND: &str = "lost+found";
/// The largest meta file that is read: ours have a few hundred bytes.
const MAX_META_BYTES: u64 = 1 << 16;
/// The largest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 1 << 30;

/// A log on disk.
#[derive(Clone, Debug)]
pub struct StoredLog {
    /// Where it lies, and whose it is.
    pub place: LogPlace,
    /// What the manifest of a clean stop says of it; without, the log has to be recovered from what it holds.
    pub clean: Option<ManifestEntry>,
}

/// A log directory that is ours and locked.
#[derive(Clone, Debug)]
pub struct Booted {
    /// Who owns the directory.
    pub meta: MetaFile,
    /// The logs in it.
    pub logs: Vec<StoredLog>,
    /// Where logs lay at the last clean stop of which nothing is left; each has a mark in its place now.
    pub gone: Vec<LogPlace>,
    /// Whether it was formatted just now.
    pub formatted: bool,
}

/// Takes a log directory into use. Its outcome is what is there, or why the broker must not start.
#[derive(Debug)]
pub struct Boot {
    directory: LogDirectoryId,
    node_id: i32,
    cluster_id: Option<String>,
    seed: Seed,
    files: FileIds,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Start,
    Listed,
    Locked,
    /// Listed again: until it was locked, another process may have been at work.
    ListedAgain,
    Reading(Reading),
    Formatting {
        meta: MetaFile,
        replace: Replace,
    },
    Clearing {
        booted: Booted,
        steps: VecDeque<FileOp>,
    },
}

/// A small file that is opened, read and closed.
#[derive(Debug)]
struct Reading {
    file: FileId,
    entries: Vec<DirectoryEntry>,
    /// Known once the meta file was read; then it is the manifest's turn.
    meta: Option<MetaFile>,
    bytes: Option<Bytes>,
}

type Step = Next<Result<Booted, String>>;

impl Boot {
    /// A boot of `directory` with these settings. New ids are drawn from `seed`.
    pub fn new(directory: LogDirectoryId, config: &BrokerConfig, seed: Seed, files: FileIds) -> Self {
        let (node_id, cluster_id) = (config.node_id.0, config.cluster_id.clone());
        Self {
            directory,
            node_id,
            cluster_id,
            seed,
            files,
            stage: Stage::Start,
        }
    }

    fn path(&self, name: &str) -> FilePath {
        FilePath::new(self.directory, name)
    }

    fn read(&mut self, name: &str, entries: Vec<DirectoryEntry>, meta: Option<MetaFile>) -> Step {
        let file = self.files.next();
        self.stage = Stage::Reading(Reading {
            file,
            entries,
            meta,
            bytes: None,
        });
        Next::Io(FileOp::Open {
            file,
            path: self.path(name),
            mode: OpenMode::Existing,
        })
    }

    /// The directory holds only what Klamm puts there.
    fn recognise(entries: &[DirectoryEntry]) -> Result<(), String> {
        let has = |name: &str| entries.iter().any(|entry| entry.name == name);
        if has("meta.properties") {
            return Err(String::from(
                "the data directory belongs to an Apache Kafka broker; give Klamm a directory of its own",
            ));
        }
        let ours = |entry: &&DirectoryEntry| [LOCK, META_NEW, LOST_AND_FOUND].contains(&entry.name.as_str());
        let metadata = format!("{CLUSTER_METADATA}-0.");
        match entries.iter().find(|entry| !ours(entry)) {
            Some(_) if !has(META) && entries.iter().any(|entry| entry.name.starts_with(&metadata)) => Err(format!(
                "the data directory is Klamm's, and its {META} is missing; put it back, from a copy if there is one; \
                 nothing was changed"
            )),
            Some(foreign) if !has(META) => Err(format!(
                "the data directory holds '{}' and no {META}, so it is not Klamm's; give Klamm an empty directory",
                foreign.name
            )),
            _ => Self::only_directories(entries),
        }
    }

    /// What has a log's name and is no directory, a link to one perhaps, would be taken for a log without a record.
    fn only_directories(entries: &[DirectoryEntry]) -> Result<(), String> {
        let mut others = entries.iter().filter(|entry| entry.kind != EntryKind::Directory);
        let found = others.find(|entry| LogPlace::parse(LogDirectoryId(0), &entry.name).is_some());
        found.map_or(Ok(()), |entry| {
            Err(format!(
                "'{}' in the data directory has the name of a log and is no directory; put the directory itself there; \
                 nothing was changed",
                entry.name
            ))
        })
    }

    fn locked(&mut self, entries: Vec<DirectoryEntry>) -> Step {
        if entries.iter().any(|entry| entry.name == META) {
            return self.read(META, entries, None);
        }
        let cluster_id = self
            .cluster_id
            .clone()
            .unwrap_or_else(|| Uuid(self.seed.bytes16()).to_string());
        let meta = MetaFile {
            cluster_id,
            node_id: self.node_id,
            directory_id: Uuid(self.seed.bytes16()),
        };
        let (path, temporary) = (self.path(META), self.path(META_NEW));
        let replace = Replace::new(self.files.next(), path, temporary, meta.encode().into());
        self.format(meta, replace, Ok(IoValue::Done))
    }

    fn format(&mut self, meta: MetaFile, mut replace: Replace, done: IoResult) -> Step {
        match replace.resume(done) {
            Next::Io(op) => {
                self.stage = Stage::Formatting { meta, replace };
                Next::Io(op)
            }
            Next::Later => {
                self.stage = Stage::Formatting { meta, replace };
                Next::Later
            }
            Next::Done(Ok(())) => Next::Done(Ok(Booted {
                meta,
                logs: Vec::new(),
                gone: Vec::new(),
                formatted: true,
            })),
            Next::Done(Err(fault)) => Next::Done(Err(format!("the data directory cannot be formatted: {fault}"))),
        }
    }

    fn check_meta(&self, bytes: &[u8]) -> Result<MetaFile, String> {
        let meta = MetaFile::decode(bytes).map_err(|error| format!("{META} cannot be read: {error}"))?;
        if meta.node_id != self.node_id {
            let (theirs, ours) = (meta.node_id, self.node_id);
            return Err(format!(
                "the data directory belongs to node.id {theirs}, and this broker's is {ours}"
            ));
        }
        match &self.cluster_id {
            Some(ours) if *ours != meta.cluster_id => {
                let theirs = &meta.cluster_id;
                Err(format!(
                    "the data directory belongs to cluster {theirs}, and this broker's is {ours}"
                ))
            }
            _ => Ok(meta),
        }
    }

    fn meta_known(&mut self, meta: MetaFile, entries: Vec<DirectoryEntry>) -> Step {
        if entries.iter().any(|entry| entry.name == MANIFEST) {
            return self.read(MANIFEST, entries, Some(meta));
        }
        self.clear(meta, &entries, Vec::new())
    }

    /// Takes the manifest away, and says what logs there are.
    fn clear(&mut self, meta: MetaFile, entries: &[DirectoryEntry], said: Vec<ManifestEntry>) -> Step {
        let mut clean: BTreeMap<_, _> = said.into_iter().map(|log| (log.name.clone(), log)).collect();
        let mut logs = Vec::new();
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Directory) {
            let Some(place) = LogPlace::parse(self.directory, &entry.name) else {
                continue;
            };
            logs.push(StoredLog {
                place,
                clean: clean.remove(&entry.name),
            });
        }
        let mut steps = VecDeque::new();
        let mut gone = Vec::new();
        for missing in clean.into_values() {
            let place = missing.place(self.directory);
            steps.extend(mark_lost(&place, self.files.next()));
            gone.push(place.clone());
            logs.push(StoredLog { place, clean: None });
        }
        let booted = Booted {
            meta,
            logs,
            gone,
            formatted: false,
        };
        if !entries.iter().any(|entry| entry.name == MANIFEST) || bug!(ManifestLeftStanding) {
            return Next::Done(Ok(booted));
        }
        let sync = FileOp::SyncDirectory { path: self.path("") };
        if !steps.is_empty() {
            steps.push_back(sync.clone());
        }
        let path = self.path(MANIFEST);
        steps.extend([FileOp::Remove { path }, sync]);
        self.stage = Stage::Clearing { booted, steps };
        self.clear_on()
    }

    /// Takes the next step of [`clear`](Self::clear).
    fn clear_on(&mut self) -> Step {
        match core::mem::replace(&mut self.stage, Stage::Start) {
            Stage::Clearing { booted, mut steps } => match steps.pop_front() {
                Some(step) => {
                    self.stage = Stage::Clearing { booted, steps };
                    Next::Io(step)
                }
                None => Next::Done(Ok(booted)),
            },
            stage => panic!("{stage:?} has nothing to clear"),
        }
    }

    fn advance(&mut self, value: IoValue) -> Result<Step, String> {
        let list = FileOp::List { path: self.path("") };
        Ok(match (core::mem::replace(&mut self.stage, Stage::Start), value) {
            (Stage::Start, _) => {
                self.stage = Stage::Listed;
                Next::Io(list)
            }
            (Stage::Listed, IoValue::Entries(entries)) => {
                Self::recognise(&entries)?;
                self.stage = Stage::Locked;
                Next::Io(FileOp::Lock { path: self.path(LOCK) })
            }
            (Stage::Locked, _) => {
                self.stage = Stage::ListedAgain;
                Next::Io(list)
            }
            (Stage::ListedAgain, IoValue::Entries(entries)) => {
                Self::recognise(&entries)?;
                self.locked(entries)
            }
            (Stage::Reading(reading), value) => self.advance_reading(reading, value)?,
            (stage @ Stage::Clearing { .. }, _) => {
                self.stage = stage;
                self.clear_on()
            }
            (stage, value) => panic!("{stage:?} was answered {value:?}"),
        })
    }

    fn advance_reading(&mut self, mut reading: Reading, value: IoValue) -> Result<Step, String> {
        let file = reading.file;
        let next = match value {
            IoValue::Opened { size } => {
                if reading.meta.is_none() && size > MAX_META_BYTES {
                    return Err(format!("{META} has {size} bytes, which is not Klamm's"));
                }
                FileOp::Read {
                    file,
                    position: 0,
                    length: size.min(MAX_MANIFEST_BYTES) as u32,
                }
            }
            IoValue::Bytes(bytes) => {
                reading.bytes = Some(bytes);
                FileOp::Close { file }
            }
            _ => {
                let bytes = reading.bytes.unwrap_or_default();
                return Ok(match reading.meta {
                    None => {
                        let meta = self.check_meta(&bytes)?;
                        self.meta_known(meta, reading.entries)
                    }
                    // A manifest that cannot be read is as good as none: every log is recovered.
                    Some(meta) => self.clear(meta, &reading.entries, manifest::decode(&bytes).unwrap_or_default()),
                });
            }
        };
        self.stage = Stage::Reading(reading);
        Ok(Next::Io(next))
    }
}

impl Job for Boot {
    type Outcome = Result<Booted, String>;

    fn resume(&mut self, done: IoResult) -> Step {
        let done = match core::mem::replace(&mut self.stage, Stage::Start) {
            Stage::Formatting { meta, replace } => return self.format(meta, replace, done),
            stage => {
                self.stage = stage;
                done
            }
        };
        match done
            .map_err(|error| refusal(&error))
            .and_then(|value| self.advance(value))
        {
            Ok(step) => step,
            Err(text) => Next::Done(Err(text)),
        }
    }
}

fn refusal(error: &IoError) -> String {
    match error.kind {
        IoErrorKind::Locked => String::from(
            "the data directory is in use by another Klamm process; stop that one, or give this one a directory of its \
             own (--data)",
        ),
        IoErrorKind::PermissionDenied => format!("the data directory may not be used by this process: {error}"),
        IoErrorKind::NoSpace => format!("the data directory has no space left: {error}"),
        _ => format!("the data directory cannot be used: {error}"),
    }
}

/// Marks a log whose directory is gone.
fn mark_lost(place: &LogPlace, file: FileId) -> [FileOp; 4] {
    let path = place.path.clone();
    let open = FileOp::Open {
        file,
        path: place.lost(),
        mode: OpenMode::CreateOrEmpty,
    };
    let create = FileOp::CreateDirectory { path: path.clone() };
    [create, open, FileOp::Close { file }, FileOp::SyncDirectory { path }]
}

/// The job that writes the manifest of a clean stop. Every log in it is closed and durable.
pub(super) fn write_manifest(directory: LogDirectoryId, logs: &[ManifestEntry], files: &mut FileIds) -> Replace {
    let path = |name| FilePath::new(directory, name);
    Replace::new(
        files.next(),
        path(MANIFEST),
        path(MANIFEST_NEW),
        manifest::encode(logs).into(),
    )
}

/// Operations one after the other, up to the first that fails.
#[derive(Default, Debug)]
pub struct Steps {
    steps: VecDeque<FileOp>,
}

impl Steps {
    /// Removes directories of logs that nobody has any more.
    pub fn remove_logs(directory: LogDirectoryId, places: Vec<LogPlace>) -> Self {
        let mut steps: VecDeque<_> = places
            .into_iter()
            .map(|place| FileOp::RemoveTree { path: place.path })
            .collect();
        steps.push_back(FileOp::SyncDirectory {
            path: FilePath::new(directory, ""),
        });
        Self { steps }
    }
}

impl Job for Steps {
    type Outcome = Result<(), IoError>;

    fn resume(&mut self, done: IoResult) -> Next<Self::Outcome> {
        match (done, self.steps.pop_front()) {
            (Err(error), _) => Next::Done(Err(error)),
            (Ok(_), Some(step)) => Next::Io(step),
            (Ok(_), None) => Next::Done(Ok(())),
        }
    }
}
