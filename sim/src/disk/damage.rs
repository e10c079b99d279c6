//! What destroys bytes that were synced, or hides them: rot at rest, misdirected writes, sectors that cannot be read.

use super::file::{File, SECTOR};
use super::sync::SyncTicket;
use super::{Disk, Inode, InodeId, View};
use crate::draw::Draw;
use klamm_core::storage::IoResult;

/// A bit that is about to change where it rests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flip {
    inode: InodeId,
    /// The file.
    pub path: String,
    /// Which byte of it.
    pub position: u64,
    /// Which bit of that byte.
    pub bit: u8,
}

/// A write that is about to go to the wrong place, a sector or part of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misdirection {
    meant: InodeId,
    /// The file that it was meant for.
    pub meant_path: String,
    /// Where in that file.
    pub meant_at: u64,
    hit: InodeId,
    /// The file that it hits.
    pub hit_path: String,
    /// Where in that file.
    pub hit_at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What becomes of a small file while nobody looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spoil {
    /// It ends anywhere.
    Torn,
    /// Nothing is left of it but its name.
    Empty,
    /// Its name is gone.
    Missing,
    /// One of its bits flips.
    Rotten,
}

impl Disk {
    /// Spoils a file whose path `suits`, on the device too. To be called while no process runs. Returns which.
    pub fn spoil(&mut self, how: Spoil, suits: impl Fn(&str) -> bool, draw: &mut Draw) -> Option<String> {
        let mut files = self.suitable(suits);
        files.retain(|(_, inode)| self.file(*inode).size() > 0);
        if files.is_empty() {
            return None;
        }
        let (path, inode) = files.swap_remove(draw.index(files.len()));
        let size = self.file(inode).size();
        match how {
            Spoil::Torn => self.file_mut(inode).shorten(draw.below(size)),
            Spoil::Empty => self.file_mut(inode).shorten(0),
            Spoil::Rotten => {
                self.file_mut(inode).shorten(size);
                let position = draw.below(size);
                self.file_mut(inode).flip(position, draw.below(8) as u8);
            }
            Spoil::Missing => self.lose_name(&path),
        }
        self.collect();
        Some(path)
    }

