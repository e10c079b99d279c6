//! The job: a machine that is moved to where the I/O is.
//!
//! It comes home after each stretch of work and after each segment that it made, so that the log can take the segment in,
//! or have the job end early.

use super::input::{Input, Reader};
use super::output::Output;
use super::rewrite::Keeping;
use crate::bugs::bug;
use crate::log::checkpoint::{self, Checkpoint};
use crate::log::place::{Cleaning, LogPlace, Stem};
use crate::log::segment::Peak;
use crate::marks::mark;
use crate::storage::{FileIds, FileOp, Index, IoError, IoResult, IoValue, Job, Next, OpenMode, Replace};
use crate::types::{Fault, FileId, Monotonic, Offset, Timestamp};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// What a job is told.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where records begin that were never compacted.
    pub(super) dirty_from: Offset,
    /// Of the segments that are made.
    pub(super) generation: u32,
    /// `segment.bytes`: as much as a group may have.
    pub(super) group_bytes: u64,
    /// `index.interval.bytes`.
    pub(super) index_interval_bytes: u32,
    /// Bytes to read before the job comes home.
    pub(super) stretch_bytes: u64,
}

/// Why a job ended before it was done. What it made so far stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CompactStop {
    /// It was told to.
    Asked,
    /// The disk is full, or the process has no descriptor left: it may go better later.
    Later(Fault),
    /// A segment cannot be read, or is damaged.
    Unreadable(Fault),
    /// The log directory cannot be relied on any more.
    Directory(Fault),
}

/// A segment that took the place of others on disk, and has to in memory.
#[derive(Debug)]
pub struct Swapped {
    pub(super) stem: Stem,
    pub(super) size: u64,
    pub(super) peak: Option<Peak>,
    pub(super) index: Index,
    pub(super) began: Timestamp,
    pub(super) clean_to: Offset,
    pub(super) checkpointed: u64,
}

/// What a job brings home. The log takes it in and says what to run next.
#[derive(Debug)]
#[must_use = "the log waits for it"]
pub enum CompactOutcome {
    /// It has more to do.
    More(Compact),
    /// It made a segment, and has more to do.
    Swapped(Compact, Box<Swapped>),
    /// It is done, or was stopped.
    Ended(Result<(), CompactStop>),
}

/// What the answer that comes next is the answer to.
#[derive(Debug)]
enum Step {
    /// Nothing: the job begins, or goes on.
    Home,
    InputOpened,
    InputRead,
    InputForgotten,
    InputClosed,
    OutputCreated,
    OutputWritten,
    OutputSynced,
    OutputClosed,
    Renamed,
    NameSynced,
    /// The process had no descriptor left to sync the name with.
    NameAgain,
    CheckpointOpened,
    CheckpointRead,
    CheckpointClosed,
    CheckpointWritten(Replace),
    /// What is open is closed, and what is half done removed.
    Stopping,
}

/// What the job is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// It learns the keys.
    Learn,
    /// It writes the segments.
    Write,
}

#[derive(Debug)]
struct Work {
    place: LogPlace,
    settings: Settings,
    files: FileIds,
    inputs: Vec<Input>,
    keeping: Keeping,
    stage: Stage,
    step: Step,
    /// The input that is read next, or now.
    at: usize,
    /// Where the group that is being written ends.
    group_end: usize,
    reader: Option<Reader>,
    output: Option<Output>,
    checkpoint_file: FileId,
    checkpoint: Option<Checkpoint>,
    /// Bytes read since it left home.
    stretch: u64,
    stop: Option<CompactStop>,
}

/// The job.
#[derive(Debug)]
pub struct Compact(Option<Box<Work>>);

type Turn = Next<CompactOutcome>;

impl Compact {
    pub(super) fn new(
        place: LogPlace,
        inputs: Vec<Input>,
        keeping: Keeping,
        settings: Settings,
        files: FileIds,
    ) -> Self {
        Self(Some(Box::new(Work {
            place,
            settings,
            files,
            inputs,
            keeping,
            stage: Stage::Learn,
            step: Step::Home,
            at: 0,
            group_end: 0,
            reader: None,
            output: None,
            checkpoint_file: FileId(0),
            checkpoint: None,
            stretch: 0,
            stop: None,
        })))
    }

    /// Has it end as soon as it may.
    pub(super) fn stop(&mut self) {
        if let Some(work) = &mut self.0 {
            mark!(CompactionStopped);
            work.stop.get_or_insert(CompactStop::Asked);
        }
    }
}

impl Work {
    fn io(&mut self, step: Step, op: FileOp) -> Turn {
        self.step = step;
        Next::Io(op)
    }

