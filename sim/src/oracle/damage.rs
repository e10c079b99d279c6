//! Records whose synced bytes were destroyed by rot or a misdirected write: the disk says which, and they alone excuse
//! anything.
//!
//! Promised even then: what is served is what was sent, or the client's CRC shows that it is not, and the latter only where
//! the page cache hid the rot from the broker; nothing before the first destroyed record is lost, unless the partition is
//! refused as a whole. Whatever comes after it may be: recovery
//! that finds the damage outside of what a checkpoint covers cannot tell it from a torn tail.

use super::disk_log::{Segment, parse_directory};
use super::{Checker, Oracle, Place};
use crate::batch::{Batch, HEADER};
use crate::disk::{Disk, Flip, Misdirection, View};
use std::ops::Range;

/// Records that were destroyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Damage {
    place: Place,
    /// The first of them, and the one after the last.
    from: i64,
    to: i64,
    /// The header that rotted, where nobody but the broker can tell that it did.
    rotten: Option<[u8; HEADER]>,
}

/// What was destroyed of one partition.
#[derive(Clone, Default, Debug)]
pub(super) struct Wounds {
    ranges: Vec<(i64, i64)>,
    /// Headers that must not be served.
    rotten: Vec<[u8; HEADER]>,
    /// The broker refused the partition for good.
    pub(super) refused: bool,
}

impl Wounds {
    /// The first record that was destroyed.
    pub(super) fn first(&self) -> i64 {
        self.ranges.iter().map(|&(from, _)| from).min().unwrap_or(i64::MAX)
    }

    /// The offset after the damage that `offset` lies in.
    fn beyond(&self, offset: i64) -> Option<i64> {
        let around = self.ranges.iter().find(|&&(from, to)| (from..to).contains(&offset));
        around.map(|&(_, to)| to)
    }

    /// The first damage behind `offset`.
    fn behind(&self, offset: i64) -> Option<(i64, i64)> {
        let behind = self.ranges.iter().filter(|&&(from, _)| from > offset);
        behind.min().copied()
    }
}

/// The bytes of a header that Kafka's CRC leaves out: base offset, length, leader epoch, magic; without the CRC itself.
const OUTSIDE_THE_CRC: Range<usize> = 0..17;
/// Those of them that must not be served once they rotted. A recovery that reads what no checkpoint covers may believe the
/// last byte of a leader epoch: another start had that one.
const SERVED_BY_NOBODY: [usize; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16];

/// The header that a flip is about to hit, and which byte of it.
fn header_around(disk: &Disk, flip: &Flip) -> Option<(usize, [u8; HEADER])> {
    let bytes = disk.bytes(View::Cache, &flip.path).filter(|_| {
        flip.path
            .rsplit_once('/')
            .is_some_and(|(_, name)| segment_of(name).is_some())
    })?;
    let mut rest = bytes;
    while let Ok(batch) = Batch::parse(rest) {
        let at = flip.position as usize - (bytes.len() - rest.len());
        if at < batch.size {
            return (at < HEADER).then_some((at, *rest.first_chunk()?));
        }
        rest = &rest[batch.size..];
    }
    None
}

/// The name of the segment that a file is, or is to become once compaction has made it.
fn segment_of(name: &str) -> Option<Segment<'_>> {
    let end = name.find(".log")? + ".log".len();
    Segment::parse(&name[..end])
}

/// Whether compaction makes the file, and has not given it its name.
pub(crate) fn is_being_compacted(path: &str) -> bool {
    let file = path
        .rsplit_once('/')
        .filter(|(directory, _)| !directory.starts_with("__"));
    file.is_some_and(|(_, name)| name.strip_suffix(".tmp").and_then(segment_of).is_some())
}

/// Whether a file belongs to a partition, or speaks of partitions. The log of the cluster's metadata does not count: without
/// it a start is refused, and there is nothing to run.
pub(crate) fn is_of_a_partition(path: &str) -> bool {
    let inside = path.strip_suffix(".log").or_else(|| path.strip_suffix(".checkpoint"));
    path == "manifest" || inside.is_some_and(|rest| rest.contains('/') && !rest.starts_with("__"))
}

