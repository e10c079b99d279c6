//! Log lines: on standard error, for people or for machines.
//!
//! Invariants: whoever logs does not wait for whoever reads, and a line that cannot be written is missing and nothing
//! else: a pipe that nobody reads or a full disk under the log is no reason to stop serving, nor to go on when the process
//! is to end. Nothing else writes to standard error once logging began: it would wait where the log does.

mod queue;

use clap::ValueEnum;
use queue::{Lines, Queue};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, stderr};
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::thread;
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
    // A failed assertion ends the process at once: what led to it is worth knowing, and it is the last word.
    let last = Arc::clone(&queue);
    std::panic::set_hook(Box::new(move |info| {
        last.push_last(panicked(info).as_bytes());
        last.drain(PATIENCE);
    }));
    Ok(Logs { format, queue })
}

/// What is said of a panic: where it was and, if `RUST_BACKTRACE` asks for that, how the thread got there.
fn panicked(info: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("klamm: thread {name} {info}\n{backtrace}\n"),
        _ => format!("klamm: thread {name} {info}\n"),
    }
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

    /// Says why the process ends, behind everything else.
    pub(crate) fn say_last(&self, text: &str) {
        self.queue.push_last(text.as_bytes());
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.queue.drain(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::{LogFormat, LogLevel, start};
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::fs::File;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// In a process of its own, which is told so by its environment: panics once logging began.
    const PANICS: &str = "KLAMM_TEST_PANICS";

    #[test]
    fn a_panic_ends_the_process_though_nobody_takes_its_last_words() {
        if std::env::var_os(PANICS).is_some() {
            let _logs = start(LogFormat::Text, LogLevel::Info).expect("a thread");
            panic!("this is meant to be");
        }
        let this = "serve::logs::tests::a_panic_ends_the_process_though_nobody_takes_its_last_words";
        let again = |log: Stdio| {
            let mut command = Command::new(std::env::current_exe().expect("it has a path"));
            command.args(["--exact", this, "--nocapture", "--test-threads", "1"]);
            command.env(PANICS, "yes").stdout(Stdio::null()).stderr(log);
            command.spawn().expect("it runs")
        };
        let told = again(Stdio::piped()).wait_with_output().expect("it ends");
        let said = String::from_utf8(told.stderr).expect("UTF-8");
        assert!(
            said.contains("this is meant to be") && said.contains("panicked at"),
            "{said}"
        );
        let (_reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        let mut full = File::from(writer);
        while full.write(&[b'-'; 512]).is_ok() {}
        rustix::io::ioctl_fionbio(&full, false).expect("it blocks again");
        // A process that never ends keeps this test from ending.
        let ended = again(full.into()).wait().expect("it ends");
        assert!(!ended.success());
    }
}
