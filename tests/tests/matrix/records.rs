//! Rows about records: sent in every way, and read from every place.

use crate::cells::{Cell, Row};
use klamm_tests::Client;
use klamm_tests::client::{Actor, Compression, From, Produce};
use klamm_tests::record::{self, Record, SOME_TIME, expected};

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "keys, repeated headers, null values",
        run: |cell| exchange(cell, Compression::None),
    },
    Row {
        name: "gzip",
        run: |cell| exchange(cell, Compression::Gzip),
    },
    Row {
        name: "snappy",
        run: |cell| exchange(cell, Compression::Snappy),
    },
    Row {
        name: "lz4",
        run: |cell| exchange(cell, Compression::Lz4),
    },
    Row {
        name: "zstd",
        run: |cell| exchange(cell, Compression::Zstd),
    },
    Row {
        name: "records of 1 byte to 5 MB",
        run: sizes,
    },
    Row {
        name: "idempotent producer",
        run: idempotent,
    },
    Row {
        name: "read from the earliest record",
        run: earliest,
    },
    Row {
        name: "read from the latest on",
        run: latest,
    },
    Row {
        name: "read from a time on",
        run: timestamp,
    },
    Row {
        name: "seek",
        run: seek,
    },
];

/// Kafka's code for a batch that is larger than the topic allows.
const MESSAGE_TOO_LARGE: i64 = 10;

/// Where a batch's attributes are, and which of their bits name the codec.
const ATTRIBUTES: usize = 22;
const CODEC: u8 = 7;
/// Where a batch's producer id is.
const PRODUCER_ID: usize = 43;

fn exchange(cell: &Cell<'_>, compression: Compression) {
    let (mut actor, topic) = (cell.actor(), cell.topic(cell.partitions(), &[]));
    let records = cell.records(compression as u64, 400);
    let offsets = actor
        .produce(&topic, &records, Produce::compressed(compression))
        .expect("records are sent");
    cell.assert_offsets(&records, &offsets);
    cell.assert_holds(&mut actor, &topic, &records);
    let batches = cell.connect().fetch_all(&topic, 0, cell.end(&topic, 0));
    let codec = Compression::ALL.iter().position(|known| *known == compression);
    let used = batches.iter().map(|(_, batch)| usize::from(batch[ATTRIBUTES] & CODEC));
    // Java sends a batch that compression does not shrink as it is; the first of many records is not such a one.
    assert!(
        used.clone().any(|used| Some(used) == codec),
        "codecs: {:?}",
        used.collect::<Vec<_>>()
    );
}

/// One record of each size, printable where the client takes lines.
pub(crate) fn sized(cell: &Cell<'_>, sizes: &[usize]) -> Vec<Record> {
    let record = |(index, size): (usize, &usize)| {
        let mut record = record::text(index as u64, 1, *size + 1).remove(0);
        record.value = record.value.map(|mut value| {
            value.truncate(*size);
            value
        });
        record.key = cell.client.carries().text_only.then(|| b"k".to_vec());
        record
    };
    sizes.iter().enumerate().map(record).collect()
}

fn sizes(cell: &Cell<'_>) {
    let mut actor = cell.actor();
    let small = sized(cell, &[1, 2, 127, 128, 16_383, 16_384, 65_536, 262_144, 1_000_000]);
    let large = sized(cell, &[1_100_000, 5_000_000]);
    // Each in a batch of its own: KafkaJS puts all that it is given into one.
    let alone = Produce {
        each: Some(1),
        ..Produce::plain()
    };
    let allowing = Produce {
        max_bytes: Some(6_000_000),
        each: Some(1),
        ..Produce::plain()
    };
    let topic = cell.topic(1, &[]);
    actor
        .produce(&topic, &small, alone)
        .expect("records up to 1 MB are sent");
    let refusal = actor
        .produce(&topic, &large[1..], allowing)
        .expect_err("5 MB are more than Kafka's default");
    assert_eq!(refusal.code, Some(MESSAGE_TOO_LARGE), "{refusal}");
    assert_eq!(
        cell.end(&topic, 0),
        small.len() as i64,
        "nothing of the refused record stands"
    );
    cell.assert_holds(&mut actor, &topic, &small);
    let wide = cell.topic(1, &[("max.message.bytes", "6000000")]);
    actor
        .produce(&wide, &large, allowing)
        .expect("a topic takes what it was configured for");
    cell.assert_holds(&mut actor, &wide, &large);
}

