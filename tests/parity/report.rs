//! What was compared, what differed, and whether the list of differences knows it.

use crate::compare::{Difference, compare};
use crate::differences::Entry;
use crate::peer::Step;
use std::collections::BTreeMap;

/// How many kinds of unlisted differences are printed.
const SHOWN: usize = 40000;
/// How much of a request or value is printed.
const WIDTH: usize = 600;

/// The outcome of a run.
pub(crate) struct Report {
    known: Vec<Entry>,
    scenarios: usize,
    frames: BTreeMap<(String, i16), usize>,
    unlisted: Vec<Difference>,
    broken: usize,
}

impl Report {
    /// Nothing compared yet.
    pub(crate) const fn new(known: Vec<Entry>) -> Self {
        Self {
            known,
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
            *self.frames.entry((step.api.clone(), step.version)).or_default() += 1;
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

    /// Prints everything; whether all is as the list says.
    pub(crate) fn finish(&self, complete: bool) -> bool {
        self.print_unlisted();
        let gone: Vec<(&Entry, &str)> = self
            .known
            .iter()
            .flat_map(|entry| entry.unseen().map(move |place| (entry, place)))
            .collect();
        if complete {
            for (entry, place) in &gone {
                println!("listed, but the same in both now: [{}] in {place}", entry.title);
            }
        }
        self.print_frames();
        let listed: usize = self.known.iter().map(Entry::seen).sum();
        let entries = self.known.iter().filter(|entry| entry.seen() > 0).count();
        println!(
            "{} scenarios, {} frames compared; {} fields differ as listed in {entries} entries; {} unlisted differences; {} \
             scenarios broken",
            self.scenarios,
            self.frames.values().sum::<usize>(),
            listed,
            self.unlisted.len(),
            self.broken
        );
        self.unlisted.is_empty() && self.broken == 0 && (!complete || gone.is_empty())
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
            println!();
        }
        if count > SHOWN {
            println!("and {} more\n", count - SHOWN);
        }
    }

    fn print_frames(&self) {
        let mut apis: BTreeMap<&str, Vec<(i16, usize)>> = BTreeMap::new();
        for ((api, version), count) in &self.frames {
            apis.entry(api).or_default().push((*version, *count));
        }
        println!("frames by API and version:");
        for (api, versions) in apis {
            let total: usize = versions.iter().map(|(_, count)| count).sum();
            let each: Vec<String> = versions
                .iter()
                .map(|(version, count)| format!("{version}: {count}"))
                .collect();
            println!("  {api} {total} ({})", each.join(", "));
        }
    }
}
