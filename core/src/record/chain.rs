//! Follows the headers of batches as their bytes pass by, in pieces of any size.
//!
//! Invariants:
//! - no byte of a header is admitted that is not what is due there, as far as Kafka's CRC does not cover it: a rotten
//!   offset, length, leader epoch or magic is never taken for a sound one, but for an offset that compaction's gaps allow;
//! - the range ends where a batch does;
//! - nothing but headers is looked at.

use super::header::{BatchHeader, HEADER_LEN};
use crate::bugs::bug;
use crate::types::{Broken, Chain, Content, Cursor, Due, Gaps, LeaderEpoch, Offset};

impl Due {
    /// Whether a batch with this header may begin where `next` is the offset after the batch before it, and `epoch` its
    /// leader epoch.
    pub(crate) fn admits(&self, header: &BatchHeader, next: Offset, epoch: LeaderEpoch) -> bool {
        let base = header.base_offset;
        let follows = match self.gaps {
            Gaps::None => base == next,
            Gaps::Allowed => base >= next,
        };
        let known = self.epochs.iter().rev().find(|(_, from)| *from <= base);
        let of_epoch = match (known, self.epochs.first()) {
            (Some((due, _)), _) => header.partition_leader_epoch == *due,
            (None, Some((first, _))) => (epoch..=*first).contains(&header.partition_leader_epoch),
            (None, None) => header.partition_leader_epoch >= epoch,
        };
        let whole = header.last_offset_delta >= 0 && header.next_offset() <= self.end;
        header.check_magic().is_ok() && follows && of_epoch && whole
    }
}

impl Chain {
    /// The batches from `start` to `end`, places between two batches: the byte in the file, and the offset. `epochs` are
    /// those of the records between, and where each begins.
    pub fn new(
        start: (u64, Offset),
        end: (u64, Offset),
        gaps: Gaps,
        epochs: alloc::vec::Vec<(LeaderEpoch, Offset)>,
    ) -> Self {
        let cursor = Cursor {
            left: end.0 - start.0,
            skip: 0,
            next: start.1,
            epoch: LeaderEpoch(0),
            last: start,
            seen: 0,
            header: [0; HEADER_LEN],
        };
        Self {
            due: Due {
                gaps,
                end: end.1,
                epochs,
            },
            end_position: end.0,
            sent: cursor,
            ahead: cursor,
            looked: 0,
        }
    }

    /// The range ends earlier: `bytes` before its end, where a batch ends before `end`. Nothing was sent of it.
    pub(crate) fn shorten(&mut self, bytes: u64, end: Offset) {
        self.end_position -= bytes;
        self.sent.left -= bytes;
        self.ahead = self.sent;
        self.due.end = end;
    }

    /// Looks at what may be sent next. An error says that none of it may.
    pub fn look(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.ahead = self.sent;
        self.looked = bytes.len();
        follow(&self.due, self.end_position, &mut self.ahead, bytes)
    }

    /// These bytes, with which those begin that were looked at last, were sent.
    pub fn sent(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if bytes.len() == self.looked {
            self.sent = self.ahead;
        } else {
            assert!(bytes.len() < self.looked, "what was looked at is sent");
            let sent = follow(&self.due, self.end_position, &mut self.sent, bytes);
            assert!(sent.is_ok(), "what was admitted is sent");
        }
        self.looked = 0;
    }

    /// Looks at the next bytes, and takes them for sent.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.look(bytes)?;
        self.sent(bytes);
        Ok(())
    }
}

impl Content {
    /// Looks at the next bytes, and takes them for sent; an error says that they may not be.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        match self {
            Self::Opaque => Ok(()),
            Self::Batches(chain) => chain.pass(bytes),
        }
    }
}

fn follow(due: &Due, end: u64, cursor: &mut Cursor, mut bytes: &[u8]) -> Result<(), Broken> {
    if bug!(HeaderRotServed) {
        return Ok(());
    }
    loop {
        let skipped = cursor.skip.min(bytes.len() as u64);
        cursor.skip -= skipped;
        bytes = &bytes[skipped as usize..];
        if bytes.is_empty() {
            return Ok(());
        }
        let wanted = (HEADER_LEN - cursor.seen).min(bytes.len());
        let (taken, rest) = bytes.split_at(wanted);
        cursor.header[cursor.seen..cursor.seen + wanted].copy_from_slice(taken);
        cursor.seen += wanted;
        bytes = rest;
        if cursor.seen == HEADER_LEN {
            cursor.seen = 0;
            step(due, end, cursor)?;
        }
    }
}

/// A header is complete.
fn step(due: &Due, end: u64, cursor: &mut Cursor) -> Result<(), Broken> {
    let broken = |(position, offset)| Err(Broken { position, offset });
    let header = BatchHeader::parse(&cursor.header);
    if !due.admits(&header, cursor.next, cursor.epoch) {
        // Or the batch before it claims another length than it has.
        return broken(cursor.last);
    }
    cursor.last = (end - cursor.left, cursor.next);
    let length = header.total_len().map_or(u64::MAX, |length| length as u64);
    let Some(left) = cursor.left.checked_sub(length) else {
        return broken(cursor.last);
    };
    let ends = match due.gaps {
        Gaps::None => (left == 0) == (header.next_offset() == due.end),
        Gaps::Allowed => true,
    };
    if !ends || (1..HEADER_LEN as u64).contains(&left) {
        return broken(cursor.last);
    }
    *cursor = Cursor {
        left,
        skip: length - HEADER_LEN as u64,
        next: header.next_offset(),
        epoch: header.partition_leader_epoch,
        ..*cursor
    };
    Ok(())
}
