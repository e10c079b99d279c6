//! Looks for a whole batch behind a bad one: in a log that is written one by one it proves that the bad one was durable.
//!
//! Invariants: no byte before the bad batch's second is looked at; nothing is held in memory but a header.

use super::{CHUNK, Recover, Step, Turn};
use crate::record::{BatchHeader, CRC_COVERS_FROM, HEADER_LEN, crc};
use crate::storage::FileOp;
use crate::types::{Fault, LeaderEpoch, Offset};
use alloc::format;

/// The search.
#[derive(Default, Debug)]
pub(super) struct Behind {
    /// No batch begins before this byte.
    from: u64,
    candidate: Option<Candidate>,
}

/// Something that begins as a batch would.
#[derive(Debug)]
struct Candidate {
    position: u64,
    header: BatchHeader,
    /// Where its unread bytes begin, and how many they are.
    next: u64,
    left: u64,
    crc: u32,
}

/// What a batch behind the bad one must be like.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// The offset at which the log would be cut.
    end: Offset,
    /// Bytes in the file.
    size: u64,
    latest: LeaderEpoch,
}

impl Limits {
    fn allow(&self, header: &BatchHeader, position: u64) -> bool {
        let fits = header
            .total_len()
            .is_ok_and(|length| length as u64 <= self.size - position);
        let ahead = header.base_offset.since(self.end);
        header.check_magic().is_ok()
            && fits
            && ahead > 0
            && header.last_offset_delta >= 0
            && header.record_count > 0
            && (LeaderEpoch(0)..=self.latest).contains(&header.partition_leader_epoch)
    }
}

impl Behind {
    pub(super) fn from(from: u64) -> Self {
        let candidate = None;
        Self { from, candidate }
    }

    /// What to read next of a file of `size` bytes: where, and how much; `None` at its end.
    fn next_read(&self, size: u64) -> Option<(u64, u32)> {
        let (position, length) = match &self.candidate {
            Some(candidate) => (candidate.next, candidate.left),
            None => (self.from, size.saturating_sub(self.from)),
        };
        let enough = self.candidate.is_some() || length >= HEADER_LEN as u64;
        enough.then_some((position, length.min(CHUNK) as u32))
    }

    /// Takes what was read; the offset of the batch that was found, once one is whole.
    fn feed(&mut self, bytes: &[u8], limits: &Limits) -> Option<Offset> {
        let Some(mut candidate) = self.candidate.take() else {
            self.search(bytes, limits);
            return self.judge();
        };
        candidate.crc = crc::extend(candidate.crc, bytes);
        candidate.next += bytes.len() as u64;
        candidate.left = candidate.left.saturating_sub(bytes.len() as u64);
        if bytes.is_empty() {
            self.from = candidate.position + 1;
            return None;
        }
        self.candidate = Some(candidate);
        self.judge()
    }

    fn judge(&mut self) -> Option<Offset> {
        let candidate = self.candidate.take_if(|candidate| candidate.left == 0)?;
        self.from = candidate.position + 1;
        (candidate.crc == candidate.header.crc).then_some(candidate.header.base_offset)
    }

    fn search(&mut self, bytes: &[u8], limits: &Limits) {
        for (position, window) in (self.from..).zip(bytes.windows(HEADER_LEN)) {
            let Some(window) = window.first_chunk() else { break };
            let header = BatchHeader::parse(window);
            if limits.allow(&header, position) {
                let length = header.total_len().map_or(HEADER_LEN, |length| length) as u64;
                self.candidate = Some(Candidate {
                    position,
                    header,
                    next: position + HEADER_LEN as u64,
                    left: length - HEADER_LEN as u64,
                    crc: crc::crc32c(&window[CRC_COVERS_FROM..]),
                });
                return;
            }
        }
        let searched = (bytes.len() + 1).saturating_sub(HEADER_LEN) as u64;
        self.from = if searched == 0 { u64::MAX } else { self.from + searched };
    }
}

impl Recover {
    /// Reads on behind the bad batch; at the end of the segment, it was torn.
    pub(super) fn look_behind(&mut self) -> Turn {
        let size = self.listed[self.at].size;
        let Some((position, length)) = self.behind.next_read(size) else {
            return self.cut();
        };
        let file = self.segment_file;
        self.io(Step::BehindRead, FileOp::Read { file, position, length })
    }

    pub(super) fn behind_read(&mut self, bytes: &[u8]) -> Turn {
        let limits = Limits {
            end: self.state.segment.end,
            size: self.listed[self.at].size,
            latest: self.settings.latest_epoch,
        };
        let Some(found) = self.behind.feed(bytes, &limits) else {
            return self.look_behind();
        };
        let path = self.place.segment(self.state.segment.base);
        let (at, byte) = (limits.end, self.state.segment.size);
        let text = format!(
            "{path}, byte {byte}: the batch at offset {at} is damaged; it was synced, because the batch at offset {found} \
             was written after it and is whole"
        );
        self.fail(Fault::Corruption(text))
    }
}
