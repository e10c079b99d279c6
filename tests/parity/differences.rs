//! The differences that are known, in `differences.txt` and `differences_of_records.txt`: what differs, where, and why that
//! is right.
//!
//! Invariant: the list is true, and no wider than what was seen. An entry that nothing matches is as wrong as a difference
//! that no entry names, and so is a value that was never answered.

use crate::compare::Difference;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// A known difference.
pub(crate) struct Entry {
    pub(crate) title: String,
    cases: Vec<Case>,
    /// What was covered: API and field, Kafka's value, and klamm's.
    values: RefCell<BTreeSet<[String; 3]>>,
}

/// Some fields, and what each broker says in them.
#[derive(Default)]
struct Case {
    places: Vec<Place>,
    pairs: Vec<Pair>,
}

/// What Kafka says where klamm says that.
struct Pair {
    kafka: Vec<Value>,
    klamm: Vec<Value>,
}

/// A value, with `*` for anything in it, and how often it was seen.
struct Value {
    pattern: String,
    seen: Cell<usize>,
}

/// `API versions field`, and how often it was seen.
struct Place {
    text: String,
    api: String,
    versions: (i16, i16),
    field: String,
    scenario: String,
    seen: Cell<usize>,
}

/// Reads the list. Each entry begins with its title in brackets; then come lines of `key: value`, where a line that
/// begins with a space goes on with the value before it.
pub(crate) fn read(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for block in text.split("\n[").skip(1) {
        let (title, body) = block
            .split_once("]\n")
            .ok_or_else(|| format!("no title ends in: {block:.60}"))?;
        entries.push(entry(title, body).map_err(|problem| format!("[{title}]: {problem}"))?);
    }
    Ok(entries)
}

fn entry(title: &str, body: &str) -> Result<Entry, String> {
    let mut lines: Vec<String> = Vec::new();
    for line in body.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix(' '), lines.last_mut()) {
            (Some(more), Some(last)) => *last = format!("{last} {}", more.trim()),
            _ => lines.push(line.to_owned()),
        }
    }
    let pairs = lines.iter().map(|line| {
        let (key, value) = line.split_once(':').ok_or_else(|| format!("no key: {line}"))?;
        Ok((key, value.trim()))
    });
    let pairs: Vec<(&str, &str)> = pairs.collect::<Result<_, String>>()?;
    let all = |wanted: &str| {
        pairs
            .iter()
            .filter(|(key, _)| *key == wanted)
            .map(|(_, value)| *value)
            .collect()
    };
    let reasons: Vec<&str> = all("why");
    if !matches!(reasons[..], [why] if why.len() >= 20) {
        return Err("it has no reason, or one too short to be one".to_owned());
    }
    let mut scenarios: Vec<&str> = all("scenario");
    if scenarios.is_empty() {
        scenarios.push("*");
    }
    let scenarios: Vec<String> = scenarios.into_iter().flat_map(alternatives).collect();
    Ok(Entry {
        title: title.to_owned(),
        cases: cases(&pairs, &scenarios)?,
        values: RefCell::default(),
    })
}

/// The cases of an entry: each begins with its places, and then come the values in pairs.
fn cases(pairs: &[(&str, &str)], scenarios: &[String]) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut theirs: Option<Vec<Value>> = None;
    for &(key, value) in pairs {
        if key == "in" && cases.last().is_none_or(|last| !last.pairs.is_empty()) {
            cases.push(Case::default());
        }
        match (key, cases.last_mut()) {
            ("in", Some(last)) => {
                for field in alternatives(value) {
                    for scenario in scenarios {
                        last.places.push(place(&field, scenario)?);
                    }
                }
            }
            ("kafka", Some(_)) if theirs.is_none() => theirs = Some(values(value)?),
            ("klamm", Some(last)) => last.pairs.push(Pair {
                kafka: theirs.take().ok_or("klamm says something where Kafka says nothing")?,
                klamm: values(value)?,
            }),
            ("scenario" | "why", _) => {}
            _ => return Err(format!("{key} is no key, or not in its place")),
        }
    }
    if cases.is_empty() || cases.iter().any(|case| case.pairs.is_empty()) || theirs.is_some() {
        return Err("it is nowhere, or nothing is said there".to_owned());
    }
    Ok(cases)
}