    /// Goes on where nothing is under way.
    fn go_on(&mut self) -> Turn {
        if self.stop.is_some() {
            return self.wind_up();
        }
        let worked = match self.stage {
            Stage::Learn => self.learn(),
            Stage::Write => self.write(),
        };
        worked.unwrap_or_else(|text| self.end_with(CompactStop::Unreadable(Fault::Corruption(text))))
    }

    fn end_with(&mut self, stop: CompactStop) -> Turn {
        self.stop.get_or_insert(stop);
        self.wind_up()
    }

    /// Ends early, once nothing is left open and no half-made file stands.
    fn wind_up(&mut self) -> Turn {
        if let Some(op) = self.reader.as_mut().and_then(Reader::forget) {
            return self.io(Step::Stopping, op);
        }
        if let Some(reader) = self.reader.take() {
            return self.io(Step::Stopping, FileOp::Close { file: reader.file });
        }
        let Some(output) = self.output.take() else {
            let stop = self.stop.take().unwrap_or(CompactStop::Asked);
            return Next::Done(CompactOutcome::Ended(Err(stop)));
        };
        let path = output.temporary.clone();
        let close = FileOp::Close { file: output.file };
        match self.step {
            // It is closed, or never was open.
            Step::OutputCreated | Step::OutputClosed | Step::Renamed => {
                self.io(Step::Stopping, FileOp::Remove { path })
            }
            _ => {
                self.output = Some(output);
                self.io(Step::OutputClosed, close)
            }
        }
    }

    fn open_input(&mut self, input: Input) -> Turn {
        let file = self.files.next();
        self.reader = Some(Reader::new(file, input));
        let open = FileOp::Open {
            file,
            path: self.place.segment(input.stem),
            mode: OpenMode::Existing,
        };
        self.io(Step::InputOpened, open)
    }

    fn close_input(&mut self) -> Turn {
        let reader = self.reader.take().expect("it is open");
        self.at += 1;
        self.io(Step::InputClosed, FileOp::Close { file: reader.file })
    }

    /// Reads on, closes the input at its end, or goes home after a stretch.
    fn read_on(&mut self) -> Turn {
        let Some(op) = self.reader.as_ref().and_then(Reader::next_read) else {
            return self.close_input();
        };
        if self.stretch >= self.settings.stretch_bytes {
            self.step = Step::Home;
            return Next::Later;
        }
        self.io(Step::InputRead, op)
    }

    fn learn(&mut self) -> Result<Turn, String> {
        let from = self.settings.dirty_from;
        let Some(reader) = &mut self.reader else {
            let rest = self.inputs[self.at..].iter();
            let clean = rest.take_while(|input| input.end <= from || input.size == 0);
            self.at += clean.count();
            return Ok(match self.inputs.get(self.at) {
                Some(&input) => self.open_input(input),
                None => self.begin_writing(self.keeping.upto),
            });
        };
        while let Some(batch) = reader.next_batch()? {
            match self.keeping.learn(&batch, from) {
                Ok(true) => {}
                Ok(false) => {
                    let known_to = batch.header().base_offset;
                    return Ok(self.begin_writing(known_to));
                }
                Err(error) => return Err(reader.wrong(&format!("{error}"))),
            }
        }
        Ok(self.read_on())
    }

    /// Keys are known of the records below `known_to`: what begins below it is written anew.
    fn begin_writing(&mut self, known_to: Offset) -> Turn {
        self.keeping.clean_to = known_to;
        self.inputs.retain(|input| input.stem.base < known_to);
        self.stage = Stage::Write;
        self.group_end = 0;
        self.at = 0;
        match self.reader.as_mut().and_then(Reader::forget) {
            Some(op) => self.io(Step::InputForgotten, op),
            None => self.drop_input(),
        }
    }

    /// Closes an input that is not read to its end.
    fn drop_input(&mut self) -> Turn {
        match self.reader.take() {
            Some(reader) => self.io(Step::InputClosed, FileOp::Close { file: reader.file }),
            None => self.go_on(),
        }
    }

    fn write(&mut self) -> Result<Turn, String> {
        let Some(output) = &mut self.output else {
            return Ok(self.begin_group());
        };
        let Some(reader) = &mut self.reader else {
            let rest = self.inputs[self.at..self.group_end].iter();
            self.at += rest.take_while(|input| input.size == 0).count();
            return Ok(if self.at == self.group_end {
                self.end_group()
            } else {
                self.open_input(self.inputs[self.at])
            });
        };
        while let Some(batch) = reader.next_batch()? {
            let kept = self.keeping.keep(batch);
            if let Some(kept) = kept.map_err(|error| reader.wrong(&format!("{error}")))? {
                output.add(&kept);
            }
        }
        if output.is_full()
            && let Some(op) = output.write()
        {
            return Ok(self.io(Step::OutputWritten, op));
        }
        Ok(self.read_on())
    }

