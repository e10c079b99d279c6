//! Snappy, in both shapes that clients send: one raw block (librdkafka), or the frames of `snappy-java` (`SnappyOutputStream`,
//! once Xerial's): a 16-byte header, then blocks, each behind its length in four big-endian bytes.
//!
//! We write frames: that is what Java's own producer writes, so every consumer had to learn to read it.

use super::{CodecError, Compression};
use alloc::vec::Vec;
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

/// What a framed stream starts with. No raw block does: as one, it would copy from before its own start.
const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The frame format's version, and the lowest version whose readers can read it: 1 both.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Uncompressed bytes of a block: `SnappyOutputStream`'s own choice.
const BLOCK: usize = 32 << 10;
/// More than any Snappy block expands: its densest element turns 3 bytes into 64.
const MOST_EXPANSION: usize = 32;

const CORRUPT: CodecError = CodecError::Corrupt(Compression::Snappy);

pub(super) fn compress(input: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut output = Vec::with_capacity(16 + max_compress_len(input.len().min(BLOCK)));
    output.extend_from_slice(&MAGIC);
    output.extend_from_slice(&VERSIONS);
    let mut encoder = Encoder::new();
    let mut block = alloc::vec![0; max_compress_len(input.len().min(BLOCK))];
    for chunk in input.chunks(BLOCK) {
        let length = encoder.compress(chunk, &mut block).map_err(|_| CORRUPT)?;
        output.extend_from_slice(&(length as u32).to_be_bytes());
        output.extend_from_slice(&block[..length]);
    }
    Ok(output)
}

pub(super) fn decompress(input: &[u8], bound: usize) -> Result<Vec<u8>, CodecError> {
    let mut output = Vec::new();
    if !input.starts_with(&MAGIC) {
        append_block(input, &mut output, bound)?;
        return Ok(output);
    }
    let mut rest = input;
    while !rest.is_empty() {
        // A stream appended to another brings its header along.
        if let Some(after) = rest.strip_prefix(&MAGIC) {
            rest = after.get(VERSIONS.len()..).ok_or(CORRUPT)?;
            continue;
        }
        let (length, after) = rest.split_first_chunk::<4>().ok_or(CORRUPT)?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > after.len() {
            return Err(CORRUPT);
        }
        let (block, after) = after.split_at(length);
        append_block(block, &mut output, bound)?;
        rest = after;
    }
    Ok(output)
}

fn append_block(block: &[u8], output: &mut Vec<u8>, bound: usize) -> Result<(), CodecError> {
    let length = decompress_len(block).map_err(|_| CORRUPT)?;
    if length > block.len().saturating_mul(MOST_EXPANSION) {
        return Err(CORRUPT);
    }
    if length > bound - output.len() {
        return Err(CodecError::TooLarge { bound });
    }
    let start = output.len();
    output.resize(start + length, 0);
    match Decoder::new().decompress(block, &mut output[start..]) {
        Ok(written) if written == length => Ok(()),
        _ => Err(CORRUPT),
    }
}
