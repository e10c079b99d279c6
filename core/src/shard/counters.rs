//! What a shard counts, and what must be back at zero at its end.

use super::Shard;
use crate::types::FaultKind;

/// What a shard has done since its start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Request frames taken.
    pub requests: u64,
    /// Batches appended.
    pub appended_batches: u64,
    /// Records appended, as their batches declare them.
    pub appended_records: u64,
    /// Bytes of batches appended.
    pub appended_bytes: u64,
    /// Batches refused.
    pub refused_batches: u64,
    /// Logs recovered after a stop that was not clean.
    pub recoveries: u64,
    /// Bytes cut off torn tails by recoveries.
    pub truncated_bytes: u64,
    /// Bytes that recoveries wrote once more, because nothing said that they had been synced.
    pub renewed_bytes: u64,
    /// Compactions of a log that came to their end.
    pub compactions: u64,
    /// Bytes that compactions made logs smaller by.
    pub compacted_bytes: u64,
    /// Logs that were due to be compacted when that was looked at last.
    pub compaction_backlog: u64,
    /// Partitions of `__consumer_offsets` whose groups are refused, because they could not be read.
    pub unread_group_partitions: u64,
    /// Bytes that members of groups hold, at this moment.
    pub group_member_bytes: u64,
    /// Batches that were not those that were due, found as they were to be sent: the bytes of their headers that Kafka's
    /// CRC leaves out are not what was synced.
    pub damaged_headers: u64,
    /// Batches whose CRC was wrong, found as they came from the device to be sent.
    pub damaged_bodies: u64,
    /// Look-ups and compactions that ended at damage.
    pub damaged_reads: u64,
    /// Logs that were not opened because what was synced of them is gone or changed.
    pub damaged_logs: u64,
    /// Bytes that committed offsets hold, at this moment.
    pub group_offset_bytes: u64,
    /// Partitions that are not dormant, at this moment.
    pub active_partitions: u64,
    /// Partitions of these that are offline, by why; in the order of [`FaultKind::ALL`].
    pub offline_partitions: [u64; FaultKind::ALL.len()],
}

/// What a shard holds: all zero once it has no clients and nothing is in progress.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Audit {
    /// Operations without a completion.
    pub operations: usize,
    /// Asks that are not answered in full.
    pub asks: usize,
    /// Watches.
    pub watches: usize,
    /// Messages for which a credit is out or awaited.
    pub mail: usize,
    /// Leases on files.
    pub leases: usize,
    /// Connections.
    pub connections: usize,
    /// Bytes of responses that are not sent.
    pub unsent_bytes: usize,
    /// Bytes that fetches hold while they wait.
    pub waiting_bytes: usize,
    /// Armed timers; those for retention and for compaction stay.
    pub timers: usize,
}

impl Shard {
    /// What the shard has done.
    pub fn counters(&self) -> Counters {
        Counters {
            active_partitions: self.active.len() as u64,
            group_member_bytes: self.group_budgets.members.held() as u64,
            group_offset_bytes: self.group_budgets.offsets.held() as u64,
            offline_partitions: self.offline.counts(),
            ..self.counters
        }
    }

    /// Bytes that fetches hold while they wait, and those that fetch sessions hold: [`Limits`] bounds both.
    ///
    /// [`Limits`]: crate::config::Limits
    pub fn held_for_fetches(&self) -> (usize, usize) {
        (self.view.room.waiting(), self.view.fetch_sessions.bytes())
    }

    /// What the shard holds.
    pub fn audit(&self) -> Audit {
        Audit {
            operations: self.ops.len(),
            asks: self.gathering.len() + self.early.len(),
            watches: self.watches.len(),
            mail: self.mailbox.outstanding(),
            leases: self.storage.leases(),
            connections: self.clients.len(),
            unsent_bytes: self.view.room.unsent(),
            waiting_bytes: self.view.room.waiting(),
            timers: self.wheel.len(),
        }
    }
}
