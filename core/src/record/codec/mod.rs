//! Compression of a batch's records.

use core::fmt;

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
