//! What no client should send: each gets its error or its connection closed, and nothing else suffers.

use klamm_tests::frame::{Body, Connection, api, batch, batch_of, is_stored, produce_body, produced, request};
use klamm_tests::record::Draw;
use klamm_tests::{Broker, Options};
use std::io::Write as _;

const TOPIC: &str = "robust";

/// A broker with one topic and some records in it that must survive.
struct Robust {
    broker: Broker,
    kept: Vec<Vec<u8>>,
}

impl Robust {
    fn start() -> Self {
        Self::of(Broker::start())
    }

    fn of(broker: Broker) -> Self {
        broker.create_topic(TOPIC, 1, &[]);
        let mut robust = Self {
            broker,
            kept: Vec::new(),
        };
        robust.append();
        robust
    }

    /// Appends a batch that every later check expects to find.
    fn append(&mut self) {
        let batch = batch(&[format!("record {}", self.kept.len()).as_bytes()]);
        let told = self
            .broker
            .connect()
            .produce(TOPIC, 0, &batch)
            .expect("Produce is answered");
        assert_eq!((told.error, told.base_offset), (0, self.kept.len() as i64));
        self.kept.push(batch);
    }

    /// Demands that the broker serves on and holds what it held, and nothing more.
    fn assert_unharmed(&mut self, after: &str) {
        assert!(!self.broker.has_ended(), "the broker ended after {after}");
        self.append();
        let read = self.broker.connect().fetch_all(TOPIC, 0, self.kept.len() as i64);
        assert_eq!(read.len(), self.kept.len(), "batches after {after}");
        for ((_, read), sent) in read.iter().zip(&self.kept) {
            assert!(is_stored(read, sent), "a batch has changed after {after}");
        }
    }

    fn assert_closes(&mut self, what: &str, bytes: &[u8]) {
        let mut connection = self.broker.connect();
        // The broker may close while the rest is still being sent; what counts is that it closes.
        let _ = connection.stream().write_all(bytes);
        assert!(connection.is_closed(), "the connection stays open after {what}");
        self.assert_unharmed(what);
    }

    fn assert_refused(&mut self, what: &str, records: &[u8], errors: &[i16]) {
        let told = self
            .broker
            .connect()
            .produce(TOPIC, 0, records)
            .expect("Produce is answered");
        assert!(
            errors.contains(&told.error),
            "{what}: {told:?} where {errors:?} was expected"
        );
        self.assert_unharmed(what);
    }
}

/// Error codes of Kafka.
const CORRUPT_MESSAGE: i16 = 2;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC: i16 = 17;
const UNSUPPORTED_VERSION: i16 = 35;
const UNSUPPORTED_FOR_MESSAGE_FORMAT: i16 = 43;
const INVALID_RECORD: i16 = 87;
const INVALID_CONFIG: i16 = 40;

/// A frame whose length is right around a body that may be anything.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = Body::new();
    frame.int(body.len() as i32).bytes(body);
    frame.0
}

