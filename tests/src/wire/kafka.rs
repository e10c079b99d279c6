//! Kafka's own message schemas, as they lie in the jars of its client and its group coordinator: JSON with comments.

use serde_json::Value as Json;
use std::fs;

/// All schemas, by file name. Those of messages that Kafka has given up say nothing but that.
pub fn schemas() -> Vec<Json> {
    let directory = super::oracle::directory().join("schemas/common/message");
    let entries = fs::read_dir(&directory).expect("the schemas are unpacked");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).expect("a schema can be read");
        serde_json::from_str(&without_comments(&text)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.into_iter().map(read).collect()
}

/// Cuts each line where a comment begins that is not inside a string.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let mut quotes = 0;
        let comment = line.char_indices().position(|(at, character)| {
            quotes += usize::from(character == '"');
            quotes % 2 == 0 && line[at..].starts_with("//")
        });
        kept.extend(line.chars().take(comment.unwrap_or(usize::MAX)));
        kept.push('\n');
    }
    kept
}
