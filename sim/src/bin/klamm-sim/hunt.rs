//! `hunt`: every deliberate bug must be caught, by the checker that is named for it.

use klamm_core::bugs::Bug;
use klamm_sim::Checker;
#[cfg(not(klamm_bugs))]
use std::process::ExitCode;

/// `hunt`.
#[derive(Debug)]
#[cfg_attr(
    not(klamm_bugs),
    allow(dead_code, reason = "only a build with deliberate bugs hunts them")
)]
pub(crate) struct Hunt {
    pub(crate) bug: Option<String>,
    pub(crate) seeds: u64,
    pub(crate) from: u64,
    /// How many ranges of so many seeds, one behind the other: each bug is hunted in all of them.
    pub(crate) ranges: u64,
    pub(crate) jobs: usize,
}

/// The checkers that may catch a bug; DESIGN.md has the same table.
#[cfg_attr(
    not(klamm_bugs),
    allow(dead_code, reason = "only a build with deliberate bugs hunts them")
)]
fn named_checkers(bug: Bug) -> &'static [Checker] {
    match bug {
        Bug::AckBeforeFsync
        | Bug::NoDirectorySync
        | Bug::SyncCoversLaterWrites
        | Bug::RetryFailedSync
        | Bug::CloseDirtyDescriptor
        | Bug::FailedNameSyncBelieved
        | Bug::RecoverWithoutSync => &[Checker::AcknowledgedDurability],
        // What was synced is gone from the log, whether it was acknowledged by then or not.
        Bug::CleanPagesTrusted => &[Checker::Recovery, Checker::AcknowledgedDurability],
        Bug::SkipTailCrc
        | Bug::KeepIndexPastTail
        | Bug::ManifestBeforeSync
        | Bug::ManifestLeftStanding
        | Bug::HeaderRotServed
        | Bug::BodyRotServed
        | Bug::GapAfterShortWrite
        | Bug::CutBelowNote
        | Bug::CompactionSwapNotSynced => &[Checker::Recovery],
        Bug::ForgetProducers
        | Bug::StaleProducerSnapshot
        | Bug::DuplicateWindowOfOne
        | Bug::RetryGetsNewOffset
        | Bug::RetryAnsweredEarly
        | Bug::CleanCloseForgetsProducers
        | Bug::LastBatchCompactedAway => &[Checker::Idempotence],
        // What they say of a log that it does not hold shows wherever the log is used.
        Bug::MetaCrcNotChecked => &[
            Checker::Recovery,
            Checker::Liveness,
            Checker::AcknowledgedDurability,
            Checker::Idempotence,
            Checker::TimeLookup,
        ],
        Bug::KeepLeaderEpoch => &[Checker::LeaderEpoch],
        Bug::ProducerIdsNotReserved => &[Checker::ProducerIds],
        Bug::LostWakeUp | Bug::JoinTimerNotRearmed | Bug::SessionTimerNotRearmed | Bug::SyncedNotedEarly => {
            &[Checker::Liveness]
        }
        Bug::DeletedTopicResurrects => &[Checker::RecreatedTopic],
        Bug::TombstoneRemovedEarly | Bug::LastValueCompactedAway => &[Checker::Compaction],
        Bug::StartMarkNotSynced => &[Checker::DeletedRecords],
        Bug::StaleGreatestTimestamp => &[Checker::TimeLookup],
        Bug::HaltOnNoSpace | Bug::OneLogHaltsAll => &[Checker::Halts],
        Bug::EffectsReordered | Bug::ResponsesReordered => &[Checker::Order],
        Bug::LostCredit | Bug::LostLease => &[Checker::Liveness, Checker::Bounds],
        Bug::GenerationNotDurable | Bug::GroupRecordOutlivesDeletion => &[Checker::Generations],
        Bug::LostCharge => &[Checker::Bounds],
        Bug::StaleGenerationCommits => &[Checker::Generations, Checker::GroupOffsets],
        Bug::RebalanceWithoutWaiting => &[Checker::OneOwner],
        Bug::OffsetAnsweredEarly | Bug::OffsetsAgeByWallClock => &[Checker::GroupOffsets],
        Bug::GroupDeletionAnsweredEarly => &[Checker::GroupOffsets, Checker::Generations],
        Bug::AssignmentAnsweredEarly => &[Checker::OneOwner, Checker::Generations],
    }
}

fn find(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL
        .into_iter()
        .find(|bug| format!("{bug:?}").eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let names: Vec<String> = Bug::ALL.iter().map(|bug| format!("{bug:?}")).collect();
        format!("there is no deliberate bug {name}; there are {}", names.join(", "))
    })
}

#[cfg(not(klamm_bugs))]
const NOT_BUILT: &str = "this build has no deliberate bugs: build with RUSTFLAGS='--cfg klamm_bugs'";

/// Switches a bug on for the whole process.
#[cfg(not(klamm_bugs))]
pub(crate) fn switch_on(name: &str) -> Result<(), String> {
    find(name)?;
    Err(NOT_BUILT.to_owned())
}

