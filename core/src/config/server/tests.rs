//! Whole sets of settings, as people write them.

use super::*;
use crate::config::{ConfigSource, TopicOverrides, describe_broker, describe_topic, parse_properties};

fn parse(settings: &[(&str, &str)]) -> Result<(ServerConfig, Notes), ConfigError> {
    ServerConfig::parse(settings.iter().copied())
}

fn refusal(settings: &[(&str, &str)]) -> String {
    parse(settings).unwrap_err().to_string()
}

/// As settings write them.
fn shown(listeners: &[Listener]) -> Vec<String> {
    listeners.iter().map(ToString::to_string).collect()
}

/// The keys and values of the file that Apache Kafka 4.3 ships as `config/server.properties`.
const SHIPPED: &str = "
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn the_file_that_kafka_ships_is_accepted_and_what_has_no_effect_is_noted() {
    let settings = parse_properties(SHIPPED).unwrap();
    let (config, notes) =
        ServerConfig::parse(settings.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap();
    assert_eq!(shown(&config.listeners), ["PLAINTEXT://:9092"]);
    assert_eq!(shown(&config.broker.advertised), ["PLAINTEXT://localhost:9092"]);
    assert_eq!(config.log_dir.as_deref(), Some("/tmp/kraft-combined-logs"));
    assert_eq!(config.broker.topic_defaults, crate::config::TopicConfig::default());
    assert!(notes.unknown.is_empty(), "{notes:?}");
    assert!(notes.inert.iter().any(|(name, _)| name == "num.io.threads"));
    assert!(notes.inert.iter().any(|(name, _)| name.contains("CONTROLLER")));
    assert!(!notes.inert.iter().any(|(name, _)| name == "num.partitions"));
}

#[test]
fn without_settings_it_listens_on_the_loopback_and_advertises_localhost() {
    let (config, notes) = parse(&[]).unwrap();
    assert_eq!(
        shown(&config.listeners),
        ["PLAINTEXT://127.0.0.1:9092", "PLAINTEXT://[::1]:9092"]
    );
    assert_eq!(config.broker, BrokerConfig::default());
    assert_eq!(notes, Notes::default());
}

#[test]
fn settings_of_groups_reach_the_coordinator() {
    let (config, notes) = parse(&[
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.max.session.timeout.ms", "2"),
        ("group.max.size", "3"),
        ("group.members.max.bytes", "9"),
        ("group.offsets.max.bytes", "10"),
        ("group.min.session.timeout.ms", "1"),
        ("offset.metadata.max.bytes", "4"),
        ("offsets.retention.check.interval.ms", "5"),
        ("offsets.retention.minutes", "6"),
        ("offsets.topic.compression.codec", "4"),
        ("offsets.topic.num.partitions", "7"),
        ("offsets.topic.segment.bytes", "8"),
    ])
    .unwrap();
    let expected = crate::config::GroupConfig {
        min_session_timeout_ms: 1,
        max_session_timeout_ms: 2,
        initial_rebalance_delay_ms: 0,
        max_size: 3,
        offsets_partitions: 7,
        offsets_segment_bytes: 1 << 20,
        offsets_compression: crate::record::Compression::Zstd,
        offsets_retention_ms: 360_000,
        offsets_retention_check_interval_ms: 5,
        offset_metadata_max_bytes: 4,
        members_max_bytes: 9,
        offsets_max_bytes: 10,
        ..crate::config::GroupConfig::default()
    };
    assert_eq!(config.broker.groups, expected);
    assert!(notes.inert.is_empty());
}

#[test]
fn nobody_is_let_in_only_beside_overrides() {
    let (bound, overrides) = ("max.connections.per.ip", "max.connections.per.ip.overrides");
    let error = parse(&[(bound, "0")]).unwrap_err().to_string();
    assert!(error.starts_with(bound) && error.contains(overrides), "{error}");
    let (config, _) = parse(&[(bound, "0"), (overrides, "127.0.0.1:5")]).unwrap();
    let connections = config.broker.connections;
    assert_eq!(connections.most_of([127, 0, 0, 1].into()), 5);
    assert_eq!(connections.most_of([10, 0, 0, 1].into()), 0);
}

#[test]
fn settings_reach_the_broker() {
    let (config, _) = parse(&[
        ("broker.id", "7"),
        ("broker.rack", "r1"),
        ("num.partitions", "3"),
        ("auto.create.topics.enable", "false"),
        ("delete.topic.enable", "false"),
        ("flush", "os"),
        ("producer.id.expiration.ms", "5"),
        ("connections.max.idle.ms", "6"),
        ("fetch.max.bytes", "2048"),
        ("max.incremental.fetch.session.cache.slots", "9"),
        ("shards", "2"),
        ("max.connections", "11"),
        ("max.connections.per.ip", "3"),
        ("metrics.listener", "off"),
        ("log.retention.check.interval.ms", "12"),
        ("shutdown.timeout.ms", "13"),
    ])
    .unwrap();
    assert_eq!(config.shutdown_timeout_ms, 13);
    let broker = config.broker;
    assert_eq!(
        (broker.node_id, broker.rack.as_deref(), broker.num_partitions),
        (BrokerId(7), Some("r1"), 3)
    );
    assert!(!broker.auto_create_topics && !broker.delete_topics && broker.flush == FlushMode::Os);
    assert_eq!(
        (broker.producer_id_expiration_ms, broker.connections_max_idle_ms),
        (5, 6)
    );
    assert_eq!((broker.fetch_max_bytes, broker.limits.fetch_sessions), (2048, 9));
    assert_eq!(
        (config.shards, broker.connections.most, config.metrics),
        (Some(2), 11, Metrics::Off)
    );
    assert_eq!(
        (broker.retention_check_interval_ms, broker.connections.most_of_one),
        (12, 3)
    );
}

#[test]
fn the_finest_unit_of_a_topic_default_counts() {
    let retention = |settings: &[(&str, &str)]| parse(settings).unwrap().0.broker.topic_defaults.retention_ms;
    assert_eq!(retention(&[("log.retention.hours", "2")]), Some(7_200_000));
    assert_eq!(
        retention(&[("log.retention.hours", "2"), ("log.retention.minutes", "3")]),
        Some(180_000)
    );
    assert_eq!(
        retention(&[("log.retention.minutes", "3"), ("log.retention.ms", "4")]),
        Some(4)
    );
    assert_eq!(retention(&[("log.retention.hours", "-1")]), None);
    let (config, _) = parse(&[
        ("log.roll.hours", "1"),
        ("message.max.bytes", "9"),
        ("min.insync.replicas", "2"),
    ])
    .unwrap();
    let topic = config.broker.topic_defaults;
    assert_eq!(
        (topic.segment_ms, topic.max_message_bytes, topic.min_insync_replicas),
        (3_600_000, 9, 2)
    );
}

#[test]
fn whatever_asks_for_protection_refuses_to_start() {
    for settings in [
        &[("ssl.keystore.location", "/k")][..],
        &[("sasl.enabled.mechanisms", "PLAIN")],
        &[("listener.name.internal.ssl.keystore.location", "/k")],
        &[("listener.name.internal.plain.sasl.jaas.config", "x")],
        &[("super.users", "User:a")],
        &[("listeners", "SSL://127.0.0.1:9093")],
        &[("listeners", "SASL_SSL://127.0.0.1:9093,PLAINTEXT://127.0.0.1:9092")],
        &[
            ("listeners", "OUT://127.0.0.1:9092"),
            ("listener.security.protocol.map", "OUT:SASL_PLAINTEXT"),
        ],
        &[("security.inter.broker.protocol", "SSL")],
        &[("authorizer.class.name", "a.B")],
    ] {
        let error = refusal(settings);
        assert!(
            error.contains("not available yet") || error.contains("no authorizer"),
            "{error}"
        );
    }
    assert!(parse(&[("sasl.enabled.mechanisms", "")]).is_ok());
}

#[test]
fn a_wildcard_is_never_advertised() {
    for wildcard in ["PLAINTEXT://:9092", "PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://[::]:9092"] {
        assert!(refusal(&[("listeners", wildcard)]).contains("set advertised.listeners"));
        assert!(refusal(&[("advertised.listeners", wildcard)]).contains("wildcard"));
    }
    let both = [
        ("listeners", "PLAINTEXT://:9092"),
        ("advertised.listeners", "PLAINTEXT://b.example:19092"),
    ];
    let advertised = parse(&both).unwrap().0.broker.advertised;
    assert_eq!(shown(&advertised), ["PLAINTEXT://b.example:19092"]);
}

#[test]
fn what_cannot_be_honoured_is_an_error_that_names_the_setting() {
    for (name, value) in [
        ("log.cleanup.policy", "burn"),
        ("log.cleaner.enable", "false"),
        ("compression.type", "zip"),
        ("remote.log.storage.system.enable", "true"),
        ("process.roles", "broker"),
        ("log.dirs", "/a,/b"),
        ("num.partitions", "none"),
        ("log.segment.bytes", "100"),
        ("listeners", "9092"),
        ("listeners", "OUT://127.0.0.1:9092"),
        ("metrics.listener", "here"),
        ("flush", "never"),
        ("num.io.threads", "x"),
    ] {
        assert!(refusal(&[(name, value)]).starts_with(name));
    }
    assert!(refusal(&[("node.id", "1"), ("broker.id", "2")]).contains("broker.id is 2"));
    // No topic has more, and this one is not made by hand.
    let many = refusal(&[("offsets.topic.num.partitions", "10001")]);
    assert_eq!(
        many,
        "offsets.topic.num.partitions: '10001' is not allowed; allowed is from 1 to 10000"
    );
}

#[test]
fn an_unknown_setting_is_noted_with_what_was_perhaps_meant() {
    let (_, notes) = parse(&[
        ("num.partition", "3"),
        ("zookeeper.connect", "z"),
        ("log.retention.hour", "1"),
    ])
    .unwrap();
    assert_eq!(
        notes.unknown,
        [
            ("log.retention.hour".into(), Some("log.retention.hours")),
            ("num.partition".into(), Some("num.partitions")),
            ("zookeeper.connect".into(), None),
        ]
    );
}

#[test]
fn describing_shows_where_each_value_comes_from() {
    let (config, _) = parse(&[
        ("log.retention.hours", "2"),
        ("num.io.threads", "3"),
        ("log.segment.bytes", "2097152"),
    ])
    .unwrap();
    let (_, overrides) =
        TopicOverrides::parse([("segment.bytes", Some("1048576"))], &config.broker.topic_defaults).unwrap();
    let topic = describe_topic(&overrides, &config.broker);
    assert_eq!(topic.len(), 33);
    let entry = |name| topic.iter().find(|entry| entry.name == name).unwrap();
    let retention = entry("retention.ms");
    assert_eq!(
        (retention.value.as_deref(), retention.source),
        (Some("7200000"), ConfigSource::StaticBroker)
    );
    assert_eq!(retention.synonyms[0].value.as_deref(), Some("2"));
    let segment = entry("segment.bytes");
    assert_eq!(
        (segment.value.as_deref(), segment.source),
        (Some("1048576"), ConfigSource::DynamicTopic)
    );
    let sources: Vec<_> = segment.synonyms.iter().map(|synonym| synonym.source).collect();
    assert_eq!(
        sources,
        [
            ConfigSource::DynamicTopic,
            ConfigSource::StaticBroker,
            ConfigSource::Default
        ]
    );
    assert_eq!(entry("cleanup.policy").source, ConfigSource::Default);

    let broker = describe_broker(&config.broker);
    assert!(broker.is_sorted_by(|a, b| a.name < b.name));
    let entry = |name| broker.iter().find(|entry| entry.name == name).unwrap();
    assert_eq!(
        (entry("num.io.threads").value.as_deref(), entry("num.io.threads").source),
        (Some("3"), ConfigSource::StaticBroker)
    );
    assert_eq!(
        (entry("log.segment.bytes").kind.id(), entry("num.partitions").source),
        (3, ConfigSource::Default)
    );
    assert!(entry("num.partitions").read_only);
}

#[test]
fn the_distance_counts_edits() {
    assert_eq!(
        (
            distance("", "abc"),
            distance("abc", "abc"),
            distance("kitten", "sitting")
        ),
        (3, 0, 3)
    );
}
