//! Follows the headers of batches as their bytes pass by, in pieces of any size, and checks the CRC of those that come from
//! the device.
//!
//! Invariants:
//! - no byte of a header is admitted that is not what is due there, as far as Kafka's CRC does not cover it: a rotten
//!   offset, length, leader epoch or magic is never taken for a sound one, but for an offset that compaction's gaps allow;
//! - the range ends where a batch does;
//! - of a batch of which any byte came from the device, the last piece is admitted only once the CRC over all of it is
//!   right;
//! - of what came from the page cache nothing but headers is looked at, but for the rest of such a batch.

use super::crc;
use super::header::{BatchHeader, CRC_COVERS_FROM, HEADER_LEN};
use crate::bugs::bug;
use crate::types::{Broken, Chain, Check, Content, Cursor, Due, Flaw, Gaps, LeaderEpoch, Offset, Origin};

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
            check: Check::None,
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
            origin: Origin::Cache,
        }
    }

    /// The range ends earlier: `bytes` before its end, where a batch ends before `end`. Nothing was sent of it.
    pub(crate) fn shorten(&mut self, bytes: u64, end: Offset) {
        self.end_position -= bytes;
        self.sent.left -= bytes;
        self.ahead = self.sent;
        self.due.end = end;
    }

    /// Looks at what may be sent next. An error says that none of it may. Of what comes from the device, whoever calls has
    /// to [catch up](Self::catch_up) on what is [unchecked](Self::unchecked) first.
    pub fn look(&mut self, bytes: &[u8], origin: Origin) -> Result<(), Broken> {
        self.ahead = self.sent;
        self.looked = bytes.len();
        self.origin = origin;
        follow(&self.due, self.end_position, &mut self.ahead, bytes, origin)
    }

    /// Where in the file the bytes lie, and how many they are, that were sent of a batch in progress without a look at its
    /// CRC, as they came from the page cache.
    pub fn unchecked(&self) -> Option<(u64, u64)> {
        let cursor = &self.sent;
        let body = cursor.last.0 + HEADER_LEN as u64;
        let length = (self.end_position - cursor.left - cursor.skip).checked_sub(body)?;
        (cursor.skip > 0 && length > 0 && cursor.check == Check::None).then_some((body, length))
    }

    /// Takes the next of the bytes that are [unchecked](Self::unchecked); all of them are to be shown, in order.
    pub fn catch_up(&mut self, bytes: &[u8]) {
        let crc = match self.sent.check {
            Check::None => self.sent.header_crc(),
            Check::Running(crc) => crc,
        };
        self.sent.check = Check::Running(crc::extend(crc, bytes));
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
            let sent = follow(&self.due, self.end_position, &mut self.sent, bytes, self.origin);
            assert!(sent.is_ok(), "what was admitted is sent");
        }
        self.looked = 0;
    }

    /// Looks at the next bytes, and takes them for sent.
    pub fn pass(&mut self, bytes: &[u8], origin: Origin) -> Result<(), Broken> {
        self.look(bytes, origin)?;
        self.sent(bytes);
        Ok(())
    }
}

impl Content {
    /// Looks at the next bytes, and takes them for sent; an error says that they may not be.
    pub fn pass(&mut self, bytes: &[u8], origin: Origin) -> Result<(), Broken> {
        match self {
            Self::Opaque => Ok(()),
            Self::Batches(chain) => chain.pass(bytes, origin),
        }
    }

    /// [`Chain::unchecked`].
    pub fn unchecked(&self) -> Option<(u64, u64)> {
        match self {
            Self::Opaque => None,
            Self::Batches(chain) => chain.unchecked(),
        }
    }

    /// [`Chain::catch_up`].
    pub fn catch_up(&mut self, bytes: &[u8]) {
        if let Self::Batches(chain) = self {
            chain.catch_up(bytes);
        }
    }
}

impl Cursor {
    /// The CRC of what the header that passed last adds to that of its batch.
    fn header_crc(&self) -> u32 {
        crc::crc32c(&self.header[CRC_COVERS_FROM..])
    }

    /// Where the batch in progress begins, and what is wrong with it.
    fn broken(&self, flaw: Flaw) -> Broken {
        let (position, offset) = self.last;
        Broken { position, offset, flaw }
    }

    /// The next bytes of a batch's body pass; with the last of them its CRC is known.
    fn body(&mut self, bytes: &[u8], origin: Origin) -> Result<(), Broken> {
        match (&mut self.check, origin) {
            (Check::Running(crc), _) => *crc = crc::extend(*crc, bytes),
            (Check::None, Origin::Device) => self.check = Check::Running(crc::extend(self.header_crc(), bytes)),
            (Check::None, Origin::Cache) => {}
        }
        self.skip -= bytes.len() as u64;
        if self.skip > 0 {
            return Ok(());
        }
        let Check::Running(crc) = core::mem::replace(&mut self.check, Check::None) else {
            return Ok(());
        };
        let sound = crc == BatchHeader::parse(&self.header).crc || bug!(BodyRotServed);
        if sound { Ok(()) } else { Err(self.broken(Flaw::Crc)) }
    }
}

fn follow(due: &Due, end: u64, cursor: &mut Cursor, mut bytes: &[u8], origin: Origin) -> Result<(), Broken> {
    if bug!(HeaderRotServed) {
        return Ok(());
    }
    loop {
        let (body, rest) = bytes.split_at(cursor.skip.min(bytes.len() as u64) as usize);
        if !body.is_empty() {
            cursor.body(body, origin)?;
        }
        bytes = rest;
        if bytes.is_empty() {
            return Ok(());
        }
        let wanted = (HEADER_LEN - cursor.seen).min(bytes.len());
        let (taken, rest) = bytes.split_at(wanted);
        cursor.header[cursor.seen..cursor.seen + wanted].copy_from_slice(taken);
        cursor.seen += wanted;
        if origin == Origin::Device {
            // What it amounts to is known once the header is whole.
            cursor.check = Check::Running(0);
        }
        bytes = rest;
        if cursor.seen == HEADER_LEN {
            cursor.seen = 0;
            step(due, end, cursor)?;
            if let Check::Running(_) = cursor.check {
                cursor.check = Check::Running(cursor.header_crc());
            }
            cursor.body(&[], origin)?;
        }
    }
}

/// A header is complete.
fn step(due: &Due, end: u64, cursor: &mut Cursor) -> Result<(), Broken> {
    let header = BatchHeader::parse(&cursor.header);
    if !due.admits(&header, cursor.next, cursor.epoch) {
        // Or the batch before it claims another length than it has.
        return Err(cursor.broken(Flaw::Header));
    }
    cursor.last = (end - cursor.left, cursor.next);
    let length = header.total_len().map_or(u64::MAX, |length| length as u64);
    let Some(left) = cursor.left.checked_sub(length) else {
        return Err(cursor.broken(Flaw::Header));
    };
    let ends = match due.gaps {
        Gaps::None => (left == 0) == (header.next_offset() == due.end),
        Gaps::Allowed => true,
    };
    if !ends || (1..HEADER_LEN as u64).contains(&left) {
        return Err(cursor.broken(Flaw::Header));
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
