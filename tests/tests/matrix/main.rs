//! The client matrix: every row of operations with every client, against the real binary.
//!
//! A cell compares every record that a client reads with what was sent, or what a client is told with what is so; that
//! a program ended well is never enough. Where a client cannot do something, `tests/clients/cannot.tsv` says so and why.
//! The run writes its table to `target/matrix.md`, and the README shows that table, word for word; how long each client
//! took is in `target/matrix-seconds.txt`.
//!
//! `KLAMM_MATRIX=client/row` runs only the cells whose name holds that text. With `KLAMM_TEST_BOOTSTRAP=host:port` the
//! cells run against a broker that is there already, Apache Kafka for instance: what fails there is the test's fault.

mod cells;
mod groups;
mod records;
mod restart;
mod table;
mod topics;
mod transactions;

use cells::{Cell, Ground, Idle, Row};
use klamm_tests::{Client, installed};
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;
use table::{Outcome, Table};

/// How many cells run at once: most of them wait, for the broker and for processes that start.
const LANES: usize = 4;

/// The rows, in the order of the table.
fn rows() -> Vec<Row> {
    [
        topics::ROWS,
        records::ROWS,
        groups::ROWS,
        restart::ROWS,
        transactions::ROWS,
    ]
    .concat()
}

/// Runs one client's cells one after the other, and says how long that took.
#[expect(
    clippy::disallowed_methods,
    reason = "how long each client takes is shown, and nothing depends on it"
)]
fn column(ground: &Ground, client: Client, asked: &str, told: &Mutex<Table>) -> String {
    let begun = Instant::now();
    let idle = Idle::default();
    for row in rows() {
        let name = format!("{}/{}", client.name(), row.name);
        if !name.contains(asked) {
            continue;
        }
        if let Some(reason) = ground.cannot.get(&(client, row.name.to_owned())) {
            let outcome = Outcome::Cannot(reason.clone());
            told.lock()
                .expect("no cell panics with it")
                .set(client, row.name, outcome);
            continue;
        }
        let cell = Cell::new(ground, client, &row, &idle);
        let passed = catch_unwind(AssertUnwindSafe(|| (row.run)(&cell)));
        let outcome = match passed {
            Ok(()) => Outcome::Passed,
            Err(_) => Outcome::Failed,
        };
        println!("{name}: {outcome:?}, at {} s", begun.elapsed().as_secs());
        told.lock()
            .expect("no cell panics with it")
            .set(client, row.name, outcome);
    }
    let seconds = format!("{}: {} s\n", client.name(), begun.elapsed().as_secs());
    print!("{seconds}");
    seconds
}

/// The clients that can be run here. In CI all must be there.
fn present() -> Vec<Client> {
    let (mut present, mut missing) = (Vec::new(), Vec::new());
    for client in Client::ALL {
        match client.missing() {
            None => present.push(client),
            Some(reason) => missing.push(format!("{}: {reason}", client.name())),
        }
    }
    if !missing.is_empty() {
        let told = format!(
            "clients that are missing; ci/install installs them:\n{}",
            missing.join("\n")
        );
        assert!(std::env::var_os("CI").is_none(), "{told}");
        println!("{told}");
    }
    present
}

#[test]
fn every_client_does_what_it_can() {
    let clients = present();
    let asked = std::env::var("KLAMM_MATRIX").unwrap_or_default();
    let ground = Ground::prepare();
    let rows: Vec<&str> = rows().iter().map(|row| row.name).collect();
    ground.assert_known(&rows);
    let told = Mutex::new(Table::new(&clients, &rows));
    // The tools are many programs, each of which starts anew: what takes longest begins first.
    let mut order = clients.clone();
    order.sort_by_key(|client| *client == Client::Tools);
    let waiting = Mutex::new(order);
    let seconds = Mutex::new(String::new());
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no lane panics with it").pop();
                    let Some(client) = next else { return };
                    let took = column(&ground, client, &asked, &told);
                    seconds.lock().expect("no lane panics with it").push_str(&took);
                }
            });
        }
    });
    let seconds = seconds.into_inner().expect("no lane panicked with it");
    fs::write(installed::target().join("matrix-seconds.txt"), seconds).expect("the times are written");
    let table = told.into_inner().expect("no cell panicked with it");
    assert!(table.failed().is_empty(), "cells that failed: {:#?}", table.failed());
    if !asked.is_empty() || clients.len() < Client::ALL.len() {
        println!("only a part was run: the README's table is not compared");
        return;
    }
    let text = table.render();
    let file = installed::target().join("matrix.md");
    fs::write(&file, &text).expect("the table is written");
    let readme = fs::read_to_string(installed::root().join("README.md")).expect("the README is there");
    assert!(
        readme.contains(&text),
        "the README shows another table than {}",
        file.display()
    );
}

/// What cannot be done is read once, and a reason for something unknown is an error.
fn cannot() -> BTreeMap<(Client, String), String> {
    let file = installed::root().join("tests/clients/cannot.tsv");
    let text = fs::read_to_string(&file).expect("the list is there");
    let parse = |line: &str| {
        let [client, row, reason] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not client, row and reason: {line}");
        };
        let known = Client::ALL.into_iter().find(|known| known.name() == client);
        let client = known.unwrap_or_else(|| panic!("no client: {line}"));
        ((client, row.to_owned()), reason.to_owned())
    };
    text.lines().filter(|line| !line.is_empty()).map(parse).collect()
}
