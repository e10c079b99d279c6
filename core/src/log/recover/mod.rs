//! Brings a log back: from the manifest of a clean stop, or from whatever a crash left.
//!
//! Invariants:
//! - what is kept was synced, and its names too, before the job is done; what nobody knows to have been synced before was
//!   [written](renew) for it;
//! - nothing that a valid checkpoint or a note covers is ever cut off: less than it, or other bytes, is corruption, reported
//!   and left as it is;
//! - run again after a crash in it at any point, it comes to the same end.
//!
//! What lies beyond the last checkpoint was written by one process. Of that, the log's [note](super::synced) says how much was
//! synced, at least: below it a bad batch is damage. Behind it, the batch may be damage, or a write that the power cut off;
//! what tells the two apart is whether a batch behind it proves it to have been durable. In a log that is written [one by
//! one](crate::log::Writes::OneByOne) it does: the next batch was not begun before this one was synced. So a bad batch with a
//! whole one behind it, or with another segment, is corruption, and only the very last batch can be torn. In a log that is
//! [written ahead](crate::log::Writes::Ahead) it does not: batches of one commit round reach the device in any order, so a power
//! cut may take an earlier one and leave a later one. There the bad batch ends the log.

mod ahead;
mod begin;
mod behind;
mod cleaned;
mod cut;
mod found;
mod lost;
mod renew;
mod scan;
mod write;

pub use found::{RecoverSettings, Recovered, RecoveryReport, Source};

use super::checkpoint::{self, Checkpoint};
use super::epochs::EpochHistory;
use super::place::{LogPlace, Stem};
use super::producers::Producers;
use super::segment::{Age, Peak, Segment};
use crate::bugs::bug;
use crate::storage::{
    FileIds, FileOp, FilePath, IoError, IoErrorKind, IoResult, IoValue, Job, Next, OpenMode, Patience, Replace,
};
use crate::types::{Fault, FileId, Monotonic, Offset, Timestamp};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use behind::Behind;
use found::FoundSegment;
use renew::{Held, Then};
use scan::{Scan, State};

/// A segment that the directory shows, or the manifest.
#[derive(Clone, Copy, Debug)]
struct Listed {
    stem: Stem,
    size: u64,
    /// From the manifest.
    peak: Option<Peak>,
    began: Timestamp,
    clean_to: Offset,
}

/// What the answer that comes next is the answer to.
#[derive(Debug)]
enum Step {
    Begin,
    Listed,
    NoteOpened,
    NoteRead,
    NoteClosed,
    CheckpointOpened,
    CheckpointRead,
    CheckpointClosed,
    SegmentOpened,
    ChunkRead,
    /// What was found good of it is written once more.
    Renewed(Then),
    /// What lies behind a bad batch.
    BehindRead,
    Truncated,
    Synced,
    Closed,
    /// The segment is closed on the way from the manifest to the directory.
    Distrusted,
    Writing(Replace),
    /// A checkpoint is removed, before its segment is.
    CompanionRemoved,
    CompanionsSynced,
    Removed,
    NamesSynced,
    ParentSynced,
    RemovalsSynced,
    /// The file that marks the log as lost is opened, then closed.
    MarkOpened(Fault),
    MarkClosed(Fault),
    /// The segment is closed on the way out of a failure.
    Failed(Fault),
}

/// What the checkpoints being read are read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    /// To start the segment from it.
    Adopt,
    /// To take over what the last of the segments said that this one took the place of.
    Inherit(Stem),
    /// To see that no segment behind a torn one was known to be synced.
    Object,
}

/// The sync of a directory that was asked for last.
#[derive(Debug)]
enum NameSync {
    /// Something else was asked for since.
    None,
    /// It is under way.
    Asked(FileOp),
    /// It found no descriptor left, and is asked for once more.
    Again(FileOp),
}

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;

