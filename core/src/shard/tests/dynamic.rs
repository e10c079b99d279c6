//! Settings given to a running broker: they act on every shard, or are said to do nothing.

use super::administering::{BROKER, DELETE, SET, change};
use super::broker::Broker;
use crate::config::{BrokerConfig, ConnectionConfig, OTHER_VALUES, dynamic_keys};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What each shard goes by, without where it has that from.
fn acting(broker: &Broker) -> Vec<BrokerConfig> {
    let bare = |config: &BrokerConfig| BrokerConfig {
        dynamic: BTreeMap::new(),
        dynamic_defaults: BTreeMap::new(),
        ..config.clone()
    };
    broker.shards.iter().map(|shard| bare(&shard.view.config)).collect()
}

/// Gives a setting every value that it may take until one does something; whether it acted, or was said to be inert.
fn try_values(broker: &mut Broker, name: &str, key: &str) -> Option<bool> {
    let client = broker.connect(1);
    let before = acting(broker);
    for value in OTHER_VALUES {
        broker.reports.clear();
        if change(broker, client, (BROKER, name), &[(key, SET, Some(value))], 1) != 0 {
            continue;
        }
        let told: Vec<String> = core::mem::take(&mut broker.reports);
        let after = acting(broker);
        assert_eq!(change(broker, client, (BROKER, name), &[(key, DELETE, None)], 1), 0);
        assert_eq!(acting(broker), before, "{key} is what it was");
        assert!(
            broker.reports.is_empty(),
            "what is taken back does not need a word: {:?}",
            broker.reports
        );
        let acts = after
            .iter()
            .zip(&before)
            .filter(|(after, before)| after != before)
            .count();
        assert!(acts == 0 || acts == after.len(), "{key} acts on {acts} shards");
        match told.as_slice() {
            [] if acts > 0 => return Some(true),
            [] => {}
            [text] => {
                let says = text.contains(" is accepted and has no effect in Klamm, because ");
                assert!(says && text.starts_with(&format!("{key}=")) && acts == 0, "{text}");
                return Some(false);
            }
            _ => panic!("{told:?}"),
        }
    }
    None
}

#[test]
fn every_setting_of_a_running_broker_acts_on_every_shard_or_is_said_to_do_nothing() {
    let mut broker = Broker::start(3);
    let (mut acting, mut inert) = (0, 0);
    for name in ["", "1"] {
        for key in dynamic_keys() {
            match try_values(&mut broker, name, key) {
                Some(true) => acting += 1,
                Some(false) => inert += 1,
                None => assert_eq!(key, "config.providers", "it takes a value"),
            }
        }
    }
    assert!(acting >= 2 * 20 && inert >= 2 * 10, "{acting} act, {inert} are inert");
}

#[test]
fn what_does_nothing_is_told_again_at_a_start() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    let set = [("num.io.threads", SET, Some("5")), ("log.retention.ms", SET, Some("7"))];
    assert_eq!(change(&mut broker, client, (BROKER, ""), &set, 1), 0);
    let told = broker.reports.iter().filter(|text| text.contains("is accepted"));
    assert_eq!(told.count(), 1, "{:?}", broker.reports);
    broker.kill(2);
    assert!(broker.reported("num.io.threads=5 is accepted and has no effect in Klamm"));
}

#[test]
fn the_driver_is_told_of_new_bounds_on_connections_once_and_again_at_a_start() {
    let mut broker = Broker::start(3);
    let client = broker.connect(1);
    let set = [
        ("max.connections", SET, Some("5")),
        ("max.connections.per.ip", SET, Some("4")),
        ("max.connections.per.ip.overrides", SET, Some("127.0.0.1:3")),
        ("max.connection.creation.rate", SET, Some("2")),
    ];
    assert_eq!(change(&mut broker, client, (BROKER, ""), &set, 1), 0);
    let told = broker.connections_bound.take().expect("it is told");
    assert_eq!((told.most, told.most_of_one, told.new_per_second), (5, 4, 2));
    assert_eq!(told.most_of.len(), 1);
    let other = [("log.retention.ms", SET, Some("7"))];
    assert_eq!(change(&mut broker, client, (BROKER, ""), &other, 1), 0);
    assert_eq!(broker.connections_bound, None, "nothing changed");
    broker.kill(3);
    assert_eq!(broker.connections_bound, Some(told));
    let client = broker.connect(0);
    let back = set.map(|(key, ..)| (key, DELETE, None));
    assert_eq!(change(&mut broker, client, (BROKER, ""), &back, 1), 0);
    assert_eq!(broker.connections_bound, Some(ConnectionConfig::default()));
}

#[test]
fn what_kafka_refuses_for_what_is_in_effect_besides_is_refused() {
    let mut broker = Broker::start(2);
    let client = broker.connect(0);
    let mut try_threads =
        |name: &str, op, value| change(&mut broker, client, (BROKER, name), &[("num.io.threads", op, value)], 1);
    assert_eq!(try_threads("", SET, Some("17")), 42, "more than twice 8");
    assert_eq!(try_threads("", SET, Some("16")), 0);
    assert_eq!(try_threads("", SET, Some("32")), 0, "twice what it is now");
    assert_eq!(try_threads("", DELETE, None), 42, "less than half");
    assert_eq!(try_threads("1", SET, Some("16")), 0);
    assert_eq!(try_threads("", DELETE, None), 0, "another has the word now");
    assert_eq!(try_threads("1", SET, Some("7")), 42);
}