/// Switches a bug on for the whole process.
#[cfg(klamm_bugs)]
pub(crate) fn switch_on(name: &str) -> Result<(), String> {
    klamm_core::bugs::select(Some(find(name)?));
    Ok(())
}

#[cfg(not(klamm_bugs))]
impl Hunt {
    pub(crate) fn carry_out(self) -> ExitCode {
        let problem = self.bug.as_deref().and_then(|name| find(name).err());
        eprintln!("klamm-sim: {}", problem.as_deref().unwrap_or(NOT_BUILT));
        ExitCode::from(2)
    }
}

#[cfg(klamm_bugs)]
mod hunting {
    use super::{Hunt, find, named_checkers};
    use crate::run::run_all;
    use klamm_core::bugs::{Bug, select};
    use klamm_sim::{Checker, RunOptions};
    use std::collections::BTreeMap;
    use std::process::ExitCode;

    /// How a hunt for one bug went.
    struct Trail {
        /// Seeds needed, and the one that caught it.
        caught: Option<(u64, u64, Checker)>,
        /// What other checkers saw before.
        others: BTreeMap<Checker, u64>,
    }

    impl Hunt {
        pub(crate) fn carry_out(self) -> ExitCode {
            let bugs = match self.bug.as_deref().map(find) {
                None => Bug::ALL.to_vec(),
                Some(Ok(bug)) => vec![bug],
                Some(Err(problem)) => {
                    eprintln!("klamm-sim: {problem}");
                    return ExitCode::from(2);
                }
            };
            println!(
                "{:<24} {:>6}  {:<24} {:>10}  before that",
                "bug", "seeds", "caught by", "seed"
            );
            let mut needed = Vec::new();
            for bug in bugs {
                for range in 0..self.ranges {
                    select(Some(bug));
                    let trail = self.hunt(bug, self.from + range * self.seeds);
                    select(None);
                    needed.push(trail.caught.map(|(seeds, ..)| seeds));
                    println!("{}", line(bug, &trail, self.seeds));
                }
            }
            let escaped = needed.iter().filter(|seeds| seeds.is_none()).count();
            println!("\n{}", spread(needed));
            if escaped == 0 {
                println!("Every bug was caught by its named checker.");
                ExitCode::SUCCESS
            } else {
                println!("{escaped} not caught by the named checker within {} seeds.", self.seeds);
                ExitCode::FAILURE
            }
        }

        /// Fresh seeds in order, a few at a time, until one is caught.
        fn hunt(&self, bug: Bug, from: u64) -> Trail {
            let named = named_checkers(bug);
            let mut trail = Trail {
                caught: None,
                others: BTreeMap::new(),
            };
            let chunk = (self.jobs as u64 * 2).max(1);
            let mut done = 0;
            while trail.caught.is_none() && done < self.seeds {
                let count = chunk.min(self.seeds - done);
                let first = from + done;
                let verdicts = run_all((first..first + count).collect(), self.jobs, RunOptions::default());
                let mut verdicts: Vec<_> = verdicts.iter().collect();
                verdicts.sort_by_key(|verdict| verdict.seed);
                for verdict in verdicts {
                    match verdict.violation {
                        Some((checker, _)) if named.contains(&checker) && trail.caught.is_none() => {
                            trail.caught = Some((verdict.seed - from + 1, verdict.seed, checker));
                        }
                        Some((checker, _)) if trail.caught.is_none() => *trail.others.entry(checker).or_default() += 1,
                        _ => {}
                    }
                }
                done += count;
            }
            trail
        }
    }

    /// How many seeds the hunts needed; one that was in vain needed more than all others.
    fn spread(needed: Vec<Option<u64>>) -> String {
        let mut seeds: Vec<u64> = needed.into_iter().map(|seeds| seeds.unwrap_or(u64::MAX)).collect();
        seeds.sort_unstable();
        let at = |share: usize| match seeds[(seeds.len() - 1) * share / 100] {
            u64::MAX => String::from("none"),
            seeds => seeds.to_string(),
        };
        let (median, most) = (at(50), at(100));
        format!(
            "{} hunts: seeds needed, median {median}, 95th percentile {}, most {most}.",
            seeds.len(),
            at(95)
        )
    }

    fn line(bug: Bug, trail: &Trail, most: u64) -> String {
        let others: Vec<String> = trail
            .others
            .iter()
            .map(|(checker, count)| format!("{checker} {count}"))
            .collect();
        let name = format!("{bug:?}");
        match trail.caught {
            Some((seeds, seed, checker)) => {
                format!(
                    "{name:<24} {seeds:>6}  {:<24} {seed:>10}  {}",
                    checker.name(),
                    others.join(", ")
                )
            }
            None => format!(
                "{name:<24} {:>6}  {:<24} {:>10}  {}",
                format!(">{most}"),
                "ESCAPED",
                "",
                others.join(", ")
            ),
        }
    }
}
