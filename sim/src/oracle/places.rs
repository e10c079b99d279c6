//! What is known of one partition.

use super::damage::Wounds;
use super::deletion::Deletion;
use crate::batch::ProducerTag;
use crate::stage::Nanos;
use klamm_jepsen::Value;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// What a violation is of. Each deliberate bug is to be caught by the one that its row in DESIGN.md names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Checker {
    /// A record that was promised is gone, changed, or was promised before the device held it.
    AcknowledgedDurability,
    /// What recovery made of the disk is not what stood on it.
    Recovery,
    /// An idempotent producer's batch is there twice, or missing, or answered with another offset.
    Idempotence,
    /// Something came in another order than it was sent.
    Order,
    /// A producer id was issued twice.
    ProducerIds,
    /// Two records at one (leader epoch, offset), or an epoch that went back or was kept at an unclean start.
    LeaderEpoch,
    /// Something that must happen did not.
    Liveness,
    /// The broker ended, and nothing that its disk did is a reason to.
    Halts,
    /// A look-up by time found another record than a scan does, or none.
    TimeLookup,
    /// Memory, operations, leases or credits were not given back.
    Bounds,
    /// A topic created again showed something of the old one.
    RecreatedTopic,
    /// A log starts where nothing may have removed what came before.
    Retention,
    /// Compaction removed what it must keep, or changed what it kept.
    Compaction,
    /// Records whose deletion was answered are there again, or the deletion was answered before it was durable.
    DeletedRecords,
    /// What clients were told about topics has no single order.
    Metadata,
    /// A partition has two owners in a group, or its owner was dropped before its time.
    OneOwner,
    /// A generation was issued twice, or went back, or somebody acted in one that was over.
    Generations,
    /// A committed offset is lost, or was told before it was durable, or was never committed.
    GroupOffsets,
    /// A high watermark went back.
    HighWatermark,
    /// A response cannot be read, or says what none may say.
    Protocol,
    /// An assertion of the broker itself failed.
    Assertion,
    /// The same seed ran differently.
    Determinism,
    /// The run tested nothing.
    Idle,
}

impl Checker {
    /// As reports and tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgedDurability => "acknowledged-durability",
            Self::Recovery => "recovery",
            Self::Idempotence => "idempotence",
            Self::Order => "order",
            Self::ProducerIds => "producer-ids",
            Self::LeaderEpoch => "leader-epoch",
            Self::Liveness => "liveness",
            Self::Halts => "halts",
            Self::TimeLookup => "time-lookup",
            Self::Bounds => "bounds",
            Self::RecreatedTopic => "recreated-topic",
            Self::Retention => "retention",
            Self::Compaction => "compaction",
            Self::DeletedRecords => "deleted-records",
            Self::Metadata => "metadata",
            Self::OneOwner => "one-owner",
            Self::Generations => "generations",
            Self::GroupOffsets => "group-offsets",
            Self::HighWatermark => "high-watermark",
            Self::Protocol => "protocol",
            Self::Assertion => "assertion",
            Self::Determinism => "determinism",
            Self::Idle => "idle",
        }
    }
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A partition by its topic's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub(crate) topic: [u8; 16],
    pub(crate) partition: i32,
}

impl Place {
    pub(crate) fn new(topic: [u8; 16], partition: i32) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", klamm_core::types::Uuid(self.topic), self.partition)
    }
}

/// A violation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Violation {
    pub(crate) checker: Checker,
    pub(crate) text: String,
}

/// Why a record must stand where it stands; the stronger reason wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Why {
    /// The device held it when the broker crashed.
    Synced,
    /// A consumer was given it.
    Read,
    /// Its producer was told so.
    Acked,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synced => "synced",
            Self::Read => "read",
            Self::Acked => "acknowledged",
        })
    }
}

/// Whether a record that once stood at an offset still does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Presence {
    There,
    /// Compaction removed it, by a file whose name a power cut may still take back.
    Gone,
    /// It was removed for good, as was seen at this time.
    Settled(Nanos),
}

/// A record that is known to stand at an offset, or to have stood there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub(crate) hash: u64,
    pub(crate) why: Why,
    /// Its timestamp in milliseconds, or a bound below it.
    pub(crate) timestamp: i64,
    /// The size of the batch that it is the first record of; 0 for others.
    bytes: u32,
    /// Whether the last pass over the whole log found it.
    pub(crate) read_back: bool,
    pub(crate) presence: Presence,
}

