//! What an operator should know of a partition.

/// What a report is about: of each partition, one report about a matter is enough for a while.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Matter {
    /// Its log cannot be opened.
    Offline,
    /// A write failed.
    Write,
    /// A read failed.
    Read,
    /// Its log is not compacted as it should be.
    Compaction,
    /// Recovery cut something off that may be lost.
    Cut,
    /// Recovery took back what a write left that failed.
    TakenBack,
    /// The groups that are kept in it cannot be read.
    GroupsRead,
    /// What the groups decide on cannot be written to it.
    GroupsWritten,
    /// Its groups are served again.
    GroupsServed,
    /// It holds records that say nothing of groups that this broker knows.
    GroupsIgnored,
    /// Its groups are refused memory.
    GroupsMemory,
    /// A group is too large for its record.
    GroupsLarge,
}
