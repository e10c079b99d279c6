//! What compaction may remove, judged at the moment that a file of its making gets its name: the old segments and the new
//! one stand side by side then. From the durable bytes, the configuration and the clocks follows what may be missing:
//! - a record that a later one of its key follows, which stays; a tombstone whose delete horizon is over;
//! - neither before `min.compaction.lag.ms`, nor in the segment that grows;
//! - of each producer the last batch stays, with its header at least: what is sent again must be known.
//!
//! What stays keeps its offset, its content, its order and the fields of its batch. What is missing without that is a
//! violation wherever it is seen: in the file, in a log after a crash, in what readers are given. And what was removed for
//! good never comes back.

use super::disk_log::{LogView, Segment, parse_directory};
use super::places::Presence;
use super::{Checker, Fact, Oracle, Place, Why};
use crate::batch::{Batch, Record};
use crate::compaction::Compaction;
use crate::disk::{Disk, View};
use crate::frame::Fetched;
use crate::options::LARGEST_BATCH;
use crate::stage::Nanos;
use crate::value::Mark;
use std::collections::{BTreeMap, BTreeSet};

/// What compaction did in a run, as it was seen.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Files that took the place of others, and held fewer records.
    pub compactions: u64,
    /// Records that went.
    pub records: u64,
    /// Tombstones that went once their time was over.
    pub tombstones: u64,
    /// Crashes while a file was being made.
    pub cut: u64,
    /// Crashes before a file's name was durable.
    pub swaps_cut: u64,
}

/// A record as it stands in a file.
struct Seen {
    offset: i64,
    hash: u64,
    key: Option<Vec<u8>>,
    tombstone: bool,
    timestamp: i64,
    sender: Option<(u32, u64)>,
    /// The delete horizon of its batch.
    horizon: Option<i64>,
    /// The size of its batch, of the first record in it.
    bytes: u32,
}

/// A batch as it stands in a file, without its records.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Frame {
    identity: u32,
    leader_epoch: i32,
    end: i64,
    producer: i64,
}

/// What files hold, by offset.
#[derive(Default)]
struct Contents {
    batches: BTreeMap<i64, Frame>,
    records: BTreeMap<i64, Seen>,
}

impl Contents {
    fn add(&mut self, batch: &Batch<'_>, keeps_timestamps: bool) {
        let frame = Frame {
            identity: batch.lasting_identity(),
            leader_epoch: batch.leader_epoch,
            end: batch.end_offset(),
            producer: batch.producer.id,
        };
        self.batches.insert(batch.base_offset, frame);
        let mut bytes = batch.size as u32;
        for record in batch.open().records() {
            let seen = Seen {
                offset: record.offset,
                hash: record.identity(keeps_timestamps),
                key: record.key.map(<[u8]>::to_vec),
                tombstone: record.tombstone,
                timestamp: record.timestamp,
                sender: Mark::decode(record.value).map(|mark| (mark.producer, mark.sequence)),
                horizon: batch.delete_horizon(),
                bytes: std::mem::take(&mut bytes),
            };
            self.records.insert(record.offset, seen);
        }
    }

    /// The last batch of each producer that has an id.
    fn last_batches(&self) -> BTreeMap<i64, i64> {
        let of_producers = self.batches.iter().filter(|(_, frame)| frame.producer >= 0);
        of_producers.map(|(&base, frame)| (frame.producer, base)).collect()
    }
}

/// As many producers as any broker of a run remembers of a partition.
const PRODUCERS_REMEMBERED: usize = 16;

/// A swap that is being judged.
struct Swap<'a> {
    place: Place,
    base: i64,
    end: i64,
    rule: Compaction,
    old: &'a Contents,
    new: &'a Contents,
    /// The latest time that the broker can go by, in milliseconds.
    latest: i64,
}

