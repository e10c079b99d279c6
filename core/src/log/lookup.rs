//! Looking for a batch inside a segment, where the I/O is: by offset or by timestamp.
//!
//! Invariants:
//! - only durable bytes are looked at, and every header is compared with the one before it: rot in the bytes that
//!   Kafka's CRC leaves out is found, not followed;
//! - what a look-up reads is in the page cache from then on, where nobody looks at it again: so the CRC of each batch that
//!   it shows is checked, and the log told of those that are wrong, whether they were looked for or not; what is wrong, or
//!   could not be checked, [leaves](leave) the page cache;
//! - the segment is leased from the job's beginning until its outcome is handed in.

mod leave;

use super::checkpoint::{self, Checkpoint};
use super::place::{Cleaning, LogPlace, Stem};
use super::segment::Peak;
use super::spans::Span;
use crate::marks::mark;
use crate::record::{Batch, BatchHeader, CRC_COVERS_FROM, HEADER_LEN, crc};
use crate::storage::{FileIds, FileOp, FilePath, Index, IndexEntry, IoResult, IoValue, Job, Lease, Next, OpenMode};
use crate::types::{Broken, Due, Fault, FileId, Flaw, Gaps, LeaderEpoch, Offset, Timestamp};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// What a record found by its timestamp is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeFound {
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// Its offset.
    pub offset: Offset,
    /// The leader epoch it was appended under.
    pub epoch: LeaderEpoch,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// The batch that holds `from`, and a batch's end as far behind it as `max_bytes` and `upto` allow.
    Offset {
        from: Offset,
        upto: Offset,
        max_bytes: usize,
    },
    /// The first record with this timestamp or a later one.
    Time(Timestamp),
    /// The greatest timestamp.
    Peak,
    /// Whether the batch at the bound that is known is sound.
    Proof,
}

/// Where it is looked for.
#[derive(Clone, Debug)]
pub(super) struct LookupSettings {
    /// The segment.
    pub(super) base: Offset,
    /// The offset after its last batch.
    pub(super) end: Offset,
    /// What compaction made of it.
    pub(super) cleaning: Option<Cleaning>,
    /// How many of its bytes are durable.
    pub(super) readable: u64,
    /// Where the log begins: by time, nothing before is looked for.
    pub(super) start: Offset,
    /// A bound to start from; `None` reads the checkpoint's index first.
    pub(super) known: Option<(Offset, u64)>,
    /// The leader epochs of its records, and where each began.
    pub(super) epochs: Vec<(LeaderEpoch, Offset)>,
    /// `index.interval.bytes`, for an index that has to be made anew.
    pub(super) interval: u32,
    /// The most bytes a batch may have once its records are decompressed.
    pub(super) decompressed_bytes: usize,
}

impl LookupSettings {
    /// How far an offset lies behind the segment's base.
    fn relative(&self, offset: Offset) -> u32 {
        u32::try_from(offset.since(self.base)).unwrap_or(0)
    }
}

#[derive(Debug, Default)]
pub(super) struct Found {
    /// The segment's index, if it had to be read.
    pub(super) index: Option<Arc<Index>>,
    /// Batches that were looked for.
    pub(super) spans: Vec<Span>,
    /// The record that was looked for.
    pub(super) time: Option<TimeFound>,
    /// The greatest timestamp.
    pub(super) peak: Option<Peak>,
    /// The batch that is sound.
    pub(super) proven: Option<Span>,
}

/// What a look-up brings home. It holds a lease: it has to be handed in to the log.
#[derive(Debug)]
#[must_use = "it holds a lease"]
pub struct LookupOutcome {
    pub(super) lease: Lease,
    /// The base offset of the segment that was looked into.
    pub(super) base: Offset,
    /// What was looked for in it.
    pub(super) goal: Goal,
    pub(super) found: Result<Found, Fault>,
    /// Batches with a wrong CRC that it came by.
    pub(super) broken: Vec<Broken>,
}

impl LookupOutcome {
    /// The lease alone, where the log is not there any more.
    pub fn into_lease(self) -> Lease {
        self.lease
    }
}

