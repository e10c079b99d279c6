//! Reads batches from one broker.
//!
//! Invariant: a partition's next offset follows from the batches that were received, so nothing is read twice and
//! nothing is left out.

use super::cluster::text;
use super::{ClientError, Connection};
use bytes::Bytes;
use klamm_core::record::{Batch, BatchError, split};
use klamm_core::wire::frame;
use klamm_core::wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData};
use klamm_core::wire::versions::ApiKey;

/// The most that an opened batch may have, in bytes.
pub const MAX_BATCH_BYTES: usize = 256 << 20;

/// What a partition brought.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The partition.
    pub partition: i32,
    /// The offset that was asked for; earlier records of the first batch are not wanted.
    pub from: i64,
    /// The whole batches that came, in order.
    pub batches: Vec<Batch>,
    /// Up to where consumers may read.
    pub high_watermark: i64,
}

/// Reads partitions of one topic that one broker leads.
#[derive(Debug)]
pub struct Fetcher {
    connection: Connection,
    topic: String,
    positions: Vec<(i32, i64)>,
    request: FetchRequest,
    asked: Option<i32>,
}

impl Fetcher {
    /// Reads `positions`, partitions and the offsets to begin at, with at most `max_bytes` a response, which comes after
    /// `max_wait_ms` even if there is nothing new.
    pub fn new(
        connection: Connection,
        topic: &str,
        positions: Vec<(i32, i64)>,
        max_bytes: i32,
        max_wait_ms: i32,
    ) -> Self {
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms,
            min_bytes: 1,
            max_bytes,
            session_epoch: -1,
            ..FetchRequest::default()
        };
        Self {
            connection,
            topic: topic.to_owned(),
            positions,
            request,
            asked: None,
        }
    }

    /// The partitions and where each is read on.
    pub fn positions(&self) -> &[(i32, i64)] {
        &self.positions
    }

    /// Stops reading a partition.
    pub fn forget(&mut self, partition: i32) {
        self.positions.retain(|(known, _)| *known != partition);
    }

    /// Sends the next request, unless one is under way.
    pub async fn ask(&mut self) -> Result<(), ClientError> {
        if self.asked.is_some() {
            return Ok(());
        }
        let partition_max_bytes = self.request.max_bytes;
        let partition = |&(partition, fetch_offset): &(i32, i64)| FetchPartition {
            partition,
            fetch_offset,
            partition_max_bytes,
            ..FetchPartition::default()
        };
        let topic = FetchTopic {
            topic: text(&self.topic),
            partitions: self.positions.iter().map(partition).collect(),
            ..FetchTopic::default()
        };
        self.request.topics = vec![topic];
        let version = self.connection.version(ApiKey::Fetch)?;
        self.asked = Some(self.connection.send(&self.request, version).await?);
        // The partition that is asked first may fill the whole response: another is first the next time.
        if !self.positions.is_empty() {
            self.positions.rotate_left(1);
        }
        Ok(())
    }

    /// Waits for the answer and moves on behind what it brought. Partitions that brought nothing are there too, with
    /// their high watermark.
    pub async fn fetch(&mut self) -> Result<Vec<Fetched>, ClientError> {
        self.ask().await?;
        let version = self.connection.version(ApiKey::Fetch)?;
        let answer = self.connection.receive().await?;
        let (id, response) = frame::decode_response::<FetchResponse>(&answer, version)?;
        if self.asked.take() != Some(id) {
            return Err(ClientError::Unexpected(
                "the broker answered another request".to_owned(),
            ));
        }
        if response.error_code != 0 {
            return Err(ClientError::refused("fetching", response.error_code, None));
        }
        let mut fetched = Vec::new();
        for partition in response.responses.into_iter().flat_map(|topic| topic.partitions) {
            fetched.push(self.take(&partition)?);
        }
        Ok(fetched)
    }

    fn take(&mut self, data: &PartitionData) -> Result<Fetched, ClientError> {
        let partition = data.partition_index;
        let what = || format!("fetching {}-{partition}", self.topic);
        if data.error_code != 0 {
            return Err(ClientError::refused(what(), data.error_code, None));
        }
        let Some((_, position)) = self.positions.iter_mut().find(|(known, _)| *known == partition) else {
            return Err(ClientError::Unexpected(format!("{}: nobody asked for it", what())));
        };
        let from = *position;
        let batches = whole_batches(&data.records.bytes().unwrap_or_default())
            .map_err(|error| ClientError::Unexpected(format!("{} at offset {from}: {error}", what())))?;
        if let Some(last) = batches.last() {
            *position = last.header().next_offset().0.max(from);
        }
        Ok(Fetched {
            partition,
            from,
            batches,
            high_watermark: data.high_watermark,
        })
    }
}

/// The whole batches; what is left at the end is the beginning of one that did not fit, unless it is the first.
fn whole_batches(records: &Bytes) -> Result<Vec<Batch>, BatchError> {
    let mut batches = Vec::new();
    for batch in split(records) {
        match batch {
            Ok(batch) => batches.push(batch),
            Err(BatchError::Truncated { .. }) if !batches.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
}
