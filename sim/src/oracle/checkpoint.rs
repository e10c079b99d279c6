//! What a checkpoint says of its segment equals what follows from the segment's bytes: where it ends, the greatest
//! timestamp, and every entry of the sparse index.
//!
//! It is judged when a checkpoint gets its name, from the layout on the disk: seven letters and a version; the segment's
//! base offset, the bytes covered, the offset after them, when the segment was begun, the greatest timestamp and the first
//! batch that has it; the entries of the index; what else there is; a CRC. Each segment is read once, as it grows.

use super::disk_log::{Segment, parse_directory};
use super::{Checker, Oracle};
use crate::batch::{Batch, crc32c};
use crate::disk::{Disk, InodeId, View};
use std::collections::BTreeMap;

/// The greatest timestamp of some batches, and the base offset of the first that has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Peak {
    timestamp: i64,
    batch: i64,
}

/// An entry of an index: a batch, by its base offset behind the segment's, where it begins, and the greatest timestamp
/// before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    relative: u32,
    position: u32,
    max_before: i64,
}

/// What a checkpoint says of its segment.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Said {
    base: i64,
    size: u64,
    end: i64,
    peak: Option<Peak>,
    entries: Vec<Entry>,
}

/// Takes big-endian numbers from the front of bytes.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn long(&mut self) -> Option<i64> {
        self.bytes().map(i64::from_be_bytes)
    }

    fn word(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }
}

impl Said {
    /// Reads a checkpoint; `None` where it is torn.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c(covered) != u32::from_be_bytes(*crc) {
            return None;
        }
        let mut numbers = Numbers(covered.strip_prefix(b"KLMCKPT\x02")?);
        let base = numbers.long()?;
        let size = numbers.long()? as u64;
        let end = numbers.long()?;
        let _began = numbers.long()?;
        let (timestamp, batch) = (numbers.long()?, numbers.long()?);
        let count = numbers.word()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(Entry {
                relative: numbers.word()?,
                position: numbers.word()?,
                max_before: numbers.long()?,
            });
        }
        Some(Self {
            base,
            size,
            end,
            peak: (batch >= 0).then_some(Peak { timestamp, batch }),
            entries,
        })
    }
}

/// What precedes a byte at which a batch begins, or will.
#[derive(Clone, Copy, Debug)]
struct Before {
    end: i64,
    peak: Option<Peak>,
    /// The batch that begins here; `None` at the end of what was read.
    batch: Option<i64>,
}

/// A segment as far as it was read.
#[derive(Debug)]
struct Rebuilt {
    rewrites: u64,
    read: u64,
    before: BTreeMap<u64, Before>,
}

impl Rebuilt {
    fn new(base: i64, rewrites: u64) -> Self {
        let start = Before {
            end: base,
            peak: None,
            batch: None,
        };
        Self {
            rewrites,
            read: 0,
            before: BTreeMap::from([(0, start)]),
        }
    }

    /// Reads on in the segment's bytes.
    fn read(&mut self, bytes: &[u8]) {
        while let Ok(batch) = Batch::parse(bytes.get(self.read as usize..).unwrap_or_default()) {
            let Some(here) = self
                .before
                .get_mut(&self.read)
                .filter(|here| batch.base_offset >= here.end)
            else {
                return;
            };
            here.batch = Some(batch.base_offset);
            // What compaction emptied is there for its producer alone.
            let this = (batch.count > 0).then_some(Peak {
                timestamp: batch.max_timestamp,
                batch: batch.base_offset,
            });
            let greater = |this: &Peak| here.peak.is_none_or(|peak| this.timestamp > peak.timestamp);
            let next = Before {
                end: batch.end_offset(),
                peak: this.filter(greater).or(here.peak),
                batch: None,
            };
            self.read += batch.size as u64;
            self.before.insert(self.read, next);
        }
    }

    /// What the checkpoint says that the segment does not.
    fn differs(&self, said: &Said, segment: &Segment<'_>) -> Option<String> {
        let Some(last) = self.before.get(&said.size) else {
            return Some(format!("no batch ends at byte {}", said.size));
        };
        let end = segment.cleaned.map_or(last.end, |cleaned| cleaned.end);
        if said.base != segment.base || said.end != end || said.peak != last.peak {
            let (said_end, said_peak, peak) = (said.end, said.peak, last.peak);
            return Some(format!(
                "it ends at {end} with {peak:?}, and is said to at {said_end} with {said_peak:?}"
            ));
        }
        let stands = |entry: &&Entry| {
            let before = self.before.get(&u64::from(entry.position));
            let due = before.and_then(|before| {
                Some(Entry {
                    relative: u32::try_from(before.batch? - segment.base).ok()?,
                    position: entry.position,
                    max_before: before.peak.map_or(i64::MIN, |peak| peak.timestamp),
                })
            });
            due == Some(**entry) && u64::from(entry.position) < said.size
        };
        let wrong = said.entries.iter().find(|entry| !stands(entry))?;
        Some(format!("no batch stands where the index has {wrong:?}"))
    }
}

/// How many bytes of the segment at `path` its checkpoint covers.
pub(super) fn covered(disk: &Disk, path: &str) -> u64 {
    let front = path.strip_suffix(".log").unwrap_or(path);
    let said = disk.bytes(View::Cache, &format!("{front}.checkpoint"));
    said.and_then(Said::parse).map_or(0, |said| said.size)
}

