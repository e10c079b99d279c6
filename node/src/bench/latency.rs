//! Single records at a steady rate: how long until the producer knows, and how long until a consumer has each.
//!
//! Blocking sockets on threads of their own, because a runtime's timers are as coarse as what is measured here. A record
//! is known by its offset, so nothing else may write to the topic meanwhile.
//!
//! Invariant: a record counts from when it was due if it was sent more than [`SLACK`] late, so that a broker that stalls
//! pays for every record it kept from being sent.

use super::load::{Frame, Load, Shape};
use super::report::{Latencies, Report, Watch};
use super::{Common, Creation, ensure_topic, some_size};
use crate::client::{Acks, PartitionLeader, text};
use crate::clock::{now, wall_millis};
use crate::command::produce::AcksArg;
use crate::failure::{Failure, Outcome};
use crate::units;
use bytes::Bytes;
use clap::Args;
use klamm_core::config::HostPort;
use klamm_core::record::{Compression, split};
use klamm_core::wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use klamm_core::wire::message::produce::ProduceResponse;
use klamm_core::wire::versions::ApiKey;
use klamm_core::wire::{Text, frame};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How late a record may be sent before it counts from when it was due: about what a sleeping thread oversleeps.
const SLACK: Duration = Duration::from_millis(1);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// Kafka's special time for `ListOffsets`.
const LATEST: i64 = -1;

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Records a second
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// How long
    #[arg(short, long, default_value = "10s", value_parser = units::duration)]
    duration: Duration,
    /// Load before anything is measured
    #[arg(long, default_value = "1s", value_parser = units::duration)]
    warmup: Duration,
    /// Bytes of a record's value
    #[arg(short, long, default_value = "100", value_parser = some_size)]
    record_size: u64,
    /// What the broker waits for before it answers
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    #[command(flatten)]
    creation: Creation,
    #[command(flatten)]
    common: Common,
}

/// Where the records go, and how they are counted.
#[derive(Clone, Debug)]
struct Target {
    address: HostPort,
    topic: String,
    partition: i32,
    produce_version: i16,
    fetch_version: i16,
    first_offset: i64,
    records: usize,
    warmup: usize,
}

/// When each record was sent, in nanoseconds since the start; 0 for one that was not.
type Times = Arc<Vec<AtomicU64>>;

