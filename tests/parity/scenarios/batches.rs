//! Batches that a producer should not send, and unusual ones that it may; and how they are read back.

use super::Scenario;
use super::produce::one;
use crate::batch::{Batch, Record, SOME_TIME, at, value};
use crate::message::versions;
use crate::peer::Peer;
use klamm_core::record::Compression;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("batches/headers that lie", headers),
    ("batches/counts that lie", counts),
    ("batches/producers that lie", producers),
    ("batches/bodies that lie", bodies),
    ("batches/more than one", several),
    ("batches/cut short", cut),
    ("batches/compressed", compressed),
    ("batches/compressed and wrong", compressed_wrong),
    ("batches/timestamps", timestamps),
    ("batches/log append time", log_append_time),
    ("batches/compacted topic", compacted),
    ("batches/old formats", old_formats),
    ("batches/records of all kinds", all_kinds),
];

/// Sends each batch to a topic of its own in each version, and reads the topic back.
fn send_all(peer: &mut Peer, configs: &[(&str, &str)], versions: &[i16], batches: &[(String, Vec<u8>)]) {
    for (place, (note, bytes)) in batches.iter().enumerate() {
        let topic = peer.topic(&place.to_string(), 1, configs);
        let id = peer.topic_id(&topic);
        peer.note(note.as_str());
        let records = json!(crate::message::hex(bytes));
        for &version in versions {
            peer.ask("Produce", version, &one(version, (&topic, &id), -1, 0, &records));
        }
        peer.note(format!("{note}, read"));
        let partition = json!({ "partition": 0, "fetch_offset": 0, "partition_max_bytes": 1_000_000 });
        let topics = json!([{ "topic": topic, "partitions": [partition] }]);
        peer.ask(
            "Fetch",
            11,
            &json!({ "max_wait_ms": 0, "min_bytes": 0, "topics": topics }),
        );
    }
}

fn named<'a>(batches: impl IntoIterator<Item = (&'a str, Batch)>) -> Vec<(String, Vec<u8>)> {
    batches
        .into_iter()
        .map(|(note, batch)| (note.to_owned(), batch.bytes().to_vec()))
        .collect()
}

fn counts(peer: &mut Peer) {
    let sound = || Batch::of_values(&["one", "two"]);
    let batches = named([
        (
            "last offset delta too small",
            sound().set(at::LAST_OFFSET_DELTA, &0_i32.to_be_bytes()).sealed(),
        ),
        (
            "last offset delta too large",
            sound().set(at::LAST_OFFSET_DELTA, &9_i32.to_be_bytes()).sealed(),
        ),
        (
            "last offset delta negative",
            sound().set(at::LAST_OFFSET_DELTA, &(-1_i32).to_be_bytes()).sealed(),
        ),
        ("count too small", sound().set(at::COUNT, &1_i32.to_be_bytes()).sealed()),
        (
            "count too small, delta too",
            sound()
                .set(at::COUNT, &1_i32.to_be_bytes())
                .set(at::LAST_OFFSET_DELTA, &0_i32.to_be_bytes())
                .sealed(),
        ),
        (
            "count too large, delta too",
            sound()
                .set(at::COUNT, &3_i32.to_be_bytes())
                .set(at::LAST_OFFSET_DELTA, &2_i32.to_be_bytes())
                .sealed(),
        ),
        ("count 0", sound().set(at::COUNT, &0_i32.to_be_bytes()).sealed()),
        ("count -1", sound().set(at::COUNT, &(-1_i32).to_be_bytes()).sealed()),
        (
            "count of all",
            sound()
                .set(at::COUNT, &i32::MAX.to_be_bytes())
                .set(at::LAST_OFFSET_DELTA, &(i32::MAX - 1).to_be_bytes())
                .sealed(),
        ),
    ]);
    send_all(peer, &[], &[3, 7, 8, 12, 13], &batches);
}

fn producers(peer: &mut Peer) {
    let sound = || Batch::of_values(&["one", "two"]);
    let batches = named([
        (
            "a producer without an epoch",
            sound().set(at::PRODUCER_ID, &9_i64.to_be_bytes()).sealed(),
        ),
        (
            "an epoch without a producer",
            sound().set(at::PRODUCER_EPOCH, &1_i16.to_be_bytes()).sealed(),
        ),
        (
            "a sequence without a producer",
            sound().set(at::BASE_SEQUENCE, &1_i32.to_be_bytes()).sealed(),
        ),
        (
            "a producer without a sequence",
            sound()
                .set(at::PRODUCER_ID, &9_i64.to_be_bytes())
                .set(at::PRODUCER_EPOCH, &[0, 0])
                .sealed(),
        ),
    ]);
    send_all(peer, &[], &[3, 8, 13], &batches);
}

