//! Messages between the shards of one process.

/// A message from one shard to another. Drivers deliver it and look at nothing in it.
#[derive(Debug)]
pub enum Mail {}
