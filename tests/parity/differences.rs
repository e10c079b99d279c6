//! The differences that are known, in `differences.txt`: what differs, where, and why that is right.
//!
//! Invariant: the list is true. An entry that nothing matches is as wrong as a difference that no entry names.

use crate::compare::Difference;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// A known difference.
pub(crate) struct Entry {
    pub(crate) title: String,
    places: Vec<Place>,
    kafka: Vec<String>,
    klamm: Vec<String>,
    /// What was covered: API and field, Kafka's value, and klamm's.
    values: RefCell<BTreeSet<[String; 3]>>,
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
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in &lines {
        let (key, value) = line.split_once(':').ok_or_else(|| format!("no key: {line}"))?;
        keys.entry(key).or_default().push(value.trim());
    }
    let one = |key: &str| match keys.get(key).map(Vec::as_slice) {
        Some([value]) => Ok((*value).to_owned()),
        _ => Err(format!("{key} is not given once")),
    };
    if let Some(key) = keys
        .keys()
        .find(|key| !["in", "scenario", "kafka", "klamm", "why"].contains(key))
    {
        return Err(format!("{key} is no key"));
    }
    let scenarios = keys.get("scenario").cloned().unwrap_or_else(|| vec!["*"]);
    let scenarios: Vec<String> = scenarios.into_iter().flat_map(alternatives).collect();
    let fields = keys.get("in").ok_or("it is nowhere")?;
    let fields: Vec<String> = fields.iter().flat_map(|text| alternatives(text)).collect();
    let places: Result<Vec<Vec<Place>>, String> = fields
        .iter()
        .map(|text| scenarios.iter().map(|scenario| place(text, scenario)).collect())
        .collect();
    if one("why")?.len() < 20 {
        return Err("its reason is too short to be one".to_owned());
    }
    if one("klamm")? == "*" {
        return Err("klamm's value may be anything".to_owned());
    }
    Ok(Entry {
        title: title.to_owned(),
        places: places?.into_iter().flatten().collect(),
        kafka: alternatives(&one("kafka")?),
        klamm: alternatives(&one("klamm")?),
        values: RefCell::default(),
    })
}

/// `a<b|c>d` as `abd` and `acd`; a text without such a group as it is.
fn alternatives(text: &str) -> Vec<String> {
    let group = text
        .split_once('<')
        .and_then(|(before, rest)| Some((before, rest.split_once('>')?)));
    let Some((before, (group, after))) = group else {
        return vec![text.to_owned()];
    };
    group
        .split('|')
        .map(|one| format!("{before}{}{after}", one.trim()))
        .collect()
}

fn place(text: &str, scenario: &str) -> Result<Place, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
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
        let any = |patterns: &[String], value: &str| patterns.iter().any(|pattern| matches(pattern, value));
        if !any(&self.kafka, &difference.kafka) || !any(&self.klamm, &difference.klamm) {
            return false;
        }
        let place = self.places.iter().find(|place| place.is_of(difference));
        if let Some(place) = place {
            place.seen.set(place.seen.get() + 1);
            let field = format!("{} {}", difference.api, difference.field);
            let value = [field, difference.kafka.clone(), difference.klamm.clone()];
            self.values.borrow_mut().insert(value);
        }
        place.is_some()
    }

    /// What it covered: API and field, Kafka's value, and klamm's.
    pub(crate) fn values(&self) -> Vec<[String; 3]> {
        self.values.borrow().iter().cloned().collect()
    }

    /// How many differences it covered.
    pub(crate) fn seen(&self) -> usize {
        self.places.iter().map(|place| place.seen.get()).sum()
    }

    /// The places where nothing differed.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = &str> {
        self.places
            .iter()
            .filter(|place| place.seen.get() == 0)
            .map(|place| place.text.as_str())
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
    use super::{matches, read};
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
        assert_eq!((entries[0].seen(), entries[0].unseen().count()), (2, 0));
    }

    #[test]
    fn what_was_never_seen_is_told() {
        assert_eq!(read(LIST).unwrap()[0].unseen().count(), 1);
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
        assert!(read(&LIST.replace("<0|1>", "*")).is_err(), "any value of klamm's");
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
