//! `klamm topic`: what there is, and making and dropping it.

use crate::BootstrapArgs;
use crate::client::{ClientError, Cluster, PartitionLeader, code_name};
use crate::failure::{Failure, Outcome};
use clap::Subcommand;
use klamm_core::wire::Text;
use std::io::{Write, stdout};

/// Kafka's special times for `ListOffsets`.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
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
        TopicCommand::List { bootstrap } => list(&mut bootstrap.cluster()).await,
        TopicCommand::Describe { name, all, bootstrap } => describe(&mut bootstrap.cluster(), &name, all).await,
    }
}

/// Splits `key=value`.
fn pair(text: &str) -> Result<(&str, &str), Failure> {
    text.split_once('=')
        .ok_or_else(|| Failure::new(format!("'{text}' is not of the form key=value")))
}

/// Prints a line. A reader that has gone away is no failure worth more than its message.
fn say(line: &str) -> Outcome {
    writeln!(stdout(), "{line}")?;
    Ok(())
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
    for partition in &topic.partitions {
        let at = PartitionLeader {
            partition: partition.partition_index,
            leader: partition.leader_id,
        };
        let first = offset(&cluster.offset_at(name, at, EARLIEST).await);
        let end = offset(&cluster.offset_at(name, at, LATEST).await);
        say(&format!(
            "  partition {}  leader={}  epoch={}  replicas={:?}  isr={:?}  offsets={first}..{end}",
            at.partition, at.leader, partition.leader_epoch, partition.replica_nodes, partition.isr_nodes
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

/// An offset for people, or why there is none.
fn offset(found: &Result<Option<i64>, ClientError>) -> String {
    match found {
        Ok(Some(offset)) => offset.to_string(),
        Ok(None) => "none".to_owned(),
        Err(ClientError::Refused { code, .. }) => code_name(*code),
        Err(_) => "unreachable".to_owned(),
    }
}
