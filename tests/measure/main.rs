//! Measures groups: klamm, as it is and with `flush=os`, beside Apache Kafka, one after the other under the same load.
//!
//! `measure-groups [--only NAME]` leaves out the brokers whose names do not hold that text.

mod load;
mod member;

use klamm_tests::kafka::{ALONE, Kafka, Machine};
use klamm_tests::{Broker, Options, installed};
use load::{Figures, Target};
use std::fs;
use std::process::Command;

/// What all brokers are told besides what a single node needs. All but the last are Kafka's defaults.
const SETTINGS: &[(&str, &str)] = &[
    ("offsets.topic.num.partitions", "50"),
    ("group.initial.rebalance.delay.ms", "3000"),
    ("max.connections", "12000"),
];

/// A broker: its name, and how it is put under load.
type Column = (&'static str, fn() -> Figures);

const BROKERS: &[Column] = &[
    ("klamm", || klamm("fsync")),
    ("klamm, flush=os", || klamm("os")),
    ("Apache Kafka 4.3.1", kafka),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let only = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => "",
        ["--only", name] => name,
        _ => panic!("measure-groups [--only NAME]"),
    };
    let holds = |name: &str| name.to_lowercase().contains(&only.to_lowercase());
    let chosen: Vec<_> = BROKERS.iter().filter(|(name, _)| holds(name)).collect();
    assert!(!chosen.is_empty(), "no broker is called {only}");
    println!("{}", machine());
    let columns: Vec<(&str, Figures)> = chosen
        .into_iter()
        .map(|(name, measure)| {
            eprintln!("measuring {name}");
            (*name, measure())
        })
        .collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    println!("\n| | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
    for (row, (what, _)) in columns[0].1.iter().enumerate() {
        let values: Vec<&str> = columns.iter().map(|(_, figures)| figures[row].1.as_str()).collect();
        println!("| {what} | {} |", values.join(" | "));
    }
}

fn settings(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let all = ALONE.iter().chain(SETTINGS).chain(more);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn klamm(flush: &str) -> Figures {
    let broker = Broker::start_with(Options {
        config: settings(&[("flush", flush)]),
        ..Options::default()
    });
    load::run(&Target {
        address: broker.address(),
        pid: broker.pid(),
    })
}

fn kafka() -> Figures {
    let kafka = Kafka::start(Machine::AsShipped, &settings(&[]));
    load::run(&Target {
        address: kafka.address(),
        pid: kafka.pid(),
    })
}

/// The machine and the versions.
fn machine() -> String {
    let klamm = Command::new(installed::klamm()).arg("--version").output();
    let klamm = String::from_utf8_lossy(&klamm.expect("klamm runs").stdout)
        .trim()
        .to_owned();
    let java = Command::new("java").arg("--version").output();
    let java = java.map_or_else(
        |_| String::from("no Java"),
        |it| first_line(&String::from_utf8_lossy(&it.stdout)),
    );
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux tells its release");
    let processors = fs::read_to_string("/proc/cpuinfo").expect("Linux tells its processors");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model.map_or("an unknown processor", |(_, model)| model);
    format!("{klamm}; {java}; {cores} cores of {model}; Linux {}", kernel.trim())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
