//! What groups did, in numbers.

/// What groups did, in numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct GroupCounts {
    /// Joins that were answered well.
    pub joins: u64,
    /// Generations that somebody was told.
    pub generations: u64,
    /// Parts that were handed out.
    pub syncs: u64,
    /// Heartbeats that were answered well.
    pub heartbeats: u64,
    /// Requests that were told of a rebalance.
    pub rebalances: u64,
    /// Commits that were answered well, by partition.
    pub commits: u64,
    /// Commits of members that were refused for their generation or their id.
    pub stale_commits: u64,
    /// Requests of a static member that another has taken the place of.
    pub fenced: u64,
    /// Members that were told that they are none any more.
    pub evictions: u64,
    /// Members that left.
    pub leaves: u64,
    /// Members whose part a start of the broker did not take.
    pub survivals: u64,
    /// Committed offsets that were told.
    pub offsets_told: u64,
    /// Commits and fetches of offsets whose order was judged.
    pub offsets_judged: u64,
    /// Groups whose deletion was answered well.
    pub deleted: u64,
    /// Offsets whose deletion was answered well, by partition.
    pub offsets_deleted: u64,
    /// Times that an offset that had been committed, and that nobody deleted, was not there any more.
    pub expired: u64,
    /// Answers compared with what the device held when they left.
    pub checked_on_device: u64,
}

impl GroupCounts {
    /// Every number with what it counts, in the plural and as one of them.
    pub fn named(&self) -> [(u64, &'static str, &'static str); 17] {
        [
            (self.joins, "joins", "a join"),
            (self.generations, "generations", "a generation"),
            (self.syncs, "parts handed out", "a part handed out"),
            (self.heartbeats, "heartbeats", "a heartbeat"),
            (
                self.rebalances,
                "told of a rebalance",
                "a rebalance that a member heard of",
            ),
            (self.commits, "offsets committed", "a committed offset"),
            (self.stale_commits, "stale commits refused", "a stale commit refused"),
            (self.fenced, "fenced", "a fenced member"),
            (self.evictions, "evictions", "an eviction"),
            (self.leaves, "leaves", "a member that left"),
            (
                self.survivals,
                "parts that outlived a start",
                "a part that outlived a start",
            ),
            (self.offsets_told, "offsets told", "an offset told"),
            (
                self.offsets_judged,
                "judged",
                "an operation on an offset that was judged",
            ),
            (self.deleted, "groups deleted", "a deleted group"),
            (
                self.offsets_deleted,
                "offsets deleted",
                "a committed offset that was deleted",
            ),
            (self.expired, "seen to have expired", "a committed offset that expired"),
            (
                self.checked_on_device,
                "answers checked on the device",
                "a member's answer checked on the device",
            ),
        ]
    }

    /// Takes another run's counts up.
    pub fn add(&mut self, other: &Self) {
        for (total, part) in [
            (&mut self.joins, other.joins),
            (&mut self.generations, other.generations),
            (&mut self.syncs, other.syncs),
            (&mut self.heartbeats, other.heartbeats),
            (&mut self.rebalances, other.rebalances),
            (&mut self.commits, other.commits),
            (&mut self.stale_commits, other.stale_commits),
            (&mut self.fenced, other.fenced),
            (&mut self.evictions, other.evictions),
            (&mut self.leaves, other.leaves),
            (&mut self.survivals, other.survivals),
            (&mut self.offsets_told, other.offsets_told),
            (&mut self.offsets_judged, other.offsets_judged),
            (&mut self.deleted, other.deleted),
            (&mut self.offsets_deleted, other.offsets_deleted),
            (&mut self.expired, other.expired),
            (&mut self.checked_on_device, other.checked_on_device),
        ] {
            *total += part;
        }
    }
}
