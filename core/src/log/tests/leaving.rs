//! What jobs read gets into the page cache, and is served from there without a check: nothing rotten may stay.

use super::bench::{Bench, batch, config};
use crate::config::{FlushMode, Limits};
use crate::log::{Log, LogConfig, Lookup, Read, TimeAnswer};
use crate::record::{HEADER_LEN, Producer};
use crate::storage::Storage;
use crate::types::{Offset, Timestamp};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// One segment of batches of one record each, with so many bytes; their times are their offsets.
fn filled(sizes: &[usize]) -> (Bench, Vec<u64>) {
    let limits = Limits {
        tail_cache_bytes: 0,
        ..Limits::default()
    };
    let config = LogConfig {
        segment_bytes: 1 << 30,
        index_interval_bytes: 1 << 30,
        ..config()
    };
    let mut bench = Bench::with(config, limits, FlushMode::Fsync);
    let mut starts = Vec::new();
    let mut at = 0;
    for (offset, &bytes) in sizes.iter().enumerate() {
        let batch = batch(1, bytes, Producer::Plain, offset as i64);
        starts.push(at);
        at += batch.len() as u64;
        bench.append(batch);
        bench.settle();
    }
    starts.push(at);
    (bench, starts)
}

type Want = Box<dyn Fn(&mut Log, &mut Storage) -> Option<Box<Lookup>>>;

/// Look-ups for each offset and time, for much and for little.
fn look_ups(batches: usize) -> Vec<Want> {
    let mut wants: Vec<Want> = Vec::new();
    for offset in 0..batches as i64 {
        for max in [1, 1 << 20] {
            wants.push(Box::new(move |log, storage| {
                match log.read(Offset(offset), log.end(), max, true, storage) {
                    Read::Lookup(job) => Some(job),
                    _ => None,
                }
            }));
        }
        wants.push(Box::new(move |log, storage| {
            match log.find_time(Timestamp(offset), storage) {
                TimeAnswer::Lookup(job) => Some(job),
                TimeAnswer::Nothing => None,
            }
        }));
    }
    wants
}

/// Runs a look-up on a page cache that holds nothing; false where none is needed.
fn look_up(bench: &mut Bench, want: &Want) -> bool {
    bench.disk.evict();
    let Some(mut job) = want(&mut bench.log, &mut bench.storage) else {
        return false;
    };
    let outcome = bench.run(&mut *job);
    bench.storage.release(outcome.into_lease());
    bench.settle();
    true
}

#[test]
fn nothing_rotten_stays_in_the_page_cache_that_a_look_up_read() {
    let sizes = [100, 40_000, 3000, 20_000, 10, 100_000, 15_000, 33_000, 500, 2000];
    let (mut bench, starts) = filled(&sizes);
    let path = bench.path("00000000000000000000.log");
    let wants = look_ups(sizes.len());
    let mut reads = 0;
    for batch in starts.windows(2) {
        let (first, last) = (batch[0] + HEADER_LEN as u64, batch[1] - 1);
        let middle = (first..last).step_by(9973);
        for at in middle.chain([first, last]) {
            bench.disk.spoil(&path, |bytes| bytes[at as usize] ^= 1);
            for (number, want) in wants.iter().enumerate() {
                reads += usize::from(look_up(&mut bench, want));
                assert!(!bench.disk.is_cached(&path, at), "byte {at} rots, look-up {number}");
            }
            bench.disk.spoil(&path, |bytes| bytes[at as usize] ^= 1);
        }
    }
    assert!(reads > 500, "{reads} look-ups read anything");
}

#[test]
fn what_a_look_up_found_sound_stays_in_the_page_cache() {
    let sizes = [100, 30_000, 3000, 20_000, 10, 15_000, 500, 2000, 31_000, 9000];
    let (mut bench, _) = filled(&sizes);
    bench.disk.history.clear();
    let wants = look_ups(sizes.len());
    let ran = wants.iter().filter(|want| look_up(&mut bench, want)).count();
    assert!(ran > 20, "{ran} look-ups read anything");
    assert!(!bench.disk.history.contains(&"forget"));
}
