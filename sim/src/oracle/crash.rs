//! What must outlive a crash, and what the whole log must look like.

use super::disk_log::LogView;
use super::{Checker, Fact, Oracle, Place, Why};
use crate::batch::{Batch, ProducerTag};
use crate::disk::{Disk, View};
use crate::value::Mark;
use std::collections::BTreeMap;

/// What one pass over a log has seen of each producer.
#[derive(Default)]
struct Sequences {
    /// Whether the log was read from its very beginning, and the producer that it began with.
    whole: bool,
    inherited: Option<ProducerTag>,
    /// Whether compaction may have removed batches.
    gaps: bool,
    /// The sequence that is due, by producer id and epoch.
    due: BTreeMap<(i64, i16), i32>,
    /// The last record of each simulated producer's session.
    last: BTreeMap<(u32, u32), u64>,
}

impl Sequences {
    /// A problem with the order, gaps or repeats at `batch`.
    fn take(&mut self, batch: &Batch<'_>) -> Option<(Checker, String)> {
        if batch.producer.id != ProducerTag::NONE.id {
            let ProducerTag {
                id,
                epoch,
                base_sequence,
            } = batch.producer;
            let first = match self.inherited {
                _ if !self.whole || self.gaps => base_sequence,
                Some(tag) if (tag.id, tag.epoch) == (id, epoch) => tag.base_sequence,
                _ => 0,
            };
            let due = self.due.entry((id, epoch)).or_insert(first);
            // Where compaction removes batches, some are missing, but none comes again.
            let ahead = base_sequence.wrapping_sub(*due) & i32::MAX;
            if base_sequence != *due && !(self.gaps && ahead < 1 << 30) {
                let what = if base_sequence < *due { "again" } else { "with a gap" };
                let text = format!("producer {id}: sequence {base_sequence} stands {what} where {due} was due");
                return Some((Checker::Idempotence, text));
            }
            *due = ProducerTag::later(base_sequence, batch.span());
        }
        for record in batch.open().records() {
            let Some(mark) = Mark::decode(record.value) else {
                continue;
            };
            let last = self.last.insert((mark.producer, mark.session), mark.sequence);
            if let Some(last) = last.filter(|&last| last >= mark.sequence) {
                let checker = if batch.producer.id < 0 {
                    Checker::Order
                } else {
                    Checker::Idempotence
                };
                let text = format!(
                    "producer {} session {}: record {} stands after {last}",
                    mark.producer, mark.session, mark.sequence
                );
                return Some((checker, text));
            }
        }
        None
    }
}

impl Oracle {
    /// The process is about to end badly. What the device holds must be in the log from now on.
    pub(crate) fn before_crash(&mut self, disk: &Disk) {
        self.count_cut_swaps(disk);
        for place in self.places() {
            self.check_log(disk, View::Cache, place);
            let device = LogView::new(disk, View::Device);
            let mut synced = Vec::new();
            let keeps_timestamps = self.keeps_timestamps;
            device.walk_claimed(place, |batch| {
                let mut bytes = batch.size as u32;
                synced.extend(batch.open().records().map(|record| {
                    let fact = Fact {
                        hash: record.identity(keeps_timestamps),
                        timestamp: record.timestamp,
                        bytes: std::mem::take(&mut bytes),
                    };
                    (record.offset, fact)
                }));
            });
            if self.fsync || !self.lost_page_cache {
                for (offset, fact) in synced {
                    self.fix(place, offset, fact, Why::Synced);
                }
            }
        }
    }

    /// The process ended badly; the disk is what the next one will find.
    pub(crate) fn after_crash(&mut self, disk: &Disk, power_cut: bool) {
        self.forget_process();
        for partition in self.partitions.values_mut() {
            if std::mem::take(&mut partition.epoch_seen) {
                partition.least_epoch += 1;
            }
        }
        if power_cut && !self.fsync {
            self.lost_page_cache = true;
            self.watermarks.clear();
            self.forget_lost(disk);
        }
        self.check_compacted(disk);
        self.settle_deletions(disk);
        self.read_notes(disk);
    }

    /// The process ended as it was asked to. Every partition that it had open is durable to its end; one that it never
    /// opened may be as an earlier crash left it, but what was promised is durable.
    pub(crate) fn after_stop(&mut self, disk: &Disk, everything_open: bool) {
        self.forget_process();
        self.check_compacted(disk);
        self.settle_deletions(disk);
        self.read_notes(disk);
        for place in self.places() {
            let held = LogView::new(disk, View::Cache).walk(place, |_| {}).offset;
            let durable = LogView::new(disk, View::Device).walk(place, |_| {}).offset;
            let promised = self
                .partitions
                .get(&place)
                .map_or(0, super::places::Partition::promised_end);
            let lacks = self.fsync && self.stays(place) && durable < promised;
            if lacks || everything_open && self.stays(place) && durable != held && !self.is_damaged(place) {
                let text = format!(
                    "{place}: after a clean stop the device ends at {durable}, the cache at {held}, \
                     {promised} were promised"
                );
                self.violate(Checker::Recovery, text);
            }
        }
    }

    /// Nothing that was under way with the last process concerns the next.
    fn forget_process(&mut self) {
        self.expected.clear();
        self.expected_deletions.clear();
        self.attempts.clear();
        self.scans.forget();
        self.segments.forget();
        self.producer_ids.forget_process();
        self.groups.forget_process(self.now);
    }

