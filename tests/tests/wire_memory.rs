//! Whatever a frame claims, decoding it neither panics nor takes more memory than a small multiple of its bytes.

use bytes::Bytes;
use klamm_core::types::{Seed, Uuid};
use klamm_core::wire::Reader;
use klamm_core::wire::reflect::{Codec, for_random_messages, versions};
use klamm_tests::memory::{self, CountingAllocator};
use klamm_tests::wire::codecs;
use klamm_tests::wire::worst::{Names, There, arrays, filling, requests};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Decodes, and checks what that took.
fn decode_within_bounds(decode: impl FnOnce(&mut Reader) -> bool, frame: &[u8], what: &str) -> bool {
    let frame = Bytes::copy_from_slice(frame);
    let length = frame.len();
    let mut reader = Reader::new(frame);
    let (decoded, most) = memory::most_during(|| decode(&mut reader));
    let bound = memory::decode_bound(length);
    assert!(
        most <= bound,
        "{what}: a frame of {length} bytes took {most} bytes, more than {bound}"
    );
    decoded
}

fn decode_codec(codec: Codec, version: i16, frame: &[u8]) -> bool {
    decode_within_bounds(|reader| codec.decodes(reader, version), frame, codec.schema.name())
}

/// Changes a few bytes, most of them into what a length or count would be.
fn mutate(frame: &mut Vec<u8>, seed: &mut Seed) {
    for _ in 0..seed.within(1, 4) {
        if frame.is_empty() {
            return;
        }
        let at = seed.below(frame.len() as u64) as usize;
        match seed.below(5) {
            0 => frame[at] = seed.next_u64() as u8,
            1 => frame[at] = [0x7F, 0x80, 0xFF, 0x00][seed.below(4) as usize],
            2 => frame.truncate(at),
            3 => frame.extend_from_within(at..),
            _ => {
                let end = frame.len().min(at + seed.within(1, 5) as usize);
                frame[at..end].fill([0xFF, 0x7F][seed.below(2) as usize]);
            }
        }
    }
}

#[test]
fn mutated_messages_stay_within_bounds() {
    let mut seed = Seed::new(1);
    let (mut decoded, mut refused) = (0, 0);
    for codec in codecs() {
        for_random_messages(codec, 8, |version, message| {
            let bytes = codec.encode(&message, version).unwrap();
            for _ in 0..40 {
                let mut frame = bytes.to_vec();
                mutate(&mut frame, &mut seed);
                *(if decode_codec(codec, version, &frame) {
                    &mut decoded
                } else {
                    &mut refused
                }) += 1;
            }
        });
    }
    assert!(
        decoded > 1000 && refused > 1000,
        "{decoded} frames were messages still, {refused} were not"
    );
}

#[test]
fn a_frame_of_any_one_byte_stays_within_bounds() {
    for codec in codecs() {
        for version in versions(codec.schema) {
            for byte in [0, 1, 2, 0x3F, 0x7F, 0x80, 0xFE, 0xFF] {
                decode_codec(codec, version, &vec![byte; 300_000]);
            }
        }
    }
}

/// An array of as many empty elements as a frame can hold: the most memory for the fewest bytes.
#[test]
fn an_array_of_empty_strings_is_refused_before_it_is_allocated() {
    let count = 10_000_000u32;
    let codec = codecs()
        .find(|codec| codec.schema.name() == "FindCoordinatorRequest")
        .unwrap();
    // Version 4: key type, then keys with a compact count, each an empty string of one byte.
    let mut frame = vec![0];
    let mut rest = count + 1;
    while rest >= 0x80 {
        frame.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    frame.push(rest as u8);
    frame.resize(frame.len() + count as usize, 1);
    frame.push(0);
    assert!(!decode_codec(codec, 4, &frame));
}

/// A few bytes that claim millions of topics.
#[test]
fn a_claimed_count_costs_nothing() {
    let codec = codecs()
        .find(|codec| codec.schema.name() == "CreateTopicsRequest")
        .unwrap();
    for claim in [i32::MAX, 1_000_000, 1000] {
        let frame = claim.to_be_bytes();
        assert!(!decode_codec(codec, 2, &frame));
    }
}

/// Of each array of each request in each version as many elements as fit: the frames that the bound is for.
#[test]
fn no_array_of_any_request_takes_more_than_its_frame_allows() {
    let there = There {
        topic: "orders",
        id: Uuid([7; 16]),
        fresh: "group",
        kind: 2,
    };
    let (mut decoded, mut refused) = (0, 0);
    for (_, codec, versions) in requests() {
        for version in versions {
            for path in arrays(codec.schema.body, version) {
                // From as short as 50,000 different names can be to longer than most.
                for names in [
                    Names::Different(1),
                    Names::Different(6),
                    Names::Different(12),
                    Names::Same,
                ] {
                    let frame = filling(codec, version, &path, (256 << 10, names), there);
                    *(if decode_codec(codec, version, &frame) {
                        &mut decoded
                    } else {
                        &mut refused
                    }) += 1;
                }
            }
        }
    }
    assert!(
        decoded > 500 && refused > 20,
        "{decoded} frames were read, {refused} were not"
    );
}

/// Two and a half million names of six letters, in a frame that a broker takes by default.
#[test]
fn however_large_a_frame_is_its_arrays_have_a_bound() {
    let codec = codecs()
        .find(|codec| codec.schema.name() == "DescribeGroupsRequest")
        .unwrap();
    let frame = |count: u32| {
        // Version 0: a count, then names.
        let name = [0, 6, b'g', b'r', b'o', b'u', b'p', b's'];
        [count.to_be_bytes().to_vec(), name.repeat(count as usize)].concat()
    };
    assert!(decode_codec(codec, 0, &frame(1_500_000)));
    assert!(!decode_codec(codec, 0, &frame(2_500_000)));
}