fn values(text: &str) -> Result<Vec<Value>, String> {
    let value = |pattern: String| {
        if pattern == "*" {
            return Err("a value may be anything".to_owned());
        }
        Ok(Value {
            pattern,
            seen: Cell::new(0),
        })
    };
    alternatives(text).into_iter().map(value).collect()
}

/// `a<b|c>d` as `abd` and `acd`, and so on for each such group; a text without one as it is.
fn alternatives(text: &str) -> Vec<String> {
    let group = text
        .split_once('<')
        .and_then(|(before, rest)| Some((before, rest.split_once('>')?)));
    let Some((before, (group, after))) = group else {
        return vec![text.to_owned()];
    };
    let ends = alternatives(after);
    let each = |one: &str| {
        let start = format!("{before}{}", one.trim());
        ends.iter().map(|end| format!("{start}{end}")).collect::<Vec<_>>()
    };
    group.split('|').flat_map(each).collect()
}

fn place(text: &str, scenario: &str) -> Result<Place, String> {
    let words: Vec<&str> = text.splitn(3, ' ').collect();
    let [api, versions, field] = words[..] else {
        return Err(format!("{text} is not: API versions field"));
    };
    let (first, last) = versions.rsplit_once('-').unwrap_or((versions, versions));
    let number = |text: &str| text.parse().map_err(|_| format!("{text} is no version"));
    Ok(Place {
        text: format!("{text}, scenario {scenario}"),
        api: api.to_owned(),
        versions: (number(first)?, number(last)?),
        field: field.to_owned(),
        scenario: scenario.to_owned(),
        seen: Cell::new(0),
    })
}

impl Entry {
    /// Whether this entry names the difference; counts it if so.
    pub(crate) fn covers(&self, difference: &Difference) -> bool {
        let found = self.cases.iter().find_map(|case| {
            let place = case.places.iter().find(|place| place.is_of(difference))?;
            let values = case.pairs.iter().find_map(|pair| pair.of(difference))?;
            Some((&place.seen, values))
        });
        let Some((place, values)) = found else { return false };
        for seen in [place].into_iter().chain(values) {
            seen.set(seen.get() + 1);
        }
        let field = format!("{} {}", difference.api, difference.field);
        let value = [field, difference.kafka.clone(), difference.klamm.clone()];
        self.values.borrow_mut().insert(value);
        true
    }

    /// What it covered: API and field, Kafka's value, and klamm's.
    pub(crate) fn values(&self) -> Vec<[String; 3]> {
        self.values.borrow().iter().cloned().collect()
    }

    /// How many differences it covered.
    pub(crate) fn seen(&self) -> usize {
        let places = self.cases.iter().flat_map(|case| &case.places);
        places.map(|place| place.seen.get()).sum()
    }

    /// The places where nothing differed, and the values that nobody answered.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = String> {
        self.cases.iter().flat_map(|case| {
            let places = case.places.iter().filter(|place| place.seen.get() == 0);
            let places = places.map(|place| place.text.clone());
            let values = case.pairs.iter().flat_map(|pair| {
                let theirs = unsaid("Kafka", &pair.kafka);
                theirs.chain(unsaid("klamm", &pair.klamm))
            });
            places.chain(values)
        })
    }
}

/// The values that `who` never answered.
fn unsaid(who: &str, values: &[Value]) -> impl Iterator<Item = String> {
    let unsaid = values.iter().filter(|value| value.seen.get() == 0);
    unsaid.map(move |value| format!("{who}'s value {}", value.pattern))
}

impl Pair {
    /// What the two said, where it is this.
    fn of(&self, difference: &Difference) -> Option<[&Cell<usize>; 2]> {
        let find = |values: &[Value], text: &str| values.iter().position(|value| matches(&value.pattern, text));
        let (theirs, ours) = (
            find(&self.kafka, &difference.kafka)?,
            find(&self.klamm, &difference.klamm)?,
        );
        Some([&self.kafka[theirs].seen, &self.klamm[ours].seen])
    }
}

