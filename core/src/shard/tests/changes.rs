//! Settings and partition counts that change while the broker runs.

use super::broker::Broker;
use super::client::batch;
use crate::controller::{
    ConfigAlteration, ConfigChange, ConfigOp, ConfigResource, ControllerAnswer, ControllerRequest, MorePartitions,
};
use crate::types::{BrokerId, ErrorCode};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

fn set(resource: ConfigResource, key: &str, value: &str) -> ConfigAlteration {
    let op = ConfigOp::Set(Some(String::from(value)));
    let change = ConfigChange::Incremental(vec![(String::from(key), op)]);
    ConfigAlteration { resource, change }
}

fn topic(name: &str) -> ConfigResource {
    ConfigResource::Topic(String::from(name))
}

fn broker_of(id: &str) -> ConfigResource {
    ConfigResource::Broker(String::from(id))
}

fn code(result: &Result<(), crate::types::Refusal>) -> ErrorCode {
    result.as_ref().err().map_or(ErrorCode::None, |refusal| refusal.code)
}

fn alter(broker: &mut Broker, alteration: ConfigAlteration) -> ErrorCode {
    let request = ControllerRequest::AlterConfigs {
        alterations: vec![alteration],
        validate_only: false,
    };
    match broker.decide(request) {
        ControllerAnswer::Altered(results) => code(&results[0]),
        other => panic!("an alteration was answered {other:?}"),
    }
}

fn grow(broker: &mut Broker, name: &str, count: i32) -> ErrorCode {
    let request = ControllerRequest::CreatePartitions {
        topics: vec![MorePartitions {
            name: String::from(name),
            count,
            assignments: None,
        }],
        validate_only: false,
    };
    match broker.decide(request) {
        ControllerAnswer::PartitionsCreated(results) => code(&results[0]),
        other => panic!("new partitions were answered {other:?}"),
    }
}

#[test]
fn a_changed_setting_holds_on_every_shard_for_those_awake_and_asleep_and_after_a_crash() {
    let mut broker = Broker::start(3);
    let client = broker.connect(0);
    broker.create(client, "orders", 8);
    for partition in 0..4 {
        assert_eq!(broker.produce(client, "orders", partition, batch(&["awake"])).0, 0);
    }
    assert_eq!(
        alter(&mut broker, set(topic("orders"), "max.message.bytes", "75")),
        ErrorCode::None
    );
    let long = batch(&["more than ten bytes of value"]);
    let too_large = ErrorCode::MessageTooLarge.code();
    for round in 0..2 {
        let client = broker.connect(0);
        for partition in 0..8 {
            assert_eq!(broker.produce(client, "orders", partition, long.clone()).0, too_large);
            assert_eq!(broker.produce(client, "orders", partition, batch(&["x"])).0, 0);
        }
        if round == 0 {
            broker.kill(3);
        }
    }
    let op = (String::from("max.message.bytes"), ConfigOp::Delete);
    let change = ConfigChange::Incremental(vec![op]);
    let resource = topic("orders");
    assert_eq!(
        alter(&mut broker, ConfigAlteration { resource, change }),
        ErrorCode::None
    );
    let client = broker.connect(1);
    for partition in 0..8 {
        assert_eq!(broker.produce(client, "orders", partition, long.clone()).0, 0);
    }
}

#[test]
fn a_setting_of_running_brokers_holds_where_the_topic_says_nothing() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 2);
    broker.create(client, "own", 2);
    assert_eq!(
        alter(&mut broker, set(topic("own"), "max.message.bytes", "1000")),
        ErrorCode::None
    );
    assert_eq!(
        alter(&mut broker, set(broker_of(""), "message.max.bytes", "75")),
        ErrorCode::None
    );
    let long = batch(&["more than ten bytes of value"]);
    let produce = |broker: &mut Broker, name: &str| -> Vec<i16> {
        let client = broker.connect(1);
        (0..2)
            .map(|partition| broker.produce(client, name, partition, long.clone()).0)
            .collect()
    };
    let too_large = ErrorCode::MessageTooLarge.code();
    assert_eq!(produce(&mut broker, "orders"), [too_large; 2]);
    assert_eq!(produce(&mut broker, "own"), [0; 2]);
    broker.kill(2);
    assert_eq!(
        produce(&mut broker, "orders"),
        [too_large; 2],
        "it outlives the process"
    );
    let node = broker.config.node_id;
    let own = broker_of(&alloc::format!("{}", node.0));
    assert_eq!(
        alter(&mut broker, set(own, "message.max.bytes", "1000")),
        ErrorCode::None
    );
    assert_eq!(
        produce(&mut broker, "orders"),
        [0; 2],
        "what one broker is given goes first"
    );
}

