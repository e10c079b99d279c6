//! Reads a segment, and has the device hold what the page cache shows of it.
//!
//! A sync that failed leaves pages that can be read, count as clean, and are not on the device; and a process that starts
//! later is told nothing of it: its own sync succeeds without writing anything. So whatever nobody knows to have been
//! synced is written once more, byte for byte and where it stands, before it is synced and believed.
//!
//! Invariants:
//! - only batches that were just found good are written, and only where they were read: no power cut can make less of them
//!   than the sync that they had not seen; a batch of more than [`HELD`] bytes is written as it is read;
//! - nothing is written that a checkpoint, a note or the manifest covers, nor what compaction made: that was synced. Nor is
//!   anything with `flush=os`, which promises the page cache and no more.

use super::scan::{Bad, Rules};
use super::{Recover, Step, Turn};
use crate::bugs::bug;
use crate::config::FlushMode;
use crate::log::config::Writes;
use crate::marks::mark;
use crate::storage::{FileOp, Piece};
use crate::types::{Fault, LeaderEpoch};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

/// The most bytes of a batch that are kept until all of it was read.
const HELD: u64 = 8 << 20;

/// What was read and is not known to be good yet.
#[derive(Default, Debug)]
pub(super) struct Held {
    /// Where in the segment it begins.
    position: u64,
    pieces: VecDeque<Bytes>,
    bytes: u64,
}

impl Held {
    /// Nothing, in front of the byte at `position`.
    pub(super) fn before(position: u64) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }

    fn push(&mut self, bytes: &Bytes) {
        self.bytes += bytes.len() as u64;
        self.pieces.push_back(bytes.clone());
    }

    /// Takes out what lies in front of the byte at `upto`.
    fn take(&mut self, upto: u64) -> Vec<Piece> {
        let mut left = upto.saturating_sub(self.position).min(self.bytes);
        self.position += left;
        self.bytes -= left;
        let mut taken = Vec::new();
        while left > 0 {
            let Some(mut piece) = self.pieces.pop_front() else {
                break;
            };
            if piece.len() as u64 > left {
                self.pieces.push_front(piece.split_off(left as usize));
            }
            left -= piece.len() as u64;
            taken.push(Piece::Body(piece));
        }
        taken
    }
}

/// What comes after the bytes that were found good are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// The next bytes.
    Read,
    /// The end: what follows is bad.
    Tear,
}

impl Recover {
    /// The next bytes of the segment were read.
    pub(super) fn chunk(&mut self, bytes: &Bytes) -> Turn {
        if bytes.is_empty() {
            return self.tear();
        }
        self.position += bytes.len() as u64;
        // With `flush=os` nobody was promised more than the page cache.
        let settled = self.settings.flush == FlushMode::Os || self.state.segment.cleaning.is_some();
        if !settled && !bug!(CleanPagesTrusted) {
            self.held.push(bytes);
        }
        let rules = Rules {
            size: self.listed[self.at].size,
            latest: self.settings.latest_epoch,
            interval: self.settings.index_interval_bytes,
            promised: self.promised,
        };
        let then = match self.scan.feed(bytes, &rules, &mut self.state) {
            Ok(()) => Then::Read,
            // The batch in front of it was synced before this one was written: it is that one's epoch that may be wrong.
            Err(Bad::Epoch(epoch)) if self.settings.writes == Writes::OneByOne => return self.wrong_epoch(epoch),
            Err(Bad::Torn | Bad::Epoch(_)) => Then::Tear,
        };
        self.renew(then)
    }

    fn wrong_epoch(&mut self, epoch: LeaderEpoch) -> Turn {
        let path = self.place.segment(self.state.segment.stem());
        let (at, epoch) = (self.state.segment.end, epoch.0);
        let text = format!(
            "{path}, offset {at}: a whole batch carries leader epoch {epoch}, which does not follow the batches \
             before it, or is later than the present one"
        );
        self.fail(Fault::Corruption(text))
    }

    /// Writes what was found good, if nothing says that it was synced.
    fn renew(&mut self, then: Then) -> Turn {
        drop(self.held.take(self.scan.promised_bytes));
        let mut good = self.state.segment.size;
        if self.held.bytes > HELD && matches!(then, Then::Read) {
            if self.scan.is_within(self.promised) {
                drop(self.held.take(self.position));
            }
            good = self.position;
        }
        let position = self.held.position;
        let pieces = self.held.take(good);
        if pieces.is_empty() {
            return self.renewed(then);
        }
        mark!(TailWrittenAnew);
        self.report.bytes_renewed += self.held.position - position;
        let file = self.segment_file;
        self.io(Step::Renewed(then), FileOp::Write { file, position, pieces })
    }

    pub(super) fn renewed(&mut self, then: Then) -> Turn {
        match then {
            Then::Read => self.read_chunk(),
            Then::Tear => self.tear(),
        }
    }
}
