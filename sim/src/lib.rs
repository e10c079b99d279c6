//! World: a deterministic simulator of Klamm brokers.
//!
//! One integer decides everything about a run: options, workload, delays and faults. The same integer replays it.

pub mod disk;
pub mod draw;
