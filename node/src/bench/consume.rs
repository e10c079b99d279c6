//! Reads partitions from their beginning to their end, on several connections at once.
//!
//! Invariant: every record is read and checked: CRC, the declared count, and that offsets follow one another. The next
//! request is on its way while the last answer is checked.

use super::produce::{progress, watch_progress};
use super::report::{Report, Watch};
use super::{Common, assign, some_size};
use crate::client::{Cluster, Fetched, Fetcher, MAX_BATCH_BYTES, PartitionLeader};
use crate::clock::now;
use crate::failure::{Failure, Outcome};
use crate::units;
use clap::Args;
use klamm_core::record::Batch;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Kafka's special times for `ListOffsets`.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
/// How long a broker waits for news, in milliseconds.
const WAIT_MS: i32 = 500;

/// How to consume.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// End after so many bytes of batches; by default at the end, as it is at the start of the command
    #[arg(short = 'n', long, value_parser = some_size)]
    total: Option<u64>,
    /// End after so long
    #[arg(short, long, value_parser = units::duration)]
    duration: Option<Duration>,
    /// Connections
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// The most that a response may bring, in bytes
    #[arg(short, long, default_value = "1MiB", value_parser = some_size)]
    fetch_size: u64,
    #[command(flatten)]
    common: Common,
}

/// What all connections share.
#[derive(Default, Debug)]
struct Shared {
    bytes: AtomicU64,
    records: AtomicU64,
    /// One of them failed: the others end.
    failed: AtomicBool,
}

/// Runs `klamm bench consume`.
pub(crate) async fn run(args: Arguments) -> Outcome {
    let topic = &args.common.topic;
    let mut cluster = args.common.bootstrap.cluster();
    let leaders = cluster.leaders(topic, false).await?;
    let max_bytes = i32::try_from(args.fetch_size).unwrap_or(i32::MAX);
    let mut readers = Vec::new();
    // A partition has one reader: whatever is read twice would be counted twice.
    for (broker, partitions) in assign(&leaders, (args.connections as usize).min(leaders.len())) {
        let spans = spans(&mut cluster, topic, broker, &partitions).await?;
        let positions = spans.iter().map(|(&partition, &(from, _))| (partition, from)).collect();
        let connection = cluster.open(broker).await?;
        let fetcher = Fetcher::new(connection, topic, positions, max_bytes, WAIT_MS);
        let ends = spans.iter().map(|(&partition, &(_, end))| (partition, end)).collect();
        readers.push(Reader { fetcher, ends });
    }
    let shared = Arc::new(Shared::default());
    let limit = args.total.unwrap_or(u64::MAX);
    let watch = Watch::start(args.common.broker_pid)?;
    let started = now();
    let deadline = args.duration.and_then(|time| started.checked_add(time));
    let bar = (!args.common.json).then(|| progress(args.total.unwrap_or(0)));
    let watched = shared.clone();
    let shown = tokio::spawn(watch_progress(bar.clone(), move || {
        watched.bytes.load(Ordering::Relaxed)
    }));
    let tasks: Vec<_> = readers
        .into_iter()
        .map(|reader| tokio::spawn(reader.run(shared.clone(), limit, deadline)))
        .collect();
    let mut failure = None;
    for task in tasks {
        let outcome = task.await.map_err(|error| Failure::new(error.to_string()))?;
        failure = failure.or(outcome.err());
    }
    let time = now() - started;
    shown.abort();
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let report = Report {
        name: "consume",
        records: shared.records.load(Ordering::Relaxed),
        bytes: shared.bytes.load(Ordering::Relaxed),
        time,
        latencies: Vec::new(),
        watch,
        failure,
    };
    report.print(args.common.json)
}

/// From where to where partitions are read; without those that hold nothing.
async fn spans(
    cluster: &mut Cluster,
    topic: &str,
    broker: i32,
    partitions: &[i32],
) -> Result<BTreeMap<i32, (i64, i64)>, Failure> {
    let mut spans = BTreeMap::new();
    let led = |&partition: &i32| PartitionLeader {
        partition,
        leader: broker,
    };
    let led: Vec<PartitionLeader> = partitions.iter().map(led).collect();
    let firsts = cluster.offsets_at(topic, &led, EARLIEST).await?;
    let ends = cluster.offsets_at(topic, &led, LATEST).await?;
    for (partition, first) in firsts {
        let first = first.unwrap_or(0);
        let end = ends.get(&partition).copied().flatten().unwrap_or(first);
        if first < end {
            spans.insert(partition, (first, end));
        }
    }
    Ok(spans)
}

/// One connection that consumes.
#[derive(Debug)]
struct Reader {
    fetcher: Fetcher,
    /// Where reading ends, for partitions that have not been read to there.
    ends: BTreeMap<i32, i64>,
}

