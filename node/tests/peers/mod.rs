//! Every command against a broker that stops in the middle: it closes its connections, or neither sends nor takes anything.
//!
//! A relay stands before the broker, which tells clients its address. It passes so many answers on and no more.

use super::directory;
use crate::support::Broker;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// What becomes of a connection when no answer may pass any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// It stays, and nothing comes.
    Stuck,
    /// It is closed.
    Closed,
}

#[derive(Debug)]
struct Rule {
    /// Where the broker is.
    broker: String,
    /// Answers that passed.
    passed: usize,
    /// Answers that may pass.
    most: usize,
    end: End,
}

/// Passes requests to a broker, and some of its answers back.
#[derive(Clone, Debug)]
struct Relay {
    address: String,
    rule: Arc<Mutex<Rule>>,
}

impl Relay {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let relay = Self {
            address: listener.local_addr().expect("it is bound").to_string(),
            rule: Arc::new(Mutex::new(Rule {
                broker: String::new(),
                passed: 0,
                most: usize::MAX,
                end: End::Closed,
            })),
        };
        let each = relay.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let relay = each.clone();
                // Connections end in any way.
                std::thread::spawn(move || _ = relay.pass(&client));
            }
        });
        relay
    }

    fn rule(&self) -> MutexGuard<'_, Rule> {
        self.rule.lock().expect("nobody panicked")
    }

    /// From now on so many answers pass.
    fn pass_only(&self, most: usize, end: End) {
        let mut rule = self.rule();
        (rule.passed, rule.most, rule.end) = (0, most, end);
    }

    fn pass(&self, mut client: &TcpStream) -> std::io::Result<()> {
        let address = self.rule().broker.clone();
        let broker = TcpStream::connect(address)?;
        let (mut from, mut to) = (client.try_clone()?, broker.try_clone()?);
        std::thread::spawn(move || {
            // It ends with either of them.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let mut broker = &broker;
        loop {
            let mut length = [0; 4];
            broker.read_exact(&mut length)?;
            let mut answer = vec![0; u32::from_be_bytes(length) as usize];
            broker.read_exact(&mut answer)?;
            let end = {
                let mut rule = self.rule();
                let may = rule.passed < rule.most;
                rule.passed += usize::from(may);
                (!may).then_some(rule.end)
            };
            match end {
                None => client.write_all(&[&length[..], &answer].concat())?,
                Some(End::Closed) => return client.shutdown(Shutdown::Both),
                // Until the client goes.
                Some(End::Stuck) => return std::io::copy(&mut broker, &mut std::io::sink()).map(|_| ()),
            }
        }
    }
}

/// Lets the command run through once, then with each smaller number of answers: it must end, badly, and say why.
fn cut_short(line: &[&str], input: &str) {
    let data = directory();
    let relay = Relay::start();
    let broker = Broker::start(data.path(), &["--advertise", &relay.address]);
    relay.rule().broker.clone_from(&broker.listening);
    broker.run(&["topic", "create", "there"], "");
    broker.run(&["produce", "there"], "one\ntwo\n");
    relay.pass_only(usize::MAX, End::Closed);
    broker.run(line, input);
    let answers = relay.rule().passed;
    assert!(answers > 1, "{line:?} needs {answers} answers");
    for end in [End::Stuck, End::Closed] {
        for most in 0..answers {
            // What the last run may have changed does not count.
            relay.pass_only(most, end);
            let output = broker.output(&[line, &["--timeout", "200ms"]].concat(), input);
            let said = String::from_utf8(output.stderr).expect("UTF-8");
            let context = format!("{line:?}, {most} of {answers} answers, then {end:?}: {said}");
            assert_eq!(output.status.code(), Some(1), "{context}");
            let last = said.lines().last().unwrap_or_default();
            assert!(last.starts_with("klamm: ") && !said.contains("panicked"), "{context}");
        }
    }
}

#[test]
fn topic_commands_end_when_a_broker_does_not_go_on() {
    cut_short(&["topic", "list"], "");
    cut_short(&["topic", "create", "another"], "");
    cut_short(&["topic", "describe", "there"], "");
    cut_short(&["topic", "alter", "there", "--set", "retention.ms=1000000"], "");
    cut_short(&["topic", "delete-records", "there", "--partition", "0"], "");
    cut_short(&["topic", "delete", "there"], "");
}

#[test]
fn produce_and_consume_end_when_a_broker_does_not_go_on() {
    cut_short(&["produce", "there"], "three\n");
    cut_short(&["produce", "there", "--no-idempotence", "--acks", "1"], "three\n");
    cut_short(&["consume", "there", "--exit"], "");
}

#[test]
fn benchmarks_end_when_a_broker_does_not_go_on() {
    cut_short(&["bench", "produce", "--json", "--total", "20KB"], "");
    cut_short(&["bench", "consume", "--json", "--topic", "there"], "");
    cut_short(
        &[
            "bench",
            "latency",
            "--json",
            "--rate",
            "5",
            "--duration",
            "1s",
            "--warmup",
            "0s",
        ],
        "",
    );
}

#[test]
fn a_topic_of_many_partitions_is_described_with_few_requests() {
    let data = directory();
    let broker = Broker::start(data.path(), &[]);
    broker.run(&["topic", "create", "wide", "--partitions", "40"], "");
    let before = broker.metric("klamm_requests_total");
    let described = broker.run(&["topic", "describe", "wide"], "");
    assert_eq!(described.matches("offsets=0..0").count(), 40, "{described}");
    let requests = broker.metric("klamm_requests_total") - before;
    assert!(requests < 10.0, "{requests} requests");
}
