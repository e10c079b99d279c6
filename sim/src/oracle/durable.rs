//! At the moment an acknowledgement leaves the broker, what it promises must stand on the device: the bytes synced, the
//! file's name synced, the directory's name synced.

use super::disk_log::{LogView, parse_directory, segments};
use super::{Checker, ExpectedProduce, Oracle, Place};
use crate::batch::Batch;
use crate::disk::{Disk, InodeId, View};
use crate::frame::{Api, Response, correlation_of};
use crate::link::LinkId;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What stands at an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    /// A batch, as it was appended.
    Batch { crc: u32, count: i32 },
    /// What compaction made of it, which was judged when it did.
    Cleaned,
}

/// What was read of one file's durable bytes so far.
#[derive(Debug)]
struct Scan {
    rewrites: u64,
    read: usize,
    next_offset: i64,
    /// CRC and count of each batch, by base offset.
    batches: BTreeMap<i64, (u32, i32)>,
}

/// What was read of every file, so that a look costs only what is new.
#[derive(Default, Debug)]
pub(super) struct Scans {
    files: BTreeMap<InodeId, Scan>,
    directories: BTreeMap<Place, String>,
}

impl Scans {
    /// What stands durably at `offset`.
    fn batch_at(&mut self, disk: &Disk, place: Place, offset: i64) -> Option<Found> {
        let directory = self.directory(disk, place)?.to_owned();
        let names = disk.durable_names(&directory)?;
        let segment = segments(&names)
            .into_iter()
            .rev()
            .find(|segment| segment.base <= offset)?;
        let base = segment.base;
        if segment.cleaned.is_some_and(|cleaned| offset < cleaned.end) {
            return Some(Found::Cleaned);
        }
        let file = disk.durable_file(&format!("{directory}/{}", segment.name))?;
        let fresh = || Scan {
            rewrites: file.rewrites,
            read: 0,
            next_offset: base,
            batches: BTreeMap::new(),
        };
        let scan = self.files.entry(file.inode).or_insert_with(fresh);
        if scan.rewrites != file.rewrites {
            *scan = fresh();
        }
        while let Ok(batch) = Batch::parse(&file.bytes[scan.read.min(file.bytes.len())..]) {
            if batch.base_offset != scan.next_offset {
                break;
            }
            scan.batches.insert(batch.base_offset, (batch.crc, batch.count));
            scan.next_offset = batch.end_offset();
            scan.read += batch.size;
        }
        let &(crc, count) = scan.batches.get(&offset)?;
        Some(Found::Batch { crc, count })
    }

    fn directory(&mut self, disk: &Disk, place: Place) -> Option<&str> {
        if !self.directories.contains_key(&place) {
            for name in disk.durable_names("")? {
                if let Some(found) = parse_directory(name) {
                    self.directories.insert(found, name.to_owned());
                }
            }
        }
        self.directories.get(&place).map(String::as_str)
    }

    /// A power cut or a new process may have changed what names lead where.
    pub(super) fn forget(&mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

impl Oracle {
    /// A response leaves the broker: `frame` with its length.
    pub(crate) fn response_leaves(&mut self, disk: &Disk, link: LinkId, frame: &Bytes) {
        let Some(correlation) = correlation_of(frame) else {
            self.violate(Checker::Protocol, "a response without a correlation id".to_owned());
            return;
        };
        self.group_response_leaves(disk, link, correlation, frame);
        self.producer_id_leaves(disk, link, correlation, frame);
        if let Some(expected) = self.expected_deletions.remove(&(link, correlation)) {
            self.check_deletion(disk, &expected, &frame.slice(4..));
            return;
        }
        let Some(expected) = self.expected.remove(&(link, correlation)) else {
            return;
        };
        if !self.fsync {
            return;
        }
        let body = frame.slice(4..);
        // A frame that cannot be read is reported where the client reads it.
        if let Ok((_, Response::Produce(answers))) = expected.codec.decode(Api::Produce, expected.version, &body) {
            self.check_on_device(disk, &expected, &answers);
        }
    }

    fn check_on_device(&mut self, disk: &Disk, expected: &ExpectedProduce, answers: &[crate::frame::Produced]) {
        for part in &expected.parts {
            let answer = answers.iter().find(|answer| {
                let same = answer.topic.name == part.topic.name || answer.topic.id == part.topic.id;
                same && answer.partition == part.partition
            });
            let Some(answer) = answer.filter(|answer| answer.error == 0) else {
                continue;
            };
            let place = Place::new(part.topic.id, part.partition);
            if self.deleted.contains(&place.topic) || self.is_damaged(place) {
                continue;
            }
            let Ok(sent) = Batch::parse(&part.records) else {
                continue;
            };
            self.counts.acks_checked_on_device += 1;
            self.judging(Checker::AcknowledgedDurability);
            let found = self.scans.batch_at(disk, place, answer.base_offset);
            let as_sent = found.is_some_and(|found| match found {
                Found::Batch { crc, count } => count == sent.count && (crc == sent.crc || !self.keeps_timestamps),
                Found::Cleaned => self.stood_there(place, answer.base_offset, &sent),
            });
            if !as_sent {
                self.report_missing(disk, place, answer.base_offset, &sent, found.is_some());
            }
        }
    }

    /// An acknowledgement left before its batch was on the device. If it answers a retry of what this process took before,
    /// it is the retry's handling that is at fault; if an earlier process took it, it is recovery that let it count.
    fn report_missing(&mut self, disk: &Disk, place: Place, offset: i64, sent: &Batch<'_>, other: bool) {
        let retried = sent.producer.id >= 0 && self.times_sent(place, sent) > 1;
        let checker = if retried {
            Checker::Idempotence
        } else {
            Checker::AcknowledgedDurability
        };
        let what = if other {
            "another batch stands there"
        } else {
            "the device does not hold it"
        };
        let held = LogView::new(disk, View::Device).walk(place, |_| {});
        if offset < held.start {
            // It was synced and removed before the answer could leave.
            self.log_start(place, held.start);
            return;
        }
        let shown = LogView::new(disk, View::Cache).walk(place, |_| {});
        let what = format!("{what}: the device ends at {held:?}, the cache at {shown:?}");
        let how = if retried { "a retry" } else { "a batch" };
        let text = format!(
            "{place}: {how} of {} records was acknowledged at {offset}, but {what}",
            sent.count
        );
        self.violate(checker, text);
    }
}
