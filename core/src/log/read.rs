//! Reading: plans of what to send, made without touching the disk.
//!
//! Invariants:
//! - a plan begins with the batch that holds the offset asked for, or the next where compaction left a gap, and ends at a
//!   batch's end;
//! - it holds nothing at or beyond `upto`, and from a file nothing that is not durable;
//! - a plan of file ranges stays within one segment.

use super::lookup::{Goal, Lookup, LookupOutcome, LookupSettings};
use super::machine::Log;
use super::segment::Segment;
use crate::record::HEADER_LEN;
use crate::storage::{Index, IndexEntry, Lease, Recent, Storage};
use crate::types::{Chain, Content, Fault, FileRange, Offset, Part};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::{BufMut, BytesMut};
use core::cmp::Ordering;

/// What a read found.
#[derive(Debug)]
pub enum Read {
    /// What to send, perhaps nothing.
    Plan(ReadPlan),
    /// Nobody knows yet where the batch lies: run this job, then hand its outcome to [`Log::adopt_lookup`] and read again.
    Lookup(Box<Lookup>),
    /// The file is being opened: read again at [`StorageEvent::Opened`](crate::storage::StorageEvent::Opened).
    Opening,
    /// The offset is before the log's start or behind its end.
    OutOfRange,
}

/// What to send, with the leases that keep it readable until it is sent.
#[derive(Debug, Default)]
#[must_use = "a plan's leases have to be released"]
pub struct ReadPlan {
    /// The bytes, in order: whole batches.
    pub parts: Vec<Part>,
    /// To be released once the parts were sent, or dropped.
    pub leases: Vec<Lease>,
    /// How many bytes the parts have together.
    pub bytes: usize,
    /// How many of them, at most, nobody but the plan holds in memory.
    pub owned: usize,
    /// The offset after the last batch; where reading goes on.
    pub next_offset: Offset,
    /// Some of the places inside at which a batch ends, ascending: after how many bytes, and before which offset.
    pub shorter: Vec<(usize, Offset)>,
}

/// How many places a plan knows at which it could end, at most.
const SHORTER: usize = 32;

impl ReadPlan {
    fn nothing(at: Offset) -> Self {
        Self {
            next_offset: at,
            ..Self::default()
        }
    }

    /// Another batch, or run of them, was added: the plan could end here. Of too many such places every second goes.
    fn could_end(&mut self) {
        if self.shorter.len() == SHORTER {
            let mut keep = false;
            self.shorter.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.shorter.push((self.bytes, self.next_offset));
    }

    /// Makes it the longest plan of at most `limit` bytes that is known to end between two batches, perhaps an empty one.
    /// Returns the leases that are not needed any more.
    pub fn shorten(&mut self, limit: usize) -> Vec<Lease> {
        if self.bytes <= limit {
            return Vec::new();
        }
        self.shorter.retain(|&(bytes, _)| bytes <= limit);
        let Some(&(bytes, next_offset)) = self.shorter.last() else {
            return core::mem::take(self).leases;
        };
        let mut left = bytes;
        for part in &mut self.parts {
            let (length, kept) = (part.len(), part.len().min(left));
            left -= kept;
            match part {
                Part::Inline(bytes) => bytes.truncate(kept),
                Part::Range(range, content) => {
                    range.length = kept as u32;
                    if let Content::Batches(chain) = content {
                        chain.shorten((length - kept) as u64, next_offset);
                    }
                }
            }
        }
        self.parts.retain(|part| !part.is_empty());
        (self.bytes, self.next_offset) = (bytes, next_offset);
        Vec::new()
    }
}

/// Bodies below this many bytes are copied together with their headers: a part of its own would cost more.
const COPIED_BODY: usize = 2048;

/// A body of up to this many bytes has memory of its own; see `storage::tail`.
const OWN_BODY: usize = 4 << 10;

/// A bound between two batches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Bound {
    position: u64,
    offset: Offset,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    from: Offset,
    upto: Offset,
    max_bytes: usize,
    at_least_one: bool,
}

