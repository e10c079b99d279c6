//! What the driver counts, for `/metrics`. Each shard and the disk threads have counters of their own, so that counting
//! shares no cache line on the data path.

use crate::inbox::lock;
use klamm_core::shard::CloseReason;
use klamm_core::storage::{IoError, IoErrorKind};
use klamm_core::types::FaultKind;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets of the sync latencies: bucket `i` counts syncs of less than 2^i microseconds that no earlier one counted;
/// the last takes the rest.
pub const SYNC_BUCKETS: usize = 24;

/// Pairs of API and version counted at most; clients choose them.
const UNSUPPORTED_PAIRS: usize = 256;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// Counters of one shard, or of the disk threads.
        #[derive(Default, Debug)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
            pub(crate) sync_buckets: [AtomicU64; SYNC_BUCKETS],
            closed: [AtomicU64; CloseKind::ALL.len()],
            offline_partitions: [AtomicU64; FaultKind::ALL.len()],
            disk_faults: [AtomicU64; DiskFault::ALL.len()],
            unsupported: Mutex<BTreeMap<(i16, i16), u64>>,
        }

        /// The counters of a broker at one moment, summed over its shards.
        #[derive(Clone, PartialEq, Eq, Default, Debug)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// Syncs by how long they took, see [`SYNC_BUCKETS`].
            pub sync_buckets: [u64; SYNC_BUCKETS],
            /// Connections closed, by why; in the order of [`CloseKind::ALL`].
            pub closed: [u64; CloseKind::ALL.len()],
            /// Partitions that are offline now, by why; in the order of [`FaultKind::ALL`].
            pub offline_partitions: [u64; FaultKind::ALL.len()],
            /// Operations on files that failed, by how; in the order of [`DiskFault::ALL`].
            pub disk_faults: [u64; DiskFault::ALL.len()],
            /// Connections closed for a request of an API key and version that is not served.
            pub unsupported: BTreeMap<(i16, i16), u64>,
        }

        impl Counters {
            /// Adds what is counted so far to `sum`.
            pub(crate) fn add_to(&self, sum: &mut Snapshot) {
                $(sum.$name += self.$name.load(Ordering::Relaxed);)*
                add_all(&mut sum.sync_buckets, &self.sync_buckets);
                add_all(&mut sum.closed, &self.closed);
                add_all(&mut sum.offline_partitions, &self.offline_partitions);
                add_all(&mut sum.disk_faults, &self.disk_faults);
                for (pair, count) in &*lock(&self.unsupported) {
                    *sum.unsupported.entry(*pair).or_default() += count;
                }
            }
        }
    };
}

fn add_all(sums: &mut [u64], counts: &[AtomicU64]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count.load(Ordering::Relaxed);
    }
}

counters! {
    /// Connections accepted.
    connections_accepted
    /// Connections refused because there were too many.
    connections_refused
    /// Connections open now.
    connections_open
    /// Request frames delivered to the core.
    frames
    /// Bytes received from clients.
    bytes_in
    /// Bytes sent to clients.
    bytes_out
    /// Responses sent in full.
    responses
    /// Turns of the shards.
    turns
    /// Writes of the core carried out.
    writes
    /// System calls they took, on the shards' threads.
    writes_now
    /// System calls they took, on disk threads.
    writes_queued
    /// Bytes written to files.
    bytes_written
    /// `fdatasync`, `syncfs` and directory syncs.
    syncs
    /// Nanoseconds they took together.
    sync_nanos
    /// Tasks run to their end.
    tasks
    /// Work handed to disk threads and not finished.
    disk_queue
    /// Reads of ranges that were not in the page cache.
    fills
    /// Bytes of memory that received frames hold now.
    memory_bytes
    /// Times a connection had to wait for memory to receive into.
    memory_waits
    /// Connections that stand in line for memory now.
    memory_line
    /// Frames that were received without a slab, because all of them were in use.
    slab_shortages
    /// Times the shards were told to let go of received bytes that they keep for later.
    reclaims
    /// Batches appended.
    appended_batches
    /// Records appended, as their batches declare them.
    appended_records
    /// Bytes of batches appended.
    appended_bytes
    /// Batches refused.
    refused_batches
    /// Logs brought back from what their files hold.
    recoveries
    /// Bytes that recoveries cut off torn tails.
    truncated_bytes
    /// Bytes that recoveries wrote once more, because nothing said that they had been synced.
    renewed_bytes
    /// Compactions of a log that came to their end.
    compactions
    /// Bytes that compactions made logs smaller by.
    compacted_bytes
    /// Logs that were due to be compacted when that was looked at last.
    compaction_backlog
    /// Partitions of `__consumer_offsets` whose groups could not be read.
    unread_group_partitions
    /// Bytes that members of groups hold now.
    group_member_bytes
    /// Batches that were not those that were due, found as they were to be sent.
    damaged_headers
    /// Batches whose CRC was wrong, found as they came from the device to be sent.
    damaged_bodies
    /// Look-ups and compactions that ended at bytes that are not what was synced.
    damaged_reads
    /// Logs that were not opened because what was synced of them is gone or changed.
    damaged_logs
    /// Bytes that committed offsets hold now.
    group_offset_bytes
    /// Partitions that are in use now.
    active_partitions
}

