//! A source file as the rules see it: its lines, its code with everything else blanked, its functions.
//!
//! Invariant: `code` has the lines and columns of the text (in characters), so a position found in one holds in the
//! other; comments, strings and character literals are spaces in it.

use std::path::Path;

/// One file of the repository.
pub(crate) struct Source {
    /// The path from the repository's root.
    pub(crate) path: String,
    /// The text as it stands.
    pub(crate) text: String,
    /// The text with comments and literals blanked; only meaningful for Rust.
    pub(crate) code: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The line of its `fn`, from 1.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace.
    pub(crate) lines: usize,
}

impl Source {
    /// Reads `text` as the file at `path`.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: if is_rust(path) { blank(text) } else { String::new() },
        }
    }

    /// Whether the file is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        is_rust(&self.path)
    }

    /// Whether all of the file is compiled for tests only.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.contains("/benches/")
            || name == "tests.rs"
            || name.ends_with("_tests.rs")
    }

    /// The code outside `#[cfg(test)]` items, with those blanked.
    pub(crate) fn shipped_code(&self) -> String {
        const GATE: &str = "#[cfg(test)]";
        let mut shipped: Vec<char> = self.code.chars().collect();
        let mut from = 0;
        while let Some(start) = find(&shipped, GATE, from) {
            let end = item_end(&shipped, start + GATE.len());
            for c in &mut shipped[start..end] {
                if *c != '\n' {
                    *c = ' ';
                }
            }
            from = end;
        }
        shipped.into_iter().collect()
    }

    /// Every function that has a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let code: Vec<char> = self.code.chars().collect();
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(at) = find(&code, "fn ", from) {
            from = at + 3;
            let starts_word = at == 0 || !is_word(code[at - 1]);
            let name: String = code[from..].iter().take_while(|c| is_word(**c)).collect();
            if !starts_word || name.is_empty() {
                continue;
            }
            let end = item_end(&code, from);
            if end > at && code[end - 1] == '}' {
                let line = 1 + newlines(&code[..at]);
                found.push(Function {
                    name,
                    line,
                    lines: 1 + newlines(&code[at..end]),
                });
            }
        }
        found
    }
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Whether `c` may stand in an identifier.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn newlines(text: &[char]) -> usize {
    text.iter().filter(|c| **c == '\n').count()
}

fn find(text: &[char], word: &str, from: usize) -> Option<usize> {
    let word: Vec<char> = word.chars().collect();
    (from..text.len()).find(|at| text[*at..].starts_with(&word))
}

/// Where the item that begins at `from` ends: behind its block, or behind its semicolon.
fn item_end(code: &[char], from: usize) -> usize {
    let mut nesting = 0_i32;
    let mut at = from;
    while at < code.len() {
        match code[at] {
            '(' | '[' => nesting += 1,
            ')' | ']' => nesting -= 1,
            ';' if nesting == 0 => return at + 1,
            '{' if nesting == 0 => return block_end(code, at),
            _ => {}
        }
        at += 1;
    }
    code.len()
}

/// The position behind the brace that closes the one at `open`.
fn block_end(code: &[char], open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code.iter().enumerate().skip(open) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// `text` with comments, strings and character literals as spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Behind the comment or literal that begins at `at`; `at` itself where none does.
fn literal_end(text: &[char], at: usize) -> usize {
    let rest = &text[at..];
    let behind_word = at > 0 && is_word(text[at - 1]);
    match rest {
        ['/', '/', ..] => at + rest.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => at + comment_length(rest),
        ['"', ..] => at + string_length(rest),
        ['b', '"', ..] if !behind_word => at + 1 + string_length(&rest[1..]),
        ['r', '"' | '#', ..] if !behind_word => at + raw_length(rest, 1),
        ['b', 'r', '"' | '#', ..] if !behind_word => at + raw_length(rest, 2),
        ['\'', '\\', _, ..] => at + 3 + rest[3..].iter().take_while(|c| **c != '\'').count() + 1,
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

fn comment_length(rest: &[char]) -> usize {
    let mut depth = 0_i32;
    let mut at = 0;
    while at + 1 < rest.len() {
        let step = match (rest[at], rest[at + 1]) {
            ('/', '*') => 1,
            ('*', '/') => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string_length(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '"' => return at + 1,
            '\\' => at += 2,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a raw string whose hashes begin at `start`; 0 for a raw identifier.
fn raw_length(rest: &[char], start: usize) -> usize {
    let hashes = rest[start..].iter().take_while(|c| **c == '#').count();
    if rest.get(start + hashes) != Some(&'"') {
        return 0;
    }
    let body = start + hashes + 1;
    let closes =
        |at: usize| rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (body..rest.len())
        .find(|at| closes(*at))
        .map_or(rest.len(), |at| at + 1 + hashes)
}
