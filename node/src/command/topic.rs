//! `klamm topic`: what there is, and making and dropping it.

use crate::BootstrapArgs;
use crate::client::{ClientError, Cluster, PartitionLeader, by_leader, code_name};
use crate::failure::{Failure, Outcome};
use clap::Subcommand;
use klamm_core::wire::Text;
use klamm_core::wire::message::metadata::MetadataResponsePartition;
use std::collections::BTreeMap;
use std::io::{Write, stdout};

/// Kafka's special times for `ListOffsets`.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
/// What `DeleteRecords` takes for the end of what can be read.
const HIGH_WATERMARK: i64 = -1;
/// A configuration's source: the topic itself (`DescribeConfigsResponse.ConfigSource`).
const TOPIC_SOURCE: i8 = 1;

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a topic
    Create {
        /// The topic's name
        name: String,
        /// How many partitions; by default what the broker says
        #[arg(short, long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true)]
        partitions: i32,
        /// How many replicas of each; by default what the broker says
        #[arg(short, long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true)]
        replicas: i16,
        /// A setting of the topic, as key=value; may be given several times
        #[arg(short, long = "config", value_name = "KEY=VALUE")]
        configs: Vec<String>,
        #[command(flatten)]
        bootstrap: BootstrapArgs,
    },
    /// Delete topics and all of their records
    Delete {
        /// The topics' names
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        bootstrap: BootstrapArgs,
    },
    /// Change a topic's settings, or give it more partitions
    Alter {
        /// The topic's name
        name: String,
        /// A setting to change, as key=value; may be given several times
        #[arg(short, long = "set", value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// A setting to put back to its default; may be given several times
        #[arg(short, long, value_name = "KEY")]
        unset: Vec<String>,
        /// How many partitions it is to have in all
        #[arg(short, long)]
        partitions: Option<i32>,
        #[command(flatten)]
        bootstrap: BootstrapArgs,
    },
    /// Delete the oldest records of a partition
    DeleteRecords {
        /// The topic's name
        name: String,
        /// The partition
        #[arg(short, long)]
        partition: i32,
        /// The first offset to keep; without it, all records go
        #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
        before: Option<i64>,
        #[command(flatten)]
        bootstrap: BootstrapArgs,
    },
    /// List the topics
    List {
        #[command(flatten)]
        bootstrap: BootstrapArgs,
    },
    /// Show a topic's partitions, offsets and settings
    Describe {
        /// The topic's name
        name: String,
        /// Show every setting, not only those that the topic has itself
        #[arg(short, long)]
        all: bool,
        #[command(flatten)]
        bootstrap: BootstrapArgs,
    },
}

/// Runs `klamm topic`.
pub(crate) async fn run(command: TopicCommand) -> Outcome {
    match command {
        TopicCommand::Create {
            name,
            partitions,
            replicas,
            configs,
            bootstrap,
        } => {
            let configs = configs
                .iter()
                .map(|config| pair(config))
                .collect::<Result<Vec<_>, _>>()?;
            bootstrap
                .cluster()
                .create_topic(&name, partitions, replicas, &configs)
                .await?;
            say(&format!("created {name}"))
        }
        TopicCommand::Delete { names, bootstrap } => {
            let mut cluster = bootstrap.cluster();
            for name in &names {
                cluster.delete_topic(name).await?;
                say(&format!("deleted {name}"))?;
            }
            Ok(())
        }
        TopicCommand::Alter {
            name,
            settings,
            unset,
            partitions,
            bootstrap,
        } => alter(&mut bootstrap.cluster(), &name, (&settings, &unset), partitions).await,
        TopicCommand::DeleteRecords {
            name,
            partition,
            before,
            bootstrap,
        } => {
            let mut cluster = bootstrap.cluster();
            let leaders = cluster.leaders(&name, false).await?;
            let at = leaders.into_iter().find(|at| at.partition == partition);
            let at = at.ok_or_else(|| Failure::new(format!("topic {name} has no partition {partition}")))?;
            let first = cluster
                .delete_records(&name, at, before.unwrap_or(HIGH_WATERMARK))
                .await?;
            say(&format!("{name}-{partition} begins at {first}"))
        }
        TopicCommand::List { bootstrap } => list(&mut bootstrap.cluster()).await,
        TopicCommand::Describe { name, all, bootstrap } => describe(&mut bootstrap.cluster(), &name, all).await,
    }
}

