//! `replay`: one seed, told.

use crate::show;
use klamm_sim::{RunOptions, trace_seed};
use std::process::ExitCode;

/// `replay`.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) seed: u64,
    pub(crate) trace: bool,
    pub(crate) planted: bool,
    pub(crate) bug: Option<String>,
}

impl Replay {
    pub(crate) fn carry_out(self) -> ExitCode {
        if let Some(bug) = &self.bug
            && let Err(problem) = crate::hunt::switch_on(bug)
        {
            eprintln!("klamm-sim: {problem}");
            return ExitCode::from(2);
        }
        let options = RunOptions {
            trace: self.trace,
            planted_nondeterminism: self.planted,
        };
        let (verdict, lines) = if self.trace {
            trace_seed(self.seed, &options)
        } else {
            (klamm_sim::run_seed(self.seed, &options), Vec::new())
        };
        for line in lines {
            println!("{line}");
        }
        println!("{}", klamm_sim::describe_seed(self.seed));
        println!("{}", show::report(&verdict));
        match &verdict.violation {
            None => ExitCode::SUCCESS,
            Some((checker, text)) => {
                println!("\n{}", show::failure(self.seed, *checker, text));
                ExitCode::FAILURE
            }
        }
    }
}
