//! What the command line asks for.

use crate::{hunt, replay, run};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::process::ExitCode;

/// Shown by `--help` and after a mistake.
pub(crate) const HELP: &str = "\
Runs Klamm in World, its deterministic simulator: a broker on a simulated disk, clock and network,
under kills, power cuts and failing disks, watched by an oracle that shares no code with it.

Usage:
  klamm-sim run --seeds A..B [--jobs N] [--once]
      Runs the seeds A to B-1, each twice: here, and in another process in another order.
      Both must come to the same hash. --once leaves the second run out.
  klamm-sim replay SEED [--trace]
      Runs one seed and tells what it did; --trace tells every event.
  klamm-sim hunt [--bug NAME] [--seeds N] [--from SEED] [--ranges N] [--jobs N]
      Switches on each deliberate bug in turn and runs fresh seeds until the checker that is
      named for it catches it, at most N (100). Needs a build with RUSTFLAGS='--cfg klamm_bugs'.
      --ranges hunts each in so many ranges of N seeds, one behind the other.
  klamm-sim losses [--seeds N]
      Shows what may be lost: acks x flush x (kill, power cut), as runs of N seeds (40) see it.

Options of run and replay:
  --plant-nondeterminism   Lets runs depend on this machine, to prove that the check sees it.";

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Run(run::Run),
    Hashes(run::Hashes),
    Replay(replay::Replay),
    Hunt(hunt::Hunt),
    Losses { seeds: u64 },
}

impl Command {
    pub(crate) fn carry_out(self) -> ExitCode {
        match self {
            Self::Help => {
                println!("{HELP}");
                ExitCode::SUCCESS
            }
            Self::Run(run) => run.carry_out(),
            Self::Hashes(hashes) => hashes.carry_out(),
            Self::Replay(replay) => replay.carry_out(),
            Self::Hunt(hunt) => hunt.carry_out(),
            Self::Losses { seeds } => crate::losses::carry_out(seeds),
        }
    }
}

/// The options that were given, each taken once.
struct Given(Vec<String>);

impl Given {
    fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|argument| argument == name);
        at.map(|at| self.0.remove(at)).is_some()
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(at) = self.0.iter().position(|argument| argument == name) else {
            return Ok(None);
        };
        self.0.remove(at);
        if at < self.0.len() {
            Ok(Some(self.0.remove(at)))
        } else {
            Err(format!("{name} needs a value"))
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        let number = self.value(name)?;
        number
            .map(|text| text.parse().map_err(|_| format!("{name}: {text} is not a number")))
            .transpose()
    }

    fn jobs(&mut self) -> Result<usize, String> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Ok(self.number("--jobs")?.map_or(cores, |jobs| (jobs as usize).max(1)))
    }

    fn rest(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some(unknown) => Err(format!("what does {unknown} mean here?")),
        }
    }
}

/// Reads the command line.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut given = Given(arguments.collect());
    if given.0.is_empty() || given.flag("--help") || given.flag("-h") {
        return Ok(Command::Help);
    }
    let command = given.0.remove(0);
    let planted = given.flag("--plant-nondeterminism");
    let command = match command.as_str() {
        "help" => Command::Help,
        "run" => Command::Run(run::Run {
            seeds: seeds(&mut given)?,
            jobs: given.jobs()?,
            twice: !given.flag("--once"),
            planted,
        }),
        "hashes" => Command::Hashes(run::Hashes {
            seeds: seeds(&mut given)?,
            jobs: given.jobs()?,
            planted,
        }),
        "replay" => {
            let trace = given.flag("--trace");
            let seed = if given.0.is_empty() {
                None
            } else {
                Some(given.0.remove(0))
            };
            let seed = seed.ok_or("replay needs a seed")?;
            let seed = seed.parse().map_err(|_| format!("{seed} is not a seed"))?;
            let bug = given.value("--bug")?;
            Command::Replay(replay::Replay {
                seed,
                trace,
                planted,
                bug,
            })
        }
        "hunt" => Command::Hunt(hunt::Hunt {
            bug: given.value("--bug")?,
            seeds: given.number("--seeds")?.unwrap_or(100),
            from: given.number("--from")?.unwrap_or(1_000_000),
            ranges: given.number("--ranges")?.unwrap_or(1).max(1),
            jobs: given.jobs()?,
        }),
        "losses" => Command::Losses {
            seeds: given.number("--seeds")?.unwrap_or(40),
        },
        unknown => return Err(format!("there is no command {unknown}")),
    };
    given.rest()?;
    Ok(command)
}

fn seeds(given: &mut Given) -> Result<Range<u64>, String> {
    let text = given.value("--seeds")?.ok_or("--seeds A..B says which seeds to run")?;
    let range = text
        .split_once("..")
        .and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    let range = range.ok_or_else(|| format!("--seeds: {text} is not of the form A..B"))?;
    if range.is_empty() {
        return Err(format!("--seeds: there is no seed in {text}"));
    }
    Ok(range)
}
