//! What people read.

#![allow(clippy::cast_precision_loss, reason = "rates for people, of counts far below 2^52")]

use klamm_core::marks::{self, Mark};
use klamm_sim::{Checker, Report, Verdict};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

/// How long this program has been at it.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "people want to know how long it takes; no run depends on it"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// One failure, with the command that replays it.
pub(crate) fn failure(seed: u64, checker: Checker, text: &str) -> String {
    format!("\u{2717} seed {seed}: {checker}\n    {text}\n    replay: klamm-sim replay {seed} --trace")
}

/// A line that stays in place, on a terminal only.
pub(crate) fn progress(done: u64, of: u64, failed: usize, clock: &Clock) {
    if std::io::stderr().is_terminal() {
        let rate = done as f64 / clock.elapsed().as_secs_f64().max(0.001);
        eprint!("\r  {done} of {of} seeds, {rate:.1} a second, {failed} failed ");
        // A terminal that takes no more text is no reason to stop.
        let _ = std::io::stderr().flush();
    }
}

/// Takes the line away.
pub(crate) fn progress_done() {
    if std::io::stderr().is_terminal() {
        eprint!("\r{:60}\r", "");
    }
}

/// The APIs that simulated clients use.
const APIS: [&str; 22] = [
    "Metadata",
    "CreateTopics",
    "DeleteTopics",
    "InitProducerId",
    "Produce",
    "Fetch",
    "ListOffsets",
    "FindCoordinator",
    "JoinGroup",
    "SyncGroup",
    "Heartbeat",
    "LeaveGroup",
    "OffsetCommit",
    "OffsetFetch",
    "DeleteRecords",
    "DeleteGroups",
    "OffsetDelete",
    "ApiVersions",
    "ApiVersions of the future",
    "DescribeConfigs",
    "ListGroups",
    "DescribeGroups",
];

/// The versions that each must have been answered in.
const VERSIONS: [(&str, i16, i16); 21] = [
    ("Produce", 3, 13),
    ("Fetch", 4, 18),
    ("ListOffsets", 1, 11),
    ("Metadata", 0, 13),
    ("OffsetCommit", 2, 10),
    ("OffsetFetch", 1, 10),
    ("FindCoordinator", 0, 6),
    ("JoinGroup", 0, 9),
    ("Heartbeat", 0, 4),
    ("LeaveGroup", 0, 5),
    ("SyncGroup", 0, 5),
    ("DescribeGroups", 0, 6),
    ("ListGroups", 0, 5),
    ("ApiVersions", 0, 5),
    ("CreateTopics", 2, 7),
    ("DeleteTopics", 1, 6),
    ("DeleteRecords", 0, 2),
    ("InitProducerId", 0, 5),
    ("DescribeConfigs", 1, 4),
    ("DeleteGroups", 0, 3),
    ("OffsetDelete", 0, 0),
];

/// Every fault, as its victims are counted.
const FAULTS: [&str; 27] = [
    "bit rot",
    "bit rot below a note",
    "bit rot in what compaction makes",
    "connection reset",
    "earlier batches behind a log",
    "earlier blocks shown",
    "eviction of what was not written back",
    "failed read",
    "failed sync",
    "failed sync of names",
    "failed write",
    "failed write-back",
    "half-open connection",
    "memory that ran short",
    "misdirected write",
    "no descriptor left",
    "remains of a deleted topic",
    "rotten batches kept back",
    "slow disk",
    "slow link",
    "spoiled checkpoint",
    "spoiled manifest",
    "spoiled note",
    "stalled shard",
    "step of the wall clock",
    "stuck disk",
    "write without space",
];

/// Every checker that judges runs; those of assertions, determinism and idleness judge what no run counts.
const CHECKERS: [Checker; 20] = [
    Checker::AcknowledgedDurability,
    Checker::Recovery,
    Checker::Idempotence,
    Checker::Order,
    Checker::ProducerIds,
    Checker::LeaderEpoch,
    Checker::Liveness,
    Checker::Halts,
    Checker::TimeLookup,
    Checker::Bounds,
    Checker::RecreatedTopic,
    Checker::Retention,
    Checker::Metadata,
    Checker::HighWatermark,
    Checker::Protocol,
    Checker::OneOwner,
    Checker::Generations,
    Checker::GroupOffsets,
    Checker::Compaction,
    Checker::DeletedRecords,
];

