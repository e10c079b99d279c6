//! A partition's log as it stands on the disk, read without any of the broker's code. What is known of the layout is
//! what DESIGN.md says of it: `<topic>-<partition>.<topic id>/<base offset>.log`, batches one after the other;
//! `<base>.<end>.<generation>.log` stands for all files of earlier generations between its offsets; `<offset>.start`.

use super::Place;
use crate::batch::{Batch, Broken, Record};
use crate::disk::{Disk, View};
use klamm_core::types::Uuid;
use std::collections::BTreeMap;

/// Where the log stops being one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LogEnd {
    /// Where its first segment begins, or behind it what clients had deleted.
    pub(crate) start: i64,
    /// The offset after the last good batch.
    pub(crate) offset: i64,
    /// What stands there instead of a good batch; `None` when nothing does.
    pub(crate) beyond: Option<String>,
}

/// How far a log goes into what an earlier write left behind its end, and a power cut brought up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unclaimed {
    /// As far as leader epochs do not go back: such batches were sent, and never answered.
    IfItFollows,
    /// Not at all.
    Never,
}

impl Unclaimed {
    fn ends_at(self, batch: &Batch<'_>, epoch: i32) -> bool {
        self == Self::Never || batch.leader_epoch < epoch
    }
}

/// A log directory as one view shows it.
pub(crate) struct LogView<'a> {
    disk: &'a Disk,
    view: View,
    directories: BTreeMap<Place, String>,
}

impl<'a> LogView<'a> {
    pub(crate) fn new(disk: &'a Disk, view: View) -> Self {
        let names = disk.names(view, "").unwrap_or_default();
        let places = names
            .iter()
            .filter_map(|name| Some((parse_directory(name)?, (*name).to_owned())));
        Self {
            disk,
            view,
            directories: places.collect(),
        }
    }

    /// The partitions that have a directory.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.directories.keys().copied()
    }

    /// The directory of a partition.
    pub(crate) fn directory(&self, place: Place) -> Option<&str> {
        self.directories.get(&place).map(String::as_str)
    }

    /// Hands every good batch of the partition to `take`, in order, up to the first that is not.
    pub(crate) fn walk(&self, place: Place, take: impl FnMut(&Batch<'_>)) -> LogEnd {
        self.walk_without(place, None, take)
    }

    /// As [`walk`](Self::walk), as if there were no file named `without`.
    pub(crate) fn walk_without(&self, place: Place, without: Option<&str>, take: impl FnMut(&Batch<'_>)) -> LogEnd {
        self.walk_to(place, without, Unclaimed::IfItFollows, take)
    }

    /// As [`walk`](Self::walk), up to the first batch that nobody wrote or synced where it stands now.
    pub(crate) fn walk_claimed(&self, place: Place, take: impl FnMut(&Batch<'_>)) -> LogEnd {
        self.walk_to(place, None, Unclaimed::Never, take)
    }

    fn walk_to(
        &self,
        place: Place,
        without: Option<&str>,
        unclaimed: Unclaimed,
        mut take: impl FnMut(&Batch<'_>),
    ) -> LogEnd {
        let mut epoch = i32::MIN;
        let mut end = LogEnd {
            start: 0,
            offset: 0,
            beyond: None,
        };
        let Some(directory) = self.directories.get(&place) else {
            return end;
        };
        let mut names = self.disk.names(self.view, directory).unwrap_or_default();
        names.retain(|name| Some(*name) != without);
        let segments = segments(&names);
        end.offset = segments.first().map_or(start_mark(&names), |segment| segment.base);
        end.start = end.offset.max(start_mark(&names));
        for segment in segments {
            let path = format!("{directory}/{}", segment.name);
            let bytes = self.disk.bytes(self.view, &path).unwrap_or_default();
            let claimed = self.disk.claimed(self.view, &path);
            let mut rest = bytes;
            if segment.base != end.offset && !rest.is_empty() {
                end.beyond = Some(format!("{path}: offset {} was due", end.offset));
                return end;
            }
            while !rest.is_empty() {
                let position = bytes.len() - rest.len();
                match next_batch(rest, end.offset, &segment) {
                    Ok(batch) if position + batch.size > claimed && unclaimed.ends_at(&batch, epoch) => {
                        end.beyond = Some(format!("{path}: what an earlier write left at offset {}", end.offset));
                        return end;
                    }
                    Ok(batch) => {
                        epoch = batch.leader_epoch;
                        take(&batch);
                        end.offset = batch.end_offset();
                        rest = &rest[batch.size..];
                    }
                    Err(problem) => {
                        end.beyond = Some(format!(
                            "{path}: {problem} at offset {}, {} bytes",
                            end.offset,
                            rest.len()
                        ));
                        return end;
                    }
                }
            }
            end.offset = segment.cleaned.map_or(end.offset, |cleaned| cleaned.end);
        }
        end
    }
}

impl LogView<'_> {
    /// Hands every record of the partition to `take`, whatever is missing before it.
    pub(super) fn gather(&self, place: Place, mut take: impl FnMut(&Record<'_>)) {
        let Some(directory) = self.directories.get(&place) else {
            return;
        };
        for segment in segments(&self.disk.names(self.view, directory).unwrap_or_default()) {
            let path = format!("{directory}/{}", segment.name);
            let mut rest = self.disk.bytes(self.view, &path).unwrap_or_default();
            let mut due = segment.base;
            while let Ok(batch) = next_batch(rest, due, &segment) {
                batch.open().records().for_each(|record| take(&record));
                due = batch.end_offset();
                rest = &rest[batch.size..];
            }
        }
    }
}

fn next_batch<'a>(bytes: &'a [u8], due: i64, segment: &Segment<'_>) -> Result<Batch<'a>, String> {
    let belongs = |batch: &Batch<'_>| match segment.cleaned {
        Some(cleaned) => batch.base_offset >= due && batch.end_offset() <= cleaned.end,
        None => batch.base_offset == due,
    };
    match Batch::parse(bytes) {
        Ok(batch) if !belongs(&batch) => Err(format!("a batch with base offset {}", batch.base_offset)),
        Ok(batch) if segment.cleaned.is_none() && !batch.is_dense() => Err("a batch that lacks records".to_owned()),
        Ok(batch) => Ok(batch),
        Err(Broken::Cut) => Err("a batch that is cut".to_owned()),
        Err(Broken::Layout) => Err("bytes that are no batch".to_owned()),
        Err(Broken::Crc) => Err("a batch whose CRC does not hold".to_owned()),
    }
}

/// What compaction made of the offsets from a segment's base to `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cleaned {
    pub(super) end: i64,
    generation: u32,
}

/// A segment by its name: `<base>.log`, or `<base>.<end>.<generation>.log` where compaction made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment<'a> {
    pub(super) base: i64,
    pub(super) cleaned: Option<Cleaned>,
    pub(super) name: &'a str,
}

