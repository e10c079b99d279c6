//! The table that a run writes.

use klamm_tests::Client;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What came of a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// All of it was as it should be.
    Passed,
    /// The client cannot do it, for this reason.
    Cannot(String),
    /// Something was not.
    Failed,
}

/// Outcomes by client and row.
pub(crate) struct Table {
    clients: Vec<Client>,
    rows: Vec<&'static str>,
    cells: BTreeMap<(Client, &'static str), Outcome>,
}

impl Table {
    pub(crate) fn new(clients: &[Client], rows: &[&'static str]) -> Self {
        Self {
            clients: clients.to_vec(),
            rows: rows.to_vec(),
            cells: BTreeMap::new(),
        }
    }

    pub(crate) fn set(&mut self, client: Client, row: &'static str, outcome: Outcome) {
        self.cells.insert((client, row), outcome);
    }

    /// The cells that failed, as `client/row`.
    pub(crate) fn failed(&self) -> Vec<String> {
        let failed = self.cells.iter().filter(|(_, outcome)| **outcome == Outcome::Failed);
        failed
            .map(|((client, row), _)| format!("{}/{row}", client.name()))
            .collect()
    }

    /// The table in Markdown, with the reasons for what is not there below it.
    pub(crate) fn render(&self) -> String {
        let mut reasons: Vec<&str> = Vec::new();
        let mut text = String::from("| |");
        for client in &self.clients {
            write!(text, " {} |", client.name()).expect("a string takes all");
        }
        text.push_str("\n|---|");
        text.push_str(&":-:|".repeat(self.clients.len()));
        for row in &self.rows {
            write!(text, "\n| {row} |").expect("a string takes all");
            for client in &self.clients {
                let shown = match self.cells.get(&(*client, *row)) {
                    Some(Outcome::Passed) => String::from("✓"),
                    Some(Outcome::Cannot(reason)) => {
                        let place = reasons.iter().position(|known| known == reason).unwrap_or_else(|| {
                            reasons.push(reason);
                            reasons.len() - 1
                        });
                        format!("– {}", note(place))
                    }
                    Some(Outcome::Failed) | None => String::from("✗"),
                };
                write!(text, " {shown} |").expect("a string takes all");
            }
        }
        text.push_str("\n\n");
        for (place, reason) in reasons.iter().enumerate() {
            writeln!(text, "- {}: {reason}", note(place)).expect("a string takes all");
        }
        text
    }
}

/// Notes are letters: a, b, …
fn note(place: usize) -> char {
    char::from(b'a' + u8::try_from(place).expect("few reasons"))
}

#[test]
fn a_table_shows_what_came_of_each_cell() {
    let mut table = Table::new(&[Client::Java, Client::Kcat], &["one", "two"]);
    let reason = || Outcome::Cannot(String::from("has no such call"));
    table.set(Client::Java, "one", Outcome::Passed);
    table.set(Client::Kcat, "one", reason());
    table.set(Client::Java, "two", Outcome::Failed);
    table.set(Client::Kcat, "two", reason());
    assert_eq!(
        table.render(),
        "| | kafka-clients | kcat |\n|---|:-:|:-:|\n| one | ✓ | – a |\n| two | ✗ | – a |\n\n- a: has no such call\n"
    );
    assert_eq!(table.failed(), ["kafka-clients/two"]);
}