async fn alter(
    cluster: &mut Cluster,
    name: &str,
    (settings, unset): (&[String], &[String]),
    partitions: Option<i32>,
) -> Outcome {
    let pairs = settings.iter().map(|setting| pair(setting));
    let mut changes = pairs
        .map(|pair| pair.map(|(key, value)| (key, Some(value))))
        .collect::<Result<Vec<_>, _>>()?;
    changes.extend(unset.iter().map(|key| (key.as_str(), None)));
    if changes.is_empty() && partitions.is_none() {
        return Err(Failure::new("nothing to change: give --set, --unset or --partitions"));
    }
    if !changes.is_empty() {
        cluster.alter_topic(name, &changes).await?;
    }
    if let Some(count) = partitions {
        cluster.extend_topic(name, count).await?;
    }
    say(&format!("changed {name}"))
}

/// Splits `key=value`.
fn pair(text: &str) -> Result<(&str, &str), Failure> {
    text.split_once('=')
        .ok_or_else(|| Failure::new(format!("'{text}' is not of the form key=value")))
}

/// Prints a line. A reader that has gone away is no failure worth more than its message.
fn say(line: &str) -> Outcome {
    writeln!(stdout(), "{line}").map_err(|error| Failure::printing(&error))
}

async fn list(cluster: &mut Cluster) -> Outcome {
    let mut topics = cluster.metadata(None, false).await?.topics;
    topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    for topic in topics {
        let name = topic.name.as_ref().map_or("", Text::as_str);
        let internal = if topic.is_internal { "  internal" } else { "" };
        say(&format!("{name}  partitions={}{internal}", topic.partitions.len()))?;
    }
    Ok(())
}

async fn describe(cluster: &mut Cluster, name: &str, all: bool) -> Outcome {
    let mut topic = cluster.topic(name, false).await?;
    topic
        .partitions
        .sort_unstable_by_key(|partition| partition.partition_index);
    let id = topic.topic_id;
    say(&format!("topic {name}  id={id}  partitions={}", topic.partitions.len()))?;
    let leader = |partition: &MetadataResponsePartition| PartitionLeader {
        partition: partition.partition_index,
        leader: partition.leader_id,
    };
    let led: Vec<PartitionLeader> = topic.partitions.iter().map(leader).collect();
    let firsts = offsets(cluster, name, &led, EARLIEST).await;
    let ends = offsets(cluster, name, &led, LATEST).await;
    let shown = |offsets: &BTreeMap<i32, String>, at: &PartitionLeader| offsets.get(&at.partition).cloned();
    for (partition, at) in topic.partitions.iter().zip(&led) {
        let (first, end) = (shown(&firsts, at), shown(&ends, at));
        say(&format!(
            "  partition {}  leader={}  epoch={}  replicas={:?}  isr={:?}  offsets={}..{}",
            at.partition,
            at.leader,
            partition.leader_epoch,
            partition.replica_nodes,
            partition.isr_nodes,
            first.unwrap_or_default(),
            end.unwrap_or_default()
        ))?;
    }
    let mut configs = cluster.topic_configs(name).await?;
    configs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    for config in configs
        .iter()
        .filter(|config| all || config.config_source == TOPIC_SOURCE)
    {
        let value = config.value.as_ref().map_or("", Text::as_str);
        say(&format!("  {}={value}", config.name.as_str()))?;
    }
    Ok(())
}

/// An offset of each partition for people, or why there is none.
async fn offsets(cluster: &mut Cluster, name: &str, led: &[PartitionLeader], time: i64) -> BTreeMap<i32, String> {
    let mut shown = BTreeMap::new();
    for (leader, partitions) in by_leader(led) {
        match cluster.offsets_led(name, leader, &partitions, time).await {
            Ok(found) => shown.extend(found.iter().map(|(&partition, found)| (partition, offset(found)))),
            Err(error) => {
                let why = offset(&Err(error));
                shown.extend(partitions.into_iter().map(|partition| (partition, why.clone())));
            }
        }
    }
    shown
}

/// An offset for people, or why there is none.
fn offset(found: &Result<Option<i64>, ClientError>) -> String {
    match found {
        Ok(Some(offset)) => offset.to_string(),
        Ok(None) => "none".to_owned(),
        Err(ClientError::Refused { code, .. }) => code_name(*code),
        Err(_) => "unreachable".to_owned(),
    }
}