/// Its batches carry a producer's id, and stand once.
fn idempotent(cell: &Cell<'_>) {
    let (mut actor, topic) = (cell.actor(), cell.topic(cell.partitions(), &[]));
    let records = cell.records(7, 300);
    let offsets = actor
        .produce(&topic, &records, Produce::idempotent())
        .expect("records are sent");
    cell.assert_offsets(&records, &offsets);
    cell.assert_holds(&mut actor, &topic, &records);
    for (base_offset, batch) in cell.connect().fetch_all(&topic, 0, cell.end(&topic, 0)) {
        let id: [u8; 8] = batch[PRODUCER_ID..PRODUCER_ID + 8].try_into().expect("eight bytes");
        assert!(
            i64::from_be_bytes(id) >= 0,
            "the batch at {base_offset} has no producer id"
        );
    }
}

/// Records of one partition with times that rise, some seconds apart.
fn series(cell: &Cell<'_>, seed: u64, count: usize) -> Vec<Record> {
    let mut records = cell.records(seed, count);
    for (index, record) in records.iter_mut().enumerate() {
        record.partition = 0;
        record.timestamp = SOME_TIME + 10_000 * index as i64;
    }
    records
}

fn earliest(cell: &Cell<'_>) {
    let (mut actor, topic) = (cell.actor(), cell.topic(1, &[]));
    let records = series(cell, 8, 50);
    actor
        .produce(&topic, &records, Produce::plain())
        .expect("records are sent");
    let sent = cell.own(&topic, 0, &expected(&records, 0));
    cell.read_from(&mut actor, &topic, From::Earliest, &sent);
}

fn latest(cell: &Cell<'_>) {
    let (mut actor, mut sender, topic) = (cell.actor(), cell.actor(), cell.topic(1, &[]));
    let records = series(cell, 9, 50);
    sender
        .produce(&topic, &records[..20], Produce::plain())
        .expect("records are sent");
    actor
        .assign(&topic, &[0], From::Latest)
        .expect("a partition is assigned");
    sender
        .produce(&topic, &records[20..], Produce::plain())
        .expect("records are sent");
    let read = actor.read(30).expect("records are read");
    cell.assert_read(&read, &cell.own(&topic, 0, &expected(&records, 0))[20..]);
    assert_eq!(cell.end(&topic, 0), 50, "the end of {topic}-0");
}

fn timestamp(cell: &Cell<'_>) {
    let (mut actor, topic) = (cell.actor(), cell.topic(1, &[]));
    let records = series(cell, 10, 50);
    // Kafka's own client sends them where the client under test cannot set times.
    if cell.client.carries().timestamps {
        actor
            .produce(&topic, &records, Produce::plain())
            .expect("records are sent");
    } else {
        let mut java = Actor::start(Client::Java, &cell.ground.address);
        java.produce(&topic, &records, Produce::plain())
            .expect("records are sent");
    }
    // Between the 30th record and the one behind it.
    let from = From::Timestamp(records[30].timestamp - 1);
    cell.read_from(&mut actor, &topic, from, &expected(&records, 0)[30..]);
}

fn seek(cell: &Cell<'_>) {
    let (mut actor, topic) = (cell.actor(), cell.topic(1, &[]));
    let records = series(cell, 11, 60);
    actor
        .produce(&topic, &records, Produce::plain())
        .expect("records are sent");
    let sent = cell.own(&topic, 0, &expected(&records, 0));
    cell.read_from(&mut actor, &topic, From::Earliest, &sent);
    for offset in [40, 0, 59] {
        actor.seek(&topic, 0, offset as i64).expect("a consumer seeks");
        let read = actor.read(sent.len() - offset).expect("records are read");
        cell.assert_read(&read, &sent[offset..]);
    }
}