    /// The name of a file is gone, from the device too.
    fn lose_name(&mut self, path: &str) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(parent) = self.find(View::Cache, parent)
            && let Some(Inode::Directory(directory)) = self.inodes.get_mut(&parent)
        {
            directory.lose(name);
        }
    }

    /// Files whose path `suits`, ascending by path.
    fn suitable(&self, suits: impl Fn(&str) -> bool) -> Vec<(String, InodeId)> {
        let files = self.files().into_iter().map(|(path, _)| path);
        let found = files.filter(|path| suits(path)).filter_map(|path| {
            let inode = self.find(View::Cache, &path)?;
            Some((path, inode))
        });
        found.collect()
    }

    /// Those of them with durable bytes.
    fn durable_ones(&self, suits: impl Fn(&str) -> bool) -> Vec<(String, InodeId)> {
        let mut found = self.suitable(suits);
        found.retain(|(_, inode)| !self.file(*inode).durable().is_empty());
        found
    }

    /// Draws a bit at rest in a file whose path `suits`; `None` when there is none.
    pub fn draw_flip(&self, suits: impl Fn(&str) -> bool, draw: &mut Draw) -> Option<Flip> {
        let files = self.durable_ones(suits);
        if files.is_empty() {
            return None;
        }
        let (path, inode) = files[draw.index(files.len())].clone();
        let file = self.file(inode);
        let position = draw.below(file.durable().len() as u64);
        file.is_at_rest(position).then(|| Flip {
            inode,
            path,
            position,
            bit: draw.below(8) as u8,
        })
    }

    /// The bit flips.
    pub fn flip(&mut self, flip: &Flip) {
        self.file_mut(flip.inode).flip(flip.position, flip.bit);
    }

    /// Draws a sector of what the sync writes, and another place for it, both in files whose path `suits`.
    pub fn draw_misdirection(
        &self,
        ticket: &SyncTicket,
        suits: impl Fn(&str) -> bool,
        draw: &mut Draw,
    ) -> Option<Misdirection> {
        let suitable = self.suitable(suits);
        let meant = ticket.files.iter().filter_map(|(inode, snapshot)| {
            let (path, _) = suitable.iter().find(|(_, known)| known == inode)?;
            (!snapshot.is_empty()).then_some((path, inode, snapshot))
        });
        let meant: Vec<_> = meant.collect();
        let mut hit = suitable.clone();
        hit.retain(|(_, inode)| !self.file(*inode).durable().is_empty());
        if meant.is_empty() || hit.is_empty() {
            return None;
        }
        let (meant_path, meant, snapshot) = meant[draw.index(meant.len())];
        let (meant_at, bytes) = File::sector_of(snapshot, draw.below(snapshot.len()))?;
        let (hit_path, hit) = hit[draw.index(hit.len())].clone();
        let sectors = (self.file(hit).durable().len() as u64).div_ceil(SECTOR);
        let hit_at = draw.below(sectors) * SECTOR + meant_at % SECTOR;
        let same = hit == *meant && hit_at == meant_at;
        let misses = hit_at >= self.file(hit).durable().len() as u64;
        (!same && !misses).then(|| Misdirection {
            meant: *meant,
            meant_path: meant_path.clone(),
            meant_at,
            hit,
            hit_path,
            hit_at,
            bytes,
        })
    }

    /// The sync ends, well as it seems; but one sector went elsewhere.
    pub fn end_sync_misdirected(&mut self, ticket: &SyncTicket, misdirection: &Misdirection) -> IoResult {
        let Misdirection {
            meant,
            meant_at,
            hit,
            hit_at,
            bytes,
            ..
        } = misdirection;
        let before = self.file(*meant).durable_part(*meant_at, bytes.len());
        let result = self.end_sync(ticket);
        // The page cache still shows what was meant.
        self.file_mut(*meant).overwrite(*meant_at, &before);
        self.file_mut(*hit).overwrite(*hit_at, bytes);
        result
    }

    /// A sector of a file with durable bytes cannot be read from now on; false when there is none.
    pub fn lose_sector(&mut self, suits: impl Fn(&str) -> bool, draw: &mut Draw) -> bool {
        let files = self.durable_ones(suits);
        if files.is_empty() {
            return false;
        }
        let inode = files[draw.index(files.len())].1;
        let sectors = (self.file(inode).durable().len() as u64).div_ceil(SECTOR);
        self.unreadable.insert((inode, draw.below(sectors)))
    }

    /// Every sector can be read again.
    pub fn find_sectors(&mut self) {
        self.unreadable.clear();
    }

    pub(super) fn is_unreadable(&self, inode: InodeId, position: u64, length: u64) -> bool {
        if self.unreadable.is_empty() || length == 0 {
            return false;
        }
        let last = position.saturating_add(length - 1) / SECTOR;
        let mut among = self.unreadable.range((inode, position / SECTOR)..=(inode, last));
        among.next().is_some()
    }

    /// What is written can be read.
    pub(super) fn wrote(&mut self, inode: InodeId, position: u64, length: u64) {
        if self.unreadable.is_empty() || length == 0 {
            return;
        }
        let last = (position + length - 1) / SECTOR;
        self.unreadable
            .retain(|&(known, sector)| known != inode || !(position / SECTOR..=last).contains(&sector));
    }
}

#[cfg(test)]
mod tests {
    use super::{Disk, Spoil};
    use crate::disk::{SECTOR, View};
    use crate::draw::Draw;
    use bytes::Bytes;
    use klamm_core::storage::{FileOp, FilePath, OpenMode, Piece};
    use klamm_core::types::{FileId, LogDirectoryId};