/// What the answer that comes next is the answer to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Begin,
    IndexOpened,
    IndexRead,
    IndexClosed,
    Opened,
    HeadersRead,
    BatchRead,
    /// What was read of a batch at the end of a window is read in full.
    RestRead,
    /// What is not sound leaves the page cache.
    Forgotten,
    Closed,
}

/// The job.
#[derive(Debug)]
pub struct Lookup {
    settings: LookupSettings,
    goal: Goal,
    lease: Option<Lease>,
    files: FileIds,
    file: FileId,
    segment: FilePath,
    checkpoint: FilePath,
    phase: Phase,
    /// The bytes read last that show headers, and where they begin.
    window: Bytes,
    window_at: u64,
    /// Where what was read last begins.
    read_at: u64,
    /// What was read below this byte was checked, or is in doubt.
    looked_to: u64,
    /// Bytes that were read and may be rotten.
    doubtful: Option<(u64, u64)>,
    /// The next batch.
    position: u64,
    expected: Offset,
    epoch: LeaderEpoch,
    due: Due,
    /// The index that is being made because there is none on disk, and what it needs.
    rebuilt: Option<(Index, u64, Option<Peak>)>,
    /// The batch that holds the offset looked for.
    start: Option<Span>,
    found: Found,
    broken: Vec<Broken>,
    fault: Option<Fault>,
}

/// How much is read at once.
const WINDOW: u64 = 32 << 10;
/// How many batches with a wrong CRC are told of.
const BROKEN: usize = 8;
/// How far behind the batch looked for a better end is looked for.
const BEYOND: u64 = 256 << 10;

impl Lookup {
    pub(super) fn new(
        place: &LogPlace,
        settings: LookupSettings,
        goal: Goal,
        lease: Lease,
        mut files: FileIds,
    ) -> Self {
        let (expected, position) = settings.known.unwrap_or((settings.base, 0));
        let stem = Stem {
            base: settings.base,
            cleaning: settings.cleaning,
        };
        Self {
            goal,
            lease: Some(lease),
            file: files.next(),
            files,
            segment: place.segment(stem),
            checkpoint: place.checkpoint(stem),
            phase: Phase::Begin,
            window: Bytes::new(),
            window_at: 0,
            read_at: 0,
            looked_to: position,
            doubtful: None,
            position,
            expected,
            epoch: LeaderEpoch(0),
            due: Due {
                gaps: settings.cleaning.map_or(Gaps::None, |_| Gaps::Allowed),
                end: settings.cleaning.map_or(settings.end, |cleaning| cleaning.end),
                epochs: settings.epochs.clone(),
            },
            rebuilt: None,
            start: None,
            found: Found::default(),
            broken: Vec::new(),
            fault: None,
            settings,
        }
    }

    fn open(&mut self, path: FilePath, phase: Phase) -> Next<LookupOutcome> {
        self.phase = phase;
        self.file = self.files.next();
        Next::Io(FileOp::Open {
            file: self.file,
            path,
            mode: OpenMode::Existing,
        })
    }

    fn close(&mut self, phase: Phase) -> Next<LookupOutcome> {
        self.phase = phase;
        Next::Io(FileOp::Close { file: self.file })
    }

    fn read(&mut self, position: u64, length: u64, phase: Phase) -> Next<LookupOutcome> {
        self.phase = phase;
        self.read_at = position;
        Next::Io(FileOp::Read {
            file: self.file,
            position,
            length: u32::try_from(length).unwrap_or(u32::MAX),
        })
    }

    fn open_segment(&mut self) -> Next<LookupOutcome> {
        self.open(self.segment.clone(), Phase::Opened)
    }

    fn finish(&mut self) -> Next<LookupOutcome> {
        let lease = self.lease.take().expect("a job ends once");
        let found = match self.fault.take() {
            Some(fault) => Err(fault),
            None => Ok(core::mem::take(&mut self.found)),
        };
        Next::Done(LookupOutcome {
            lease,
            base: self.settings.base,
            goal: self.goal,
            found,
            broken: core::mem::take(&mut self.broken),
        })
    }

