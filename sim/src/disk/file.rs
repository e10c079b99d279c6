//! One file: what the page cache holds, what the device holds, and what separates the two.

use super::View;
use crate::draw::Draw;

/// The unit in which a device writes whole or not at all.
pub const SECTOR: u64 = 512;

/// A range of bytes that the page cache holds and the device may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Dirty {
    start: u64,
    end: u64,
    /// When it was written, on the disk's count of operations.
    written: u64,
}

/// What a sync that began will have made durable when it ends.
#[derive(Debug)]
pub(super) struct FileSnapshot {
    began: u64,
    size: u64,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    start: u64,
    bytes: Vec<u8>,
    /// When it was written.
    written: u64,
}

impl FileSnapshot {
    /// Whether there was nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many bytes there were to write.
    pub(super) fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.bytes.len() as u64).sum()
    }
}

/// What becomes of sectors that had not reached the device when the power went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tear {
    /// None of the unsynced bytes arrived.
    Nothing,
    /// All of them did.
    Everything,
    /// A prefix, to the byte.
    Prefix,
    /// Any subset of sectors.
    Sectors,
    /// Every byte did, and none of the sizes that show them.
    SizesLost,
    /// The last size did, and the bytes before this one.
    UpTo(u64),
}

/// What a sector holds that belongs to the file by its size but was never written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filler {
    /// Zeros.
    Zeros,
    /// What was on the device before.
    Stale,
}

/// No more is remembered of what lies behind a file's end.
const BEHIND: usize = 64 << 10;

/// What a power cut leaves of a file.
struct Aftermath {
    bytes: Vec<u8>,
    /// What lies behind them.
    behind: Vec<u8>,
    /// Where bytes begin that came up from there.
    unclaimed: Option<u64>,
}

/// A file's bytes, twice.
#[derive(Default, Debug)]
pub(super) struct File {
    cache: Vec<u8>,
    durable: Vec<u8>,
    /// Ascending and disjoint.
    dirty: Vec<Dirty>,
    /// Sizes since the durable one, with when each was taken, oldest first.
    sizes: Vec<(u64, u64)>,
    /// Ranges that a failed write-back left readable in the cache, clean, and not on the device.
    forsaken: Vec<(u64, u64)>,
    /// Counts changes of durable bytes other than growth at the end.
    rewrites: u64,
    /// When the last sync that ended had begun.
    synced: u64,
    /// Writes up to this were given up by a write-back that failed, unless the device had them before.
    given_up: u64,
    /// Whether no name leads here any more; then its bytes count for nothing.
    unlinked: bool,
    /// What the device holds behind the durable bytes: what was written there before, for this file or for an earlier one
    /// of its name. To the byte, as if blocks were as small.
    behind: Vec<u8>,
    unclaimed: Unclaimed,
}

/// Where bytes begin that a power cut brought up from behind the file, until a sync of the file claims them. Bytes that
/// are cut off leave the page cache at once, and the device no sooner than the file's new size reaches it.
#[derive(Clone, Copy, Default, Debug)]
struct Unclaimed {
    cache: Option<u64>,
    device: Option<u64>,
}

