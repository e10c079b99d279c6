//! A partition's log as it stands on the disk, read without any of the broker's code. What is known of the layout is
//! what DESIGN.md says of it: `<topic>-<partition>.<topic id>/<base offset>.log`, batches one after the other.

use super::Place;
use crate::batch::{Batch, Broken};
use crate::disk::{Disk, View};
use klamm_core::types::Uuid;
use std::collections::BTreeMap;

/// Where the log stops being one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LogEnd {
    /// Where its first segment begins.
    pub(crate) start: i64,
    /// The offset after the last good batch.
    pub(crate) offset: i64,
    /// What stands there instead of a good batch; `None` when nothing does.
    pub(crate) beyond: Option<String>,
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

    /// Hands every good batch of the partition to `take`, in order, up to the first that is not.
    pub(crate) fn walk(&self, place: Place, mut take: impl FnMut(&Batch<'_>)) -> LogEnd {
        let mut end = LogEnd {
            start: 0,
            offset: 0,
            beyond: None,
        };
        let Some(directory) = self.directories.get(&place) else {
            return end;
        };
        let segments = segments(&self.disk.names(self.view, directory).unwrap_or_default());
        end.start = segments.first().map_or(0, |&(base, _)| base);
        end.offset = end.start;
        for (base, name) in segments {
            let path = format!("{directory}/{name}");
            let mut rest = self.disk.bytes(self.view, &path).unwrap_or_default();
            if base != end.offset && !rest.is_empty() {
                end.beyond = Some(format!("{path}: offset {} was due", end.offset));
                return end;
            }
            while !rest.is_empty() {
                match next_batch(rest, end.offset) {
                    Ok(batch) => {
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
        }
        end
    }
}

fn next_batch(bytes: &[u8], due: i64) -> Result<Batch<'_>, String> {
    match Batch::parse(bytes) {
        Ok(batch) if batch.base_offset == due => Ok(batch),
        Ok(batch) => Err(format!("a batch with base offset {}", batch.base_offset)),
        Err(Broken::Cut) => Err("a batch that is cut".to_owned()),
        Err(Broken::Layout) => Err("bytes that are no batch".to_owned()),
        Err(Broken::Crc) => Err("a batch whose CRC does not hold".to_owned()),
    }
}

/// The segments among the names of a directory, by base offset.
pub(super) fn segments<'a>(names: &[&'a str]) -> Vec<(i64, &'a str)> {
    let segments = names.iter().filter_map(|&name| {
        let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 20)?;
        Some((digits.parse().ok()?, name))
    });
    let mut segments: Vec<_> = segments.collect();
    segments.sort_unstable();
    segments
}

/// The partition that a directory is named after.
pub(super) fn parse_directory(name: &str) -> Option<Place> {
    let (rest, id) = name.rsplit_once('.')?;
    let (_, partition) = rest.rsplit_once('-')?;
    Some(Place::new(Uuid::parse(id)?.0, partition.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Place, parse_directory, segments};

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
        let found: Vec<i64> = segments(&names).into_iter().map(|(base, _)| base).collect();
        assert_eq!(found, [2, 10]);
    }
}
