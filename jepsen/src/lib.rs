//! Judges histories of what clients of a log sent and polled, whatever the log was and however it was run.
//!
//! The anomalies are those of Jepsen's Kafka workload, as far as single sends and polls can show them; each has its
//! definition at [`Anomaly`]. Every checker is pure and takes time linear in the history.
//!
//! Small objects, such as metadata and committed offsets, go through a general checker of linearizability,
//! [`linearizable`].
//!
//! Invariants: a history without anomalies has a single order of values per key that every send and poll agrees with;
//! an operation whose outcome is unknown may have taken effect or not, and is never held against anybody.

mod check;
mod history;
mod linear;

#[cfg(test)]
mod tests;

pub use check::{Anomaly, Finding, check};
pub use history::{History, Key, Message, Op, Outcome, Process, Value};
pub use linear::{Call, Linearizability, Model, Register, RegisterInput, linearizable};
