//! What is known of one partition.

use super::damage::Wounds;
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
    /// Memory, operations, leases or credits were not given back.
    Bounds,
    /// A topic created again showed something of the old one.
    RecreatedTopic,
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
            Self::Bounds => "bounds",
            Self::RecreatedTopic => "recreated-topic",
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

/// A record that is known to stand at an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub(crate) hash: u64,
    pub(crate) why: Why,
    /// Whether the last pass over the whole log found it.
    pub(crate) read_back: bool,
}

/// What is known of one partition.
#[derive(Default, Debug)]
pub(crate) struct Partition {
    /// The canonical log, by offset.
    pub(crate) slots: Vec<Option<Slot>>,
    /// What was sent, by producer and its count: its identity, and its name in the history.
    pub(crate) sent: BTreeMap<(u32, u64), (u64, Value)>,
    pub(crate) acked_end: i64,
    /// Ends of the last batches that were acknowledged, ascending, and when they were.
    acks: VecDeque<(i64, Nanos)>,
    /// The least leader epoch that a response may name.
    pub(crate) least_epoch: i32,
    /// Whether a response has named an epoch since the last start.
    pub(crate) epoch_seen: bool,
    /// Every batch that was ever seen on a disk, by epoch and offset: its CRC.
    pub(crate) batches: BTreeMap<(i32, i64), u32>,
    /// What the disk destroyed of its synced bytes.
    pub(super) wounds: Option<Wounds>,
}

/// No run comes near this offset; a response that names a later one is wrong.
pub(super) const LAST_OFFSET: i64 = 1 << 24;

impl Partition {
    /// The record at `offset` was read.
    pub(crate) fn mark_read_back(&mut self, offset: i64) {
        if let Some(Some(slot)) = self.slots.get_mut(offset as usize) {
            slot.read_back = true;
        }
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
        self.slots.truncate(usize::try_from(offset).unwrap_or(usize::MAX));
        self.acked_end = self.acked_end.min(offset);
        self.acks.clear();
    }

    /// Whether nothing is promised of what lies at `offset`.
    pub(super) fn is_released(&self, offset: i64) -> bool {
        self.wounds.as_ref().is_some_and(|wounds| offset >= wounds.first())
    }

    /// Puts a record into the canonical log; an error says why another one stands there.
    pub(crate) fn fix(&mut self, offset: i64, hash: u64, why: Why) -> Result<(), Why> {
        let index = offset as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        match &mut self.slots[index] {
            Some(slot) if slot.hash != hash => Err(slot.why),
            Some(slot) => {
                slot.why = slot.why.max(why);
                Ok(())
            }
            empty => {
                *empty = Some(Slot {
                    hash,
                    why,
                    read_back: false,
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
    pub(crate) topics_recreated: u64,
    pub(crate) batches_scanned: u64,
    /// Readers that met bytes that the disk had destroyed.
    pub(crate) damage_met: u64,
    /// Those of them that no CRC of Kafka's shows.
    pub(crate) damage_beyond_crc: u64,
    /// Partitions that were refused because of such bytes, and logs that recovery cut there.
    pub(crate) partitions_refused: u64,
    pub(crate) logs_cut_at_damage: u64,
    /// Acknowledged records that a power cut took, as their promise allows.
    pub(crate) acked_and_lost: u64,
}
