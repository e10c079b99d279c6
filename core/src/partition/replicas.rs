//! The in-sync replicas of a partition, and how far each holds its log durably.

use crate::types::{BrokerId, Offset};
use alloc::vec::Vec;

/// Invariant: never empty; the leader is one of them.
#[derive(Clone, Debug)]
pub(super) struct Replicas {
    in_sync: Vec<(BrokerId, Offset)>,
}

impl Replicas {
    /// The replicas in sync, of which nothing is known to be durable yet.
    pub(super) fn new(isr: &[BrokerId]) -> Self {
        assert!(!isr.is_empty(), "a partition that is led has a replica in sync");
        Self {
            in_sync: isr.iter().map(|&broker| (broker, Offset::ZERO)).collect(),
        }
    }

    /// A replica holds everything below `end` durably.
    pub(super) fn synced(&mut self, broker: BrokerId, end: Offset) {
        if let Some((_, synced)) = self.in_sync.iter_mut().find(|(id, _)| *id == broker) {
            *synced = end;
        }
    }

    /// What all of them hold durably: the high watermark (KIP-966 counts no other).
    pub(super) fn committed(&self) -> Offset {
        self.in_sync.iter().map(|&(_, synced)| synced).min().unwrap_or_default()
    }

    /// How many are in sync.
    pub(super) fn len(&self) -> usize {
        self.in_sync.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_in_sync_replica_decides() {
        let mut replicas = Replicas::new(&[BrokerId(1), BrokerId(2)]);
        replicas.synced(BrokerId(1), Offset(9));
        assert_eq!(replicas.committed(), Offset(0));
        replicas.synced(BrokerId(2), Offset(5));
        replicas.synced(BrokerId(3), Offset(1));
        assert_eq!(replicas.committed(), Offset(5));
    }
}
