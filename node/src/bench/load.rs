//! Requests that are encoded once and sent many times.
//!
//! Invariant: all that differs between two sendings of a frame is its correlation id.

use crate::client::text;
use crate::failure::Failure;
use bytes::{Bytes, BytesMut};
use klamm_core::record::{BatchBuilder, Compression, Level, Producer};
use klamm_core::types::{Part, Seed, Timestamp};
use klamm_core::wire::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use klamm_core::wire::{Text, frame};

/// Where the correlation id stands: behind length, API and version.
const CORRELATION: std::ops::Range<usize> = 8..12;

/// A batch that is sent again and again.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The batch.
    pub(crate) batch: Bytes,
    /// How many records it holds.
    pub(crate) records: u64,
}

/// What a batch is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Bytes of a record's value.
    pub(crate) record: usize,
    /// Bytes of a batch before compression, about.
    pub(crate) batch: usize,
    /// How it is compressed.
    pub(crate) compression: Compression,
}

impl Load {
    /// A batch of records with random values, at least one. Half of each value repeats where batches are compressed, so
    /// that there is something to compress.
    pub(crate) fn new(shape: Shape, now: i64) -> Result<Self, Failure> {
        let mut seed = Seed::new(0x4B6C_616D_6D21);
        let mut builder = BatchBuilder::new(shape.compression, Level::Default, Producer::Plain);
        let mut value = vec![b'k'; shape.record];
        let random = if shape.compression == Compression::None {
            value.len()
        } else {
            value.len() / 2
        };
        loop {
            for chunk in value[..random].chunks_mut(16) {
                chunk.copy_from_slice(&seed.bytes16()[..chunk.len()]);
            }
            builder.append(Timestamp(now), None, Some(&value), &[]);
            let each = builder.uncompressed_len() / builder.count();
            if builder.uncompressed_len() + each > shape.batch {
                break;
            }
        }
        let records = builder.count() as u64;
        let batch = builder
            .build()
            .map_err(|error| Failure::new(format!("no batch: {error}")))?;
        Ok(Self {
            batch: batch.to_bytes(),
            records,
        })
    }
}

/// A produce request for one partition.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    head: BytesMut,
    rest: Vec<Bytes>,
}

impl Frame {
    /// Encodes a request that appends `batch` to a partition.
    pub(crate) fn new(
        topic: &str,
        partition: i32,
        acks: i16,
        batch: &Bytes,
        version: i16,
        client: &Text,
    ) -> Result<Self, Failure> {
        let data = PartitionProduceData {
            index: partition,
            records: Some(batch.clone()),
        };
        let topic = TopicProduceData {
            name: text(topic),
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks,
            timeout_ms: 30_000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        let parts = frame::encode_request(0, Some(client), &request, version)
            .map_err(|error| Failure::new(error.to_string()))?;
        let mut parts = parts.into_iter().filter_map(|part| match part {
            Part::Inline(bytes) => Some(bytes),
            Part::Range(..) => None,
        });
        let head = parts.next().unwrap_or_default();
        Ok(Self {
            head: BytesMut::from(head.as_ref()),
            rest: parts.collect(),
        })
    }

    /// The frame's parts under a correlation id.
    pub(crate) fn parts(&mut self, correlation: i32) -> impl Iterator<Item = &[u8]> {
        if let Some(id) = self.head.get_mut(CORRELATION) {
            id.copy_from_slice(&correlation.to_be_bytes());
        }
        std::iter::once(self.head.as_ref()).chain(self.rest.iter().map(Bytes::as_ref))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm_core::record::Batch;
    use klamm_core::wire::Message;

    fn shape(record: usize, batch: usize, compression: Compression) -> Shape {
        Shape {
            record,
            batch,
            compression,
        }
    }

    #[test]
    fn a_load_fills_its_batch_and_no_more() {
        for compression in Compression::ALL {
            let load = Load::new(shape(1024, 16 << 10, compression), 5).unwrap();
            let batch = Batch::parse(&load.batch).unwrap();
            batch.check_crc().unwrap();
            assert_eq!(load.records, 15);
            assert_eq!(batch.open(1 << 20).unwrap().records().flatten().count(), 15);
            assert!(load.batch.len() <= 16 << 10);
        }
        assert_eq!(Load::new(shape(1024, 10, Compression::None), 5).unwrap().records, 1);
    }

    #[test]
    fn a_frame_is_the_request_under_each_correlation_id() {
        let load = Load::new(shape(100, 5000, Compression::None), 5).unwrap();
        let client = Text::from("bench");
        let mut frame = Frame::new("t", 3, -1, &load.batch, 9, &client).unwrap();
        for correlation in [7, -1] {
            let bytes: Vec<u8> = frame.parts(correlation).flatten().copied().collect();
            assert_eq!(
                i32::from_be_bytes(*bytes.first_chunk().unwrap()) as usize,
                bytes.len() - 4
            );
            let (header, mut reader) = frame::decode_request_header(&Bytes::from(bytes).slice(4..)).unwrap();
            assert_eq!(header.correlation_id, correlation);
            let request = ProduceRequest::decode(&mut reader, 9).unwrap();
            let data = &request.topic_data[0].partition_data[0];
            assert_eq!((data.index, data.records.as_ref()), (3, Some(&load.batch)));
        }
    }
}