#[test]
fn new_partitions_serve_on_every_shard_once_they_are_answered() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    assert_eq!(broker.produce(client, "orders", 0, batch(&["old"])).0, 0);
    assert_eq!(broker.produce(client, "orders", 5, batch(&["none"])).0, 3);
    assert_eq!(grow(&mut broker, "orders", 6), ErrorCode::None);
    for shard in 0..2 {
        let client = broker.connect(shard);
        assert_eq!(broker.describe(client, "orders").partitions.len(), 6);
        for partition in 1..6 {
            assert_eq!(
                broker.produce(client, "orders", partition, batch(&["new"])),
                (0, shard as i64)
            );
        }
    }
    broker.kill(2);
    let client = broker.connect(1);
    assert_eq!(broker.consume(client, "orders", 0), ["old"]);
    assert_eq!(broker.consume(client, "orders", 5), ["new", "new"]);
    for (name, count, expected) in [
        ("orders", 6, ErrorCode::InvalidPartitions),
        ("orders", 2, ErrorCode::InvalidPartitions),
        ("nobody", 2, ErrorCode::UnknownTopicOrPartition),
        ("orders", i32::MAX, ErrorCode::PolicyViolation),
    ] {
        assert_eq!(grow(&mut broker, name, count), expected, "{name} {count}");
    }
}

#[test]
fn what_may_not_be_changed_is_refused_with_kafkas_code_and_changes_nothing() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let text = |value: &str| Some(String::from(value));
    let incremental = |resource, key: &str, op| {
        let change = ConfigChange::Incremental(vec![(String::from(key), op)]);
        ConfigAlteration { resource, change }
    };
    for (alteration, expected) in [
        (set(topic("orders"), "no.such.key", "1"), ErrorCode::InvalidConfig),
        (set(topic("orders"), "retention.ms", "long"), ErrorCode::InvalidConfig),
        (
            set(topic("nobody"), "retention.ms", "1"),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (set(topic(""), "retention.ms", "1"), ErrorCode::InvalidRequest),
        (set(topic("a b"), "retention.ms", "1"), ErrorCode::InvalidTopicException),
        (set(broker_of("x"), "log.retention.ms", "1"), ErrorCode::InvalidRequest),
        (set(broker_of("99"), "log.retention.ms", "1"), ErrorCode::InvalidRequest),
        (set(broker_of(""), "num.partitions", "1"), ErrorCode::InvalidRequest),
        (
            set(ConfigResource::Other(16, text("1").unwrap()), "a", "1"),
            ErrorCode::InvalidRequest,
        ),
        (
            incremental(topic("orders"), "retention.ms", ConfigOp::Set(None)),
            ErrorCode::InvalidRequest,
        ),
        (
            incremental(topic("orders"), "retention.ms", ConfigOp::Append(text("1"))),
            ErrorCode::InvalidConfig,
        ),
        (
            incremental(broker_of(""), "log.retention.ms", ConfigOp::Append(text("1"))),
            ErrorCode::InvalidConfig,
        ),
        (
            incremental(topic("orders"), "retention.ms", ConfigOp::Unknown(9)),
            ErrorCode::InvalidRequest,
        ),
    ] {
        assert_eq!(alter(&mut broker, alteration.clone()), expected, "{alteration:?}");
    }
    let before = broker.disk.clone();
    let (twice, once) = (
        set(topic("orders"), "retention.ms", "1"),
        set(broker_of(""), "log.retention.ms", "1"),
    );
    let request = ControllerRequest::AlterConfigs {
        alterations: vec![twice.clone(), once, twice],
        validate_only: true,
    };
    let ControllerAnswer::Altered(results) = broker.decide(request) else {
        panic!("an alteration is answered as one")
    };
    let expected = [ErrorCode::InvalidRequest, ErrorCode::None, ErrorCode::InvalidRequest];
    assert_eq!(results.iter().map(code).collect::<Vec<_>>(), expected);
    assert_eq!(broker.disk.files(), before.files());
    for name in before.files() {
        assert_eq!(broker.disk.file(&name), before.file(&name), "only checked: {name}");
    }
}

