//! End-to-end tests of Klamm: a real broker process, real clients, and what they need.
//!
//! [`Broker`] runs the `klamm` binary, [`Client`] is a client in its own language and [`client::Actor`] one at work, [`frame`] speaks the protocol
//! byte by byte where a client would not send what a test wants to send. None of these uses Klamm's own code: what the
//! broker wrote is judged by others. [`wire`] is what the tests of the codec share.

pub mod broker;
pub mod client;
pub mod frame;
pub mod installed;
pub mod kafka;
pub mod memory;
pub mod mount;
pub mod record;
pub mod trace;
pub mod usage;
pub mod wire;

pub use broker::{Broker, Options};
pub use client::Client;
pub use record::{Record, Stored};
