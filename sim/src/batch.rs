//! Record batches of format 2, built and read by the simulator's own code: the oracle shares nothing with the broker.
//! Layout: Kafka's `DefaultRecordBatch` and `DefaultRecord`.

use crate::compress::{Compression, decompress};
use std::borrow::Cow;
use std::sync::LazyLock;

/// How many bytes stand before the records.
pub(crate) const HEADER: usize = 61;
/// The CRC covers everything from here on.
const CRC_FROM: usize = 21;

/// Who sends a batch, as its header says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ProducerTag {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) base_sequence: i32,
}

impl ProducerTag {
    /// A producer that is not idempotent.
    pub(crate) const NONE: Self = Self {
        id: -1,
        epoch: -1,
        base_sequence: -1,
    };
}

/// A record to send.
#[derive(Clone, Debug)]
pub(crate) struct NewRecord {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    /// Empty for none at all: the record is a tombstone, and its first header tells who sent it.
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl ProducerTag {
    /// The sequence number `count` records later: it wraps at 2^31 (Kafka's `DefaultRecordBatch.incrementSequence`).
    pub(crate) fn later(sequence: i32, count: i32) -> i32 {
        ((i64::from(sequence) + i64::from(count)) & i64::from(i32::MAX)) as i32
    }
}

/// Lays out a batch as a producer sends it: base offset 0, no leader epoch.
pub(crate) fn build(records: &[NewRecord], producer: ProducerTag, compression: Compression) -> Vec<u8> {
    let first = records.first().map_or(-1, |record| record.timestamp);
    let last = records.iter().map(|record| record.timestamp).max().unwrap_or(-1);
    let mut body = Vec::new();
    for (index, record) in records.iter().enumerate() {
        put_record(&mut body, record, index as i64, first);
    }
    let mut batch = vec![0; HEADER];
    batch.extend(compression.compress(&body));
    let length = (batch.len() - 12) as i32;
    let mut put = |at: usize, bytes: &[u8]| batch[at..at + bytes.len()].copy_from_slice(bytes);
    put(8, &length.to_be_bytes());
    put(12, &(-1i32).to_be_bytes());
    put(16, &[2]);
    put(21, &compression.id().to_be_bytes());
    put(23, &(records.len() as i32 - 1).to_be_bytes());
    put(27, &first.to_be_bytes());
    put(35, &last.to_be_bytes());
    put(43, &producer.id.to_be_bytes());
    put(51, &producer.epoch.to_be_bytes());
    put(53, &producer.base_sequence.to_be_bytes());
    put(57, &(records.len() as i32).to_be_bytes());
    let crc = crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn put_record(batch: &mut Vec<u8>, record: &NewRecord, offset_delta: i64, first_timestamp: i64) {
    let mut body = vec![0];
    put_varint(&mut body, record.timestamp.wrapping_sub(first_timestamp));
    put_varint(&mut body, offset_delta);
    match &record.key {
        Some(key) => put_bytes(&mut body, key),
        None => put_varint(&mut body, -1),
    }
    if record.value.is_empty() {
        put_varint(&mut body, -1);
    } else {
        put_bytes(&mut body, &record.value);
    }
    put_varint(&mut body, record.headers.len() as i64);
    for (key, value) in &record.headers {
        put_bytes(&mut body, key);
        put_bytes(&mut body, value);
    }
    put_varint(batch, body.len() as i64);
    batch.extend_from_slice(&body);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Puts a batch where a broker would: at an offset, under a leader epoch.
pub(crate) fn place(batch: &mut [u8], offset: i64, leader_epoch: i32) {
    batch[..8].copy_from_slice(&offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// A batch whose CRC, length and counts hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) crc: u32,
    pub(crate) count: i32,
    pub(crate) producer: ProducerTag,
    last_delta: i32,
    attributes: u16,
    first_timestamp: i64,
    pub(crate) max_timestamp: i64,
    records: &'a [u8],
    /// How many bytes the whole batch takes.
    pub(crate) size: usize,
}

/// A record read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    /// Of a tombstone, that of its first header: who sent it.
    pub(crate) value: &'a [u8],
    /// It has no value: its key is deleted.
    pub(crate) tombstone: bool,
    /// Of key, value and headers.
    pub(crate) content: u64,
}

impl Record<'_> {
    /// What identifies the record: its content, and its timestamp where the broker keeps what the producer gave.
    pub(crate) fn identity(&self, keeps_timestamps: bool) -> u64 {
        let mut hasher = crate::trace::Hasher::new();
        hasher.word(self.content);
        hasher.word(if keeps_timestamps { self.timestamp as u64 } else { 0 });
        hasher.value()
    }
}

/// Why bytes are no batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Broken {
    /// The bytes end inside the batch.
    Cut,
    /// Magic, length or counts make no sense.
    Layout,
    /// The CRC does not hold.
    Crc,
}

impl<'a> Batch<'a> {
    /// Reads the batch at the start of `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Broken> {
        if bytes.len() < HEADER {
            return Err(Broken::Cut);
        }
        let length = i32::from_be_bytes(array(bytes, 8));
        if length < (HEADER - 12) as i32 || bytes[16] != 2 {
            return Err(Broken::Layout);
        }
        let size = length as usize + 12;
        let bytes = bytes.get(..size).ok_or(Broken::Cut)?;
        let crc = u32::from_be_bytes(array(bytes, 17));
        if crc32c(&bytes[CRC_FROM..]) != crc {
            return Err(Broken::Crc);
        }
        let count = i32::from_be_bytes(array(bytes, 57));
        let last_delta = i32::from_be_bytes(array(bytes, 23));
        // Compaction leaves fewer records than offsets; who reads a log that is not compacted asks for a dense batch.
        if count < 0 || last_delta < 0 || i64::from(count) > i64::from(last_delta) + 1 {
            return Err(Broken::Layout);
        }
        Ok(Self {
            base_offset: i64::from_be_bytes(array(bytes, 0)),
            leader_epoch: i32::from_be_bytes(array(bytes, 12)),
            crc,
            count,
            producer: ProducerTag {
                id: i64::from_be_bytes(array(bytes, 43)),
                epoch: i16::from_be_bytes(array(bytes, 51)),
                base_sequence: i32::from_be_bytes(array(bytes, 53)),
            },
            last_delta,
            attributes: u16::from_be_bytes(array(bytes, 21)),
            first_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)),
            records: &bytes[HEADER..],
            size,
        })
    }

    /// The offset after its last record, as it was sent.
    pub(crate) fn end_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_delta) + 1
    }

    /// How many offsets it takes: as many as it had records when it was sent.
    pub(crate) fn span(&self) -> i32 {
        self.last_delta + 1
    }

    /// Whether it still has a record at each of its offsets.
    pub(crate) fn is_dense(&self) -> bool {
        self.count == self.span()
    }

    /// What compaction leaves of its header as it was, in 32 bits.
    pub(crate) fn lasting_identity(&self) -> u32 {
        let mut hasher = crate::trace::Hasher::new();
        let ProducerTag {
            id,
            epoch,
            base_sequence,
        } = self.producer;
        for word in [
            id,
            i64::from(epoch),
            i64::from(base_sequence),
            i64::from(self.last_delta),
        ] {
            hasher.word(word as u64);
        }
        hasher.value() as u32
    }

    /// When the tombstones in it may go, in milliseconds, once compaction came upon them (KIP-534).
    pub(crate) fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.first_timestamp)
    }

    /// The batch with its records as they were before they were compressed.
    pub(crate) fn open(&self) -> Opened<'a> {
        let records = match self.attributes & 7 {
            0 => Cow::Borrowed(self.records),
            codec => Cow::Owned(decompress(codec, self.records).unwrap_or_default()),
        };
        Opened {
            records,
            base_offset: self.base_offset,
            first_timestamp: self.first_timestamp,
            stamped: (self.attributes & STAMPED != 0).then_some(self.max_timestamp),
        }
    }
}

