//! The rules. Each takes sources and returns what breaks it, as `path:line: what is wrong`.

use crate::source::{Source, is_word};
use std::collections::BTreeSet;

/// The most lines a file may have.
const FILE_LINES: usize = 600;
/// The most lines a function may have.
const FUNCTION_LINES: usize = 70;
/// Files that may be longer, each with its reason.
const LONGER_FILES: [(&str, &str); 3] = [
    ("LICENSE", "the licence's own text"),
    ("Cargo.lock", "written by cargo"),
    ("tests/clients/rdkafka/Cargo.lock", "written by cargo"),
];

/// Functions that may be longer, each with its reason.
const LONGER_FUNCTIONS: [(&str, &str, &str); 1] = [(
    "core/src/record/error.rs",
    "fmt",
    "one match arm for each variant, and nothing to follow from one to the next",
)];

/// The modules of the core; each uses only itself and those before it.
pub(crate) const MODULE_ORDER: [&str; 15] = [
    "bugs",
    "marks",
    "types",
    "wire",
    "record",
    "config",
    "storage",
    "log",
    "metadata",
    "partition",
    "transaction",
    "group",
    "controller",
    "session",
    "shard",
];

/// Words that no text of the repository holds. Written in halves, or this file would break its own rule.
const BANNED_WORDS: [(&str, &str); 14] = [
    (concat!("TO", "DO"), "an open end"),
    (concat!("FIX", "ME"), "an open end"),
    (concat!("XX", "X"), "an open end"),
    (concat!("HA", "CK"), "an open end"),
    (concat!("to", "do!"), "an open end"),
    (concat!("unimple", "mented!"), "an open end"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("crates", ".io"), "a registry's host"),
    (concat!("pypi", ".org"), "a registry's host"),
    (concat!("npmjs", ".org"), "a registry's host"),
    (concat!("maven", ".org"), "a registry's host"),
    (concat!("proxy.golang", ".org"), "a registry's host"),
    (concat!("deb.debian", ".org"), "a registry's host"),
];

/// What the core cannot name: it has no clock, no I/O and no chance of its own.
const BANNED_IN_CORE: [&str; 9] = [
    "Instant",
    "SystemTime",
    "RandomState",
    "DefaultHashBuilder",
    "thread_rng",
    "tokio",
    "tracing",
    "std::fs",
    "std::net",
];

fn at(source: &Source, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", source.path)
}

/// Whether `word` stands in `line` on its own, not as part of a longer one.
fn holds_word(line: &str, word: &str) -> bool {
    let borders = |c: Option<char>, edge: Option<char>| !edge.is_some_and(is_word) || !c.is_some_and(is_word);
    line.match_indices(word).any(|(start, _)| {
        borders(line[..start].chars().next_back(), word.chars().next())
            && borders(line[start + word.len()..].chars().next(), word.chars().next_back())
    })
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// No file is longer than 600 lines.
pub(crate) fn file_length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let excused = LONGER_FILES.iter().any(|(path, _)| *path == source.path);
    if lines <= FILE_LINES || excused {
        return Vec::new();
    }
    vec![at(
        source,
        lines,
        &format!("{lines} lines; a file has {FILE_LINES} at most"),
    )]
}

/// No function is longer than 70 lines.
pub(crate) fn function_length(source: &Source) -> Vec<String> {
    let excused = |name: &str| {
        LONGER_FUNCTIONS
            .iter()
            .any(|(path, long, _)| *path == source.path && *long == name)
    };
    let functions = source.functions().into_iter();
    let long = functions.filter(|function| function.lines > FUNCTION_LINES && !excused(&function.name));
    long.map(|function| {
        let what = format!(
            "`{}` has {} lines; {FUNCTION_LINES} at most",
            function.name, function.lines
        );
        at(source, function.line, &what)
    })
    .collect()
}

/// A module of the core uses only those declared before it.
pub(crate) fn module_order(source: &Source) -> Vec<String> {
    let Some(inside) = source.path.strip_prefix("core/src/") else {
        return Vec::new();
    };
    let own = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if own == "lib" {
        return Vec::new();
    }
    let Some(rank) = rank(own) else {
        return vec![at(
            source,
            1,
            &format!("module `{own}` has no place in the module order"),
        )];
    };
    let mut broken = Vec::new();
    for (line, used) in uses_of_crate(&source.code) {
        match self::rank(&used) {
            Some(other) if other > rank => {
                broken.push(at(source, line, &format!("`{own}` uses `{used}`, a later module")));
            }
            Some(_) => {}
            None => broken.push(at(source, line, &format!("`{used}` has no place in the module order"))),
        }
    }
    broken
}

fn rank(module: &str) -> Option<usize> {
    MODULE_ORDER.iter().position(|known| *known == module)
}

