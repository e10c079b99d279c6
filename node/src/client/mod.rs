//! A small Kafka client: enough for the command line, the benchmark and tests. It talks to any broker of the last years.

mod admin;
mod cluster;
mod connection;
mod error;
mod partitioner;
mod producer;
mod records;
#[cfg(test)]
mod tests;

pub use cluster::{Cluster, PartitionLeader, by_leader, text};
pub use connection::{Connection, Patience, Range, spoken};
pub use error::{ClientError, code_name};
pub use partitioner::{Partitioner, murmur2};
pub use producer::{Acks, Message, Producer, ProducerOptions};
pub use records::{Fetched, Fetcher, MAX_BATCH_BYTES};