    /// The operation failed. Without an index there is still the segment; without the segment there is nothing.
    fn failed(&mut self, text: &str) -> Next<LookupOutcome> {
        match self.phase {
            Phase::IndexOpened => {
                self.rebuilt = Some((Index::default(), 0, None));
                self.open_segment()
            }
            Phase::IndexRead => self.close(Phase::IndexClosed),
            Phase::HeadersRead | Phase::BatchRead => {
                self.fault = Some(Fault::Device(text.into()));
                self.leave()
            }
            // What was looked for is found all the same.
            Phase::RestRead => self.leave(),
            Phase::Forgotten => self.close(Phase::Closed),
            Phase::Closed => {
                self.fault.get_or_insert_with(|| Fault::Device(text.into()));
                self.finish()
            }
            Phase::Begin | Phase::IndexClosed | Phase::Opened => {
                self.fault = Some(Fault::Device(text.into()));
                self.finish()
            }
        }
    }

    /// Something does not belong here. Behind the batch that was looked for it costs only what lies there: that batch is
    /// sound if its end is where the one behind it begins, or if its CRC holds.
    fn corrupt(&mut self, what: &str) -> Next<LookupOutcome> {
        if let Some(start) = self.start.filter(|_| self.phase != Phase::BatchRead) {
            self.rebuilt = None;
            if self.found.spans.len() == 1 {
                return self.read(start.position, start.end - start.position, Phase::BatchRead);
            }
            self.found.spans.truncate(1);
            return self.leave();
        }
        mark!(LookUpMetDamage);
        let text = format!("{}, byte {}: {what}", self.segment, self.position);
        self.fault = Some(Fault::Corruption(text));
        self.leave()
    }

    /// Takes the index of a checkpoint, and starts from it.
    fn adopt(&mut self, bytes: &[u8]) {
        let stem = Stem {
            base: self.settings.base,
            cleaning: self.settings.cleaning,
        };
        let Ok(checkpoint) = Checkpoint::decode(bytes, stem) else {
            return;
        };
        if checkpoint.size != self.settings.readable {
            return;
        }
        let entry = match self.goal {
            Goal::Offset { from, .. } => checkpoint.index.floor(self.settings.relative(from)),
            Goal::Peak | Goal::Proof => checkpoint.index.floor(self.settings.relative(self.settings.start)),
            Goal::Time(timestamp) => checkpoint.index.floor_by_time(timestamp),
        };
        self.position = u64::from(entry.position);
        self.expected = self.settings.base.plus(i64::from(entry.relative));
        self.found.index = Some(checkpoint.index);
    }

    /// Goes from header to header as far as the window shows them.
    fn walk(&mut self) -> Next<LookupOutcome> {
        loop {
            if self.position >= self.settings.readable {
                return self.end_of_walk();
            }
            let skip = self.position.saturating_sub(self.window_at) as usize;
            let shown = self.window.get(skip..).and_then(<[u8]>::first_chunk::<HEADER_LEN>);
            let Some(bytes) = shown.filter(|_| self.position >= self.window_at) else {
                if self.window_at == self.position && !self.window.is_empty() {
                    return self.corrupt("the segment ends inside a batch");
                }
                let length = WINDOW.min(self.settings.readable - self.position);
                return self.read(self.position, length, Phase::HeadersRead);
            };
            let header = BatchHeader::parse(bytes);
            let length = match header.check_magic().and_then(|()| header.total_len()) {
                Ok(length) => length as u64,
                Err(error) => return self.not_due(&format!("{error}")),
            };
            if !self.due.admits(&header, self.expected, self.epoch) || self.position + length > self.settings.readable {
                return self.not_due("the batch is not the one that belongs here");
            }
            if self.position + length > self.window_end() && length <= WINDOW && self.window_at < self.position {
                // Rather once more than never as a whole.
                let length = WINDOW.min(self.settings.readable - self.position);
                return self.read(self.position, length, Phase::HeadersRead);
            }
            self.looked_to = self.position + length;
            if let Some(next) = self.check(&header, length) {
                return next;
            }
            self.index(&header, length);
            if let Some(next) = self.visit(&header, length) {
                return next;
            }
            self.position += length;
            self.expected = header.next_offset();
            self.epoch = header.partition_leader_epoch;
        }
    }

    /// What the window shows at the position is not what belongs there, nor may what follows be.
    fn not_due(&mut self, what: &str) -> Next<LookupOutcome> {
        self.looked_to = self.window_end();
        self.doubt(self.position, self.looked_to);
        self.corrupt(what)
    }