/// The job.
#[derive(Debug)]
pub struct Recover {
    place: LogPlace,
    settings: RecoverSettings,
    files: FileIds,
    source: Source,
    step: Step,
    /// The file of the checkpoint, and that of the segment.
    file: FileId,
    segment_file: FileId,
    listed: Vec<Listed>,
    checkpoints: BTreeSet<Stem>,
    /// Where clients had the log begin.
    marks: BTreeSet<Offset>,
    /// The segment being worked on, and, behind a torn one, the one whose checkpoint is looked at.
    at: usize,
    later: usize,
    purpose: Purpose,
    decoded: Option<Checkpoint>,
    /// Checkpoints of segments whose place a cleaned one took, and what was taken over from one of them.
    superseded: BTreeSet<Stem>,
    inherited: Option<Checkpoint>,
    ahead: Option<Checkpoint>,
    remove: Vec<FilePath>,
    /// Checkpoints of segments among them.
    companions: Vec<FilePath>,
    done: Vec<FoundSegment>,
    state: State,
    scan: Scan,
    position: u64,
    held: Held,
    behind: Behind,
    torn: bool,
    /// The segment that is being worked on, where there is a checkpoint of it that cannot be read.
    rotten: Option<Stem>,
    /// How far the log is known to have been synced: by the manifest of a clean stop, and by its note.
    promised: Offset,
    /// There are checkpoints: so the directory's own name is durable, and the first segment is the log's first.
    proven: bool,
    there: bool,
    /// Descriptors to be closed when it fails.
    open: Vec<FileId>,
    /// How often it may still ask again when the process has too many open files.
    patience: Patience,
    name_sync: NameSync,
    report: RecoveryReport,
}

type Turn = Next<Result<Recovered, Fault>>;

impl Recover {
    /// Everything below `end` was synced by this process: it is not cut off, nor written once more.
    pub(in crate::log) fn promise(&mut self, end: Offset) {
        self.promised = self.promised.max(end);
    }

    /// Recovers the log at `place`.
    pub fn new(place: LogPlace, source: Source, settings: RecoverSettings, mut files: FileIds) -> Self {
        let file = files.next();
        Self {
            place,
            settings,
            source,
            step: Step::Begin,
            file,
            segment_file: file,
            files,
            listed: Vec::new(),
            checkpoints: BTreeSet::new(),
            marks: BTreeSet::new(),
            at: 0,
            later: 0,
            purpose: Purpose::Adopt,
            decoded: None,
            superseded: BTreeSet::new(),
            inherited: None,
            ahead: None,
            remove: Vec::new(),
            companions: Vec::new(),
            done: Vec::new(),
            state: State {
                segment: Segment::planned(Offset::ZERO, file),
                epochs: EpochHistory::default(),
                producers: Producers::new(usize::MAX, u64::MAX),
            },
            scan: Scan::new(),
            position: 0,
            held: Held::default(),
            behind: Behind::default(),
            torn: false,
            rotten: None,
            promised: Offset::ZERO,
            proven: false,
            there: true,
            open: Vec::new(),
            patience: Patience::new(),
            name_sync: NameSync::None,
            report: RecoveryReport::default(),
        }
    }

    /// Where the log lies.
    pub const fn place(&self) -> &LogPlace {
        &self.place
    }

    fn io(&mut self, step: Step, op: FileOp) -> Turn {
        self.step = step;
        self.name_sync = match op {
            FileOp::SyncDirectory { .. } => NameSync::Asked(op.clone()),
            _ => NameSync::None,
        };
        Next::Io(op)
    }

    fn is_clean(&self) -> bool {
        matches!(self.source, Source::Clean(_))
    }

    /// Begins the segment at `self.at`, or ends.
    fn next_segment(&mut self) -> Turn {
        let Some(&listed) = self.listed.get(self.at) else {
            return self.tidy();
        };
        if listed.stem.base != self.state.segment.end {
            // The one before ends too early, or too late: as after a torn one.
            self.torn = true;
            self.later = self.at;
            return self.object();
        }
        self.state.segment = Segment::planned(listed.stem.base, self.file);
        self.state.segment.cleaning = listed.stem.cleaning;
        self.state.segment.clean_to = listed.clean_to;
        self.state.segment.age = Some(Age {
            since: Monotonic(0),
            before_ms: 0,
            began: listed.began,
        });
        self.scan = Scan::new();
        self.position = 0;
        self.purpose = Purpose::Adopt;
        self.open_checkpoint(listed.stem)
    }

