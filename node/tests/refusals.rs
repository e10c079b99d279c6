//! Starts that must not happen, and commands that cannot work: each ends with exit code 1 and says what to do.

use std::net::TcpListener;
use std::process::{Command, Output};

fn klamm(line: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_klamm"))
        .args(line)
        .output()
        .expect("the binary runs")
}

/// What the command says on standard error, and that it failed and printed nothing else.
fn refusal(line: &[&str]) -> String {
    let output = klamm(line);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{line:?}: {said}");
    assert!(output.stdout.is_empty(), "{line:?}");
    said
}

/// A refused start of a broker in a directory that stays as it was: not there.
fn refused_start(line: &[&str]) -> String {
    let parent = tempfile::tempdir().expect("a directory");
    let data = parent.path().join("data");
    let directory = data.to_str().expect("UTF-8").to_owned();
    let said = refusal(&[&["serve", "--data", &directory, "--metrics", "off"], line].concat());
    assert!(!data.exists(), "{line:?} set up the data directory");
    said
}

#[test]
fn a_taken_port_is_named_and_another_proposed() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let said = refused_start(&["--listen", &address]);
    assert!(
        said.contains(&address) && said.contains("the port is taken") && said.contains("--listen"),
        "{said}"
    );
}

#[test]
fn a_taken_port_for_metrics_is_named_if_somebody_chose_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let setting = format!("metrics.listener={address}");
    let said = refused_start(&["--listen", "127.0.0.1:0", "--set", &setting]);
    assert!(said.contains(&address) && said.contains("--metrics off"), "{said}");
}

#[test]
fn a_wildcard_needs_a_name_that_clients_reach() {
    for wildcard in [":0", "0.0.0.0:0", "[::]:0"] {
        let said = refused_start(&["--listen", wildcard]);
        assert!(said.contains("set advertised.listeners"), "{said}");
    }
    let said = refused_start(&["--listen", ":0", "--advertise", "0.0.0.0:9092"]);
    assert!(said.contains("no client can connect"), "{said}");
}

#[test]
fn protection_that_is_not_there_is_not_pretended() {
    for setting in [
        "listeners=SSL://127.0.0.1:0",
        "sasl.enabled.mechanisms=PLAIN",
        "ssl.keystore.location=k",
    ] {
        let said = refused_start(&["--set", setting]);
        assert!(said.contains("not available yet"), "{said}");
    }
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    for (setting, words) in [
        ("num.partitions=0", "from 1 to 10000"),
        ("log.segment.bytes=1k", "whole number"),
        ("flush=sometimes", "fsync, os"),
        ("log.cleanup.policy=burn", "compact, delete"),
    ] {
        let said = refused_start(&["--listen", "127.0.0.1:0", "--set", setting]);
        let name = setting.split('=').next().expect("a name");
        assert!(said.contains(name) && said.contains(words), "{said}");
    }
}

#[test]
fn a_setting_that_is_typed_has_to_exist() {
    for (setting, words) in [
        ("num.partition=3", "did you mean num.partitions?"),
        ("no.such.setting=1", "there is no such setting"),
    ] {
        let said = refused_start(&["--listen", "127.0.0.1:0", "--set", setting]);
        let name = setting.split('=').next().expect("a name");
        assert!(said.contains(name) && said.contains(words), "{said}");
    }
}

#[test]
fn a_file_of_settings_that_cannot_be_read_is_named_with_its_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("server.properties");
    let name = file.to_str().expect("UTF-8");
    let said = refused_start(&["--config", name]);
    assert!(said.contains(name) && said.contains("no such file"), "{said}");
    std::fs::write(&file, [0xff, 0xfe, b'a']).expect("it is written");
    let said = refused_start(&["--config", name]);
    assert!(said.contains(name) && said.contains("UTF-8"), "{said}");
    std::fs::write(&file, "num.partitions=3\nbroker.rack=\\u00g0\n").expect("it is written");
    let said = refused_start(&["--config", name]);
    assert!(said.contains(name) && said.contains("line 2"), "{said}");
}

#[test]
fn a_client_says_where_it_could_not_connect() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    for line in [
        &["topic", "list"][..],
        &["consume", "t"],
        &["produce", "t"],
        &["bench", "produce"],
    ] {
        let said = refusal(&[line, &["--bootstrap", &address]].concat());
        assert!(said.contains("cannot connect to") && said.contains(&address), "{said}");
    }
}

#[test]
fn a_peer_that_is_no_broker_is_recognized() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client comes");
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("it is sent");
    });
    let said = refusal(&["topic", "list", "--bootstrap", &address]);
    peer.join().expect("the peer ends");
    assert!(said.contains("is it a Kafka broker?"), "{said}");
}

#[test]
fn the_floor_moves_every_byte_and_leaves_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("UTF-8");
    for line in [
        &["in"][..],
        &["in", "--no-sync"],
        &["in", "--window", "5", "--batch-size", "1KB"],
        &["out"],
    ] {
        let output = klamm(
            &[
                &["bench", "floor", "--json", "--total", "300KB", "--directory", path],
                line,
            ]
            .concat(),
        );
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(
            output.status.success() && said.contains("\"bytes\":300000,"),
            "{line:?}: {said}"
        );
        assert_eq!(std::fs::read_dir(path).expect("it is there").count(), 0, "{line:?}");
    }
    assert!(refusal(&["bench", "floor", "--directory", "no/such/directory"]).contains("no/such/directory"));
}

#[test]
fn priming_leaves_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("UTF-8");
    let output = klamm(&["bench", "prime", "--total", "3MB", "--directory", path]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_dir(path).expect("it is there").count(), 0);
    assert!(refusal(&["bench", "prime", "--directory", "no/such/directory"]).contains("no/such/directory"));
}
