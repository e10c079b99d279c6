//! Slabs that reads land in, one behind the other.

use bytes::BytesMut;
use std::collections::VecDeque;

/// The size of a slab in bytes.
pub(crate) const SLAB: usize = 256 << 10;

/// A slab with less room than this is not read into any more.
const WORTHWHILE: usize = 32 << 10;

/// Slabs looked at before a new one is made.
const LOOKS: usize = 8;

/// Slabs kept for reuse when nothing is in them.
const KEPT: usize = 4;

/// The slabs of a shard: one that is read into, the others full and waiting for their frames to drop.
#[derive(Debug)]
pub(crate) struct Slabs {
    current: Option<BytesMut>,
    full: VecDeque<BytesMut>,
    limit: usize,
}

impl Slabs {
    /// Slabs of at most `bytes` together, and never less than two.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            current: None,
            full: VecDeque::new(),
            limit: (bytes / SLAB).max(2),
        }
    }

    /// A slab with room to read into, empty; `None` while the frames in all of them are in use.
    pub(crate) fn current(&mut self) -> Option<&mut BytesMut> {
        if self.current.as_ref().is_none_or(|slab| slab.capacity() < WORTHWHILE) {
            let next = self.next()?;
            if let Some(full) = self.current.replace(next) {
                self.full.push_back(full);
            }
        }
        self.current.as_mut()
    }

    fn next(&mut self) -> Option<BytesMut> {
        if let Some(slab) = self.reclaim(LOOKS) {
            return Some(slab);
        }
        if self.count() < self.limit {
            return Some(BytesMut::with_capacity(SLAB));
        }
        self.reclaim(usize::MAX)
    }

    /// The first of the slabs whose frames have all dropped, among `looks` of them.
    fn reclaim(&mut self, looks: usize) -> Option<BytesMut> {
        for _ in 0..looks.min(self.full.len()) {
            let mut slab = self.full.pop_front()?;
            if slab.try_reclaim(SLAB) {
                return Some(slab);
            }
            self.full.push_back(slab);
        }
        // The one being read into may be free itself, when all others are held.
        self.current
            .as_mut()
            .is_some_and(|slab| slab.try_reclaim(SLAB))
            .then(|| self.current.take())
            .flatten()
    }

    fn count(&self) -> usize {
        self.full.len() + usize::from(self.current.is_some())
    }

    /// Bytes of all slabs.
    pub(crate) fn bytes(&self) -> usize {
        self.count() * SLAB
    }

    /// Frees slabs that nothing lies in, beyond a few. Answers whether more may become free.
    pub(crate) fn trim(&mut self) -> bool {
        for _ in KEPT..self.full.len().max(KEPT) {
            match self.reclaim(LOOKS) {
                Some(slab) => drop(slab),
                None => break,
            }
        }
        self.full.len() > KEPT
    }
}

#[cfg(test)]
mod tests {
    use super::{SLAB, Slabs};

    fn fill(slabs: &mut Slabs) -> bytes::Bytes {
        let slab = slabs.current().expect("a slab is free");
        let room = slab.capacity();
        slab.resize(room, 1);
        slab.split().freeze()
    }

    #[test]
    fn frames_pack_densely_into_one_slab() {
        let mut slabs = Slabs::new(4 * SLAB);
        let mut frames = Vec::new();
        for byte in 0..100_u8 {
            let slab = slabs.current().expect("a slab is free");
            slab.extend_from_slice(&[byte; 1000]);
            frames.push(slab.split().freeze());
        }
        assert_eq!(slabs.bytes(), SLAB);
        for (byte, frame) in (0..100_u8).zip(&frames) {
            assert_eq!(frame, &vec![byte; 1000]);
        }
    }

    #[test]
    fn a_slab_comes_back_when_its_frames_drop_and_not_before() {
        let mut slabs = Slabs::new(2 * SLAB);
        let first = fill(&mut slabs);
        let second = fill(&mut slabs);
        assert!(slabs.current().is_none());
        let address = first.as_ptr();
        drop(first);
        assert_eq!(fill(&mut slabs).as_ptr(), address);
        assert_eq!(second.len(), SLAB);
        assert_eq!(slabs.bytes(), 2 * SLAB);
    }

    #[test]
    fn unused_slabs_are_let_go() {
        let mut slabs = Slabs::new(64 * SLAB);
        let frames: Vec<_> = (0..40).map(|_| fill(&mut slabs)).collect();
        assert_eq!(slabs.bytes(), 40 * SLAB);
        drop(frames);
        slabs.trim();
        assert!(slabs.bytes() <= 5 * SLAB);
    }
}