fn headers(peer: &mut Peer) {
    let sound = || Batch::of_values(&["one", "two"]);
    let batches = named([
        ("a wrong CRC", sound().set(at::CRC, &[1, 2, 3, 4])),
        ("a base offset of 5", sound().set(at::BASE_OFFSET, &5_i64.to_be_bytes())),
        (
            "a base offset of -1",
            sound().set(at::BASE_OFFSET, &(-1_i64).to_be_bytes()),
        ),
        ("a leader epoch", sound().set(at::LEADER_EPOCH, &7_i32.to_be_bytes())),
        ("the control bit", sound().set(at::ATTRIBUTES, &[0, 0x20]).sealed()),
        (
            "the bit of the log append time",
            sound().set(at::ATTRIBUTES, &[0, 0x08]).sealed(),
        ),
        (
            "the bit of the delete horizon",
            sound().set(at::ATTRIBUTES, &[0, 0x40]).sealed(),
        ),
        ("an unused bit", sound().set(at::ATTRIBUTES, &[0x40, 0]).sealed()),
        ("an unknown codec", sound().set(at::ATTRIBUTES, &[0, 5]).sealed()),
        ("magic 3", sound().set(at::MAGIC, &[3])),
        ("magic 255", sound().set(at::MAGIC, &[255])),
        (
            "a length of one less",
            sound().set(at::LENGTH, &(sound().bytes().len() as i32 - 13).to_be_bytes()),
        ),
        (
            "a length of one more",
            sound().set(at::LENGTH, &(sound().bytes().len() as i32 - 11).to_be_bytes()),
        ),
        ("a length of nothing", sound().set(at::LENGTH, &0_i32.to_be_bytes())),
        ("a negative length", sound().set(at::LENGTH, &(-1_i32).to_be_bytes())),
        ("a huge length", sound().set(at::LENGTH, &i32::MAX.to_be_bytes())),
        ("sound", sound()),
    ]);
    send_all(peer, &[], &[3, 7, 8, 12, 13], &batches);
}

fn bodies(peer: &mut Peer) {
    let sound = Batch::of_values(&["one", "two"]);
    let records = &sound.bytes()[at::RECORDS..];
    let with = |count: i32, body: &[u8]| {
        Batch::around(body)
            .set(at::COUNT, &count.to_be_bytes())
            .set(at::LAST_OFFSET_DELTA, &(count - 1).to_be_bytes())
            .sealed()
    };
    let changed = |place: usize, byte: u8| {
        let mut bytes = records.to_vec();
        bytes[place] = byte;
        with(2, &bytes)
    };
    let batches = named([
        ("no records at all", with(0, &[])),
        ("a record declared and none there", with(1, &[])),
        ("noise", with(5, &[0xff; 40])),
        ("zeros", with(2, &[0; 20])),
        ("a byte too many", with(2, &[records, &[0]].concat())),
        ("a byte too few", with(2, &records[..records.len() - 1])),
        ("a record longer than its batch", changed(0, 0x7e)),
        ("a record of a negative length", changed(0, 1)),
        ("attributes of a record", changed(1, 1)),
        ("a timestamp delta", changed(2, 2)),
        ("an offset delta of 1 at first", changed(3, 2)),
        ("a negative offset delta", changed(3, 1)),
        ("a key length of -2", changed(4, 3)),
        ("a value longer than its record", changed(5, 0x7e)),
        ("a negative number of headers", changed(9, 1)),
        ("more headers than there are", changed(9, 4)),
    ]);
    send_all(peer, &[], &[3, 8, 13], &batches);
}

fn several(peer: &mut Peer) {
    let sound = Batch::of_values(&["one", "two"]);
    let (whole, torn) = (sound.bytes(), sound.clone().set(at::CRC, &[9, 9, 9, 9]));
    let batches = [
        ("none, as empty bytes", Vec::new()),
        ("two", [whole, whole].concat()),
        ("two, the second torn", [whole, torn.bytes()].concat()),
        ("two, the first torn", [torn.bytes(), whole].concat()),
        ("one and a few bytes", [whole, &[0; 5]].concat()),
        ("one and half of one", [whole, &whole[..30]].concat()),
        ("one and zeros", [whole, &[0; 70]].concat()),
    ];
    let batches: Vec<_> = batches
        .into_iter()
        .map(|(note, bytes)| (note.to_owned(), bytes))
        .collect();
    send_all(peer, &[], &[3, 8, 13], &batches);
    let topic = peer.topic("null", 1, &[]);
    let id = peer.topic_id(&topic);
    // In one version only: Kafka leaves its client waiting.
    peer.note("null");
    peer.ask("Produce", 8, &one(8, (&topic, &id), -1, 0, &Json::Null));
}

