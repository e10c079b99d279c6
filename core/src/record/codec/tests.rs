//! Every codec against round trips, cuts, bombs, lies about lengths, and the bytes that other clients write.

use super::*;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

const CODECS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn packed(codec: Compression, bytes: &[u8]) -> Bytes {
    compress(codec, Level::Default, &Bytes::copy_from_slice(bytes)).expect("every codec is in this build")
}

/// Bytes that compress somewhat: short runs of a few values.
fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec((any::<u8>(), 1_usize..2000), 0..120).prop_map(|runs| {
        runs.iter()
            .flat_map(|&(byte, length)| (0..length).map(move |i| byte ^ (i % 7) as u8))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_compressed_comes_back(
        bytes in prop_oneof![some_bytes(), proptest::collection::vec(any::<u8>(), 0..3000)],
    ) {
        for codec in Compression::ALL {
            let packed = packed(codec, &bytes);
            prop_assert_eq!(decompress(codec, &packed, bytes.len()), Ok(Bytes::from(bytes.clone())), "{}", codec);
            if let Some(bound) = bytes.len().checked_sub(1) {
                prop_assert_eq!(decompress(codec, &packed, bound), Err(CodecError::TooLarge { bound }), "{}", codec);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_give_an_error_or_at_most_the_bound(
        bytes in proptest::collection::vec(any::<u8>(), 0..300), bound in 0_usize..5000,
    ) {
        for codec in CODECS {
            // The second is past what identifies the codec.
            let whole = packed(codec, b"something to break, something to break");
            let damaged = [&whole[..whole.len() / 2], &bytes].concat();
            for input in [bytes.clone(), damaged] {
                let output = decompress(codec, &Bytes::from(input), bound);
                prop_assert!(output.map_or(0, |output| output.len()) <= bound);
            }
        }
    }
}

#[test]
fn every_level_is_read_back_and_levels_beyond_the_scale_count_as_its_end() {
    let bytes = Bytes::from(vec![7; 10_000]);
    for codec in CODECS {
        for level in [i32::MIN, -1, 0, 1, 9, 19, i32::MAX] {
            let packed = compress(codec, Level::Of(level), &bytes).expect("levels are clamped");
            assert_eq!(
                decompress(codec, &packed, bytes.len()),
                Ok(bytes.clone()),
                "{codec} {level}"
            );
        }
    }
}

#[test]
fn a_bomb_is_an_error() {
    let zeros = vec![0; 8 << 20];
    for codec in CODECS {
        let bomb = packed(codec, &zeros);
        assert!(bomb.len() < zeros.len() / 15, "{codec}");
        for bound in [0, 1, 1 << 20, zeros.len() - 1] {
            assert_eq!(
                decompress(codec, &bomb, bound),
                Err(CodecError::TooLarge { bound }),
                "{codec}"
            );
        }
    }
}

#[test]
fn a_cut_gives_an_error_or_whole_blocks_of_the_start() {
    let bytes: Vec<u8> = (0..70_000_u64).map(|i| ((i * i) >> 7) as u8).collect();
    for codec in CODECS {
        let whole = packed(codec, &bytes);
        for length in (0..whole.len()).step_by(97).chain(whole.len() - 20..whole.len()) {
            match decompress(codec, &whole.slice(..length), bytes.len()) {
                Ok(output) => assert!(
                    output.len() < bytes.len() && bytes.starts_with(&output),
                    "{codec} {length}"
                ),
                Err(error) => assert_eq!(error, CodecError::Corrupt(codec)),
            }
        }
    }
}

#[test]
fn nothing_may_follow_the_compressed_data() {
    for codec in CODECS {
        let mut bytes = packed(codec, b"records").to_vec();
        bytes.extend_from_slice(b"more");
        assert_eq!(
            decompress(codec, &Bytes::from(bytes), 1000),
            Err(CodecError::Corrupt(codec))
        );
    }
}

#[test]
fn snappy_is_framed_as_java_frames_it() {
    let packed = packed(Compression::Snappy, b"abc");
    let header = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
    assert_eq!(packed[..16], header);
    // The block's length, its uncompressed length, a literal of three bytes.
    assert_eq!(packed[16..], [0, 0, 0, 5, 3, 2 << 2, b'a', b'b', b'c']);
}

#[test]
fn snappy_is_read_raw_and_framed_and_framed_twice() {
    let raw = [3, 2 << 2, b'a', b'b', b'c'];
    assert_eq!(
        decompress(Compression::Snappy, &Bytes::copy_from_slice(&raw), 3),
        Ok(Bytes::from_static(b"abc"))
    );
    let framed = packed(Compression::Snappy, b"abc");
    let twice = Bytes::from([&framed[..], &framed[..]].concat());
    assert_eq!(
        decompress(Compression::Snappy, &twice, 6),
        Ok(Bytes::from_static(b"abcabc"))
    );
    assert_eq!(
        decompress(Compression::Snappy, &twice, 5),
        Err(CodecError::TooLarge { bound: 5 })
    );
}

#[test]
fn a_claimed_length_is_not_believed() {
    // 4 GiB in five bytes.
    let snappy = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0];
    assert_eq!(
        decompress(Compression::Snappy, &Bytes::copy_from_slice(&snappy), usize::MAX),
        Err(CodecError::Corrupt(Compression::Snappy))
    );
    // A single segment that says it has 2^62 bytes, and an empty last block: decoded, and found to be a lie.
    let zstd = [0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0];
    let result = decompress(Compression::Zstd, &Bytes::copy_from_slice(&zstd), usize::MAX);
    assert_eq!(result, Err(CodecError::Corrupt(Compression::Zstd)));
    // A framed Snappy block that is longer than what is left.
    let mut framed = packed(Compression::Snappy, b"abc").to_vec();
    framed[16..20].copy_from_slice(&[0xFF; 4]);
    let result = decompress(Compression::Snappy, &Bytes::from(framed), usize::MAX);
    assert_eq!(result, Err(CodecError::Corrupt(Compression::Snappy)));
}

#[test]
fn xxhash32_gives_the_values_of_its_specification() {
    assert_eq!(lz4::xxh32(b""), 0x02CC_5D05);
    assert_eq!(lz4::xxh32(b"a"), 0x550D_7456);
    assert_eq!(lz4::xxh32(b"abc"), 0x32D1_53FF);
    assert_eq!(lz4::xxh32(b"Nobody inspects the spammish repetition"), 0xE229_3B2F);
}

#[test]
fn an_lz4_frame_begins_and_ends_as_kafka_writes_it() {
    let packed = packed(Compression::Lz4, b"abc");
    assert_eq!(packed[..7], [0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82]);
    // Three bytes do not compress: they are stored.
    assert_eq!(packed[7..14], [3, 0, 0, 0x80, b'a', b'b', b'c']);
    assert_eq!(packed[14..], [0; 4]);
}

/// A frame of one stored block "abc" with `flags`, the content's size where they ask for it, and `checksums` where they do.
fn lz4_frame(flags: u8, checksum: u32) -> Bytes {
    let mut descriptor = vec![flags, 0x40];
    if flags & 0b1000 != 0 {
        descriptor.extend_from_slice(&3_u64.to_le_bytes());
    }
    let mut frame = vec![0x04, 0x22, 0x4D, 0x18];
    frame.extend_from_slice(&descriptor);
    frame.push((lz4::xxh32(&descriptor) >> 8) as u8);
    frame.extend_from_slice(&[3, 0, 0, 0x80, b'a', b'b', b'c']);
    if flags & 0b1_0000 != 0 {
        frame.extend_from_slice(&checksum.to_le_bytes());
    }
    frame.extend_from_slice(&[0; 4]);
    if flags & 0b100 != 0 {
        frame.extend_from_slice(&checksum.to_le_bytes());
    }
    frame.into()
}

#[test]
fn lz4_checksums_and_sizes_are_read_where_they_are() {
    for flags in [0x60, 0x64, 0x68, 0x70, 0x7C] {
        let frame = lz4_frame(flags, 0x32D1_53FF);
        assert_eq!(
            decompress(Compression::Lz4, &frame, 3),
            Ok(Bytes::from_static(b"abc")),
            "{flags:x}"
        );
        let wrong = decompress(Compression::Lz4, &lz4_frame(flags, 1), 3);
        let has_checksum = flags & 0b1_0100 != 0;
        assert_eq!(
            wrong == Err(CodecError::Corrupt(Compression::Lz4)),
            has_checksum,
            "{flags:x}"
        );
    }
}

#[test]
fn lz4_frames_that_java_cannot_read_are_refused() {
    let corrupt = Err(CodecError::Corrupt(Compression::Lz4));
    // Linked blocks, another version, the reserved bit, a dictionary.
    for flags in [0x40, 0xA0, 0x62, 0x61] {
        assert_eq!(
            decompress(Compression::Lz4, &lz4_frame(flags, 0), 3),
            corrupt,
            "{flags:x}"
        );
    }
    let mut wrong_header_checksum = lz4_frame(0x60, 0).to_vec();
    wrong_header_checksum[6] ^= 1;
    assert_eq!(
        decompress(Compression::Lz4, &Bytes::from(wrong_header_checksum), 3),
        corrupt
    );
}

/// Text of 200 KB with words that come again far and near, as a log has them.
fn wordy() -> Vec<u8> {
    let mut seed = 1_u32;
    let mut draw = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 20
    };
    let mut text = Vec::new();
    while text.len() < 200_000 {
        let word = draw() % 600;
        text.extend_from_slice(alloc::format!("{{\"user\":{word},\"at\":{}}}", draw() % 97).as_bytes());
    }
    text
}

#[test]
fn lz4_searches_at_every_level_but_kafkas_default() {
    let text = Bytes::from(wordy());
    let size = |level| {
        let packed = compress(Compression::Lz4, level, &text).expect("it is in this build");
        assert_eq!(packed[..7], [0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82], "{level:?}");
        assert_eq!(decompress(Compression::Lz4, &packed, text.len()), Ok(text.clone()));
        packed.len()
    };
    let fast = size(Level::Default);
    assert_eq!(size(Level::Of(9)), fast, "the default says the fast mode");
    let [low, middle, high] = [1, 8, 17].map(|level| size(Level::Of(level)));
    assert!(
        high < middle && middle < low && low < fast,
        "{high} {middle} {low} {fast}"
    );
    assert_eq!((size(Level::Of(0)), size(Level::Of(99))), (low, high));
}

#[test]
fn what_does_not_compress_is_stored_at_every_level_of_lz4() {
    let mut seed = 1_u64;
    let noise: Vec<u8> = (0..70_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .collect();
    for level in 1..=17 {
        let packed =
            compress(Compression::Lz4, Level::Of(level), &Bytes::from(noise.clone())).expect("it is in this build");
        assert_eq!(
            packed.len(),
            7 + 4 + (64 << 10) + 4 + (70_000 - (64 << 10)) + 4,
            "{level}"
        );
    }
}
