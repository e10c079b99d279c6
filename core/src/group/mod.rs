//! Consumer groups: who takes part, which generation it is, and which offsets were committed.
//!
//! A group belongs to a partition of `__consumer_offsets`, by its name; that partition's leader coordinates it. A
//! [`Coordinator`] is one such partition's groups. What a group decides is a record of the partition, in Kafka's own
//! form, and takes effect once the record is durable: so a member that was stable is stable after a restart, and no
//! generation is issued twice.

mod ask;
mod asks;
mod backoff;
mod budget;
mod classic;
mod coordinator;
mod deadlines;
mod due;
mod expiry;
mod load;
mod offsets;
mod queue;
mod reading;
mod record;
mod writing;

pub use ask::{
    CommitAsk, CommitOffset, Described, DescribedMember, FetchAsk, FirstJoin, GroupAnswer, GroupAsk, HeartbeatAsk,
    JoinAsk, JoinRefusal, Joined, JoinedMember, Leaver, Listed, Protocol, ReplacedLeader, Stability, StateName,
    SyncAsk, Synced, ToldOffset, WantedTopic,
};
pub use budget::{Budget, Budgets};
pub use coordinator::{Coordinator, Outcome, View, Want};
pub use expiry::Since;
pub use load::ReadRecords;
pub use offsets::Committed;
pub use record::Loaded;

/// The topic of groups and offsets (`org.apache.kafka.common.internals.Topic.GROUP_METADATA_TOPIC_NAME`).
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// The partition of `__consumer_offsets`, of `partitions`, that a group belongs to: Java's hash of its name, its sign
/// dropped as `org.apache.kafka.common.utils.Utils.abs` does.
pub fn partition_of(group: &str, partitions: i32) -> i32 {
    java_hash(group).checked_abs().unwrap_or(0) % partitions.max(1)
}

/// `java.lang.String.hashCode`.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests;
