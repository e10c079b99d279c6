//! Power cuts in pairs: the first lets bytes of a log arrive and no size that shows them; the second strikes when the next
//! process has written anew up to where one of these batches begins, and brings that up behind what arrived.
//!
//! Left to chance this takes more runs than anybody has: the batches have to be as long as those that were there before.

use crate::batch::Batch;
use crate::disk::{Aim, Disk};
use crate::oracle::is_of_a_partition;
use klamm_core::types::FileId;

/// How far a pair has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Batches wait for their sync, some of them in one file.
    Lay,
    /// They lie behind the end of their log. So many more writes, and others are laid.
    Raise { writes: u32 },
}

/// Pairs of power cuts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EarlierBlocks {
    stage: Stage,
    /// How often the first of a pair may still strike.
    left: u32,
}

/// What becomes of the power after a write.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Power {
    #[default]
    Stays,
    /// It goes, and what was written lies behind the ends of its files.
    Lays,
    /// It goes, and a whole batch of an earlier process stands behind the end of a log.
    Raises,
}

/// After so many writes that met nothing, others are laid.
const WRITES: u32 = 60;

impl EarlierBlocks {
    pub(super) fn new(pairs: u32) -> Self {
        Self {
            stage: Stage::Lay,
            left: pairs,
        }
    }

    /// Bytes were written to the file at `position`. Where the power is to go, the disk is told what that leaves.
    pub(super) fn wrote(&mut self, disk: &mut Disk, file: FileId, position: u64) -> Power {
        match &mut self.stage {
            Stage::Lay if self.left > 0 && has_two(disk.undurable(file)) && is_of_a_log(disk, file) => {
                self.left -= 1;
                self.stage = Stage::Raise { writes: WRITES };
                disk.aim(Aim::SizesLost);
                Power::Lays
            }
            Stage::Lay => Power::Stays,
            Stage::Raise { .. } if would_follow(disk, file, position) && is_of_a_log(disk, file) => {
                self.stage = Stage::Lay;
                self.left = 0;
                disk.aim_at(file, position);
                Power::Raises
            }
            Stage::Raise { writes: 0 } => {
                self.stage = Stage::Lay;
                Power::Stays
            }
            Stage::Raise { writes } => {
                *writes -= 1;
                Power::Stays
            }
        }
    }
}

fn is_of_a_log(disk: &Disk, file: FileId) -> bool {
    disk.path_of(file).is_some_and(|path| is_of_a_partition(&path))
}

/// Whether two whole batches stand there.
fn has_two(bytes: &[u8]) -> bool {
    let behind = Batch::parse(bytes).ok().and_then(|first| bytes.get(first.size..));
    behind.is_some_and(|rest| Batch::parse(rest).is_ok())
}

/// Whether the batch that was written at `position` lies where one of an earlier process does, which has the offset that is due
/// and a leader epoch that is over.
fn would_follow(disk: &Disk, file: FileId, position: u64) -> bool {
    let (shown, behind) = disk.behind(file, position);
    let position = position as usize;
    let (Ok(earlier), Some(Ok(written))) = (Batch::parse(behind), shown.get(position..).map(Batch::parse)) else {
        return false;
    };
    let fits = earlier.base_offset == written.base_offset && position + earlier.size <= shown.len();
    fits && last_epoch(&shown[..position]).is_some_and(|epoch| earlier.leader_epoch < epoch)
}

/// The leader epoch of the last batch.
fn last_epoch(mut bytes: &[u8]) -> Option<i32> {
    let mut epoch = None;
    while let Ok(batch) = Batch::parse(bytes) {
        epoch = Some(batch.leader_epoch);
        bytes = &bytes[batch.size..];
    }
    epoch.filter(|_| bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{EarlierBlocks, Power};
    use crate::batch::{NewRecord, ProducerTag, build, place};
    use crate::compress::Compression;
    use crate::disk::{Disk, View};
    use crate::draw::Draw;
    use bytes::Bytes;
    use klamm_core::storage::{FileOp, FilePath, OpenMode, Piece};
    use klamm_core::types::{FileId, LogDirectoryId, Uuid};

    fn batch(offset: i64, leader_epoch: i32) -> Vec<u8> {
        let record = NewRecord {
            timestamp: 5,
            key: None,
            value: vec![offset as u8; 60],
            headers: Vec::new(),
        };
        let mut batch = build(&[record], ProducerTag::NONE, Compression::None);
        place(&mut batch, offset, leader_epoch);
        batch
    }

    struct Log {
        disk: Disk,
        path: String,
        written: u64,
        pairs: EarlierBlocks,
    }

    impl Log {
        fn perform(&mut self, op: &FileOp) {
            self.disk.perform(op).expect("a healthy disk");
        }

        fn open(&mut self, file: u64, mode: OpenMode) {
            let path = FilePath::new(LogDirectoryId(0), &self.path);
            let file = FileId(file);
            self.perform(&FileOp::Open { file, path, mode });
        }

        /// Appends a batch, and says what becomes of the power.
        fn append(&mut self, file: u64, offset: i64, leader_epoch: i32) -> Power {
            let (file, position) = (FileId(file), self.written);
            let batch = batch(offset, leader_epoch);
            self.written += batch.len() as u64;
            let pieces = vec![Piece::Body(Bytes::from(batch))];
            self.perform(&FileOp::Write { file, position, pieces });
            self.pairs.wrote(&mut self.disk, file, position)
        }
    }

    #[test]
    fn the_second_of_a_pair_brings_up_a_batch_of_an_epoch_that_is_over() {
        let directory = format!("orders-0.{}", Uuid([7; 16]));
        let mut log = Log {
            disk: Disk::new(),
            path: format!("{directory}/{:020}.log", 0),
            written: 0,
            pairs: EarlierBlocks::new(1),
        };
        let path = FilePath::new(LogDirectoryId(0), &directory);
        log.perform(&FileOp::CreateDirectory { path: path.clone() });
        log.open(1, OpenMode::CreateNew);
        for path in [path.clone(), path.parent()] {
            log.perform(&FileOp::SyncDirectory { path });
        }
        assert_eq!(log.append(1, 0, 3), Power::Stays, "one alone has nothing behind it");
        assert_eq!(log.append(1, 1, 3), Power::Lays);
        log.disk.power_cut(&mut Draw::new(1));
        assert_eq!(log.disk.bytes(View::Device, &log.path), Some(&[][..]));
        log.written = 0;
        log.open(2, OpenMode::Existing);
        assert_eq!(
            log.append(2, 0, 4),
            Power::Stays,
            "what lies there is what is due there"
        );
        assert_eq!(log.append(2, 1, 4), Power::Raises);
        log.disk.power_cut(&mut Draw::new(2));
        let expected = [batch(0, 4), batch(1, 3)].concat();
        assert_eq!(log.disk.bytes(View::Device, &log.path), Some(&expected[..]));
        assert_eq!(log.disk.claimed(View::Device, &log.path), batch(0, 4).len());
    }
}