    /// Checks the CRC of the batch, if the window shows all of it. Says what to do if the batch is one to be read.
    fn check(&mut self, header: &BatchHeader, length: u64) -> Option<Next<LookupOutcome>> {
        let skip = (self.position - self.window_at) as usize;
        let Some(shown) = self.window.get(skip..skip + length as usize) else {
            self.doubt(self.position, self.window_end());
            return None;
        };
        if crc::crc32c(&shown[CRC_COVERS_FROM..]) == header.crc {
            return None;
        }
        self.doubt(self.position, self.position + length);
        if self.broken.len() < BROKEN {
            self.broken.push(Broken {
                position: self.position,
                offset: self.expected,
                flaw: Flaw::Crc,
            });
        }
        let wanted = matches!(self.goal, Goal::Offset { from, .. } if header.next_offset() > from);
        wanted.then(|| self.corrupt("the CRC of the batch is not that of its bytes"))
    }

    fn index(&mut self, header: &BatchHeader, length: u64) {
        let interval = u64::from(self.settings.interval);
        let Some((index, unindexed, peak)) = &mut self.rebuilt else {
            return;
        };
        if self.position > 0 && *unindexed + length > interval {
            index.push(IndexEntry {
                relative: header.base_offset.since(self.settings.base) as u32,
                position: self.position as u32,
                max_before: peak.map_or(Timestamp(i64::MIN), |peak| peak.timestamp),
            });
            *unindexed = 0;
        }
        *unindexed += length;
        let this = Peak {
            timestamp: header.max_timestamp,
            batch: header.base_offset,
        };
        *peak = Peak::max(*peak, Some(this));
    }

    /// Looks at one batch. Says what to do if not to go on.
    fn visit(&mut self, header: &BatchHeader, length: u64) -> Option<Next<LookupOutcome>> {
        // A batch also stands for the offsets in front of it that compaction left empty.
        let span = Span {
            segment: self.settings.base,
            base: self.expected,
            next: header.next_offset(),
            position: self.position,
            end: self.position + length,
        };
        match self.goal {
            Goal::Offset { from, upto, max_bytes } => {
                let Some(start) = self.start else {
                    if span.next > from {
                        self.start = Some(span);
                        self.found.spans.push(span);
                    }
                    return None;
                };
                let limit = start.position.saturating_add(max_bytes as u64);
                if span.next <= upto && span.end <= limit && span.end <= start.end + BEYOND {
                    self.found.spans.truncate(1);
                    self.found.spans.push(span);
                    None
                } else {
                    self.rebuilt.is_none().then(|| self.leave())
                }
            }
            Goal::Proof => Some(self.read(self.position, length, Phase::BatchRead)),
            Goal::Time(_) | Goal::Peak if span.next <= self.settings.start || header.record_count <= 0 => None,
            Goal::Time(timestamp) if header.max_timestamp >= timestamp && self.found.time.is_none() => {
                Some(self.read(self.position, length, Phase::BatchRead))
            }
            Goal::Time(_) => None,
            Goal::Peak if span.base < self.settings.start => Some(self.read(self.position, length, Phase::BatchRead)),
            Goal::Peak => {
                self.found_peak(header.max_timestamp, header);
                None
            }
        }
    }

    fn found_peak(&mut self, timestamp: Timestamp, header: &BatchHeader) {
        let batch = header.base_offset;
        self.found.peak = Peak::max(self.found.peak, Some(Peak { timestamp, batch }));
    }

    fn end_of_walk(&mut self) -> Next<LookupOutcome> {
        if let (Goal::Offset { .. }, None, Some(cleaning)) = (self.goal, self.start, self.settings.cleaning) {
            // Compaction left nothing from there to the end.
            self.found.spans.push(Span {
                segment: self.settings.base,
                base: self.expected,
                next: cleaning.end,
                position: self.position,
                end: self.position,
            });
        }
        if let Some((index, ..)) = self.rebuilt.take() {
            self.found.index = Some(Arc::new(index));
        }
        self.leave()
    }

