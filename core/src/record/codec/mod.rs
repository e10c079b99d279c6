//! Compression of a batch's records: what producers write, read within a bound, and written so that every client reads it.
//!
//! Invariants:
//! - Output has no more bytes than the caller's bound, and takes at most three times that in memory while it grows, and the
//!   state of a codec, whatever the input claims. Too much of it is [`CodecError::TooLarge`], not an allocation.
//! - What is refused: anything left over behind the compressed data, because readers disagree on whether they read it.
//!
//! The codecs need the feature `std`; without it, everything but [`Compression::None`] is
//! [`CodecError::Unsupported`].

#[cfg(feature = "std")]
mod gzip;
#[cfg(feature = "std")]
mod lz4;
#[cfg(feature = "std")]
mod snappy;
#[cfg(feature = "std")]
mod zstd;

use bytes::Bytes;
use core::fmt;

/// How hard to try, in the codec's own scale (`compression.gzip.level`, `compression.lz4.level`,
/// `compression.zstd.level`); a level beyond a scale counts as its end. Snappy has no levels.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Level {
    /// What Kafka takes when nothing is set: 6 for gzip, the fast mode for lz4, 3 for zstd.
    #[default]
    Default,
    /// This one.
    Of(i32),
}

/// `input`, compressed. A codec that this build lacks is an error; nothing else is.
pub fn compress(codec: Compression, level: Level, input: &Bytes) -> Result<Bytes, CodecError> {
    match codec {
        Compression::None => Ok(input.clone()),
        #[cfg(feature = "std")]
        Compression::Gzip => gzip::compress(input, level).map(Bytes::from),
        #[cfg(feature = "std")]
        Compression::Snappy => snappy::compress(input).map(Bytes::from),
        #[cfg(feature = "std")]
        Compression::Lz4 => lz4::compress(input, level).map(Bytes::from),
        #[cfg(feature = "std")]
        Compression::Zstd => zstd::compress(input, level).map(Bytes::from),
        #[cfg(not(feature = "std"))]
        codec => {
            let _ = level;
            Err(CodecError::Unsupported(codec))
        }
    }
}

/// What `input` was before it was compressed, if that has at most `bound` bytes. Uncompressed input comes back as it is,
/// without a copy.
pub fn decompress(codec: Compression, input: &Bytes, bound: usize) -> Result<Bytes, CodecError> {
    match codec {
        Compression::None if input.len() > bound => Err(CodecError::TooLarge { bound }),
        Compression::None => Ok(input.clone()),
        #[cfg(feature = "std")]
        Compression::Gzip => gzip::decompress(input, bound).map(Bytes::from),
        #[cfg(feature = "std")]
        Compression::Snappy => snappy::decompress(input, bound).map(Bytes::from),
        #[cfg(feature = "std")]
        Compression::Lz4 => lz4::decompress(input, bound).map(Bytes::from),
        #[cfg(feature = "std")]
        Compression::Zstd => zstd::decompress(input, bound).map(Bytes::from),
        #[cfg(not(feature = "std"))]
        codec => Err(CodecError::Unsupported(codec)),
    }
}

/// How a batch's records are compressed (`CompressionType`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[repr(u8)]
pub enum Compression {
    /// Not at all.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Raw blocks from librdkafka, framed ones from Java.
    Snappy = 2,
    /// The LZ4 frame format.
    Lz4 = 3,
    /// RFC 8878; from Produce version 7 on (KIP-110).
    Zstd = 4,
}

impl Compression {
    /// Every codec, by ascending number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in a batch's attributes.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The codec with that number, if there is one.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Kafka's name for it in `compression.type`; `None` is `uncompressed` there, and `none` for producers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes could not be decompressed, or compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodecError {
    /// The output would be longer than the bound.
    TooLarge {
        /// The bound, in bytes.
        bound: usize,
    },
    /// The input is not what the codec writes.
    Corrupt(Compression),
    /// This build has no such codec.
    Unsupported(Compression),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bound } => write!(f, "decompressed, the records take more than the {bound} bytes allowed"),
            Self::Corrupt(codec) => write!(f, "the records are not valid {codec} data"),
            Self::Unsupported(codec) => write!(f, "this build was made without the codec {codec}"),
        }
    }
}

impl core::error::Error for CodecError {}

#[cfg(all(test, feature = "std"))]
mod tests;
