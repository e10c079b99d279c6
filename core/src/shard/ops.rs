//! Operations that wait for their one completion.

use crate::types::OpId;
use alloc::vec::Vec;

/// A slab of what waits for a completion. A slot is used again under another generation, so a completion meets only
/// what it was meant for.
#[derive(Debug)]
pub(super) struct Ops<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    pending: Option<T>,
}

impl<T> Ops<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Keeps `pending` until its completion.
    pub(super) fn begin(&mut self, pending: T) -> OpId {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.slots[slot as usize];
            entry.pending = Some(pending);
            return OpId {
                slot,
                generation: entry.generation,
            };
        }
        self.slots.push(Slot {
            generation: 0,
            pending: Some(pending),
        });
        OpId {
            slot: (self.slots.len() - 1) as u32,
            generation: 0,
        }
    }

    /// Takes what waited for `op`. A second completion of one operation, or one never begun, is a driver's bug.
    pub(super) fn complete(&mut self, op: OpId) -> T {
        let entry = self
            .slots
            .get_mut(op.slot as usize)
            .filter(|slot| slot.generation == op.generation);
        let pending = entry.and_then(|slot| {
            slot.generation = slot.generation.wrapping_add(1);
            slot.pending.take()
        });
        self.free.push(op.slot);
        pending.unwrap_or_else(|| panic!("{op:?} completed twice, or was never begun"))
    }

    /// What waits for `op`, which is in progress.
    pub(super) fn get_mut(&mut self, op: OpId) -> &mut T {
        let entry = self
            .slots
            .get_mut(op.slot as usize)
            .filter(|slot| slot.generation == op.generation);
        let pending = entry.and_then(|slot| slot.pending.as_mut());
        pending.unwrap_or_else(|| panic!("{op:?} is not in progress"))
    }

    /// How many operations are in progress.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// What is in progress, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.pending.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::Ops;

    #[test]
    fn a_slot_used_again_has_another_generation() {
        let mut ops = Ops::new();
        let first = ops.begin('a');
        assert_eq!(ops.complete(first), 'a');
        let second = ops.begin('b');
        assert_eq!(first.slot, second.slot);
        assert_ne!(first, second);
        assert_eq!(ops.len(), 1);
        assert_eq!(ops.complete(second), 'b');
        assert_eq!(ops.len(), 0);
    }

    #[test]
    #[should_panic(expected = "completed twice")]
    fn a_second_completion_is_a_bug() {
        let mut ops = Ops::new();
        let op = ops.begin(());
        ops.complete(op);
        ops.complete(op);
    }
}
