//! What consumers were given.

use super::{Checker, Fact, Oracle, Place, Why};
use crate::batch::{Batch, Broken, Record};
use crate::frame::{Fetch, Fetched};
use crate::value::{Mark, fold_topic};
use klamm_jepsen::Value;

impl Oracle {
    /// `client`, which stands at `position`, was given `part`. Returns where it stands now.
    pub(crate) fn fetched(&mut self, place: Place, client: usize, position: i64, part: &Fetched, asked: &Fetch) -> i64 {
        if self.is_history() {
            return position;
        }
        self.check_watermark(place, client, part);
        self.ends_at(place, part.high_watermark);
        let Some(records) = &part.records else {
            self.violate(
                Checker::Protocol,
                format!("{place}: null records, which librdkafka cannot read"),
            );
            return position;
        };
        let most = asked
            .parts
            .iter()
            .find(|asked| asked.partition == place.partition && asked.topic.id == place.topic);
        let mut rest = &records[..];
        let (mut next, mut batches) = (position, 0);
        let mut polled = Vec::new();
        while !rest.is_empty() {
            self.check_header(place, rest);
            let batch = match Batch::parse(rest) {
                Ok(batch) => batch,
                Err(_) if let Some(beyond) = self.beyond_damage(place, next) => {
                    return self.passed(place, client, polled, beyond);
                }
                Err(Broken::Cut) => {
                    self.violate(
                        Checker::Recovery,
                        format!("{place}: a response ends inside a batch after {next}"),
                    );
                    return next;
                }
                Err(broken) => {
                    let text = format!("{place}: what was served at {next} is broken: {broken:?}");
                    self.violate(Checker::Recovery, text);
                    return next;
                }
            };
            if !self.may_follow(place, &batch, next, batches == 0) {
                if let Some(beyond) = self.beyond_damage(place, next) {
                    self.counts.damage_beyond_crc += 1;
                    return self.passed(place, client, polled, beyond);
                }
                let (from, to) = (batch.base_offset, batch.end_offset());
                let text = format!("{place}: offset {next} was due, a batch of {from}..{to} came");
                self.violate(Checker::AcknowledgedDurability, text);
                return next;
            }
            self.read_batch(place, &batch, part.high_watermark, position, &mut polled);
            self.passed_over(place, next, &batch);
            next = batch.end_offset();
            batches += 1;
            rest = &rest[batch.size..];
        }
        if let Some(most) = most.filter(|most| batches > 1 && records.len() as i64 > i64::from(most.max_bytes)) {
            let text = format!(
                "{place}: {} bytes in {batches} batches, {} were asked for",
                records.len(),
                most.max_bytes
            );
            self.violate(Checker::Bounds, text);
        }
        self.story.polled(place, client, polled);
        next
    }

    /// Whether `batch` may be what a reader at `next` is given; the first of a response may begin before.
    fn may_follow(&self, place: Place, batch: &Batch<'_>, next: i64, first: bool) -> bool {
        let begins = match self.compaction_of(place) {
            Some(_) => first || batch.base_offset >= next,
            None if first => batch.base_offset <= next && batch.is_dense(),
            None => batch.base_offset == next && batch.is_dense(),
        };
        begins && batch.end_offset() > next
    }

    /// A reader goes on behind what was destroyed.
    fn passed(&mut self, place: Place, client: usize, polled: Vec<(i64, Value)>, beyond: i64) -> i64 {
        self.story.polled(place, client, polled);
        beyond
    }

    /// Whether the frame at hand left a broker whose promise has since been undone, as it may be: it says nothing.
    pub(super) fn is_history(&self) -> bool {
        self.stale && self.lost_page_cache
    }