/// What many runs did together.
#[derive(Default, Debug)]
pub(crate) struct Totals {
    pub(crate) runs: u64,
    sum: Report,
}

impl Totals {
    pub(crate) fn add(&mut self, report: &Report) {
        self.runs += 1;
        let sum = &mut self.sum;
        for (total, part) in [
            (&mut sum.events, report.events),
            (&mut sum.steps, report.steps),
            (&mut sum.millis, report.millis),
            (&mut sum.starts, report.starts),
            (&mut sum.crashes, report.crashes),
            (&mut sum.crashes_with_unsynced_bytes, report.crashes_with_unsynced_bytes),
            (&mut sum.crashes_in_recovery, report.crashes_in_recovery),
            (&mut sum.clean_stops, report.clean_stops),
            (&mut sum.halts, report.halts),
            (&mut sum.torn_files, report.torn_files),
            (&mut sum.lost_names, report.lost_names),
            (&mut sum.ranges, report.ranges),
            (&mut sum.operations, report.operations),
            (&mut sum.records_sent, report.records_sent),
            (&mut sum.records_acked, report.records_acked),
            (&mut sum.records_read, report.records_read),
            (&mut sum.records_read_back, report.records_read_back),
            (&mut sum.acks_checked_on_device, report.acks_checked_on_device),
            (&mut sum.retries, report.retries),
            (&mut sum.timeouts, report.timeouts),
            (&mut sum.errors, report.errors),
            (&mut sum.acked_and_lost, report.acked_and_lost),
            (&mut sum.refused_frames, report.refused_frames),
            (&mut sum.metadata_judged, report.metadata_judged),
            (&mut sum.topics_recreated, report.topics_recreated),
            (&mut sum.hostile_frames, report.hostile_frames),
            (&mut sum.deletions, report.deletions),
            (&mut sum.compaction.compactions, report.compaction.compactions),
            (&mut sum.compaction.records, report.compaction.records),
            (&mut sum.compaction.tombstones, report.compaction.tombstones),
            (&mut sum.compaction.cut, report.compaction.cut),
            (&mut sum.compaction.swaps_cut, report.compaction.swaps_cut),
            (&mut sum.records_retired, report.records_retired),
            (&mut sum.records_planted, report.records_planted),
            (&mut sum.damage_met, report.damage_met),
            (&mut sum.damage_beyond_crc, report.damage_beyond_crc),
            (&mut sum.partitions_refused, report.partitions_refused),
            (&mut sum.logs_cut_at_damage, report.logs_cut_at_damage),
        ] {
            *total += part;
        }
        sum.groups.add(&report.groups);
        sum.versions.extend(&report.versions);
        for (name, count) in &report.answers {
            *sum.answers.entry(name).or_default() += count;
        }
        for (name, count) in &report.victims {
            *sum.victims.entry(name).or_default() += count;
        }
        for (name, count) in &report.judged {
            *sum.judged.entry(name).or_default() += count;
        }
    }

