//! Produces on several connections at once, each with a window of requests under way.
//!
//! Invariant: only acknowledged records are counted, but for acks=0, where those are counted that were handed to the
//! system.

use super::load::{Frame, Load, Shape};
use super::report::{Latencies, Report, Watch};
use super::{Common, Creation, Goal, assign, ensure_topic, some_size};
use crate::client::{Acks, ClientError, Connection};
use crate::clock::{now, wall_millis};
use crate::command::produce::{AcksArg, Codec};
use crate::failure::{Failure, Outcome};
use crate::units;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use klamm_core::wire::frame;
use klamm_core::wire::message::produce::ProduceResponse;
use klamm_core::wire::versions::ApiKey;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How to produce.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Bytes of a record's value
    #[arg(short, long, default_value = "1KiB", value_parser = some_size)]
    record_size: u64,
    /// Bytes of a batch, about
    #[arg(short = 'B', long, default_value = "16KiB", value_parser = some_size)]
    batch_size: u64,
    /// End after so many bytes of batches
    #[arg(short = 'n', long, default_value = "1GB", value_parser = some_size)]
    total: u64,
    /// End after so long, if the total is not reached before
    #[arg(short, long, value_parser = units::duration)]
    duration: Option<Duration>,
    /// Load that is put on before anything is measured, in bytes
    #[arg(long, default_value = "0", value_parser = units::size)]
    warmup: u64,
    /// Records a second over all connections; by default as many as possible
    #[arg(long)]
    rate: Option<u64>,
    /// Connections
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Requests that each connection has under way at once
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    window: u32,
    /// What the broker waits for before it answers
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// How batches are compressed
    #[arg(short = 'z', long, value_enum, default_value_t = Codec::None)]
    compression: Codec,
    #[command(flatten)]
    creation: Creation,
    #[command(flatten)]
    common: Common,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Bytes that may still be sent.
    left: AtomicU64,
    /// Bytes that arrived.
    pub(super) done: AtomicU64,
}

/// Runs `klamm bench produce`.
pub(crate) async fn run(args: Arguments) -> Outcome {
    let shape = Shape {
        record: usize::try_from(args.record_size).unwrap_or(usize::MAX),
        batch: usize::try_from(args.batch_size).unwrap_or(usize::MAX),
        compression: args.compression.into(),
    };
    let load = Load::new(shape, wall_millis())?;
    let mut cluster = args.common.bootstrap.cluster();
    ensure_topic(&mut cluster, &args.common.topic, &args.creation).await?;
    let leaders = cluster.leaders(&args.common.topic, true).await?;
    let acks = Acks::from(args.acks);
    let mut senders = Vec::new();
    let shares = assign(&leaders, args.connections as usize);
    let pace = args.rate.map(|rate| pace(rate, load.records, shares.len()));
    for (broker, partitions) in shares {
        let connection = cluster.open(broker).await?;
        let version = connection.version(ApiKey::Produce)?;
        let frame = |partition: i32| {
            let (topic, client) = (&args.common.topic, connection.client_id());
            Frame::new(topic, partition, acks.code(), &load.batch, version, client)
        };
        let frames = partitions.into_iter().map(frame).collect::<Result<Vec<_>, _>>()?;
        let window = args.window as usize;
        senders.push(Sender {
            connection,
            version,
            frames,
            next: 0,
            correlation: 0,
            window,
            acks,
            pace,
        });
    }
    let endless = Duration::from_secs(u64::from(u32::MAX));
    if args.warmup > 0 {
        let goal = Goal {
            bytes: args.warmup,
            time: endless,
        };
        let warm = phase(senders, &load, goal, None).await?;
        if let Some(failure) = warm.failure {
            return Err(failure);
        }
        senders = warm.senders;
    }
    let goal = Goal {
        bytes: args.total,
        time: args.duration.unwrap_or(endless),
    };
    let watch = Watch::start(args.common.broker_pid)?;
    let started = now();
    let progress = (!args.common.json).then(|| progress(args.total));
    let Phase { sent, failure, .. } = phase(senders, &load, goal, progress).await?;
    let report = Report {
        name: "produce",
        records: sent.requests * load.records,
        bytes: sent.requests * load.batch.len() as u64,
        time: now() - started,
        latencies: if acks == Acks::None {
            Vec::new()
        } else {
            vec![("ack", sent.latencies)]
        },
        watch,
        failure,
    };
    report.print(args.common.json)
}

