//! The README's own lines, run as they stand: in a network and process namespace of their own, where the default port
//! is free and no other broker runs.

use klamm_tests::client::Scratch;
use klamm_tests::installed::{klamm, root};
use std::fs;
use std::process::{Command, Stdio};

/// What the shell blocks of a section say, without the one that starts the broker in the foreground.
fn lines(section: &str) -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README is there");
    let heading = format!("\n## {section}\n");
    let (_, text) = readme.split_once(&heading).expect("the README has the section");
    let text = text.split("\n## ").next().unwrap_or_default();
    let blocks = text
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap_or_default());
    let lines = blocks.flat_map(str::lines).filter(|line| !line.ends_with(" serve"));
    lines.map(tempered).collect()
}

/// A line as a test can run it: what the README builds first is built already, a consumer that would wait for more ends,
/// and what measures a gigabyte is content with less.
fn tempered(line: &str) -> String {
    let line = line
        .replace("cargo run --release -- ", "klamm ")
        .replace("--total 1GB", "--total 4MB");
    let waits = line.starts_with("klamm consume") && !line.contains("--exit");
    if waits { line + " --exit" } else { line }
}

/// Runs `lines` beside a broker with default settings, and returns what they print.
fn run(lines: &[String]) -> String {
    let folder = Scratch::new("readme");
    fs::create_dir_all(folder.path()).expect("a folder");
    let script = format!(
        "set -eu\nip link set lo up\nklamm serve >serve.log 2>&1 &\n\
         until klamm topic list >/dev/null 2>&1; do sleep 0.1; done\n\
         printf '1:one\\n2:two\\n' >orders.txt\n{}\n",
        lines.join("\n")
    );
    let binaries = klamm()
        .parent()
        .expect("the binary lies in a folder")
        .display()
        .to_string();
    let path = format!("{binaries}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("unshare");
    shell.args([
        "--map-root-user",
        "--net",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "--",
    ]);
    shell
        .args(["timeout", "120", "bash", "-c", &script])
        .env("PATH", path)
        .current_dir(folder.path());
    let output = shell.stdin(Stdio::null()).output().expect("unshare runs");
    let told = String::from_utf8_lossy(&output.stderr);
    let served = fs::read_to_string(folder.path().join("serve.log")).unwrap_or_default();
    assert!(
        output.status.success(),
        "{}\n{script}\n{told}\nthe broker wrote:\n{served}",
        output.status
    );
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_first_lines_produce_and_consume() {
    let lines = lines("Start");
    assert!(lines.len() >= 4, "the README shows how to start: {lines:?}");
    let printed = run(&lines);
    assert!(printed.contains("hello, gorge\n"), "{printed}");
    assert!(printed.contains("0 0 hello, gorge\n0 1 hello again\n"), "{printed}");
}

#[test]
fn the_tools_do_what_they_are_shown_for() {
    let lines = lines("Tools");
    assert!(lines.len() >= 7, "the README shows the tools: {lines:?}");
    let printed = run(&lines);
    for (words, what) in [
        ("orders", "the topic is listed"),
        ("two", "its records are read"),
        ("p99", "latencies are told"),
    ] {
        assert!(printed.contains(words), "{what}:\n{printed}");
    }
}
