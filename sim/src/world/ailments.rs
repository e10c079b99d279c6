//! What a shard was really told of its disk, and which of that may rightly end the broker.
//!
//! Invariants:
//! - a broker that serves ends because of one thing alone: something failed that the whole log directory stands or falls
//!   with, a sync or a write of the shard's own, a checkpoint, the log of the cluster's metadata;
//! - no want of room or descriptors ends it, no slow disk, nothing that one partition cannot read or recover;
//! - before it serves, whatever operation it cannot begin without may end it.

use klamm_core::partition::LogJob;
use klamm_core::shard::{Halt, Task};
use klamm_core::storage::{FileOp, IoError, IoErrorKind};

/// What an operation that failed means for the broker, the lesser first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Ailment {
    /// A start may founder on it; a broker that serves has to live with it.
    Hindrance,
    /// What was written may be lost, or the log of the cluster's metadata cannot be read: nothing can be relied on.
    Loss,
}

impl Ailment {
    /// What it means that `op` failed so, asked for by the shard itself or by a task of its. `None` for an answer like
    /// another, that a file is not there.
    pub(super) fn of(op: &FileOp, error: &IoError, task: Option<&Task>) -> Option<Self> {
        match (error.kind, task) {
            (IoErrorKind::NotFound | IoErrorKind::AlreadyExists, _) => None,
            (IoErrorKind::NoSpace | IoErrorKind::TooManyOpenFiles, _) => Some(Self::Hindrance),
            (_, None) => Some(Self::Loss),
            (_, Some(task)) => Some(Self::of_task(op, task)),
        }
    }

    /// What it means that the device refused `op` to a task.
    fn of_task(op: &FileOp, task: &Task) -> Self {
        let reads = matches!(op, FileOp::Read { .. });
        match task {
            Task::Replay(_) | Task::Log(LogJob::Checkpoint(_) | LogJob::MarkStart(_)) => Self::Loss,
            // What it reads is one partition's; what it writes is to take the place of what was synced.
            Task::Log(LogJob::Compact(_)) if !reads => Self::Loss,
            Task::Log(LogJob::Recover(job)) if is_metadata(job.place().name()) => Self::Loss,
            _ => Self::Hindrance,
        }
    }
}

/// Whether the directory is that of the log of the cluster's metadata.
fn is_metadata(directory: &str) -> bool {
    directory.starts_with("__cluster_metadata-")
}

/// The worst that a shard was told.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Ailments(Option<Ailment>);

impl Ailments {
    /// The shard is told of one more.
    pub(super) fn add(&mut self, ailment: Option<Ailment>) {
        self.0 = self.0.max(ailment);
    }

    /// Whether they explain that the shard halts like this; `began` says whether any of the broker's shards serves.
    pub(super) fn explain(self, halt: &Halt, began: bool) -> bool {
        let hindered = !began && self.0.is_some();
        match halt {
            // Nobody hurries a stop here.
            Halt::Stopped | Halt::Unclean(_) => false,
            Halt::Refused(_) => hindered,
            Halt::Fault(fault) if fault.is_shortage() => hindered,
            Halt::Fault(_) => hindered || self.0 == Some(Ailment::Loss),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ailment, Ailments};
    use klamm_core::shard::{Halt, Task};
    use klamm_core::storage::{FileOp, IoError, IoErrorKind};
    use klamm_core::types::{Fault, FileId, LogDirectoryId};

    fn error(kind: IoErrorKind) -> IoError {
        let text = String::new();
        IoError { kind, text }
    }

    fn told(ailment: Option<Ailment>) -> Ailments {
        let mut ailments = Ailments::default();
        ailments.add(ailment);
        ailments
    }

    #[test]
    fn a_failed_sync_of_its_own_ends_a_broker_and_a_shortage_never_does() {
        let sync = FileOp::Sync { files: vec![FileId(1)] };
        let halt = Halt::Fault(Fault::Device(String::new()));
        let cases = [
            (IoErrorKind::Device, true),
            (IoErrorKind::NoSpace, false),
            (IoErrorKind::TooManyOpenFiles, false),
        ];
        for (kind, expected) in cases {
            let ailments = told(Ailment::of(&sync, &error(kind), None));
            assert_eq!(ailments.explain(&halt, true), expected, "{kind:?}");
            assert!(ailments.explain(&halt, false), "a start may founder on it: {kind:?}");
        }
        assert!(!Ailments::default().explain(&halt, false), "nothing was wrong");
    }

    #[test]
    fn the_reason_given_has_to_be_one() {
        let ailments = told(Some(Ailment::Loss));
        let shortage = Halt::Fault(Fault::NoSpace);
        let refused = Halt::Refused(String::new());
        for halt in [&shortage, &refused] {
            assert!(!ailments.explain(halt, true));
            assert!(ailments.explain(halt, false));
        }
        assert!(!ailments.explain(&Halt::Stopped, false), "nobody asked it to stop");
    }

    #[test]
    fn what_a_task_meets_counts_as_far_as_the_task_matters_to_all() {
        let read = FileOp::Read {
            file: FileId(1),
            position: 0,
            length: 1,
        };
        let measure = Task::Measure(LogDirectoryId(0));
        let met = |kind| Ailment::of(&read, &error(kind), Some(&measure));
        assert_eq!(met(IoErrorKind::Device), Some(Ailment::Hindrance));
        assert_eq!(met(IoErrorKind::NotFound), None);
        let mut ailments = told(Some(Ailment::Loss));
        ailments.add(Some(Ailment::Hindrance));
        assert!(
            ailments.explain(&Halt::Fault(Fault::Unsynced(String::new())), true),
            "the worst counts"
        );
    }
}
