//! Scenarios on a disk in memory.

mod bench;
mod disk;
mod scenarios;
