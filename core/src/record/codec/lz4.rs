//! The LZ4 frame format, as far as Kafka goes with it (`Lz4BlockOutputStream`, `Lz4BlockInputStream`): one frame of
//! independent blocks of at most 64 KiB. Blocks that refer to earlier ones are refused, because Java's consumer cannot read them; checksums
//! are optional and verified where they are.

use super::{CodecError, Compression, Level};
use ::lz4::block::{CompressionMode, compress_bound, compress_to_buffer};
use alloc::vec::Vec;
use lz4_flex::block::decompress_into;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4D, 0x18];
/// Version 1, independent blocks, no checksums: what Java's producer writes.
const FLAGS: u8 = 0b0110_0000;
/// Blocks of at most 64 KiB.
const BLOCK_DESCRIPTOR: u8 = 4 << 4;
const BLOCK: usize = 64 << 10;
/// Set in the length of a block that is stored as it is.
const STORED: u32 = 1 << 31;
/// More than any LZ4 block expands: each further byte of a match's length is worth 255.
const MOST_EXPANSION: usize = 256;

const CORRUPT: CodecError = CodecError::Corrupt(Compression::Lz4);

/// What a frame's descriptor says about its blocks.
struct Descriptor {
    most_in_a_block: usize,
    block_checksums: Checksum,
    content_checksum: Checksum,
}

#[derive(Clone, Copy)]
enum Checksum {
    Absent,
    Present,
}

impl Checksum {
    const fn from_flag(flags: u8, flag: u8) -> Self {
        if flags & flag == 0 { Self::Absent } else { Self::Present }
    }

    /// Takes the checksum of `bytes` from the front of `rest`, if there is one.
    fn verify(self, bytes: &[u8], rest: &mut &[u8]) -> Result<(), CodecError> {
        match self {
            Self::Absent => Ok(()),
            Self::Present if take_u32(rest)? == xxh32(bytes) => Ok(()),
            Self::Present => Err(CORRUPT),
        }
    }
}

/// How blocks are compressed at a level, as in Kafka (`Lz4BlockOutputStream`): its default, 9, stands for the fast mode,
/// every other one for the search for the best matches, the levels below 9 too.
fn mode(level: Level) -> CompressionMode {
    match level {
        Level::Default | Level::Of(9) => CompressionMode::DEFAULT,
        Level::Of(level) => CompressionMode::HIGHCOMPRESSION(level.clamp(1, 17)),
    }
}

pub(super) fn compress(input: &[u8], level: Level) -> Result<Vec<u8>, CodecError> {
    let mode = mode(level);
    let mut output = Vec::with_capacity(input.len() / 2 + 32);
    output.extend_from_slice(&MAGIC);
    output.extend_from_slice(&[FLAGS, BLOCK_DESCRIPTOR, header_checksum(&[FLAGS, BLOCK_DESCRIPTOR])]);
    let mut block = alloc::vec![0; compress_bound(input.len().min(BLOCK)).map_err(|_| CORRUPT)?];
    for chunk in input.chunks(BLOCK) {
        let length = compress_to_buffer(chunk, Some(mode), false, &mut block).map_err(|_| CORRUPT)?;
        if length < chunk.len() {
            output.extend_from_slice(&(length as u32).to_le_bytes());
            output.extend_from_slice(&block[..length]);
        } else {
            output.extend_from_slice(&(chunk.len() as u32 | STORED).to_le_bytes());
            output.extend_from_slice(chunk);
        }
    }
    output.extend_from_slice(&[0; 4]);
    Ok(output)
}

pub(super) fn decompress(input: &[u8], bound: usize) -> Result<Vec<u8>, CodecError> {
    let mut rest = input;
    let descriptor = take_descriptor(&mut rest)?;
    let mut output = Vec::with_capacity(input.len().saturating_mul(2).min(bound));
    loop {
        let length = take_u32(&mut rest)?;
        if length == 0 {
            break;
        }
        let block = take(&mut rest, (length & !STORED) as usize)?;
        if block.len() > descriptor.most_in_a_block {
            return Err(CORRUPT);
        }
        if length & STORED == 0 {
            append_block(block, descriptor.most_in_a_block, &mut output, bound)?;
        } else if block.len() > bound - output.len() {
            return Err(CodecError::TooLarge { bound });
        } else {
            output.extend_from_slice(block);
        }
        descriptor.block_checksums.verify(block, &mut rest)?;
    }
    descriptor.content_checksum.verify(&output, &mut rest)?;
    if rest.is_empty() { Ok(output) } else { Err(CORRUPT) }
}