impl Log {
    /// Plans to send batches from the one that holds `from`, up to `upto` and at most `max_bytes`; with `at_least_one`
    /// the first batch goes whatever its size. `upto` is where a batch ends: the high watermark, or the log's end.
    pub fn read(
        &mut self,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        at_least_one: bool,
        storage: &mut Storage,
    ) -> Read {
        if from < self.start || from > self.end {
            return Read::OutOfRange;
        }
        let mut wanted = Wanted {
            from,
            upto: upto.min(self.end),
            max_bytes: max_bytes.min(i32::MAX as usize),
            at_least_one,
        };
        loop {
            if wanted.from >= wanted.upto || (max_bytes == 0 && !at_least_one) {
                return Read::Plan(ReadPlan::nothing(wanted.from));
            }
            if let Some(plan) = plan_recent(storage.recent(self.id, wanted.from), &wanted) {
                return Read::Plan(plan);
            }
            let durable = Wanted {
                upto: wanted.upto.min(self.durable.offset),
                ..wanted
            };
            if durable.from >= durable.upto {
                return Read::Plan(ReadPlan::nothing(durable.from));
            }
            match self.read_file(&durable, storage) {
                Ok(read) => return read,
                Err(behind) => wanted.from = behind,
            }
        }
    }

    /// Takes in what a look-up found. Whoever does not want to read any more has to hand the outcome in all the same.
    pub fn adopt_lookup(&mut self, outcome: LookupOutcome, storage: &mut Storage) -> Result<(), Fault> {
        let file = outcome.lease.file();
        storage.release(outcome.lease);
        for broken in outcome.broken {
            self.found_broken(file, broken);
        }
        let found = outcome.found?;
        if !self.segments.iter().any(|segment| segment.file == file) {
            // Its place was taken meanwhile.
            return Ok(());
        }
        let sealed = self.segments.iter().rev().skip(1).any(|segment| segment.file == file);
        if let Some(index) = found.index.filter(|_| sealed) {
            storage.keep_index(file, index);
        }
        if let Some(proven) = found.proven {
            self.damage
                .proven(outcome.base, proven.position, (proven.end, proven.next));
        }
        for span in found.spans {
            self.spans.add(span);
        }
        Ok(())
    }

    /// The segment that holds `offset`, by its place in the list.
    pub(super) fn segment_of(&self, offset: Offset) -> Option<usize> {
        self.segments
            .partition_point(|segment| segment.base <= offset)
            .checked_sub(1)
    }

    /// Reads from the segment that holds the offset; where it has nothing from there on, answers where the next begins.
    fn read_file(&mut self, wanted: &Wanted, storage: &mut Storage) -> Result<Read, Offset> {
        let place = self
            .segment_of(wanted.from)
            .expect("the log's start lies in its first segment");
        let active = place + 1 == self.segments.len();
        let segment = &self.segments[place];
        let index = if active { None } else { storage.index(segment.file) };
        let known = if active { Some(&segment.index) } else { index.as_deref() };
        Ok(match self.locate(segment, known, wanted) {
            Located::Beyond => return Err(segment.end),
            Located::Range(start, end) => {
                let end = self.before_damage(segment, start, end);
                if end == start {
                    return Ok(Read::Lookup(Box::new(self.proof(place, start, storage))));
                }
                let shorter = shorter(segment, known, start, end);
                self.plan_range(segment, start, end, shorter, storage)
            }
            Located::Nothing => Read::Plan(ReadPlan::nothing(wanted.from)),
            Located::Unknown => {
                let near = self.bound(segment, known, wanted.from, u64::MAX);
                let goal = Goal::Offset {
                    from: wanted.from,
                    upto: wanted.upto,
                    max_bytes: wanted.max_bytes,
                };
                let readable = self.readable(segment);
                let known = known.is_some().then_some((near.offset, near.position));
                Read::Lookup(Box::new(self.lookup(place, readable, known, goal, storage)))
            }
        })
    }