    /// What none of the runs did, though a range of this size must.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let sum = &self.sum;
        let done = [
            ("a crash with unsynced bytes", sum.crashes_with_unsynced_bytes),
            ("a crash in recovery", sum.crashes_in_recovery),
            ("a clean stop", sum.clean_stops),
            ("a halt", sum.halts),
            ("a torn file", sum.torn_files),
            ("a lost name", sum.lost_names),
            ("a range served from a file", sum.ranges),
            ("a frame refused by its length", sum.refused_frames),
            ("an acknowledgement checked on the device", sum.acks_checked_on_device),
            ("a record read back", sum.records_read_back),
            ("a retry", sum.retries),
            ("a timeout", sum.timeouts),
            ("a loss that flush=os allows", sum.acked_and_lost),
            ("a record retired", sum.records_retired),
            ("a log at the beginning", sum.records_planted),
            ("damage that a reader met", sum.damage_met),
            ("a partition refused for damage", sum.partitions_refused),
            ("a log cut at damage", sum.logs_cut_at_damage),
            ("an operation on a topic that was judged", sum.metadata_judged),
            ("a topic created again", sum.topics_recreated),
            ("a hostile frame", sum.hostile_frames),
            ("records deleted on request", sum.deletions),
            ("a compaction that removed something", sum.compaction.compactions),
            ("a tombstone removed", sum.compaction.tombstones),
            ("a compaction cut by a crash", sum.compaction.cut),
            ("a compaction cut before its name was durable", sum.compaction.swaps_cut),
        ];
        let answers = APIS
            .iter()
            .map(|&api| (api, sum.answers.get(api).copied().unwrap_or(0)));
        let victims = FAULTS
            .iter()
            .map(|&fault| (fault, sum.victims.get(fault).copied().unwrap_or(0)));
        let groups = sum.groups.named().map(|(count, _, one)| (one, count));
        let judged = CHECKERS
            .iter()
            .map(|checker| (checker.name(), sum.judged.get(checker.name()).copied().unwrap_or(0)));
        let all = done
            .into_iter()
            .chain(groups)
            .chain(answers)
            .chain(victims)
            .chain(judged);
        all.filter(|&(_, count)| count == 0).map(|(what, _)| what).collect()
    }

    /// Versions that no answer came in.
    pub(crate) fn missing_versions(&self) -> Vec<String> {
        let all = VERSIONS
            .iter()
            .flat_map(|&(name, first, last)| (first..=last).map(move |version| (name, version)));
        let missing = all.filter(|version| !self.sum.versions.contains(version));
        missing
            .map(|(name, version)| format!("an answer to {name} {version}"))
            .collect()
    }

    pub(crate) fn summary(&self, clock: &Clock, twice: bool) -> String {
        let seconds = clock.elapsed().as_secs_f64().max(0.001);
        let runs = if twice { 2.0 } else { 1.0 };
        let mut text = numbers(&self.sum);
        let speed = self.sum.millis as f64 / 1000.0 / seconds * runs;
        let events = self.sum.events as f64 / seconds * runs / 1e6;
        let _ = write!(
            text,
            "\n  speed      {seconds:.1} s, {events:.2} M events/s, {speed:.0}x real time"
        );
        let rate = self.sum.operations as f64 / (self.sum.millis as f64 / 1000.0).max(0.001);
        let _ = write!(text, ", {rate:.0} client operations a simulated second");
        text
    }
}

/// How often this process took rare paths of the core, the rarest first.
pub(crate) fn marks() -> String {
    let mut counts: Vec<_> = Mark::ALL.iter().map(|&mark| (marks::passed(mark), mark)).collect();
    counts.sort_by_key(|&(count, _)| count);
    let counts: Vec<_> = counts.iter().map(|(count, mark)| format!("{mark:?} {count}")).collect();
    counts.join(", ")
}

/// What one run did.
pub(crate) fn report(verdict: &Verdict) -> String {
    format!(
        "seed {}, hash {}\n{}",
        verdict.seed,
        verdict.hash,
        numbers(&verdict.report)
    )
}

fn numbers(report: &Report) -> String {
    let mut text = String::new();
    for (name, parts) in clients(report).iter().chain(&broker(report)) {
        let parts: Vec<String> = parts.iter().map(|(count, what)| format!("{count} {what}")).collect();
        let _ = writeln!(text, "  {name:<10} {}", parts.join(", "));
    }
    for (name, counts) in [
        ("answers", &report.answers),
        ("checkers", &report.judged),
        ("faults", &report.victims),
    ] {
        let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let counts = if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        };
        let _ = writeln!(text, "  {name:<10} {counts}");
    }
    text.truncate(text.trim_end().len());
    text
}

type Row = (&'static str, Vec<(u64, &'static str)>);

/// What clients did.
fn clients(report: &Report) -> [Row; 4] {
    let time = vec![
        (report.millis, "ms"),
        (report.events, "events"),
        (report.steps, "steps of shards"),
    ];
    let records = vec![
        (report.records_sent, "sent"),
        (report.records_acked, "acknowledged"),
        (report.records_read, "read"),
        (report.records_read_back, "read back at the end"),
        (report.records_retired, "retired"),
        (report.records_planted, "there from the beginning"),
    ];
    let clients = vec![
        (report.operations, "operations"),
        (report.retries, "retries"),
        (report.timeouts, "timeouts"),
        (report.errors, "errors"),
        (report.acks_checked_on_device, "acks checked on the device"),
    ];
    let groups = report.groups.named().map(|(count, what, _)| (count, what));
    [
        ("time", time),
        ("records", records),
        ("clients", clients),
        ("groups", groups.into()),
    ]
}