fn append_block(block: &[u8], most: usize, output: &mut Vec<u8>, bound: usize) -> Result<(), CodecError> {
    let start = output.len();
    let most = most.min(block.len().saturating_mul(MOST_EXPANSION));
    let room = most.min(bound - start);
    output.resize(start + room, 0);
    match decompress_into(block, &mut output[start..]) {
        Ok(written) => {
            output.truncate(start + written);
            Ok(())
        }
        // Where the bound was not what cut the room, no valid block runs out of it.
        Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if room < most => {
            Err(CodecError::TooLarge { bound })
        }
        Err(_) => Err(CORRUPT),
    }
}

fn take_descriptor(rest: &mut &[u8]) -> Result<Descriptor, CodecError> {
    if take(rest, 4)? != MAGIC {
        return Err(CORRUPT);
    }
    let described = *rest;
    let [flags, block_descriptor] = *take(rest, 2)? else {
        return Err(CORRUPT);
    };
    // Version 1, independent blocks, no reserved bit, no dictionary.
    if flags & 0b1110_0011 != 0b0110_0000 || block_descriptor & 0b1000_1111 != 0 {
        return Err(CORRUPT);
    }
    if flags & 0b1000 != 0 {
        take(rest, 8)?;
    }
    let described = &described[..described.len() - rest.len()];
    if take(rest, 1)? != [header_checksum(described)] {
        return Err(CORRUPT);
    }
    let most_in_a_block = match block_descriptor >> 4 {
        size @ 4..=7 => 1 << (8 + 2 * size),
        _ => return Err(CORRUPT),
    };
    Ok(Descriptor {
        most_in_a_block,
        block_checksums: Checksum::from_flag(flags, 0b1_0000),
        content_checksum: Checksum::from_flag(flags, 0b100),
    })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], CodecError> {
    let (taken, after) = rest.split_at_checked(count).ok_or(CORRUPT)?;
    *rest = after;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, CodecError> {
    let (taken, after) = rest.split_first_chunk().ok_or(CORRUPT)?;
    *rest = after;
    Ok(u32::from_le_bytes(*taken))
}

/// The second byte of the descriptor's hash. Kafka's clients before magic 2 hashed other bytes here (KAFKA-3160).
fn header_checksum(descriptor: &[u8]) -> u8 {
    (xxh32(descriptor) >> 8) as u8
}

/// xxHash32 with seed 0, by its specification.
pub(super) fn xxh32(bytes: &[u8]) -> u32 {
    const P1: u32 = 0x9E37_79B1;
    const P2: u32 = 0x85EB_CA77;
    const P3: u32 = 0xC2B2_AE3D;
    const P4: u32 = 0x27D4_EB2F;
    const P5: u32 = 0x1656_67B1;

    let (stripes, rest) = bytes.as_chunks::<16>();
    let mut hash = if stripes.is_empty() {
        P5
    } else {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0_u32.wrapping_sub(P1)];
        for stripe in stripes {
            let (words, _) = stripe.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane = lane
                    .wrapping_add(u32::from_le_bytes(*word).wrapping_mul(P2))
                    .rotate_left(13)
                    .wrapping_mul(P1);
            }
        }
        lanes
            .iter()
            .zip([1, 7, 12, 18])
            .fold(0, |sum: u32, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)))
    };
    hash = hash.wrapping_add(bytes.len() as u32);
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        hash = hash
            .wrapping_add(u32::from_le_bytes(*word).wrapping_mul(P3))
            .rotate_left(17)
            .wrapping_mul(P4);
    }
    for &byte in rest {
        hash = hash
            .wrapping_add(u32::from(byte).wrapping_mul(P5))
            .rotate_left(11)
            .wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(P3);
    hash ^ (hash >> 16)
}
