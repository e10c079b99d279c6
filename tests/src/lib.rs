//! End-to-end tests of Klamm with real clients.

pub mod memory;
pub mod wire;
