//! Record batches: made as a producer would, or with any fault that a scenario wants; and taken apart, so that answers
//! can be compared field by field.

use crate::message::hex;
use bytes::Bytes;
use klamm_core::record::{Compression, Level, codec, crc};
use klamm_tests::frame::varint;
use serde_json::{Value as Json, json};

/// Where the fields of a batch's header lie (`DefaultRecordBatch` of Kafka).
pub(crate) mod at {
    pub(crate) const BASE_OFFSET: usize = 0;
    pub(crate) const LENGTH: usize = 8;
    pub(crate) const LEADER_EPOCH: usize = 12;
    pub(crate) const MAGIC: usize = 16;
    pub(crate) const CRC: usize = 17;
    pub(crate) const ATTRIBUTES: usize = 21;
    pub(crate) const LAST_OFFSET_DELTA: usize = 23;
    pub(crate) const BASE_TIMESTAMP: usize = 27;
    pub(crate) const MAX_TIMESTAMP: usize = 35;
    pub(crate) const PRODUCER_ID: usize = 43;
    pub(crate) const PRODUCER_EPOCH: usize = 51;
    pub(crate) const BASE_SEQUENCE: usize = 53;
    pub(crate) const COUNT: usize = 57;
    pub(crate) const RECORDS: usize = 61;
}

/// A timestamp in 2023: the `CreateTime` of records whose time does not matter.
pub(crate) const SOME_TIME: i64 = 1_700_000_000_000;

/// A record to be sent.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// A record with a value and nothing else.
pub(crate) const fn value(value: &[u8]) -> Record<'_> {
    Record {
        key: None,
        value: Some(value),
        timestamp: SOME_TIME,
        headers: &[],
    }
}

/// A batch under construction: bytes that can be changed, and sealed with the CRC that fits them.
#[derive(Clone)]
pub(crate) struct Batch(Vec<u8>);

