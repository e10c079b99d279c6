//! Whatever a compressed batch becomes once it is opened, it takes no more memory than its bound allows.

use bytes::Bytes;
use klamm_core::record::{Batch, BatchBuilder, BatchError, CodecError, Compression, Level, Producer};
use klamm_core::types::Timestamp;
use klamm_tests::memory::{self, CountingAllocator};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A batch of one record of so many bytes, each the same.
fn batch(compression: Compression, bytes: usize) -> Batch {
    let mut builder = BatchBuilder::new(compression, Level::Default, Producer::Plain);
    builder.append(Timestamp(1), None, Some(&vec![7; bytes]), &[]);
    let batch = builder.build().expect("it has a record");
    // With a body of its own: what the builder keeps is not what is counted.
    Batch::assemble(batch.header(), Bytes::copy_from_slice(batch.body()))
}

#[test]
fn a_batch_is_opened_within_its_bound_or_refused_within_it() {
    for compression in Compression::ALL {
        for bound in [4 << 10, 64 << 10, 1 << 20] {
            // Well within the bound, just within it, just beyond, and what would be the end of a broker.
            for bytes in [bound / 10, bound - 100, bound + 1, 8 * bound] {
                let batch = batch(compression, bytes);
                let (opened, spent) = memory::spent_during(|| batch.open(bound).map(|it| it.bytes().len()));
                match opened {
                    Ok(length) => assert!((bytes..=bound).contains(&length), "{compression}: {length} of {bound}"),
                    Err(error) => {
                        assert!(bytes > bound, "{compression}: {error}");
                        assert!(
                            matches!(error, BatchError::Codec(CodecError::TooLarge { .. })),
                            "{compression}: {error}"
                        );
                    }
                }
                let allowed = memory::open_bound(bound);
                assert!(
                    spent.most <= allowed.most && spent.total <= allowed.total,
                    "{compression}: {bytes} bytes in {bound} took {spent:?}"
                );
            }
        }
    }
}