impl File {
    /// An empty file, where the device holds `behind`.
    pub(super) fn over(behind: Vec<u8>) -> Self {
        Self {
            behind,
            ..Self::default()
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.cache.len() as u64
    }

    pub(super) fn cache(&self) -> &[u8] {
        &self.cache
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    pub(super) fn rewrites(&self) -> u64 {
        self.rewrites
    }

    /// What the file takes of the device's capacity.
    pub(super) fn occupied(&self) -> u64 {
        if self.unlinked { 0 } else { self.size() }
    }

    /// The last name is gone.
    pub(super) fn unlinked(&mut self) {
        self.unlinked = true;
    }

    /// Where bytes begin, as `view` shows the file, that an earlier write left and nobody claimed.
    pub(super) fn unclaimed(&self, view: View) -> Option<u64> {
        match view {
            View::Cache => self.unclaimed.cache,
            View::Device => self.unclaimed.device,
        }
    }

    /// The bytes that are written and not durable, from the durable size on.
    pub(super) fn undurable(&self) -> &[u8] {
        self.cache.get(self.durable.len()..).unwrap_or_default()
    }

    /// What the device holds from `position` on, where that lies behind the durable bytes.
    pub(super) fn behind(&self, position: u64) -> &[u8] {
        let at = (position as usize).checked_sub(self.durable.len());
        at.and_then(|at| self.behind.get(at..)).unwrap_or_default()
    }

    /// All that the device holds of what the file was.
    pub(super) fn remains(&self) -> Vec<u8> {
        self.behind_of(0)
    }

    /// What lies behind the durable bytes is as good as random.
    pub(super) fn forget_behind(&mut self) {
        self.behind = Vec::new();
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.sizes.is_empty()
    }

    pub(super) fn dirty_bytes(&self) -> u64 {
        self.dirty.iter().map(|range| range.end - range.start).sum()
    }

    pub(super) fn read(&self, position: u64, length: u64) -> &[u8] {
        let start = position.min(self.size()) as usize;
        let end = position.saturating_add(length).min(self.size()) as usize;
        &self.cache[start..end]
    }

    pub(super) fn write(&mut self, position: u64, bytes: &[u8], now: u64) {
        if bytes.is_empty() {
            return;
        }
        let end = position + bytes.len() as u64;
        if end > self.size() {
            self.cache.resize(end as usize, 0);
            self.sizes.push((now, end));
        }
        self.cache[position as usize..end as usize].copy_from_slice(bytes);
        self.mark_dirty(position, end, now);
    }

    /// Makes `start..end` dirty as of `now`; parts of older ranges below it are replaced.
    fn mark_dirty(&mut self, start: u64, end: u64, now: u64) {
        carve(&mut self.forsaken, start, end);
        if let Some(last) = self.dirty.last_mut()
            && last.end == start
            && last.written == now
        {
            last.end = end;
            return;
        }
        if self.dirty.last().is_none_or(|last| last.end <= start) {
            self.dirty.push(Dirty {
                start,
                end,
                written: now,
            });
            return;
        }
        let mut kept = Vec::with_capacity(self.dirty.len() + 2);
        for range in self.dirty.drain(..) {
            if range.start < start {
                kept.push(Dirty {
                    end: range.end.min(start),
                    ..range
                });
            }
            if range.end > end {
                kept.push(Dirty {
                    start: range.start.max(end),
                    ..range
                });
            }
        }
        kept.push(Dirty {
            start,
            end,
            written: now,
        });
        kept.sort_unstable_by_key(|range| range.start);
        self.dirty = kept;
    }

    pub(super) fn truncate(&mut self, size: u64, now: u64) {
        if size == self.size() {
            return;
        }
        self.cache.resize(size as usize, 0);
        self.sizes.push((now, size));
        for range in &mut self.dirty {
            range.end = range.end.min(size);
        }
        self.dirty.retain(|range| range.start < range.end);
        carve(&mut self.forsaken, size, u64::MAX);
        self.unclaimed.cache = self.unclaimed.cache.filter(|&from| from < size);
    }

    /// What a sync that begins now covers.
    pub(super) fn snapshot(&self, now: u64) -> FileSnapshot {
        let piece = |range: &Dirty| Piece {
            start: range.start,
            bytes: self.cache[range.start as usize..range.end as usize].to_vec(),
            written: range.written,
        };
        FileSnapshot {
            began: now,
            size: self.size(),
            pieces: self.dirty.iter().map(piece).collect(),
        }
    }

    /// The sync that took `snapshot` ends: its bytes are durable, but for those that another write-back gave up
    /// meanwhile, because a page is written back once for all who wait for it. Returns whether there were such.
    pub(super) fn persist(&mut self, snapshot: &FileSnapshot) -> bool {
        self.unclaimed = Unclaimed::default();
        if snapshot.began < self.synced {
            // A sync that began later has ended already, and covered all of this.
            return false;
        }
        self.synced = snapshot.began;
        let known = self.durable.len();
        self.set_durable_size(snapshot.size);
        let (lost, kept): (Vec<_>, Vec<_>) = snapshot.pieces.iter().partition(|piece| piece.written <= self.given_up);
        for piece in kept {
            self.set_durable(piece.start as usize, &piece.bytes, known);
        }
        self.settle(snapshot.began);
        !lost.is_empty()
    }

    /// The sync that took `snapshot` failed: the device has its size, none of its bytes.
    pub(super) fn persist_size_only(&mut self, snapshot: &FileSnapshot) {
        if snapshot.began < self.synced {
            return;
        }
        self.set_durable_size(snapshot.size);
        self.sizes.retain(|&(taken, _)| taken > snapshot.began);
        self.forsake(snapshot.began);
    }

    /// What the device holds from `start` on, `length` bytes, with zeros where it holds nothing.
    pub(super) fn durable_part(&self, start: u64, length: usize) -> Vec<u8> {
        let rest = self.durable.get(start as usize..).unwrap_or_default();
        let mut part = rest[..rest.len().min(length)].to_vec();
        part.resize(length, 0);
        part
    }

    /// The device holds `bytes` at `start` from now on, as far as the file goes; the page cache does not know.
    pub(super) fn overwrite(&mut self, start: u64, bytes: &[u8]) {
        let end = (start + bytes.len() as u64).min(self.durable.len() as u64);
        if start < end {
            self.durable[start as usize..end as usize].copy_from_slice(&bytes[..(end - start) as usize]);
            self.rewrites += 1;
            self.forsaken.push((start, end));
        }
    }

    /// Whether the byte at `position` is the same in the page cache and on the device.
    pub(super) fn is_at_rest(&self, position: u64) -> bool {
        let dirty = self
            .dirty
            .iter()
            .any(|range| (range.start..range.end).contains(&position));
        let at = position as usize;
        !dirty && self.durable.get(at).is_some() && self.durable.get(at) == self.cache.get(at)
    }

    /// A bit of a byte at rest is another one from now on, for everybody who reads it.
    pub(super) fn flip(&mut self, position: u64, bit: u8) {
        self.durable[position as usize] ^= 1 << bit;
        self.cache[position as usize] ^= 1 << bit;
        self.rewrites += 1;
    }

    /// Only so many bytes are left, on the device too.
    pub(super) fn shorten(&mut self, size: u64) {
        self.cache.truncate(size as usize);
        self.durable = self.cache.clone();
        self.behind = Vec::new();
        self.unclaimed = Unclaimed::default();
        self.dirty.clear();
        self.sizes.clear();
        self.forsaken.clear();
        self.rewrites += 1;
    }

    /// The part of what a sync will make durable that lies in the sector of its byte `at`, counted over all its pieces.
    pub(super) fn sector_of(snapshot: &FileSnapshot, mut at: u64) -> Option<(u64, Vec<u8>)> {
        for Piece { start, bytes, .. } in &snapshot.pieces {
            if at >= bytes.len() as u64 {
                at -= bytes.len() as u64;
                continue;
            }
            let sector = (start + at) / SECTOR * SECTOR;
            let from = sector.max(*start);
            let to = (sector + SECTOR).min(start + bytes.len() as u64);
            return Some((from, bytes[(from - start) as usize..(to - start) as usize].to_vec()));
        }
        None
    }

    /// Everything up to `began` is clean.
    fn settle(&mut self, began: u64) {
        self.dirty.retain(|range| range.written > began);
        self.sizes.retain(|&(taken, _)| taken > began);
    }

    /// Write-back of everything up to `began` failed: the pages are clean and hold bytes that the device does not.
    pub(super) fn forsake(&mut self, began: u64) {
        let lost = self.dirty.iter().filter(|range| range.written <= began);
        self.forsaken.extend(lost.map(|range| (range.start, range.end)));
        self.dirty.retain(|range| range.written > began);
        self.given_up = self.given_up.max(began);
    }

    /// Clean pages that the device does not have leave the cache, those that `leaves` picks; the next read sees what the
    /// device has. Returns whether there were such.
    pub(super) fn evict_forsaken(&mut self, mut leaves: impl FnMut() -> bool) -> bool {
        let (gone, kept): (Vec<_>, Vec<_>) = self.forsaken.drain(..).partition(|_| leaves());
        self.forsaken = kept;
        for &(start, end) in &gone {
            for at in start..end.min(self.size()) {
                self.cache[at as usize] = self.durable.get(at as usize).copied().unwrap_or(0);
            }
        }
        !gone.is_empty()
    }

    fn set_durable_size(&mut self, size: u64) {
        self.unclaimed.device = self.unclaimed.device.filter(|&from| from < size);
        let size = size as usize;
        if size < self.durable.len() {
            self.rewrites += 1;
        }
        if size != self.durable.len() {
            self.behind = self.behind_of(size);
        }
        self.durable.resize(size, 0);
    }

    /// What lies behind the durable bytes where there are `size` of them.
    fn behind_of(&self, size: usize) -> Vec<u8> {
        let shown = self.durable.get(size..).unwrap_or_default();
        let hidden = self.behind.get(size.saturating_sub(self.durable.len())..);
        let mut behind = [shown, hidden.unwrap_or_default()].concat();
        behind.truncate(BEHIND);
        behind
    }

    /// Puts `bytes` at `start`, as far as the file's size goes. Only what lay below `known` counts as a rewrite.
    fn set_durable(&mut self, start: usize, bytes: &[u8], known: usize) {
        let end = (start + bytes.len()).min(self.durable.len());
        if start >= end {
            return;
        }
        let source = &bytes[..end - start];
        let old_end = known.clamp(start, end);
        if self.durable[start..old_end] != source[..old_end - start] {
            self.rewrites += 1;
        }
        self.durable[start..end].copy_from_slice(source);
    }

    /// The power goes. Returns whether the device ended up with something else than the cache held.
    pub(super) fn cut(&mut self, tear: Tear, filler: Filler, draw: &mut Draw) -> bool {
        self.unlinked = false;
        if !self.is_dirty() && self.forsaken.is_empty() {
            return false;
        }
        let durable = self.durable.len() as u64;
        let size = match tear {
            Tear::Nothing | Tear::SizesLost => durable,
            Tear::Everything | Tear::UpTo(_) => self.sizes.last().map_or(durable, |&(_, size)| size),
            Tear::Prefix | Tear::Sectors => {
                let which = draw.index(self.sizes.len() + 1);
                which.checked_sub(1).map_or(durable, |which| self.sizes[which].1)
            }
        };
        let mut after = Aftermath {
            bytes: self.durable.clone(),
            behind: self.behind_of(size as usize),
            unclaimed: self.unclaimed.device.filter(|&from| from < size),
        };
        after.bytes.resize(size as usize, 0);
        for range in std::mem::take(&mut self.dirty) {
            self.tear_range(&range, tear, filler, &mut after, draw);
        }
        let torn = after.bytes != self.cache;
        self.cache.clone_from(&after.bytes);
        if after.bytes != self.durable {
            self.rewrites += 1;
        }
        self.durable = after.bytes;
        self.behind = after.behind;
        self.unclaimed = Unclaimed {
            cache: after.unclaimed,
            device: after.unclaimed,
        };
        self.sizes.clear();
        self.forsaken.clear();
        torn
    }

    /// Writes what arrived of `range` to `after`, a sector at a time.
    fn tear_range(&self, range: &Dirty, tear: Tear, filler: Filler, after: &mut Aftermath, draw: &mut Draw) {
        let prefix_end = if tear == Tear::Prefix {
            draw.within(range.start, range.end)
        } else {
            range.end
        };
        let mut start = range.start;
        while start < range.end {
            let end = ((start / SECTOR + 1) * SECTOR).min(range.end);
            let arrived_end = match tear {
                Tear::Nothing => start,
                Tear::Everything | Tear::SizesLost => end,
                Tear::UpTo(byte) => byte.clamp(start, end),
                Tear::Prefix => prefix_end.clamp(start, end),
                Tear::Sectors => [start, end][usize::from(draw.chance(1, 2))],
            };
            let size = after.bytes.len();
            for at in start..end.min(size as u64) {
                let index = at as usize;
                if at < arrived_end {
                    after.bytes[index] = self.cache[index];
                } else if index >= self.durable.len() && filler == Filler::Stale {
                    let random = draw.below(256) as u8;
                    let before = self.behind.get(index - self.durable.len()).copied();
                    after.bytes[index] = before.unwrap_or(random);
                    if before.is_some() {
                        after.unclaimed = Some(after.unclaimed.map_or(at, |from| from.min(at)));
                    }
                }
            }
            // What arrived without a size that shows it.
            for at in (start as usize).max(size)..arrived_end as usize {
                let behind = at - size;
                if behind < BEHIND {
                    after.behind.resize(after.behind.len().max(behind + 1), 0);
                    after.behind[behind] = self.cache[at];
                }
            }
            start = end;
        }
    }
}

/// Removes `start..end` from `ranges`.
fn carve(ranges: &mut Vec<(u64, u64)>, start: u64, end: u64) {
    if ranges.is_empty() {
        return;
    }
    let mut kept = Vec::with_capacity(ranges.len() + 1);
    for &(from, to) in ranges.iter() {
        if from < start {
            kept.push((from, to.min(start)));
        }
        if to > end {
            kept.push((from.max(end), to));
        }
    }
    *ranges = kept;
}
