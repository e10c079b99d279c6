//! Klamm on tokio: sockets, disks, timers; runs shards on cores.
//!
//! The production driver of [`klamm_core::shard::Shard`]. A shard runs on a thread of its own, on a current-thread
//! runtime, in turns: take everything that is ready, step the machine with each, then carry out the effects with one
//! vectored write a file and one a connection. What may block runs on disk threads.
//!
//! Three seams keep the outside world replaceable: [`Disk`] (operations and their completions), [`Spawner`] (a shard is
//! a named thread) and [`Outlet`] (a connection's two directions). Everything above them is generic.
//!
//! Modules are declared in dependency order: a module uses only those above it; `disk` and `event` are one step.

#![forbid(unsafe_code)]

mod clock;
mod counters;
mod grumble;
mod sync;

mod inbox;

mod bell;
mod options;
mod timer;

mod memory;

mod disk;
mod event;

mod connection;
mod lifecycle;

mod shard;

mod accept;
mod broker;
mod spawner;

pub use broker::{Broker, Stopper, bind};
pub use connection::Outlet;
pub use counters::{CloseKind, DiskFault, SYNC_BUCKETS, Snapshot};
pub use disk::{Disk, Threads};
pub use options::{BoundListener, BrokerOptions, Exit, NetLimits, StartError};
pub use shard::Machine;
pub use spawner::{OsThreads, Spawner};
