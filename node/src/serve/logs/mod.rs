//! Log lines: on standard error, for people or for machines.
//!
//! Invariants: whoever logs does not wait for whoever reads, and a line that cannot be written is missing and nothing
//! else: a pipe that nobody reads or a full disk under the log is no reason to stop serving.

mod queue;

use clap::ValueEnum;
use queue::{Lines, Queue};
use std::io::{self, IsTerminal, stderr};
use std::sync::Arc;
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// The least important lines that are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    /// What failed
    Error,
    /// What somebody should look at
    Warn,
    /// What happens to the broker as a whole
    Info,
    /// What happens to single connections
    Debug,
    /// Everything
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// How long the end of the process waits for lines that are not written yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// The log of this process; what was said before it is dropped is written, if that can be.
#[derive(Debug)]
pub(crate) struct Logs {
    format: LogFormat,
    queue: Arc<Queue>,
}

/// Starts logging for this process.
pub(crate) fn start(format: LogFormat, level: LogLevel) -> io::Result<Logs> {
    let queue = Queue::start(stderr())?;
    let lines = Lines(Arc::clone(&queue));
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(level))
        .with_target(false)
        .log_internal_errors(false)
        .with_writer(move || lines.clone());
    match format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init(),
    }
    // A failed assertion ends the process at once, and what led to it is worth knowing.
    let (before, last) = (std::panic::take_hook(), Arc::clone(&queue));
    std::panic::set_hook(Box::new(move |info| {
        last.drain(PATIENCE);
        before(info);
    }));
    Ok(Logs { format, queue })
}

impl Logs {
    /// How lines are written.
    pub(crate) const fn format(&self) -> LogFormat {
        self.format
    }

    /// Says something to people, in its turn.
    pub(crate) fn say(&self, text: &str) {
        self.queue.push(text.as_bytes());
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.queue.drain(PATIENCE);
    }
}