impl Swap<'_> {
    fn removed(&self) -> impl Iterator<Item = &Seen> {
        let within = self.old.records.range(self.base..self.end).map(|(_, seen)| seen);
        within.filter(|seen| !self.new.records.contains_key(&seen.offset))
    }

    fn is_old_enough(&self, seen: &Seen) -> bool {
        let lag = i64::try_from(self.rule.min_lag_ms).unwrap_or(i64::MAX);
        lag == 0 || seen.timestamp.saturating_add(lag) <= self.latest
    }

    /// A record that went though it must stay.
    fn wrongly_removed(&self) -> Option<String> {
        let mut last: BTreeMap<&[u8], i64> = BTreeMap::new();
        let stays =
            |seen: &&Seen| !(self.base..self.end).contains(&seen.offset) || self.new.records.contains_key(&seen.offset);
        for seen in self
            .old
            .records
            .values()
            .filter(stays)
            .filter(|seen| self.is_old_enough(seen))
        {
            if let Some(key) = &seen.key {
                last.insert(key, seen.offset);
            }
        }
        for gone in self.removed() {
            let key = gone.key.as_deref()?;
            let followed = last.get(key).is_some_and(|&offset| offset > gone.offset);
            let over = gone.tombstone && gone.horizon.is_some_and(|horizon| horizon <= self.latest);
            if !self.is_old_enough(gone) || !followed && !over {
                let what = if gone.tombstone { "tombstone" } else { "record" };
                let horizon = gone.horizon;
                return Some(format!(
                    "the {what} at {} went: followed by another of its key: {followed}, delete horizon {horizon:?}, \
                     timestamp {}, the latest time there can be is {}",
                    gone.offset, gone.timestamp, self.latest
                ));
            }
        }
        None
    }

    /// Something that was changed or made up.
    fn changed(&self) -> Option<String> {
        for (base, frame) in &self.new.batches {
            if self.old.batches.get(base) != Some(frame) {
                return Some(format!("the batch at {base} is not what it was"));
            }
        }
        for seen in self.new.records.values() {
            let before = self.old.records.get(&seen.offset);
            if before.is_none_or(|before| before.hash != seen.hash) {
                return Some(format!("the record at {} is not what it was", seen.offset));
            }
            if before.is_some_and(|before| before.horizon.is_some() && before.horizon != seen.horizon) {
                return Some(format!(
                    "the record at {} has another delete horizon than before",
                    seen.offset
                ));
            }
        }
        None
    }

    /// Whether the segment that grows was compacted: nothing can have closed it yet.
    fn took_active(&self, disk: &Disk, directory: &str) -> Option<String> {
        let rule = &self.rule;
        if rule.segment_ms.is_some() || rule.max_lag_ms.is_some() || rule.deletes {
            return None;
        }
        let names = disk.names(View::Cache, directory)?;
        let appended = names.iter().filter_map(|name| Segment::parse(name));
        let last = appended
            .filter(|segment| segment.cleaned.is_none())
            .max_by_key(|segment| segment.base)?;
        let size = disk.bytes(View::Cache, &format!("{directory}/{}", last.name))?.len() as u64;
        let has_room = size + LARGEST_BATCH <= rule.segment_bytes;
        (last.base < self.end && has_room).then(|| format!("{} has room, and was compacted", last.name))
    }

    /// The last batch of a producer, where it is gone without a trace.
    fn forgotten_producer(&self) -> Option<String> {
        let last = self.old.last_batches();
        if last.len() > PRODUCERS_REMEMBERED {
            return None;
        }
        let gone = |base: &i64| (self.base..self.end).contains(base) && !self.new.batches.contains_key(base);
        let (producer, base) = last.into_iter().find(|(_, base)| gone(base))?;
        Some(format!(
            "the last batch of producer {producer}, at {base}, left nothing behind"
        ))
    }
}

impl Oracle {
    /// Which topics are compacted, and how.
    pub(crate) fn set_compaction(&mut self, rules: BTreeMap<String, Compaction>) {
        self.compaction = rules;
    }

    /// How the partition is compacted; `None` where it is not.
    pub(super) fn compaction_of(&self, place: Place) -> Option<Compaction> {
        if self.compaction.is_empty() {
            return None;
        }
        self.compaction.get(self.names.get(&place.topic)?).copied()
    }

    /// Whether the file belongs to a partition that is compacted.
    pub(crate) fn is_compacted(&self, path: &str) -> bool {
        let place = path
            .rsplit_once('/')
            .and_then(|(directory, _)| parse_directory(directory));
        place.is_some_and(|place| self.compaction_of(place).is_some())
    }

