//! What earlier writes left on the device: behind the end of a file, and where a file of its name once was.
//!
//! A file system that makes a size durable before the bytes shows, where they did not arrive, what the blocks held before.
//!
//! Invariants: what is shown so was written by the broker at that place of a file of that name, and is no longer what it
//! should be; nothing that was synced, and not cut off or removed since, is replaced by it.

use super::file::{File, Filler, Tear};
use super::{Disk, Inode, InodeId, View};
use klamm_core::types::FileId;
use std::collections::VecDeque;

/// What the next power cut is to leave, where it is not left to chance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aim {
    /// Of every file all bytes, and none of the sizes that show them.
    SizesLost,
    /// Of one file its last size, the bytes before this one, and what lay there before behind it.
    Show(InodeId, u64),
}

impl Aim {
    /// How it tears the file; `None` where that is left to chance.
    pub(super) fn at(aim: Option<Self>, file: InodeId) -> Option<(Tear, Filler)> {
        match aim? {
            Self::SizesLost => Some((Tear::SizesLost, Filler::Stale)),
            Self::Show(inode, byte) => (inode == file).then_some((Tear::UpTo(byte), Filler::Stale)),
        }
    }
}

/// As many removed files are remembered.
const REMOVED: usize = 16;

/// What is known of earlier files.
#[derive(Default, Debug)]
pub(super) struct Earlier {
    aim: Option<Aim>,
    /// What is left of the files that were removed last, by directory and name.
    removed: VecDeque<(InodeId, Box<str>, Vec<u8>)>,
}

impl Earlier {
    pub(super) fn take_aim(&mut self) -> Option<Aim> {
        self.aim.take()
    }

    /// A file lost its name.
    pub(super) fn removed(&mut self, directory: InodeId, name: &str, remains: Vec<u8>) {
        if self.removed.len() == REMOVED {
            self.removed.pop_front();
        }
        self.removed.push_back((directory, name.into(), remains));
    }

    /// A file is created: the device gives it the blocks of the last one of its name.
    pub(super) fn created(&mut self, directory: InodeId, name: &str) -> File {
        let mut last = self.removed.iter().enumerate().rev();
        let found = last.find(|(_, (parent, known, _))| *parent == directory && **known == *name);
        let place = found.map(|(place, _)| place);
        let removed = place.and_then(|place| self.removed.remove(place));
        File::over(removed.map_or_else(Vec::new, |(_, _, remains)| remains))
    }
}

impl Disk {
    /// Says what the next power cut is to leave.
    pub fn aim(&mut self, aim: Aim) {
        self.earlier.aim = Some(aim);
    }

    /// Has the next power cut show what lay behind the byte at `position` of an open file.
    pub fn aim_at(&mut self, file: FileId, position: u64) {
        if let Ok(inode) = self.descriptor(file) {
            self.aim(Aim::Show(inode, position));
        }
    }

    /// From here on earlier writes leave nothing that could be told from chance.
    pub fn forget_earlier(&mut self) {
        self.earlier = Earlier::default();
        for inode in self.inodes.values_mut() {
            if let Inode::File(file) = inode {
                file.forget_behind();
            }
        }
    }

    /// Bytes of an open file that are not durable, behind its durable end.
    pub fn undurable(&self, file: FileId) -> &[u8] {
        let inode = self.descriptor(file);
        inode.map_or(&[], |inode| self.file(inode).undurable())
    }

    /// What an open file shows, and what the device holds from `position` on behind its durable end.
    pub fn behind(&self, file: FileId, position: u64) -> (&[u8], &[u8]) {
        let inode = self.descriptor(file);
        inode.map_or((&[], &[]), |inode| {
            let file = self.file(inode);
            (file.cache(), file.behind(position))
        })
    }

