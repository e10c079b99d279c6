//! Deliberate bugs: each proves that the check which should catch it does.
//!
//! `bug!(AckBeforeFsync)` is the constant `false`, unless the build has `--cfg klamm_bugs`; then `select` decides at
//! run time. A release binary holds neither the selector nor the bugs.

/// A deliberate bug; DESIGN.md names the guarantee that each breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Bug {
    /// An append counts as durable before its sync ended.
    AckBeforeFsync = 1,
    /// A write issued after a sync began is credited to it.
    SyncCoversLaterWrites = 2,
    /// A new segment counts as durable without a sync of its directory.
    NoDirectorySync = 3,
    /// A failed sync is tried again, and believed when it succeeds.
    RetryFailedSync = 4,
    /// A descriptor with unsynced bytes is closed, and a failed sync with it forgotten.
    CloseDirtyDescriptor = 5,
    /// Recovery believes the tail without checking its CRC.
    SkipTailCrc = 6,
    /// A log that a failed write cut short keeps its index entries past the cut.
    KeepIndexPastTail = 7,
    /// Producer state starts empty after a restart.
    ForgetProducers = 8,
    /// A log that a failed write cut short keeps its producers as they were before it.
    StaleProducerSnapshot = 9,
    /// Only the last batch of a producer is remembered.
    DuplicateWindowOfOne = 10,
    /// A retry is answered with a new offset.
    RetryGetsNewOffset = 11,
    /// A retry is answered before its original is durable.
    RetryAnsweredEarly = 12,
    /// Recovery serves what it did not sync.
    RecoverWithoutSync = 13,
    /// No new leader epoch after an unclean start.
    KeepLeaderEpoch = 14,
    /// The clean-shutdown manifest is written before the last sync of the logs that it vouches for: they are not closed,
    /// and the process ends with that sync left to the system.
    ManifestBeforeSync = 15,
    /// The manifest is left standing after start.
    ManifestLeftStanding = 16,
    /// A block of producer ids is used before it is reserved durably.
    ProducerIdsNotReserved = 17,
    /// An append after a short write leaves a gap.
    GapAfterShortWrite = 18,
    /// A waiting fetch is not woken by an append.
    LostWakeUp = 19,
    /// A credit is lost at disconnect.
    LostCredit = 20,
    /// A lease is lost at disconnect.
    LostLease = 21,
    /// A generation is announced without a record of it: after a crash it is issued again (one-owner, generations).
    GenerationNotDurable = 22,
    /// A member commits offsets under an old generation (generations, group-offsets).
    StaleGenerationCommits = 23,
    /// A generation begins before members that hold partitions have let go of them (one-owner).
    RebalanceWithoutWaiting = 24,
    /// A commit of offsets is answered before it is durable (group-offsets).
    OffsetAnsweredEarly = 25,
    /// An assignment is handed out before it is durable (one-owner, generations).
    AssignmentAnsweredEarly = 26,
    /// The wait for members to join, which newcomers extend, is not armed again (liveness).
    JoinTimerNotRearmed = 27,
    /// A deleted topic's directory is taken for that of the topic created again under its name (recreated-topic).
    DeletedTopicResurrects = 28,
    /// A request takes effect before those in front of it have (order).
    EffectsReordered = 29,
    /// A log notes as synced what it only wrote, and is refused after a power cut that takes it (liveness).
    SyncedNotedEarly = 30,
    /// Ranges of files are sent without a look at the headers of their batches.
    HeaderRotServed = 31,
    /// A cleaned segment takes the place of others without a sync of its name (recovery).
    CompactionSwapNotSynced = 32,
    /// A tombstone goes when compaction comes upon it again, however early (compaction).
    TombstoneRemovedEarly = 33,
    /// An idempotent producer's last batch goes with its records (idempotence).
    LastBatchCompactedAway = 34,
    /// The last record of a key goes as if a later one followed it (compaction).
    LastValueCompactedAway = 35,
    /// The deletion of records is answered before the log's new start is durable (deleted-records).
    StartMarkNotSynced = 36,
    /// What is read from the device is sent whatever its CRC (recovery).
    BodyRotServed = 37,
    /// The deletion of a group, or of offsets, is answered before it is durable (group-offsets, generations).
    GroupDeletionAnsweredEarly = 38,
    /// Committed offsets age by the wall clock, whatever it steps by (group-offsets).
    OffsetsAgeByWallClock = 39,
    /// A group that is deleted leaves its own record standing: after a start it is there again (generations).
    GroupRecordOutlivesDeletion = 40,
    /// What a waiting fetch was charged is not given back at disconnect (bounds).
    LostCharge = 41,
    /// Recovery syncs what it found in the page cache, and does not write it: after a failed sync it counts as clean
    /// (recovery, acknowledged-durability).
    CleanPagesTrusted = 42,
    /// A log that was closed cleanly, by a stop or for its rest, is opened without its producers (idempotence).
    CleanCloseForgetsProducers = 43,
    /// A write that finds no room ends the broker (halts).
    HaltOnNoSpace = 44,
    /// A log that cannot be recovered ends the broker (halts).
    OneLogHaltsAll = 45,
    /// The greatest timestamp of the segment that grows is that of its last index entry (time-lookup).
    StaleGreatestTimestamp = 46,
    /// The session timer of a member that is alive when it comes is not armed again (liveness).
    SessionTimerNotRearmed = 47,
    /// A response leaves before those to earlier requests of its connection (order).
    ResponsesReordered = 48,
    /// Recovery cuts a log off below what its note says to be synced (recovery).
    CutBelowNote = 49,
    /// A directory whose sync failed counts as synced (acknowledged-durability).
    FailedNameSyncBelieved = 50,
    /// A checkpoint, a note or a manifest is believed whatever its CRC (recovery, liveness, acknowledged-durability,
    /// idempotence, time-lookup).
    MetaCrcNotChecked = 51,
}

