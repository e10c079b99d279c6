//! Where a log lies: the names of its directory and of the files in it.

use crate::storage::FilePath;
use crate::types::{LogDirectoryId, Offset, TopicId, Uuid};
use alloc::format;

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

    /// The directory's name.
    pub fn name(&self) -> &str {
        self.path.name()
    }

    /// The segment that begins at `base`.
    pub fn segment(&self, base: Offset) -> FilePath {
        self.path.join(&format!("{base:020}.log", base = base.0))
    }

    /// The checkpoint of the segment that begins at `base`.
    pub fn checkpoint(&self, base: Offset) -> FilePath {
        self.path.join(&format!("{base:020}.checkpoint", base = base.0))
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

    /// The mark of a log that holds less than a clean stop left in it: it is not opened.
    pub fn lost(&self) -> FilePath {
        self.path.join(LOST)
    }

    /// A file that becomes the checkpoint; `writer` keeps two writers apart.
    pub(super) fn temporary(&self, base: Offset, writer: u64) -> FilePath {
        self.path
            .join(&format!("{base:020}.checkpoint.{writer:x}.tmp", base = base.0))
    }
}

/// What a file in a log's directory is, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FileKind {
    Segment(Offset),
    Checkpoint(Offset),
    Start(Offset),
    Temporary,
    Lost,
    Foreign,
}

impl FileKind {
    pub(super) fn of(name: &str) -> Self {
        let base = |digits: &str| {
            let canonical = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
            canonical.then(|| digits.parse().ok().map(Offset)).flatten()
        };
        if name
            .strip_suffix(".tmp")
            .is_some_and(|front| front.contains(".checkpoint.") || front.contains(".start."))
        {
            return Self::Temporary;
        }
        if name == LOST {
            return Self::Lost;
        }
        let kind = match name.rsplit_once('.') {
            Some((digits, "log")) => base(digits).map(Self::Segment),
            Some((digits, "checkpoint")) => base(digits).map(Self::Checkpoint),
            Some((digits, "start")) => base(digits).map(Self::Start),
            _ => None,
        };
        kind.unwrap_or(Self::Foreign)
    }
}
