//! Compaction, compared with a linear model of the last value of each key, and cut short at every step.

mod faults;
mod scenarios;
mod story;

use super::bench::{Bench, config};
use crate::config::{CleanupPolicy, CompactionConfig, FlushMode, Limits};
use crate::log::{Compact, CompactRun, CompactStop, LogConfig};
use crate::record::{Batch, BatchBuilder, Compression, Producer, codec::Level};
use crate::types::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;

/// Offset, timestamp, key and value of a record.
pub(super) type Row = (i64, i64, Vec<u8>, Option<Vec<u8>>);

pub(super) const RUN: CompactRun = CompactRun {
    secret: [3, 5],
    key_bytes: 1 << 20,
    stretch_bytes: 1 << 20,
};

pub(super) fn compacted() -> LogConfig {
    LogConfig {
        cleanup: CleanupPolicy::Compact,
        compaction: CompactionConfig {
            min_dirty_millionths: 0,
            delete_retention_ms: 60_000,
            ..CompactionConfig::default()
        },
        segment_bytes: 400,
        ..config()
    }
}

pub(super) fn one_segment() -> LogConfig {
    LogConfig {
        segment_bytes: 1 << 20,
        ..compacted()
    }
}

pub(super) fn bench(config: LogConfig) -> Bench {
    let limits = Limits {
        tail_cache_bytes: 0,
        ..Limits::default()
    };
    Bench::with(config, limits, FlushMode::Fsync)
}

/// A batch of records; no value is a tombstone.
pub(super) fn records(rows: &[(&str, Option<&str>)], codec: Compression, producer: Producer, at: i64) -> Batch {
    let mut builder = BatchBuilder::new(codec, Level::default(), producer);
    for (i, (key, value)) in rows.iter().enumerate() {
        let value = value.map(str::as_bytes);
        builder.append(Timestamp(at + i as i64), Some(key.as_bytes()), value, &[("h", None)]);
    }
    builder.build().expect("it has records")
}

pub(super) fn put(bench: &mut Bench, rows: &[(&str, Option<&str>)]) {
    let at = bench.now.wall.0;
    bench.append(records(rows, Compression::None, Producer::Plain, at));
    bench.settle();
}

pub(super) fn roll(bench: &mut Bench) {
    bench.log.roll(bench.now, &mut bench.storage);
    bench.settle();
}

pub(super) fn pass(bench: &mut Bench, ms: u64) {
    bench.now.monotonic = bench.now.monotonic.plus_millis(ms);
    bench.now.wall.0 += ms as i64;
}

pub(super) fn begin(bench: &mut Bench, run: CompactRun) -> Option<Compact> {
    let limit = bench.log.durable_end();
    bench.log.compact(limit, run, bench.now, &mut bench.storage)
}

/// Runs what was begun to its end.
pub(super) fn finish(bench: &mut Bench, mut job: Compact) -> Result<(), CompactStop> {
    let open = bench.disk.open_files();
    let result = loop {
        let outcome = bench.run(&mut job);
        match bench.log.compacted(outcome, bench.now, &mut bench.storage) {
            Ok(Some(next)) => job = next,
            Ok(None) => break Ok(()),
            Err(stop) => break Err(stop),
        }
    };
    assert_eq!(bench.disk.open_files(), open);
    bench.settle();
    result
}

pub(super) fn compact(bench: &mut Bench) {
    let job = begin(bench, RUN).expect("there is something to compact");
    finish(bench, job).expect("the disk is well");
}

pub(super) fn rows_of(batches: &[Batch]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        let opened = batch.open(1 << 20).expect("it opens");
        for record in opened.records() {
            let record = record.expect("it is whole");
            assert_eq!(record.headers.clone().count(), 1);
            rows.push((
                opened.offset(&record).0,
                opened.timestamp(&record).0,
                record.key.unwrap_or_default().to_vec(),
                record.value.map(<[u8]>::to_vec),
            ));
        }
    }
    rows
}

/// Every record from the log's start to its end.
pub(super) fn everything(bench: &mut Bench, max: usize) -> Vec<Row> {
    let (start, end) = (bench.log.start(), bench.log.durable_end());
    let batches = bench.consume(start, end, max);
    assert!(batches.windows(2).all(|pair| {
        let [before, after] = [pair[0].header(), pair[1].header()];
        before.next_offset() <= after.base_offset && before.partition_leader_epoch <= after.partition_leader_epoch
    }));
    rows_of(&batches)
}

/// The offsets and values of what is left, as text.
pub(super) fn left(bench: &mut Bench) -> Vec<(i64, String)> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let row = |(offset, _, key, value): Row| {
        let value = value.map_or(String::from("-"), |value| shown(&value));
        (offset, shown(&key) + "=" + &value)
    };
    everything(bench, 200).into_iter().map(row).collect()
}

pub(super) fn names(bench: &Bench, suffix: &str) -> Vec<String> {
    let files = bench.disk.files();
    let ours = files.iter().filter_map(|path| path.rsplit('/').next());
    ours.filter(|name| name.ends_with(suffix)).map(String::from).collect()
}

pub(super) fn text(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter().map(|&(offset, row)| (offset, String::from(row))).collect()
}