impl Counters {
    /// Takes over what a shard of the core counts itself.
    pub(crate) fn observe(&self, shard: &klamm_core::shard::Counters) {
        let observed = [
            (&self.appended_batches, shard.appended_batches),
            (&self.appended_records, shard.appended_records),
            (&self.appended_bytes, shard.appended_bytes),
            (&self.refused_batches, shard.refused_batches),
            (&self.recoveries, shard.recoveries),
            (&self.truncated_bytes, shard.truncated_bytes),
            (&self.renewed_bytes, shard.renewed_bytes),
            (&self.compactions, shard.compactions),
            (&self.compacted_bytes, shard.compacted_bytes),
            (&self.compaction_backlog, shard.compaction_backlog),
            (&self.unread_group_partitions, shard.unread_group_partitions),
            (&self.group_member_bytes, shard.group_member_bytes),
            (&self.damaged_headers, shard.damaged_headers),
            (&self.damaged_bodies, shard.damaged_bodies),
            (&self.damaged_reads, shard.damaged_reads),
            (&self.damaged_logs, shard.damaged_logs),
            (&self.group_offset_bytes, shard.group_offset_bytes),
            (&self.active_partitions, shard.active_partitions),
        ];
        for (counter, value) in observed {
            counter.store(value, Ordering::Relaxed);
        }
        for (counter, value) in self.offline_partitions.iter().zip(shard.offline_partitions) {
            counter.store(value, Ordering::Relaxed);
        }
    }
}

/// Why a connection ended, as far as the counters tell it apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseKind {
    /// The client closed it, or the network did.
    Client,
    /// A request could not be read.
    Malformed,
    /// A request of an API or version that is not served.
    Unsupported,
    /// A produce request with acks=0 failed.
    FailedWithoutAcks,
    /// It was idle for too long.
    Idle,
    /// A response could not be sent as promised.
    Unsendable,
    /// The broker stopped.
    Shutdown,
    /// A frame claimed more than `socket.request.max.bytes`, or a negative length.
    Oversize,
    /// A response made no progress for too long.
    Stalled,
    /// Its unfinished request gave way to others when memory ran out.
    Memory,
}

impl CloseKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Client,
        Self::Malformed,
        Self::Unsupported,
        Self::FailedWithoutAcks,
        Self::Idle,
        Self::Unsendable,
        Self::Shutdown,
        Self::Oversize,
        Self::Stalled,
        Self::Memory,
    ];

    /// A word for labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::FailedWithoutAcks => "failed_without_acks",
            Self::Idle => "idle",
            Self::Unsendable => "unsendable",
            Self::Shutdown => "shutdown",
            Self::Oversize => "oversize",
            Self::Stalled => "stalled",
            Self::Memory => "memory",
        }
    }

    /// The kind of what the core gives as its reason.
    pub(crate) const fn of(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::MalformedRequest(_) => Self::Malformed,
            CloseReason::UnsupportedRequest { .. } => Self::Unsupported,
            CloseReason::FailedWithoutAcks(_) => Self::FailedWithoutAcks,
            CloseReason::Idle => Self::Idle,
            CloseReason::Unread(_) => Self::Stalled,
            CloseReason::Unsendable(_) => Self::Unsendable,
            CloseReason::Shutdown => Self::Shutdown,
        }
    }
}

/// How an operation on a file failed, as far as the counters tell it apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskFault {
    /// There was no space, or no quota.
    NoSpace,
    /// The process had too many open files.
    NoDescriptors,
    /// A read failed.
    Read,
    /// A write failed, or a truncation.
    Write,
    /// A sync failed, of a file, a directory or the file system.
    Sync,
    /// Anything else did: an open, a rename, a listing.
    Other,
}

impl DiskFault {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::NoSpace,
        Self::NoDescriptors,
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::Other,
    ];

    /// A word for labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSpace => "no_space",
            Self::NoDescriptors => "no_descriptors",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Other => "other",
        }
    }

    /// What an error is where it comes of an operation of the kind `of`; `None` for an answer like any other, as that
    /// there is no such file.
    pub(crate) const fn of(self, error: &IoError) -> Option<Self> {
        match (self, error.kind) {
            (_, IoErrorKind::TooManyOpenFiles) => Some(Self::NoDescriptors),
            // Whatever else the system says of it: what was to be synced may not be.
            (Self::Sync, _) => Some(Self::Sync),
            (_, IoErrorKind::NotFound | IoErrorKind::AlreadyExists | IoErrorKind::Locked) => None,
            (_, IoErrorKind::NoSpace) => Some(Self::NoSpace),
            (of, IoErrorKind::PermissionDenied | IoErrorKind::Device) => Some(of),
        }
    }
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Takes from a counter that shows a level.
pub(crate) fn uncount(counter: &AtomicU64, amount: u64) {
    counter.fetch_sub(amount, Ordering::Relaxed);
}

impl Counters {
    /// A connection ended.
    pub(crate) fn connection_closed(&self, kind: CloseKind) {
        count(&self.closed[kind as usize], 1);
        uncount(&self.connections_open, 1);
    }

    /// A request of `api` and `version` is not served.
    pub(crate) fn unsupported_request(&self, api: i16, version: i16) {
        let mut pairs = lock(&self.unsupported);
        if pairs.len() < UNSUPPORTED_PAIRS || pairs.contains_key(&(api, version)) {
            *pairs.entry((api, version)).or_default() += 1;
        }
    }

    /// An operation of the kind `of` ended.
    pub(crate) fn file_operation<T>(&self, of: DiskFault, result: &Result<T, IoError>) {
        if let Err(error) = result {
            self.file_operation_failed(of, error);
        }
    }

    /// An operation of the kind `of` failed.
    pub(crate) fn file_operation_failed(&self, of: DiskFault, error: &IoError) {
        if let Some(fault) = of.of(error) {
            count(&self.disk_faults[fault as usize], 1);
        }
    }

    /// A sync took this long.
    pub(crate) fn synced(&self, nanos: u64) {
        count(&self.syncs, 1);
        count(&self.sync_nanos, nanos);
        let micros = nanos / 1000;
        let bucket = (64 - micros.leading_zeros()) as usize;
        count(&self.sync_buckets[bucket.min(SYNC_BUCKETS - 1)], 1);
    }
}
