//! Marks on paths that are rarely taken: a range of simulated runs that came past none of them in one place has not tested
//! what is there, and fails.
//!
//! `mark!(TailCut)` counts with the feature `marks`, which the simulator has, and is nothing at all without it. What is
//! counted decides on nothing: a run is the same whatever the counts say.

/// Names each mark once.
macro_rules! marks {
    ($($(#[$about:meta])* $name:ident,)*) => {
        /// A path that is rarely taken.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Mark {
            $($(#[$about])* $name,)*
        }

        impl Mark {
            /// Every mark.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

marks! {
    /// A commit round waited for what the answers of the last one call forth.
    RoundGathered,
    /// A commit round synced the whole file system, for its files were many.
    RoundSyncedAll,
    /// A file had to go while a response was being sent from it.
    RemovalWaitedForLease,
    /// Recovery cut a torn tail off.
    TailCut,
    /// Recovery removed a segment behind a torn one.
    SegmentGivenUp,
    /// Recovery found less than was synced, and cut nothing off.
    SyncedBytesMissing,
    /// Recovery wrote once more what nothing covers.
    TailWrittenAnew,
    /// What was left of a log was deleted, and what had followed it was lost.
    LogBeganAtMark,
    /// Recovery found a segment that compaction had taken the place of.
    SupersededFound,
    /// A log that a failed write cut short was recovered while the broker served.
    LogBroughtBack,
    /// Compaction was told to stop.
    CompactionStopped,
    /// A look-up met bytes that are no batch.
    LookUpMetDamage,
    /// An append waited behind a batch that was being opened in a job.
    AppendWaitedForJob,
    /// A retry came while its original was not yet durable.
    RetryBeforeDurable,
    /// Somebody asked for a log that was being closed for its rest.
    RestDisturbed,
    /// The groups of a partition were read anew, since a record could not be written.
    GroupsReadAnew,
    /// Something was to be written for a group while nothing is.
    GroupWritesPaused,
    /// A static member took its old place.
    StaticMemberReplaced,
    /// A fetch session gave way to another.
    FetchSessionEvicted,
    /// A turn had no work left for a message.
    TurnWorkUsedUp,
    /// An ask came from a shard that knew more of the cluster.
    EarlyAskHeld,
    /// An ask waited for a credit.
    CreditAwaited,
    /// A task waited for others to end.
    TaskWaited,
    /// The metadata log was recovered while the broker served.
    MetadataLogBroughtBack,
    /// A report was held back, since one like it had just been made.
    ReportHeldBack,
}

/// The counts of this process.
#[cfg(feature = "marks")]
mod counts {
    use super::Mark;
    use core::sync::atomic::{AtomicU64, Ordering};

    static PASSED: [AtomicU64; Mark::ALL.len()] = [const { AtomicU64::new(0) }; Mark::ALL.len()];

    pub(crate) fn pass(mark: Mark) {
        PASSED[mark as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often this process came past the mark.
    pub fn passed(mark: Mark) -> u64 {
        PASSED[mark as usize].load(Ordering::Relaxed)
    }
}

#[cfg(feature = "marks")]
pub(crate) use counts::pass;
#[cfg(feature = "marks")]
pub use counts::passed;

/// Counts that a path was taken, with the feature `marks`.
#[cfg(feature = "marks")]
macro_rules! mark {
    ($name:ident) => {
        $crate::marks::pass($crate::marks::Mark::$name)
    };
}

/// Counts that a path was taken, with the feature `marks`.
#[cfg(not(feature = "marks"))]
macro_rules! mark {
    ($name:ident) => {{
        const _: $crate::marks::Mark = $crate::marks::Mark::$name;
    }};
}

pub(crate) use mark;
