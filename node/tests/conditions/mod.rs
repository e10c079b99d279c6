//! Few descriptors, outputs that take nothing, a disk whose directory goes, a process that sleeps.

use super::directory;
use crate::support::Broker;
use std::fs::File;
use std::process::{Command, Stdio};

/// The binary in a process that may open so many files.
fn with_files(most: u32) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {most}; exec \"$@\""), "sh"]);
    command.arg(env!("CARGO_BIN_EXE_klamm"));
    command
}

#[test]
fn a_start_with_too_few_descriptors_says_how_many_it_needs() {
    for most in [8, 16, 63] {
        let data = directory();
        let output = with_files(most)
            .args([
                "serve",
                "--shards",
                "1",
                "--metrics",
                "off",
                "--listen",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(data.path().join("d"))
            .output()
            .expect("it runs");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{most}: {said}");
        assert!(
            said.contains(&format!("open {most} files, and needs 64 at least")),
            "{said}"
        );
        assert!(said.contains("ulimit -n"), "{said}");
    }
}

#[test]
fn a_broker_of_few_descriptors_says_what_they_bound_and_serves_many_partitions() {
    let data = directory();
    let broker = Broker::start_as(with_files(64), data.path(), &["--shards", "1"]);
    assert!(
        broker
            .said()
            .contains("it serves 32 connections at once instead of the 10000"),
        "{}",
        broker.said()
    );
    broker.run(&["topic", "create", "wide", "--partitions", "80"], "");
    let lines: Vec<String> = (0..2000).map(|i| format!("{i:04}")).collect();
    for chunk in lines.chunks(500) {
        broker.run(&["produce", "wide", "--key-separator", "0"], &(chunk.join("\n") + "\n"));
    }
    let read = broker.run(&["consume", "wide", "--exit"], "");
    assert_eq!(read.lines().count(), 2000);
    assert!(
        broker.metric("klamm_partitions_active") > 16.0,
        "more than may have a segment open"
    );
}

#[test]
fn output_that_cannot_be_written_is_a_failure_with_a_reason() {
    let data = directory();
    let broker = Broker::start(data.path(), &[]);
    broker.run(&["produce", "t"], "one\n");
    for line in [
        &["topic", "list"][..],
        &["topic", "describe", "t"],
        &["topic", "create", "other"],
        &["consume", "t", "--exit"],
        &["consume", "t"],
        &["bench", "produce", "--total", "20KB"],
        &["bench", "consume", "--topic", "t", "--json"],
    ] {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("a device that is full");
        let output = Command::new(env!("CARGO_BIN_EXE_klamm"))
            .args(line)
            .args(["--bootstrap", &broker.address])
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .expect("it runs");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{line:?}: {said}");
        assert!(
            said.contains("cannot write to standard output: No space left"),
            "{line:?}: {said}"
        );
    }
}

#[test]
fn a_broker_that_slept_serves_on_and_who_asks_it_meanwhile_is_told() {
    let data = directory();
    let broker = Broker::start(data.path(), &[]);
    broker.run(&["produce", "t"], "one\n");
    broker.signal("STOP");
    for line in [&["topic", "list"][..], &["produce", "t"], &["consume", "t", "--exit"]] {
        let said = broker.refusal(&[line, &["--timeout", "200ms"]].concat());
        assert!(said.contains("has said nothing for 200ms"), "{line:?}: {said}");
    }
    broker.signal("CONT");
    broker.run(&["produce", "t"], "two\n");
    assert_eq!(broker.run(&["consume", "t", "--exit"], ""), "one\ntwo\n");
}

#[test]
fn a_data_directory_that_goes_ends_the_broker_once_it_needs_it() {
    let data = directory();
    let mut broker = Broker::start(&data.path().join("d"), &[]);
    broker.run(&["topic", "create", "t"], "");
    std::fs::remove_dir_all(data.path().join("d")).expect("it is there");
    let said = broker.output(&["produce", "t", "--timeout", "200ms"], "lost\n");
    assert_eq!(broker.wait().code(), Some(1), "{said:?}");
    assert!(broker.said().contains("the log directory failed"), "{}", broker.said());
}