    /// A file got its name: where it is one that compaction made, it takes the place of others from now on.
    pub(crate) fn swapped(&mut self, disk: &Disk, path: &str) {
        let Some((directory, name)) = path.rsplit_once('/') else {
            return;
        };
        let (Some(place), Some(segment)) = (parse_directory(directory), Segment::parse(name)) else {
            return;
        };
        let (Some(rule), Some(cleaned)) = (self.compaction_of(place), segment.cleaned) else {
            return;
        };
        let keeps = self.keeps_timestamps;
        let (mut old, mut new) = (Contents::default(), Contents::default());
        let view = if self.fsync { View::Device } else { View::Cache };
        LogView::new(disk, view).walk_without(place, Some(name), |batch| old.add(batch, keeps));
        let mut rest = disk.bytes(View::Cache, path).unwrap_or_default();
        let mut due = segment.base;
        let mut problem = None;
        while !rest.is_empty() && problem.is_none() {
            match Batch::parse(rest) {
                Ok(batch) if batch.base_offset >= due && batch.end_offset() <= cleaned.end => {
                    new.add(&batch, keeps);
                    due = batch.end_offset();
                    rest = &rest[batch.size..];
                }
                other => problem = Some(format!("{other:?} where offset {due} or a later one was due")),
            }
        }
        let swap = Swap {
            place,
            base: segment.base,
            end: cleaned.end,
            rule,
            old: &old,
            new: &new,
            latest: self.clock.latest(self.now),
        };
        let problem = problem.or_else(|| swap.took_active(disk, directory));
        self.judge_swap(&swap, problem);
        self.take_swap(&swap);
    }

    fn judge_swap(&mut self, swap: &Swap<'_>, problem: Option<String>) {
        if self.is_damaged(swap.place) {
            // What the old segments lack is not what compaction took.
            return;
        }
        self.judging(Checker::Compaction);
        let what = |problem: String| {
            format!(
                "{}: compaction made a file of {}..{}: {problem}",
                swap.place, swap.base, swap.end
            )
        };
        let problem = problem.or_else(|| swap.changed()).or_else(|| swap.wrongly_removed());
        if let Some(problem) = problem.or_else(|| self.early_horizon(swap)) {
            self.violate(Checker::Compaction, what(problem));
        }
        // Where a power cut took a producer's last batches, as it may under `flush=os`, those before them may be compacted
        // away already: what is left is not its last, and the checkpoints know.
        if let Some(problem) = swap.forgotten_producer().filter(|_| !self.lost_page_cache) {
            self.violate(Checker::Idempotence, what(problem));
        }
    }

    /// A delete horizon that is over before `delete.retention.ms` has passed since its tombstone was sent.
    fn early_horizon(&self, swap: &Swap<'_>) -> Option<String> {
        let retention = i64::try_from(swap.rule.delete_retention_ms).unwrap_or(i64::MAX);
        let sent = &self.partitions.get(&swap.place)?.sent;
        for seen in swap.new.records.values().filter(|seen| seen.tombstone) {
            let before = swap.old.records.get(&seen.offset);
            let fresh = before.is_some_and(|before| before.horizon.is_none());
            let (true, Some(sent)) = (fresh, seen.sender.and_then(|sender| sent.get(&sender))) else {
                continue;
            };
            let least = self.clock.least(sent.at, self.now).saturating_add(retention);
            // A batch that keys are not known of yet is left as it is.
            if seen.horizon.is_some_and(|horizon| horizon < least) {
                return Some(format!(
                    "the tombstone at {} may go at {:?}, {least} is the least",
                    seen.offset, seen.horizon
                ));
            }
        }
        None
    }

