//! Reading and writing of the small files that are ours: big-endian, bounded, with a CRC-32C at the end.
//!
//! Invariant: a claimed length is compared with the bytes that remain before anything is allocated for it.

use crate::bugs::bug;
use crate::record::crc;
use alloc::vec::Vec;
use core::fmt;

/// Why bytes of ours cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// They end too early, or a length leads beyond them.
    Truncated,
    /// The CRC is another.
    Crc,
    /// The file is of another kind, or of a later version.
    Format,
    /// A value that nothing writes.
    Value(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("it ends too early"),
            Self::Crc => f.write_str("its CRC does not match"),
            Self::Format => f.write_str("it is of another kind or of a later version"),
            Self::Value(what) => write!(f, "it holds an impossible {what}"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Collects the bytes of a file.
#[derive(Debug)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// A file that begins with `magic`, which says its kind and version.
    pub(crate) fn new(magic: [u8; 8], capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity + 12);
        bytes.extend_from_slice(&magic);
        Self { bytes }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }

    /// The file, with its CRC.
    pub(crate) fn seal(mut self) -> Vec<u8> {
        let crc = crc::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&crc.to_be_bytes());
        self.bytes
    }
}

/// Takes the bytes of a file apart.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// The contents of a file that begins with `magic` and whose CRC matches.
    pub(crate) fn open(magic: [u8; 8], bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (covered, stored) = bytes.split_last_chunk::<4>().ok_or(DecodeError::Truncated)?;
        let rest = covered.strip_prefix(&magic).ok_or(DecodeError::Format)?;
        if crc::crc32c(covered) != u32::from_be_bytes(*stored) && !bug!(MetaCrcNotChecked) {
            return Err(DecodeError::Crc);
        }
        Ok(Self { rest })
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// The count of a list whose elements take at least `size` bytes each.
    pub(crate) fn count(&mut self, size: usize) -> Result<usize, DecodeError> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / size {
            return Err(DecodeError::Truncated);
        }
        Ok(count)
    }

    /// Demands that nothing is left.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Value("length"))
        }
    }
}
