//! What was compared, what differed, and whether the list of differences knows it.

use crate::compare::{Difference, compare};
use crate::differences::Entry;
use crate::peer::Step;
use klamm_core::wire::versions::{ApiKey, supported};
use std::collections::BTreeMap;

/// How many kinds of unlisted differences are printed.
const SHOWN: usize = 400;
/// How much of a request or value is printed.
const WIDTH: usize = 600;

/// What is drawn where no seed is given: the list of differences is that of this one.
pub(crate) const DEFAULT_SEED: u64 = 1;

/// Scenarios of this kind draw what they send.
const GENERATED: &str = "generated/";

/// How many frames of one version of an API were compared.
#[derive(Clone, Copy, Default)]
struct Frames {
    scripted: usize,
    generated: usize,
}

/// The outcome of a run.
pub(crate) struct Report {
    known: Vec<Entry>,
    seed: u64,
    scenarios: usize,
    frames: BTreeMap<(String, i16), Frames>,
    unlisted: Vec<Difference>,
    broken: usize,
}

impl Report {
    /// Nothing compared yet.
    pub(crate) const fn new(known: Vec<Entry>, seed: u64) -> Self {
        Self {
            known,
            seed,
            scenarios: 0,
            frames: BTreeMap::new(),
            unlisted: Vec::new(),
            broken: 0,
        }
    }

    /// Compares two transcripts of a scenario.
    pub(crate) fn add(&mut self, scenario: &str, kafka: &[Step], klamm: &[Step], ports: [u16; 2]) {
        self.scenarios += 1;
        for step in klamm.iter().filter(|step| !step.quiet) {
            let frames = self.frames.entry((step.api.clone(), step.version)).or_default();
            if scenario.starts_with(GENERATED) {
                frames.generated += 1;
            } else {
                frames.scripted += 1;
            }
        }
        let differences = compare(scenario, kafka, klamm, ports);
        let unlisted = differences
            .into_iter()
            .filter(|difference| !self.known.iter().any(|entry| entry.covers(difference)));
        self.unlisted.extend(unlisted);
    }

    /// A scenario that could not be carried through.
    pub(crate) fn broken(&mut self, scenario: &str, broker: &str, problem: &str) {
        println!("{scenario}: {broker} did not let it be carried through: {problem}\n");
        self.broken += 1;
    }

    /// Prints what each entry of the list covered.
    pub(crate) fn print_listed(&self) {
        for entry in &self.known {
            println!("[{}]", entry.title);
            for [field, kafka, klamm] in entry.values() {
                println!("  {field}: Kafka {kafka:.WIDTH$}; klamm {klamm:.WIDTH$}");
            }
        }
    }

    /// Prints everything; whether all is as the list says, which is the list of one seed: of another only what differs
    /// without being listed is wrong.
    pub(crate) fn finish(&self, complete: bool) -> bool {
        self.print_unlisted();
        let gone = if complete && self.seed == DEFAULT_SEED {
            self.gone()
        } else {
            Vec::new()
        };
        for text in &gone {
            println!("{text}");
        }
        self.print_frames();
        let lacking = if complete { self.lacking() } else { Vec::new() };
        for version in &lacking {
            println!("{version}");
        }
        let listed: usize = self.known.iter().map(Entry::seen).sum();
        let entries = self.known.iter().filter(|entry| entry.seen() > 0).count();
        println!(
            "{} scenarios, {} frames compared; {} fields differ as listed in {entries} entries; {} unlisted differences; {} \
             scenarios broken",
            self.scenarios,
            self.frames
                .values()
                .map(|frames| frames.scripted + frames.generated)
                .sum::<usize>(),
            listed,
            self.unlisted.len(),
            self.broken
        );
        self.unlisted.is_empty() && self.broken == 0 && lacking.is_empty() && gone.is_empty()
    }

    /// What is listed and was not seen.
    fn gone(&self) -> Vec<String> {
        let told = |entry: &Entry| {
            let unseen = entry.unseen();
            let told = unseen.map(|what| format!("listed, but the same in both now: [{}], {what}", entry.title));
            told.collect::<Vec<_>>()
        };
        self.known.iter().flat_map(told).collect()
    }

    /// Prints what differs without being listed, the same difference of several versions once.
    fn print_unlisted(&self) {
        let mut groups: BTreeMap<[&str; 5], Vec<&Difference>> = BTreeMap::new();
        for difference in &self.unlisted {
            let Difference {
                scenario,
                api,
                place,
                kafka,
                klamm,
                ..
            } = difference;
            groups
                .entry([scenario, api, place, kafka, klamm])
                .or_default()
                .push(difference);
        }
        let count = groups.len();
        for ([scenario, api, place, kafka, klamm], differences) in groups.into_iter().take(SHOWN) {
            let mut versions: Vec<String> = differences.iter().map(|one| one.version.to_string()).collect();
            versions.dedup();
            println!("{scenario}\n  {api} {}, {place}", versions.join(" "));
            println!("    Kafka: {kafka:.WIDTH$}\n    klamm: {klamm:.WIDTH$}");
            let [theirs, ours] = differences[0].requests.each_ref().map(ToString::to_string);
            println!("    sent:  {theirs:.WIDTH$}");
            if theirs != ours {
                println!("     and:  {ours:.WIDTH$}");
            }
            if let Some((name, _)) = scenario.split_once(": ").filter(|_| scenario.starts_with(GENERATED)) {
                println!("    again: ci/parity --seed {} '{name}'", self.seed);
            }
            println!();
        }
        if count > SHOWN {
            println!("and {} more\n", count - SHOWN);
        }
    }

    /// The versions that are served and of which nothing was compared.
    fn lacking(&self) -> Vec<String> {
        let mut lacking = Vec::new();
        for &api in ApiKey::ALL {
            let Some((first, last)) = supported(api) else { continue };
            for version in first..=last {
                let frames = self
                    .frames
                    .get(&(api.name().to_owned(), version))
                    .copied()
                    .unwrap_or_default();
                for (count, kind) in [
                    (frames.scripted + frames.generated, "frame"),
                    (frames.generated, "generated frame"),
                ] {
                    if count == 0 {
                        lacking.push(format!("{api} {version} is served, and no {kind} of it was compared"));
                    }
                }
            }
        }
        lacking
    }

    fn print_frames(&self) {
        println!(
            "{:28} {:>9} {:>9}  versions, each with all its frames",
            "API", "scripted", "generated"
        );
        let mut apis: BTreeMap<&str, Vec<(i16, Frames)>> = BTreeMap::new();
        for ((api, version), frames) in &self.frames {
            apis.entry(api).or_default().push((*version, *frames));
        }
        for (api, versions) in apis {
            let sum = |count: fn(&Frames) -> usize| versions.iter().map(|(_, frames)| count(frames)).sum::<usize>();
            let each = versions
                .iter()
                .map(|(version, frames)| format!("{version}: {}", frames.scripted + frames.generated));
            let each: Vec<String> = each.collect();
            let (scripted, generated) = (sum(|frames| frames.scripted), sum(|frames| frames.generated));
            println!("{api:28} {scripted:>9} {generated:>9}  {}", each.join(", "));
        }
    }
}