impl Reader {
    async fn run(mut self, shared: Arc<Shared>, limit: u64, deadline: Option<Instant>) -> Outcome {
        let outcome = self.consume(&shared, limit, deadline).await;
        if outcome.is_err() {
            shared.failed.store(true, Ordering::Relaxed);
        }
        outcome
    }

    async fn consume(&mut self, shared: &Shared, limit: u64, deadline: Option<Instant>) -> Outcome {
        while !self.ends.is_empty() && deadline.is_none_or(|deadline| now() < deadline) {
            let news = self.fetcher.fetch().await?;
            for fetched in &news {
                let reached = fetched
                    .batches
                    .last()
                    .map_or(fetched.from, |batch| batch.header().next_offset().0);
                if self.ends.get(&fetched.partition).is_some_and(|&end| reached >= end) {
                    self.ends.remove(&fetched.partition);
                    self.fetcher.forget(fetched.partition);
                }
            }
            if !self.ends.is_empty() {
                self.fetcher.ask().await?;
            }
            for fetched in &news {
                let (records, bytes) = check(fetched)?;
                shared.records.fetch_add(records, Ordering::Relaxed);
                shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            let failed = shared.failed.load(Ordering::Relaxed);
            if failed || shared.bytes.load(Ordering::Relaxed) >= limit {
                break;
            }
        }
        Ok(())
    }
}

/// Reads every record; how many there are, and the bytes of their batches.
fn check(fetched: &Fetched) -> Result<(u64, u64), Failure> {
    let at = |batch: &Batch, text: &str| {
        let offset = batch.header().base_offset.0;
        Failure::new(format!(
            "partition {}, batch at offset {offset}: {text}",
            fetched.partition
        ))
    };
    let (mut records, mut bytes) = (0, 0);
    let mut expected = None;
    for batch in &fetched.batches {
        let header = batch.header();
        let base = header.base_offset.0;
        // The first batch may begin before the offset asked for; from there on each begins where the last ended.
        if expected.unwrap_or(base.max(fetched.from)) != base.max(fetched.from) {
            return Err(at(batch, "it does not follow the batch before it"));
        }
        if expected.is_none() && base > fetched.from {
            return Err(at(
                batch,
                &format!("records from offset {} on are missing", fetched.from),
            ));
        }
        expected = Some(header.next_offset().0);
        batch.check_crc().map_err(|error| at(batch, &error.to_string()))?;
        let opened = batch
            .open(MAX_BATCH_BYTES)
            .map_err(|error| at(batch, &error.to_string()))?;
        for record in opened.records() {
            record.map_err(|error| at(batch, &error.to_string()))?;
            records += 1;
        }
        bytes += batch.len() as u64;
    }
    Ok((records, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm_core::record::{BatchBuilder, Compression, Level, Producer};
    use klamm_core::types::{LeaderEpoch, Offset, Timestamp};

    fn batch(base: i64) -> Batch {
        let mut builder = BatchBuilder::new(Compression::None, Level::Default, Producer::Plain);
        builder
            .append(Timestamp(1), None, Some(b"a"), &[])
            .append(Timestamp(1), None, Some(b"b"), &[]);
        let mut batch = builder.build().unwrap();
        batch.stamp(Offset(base), LeaderEpoch(0));
        batch
    }

    fn fetched(from: i64, bases: &[i64]) -> Fetched {
        Fetched {
            partition: 0,
            from,
            batches: bases.iter().map(|&base| batch(base)).collect(),
            high_watermark: 99,
        }
    }

    #[test]
    fn records_that_follow_one_another_are_counted() {
        assert_eq!(check(&fetched(4, &[4, 6, 8])).unwrap().0, 6);
        assert_eq!(check(&fetched(5, &[4, 6])).unwrap().0, 4);
        assert_eq!(check(&fetched(5, &[])).unwrap(), (0, 0));
    }

    #[test]
    fn skipped_repeated_and_damaged_records_are_found() {
        assert!(check(&fetched(4, &[6])).unwrap_err().to_string().contains("missing"));
        assert!(
            check(&fetched(4, &[4, 8]))
                .unwrap_err()
                .to_string()
                .contains("does not follow")
        );
        assert!(
            check(&fetched(4, &[4, 4]))
                .unwrap_err()
                .to_string()
                .contains("does not follow")
        );
        let mut damaged = batch(0).to_bytes().to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        let damaged = Batch::parse(&damaged.into()).unwrap();
        let fetched = Fetched {
            partition: 0,
            from: 0,
            batches: vec![damaged],
            high_watermark: 2,
        };
        assert!(check(&fetched).is_err());
    }
}