    /// Begins the next group: as many segments as make one of `segment.bytes` at most.
    fn begin_group(&mut self) -> Turn {
        let Some(first) = self.inputs.get(self.at) else {
            return Next::Done(CompactOutcome::Ended(Ok(())));
        };
        let mut size = first.size;
        let mut end = first.end;
        self.group_end = self.at + 1;
        while let Some(next) = self.inputs.get(self.group_end) {
            let near = next.end.since(first.stem.base) <= i64::from(i32::MAX);
            if size + next.size > self.settings.group_bytes || !near {
                break;
            }
            size += next.size;
            end = next.end;
            self.group_end += 1;
        }
        let stem = Stem {
            base: first.stem.base,
            cleaning: Some(Cleaning {
                end,
                generation: self.settings.generation,
            }),
        };
        let interval = self.settings.index_interval_bytes;
        let output = Output::new(&self.place, stem, first.began, self.files.next(), interval);
        let create = output.create();
        self.output = Some(output);
        self.io(Step::OutputCreated, create)
    }

    fn end_group(&mut self) -> Turn {
        let output = self.output.as_mut().expect("a group has an output");
        if let Some(op) = output.write() {
            return self.io(Step::OutputWritten, op);
        }
        let files = alloc::vec![output.file];
        self.io(Step::OutputSynced, FileOp::Sync { files })
    }

    fn close_output(&mut self) -> Turn {
        let file = self.output.as_ref().expect("it is open").file;
        self.io(Step::OutputClosed, FileOp::Close { file })
    }

    /// From here on the file stands for its group.
    fn rename(&mut self) -> Turn {
        if self.stop.is_some() {
            return self.wind_up();
        }
        let output = self.output.as_ref().expect("it was written");
        let rename = FileOp::Rename {
            from: output.temporary.clone(),
            to: self.place.segment(output.stem),
        };
        self.io(Step::Renamed, rename)
    }

    fn sync_name(&mut self) -> Turn {
        let path = self.place.path.clone();
        self.io(Step::NameSynced, FileOp::SyncDirectory { path })
    }

    /// What the last segment of the group implied is what the new one implies, but for what lies where.
    fn open_checkpoint(&mut self) -> Turn {
        let last = self.inputs[self.group_end - 1];
        self.checkpoint_file = self.files.next();
        let open = FileOp::Open {
            file: self.checkpoint_file,
            path: self.place.checkpoint(last.stem),
            mode: OpenMode::Existing,
        };
        self.io(Step::CheckpointOpened, open)
    }

    fn checkpoint_opened(&mut self, size: u64) -> Turn {
        let file = self.checkpoint_file;
        if size > checkpoint::MAX_BYTES {
            return self.io(Step::CheckpointClosed, FileOp::Close { file });
        }
        let read = FileOp::Read {
            file,
            position: 0,
            length: size as u32,
        };
        self.io(Step::CheckpointRead, read)
    }

    fn checkpoint_read(&mut self, bytes: &Bytes) -> Turn {
        let last = self.inputs[self.group_end - 1];
        let whole = |found: &Checkpoint| found.size == last.size && found.end == last.end;
        self.checkpoint = Checkpoint::decode(bytes, last.stem).ok().filter(whole);
        let file = self.checkpoint_file;
        self.io(Step::CheckpointClosed, FileOp::Close { file })
    }

    /// Where the last segment had no checkpoint, the new one has none either, and costs the next recovery a scan.
    fn write_checkpoint(&mut self) -> Turn {
        let Some(before) = self.checkpoint.take() else {
            return self.swapped(0);
        };
        let output = self.output.as_ref().expect("it was written");
        let segment = &output.segment;
        let checkpoint = Checkpoint {
            base: segment.base,
            size: segment.size,
            end: before.end,
            began: output.began,
            peak: segment.peak,
            index: Arc::new(segment.index.clone()),
            epochs: before.epochs,
            producers: before.producers,
            clean_to: self.clean_to(),
        };
        let file = self.files.next();
        let path = self.place.checkpoint(output.stem);
        let temporary = self.place.temporary(output.stem, file.0);
        let bytes = checkpoint.encode(Monotonic(0)).into();
        self.replacing(Replace::new(file, path, temporary, bytes), Ok(IoValue::Done))
    }

    fn replacing(&mut self, mut replace: Replace, done: IoResult) -> Turn {
        match replace.resume(done) {
            Next::Io(op) => self.io(Step::CheckpointWritten(replace), op),
            Next::Later => {
                self.step = Step::CheckpointWritten(replace);
                Next::Later
            }
            Next::Done(Ok(())) => {
                let size = self.output.as_ref().map_or(0, |output| output.segment.size);
                self.swapped(size)
            }
            Next::Done(Err(fault)) if fault.is_shortage() => self.swapped(0),
            Next::Done(Err(fault)) => Next::Done(CompactOutcome::Ended(Err(CompactStop::Directory(fault)))),
        }
    }

