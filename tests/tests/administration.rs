//! Kafka's own client administers the real binary, and is told what Apache Kafka 4.3.1 tells it, line by line.
//!
//! With `KLAMM_TEST_BOOTSTRAP=host:port` it asks a broker that is there already: the expected lines are those of Apache
//! Kafka itself.

use klamm_tests::client::{java, output};
use klamm_tests::{Broker, installed};

/// What Kafka's client printed for Apache Kafka 4.3.1.
const EXPECTED: &str = include_str!("../clients/java/admin.expected");

fn administer(jars: &str) {
    let given = std::env::var("KLAMM_TEST_BOOTSTRAP").ok();
    let ours = given.is_none().then(|| Broker::start_with_shards(2));
    let bootstrap = given.unwrap_or_else(|| ours.as_ref().expect("it was started").address());
    let topic = format!("administered-{}-{jars}", std::process::id());
    // Java compiles a program of one file as it starts it.
    let program = installed::root().join("tests/clients/java/Admin.java");
    let told = output(java(jars, &program.display().to_string()).args([&bootstrap, &topic]));
    let told = String::from_utf8(told).expect("lines are UTF-8");
    assert_eq!(told.lines().collect::<Vec<_>>(), EXPECTED.lines().collect::<Vec<_>>());
}

#[test]
fn kafkas_client_is_told_what_kafka_tells_it() {
    administer("kafka-clients-4.4.0");
}

#[test]
fn the_release_before_is_told_the_same() {
    administer("kafka-tools-4.3.1");
}
