//! The sans-I/O core of Klamm: state machines for the wire protocol, logs, partitions, sessions and the controller.
//!
//! Nothing here names a clock, a socket, a file or a thread. Time, seed and every I/O result are arguments; what the
//! core wants done leaves it as an [effect](shard::Effect). The same machines run under tokio in production and under
//! the deterministic simulator, so a whole broker can be replayed from one integer.
//!
//! Modules are declared in dependency order: a module uses only those above it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bugs;
pub mod marks;
pub mod types;
pub mod wire;

pub mod record;

pub mod config;
pub mod storage;

pub mod log;

pub mod metadata;
pub mod partition;

pub mod group;

pub mod controller;
pub mod session;

pub mod shard;