    fn open_checkpoint(&mut self, stem: Stem) -> Turn {
        self.decoded = None;
        if !self.checkpoints.contains(&stem) {
            return self.checkpoint_known();
        }
        self.open_found(stem)
    }

    /// Opens a checkpoint that was seen to be there.
    fn open_found(&mut self, stem: Stem) -> Turn {
        self.file = self.files.next();
        let open = FileOp::Open {
            file: self.file,
            path: self.place.checkpoint(stem),
            mode: OpenMode::Existing,
        };
        self.io(Step::CheckpointOpened, open)
    }

    /// The segment whose checkpoint is looked at.
    fn looked_at(&self) -> Stem {
        match self.purpose {
            Purpose::Adopt => self.listed[self.at].stem,
            Purpose::Inherit(stem) => stem,
            Purpose::Object => self.listed[self.later].stem,
        }
    }

    /// The checkpoint was read, or there is none.
    fn checkpoint_known(&mut self) -> Turn {
        match self.purpose {
            Purpose::Adopt => match self.predecessor() {
                Some(stem) => {
                    self.purpose = Purpose::Inherit(stem);
                    self.open_found(stem)
                }
                None => self.adopt(),
            },
            Purpose::Inherit(_) => {
                self.inherit();
                self.adopt()
            }
            Purpose::Object => {
                let listed = self.listed[self.later];
                if self.decoded.is_some() {
                    let path = self.place.segment(listed.stem);
                    let end = self.state.segment.end;
                    let text = format!("{path} was synced, but the log before it ends at offset {end}");
                    return self.fail(Fault::Corruption(text));
                }
                self.later += 1;
                self.object()
            }
        }
    }

    /// Starts the segment from its checkpoint.
    fn adopt(&mut self) -> Turn {
        let listed = self.listed[self.at];
        let cleaned = listed.stem.cleaning.is_some();
        let known = self.decoded.is_some();
        self.state.segment.proven = cleaned || self.checkpoints.contains(&listed.stem);
        let rotten = !known && self.checkpoints.contains(&listed.stem);
        self.rotten = rotten.then_some(listed.stem);
        if let Some(checkpoint) = self.decoded.take() {
            if checkpoint.size > listed.size || (cleaned && checkpoint.size < listed.size) {
                let text = format!(
                    "{} has {} bytes, of which {} were synced",
                    self.place.segment(listed.stem),
                    listed.size,
                    checkpoint.size
                );
                return self.fail(Fault::Corruption(text));
            }
            let segment = &mut self.state.segment;
            segment.size = checkpoint.size;
            segment.end = checkpoint.end;
            segment.clean_to = checkpoint.clean_to;
            segment.peak = checkpoint.peak;
            segment.checkpointed = checkpoint.size;
            segment.unindexed = checkpoint.size
                - checkpoint
                    .index
                    .entries()
                    .last()
                    .map_or(0, |entry| u64::from(entry.position));
            segment.index = Arc::unwrap_or_clone(checkpoint.index);
            if let Some(age) = &mut segment.age {
                age.began = checkpoint.began;
            }
            self.state.epochs = checkpoint.epochs;
            self.state.producers = checkpoint.producers;
            self.position = checkpoint.size;
        }
        if self.is_clean() && (self.position < listed.size || !known && self.checkpoints.contains(&listed.stem)) {
            return self.distrust();
        }
        let last = self.at + 1 == self.listed.len();
        if self.position == listed.size && !self.is_clean() && (listed.size > 0 || !last) {
            return self.segment_done();
        }
        self.open_segment()
    }

    fn open_segment(&mut self) -> Turn {
        self.segment_file = self.files.next();
        let open = FileOp::Open {
            file: self.segment_file,
            path: self.place.segment(self.listed[self.at].stem),
            mode: OpenMode::Existing,
        };
        self.io(Step::SegmentOpened, open)
    }