/// Segments that checkpoints were compared with.
#[derive(Default, Debug)]
pub(super) struct Segments(BTreeMap<InodeId, Rebuilt>);

impl Segments {
    /// A power cut or a new process may have changed what files hold.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Oracle {
    /// A file got its name: where it is a checkpoint, it says of its segment what is so.
    pub(crate) fn checkpointed(&mut self, disk: &Disk, path: &str) {
        let Some((front, (directory, name))) = path.strip_suffix(".checkpoint").zip(path.rsplit_once('/')) else {
            return;
        };
        let (segment_name, segment_path) = (name.replace(".checkpoint", ".log"), format!("{front}.log"));
        let (Some(place), Some(segment)) = (parse_directory(directory), Segment::parse(&segment_name)) else {
            return;
        };
        let said = disk.bytes(View::Cache, path).and_then(Said::parse);
        let (Some(said), Some(file)) = (said, disk.durable_file(&segment_path)) else {
            return;
        };
        if self.is_damaged(place) || said.size > file.bytes.len() as u64 {
            return;
        }
        self.judging(Checker::Recovery);
        let rebuilt = self.segments.0.entry(file.inode);
        let rebuilt = rebuilt.or_insert_with(|| Rebuilt::new(segment.base, file.rewrites));
        if rebuilt.rewrites != file.rewrites {
            *rebuilt = Rebuilt::new(segment.base, file.rewrites);
        }
        rebuilt.read(file.bytes);
        if let Some(problem) = rebuilt.differs(&said, &segment) {
            let text = format!("{path} does not follow from its segment: {problem}");
            self.violate(Checker::Recovery, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk_log::Segment;
    use super::{Entry, Peak, Rebuilt, Said};
    use crate::batch::{NewRecord, ProducerTag, build, crc32c};
    use crate::compress::Compression;

    const SEGMENT: Segment<'static> = Segment {
        base: 10,
        cleaned: None,
        name: "00000000000000000010.log",
    };

    /// Batches of one record each with these timestamps, from offset 10 on, and where each begins.
    fn segment(timestamps: &[i64]) -> (Vec<u8>, Vec<u32>) {
        let (mut bytes, mut positions) = (Vec::new(), Vec::new());
        for (&timestamp, offset) in timestamps.iter().zip(10i64..) {
            let record = NewRecord {
                timestamp,
                key: None,
                value: vec![0; 60],
                headers: Vec::new(),
            };
            let mut batch = build(&[record], ProducerTag::NONE, Compression::None);
            batch[..8].copy_from_slice(&offset.to_be_bytes());
            positions.push(bytes.len() as u32);
            bytes.extend(batch);
        }
        (bytes, positions)
    }

    /// An entry behind all that was read.
    fn behind(position: usize) -> Entry {
        Entry {
            relative: 4,
            position: position as u32,
            max_before: 9,
        }
    }

    #[test]
    fn every_number_of_a_checkpoint_is_compared() {
        let (bytes, positions) = segment(&[5, 9, 9, 7]);
        let mut rebuilt = Rebuilt::new(10, 0);
        rebuilt.read(&bytes);
        let entry = |place: usize, max_before| Entry {
            relative: place as u32,
            position: positions[place],
            max_before,
        };
        let right = Said {
            base: 10,
            size: bytes.len() as u64,
            end: 14,
            peak: Some(Peak {
                timestamp: 9,
                batch: 11,
            }),
            entries: vec![entry(1, 5), entry(3, 9)],
        };
        assert_eq!(rebuilt.differs(&right, &SEGMENT), None);
        let before_the_last = Said {
            size: u64::from(positions[3]),
            end: 13,
            entries: vec![entry(1, 5)],
            ..right.clone()
        };
        assert_eq!(rebuilt.differs(&before_the_last, &SEGMENT), None);
        let peak = |timestamp, batch| Some(Peak { timestamp, batch });
        let wrong = [
            Said {
                size: right.size - 1,
                ..right.clone()
            },
            Said {
                end: 13,
                ..right.clone()
            },
            Said {
                peak: peak(9, 12),
                ..right.clone()
            },
            Said {
                entries: vec![entry(1, 5), behind(bytes.len())],
                ..right.clone()
            },
            Said {
                entries: vec![entry(1, 9)],
                ..right.clone()
            },
            Said {
                entries: vec![Entry {
                    relative: 2,
                    ..entry(1, 5)
                }],
                ..right.clone()
            },
            // An entry behind what it covers, though a batch begins there.
            Said {
                entries: vec![entry(3, 9)],
                ..before_the_last
            },
        ];
        for said in wrong {
            assert!(rebuilt.differs(&said, &SEGMENT).is_some(), "{said:?}");
        }
    }

    #[test]
    fn a_checkpoint_that_is_torn_says_nothing() {
        let mut bytes = b"KLMCKPT\x02".to_vec();
        for number in [10i64, 80, 11, 0, 5, 10] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(1u32.to_be_bytes());
        bytes.extend([0, 0, 0, 3, 0, 0, 0, 7]);
        bytes.extend(5i64.to_be_bytes());
        bytes.extend(crc32c(&bytes).to_be_bytes());
        let said = Said::parse(&bytes).expect("its CRC holds");
        assert_eq!((said.base, said.size, said.end), (10, 80, 11));
        let entry = Entry {
            relative: 3,
            position: 7,
            max_before: 5,
        };
        assert_eq!(said.entries, [entry]);
        for length in 0..bytes.len() {
            assert_eq!(Said::parse(&bytes[..length]), None);
        }
    }
}
