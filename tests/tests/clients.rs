//! Real clients against the real binary: what one sends, all others read back, record by record.
//!
//! With `KLAMM_TEST_BOOTSTRAP=host:port` these tests run against a broker that is there already, Apache Kafka for
//! instance: what fails there is the test's fault.

use klamm_tests::client::{Acknowledged, Batching, Compression, kcat_consume_without_headers};
use klamm_tests::frame::{Connection, batch, is_stored};
use klamm_tests::record::{self, Record, Stored, assert_same, expected};
use klamm_tests::{Broker, Client};
use std::sync::atomic::{AtomicU64, Ordering};

/// The broker under test.
enum Subject {
    Ours(Box<Broker>),
    Given(String),
}

impl Subject {
    fn start(shards: u16) -> Self {
        let ours = |_| Self::Ours(Box::new(Broker::start_with_shards(shards)));
        std::env::var("KLAMM_TEST_BOOTSTRAP").map_or_else(ours, Self::Given)
    }

    fn address(&self) -> String {
        match self {
            Self::Ours(broker) => broker.address(),
            Self::Given(address) => address.clone(),
        }
    }

    /// Creates a topic under a name that no earlier run has used.
    fn topic(&self, name: &str, partitions: i32) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let topic = format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection = Connection::open(&self.address()).expect("the broker accepts");
        assert_eq!(
            connection.create_topic(&topic, partitions, &[("retention.ms", "-1")]),
            0,
            "creation of {topic}"
        );
        topic
    }
}

/// Demands that each record was acknowledged once, at the offset where it stands.
fn assert_acknowledged(records: &[Record], answers: &[Acknowledged]) {
    let mut answers = answers.to_vec();
    answers.sort_by_key(|answer| answer.index);
    assert_eq!(answers.len(), records.len(), "number of acknowledgements");
    let mut next = std::collections::BTreeMap::new();
    for (index, (record, answer)) in records.iter().zip(&answers).enumerate() {
        let offset = next.entry(record.partition).or_insert(0);
        let stands = Acknowledged {
            index,
            partition: record.partition,
            offset: *offset,
        };
        assert_eq!(*answer, stands);
        *offset += 1;
    }
}

fn without_headers(stored: &[Stored]) -> Vec<Stored> {
    let bare = |stored: &Stored| Stored {
        record: Record {
            headers: Vec::new(),
            ..stored.record.clone()
        },
        ..stored.clone()
    };
    stored.iter().map(bare).collect()
}

/// `producer` sends `records`, and every client reads every partition back.
fn exchange(subject: &Subject, producer: Client, records: &[Record], how: (Compression, Batching)) {
    let partitions = 1 + records
        .iter()
        .map(|record| record.partition)
        .max()
        .expect("there are records");
    let topic = subject.topic(&format!("{producer:?}-{:?}-{:?}", how.0, how.1), partitions);
    let address = subject.address();
    assert_acknowledged(records, &producer.produce(&address, &topic, records, how));
    for partition in 0..partitions {
        let sent = expected(records, partition);
        for consumer in [Client::Python, Client::Java, Client::JavaBefore] {
            let read = consumer.consume(&address, &topic, partition, sent.len());
            assert_same(&format!("{producer:?} {how:?}, read by {consumer:?}"), &read, &sent);
        }
        let read = kcat_consume_without_headers(&address, &topic, partition, sent.len());
        assert_same(
            &format!("{producer:?} {how:?}, read by kcat"),
            &read,
            &without_headers(&sent),
        );
    }
}

#[test]
fn python_records_of_all_kinds_in_all_compressions() {
    let subject = Subject::start(2);
    for (seed, compression) in (1..).zip(Compression::ALL) {
        exchange(
            &subject,
            Client::Python,
            &record::mixed(seed, 600, 2),
            (compression, Batching::Default),
        );
    }
}

