//! What may be lost, proven by runs: acks (0, 1, all) × flush (fsync, os) × (kill, power cut). The safe cells lose
//! nothing, and the unsafe ones are shown to lose, so that the safe ones mean something.

use crate::options::{Crash, Fault, Options};
use crate::stage::MILLIS;
use crate::world::World;
use crate::{RunOptions, Verdict};
use klamm_core::config::FlushMode;
use std::fmt;

/// One cell of the table.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What producers wait for: `0`, `1` or `all`.
    pub acks: &'static str,
    /// What an acknowledgement waits for: `fsync` or `os`.
    pub flush: &'static str,
    /// How the broker ends: `kill` or `power cut`.
    pub crash: CrashName,
    /// Records that producers may count on, or with acks 0 think they may.
    pub answered: u64,
    /// Those of them that are gone.
    pub lost: u64,
    /// Whether the promise allows that.
    pub may_lose: bool,
}

/// A way to end, by the name people know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrashName(pub Crash);

impl fmt::Display for CrashName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.0 {
            Crash::Kill => "kill",
            Crash::PowerCut => "power cut",
        })
    }
}

/// The table, each cell from `seeds` runs.
pub fn table(seeds: u64) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (acks, acks_name) in [(0, "0"), (1, "1"), (-1, "all")] {
        for (flush, flush_name) in [(FlushMode::Fsync, "fsync"), (FlushMode::Os, "os")] {
            for crash in [Crash::Kill, Crash::PowerCut] {
                let mut cell = Cell {
                    acks: acks_name,
                    flush: flush_name,
                    crash: CrashName(crash),
                    answered: 0,
                    lost: 0,
                    may_lose: acks == 0 || flush == FlushMode::Os && crash == Crash::PowerCut,
                };
                for seed in 0..seeds {
                    let verdict = run_cell(seed, acks, flush, crash);
                    cell.add(acks, &verdict);
                }
                cells.push(cell);
            }
        }
    }
    cells
}

impl Cell {
    fn add(&mut self, acks: i16, verdict: &Verdict) {
        let report = &verdict.report;
        if acks == 0 {
            self.answered += report.records_sent;
            self.lost += report.records_sent.saturating_sub(report.records_read_back);
        } else {
            self.answered += report.records_acked;
            self.lost += report.acked_and_lost + u64::from(verdict.violation.is_some());
        }
    }
}

fn run_cell(seed: u64, acks: i16, flush: FlushMode, crash: Crash) -> Verdict {
    let mut options = Options::draw(seed);
    options.only_plain_producers(acks);
    options.calm = false;
    options.broker.flush = flush;
    options.safety = 800 * MILLIS;
    options.last_crash = None;
    options.crash_in_recovery = 0;
    options.faults = vec![(
        options.safety / 2,
        Fault::Crash {
            crash,
            after_effects: seed % 50,
        },
    )];
    World::new(options, RunOptions::default()).run().0
}
