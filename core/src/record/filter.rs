//! What compaction leaves of a batch (`MemoryRecords.filterTo`).
//!
//! Invariants: whatever is left keeps its place: the batch its base offset, last offset delta, leader epoch and producer
//! fields, each record its offset, timestamp, key, value and headers.

use super::batch::Batch;
use super::build::RecordFields;
use super::codec::{self, Level};
use super::error::BatchError;
use super::header::{BatchHeader, TimestampType};
use super::open::Opened;
use super::walk::Record;
use crate::types::Timestamp;
use alloc::vec::Vec;
use bytes::Bytes;

/// What is left of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filtered {
    /// Every record, and nothing is to be changed.
    Whole,
    /// This: with fewer records, or with a delete horizon.
    Part(Batch),
    /// No record. This is the batch without any, for whoever needs to keep its header.
    Emptied(Batch),
}

/// Keeps those records of a batch for which `keep` says so, under the batch's own codec. Where a tombstone is kept and the
/// batch has no delete horizon yet, it gets `horizon`: the base timestamp gives way to it, and the records' deltas count
/// from there (KIP-534).
pub fn filter(
    opened: &Opened,
    horizon: Timestamp,
    mut keep: impl FnMut(&Record<'_>) -> bool,
) -> Result<Filtered, BatchError> {
    let header = opened.header();
    let mut kept = Vec::new();
    let mut dropped = false;
    for record in opened.records() {
        let record = record?;
        if keep(&record) {
            kept.push(record);
        } else {
            dropped = true;
        }
    }
    if kept.is_empty() {
        return Ok(Filtered::Emptied(emptied(header)));
    }
    let tombstone = kept.iter().any(|record| record.value.is_none());
    let dated = tombstone && !header.attributes.has_delete_horizon();
    if !dropped && !dated {
        return Ok(Filtered::Whole);
    }
    let mut header = *header;
    if dated {
        header.attributes = header.attributes.with_delete_horizon();
        header.base_timestamp = horizon;
    }
    header.record_count = kept.len() as i32;
    if header.timestamp_type() == TimestampType::CreateTime {
        let timestamps = kept.iter().map(|record| opened.timestamp(record));
        header.max_timestamp = timestamps.max().unwrap_or(header.max_timestamp);
    }
    let mut records = Vec::new();
    for record in &kept {
        let fields = RecordFields {
            timestamp_delta: opened.timestamp(record).0.wrapping_sub(header.base_timestamp.0),
            offset_delta: i64::from(record.offset_delta),
            key: record.key,
            value: record.value,
        };
        fields.put(record.headers.clone(), &mut records);
    }
    let body = codec::compress(header.compression()?, Level::Default, &Bytes::from(records))?;
    Ok(Filtered::Part(Batch::assemble(header, body)))
}

/// The batch without its records (`DefaultRecordBatch.writeEmptyHeader`).
fn emptied(header: &BatchHeader) -> Batch {
    let header = BatchHeader {
        attributes: header.attributes.emptied(),
        base_timestamp: Timestamp::NONE,
        record_count: 0,
        ..*header
    };
    Batch::assemble(header, Bytes::new())
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Compression, Producer};
    use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
    use alloc::string::String;

    const HORIZON: Timestamp = Timestamp(900_000);

    /// Five records, the fourth a tombstone.
    fn batch(compression: Compression) -> Batch {
        let producer = Producer::Idempotent {
            id: ProducerId(7),
            epoch: ProducerEpoch(2),
            base_sequence: Sequence(40),
        };
        let mut builder = BatchBuilder::new(compression, Level::Default, producer);
        for i in 0..5_u8 {
            let value = [i; 20];
            let value = (i != 3).then_some(&value[..]);
            let headers = [("h", Some(&[i][..])), ("n", None)];
            builder.append(Timestamp(1000 - 10 * i64::from(i)), Some(&[b'k', i]), value, &headers);
        }
        let mut batch = builder.build().expect("it has records");
        batch.stamp(Offset(500), LeaderEpoch(9));
        batch
    }

    /// Offset, timestamp, key, value and headers of each record.
    type Row = (i64, i64, Vec<u8>, Option<Vec<u8>>, String);

    fn rows(batch: &Batch) -> Vec<Row> {
        batch.check_crc().expect("the CRC was computed anew");
        let opened = batch.open(1 << 20).expect("it opens");
        let row = |record: Result<Record<'_>, BatchError>| {
            let record = record.expect("it is whole");
            (
                opened.offset(&record).0,
                opened.timestamp(&record).0,
                record.key.unwrap_or_default().to_vec(),
                record.value.map(<[u8]>::to_vec),
                alloc::format!("{:?}", record.headers.clone().collect::<Vec<_>>()),
            )
        };
        opened.records().map(row).collect()
    }

    fn filtered(batch: &Batch, keep: impl FnMut(&Record<'_>) -> bool) -> Filtered {
        filter(&batch.open(1 << 20).expect("it opens"), HORIZON, keep).expect("its records are sound")
    }

    #[test]
    fn what_is_kept_stays_what_it_was_whatever_the_codec() {
        for compression in Compression::ALL {
            let batch = batch(compression);
            let kept = |record: &Record<'_>| matches!(record.offset_delta, 1 | 4);
            let Filtered::Part(part) = filtered(&batch, kept) else {
                panic!("some records are kept")
            };
            let before = rows(&batch);
            assert_eq!(rows(&part), [before[1].clone(), before[4].clone()]);
            let header = part.header();
            assert_eq!(
                header,
                BatchHeader {
                    record_count: 2,
                    max_timestamp: Timestamp(990),
                    batch_length: header.batch_length,
                    crc: header.crc,
                    ..batch.header()
                }
            );
        }
    }

    #[test]
    fn a_tombstone_that_is_kept_dates_its_batch_once() {
        let batch = batch(Compression::Lz4);
        let Filtered::Part(dated) = filtered(&batch, |_| true) else {
            panic!("the tombstone needs a horizon")
        };
        let header = dated.header();
        assert!(header.attributes.has_delete_horizon());
        assert_eq!(
            (header.base_timestamp, header.max_timestamp),
            (HORIZON, Timestamp(1000))
        );
        assert_eq!(rows(&dated), rows(&batch));
        assert_eq!(filtered(&dated, |_| true), Filtered::Whole);
        let Filtered::Part(part) = filtered(&dated, |record| record.offset_delta == 3) else {
            panic!("the tombstone is kept")
        };
        assert_eq!(part.header().base_timestamp, HORIZON);
        assert_eq!(rows(&part), rows(&batch)[3..4]);
    }

    #[test]
    fn a_batch_without_tombstones_is_left_alone() {
        let batch = batch(Compression::None);
        let Filtered::Part(part) = filtered(&batch, |record| record.value.is_some()) else {
            panic!("four are kept")
        };
        assert_eq!(filtered(&part, |_| true), Filtered::Whole);
    }

    #[test]
    fn an_emptied_batch_still_says_what_its_producer_wrote_last() {
        let batch = batch(Compression::Zstd);
        let Filtered::Emptied(empty) = filtered(&batch, |_| false) else {
            panic!("nothing is kept")
        };
        let header = empty.header();
        assert_eq!(empty.len(), crate::record::HEADER_LEN);
        assert_eq!(header.last_sequence(), batch.header().last_sequence());
        assert_eq!(header.next_offset(), Offset(505));
        assert_eq!(header.max_timestamp, Timestamp(1000));
        assert_eq!(header.compression(), Ok(Compression::None));
        assert!(rows(&empty).is_empty());
        assert_eq!(filtered(&empty, |_| true), Filtered::Emptied(empty));
    }

    #[test]
    fn records_keep_the_leaders_time() {
        let mut batch = batch(Compression::None);
        batch.set_log_append_time(Timestamp(5_000_000));
        let Filtered::Part(part) = filtered(&batch, |record| record.offset_delta > 2) else {
            panic!("two are kept")
        };
        assert!(part.header().attributes.has_delete_horizon());
        assert_eq!(rows(&part), rows(&batch)[3..]);
    }
}