/// The first segments of all paths that begin with `crate::`, groups in braces opened, each with its line.
fn uses_of_crate(code: &str) -> Vec<(usize, String)> {
    let mut uses = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let line = 1 + code[..start].matches('\n').count();
        let rest = &code[start + "crate::".len()..];
        let firsts = rest
            .strip_prefix('{')
            .map_or_else(|| vec![first_word(rest)], group_firsts);
        uses.extend(
            firsts
                .into_iter()
                .filter(|word| !word.is_empty())
                .map(|word| (line, word)),
        );
    }
    uses
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| is_word(*c)).collect()
}

/// The first segments inside a brace group whose opening brace was taken off.
fn group_firsts(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut firsts = vec![first_word(group)];
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => firsts.push(first_word(&group[index + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    firsts
}

/// No open ends, paths of one machine or registry hosts.
pub(crate) fn banned_words(source: &Source) -> Vec<String> {
    if LONGER_FILES.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    let mut broken = Vec::new();
    for (line, text) in numbered(&source.text) {
        for (word, why) in BANNED_WORDS {
            if holds_word(text, word) {
                broken.push(at(source, line, &format!("`{word}`: {why}")));
            }
        }
    }
    broken
}

/// The core names no clock, no I/O and no unseeded chance.
pub(crate) fn core_names(source: &Source) -> Vec<String> {
    if !source.path.starts_with("core/src/") || !source.is_rust() {
        return Vec::new();
    }
    let code = source.shipped_code();
    let mut broken = Vec::new();
    for (line, text) in numbered(&code) {
        for name in BANNED_IN_CORE.iter().filter(|name| holds_word(text, name)) {
            broken.push(at(source, line, &format!("the core cannot name `{name}`")));
        }
    }
    broken
}

/// An `allow` or `expect` says why.
pub(crate) fn allow_reasons(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    for opening in ["[allow(", "[expect("] {
        for (start, _) in source.code.match_indices(opening) {
            let end = source.code[start..]
                .find(']')
                .map_or(source.code.len(), |length| start + length);
            if !source.code[start..end].contains("reason") {
                let line = 1 + source.code[..start].matches('\n').count();
                broken.push(at(source, line, "an allowed lint needs `reason = \"…\"`"));
            }
        }
    }
    broken
}

/// No test is switched off.
pub(crate) fn ignored_tests(source: &Source) -> Vec<String> {
    let lines = numbered(&source.code).filter(|(_, text)| text.contains("#[ignore"));
    lines
        .map(|(line, _)| at(source, line, "a test is run or deleted, not ignored"))
        .collect()
}

/// Shipped code never unwraps: it handles the case, or says with `expect` why there is none.
pub(crate) fn unwraps(source: &Source) -> Vec<String> {
    if source.is_test() || !source.path.contains("/src/") {
        return Vec::new();
    }
    let code = source.shipped_code();
    let lines = numbered(&code).filter(|(_, text)| text.contains(".unwrap()") || text.contains(".unwrap_err()"));
    lines
        .map(|(line, _)| at(source, line, "`unwrap`: handle the case, or say why there is none"))
        .collect()
}

/// Every Rust file begins by saying what it is.
pub(crate) fn module_heads(source: &Source) -> Vec<String> {
    if !source.is_rust() || source.text.starts_with("//!") {
        return Vec::new();
    }
    vec![at(
        source,
        1,
        "a file begins with `//!`: what it is, and its invariants",
    )]
}

/// `lib.rs` of the core declares its modules in their order.
pub(crate) fn declared_order(lib: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    let mut last = 0;
    for (line, text) in numbered(&lib.code) {
        let declared = text
            .trim()
            .trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ")
            .strip_prefix("mod ");
        let Some(name) = declared.map(first_word) else {
            continue;
        };
        match rank(&name) {
            Some(rank) if rank >= last => last = rank,
            Some(_) => broken.push(at(
                lib,
                line,
                &format!("`{name}` is declared after a module that comes later"),
            )),
            None => broken.push(at(lib, line, &format!("`{name}` has no place in the module order"))),
        }
    }
    broken
}

/// Every direct dependency of a manifest.
pub(crate) fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').ends_with("dependencies");
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            names.insert(name.trim_matches('"').to_owned());
        }
    }
    names
}

/// The dependencies that a table of DESIGN.md gives reasons for: code in the first column of its rows.
pub(crate) fn explained_dependencies(design: &str) -> BTreeSet<String> {
    let section = design
        .split("\n## ")
        .find(|section| section.contains("| crate | where | reason |"));
    let rows = section
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("| `"));
    let crates = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2));
    crates.map(str::to_owned).collect()
}