/// What is known of a record besides its offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fact {
    /// Its identity.
    pub(crate) hash: u64,
    /// Its timestamp in milliseconds, or a bound below it.
    pub(crate) timestamp: i64,
    /// The size of the batch that it is the first record of; 0 for others.
    pub(crate) bytes: u32,
}

/// A record that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    /// Its identity.
    pub(crate) hash: u64,
    /// Its name in the history.
    pub(crate) value: Value,
    /// When it was.
    pub(crate) at: Nanos,
}

/// What is known of one partition.
#[derive(Default, Debug)]
pub(crate) struct Partition {
    /// The first offset that it ever had: not 0 where the run began with a log.
    pub(super) origin: i64,
    /// Where the log starts now, as far as is known.
    pub(super) start: i64,
    /// The canonical log, from the origin on.
    slots: Vec<Option<Slot>>,
    /// What was sent, by producer and its count.
    pub(crate) sent: BTreeMap<(u32, u64), Sent>,
    /// The size of all batches that were sent.
    pub(super) sent_bytes: u64,
    /// The idempotent producer that the log began with, and its first sequence number there.
    pub(super) inherited: Option<ProducerTag>,
    pub(crate) acked_end: i64,
    /// Ends of the last batches that were acknowledged, ascending, and when they were.
    acks: VecDeque<(i64, Nanos)>,
    /// How far the log was known to reach, ascending, and since when.
    reached: Vec<(Nanos, i64)>,
    /// The least leader epoch that a response may name.
    pub(crate) least_epoch: i32,
    /// Whether a response has named an epoch since the last start.
    pub(crate) epoch_seen: bool,
    /// Every batch that was ever seen on a disk, by epoch and offset: its CRC.
    pub(crate) batches: BTreeMap<(i32, i64), u32>,
    /// Where the records were found that this producer numbered so; of compacted topics only.
    pub(super) found_at: BTreeMap<(u32, u64), i64>,
    /// What clients asked to have deleted, and what came of it.
    pub(super) deletion: Deletion,
    /// What the disk destroyed of its synced bytes.
    pub(super) wounds: Option<Wounds>,
    /// How far it was noted to be synced when the last process ended.
    pub(super) noted: i64,
}

/// No run comes this far from where it began; a response that names a later offset is wrong.
pub(super) const LAST_OFFSET: i64 = 1 << 24;

impl Partition {
    /// The log begins at `origin`, not at 0, and with this producer.
    pub(super) fn begin_at(&mut self, origin: i64, inherited: Option<ProducerTag>) {
        self.origin = origin;
        self.start = origin;
        self.acked_end = origin;
        self.inherited = inherited;
    }

    /// Where promises begin: what lies before may be removed, or was.
    pub(super) fn kept_from(&self) -> i64 {
        self.start.max(self.deletion.mark)
    }

    /// The offset after the last record that was promised.
    pub(super) fn promised_end(&self) -> i64 {
        self.origin + self.slots.len() as i64
    }

    /// The log may be known to reach further than before, or less far.
    pub(super) fn note_reach(&mut self, now: Nanos) {
        let end = self.promised_end();
        while self.reached.pop_if(|&mut (_, known)| known > end).is_some() {}
        if self.reached.last().is_none_or(|&(_, known)| known < end) {
            self.reached.push((now, end));
        }
    }

    /// How far the log was known to reach before `begin`, and still is.
    pub(super) fn reached_before(&self, begin: Nanos) -> i64 {
        let before = self.reached.partition_point(|&(since, _)| since < begin);
        let reached = before.checked_sub(1).map_or(self.origin, |last| self.reached[last].1);
        reached.min(self.promised_end())
    }

    /// The records promised from `from` on, below `to`.
    pub(super) fn promised(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, &Slot)> {
        self.known(from, to)
            .filter(|(_, slot)| slot.presence == Presence::There)
    }

    /// The records that are known from `from` on, below `to`, whether compaction removed them or not.
    pub(super) fn known(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, &Slot)> {
        let index = |offset: i64| usize::try_from(offset.saturating_sub(self.origin)).unwrap_or(0);
        let last = index(to).min(self.slots.len());
        let first = index(from).min(last);
        let slots = self.slots[first..last].iter().enumerate();
        slots.filter_map(move |(at, slot)| Some((self.origin + (first + at) as i64, slot.as_ref()?)))
    }

    /// How many bytes may stand from `start` on: all that were sent, less those that are known to stand before.
    pub(super) fn bytes_from(&self, start: i64) -> u64 {
        let before = self.known(self.origin, start).map(|(_, slot)| u64::from(slot.bytes));
        self.sent_bytes.saturating_sub(before.sum())
    }

