//! Who waits for news of which partitions.
//!
//! Invariants: a watch ends exactly once, by news or because it is given up, and leaves nothing behind. What can be read
//! is counted as it comes, and the watch ends once that is what it waits for: whoever waits for much is not called for
//! every little.

use crate::types::{OpId, ShardId, TopicPartition};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A watch, by the shard that waits and its operation there.
pub(super) type Watch = (ShardId, OpId);

/// What is new of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    /// So many bytes more can be read.
    Bytes(usize),
    /// Something that whoever waits has to hear of.
    Other,
}

#[derive(Debug, Default)]
pub(super) struct Watches {
    watches: BTreeMap<Watch, Watched>,
    /// Who watches a partition, and how many bytes more the reader takes of it.
    watchers: BTreeMap<TopicPartition, BTreeMap<Watch, usize>>,
}

#[derive(Debug)]
struct Watched {
    partitions: Vec<TopicPartition>,
    /// Bytes that came since it began.
    came: usize,
    /// Bytes that it waits for.
    wanted: usize,
}

impl Watches {
    /// Begins a watch of several partitions, until `wanted` bytes more can be read of all together, or more of one than
    /// is named with it.
    pub(super) fn add(&mut self, watch: Watch, wanted: usize, partitions: Vec<(TopicPartition, usize)>) {
        for &(partition, room) in &partitions {
            self.watchers.entry(partition).or_default().insert(watch, room);
        }
        let partitions = partitions.into_iter().map(|(partition, _)| partition).collect();
        let came = 0;
        self.watches.insert(
            watch,
            Watched {
                partitions,
                came,
                wanted,
            },
        );
    }

    /// Has a watch wait for no more than `wanted` bytes since it began; true where it ends by that.
    pub(super) fn lower(&mut self, watch: Watch, wanted: usize) -> bool {
        let Some(watched) = self.watches.get_mut(&watch) else {
            return false;
        };
        watched.wanted = watched.wanted.min(wanted);
        watched.came >= watched.wanted && self.end(watch)
    }

    /// Ends a watch; false when it has ended before.
    pub(super) fn end(&mut self, watch: Watch) -> bool {
        let Some(watched) = self.watches.remove(&watch) else {
            return false;
        };
        for partition in watched.partitions {
            if let Some(watchers) = self.watchers.get_mut(&partition) {
                watchers.remove(&watch);
                if watchers.is_empty() {
                    self.watchers.remove(&partition);
                }
            }
        }
        true
    }

    /// Whether anybody waits for news of a partition.
    pub(super) fn is_watched(&self, partition: TopicPartition) -> bool {
        self.watchers.contains_key(&partition)
    }

    /// There is news of a partition: ends the watches that waited for it, or for no more.
    pub(super) fn news(&mut self, partition: TopicPartition, news: News) -> Vec<Watch> {
        let mut ended = Vec::new();
        for (&watch, room) in self.watchers.get_mut(&partition).into_iter().flatten() {
            let enough = match (news, self.watches.get_mut(&watch)) {
                (News::Bytes(bytes), Some(watched)) => {
                    let fits = bytes <= *room;
                    *room = room.saturating_sub(bytes);
                    watched.came += bytes;
                    !fits || watched.came >= watched.wanted
                }
                _ => true,
            };
            if enough {
                ended.push(watch);
            }
        }
        for &watch in &ended {
            self.end(watch);
        }
        ended
    }

    /// All watches.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = Watch> {
        self.watches.keys().copied()
    }

    /// How many watches there are.
    pub(super) fn len(&self) -> usize {
        self.watches.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicId;

    const MUCH: usize = 1000;

    fn partition(partition: i32) -> TopicPartition {
        TopicPartition {
            topic: TopicId::default(),
            partition,
        }
    }

    fn watch(slot: u32) -> Watch {
        (ShardId(0), OpId { slot, generation: 0 })
    }

    #[test]
    fn a_watch_ends_once_and_leaves_nothing_behind() {
        let mut watches = Watches::default();
        watches.add(
            watch(1),
            1,
            Vec::from([partition(0), partition(1)].map(|id| (id, MUCH))),
        );
        watches.add(watch(2), 1, Vec::from([(partition(1), MUCH)]));
        assert_eq!(watches.news(partition(0), News::Other), [watch(1)]);
        assert!(!watches.end(watch(1)));
        assert_eq!(watches.news(partition(1), News::Bytes(1)), [watch(2)]);
        assert_eq!(watches.len(), 0);
        assert!(watches.watchers.is_empty());
    }

    #[test]
    fn a_watch_ends_with_the_bytes_it_waits_for() {
        let mut watches = Watches::default();
        let two = || Vec::from([partition(0), partition(1)].map(|id| (id, MUCH)));
        watches.add(watch(1), 100, two());
        assert_eq!(watches.news(partition(0), News::Bytes(60)), []);
        assert_eq!(watches.news(partition(1), News::Bytes(39)), []);
        assert_eq!(watches.news(partition(0), News::Bytes(1)), [watch(1)]);
        watches.add(watch(2), 100, two());
        assert_eq!(watches.news(partition(0), News::Bytes(50)), []);
        assert!(!watches.lower(watch(2), 51));
        assert!(watches.lower(watch(2), 50), "they came before it was lowered");
        assert!(!watches.lower(watch(2), 1));
        assert_eq!(watches.len(), 0);
    }

    #[test]
    fn a_watch_ends_when_a_partition_has_more_than_its_reader_takes() {
        let mut watches = Watches::default();
        watches.add(watch(1), MUCH, Vec::from([(partition(0), 10)]));
        assert_eq!(watches.news(partition(0), News::Bytes(10)), []);
        assert_eq!(watches.news(partition(0), News::Bytes(1)), [watch(1)]);
    }
}
