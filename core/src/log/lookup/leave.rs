//! The end of a look-up: what else it read is checked, and what is not sound leaves the page cache.
//!
//! A look-up reads more than it looks at: a window behind the last batch that it needed, the beginning of a batch that is
//! larger than a window. Later all of that is served from the page cache, without a check.
//!
//! Invariant: of each byte that a look-up read, but for less than a header behind the last batch, either the CRC of its batch
//! was checked, or the page cache was asked to forget it.

use super::{Lookup, LookupOutcome, Phase, WINDOW};
use crate::record::{BatchHeader, CRC_COVERS_FROM, HEADER_LEN, crc};
use crate::storage::{FileOp, Next};

impl Lookup {
    /// The first byte behind those that were read last.
    pub(super) fn window_end(&self) -> u64 {
        self.window_at + self.window.len() as u64
    }

    /// Nobody knows whether these bytes are sound.
    pub(super) fn doubt(&mut self, from: u64, to: u64) {
        let (first, last) = self.doubtful.unwrap_or((from, to));
        self.doubtful = Some((first.min(from), last.max(to)));
    }

    /// Nothing more is needed of the segment.
    pub(super) fn leave(&mut self) -> Next<LookupOutcome> {
        let end = self.window_end();
        while let Some(header) = self.rest().first_chunk::<HEADER_LEN>() {
            let (at, header) = (self.looked_to, BatchHeader::parse(header));
            let length = header.check_magic().and_then(|()| header.total_len());
            let length = length.map_or(u64::MAX, |length| length as u64);
            if let Some(whole) = usize::try_from(length)
                .ok()
                .and_then(|length| self.rest().get(..length))
            {
                if crc::crc32c(&whole[CRC_COVERS_FROM..]) != header.crc {
                    self.doubt(at, at + length);
                }
                self.looked_to += length;
            } else if length <= WINDOW && at + length <= self.settings.readable && self.phase != Phase::RestRead {
                return self.read(at, length, Phase::RestRead);
            } else {
                self.doubt(at, end);
                self.looked_to = end;
            }
        }
        match self.doubtful.take() {
            Some((from, to)) => {
                self.phase = Phase::Forgotten;
                Next::Io(FileOp::Forget {
                    file: self.file,
                    position: from,
                    length: to - from,
                })
            }
            None => self.close(Phase::Closed),
        }
    }

    /// What was read and not looked at.
    fn rest(&self) -> &[u8] {
        let skip = self.looked_to.checked_sub(self.window_at);
        let skip = skip.and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.window.get(skip..)).unwrap_or_default()
    }
}
