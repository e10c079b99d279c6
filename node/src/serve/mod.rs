//! `klamm serve`: a broker from its settings to its end.
//!
//! Invariants: nothing is served before settings, sockets and log directory were all found good; a stop that was asked
//! for ends with exit code 0 once everything is durable, and anything else with 1 and a text that says what to do.

mod banner;
mod http;
mod listen;
mod logs;
#[cfg(test)]
mod manual_tests;
mod metrics;
mod settings;

use crate::clock::now;
use crate::failure::{Failure, Outcome};
use clap::Args;
use klamm_core::config::{Notes, ServerConfig};
use klamm_net::{BoundListener, Broker, BrokerOptions, Exit, NetLimits, StartError};
use logs::{LogFormat, Logs};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Descriptors that a broker needs besides those of each shard, and that each shard needs: for itself, and for a few clients
/// and segments.
const FEWEST_FILES: (u64, u64) = (32, 32);

/// How soon a second signal is still the first wish.
const SAME_WISH: Duration = Duration::from_secs(1);

/// How to run a broker. What is not said here comes from the file, and otherwise from Kafka's defaults.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// A file of settings, in the form and with the names of Kafka's server.properties
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory; it is set up at the first start [default: ./klamm-data]
    #[arg(short, long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// An address to listen on, as host:port; may be given twice, for an IPv4 and an IPv6 address with one port
    /// [default: 127.0.0.1:9092 and `[::1]:9092`]
    #[arg(short, long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// What clients are told to connect to, as host:port [default: the address listened on; localhost
    /// for 127.0.0.1 and `[::1]` together]
    #[arg(short, long, value_name = "ADDRESS")]
    advertise: Option<String>,
    /// Threads that serve [default: one up to 3 cores, cores - 1 above]
    #[arg(short, long)]
    shards: Option<u16>,
    /// What an acknowledgement waits for: fsync (the device) or os (the page cache) [default: fsync]
    #[arg(long, value_name = "fsync|os")]
    flush: Option<String>,
    /// Where /metrics, /health and /ready are served, or off [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS|off")]
    metrics: Option<String>,
    /// Any other setting, by Kafka's name; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// The least important log lines that are written
    #[arg(long, value_enum, default_value_t = logs::LogLevel::Info)]
    log_level: logs::LogLevel,
}

/// What happens to a running broker.
enum Event {
    /// It accepts clients.
    Ready,
    /// It ended.
    Ended(Exit),
}

/// Runs `klamm serve`.
pub(crate) fn run(args: &ServeArgs) -> Outcome {
    let started = now();
    let logs = logs::start(args.log_format, args.log_level)?;
    run_logged(args, started, &logs).map_err(|failure| {
        logs.say_last(&format!("klamm: {failure}\n"));
        failure.told()
    })
}

fn run_logged(args: &ServeArgs, started: Instant, logs: &Logs) -> Outcome {
    #[cfg(klamm_bugs)]
    select_bug()?;
    let settings = settings::gather(args)?;
    let (config, notes) = ServerConfig::parse(settings.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    refuse_unknown(args, &notes)?;
    report_notes(&notes);
    let open_files = listen::raise_open_files();
    let explicit = settings.iter().any(|(name, _)| name == "listeners");
    let listeners = listen::bind_all(&config.listeners, explicit)?;
    let options = options(&config, listeners, open_files)?;
    let facts = banner::Facts::new(&config, &options, started)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(config, options, facts, logs))
}

/// Switches on the deliberate bug that `KLAMM_BUG` names.
#[cfg(klamm_bugs)]
fn select_bug() -> Outcome {
    use klamm_core::bugs::{Bug, select};
    let Ok(name) = std::env::var("KLAMM_BUG") else {
        return Ok(());
    };
    let bug = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    select(Some(bug.ok_or_else(|| {
        Failure::new(format!("KLAMM_BUG={name}: there is no such bug"))
    })?));
    Ok(())
}

/// What is typed is meant: there, a setting that nobody knows is a mistake. A file may be one that Kafka reads too.
fn refuse_unknown(args: &ServeArgs, notes: &Notes) -> Outcome {
    let typed = |name: &str| {
        args.set
            .iter()
            .any(|set| set.split('=').next().map(str::trim) == Some(name))
    };
    match notes.unknown.iter().find(|(name, _)| typed(name)) {
        Some((name, Some(meant))) => Err(Failure::new(format!(
            "--set {name}: there is no such setting; did you mean {meant}?"
        ))),
        Some((name, None)) => Err(Failure::new(format!("--set {name}: there is no such setting"))),
        None => Ok(()),
    }
}

fn report_notes(notes: &Notes) {
    if !notes.inert.is_empty() {
        let inert: Vec<String> = notes
            .inert
            .iter()
            .map(|(name, reason)| format!("{name} ({reason})"))
            .collect();
        tracing::warn!("settings without effect: {}", inert.join("; "));
    }
    if !notes.unknown.is_empty() {
        let show = |(name, meant): &(String, Option<&str>)| match meant {
            Some(meant) => format!("{name} (did you mean {meant}?)"),
            None => name.clone(),
        };
        let unknown: Vec<String> = notes.unknown.iter().map(show).collect();
        tracing::warn!("unknown settings, ignored: {}", unknown.join("; "));
    }
}