/// The time from one request of a connection to its next.
fn pace(rate: u64, records: u64, connections: usize) -> Duration {
    let nanos = u128::from(records) * connections as u128 * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A bar on standard error, shown only to people.
pub(super) fn progress(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {elapsed}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

/// Shows how far it is until it is dropped.
pub(super) async fn watch_progress(bar: Option<ProgressBar>, done: impl Fn() -> u64) {
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        if let Some(bar) = &bar {
            bar.set_position(done());
        }
    }
}

/// What was sent and acknowledged.
#[derive(Debug)]
struct Sent {
    requests: u64,
    latencies: Latencies,
}

/// What came of a phase.
#[derive(Debug)]
struct Phase {
    senders: Vec<Sender>,
    sent: Sent,
    /// Why it ended before the goal was reached.
    failure: Option<Failure>,
}

impl Sent {
    fn nothing() -> Result<Self, Failure> {
        let (requests, latencies) = (0, Latencies::new()?);
        Ok(Self { requests, latencies })
    }
}

/// Lets all senders run until the goal is reached or one of them fails, and gives them back.
async fn phase(senders: Vec<Sender>, load: &Load, goal: Goal, bar: Option<ProgressBar>) -> Result<Phase, Failure> {
    let shared = Arc::new(Shared {
        left: AtomicU64::new(goal.bytes),
        done: AtomicU64::new(0),
    });
    let deadline = now().checked_add(goal.time);
    let size = load.batch.len() as u64;
    let watched = shared.clone();
    let shown = tokio::spawn(watch_progress(bar.clone(), move || {
        watched.done.load(Ordering::Relaxed)
    }));
    let mut tasks = Vec::new();
    for sender in senders {
        tasks.push(tokio::spawn(sender.run(
            shared.clone(),
            size,
            deadline,
            Sent::nothing()?,
        )));
    }
    let mut all = Phase {
        senders: Vec::new(),
        sent: Sent::nothing()?,
        failure: None,
    };
    for task in tasks {
        let (sender, sent, outcome) = task.await.map_err(|error| Failure::new(error.to_string()))?;
        all.senders.push(sender);
        all.sent.requests += sent.requests;
        all.sent.latencies.merge(&sent.latencies);
        all.failure = all.failure.or(outcome.err());
    }
    shown.abort();
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(all)
}

/// One connection that produces.
#[derive(Debug)]
struct Sender {
    connection: Connection,
    version: i16,
    frames: Vec<Frame>,
    next: usize,
    correlation: i32,
    window: usize,
    acks: Acks,
    pace: Option<Duration>,
}

impl Sender {
    /// Produces until the goal is reached. After a failure the other senders finish what they have under way, and end.
    async fn run(
        mut self,
        shared: Arc<Shared>,
        size: u64,
        deadline: Option<Instant>,
        mut sent: Sent,
    ) -> (Self, Sent, Outcome) {
        let outcome = self.produce(&shared, size, deadline, &mut sent).await;
        if outcome.is_err() {
            shared.left.store(0, Ordering::Relaxed);
        }
        (self, sent, outcome)
    }

    async fn produce(&mut self, shared: &Shared, size: u64, deadline: Option<Instant>, sent: &mut Sent) -> Outcome {
        let mut under_way: VecDeque<(i32, Instant)> = VecDeque::with_capacity(self.window);
        let mut due = now();
        let mut ended = false;
        loop {
            while !ended && under_way.len() < self.window {
                let time = now();
                if self.pace.is_some() && due > time {
                    break;
                }
                if deadline.is_some_and(|deadline| time >= deadline) || !claim(&shared.left, size) {
                    ended = true;
                    break;
                }
                // With a rate, what is late counts from when it was due: a broker that stalls delays those behind, too.
                let counted_from = self.pace.map_or(time, |_| due);
                due += self.pace.unwrap_or_default();
                let correlation = self.send().await?;
                if self.acks == Acks::None {
                    sent.requests += 1;
                    shared.done.fetch_add(size, Ordering::Relaxed);
                } else {
                    under_way.push_back((correlation, counted_from));
                }
            }
            if ended && under_way.is_empty() {
                return Ok(());
            }
            self.wait(due, under_way.len(), ended).await?;
            while let Some(answer) = self.connection.received()? {
                let (correlation, counted_from) = under_way
                    .pop_front()
                    .ok_or_else(|| Failure::new("an answer came that nobody waits for"))?;
                check(&answer, correlation, self.version)?;
                sent.latencies.record(now() - counted_from);
                sent.requests += 1;
                shared.done.fetch_add(size, Ordering::Relaxed);
            }
        }
    }

    /// Waits for an answer, or until the next request is due.
    async fn wait(&mut self, due: Instant, under_way: usize, ended: bool) -> Result<(), ClientError> {
        let pacing = self.pace.is_some() && !ended && under_way < self.window;
        match (pacing, under_way) {
            (true, 0) => {
                tokio::time::sleep_until(due.into()).await;
                Ok(())
            }
            (true, _) => {
                tokio::select! {
                    filled = self.connection.fill() => filled,
                    () = tokio::time::sleep_until(due.into()) => Ok(()),
                }
            }
            // With acks=0 nothing is under way and nothing will come.
            (false, 0) => {
                tokio::task::yield_now().await;
                Ok(())
            }
            (false, _) => self.connection.fill().await,
        }
    }

    async fn send(&mut self) -> Result<i32, ClientError> {
        self.correlation = self.correlation.wrapping_add(1);
        let place = self.next;
        self.next = (self.next + 1) % self.frames.len().max(1);
        if let Some(frame) = self.frames.get_mut(place) {
            let parts: Vec<&[u8]> = frame.parts(self.correlation).collect();
            self.connection.send_parts(&parts).await?;
        }
        Ok(self.correlation)
    }
}

/// Takes what a request needs from what is left.
fn claim(left: &AtomicU64, size: u64) -> bool {
    let take = |left: u64| (left > 0).then(|| left.saturating_sub(size));
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
}

/// An error unless the broker appended.
fn check(answer: &bytes::Bytes, correlation: i32, version: i16) -> Result<(), Failure> {
    let (id, response) =
        frame::decode_response::<ProduceResponse>(answer, version).map_err(|error| Failure::new(error.to_string()))?;
    if id != correlation {
        return Err(Failure::new(format!(
            "the broker answered request {id} where {correlation} was next"
        )));
    }
    for partition in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
        if partition.error_code != 0 {
            let what = format!("producing to partition {}", partition.index);
            let message = partition.error_message.as_ref().map(klamm_core::wire::Text::as_str);
            return Err(ClientError::refused(what, partition.error_code, message).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shared_by_the_connections() {
        assert_eq!(pace(1000, 10, 1), Duration::from_millis(10));
        assert_eq!(pace(1000, 10, 4), Duration::from_millis(40));
    }

    #[test]
    fn the_goal_is_reached_and_not_passed_by_more_than_a_request() {
        let left = AtomicU64::new(25);
        assert_eq!((0..5).filter(|_| claim(&left, 10)).count(), 3);
        assert_eq!(left.into_inner(), 0);
    }
}