/// What became of the broker and its disk.
fn broker(report: &Report) -> [Row; 4] {
    let broker = vec![
        (report.starts, "starts"),
        (report.crashes, "crashes"),
        (report.crashes_with_unsynced_bytes, "with unsynced bytes"),
        (report.crashes_in_recovery, "in recovery"),
        (report.clean_stops, "clean stops"),
        (report.halts, "halts"),
    ];
    let disk = vec![
        (report.torn_files, "files torn"),
        (report.lost_names, "directories that lost names"),
        (report.ranges, "ranges served from files"),
        (report.acked_and_lost, "acknowledged records lost as flush=os allows"),
    ];
    let damage = vec![
        (report.damage_met, "met by readers"),
        (report.damage_beyond_crc, "of it outside Kafka's CRC"),
        (report.partitions_refused, "partitions refused"),
        (report.logs_cut_at_damage, "logs cut"),
    ];
    let tally = &report.compaction;
    let removal = vec![
        (tally.compactions, "compactions that removed something"),
        (tally.records, "records"),
        (tally.tombstones, "of them tombstones"),
        (tally.cut, "cut by a crash"),
        (tally.swaps_cut, "cut before the name was durable"),
        (report.deletions, "requests to delete records granted"),
    ];
    [
        ("broker", broker),
        ("disk", disk),
        ("damage", damage),
        ("removal", removal),
    ]
}

#[cfg(test)]
mod tests {
    use super::{APIS, CHECKERS, FAULTS, Totals, VERSIONS};
    use klamm_sim::Report;

    /// What a range has done that did everything that is counted by name, and nothing else.
    fn named() -> Report {
        Report {
            answers: APIS.iter().map(|&api| (api, 1)).collect(),
            victims: FAULTS.iter().map(|&fault| (fault, 1)).collect(),
            judged: CHECKERS.iter().map(|checker| (checker.name(), 1)).collect(),
            ..Report::default()
        }
    }

    fn missing(reports: &[Report]) -> Vec<&'static str> {
        let mut totals = Totals::default();
        for report in reports {
            totals.add(report);
        }
        totals.missing()
    }

    #[test]
    fn a_range_lacks_whatever_none_of_its_runs_did() {
        let marks = missing(&[named()]);
        assert!(marks.contains(&"a halt") && marks.contains(&"a torn file"), "{marks:?}");
        let everything = missing(&[Report::default()]);
        assert_eq!(
            everything.len(),
            marks.len() + APIS.len() + FAULTS.len() + CHECKERS.len()
        );
        let halted = Report {
            halts: 1,
            ..Report::default()
        };
        let rest: Vec<_> = marks.into_iter().filter(|&mark| mark != "a halt").collect();
        assert_eq!(missing(&[named(), halted]), rest);
    }

    #[test]
    fn each_api_fault_and_checker_that_nothing_met_is_named() {
        let marks = missing(&[named()]);
        for what in APIS
            .iter()
            .chain(&FAULTS)
            .copied()
            .chain(CHECKERS.map(super::Checker::name))
        {
            let mut report = named();
            for counts in [&mut report.answers, &mut report.victims, &mut report.judged] {
                counts.remove(what);
            }
            let lacking = missing(&[report]);
            assert_eq!(lacking.len(), marks.len() + 1);
            assert!(lacking.contains(&what), "{what}");
        }
    }

    #[test]
    fn each_version_that_no_answer_came_in_is_named() {
        let mut report = Report::default();
        for (name, first, last) in VERSIONS {
            report.versions.extend((first..=last).map(|version| (name, version)));
        }
        let missing = |report: &Report| {
            let mut totals = Totals::default();
            totals.add(report);
            totals.missing_versions()
        };
        assert_eq!(missing(&report), [""; 0]);
        report.versions.remove(&("Fetch", 7));
        assert_eq!(missing(&report), ["an answer to Fetch 7"]);
    }
}
