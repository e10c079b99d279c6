//! `klamm-sim`: runs Klamm in simulation, replays what went wrong, hunts deliberate bugs.

mod arguments;
mod hunt;
mod losses;
mod replay;
mod run;
mod show;

use std::process::ExitCode;

fn main() -> ExitCode {
    klamm_sim::keep_quiet();
    match arguments::parse(std::env::args().skip(1)) {
        Ok(command) => command.carry_out(),
        Err(problem) => {
            eprintln!("klamm-sim: {problem}\n\n{}", arguments::HELP);
            ExitCode::from(2)
        }
    }
}
