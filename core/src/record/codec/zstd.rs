//! Zstandard, one shot each way. A frame's header may claim a window of 128 MiB, which a streaming decoder would allocate;
//! decoding straight into the output needs no window.
//!
//! Invariant: the one context of each thread is room to work in and holds nothing from one call to the next: what comes out
//! depends on the input and the bound alone. It is no part of a machine because whatever opens a batch would have to carry it
//! along, jobs on other threads too, without being any more predictable for it.

extern crate std;

use super::{CodecError, Compression, Level};
use alloc::vec::Vec;
use core::cell::RefCell;
use zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall;
use zstd_safe::{DCtx, ErrorCode};

const CORRUPT: CodecError = CodecError::Corrupt(Compression::Zstd);
/// zstd's errors are negative numbers in a `size_t`.
const OUTPUT_TOO_SMALL: ErrorCode = (ZSTD_error_dstSize_tooSmall as usize).wrapping_neg();
/// The least room to try with: a page.
const LEAST_ROOM: usize = 4096;

std::thread_local! {
    /// To make a context takes longer than to decompress a small batch; each use begins it anew.
    static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

pub(super) fn compress(input: &[u8], level: Level) -> Result<Vec<u8>, CodecError> {
    let level = match level {
        Level::Default => zstd_safe::CLEVEL_DEFAULT,
        Level::Of(level) => level.clamp(zstd_safe::min_c_level(), zstd_safe::max_c_level()),
    };
    let mut output = Vec::with_capacity(zstd_safe::compress_bound(input.len()));
    zstd_safe::compress(&mut output, input, level).map_err(|_| CORRUPT)?;
    output.shrink_to_fit();
    Ok(output)
}

pub(super) fn decompress(input: &[u8], bound: usize) -> Result<Vec<u8>, CodecError> {
    CONTEXT.with_borrow_mut(|context| decompress_with(context, input, bound))
}

fn decompress_with(context: &mut DCtx<'_>, input: &[u8], bound: usize) -> Result<Vec<u8>, CodecError> {
    // The claimed size is not believed: room grows fourfold, and only once what there was has been filled.
    let mut room = input.len().saturating_mul(4).max(LEAST_ROOM).min(bound);
    loop {
        let mut output = Vec::with_capacity(room);
        match context.decompress(&mut output, input) {
            Ok(_) if output.len() > bound => return Err(CodecError::TooLarge { bound }),
            Ok(_) => return Ok(output),
            Err(OUTPUT_TOO_SMALL) if room < bound => room = room.saturating_mul(4).min(bound),
            Err(OUTPUT_TOO_SMALL) => return Err(CodecError::TooLarge { bound }),
            Err(_) => return Err(CORRUPT),
        }
    }
}