#[test]
fn java_records_of_all_kinds_in_all_compressions() {
    let subject = Subject::start(3);
    for (seed, compression) in (11..).zip(Compression::ALL) {
        exchange(
            &subject,
            Client::Java,
            &record::mixed(seed, 600, 2),
            (compression, Batching::Default),
        );
    }
}

#[test]
fn java_before_records_of_all_kinds() {
    let subject = Subject::start(1);
    exchange(
        &subject,
        Client::JavaBefore,
        &record::mixed(21, 600, 3),
        (Compression::Lz4, Batching::Default),
    );
}

#[test]
fn records_from_one_byte_to_a_megabyte() {
    let subject = Subject::start(2);
    for (producer, compression) in [
        (Client::Python, Compression::None),
        (Client::Python, Compression::Snappy),
        (Client::Java, Compression::None),
        (Client::Java, Compression::Zstd),
    ] {
        exchange(&subject, producer, &record::sizes(31), (compression, Batching::Default));
    }
}

#[test]
fn batches_of_one_and_of_thousands() {
    let subject = Subject::start(3);
    for producer in [Client::Python, Client::Java] {
        let single = (Compression::None, Batching::Single);
        exchange(&subject, producer, &record::text(41, 300, 50), single);
        for compression in Compression::ALL {
            exchange(
                &subject,
                producer,
                &record::text(42, 20_000, 40),
                (compression, Batching::Large),
            );
        }
    }
}

/// kcat sets no timestamps, so its own stand for what was sent; all else is compared, headers too.
#[test]
fn kcat_sends_text_with_headers() {
    let subject = Subject::start(1);
    let address = subject.address();
    for compression in Compression::ALL {
        let mut records = record::text(51, 2000, 80);
        records.extend(record::text(52, 3, 900_000));
        let headers =
            [("a", "1"), ("a", "2"), ("empty", "")].map(|(name, value)| (name.to_owned(), Some(value.into())));
        for record in &mut records {
            record.headers = headers.to_vec();
        }
        let topic = subject.topic(&format!("kcat-{compression:?}"), 1);
        Client::Kcat.produce(&address, &topic, &records, (compression, Batching::Default));
        let read = Client::Kcat.consume(&address, &topic, 0, records.len());
        let mut sent = expected(&records, 0);
        for (sent, read) in sent.iter_mut().zip(&read) {
            sent.record.timestamp = read.record.timestamp;
        }
        assert_same("kcat, read by kcat", &read, &sent);
        for consumer in [Client::Python, Client::Java] {
            assert_same(
                &format!("kcat, read by {consumer:?}"),
                &consumer.consume(&address, &topic, 0, sent.len()),
                &sent,
            );
        }
    }
}

/// The frames that other tests write by hand are what real clients take them for.
#[test]
fn hand_made_frames_are_sound() {
    let subject = Subject::start(2);
    let topic = subject.topic("frames", 1);
    let mut connection = Connection::open(&subject.address()).expect("the broker accepts");
    let values: [&[u8]; 4] = [b"one", b"", &[0xff; 1000], b"four"];
    let mut sent = Vec::new();
    for at in [0..2, 2..3, 3..4] {
        let batch = batch(&values[at.clone()]);
        let told = connection.produce(&topic, 0, &batch).expect("Produce is answered");
        assert_eq!((told.error, told.base_offset), (0, at.start as i64));
        sent.push(batch);
    }
    let read = connection.fetch_all(&topic, 0, 4);
    assert_eq!(
        read.iter().map(|(base_offset, _)| *base_offset).collect::<Vec<_>>(),
        [0, 2, 3]
    );
    assert!(read.iter().zip(&sent).all(|((_, read), sent)| is_stored(read, sent)));
    for client in [Client::Python, Client::Java] {
        let read = client.consume(&subject.address(), &topic, 0, 4);
        let read: Vec<&[u8]> = read
            .iter()
            .map(|stored| stored.record.value.as_deref().expect("a value"))
            .collect();
        assert_eq!(read, values);
    }
}