fn cut(peer: &mut Peer) {
    let sound = Batch::of_values(&["one", "two"]);
    let whole = sound.bytes();
    let lengths = [1, 8, 11, 12, 16, 17, 20, 60, 61, 62, whole.len() - 1];
    let batches: Vec<_> = lengths
        .iter()
        .map(|&length| (format!("{length} bytes"), whole[..length].to_vec()))
        .collect();
    send_all(peer, &[], &[3, 8, 13], &batches);
}

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn compressed(peer: &mut Peer) {
    let long = "compressible ".repeat(50);
    let records = [value(long.as_bytes()), value(b"short"), value(b"")];
    let batches = CODECS.map(|codec| {
        (
            format!("{codec:?}"),
            Batch::compressed(codec, &records).bytes().to_vec(),
        )
    });
    let versions: Vec<i16> = versions("Produce").collect();
    send_all(peer, &[], &versions, &batches);
}

fn compressed_wrong(peer: &mut Peer) {
    let records = [value(b"one"), value(b"two")];
    let mut batches = Vec::new();
    for codec in CODECS.into_iter().skip(1) {
        let sound = || Batch::compressed(codec, &records);
        let whole = sound();
        let body = &whole.bytes()[at::RECORDS..];
        let around = |body: &[u8]| {
            Batch::around(body)
                .set(at::ATTRIBUTES, &(codec as i16).to_be_bytes())
                .set(at::COUNT, &2_i32.to_be_bytes())
                .set(at::LAST_OFFSET_DELTA, &1_i32.to_be_bytes())
                .sealed()
        };
        for (note, batch) in [
            (
                "a count too large",
                sound()
                    .set(at::COUNT, &3_i32.to_be_bytes())
                    .set(at::LAST_OFFSET_DELTA, &2_i32.to_be_bytes())
                    .sealed(),
            ),
            (
                "a count too small",
                sound()
                    .set(at::COUNT, &1_i32.to_be_bytes())
                    .set(at::LAST_OFFSET_DELTA, &0_i32.to_be_bytes())
                    .sealed(),
            ),
            (
                "delta and count that differ",
                sound().set(at::LAST_OFFSET_DELTA, &5_i32.to_be_bytes()).sealed(),
            ),
            ("noise", around(&[0x5a; 30])),
            ("nothing", around(&[])),
            ("a byte too few", around(&body[..body.len() - 1])),
            ("plain records", around(&Batch::of(&records).bytes()[at::RECORDS..])),
        ] {
            batches.push((format!("{codec:?}: {note}"), batch.bytes().to_vec()));
        }
    }
    send_all(peer, &[], &[3, 8, 13], &batches);
}

fn at_time(timestamp: i64) -> Record<'static> {
    Record {
        timestamp,
        ..value(b"timed")
    }
}

fn timestamps(peer: &mut Peer) {
    let far = SOME_TIME * 100;
    let batches = named([
        ("none", Batch::of(&[at_time(-1)])),
        ("0", Batch::of(&[at_time(0)])),
        ("below -1", Batch::of(&[at_time(-2)])),
        ("the smallest", Batch::of(&[at_time(i64::MIN)])),
        ("far in the future", Batch::of(&[at_time(far)])),
        (
            "one of two far in the future",
            Batch::of(&[at_time(SOME_TIME), at_time(far), at_time(SOME_TIME - 5)]),
        ),
        (
            "out of order",
            Batch::of(&[at_time(SOME_TIME), at_time(SOME_TIME + 50), at_time(SOME_TIME - 50)]),
        ),
        (
            "a greatest timestamp that is too small",
            Batch::of(&[at_time(SOME_TIME), at_time(SOME_TIME + 50)])
                .set(at::MAX_TIMESTAMP, &SOME_TIME.to_be_bytes())
                .sealed(),
        ),
        (
            "a greatest timestamp that is too large",
            Batch::of(&[at_time(SOME_TIME)])
                .set(at::MAX_TIMESTAMP, &(SOME_TIME + 9).to_be_bytes())
                .sealed(),
        ),
        (
            "a greatest timestamp of -1",
            Batch::of(&[at_time(SOME_TIME)])
                .set(at::MAX_TIMESTAMP, &(-1_i64).to_be_bytes())
                .sealed(),
        ),
    ]);
    send_all(peer, &[], &[3, 8, 13], &batches);
    let topic = peer.topic(
        "narrow",
        1,
        &[
            ("message.timestamp.before.max.ms", "1000"),
            ("message.timestamp.after.max.ms", "1000"),
        ],
    );
    for (note, batch) in [
        ("long ago", Batch::of(&[at_time(SOME_TIME)])),
        ("both", Batch::of(&[at_time(SOME_TIME), at_time(far)])),
    ] {
        peer.note(note);
        peer.ask("Produce", 8, &one(8, (&topic, &Json::Null), -1, 0, &json!(batch.hex())));
    }
}

