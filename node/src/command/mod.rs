//! The commands that are Kafka clients.

pub(crate) mod consume;
pub(crate) mod produce;
pub(crate) mod topic;
