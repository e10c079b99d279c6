//! The note `synced` of each log: how far it was synced. What it covers is never cut off, not even where it cannot be
//! read, and a log that ends before it is not served.
//!
//! It is read here as it lies on the disk: seven letters and a version, the offset, a CRC. A note that is torn, or older
//! than the log, says less, and holds the broker to less.

use super::checkpoint::covered;
use super::disk_log::{LogView, Segment, parse_directory};
use super::{Checker, Oracle, Place};
use crate::batch::crc32c;
use crate::disk::{Disk, Flip, View};
use crate::frame::{Request, Response};

/// The timestamp that asks ListOffsets for a log's end.
const LATEST: i64 = -1;

/// The offset below which everything was synced, as the note in `directory` says; 0 where it says nothing.
fn noted(disk: &Disk, directory: &str) -> i64 {
    let path = format!("{directory}/synced");
    disk.bytes(View::Cache, &path).and_then(parse).unwrap_or(0)
}

fn parse(bytes: &[u8]) -> Option<i64> {
    let (covered, crc) = bytes.split_last_chunk::<4>()?;
    let offset = covered.strip_prefix(b"KLMSYNC\x01")?;
    let sound = crc32c(covered) == u32::from_be_bytes(*crc);
    Some(i64::from_be_bytes(offset.try_into().ok()?)).filter(|_| sound)
}

/// Whether the flip hits what nothing but its log's note says to be synced: no checkpoint covers it, and no segment follows.
pub(crate) fn is_only_noted(disk: &Disk, flip: &Flip) -> bool {
    let Some((directory, name)) = flip.path.rsplit_once('/') else {
        return false;
    };
    let Some(segment) = Segment::parse(name).filter(|segment| segment.cleaned.is_none()) else {
        return false;
    };
    let names = disk.names(View::Cache, directory).unwrap_or_default();
    let mut others = names.iter().filter_map(|name| Segment::parse(name));
    let bytes = disk.bytes(View::Cache, &flip.path).unwrap_or_default();
    let around = segment.end_around(bytes, flip.position);
    !others.any(|other| other.base > segment.base)
        && flip.position >= covered(disk, &flip.path)
        && around.is_some_and(|end| end <= noted(disk, directory))
}

impl Oracle {
    /// A file was made shorter: a log may not end before what its note covers because of that.
    pub(crate) fn cut(&mut self, disk: &Disk, path: &str) {
        let Some((directory, name)) = path.rsplit_once('/') else {
            return;
        };
        let (Some(_), Some(segment)) = (parse_directory(directory), Segment::parse(name)) else {
            return;
        };
        self.judging(Checker::Recovery);
        let bytes = disk.bytes(View::Cache, path).unwrap_or_default();
        let noted = noted(disk, directory);
        // Where what was kept cannot be read to its end, it was not cut off at what cannot be read.
        if let Some(end) = segment.end_in(bytes).filter(|&end| end < noted) {
            let text = format!("{path} is cut off at offset {end}, and its log was noted to be synced up to {noted}");
            self.violate(Checker::Recovery, text);
        }
    }

    /// A segment at the end of its log was removed: so is what it held, and none of that may be what the note covers.
    pub(crate) fn cut_away(&mut self, disk: &Disk, path: &str) {
        let Some((directory, name)) = path.rsplit_once('/') else {
            return;
        };
        let (Some(_), Some(gone)) = (parse_directory(directory), Segment::parse(name)) else {
            return;
        };
        let names = disk.names(View::Cache, directory).unwrap_or_default();
        let mut left = names.iter().filter_map(|name| Segment::parse(name));
        // What retention or compaction is done with is followed by other segments.
        let followed = left.any(|other| other.base > gone.base || other.supersedes(&gone));
        let noted = noted(disk, directory);
        if !followed && gone.base < noted {
            let text = format!("{path} is removed, and its log was noted to be synced up to {noted}");
            self.violate(Checker::Recovery, text);
        }
    }

    /// The process ended: what notes cover now, the next one may not serve without.
    pub(super) fn read_notes(&mut self, disk: &Disk) {
        let view = LogView::new(disk, View::Cache);
        for (&place, partition) in &mut self.partitions {
            partition.noted = view.directory(place).map_or(0, |directory| noted(disk, directory));
        }
    }

    /// A client heard where logs end.
    pub(super) fn judge_ends(&mut self, request: &Request, response: &Response) {
        let (
            Request::ListOffsets {
                topic,
                timestamp: LATEST,
                ..
            },
            Response::ListOffsets(listed),
        ) = (request, response)
        else {
            return;
        };
        for found in listed.iter().filter(|found| found.error == 0) {
            self.ends_at(Place::new(topic.id, found.partition), found.offset);
        }
    }

