//! `klamm bench`: load for any Kafka broker, and what it did with it.
//!
//! Requests are encoded once and sent again and again; whatever can be measured costs the client little beside what it
//! costs the broker. Consumers read every record and check it: a broker that skips data would look fast.

mod consume;
mod floor;
mod latency;
mod load;
mod prime;
mod produce;
mod report;

use crate::client::{ClientError, Cluster, PartitionLeader};
use crate::failure::{Failure, Outcome};
use crate::{BootstrapArgs, block_on, units};
use clap::{Args, Subcommand};
use klamm_core::types::ErrorCode;
use std::time::Duration;

/// Which load.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Produce as fast as the broker acknowledges, or at a given rate
    Produce(produce::Arguments),
    /// Read a topic as it stands, record by record
    Consume(consume::Arguments),
    /// Produce single records at a steady rate, and time each to its acknowledgement and to its consumer
    Latency(latency::Arguments),
    /// Measure a bare loop of socket and file: what no broker on this machine can go below
    Floor(floor::Arguments),
    /// Touch memory and give it back, so that what is measured next does not pay for its first touch
    Prime(prime::Arguments),
}

/// What each load needs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// The topic
    #[arg(short, long, default_value = "bench")]
    topic: String,
    /// Print one JSON object instead of text, and no progress
    #[arg(long)]
    json: bool,
    /// The broker's process on this machine: its CPU time and memory are reported
    #[arg(long, value_name = "PID")]
    broker_pid: Option<u32>,
    #[command(flatten)]
    bootstrap: BootstrapArgs,
}

/// What a topic is created with, where it is not there yet.
#[derive(Clone, Debug, Args)]
pub(crate) struct Creation {
    /// Partitions of the topic, if it is not there yet
    #[arg(short, long, default_value_t = 1)]
    partitions: i32,
    /// Replicas of the topic, if it is not there yet; by default what the broker says
    #[arg(long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true)]
    replicas: i16,
}

/// When a load ends: at whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// After so many bytes of batches.
    bytes: u64,
    /// After so long.
    time: Duration,
}

/// Runs `klamm bench`.
pub(crate) fn run(command: BenchCommand) -> Outcome {
    match command {
        BenchCommand::Produce(args) => block_on(produce::run(args)),
        BenchCommand::Consume(args) => block_on(consume::run(args)),
        BenchCommand::Latency(args) => latency::run(&args),
        BenchCommand::Floor(args) => floor::run(&args),
        BenchCommand::Prime(args) => prime::run(&args),
    }
}

/// Creates the topic unless it is there.
async fn ensure_topic(cluster: &mut Cluster, topic: &str, creation: &Creation) -> Outcome {
    match cluster
        .create_topic(topic, creation.partitions, creation.replicas, &[])
        .await
    {
        Err(ClientError::Refused { code, .. }) if code == ErrorCode::TopicAlreadyExists.code() => {
            let leaders = cluster.leaders(topic, false).await?;
            let wanted = usize::try_from(creation.partitions).unwrap_or(0);
            if wanted > 1 && leaders.len() != wanted {
                let text = format!("topic {topic} is there with {} partitions, not {wanted}", leaders.len());
                return Err(Failure::new(text));
            }
            Ok(())
        }
        created => Ok(created?),
    }
}

/// Which broker each connection talks to and which partitions it gets: every partition is somebody's, and where there are
/// more connections than partitions, several share one.
fn assign(leaders: &[PartitionLeader], connections: usize) -> Vec<(i32, Vec<i32>)> {
    let mut brokers: Vec<i32> = leaders.iter().map(|leader| leader.leader).collect();
    brokers.sort_unstable();
    brokers.dedup();
    let connections = connections.max(brokers.len());
    let mut shares: Vec<(i32, Vec<i32>)> = (0..connections)
        .map(|i| (brokers[i % brokers.len()], Vec::new()))
        .collect();
    for broker in &brokers {
        let led: Vec<i32> = leaders
            .iter()
            .filter(|at| at.leader == *broker)
            .map(|at| at.partition)
            .collect();
        let mine: Vec<&mut (i32, Vec<i32>)> = shares.iter_mut().filter(|share| share.0 == *broker).collect();
        let count = mine.len();
        for (i, share) in mine.into_iter().enumerate() {
            share.1 = if count <= led.len() {
                led.iter().copied().skip(i).step_by(count).collect()
            } else {
                vec![led[i % led.len()]]
            };
        }
    }
    shares
}

/// Reads a size that is not zero.
fn some_size(text: &str) -> Result<u64, String> {
    match units::size(text)? {
        0 => Err("0 is too small".to_owned()),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaders(brokers: &[i32]) -> Vec<PartitionLeader> {
        (0..)
            .zip(brokers)
            .map(|(partition, &leader)| PartitionLeader { partition, leader })
            .collect()
    }

    #[test]
    fn every_partition_is_somebodys() {
        assert_eq!(assign(&leaders(&[1, 1, 1]), 2), [(1, vec![0, 2]), (1, vec![1])]);
        assert_eq!(assign(&leaders(&[1]), 3), [(1, vec![0]), (1, vec![0]), (1, vec![0])]);
        assert_eq!(assign(&leaders(&[1, 2, 1, 2]), 1), [(1, vec![0, 2]), (2, vec![1, 3])]);
        assert_eq!(assign(&leaders(&[2, 1]), 3), [(1, vec![1]), (2, vec![0]), (1, vec![1])]);
    }
}
