//! The program itself: what it prints and how it ends.

use std::process::{Command, Output};

fn klamm_sim(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_klamm-sim");
    Command::new(program)
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn good_seeds_pass_in_both_processes_and_say_what_they_did() {
    let output = klamm_sim(&["run", "--seeds", "0..4", "--jobs", "2"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("4 seeds, no failure."), "{said}");
    assert!(
        said.contains("acknowledged") && said.contains("read back at the end"),
        "{said}"
    );
}

#[test]
fn a_planted_nondeterminism_is_seen_and_its_first_event_named() {
    let output = klamm_sim(&["run", "--seeds", "0..2", "--jobs", "2", "--plant-nondeterminism"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("determinism") && said.contains("event 0 is"), "{said}");
    assert!(said.contains("klamm-sim replay"), "{said}");
}

#[test]
fn a_replay_tells_every_event_and_comes_to_the_same_hash() {
    let hash = |arguments: &[&str]| {
        let said = text(&klamm_sim(arguments).stdout);
        let line = said
            .lines()
            .find(|line| line.starts_with("seed 3, hash "))
            .map(str::to_owned);
        (line.expect("a hash"), said.lines().count())
    };
    let (quiet, few) = hash(&["replay", "3"]);
    let (told, many) = hash(&["replay", "3", "--trace"]);
    assert_eq!(quiet, told);
    assert!(many > few + 1000, "{many} lines with events, {few} without");
}

#[test]
fn a_mistaken_command_line_is_answered_with_help() {
    for arguments in [
        &["run"][..],
        &["run", "--seeds", "5"],
        &["replay"],
        &["dance"],
        &["run", "--seeds", "0..1", "--x"],
    ] {
        let output = klamm_sim(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("Usage:"), "{arguments:?}");
    }
    let output = klamm_sim(&["hunt", "--bug", "NoSuchBug"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("AckBeforeFsync"),
        "it names those that there are"
    );
}
