//! One replica of one partition: who may append and read, and when an append counts as acknowledged.
//!
//! Invariants:
//! - log start ≤ high watermark ≤ log end; the high watermark counts synced replicas only, and grows as long as this
//!   replica leads;
//! - readers see nothing at or above the high watermark;
//! - an append is answered once it satisfies its acks, a retry of it under the same condition and with the same offset;
//! - asks are answered one by one in the order that they reach the log: what waits for recovery keeps its order.

mod ask;
mod compaction;
mod job;
mod leader;
mod outcome;
mod replicas;
mod report;
mod setting;
mod state;
mod trims;

#[cfg(test)]
mod tests;

pub use ask::{
    Acks, FetchAsk, Fetched, Fetcher, Located, NotProduced, OffsetTarget, PartitionAnswer, PartitionAsk, Produced, home,
};
pub use job::{Incarnation, LogJob, LogOutcome, Purpose, Validate};
pub use outcome::{Appended, Closed, Compacted, Damaged, Outcome, Recovery, RunEnd};
pub use report::Matter;
pub use setting::Setting;
pub use state::Partition;