    /// How many bytes of the segment may be read: what is durable.
    pub(super) fn readable(&self, segment: &Segment) -> u64 {
        match segment.base.cmp(&self.durable.segment) {
            Ordering::Less => segment.size,
            Ordering::Equal => self.durable.position,
            Ordering::Greater => 0,
        }
    }

    /// The last known bound at or before an offset and a position.
    fn bound(&self, segment: &Segment, index: Option<&Index>, offset: Offset, position: u64) -> Bound {
        let relative = offset.since(segment.base).clamp(0, i64::from(u32::MAX)) as u32;
        let within = u32::try_from(position).unwrap_or(u32::MAX);
        let readable = u32::try_from(self.readable(segment)).unwrap_or(u32::MAX);
        let entry = index.map_or(Index::START, |index| index.floor_within(relative, within.min(readable)));
        let entry = Bound {
            position: u64::from(entry.position),
            offset: segment.base.plus(i64::from(entry.relative)),
        };
        let end = (segment.end, segment.size);
        let durable = (segment.base == self.durable.segment).then_some((self.durable.offset, self.durable.position));
        let others = self.spans.bounds(segment.base).chain(durable).chain([end]);
        let others = others.map(|(offset, position)| Bound { position, offset });
        others
            .filter(|bound| bound.offset <= offset && bound.position <= position)
            .fold(entry, Bound::max)
    }

    fn locate(&self, segment: &Segment, index: Option<&Index>, wanted: &Wanted) -> Located {
        if segment.size == 0 {
            return Located::Beyond;
        }
        let near = self.bound(segment, index, wanted.from, u64::MAX);
        let start = if near.offset == wanted.from {
            near
        } else if let Some(span) = self.spans.holding(wanted.from) {
            Bound {
                position: span.position,
                offset: span.base,
            }
        } else {
            return Located::Unknown;
        };
        if start.position >= segment.size {
            return Located::Beyond;
        }
        let limit = start.position.saturating_add(wanted.max_bytes as u64);
        let end = self.bound(segment, index, wanted.upto, limit);
        if end.position > start.position {
            return Located::Range(start, end);
        }
        match self.spans.holding(start.offset) {
            Some(first) if first.next <= wanted.upto && wanted.at_least_one => {
                let end = Bound {
                    position: first.end,
                    offset: first.next,
                };
                Located::Range(start, end)
            }
            Some(_) => Located::Nothing,
            None if index.is_some() && !wanted.at_least_one => Located::Nothing,
            None => Located::Unknown,
        }
    }

    /// The end of a range, if need be before a place that is in doubt; its start if that is where it is.
    fn before_damage(&self, segment: &Segment, start: Bound, end: Bound) -> Bound {
        let doubt = self.damage.within(segment.base, start.position, end.position);
        doubt.map_or(end, |doubt| Bound {
            position: doubt.position,
            offset: if doubt.position == start.position {
                start.offset
            } else {
                doubt.offset
            },
        })
    }

    /// A look at the batch that begins at a doubtful place.
    fn proof(&self, place: usize, at: Bound, storage: &mut Storage) -> Lookup {
        let readable = self.readable(&self.segments[place]);
        let known = Some((at.offset, at.position));
        self.lookup(place, readable, known, Goal::Proof, storage)
    }

