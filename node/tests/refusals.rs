//! Commands that cannot work: each ends with exit code 1 and says what to do. Starts that are refused are tested where whole
//! brokers are, in `klamm-tests`.

use std::net::{TcpListener, TcpStream};
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

/// Every command that talks to a broker.
const COMMANDS: [&[&str]; 11] = [
    &["topic", "list"],
    &["topic", "create", "t"],
    &["topic", "describe", "t"],
    &["topic", "alter", "t", "--partitions", "2"],
    &["topic", "delete-records", "t", "--partition", "0"],
    &["topic", "delete", "t"],
    &["produce", "t"],
    &["consume", "t"],
    &["bench", "produce"],
    &["bench", "consume"],
    &["bench", "latency"],
];

/// What each command says when it meets a peer that does `what` with its connections.
fn meeting(what: impl Fn(TcpStream) + Send + 'static) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || listener.incoming().flatten().for_each(what));
    let all = ["--bootstrap", &address, "--timeout", "200ms"];
    COMMANDS.map(|line| refusal(&[line, &all].concat())).to_vec()
}

#[test]
fn a_peer_that_says_nothing_is_not_waited_for() {
    let (keep, kept) = std::sync::mpsc::channel();
    for said in meeting(move |stream| keep.send(stream).expect("it is kept")) {
        assert!(
            said.contains("has said nothing for 200ms: is it a Kafka broker, or stuck?"),
            "{said}"
        );
    }
    drop(kept);
}

#[test]
fn a_peer_that_hangs_up_is_told_of() {
    for said in meeting(drop) {
        assert!(
            said.contains("closed the connection") || said.contains("the connection to"),
            "{said}"
        );
    }
}

#[test]
fn a_peer_that_speaks_tls_is_recognized() {
    // What OpenSSL says to bytes that are not its own: a fatal alert.
    let alert = [0x15, 3, 3, 0, 2, 2, 70];
    for said in meeting(move |mut stream| _ = std::io::Write::write_all(&mut stream, &alert)) {
        assert!(
            said.contains("is it a Kafka broker?") || said.contains("the connection to"),
            "{said}"
        );
    }
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