    /// The broker says that the log can be read up to `end`.
    pub(super) fn ends_at(&mut self, place: Place, end: i64) {
        let noted = self.partitions.get(&place).map_or(0, |partition| partition.noted);
        if end < noted && !self.stale {
            let text = format!("{place}: the log is served up to {end}, and was noted to be synced up to {noted}");
            self.violate(Checker::Recovery, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Checker;
    use super::super::tests::{ID, answer, batch, disk_with, fetch, oracle, seen};
    use super::{is_only_noted, parse};
    use crate::batch::crc32c;
    use crate::disk::Disk;
    use crate::draw::Draw;
    use bytes::Bytes;
    use klamm_core::types::Uuid;

    fn note(offset: i64) -> Vec<u8> {
        let mut bytes = b"KLMSYNC\x01".to_vec();
        bytes.extend(offset.to_be_bytes());
        bytes.extend(crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// A disk that holds the log's directory with these files, and that directory's name.
    fn disk(files: &[(&str, &[u8])]) -> (Disk, String) {
        let directory = format!("orders-0.{}", Uuid(ID));
        (disk_with(&directory, files), directory)
    }

    #[test]
    fn a_note_that_is_torn_says_nothing() {
        let whole = note(9);
        assert_eq!(parse(&whole), Some(9));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None);
        }
        let mut changed = whole;
        changed[12] ^= 1;
        assert_eq!(parse(&changed), None);
    }

    #[test]
    fn what_the_note_alone_covers_is_told_from_what_lies_behind_it() {
        let mut oracle = oracle();
        let (first, second) = (batch(&mut oracle, 0, &ID, 0, 0), batch(&mut oracle, 1, &ID, 1, 0));
        let log = [&first[..], &second[..]].concat();
        let (disk, _) = disk(&[("00000000000000000000.log", &log), ("synced", &note(1))]);
        let mut draw = Draw::new(1);
        let mut seen = [0; 2];
        for _ in 0..200 {
            let is_log = |path: &str| path.strip_suffix(".log").is_some();
            let flip = disk.draw_flip(is_log, &mut draw).expect("all of it is at rest");
            let noted = flip.position < first.len() as u64;
            assert_eq!(is_only_noted(&disk, &flip), noted, "{flip:?}");
            seen[usize::from(noted)] += 1;
        }
        assert!(seen.iter().all(|&count| count > 20), "{seen:?}");
    }

    #[test]
    fn a_log_is_never_cut_below_its_note() {
        for (noted, expected) in [(2, Some(Checker::Recovery)), (1, None)] {
            let mut oracle = oracle();
            let whole = batch(&mut oracle, 0, &ID, 0, 0);
            let segment = "00000000000000000000.log";
            let (disk, directory) = disk(&[(segment, &whole), ("synced", &note(noted))]);
            oracle.cut(&disk, &format!("{directory}/{segment}"));
            assert_eq!(seen(&oracle), expected, "noted {noted}");
        }
    }

    #[test]
    fn the_last_segment_stays_where_the_note_covers_any_of_it() {
        let (first, last) = ("00000000000000000000.log", "00000000000000000005.log");
        let cases = [
            (vec![first], last, 6, Some(Checker::Recovery)),
            (vec![first], last, 5, None),
            // Retention takes the first.
            (vec![last], first, 6, None),
        ];
        for (left, gone, noted, expected) in cases {
            let mut oracle = oracle();
            let note = note(noted);
            let mut files: Vec<(&str, &[u8])> = left.into_iter().map(|name| (name, &[][..])).collect();
            files.push(("synced", &note));
            let (disk, directory) = disk(&files);
            oracle.cut_away(&disk, &format!("{directory}/{gone}"));
            assert_eq!(seen(&oracle), expected, "{gone}, noted {noted}");
        }
    }

    #[test]
    fn a_log_that_ends_before_its_note_is_not_served() {
        let (disk, _) = disk(&[("synced", &note(3))]);
        for (end, stale, expected) in [(3, false, None), (2, false, Some(Checker::Recovery)), (2, true, None)] {
            let mut oracle = oracle();
            oracle.after_crash(&disk, false);
            oracle.set_stale(stale);
            fetch(&mut oracle, 1, 0, &answer(end, Bytes::new()));
            assert_eq!(seen(&oracle), expected, "{end}");
        }
    }
}
