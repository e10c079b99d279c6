//! Places in a log whose bytes are not what was synced, as somebody found who was sending them.
//!
//! Invariants:
//! - no range goes on across such a place; what begins there is read by a look-up first, which checks its header and its
//!   CRC, and is refused if they are wrong;
//! - a place that turns out to be sound is forgotten: two batches were proven, the one that begins there, whose length
//!   may have been wrong, and the one behind it.

use super::machine::Log;
use crate::types::{Broken, FileId, Offset};
use alloc::collections::VecDeque;

/// A doubtful place between two batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Doubt {
    /// The base offset of the segment.
    pub(super) segment: Offset,
    pub(super) position: u64,
    pub(super) offset: Offset,
    /// The batch before it was doubtful, and is sound.
    follows_sound: bool,
}

/// How many are remembered of each log. One that is forgotten is found again, and costs one more connection: a header is
/// looked at wherever it comes from, and a rotten body was dropped from the page cache, so it comes from the device.
const KEPT: usize = 1024;

/// The doubtful places of a log.
#[derive(Default, Debug)]
pub(super) struct Damage {
    doubts: VecDeque<Doubt>,
}

impl Damage {
    /// Returns whether it was not known.
    fn add(&mut self, doubt: Doubt) -> bool {
        let known = |other: &Doubt| (other.segment, other.position) == (doubt.segment, doubt.position);
        if self.doubts.iter().any(known) {
            return false;
        }
        if self.doubts.len() == KEPT {
            self.doubts.pop_front();
        }
        self.doubts.push_back(doubt);
        true
    }

    /// The first doubtful place of the segment from the byte `from` on, before `to`.
    pub(super) fn within(&self, segment: Offset, from: u64, to: u64) -> Option<Doubt> {
        let inside = self.doubts.iter().filter(|doubt| doubt.segment == segment);
        let inside = inside.filter(|doubt| (from..to).contains(&doubt.position));
        inside.min_by_key(|doubt| doubt.position).copied()
    }

    /// The batch that begins at this byte of the segment is sound, and ends at another byte, before an offset.
    pub(super) fn proven(&mut self, segment: Offset, position: u64, end: (u64, Offset)) {
        let at = |doubt: &Doubt| doubt.segment == segment && doubt.position == position;
        let Some(place) = self.doubts.iter().position(at) else {
            return;
        };
        let doubt = self.doubts.remove(place);
        if doubt.is_some_and(|doubt| !doubt.follows_sound) {
            self.add(Doubt {
                segment,
                position: end.0,
                offset: end.1,
                follows_sound: true,
            });
        }
    }

    /// Segments that begin from `base` on, below `end`, are not what they were.
    pub(super) fn forget(&mut self, base: Offset, end: Offset) {
        self.doubts.retain(|doubt| doubt.segment < base || doubt.segment >= end);
    }
}

impl Log {
    /// Whoever sent from `file` found that something else is there than must be. Returns whether that is news.
    pub fn found_broken(&mut self, file: FileId, broken: Broken) -> bool {
        let Some(segment) = self.segments.iter().find(|segment| segment.file == file) else {
            return false;
        };
        self.damage.add(Doubt {
            segment: segment.base,
            position: broken.position,
            offset: broken.offset,
            follows_sound: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(position: u64) -> Doubt {
        Doubt {
            segment: Offset(0),
            position,
            offset: Offset(position as i64),
            follows_sound: false,
        }
    }

    #[test]
    fn of_too_many_places_the_oldest_is_forgotten_and_may_be_found_again() {
        let mut damage = Damage::default();
        let places = 0..=KEPT as u64;
        assert!(
            places.clone().all(|place| damage.add(doubt(place * 100))),
            "each is news"
        );
        assert_eq!(damage.doubts.len(), KEPT);
        assert_eq!(damage.within(Offset(0), 0, 100), None);
        assert!(places.clone().skip(1).all(|place| !damage.add(doubt(place * 100))));
        assert!(damage.add(doubt(0)), "it is news once more");
        assert_eq!(damage.within(Offset(0), 0, 300), Some(doubt(0)));
        assert_eq!(damage.doubts.len(), KEPT);
    }
}
