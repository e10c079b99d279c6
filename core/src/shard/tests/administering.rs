//! Settings and partitions changed by requests, as every connection sees it once they are answered.

use super::broker::Broker;
use super::client::text;
use crate::types::{ConnectionId, ErrorCode};
use crate::wire::Text;
use crate::wire::message::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResponse, AlterableConfig,
};
use crate::wire::message::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use crate::wire::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse, DescribeConfigsResult,
};
use crate::wire::message::incremental_alter_configs::{
    self as incremental, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const SET: i8 = 0;
pub(super) const DELETE: i8 = 1;
const APPEND: i8 = 2;

fn described(broker: &mut Broker, client: ConnectionId, resource_type: i8, name: &str) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: text(name),
            configuration_keys: None,
        }],
        include_synonyms: true,
        include_documentation: true,
    };
    let response: DescribeConfigsResponse = broker.call(client, &request, 4);
    response.results[0].clone()
}

/// The value of a key of a resource, and where it comes from.
fn value_of(broker: &mut Broker, client: ConnectionId, kind: i8, name: &str, key: &str) -> (String, i8) {
    let result = described(broker, client, kind, name);
    let entry = result.configs.iter().find(|entry| entry.name.as_str() == key);
    let entry = entry.unwrap_or_else(|| panic!("{key} of {name}: {}", result.error_code));
    (
        entry.value.as_ref().map(Text::to_string).unwrap_or_default(),
        entry.config_source,
    )
}

/// The synonyms of a key of a resource, each with its source.
fn synonyms(broker: &mut Broker, client: ConnectionId, kind: i8, name: &str, key: &str) -> Vec<(String, i8)> {
    let result = described(broker, client, kind, name);
    let entry = result.configs.into_iter().find(|entry| entry.name.as_str() == key);
    let synonyms = entry.expect("the key is there").synonyms.into_iter();
    synonyms.map(|it| (it.name.to_string(), it.source)).collect()
}

/// Changes keys of one resource.
pub(super) fn change(
    broker: &mut Broker,
    client: ConnectionId,
    (resource_type, name): (i8, &str),
    ops: &[(&str, i8, Option<&str>)],
    version: i16,
) -> i16 {
    let op = |&(key, config_operation, value): &(&str, i8, Option<&str>)| incremental::AlterableConfig {
        name: text(key),
        config_operation,
        value: value.map(text),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![incremental::AlterConfigsResource {
            resource_type,
            resource_name: text(name),
            configs: ops.iter().map(op).collect(),
        }],
        validate_only: false,
    };
    let response: IncrementalAlterConfigsResponse = broker.call(client, &request, version);
    let [answer] = response.responses.as_slice() else {
        panic!("{response:?}")
    };
    assert_eq!(
        (answer.resource_type, answer.resource_name.as_str()),
        (resource_type, name)
    );
    assert_eq!(answer.error_message.is_none(), answer.error_code == 0);
    answer.error_code
}

#[test]
fn a_changed_setting_is_described_on_every_connection() {
    let mut broker = Broker::start(3);
    let clients = [0, 1, 2].map(|shard| broker.connect(shard));
    broker.create(clients[0], "orders", 1);
    for version in 0..=1 {
        let ops = [("retention.ms", SET, Some("5")), ("segment.ms", SET, Some("77"))];
        assert_eq!(change(&mut broker, clients[0], (TOPIC, "orders"), &ops, version), 0);
        for client in clients {
            let told = value_of(&mut broker, client, TOPIC, "orders", "retention.ms");
            assert_eq!(told, ("5".to_string(), 1));
        }
        let ops = [("retention.ms", DELETE, None)];
        assert_eq!(change(&mut broker, clients[1], (TOPIC, "orders"), &ops, version), 0);
        let told = value_of(&mut broker, clients[2], TOPIC, "orders", "retention.ms");
        assert_eq!(told, ("604800000".to_string(), 5));
        let told = value_of(&mut broker, clients[2], TOPIC, "orders", "segment.ms");
        assert_eq!(told, ("77".to_string(), 1), "what was not named stays");
    }
    let throttled = "leader.replication.throttled.replicas";
    let ops = [(throttled, SET, Some("0:1")), ("segment.ms", DELETE, None)];
    assert_eq!(change(&mut broker, clients[0], (TOPIC, "orders"), &ops, 1), 0);
    assert_eq!(
        change(
            &mut broker,
            clients[0],
            (TOPIC, "orders"),
            &[(throttled, APPEND, Some("1:1"))],
            1
        ),
        0
    );
    let told = value_of(&mut broker, clients[1], TOPIC, "orders", throttled);
    assert_eq!(told, ("0:1,1:1".to_string(), 1));
}

