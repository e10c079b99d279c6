//! Reads a segment batch by batch and says where the first bad one begins.
//!
//! Invariants:
//! - a batch is accepted only when its CRC, its offset and its leader epoch are what they must be at that place;
//! - a batch that is whole but for its leader epoch is none of this log: a file system may show, where the last writes did
//!   not arrive, blocks that an earlier file had there;
//! - nothing is held in memory but a header.

use crate::bugs::bug;
use crate::log::epochs::EpochHistory;
use crate::log::producers::Producers;
use crate::log::segment::Segment;
use crate::record::{BatchHeader, CRC_COVERS_FROM, HEADER_LEN, crc};
use crate::types::{LeaderEpoch, Monotonic, Offset};

/// What the batches of a log amount to, as far as they were read.
#[derive(Debug)]
pub(in crate::log) struct State {
    pub(in crate::log) segment: Segment,
    pub(in crate::log) epochs: EpochHistory,
    pub(in crate::log) producers: Producers,
}

/// What a scan demands.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct Rules {
    /// Bytes in the file.
    pub(in crate::log) size: u64,
    /// No batch can have been appended under a later epoch.
    pub(in crate::log) latest: LeaderEpoch,
    /// `index.interval.bytes`.
    pub(in crate::log) interval: u32,
    /// Everything below it is known to have been synced.
    pub(in crate::log) promised: Offset,
}

/// A batch that is being read.
#[derive(Debug)]
struct Open {
    header: BatchHeader,
    length: u64,
    left: u64,
    crc: u32,
}

/// A scan of the rest of a segment.
#[derive(Debug)]
pub(in crate::log) struct Scan {
    bytes: [u8; HEADER_LEN],
    have: usize,
    open: Option<Open>,
    /// Batches accepted.
    pub(in crate::log) batches: u64,
    /// Bytes at the segment's beginning that are known to have been synced, as far as batches were accepted.
    pub(in crate::log) promised_bytes: u64,
}

/// Why the scan ended before the file did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::log) enum Bad {
    /// The bytes are no batch that belongs here: a write that was cut short, or damage.
    Torn,
    /// A whole batch carries a leader epoch that it cannot have been appended under: it was there before the last writes, or
    /// it is damage, or the batch before it is.
    Epoch(LeaderEpoch),
}

impl Scan {
    pub(in crate::log) fn new() -> Self {
        Self {
            bytes: [0; HEADER_LEN],
            have: 0,
            open: None,
            batches: 0,
            promised_bytes: 0,
        }
    }

    /// Whether the bytes fed so far end between two batches.
    pub(in crate::log) fn is_between(&self) -> bool {
        self.have == 0 && self.open.is_none()
    }

    /// Whether the batch that is being read ends, as its header has it, at `promised` or before.
    pub(in crate::log) fn is_within(&self, promised: Offset) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.header.next_offset() <= promised)
    }

    /// Takes the next bytes of the file into `state`.
    pub(in crate::log) fn feed(&mut self, mut bytes: &[u8], rules: &Rules, state: &mut State) -> Result<(), Bad> {
        while !bytes.is_empty() {
            if self.open.is_none() {
                let taken = bytes.len().min(HEADER_LEN - self.have);
                self.bytes[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                bytes = &bytes[taken..];
                if self.have == HEADER_LEN {
                    self.begin(rules, state)?;
                }
            }
            if let Some(open) = &mut self.open {
                let taken = (bytes.len() as u64).min(open.left);
                let (body, rest) = bytes.split_at(taken as usize);
                open.crc = crc::extend(open.crc, body);
                open.left -= taken;
                bytes = rest;
                if open.left == 0 {
                    self.accept(rules, state)?;
                }
            }
        }
        Ok(())
    }

    /// The header is complete: is it one that belongs here?
    fn begin(&mut self, rules: &Rules, state: &State) -> Result<(), Bad> {
        let bytes = &self.bytes;
        let header = BatchHeader::parse(bytes);
        header.check_magic().map_err(|_| Bad::Torn)?;
        let length = header.total_len().map_err(|_| Bad::Torn)? as u64;
        let left = rules.size - state.segment.size;
        let position_fits = u32::try_from(state.segment.size).is_ok();
        let follows = match state.segment.cleaning {
            None => header.base_offset == state.segment.end,
            Some(cleaning) => header.base_offset >= state.segment.end && header.next_offset() <= cleaning.end,
        };
        let belongs = follows
            && header.last_offset_delta >= 0
            && header.last_offset().since(state.segment.base) <= i64::from(i32::MAX);
        if !belongs || !position_fits {
            return Err(Bad::Torn);
        }
        let crc = crc::crc32c(&bytes[CRC_COVERS_FROM..]);
        self.open = Some(Open {
            header,
            length,
            left: length - HEADER_LEN as u64,
            crc,
        });
        if length > left { Err(Bad::Torn) } else { Ok(()) }
    }

    fn accept(&mut self, rules: &Rules, state: &mut State) -> Result<(), Bad> {
        let sound = |open: &mut Open| open.crc == open.header.crc || bug!(SkipTailCrc);
        let open = self.open.take_if(sound).ok_or(Bad::Torn)?;
        self.have = 0;
        let header = &open.header;
        let epoch = header.partition_leader_epoch;
        let earliest = state.epochs.latest().unwrap_or(LeaderEpoch(0));
        if epoch < earliest || epoch > rules.latest {
            return Err(Bad::Epoch(epoch));
        }
        state.epochs.assign(header.partition_leader_epoch, header.base_offset);
        state.producers.update(header, Monotonic(0));
        state.segment.add(header, open.length, rules.interval);
        self.batches += 1;
        if header.next_offset() <= rules.promised {
            self.promised_bytes = state.segment.size;
        }
        Ok(())
    }
}
