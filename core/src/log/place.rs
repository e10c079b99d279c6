//! Where a log lies: the names of its directory and of the files in it.

use crate::storage::FilePath;
use crate::types::{LogDirectoryId, Offset, TopicId, TopicPartition, Uuid};
use alloc::format;
use core::fmt;

/// The directory of one partition's log, and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogPlace {
    /// The directory: `<topic name>-<partition>.<topic id>`.
    pub path: FilePath,
    /// The topic.
    pub topic: TopicId,
    /// The partition's index.
    pub partition: i32,
}

const LOST: &str = "lost";
const SYNCED: &str = "synced";

/// How much of a topic's name its directories carry, in bytes. The topic id tells them apart anyway.
const NAME_BYTES: usize = 200;

impl LogPlace {
    /// The place of a partition's log below a log directory.
    pub fn new(directory: LogDirectoryId, name: &str, topic: TopicId, partition: i32) -> Self {
        let kept = name.floor_char_boundary(NAME_BYTES);
        let name = format!("{}-{partition}.{topic}", &name[..kept]);
        Self {
            path: FilePath::new(directory, &name),
            topic,
            partition,
        }
    }

    /// The place that a directory's name tells; `None` for a directory that is not a log's.
    pub fn parse(directory: LogDirectoryId, name: &str) -> Option<Self> {
        let (front, topic) = name.rsplit_once('.')?;
        let (_, partition) = front.rsplit_once('-')?;
        let topic = TopicId(Uuid::parse(topic)?);
        let partition: i32 = partition.parse().ok().filter(|&index| index >= 0)?;
        Some(Self {
            path: FilePath::new(directory, name),
            topic,
            partition,
        })
    }

    /// Whose log it is.
    pub const fn id(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic,
            partition: self.partition,
        }
    }

    /// The directory's name.
    pub fn name(&self) -> &str {
        self.path.name()
    }

    /// The file of a segment; an offset names one as it was appended.
    pub fn segment(&self, stem: impl Into<Stem>) -> FilePath {
        self.path.join(&format!("{}.log", stem.into()))
    }

    /// The checkpoint of a segment.
    pub fn checkpoint(&self, stem: impl Into<Stem>) -> FilePath {
        self.path.join(&format!("{}.checkpoint", stem.into()))
    }

    /// The mark that the log begins at `start`.
    pub(super) fn start(&self, start: Offset) -> FilePath {
        self.path.join(&format!("{start:020}.start", start = start.0))
    }

    /// A file that becomes the mark; `writer` keeps two writers apart.
    pub(super) fn temporary_start(&self, start: Offset, writer: u64) -> FilePath {
        self.path
            .join(&format!("{start:020}.start.{writer:x}.tmp", start = start.0))
    }

    /// The mark of a log that holds less than was synced of it: it is not opened.
    pub fn lost(&self) -> FilePath {
        self.path.join(LOST)
    }

    /// The note of how far the log was synced.
    pub(super) fn synced(&self) -> FilePath {
        self.path.join(SYNCED)
    }

    /// A file that becomes the checkpoint; `writer` keeps two writers apart.
    pub(super) fn temporary(&self, stem: impl Into<Stem>, writer: u64) -> FilePath {
        self.path.join(&format!("{}.checkpoint.{writer:x}.tmp", stem.into()))
    }

    /// A file that becomes the segment.
    pub(super) fn temporary_segment(&self, stem: Stem, writer: u64) -> FilePath {
        self.path.join(&format!("{stem}.log.{writer:x}.tmp"))
    }
}

/// What compaction made of the offsets from a base to `end`: a file that was synced before it got its name, and that takes
/// the place of every other file of an earlier generation between those offsets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cleaning {
    /// The offset where the next segment begins.
    pub end: Offset,
    /// Higher than those of the files it was made from.
    pub generation: u32,
}

/// What the names of a segment's files begin with: `<base>` as it was appended, `<base>.<end>.<generation>` once it was
/// cleaned. Kafka's tools take what stands before the first dot for the base offset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Stem {
    /// The base offset.
    pub base: Offset,
    /// Of a cleaned segment.
    pub cleaning: Option<Cleaning>,
}

impl From<Offset> for Stem {
    fn from(base: Offset) -> Self {
        Self { base, cleaning: None }
    }
}

impl Stem {
    /// 0 as it was appended.
    pub(super) fn generation(&self) -> u32 {
        self.cleaning.map_or(0, |cleaning| cleaning.generation)
    }