/// What the driver is told.
fn options(config: &ServerConfig, listeners: Vec<BoundListener>, open_files: u64) -> Result<BrokerOptions, Failure> {
    let mut broker = config.broker.clone();
    for advertised in &mut broker.advertised {
        if advertised.address.port == 0 {
            // The system chose the port.
            let port = listen::port_of(&advertised.name, &listeners)?;
            let none = || Failure::new(format!("listeners: {} could not be opened", advertised.name));
            advertised.address.port = port.ok_or_else(none)?;
        }
    }
    // Sockets and segments share what the process may open.
    let files = usize::try_from(open_files).unwrap_or(usize::MAX);
    let shards = config.shards.unwrap_or_else(default_shards).max(1);
    judge_files(config, open_files, shards)?;
    broker.limits.open_files = broker.limits.open_files.min(files / 4 / usize::from(shards)).max(16);
    let limits = NetLimits {
        max_connections: files / 2,
        max_request_bytes: config.max_request_bytes as usize,
        stop_patience: Duration::from_millis(config.shutdown_timeout_ms.into()),
        ..NetLimits::default()
    };
    Ok(BrokerOptions {
        listeners,
        log_directory: PathBuf::from(config.log_dir.as_deref().unwrap_or(settings::DATA)),
        shards,
        config: Arc::new(broker),
        limits,
        // Keyed by the system, differently in each process: what clients cannot foresee, they cannot aim at.
        seed: RandomState::new().build_hasher().finish(),
    })
}

/// Says what the limit of open files keeps the broker from.
fn judge_files(config: &ServerConfig, open_files: u64, shards: u16) -> Outcome {
    let fewest = FEWEST_FILES.0 + FEWEST_FILES.1 * u64::from(shards);
    if open_files < fewest {
        return Err(Failure::new(format!(
            "this process may open {open_files} files, and needs {fewest} at least for {shards} shards; raise the limit, as with \
             ulimit -n"
        )));
    }
    let connections = config.broker.connections.most;
    if open_files / 2 < u64::from(connections) {
        tracing::warn!(
            "this process may open {open_files} files: it serves {} connections at once instead of the {connections} that \
             max.connections says; raise the limit, as with ulimit -n",
            open_files / 2
        );
    }
    Ok(())
}

/// One shard up to 3 cores, and from there on one core is left to the kernel and the disk threads.
fn default_shards() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(if cores <= 3 { 1 } else { cores - 1 }).unwrap_or(256)
}

async fn serve(config: ServerConfig, options: BrokerOptions, facts: banner::Facts, logs: &Logs) -> Outcome {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = hangup()?;
    let http = http::open(&config.metrics).await?;
    let data = options.log_directory.clone();
    let broker = Broker::start(options).map_err(|error| refused(&error))?;
    let broker = Arc::new(broker);
    if let Some(http) = http {
        facts.metrics_at(http.address());
        tokio::spawn(http.serve(Arc::clone(&broker)));
    }
    let mut events = watch(Arc::clone(&broker));
    let stopper = broker.stopper();
    let mut asked = None;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Ready) => facts.show(logs),
                Some(Event::Ended(exit)) => return end(exit, asked.is_some(), &data),
                None => return Err(Failure::new("the broker ended without saying why")),
            },
            _ = interrupt.recv() => stop(&stopper, &mut asked)?,
            _ = terminate.recv() => stop(&stopper, &mut asked)?,
            () = hangup.recv() => stop(&stopper, &mut asked)?,
        }
    }
}

/// What to do where a broker cannot even begin.
fn refused(error: &StartError) -> Failure {
    let advice = match error {
        StartError::LogDirectory { .. } => "; choose a directory that this user may write to with --data",
        StartError::Thread(_) => "; the limits of this user, as ulimit -a shows them, may be too low",
        StartError::Listener(_) => "",
    };
    Failure::new(format!("{error}{advice}"))
}

/// What says that the terminal went; never, where that is ignored (`nohup`): a JVM leaves it ignored, too.
struct Hangup(Option<Signal>);

impl Hangup {
    async fn recv(&mut self) {
        match &mut self.0 {
            Some(signal) => _ = signal.recv().await,
            None => std::future::pending().await,
        }
    }
}

fn hangup() -> Result<Hangup, Failure> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if ignores_hangup(&status) {
        return Ok(Hangup(None));
    }
    Ok(Hangup(Some(signal(SignalKind::hangup())?)))
}

/// Whether the signals that a process ignores, as the system tells them, have the first one among them.
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// Asks the broker to stop; when asked again later there is no more patience. The same wish may come twice: as a signal
/// to the process and one to its group.
fn stop(stopper: &klamm_net::Stopper, asked: &mut Option<Instant>) -> Outcome {
    match asked {
        Some(first) if now() - *first < SAME_WISH => Ok(()),
        Some(_) => Err(Failure::new("stopped at once, as asked again; the next start recovers")),
        None => {
            *asked = Some(now());
            tracing::info!("stopping: answering what is in progress and making it durable");
            stopper.request();
            Ok(())
        }
    }
}

fn end(exit: Exit, asked: bool, data: &Path) -> Outcome {
    match exit {
        Exit::Stopped if asked => {
            tracing::info!("stopped");
            Ok(())
        }
        Exit::Stopped => Err(Failure::new("the broker stopped by itself")),
        Exit::Refused(text) => Err(Failure::new(format!("{}: {text}", data.display()))),
        exit => Err(Failure::new(exit.to_string())),
    }
}

/// Waits for the broker on a thread of its own, because its own waiting blocks.
fn watch(broker: Arc<Broker>) -> mpsc::UnboundedReceiver<Event> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let exit = match broker.ready() {
            Ok(()) => {
                // Whoever listened for events is gone only once the process ends.
                let _ = sender.send(Event::Ready);
                broker.wait()
            }
            Err(exit) => exit,
        };
        let _ = sender.send(Event::Ended(exit));
    });
    receiver
}