/// The broker has given its records the time of their append.
const STAMPED: u16 = 8;
/// The first timestamp is a delete horizon.
const DELETE_HORIZON: u16 = 64;

/// A batch whose records can be read.
#[derive(Clone, Debug)]
pub(crate) struct Opened<'a> {
    records: Cow<'a, [u8]>,
    base_offset: i64,
    first_timestamp: i64,
    stamped: Option<i64>,
}

impl Opened<'_> {
    /// Its records; fewer than the batch's `count` when they cannot be read, which the caller compares.
    pub(crate) fn records(&self) -> Records<'_> {
        Records {
            rest: &self.records,
            base_offset: self.base_offset,
            first_timestamp: self.first_timestamp,
            stamped: self.stamped,
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&bytes[at..at + N]);
    taken
}

/// The records of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    base_offset: i64,
    first_timestamp: i64,
    stamped: Option<i64>,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let length = take_varint(&mut self.rest)?;
        let mut body = take(&mut self.rest, length)?;
        take(&mut body, 1)?;
        let timestamp = self.first_timestamp.wrapping_add(take_varint(&mut body)?);
        let timestamp = self.stamped.unwrap_or(timestamp);
        let offset = self.base_offset.wrapping_add(take_varint(&mut body)?);
        let rest = body;
        let key_length = take_varint(&mut body)?;
        let key = if key_length >= 0 {
            Some(take(&mut body, key_length)?)
        } else {
            None
        };
        let value_length = take_varint(&mut body)?;
        let tombstone = value_length < 0;
        let value = if tombstone {
            first_header(&mut body).unwrap_or_default()
        } else {
            take(&mut body, value_length)?
        };
        Some(Record {
            offset,
            timestamp,
            key,
            value,
            tombstone,
            content: hash_content(rest),
        })
    }
}

