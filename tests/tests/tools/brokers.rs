//! The tools that look at brokers and partitions.

use crate::Form;
use klamm_tests::Broker;
use klamm_tests::client::{Actor, Produce, Tool};
use klamm_tests::{Client, record};

pub(crate) const FORMS: &[Form] = &[
    Form {
        name: "`kafka-configs --entity-type brokers --describe`, `--alter`, for one and by default",
        run: configured,
    },
    Form {
        name: "`kafka-get-offsets`: `--time`, `--topic-partitions`, all topics",
        run: offsets,
    },
];

/// What a broker's setting is, and where from.
fn setting(broker: &Broker, name: &str) -> String {
    let arguments = ["--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"];
    let told = Tool::Configs
        .run(&broker.address(), &arguments)
        .expect("settings are described");
    let line = told
        .lines()
        .find(|line| line.trim_start().starts_with(&format!("{name}=")));
    let line = line.unwrap_or_else(|| panic!("no {name}: {told}"));
    line.split_whitespace().next().expect("name and value").to_owned()
}

/// A setting that was altered is told, acts on the topics that have none of their own, and is what it was once deleted.
fn configured() {
    let broker = Broker::start_with_shards(2);
    let alter = |entity: &[&str], change: &[&str]| {
        let arguments = [&["--entity-type", "brokers"], entity, &["--alter"], change].concat();
        Tool::Configs
            .run(&broker.address(), &arguments)
            .unwrap_or_else(|refusal| panic!("{arguments:?}: {refusal}"))
    };
    let (one, all) = (["--entity-name", "1"], ["--entity-default"]);
    let name = "message.max.bytes";
    assert_eq!(setting(&broker, name), "message.max.bytes=1048588");
    alter(&all, &["--add-config", "message.max.bytes=3000"]);
    assert_eq!(setting(&broker, name), "message.max.bytes=3000");
    alter(&one, &["--add-config", "message.max.bytes=2000"]);
    assert_eq!(setting(&broker, name), "message.max.bytes=2000");
    broker.create_topic("limited", 1, &[]);
    let mut client = Actor::start(Client::Java, &broker.address());
    let records = record::text(1, 1, 2500);
    let refusal = client.produce("limited", &records, Produce::plain());
    assert_eq!(refusal.expect_err("it is too large").code, Some(10));
    alter(&one, &["--delete-config", name]);
    assert_eq!(setting(&broker, name), "message.max.bytes=3000");
    client
        .produce("limited", &records, Produce::plain())
        .expect("it is taken");
    alter(&all, &["--delete-config", name]);
    assert_eq!(setting(&broker, name), "message.max.bytes=1048588");
}

fn offsets() {
    let broker = Broker::start_with_shards(2);
    broker.create_topic("first", 2, &[]);
    broker.create_topic("second", 1, &[]);
    let mut client = Actor::start(Client::Java, &broker.address());
    let mut records = record::text(2, 12, 20);
    for (index, record) in records.iter_mut().enumerate() {
        record.partition = i32::from(index >= 7);
        record.timestamp = record::SOME_TIME + index as i64;
    }
    client
        .produce("first", &records, Produce::plain())
        .expect("records are sent");
    client.delete_records("first", 0, 2).expect("records are deleted");
    let lines = |arguments: &[&str]| {
        let told = Tool::GetOffsets
            .run(&broker.address(), arguments)
            .expect("offsets are told");
        told.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&[]), ["first:0:7", "first:1:5", "second:0:0"]);
    assert_eq!(
        lines(&["--topic", "first", "--time", "earliest"]),
        ["first:0:2", "first:1:0"]
    );
    let fifth = (record::SOME_TIME + 5).to_string();
    assert_eq!(
        lines(&["--topic-partitions", "first:0", "--time", &fifth]),
        ["first:0:5"]
    );
    assert_eq!(
        lines(&["--topic-partitions", "first:1", "--time", "max-timestamp"]),
        ["first:1:4"]
    );
}