#[test]
fn bytes_that_are_no_frame_close_their_connection() {
    let mut robust = Robust::start();
    robust.assert_closes("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    robust.assert_closes("a negative length", &(-1_i32).to_be_bytes());
    robust.assert_closes("a length above the limit", &(104_857_600_i32 + 1).to_be_bytes());
    robust.assert_closes("the largest length", &i32::MAX.to_be_bytes());
    robust.assert_closes("an empty frame", &framed(&[]));
    robust.assert_closes("a frame too short for a header", &framed(&[0, 3]));
}

#[test]
fn requests_that_cannot_be_answered_close_their_connection() {
    let mut robust = Robust::start();
    robust.assert_closes("an unknown API", &request(9999, 0, 1, &[]));
    robust.assert_closes("a negative API key", &request(-3, 0, 1, &[]));
    robust.assert_closes("a version that is too new", &request(api::METADATA, 99, 1, &[0; 8]));
    robust.assert_closes("a version that is too old", &request(api::FETCH, 0, 1, &[0; 8]));
    robust.assert_closes("a negative version", &request(api::METADATA, -1, 1, &[0; 8]));
}

#[test]
fn an_unknown_version_of_api_versions_is_answered() {
    let mut robust = Robust::start();
    let body = robust
        .broker
        .connect()
        .call(api::API_VERSIONS, 99, &[0, 0, 0])
        .expect("it is answered");
    assert_eq!(body[..2], UNSUPPORTED_VERSION.to_be_bytes());
    robust.assert_unharmed("ApiVersions 99");
}

#[test]
fn truncated_requests_close_their_connection() {
    let mut robust = Robust::start();
    let body = produce_body(-1, TOPIC, 0, &batch(&[b"never stored"]));
    let whole = request(api::PRODUCE, 3, 1, &body);
    for kept in [9, 12, 14, 20, 25, 30, 40, 50, whole.len() - 5] {
        robust.assert_closes(&format!("a request cut at {kept}"), &framed(&whole[4..kept]));
    }
}

/// Counts and lengths that claim far more than the frame holds.
#[test]
fn lying_counts_close_their_connection() {
    let mut robust = Robust::start();
    for lie in [i32::MAX, 1_000_000, 100, -2, i32::MIN] {
        let mut lies = [
            ("topics of Metadata", api::METADATA, 1, Body::new()),
            ("topics of CreateTopics", api::CREATE_TOPICS, 2, Body::new()),
            ("topics of Produce", api::PRODUCE, 3, Body::new()),
            ("topics of Fetch", api::FETCH, 4, Body::new()),
        ];
        lies[2].3.short(-1).short(-1).int(30_000);
        lies[3].3.int(-1).int(0).int(1).int(1000).byte(0);
        for (_, _, _, body) in &mut lies {
            body.int(lie).bytes(&[0; 3]);
        }
        for (what, key, version, body) in lies {
            robust.assert_closes(&format!("{lie} {what}"), &request(key, version, 1, &body.0));
        }
        let mut records = Body::new();
        records
            .short(-1)
            .short(-1)
            .int(30_000)
            .int(1)
            .string(TOPIC)
            .int(1)
            .int(0)
            .int(lie.wrapping_sub(7))
            .bytes(&[0; 61]);
        robust.assert_closes(
            &format!("{lie} bytes of records"),
            &request(api::PRODUCE, 3, 1, &records.0),
        );
    }
}

#[test]
fn batches_that_are_wrong_are_refused() {
    let mut robust = Robust::start();
    let sound = batch(&[b"one", b"two"]);
    let corrupt = [CORRUPT_MESSAGE, INVALID_RECORD];
    for at in [17, 21, 30, sound.len() - 1] {
        let mut wrong = sound.clone();
        wrong[at] ^= 0x40;
        robust.assert_refused(&format!("a wrong CRC, seen at {at}"), &wrong, &[CORRUPT_MESSAGE]);
    }
    for kept in [1, 11, 12, 60, 61, sound.len() - 1] {
        robust.assert_refused(&format!("a batch cut at {kept}"), &sound[..kept], &corrupt);
    }
    let mut magic = sound.clone();
    magic[16] = 9;
    robust.assert_refused(
        "an unknown magic",
        &magic,
        &[CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_FOR_MESSAGE_FORMAT],
    );
    robust.assert_refused(
        "two batches",
        &[sound.clone(), sound.clone()].concat(),
        &[INVALID_RECORD],
    );
    robust.assert_refused("no records", &[], &[INVALID_RECORD, CORRUPT_MESSAGE]);
    robust.assert_refused(
        "noise",
        &Draw::new(1).bytes(300),
        &[CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_FOR_MESSAGE_FORMAT],
    );
}

#[test]
fn batches_whose_counts_lie_are_refused() {
    let mut robust = Robust::start();
    let records = &batch(&[b"one", b"two"])[61..];
    for count in [1, 3, 1000, i32::MAX, 0, -1] {
        robust.assert_refused(
            &format!("{count} records declared, 2 there"),
            &batch_of(count, records),
            &[INVALID_RECORD],
        );
    }
    let mut lie = vec![0x7e];
    lie.extend_from_slice(&records[1..]);
    robust.assert_refused("a record longer than its batch", &batch_of(2, &lie), &[INVALID_RECORD]);
    robust.assert_refused("records that are noise", &batch_of(5, &[0xff; 40]), &[INVALID_RECORD]);
}

#[test]
fn too_large_batches_are_refused() {
    let mut robust = Robust::start();
    let large = batch(&[&vec![b'x'; 1_100_000]]);
    robust.assert_refused("a batch above max.message.bytes", &large, &[MESSAGE_TOO_LARGE]);
}

#[test]
fn unknown_topics_and_partitions_are_told() {
    let mut robust = Robust::start();
    let sound = batch(&[b"one"]);
    let mut connection = robust.broker.connect();
    for (topic, partition) in [("never-created", 0), (TOPIC, 1), (TOPIC, -1), (TOPIC, i32::MAX)] {
        let told = connection
            .produce(topic, partition, &sound)
            .expect("Produce is answered");
        assert_eq!(told.error, UNKNOWN_TOPIC_OR_PARTITION, "produce to {topic}-{partition}");
        let (error, records) = connection.fetch(topic, partition, 0).expect("Fetch is answered");
        assert_eq!(
            (error, records.len()),
            (UNKNOWN_TOPIC_OR_PARTITION, 0),
            "fetch of {topic}-{partition}"
        );
    }
    let long = "x".repeat(250);
    for name in ["", ".", "..", "with/slash", "../escape", "with space", &long] {
        assert_eq!(
            connection.create_topic(name, 1, &[]),
            INVALID_TOPIC,
            "creation of {name:?}"
        );
    }
    robust.assert_unharmed("unknown topics");
}

#[test]
fn bad_topic_settings_are_refused() {
    let mut robust = Robust::start();
    let mut connection = robust.broker.connect();
    for (name, value) in [
        ("retention.ms", "soon"),
        ("no.such.setting", "1"),
        ("cleanup.policy", "burn"),
        ("segment.bytes", "-5"),
    ] {
        assert_eq!(
            connection.create_topic("refused", 1, &[(name, value)]),
            INVALID_CONFIG,
            "{name}={value}"
        );
    }
    let told = connection
        .produce("refused", 0, &batch(&[b"one"]))
        .expect("Produce is answered");
    assert_eq!(
        told.error, UNKNOWN_TOPIC_OR_PARTITION,
        "the refused topic was not created"
    );
    robust.assert_unharmed("bad topic settings");
}

/// A request after a refused one on the same connection is served.
#[test]
fn a_connection_outlives_a_refused_batch() {
    let mut robust = Robust::start();
    let mut connection = robust.broker.connect();
    let mut wrong = batch(&[b"one"]);
    wrong[40] ^= 1;
    let sent = [wrong, batch(&[b"kept"])].map(|records| {
        let body = produce_body(-1, TOPIC, 0, &records);
        (
            connection.send(api::PRODUCE, 3, &body).expect("the request is sent"),
            records,
        )
    });
    let told = sent.each_ref().map(|(correlation, _)| {
        let (answered, body) = connection.receive().expect("Produce is answered");
        assert_eq!(answered, *correlation);
        produced(&body).error
    });
    assert_eq!(told, [CORRUPT_MESSAGE, 0]);
    let [_, (_, kept)] = sent;
    robust.kept.push(kept);
    robust.assert_unharmed("a refused batch");
}

/// Every bit of noise is survived: random frames, and sound requests with random bytes changed.
#[test]
fn noise_is_survived() {
    let mut robust = Robust::start();
    let mut draw = Draw::new(7);
    let fetch = {
        let mut body = Body::new();
        body.int(-1)
            .int(0)
            .int(1)
            .int(1000)
            .byte(0)
            .int(1)
            .string(TOPIC)
            .int(1)
            .int(0)
            .long(0)
            .int(1000);
        request(api::FETCH, 4, 1, &body.0)
    };
    for round in 0..300 {
        let mut bytes = match round % 3 {
            0 => {
                let length = draw.below(200) as usize;
                framed(&draw.bytes(length))
            }
            // A topic that is not there: what is changed cannot become a record of the one that is.
            1 => request(
                api::PRODUCE,
                3,
                1,
                &produce_body(-1, "elsewhere", 0, &batch(&[b"noise"])),
            ),
            _ => fetch.clone(),
        };
        for _ in 0..draw.below(6) {
            let at = 4 + draw.below(bytes.len() as u64 - 3) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = draw.below(256) as u8;
            }
        }
        let mut connection: Connection = robust.broker.connect();
        // Whether it is answered or closed depends on the noise; only that the broker lives on does not.
        let _ = connection.stream().write_all(&bytes);
    }
    robust.assert_unharmed("noise");
}

