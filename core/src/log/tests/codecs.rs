//! The files that are ours, whole and spoilt.

use crate::log::manifest::{self, ClosedLog, ManifestEntry, ManifestSegment};
use crate::log::{Checkpoint, EpochHistory, LogPlace, Peak, Producers};
use crate::record::{BatchBuilder, Compression, Producer, codec::Level};
use crate::storage::{Index, IndexEntry};
use crate::types::{
    LeaderEpoch, LogDirectoryId, Monotonic, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId, Uuid,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use proptest::prelude::*;

fn checkpoints() -> impl Strategy<Value = Checkpoint> {
    let steps = proptest::collection::vec((1u32..1000, 1u32..100_000, any::<i64>()), 0..40);
    let epochs = proptest::collection::vec((1i32..5, 1i64..100), 0..5);
    let producers = proptest::collection::vec((0i64..20, 0i16..3, 0i32..10), 0..40);
    (0i64..1 << 40, steps, epochs, producers, any::<Option<i64>>()).prop_map(
        |(base, steps, epochs, producers, peak)| {
            let mut index = Index::default();
            let (mut relative, mut position) = (0, 0);
            for (more, bytes, time) in steps {
                relative += more;
                position += bytes;
                index.push(IndexEntry {
                    relative,
                    position,
                    max_before: Timestamp(time),
                });
            }
            let mut history = EpochHistory::default();
            let (mut epoch, mut start) = (0, 0);
            for (more, offsets) in epochs {
                epoch += more;
                start += offsets;
                history.assign(LeaderEpoch(epoch), Offset(start));
            }
            let mut known = Producers::new(100, 1000);
            for (id, epoch, sequence) in producers {
                known.update(&header(id, epoch, sequence), Monotonic(0));
            }
            Checkpoint {
                base: Offset(base),
                size: u64::from(position) + 100,
                end: Offset(base + i64::from(relative) + 3),
                began: Timestamp(77),
                peak: peak.map(|timestamp| Peak {
                    timestamp: Timestamp(timestamp),
                    batch: Offset(base),
                }),
                index: Arc::new(index),
                epochs: history,
                producers: known,
                clean_to: Offset(base + 1),
            }
        },
    )
}

fn header(id: i64, epoch: i16, sequence: i32) -> crate::record::BatchHeader {
    let producer = Producer::Idempotent {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
    };
    let mut builder = BatchBuilder::new(Compression::None, Level::default(), producer);
    builder.append(Timestamp(1), None, None, &[]);
    builder.build().expect("it has a record").header()
}

fn manifests() -> impl Strategy<Value = Vec<ManifestEntry>> {
    let segments = proptest::collection::vec((1i64..1000, any::<u64>(), any::<Option<i64>>()), 0..5);
    let entry =
        (any::<[u8; 16]>(), 0i32..100, "[a-z]{1,20}", segments).prop_map(|(topic, partition, name, segments)| {
            let topic = TopicId(Uuid(topic));
            let mut base = 0;
            let segments: Vec<ManifestSegment> = segments
                .into_iter()
                .map(|(more, size, peak)| {
                    base += more;
                    ManifestSegment {
                        base: Offset(base),
                        size,
                        peak: peak.map(|timestamp| Peak {
                            timestamp: Timestamp(timestamp),
                            batch: Offset(base),
                        }),
                        began: Timestamp(5),
                        generation: (more % 3) as u32,
                        clean_to: Offset(base),
                    }
                })
                .collect();
            let closed = ClosedLog {
                start: segments.first().map_or(Offset(0), |first| first.base),
                end: Offset(base + 10),
                segments: segments.into(),
            };
            ManifestEntry::new(&LogPlace::new(LogDirectoryId(0), &name, topic, partition), closed)
        });
    proptest::collection::vec(entry, 0..6)
}

proptest! {
    #[test]
    fn a_checkpoint_reads_back(checkpoint in checkpoints()) {
        let bytes = checkpoint.encode(Monotonic(0));
        let read = Checkpoint::decode(&bytes, checkpoint.base).expect("we wrote it");
        prop_assert_eq!(read.encode(Monotonic(0)), bytes);
        prop_assert_eq!((read.size, read.end, read.peak), (checkpoint.size, checkpoint.end, checkpoint.peak));
        prop_assert_eq!(&read.index, &checkpoint.index);
        prop_assert_eq!(&read.epochs, &checkpoint.epochs);
    }

    #[test]
    fn a_checkpoint_that_is_cut_flipped_or_of_another_segment_is_refused(
        checkpoint in checkpoints(), at in any::<prop::sample::Index>(), bit in 0..8u32,
    ) {
        let bytes = checkpoint.encode(Monotonic(0));
        let at = at.index(bytes.len());
        prop_assert!(Checkpoint::decode(&bytes[..at], checkpoint.base).is_err());
        prop_assert!(Checkpoint::decode(&bytes, checkpoint.base.plus(1)).is_err());
        let mut spoilt = bytes;
        spoilt[at] ^= 1 << bit;
        prop_assert!(Checkpoint::decode(&spoilt, checkpoint.base).is_err());
    }

    #[test]
    fn bytes_with_a_right_checksum_and_wrong_contents_are_refused_without_a_panic(
        magic in prop_oneof![Just(*b"KLMCKPT\x01"), Just(*b"KLMMANI\x01")],
        contents in proptest::collection::vec(prop_oneof![Just(0u8), Just(0xFF), any::<u8>()], 0..200),
    ) {
        let mut bytes = magic.to_vec();
        bytes.extend_from_slice(&contents);
        let crc = crate::record::crc::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        if let Ok(read) = Checkpoint::decode(&bytes, Offset(0)) {
            prop_assert_eq!(read.encode(Monotonic(0)).len(), bytes.len());
        }
        if let Ok(read) = manifest::decode(&bytes) {
            prop_assert_eq!(manifest::encode(&read).len(), bytes.len());
        }
    }

    #[test]
    fn a_manifest_reads_back_and_a_spoilt_one_is_refused(
        entries in manifests(), at in any::<prop::sample::Index>(), bit in 0..8u32,
    ) {
        let bytes = manifest::encode(&entries);
        prop_assert_eq!(manifest::decode(&bytes).expect("we wrote it"), entries);
        let at = at.index(bytes.len());
        prop_assert!(manifest::decode(&bytes[..at]).is_err());
        let mut spoilt = bytes;
        spoilt[at] ^= 1 << bit;
        prop_assert!(manifest::decode(&spoilt).is_err());
    }

    #[test]
    fn a_place_is_told_by_its_directory_name(name in "[a-zA-Z0-9._-]{1,249}", topic in any::<[u8; 16]>(), partition in 0..i32::MAX) {
        let place = LogPlace::new(LogDirectoryId(3), &name, TopicId(Uuid(topic)), partition);
        prop_assert!(place.name().len() <= 255);
        prop_assert_eq!(LogPlace::parse(LogDirectoryId(3), place.name()), Some(place));
    }
}

#[test]
fn directories_that_are_not_ours_are_not_taken_for_logs() {
    for name in [
        "",
        "lost+found",
        "orders-0",
        "orders-x.AAAAAAAAAAAAAAAAAAAABw",
        "orders.AAAAAAAAAAAAAAAAAAAABw",
        "orders-0.short",
    ] {
        assert_eq!(LogPlace::parse(LogDirectoryId(0), name), None, "{name}");
    }
}
