//! A broker with several listeners: who comes in on one is told to connect to what is advertised for that one.

use klamm_tests::broker::free_port;
use klamm_tests::frame::{Answer, Body, Connection, api};
use klamm_tests::installed::klamm;
use klamm_tests::{Broker, Options};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The brokers that `Metadata` of version 1 names at this port, as `host:port`.
fn told(port: u16) -> Vec<String> {
    let mut connection = Connection::open(&format!("127.0.0.1:{port}")).expect("the broker listens");
    let mut body = Body::new();
    body.int(-1);
    let answer = connection.call(api::METADATA, 1, &body.0).expect("it answers");
    let mut answer = Answer(&answer);
    let brokers = (0..answer.int()).map(|_| {
        assert_eq!(answer.int(), 1, "the only broker");
        let host = answer.string();
        let port = answer.int();
        assert_eq!(answer.short(), -1, "no rack");
        format!("{host}:{port}")
    });
    brokers.collect()
}

/// What kcat prints of the brokers that it is told at this port.
fn kcat(port: u16) -> String {
    let listed = Command::new("timeout")
        .args(["60", "kcat", "-L", "-b", &format!("127.0.0.1:{port}")])
        .output()
        .expect("kcat runs");
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

#[test]
fn each_port_tells_its_clients_the_endpoint_of_its_own_listener() {
    let (external, bare) = (free_port(), free_port());
    let mut broker = Broker::prepare(Options::default());
    let internal = broker.port();
    let listeners = format!("INTERNAL://127.0.0.1:{internal},EXTERNAL://127.0.0.1:{external},BARE://127.0.0.1:{bare}");
    // Nobody reaches the first, so whoever serves a client of the second told it the second.
    let advertised = format!("INTERNAL://internal.invalid:19092,EXTERNAL://127.0.0.1:{external}");
    let map = "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,BARE:PLAINTEXT";
    broker.configure(&[
        ("listeners", &listeners),
        ("advertised.listeners", &advertised),
        ("listener.security.protocol.map", map),
    ]);
    broker.restart();
    let outside = format!("127.0.0.1:{external}");
    assert_eq!(told(internal), ["internal.invalid:19092"]);
    assert_eq!(told(external), [outside.as_str()]);
    assert!(told(bare).is_empty());
    assert!(kcat(internal).contains("broker 1 at internal.invalid:19092"));
    assert!(kcat(external).contains(&format!("broker 1 at {outside}")));

    let mut producer = Command::new(klamm())
        .args(["produce", "t", "--bootstrap", &outside])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut input = producer.stdin.take().expect("it is piped");
    input.write_all(b"one\ntwo\n").expect("it reads");
    drop(input);
    assert!(producer.wait().expect("it is our child").success());
    let consumed = Command::new(klamm())
        .args(["consume", "t", "--exit", "--bootstrap", &outside])
        .output()
        .expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&consumed.stdout), "one\ntwo\n");
}