    fn check_watermark(&mut self, place: Place, client: usize, part: &Fetched) {
        let wounded = self.is_damaged(place);
        self.judging(Checker::HighWatermark);
        let seen = self.watermarks.entry((client, place)).or_insert(0);
        if part.high_watermark < *seen && !wounded {
            let text = format!(
                "{place}: the high watermark went from {seen} back to {}",
                part.high_watermark
            );
            self.violate(Checker::HighWatermark, text);
            return;
        }
        *seen = part.high_watermark;
        if part.last_stable_offset >= 0 && part.last_stable_offset != part.high_watermark {
            let text = format!(
                "{place}: last stable offset {} beside high watermark {} without transactions",
                part.last_stable_offset, part.high_watermark
            );
            self.violate(Checker::HighWatermark, text);
        }
        self.log_start(place, part.log_start_offset);
    }

    fn read_batch(
        &mut self,
        place: Place,
        batch: &Batch<'_>,
        high_watermark: i64,
        position: i64,
        polled: &mut Vec<(i64, Value)>,
    ) {
        if batch.end_offset() > high_watermark {
            let end = batch.end_offset();
            let text = format!(
                "{place}: offset {} was served, the high watermark is {high_watermark}",
                end - 1
            );
            self.violate(Checker::HighWatermark, text);
            return;
        }
        self.note_batch(place, batch);
        let mut count = 0;
        for record in batch.open().records() {
            count += 1;
            self.counts.records_read += 1;
            if let Some((hash, value)) = self.recognize(place, &record) {
                if record.offset >= position {
                    polled.push((record.offset, value));
                }
                let fact = Fact {
                    hash,
                    timestamp: record.timestamp,
                    bytes: if count == 1 { batch.size as u32 } else { 0 },
                };
                self.fix(place, record.offset, fact, Why::Read);
                if let Some(mark) = Mark::decode(record.value) {
                    self.found(place, (mark.producer, mark.sequence), record.offset);
                }
                if let Some(partition) = self.partitions.get_mut(&place) {
                    partition.mark_read_back(record.offset);
                }
            }
        }
        if count != batch.count {
            let text = format!("{place}: a batch of {} records holds {count}", batch.count);
            self.violate(Checker::Recovery, text);
        }
    }

    /// Two different batches never stand at one epoch and offset.
    pub(super) fn note_batch(&mut self, place: Place, batch: &Batch<'_>) {
        let compacted = self.compaction_of(place).is_some();
        let Some(partition) = self.partitions.get_mut(&place) else {
            return;
        };
        if partition.is_released(batch.base_offset) {
            // The epoch may be what was destroyed: it lies outside the CRC.
            return;
        }
        let key = (batch.leader_epoch, batch.base_offset);
        let identity = if compacted { batch.lasting_identity() } else { batch.crc };
        let known = *partition.batches.entry(key).or_insert(identity);
        if known != identity {
            let text = format!("{place}: two batches at offset {} in leader epoch {}", key.1, key.0);
            self.violate(Checker::LeaderEpoch, text);
        }
    }

    /// Who sent the record, by its value; its identity if it is what was sent.
    pub(super) fn recognize(&mut self, place: Place, record: &Record<'_>) -> Option<(u64, Value)> {
        let Some(mark) = Mark::decode(record.value) else {
            let text = format!("{place}: the record at {} is damaged", record.offset);
            self.violate(Checker::Recovery, text);
            return None;
        };
        if mark.topic != fold_topic(&place.topic) {
            if self.may_be_astray(place, record.offset) {
                return None;
            }
            let text = format!("{place}: the record at {} was sent to another topic", record.offset);
            self.violate(Checker::RecreatedTopic, text);
            return None;
        }
        let hash = record.identity(self.keeps_timestamps);
        let partition = self.partitions.get(&place)?;
        match partition.sent.get(&(mark.producer, mark.sequence)).copied() {
            Some(sent) if sent.hash == hash && mark.partition == place.partition => Some((hash, sent.value)),
            _ if mark.partition != place.partition && self.may_be_astray(place, record.offset) => None,
            Some(_) => {
                let text = format!(
                    "{place}: the record at {} is not what was sent: {mark:?}",
                    record.offset
                );
                self.violate(Checker::AcknowledgedDurability, text);
                None
            }
            None => {
                let text = format!("{place}: nobody sent the record at {}: {mark:?}", record.offset);
                self.violate(Checker::AcknowledgedDurability, text);
                None
            }
        }
    }
}
