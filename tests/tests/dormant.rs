//! What a partition costs that nobody uses: a broker may have a hundred thousand of them.

use klamm_core::metadata::{Change, Delta, Image, MetadataRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord};
use klamm_tests::memory::{self, CountingAllocator};
use std::collections::BTreeMap;

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

#[test]
fn a_partition_without_records_takes_less_than_a_hundred_bytes_and_a_change_elsewhere_none() {
    let mut image = Image::default();
    let broker = RegisterBrokerRecord {
        broker: 1,
        starts: 1,
        host: String::from("localhost"),
        port: 9092,
        rack: None,
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
    assert!(each < 100, "{each} bytes a partition");
    // What every change begins with, and what shards hold beside each other.
    let (_copy, most) = memory::most_during(|| image.clone());
    assert!(most < 10_000, "a copy of the image takes {most} bytes");
}