/// Key, value and headers as they are laid out, in 64 bits.
fn hash_content(content: &[u8]) -> u64 {
    let mut hasher = crate::trace::Hasher::new();
    hasher.bytes(content);
    hasher.value()
}

/// The value of a record's first header.
fn first_header<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    take_varint(bytes).filter(|&count| count > 0)?;
    let key_length = take_varint(bytes)?;
    take(bytes, key_length)?;
    let length = take_varint(bytes)?;
    take(bytes, length)
}

fn take<'a>(bytes: &mut &'a [u8], length: i64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn take_varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// CRC-32C (Castagnoli, reflected 0x82F63B78), eight bytes a step.
static TABLES: LazyLock<[[u32; 256]; 8]> = LazyLock::new(|| {
    let mut tables = [[0; 256]; 8];
    for (index, entry) in tables[0].iter_mut().enumerate() {
        let mut crc = index as u32;
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82F6_3B78
            } else {
                crc >> 1
            };
        }
        *entry = crc;
    }
    for index in 0..256 {
        for table in 1..8 {
            let before: u32 = tables[table - 1][index];
            tables[table][index] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
        }
    }
    tables
});

/// The CRC-32C of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let tables = &*TABLES;
    let mut crc = !0u32;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let low = u32::from_le_bytes([word[0], word[1], word[2], word[3]]) ^ crc;
        crc = tables[7][(low & 0xFF) as usize]
            ^ tables[6][(low >> 8 & 0xFF) as usize]
            ^ tables[5][(low >> 16 & 0xFF) as usize]
            ^ tables[4][(low >> 24) as usize]
            ^ tables[3][word[4] as usize]
            ^ tables[2][word[5] as usize]
            ^ tables[1][word[6] as usize]
            ^ tables[0][word[7] as usize];
    }
    for &byte in rest {
        crc = (crc >> 8) ^ tables[0][((crc ^ u32::from(byte)) & 0xFF) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use crate::compress::Compression;

    use super::{Batch, Broken, NewRecord, ProducerTag, build, crc32c};

    fn sample() -> Vec<NewRecord> {
        let record = |index: i64| NewRecord {
            timestamp: 1_700_000_000_000 + index * 7 - 3,
            key: (index % 2 == 0).then(|| b"key".to_vec()),
            value: vec![index as u8; 100 + index as usize],
            headers: vec![(b"h".to_vec(), b"v".to_vec()); index as usize % 3],
        };
        (0..5).map(record).collect()
    }

    #[test]
    fn the_crc_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    }

    #[test]
    fn a_batch_reads_back_what_was_built() {
        let records = sample();
        let tag = ProducerTag {
            id: 9,
            epoch: 1,
            base_sequence: 40,
        };
        for compression in [Compression::None, Compression::Lz4, Compression::XerialSnappy] {
            check_read_back(&build(&records, tag, compression), tag, &records);
        }
    }

    fn check_read_back(bytes: &[u8], tag: ProducerTag, records: &[NewRecord]) {
        let batch = Batch::parse(bytes).expect("a whole batch");
        assert_eq!((batch.count, batch.end_offset(), batch.producer), (5, 5, tag));
        let opened = batch.open();
        let read: Vec<_> = opened.records().collect();
        for (index, (record, sent)) in read.iter().zip(records).enumerate() {
            assert_eq!((record.offset, record.timestamp), (index as i64, sent.timestamp));
            assert_eq!(record.value, sent.value);
        }
        assert_eq!(read.len(), 5);
    }

    #[test]
    fn sequence_numbers_wrap() {
        assert_eq!(ProducerTag::later(0, 5), 5);
        assert_eq!(ProducerTag::later(i32::MAX, 1), 0);
        assert_eq!(ProducerTag::later(i32::MAX - 2, 5), 2);
    }

    #[test]
    fn the_broker_reads_what_is_built_here() {
        let bytes = bytes::Bytes::from(build(&sample(), ProducerTag::NONE, Compression::None));
        let batch = klamm_core::record::Batch::parse(&bytes).expect("a batch to the broker too");
        assert_eq!(batch.check_crc(), Ok(()));
        assert_eq!(batch.len(), bytes.len());
    }

    #[test]
    fn every_flipped_bit_behind_the_crc_is_seen() {
        let bytes = build(&sample(), ProducerTag::NONE, Compression::None);
        for bit in 17 * 8..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(Batch::parse(&broken).is_err(), "bit {bit}");
        }
        assert_eq!(
            Batch::parse(&bytes[..bytes.len() - 1]).map(|batch| batch.count),
            Err(Broken::Cut)
        );
    }
}