#[test]
fn a_changed_setting_of_brokers_is_described_with_where_it_comes_from() {
    let mut broker = Broker::start(2);
    let clients = [0, 1].map(|shard| broker.connect(shard));
    broker.create(clients[0], "orders", 1);
    // 3 is the source of what all brokers were given, 2 that of what one was.
    assert_eq!(
        change(
            &mut broker,
            clients[0],
            (BROKER, ""),
            &[("log.retention.ms", SET, Some("9"))],
            1
        ),
        0
    );
    assert_eq!(
        value_of(&mut broker, clients[1], BROKER, "1", "log.retention.ms"),
        ("9".to_string(), 3)
    );
    assert_eq!(
        value_of(&mut broker, clients[1], BROKER, "", "log.retention.ms"),
        ("9".to_string(), 3)
    );
    assert_eq!(
        change(
            &mut broker,
            clients[0],
            (BROKER, "1"),
            &[("log.retention.ms", SET, Some("8"))],
            1
        ),
        0
    );
    assert_eq!(
        value_of(&mut broker, clients[1], BROKER, "1", "log.retention.ms"),
        ("8".to_string(), 2)
    );
    assert_eq!(
        value_of(&mut broker, clients[1], TOPIC, "orders", "retention.ms"),
        ("8".to_string(), 2)
    );
}

#[test]
fn the_synonyms_of_a_setting_are_told_in_all_its_units() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    assert_eq!(
        synonyms(&mut broker, client, TOPIC, "orders", "retention.ms"),
        [],
        "the default is that of another unit"
    );
    let hours = || ("log.retention.hours".to_string(), 5);
    assert_eq!(
        synonyms(&mut broker, client, BROKER, "1", "log.retention.hours"),
        [hours()]
    );
    let given = [("log.retention.ms", SET, Some("9"))];
    assert_eq!(change(&mut broker, client, (BROKER, ""), &given, 1), 0);
    let ms = ("log.retention.ms".to_string(), 3);
    assert_eq!(
        synonyms(&mut broker, client, TOPIC, "orders", "retention.ms"),
        [ms.clone(), hours()]
    );
    assert_eq!(
        synonyms(&mut broker, client, BROKER, "1", "log.retention.ms"),
        [ms, hours()]
    );
    assert_eq!(
        synonyms(&mut broker, client, BROKER, "1", "log.retention.hours"),
        [hours()]
    );
}

#[test]
fn the_settings_of_a_broker_are_all_of_kafkas_and_each_says_what_it_does() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    let result = described(&mut broker, client, BROKER, "1");
    assert!(result.configs.len() >= 340, "{}", result.configs.len());
    let find = |name: &str| result.configs.iter().find(|entry| entry.name.as_str() == name).unwrap();
    let password = find("ssl.keystore.password");
    assert_eq!(
        (password.is_sensitive, password.config_type, &password.value),
        (true, 9, &None)
    );
    assert_eq!(find("ssl.protocol").value.as_ref().map(Text::as_str), Some("TLSv1.3"));
    for entry in &result.configs {
        let text = entry.documentation.as_ref().unwrap();
        assert!(
            !text.as_str().is_empty() && entry.config_type > 0,
            "{}",
            entry.name.as_str()
        );
    }
}

#[test]
fn what_cannot_be_changed_is_refused_resource_by_resource() {
    let mut broker = Broker::start(2);
    let client = broker.connect(1);
    broker.create(client, "orders", 1);
    let mut refused = |resource, key, op, value| change(&mut broker, client, resource, &[(key, op, value)], 1);
    let orders = (TOPIC, "orders");
    assert_eq!(
        refused(orders, "no.such.key", SET, Some("1")),
        ErrorCode::InvalidConfig.code()
    );
    assert_eq!(
        refused(orders, "retention.ms", SET, Some("x")),
        ErrorCode::InvalidConfig.code()
    );
    assert_eq!(
        refused(orders, "retention.ms", SET, None),
        ErrorCode::InvalidRequest.code()
    );
    assert_eq!(
        refused(orders, "retention.ms", 9, Some("1")),
        ErrorCode::InvalidRequest.code()
    );
    let nobody = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(refused((TOPIC, "nobody"), "retention.ms", SET, Some("1")), nobody);
    assert_eq!(
        refused((8, "1"), "root", SET, Some("DEBUG")),
        ErrorCode::InvalidConfig.code()
    );
    assert_eq!(
        refused((8, "2"), "root", SET, Some("DEBUG")),
        ErrorCode::InvalidRequest.code()
    );
    assert_eq!(value_of(&mut broker, client, TOPIC, "orders", "retention.ms").1, 5);
}