    /// What the swap removed is gone from now on, unless a crash takes the file's name back.
    fn take_swap(&mut self, swap: &Swap<'_>) {
        let mut removed = 0;
        let mut back = None;
        for (&offset, seen) in swap.old.records.range(swap.base..swap.end) {
            let fact = Fact {
                hash: seen.hash,
                timestamp: seen.timestamp,
                bytes: seen.bytes,
            };
            self.fix(swap.place, offset, fact, Why::Synced);
            let Some(partition) = self.partitions.get_mut(&swap.place) else {
                return;
            };
            let Some(slot) = partition.slot_mut(offset) else {
                continue;
            };
            let there = swap.new.records.contains_key(&offset);
            match slot.presence {
                Presence::There if !there => {
                    slot.presence = Presence::Gone;
                    removed += 1;
                    self.counts.compaction.tombstones += u64::from(seen.tombstone && seen.horizon.is_some());
                }
                Presence::Gone if there => slot.presence = Presence::There,
                Presence::Settled(_) if there => back = Some(offset),
                _ => {}
            }
        }
        self.counts.compaction.records += removed;
        self.counts.compaction.compactions += u64::from(removed > 0);
        if let Some(offset) = back.filter(|_| !self.may_lack(swap.place)) {
            let text = format!(
                "{}: the record at {offset}, which compaction had removed, is back",
                swap.place
            );
            self.violate(Checker::Recovery, text);
        }
    }

    /// A file is gone by its name: where compaction replaced it, the device must know the name of what stands for it, or a
    /// recovery might find neither.
    pub(crate) fn removed(&mut self, disk: &Disk, path: &str) {
        let Some((directory, name)) = path.rsplit_once('/') else {
            return;
        };
        // A segment's checkpoint is as much a part of it.
        let name = name.replace(".checkpoint", ".log");
        let (Some(place), Some(gone)) = (parse_directory(directory), Segment::parse(&name)) else {
            return;
        };
        let replaced = |view| {
            let names = disk.names(view, directory).unwrap_or_default();
            let mut segments = names.iter().filter_map(|name| Segment::parse(name));
            segments.any(|segment| segment.supersedes(&gone))
        };
        if self.compaction_of(place).is_some() && replaced(View::Cache) && !replaced(View::Device) {
            let text = format!("{path} is removed, and the name of what takes its place is not durable");
            self.violate(Checker::Recovery, text);
        }
    }

    /// The process is about to end badly: what it had not done with.
    pub(super) fn count_cut_swaps(&mut self, disk: &Disk) {
        let view = LogView::new(disk, View::Cache);
        for place in self.places() {
            if self.compaction_of(place).is_none() {
                continue;
            }
            let Some(directory) = view.directory(place) else {
                continue;
            };
            let durable: BTreeSet<&str> = disk.durable_names(directory).unwrap_or_default().into_iter().collect();
            let names = disk.names(View::Cache, directory).unwrap_or_default();
            let half_made = |name: &&str| name.contains(".log.") && name.strip_suffix(".tmp").is_some();
            let unsynced =
                |name: &&str| Segment::parse(name).is_some_and(|it| it.cleaned.is_some()) && !durable.contains(*name);
            self.counts.compaction.cut += u64::from(names.iter().any(half_made));
            self.counts.compaction.swaps_cut += u64::from(names.iter().any(unsynced));
        }
    }