/// Runs `klamm bench latency`.
pub(crate) fn run(args: &Arguments) -> Outcome {
    let acks = Acks::from(args.acks);
    if acks == Acks::None {
        return Err(Failure::new(
            "with --acks 0 nothing is acknowledged that could be timed",
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let target = runtime.block_on(target(args))?;
    drop(runtime);
    let shape = Shape {
        record: usize::try_from(args.record_size).unwrap_or(usize::MAX),
        batch: 1,
        compression: Compression::None,
    };
    let load = Load::new(shape, wall_millis())?;
    let client = Text::from("klamm");
    let frame = Frame::new(
        &target.topic,
        target.partition,
        acks.code(),
        &load.batch,
        target.produce_version,
        &client,
    )?;

    let times: Times = Arc::new((0..target.records).map(|_| AtomicU64::new(0)).collect());
    let (producing, consuming) = {
        let patience = args.common.bootstrap.timeout;
        (connect(&target.address, patience)?, connect(&target.address, patience)?)
    };
    let end = Arc::new(End {
        sockets: [producing.try_clone()?, consuming.try_clone()?],
        failure: Mutex::new(None),
    });
    let answers = producing.try_clone()?;
    let watch = Watch::start(args.common.broker_pid)?;
    let started = now();
    let acked = spawn(&end, {
        let (target, times) = (target.clone(), times.clone());
        move |measured| acknowledge(answers, &target, &times, started, measured)
    })?;
    let consumed = spawn(&end, {
        let (target, times) = (target.clone(), times.clone());
        move |measured| consume(consuming, &target, &times, started, measured)
    })?;
    end.note(send(producing, frame, args.rate, &times, started));
    let (acked, consumed) = (join(acked)?, join(consumed)?);
    let report = Report {
        name: "latency",
        records: acked.records,
        bytes: acked.records * load.batch.len() as u64,
        time: now() - started,
        latencies: vec![("ack", acked.latencies), ("end_to_end", consumed.latencies)],
        watch,
        failure: end.failure(),
    };
    report.print(args.common.json)
}

/// How the three threads end together.
#[derive(Debug)]
struct End {
    sockets: [TcpStream; 2],
    failure: Mutex<Option<Failure>>,
}

impl End {
    /// The first failure ends all: whoever waits for an answer learns that none will come.
    fn note(&self, outcome: Outcome) {
        let Err(failure) = outcome else { return };
        self.failed().get_or_insert(failure);
        for socket in &self.sockets {
            // The broker may have closed it before.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn failure(&self) -> Option<Failure> {
        self.failed().take()
    }

    fn failed(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a thread has timed so far.
#[derive(Debug)]
struct Timed {
    /// Records, the load before anything is measured included.
    records: u64,
    latencies: Latencies,
}

impl Timed {
    fn add(&mut self, time: Duration, warmup: usize) {
        if self.records >= warmup as u64 {
            self.latencies.record(time);
        }
        self.records += 1;
    }
}

async fn target(args: &Arguments) -> Result<Target, Failure> {
    let topic = args.common.topic.clone();
    let mut cluster = args.common.bootstrap.cluster();
    ensure_topic(&mut cluster, &topic, &args.creation).await?;
    let leaders = cluster.leaders(&topic, true).await?;
    let &at: &PartitionLeader = leaders
        .first()
        .ok_or_else(|| Failure::new("the topic has no partition"))?;
    let first_offset = cluster.offset_at(&topic, at, LATEST).await?.unwrap_or(0);
    let connection = cluster.broker(at.leader).await?;
    let count = |time: Duration| {
        usize::try_from(time.as_micros().saturating_mul(args.rate.into()) / 1_000_000).unwrap_or(usize::MAX)
    };
    let warmup = count(args.warmup).min(100_000_000);
    Ok(Target {
        address: connection.address().clone(),
        topic,
        partition: at.partition,
        produce_version: connection.version(ApiKey::Produce)?,
        fetch_version: connection.version(ApiKey::Fetch)?,
        first_offset,
        records: warmup + count(args.duration).clamp(1, 100_000_000),
        warmup,
    })
}

/// A connection whose broker may be silent for so long.
fn connect(address: &HostPort, patience: Duration) -> Result<TcpStream, Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot connect to {address}: {error}"));
    let found = (address.host.as_str(), address.port)
        .to_socket_addrs()
        .map_err(failed)?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let stream = found
        .into_iter()
        .find_map(|found| {
            TcpStream::connect_timeout(&found, patience)
                .map_err(|error| last = error)
                .ok()
        })
        .ok_or(last)
        .map_err(failed)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

fn spawn(
    end: &Arc<End>,
    time: impl FnOnce(&mut Timed) -> Outcome + Send + 'static,
) -> Result<JoinHandle<Timed>, Failure> {
    let mut measured = Timed {
        records: 0,
        latencies: Latencies::new()?,
    };
    let end = Arc::clone(end);
    Ok(std::thread::spawn(move || {
        end.note(time(&mut measured));
        measured
    }))
}

fn join(running: JoinHandle<Timed>) -> Result<Timed, Failure> {
    let panicked = |_| Failure::new("a thread of the benchmark panicked");
    running.join().map_err(panicked)
}

/// Sends one record after the other, each when it is due.
fn send(mut stream: TcpStream, mut frame: Frame, rate: u64, times: &Times, started: Instant) -> Outcome {
    for (i, time) in times.iter().enumerate() {
        let due = started + Duration::from_nanos((i as u64).saturating_mul(1_000_000_000) / rate);
        let wait = due.saturating_duration_since(now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        let sent = now();
        let counted_from = if sent - due > SLACK { due } else { sent };
        time.store(nanos(counted_from - started), Ordering::Release);
        let bytes: Vec<u8> = frame
            .parts(i32::try_from(i).unwrap_or(i32::MAX))
            .flatten()
            .copied()
            .collect();
        stream.write_all(&bytes).map_err(|error| lost(&error))?;
    }
    Ok(())
}

/// Nanoseconds, at least one: 0 stands for 'not sent'.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// The time from when a record was sent until this moment.
fn since(times: &Times, index: usize, started: Instant) -> Result<Duration, Failure> {
    let sent = times.get(index).map_or(0, |time| time.load(Ordering::Acquire));
    if sent == 0 {
        return Err(Failure::new(
            "a record came that was not sent: does anybody else write to the topic?",
        ));
    }
    Ok((now() - started).saturating_sub(Duration::from_nanos(sent)))
}

/// Times the acknowledgements.
fn acknowledge(
    mut stream: TcpStream,
    target: &Target,
    times: &Times,
    started: Instant,
    measured: &mut Timed,
) -> Outcome {
    for index in 0..target.records {
        let answer = read_answer(&mut stream)?;
        let time = since(times, index, started)?;
        let (_, response) = frame::decode_response::<ProduceResponse>(&answer, target.produce_version)
            .map_err(|error| Failure::new(error.to_string()))?;
        for partition in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
            if partition.error_code != 0 {
                let error = crate::client::ClientError::refused("producing", partition.error_code, None);
                return Err(error.into());
            }
        }
        measured.add(time, target.warmup);
    }
    Ok(())
}

/// Times the arrival of each record at a consumer that always waits for the next.
fn consume(mut stream: TcpStream, target: &Target, times: &Times, started: Instant, measured: &mut Timed) -> Outcome {
    let mut index = 0;
    while index < target.records {
        let request = fetch_request(target, index)?;
        stream.write_all(&request).map_err(|error| lost(&error))?;
        let answer = read_answer(&mut stream)?;
        let (_, response) = frame::decode_response::<FetchResponse>(&answer, target.fetch_version)
            .map_err(|error| Failure::new(error.to_string()))?;
        for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
            if partition.error_code != 0 {
                return Err(crate::client::ClientError::refused("fetching", partition.error_code, None).into());
            }
            for batch in split(&partition.records.bytes().unwrap_or_default()) {
                let batch = batch.map_err(|error| Failure::new(error.to_string()))?;
                let offset = batch.header().base_offset.0;
                if offset != target.first_offset + index as i64 {
                    return Err(Failure::new(format!(
                        "offset {offset} came where the next record was due"
                    )));
                }
                measured.add(since(times, index, started)?, target.warmup);
                index += 1;
            }
        }
    }
    Ok(())
}

fn fetch_request(target: &Target, index: usize) -> Result<Bytes, Failure> {
    let partition = FetchPartition {
        partition: target.partition,
        fetch_offset: target.first_offset + index as i64,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: text(&target.topic),
        partitions: vec![partition],
        ..FetchTopic::default()
    };
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let parts = frame::encode_request(1, Some(&Text::from("klamm")), &request, target.fetch_version)
        .map_err(|error| Failure::new(error.to_string()))?;
    frame::join(&parts).ok_or_else(|| Failure::new("a request cannot hold ranges of files"))
}

/// Why nothing more comes of a connection.
fn lost(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::UnexpectedEof => Failure::new("the broker closed the connection; its log says why"),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            Failure::new("the broker has not moved for as long as --timeout allows: is it stuck?")
        }
        _ => Failure::new(format!("the connection to the broker failed: {error}")),
    }
}

fn read_answer(stream: &mut TcpStream) -> Result<Bytes, Failure> {
    let mut length = [0; frame::LENGTH_BYTES];
    stream.read_exact(&mut length).map_err(|error| lost(&error))?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_ANSWER {
        return Err(Failure::new(format!(
            "an answer of {length} bytes: is it a Kafka broker?"
        )));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).map_err(|error| lost(&error))?;
    Ok(answer.into())
}