impl Batch {
    /// A sound batch of `records`, of no producer.
    pub(crate) fn of(records: &[Record<'_>]) -> Self {
        Self::compressed(Compression::None, records)
    }

    /// A sound batch whose records are compressed.
    pub(crate) fn compressed(codec: Compression, records: &[Record<'_>]) -> Self {
        let base = records.first().map_or(SOME_TIME, |record| record.timestamp);
        let greatest = records.iter().map(|record| record.timestamp).max().unwrap_or(base);
        let plain: Vec<u8> = records
            .iter()
            .zip(0..)
            .flat_map(|(record, index)| one(record, index, base))
            .collect();
        let body = codec::compress(codec, Level::Default, &Bytes::from(plain)).expect("every codec is built in");
        let count = records.len() as i32;
        Self::around(&body)
            .set(at::ATTRIBUTES, &(codec as i16).to_be_bytes())
            .set(at::LAST_OFFSET_DELTA, &(count - 1).to_be_bytes())
            .set(at::BASE_TIMESTAMP, &base.to_be_bytes())
            .set(at::MAX_TIMESTAMP, &greatest.to_be_bytes())
            .set(at::COUNT, &count.to_be_bytes())
            .sealed()
    }

    /// A batch of `values`, one record each.
    pub(crate) fn of_values(values: &[&str]) -> Self {
        let records: Vec<_> = values.iter().map(|text| value(text.as_bytes())).collect();
        Self::of(&records)
    }

    /// A header around bytes that may be anything: no records declared, no producer.
    pub(crate) fn around(body: &[u8]) -> Self {
        let mut bytes = vec![0; at::RECORDS];
        bytes.extend_from_slice(body);
        let length = (bytes.len() - at::LEADER_EPOCH) as i32;
        Self(bytes)
            .set(at::LENGTH, &length.to_be_bytes())
            .set(at::LEADER_EPOCH, &(-1_i32).to_be_bytes())
            .set(at::MAGIC, &[2])
            .set(at::LAST_OFFSET_DELTA, &(-1_i32).to_be_bytes())
            .set(at::BASE_TIMESTAMP, &SOME_TIME.to_be_bytes())
            .set(at::MAX_TIMESTAMP, &SOME_TIME.to_be_bytes())
            .set(at::PRODUCER_ID, &(-1_i64).to_be_bytes())
            .set(at::PRODUCER_EPOCH, &(-1_i16).to_be_bytes())
            .set(at::BASE_SEQUENCE, &(-1_i32).to_be_bytes())
            .sealed()
    }

    /// The batch of an idempotent producer.
    pub(crate) fn by(self, producer: i64, epoch: i16, sequence: i32) -> Self {
        self.set(at::PRODUCER_ID, &producer.to_be_bytes())
            .set(at::PRODUCER_EPOCH, &epoch.to_be_bytes())
            .set(at::BASE_SEQUENCE, &sequence.to_be_bytes())
            .sealed()
    }

    /// Overwrites bytes of the batch, and leaves its CRC as it was.
    pub(crate) fn set(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The batch with the CRC of what it holds now.
    pub(crate) fn sealed(self) -> Self {
        let crc = crc::crc32c(&self.0[at::ATTRIBUTES..]);
        self.set(at::CRC, &crc.to_be_bytes())
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as a request writes them.
    pub(crate) fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// A record of the batch format, by its place in the batch.
fn one(record: &Record<'_>, index: i64, base_timestamp: i64) -> Vec<u8> {
    let mut body = vec![0];
    varint(&mut body, record.timestamp.wrapping_sub(base_timestamp));
    varint(&mut body, index);
    nullable(&mut body, record.key);
    nullable(&mut body, record.value);
    varint(&mut body, record.headers.len() as i64);
    for (name, value) in record.headers {
        nullable(&mut body, Some(name.as_bytes()));
        nullable(&mut body, *value);
    }
    let mut whole = Vec::new();
    varint(&mut whole, body.len() as i64);
    whole.extend(body);
    whole
}

fn nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// The batches in `records` by their fields, and how many bytes follow the last whole one.
pub(crate) fn to_json(records: &[u8]) -> Json {
    let mut batches = Vec::new();
    let mut rest = records;
    while rest.len() >= at::RECORDS {
        let length = number(rest, at::LENGTH, 4) as usize + at::LEADER_EPOCH;
        if length < at::RECORDS || length > rest.len() {
            break;
        }
        let (batch, after) = rest.split_at(length);
        batches.push(one_to_json(batch));
        rest = after;
    }
    json!({ "batches": batches, "partial_bytes": rest.len() })
}

fn one_to_json(batch: &[u8]) -> Json {
    let body = &batch[at::RECORDS..];
    let shown = if body.len() > 64 {
        format!(
            "{}… {} bytes, CRC {:08x}",
            hex(&body[..32]),
            body.len(),
            crc::crc32c(body)
        )
    } else {
        hex(body)
    };
    json!({
        "base_offset": number(batch, at::BASE_OFFSET, 8),
        "leader_epoch": number(batch, at::LEADER_EPOCH, 4),
        "magic": number(batch, at::MAGIC, 1),
        "crc_fits": number(batch, at::CRC, 4) as u32 == crc::crc32c(&batch[at::ATTRIBUTES..]),
        "attributes": number(batch, at::ATTRIBUTES, 2),
        "last_offset_delta": number(batch, at::LAST_OFFSET_DELTA, 4),
        "base_timestamp": number(batch, at::BASE_TIMESTAMP, 8),
        "max_timestamp": number(batch, at::MAX_TIMESTAMP, 8),
        "producer_id": number(batch, at::PRODUCER_ID, 8),
        "producer_epoch": number(batch, at::PRODUCER_EPOCH, 2),
        "base_sequence": number(batch, at::BASE_SEQUENCE, 4),
        "count": number(batch, at::COUNT, 4),
        "records": shown,
    })
}

/// A signed number of `length` bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> i64 {
    let mut wide = [0; 8];
    wide[..length].copy_from_slice(&bytes[at..at + length]);
    i64::from_be_bytes(wide) >> (64 - 8 * length)
}
