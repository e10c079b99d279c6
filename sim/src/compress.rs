//! The four codecs of Kafka's record batches, from the simulated client's side and the oracle's: the same crates as the
//! broker has, none of its code. LZ4 frames are written and read by another implementation than the broker's.

use std::io::{Read, Write};

/// How a producer compresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compression {
    None,
    Gzip,
    /// Snappy's own format, as librdkafka sends it.
    Snappy,
    /// Snappy in the blocks of `SnappyOutputStream`, as Java sends it.
    XerialSnappy,
    Lz4,
    Zstd,
}

/// No batch of a simulated client grows larger than this; a longer one is broken.
const LARGEST: u64 = 1 << 20;
const XERIAL: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Bytes in a block of the Java client.
const XERIAL_BLOCK: usize = 1000;

impl Compression {
    /// The codec's number in a batch's attributes.
    pub(crate) fn id(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy | Self::XerialSnappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The records of a batch as they are sent.
    pub(crate) fn compress(self, records: &[u8]) -> Vec<u8> {
        const MEMORY: &str = "memory takes every byte";
        match self {
            Self::None => records.to_vec(),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(records).expect(MEMORY);
                encoder.finish().expect(MEMORY)
            }
            Self::Snappy => snap::raw::Encoder::new().compress_vec(records).expect(MEMORY),
            Self::XerialSnappy => {
                let mut out = XERIAL.to_vec();
                for block in records.chunks(XERIAL_BLOCK) {
                    let block = snap::raw::Encoder::new().compress_vec(block).expect(MEMORY);
                    out.extend_from_slice(&(block.len() as u32).to_be_bytes());
                    out.extend_from_slice(&block);
                }
                out
            }
            Self::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(records).expect(MEMORY);
                encoder.finish().expect(MEMORY)
            }
            Self::Zstd => {
                let mut out = Vec::with_capacity(zstd_safe::compress_bound(records.len()));
                zstd_safe::compress(&mut out, records, 1).expect("there is room for whatever comes");
                out
            }
        }
    }
}

/// The records of a batch whose attributes name the codec `id`; `None` when they cannot be read.
pub(crate) fn decompress(id: u16, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match id {
        1 => {
            let decoder = flate2::bufread::GzDecoder::new(bytes);
            decoder.take(LARGEST).read_to_end(&mut out).ok()?;
        }
        2 => match bytes.strip_prefix(XERIAL) {
            Some(mut rest) => {
                while let Some((length, tail)) = rest.split_first_chunk::<4>() {
                    let (block, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                    out.extend(unsnap(block)?);
                    rest = tail;
                }
                (rest.is_empty() && out.len() as u64 <= LARGEST).then_some(())?;
            }
            None => out = unsnap(bytes)?,
        },
        3 => {
            let decoder = lz4_flex::frame::FrameDecoder::new(bytes);
            decoder.take(LARGEST).read_to_end(&mut out).ok()?;
        }
        4 => {
            out.reserve(LARGEST as usize);
            zstd_safe::decompress(&mut out, bytes).ok()?;
        }
        _ => return None,
    }
    Some(out)
}

fn unsnap(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = snap::raw::decompress_len(bytes).ok()?;
    if length as u64 > LARGEST {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{Compression, decompress};

    const ALL: [Compression; 5] = [
        Compression::Gzip,
        Compression::Snappy,
        Compression::XerialSnappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    #[test]
    fn every_codec_gives_back_what_it_took_and_tells_what_it_did_not_make() {
        for length in [0, 1, 999, 1000, 5000] {
            let bytes: Vec<u8> = (0..length).map(|index: usize| (index * index / 7) as u8).collect();
            for codec in ALL {
                let packed = codec.compress(&bytes);
                assert_eq!(decompress(codec.id(), &packed).as_ref(), Some(&bytes), "{codec:?}");
                if length > 1 {
                    assert_ne!(
                        decompress(codec.id(), &packed[..packed.len() / 2]).as_ref(),
                        Some(&bytes),
                        "{codec:?}"
                    );
                }
            }
        }
        assert_eq!(decompress(5, b"x"), None);
    }
}
