//! Scenarios on a disk in memory.

mod bench;
mod scenarios;