    /// Whether a segment of this name takes the place of `other`.
    pub(super) fn supersedes(&self, other: &Self) -> bool {
        let within = |cleaning: Cleaning| self.base <= other.base && other.base < cleaning.end;
        self.generation() > other.generation() && self.cleaning.is_some_and(within)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let base = offset(parts.next()?)?;
        let Some(end) = parts.next() else {
            return Some(base.into());
        };
        let (end, generation) = (offset(end)?, parts.next()?);
        let generation: u32 = generation.parse().ok().filter(|&parsed| parsed > 0)?;
        let stem = Self {
            base,
            cleaning: Some(Cleaning { end, generation }),
        };
        (base < end && format!("{stem}") == text).then_some(stem)
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.base.0)?;
        match self.cleaning {
            Some(Cleaning { end, generation }) => write!(f, ".{:020}.{generation}", end.0),
            None => Ok(()),
        }
    }
}

fn offset(digits: &str) -> Option<Offset> {
    let canonical = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    canonical.then(|| digits.parse().ok().map(Offset)).flatten()
}

/// What a file in a log's directory is, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FileKind {
    Segment(Stem),
    Checkpoint(Stem),
    Start(Offset),
    Temporary,
    Lost,
    Synced,
    Foreign,
}

impl FileKind {
    pub(super) fn of(name: &str) -> Self {
        if let Some(front) = name.strip_suffix(".tmp")
            && [".checkpoint.", ".log.", ".start."]
                .iter()
                .any(|kind| front.contains(kind))
        {
            return Self::Temporary;
        }
        match name {
            LOST => return Self::Lost,
            SYNCED => return Self::Synced,
            _ => {}
        }
        let kind = match name.rsplit_once('.') {
            Some((stem, "log")) => Stem::parse(stem).map(Self::Segment),
            Some((stem, "checkpoint")) => Stem::parse(stem).map(Self::Checkpoint),
            Some((digits, "start")) => offset(digits).map(Self::Start),
            _ => None,
        };
        kind.unwrap_or(Self::Foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(base: i64, end: i64, generation: u32) -> Stem {
        Stem {
            base: Offset(base),
            cleaning: Some(Cleaning {
                end: Offset(end),
                generation,
            }),
        }
    }

    #[test]
    fn names_read_back_and_nothing_else_is_taken_for_one() {
        let place = LogPlace::new(LogDirectoryId(0), "t", TopicId(Uuid([1; 16])), 3);
        for stem in [
            Stem::from(Offset(0)),
            Offset(i64::MAX).into(),
            cleaned(0, 7, 1),
            cleaned(5, i64::MAX, u32::MAX),
        ] {
            assert_eq!(FileKind::of(place.segment(stem).name()), FileKind::Segment(stem));
            assert_eq!(FileKind::of(place.checkpoint(stem).name()), FileKind::Checkpoint(stem));
            assert_eq!(FileKind::of(place.temporary(stem, 255).name()), FileKind::Temporary);
            assert_eq!(
                FileKind::of(place.temporary_segment(stem, 255).name()),
                FileKind::Temporary
            );
        }
        let zeros = "00000000000000000000";
        for name in [
            format!("{zeros}.{zeros}.1.log"),
            format!("{zeros}.00000000000000000007.0.log"),
            format!("{zeros}.00000000000000000007.01.log"),
            format!("{zeros}.00000000000000000007.log"),
            format!("{zeros}.00000000000000000007.1.2.log"),
            format!("{zeros}0.log"),
            format!("{zeros}.7.1.log"),
            format!("{zeros}.00000000000000000007.4294967296.log"),
        ] {
            assert_eq!(FileKind::of(&name), FileKind::Foreign, "{name}");
        }
    }

    #[test]
    fn a_cleaned_segment_takes_the_place_of_what_it_was_made_from() {
        let new = cleaned(10, 20, 2);
        for old in [
            Offset(10).into(),
            Offset(19).into(),
            cleaned(10, 15, 1),
            cleaned(12, 20, 1),
        ] {
            assert!(new.supersedes(&old) && !old.supersedes(&new));
        }
        for other in [
            Offset(9).into(),
            Offset(20).into(),
            new,
            cleaned(10, 20, 3),
            cleaned(20, 30, 1),
        ] {
            assert!(!new.supersedes(&other));
        }
    }
}
