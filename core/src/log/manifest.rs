//! The manifest of a log directory: all that a clean start reads. It is written at a clean stop, after everything else is
//! durable, and removed at the next start before anything changes.
//!
//! Layout, big-endian: magic `KLMMANI` and version; logs (count u32): name (length u8, bytes), topic id 16 bytes,
//! partition i32, start offset i64, end offset i64, segments (count u32): base offset i64, bytes u64, greatest timestamp
//! i64, base offset of its batch i64 (−1 for none), wall clock of its first append i64, its generation u32 (0 as it was
//! appended), the offset up to which it was compacted i64; CRC-32C u32.

use super::place::{Cleaning, LogPlace, Stem};
use super::segment::Peak;
use crate::storage::codec::{DecodeError, Decoder, Encoder};
use crate::types::{LogDirectoryId, Offset, Timestamp, TopicId, Uuid};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

const MAGIC: [u8; 8] = *b"KLMMANI\x02";

/// What the manifest says of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ManifestSegment {
    /// Its base offset.
    pub base: Offset,
    /// Its bytes.
    pub size: u64,
    /// Its greatest timestamp.
    pub peak: Option<Peak>,
    /// The wall clock of its first append.
    pub began: Timestamp,
    /// How often it was cleaned; 0 as it was appended.
    pub generation: u32,
    /// The offset up to which it was compacted; its base offset where it was not.
    pub clean_to: Offset,
}

impl ManifestSegment {
    /// What its files are called, if the next segment begins at `end`.
    pub(super) fn stem(&self, end: Offset) -> Stem {
        let cleaning = Cleaning {
            end,
            generation: self.generation,
        };
        Stem {
            base: self.base,
            cleaning: (self.generation > 0).then_some(cleaning),
        }
    }
}

/// Bytes of a segment.
const SEGMENT_BYTES: usize = 52;

/// A log as it was closed: what it takes to open it again without reading it. A shard keeps one for each dormant partition
/// that has records, so it holds nothing that the image tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClosedLog {
    /// Its first offset.
    pub start: Offset,
    /// The offset after its last record.
    pub end: Offset,
    /// Its segments, ascending.
    pub segments: Box<[ManifestSegment]>,
}

/// What the manifest says of one log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestEntry {
    /// The name of its directory.
    pub name: String,
    /// Its topic.
    pub topic: TopicId,
    /// Its partition.
    pub partition: i32,
    /// How it was closed.
    pub closed: ClosedLog,
}

impl ClosedLog {
    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    fn is_sound(&self) -> bool {
        let ascend = self.segments.windows(2).all(|pair| pair[0].base < pair[1].base);
        let first = self.segments.first().is_none_or(|first| first.base <= self.start);
        let last = self.segments.last().is_none_or(|last| last.base <= self.end);
        ascend && first && last && self.start <= self.end && self.start.0 >= 0
    }
}

impl ManifestEntry {
    /// The log at `place`, closed like this.
    pub fn new(place: &LogPlace, closed: ClosedLog) -> Self {
        Self {
            name: place.name().into(),
            topic: place.topic,
            partition: place.partition,
            closed,
        }
    }

    /// Where the log lies.
    pub fn place(&self, directory: LogDirectoryId) -> LogPlace {
        LogPlace {
            path: crate::storage::FilePath::new(directory, &self.name),
            topic: self.topic,
            partition: self.partition,
        }
    }

    fn is_sound(&self) -> bool {
        let named = LogPlace::parse(LogDirectoryId(0), &self.name)
            .is_some_and(|place| place.topic == self.topic && place.partition == self.partition);
        named && self.closed.is_sound()
    }
}

/// The manifest's bytes.
pub fn encode(entries: &[ManifestEntry]) -> Vec<u8> {
    let segments: usize = entries.iter().map(|entry| entry.closed.segments.len()).sum();
    let mut out = Encoder::new(MAGIC, entries.len() * 96 + segments * SEGMENT_BYTES + 4);
    out.u32(entries.len() as u32);
    for entry in entries {
        assert!(entry.name.len() <= 255, "names of log directories are bounded");
        out.u8(entry.name.len() as u8);
        out.put(entry.name.as_bytes());
        out.put(&entry.topic.0.0);
        out.i32(entry.partition);
        let closed = &entry.closed;
        out.i64(closed.start.0);
        out.i64(closed.end.0);
        out.u32(closed.segments.len() as u32);
        for segment in &closed.segments {
            let (timestamp, batch) = segment.peak.map_or((0, -1), |peak| (peak.timestamp.0, peak.batch.0));
            out.i64(segment.base.0);
            out.u64(segment.size);
            out.i64(timestamp);
            out.i64(batch);
            out.i64(segment.began.0);
            out.u32(segment.generation);
            out.i64(segment.clean_to.0);
        }
    }
    out.seal()
}

/// Reads a manifest. Whatever is wrong with it makes the start an unclean one.
pub fn decode(bytes: &[u8]) -> Result<Vec<ManifestEntry>, DecodeError> {
    let mut from = Decoder::open(MAGIC, bytes)?;
    let count = from.count(41)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = decode_entry(&mut from)?;
        if !entry.is_sound() {
            return Err(DecodeError::Value("log"));
        }
        entries.push(entry);
    }
    from.end()?;
    Ok(entries)
}

fn decode_entry(from: &mut Decoder<'_>) -> Result<ManifestEntry, DecodeError> {
    let length = usize::from(from.u8()?);
    let name = core::str::from_utf8(from.take(length)?).map_err(|_| DecodeError::Value("name"))?;
    let mut topic = [0; 16];
    topic.copy_from_slice(from.take(16)?);
    let (name, topic, partition) = (name.into(), TopicId(Uuid(topic)), from.i32()?);
    let (start, end) = (Offset(from.i64()?), Offset(from.i64()?));
    let count = from.count(SEGMENT_BYTES)?;
    let mut segments = Vec::with_capacity(count);
    for _ in 0..count {
        let base = Offset(from.i64()?);
        let size = from.u64()?;
        let (timestamp, batch) = (Timestamp(from.i64()?), Offset(from.i64()?));
        segments.push(ManifestSegment {
            base,
            size,
            peak: (batch.0 >= 0).then_some(Peak { timestamp, batch }),
            began: Timestamp(from.i64()?),
            generation: from.u32()?,
            clean_to: Offset(from.i64()?),
        });
    }
    let closed = ClosedLog {
        start,
        end,
        segments: segments.into(),
    };
    Ok(ManifestEntry {
        name,
        topic,
        partition,
        closed,
    })
}
