//! `run`: many seeds, each twice.

use crate::show::{self, Totals};
use klamm_core::marks::{self, Mark};
use klamm_sim::{Checker, RunOptions, TraceHash, Verdict, run_seed, trace_seed};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// `run`.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) seeds: Range<u64>,
    pub(crate) jobs: usize,
    pub(crate) twice: bool,
    pub(crate) planted: bool,
}

/// So many runs must do everything that World can do, with every fault hitting something, or they prove too little.
const ENOUGH_SEEDS: u64 = 1000;

/// `hashes`: the second run of each seed, in a process of its own.
#[derive(Debug)]
pub(crate) struct Hashes {
    pub(crate) seeds: Range<u64>,
    pub(crate) jobs: usize,
    pub(crate) planted: bool,
}

/// Runs `seeds` in the given order on `jobs` threads.
pub(crate) fn run_all(seeds: Vec<u64>, jobs: usize, options: RunOptions) -> Receiver<Verdict> {
    let (sender, receiver) = channel();
    let seeds = std::sync::Arc::new(seeds);
    let next = std::sync::Arc::new(AtomicU64::new(0));
    for _ in 0..jobs {
        let (sender, seeds, next) = (sender.clone(), seeds.clone(), next.clone());
        thread::spawn(move || {
            while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                if sender.send(run_seed(seed, &options)).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

impl Hashes {
    pub(crate) fn carry_out(self) -> ExitCode {
        let options = RunOptions {
            trace: false,
            planted_nondeterminism: self.planted,
        };
        // Another order and other threads than the first run has: neither may matter.
        let seeds = self.seeds.rev().collect();
        for verdict in run_all(seeds, self.jobs, options) {
            println!("{} {}", verdict.seed, verdict.hash.0);
        }
        ExitCode::SUCCESS
    }
}

impl Run {
    pub(crate) fn carry_out(self) -> ExitCode {
        let clock = show::Clock::start();
        let second = self.twice.then(|| self.spawn_second());
        let jobs = if self.twice { self.jobs.div_ceil(2) } else { self.jobs };
        let options = RunOptions {
            trace: false,
            planted_nondeterminism: self.planted,
        };
        let count = self.seeds.end - self.seeds.start;
        let mut totals = Totals::default();
        let mut hashes = BTreeMap::new();
        let mut failures = Vec::new();
        for verdict in run_all(self.seeds.clone().collect(), jobs, options) {
            totals.add(&verdict.report);
            hashes.insert(verdict.seed, verdict.hash);
            if let Some((checker, text)) = &verdict.violation {
                println!("{}", show::failure(verdict.seed, *checker, text));
                failures.push(verdict.seed);
            }
            show::progress(totals.runs, count, failures.len(), &clock);
        }
        show::progress_done();
        if let Some(mut second) = second {
            let differing = compare(&mut second, &hashes);
            for &seed in &differing {
                let text = format!("the second run came to another hash; {}", self.first_difference(seed));
                println!("{}", show::failure(seed, Checker::Determinism, &text));
            }
            failures.extend(differing);
        }
        for seed in self.seeds.clone().filter(|seed| !hashes.contains_key(seed)) {
            println!(
                "{}",
                show::failure(seed, Checker::Idle, "the run never came to a verdict")
            );
            failures.push(seed);
        }
        println!("{}", totals.summary(&clock, self.twice));
        println!("  marks      {}", show::marks());
        let missing = if count >= ENOUGH_SEEDS {
            let missing = totals.missing().into_iter().map(str::to_owned);
            missing
                .chain(totals.missing_versions())
                .chain(missing_marks())
                .collect()
        } else {
            Vec::new()
        };
        if !missing.is_empty() {
            println!("\nNo run had {}: what is not done is not tested.", missing.join(", "));
            return ExitCode::FAILURE;
        }
        if failures.is_empty() {
            println!("\n{count} seeds, no failure.");
            ExitCode::SUCCESS
        } else {
            failures.sort_unstable();
            failures.dedup();
            println!("\n{} of {count} seeds failed.", failures.len());
            ExitCode::FAILURE
        }
    }

    /// The first event that differs between a run here and one in another process.
    fn first_difference(&self, seed: u64) -> String {
        let options = RunOptions {
            trace: true,
            planted_nondeterminism: self.planted,
        };
        let program = std::env::current_exe().expect("this program's own path");
        let mut command = Command::new(program);
        command.args(["replay", &seed.to_string(), "--trace"]);
        if self.planted {
            command.arg("--plant-nondeterminism");
        }
        let output = command.output().expect("a second process for the second run");
        let (_, here) = trace_seed(seed, &options);
        let there = String::from_utf8_lossy(&output.stdout);
        let differing = here.iter().zip(there.lines()).position(|(one, other)| one != other);
        match differing {
            Some(at) => format!(
                "event {at} is\n    {}\n    and then\n    {}",
                here[at],
                there.lines().nth(at).unwrap_or("")
            ),
            None => "a third and a fourth run do not differ".to_owned(),
        }
    }

    fn spawn_second(&self) -> Child {
        let program = std::env::current_exe().expect("this program's own path");
        let mut command = Command::new(program);
        let seeds = format!("{}..{}", self.seeds.start, self.seeds.end);
        // Another number of jobs than the first run has: that must not matter either.
        let jobs = (self.jobs.div_ceil(2) + 1).to_string();
        command.args(["hashes", "--seeds", &seeds, "--jobs", &jobs]);
        if self.planted {
            command.arg("--plant-nondeterminism");
        }
        command
            .stdout(Stdio::piped())
            .spawn()
            .expect("a second process for the second runs")
    }
}

/// Rare paths of the core that no run here has taken.
fn missing_marks() -> impl Iterator<Item = String> {
    let missing = Mark::ALL.iter().filter(|&&mark| marks::passed(mark) == 0);
    missing.map(|mark| format!("the mark {mark:?}"))
}

/// The seeds whose second run came to another hash, or to none.
fn compare(second: &mut Child, hashes: &BTreeMap<u64, TraceHash>) -> Vec<u64> {
    let mut missing: BTreeMap<u64, TraceHash> = hashes.clone();
    let mut differing = Vec::new();
    if let Some(output) = second.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let parsed = line
                .split_once(' ')
                .and_then(|(seed, hash)| Some((seed.parse().ok()?, hash.parse().ok()?)));
            let Some((seed, hash)) = parsed else { continue };
            if missing.remove(&seed).is_some_and(|first| first != TraceHash(hash)) {
                differing.push(seed);
            }
        }
    }
    // A process that fell over has left seeds out: they count as different.
    let _ = second.wait();
    differing.extend(missing.into_keys());
    differing
}
