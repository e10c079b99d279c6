//! What a broker's driver is told at its start, and how it ends.

use klamm_core::config::BrokerConfig;
use klamm_core::types::ListenerName;
use std::fmt;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What clients come in on.
#[derive(Debug)]
pub struct BoundListener {
    /// What the broker's settings call it.
    pub name: ListenerName,
    /// Bound; [`bind`](crate::bind) makes one.
    pub socket: TcpListener,
}

/// What the driver needs to run a broker.
#[derive(Debug)]
pub struct BrokerOptions {
    /// Where clients are accepted; several may have one name.
    pub listeners: Vec<BoundListener>,
    /// The log directory; created when it is not there.
    pub log_directory: PathBuf,
    /// How many shards run, at least 1.
    pub shards: u16,
    /// The broker's settings.
    pub config: Arc<BrokerConfig>,
    /// The driver's own bounds.
    pub limits: NetLimits,
    /// What the shards draw by chance follows from it. Random in production: clients choose names.
    pub seed: u64,
}

/// Bounds of the driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetLimits {
    /// Connections that the process can have open at once, whatever `max.connections` says.
    pub max_connections: usize,
    /// How long a connection that is closed for others beyond `max.connections` has been idle.
    pub idle_gives_way: Duration,
    /// The largest request frame in bytes (`socket.request.max.bytes`); a larger claim closes its connection.
    pub max_request_bytes: usize,
    /// What a shard holds for received bytes, in bytes; raised to what [`NetLimits::request_memory`] says if lower.
    pub memory_bytes: usize,
    /// How long a response may make no progress before its connection is closed.
    pub send_stall: Duration,
    /// How long a stop waits for what clients have asked for and are being sent; those that are not done are closed then.
    pub stop_patience: Duration,
    /// Runs of contiguous writes up to this many bytes are written on the shard's thread, larger ones on a disk thread.
    pub write_now_bytes: usize,
    /// Threads for writes, reads, syncs and everything else that names a file.
    pub disk_threads: usize,
    /// Threads for tasks: recovery, lookups.
    pub task_threads: usize,
    /// Reads of uncached ranges a shard has under way at once; each holds up to [`NetLimits::FILL_BYTES`].
    pub fills: usize,
}

impl NetLimits {
    /// The most one read of an uncached range brings, in bytes.
    pub const FILL_BYTES: usize = 256 << 10;

    /// The memory for received bytes of a shard: what is configured, and never less than twice the largest request, so
    /// that one such request can always complete.
    pub fn request_memory(&self) -> usize {
        self.memory_bytes.max(self.max_request_bytes.saturating_mul(2))
    }
}

impl Default for NetLimits {
    fn default() -> Self {
        Self {
            max_connections: 18_000,
            idle_gives_way: Duration::from_secs(10),
            max_request_bytes: 104_857_600,
            memory_bytes: 256 << 20,
            send_stall: Duration::from_secs(30),
            stop_patience: Duration::from_secs(8),
            write_now_bytes: 512 << 10,
            disk_threads: 4,
            task_threads: 2,
            fills: 32,
        }
    }
}

/// Why a broker could not even begin to start.
#[derive(Debug)]
pub enum StartError {
    /// The log directory cannot be created or opened.
    LogDirectory {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// A listener cannot be used.
    Listener(std::io::Error),
    /// A thread or its runtime cannot be created.
    Thread(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogDirectory { path, error } => {
                write!(f, "cannot use the log directory {}: {error}", path.display())
            }
            Self::Listener(error) => write!(f, "cannot listen: {error}"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// How a broker ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It was asked to stop, and everything is durable.
    Stopped,
    /// It was asked to stop and could not in good order; what was acknowledged is durable. The text says why.
    Unclean(String),
    /// It cannot run on this log directory or configuration; the text says why and what to do.
    Refused(String),
    /// The log directory failed; the text is for people.
    Fault(String),
    /// A thread of the broker panicked: a bug.
    Panicked,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Unclean(text) | Self::Refused(text) => f.write_str(text),
            Self::Fault(text) => write!(f, "the log directory failed: {text}"),
            Self::Panicked => f.write_str("a thread of the broker panicked"),
        }
    }
}