impl Damage {
    /// What a flip is about to destroy; nothing where it hits no record.
    pub(crate) fn of_flip(disk: &Disk, flip: &Flip) -> Option<Self> {
        let mut damage = Self::at(disk, &flip.path, flip.position, flip.position + 1)?;
        damage.rotten = header_around(disk, flip).and_then(|(at, mut header)| {
            header[at] ^= 1 << flip.bit;
            SERVED_BY_NOBODY.contains(&at).then_some(header)
        });
        Some(damage)
    }

    /// Whether the flip hits what Kafka's CRC leaves out of a batch.
    pub(crate) fn is_outside_the_crc(disk: &Disk, flip: &Flip) -> bool {
        header_around(disk, flip).is_some_and(|(at, _)| OUTSIDE_THE_CRC.contains(&at))
    }

    /// What a misdirected write is about to destroy.
    pub(crate) fn of_misdirection(disk: &Disk, misdirection: &Misdirection) -> impl Iterator<Item = Self> + use<> {
        let Misdirection {
            meant_path,
            meant_at,
            hit_path,
            hit_at,
            bytes,
            ..
        } = misdirection;
        let length = bytes.len() as u64;
        let meant = Self::at(disk, meant_path, *meant_at, meant_at + length);
        let hit = Self::at(disk, hit_path, *hit_at, hit_at + length).map(|damage| damage.claimed_by(bytes));
        meant.into_iter().chain(hit)
    }

    /// Whole batches that a stray write put where a log goes on may claim more offsets than it destroyed. Behind them, at
    /// the offset that they end at, a reader meets the rest of what stood there.
    pub(super) fn claimed_by(mut self, stray: &[u8]) -> Self {
        let (mut rest, mut due) = (stray, self.from);
        while let Ok(batch) = Batch::parse(rest) {
            if batch.base_offset != due {
                break;
            }
            due = batch.end_offset();
            rest = &rest[batch.size..];
            self.to = self.to.max(due.saturating_add(1));
        }
        self
    }

    /// Records `from..to`, for tests.
    #[cfg(test)]
    pub(super) fn new(place: Place, from: i64, to: i64) -> Self {
        let rotten = None;
        Self {
            place,
            from,
            to,
            rotten,
        }
    }

    /// The records that the bytes `start..end` of the file belong to.
    fn at(disk: &Disk, path: &str, start: u64, end: u64) -> Option<Self> {
        let (directory, name) = path.rsplit_once('/')?;
        let place = parse_directory(directory)?;
        let base = segment_of(name)?.base;
        let bytes = disk.bytes(View::Cache, path)?;
        let mut damage = Self {
            place,
            from: base,
            to: base,
            rotten: None,
        };
        let mut position = 0;
        while position < end {
            let Ok(batch) = Batch::parse(&bytes[position as usize..]) else {
                // Destroyed before; what comes behind cannot be told any more.
                damage.to = i64::MAX;
                break;
            };
            position += batch.size as u64;
            if position <= start {
                damage.from = batch.end_offset();
            }
            damage.to = batch.end_offset();
        }
        Some(damage)
    }
}

impl Oracle {
    /// The disk destroys synced bytes of these records.
    pub(crate) fn damaged(&mut self, damages: impl IntoIterator<Item = Damage>) {
        for damage in damages {
            let Damage {
                place,
                from,
                to,
                rotten,
            } = damage;
            let Some(partition) = self.partitions.get_mut(&place) else {
                continue;
            };
            let wounds = partition.wounds.get_or_insert_default();
            wounds.ranges.push((from, to));
            wounds.rotten.extend(rotten);
            partition.release_from(from);
        }
    }

    /// Whether synced bytes of the partition were destroyed.
    pub(crate) fn is_damaged(&self, place: Place) -> bool {
        self.partitions
            .get(&place)
            .is_some_and(|partition| partition.wounds.is_some())
    }

    /// Whether promises about the partition may not hold: its bytes were destroyed, or the promise was the page cache and
    /// the power went.
    pub(crate) fn may_lack(&self, place: Place) -> bool {
        self.lost_page_cache || self.is_damaged(place)
    }

