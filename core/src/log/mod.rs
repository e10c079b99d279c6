//! One partition's ordered bytes.
//!
//! A [`Log`] is a list of segments, files of Kafka's own record batches and nothing else. What else is known of them
//! (sparse index, leader epochs, producers, greatest timestamp, how far they were synced) is in their
//! [checkpoints](Checkpoint), and in memory for the segment that grows. A log names files and never syncs: it appends
//! through [`Storage`](crate::storage::Storage) and hears what became durable.
//!
//! Invariants:
//! - start ≤ durable end ≤ end; the durable end advances by whole appends;
//! - the segments follow each other without a gap, in offsets and in the order in which they become durable;
//! - offsets, positions in a segment and leader epochs of its batches ascend;
//! - a range that is read from a file goes with what its batches must be: nobody sends others;
//! - a plan to read never holds what is not durable, unless from memory and up to where the caller allows.

mod checkpoint;
mod compact;
mod config;
mod damage;
mod epochs;
mod lifecycle;
mod lookup;
mod machine;
pub mod manifest;
mod place;
mod producers;
mod read;
mod recover;
mod replay;
mod segment;
mod spans;
mod start;
mod synced;
mod time;
mod unsynced;
mod work;

#[cfg(test)]
mod tests;

pub use checkpoint::Checkpoint;
pub use compact::{Cleanable, Compact, CompactOutcome, CompactRun, CompactStop, Swapped};
pub use config::{LogConfig, Writes};
pub use epochs::EpochHistory;
pub use lookup::{Lookup, LookupOutcome, TimeFound};
pub use machine::{Appended, Log};
pub use manifest::{ClosedLog, ManifestEntry, ManifestSegment};
pub use place::{Cleaning, LogPlace, Stem};
pub use producers::{ActiveProducer, Check, PastBatch, Producers, WINDOW};
pub use read::{Read, ReadPlan};
pub use recover::{Recover, RecoverSettings, Recovered, RecoveryReport, Source};
pub use replay::{Replay, ReplayChunk};
pub use segment::Peak;
pub use start::{MarkStart, StartOutcome};
pub use synced::{NoteEnd, NoteSynced};
pub use time::{TimeAnswer, TimeLookedUp};
pub use work::{CheckpointOutcome, WriteCheckpoint};