    fn opened(&mut self, size: u64) -> Turn {
        let listed = &mut self.listed[self.at];
        if matches!(self.source, Source::Clean(_)) {
            if size == listed.size {
                return self.close_segment();
            }
            return self.close(self.segment_file, Step::Distrusted);
        }
        listed.size = size;
        if size < self.position {
            let (path, covered) = (self.place.segment(listed.stem), self.position);
            let text = format!("{path} has {size} bytes, of which {covered} were synced");
            return self.fail(Fault::Corruption(text));
        }
        self.held = Held::before(self.position);
        self.read_chunk()
    }

    fn read_chunk(&mut self) -> Turn {
        let left = self.listed[self.at].size - self.position;
        if left == 0 {
            return if self.scan.is_between() {
                self.sync_segment()
            } else {
                self.tear()
            };
        }
        let read = FileOp::Read {
            file: self.segment_file,
            position: self.position,
            length: left.min(CHUNK) as u32,
        };
        self.io(Step::ChunkRead, read)
    }

    fn sync_segment(&mut self) -> Turn {
        if bug!(RecoverWithoutSync) {
            return self.close_segment();
        }
        let files = alloc::vec![self.segment_file];
        self.io(Step::Synced, FileOp::Sync { files })
    }

    fn close_segment(&mut self) -> Turn {
        self.close(self.segment_file, Step::Closed)
    }

    fn close(&mut self, file: FileId, step: Step) -> Turn {
        self.open.retain(|&open| open != file);
        self.io(step, FileOp::Close { file })
    }

    /// The segment is as it stays, and synced.
    fn segment_done(&mut self) -> Turn {
        self.report.batches_read += core::mem::take(&mut self.scan.batches);
        let segment = &mut self.state.segment;
        segment.end = segment.cleaning.map_or(segment.end, |cleaning| cleaning.end);
        let inherits = self.take_inherited();
        self.keep_ahead();
        let segment = &self.state.segment;
        let grown = segment.size > segment.checkpointed || inherits;
        // What follows a torn segment goes, and with it perhaps the only proof of where the log begins.
        let needed = self.torn && !segment.proven && self.listed[0].stem.base > Offset::ZERO;
        // That of a log that holds nothing would be looked for in vain at each opening.
        let rotten = self.rotten.is_some() && self.at + 1 == self.listed.len();
        if (grown || needed || rotten) && !bug!(RecoverWithoutSync) && !(self.torn && bug!(GapAfterShortWrite)) {
            return self.write_checkpoint();
        }
        self.push_done()
    }

    fn push_done(&mut self) -> Turn {
        let segment = &self.state.segment;
        self.done.push(FoundSegment {
            base: segment.base,
            end: segment.end,
            size: segment.size,
            peak: segment.peak,
            began: segment.age.map_or(self.settings.wall, |age| age.began),
            checkpointed: segment.checkpointed,
            proven: segment.proven,
            cleaning: segment.cleaning,
            clean_to: segment.clean_to,
        });
        self.at += 1;
        if self.torn { self.tidy() } else { self.next_segment() }
    }

    /// Ends badly, once no descriptor is left open.
    fn fail(&mut self, fault: Fault) -> Turn {
        match self.open.last() {
            Some(&file) => self.close(file, Step::Failed(fault)),
            None => Next::Done(Err(fault)),
        }
    }

    fn failed(&mut self, error: &IoError) -> Turn {
        if self.patience.covers(error) {
            if let NameSync::Asked(sync) = &self.name_sync {
                self.name_sync = NameSync::Again(sync.clone());
            }
            return Next::Later;
        }
        let syncing = matches!(
            self.step,
            Step::Synced | Step::NamesSynced | Step::ParentSynced | Step::CompanionsSynced | Step::RemovalsSynced
        );
        let fault = match error.kind {
            kind if syncing && kind != IoErrorKind::TooManyOpenFiles => Fault::Unsynced(error.text.clone()),
            _ => error.fault(),
        };
        match &self.step {
            Step::Listed if error.kind == IoErrorKind::NotFound => {
                self.there = false;
                self.finish()
            }
            Step::CheckpointOpened | Step::SegmentOpened if self.is_clean() => self.distrust(),
            Step::CheckpointOpened if error.kind == IoErrorKind::NotFound => self.checkpoint_known(),
            // Without what it says.
            Step::NoteOpened | Step::NoteClosed => self.sync_names(),
            Step::NoteRead => self.close(self.file, Step::NoteClosed),
            Step::MarkOpened(first) | Step::MarkClosed(first) | Step::Failed(first) => {
                let first = first.clone();
                self.fail(first)
            }
            _ => self.fail(fault),
        }
    }
}