fn log_append_time(peer: &mut Peer) {
    let topic = peer.topic("appended", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let id = peer.topic_id(&topic);
    for version in versions("Produce") {
        for (note, batch) in [
            ("a good time", Batch::of(&[at_time(SOME_TIME), at_time(SOME_TIME + 1)])),
            ("no time", Batch::of(&[at_time(-1)])),
            ("the future", Batch::of(&[at_time(SOME_TIME * 100)])),
            ("compressed", Batch::compressed(Compression::Lz4, &[at_time(SOME_TIME)])),
            (
                "stamped already",
                Batch::of(&[at_time(SOME_TIME), at_time(SOME_TIME)])
                    .set(at::ATTRIBUTES, &[0, 0x08])
                    .sealed(),
            ),
        ] {
            peer.note(note);
            peer.ask(
                "Produce",
                version,
                &one(version, (&topic, &id), -1, 0, &json!(batch.hex())),
            );
        }
    }
}

fn compacted(peer: &mut Peer) {
    let keyed = |key| Record { key, ..value(b"v") };
    let batches = named([
        ("a key", Batch::of(&[keyed(Some(b"k"))])),
        ("an empty key", Batch::of(&[keyed(Some(b""))])),
        ("no key", Batch::of(&[keyed(None)])),
        (
            "no key in the middle",
            Batch::of(&[keyed(Some(b"a")), keyed(None), keyed(Some(b"b")), keyed(None)]),
        ),
        (
            "no key, compressed",
            Batch::compressed(Compression::Zstd, &[keyed(Some(b"a")), keyed(None)]),
        ),
        (
            "a tombstone",
            Batch::of(&[Record {
                value: None,
                ..keyed(Some(b"a"))
            }]),
        ),
    ]);
    send_all(peer, &[("cleanup.policy", "compact")], &[3, 8, 13], &batches);
}

/// Message sets of the formats before batches, as clients of 2016 sent them.
fn old_formats(peer: &mut Peer) {
    let old = |magic: u8| {
        let mut message = vec![magic, 0];
        if magic == 1 {
            message.extend(SOME_TIME.to_be_bytes());
        }
        message.extend((-1_i32).to_be_bytes());
        message.extend(5_i32.to_be_bytes());
        message.extend(b"value");
        let mut set = 0_i64.to_be_bytes().to_vec();
        set.extend((message.len() as i32 + 4).to_be_bytes());
        set.extend([0; 4]);
        set.extend(message);
        set
    };
    let batches = [0, 1].map(|magic| (format!("magic {magic}"), old(magic)));
    send_all(peer, &[], &[3, 8, 13], &batches);
}

fn all_kinds(peer: &mut Peer) {
    let kinds = [
        Record {
            key: None,
            value: None,
            timestamp: SOME_TIME,
            headers: &[],
        },
        Record {
            key: Some(b""),
            value: Some(b""),
            timestamp: SOME_TIME + 3,
            headers: &[("a", Some(b"1")), ("a", None), ("", Some(b""))],
        },
        Record {
            key: Some(b"key"),
            value: None,
            timestamp: SOME_TIME - 3,
            headers: &[("ü", Some(b"2"))],
        },
    ];
    let batches: Vec<_> = CODECS
        .iter()
        .map(|&codec| (format!("{codec:?}"), Batch::compressed(codec, &kinds).bytes().to_vec()))
        .collect();
    send_all(peer, &[], &[3, 13], &batches);
}