    /// The promise was the page cache, and the power went: what is gone is gone.
    fn forget_lost(&mut self, disk: &Disk) {
        let view = LogView::new(disk, View::Cache);
        for (&place, partition) in &mut self.partitions {
            let end = view.walk(place, |_| {}).offset.max(partition.origin);
            let lost = partition.lose_from(end);
            self.counts.acked_and_lost += lost.filter(|slot| slot.why == Why::Acked).count() as u64;
        }
    }

    /// Walks a whole log: order, gaps, repeats, leader epochs. Returns where it ends.
    fn check_log(&mut self, disk: &Disk, view: View, place: Place) -> super::disk_log::LogEnd {
        let log = LogView::new(disk, view);
        let known = self.partitions.get(&place);
        let mut sequences = Sequences {
            inherited: known.and_then(|known| known.inherited),
            gaps: self.compaction_of(place).is_some(),
            ..Sequences::default()
        };
        let origin = known.map_or(0, |known| known.origin);
        let mut last_epoch = -1;
        let mut problems = Vec::new();
        let mut scanned = 0;
        let wounded = self.is_damaged(place);
        let excused = self.may_lack(place);
        let end = log.walk(place, |batch| {
            sequences.whole |= scanned == 0 && batch.base_offset == origin;
            scanned += 1;
            if batch.leader_epoch < last_epoch && !wounded {
                let text = format!("leader epoch {} follows {last_epoch}", batch.leader_epoch);
                problems.push((Checker::LeaderEpoch, text));
            }
            last_epoch = batch.leader_epoch;
            if !excused {
                problems.extend(sequences.take(batch));
            }
            self.note_batch(place, batch);
        });
        self.counts.batches_scanned += scanned;
        if scanned > 0 {
            self.judging(Checker::Recovery);
        }
        if !sequences.due.is_empty() {
            self.judging(Checker::Idempotence);
        }
        self.log_start(place, end.start);
        if let Some((checker, text)) = problems.into_iter().next() {
            self.violate(checker, format!("{place}: {text}"));
        }
        end
    }

    /// The run is over and the broker has stopped: the log must be whole, and hold everything that was promised.
    pub(crate) fn final_check(&mut self, disk: &Disk) {
        for place in self
            .places()
            .into_iter()
            .filter(|&place| self.stays(place))
            .collect::<Vec<_>>()
        {
            let end = self.check_log(disk, View::Cache, place);
            if self.is_damaged(place) {
                self.counts.logs_cut_at_damage += u64::from(end.beyond.is_none());
            } else if let Some(beyond) = end.beyond {
                self.violate(
                    Checker::Recovery,
                    format!("{place}: after a clean stop there is {beyond}"),
                );
            }
        }
    }

    /// Nothing is left on the disk of a topic whose deletion was answered and that nobody reads any more.
    pub(crate) fn check_remains(&mut self, disk: &Disk) {
        if !self.deleted.is_empty() {
            self.judging(Checker::RecreatedTopic);
        }
        let view = LogView::new(disk, View::Cache);
        let mut left = view.places().filter(|place| self.deleted.contains(&place.topic));
        if let Some(place) = left.next() {
            self.violate(
                Checker::RecreatedTopic,
                format!("{place}: its topic was deleted, its directory is still there"),
            );
        }
    }

    /// What stands in every log, a line a batch, for people.
    pub(crate) fn describe_logs(&self, disk: &Disk) -> Vec<String> {
        let view = LogView::new(disk, View::Cache);
        let mut lines = Vec::new();
        for place in self.partitions.keys() {
            let name = self.names.get(&place.topic).map_or("?", String::as_str);
            let end = view.walk(*place, |batch| {
                let (from, to, epoch) = (batch.base_offset, batch.end_offset(), batch.leader_epoch);
                lines.push(format!(
                    "{name}-{} {from}..{to} epoch {epoch} {:?}",
                    place.partition, batch.producer
                ));
            });
            lines.push(format!("{name}-{} ends: {end:?}", place.partition));
        }
        lines
    }

    /// A pass over every log begins: nothing was read back yet.
    pub(crate) fn begin_read_back(&mut self) {
        self.counts.records_read_back = 0;
        for partition in self.partitions.values_mut() {
            partition.forget_reading();
        }
    }

    /// The pass is over: everything promised must have been read.
    pub(crate) fn end_read_back(&mut self) {
        let mut missing = Vec::new();
        for (place, partition) in &self.partitions {
            let refused = partition.wounds.as_ref().is_some_and(|wounds| wounds.refused);
            if !self.stays(*place) || refused {
                continue;
            }
            for (offset, slot) in partition.promised(partition.kept_from(), i64::MAX) {
                self.counts.records_read_back += u64::from(slot.read_back);
                if !slot.read_back {
                    missing.push((*place, offset, slot.why));
                }
            }
        }
        if let Some((place, offset, why)) = missing.into_iter().max_by_key(|&(_, _, why)| why) {
            let checker = if why == Why::Synced {
                Checker::Recovery
            } else {
                Checker::AcknowledgedDurability
            };
            self.violate(
                checker,
                format!("{place}: the record at {offset}, which was {why}, cannot be read"),
            );
        }
    }
}
