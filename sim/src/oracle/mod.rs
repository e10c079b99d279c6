//! The oracle: it knows what was promised, and learns what is true from frames at the client's end of the link and from
//! the bytes of the simulated disk, read by a parser of its own. It never asks the broker's state.
//!
//! Invariants it holds the broker to, each by a named [`Checker`]:
//! - a record acknowledged, read or synced before a crash stands at its offset in every later read;
//! - nothing is acknowledged before the device holds it (acks 1 and all, `flush=fsync`);
//! - an idempotent producer's records are in the log once each, without gaps, in order;
//! - no two records ever stand at one (leader epoch, offset); an unclean start takes a new epoch;
//! - a log starts where retention may have moved its start, and nowhere else;
//! - a record that is looked up by its timestamp is the one that a scan finds;
//! - which topic a name stands for is linearizable, over all connections;
//! - a partition has one owner in a group, generations never go back, committed offsets are linearizable;
//! - compaction removes what it may, and nothing else; deleted records never come back;
//! - what a checkpoint says of its segment follows from the segment;
//! - what a log's note says to be synced is neither cut off nor served without;
//! - a producer id is issued once, and set aside on the device before; a topic created again shows nothing of the old one.

mod checkpoint;
mod compaction;
mod crash;
mod damage;
mod deletion;
mod disk_log;
mod durable;
mod groups;
mod note;
mod places;
mod producer_ids;
mod read;
mod registers;
mod retention;
mod story;
mod time;

#[cfg(test)]
mod tests;

pub use compaction::Tally;
pub(crate) use damage::{Damage, is_being_compacted, is_of_a_partition};
pub use groups::GroupCounts;
pub(crate) use groups::{Owned, lasts};
pub(crate) use note::is_only_noted;
pub use places::Checker;
pub(crate) use places::{Counts, Place, Violation, Why};
pub(crate) use retention::Retention;

use crate::batch::{Batch, ProducerTag};
use crate::compaction::Compaction;
use crate::frame::{Codec, ProducePart, TopicMetadata};
use crate::link::LinkId;
use crate::stage::{MILLIS, Nanos};
use crate::value::Mark;
use bytes::Bytes;
use klamm_core::config::{FlushMode, TimestampType};
use places::{Fact, Partition, Sent};
use std::collections::{BTreeMap, BTreeSet};

/// A produce request whose answer is yet to leave the broker.
#[derive(Debug)]
struct ExpectedProduce {
    codec: Codec,
    version: i16,
    parts: Vec<ProducePart>,
}

