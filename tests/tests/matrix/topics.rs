//! Rows about topics.

use crate::cells::{Cell, Row, today, until};
use crate::records;
use klamm_tests::client::{From, Produce};
use klamm_tests::record::{Record, expected};

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "create and delete a topic",
        run: life,
    },
    Row {
        name: "list and describe topics",
        run: shown,
    },
    Row {
        name: "delete a topic and create it again",
        run: again,
    },
    Row {
        name: "create a topic by sending to it",
        run: unasked,
    },
    Row {
        name: "describe and alter a topic's settings",
        run: settings,
    },
    Row {
        name: "add partitions",
        run: partitions,
    },
    Row {
        name: "delete records",
        run: delete_records,
    },
];

/// Kafka's code for a name that is taken.
const TOPIC_ALREADY_EXISTS: i64 = 36;

fn life(cell: &Cell<'_>) {
    let (mut actor, topic) = (cell.actor(), cell.name("life"));
    actor
        .create_topic(&topic, 3, &[("retention.ms", "-1")])
        .expect("a topic is created");
    let again = actor.create_topic(&topic, 3, &[]).expect_err("the name is taken");
    assert_eq!(again.code, Some(TOPIC_ALREADY_EXISTS), "{again}");
    assert!(actor.list_topics().expect("topics are listed").contains(&topic));
    assert_eq!(actor.describe_topic(&topic).expect("a topic is described"), [0, 1, 2]);
    actor.delete_topic(&topic).expect("a topic is deleted");
    // Go's clients show what they knew a moment ago.
    until("the topic is gone", || {
        !actor.list_topics().expect("topics are listed").contains(&topic)
    });
}

fn shown(cell: &Cell<'_>) {
    let (mut actor, one, three) = (cell.actor(), cell.topic(1, &[]), cell.topic(3, &[]));
    // Go's clients show what they knew a moment ago.
    until("both topics are listed", || {
        let listed = actor.list_topics().expect("topics are listed");
        listed.contains(&one) && listed.contains(&three)
    });
    assert_eq!(actor.describe_topic(&one).expect("a topic is described"), [0]);
    assert_eq!(actor.describe_topic(&three).expect("a topic is described"), [0, 1, 2]);
}

/// Neither records nor offsets of the old topic show in the new one, nor what a group had committed of it.
fn again(cell: &Cell<'_>) {
    let (mut actor, topic, group) = (cell.actor(), cell.name("again"), cell.name("group"));
    let mut coordinator = cell.connect();
    coordinator.find_group(&group);
    for seed in [1, 2] {
        let records = cell.records(seed, 40);
        actor
            .create_topic(&topic, cell.partitions(), &[("retention.ms", "-1")])
            .expect("a topic is created");
        let offsets = actor
            .produce(&topic, &records, Produce::plain())
            .expect("records are sent");
        cell.assert_offsets(&records, &offsets);
        cell.assert_holds(&mut actor, &topic, &records);
        assert_eq!(
            coordinator.committed(&group, &topic),
            -1,
            "nothing was committed of this topic"
        );
        until("an offset is committed", || {
            coordinator.commit(&group, &topic, 7, "") == 0
        });
        assert_eq!(coordinator.committed(&group, &topic), 7);
        actor.delete_topic(&topic).expect("a topic is deleted");
    }
    actor
        .create_topic(&topic, cell.partitions(), &[("retention.ms", "-1")])
        .expect("a topic is created");
    for partition in 0..cell.partitions() {
        assert_eq!(cell.end(&topic, partition), 0, "the new topic is empty");
    }
    assert_eq!(
        coordinator.committed(&group, &topic),
        -1,
        "nothing was committed of this topic"
    );
}

fn unasked(cell: &Cell<'_>) {
    let (mut actor, topic) = (cell.actor(), cell.name("unasked"));
    let mut records = cell.records(3, 20);
    records.retain(|record| record.partition == 0);
    // Times of today, or the default retention would take them.
    let now = today();
    for record in &mut records {
        record.timestamp = now;
    }
    actor
        .produce(&topic, &records, Produce::plain())
        .expect("records are sent");
    assert_eq!(actor.describe_topic(&topic).expect("a topic is described"), [0]);
    let sent = cell.own(&topic, 0, &expected(&records, 0));
    cell.read_from(&mut actor, &topic, From::Earliest, &sent);
}

/// A changed setting is told, and acts: what was refused is taken.
fn settings(cell: &Cell<'_>) {
    let (mut actor, topic) = (cell.actor(), cell.topic(1, &[("max.message.bytes", "20000")]));
    let large = records::sized(cell, &[30_000]);
    let before = actor.describe_config(&topic).expect("settings are described");
    assert_eq!(before.get("max.message.bytes").map(String::as_str), Some("20000"));
    assert_eq!(before.get("cleanup.policy").map(String::as_str), Some("delete"));
    actor
        .produce(&topic, &large, Produce::plain())
        .expect_err("the record is too large");
    let change = [("max.message.bytes", "40000"), ("retention.ms", "-1")];
    actor.alter_config(&topic, &change).expect("settings are altered");
    let after = actor.describe_config(&topic).expect("settings are described");
    assert_eq!(after.get("max.message.bytes").map(String::as_str), Some("40000"));
    let offsets = actor
        .produce(&topic, &large, Produce::plain())
        .expect("the record is taken");
    cell.assert_offsets(&large, &offsets);
    cell.assert_holds(&mut actor, &topic, &large);
}

/// What stands stays, and new partitions take records.
fn partitions(cell: &Cell<'_>) {
    let (mut actor, topic) = (cell.actor(), cell.topic(1, &[]));
    let mut records = cell.records(4, 20);
    for record in &mut records {
        record.partition = 0;
    }
    actor
        .produce(&topic, &records, Produce::plain())
        .expect("records are sent");
    actor.create_partitions(&topic, 3).expect("partitions are added");
    let all = || {
        actor
            .describe_topic(&topic)
            .is_ok_and(|partitions| partitions == [0, 1, 2])
    };
    until("the new partitions are told", all);
    if !cell.client.carries().one_partition {
        let more = cell.records(5, 20).into_iter();
        let more: Vec<Record> = more.map(|record| Record { partition: 2, ..record }).collect();
        until("the new partitions take records", || {
            actor.produce(&topic, &more, Produce::plain()).is_ok()
        });
        records.extend(more);
    }
    cell.assert_holds(&mut actor, &topic, &records);
}

/// What was deleted is gone, and what is left stands where it stood.
fn delete_records(cell: &Cell<'_>) {
    let (mut actor, topic) = (cell.actor(), cell.topic(1, &[]));
    let mut records = cell.records(6, 60);
    for record in &mut records {
        record.partition = 0;
    }
    actor
        .produce(&topic, &records, Produce::plain())
        .expect("records are sent");
    let sent = cell.own(&topic, 0, &expected(&records, 0));
    actor.delete_records(&topic, 0, 25).expect("records are deleted");
    cell.read_from(&mut actor, &topic, From::Earliest, &sent[25..]);
}