impl Place {
    fn is_of(&self, difference: &Difference) -> bool {
        (self.api == "*" || self.api == difference.api)
            && (self.versions.0..=self.versions.1).contains(&difference.version)
            && matches(&self.field, &difference.field)
            && matches(&self.scenario, &difference.scenario)
    }
}

/// Whether `text` is `pattern`, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pattern
        .contains('*')
        .then(|| pattern.rsplit('*').next().unwrap_or_default())
    else {
        return rest.is_empty();
    };
    let middle: Vec<&str> = parts.collect();
    for part in &middle[..middle.len() - 1] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{alternatives, matches, read};
    use crate::compare::Difference;
    use serde_json::Value as Json;

    const LIST: &str = "Known differences.\n\n[a title]\nin: Fetch 4-11 responses.*\nkafka: 3\nklamm: <0|1>\n\
                        why: because of this,\n and of that, at length\n";

    fn difference(version: i16, kafka: &str) -> Difference {
        Difference {
            scenario: "fetch/some: thing".to_owned(),
            api: "Fetch".to_owned(),
            version,
            field: "responses.partitions.error_code".to_owned(),
            place: String::new(),
            kafka: kafka.to_owned(),
            klamm: "0".to_owned(),
            requests: [Json::Null, Json::Null],
        }
    }

    #[test]
    fn an_entry_covers_what_it_names_and_nothing_else() {
        let entries = read(LIST).unwrap();
        assert!(entries[0].covers(&difference(4, "3")) && entries[0].covers(&difference(11, "3")));
        assert!(!entries[0].covers(&difference(12, "3")), "another version");
        assert!(!entries[0].covers(&difference(5, "6")), "another value");
        assert_eq!(entries[0].seen(), 2);
    }

    #[test]
    fn what_was_never_seen_is_told() {
        let entries = read(LIST).unwrap();
        assert_eq!(entries[0].unseen().count(), 4, "a place, and three values");
        assert!(entries[0].covers(&difference(4, "3")));
        assert_eq!(entries[0].unseen().collect::<Vec<_>>(), ["klamm's value 1"]);
    }

    #[test]
    fn values_belong_to_each_other_and_to_their_places() {
        let more = "kafka: 5\nklamm: 7\nin: Fetch 4 responses.offset\nkafka: 9\nklamm: 0\nwhy";
        let entries = read(&LIST.replace("why", more)).unwrap();
        assert!(
            !entries[0].covers(&difference(4, "5")),
            "what klamm says is another pair's"
        );
        assert!(
            !entries[0].covers(&difference(4, "9")),
            "what Kafka says is another field's"
        );
        let five = Difference {
            klamm: "7".to_owned(),
            ..difference(4, "5")
        };
        assert!(entries[0].covers(&five));
    }

    #[test]
    fn an_entry_needs_all_its_parts() {
        for cut in [
            "in: Fetch 4-11 responses.*\n",
            "kafka: 3\n",
            "why: because of this,\n and of that, at length\n",
        ] {
            assert!(read(&LIST.replace(cut, "")).is_err(), "without {cut}");
        }
        assert!(read(&LIST.replace("4-11", "all")).is_err());
        assert!(read(&LIST.replace("klamm:", "clamm:")).is_err());
        assert!(read(&LIST.replace("klamm: <0|1>\n", "")).is_err());
        assert!(read(&LIST.replace("kafka: 3\n", "kafka: 3\nkafka: 4\n")).is_err());
        assert!(read(&LIST.replace("<0|1>", "*")).is_err(), "any value of klamm's");
        assert!(
            read(&LIST.replace("kafka: 3", "kafka: *")).is_err(),
            "any value of Kafka's"
        );
    }

    #[test]
    fn each_group_stands_for_each_of_its_texts() {
        assert_eq!(alternatives("a"), ["a"]);
        assert_eq!(alternatives("<a|b>-<c|>."), ["a-c.", "a-.", "b-c.", "b-."]);
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text) in [
            ("*", ""),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*b*c", "a1b2c"),
            ("abc", "abc"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a*", "ba"),
            ("*c", "cb"),
            ("a*b*c", "acb"),
            ("abc", "abcd"),
            ("a*a", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