    /// Up to where the segment that was made is compacted.
    fn clean_to(&self) -> Offset {
        let end = self.inputs[self.group_end - 1].end;
        self.keeping.clean_to.min(end)
    }

    fn swapped(&mut self, checkpointed: u64) -> Turn {
        let output = self.output.take().expect("it was written");
        self.step = Step::Home;
        let swapped = Swapped {
            stem: output.stem,
            size: output.segment.size,
            peak: output.segment.peak,
            index: output.segment.index,
            began: output.began,
            clean_to: self.clean_to(),
            checkpointed,
        };
        // Whoever holds the job itself moves it out.
        Next::Done(CompactOutcome::Swapped(Compact(None), Box::new(swapped)))
    }

    fn failed(&mut self, error: &IoError) -> Turn {
        let fault = error.fault();
        let short = fault.is_shortage();
        match self.step {
            Step::Stopping => self.wind_up(),
            // Without what it says, or with.
            Step::CheckpointOpened | Step::CheckpointClosed => self.write_checkpoint(),
            Step::CheckpointRead => {
                let file = self.checkpoint_file;
                self.io(Step::CheckpointClosed, FileOp::Close { file })
            }
            Step::InputOpened => {
                self.reader = None;
                self.end_with(if short {
                    CompactStop::Later(fault)
                } else {
                    CompactStop::Unreadable(fault)
                })
            }
            Step::InputForgotten => self.drop_input(),
            Step::InputRead => self.end_with(CompactStop::Unreadable(fault)),
            // The file has its name, and stands for its group: there is no way back, and to open the directory takes a
            // descriptor.
            Step::NameSynced if fault == Fault::NoDescriptors => {
                self.step = Step::NameAgain;
                Next::Later
            }
            // The name may stand, or not: nobody can tell.
            Step::NameSynced => Next::Done(CompactOutcome::Ended(Err(CompactStop::Directory(fault)))),
            _ if short => self.end_with(CompactStop::Later(fault)),
            _ => self.end_with(CompactStop::Directory(fault)),
        }
    }

    fn resume(&mut self, done: IoResult) -> Turn {
        if matches!(self.step, Step::CheckpointWritten(_)) {
            let Step::CheckpointWritten(replace) = core::mem::replace(&mut self.step, Step::Home) else {
                unreachable!("it was just looked at")
            };
            return self.replacing(replace, done);
        }
        let value = match done {
            Ok(value) => value,
            Err(error) => return self.failed(&error),
        };
        match (&self.step, value) {
            (Step::Home, _) => {
                self.stretch = 0;
                self.go_on()
            }
            (Step::InputRead, IoValue::Bytes(bytes)) => {
                self.stretch += bytes.len() as u64;
                let reader = self.reader.as_mut().expect("it is being read");
                match reader.take(&bytes) {
                    Ok(()) => self.go_on(),
                    Err(text) => self.end_with(CompactStop::Unreadable(Fault::Corruption(text))),
                }
            }
            (Step::InputForgotten, _) => self.drop_input(),
            (Step::OutputSynced, _) => self.close_output(),
            (Step::OutputClosed, _) => self.rename(),
            // Its checkpoint would sync the name.
            (Step::Renamed, _) if bug!(CompactionSwapNotSynced) => self.swapped(0),
            (Step::Renamed | Step::NameAgain, _) => self.sync_name(),
            (Step::NameSynced, _) => self.open_checkpoint(),
            (Step::CheckpointOpened, IoValue::Opened { size }) => self.checkpoint_opened(size),
            (Step::CheckpointRead, IoValue::Bytes(bytes)) => self.checkpoint_read(&bytes),
            (Step::CheckpointClosed, _) => self.write_checkpoint(),
            (Step::Stopping, _) => self.wind_up(),
            (Step::InputOpened | Step::InputClosed | Step::OutputCreated | Step::OutputWritten, _) => self.go_on(),
            (step, value) => unreachable!("{step:?} was answered by {value:?}"),
        }
    }
}

impl Job for Compact {
    type Outcome = CompactOutcome;

    fn resume(&mut self, done: IoResult) -> Turn {
        let work = self
            .0
            .as_mut()
            .expect("a job that went home is run by what it came home as");
        match work.resume(done) {
            Next::Io(op) => Next::Io(op),
            // After a stretch it comes home with its work.
            Next::Later if matches!(work.step, Step::Home) => Next::Done(CompactOutcome::More(Self(self.0.take()))),
            Next::Later => Next::Later,
            Next::Done(CompactOutcome::Swapped(_, swapped)) => {
                Next::Done(CompactOutcome::Swapped(Self(self.0.take()), swapped))
            }
            Next::Done(other) => Next::Done(other),
        }
    }
}