/// Connections that claim, each on its own, nearly as much as there may be.
const CLAIMS: usize = 1000;

/// What DESIGN.md states for a broker of one shard (section 5): memory for requests, slabs and buffers kept for reuse, reads
/// that were not in the page cache, 4 KiB a connection; and what the process takes without any of that.
const MEMORY_BOUND: u64 = (256 << 20) + (16 << 20) + (17 << 19) + ((CLAIMS as u64) << 12) + (32 << 20);

#[test]
fn a_thousand_claims_of_100_mib_stay_within_bounds() {
    let mut robust = Robust::of(Broker::start_with(Options {
        config: vec![(String::from("shards"), String::from("1"))],
        metrics: true,
        ..Options::default()
    }));
    let part = vec![0; 256 << 10];
    let mut claims = Vec::new();
    for _ in 0..CLAIMS {
        let mut connection = robust.broker.connect();
        let stream = connection.stream();
        stream
            .write_all(&104_857_600_i32.to_be_bytes())
            .expect("the claim is sent");
        stream
            .write_all(&request(api::PRODUCE, 3, 1, &[])[4..])
            .expect("the header is sent");
        stream.set_nonblocking(true).expect("a socket");
        claims.push(connection);
    }
    // As fast as the broker takes it, from all of them, until some had to give way.
    let closed = "klamm_connections_closed_total{reason=\"memory\"}";
    let mut rounds = 0;
    while robust.broker.metric(closed) < 10 {
        rounds += 1;
        assert!(rounds < 10_000, "nobody had to give way");
        for connection in &mut claims {
            // It may be full, or closed: how much goes through does not matter.
            let _ = connection.stream().write(&part);
        }
    }
    let received = robust.broker.metric("klamm_received_bytes_total");
    assert!(received > 190_000_000, "memory was not used up: {received} bytes came");
    robust.assert_unharmed("a thousand claims");
    let peak = robust.broker.peak_resident_bytes();
    assert!(peak < MEMORY_BOUND, "{peak} bytes resident of {MEMORY_BOUND}");
    drop(claims);
    robust.assert_unharmed("the end of a thousand claims");
}
