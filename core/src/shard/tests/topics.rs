//! Topics created, deleted, created again, and by themselves.

use super::broker::{Broker, Hold};
use super::client::{
    batch, batch_of, create_request, delete_request, fetch_request, long, only, produce_request, text,
};
use crate::config::BrokerConfig;
use crate::record::{Compression, Producer};
use crate::types::{ErrorCode, Uuid};
use crate::wire::message::create_topics::CreateTopicsResponse;
use crate::wire::message::delete_topics::DeleteTopicsResponse;
use crate::wire::message::fetch::FetchResponse;
use crate::wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

#[test]
fn every_connection_on_every_shard_sees_a_topic_once_it_is_answered() {
    let mut broker = Broker::start(3);
    let clients = [0, 1, 2].map(|shard| broker.connect(shard));
    for (creator, name) in clients.into_iter().zip(["a", "b", "c"]) {
        let (error, id) = broker.create(creator, name, 2);
        assert_eq!(error, 0);
        for client in clients {
            let described = broker.describe(client, name);
            assert_eq!((described.topic_id, described.partitions.len()), (id, 2));
        }
        assert_eq!(broker.delete(creator, name), 0);
        for client in clients {
            assert_eq!(
                broker.describe(client, name).error_code,
                ErrorCode::UnknownTopicOrPartition.code()
            );
        }
    }
}

#[test]
fn a_topic_created_again_shows_nothing_of_the_one_before() {
    let mut broker = Broker::start(2);
    let mut ids = Vec::<Uuid>::new();
    for round in 0..3 {
        let client = broker.connect(0);
        let (error, id) = broker.create(client, "orders", 2);
        assert!(error == 0 && !ids.contains(&id));
        for partition in 0..2 {
            assert_eq!(broker.consume(client, "orders", partition), Vec::<String>::new());
            assert_eq!(
                broker.produce(client, "orders", partition, batch(&["x"])),
                (0, 0),
                "round {round}"
            );
        }
        for &gone in &ids {
            let mut request = fetch_request("", &[(0, 0)], 0);
            request.topics[0].topic_id = gone;
            let data = only(broker.call(client, &request, 13));
            assert_eq!(data.error_code, ErrorCode::UnknownTopicId.code());
        }
        ids.push(id);
        if round == 1 {
            broker.kill(2);
        }
        let client = broker.connect(1);
        assert_eq!(broker.delete(client, "orders"), 0);
    }
    broker.stop();
    broker.assert_stopped();
    let left = broker
        .disk
        .files()
        .into_iter()
        .filter(|name| name.starts_with("orders"));
    assert_eq!(left.count(), 0, "nothing is left on the disk");
}

#[test]
fn the_directories_of_topics_deleted_just_before_a_crash_go_at_the_next_start() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    broker.create(client, "orders", 4);
    for partition in 0..4 {
        broker.produce(client, "orders", partition, batch(&["x"]));
    }
    broker.stop_and_start(2);
    let client = broker.connect(0);
    broker.hold = Hold::Tasks;
    assert_eq!(broker.delete(client, "orders"), 0);
    broker.kill(2);
    assert!(
        broker.disk.files().iter().all(|name| !name.starts_with("orders")),
        "{:?}",
        broker.disk.files()
    );
}

