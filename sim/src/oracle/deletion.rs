//! Records that clients had deleted (KIP-107). A log may begin where one of them asked, and only once the
//! device says so; once that was answered, nothing before it is ever shown again, whatever breaks.

use super::disk_log::{LogView, parse_directory, parse_mark, segments, start_mark};
use super::{Checker, Oracle, Place};
use crate::disk::{Disk, View};
use crate::frame::{Api, Codec, EARLIEST, Fetched, Request, Response};
use crate::link::LinkId;
use crate::stage::Nanos;
use bytes::Bytes;

/// One request: the offset, −1 for the high watermark, and what had been acknowledged before it was sent.
#[derive(Clone, Copy, Debug)]
struct Asked {
    upto: i64,
    acked_end: i64,
}

/// What clients asked of one partition, and what came of it.
#[derive(Clone, Default, Debug)]
pub(super) struct Deletion {
    asked: Vec<Asked>,
    /// Where the log is to begin, by the names on the disk.
    pub(super) mark: i64,
    /// Where it begins for good, and since when that was answered; both ascend.
    floors: Vec<(Nanos, i64)>,
}

impl Deletion {
    /// Where the log begins for good, as it was answered until `moment`.
    fn floor(&self, moment: Nanos) -> i64 {
        let known = self.floors.partition_point(|&(at, _)| at <= moment);
        known.checked_sub(1).map_or(0, |last| self.floors[last].1)
    }
}

/// A request whose answer is yet to leave the broker.
#[derive(Debug)]
pub(super) struct ExpectedDeletion {
    codec: Codec,
    version: i16,
    place: Place,
    upto: i64,
}

impl Oracle {
    /// A client is about to ask that records be deleted.
    pub(crate) fn deletion_asked(&mut self, place: Place, upto: i64) {
        let acked_end = self.acked_end(place);
        if let Some(partition) = self.partitions.get_mut(&place) {
            partition.deletion.asked.push(Asked { upto, acked_end });
        }
    }

    /// A request was sent whose answer promises that records are gone.
    pub(crate) fn expect_deletion(
        &mut self,
        link: LinkId,
        correlation: i32,
        codec: Codec,
        version: i16,
        place: Place,
        upto: i64,
    ) {
        let expected = ExpectedDeletion {
            codec,
            version,
            place,
            upto,
        };
        self.expected_deletions.insert((link, correlation), expected);
    }

    /// Whether a reader at `offset` may be told that what was there is deleted.
    pub(super) fn may_be_deleted(&self, place: Place, offset: i64) -> bool {
        self.partitions
            .get(&place)
            .is_some_and(|partition| offset < partition.deletion.mark)
    }

    /// A file got its name: where it is one that marks the start of a log, somebody must have asked for that start.
    pub(crate) fn marked(&mut self, disk: &Disk, path: &str) {
        let Some((directory, name)) = path.rsplit_once('/') else {
            return;
        };
        let (Some(place), Some(mark)) = (parse_directory(directory), parse_mark(name)) else {
            return;
        };
        let excused = self.may_lack(place);
        let end = LogView::new(disk, View::Cache).walk(place, |_| {}).offset;
        // Where retention was faster, what it removed is to stay away too.
        let removed = self.may_be_removed(place, mark - 1);
        let Some(partition) = self.partitions.get_mut(&place) else {
            return;
        };
        let explains = |asked: &Asked| match asked.upto {
            -1 => asked.acked_end <= mark && mark <= end,
            upto => upto == mark || upto < mark && removed,
        };
        let explained = partition.deletion.asked.iter().any(explains);
        partition.deletion.mark = partition.deletion.mark.max(mark);
        if !explained && !excused {
            let text = format!("{place}: the log is to begin at {mark}, and nobody asked for that");
            self.violate(Checker::DeletedRecords, text);
        }
    }

    /// The answer leaves: the device must say that the log begins there.
    pub(super) fn check_deletion(&mut self, disk: &Disk, expected: &ExpectedDeletion, body: &Bytes) {
        let decoded = expected.codec.decode(Api::DeleteRecords, expected.version, body);
        // A frame that cannot be read is reported where the client reads it.
        let Ok((
            _,
            Response::DeleteRecords {
                error: 0,
                low_watermark,
            },
        )) = decoded
        else {
            return;
        };
        let place = expected.place;
        if self.deleted.contains(&place.topic) || self.is_damaged(place) {
            return;
        }
        let view = LogView::new(disk, View::Device);
        let names = view
            .directory(place)
            .and_then(|directory| disk.durable_names(directory));
        let names = match names {
            // With the directory goes everything in it: nothing would come back.
            None if !self.fsync => return,
            names => names.unwrap_or_default(),
        };
        let base = segments(&names).first().map_or(0, |segment| segment.base);
        let held = base.max(start_mark(&names));
        let promised = if expected.upto < 0 {
            low_watermark
        } else {
            expected.upto
        };
        self.judging(Checker::DeletedRecords);
        if held < promised {
            let text = format!(
                "{place}: it was answered that records before {promised} are gone, the device begins at {held}"
            );
            self.violate(Checker::DeletedRecords, text);
        }
    }