/// What is known, and the first thing that went wrong.
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and none excludes another"
)]
pub(crate) struct Oracle {
    pub(crate) counts: Counts,
    /// How often each checker had something to judge.
    pub(crate) judged: BTreeMap<Checker, u64>,
    /// Answers that clients could read, by API.
    pub(crate) answers: BTreeMap<&'static str, u64>,
    /// The versions that they came in.
    pub(crate) versions: BTreeSet<(&'static str, i16)>,
    violation: Option<Violation>,
    partitions: BTreeMap<Place, Partition>,
    /// Names by topic id.
    names: BTreeMap<[u8; 16], String>,
    deleted: BTreeSet<[u8; 16]>,
    /// Topics whose creation was answered and that nobody deletes, with the id that they have.
    created: BTreeMap<String, Option<[u8; 16]>>,
    producer_ids: producer_ids::ProducerIds,
    expected: BTreeMap<(LinkId, i32), ExpectedProduce>,
    scans: durable::Scans,
    segments: checkpoint::Segments,
    story: story::Story,
    registers: registers::Registers,
    groups: groups::Groups,
    /// Which topics are compacted, by name.
    compaction: BTreeMap<String, Compaction>,
    expected_deletions: BTreeMap<(LinkId, i32), deletion::ExpectedDeletion>,
    retention: Retention,
    clock: retention::WallClock,
    fsync: bool,
    /// Whether records keep the timestamps that producers gave them.
    keeps_timestamps: bool,
    /// The machine lost power while an acknowledgement promised the page cache only.
    lost_page_cache: bool,
    /// The time of the event at hand.
    now: Nanos,
    /// The frame being read left a broker process that has ended since.
    stale: bool,
    /// How often a batch of an idempotent producer was sent.
    attempts: BTreeMap<(Place, ProducerTag), u32>,
    /// High watermarks seen, per client.
    watermarks: BTreeMap<(usize, Place), i64>,
}

impl Oracle {
    pub(crate) fn new(flush: FlushMode, timestamps: TimestampType, retention: Retention) -> Self {
        Self {
            counts: Counts::default(),
            judged: BTreeMap::new(),
            answers: BTreeMap::new(),
            versions: BTreeSet::new(),
            violation: None,
            partitions: BTreeMap::new(),
            names: BTreeMap::new(),
            deleted: BTreeSet::new(),
            created: BTreeMap::new(),
            producer_ids: producer_ids::ProducerIds::default(),
            expected: BTreeMap::new(),
            scans: durable::Scans::default(),
            segments: checkpoint::Segments::default(),
            story: story::Story::default(),
            registers: registers::Registers::default(),
            groups: groups::Groups::default(),
            compaction: BTreeMap::new(),
            expected_deletions: BTreeMap::new(),
            retention,
            clock: retention::WallClock::default(),
            fsync: flush == FlushMode::Fsync,
            keeps_timestamps: timestamps == TimestampType::CreateTime,
            lost_page_cache: false,
            now: 0,
            stale: false,
            attempts: BTreeMap::new(),
            watermarks: BTreeMap::new(),
        }
    }