    /// Looks for the record in the batch that was read, from the log's start on. A batch that cannot be opened stands for
    /// its records.
    fn search(&mut self, bytes: &Bytes) -> Next<LookupOutcome> {
        let batch = match Batch::parse(bytes).and_then(|batch| batch.check_crc().map(|()| batch)) {
            Ok(batch) => batch,
            Err(error) => {
                self.doubt(self.read_at, self.read_at + bytes.len() as u64);
                return self.corrupt(&format!("{error}"));
            }
        };
        let header = batch.header();
        let start = self.settings.start;
        let mut shown: Vec<(Timestamp, Offset)> = Vec::new();
        let opened = batch.open(self.settings.decompressed_bytes);
        if let Ok(opened) = &opened {
            let records = opened.records().map_while(Result::ok);
            let records = records.map(|record| (opened.timestamp(&record), opened.offset(&record)));
            shown.extend(records.filter(|&(_, offset)| offset >= start));
        }
        // Of one that cannot be opened only its header tells. Of others, compaction or the log's start may have left nothing.
        let whole = opened
            .is_err()
            .then(|| (header.max_timestamp, header.base_offset.max(start)));
        match self.goal {
            Goal::Time(timestamp) => {
                let found = shown.iter().copied().find(|&(time, _)| time >= timestamp);
                let Some((timestamp, offset)) = found.or(whole) else {
                    return self.go_on(&header, bytes.len());
                };
                let epoch = header.partition_leader_epoch;
                self.found.time = Some(TimeFound {
                    timestamp,
                    offset,
                    epoch,
                });
                self.leave()
            }
            Goal::Peak => {
                let greatest = shown.iter().map(|&(time, _)| time).max();
                if let Some(greatest) = greatest.or(whole.map(|(time, _)| time)) {
                    self.found_peak(greatest, &header);
                }
                self.go_on(&header, bytes.len())
            }
            Goal::Proof => {
                self.found.proven = Some(Span {
                    segment: self.settings.base,
                    base: self.expected,
                    next: header.next_offset(),
                    position: self.position,
                    end: self.position + bytes.len() as u64,
                });
                self.leave()
            }
            Goal::Offset { .. } => self.leave(),
        }
    }

    /// Goes on with the batch after the one that was read.
    fn go_on(&mut self, header: &BatchHeader, length: usize) -> Next<LookupOutcome> {
        self.position += length as u64;
        self.expected = header.next_offset();
        self.epoch = header.partition_leader_epoch;
        self.walk()
    }
}

impl Job for Lookup {
    type Outcome = LookupOutcome;

    fn resume(&mut self, done: IoResult) -> Next<LookupOutcome> {
        let value = match done {
            Ok(value) => value,
            Err(error) => return self.failed(&error.text),
        };
        match (self.phase, value) {
            (Phase::Begin, _) if self.settings.known.is_none() => {
                self.open(self.checkpoint.clone(), Phase::IndexOpened)
            }
            (Phase::Begin | Phase::IndexClosed, _) => {
                if self.settings.known.is_none() && self.found.index.is_none() {
                    self.rebuilt = Some((Index::default(), 0, None));
                }
                self.open_segment()
            }
            (Phase::IndexOpened, IoValue::Opened { size }) if size <= checkpoint::MAX_BYTES => {
                self.read(0, size, Phase::IndexRead)
            }
            (Phase::IndexRead, IoValue::Bytes(bytes)) => {
                self.adopt(&bytes);
                self.close(Phase::IndexClosed)
            }
            (Phase::IndexOpened, _) => self.close(Phase::IndexClosed),
            (Phase::Opened, _) => self.walk(),
            (Phase::RestRead, IoValue::Bytes(bytes)) => {
                (self.window_at, self.window) = (self.read_at, bytes);
                self.leave()
            }
            (Phase::Forgotten, _) => self.close(Phase::Closed),
            (Phase::HeadersRead, IoValue::Bytes(bytes)) => {
                (self.window_at, self.window) = (self.read_at, bytes);
                if self.window.is_empty() {
                    return self.corrupt("the segment is shorter than it was");
                }
                self.walk()
            }
            (Phase::BatchRead, IoValue::Bytes(bytes)) => self.search(&bytes),
            (Phase::Closed, _) => self.finish(),
            (phase, value) => unreachable!("{phase:?} was answered by {value:?}"),
        }
    }
}
