//! Scenarios on a disk in memory.

mod beginning;
mod bench;
mod chaos;
mod codecs;
mod compaction;
mod hostile;
mod idempotence;
mod keeping;
mod leaving;
mod reading;
mod recovery;
mod renewal;
mod scenarios;
mod synced;