    /// What stands at `end` and behind it was lost, as it may be.
    pub(super) fn lose_from(&mut self, end: i64) -> impl Iterator<Item = Slot> + '_ {
        let first = usize::try_from(end - self.origin).unwrap_or(0).min(self.slots.len());
        self.acked_end = self.acked_end.min(end);
        // What comes to stand there instead was not there before.
        while self.reached.pop_if(|&mut (_, known)| known > end).is_some() {}
        self.slots.drain(first..).flatten()
    }

    /// Nothing was read back yet.
    pub(super) fn forget_reading(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            slot.read_back = false;
        }
    }

    /// The record at `offset` was read.
    pub(crate) fn mark_read_back(&mut self, offset: i64) {
        if let Some(Some(slot)) = self.slots.get_mut((offset - self.origin) as usize) {
            slot.read_back = true;
        }
    }

    /// What is known of the record at `offset`.
    pub(super) fn slot_mut(&mut self, offset: i64) -> Option<&mut Slot> {
        let index = usize::try_from(offset.checked_sub(self.origin)?).ok()?;
        self.slots.get_mut(index)?.as_mut()
    }

    /// A batch that ends there was acknowledged.
    pub(crate) fn note_ack(&mut self, end: i64, now: Nanos) {
        if end > self.acked_end && !self.is_released(end - 1) {
            self.acked_end = end;
            self.acks.push_back((end, now));
            if self.acks.len() > 32 {
                self.acks.pop_front();
            }
        }
    }

    /// When something beyond `position` was acknowledged at the latest; `None` while nothing was.
    pub(crate) fn acked_beyond(&self, position: i64) -> Option<Nanos> {
        let first = self.acks.partition_point(|&(end, _)| end <= position);
        self.acks.get(first).map(|&(_, at)| at)
    }

    /// Nothing is promised of what lies at `offset` and behind it, from now on.
    pub(super) fn release_from(&mut self, offset: i64) {
        self.slots
            .truncate(usize::try_from(offset.saturating_sub(self.origin)).unwrap_or(0));
        self.acked_end = self.acked_end.min(offset);
        self.acks.clear();
    }

    /// Whether nothing is promised of what lies at `offset`.
    pub(super) fn is_released(&self, offset: i64) -> bool {
        self.wounds.as_ref().is_some_and(|wounds| offset >= wounds.first())
    }

    /// Puts a record into the canonical log; an error says why another one stands there.
    pub(crate) fn fix(&mut self, offset: i64, fact: Fact, why: Why) -> Result<(), Why> {
        let index = (offset - self.origin) as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        match &mut self.slots[index] {
            Some(slot) if slot.hash != fact.hash => Err(slot.why),
            Some(slot) => {
                slot.why = slot.why.max(why);
                slot.timestamp = slot.timestamp.max(fact.timestamp);
                Ok(())
            }
            empty => {
                *empty = Some(Slot {
                    hash: fact.hash,
                    why,
                    timestamp: fact.timestamp,
                    bytes: fact.bytes,
                    read_back: false,
                    presence: Presence::There,
                });
                Ok(())
            }
        }
    }
}

/// What a run did, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) operations: u64,
    pub(crate) records_sent: u64,
    pub(crate) records_acked: u64,
    pub(crate) records_read: u64,
    pub(crate) records_read_back: u64,
    pub(crate) acks_checked_on_device: u64,
    pub(crate) retries: u64,
    pub(crate) timeouts: u64,
    pub(crate) errors: u64,
    pub(crate) started_over: u64,
    pub(crate) producer_ids: u64,
    pub(crate) hostile_frames: u64,
    pub(crate) groups: super::GroupCounts,
    pub(crate) topics_recreated: u64,
    pub(crate) batches_scanned: u64,
    /// Records that retention removed, as far as it was seen.
    pub(crate) records_retired: u64,
    /// Records that the run began with.
    pub(crate) records_planted: u64,
    /// Operations on topics whose order was judged.
    pub(crate) metadata_judged: u64,
    /// Readers that met bytes that the disk had destroyed.
    pub(crate) damage_met: u64,
    /// Those of them that no CRC of Kafka's shows.
    pub(crate) damage_beyond_crc: u64,
    /// Partitions that were refused because of such bytes, and logs that recovery cut there.
    pub(crate) partitions_refused: u64,
    pub(crate) logs_cut_at_damage: u64,
    /// Acknowledged records that a power cut took, as their promise allows.
    pub(crate) acked_and_lost: u64,
    /// What compaction did.
    pub(crate) compaction: super::compaction::Tally,
    /// Requests to delete records that were granted.
    pub(crate) deletions: u64,
}