#[test]
fn whoever_waits_for_a_topic_hears_that_it_was_deleted() {
    let mut broker = Broker::start(2);
    let clients = [0, 1, 0, 1].map(|shard| broker.connect(shard));
    broker.create(clients[0], "orders", 1);
    broker.produce(clients[0], "orders", 0, batch(&["x"]));
    broker.send(clients[1], &fetch_request("orders", &[(0, 1)], 60_000), 12);
    broker.hold = Hold::Syncs;
    broker.send(clients[2], &produce_request("orders", 0, -1, batch(&["y"])), 9);
    broker.send(clients[3], &super::client::delete_request("orders"), 5);
    broker.let_go();
    let fetched: FetchResponse = broker.receive(clients[1], 12).expect("a long poll ends");
    let codes = [ErrorCode::None.code(), ErrorCode::UnknownTopicOrPartition.code()];
    assert!(codes.contains(&only(fetched).error_code));
    assert!(codes.contains(&broker.produced(clients[2]).expect("an append ends").error_code));
    assert_eq!(broker.answered(clients[3]).len(), 1);
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn a_batch_that_is_being_opened_is_answered_although_its_topic_goes_meanwhile() {
    let mut broker = Broker::start(2);
    let clients = [0, 1].map(|shard| broker.connect(shard));
    broker.create(clients[0], "orders", 1);
    broker.hold = Hold::Tasks;
    let packed = batch_of(Producer::Plain, Compression::Gzip, &[&long("x")]);
    broker.send(clients[0], &produce_request("orders", 0, -1, packed), 9);
    assert!(broker.produced(clients[0]).is_none());
    assert_eq!(broker.delete(clients[1], "orders"), 0);
    broker.let_go();
    let produced = broker.produced(clients[0]).expect("it is answered");
    assert_eq!(produced.error_code, ErrorCode::UnknownTopicOrPartition.code());
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn a_batch_that_was_being_opened_when_its_log_failed_does_not_overtake_what_came_later() {
    let mut broker = Broker::start(1);
    let clients = [0, 0, 0, 0].map(|shard| broker.connect(shard));
    broker.create(clients[0], "orders", 1);
    let packed = |value| batch_of(Producer::Plain, Compression::Gzip, &[&long(value)]);
    broker.hold = Hold::Writes;
    broker.send(clients[0], &produce_request("orders", 0, -1, batch(&["no room"])), 9);
    broker.hold = Hold::Opening;
    broker.send(clients[1], &produce_request("orders", 0, -1, packed("early")), 9);
    broker.disk.room = Some(0);
    broker.let_go_but(Hold::Opening);
    assert_eq!(
        broker.produced(clients[0]).unwrap().error_code,
        ErrorCode::KafkaStorageError.code()
    );
    broker.disk.room = None;
    broker.send(clients[2], &produce_request("orders", 0, -1, packed("first")), 9);
    broker.send(clients[3], &produce_request("orders", 0, -1, batch(&["second"])), 9);
    broker.let_go();
    let early = broker.produced(clients[1]).expect("it is answered");
    assert_eq!(
        early.error_code,
        ErrorCode::KafkaStorageError.code(),
        "it was asked of the log that failed"
    );
    assert_eq!(broker.consume(clients[0], "orders", 0), [&long("first"), "second"]);
}

#[test]
fn a_topic_that_clients_ask_for_creates_itself_where_that_is_allowed() {
    let mut broker = Broker::start(2);
    let client = broker.connect(1);
    let topic = |name| MetadataRequestTopic {
        name: Some(text(name)),
        ..MetadataRequestTopic::default()
    };
    let mut request = MetadataRequest {
        topics: Some(vec![topic("new"), topic("bad name"), topic("new")]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    let response: MetadataResponse = broker.call(client, &request, 12);
    let found = response
        .topics
        .iter()
        .map(|topic| (topic.error_code, topic.partitions.len()));
    let invalid = ErrorCode::InvalidTopicException.code();
    assert_eq!(
        found.collect::<Vec<_>>(),
        [(0, 1), (invalid, 0)],
        "each name is described once"
    );
    assert_eq!(broker.produce(client, "new", 0, batch(&["x"])), (0, 0));
    request.topics = Some(vec![topic("other")]);
    request.allow_auto_topic_creation = false;
    let response: MetadataResponse = broker.call(client, &request, 12);
    assert_eq!(response.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
}

#[test]
fn who_sees_a_new_topic_is_served_by_a_shard_that_has_not_heard_of_it_yet() {
    let mut broker = Broker::start(3);
    let clients = [0, 0, 0, 0].map(|shard| broker.connect(shard));
    broker.hold = Hold::Publications;
    broker.send(clients[0], &create_request("orders", 8), 7);
    assert_eq!(
        broker.describe(clients[1], "orders").error_code,
        0,
        "this shard has heard of it"
    );
    for partition in 0..8 {
        broker.send(
            clients[2],
            &produce_request("orders", partition, -1, batch(&["first"])),
            9,
        );
    }
    assert!(
        broker.answered(clients[2]).len() < 8,
        "some homes wait for the publication"
    );
    broker.send(clients[3], &fetch_request("orders", &[(7, 0)], 0), 12);
    broker.let_go();
    for partition in 0..8 {
        let produced = broker.produced(clients[2]).expect("it is answered");
        assert_eq!(
            (produced.error_code, produced.base_offset),
            (0, 0),
            "partition {partition}"
        );
    }
    let fetched: FetchResponse = broker.receive(clients[3], 12).expect("it is answered");
    assert_eq!(only(fetched).error_code, 0);
    assert_eq!(broker.answered(clients[0]).len(), 1);
    broker.stop();
    broker.assert_stopped();
}

#[test]
fn more_replicas_than_brokers_are_refused_whether_asked_for_or_the_default() {
    let config = BrokerConfig {
        default_replication_factor: 3,
        ..BrokerConfig::default()
    };
    let mut broker = Broker::start_with(1, config);
    let client = broker.connect(0);
    let refused = ErrorCode::InvalidReplicationFactor.code();
    for (factor, expected) in [(-1, refused), (3, refused), (0, refused), (1, 0)] {
        let mut request = create_request("orders", 1);
        request.topics[0].replication_factor = factor;
        let response: CreateTopicsResponse = broker.call(client, &request, 7);
        assert_eq!(response.topics[0].error_code, expected, "factor {factor}");
    }
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(text("new")),
            ..MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    let response: MetadataResponse = broker.call(client, &request, 12);
    assert_eq!(response.topics[0].error_code, refused);
}

#[test]
fn a_topic_named_twice_is_refused_and_answered_once() {
    let mut broker = Broker::start(1);
    let client = broker.connect(0);
    let mut request = create_request("orders", 1);
    request.topics.push(request.topics[0].clone());
    request.topics.extend(create_request("other", 1).topics);
    let response: CreateTopicsResponse = broker.call(client, &request, 7);
    let created: Vec<_> = response
        .topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.error_code))
        .collect();
    let invalid = ErrorCode::InvalidRequest.code();
    assert_eq!(created, [("orders", invalid), ("other", 0)]);
    let mut request = delete_request("other");
    request.topic_names.push(text("other"));
    request.topic_names.push(text("nobody"));
    let response: DeleteTopicsResponse = broker.call(client, &request, 5);
    let deleted: Vec<_> = response.responses.iter().map(|topic| topic.error_code).collect();
    assert_eq!(deleted, [invalid, ErrorCode::UnknownTopicOrPartition.code()]);
}

#[test]
fn partitions_that_nobody_uses_are_not_woken_by_what_happens_to_others() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    for name in ["a", "b", "c"] {
        assert_eq!(broker.create(client, name, 10_000).0, 0);
    }
    let active = |broker: &Broker| -> u64 { broker.shards.iter().map(|it| it.counters().active_partitions).sum() };
    assert_eq!(active(&broker), 0);
    assert_eq!(broker.produce(client, "b", 9_999, batch(&["x"])), (0, 0));
    assert_eq!(broker.describe(client, "c").partitions.len(), 10_000);
    // The looks for what retention and compaction have to do.
    broker.pass(301_000);
    assert_eq!(active(&broker), 1);
    broker.stop_and_start(2);
    assert_eq!(active(&broker), 0);
    let logs = |broker: &Broker| {
        let files = broker.disk.files();
        files
            .iter()
            .filter(|name| name.starts_with("b-") && name.strip_suffix(".log").is_some())
            .count()
    };
    assert_eq!(logs(&broker), 1);
    let client = broker.connect(1);
    assert_eq!(broker.consume(client, "b", 9_999), ["x"]);
    assert_eq!(active(&broker), 1);
}
