//! Klamm's command line: serves a broker, and talks to one.
//!
//! - `serve` puts settings, sockets, logs and metrics around [`klamm_net::Broker`].
//! - `topic`, `produce`, `consume` and `bench` are clients on [`client`], which speaks to any Kafka broker.
//!
//! Invariant: a command that fails says why and what to do on standard error, and ends with exit code 1, or 2 where the command
//! line cannot be read; standard output carries nothing but what was asked for. No client waits without a limit.

#![forbid(unsafe_code)]
#![deny(
    clippy::print_stderr,
    reason = "it panics where standard error is gone or full; see failure::tell"
)]

mod clock;
mod failure;
mod json;
mod process;
mod units;

pub mod client;

mod bench;
mod command;
mod serve;

use clap::{Args, Parser, Subcommand};
use failure::{Failure, Outcome, Telling};
use klamm_core::config::HostPort;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

/// A message broker that speaks the Kafka protocol.
#[derive(Debug, Parser)]
#[command(name = "klamm", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker
    Serve(serve::ServeArgs),
    /// Create, delete, list and describe topics
    #[command(subcommand)]
    Topic(command::topic::TopicCommand),
    /// Write records to a topic, one a line
    Produce(command::produce::ProduceArgs),
    /// Read records of a topic
    Consume(command::consume::ConsumeArgs),
    /// Put load on a broker and measure it; works with any Kafka broker
    #[command(subcommand)]
    Bench(bench::BenchCommand),
}

/// Where the cluster is.
#[derive(Clone, Debug, Args)]
pub(crate) struct BootstrapArgs {
    /// Addresses of brokers, as host:port, separated by commas
    #[arg(short, long, value_name = "ADDRESSES", default_value = "localhost:9092", value_delimiter = ',', value_parser = address)]
    bootstrap: Vec<HostPort>,
    /// How long a broker may be silent while something is asked of it
    #[arg(long, value_name = "TIME", default_value = "40s", value_parser = some_time)]
    timeout: Duration,
}

impl BootstrapArgs {
    pub(crate) fn cluster(&self) -> client::Cluster {
        client::Cluster::new(self.bootstrap.clone(), "klamm", client::Patience(self.timeout))
    }
}

/// Reads a time that is not zero.
fn some_time(text: &str) -> Result<Duration, String> {
    units::duration(text).and_then(|time| {
        if time.is_zero() {
            Err("0 is too small".to_owned())
        } else {
            Ok(time)
        }
    })
}

/// Reads an address that is connected to.
fn address(text: &str) -> Result<HostPort, String> {
    let address = HostPort::parse("bootstrap", text).map_err(|error| error.to_string())?;
    if address.host.is_empty() || address.port == 0 {
        return Err(format!("'{text}' names no host or no port"));
    }
    Ok(address)
}

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Topic(command) => block_on(command::topic::run(command)),
        Command::Produce(args) => block_on(command::produce::run(args)),
        Command::Consume(args) => block_on(command::consume::run(args)),
        Command::Bench(command) => bench::run(command),
    };
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    match failure.telling {
        Telling::Idle => return ExitCode::SUCCESS,
        Telling::Due => failure::tell(format_args!("klamm: {failure}")),
        Telling::Done => {}
    }
    ExitCode::FAILURE
}

/// Runs a client on this thread.
pub(crate) fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?
        .block_on(command)
}