    /// The process ended: what its marks on the disk say is what the next one will go by.
    pub(super) fn settle_deletions(&mut self, disk: &Disk) {
        let view = LogView::new(disk, View::Cache);
        for place in self.places() {
            let start = view.walk(place, |_| {}).start;
            let excused = self.is_damaged(place);
            let stays = self.stays(place);
            let Some(partition) = self.partitions.get_mut(&place) else {
                continue;
            };
            let floor = partition.deletion.floor(Nanos::MAX);
            if start < partition.deletion.mark {
                partition.deletion.mark = start.max(floor);
            }
            if start < floor && stays && !excused {
                let text = format!("{place}: the log starts at {start}, though records before {floor} were deleted");
                self.violate(Checker::DeletedRecords, text);
            }
        }
    }

    /// A client heard the answer to what it asked at `begin`: what had been deleted before then is not in it.
    pub(super) fn judge_deletions(&mut self, request: &Request, begin: Nanos, response: &Response) {
        if self.is_history() {
            return;
        }
        match (request, response) {
            (
                Request::DeleteRecords {
                    topic,
                    partition,
                    offset,
                    ..
                },
                Response::DeleteRecords {
                    error: 0,
                    low_watermark,
                },
            ) => self.deletion_granted(Place::new(topic.id, *partition), *offset, *low_watermark),
            (
                Request::ListOffsets {
                    topic,
                    timestamp: EARLIEST,
                    ..
                },
                Response::ListOffsets(listed),
            ) => {
                for found in listed.iter().filter(|found| found.error == 0) {
                    self.shown_start(Place::new(topic.id, found.partition), begin, found.offset);
                }
            }
            (Request::Fetch(asked), Response::Fetch { error: 0, parts, .. }) => {
                for part in parts.iter().filter(|part| part.error == 0) {
                    let of = |asked: &&crate::frame::FetchPart| {
                        let same = asked.topic.name == part.topic.name || asked.topic.id == part.topic.id;
                        same && asked.partition == part.partition
                    };
                    if let Some(from) = asked.parts.iter().find(of) {
                        self.shown_records(Place::new(from.topic.id, from.partition), begin, from.offset, part);
                    }
                }
            }
            _ => {}
        }
    }

    fn deletion_granted(&mut self, place: Place, asked: i64, low_watermark: i64) {
        self.counts.deletions += 1;
        let now = self.now;
        let Some(partition) = self.partitions.get_mut(&place) else {
            return;
        };
        let promised = if asked < 0 { low_watermark } else { asked };
        let floor = partition.deletion.floor(now).max(promised);
        partition.deletion.floors.push((now, floor));
        if low_watermark < promised {
            let text = format!("{place}: records before {asked} were to go, {low_watermark} was answered");
            self.violate(Checker::DeletedRecords, text);
            return;
        }
        self.log_start(place, low_watermark);
    }

    /// Where a log starts, as it was answered to a request of `begin`.
    fn shown_start(&mut self, place: Place, begin: Nanos, start: i64) {
        let floor = self
            .partitions
            .get(&place)
            .map_or(0, |partition| partition.deletion.floor(begin));
        if (0..floor).contains(&start) && !self.is_damaged(place) {
            let text =
                format!("{place}: the log is said to start at {start}, though records before {floor} were deleted");
            self.violate(Checker::DeletedRecords, text);
        }
    }

    fn shown_records(&mut self, place: Place, begin: Nanos, from: i64, part: &Fetched) {
        self.shown_start(place, begin, part.log_start_offset);
        let floor = self
            .partitions
            .get(&place)
            .map_or(0, |partition| partition.deletion.floor(begin));
        let some = part.records.as_ref().is_some_and(|records| !records.is_empty());
        if from < floor && some && !self.is_damaged(place) {
            let text = format!("{place}: records were served from {from}, though those before {floor} were deleted");
            self.violate(Checker::DeletedRecords, text);
        }
        self.check_resurrection(place, begin, part);
    }
}