impl Bug {
    /// Every deliberate bug.
    pub const ALL: [Self; 51] = [
        Self::AckBeforeFsync,
        Self::SyncCoversLaterWrites,
        Self::NoDirectorySync,
        Self::RetryFailedSync,
        Self::CloseDirtyDescriptor,
        Self::SkipTailCrc,
        Self::KeepIndexPastTail,
        Self::ForgetProducers,
        Self::StaleProducerSnapshot,
        Self::DuplicateWindowOfOne,
        Self::RetryGetsNewOffset,
        Self::RetryAnsweredEarly,
        Self::RecoverWithoutSync,
        Self::KeepLeaderEpoch,
        Self::ManifestBeforeSync,
        Self::ManifestLeftStanding,
        Self::ProducerIdsNotReserved,
        Self::GapAfterShortWrite,
        Self::LostWakeUp,
        Self::LostCredit,
        Self::LostLease,
        Self::GenerationNotDurable,
        Self::StaleGenerationCommits,
        Self::RebalanceWithoutWaiting,
        Self::OffsetAnsweredEarly,
        Self::AssignmentAnsweredEarly,
        Self::JoinTimerNotRearmed,
        Self::DeletedTopicResurrects,
        Self::EffectsReordered,
        Self::SyncedNotedEarly,
        Self::HeaderRotServed,
        Self::CompactionSwapNotSynced,
        Self::TombstoneRemovedEarly,
        Self::LastBatchCompactedAway,
        Self::LastValueCompactedAway,
        Self::StartMarkNotSynced,
        Self::BodyRotServed,
        Self::GroupDeletionAnsweredEarly,
        Self::OffsetsAgeByWallClock,
        Self::GroupRecordOutlivesDeletion,
        Self::LostCharge,
        Self::CleanPagesTrusted,
        Self::CleanCloseForgetsProducers,
        Self::HaltOnNoSpace,
        Self::OneLogHaltsAll,
        Self::StaleGreatestTimestamp,
        Self::SessionTimerNotRearmed,
        Self::ResponsesReordered,
        Self::CutBelowNote,
        Self::FailedNameSyncBelieved,
        Self::MetaCrcNotChecked,
    ];
}

/// The selector of a `klamm_bugs` build.
#[cfg(klamm_bugs)]
mod selector {
    use super::Bug;
    use core::sync::atomic::{AtomicU32, Ordering};

    static SELECTED: AtomicU32 = AtomicU32::new(0);

    /// Switches one bug on, or all off, for the whole process.
    #[inline(never)]
    pub fn klamm_bug_selector(bug: Option<Bug>) {
        SELECTED.store(bug.map_or(0, |bug| bug as u32), Ordering::Relaxed);
    }

    /// Whether `bug` is switched on.
    pub fn selected(bug: Bug) -> bool {
        SELECTED.load(Ordering::Relaxed) == bug as u32
    }
}

#[cfg(klamm_bugs)]
pub use selector::{klamm_bug_selector as select, selected};

/// Whether a deliberate bug is switched on: the constant `false` in an ordinary build.
#[cfg(not(klamm_bugs))]
macro_rules! bug {
    ($name:ident) => {{
        const _: $crate::bugs::Bug = $crate::bugs::Bug::$name;
        false
    }};
}

/// Whether a deliberate bug is switched on: the constant `false` in an ordinary build.
#[cfg(klamm_bugs)]
macro_rules! bug {
    ($name:ident) => {
        $crate::bugs::selected($crate::bugs::Bug::$name)
    };
}

pub(crate) use bug;