    /// The process ended: of every compacted log, what is promised is there, and what was removed for good is not.
    pub(super) fn check_compacted(&mut self, disk: &Disk) {
        for place in self.places() {
            if self.compaction_of(place).is_none() || self.is_damaged(place) || !self.stays(place) {
                continue;
            }
            let start = LogView::new(disk, View::Cache).walk(place, |_| {}).start;
            self.log_start(place, start);
            let held = |view| {
                let mut offsets = BTreeSet::new();
                LogView::new(disk, view).gather(place, |record: &Record<'_>| {
                    offsets.insert(record.offset);
                });
                offsets
            };
            let (shown, durable) = (held(View::Cache), held(View::Device));
            self.compare_compacted(place, &shown, &durable);
        }
    }

    fn compare_compacted(&mut self, place: Place, shown: &BTreeSet<i64>, durable: &BTreeSet<i64>) {
        let now = self.now;
        let strict = !self.lost_page_cache;
        let Some(partition) = self.partitions.get_mut(&place) else {
            return;
        };
        let from = partition.kept_from();
        let offsets: Vec<i64> = partition.known(from, i64::MAX).map(|(offset, _)| offset).collect();
        let mut problem = None;
        for offset in offsets {
            let Some(slot) = partition.slot_mut(offset) else {
                continue;
            };
            match (slot.presence, shown.contains(&offset)) {
                (Presence::There, false) if strict => {
                    problem.get_or_insert(format!("the record at {offset}, which was {}, is not there", slot.why));
                }
                (Presence::Settled(_), true) if strict => {
                    problem.get_or_insert(format!("the record at {offset}, which compaction had removed, is back"));
                }
                (Presence::Gone, true) => slot.presence = Presence::There,
                (Presence::Gone, false) if !durable.contains(&offset) => slot.presence = Presence::Settled(now),
                _ => {}
            }
        }
        if let Some(problem) = problem {
            self.violate(
                Checker::Recovery,
                format!("{place}: {problem}, after the process ended"),
            );
        }
    }

    /// A reader at `position` was given `batch`: what it passed over must be gone.
    pub(super) fn passed_over(&mut self, place: Place, position: i64, batch: &Batch<'_>) {
        if self.compaction_of(place).is_none() {
            return;
        }
        let held: BTreeSet<i64> = batch.open().records().map(|record| record.offset).collect();
        let now = self.now;
        let excused = self.may_lack(place);
        let Some(partition) = self.partitions.get_mut(&place) else {
            return;
        };
        let from = position.max(partition.kept_from());
        let missing = partition.known(from, batch.end_offset().max(from));
        let missing: Vec<i64> = missing
            .map(|(offset, _)| offset)
            .filter(|offset| !held.contains(offset))
            .collect();
        let mut skipped = None;
        for offset in missing {
            let Some(slot) = partition.slot_mut(offset) else {
                continue;
            };
            match slot.presence {
                Presence::There => skipped = skipped.or(Some((offset, slot.why))),
                Presence::Gone => slot.presence = Presence::Settled(now),
                Presence::Settled(_) => {}
            }
        }
        if let Some((offset, why)) = skipped.filter(|_| !excused) {
            let text = format!("{place}: a reader at {position} was not given the record at {offset}, which was {why}");
            self.violate(Checker::Compaction, text);
        }
    }

    /// What was removed for good before a reader asked is not served to it.
    pub(super) fn check_resurrection(&mut self, place: Place, begin: Nanos, part: &Fetched) {
        if self.compaction_of(place).is_none() || self.may_lack(place) {
            return;
        }
        let Some(partition) = self.partitions.get_mut(&place) else {
            return;
        };
        let mut back = None;
        let mut rest = part.records.as_deref().unwrap_or_default();
        while let Ok(batch) = Batch::parse(rest) {
            for record in batch.open().records() {
                let slot = partition.slot_mut(record.offset).copied();
                let gone = slot.is_some_and(|slot| matches!(slot.presence, Presence::Settled(since) if since < begin));
                back = back.or(gone.then_some(record.offset));
            }
            rest = &rest[batch.size..];
        }
        if let Some(offset) = back {
            let text = format!("{place}: the record at {offset}, which compaction had removed, was served again");
            self.violate(Checker::Recovery, text);
        }
    }

    /// Whether the batch stood at `base` as it was sent, whatever compaction made of it since.
    pub(super) fn stood_there(&mut self, place: Place, base: i64, sent: &Batch<'_>) -> bool {
        let keeps_timestamps = self.keeps_timestamps;
        let Some(partition) = self.partitions.get_mut(&place) else {
            return false;
        };
        let stood = |(index, record): (usize, Record<'_>)| {
            let slot = partition.slot_mut(base + index as i64);
            slot.is_some_and(|slot| slot.hash == record.identity(keeps_timestamps))
        };
        sent.open().records().enumerate().all(stood)
    }

    /// A record of a compacted topic was found at `offset`: it is there once.
    pub(super) fn found(&mut self, place: Place, sender: (u32, u64), offset: i64) {
        if self.compaction_of(place).is_none() {
            return;
        }
        let excused = self.may_lack(place);
        let Some(partition) = self.partitions.get_mut(&place) else {
            return;
        };
        let known = *partition.found_at.entry(sender).or_insert(offset);
        if known != offset && !excused {
            let text = format!("{place}: record {sender:?} stood at {known}, and stands at {offset}");
            self.violate(Checker::Idempotence, text);
        }
    }

    /// Whether compaction removed anything of the partition.
    pub(super) fn has_gaps(&self, place: Place) -> bool {
        let Some(partition) = self.partitions.get(&place) else {
            return false;
        };
        let mut known = partition.known(i64::MIN, i64::MAX);
        known.any(|(_, slot)| slot.presence != Presence::There)
    }
}
