//! What a run did, and what became of it.

use crate::options::{ClientPlan, Options, Role};
use crate::oracle::{Checker, Counts, GroupCounts, Tally};
use crate::stage::{MILLIS, Stage};
use crate::trace::TraceHash;
use std::collections::{BTreeMap, BTreeSet};

/// What a run did, in numbers.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Report {
    /// Events of the simulation.
    pub events: u64,
    /// Inputs that shards took.
    pub steps: u64,
    /// Effects that were carried out.
    pub effects: u64,
    /// Virtual milliseconds.
    pub millis: u64,
    /// Starts of the broker's process.
    pub starts: u64,
    /// Ends of it that nobody asked for.
    pub crashes: u64,
    /// Those while bytes were not synced.
    pub crashes_with_unsynced_bytes: u64,
    /// Those before the broker served.
    pub crashes_in_recovery: u64,
    /// Ends of it after it was asked to stop.
    pub clean_stops: u64,
    /// Times that the broker halted because of a disk fault.
    pub halts: u64,
    /// Files that a power cut left other than they were shown.
    pub torn_files: u64,
    /// Directories that lost a name to a power cut.
    pub lost_names: u64,
    /// Ranges of files that responses were made of.
    pub ranges: u64,
    /// Frames refused by their length alone.
    pub refused_frames: u64,
    /// Responses whose ranges were no longer there.
    pub unsendable: u64,
    /// Requests of clients.
    pub operations: u64,
    /// Records sent.
    pub records_sent: u64,
    /// Records acknowledged.
    pub records_acked: u64,
    /// Records that consumers were given, as often as they were.
    pub records_read: u64,
    /// Records that were promised, and read at the end.
    pub records_read_back: u64,
    /// Acknowledgements compared with what the device held when they left.
    pub acks_checked_on_device: u64,
    /// Batches that were sent again.
    pub retries: u64,
    /// Requests that clients gave up on.
    pub timeouts: u64,
    /// Errors that clients were answered.
    pub errors: u64,
    /// Acknowledged records that a power cut took, as `flush=os` allows.
    pub acked_and_lost: u64,
    /// Records that retention removed, as far as it was seen.
    pub records_retired: u64,
    /// Records that runs began with.
    pub records_planted: u64,
    /// Readers that met bytes that the disk had destroyed.
    pub damage_met: u64,
    /// Those of them that met bytes outside of Kafka's CRC, and no client can tell.
    pub damage_beyond_crc: u64,
    /// Partitions refused because of such bytes.
    pub partitions_refused: u64,
    /// Logs that recovery cut where such bytes were.
    pub logs_cut_at_damage: u64,
    /// Operations on topics whose order was judged.
    pub metadata_judged: u64,
    /// Topics that were deleted and created again.
    pub topics_recreated: u64,
    /// Frames that no client should send.
    pub hostile_frames: u64,
    /// What groups did.
    pub groups: GroupCounts,
    /// What compaction did.
    pub compaction: Tally,
    /// Requests to delete records that were granted.
    pub deletions: u64,
    /// Answers that clients could read, by API.
    pub answers: BTreeMap<&'static str, u64>,
    /// The versions that they came in.
    pub versions: BTreeSet<(&'static str, i16)>,
    /// Faults that hit something, by name.
    pub victims: BTreeMap<&'static str, u64>,
    /// How often each checker had something to judge, by name.
    pub judged: BTreeMap<&'static str, u64>,
}

impl Report {
    /// Takes up what others counted.
    pub(crate) fn finish<E>(
        self,
        counts: &Counts,
        answers: &BTreeMap<&'static str, u64>,
        victims: &BTreeMap<&'static str, u64>,
        stage: &Stage<E>,
    ) -> Self {
        Self {
            events: stage.trace.events(),
            millis: stage.now() / MILLIS,
            operations: counts.operations,
            records_sent: counts.records_sent,
            records_acked: counts.records_acked,
            records_read: counts.records_read,
            records_read_back: counts.records_read_back,
            acks_checked_on_device: counts.acks_checked_on_device,
            retries: counts.retries,
            timeouts: counts.timeouts,
            errors: counts.errors,
            acked_and_lost: counts.acked_and_lost,
            records_retired: counts.records_retired,
            records_planted: counts.records_planted,
            damage_met: counts.damage_met,
            damage_beyond_crc: counts.damage_beyond_crc,
            partitions_refused: counts.partitions_refused,
            logs_cut_at_damage: counts.logs_cut_at_damage,
            metadata_judged: counts.metadata_judged,
            topics_recreated: counts.topics_recreated,
            hostile_frames: counts.hostile_frames,
            groups: counts.groups,
            compaction: counts.compaction,
            deletions: counts.deletions,
            answers: answers.clone(),
            victims: victims.clone(),
            ..self
        }
    }

    /// Why the run proves nothing; `None` when it did enough.
    pub(crate) fn idleness(&self, options: &Options) -> Option<String> {
        let partitions: i32 = options.topics.iter().map(|topic| topic.partitions).sum();
        let least = partitions as u64;
        // A disk that destroys what it was given may leave nothing to be read, and so may whatever removes records.
        let destroyed = ["bit rot", "misdirected write"]
            .iter()
            .any(|&fault| self.victims.contains_key(fault));
        let readable = !destroyed && !options.removes();
        // Where nobody asks for acknowledgements, what consumers read shows that the run did something.
        let heard = |client: &ClientPlan| matches!(&client.role, Role::Producer(plan) if plan.acks != 0);
        let told = if options.clients.iter().any(heard) {
            self.records_acked
        } else {
            self.records_read
        };
        if told < least || self.records_read_back < least && readable {
            return Some(format!(
                "only {} records were acknowledged and {} read back",
                self.records_acked, self.records_read_back
            ));
        }
        if options.calm && self.errors + self.timeouts + self.retries > 0 {
            return Some(format!(
                "without faults there were {} errors, {} timeouts and {} retries",
                self.errors, self.timeouts, self.retries
            ));
        }
        None
    }
}

/// What became of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The run.
    pub seed: u64,
    /// The hash over everything that happened.
    pub hash: TraceHash,
    /// What must not be, and which checker saw it; `None` for a run that is good.
    pub violation: Option<(Checker, String)>,
    /// What the run did.
    pub report: Report,
}