impl<'a> Segment<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let mut parts = name.strip_suffix(".log")?.split('.');
        let base = digits(parts.next()?)?;
        let cleaned = match parts.next() {
            None => None,
            Some(end) => Some(Cleaned {
                end: digits(end)?,
                generation: parts.next()?.parse().ok()?,
            }),
        };
        parts.next().is_none().then_some(Self { base, cleaned, name })
    }

    /// The offset after its last batch; `None` where a bad one stands before that.
    pub(super) fn end_in(&self, mut bytes: &[u8]) -> Option<i64> {
        let mut due = self.base;
        while let Ok(batch) = next_batch(bytes, due, self) {
            due = batch.end_offset();
            bytes = &bytes[batch.size..];
        }
        bytes.is_empty().then_some(due)
    }

    /// The offset after the batch that holds the byte at `position`; `None` where a bad one stands before.
    pub(super) fn end_around(&self, bytes: &[u8], position: u64) -> Option<i64> {
        let (mut due, mut at) = (self.base, 0);
        while at <= position as usize {
            let batch = next_batch(bytes.get(at..)?, due, self).ok()?;
            due = batch.end_offset();
            at += batch.size;
        }
        Some(due)
    }

    fn generation(&self) -> u32 {
        self.cleaned.map_or(0, |cleaned| cleaned.generation)
    }

    /// Whether it stands for what `other` holds.
    pub(super) fn supersedes(&self, other: &Self) -> bool {
        let within = |cleaned: Cleaned| (self.base..cleaned.end).contains(&other.base);
        self.generation() > other.generation() && self.cleaned.is_some_and(within)
    }
}

fn digits(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| text.len() == 20)
}

/// The segments that count among the names of a directory, by base offset: not those that another stands for.
pub(super) fn segments<'a>(names: &[&'a str]) -> Vec<Segment<'a>> {
    let all: Vec<Segment<'_>> = names.iter().filter_map(|&name| Segment::parse(name)).collect();
    let counts = |segment: &&Segment<'_>| !all.iter().any(|other| other.supersedes(segment));
    let mut segments: Vec<Segment<'_>> = all.iter().filter(counts).copied().collect();
    segments.sort_unstable_by_key(|segment| segment.base);
    segments
}

/// The offset that a file's name marks as the start of its log: `<offset>.start`.
pub(super) fn parse_mark(name: &str) -> Option<i64> {
    digits(name.strip_suffix(".start")?)
}

/// Where a log starts at the earliest, by the names of its directory.
pub(super) fn start_mark(names: &[&str]) -> i64 {
    names.iter().filter_map(|name| parse_mark(name)).max().unwrap_or(0)
}

/// The partition that a directory is named after.
pub(super) fn parse_directory(name: &str) -> Option<Place> {
    let (rest, id) = name.rsplit_once('.')?;
    let (_, partition) = rest.rsplit_once('-')?;
    Some(Place::new(Uuid::parse(id)?.0, partition.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Place, parse_directory, segments, start_mark};

    #[test]
    fn directories_and_segments_are_told_by_their_names() {
        let id = klamm_core::types::Uuid([7; 16]);
        assert_eq!(
            parse_directory(&format!("my-topic-12.{id}")),
            Some(Place::new([7; 16], 12))
        );
        assert_eq!(parse_directory("meta.klamm"), None);
        let names = [
            "00000000000000000010.log",
            "00000000000000000002.log",
            "x.log",
            "00000000000000000002.checkpoint",
        ];
        let found: Vec<i64> = segments(&names).iter().map(|segment| segment.base).collect();
        assert_eq!(found, [2, 10]);
    }

    #[test]
    fn a_cleaned_segment_stands_for_what_it_was_made_from() {
        let names = [
            "00000000000000000000.log",
            "00000000000000000000.00000000000000000005.1.log",
            "00000000000000000005.log",
            "00000000000000000000.00000000000000000009.2.log",
            "00000000000000000009.log",
            "00000000000000000004.start",
        ];
        let found: Vec<&str> = segments(&names).iter().map(|segment| segment.name).collect();
        assert_eq!(found, [names[3], names[4]]);
        assert_eq!(start_mark(&names), 4);
    }
}
