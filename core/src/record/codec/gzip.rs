//! gzip: one member, as every client writes it.

extern crate std;

use super::{CodecError, Compression, Level};
use alloc::vec::Vec;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read, Write};

const CORRUPT: CodecError = CodecError::Corrupt(Compression::Gzip);

pub(super) fn compress(input: &[u8], level: Level) -> Result<Vec<u8>, CodecError> {
    let level = match level {
        Level::Default => flate2::Compression::default(),
        Level::Of(level) => flate2::Compression::new(level.clamp(1, 9) as u32),
    };
    let mut encoder = GzEncoder::new(Vec::with_capacity(input.len() / 2 + 64), level);
    encoder
        .write_all(input)
        .and_then(|()| encoder.finish())
        .map_err(|_| CORRUPT)
}

pub(super) fn decompress(input: &[u8], bound: usize) -> Result<Vec<u8>, CodecError> {
    let mut decoder = GzDecoder::new(input);
    let mut output = Vec::with_capacity(input.len().saturating_mul(2).min(bound));
    // One byte more than allowed tells 'exactly the bound' from 'too much'.
    (&mut decoder)
        .take(bound as u64 + 1)
        .read_to_end(&mut output)
        .map_err(|_| CORRUPT)?;
    if output.len() > bound {
        return Err(CodecError::TooLarge { bound });
    }
    if decoder.into_inner().is_empty() {
        Ok(output)
    } else {
        Err(CORRUPT)
    }
}
