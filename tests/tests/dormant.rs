//! What a partition costs that nobody uses: a broker may have a hundred thousand of them.

use klamm_core::config::BrokerConfig;
use klamm_core::log::{ClosedLog, ManifestSegment, Peak};
use klamm_core::metadata::{Change, Delta, Image, MetadataRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord};
use klamm_core::shard::{Beginning, Effects, Input, Mail, Shard};
use klamm_core::types::{Monotonic, Now, Offset, ShardId, Timestamp, TopicId, TopicPartition, Uuid};
use klamm_tests::memory::{self, CountingAllocator};
use std::collections::BTreeMap;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const TOPICS: u8 = 10;
const PARTITIONS: usize = 10_000;

fn topic(id: u8) -> MetadataRecord {
    let partition = PartitionRecord {
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 0,
        leader_starts: 1,
        partition_epoch: 0,
    };
    Change::Topic(TopicRecord {
        topic_id: vec![id; 16],
        name: format!("topic-{id}"),
        partitions: vec![partition; PARTITIONS],
        config: BTreeMap::new(),
    })
    .into()
}

fn apply(image: &mut Image, record: &MetadataRecord) {
    image
        .apply(image.end(), record, &mut Delta::default())
        .expect("it follows what came before");
}

/// An image of all topics.
fn image(records: &[MetadataRecord]) -> Image {
    let mut image = Image::default();
    for record in records {
        apply(&mut image, record);
    }
    image
}

/// A log of a segment or more, as a clean stop left it.
fn closed(segments: i64) -> ClosedLog {
    let segment = |number| ManifestSegment {
        base: Offset(number * 100),
        size: 10_000,
        peak: Some(Peak {
            timestamp: Timestamp(number),
            batch: Offset(number * 100),
        }),
        began: Timestamp(number),
        generation: 0,
        clean_to: Offset(number * 100),
    };
    ClosedLog {
        start: Offset(0),
        end: Offset(segments * 100),
        segments: (0..segments).map(segment).collect(),
    }
}

/// Bytes that a shard holds for each of so many dormant partitions whose logs have this many segments; none is a log that
/// was left by a crash.
fn held_for_each(image: &Arc<Image>, logs: usize, segments: Option<i64>) -> usize {
    let config = Arc::new(BrokerConfig::default());
    let mut shard = Shard::new(ShardId(1), 2, &config, 0);
    let now = Now {
        monotonic: Monotonic(1),
        wall: Timestamp(1),
    };
    let ids = (0..logs).map(|number| TopicPartition {
        topic: TopicId(Uuid([1 + (number / PARTITIONS) as u8; 16])),
        partition: (number % PARTITIONS) as i32,
    });
    let (_effects, held) = memory::held_after(|| {
        let logs = ids.map(|id| (id, segments.map(closed))).collect();
        let beginning = Beginning {
            cluster_id: Arc::from("cluster"),
            image: Arc::clone(image),
            logs,
        };
        let mut effects = Effects::default();
        let mail = Mail::Begin(beginning);
        shard.step(now, Input::Mail { from: ShardId(0), mail }, &mut effects);
        effects
    });
    held / logs
}

#[test]
fn a_dormant_partition_takes_a_shard_less_than_two_hundred_bytes() {
    let records: Vec<_> = (1..=TOPICS).map(topic).collect();
    let image = Arc::new(image(&records));
    let logs = usize::from(TOPICS) * PARTITIONS;
    let [unknown, one, two] = [None, Some(1), Some(2)].map(|segments| held_for_each(&image, logs, segments));
    println!("{unknown} bytes after a crash, {one} with a segment, {two} with two");
    // The map is as full here as such a map can be. With time, as logs wake and rest, its nodes may be half empty.
    let (place, log) = (unknown, one - unknown);
    assert!(2 * place + log <= 200, "a place takes {place} bytes, a log {log}");
    assert!(two - one <= 64, "each further segment takes {} bytes", two - one);
}

#[test]
fn a_partition_without_records_takes_less_than_a_hundred_bytes_and_a_change_elsewhere_none() {
    let mut image = Image::default();
    let broker = RegisterBrokerRecord {
        broker: 1,
        starts: 1,
        host: String::from("localhost"),
        port: 9092,
        rack: None,
        endpoints: Vec::new(),
    };
    apply(&mut image, &Change::RegisterBroker(broker).into());
    let records: Vec<_> = (1..=TOPICS).map(topic).collect();
    let (image, held) = memory::held_after(|| {
        for record in &records {
            apply(&mut image, record);
        }
        image
    });
    let each = held / (usize::from(TOPICS) * PARTITIONS);
    println!("{each} bytes in the image");
    assert!(each < 100, "{each} bytes a partition");
    // What every change begins with, and what shards hold beside each other.
    let (_copy, most) = memory::most_during(|| image.clone());
    assert!(most < 10_000, "a copy of the image takes {most} bytes");
}
