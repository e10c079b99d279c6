//! The producer ids that this shard may give out, reserved in blocks.
//!
//! Invariant: an id is given out once, and only from a block whose reservation is durable.

use crate::types::ProducerId;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

/// `A` names who asks.
#[derive(Debug)]
pub(super) struct ProducerIds<A> {
    block: Range<i64>,
    waiting: VecDeque<A>,
    reserving: bool,
}

/// What to do for someone who asked for an id.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Issue<A> {
    /// Here it is.
    Given(A, ProducerId),
    /// Have a block reserved; the asker waits.
    Reserve,
    /// The asker waits for the block that is being reserved.
    Wait,
}

impl<A> ProducerIds<A> {
    pub(super) const fn new() -> Self {
        Self {
            block: 0..0,
            waiting: VecDeque::new(),
            reserving: false,
        }
    }

    /// Asks for an id.
    pub(super) fn ask(&mut self, asker: A) -> Issue<A> {
        if let Some(id) = self.block.next() {
            return Issue::Given(asker, ProducerId(id));
        }
        self.waiting.push_back(asker);
        if core::mem::replace(&mut self.reserving, true) {
            Issue::Wait
        } else {
            Issue::Reserve
        }
    }

    /// A block was reserved, or could not be: who waited, and what each gets. Whoever the block does not suffice for
    /// asks again.
    pub(super) fn reserved(&mut self, block: Option<Range<i64>>) -> Vec<(A, Option<ProducerId>)> {
        self.reserving = false;
        let refused = block.is_none();
        self.block = block.unwrap_or(0..0);
        let mut served = Vec::new();
        while !self.waiting.is_empty() && (refused || !self.block.is_empty()) {
            let Some(asker) = self.waiting.pop_front() else { break };
            served.push((asker, self.block.next().map(ProducerId)));
        }
        served
    }

    /// Whether somebody waits and no block is being reserved; marks one as being reserved then.
    pub(super) fn wants_more(&mut self) -> bool {
        let wanted = !self.waiting.is_empty() && !self.reserving;
        self.reserving |= wanted;
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reservation_serves_all_who_wait_and_no_id_is_given_twice() {
        let mut ids = ProducerIds::new();
        assert_eq!(ids.ask('a'), Issue::Reserve);
        assert_eq!(ids.ask('b'), Issue::Wait);
        assert_eq!(ids.ask('c'), Issue::Wait);
        let served = ids.reserved(Some(10..12));
        assert_eq!(served, [('a', Some(ProducerId(10))), ('b', Some(ProducerId(11)))]);
        assert!(ids.wants_more());
        assert!(!ids.wants_more());
        assert_eq!(ids.reserved(Some(20..22)), [('c', Some(ProducerId(20)))]);
        assert_eq!(ids.ask('d'), Issue::Given('d', ProducerId(21)));
    }

    #[test]
    fn a_failed_reservation_refuses_all_who_wait_and_the_next_tries_again() {
        let mut ids = ProducerIds::new();
        assert_eq!(ids.ask('a'), Issue::Reserve);
        assert_eq!(ids.reserved(None), [('a', None)]);
        assert_eq!(ids.ask('b'), Issue::Reserve);
    }
}