    /// Something that must not be. Only the first counts: the rest may follow from it.
    pub(crate) fn violate(&mut self, checker: Checker, text: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { checker, text });
        }
    }

    /// The checker has something to judge, and is about to.
    pub(crate) fn judging(&mut self, checker: Checker) {
        *self.judged.entry(checker).or_default() += 1;
    }

    /// The first violation.
    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Whether acknowledged records may be gone, because the promise was the page cache and the power went.
    pub(crate) fn may_have_lost(&self) -> bool {
        self.lost_page_cache
    }

    /// A request was sent whose answer promises something: the device is looked at when the answer leaves.
    pub(crate) fn expect_produced(
        &mut self,
        link: LinkId,
        correlation: i32,
        codec: Codec,
        version: i16,
        parts: Vec<ProducePart>,
    ) {
        for part in &parts {
            if let Ok(batch) = Batch::parse(&part.records) {
                let key = (Place::new(part.topic.id, part.partition), batch.producer);
                *self.attempts.entry(key).or_default() += 1;
            }
        }
        let expected = ExpectedProduce { codec, version, parts };
        self.expected.insert((link, correlation), expected);
    }

    fn times_sent(&self, place: Place, batch: &Batch<'_>) -> u32 {
        self.attempts.get(&(place, batch.producer)).copied().unwrap_or(0)
    }

    /// Says whether the frames that follow left a broker process that has ended since.
    pub(crate) fn set_stale(&mut self, stale: bool) {
        self.stale = stale;
    }

    /// The connection is gone: nothing more will be answered on it.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        let gone: Vec<_> = self
            .expected
            .range((link, i32::MIN)..=(link, i32::MAX))
            .map(|(&key, _)| key)
            .collect();
        for key in gone {
            self.expected.remove(&key);
        }
        self.forget_group_link(link);
        self.producer_ids.forget_link(link);
        self.expected_deletions.retain(|&(of, _), _| of != link);
    }

    /// The creation of a topic was answered, and nobody will delete it.
    pub(crate) fn topic_created(&mut self, name: &str, id: Option<[u8; 16]>) {
        self.created.insert(name.to_owned(), id);
    }

    /// The ids of topics whose deletion was answered.
    pub(crate) fn deleted_ids(&self) -> Vec<[u8; 16]> {
        self.deleted.iter().copied().collect()
    }

    /// Whether the partition is of a topic that nobody deletes.
    fn stays(&self, place: Place) -> bool {
        self.names
            .get(&place.topic)
            .is_some_and(|name| self.created.contains_key(name))
    }

    /// What Metadata said about a topic.
    pub(crate) fn metadata(&mut self, told: &TopicMetadata) {
        let id = told.topic.id;
        if let Some(known) = self.created.get_mut(&told.topic.name)
            && !self.lost_page_cache
        {
            // UNKNOWN_TOPIC_OR_PARTITION
            let changed = told.error == 0 && known.is_some_and(|known| known != id);
            if told.error == 0 {
                *known = Some(id);
            }
            if told.error == 3 || changed {
                let what = if changed { "has another id" } else { "is gone" };
                let text = format!("topic {}, whose creation was answered, {what}", told.topic.name);
                self.violate(Checker::AcknowledgedDurability, text);
                return;
            }
        }
        if told.error != 0 {
            return;
        }
        if self.deleted.contains(&id) {
            let text = format!("metadata shows {} under an id that was deleted", told.topic.name);
            self.violate(Checker::RecreatedTopic, text);
            return;
        }
        self.names.insert(id, told.topic.name.clone());
        for &(partition, error, epoch) in &told.partitions {
            let place = Place::new(id, partition);
            self.partitions.entry(place).or_default();
            if error == 0 {
                self.leader_epoch(place, epoch);
            }
        }
    }

    /// A leader epoch that a response named.
    pub(crate) fn leader_epoch(&mut self, place: Place, epoch: i32) {
        let Some(partition) = self.partitions.get_mut(&place) else {
            return;
        };
        if epoch < 0 || self.stale {
            return;
        }
        if epoch < partition.least_epoch {
            let least = partition.least_epoch;
            let text = format!("{place}: leader epoch {epoch} where at least {least} is due");
            self.violate(Checker::LeaderEpoch, text);
            return;
        }
        partition.least_epoch = epoch;
        partition.epoch_seen = true;
        self.judging(Checker::LeaderEpoch);
    }

    /// The topic's deletion was answered.
    pub(crate) fn topic_deleted(&mut self, id: [u8; 16]) {
        self.deleted.insert(id);
        self.partitions.retain(|place, _| place.topic != id);
    }

    /// A producer is about to send a batch.
    pub(crate) fn sent(&mut self, place: Place, marks: &[Mark], bytes: &Bytes) {
        let batch = match Batch::parse(bytes) {
            Ok(batch) => batch,
            Err(broken) => {
                self.violate(
                    Checker::Protocol,
                    format!("the simulator built a batch that is broken: {broken:?}"),
                );
                return;
            }
        };
        self.counts.records_sent += marks.len() as u64;
        let keeps_timestamps = self.keeps_timestamps;
        let partition = self.partitions.entry(place).or_default();
        partition.sent_bytes += bytes.len() as u64;
        for (mark, record) in marks.iter().zip(batch.open().records()) {
            let sent = Sent {
                hash: record.identity(keeps_timestamps),
                value: self.story.next_value(),
                at: self.now,
            };
            partition.sent.insert((mark.producer, mark.sequence), sent);
        }
    }

    /// A batch was acknowledged: from now on its records stand at their offsets.
    pub(crate) fn acked(&mut self, place: Place, base_offset: i64, bytes: &Bytes) {
        let Ok(batch) = Batch::parse(bytes) else { return };
        if base_offset < 0 {
            self.violate(
                Checker::Protocol,
                format!("{place}: acknowledged at offset {base_offset}"),
            );
            return;
        }
        self.counts.records_acked += batch.count as u64;
        if self.is_history() {
            return;
        }
        self.stands(place, base_offset, &batch, Why::Acked);
        if let Some(partition) = self.partitions.get_mut(&place) {
            partition.note_ack(base_offset + i64::from(batch.count), self.now);
        }
    }

    /// A batch as it was sent stands at `base_offset`.
    fn stands(&mut self, place: Place, base_offset: i64, batch: &Batch<'_>, why: Why) {
        for (index, record) in batch.open().records().enumerate() {
            let offset = base_offset + index as i64;
            let sender = Mark::decode(record.value).map(|mark| (mark.producer, mark.sequence));
            let partition = self.partitions.get(&place);
            let sent = sender.and_then(|sender| partition?.sent.get(&sender).copied());
            let timestamp = match sent {
                Some(sent) if !self.keeps_timestamps => self.least_append_time(sent.at),
                _ => record.timestamp,
            };
            let fact = Fact {
                hash: record.identity(self.keeps_timestamps),
                timestamp,
                bytes: if index == 0 { batch.size as u32 } else { 0 },
            };
            self.fix(place, offset, fact, why);
            if let Some(sender) = sender {
                self.found(place, sender, offset);
            }
            if let (Some(sent), Some((producer, _))) = (sent, sender) {
                self.story.acked(place, producer, sent.value, offset);
            }
        }
    }

    /// The run begins with a log at `origin`, of these batches as they stand.
    pub(crate) fn planted(&mut self, place: Place, origin: i64, inherited: Option<ProducerTag>) {
        self.partitions.entry(place).or_default().begin_at(origin, inherited);
    }

    /// A batch of the log that the run begins with.
    pub(crate) fn planted_batch(&mut self, place: Place, marks: &[Mark], bytes: &Bytes) {
        self.sent(place, marks, bytes);
        if let Ok(batch) = Batch::parse(bytes) {
            self.counts.records_planted += batch.count as u64;
            self.stands(place, batch.base_offset, &batch, Why::Synced);
        }
    }

    /// The id of a topic whose creation was answered; `None` while nobody was told.
    pub(crate) fn id_of(&self, name: &str) -> Option<[u8; 16]> {
        self.created.get(name).copied().flatten()
    }

    /// From now on the record stands at `offset`.
    fn fix(&mut self, place: Place, offset: i64, fact: Fact, why: Why) {
        let Some(partition) = self.partitions.get_mut(&place) else {
            return;
        };
        if !(0..places::LAST_OFFSET).contains(&(offset - partition.origin)) {
            self.violate(
                Checker::Protocol,
                format!("{place}: offset {offset} is beyond anything that was sent"),
            );
            return;
        }
        if partition.is_released(offset) {
            return;
        }
        match partition.fix(offset, fact, why) {
            Ok(()) => partition.note_reach(self.now),
            Err(known) => {
                let checker = match known {
                    Why::Synced => Checker::Recovery,
                    Why::Read | Why::Acked => Checker::AcknowledgedDurability,
                };
                let text = format!("{place}: offset {offset} held a record that was {known}, now another is {why}");
                self.violate(checker, text);
            }
        }
    }

    /// What time it is.
    pub(crate) fn set_now(&mut self, now: Nanos) {
        self.now = now;
    }

    /// A fetch has waited since `asked_at` at `position`. Had something been acknowledged there longer ago than
    /// `patience`, it should have been woken.
    pub(crate) fn woken(&mut self, place: Place, position: i64, asked_at: Nanos, patience: Nanos) {
        let Some(partition) = self.partitions.get(&place) else {
            return;
        };
        let Some(first_ack) = partition.acked_beyond(position) else {
            return;
        };
        let waited = self.now.saturating_sub(first_ack.max(asked_at));
        *self.judged.entry(Checker::Liveness).or_default() += 1;
        if waited > patience && !self.may_lack(place) {
            let waited = waited / MILLIS;
            let text = format!(
                "{place}: a fetch at {position} still waits, or waited, {waited} ms after more was acknowledged"
            );
            self.violate(Checker::Liveness, text);
        }
    }

    /// How far acknowledgements reach.
    pub(crate) fn acked_end(&self, place: Place) -> i64 {
        self.partitions.get(&place).map_or(0, |partition| partition.acked_end)
    }

    /// Every partition that exists, as far as is known.
    pub(crate) fn places(&self) -> Vec<Place> {
        self.partitions.keys().copied().collect()
    }
}
