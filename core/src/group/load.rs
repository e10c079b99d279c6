//! Reading a partition of `__consumer_offsets` back, a bounded piece at a time.
//!
//! Invariant: a piece is read where the disk is, and holds what its batches say, in order; a batch that does not match its
//! CRC is none of ours. A piece that cannot be taken leaves the page cache: who reads it again asks the device again.

use super::record::{IgnoredKind, Loaded, decode};
use crate::record::{Batch, split};
use crate::storage::{FileOp, IoResult, IoValue, Job, Next};
use crate::types::{Content, Fault, FileRange, Origin, Part};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::fmt::Display;

/// The most bytes that a batch of ours may have once it is opened.
const MAX_OPENED: usize = 256 << 20;

/// Reads what a plan names.
#[derive(Debug)]
pub struct ReadRecords {
    parts: VecDeque<Part>,
    read: BytesMut,
    awaited: Option<(usize, Content)>,
    /// What was read.
    ranges: Vec<FileRange>,
    /// Why the piece cannot be taken.
    fault: Option<Fault>,
}

impl ReadRecords {
    /// Reads these parts, which are whole batches together.
    pub fn new(parts: Vec<Part>) -> Self {
        Self {
            parts: parts.into(),
            read: BytesMut::new(),
            awaited: None,
            ranges: Vec::new(),
            fault: None,
        }
    }

    fn take(&mut self, done: IoResult) -> Result<(), Fault> {
        let Some((length, mut content)) = self.awaited.take() else {
            return Ok(());
        };
        match done {
            Ok(IoValue::Bytes(bytes)) if bytes.len() == length => {
                content.pass(&bytes, Origin::Cache).map_err(|broken| {
                    let (at, byte) = (broken.offset, broken.position);
                    Fault::Corruption(format!(
                        "a batch of group records, offset {at}, byte {byte}, or the one behind it"
                    ))
                })?;
                self.read.extend_from_slice(&bytes);
                Ok(())
            }
            Ok(other) => Err(Fault::Device(format!("a read of {length} bytes brought {other:?}"))),
            Err(error) => Err(Fault::Device(error.to_string())),
        }
    }

    fn fail(&mut self, fault: Fault) -> Next<Result<Vec<Loaded>, Fault>> {
        let fault = self.fault.insert(fault);
        match self.ranges.pop() {
            Some(range) => Next::Io(FileOp::Forget {
                file: range.file,
                position: range.position,
                length: u64::from(range.length),
            }),
            None => Next::Done(Err(fault.clone())),
        }
    }
}

impl Job for ReadRecords {
    type Outcome = Result<Vec<Loaded>, Fault>;

    fn resume(&mut self, done: IoResult) -> Next<Self::Outcome> {
        if let Some(fault) = self.fault.take() {
            return self.fail(fault);
        }
        if let Err(fault) = self.take(done) {
            return self.fail(fault);
        }
        while let Some(part) = self.parts.pop_front() {
            match part {
                Part::Inline(bytes) => self.read.extend_from_slice(&bytes),
                Part::Range(range, content) => {
                    self.awaited = Some((range.length as usize, content));
                    self.ranges.push(range);
                    return Next::Io(FileOp::Read {
                        file: range.file,
                        position: range.position,
                        length: range.length,
                    });
                }
            }
        }
        match records(&self.read.split().freeze()) {
            Ok(loaded) => Next::Done(Ok(loaded)),
            Err(fault) => self.fail(fault),
        }
    }
}

/// What the batches say.
fn records(bytes: &Bytes) -> Result<Vec<Loaded>, Fault> {
    let mut loaded = Vec::new();
    for batch in split(bytes) {
        let batch = batch.map_err(|error| Fault::Corruption(format!("a batch of group records: {error}")))?;
        add_records(&batch, &mut loaded)?;
    }
    Ok(loaded)
}

fn add_records(batch: &Batch, loaded: &mut Vec<Loaded>) -> Result<(), Fault> {
    let header = batch.header();
    let bad_batch = |error: &dyn Display| {
        let at = header.base_offset;
        Fault::Corruption(format!("the batch of group records at offset {at}: {error}"))
    };
    batch.check_crc().map_err(|error| bad_batch(&error))?;
    if header.is_transactional() || header.is_control() {
        loaded.push(Loaded::Ignored(header.base_offset, IgnoredKind::Transaction));
        return Ok(());
    }
    let opened = batch.open(MAX_OPENED).map_err(|error| bad_batch(&error))?;
    let bytes = opened.bytes();
    for record in opened.records() {
        let record = record.map_err(|error| bad_batch(&error))?;
        let at = opened.offset(&record);
        let Some(key) = record.key else {
            loaded.push(Loaded::Ignored(at, IgnoredKind::NoKey));
            continue;
        };
        let value = record.value.map(|value| bytes.slice_ref(value));
        let decoded = decode(at, &bytes.slice_ref(key), value.as_ref());
        loaded.push(decoded.map_err(|error| Fault::Corruption(format!("the group record at offset {at}: {error}")))?);
    }
    Ok(())
}
