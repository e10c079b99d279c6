//! Two transcripts of one scenario, field by field.

use crate::mask::{KEYED, Masks, plain};
use crate::peer::{Outcome, Step};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// One field that the two brokers answered differently.
#[derive(Clone)]
pub(crate) struct Difference {
    /// The scenario, and what it was about to show.
    pub(crate) scenario: String,
    pub(crate) api: String,
    pub(crate) version: i16,
    /// Where in the answer, without the places in arrays.
    pub(crate) field: String,
    /// Where in the answer.
    pub(crate) place: String,
    /// What each answered; `absent` for a field or element that only the other one has.
    pub(crate) kafka: String,
    pub(crate) klamm: String,
    /// What was sent to each.
    pub(crate) requests: [Json; 2],
}

/// The place of what is no field of an answer: whether there was one, and what was sent.
const OUTCOME: &str = "outcome";
const SENT: &str = "sent";
const ABSENT: &str = "absent";

/// All differences between what Kafka and klamm answered; their ports are `ports`.
pub(crate) fn compare(scenario: &str, kafka: &[Step], klamm: &[Step], ports: [u16; 2]) -> Vec<Difference> {
    let (kafka, klamm) = (masked(kafka, ports[0]), masked(klamm, ports[1]));
    let mut differences = Vec::new();
    for (theirs, ours) in kafka.iter().zip(&klamm) {
        let name = if theirs.0.note.is_empty() {
            scenario.to_owned()
        } else {
            format!("{scenario}: {}", theirs.0.note)
        };
        let mut found = Found {
            scenario: &name,
            step: [theirs.0, ours.0],
            differences: &mut differences,
        };
        let [sent, also] = [theirs.0, ours.0].map(|step| format!("{} {} ({})", step.api, step.version, step.note));
        if sent != also {
            found.add(SENT, &sent, &also);
            break;
        }
        found.outcomes(&theirs.1, &ours.1);
    }
    if kafka.len() != klamm.len()
        && let (Some(theirs), Some(ours)) = (kafka.last(), klamm.last())
    {
        let mut found = Found {
            scenario,
            step: [theirs.0, ours.0],
            differences: &mut differences,
        };
        found.add(
            SENT,
            &format!("{} requests", kafka.len()),
            &format!("{} requests", klamm.len()),
        );
    }
    differences
}

/// The steps to compare, with their outcomes masked.
fn masked(steps: &[Step], port: u16) -> Vec<(&Step, Outcome)> {
    let mut masks = Masks::new(port);
    let mut compared = Vec::new();
    for step in steps {
        let outcome = match &step.outcome {
            Outcome::Answer(answer) => Outcome::Answer(masks.apply(&step.api, answer)),
            other => other.clone(),
        };
        if !step.quiet {
            compared.push((step, outcome));
        }
    }
    compared
}

struct Found<'a> {
    scenario: &'a str,
    step: [&'a Step; 2],
    differences: &'a mut Vec<Difference>,
}

impl Found<'_> {
    fn outcomes(&mut self, kafka: &Outcome, klamm: &Outcome) {
        if let (Outcome::Answer(kafka), Outcome::Answer(klamm)) = (kafka, klamm) {
            self.values("", kafka, klamm);
        } else if kafka != klamm {
            self.add(OUTCOME, &told(kafka), &told(klamm));
        }
    }

    fn values(&mut self, place: &str, kafka: &Json, klamm: &Json) {
        match (kafka, klamm) {
            (Json::Object(theirs), Json::Object(ours)) => {
                let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
                for name in names {
                    let inner = match (place, place.strip_suffix(KEYED)) {
                        ("", _) => name.clone(),
                        (_, Some(array)) => format!("{}{{{name}}}", array.trim_end_matches('.')),
                        (place, None) => format!("{place}.{name}"),
                    };
                    match (theirs.get(name), ours.get(name)) {
                        (Some(theirs), Some(ours)) => self.values(&inner, theirs, ours),
                        (theirs, ours) => self.add(&inner, &shown(theirs), &shown(ours)),
                    }
                }
            }
            (Json::Array(theirs), Json::Array(ours)) => {
                for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                    self.values(&format!("{place}[{index}]"), theirs, ours);
                }
                if theirs.len() != ours.len() {
                    self.add(
                        &format!("{place}.length"),
                        &theirs.len().to_string(),
                        &ours.len().to_string(),
                    );
                }
            }
            (kafka, klamm) if kafka != klamm => self.add(place, &plain(kafka), &plain(klamm)),
            _ => {}
        }
    }

    fn add(&mut self, place: &str, kafka: &str, klamm: &str) {
        let [theirs, ours] = self.step;
        self.differences.push(Difference {
            scenario: self.scenario.to_owned(),
            api: theirs.api.clone(),
            version: theirs.version,
            field: without_indexes(place),
            place: place.to_owned(),
            kafka: kafka.to_owned(),
            klamm: klamm.to_owned(),
            requests: [theirs.request.clone(), ours.request.clone()],
        });
    }
}

fn shown(value: Option<&Json>) -> String {
    value.map_or_else(|| ABSENT.to_owned(), plain)
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answer(answer) => format!("answer {answer}"),
        Outcome::Unreadable(problem) => format!("unreadable: {problem}"),
        Outcome::Closed => "closed".to_owned(),
        Outcome::Silence => "silence".to_owned(),
    }
}

/// `a[0].b{x}[1].c` as `a.b{x}.c`.
fn without_indexes(place: &str) -> String {
    let mut field = String::new();
    let mut inside = false;
    for character in place.chars() {
        match character {
            '[' => inside = true,
            ']' => inside = false,
            _ if !inside => field.push(character),
            _ => {}
        }
    }
    field
}
