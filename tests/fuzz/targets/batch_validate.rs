//! Whatever a producer sends as its records: it is refused or sound, nothing panics, no codec's output exceeds its bound,
//! and neither what is held at once nor what is allocated in all exceeds what that bound allows. Run with
//! `-malloc_limit_mb=2` for what a codec in C allocates, which is not counted.
#![no_main]

use bytes::Bytes;
use klamm_core::record::validate::Keys;
use klamm_core::record::{
    Batch, BatchBuilder, BatchError, BatchHeader, Compression, HEADER_LEN, Level, ProduceRules, Producer, Rejection,
    Restamp, TimestampType, Validation, single_batch, split, validate_opened, validate_produce,
};
use klamm_core::types::{Offset, Timestamp};
use klamm_tests::memory::{self, CountingAllocator};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const BOUND: usize = 64 << 10;

/// How the input becomes records. Chance alone would never find the way past the CRC, or into a compressed stream.
enum Shape {
    /// As it is.
    Raw,
    /// A header and a body, with the right length, CRC and base offset.
    Sealed,
    /// A good batch whose body is damaged, then sealed.
    Damaged(Compression),
}

fuzz_target!(|data: &[u8]| {
    let Some((&[selector, flags], data)) = data.split_first_chunk() else {
        return;
    };
    let shape = match selector % 8 {
        0 => Shape::Raw,
        1 | 2 => Shape::Sealed,
        id => Shape::Damaged(Compression::from_id(id - 3).expect("five codecs")),
    };
    let records = match shape {
        Shape::Raw => Some(Bytes::copy_from_slice(data)),
        Shape::Sealed => sealed(data),
        Shape::Damaged(compression) => damaged(data, compression),
    };
    let Some(records) = records else { return };

    let rules = rules(flags);
    for batch in within(records.len(), 0, || split(&records).flatten().collect::<Vec<_>>()) {
        check(&batch, &rules);
    }
    if let Ok(batch) = within(records.len(), 0, || single_batch(&records)) {
        assert_eq!(batch.to_bytes(), records, "one batch is all that is there");
    }
});

fn rules(flags: u8) -> ProduceRules {
    ProduceRules {
        max_message_bytes: if flags & 1 == 0 { 1_048_588 } else { 100 },
        keys: if flags & 2 == 0 { Keys::Optional } else { Keys::Required },
        timestamp_type: if flags & 4 == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        },
        now: Timestamp(1_700_000_000_000),
        before_max_ms: if flags & 8 == 0 { i64::MAX as u64 } else { 1000 },
        after_max_ms: if flags & 16 == 0 { u64::MAX } else { 1000 },
    }
}

fn sealed(data: &[u8]) -> Option<Bytes> {
    let (header, body) = data.split_first_chunk::<HEADER_LEN>()?;
    let mut header = BatchHeader::parse(header);
    header.base_offset = Offset::ZERO;
    Some(Batch::assemble(header, Bytes::copy_from_slice(body)).to_bytes())
}

/// The first bytes say where and how to damage; the rest is the records' value.
fn damaged(data: &[u8], compression: Compression) -> Option<Bytes> {
    let (&[at, with, count], value) = data.split_first_chunk()?;
    let mut builder = BatchBuilder::new(compression, Level::Default, Producer::Plain);
    for i in 0..=i64::from(count) % 8 {
        builder.append(
            Timestamp(1_700_000_000_000 + i),
            Some(b"key"),
            Some(value),
            &[("header", None)],
        );
    }
    let batch = builder.build().expect("records of a small input fit");
    let mut body = batch.body().to_vec();
    let at = usize::from(at) % body.len();
    body[at] ^= with;
    Some(Batch::assemble(batch.header(), body.into()).to_bytes())
}

/// What is accepted must be sound: readable to its end, as many records as declared, and valid once more.
fn check(batch: &Batch, rules: &ProduceRules) {
    if let Ok(opened) = within(batch.len(), BOUND, || batch.open(BOUND)) {
        assert!(opened.bytes().len() <= BOUND);
        for record in opened.records().flatten() {
            assert_eq!(record.headers.len(), record.headers.count());
        }
    }
    match within(batch.len(), 0, || validate_produce(batch, rules)) {
        Err(error) => refused(&error),
        Ok(Validation::Valid(restamp)) => {
            accept(batch, rules, restamp);
            check_opened(batch, rules);
        }
        Ok(Validation::NeedsDecompression) => check_opened(batch, rules),
    }
}

fn check_opened(batch: &Batch, rules: &ProduceRules) {
    let (kept, restamp) = match within(batch.len(), BOUND, || validate_opened(batch, rules, BOUND, None)) {
        Ok(valid) => valid,
        Err(error) => return refused(&error),
    };
    assert_eq!(kept.to_bytes(), batch.to_bytes(), "no other codec was asked for");
    accept(batch, rules, restamp);
    let opened = batch.open(BOUND).expect("it was opened before");
    let offsets: Vec<_> = opened
        .records()
        .map(|record| record.expect("it was walked before").offset_delta)
        .collect();
    assert!(
        offsets.iter().copied().eq(0..batch.header().record_count),
        "{offsets:?}"
    );
    let to_none = Some((Compression::None, Level::Default));
    match within(batch.len(), 2 * BOUND, || validate_opened(batch, rules, BOUND, to_none)) {
        Ok((plain, again)) => {
            assert_eq!((plain.body(), again), (opened.bytes(), restamp));
            accept(&plain, rules, again);
        }
        Err(error) => assert!(
            matches!(error, Rejection::Batch(BatchError::TooLarge { .. })),
            "{error}"
        ),
    }
}

/// Does something with so many bytes of batches, of which so many may be opened, and holds it to what it may take: a small
/// multiple of those, and the state of a codec. What does not open anything has the allowance of its errors' texts alone.
fn within<T>(bytes: usize, opened: usize, work: impl FnOnce() -> T) -> T {
    let (result, spent) = memory::spent_during(work);
    let allowed = memory::open_bound(opened);
    let (most, total) = (8 * bytes + allowed.most, 8 * bytes + allowed.total);
    assert!(
        spent.most <= most && spent.total <= total,
        "{bytes} bytes took {spent:?}, and might take {most} at once and {total} in all"
    );
    result
}

fn refused(rejection: &Rejection) {
    assert!(!rejection.error_code().is_none() && !rejection.to_string().is_empty());
    let indexes: Vec<i32> = rejection.records().iter().map(|record| record.index).collect();
    assert!(indexes.is_sorted(), "{indexes:?}");
}

fn accept(batch: &Batch, rules: &ProduceRules, restamp: Restamp) {
    let mut stored = batch.clone();
    stored.restamp(restamp);
    assert_eq!(stored.check_crc(), Ok(()));
    assert_eq!(stored.header().timestamp_type(), rules.timestamp_type);
    assert_eq!(stored.len(), batch.len());
}
