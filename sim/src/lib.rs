//! World: a deterministic simulator of Klamm brokers.
//!
//! `seed → options → world → verdict`: one integer decides everything about a run, its broker's configuration, workload,
//! delays and faults, and the same integer replays it.

mod batch;
mod client;
mod compaction;
mod compress;
pub mod disk;
pub mod draw;
mod frame;
mod image;
mod link;
pub mod losses;
mod options;
mod oracle;
mod panics;
mod report;
mod stage;
mod trace;
mod value;
mod world;

pub use options::Crash;
pub use oracle::{Checker, GroupCounts, Tally};
pub use panics::keep_quiet;
pub use report::{Report, Verdict};
pub use trace::TraceHash;
pub use world::RunOptions;

use options::Options;
use world::World;

/// Runs `seed` to its verdict.
pub fn run_seed(seed: u64, run: &RunOptions) -> Verdict {
    let verdict = std::panic::catch_unwind(|| World::new(Options::draw(seed), *run).run().0);
    verdict.unwrap_or_else(|panic| Verdict {
        seed,
        hash: TraceHash(0),
        violation: Some((Checker::Assertion, panics::message(panic.as_ref()))),
        report: Report::default(),
    })
}

/// Runs `seed` to its verdict, and tells every event in a line.
pub fn trace_seed(seed: u64, run: &RunOptions) -> (Verdict, Vec<String>) {
    let run = RunOptions { trace: true, ..*run };
    World::new(Options::draw(seed), run).run()
}

/// What `seed` is like: its broker, clients and faults.
pub fn describe_seed(seed: u64) -> String {
    Options::draw(seed).describe()
}