impl Job for Recover {
    type Outcome = Result<Recovered, Fault>;

    fn resume(&mut self, done: IoResult) -> Turn {
        if matches!(self.step, Step::Writing(_)) {
            let Step::Writing(replace) = core::mem::replace(&mut self.step, Step::Begin) else {
                unreachable!("it was just looked at")
            };
            return self.writing(replace, done);
        }
        let value = match done {
            Ok(value) => value,
            Err(error) => return self.failed(&error),
        };
        if let NameSync::Again(sync) = &self.name_sync {
            let sync = sync.clone();
            self.name_sync = NameSync::Asked(sync.clone());
            return Next::Io(sync);
        }
        match (&self.step, &value) {
            (Step::CheckpointOpened | Step::NoteOpened, IoValue::Opened { .. }) => self.open.push(self.file),
            (Step::SegmentOpened, IoValue::Opened { .. }) => self.open.push(self.segment_file),
            _ => {}
        }
        match (&self.step, value) {
            (Step::Begin, _) | (Step::Listed, IoValue::Done) => self.begin(),
            // The process had no descriptor left: once more.
            (Step::CheckpointOpened, IoValue::Done) => self.open_found(self.looked_at()),
            (Step::SegmentOpened, IoValue::Done) => self.open_segment(),
            (Step::Distrusted, _) => self.distrust(),
            (Step::Listed, IoValue::Entries(entries)) => self.list(&entries),
            (Step::NoteOpened, IoValue::Done) => self.open_note(),
            (Step::NoteOpened, IoValue::Opened { .. }) => self.read_note(),
            (Step::NoteRead, IoValue::Bytes(bytes)) => self.take_note(&bytes),
            (Step::NoteClosed, _) => self.sync_names(),
            (Step::CheckpointOpened, IoValue::Opened { size }) if size <= checkpoint::MAX_BYTES => {
                let read = FileOp::Read {
                    file: self.file,
                    position: 0,
                    length: size as u32,
                };
                self.io(Step::CheckpointRead, read)
            }
            (Step::CheckpointRead, IoValue::Bytes(bytes)) => {
                let stem = self.looked_at();
                self.decoded = Checkpoint::decode(&bytes, stem).ok();
                self.close(self.file, Step::CheckpointClosed)
            }
            (Step::CheckpointOpened, _) => self.close(self.file, Step::CheckpointClosed),
            (Step::CheckpointClosed, _) => self.checkpoint_known(),
            (Step::SegmentOpened, IoValue::Opened { size }) => self.opened(size),
            (Step::ChunkRead, IoValue::Bytes(bytes)) => self.chunk(&bytes),
            (&Step::Renewed(then), _) => self.renewed(then),
            (Step::BehindRead, IoValue::Bytes(bytes)) => self.behind_read(&bytes),
            (Step::Truncated, _) => self.sync_segment(),
            (Step::Synced, _) => self.close_segment(),
            (Step::Closed, _) => self.segment_done(),
            (Step::CompanionRemoved, _) => self.companion_removed(),
            (Step::CompanionsSynced | Step::Removed, _) => self.removed(),
            (Step::NamesSynced, _) if !self.proven => {
                let path = self.place.path.parent();
                self.io(Step::ParentSynced, FileOp::SyncDirectory { path })
            }
            (Step::NamesSynced | Step::ParentSynced, _) => self.next_segment(),
            (Step::RemovalsSynced, _) => self.finish(),
            (Step::MarkOpened(_) | Step::MarkClosed(_) | Step::Failed(_), value) => self.end_badly(&value),
            (step, value) => unreachable!("{step:?} was answered by {value:?}"),
        }
    }
}
