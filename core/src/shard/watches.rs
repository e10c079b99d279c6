//! Who waits for news of which partitions.
//!
//! Invariant: a watch ends exactly once, by news or because it is given up, and leaves nothing behind.

use crate::types::{OpId, ShardId, TopicPartition};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// A watch, by the shard that waits and its operation there.
pub(super) type Watch = (ShardId, OpId);

#[derive(Debug, Default)]
pub(super) struct Watches {
    partitions: BTreeMap<Watch, Vec<TopicPartition>>,
    watchers: BTreeMap<TopicPartition, BTreeSet<Watch>>,
}

impl Watches {
    /// Begins a watch of several partitions.
    pub(super) fn add(&mut self, watch: Watch, partitions: Vec<TopicPartition>) {
        for &partition in &partitions {
            self.watchers.entry(partition).or_default().insert(watch);
        }
        self.partitions.insert(watch, partitions);
    }

    /// Ends a watch; false when it has ended before.
    pub(super) fn end(&mut self, watch: Watch) -> bool {
        let Some(partitions) = self.partitions.remove(&watch) else {
            return false;
        };
        for partition in partitions {
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

    /// There is news of a partition: ends the watches of it.
    pub(super) fn news(&mut self, partition: TopicPartition) -> Vec<Watch> {
        let watches: Vec<_> = self.watchers.get(&partition).into_iter().flatten().copied().collect();
        for &watch in &watches {
            self.end(watch);
        }
        watches
    }

    /// How many watches there are.
    pub(super) fn len(&self) -> usize {
        self.partitions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicId;

    #[test]
    fn a_watch_ends_once_and_leaves_nothing_behind() {
        let partition = |partition| TopicPartition {
            topic: TopicId::default(),
            partition,
        };
        let watch = |slot| (ShardId(0), OpId { slot, generation: 0 });
        let mut watches = Watches::default();
        watches.add(watch(1), Vec::from([partition(0), partition(1)]));
        watches.add(watch(2), Vec::from([partition(1)]));
        assert_eq!(watches.news(partition(0)), [watch(1)]);
        assert!(!watches.end(watch(1)));
        assert_eq!(watches.news(partition(1)), [watch(2)]);
        assert_eq!(watches.len(), 0);
        assert!(watches.watchers.is_empty());
    }
}
