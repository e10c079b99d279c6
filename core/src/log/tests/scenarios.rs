//! What a log does, told as short stories.

use super::bench::{Bench, batch};
use crate::log::Source;
use crate::record::Producer;
use crate::types::Offset;
use alloc::vec::Vec;

fn offsets(batches: &[crate::record::Batch]) -> Vec<i64> {
    batches.iter().map(|batch| batch.header().base_offset.0).collect()
}

#[test]
fn an_append_is_durable_only_after_its_file_and_both_directories_were_synced() {
    let mut bench = Bench::new();
    bench.append(batch(3, 10, Producer::Plain, 5));
    assert_eq!(bench.log.end(), Offset(3));
    let mut steps = Vec::new();
    while bench.log.durable_end() < Offset(3) {
        assert!(bench.step(), "it never becomes durable");
        steps = bench.disk.history.clone();
    }
    assert_eq!(
        steps,
        [
            "create directory",
            "open",
            "write",
            "sync",
            "sync directory",
            "sync directory"
        ]
    );
    bench.settle();
    assert!(bench.storage.is_quiet());
}

#[test]
fn a_log_reads_back_what_was_appended_across_rolls_power_cuts_and_clean_stops() {
    let mut bench = Bench::new();
    for i in 0..40 {
        bench.append(batch(2, 30, Producer::Plain, i));
    }
    bench.settle();
    assert_eq!(bench.log.durable_end(), Offset(80));
    let expected = bench.consume(Offset(0), Offset(80), 300);
    assert_eq!(offsets(&expected), (0..40).map(|i| i * 2).collect::<Vec<_>>());

    bench.disk.power_cut();
    let report = bench.restart();
    assert_eq!((report.bytes_truncated, report.segments_removed), (0, 0));
    assert_eq!((bench.log.start(), bench.log.durable_end()), (Offset(0), Offset(80)));
    for max in [1, 100, 150, 500, 100_000] {
        assert_eq!(bench.consume(Offset(0), Offset(80), max), expected);
    }

    let entry = bench.close();
    bench.disk.power_cut();
    bench.disk.history.clear();
    let recovered = bench.recover(Source::Clean(entry)).expect("nothing is corrupt");
    assert_eq!(recovered.report.batches_read, 0);
    assert!(
        bench.disk.history.len() <= 6,
        "a clean start reads little: {:?}",
        bench.disk.history
    );
    bench.reopen(recovered);
    assert_eq!(bench.consume(Offset(0), Offset(80), 300), expected);
    assert_eq!(bench.append(batch(1, 5, Producer::Plain, 1)), Offset(80));
}
