//! Any bytes as the header of a request, and as any message of any version: nothing panics, nothing takes more memory
//! than a small multiple of the bytes, and what is read can be written and reads back the same.
#![no_main]

use bytes::Bytes;
use klamm_core::wire::reflect::versions;
use klamm_core::wire::{Reader, frame};
use klamm_tests::memory::{self, CountingAllocator};
use klamm_tests::wire::codecs;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fuzz_target!(|data: &[u8]| {
    let Some((&pick, rest)) = data.split_first_chunk() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(rest);
    let length = bytes.len();

    let (header, most) = memory::most_during(|| frame::decode_request_header(&bytes));
    assert!(
        most <= memory::decode_bound(length),
        "the header of {length} bytes took {most}"
    );
    drop(header);

    // The first two bytes pick a version among all that there are.
    let all = codecs().flat_map(|codec| versions(codec.schema).map(move |version| (codec, version)));
    let (codec, version) = all.cycle().nth(u16::from_le_bytes(pick).into()).expect("it goes round");
    let mut reader = Reader::new(bytes);
    let (_, most) = memory::most_during(|| codec.decodes(&mut reader.clone(), version));
    assert!(
        most <= memory::decode_bound(length),
        "{length} bytes of {} took {most}",
        codec.schema.name()
    );

    // What was read can be written, and reads back the same.
    if let Ok(message) = codec.decode(&mut reader, version) {
        let written = codec
            .encode(&message, version)
            .expect("a version can carry what it carried");
        assert_eq!(codec.decode(&mut Reader::new(written), version), Ok(message));
    }
});