    /// Where a reader goes on that met broken bytes at `offset`; `None` when nothing was destroyed there. Where compaction
    /// left a hole, the reader stands in it and meets what was destroyed behind it, if nothing promised lies between.
    pub(super) fn beyond_damage(&mut self, place: Place, offset: i64) -> Option<i64> {
        let has_holes = self.compaction_of(place).is_some();
        let partition = self.partitions.get(&place)?;
        let wounds = partition.wounds.as_ref()?;
        let across = || {
            let (from, to) = wounds.behind(offset).filter(|_| has_holes)?;
            partition.promised(offset, from).next().is_none().then_some(to)
        };
        let beyond = wounds.beyond(offset).or_else(across)?;
        self.counts.damage_met += 1;
        Some(beyond)
    }

    /// A batch that was served begins with this header. Rot that the client's CRC does not reveal must never be served.
    pub(super) fn check_header(&mut self, place: Place, served: &[u8]) {
        let wounds = self
            .partitions
            .get(&place)
            .and_then(|partition| partition.wounds.as_ref());
        let rotten = wounds.is_some_and(|wounds| wounds.rotten.iter().any(|rotten| served.starts_with(rotten)));
        if rotten {
            let text = format!(
                "{place}: a header was served that had rotted where no CRC covers it: {:?}",
                &served[..21]
            );
            self.violate(Checker::Recovery, text);
        }
    }

    /// Batches of a log leave the broker, and these of their bytes were read from the device: none of which any is among them
    /// may have rotted.
    pub(crate) fn leaves(&mut self, bytes: &[u8], from_device: &[Range<usize>]) {
        let mut at = 0;
        while let Some(&length) = bytes.get(at + 8..).and_then(<[u8]>::first_chunk::<4>) {
            let end = at + 12 + usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
            if from_device.iter().any(|read| read.start < end && at < read.end) {
                self.judging(Checker::Recovery);
                if let Err(broken) = Batch::parse(&bytes[at..]) {
                    let text = format!("{broken:?}: a batch was read from the device and sent that is broken");
                    self.violate(Checker::Recovery, text);
                    return;
                }
            }
            at = end;
        }
    }

    /// Whether the record at `offset` may be one of another log: a write of it went astray, and put a whole batch where one
    /// with its base offset had been. No CRC and no offset of Kafka's format tells.
    pub(super) fn may_be_astray(&mut self, place: Place, offset: i64) -> bool {
        let wounds = self
            .partitions
            .get(&place)
            .and_then(|partition| partition.wounds.as_ref());
        let astray = wounds.is_some_and(|wounds| wounds.beyond(offset).is_some());
        self.counts.damage_beyond_crc += u64::from(astray);
        astray
    }

    /// The broker refuses the partition for good, as it may once its bytes were destroyed. Whether that explains it.
    pub(crate) fn refused(&mut self, place: Place) -> bool {
        let wounds = self
            .partitions
            .get_mut(&place)
            .and_then(|partition| partition.wounds.as_mut());
        let Some(wounds) = wounds else { return false };
        self.counts.partitions_refused += 1;
        wounds.refused = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ID, batch, disk_with, oracle};
    use super::{Damage, is_being_compacted, is_of_a_partition};
    use crate::draw::Draw;
    use klamm_core::types::Uuid;

    #[test]
    fn what_compaction_makes_rots_as_the_segment_that_it_becomes() {
        let directory = format!("orders-0.{}", Uuid(ID));
        let name = "00000000000000000000.00000000000000000002.1.log.a.tmp";
        let path = format!("{directory}/{name}");
        assert!(is_being_compacted(&path) && !is_of_a_partition(&path));
        for other in [
            "manifest",
            "x-0.y/00000000000000000000.log",
            "x-0.y/00000000000000000000.checkpoint.a.tmp",
        ] {
            assert!(!is_being_compacted(other), "{other}");
        }
        let mut oracle = oracle();
        let whole = batch(&mut oracle, 0, &ID, 0, 0);
        let disk = disk_with(&directory, &[(name, &whole)]);
        let flip = disk
            .draw_flip(is_being_compacted, &mut Draw::new(1))
            .expect("a file at rest");
        let damage = Damage::of_flip(&disk, &flip).expect("it hits a record");
        assert_eq!((damage.from, damage.to), (0, 1));
    }
}
