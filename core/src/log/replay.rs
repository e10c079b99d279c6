//! Reads all batches of a log in order, a bounded piece at a time: how the metadata log is replayed.

use super::machine::Log;
use super::place::{LogPlace, Stem};
use crate::record::{Batch, BatchHeader, HEADER_LEN};
use crate::storage::{FileIds, FileOp, IoError, IoErrorKind, IoResult, IoValue, Job, Next, OpenMode, Storage};
use crate::types::{Fault, FileId, Offset};
use alloc::format;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// Batches of a log, in order.
#[derive(Debug)]
pub struct ReplayChunk {
    /// The batches; their CRCs were checked.
    pub batches: Vec<Batch>,
    /// The job that reads on; `None` at the log's end.
    pub rest: Option<Replay>,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    stem: Stem,
    size: u64,
}

impl Stretch {
    /// Whether a batch may come next where `expected` is the offset after the one before it.
    fn admits(&self, header: &BatchHeader, expected: Offset) -> bool {
        let follows = match self.stem.cleaning {
            None => header.base_offset == expected,
            Some(cleaning) => header.base_offset >= expected && header.next_offset() <= cleaning.end,
        };
        follows && header.last_offset_delta >= 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Begin,
    Opened,
    Read,
    Closed,
}

/// The job. Nothing may be removed from the log while it runs.
#[derive(Debug)]
pub struct Replay {
    place: LogPlace,
    files: FileIds,
    file: FileId,
    step: Step,
    segments: Vec<Stretch>,
    at: usize,
    position: u64,
    expected: Offset,
    pending: BytesMut,
    batches: Vec<Batch>,
    bytes: usize,
    fault: Option<Fault>,
}

/// Bytes of batches in one piece; a single batch may have more.
const PIECE: usize = 1 << 20;

impl Log {
    /// A job that reads the durable part of the log from its start.
    pub fn replay(&self, storage: &mut Storage) -> Replay {
        let stretch = |segment: &super::segment::Segment| Stretch {
            stem: segment.stem(),
            size: self.readable(segment),
        };
        let mut files = storage.job_files();
        Replay {
            place: self.place.clone(),
            file: files.next(),
            files,
            step: Step::Begin,
            segments: self
                .segments
                .iter()
                .map(stretch)
                .filter(|stretch| stretch.size > 0)
                .collect(),
            at: 0,
            position: 0,
            expected: self.segments.front().map_or(self.end, |first| first.base),
            pending: BytesMut::new(),
            batches: Vec::new(),
            bytes: 0,
            fault: None,
        }
    }
}

type Turn = Next<Result<ReplayChunk, Fault>>;

impl Replay {
    fn open(&mut self) -> Turn {
        let Some(segment) = self.segments.get(self.at) else {
            return self.piece(true);
        };
        if self.position == 0 {
            // Segments follow each other; one that compaction emptied is not read.
            self.expected = segment.stem.base;
        }
        self.step = Step::Opened;
        self.file = self.files.next();
        Next::Io(FileOp::Open {
            file: self.file,
            path: self.place.segment(segment.stem),
            mode: OpenMode::Existing,
        })
    }

    fn read(&mut self) -> Turn {
        let left = self.segments[self.at].size - self.position - self.pending.len() as u64;
        if left == 0 && self.pending.is_empty() {
            self.at += 1;
            self.position = 0;
            return self.close();
        }
        if left == 0 {
            return self.corrupt("the segment ends inside a batch");
        }
        self.step = Step::Read;
        Next::Io(FileOp::Read {
            file: self.file,
            position: self.position + self.pending.len() as u64,
            length: left.min(PIECE as u64) as u32,
        })
    }

    fn close(&mut self) -> Turn {
        self.step = Step::Closed;
        Next::Io(FileOp::Close { file: self.file })
    }

    fn corrupt(&mut self, what: &str) -> Turn {
        let path = self.place.segment(self.segments[self.at].stem);
        self.fault = Some(Fault::Corruption(format!("{path}, byte {}: {what}", self.position)));
        self.close()
    }

    /// Takes the whole batches out of what was read.
    fn take(&mut self, bytes: &Bytes) -> Turn {
        if bytes.is_empty() {
            return self.corrupt("the segment is shorter than it was");
        }
        self.pending.extend_from_slice(bytes);
        while let Some(header) = self.pending.first_chunk::<HEADER_LEN>() {
            let header = BatchHeader::parse(header);
            let length = match header.check_magic().and_then(|()| header.total_len()) {
                Ok(length) => length,
                Err(error) => return self.corrupt(&format!("{error}")),
            };
            if self.position + length as u64 > self.segments[self.at].size {
                return self.corrupt("a batch reaches beyond the end");
            }
            if length > self.pending.len() {
                break;
            }
            let whole = self.pending.split_to(length).freeze();
            let batch = Batch::parse(&whole).and_then(|batch| batch.check_crc().map(|()| batch));
            match batch {
                Ok(batch) if self.segments[self.at].admits(&header, self.expected) => {
                    self.batches.push(batch);
                }
                Ok(_) => return self.corrupt("the batch is not the one that belongs here"),
                Err(error) => return self.corrupt(&format!("{error}")),
            }
            self.expected = header.next_offset();
            self.position += length as u64;
            self.bytes += length;
        }
        if self.bytes >= PIECE { self.close() } else { self.read() }
    }

    /// Hands over what was read so far.
    fn piece(&mut self, last: bool) -> Turn {
        let batches = core::mem::take(&mut self.batches);
        self.bytes = 0;
        // What was read of a batch that is not whole yet is read again.
        self.pending = BytesMut::new();
        let rest = (!last).then(|| Self {
            place: self.place.clone(),
            files: core::mem::replace(&mut self.files, FileIds::none()),
            file: self.file,
            step: Step::Begin,
            segments: core::mem::take(&mut self.segments),
            at: self.at,
            position: self.position,
            expected: self.expected,
            pending: BytesMut::new(),
            batches: Vec::new(),
            bytes: 0,
            fault: None,
        });
        Next::Done(Ok(ReplayChunk { batches, rest }))
    }

    fn failed(&mut self, error: &IoError) -> Turn {
        let fault = match error.kind {
            IoErrorKind::NotFound => Fault::Corruption(error.text.clone()),
            _ => error.fault(),
        };
        match self.step {
            Step::Read => {
                self.fault = Some(fault);
                self.close()
            }
            Step::Begin | Step::Opened | Step::Closed => Next::Done(Err(self.fault.take().unwrap_or(fault))),
        }
    }
}

impl Job for Replay {
    type Outcome = Result<ReplayChunk, Fault>;

    fn resume(&mut self, done: IoResult) -> Turn {
        let value = match done {
            Ok(value) => value,
            Err(error) => return self.failed(&error),
        };
        match (self.step, value) {
            (Step::Begin, _) => self.open(),
            (Step::Opened, _) => self.read(),
            (Step::Read, IoValue::Bytes(bytes)) => self.take(&bytes),
            (Step::Closed, _) => match self.fault.take() {
                Some(fault) => Next::Done(Err(fault)),
                None if self.bytes >= PIECE => self.piece(self.at == self.segments.len()),
                None => self.open(),
            },
            (step, value) => unreachable!("{step:?} was answered by {value:?}"),
        }
    }
}
