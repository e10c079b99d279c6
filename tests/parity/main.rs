//! Parity with Apache Kafka: both brokers run as processes and are sent the same frames, and their answers are compared
//! field by field. Every difference must stand in `differences.txt`, or `differences_of_records.txt`, with its reason, and
//! everything there must still differ.
//!
//! `parity [--seed N] [--listed] [PART]...` runs the scenarios whose names hold one of the parts, all without; a part of them cannot
//! tell which listed differences are gone, nor which versions nobody asked for. What is drawn in generated scenarios follows
//! from the seed. `--listed` shows what each listed difference covered.

mod batch;
mod compare;
mod differences;
mod draw;
mod generate;
mod mask;
mod message;
mod peer;
mod report;
mod scenarios;

use klamm_tests::kafka::{ALONE, Kafka, Machine};
use klamm_tests::{Broker, Options};
use peer::{Peer, Process, Step, locked};
use report::{DEFAULT_SEED, Report};
use scenarios::Scenario;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;

/// What both brokers are told besides what a single node needs.
const SETTINGS: &[(&str, &str)] = &[
    ("num.partitions", "1"),
    // Three seconds at every first join would be most of the run.
    ("group.initial.rebalance.delay.ms", "200"),
    // When a broker first looks for groups that are empty and can go is its own affair.
    ("offsets.retention.check.interval.ms", "31536000000"),
    // As is when it first looks for records that are too old.
    ("log.retention.check.interval.ms", "3600000"),
];

/// The differences that are known.
const LISTED: &str = concat!(
    include_str!("differences.txt"),
    include_str!("differences_of_records.txt")
);

/// How much is shown of what a process said before it ended.
const LAST_LINES: usize = 30;

fn main() -> ExitCode {
    let Arguments { seed, listed, parts } = arguments(std::env::args().skip(1).collect());
    let known = differences::read(LISTED).expect("the lists of differences can be read");
    let unknown = mask::unknown_fields();
    assert!(unknown.is_empty(), "masks of fields that no answer has: {unknown:?}");
    let chosen: Vec<Scenario> = scenarios::all()
        .filter(|(name, _)| parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str())))
        .collect();
    assert!(!chosen.is_empty(), "no scenario is called so");

    // What a scenario stumbles over is told with its name.
    std::panic::set_hook(Box::new(|_| {}));
    let settings: Vec<(String, String)> = ALONE
        .iter()
        .chain(SETTINGS)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let (kafka, klamm) = thread::scope(|scope| {
        let kafka = scope.spawn(|| Kafka::start(Machine::Small, &settings));
        let klamm = Broker::start_with(Options {
            config: settings.clone(),
            ..Options::default()
        });
        (kafka.join().expect("Kafka starts"), klamm)
    });
    let processes: [Arc<Mutex<dyn Process>>; 2] = [Arc::new(Mutex::new(kafka)), Arc::new(Mutex::new(klamm))];
    let listening = processes.each_ref().map(|process| port(&locked(process).address()));
    let mut report = Report::new(known, seed);
    for (name, run) in chosen {
        let [theirs, ours] = both(&processes, name, run, seed);
        let mut ended = false;
        for (broker, process) in ["Apache Kafka", "klamm"].iter().zip(&processes) {
            if let Some(words) = locked(process).last_words() {
                report.broken(name, broker, &format!("it ended:\n{words}"));
                ended = true;
            }
        }
        if ended {
            break;
        }
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => {
                report.add(name, &theirs, &ours, listening);
            }
            (theirs, ours) => {
                for (broker, outcome) in [("Apache Kafka", theirs), ("klamm", ours)] {
                    if let Err(problem) = outcome {
                        report.broken(name, broker, &problem);
                    }
                }
            }
        }
    }
    if listed {
        report.print_listed();
    }
    if report.finish(parts.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What a run is asked for.
struct Arguments {
    /// What is drawn.
    seed: u64,
    /// Whether to show what the list of differences covered.
    listed: bool,
    /// Parts of scenarios' names.
    parts: Vec<String>,
}

fn arguments(mut words: Vec<String>) -> Arguments {
    let mut seed = DEFAULT_SEED;
    if let Some(place) = words.iter().position(|word| word == "--seed") {
        let number = words.get(place + 1).and_then(|word| word.parse().ok());
        seed = number.expect("--seed takes a number");
        words.drain(place..place + 2);
    }
    let count = words.len();
    words.retain(|word| word != "--listed");
    Arguments {
        seed,
        listed: words.len() < count,
        parts: words,
    }
}

impl Process for Kafka {
    fn address(&self) -> String {
        Self::address(self)
    }

    fn restart(&mut self) {
        Self::restart(self);
    }

    fn configure(&mut self, more: &[(&str, &str)]) {
        Self::configure(self, more);
    }

    fn controller(&self) -> Option<String> {
        Some(self.controller_listener())
    }

    fn last_words(&mut self) -> Option<String> {
        self.has_ended().then(|| ending(&self.output("output")))
    }
}

impl Process for Broker {
    fn address(&self) -> String {
        Self::address(self)
    }

    fn restart(&mut self) {
        let status = self.stop();
        assert!(status.success(), "klamm ended with {status}");
        Self::restart(self);
    }

    fn configure(&mut self, more: &[(&str, &str)]) {
        Self::configure(self, more);
    }

    fn controller(&self) -> Option<String> {
        None
    }

    fn last_words(&mut self) -> Option<String> {
        self.has_ended().then(|| ending(&self.output()))
    }
}

/// The end of what a process said.
fn ending(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

fn port(address: &str) -> u16 {
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
    port.expect("an address ends in a port")
}

/// Runs a scenario on both brokers at once. An error is what the scenario stumbled over.
fn both(
    processes: &[Arc<Mutex<dyn Process>>; 2],
    name: &str,
    run: fn(&mut Peer),
    seed: u64,
) -> [Result<Vec<Step>, String>; 2] {
    thread::scope(|scope| {
        let running = processes.each_ref().map(|process| {
            scope.spawn(move || {
                let mut peer = Peer::new(process, name, seed);
                let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut peer)));
                outcome
                    .map(|()| peer.into_steps())
                    .map_err(|cause| text_of(cause.as_ref()))
            })
        });
        running.map(|thread| thread.join().expect("panics are caught"))
    })
}

fn text_of(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}