    fn path(name: &str) -> FilePath {
        FilePath::new(LogDirectoryId(0), name)
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

    fn read(file: u64, position: u64, length: u32) -> FileOp {
        FileOp::Read {
            file: FileId(file),
            position,
            length,
        }
    }

    /// Files `a` and `b`, 2000 bytes each, synced: ones and twos.
    fn disk() -> Disk {
        let mut disk = Disk::new();
        for (file, name) in [(1, "a"), (2, "b")] {
            let open = FileOp::Open {
                file: FileId(file),
                path: path(name),
                mode: OpenMode::CreateNew,
            };
            for op in [open, write(file, 0, file as u8, 2000), sync(file)] {
                disk.perform(&op).expect("a healthy disk");
            }
        }
        disk.perform(&FileOp::SyncDirectory { path: path("") })
            .expect("a healthy disk");
        disk
    }

    fn bytes(disk: &Disk, view: View, name: &str) -> Vec<u8> {
        disk.bytes(view, name).expect("a file").to_vec()
    }

    #[test]
    fn rot_changes_one_bit_at_rest_for_good() {
        for seed in 0..50 {
            let mut disk = disk();
            let mut draw = Draw::new(seed);
            let flip = disk.draw_flip(|name| name == "a", &mut draw).expect("bytes at rest");
            disk.flip(&flip);
            disk.power_cut(&mut draw);
            let changed = bytes(&disk, View::Cache, "a");
            let wrong: Vec<u64> = (0..2000).filter(|&at| changed[at as usize] != 1).collect();
            assert_eq!(wrong, [flip.position]);
            assert_eq!((changed[flip.position as usize] ^ 1).count_ones(), 1);
            assert_eq!(bytes(&disk, View::Cache, "b"), [2; 2000]);
        }
    }

    #[test]
    fn a_spoiled_file_stays_so_whatever_crash_follows() {
        for (seed, how) in (0..).zip([Spoil::Torn, Spoil::Empty, Spoil::Rotten, Spoil::Missing]) {
            let mut disk = disk();
            let mut draw = Draw::new(seed);
            disk.perform(&write(1, 2000, 1, 50)).expect("a healthy disk");
            disk.kill();
            assert_eq!(disk.spoil(how, |name| name == "c", &mut draw), None);
            assert_eq!(disk.spoil(how, |name| name == "a", &mut draw), Some("a".to_owned()));
            disk.power_cut(&mut draw);
            let left = disk.bytes(View::Cache, "a").map(<[u8]>::to_vec);
            let whole = [1; 2050];
            let expected = match &left {
                None => how == Spoil::Missing,
                Some(left) if left.is_empty() => how == Spoil::Empty,
                Some(left) if left.len() == whole.len() => {
                    let differ = left.iter().filter(|&&byte| byte != 1).count();
                    how == Spoil::Rotten && differ == 1
                }
                Some(left) => how == Spoil::Torn && whole.starts_with(left),
            };
            assert!(expected, "{how:?}");
            assert_eq!(bytes(&disk, View::Cache, "b"), [2; 2000]);
        }
    }

    #[test]
    fn a_byte_that_is_not_at_rest_does_not_rot() {
        let mut disk = disk();
        disk.perform(&write(1, 0, 9, 2000)).expect("a healthy disk");
        let flip = disk.draw_flip(|name| name == "a", &mut Draw::new(1));
        assert_eq!(flip, None, "all of it waits to be written");
    }

    #[test]
    fn a_misdirected_write_leaves_the_old_bytes_and_destroys_others_once_the_cache_is_gone() {
        let mut seen = 0;
        for seed in 0..50 {
            let mut disk = disk();
            let mut draw = Draw::new(seed);
            disk.perform(&write(1, 0, 7, 2000)).expect("a healthy disk");
            let ticket = disk.begin_sync(&sync(1)).expect("an open file");
            let Some(misdirection) = disk.draw_misdirection(&ticket, |_| true, &mut draw) else {
                continue;
            };
            disk.end_sync_misdirected(&ticket, &misdirection)
                .expect("it seems to succeed");
            assert_eq!(
                bytes(&disk, View::Cache, "a"),
                [7; 2000],
                "the page cache shows what was meant"
            );
            disk.kill();
            assert_eq!(bytes(&disk, View::Cache, "a"), [7; 2000], "a kill evicts nothing");
            assert!(disk.evict(|| true));
            let count = |name: &str, value: u8| {
                let mut bytes = bytes(&disk, View::Cache, name);
                bytes.retain(|&byte| byte == value);
                bytes.len()
            };
            let length = misdirection.bytes.len();
            assert!(length as u64 <= SECTOR);
            assert_eq!(
                count("a", 1),
                length,
                "seed {seed}: the device holds what it held there"
            );
            if misdirection.hit_path == "b" {
                assert!((1..=length).contains(&count("b", 7)), "seed {seed}");
            }
            seen += 1;
        }
        assert!(seen > 25, "{seen} of 50 went astray");
    }

    #[test]
    fn an_unreadable_sector_fails_reads_of_it_alone_until_it_is_written() {
        let mut disk = disk();
        assert!(disk.lose_sector(|name| name == "a", &mut Draw::new(3)));
        let fails = |disk: &mut Disk, sector: u64| disk.perform(&read(1, sector * SECTOR + 5, 10)).is_err();
        let lost: Vec<u64> = (0..4).filter(|&sector| fails(&mut disk, sector)).collect();
        assert_eq!(lost.len(), 1);
        assert!(disk.perform(&read(1, 0, 2000)).is_err());
        assert!(disk.perform(&read(2, 0, 2000)).is_ok());
        disk.perform(&write(1, lost[0] * SECTOR, 1, 1))
            .expect("writes go through");
        assert!(disk.perform(&read(1, 0, 2000)).is_ok());
    }
}
