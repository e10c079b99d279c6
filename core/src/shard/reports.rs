//! How often operators are told the same.
//!
//! Invariant: of each partition, one report about a matter in [`QUIET_MS`]; the next one says how many were left out. What is
//! remembered is bounded by the partitions that had something to report in that time, and [`MOST`] others.

use super::{Effect, Effects, Report, Shard, metadata_log};
use crate::controller::CLUSTER_METADATA;
use crate::log::RecoveryReport;
use crate::marks::mark;
use crate::partition::{Matter, Recovery};
use crate::types::{Monotonic, TopicPartition};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

/// How long nothing more is said about a matter, in milliseconds.
const QUIET_MS: u64 = 60_000;

/// How many are remembered before those are forgotten whose time is over.
const MOST: usize = 1000;

#[derive(Clone, Copy, Debug)]
struct Told {
    at: Monotonic,
    left_out: u64,
}

/// What was reported.
#[derive(Default, Debug)]
pub(super) struct Reports {
    told: BTreeMap<(TopicPartition, Matter), Told>,
    /// The time of this step.
    pub(super) now: Monotonic,
}

impl Reports {
    /// The text to report now, if any is.
    pub(super) fn admit(&mut self, about: (TopicPartition, Matter), text: &str) -> Option<String> {
        let now = self.now;
        let recent = |told: &Told| now.millis_since(told.at) < QUIET_MS;
        if let Some(told) = self.told.get_mut(&about).filter(|told| recent(told)) {
            mark!(ReportHeldBack);
            told.left_out += 1;
            return None;
        }
        if self.told.len() >= MOST {
            self.told.retain(|_, told| recent(told));
        }
        let told = Told { at: now, left_out: 0 };
        let left_out = self.told.insert(about, told).map_or(0, |before| before.left_out);
        Some(match left_out {
            0 => String::from(text),
            _ => format!("{text} (and {left_out} times before, not reported)"),
        })
    }
}

impl Shard {
    /// A recovery ended: counts it, and tells what it cut off.
    pub(super) fn count_recovery(
        &mut self,
        id: TopicPartition,
        why: Recovery,
        report: RecoveryReport,
        effects: &mut Effects,
    ) {
        self.counters.recoveries += 1;
        self.counters.truncated_bytes += report.bytes_truncated;
        self.counters.renewed_bytes += report.bytes_renewed;
        if report.bytes_truncated == 0 && report.segments_removed == 0 {
            return;
        }
        let cut = format!(
            "{} bytes and {} segments",
            report.bytes_truncated, report.segments_removed
        );
        let (matter, text) = match why {
            Recovery::Opening => (
                Matter::Cut,
                format!("recovery cut off {cut}: no checkpoint covers them, so they are a torn write or damage"),
            ),
            Recovery::FailedWrite => (
                Matter::TakenBack,
                format!("recovery took back {cut} that a failed write had left; nobody was told that they are there"),
            ),
        };
        self.warn((id, matter), &text, effects);
    }

    /// Tells of a partition, but not too often.
    pub(super) fn warn(&mut self, about: (TopicPartition, Matter), text: &str, effects: &mut Effects) {
        let Some(text) = self.reports.admit(about, text) else {
            return;
        };
        let (id, _) = about;
        let name = match self.view.image.topic(id.topic) {
            Some(topic) => topic.name.to_string(),
            None if id == metadata_log::PARTITION => CLUSTER_METADATA.to_string(),
            None => id.topic.to_string(),
        };
        let text = format!("{name}-{}: {text}", id.partition);
        effects.push(Effect::Report(Report::Warning(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, QUIET_MS, Reports};
    use crate::partition::Matter;
    use crate::types::{Monotonic, TopicId, TopicPartition, Uuid};

    fn id(partition: i32) -> TopicPartition {
        TopicPartition {
            topic: TopicId(Uuid([1; 16])),
            partition,
        }
    }

    #[test]
    fn a_matter_is_told_once_in_a_while_and_how_often_it_was_not() {
        let mut reports = Reports::default();
        let mut tell = |partition, matter, at| {
            reports.now = Monotonic(0).plus_millis(at);
            reports.admit((id(partition), matter), "text").is_some()
        };
        assert!(tell(0, Matter::Write, 0));
        assert!((1..1000).all(|at| !tell(0, Matter::Write, at)));
        assert!(tell(0, Matter::Read, 5), "another matter");
        assert!(tell(1, Matter::Write, 5), "another partition");
        reports.now = Monotonic(0).plus_millis(QUIET_MS);
        let text = reports.admit((id(0), Matter::Write), "text").unwrap();
        assert!(text.contains("999"), "{text}");
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut reports = Reports::default();
        for partition in 0..MOST as i32 {
            reports.admit((id(partition), Matter::Write), "text");
        }
        reports.now = Monotonic(0).plus_millis(QUIET_MS);
        reports.admit((id(-1), Matter::Write), "text");
        assert_eq!(reports.told.len(), 1);
    }
}