#[test]
fn the_older_request_replaces_all_settings_of_a_resource() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    let alter = |broker: &mut Broker, names: &[&str], configs: &[(&str, Option<&str>)], validate_only, version| {
        let config = |&(key, value): &(&str, Option<&str>)| AlterableConfig {
            name: text(key),
            value: value.map(text),
        };
        let resource = |name: &&str| AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: text(name),
            configs: configs.iter().map(config).collect(),
        };
        let request = AlterConfigsRequest {
            resources: names.iter().map(resource).collect(),
            validate_only,
        };
        let response: AlterConfigsResponse = broker.call(client, &request, version);
        let answers = response.responses.into_iter();
        answers
            .map(|it| (it.resource_name.to_string(), it.error_code))
            .collect::<Vec<_>>()
    };
    let orders = |code: ErrorCode| ("orders".to_string(), code.code());
    for version in 0..=2 {
        let first = [("retention.ms", Some("5"))];
        assert_eq!(
            alter(&mut broker, &["orders"], &first, false, version),
            [orders(ErrorCode::None)]
        );
        let second = [("segment.ms", Some("7"))];
        assert_eq!(
            alter(&mut broker, &["orders"], &second, true, version),
            [orders(ErrorCode::None)]
        );
        assert_eq!(
            value_of(&mut broker, client, TOPIC, "orders", "segment.ms").1,
            5,
            "it was only checked"
        );
        let answers = alter(&mut broker, &["nobody", "orders"], &second, false, version);
        let nobody = ("nobody".to_string(), ErrorCode::UnknownTopicOrPartition.code());
        assert_eq!(answers, [nobody, orders(ErrorCode::None)]);
        assert_eq!(
            value_of(&mut broker, client, TOPIC, "orders", "retention.ms").1,
            5,
            "it was not named"
        );
        assert_eq!(
            value_of(&mut broker, client, TOPIC, "orders", "segment.ms"),
            ("7".to_string(), 1)
        );
        let answers = alter(&mut broker, &["orders"], &[("retention.ms", None)], false, version);
        assert_eq!(answers, [orders(ErrorCode::InvalidRequest)]);
    }
}

#[test]
fn partitions_are_added_as_every_connection_sees() {
    let mut broker = Broker::start(2);
    let clients = [0, 1].map(|shard| broker.connect(shard));
    broker.create(clients[0], "orders", 1);
    let grow = |broker: &mut Broker, topics: &[(&str, i32)], assignments: Option<usize>, validate_only, version| {
        let replicas = |_| CreatePartitionsAssignment { broker_ids: vec![1] };
        let topic = |&(name, count): &(&str, i32)| CreatePartitionsTopic {
            name: text(name),
            count,
            assignments: assignments.map(|count| (0..count).map(replicas).collect()),
        };
        let request = CreatePartitionsRequest {
            topics: topics.iter().map(topic).collect(),
            timeout_ms: 30_000,
            validate_only,
        };
        let response: CreatePartitionsResponse = broker.call(clients[0], &request, version);
        let results = response.results.into_iter();
        results
            .map(|it| (it.name.to_string(), it.error_code, it.error_message.is_some()))
            .collect::<Vec<_>>()
    };
    let orders = || ("orders".to_string(), 0, false);
    for (version, count) in (0..=3).zip(2..) {
        assert_eq!(grow(&mut broker, &[("orders", count)], None, true, version), [orders()]);
        assert_eq!(broker.describe(clients[1], "orders").partitions.len() as i32, count - 1);
        let answers = grow(&mut broker, &[("nobody", 9), ("orders", count)], None, false, version);
        let nobody = ("nobody".to_string(), ErrorCode::UnknownTopicOrPartition.code(), true);
        assert_eq!(answers, [nobody, orders()]);
        assert_eq!(broker.describe(clients[1], "orders").partitions.len() as i32, count);
        let fewer = ("orders".to_string(), ErrorCode::InvalidPartitions.code(), true);
        assert_eq!(grow(&mut broker, &[("orders", count)], None, false, version), [fewer]);
    }
    let wrong = ("orders".to_string(), ErrorCode::InvalidReplicaAssignment.code(), true);
    assert_eq!(grow(&mut broker, &[("orders", 7)], Some(1), false, 3), [wrong]);
    assert_eq!(grow(&mut broker, &[("orders", 7)], Some(2), false, 3), [orders()]);
    assert_eq!(broker.describe(clients[1], "orders").partitions.len(), 7);
}

#[test]
fn every_kind_of_resource_is_described_with_all_its_keys() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    for (kind, name, keys) in [
        (TOPIC, "orders", 33),
        (16, "a subscription", 3),
        (32, "a group", 17),
        (8, "1", 0),
    ] {
        let result = described(&mut broker, client, kind, name);
        assert_eq!((result.error_code, result.configs.len()), (0, keys), "{kind}");
        for entry in &result.configs {
            assert!(!entry.read_only && entry.config_type > 0, "{}", entry.name.as_str());
            assert!(
                entry
                    .documentation
                    .as_ref()
                    .is_some_and(|text| !text.as_str().is_empty())
            );
        }
    }
    for (kind, name) in [
        (16, ""),
        (32, ""),
        (8, ""),
        (8, "2"),
        (BROKER, "2"),
        (BROKER, "x"),
        (1, "a"),
    ] {
        let code = described(&mut broker, client, kind, name).error_code;
        assert_eq!(code, ErrorCode::InvalidRequest.code(), "{kind} {name}");
    }
}
