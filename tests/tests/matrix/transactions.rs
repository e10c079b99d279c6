//! A row about what is not there yet: a producer with a transaction is refused, and nothing of it can be read.

use crate::cells::{Cell, Row};
use klamm_tests::Client;
use klamm_tests::client::Produce;

pub(crate) const ROWS: &[Row] = &[Row {
    name: "transactions are refused, and leave nothing",
    run: refused,
}];

/// What clients take for the end of it, and do not try again.
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i64 = 53;

fn refused(cell: &Cell<'_>) {
    let (mut actor, topic) = (cell.actor(), cell.topic(1, &[]));
    let mut records = cell.records(12, 20);
    for record in &mut records {
        record.partition = 0;
    }
    let id = cell.name("transaction");
    let how = Produce {
        transactional: Some(&id),
        ..Produce::idempotent()
    };
    let refusal = actor
        .produce(&topic, &records, how)
        .expect_err("there are no transactions");
    // KafkaJS keeps the broker's answer to itself, and tells what it was looking for.
    if cell.client == Client::KafkaJs {
        assert!(refusal.text.contains("Failed to find group coordinator"), "{refusal}");
    } else {
        assert_eq!(refusal.code, Some(TRANSACTIONAL_ID_AUTHORIZATION_FAILED), "{refusal}");
    }
    assert_eq!(cell.end(&topic, 0), 0, "nothing of the transaction stands: {refusal}");
    let plain = actor
        .produce(&topic, &records, Produce::plain())
        .expect("records are sent");
    cell.assert_offsets(&records, &plain);
    cell.assert_holds(&mut actor, &topic, &records);
}