#[test]
fn a_list_grows_no_longer_than_an_answer_could_say() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let key = "leader.replication.throttled.replicas";
    let mut append = |from: usize| {
        let parts: Vec<String> = (from..from + 4000).map(|broker| format!("0:{broker}")).collect();
        let op = ConfigOp::Append(Some(parts.join(",")));
        let change = ConfigChange::Incremental(vec![(String::from(key), op)]);
        let resource = topic("orders");
        alter(&mut broker, ConfigAlteration { resource, change })
    };
    assert_eq!(append(1000), ErrorCode::None);
    assert_eq!(append(1000), ErrorCode::None, "nothing is there twice");
    assert_eq!(append(5000), ErrorCode::InvalidConfig);
    let kept = broker.topic_setting("orders", key).expect("it is set");
    assert_eq!(kept.split(',').count(), 4000);
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let key = "leader.replication.throttled.replicas";
    for (op, expected) in [
        (ConfigOp::Append(Some(String::from("0:1,1:1"))), Some("0:1,1:1")),
        (ConfigOp::Append(Some(String::from("1:1,2:1"))), Some("0:1,1:1,2:1")),
        (ConfigOp::Subtract(Some(String::from("0:1,2:1"))), Some("1:1")),
        (ConfigOp::Delete, None),
    ] {
        let change = ConfigChange::Incremental(vec![(String::from(key), op)]);
        let resource = topic("orders");
        assert_eq!(
            alter(&mut broker, ConfigAlteration { resource, change }),
            ErrorCode::None
        );
        assert_eq!(broker.topic_setting("orders", key).as_deref(), expected);
    }
    let replaced = ConfigChange::Replace(vec![(String::from("retention.ms"), Some(String::from("5")))]);
    let resource = topic("orders");
    alter(&mut broker, set(topic("orders"), "segment.ms", "7"));
    assert_eq!(
        alter(
            &mut broker,
            ConfigAlteration {
                resource,
                change: replaced
            }
        ),
        ErrorCode::None
    );
    assert_eq!(broker.topic_setting("orders", "segment.ms"), None);
    assert_eq!(broker.topic_setting("orders", "retention.ms").as_deref(), Some("5"));
}

#[test]
fn given_replicas_of_new_partitions_are_checked() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let node = broker.config.node_id;
    for (assignments, expected) in [
        (vec![vec![node]], ErrorCode::InvalidReplicaAssignment),
        (vec![vec![node], vec![]], ErrorCode::InvalidReplicaAssignment),
        (vec![vec![node], vec![node, node]], ErrorCode::InvalidReplicaAssignment),
        (
            vec![vec![node], vec![BrokerId(99)]],
            ErrorCode::InvalidReplicaAssignment,
        ),
        (vec![vec![node], vec![node]], ErrorCode::None),
    ] {
        let request = ControllerRequest::CreatePartitions {
            topics: vec![MorePartitions {
                name: String::from("orders"),
                count: 3,
                assignments: Some(assignments.clone()),
            }],
            validate_only: false,
        };
        let ControllerAnswer::PartitionsCreated(results) = broker.decide(request) else {
            panic!("new partitions are answered as such")
        };
        assert_eq!(code(&results[0]), expected, "{assignments:?}");
    }
}