    /// How many bytes of the file, as `view` shows it, somebody wrote or synced: behind them is what an earlier write left.
    pub fn claimed(&self, view: View, path: &str) -> usize {
        let file = self.find(view, path).and_then(|inode| self.inodes.get(&inode));
        match file {
            Some(Inode::File(file)) => file.unclaimed(view).map_or(usize::MAX, |from| from as usize),
            _ => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Aim;
    use crate::disk::{Disk, View};
    use crate::draw::Draw;
    use bytes::Bytes;
    use klamm_core::storage::{FileOp, FilePath, OpenMode, Piece};
    use klamm_core::types::{FileId, LogDirectoryId};

    fn path(name: &str) -> FilePath {
        FilePath::new(LogDirectoryId(0), name)
    }

    fn open(file: u64, mode: OpenMode) -> FileOp {
        FileOp::Open {
            file: FileId(file),
            path: path("log"),
            mode,
        }
    }

    fn write(file: u64, position: u64, value: u8, length: usize) -> FileOp {
        FileOp::Write {
            file: FileId(file),
            position,
            pieces: vec![Piece::Body(Bytes::from(vec![value; length]))],
        }
    }

    fn sync(file: u64) -> FileOp {
        FileOp::Sync {
            files: vec![FileId(file)],
        }
    }

    fn perform(disk: &mut Disk, ops: &[FileOp]) {
        for op in ops {
            disk.perform(op).expect("a healthy disk");
        }
    }

    /// A disk with a file of 1000 durable bytes of 1, behind which 1500 bytes of 2 arrived, and no size that shows them.
    fn disk() -> Disk {
        let mut disk = Disk::new();
        let names = FileOp::SyncDirectory { path: path("") };
        perform(
            &mut disk,
            &[open(1, OpenMode::CreateNew), write(1, 0, 1, 1000), sync(1), names],
        );
        perform(&mut disk, &[write(1, 1000, 2, 1500)]);
        disk.aim(Aim::SizesLost);
        disk.power_cut(&mut Draw::new(1));
        assert_eq!(disk.bytes(View::Cache, "log"), Some(&[1; 1000][..]));
        disk
    }

    /// The next process appends 700 bytes of 3 that are synced, and 1000 of 4 that are not; the power goes.
    fn show(disk: &mut Disk) -> Vec<u8> {
        perform(disk, &[open(2, OpenMode::Existing), write(2, 1000, 3, 700), sync(2)]);
        perform(disk, &[write(2, 1700, 4, 1000)]);
        disk.aim_at(FileId(2), 1700);
        disk.power_cut(&mut Draw::new(2));
        disk.bytes(View::Device, "log").expect("a durable name").to_vec()
    }

    #[test]
    fn bytes_that_no_size_showed_come_up_where_later_ones_did_not_arrive() {
        let mut disk = disk();
        let shown = show(&mut disk);
        assert_eq!(shown[..2500], [vec![1; 1000], vec![3; 700], vec![2; 800]].concat());
        assert_eq!(shown.len(), 2700, "behind them lies what nobody wrote");
        for view in [View::Cache, View::Device] {
            assert_eq!(disk.claimed(view, "log"), 1700);
        }
        perform(&mut disk, &[open(3, OpenMode::Existing), sync(3)]);
        assert_eq!(
            disk.claimed(View::Cache, "log"),
            usize::MAX,
            "whoever syncs them claims them"
        );
    }

    /// Opens the file and cuts off what `show` showed.
    fn cut_off(disk: &mut Disk) {
        let cut = FileOp::Truncate {
            file: FileId(3),
            size: 1700,
        };
        perform(disk, &[open(3, OpenMode::Existing), cut]);
    }

    #[test]
    fn what_is_cut_off_is_unclaimed_on_the_device_until_the_size_is_durable() {
        let mut disk = disk();
        show(&mut disk);
        cut_off(&mut disk);
        assert_eq!(disk.claimed(View::Cache, "log"), usize::MAX);
        assert_eq!(disk.claimed(View::Device, "log"), 1700);
        assert_eq!(disk.durable_file("log").map(|file| file.claimed), Some(1700));
        perform(&mut disk, &[sync(3)]);
        for view in [View::Cache, View::Device] {
            assert_eq!(disk.bytes(view, "log").map(<[u8]>::len), Some(1700));
            assert_eq!(disk.claimed(view, "log"), usize::MAX);
        }
    }

    #[test]
    fn what_is_cut_off_comes_back_unclaimed_where_the_size_is_lost() {
        let mut disk = disk();
        let shown = show(&mut disk);
        cut_off(&mut disk);
        disk.aim(Aim::SizesLost);
        disk.power_cut(&mut Draw::new(3));
        for view in [View::Cache, View::Device] {
            assert_eq!(disk.bytes(view, "log"), Some(&shown[..]));
            assert_eq!(disk.claimed(view, "log"), 1700);
        }
    }

    #[test]
    fn nothing_comes_up_once_it_is_forgotten() {
        let mut disk = disk();
        disk.forget_earlier();
        let shown = show(&mut disk);
        assert!(!shown.ends_with(&[2; 200]));
        assert_eq!(disk.claimed(View::Cache, "log"), usize::MAX);
    }

    #[test]
    fn a_file_of_the_same_name_lies_where_the_removed_one_lay() {
        let mut disk = disk();
        perform(&mut disk, &[FileOp::Remove { path: path("log") }]);
        let names = FileOp::SyncDirectory { path: path("") };
        perform(&mut disk, &[open(2, OpenMode::CreateNew), names, write(2, 0, 7, 1200)]);
        disk.aim_at(FileId(2), 100);
        disk.power_cut(&mut Draw::new(3));
        let expected = [vec![7; 100], vec![1; 900], vec![2; 200]].concat();
        assert_eq!(disk.bytes(View::Device, "log"), Some(&expected[..]));
    }
}
