//! Producer ids: each is issued once. For that the device must hold, when one is told, a record that sets it aside; it is
//! read from the log of the cluster's metadata, whose records are messages of protobuf: field 4 of one says in its
//! field 1 which id comes next.

use super::{Checker, Oracle};
use crate::batch::Batch;
use crate::disk::{Disk, InodeId};
use crate::frame::{Api, Codec, Response};
use crate::link::LinkId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// How the directory of the metadata log begins.
const DIRECTORY: &str = "__cluster_metadata-";
/// A field's number and kind, as protobuf writes them: 4, of a length; 1, a number.
const SETS_ASIDE: u64 = 4 << 3 | 2;
const NEXT: u64 = 1 << 3;

/// What is known of producer ids.
#[derive(Default, Debug)]
pub(super) struct ProducerIds {
    /// Those that were issued, with their epochs.
    issued: BTreeSet<(i64, i16)>,
    /// Requests whose answers are yet to leave the broker.
    expected: BTreeMap<(LinkId, i32), (Codec, i16)>,
    /// How far each file of the metadata log was read, and how often it had been rewritten.
    read: BTreeMap<InodeId, (u64, usize)>,
    /// Every id below is set aside.
    next: i64,
}

impl ProducerIds {
    /// Nothing more will be answered on the connection.
    pub(super) fn forget_link(&mut self, link: LinkId) {
        self.expected.retain(|&(of, _), _| of != link);
    }

    /// Nothing that was under way with the last process concerns the next.
    pub(super) fn forget_process(&mut self) {
        self.expected.clear();
        self.read.clear();
    }

    /// Reads what is new of the metadata log.
    fn refresh(&mut self, disk: &Disk) {
        let directories = disk.durable_names("").unwrap_or_default().into_iter();
        for directory in directories.filter(|name| name.starts_with(DIRECTORY)) {
            let names = disk.durable_names(directory).unwrap_or_default().into_iter();
            for name in names.filter(|name| name.strip_suffix(".log").is_some()) {
                let Some(file) = disk.durable_file(&format!("{directory}/{name}")) else {
                    continue;
                };
                let (rewrites, read) = self.read.entry(file.inode).or_insert((file.rewrites, 0));
                if *rewrites != file.rewrites {
                    (*rewrites, *read) = (file.rewrites, 0);
                }
                while let Ok(batch) = Batch::parse(file.bytes.get(*read..).unwrap_or_default()) {
                    let set_aside = batch.open().records().filter_map(|record| next_id(record.value)).max();
                    self.next = self.next.max(set_aside.unwrap_or(0));
                    *read += batch.size;
                }
            }
        }
    }
}

/// Which id comes next, if the record says so.
fn next_id(mut record: &[u8]) -> Option<i64> {
    if take_number(&mut record)? != SETS_ASIDE {
        return None;
    }
    let length = usize::try_from(take_number(&mut record)?).ok()?;
    let mut message = record.get(..length)?;
    (take_number(&mut message)? == NEXT).then_some(())?;
    i64::try_from(take_number(&mut message)?).ok()
}

/// Seven bits a byte, the lowest first.
fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

impl Oracle {
    /// A producer id was issued.
    pub(crate) fn issued(&mut self, id: i64, epoch: i16) {
        self.counts.producer_ids += 1;
        self.judging(Checker::ProducerIds);
        if id < 0 || !self.producer_ids.issued.insert((id, epoch)) {
            self.violate(
                Checker::ProducerIds,
                format!("producer id {id} with epoch {epoch} was issued twice"),
            );
        }
    }

    /// A request was sent whose answer promises an id that nobody else has.
    pub(crate) fn expect_producer_id(&mut self, link: LinkId, correlation: i32, codec: Codec, version: i16) {
        self.producer_ids.expected.insert((link, correlation), (codec, version));
    }

    /// A response leaves: if it tells a producer id, the device must have set it aside.
    pub(super) fn producer_id_leaves(&mut self, disk: &Disk, link: LinkId, correlation: i32, frame: &Bytes) {
        let Some((codec, version)) = self.producer_ids.expected.remove(&(link, correlation)) else {
            return;
        };
        // A frame that cannot be read is reported where the client reads it.
        let decoded = codec.decode(Api::InitProducerId, version, &frame.slice(4..));
        let Ok((
            _,
            Response::InitProducerId {
                error: 0, producer_id, ..
            },
        )) = decoded
        else {
            return;
        };
        self.producer_ids.refresh(disk);
        let next = self.producer_ids.next;
        if producer_id >= next {
            let text =
                format!("producer id {producer_id} is told, and the device has set aside those below {next} only");
            self.violate(Checker::ProducerIds, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Checker;
    use super::super::tests::{disk_with, oracle, seen};
    use super::next_id;
    use crate::batch::{NewRecord, ProducerTag, build};
    use crate::compress::Compression;
    use crate::frame::Codec;
    use crate::link::LinkId;
    use bytes::Bytes;

    /// What sets the ids below 300 aside.
    const RECORD: [u8; 5] = [34, 3, 8, 0xAC, 2];

    #[test]
    fn a_producer_id_is_issued_once() {
        let mut oracle = oracle();
        oracle.issued(4, 0);
        oracle.issued(5, 0);
        assert_eq!(seen(&oracle), None);
        oracle.issued(4, 0);
        assert_eq!(seen(&oracle), Some(Checker::ProducerIds));
    }

    #[test]
    fn a_record_sets_ids_aside_or_says_something_else() {
        assert_eq!(next_id(&RECORD), Some(300));
        // A broker that started; a record that is cut, or empty.
        assert_eq!(next_id(&[10, 2, 8, 1]), None);
        for length in 0..RECORD.len() {
            assert_eq!(next_id(&RECORD[..length]), None);
        }
    }

    #[test]
    fn an_id_is_told_once_the_device_has_set_it_aside() {
        let record = NewRecord {
            timestamp: 0,
            key: None,
            value: RECORD.to_vec(),
            headers: Vec::new(),
        };
        let log = build(&[record], ProducerTag::NONE, Compression::None);
        let disk = disk_with("__cluster_metadata-0.x", &[("00000000000000000000.log", &log)]);
        for (id, expected) in [(299i64, None), (300, Some(Checker::ProducerIds))] {
            let mut oracle = oracle();
            oracle.expect_producer_id(LinkId(1), 7, Codec::Own, 1);
            // Length, correlation, throttle time, no error, the id, its epoch.
            let mut frame = [0, 0, 0, 20, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0].to_vec();
            frame.extend(id.to_be_bytes());
            frame.extend([0, 0]);
            oracle.response_leaves(&disk, LinkId(1), &Bytes::from(frame));
            assert_eq!(seen(&oracle), expected, "{id}");
        }
    }
}