    fn plan_range(
        &self,
        segment: &Segment,
        start: Bound,
        end: Bound,
        shorter: Vec<(usize, Offset)>,
        storage: &mut Storage,
    ) -> Read {
        assert!(
            end.position <= self.readable(segment),
            "only durable bytes are read from a file"
        );
        if !storage.want(segment.file) {
            return Read::Opening;
        }
        let length = u32::try_from(end.position - start.position).unwrap_or(u32::MAX);
        let range = FileRange {
            file: segment.file,
            position: start.position,
            length,
        };
        let lease = storage.lease(segment.file);
        let ends = |bound: Bound| (bound.position, bound.offset);
        let epochs = self.epochs.within(start.offset, end.offset);
        let chain = Chain::new(ends(start), ends(end), segment.gaps(), epochs);
        Read::Plan(ReadPlan {
            parts: alloc::vec![Part::Range(range, Content::Batches(Box::new(chain)))],
            leases: alloc::vec![lease],
            bytes: length as usize,
            owned: 0,
            next_offset: end.offset,
            shorter,
        })
    }

    /// A look-up in the segment at `place`, from a bound that is known, else by its checkpoint's index.
    pub(super) fn lookup(
        &self,
        place: usize,
        readable: u64,
        known: Option<(Offset, u64)>,
        goal: Goal,
        storage: &mut Storage,
    ) -> Lookup {
        let segment = &self.segments[place];
        let lease = storage.lease(segment.file);
        let settings = LookupSettings {
            base: segment.base,
            end: segment.end,
            cleaning: segment.cleaning,
            readable,
            start: self.start,
            known,
            epochs: self.epochs.within(segment.base, segment.end),
            interval: self.config.index_interval_bytes,
            decompressed_bytes: self.config.decompressed_bytes,
        };
        Lookup::new(&self.place, settings, goal, lease, storage.few_files())
    }
}

enum Located {
    Range(Bound, Bound),
    /// Compaction left nothing from there to the segment's end.
    Beyond,
    /// Nothing fits.
    Nothing,
    /// Only the file can tell.
    Unknown,
}

/// Some of the places at which a range could end, as far as the index knows.
fn shorter(segment: &Segment, index: Option<&Index>, start: Bound, end: Bound) -> Vec<(usize, Offset)> {
    let entries = index.map_or(&[][..], Index::entries);
    let first = entries.partition_point(|entry| u64::from(entry.position) <= start.position);
    let behind = entries.partition_point(|entry| u64::from(entry.position) < end.position);
    let inside = &entries[first..behind.max(first)];
    let step = inside.len().div_ceil(SHORTER).max(1);
    let place = |entry: &IndexEntry| {
        let bytes = (u64::from(entry.position) - start.position) as usize;
        (bytes, segment.base.plus(i64::from(entry.relative)))
    };
    inside.iter().skip(step - 1).step_by(step).map(place).collect()
}

/// A plan of batches in memory; `None` when the first is not there.
fn plan_recent<'a>(recent: impl Iterator<Item = &'a Recent>, wanted: &Wanted) -> Option<ReadPlan> {
    let mut plan = ReadPlan::nothing(wanted.from);
    let mut joined = BytesMut::new();
    let mut found = false;
    for entry in recent {
        found = true;
        let length = entry.batch.len();
        let fits = plan.bytes + length <= wanted.max_bytes || (plan.bytes == 0 && wanted.at_least_one);
        if !fits || entry.next_offset > wanted.upto {
            break;
        }
        joined.reserve(HEADER_LEN);
        joined.put_slice(entry.batch.header_bytes());
        let body = entry.batch.body();
        // A body that was copied out of its frame is the plan's alone once it is not among the last of the log.
        plan.owned += HEADER_LEN + if body.len() <= OWN_BODY { body.len() } else { 0 };
        if body.len() < COPIED_BODY {
            joined.put_slice(body);
        } else {
            plan.parts.push(Part::Inline(joined.split().freeze()));
            plan.parts.push(Part::Inline(body.clone()));
        }
        plan.bytes += length;
        plan.next_offset = entry.next_offset;
        plan.could_end();
    }
    if !joined.is_empty() {
        plan.parts.push(Part::Inline(joined.freeze()));
    }
    found.then_some(plan)
}
