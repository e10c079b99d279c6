//! The manual's tables, held to what the code has. `KLAMM_MANUAL=write cargo test -p klamm manual -- --test-threads 1`
//! writes them anew.

use super::metrics::exposition;
use klamm_core::config::{Effect, settings};
use klamm_net::Snapshot;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

fn manual() -> String {
    fs::read_to_string(path()).unwrap()
}

/// The part of the manual between the comments that name it, as it has to be.
fn assert_says(name: &str, expected: &str) {
    let manual = manual();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let from = manual.find(&begin).unwrap() + begin.len();
    let to = from + manual[from..].find(&end).unwrap();
    if std::env::var("KLAMM_MANUAL").is_ok_and(|it| it == "write") {
        fs::write(path(), format!("{}{expected}{}", &manual[..from], &manual[to..])).unwrap();
        return;
    }
    assert_eq!(&manual[from..to], expected, "{name}: KLAMM_MANUAL=write writes it anew");
}

/// Text within a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn every_setting_stands_in_the_manual_with_what_it_does() {
    let (mut acting, mut only, mut inert) = (String::new(), String::new(), BTreeMap::<_, Vec<_>>::new());
    for setting in settings() {
        let name = setting.name;
        match setting.effect {
            Effect::Acts(does) => {
                let default = setting.default.filter(|default| !default.is_empty());
                let default = default.map_or(String::new(), |default| format!("`{default}`"));
                let allowed = match setting.allowed.as_str() {
                    "any value of its type" => String::new(),
                    allowed => format!(" Allowed: {allowed}."),
                };
                writeln!(acting, "| `{name}` | {default} | {}{} |", cell(does), cell(&allowed)).unwrap();
            }
            Effect::Only(value, reason) => {
                let value = if value.is_empty() {
                    "nothing".to_owned()
                } else {
                    format!("`{value}`")
                };
                writeln!(only, "| `{name}` | {value} | {} |", cell(reason)).unwrap();
            }
            Effect::Inert(reason) => inert.entry(reason).or_default().push(format!("`{name}`")),
        }
    }
    let inert = inert.iter().fold(String::new(), |mut lines, (reason, names)| {
        writeln!(lines, "- {reason}: {}", names.join(", ")).unwrap();
        lines
    });
    assert_says("settings", &format!("| setting | default | |\n|---|---|---|\n{acting}"));
    assert_says(
        "settings of one value",
        &format!("| setting | accepted | why |\n|---|---|---|\n{only}"),
    );
    assert_says("settings without effect", &inert);
}

#[test]
fn every_metric_stands_in_the_manual() {
    let mut counters = Snapshot::default();
    counters.unsupported.insert((0, 0), 1);
    let page = exposition(&counters, true);
    let mut table = String::from("| metric | kind | labels | |\n|---|---|---|---|\n");
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").unwrap();
        let (name, help) = help.split_once(' ').unwrap();
        let kind = lines.next().unwrap().rsplit_once(' ').unwrap().1;
        let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
            let inner = sample.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
            for label in inner
                .map_or("", |(inner, _)| inner)
                .split(',')
                .filter(|it| !it.is_empty())
            {
                let (label, value) = label.split_once('=').unwrap();
                labels.entry(label).or_default().push(value.trim_matches('"'));
            }
        }
        // What clients choose has no list of values, and a histogram's buckets are its own.
        labels.remove("le");
        let shown: Vec<String> = labels
            .iter()
            .map(|(label, values)| match values.as_slice() {
                [_] => format!("`{label}`"),
                values => format!("`{label}`: {}", values.join(", ")),
            })
            .collect();
        writeln!(table, "| `{name}` | {kind} | {} | {} |", shown.join("; "), cell(help)).unwrap();
    }
    assert_says("metrics", &table);
}

/// All source of the broker, with strings that go on in the next line joined.
fn source(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            source(&path, text);
        } else if path.extension().is_some_and(|end| end == "rs") {
            for line in fs::read_to_string(path).unwrap().lines() {
                match line.strip_suffix('\\') {
                    Some(goes_on) => text.push_str(goes_on.trim_start()),
                    None => writeln!(text, "{}", line.trim_start()).unwrap(),
                }
            }
        }
    }
}

#[test]
fn what_the_manual_explains_is_what_the_broker_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut code = String::new();
    for package in ["core", "net", "node"] {
        source(&root.join(package).join("src"), &mut code);
    }
    let manual = manual();
    let quoted: Vec<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| \u{201c}")?.split_once('\u{201d}'))
        .map(|(words, _)| words)
        .collect();
    assert!(quoted.len() > 20, "{quoted:?}");
    for words in quoted {
        assert!(code.contains(words), "nothing says {words:?}");
    }
}
