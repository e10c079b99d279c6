//! Single batches whose bounds are known although no index entry names them: what look-ups found.
//!
//! Invariant: a place between two batches is known by an offset that lies behind the last record before it, and not behind
//! the first after it. Where compaction left a gap, every offset in it will do.

use crate::types::Offset;
use alloc::collections::VecDeque;

/// A batch and where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// The base offset of the segment.
    pub(super) segment: Offset,
    /// The batch's first offset, or where the gap in front of it begins. Behind the last batch of a segment, the gap alone.
    pub(super) base: Offset,
    /// The offset after its last.
    pub(super) next: Offset,
    /// Its first byte in the segment.
    pub(super) position: u64,
    /// The byte after its last.
    pub(super) end: u64,
}

/// How many are remembered of each log.
const KEPT: usize = 16;

/// The batches found last.
#[derive(Debug, Default)]
pub(super) struct Spans {
    ring: VecDeque<Span>,
}

impl Spans {
    pub(super) fn add(&mut self, span: Span) {
        if self.ring.contains(&span) {
            return;
        }
        if self.ring.len() == KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(span);
    }

    /// The batch that holds `offset`.
    pub(super) fn holding(&self, offset: Offset) -> Option<Span> {
        let holds = |span: &&Span| span.base <= offset && offset < span.next;
        self.ring.iter().find(holds).copied()
    }

    /// Every place between batches that is known of a segment.
    pub(super) fn bounds(&self, segment: Offset) -> impl Iterator<Item = (Offset, u64)> {
        let of_segment = self.ring.iter().filter(move |span| span.segment == segment);
        of_segment.flat_map(|span| [(span.base, span.position), (span.next, span.end)])
    }

    /// Drops what is known of segments that begin from `base` on, below `end`.
    pub(super) fn forget(&mut self, base: Offset, end: Offset) {
        self.ring.retain(|span| span.segment < base || span.segment >= end);
    }

    /// Drops what lies below `start`.
    pub(super) fn advance_start(&mut self, start: Offset) {
        self.ring.retain(|span| span.segment >= start || span.next > start);
    }
}
