//! Messages between shards, and the credits that bound them.
//!
//! Invariants: what came is taken in the order in which it came, from whatever shard; it is bounded by the credits of
//! those that ask, and by what was asked. At most `limit` asks of this shard are unanswered at another one; an ask's
//! credit also stands for the place of its answer, so an answer never waits, and two full queues cannot wait for each
//! other. Asks to one shard keep their order, those that wait for a credit too.

use super::effect::{Effect, Effects};
use super::mail::Mail;
use crate::marks::mark;
use crate::types::ShardId;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The way to all shards, this one included.
#[derive(Debug)]
pub(super) struct Mailbox {
    here: ShardId,
    /// What came and was not taken, from this very shard and others.
    came: VecDeque<(ShardId, Mail)>,
    credits: Vec<usize>,
    waiting: Vec<VecDeque<Mail>>,
    limit: usize,
}

impl Mailbox {
    pub(super) fn new(here: ShardId, shards: u16, limit: usize) -> Self {
        let shards = usize::from(shards);
        let waiting = (0..shards).map(|_| VecDeque::new()).collect();
        Self {
            here,
            came: VecDeque::new(),
            credits: alloc::vec![limit; shards],
            waiting,
            limit,
        }
    }

    /// Sends a message that takes no credit: an answer, or one of those that are bounded by what they end.
    pub(super) fn send(&mut self, to: ShardId, mail: Mail, effects: &mut Effects) {
        if to == self.here {
            self.arrived(to, mail);
        } else {
            effects.push(Effect::Mail { to, mail });
        }
    }

    /// Sends an ask, or keeps it until a credit is free. Asks of a shard to itself need none.
    pub(super) fn ask(&mut self, to: ShardId, mail: Mail, effects: &mut Effects) {
        if to == self.here {
            return self.arrived(to, mail);
        }
        let shard = usize::from(to.0);
        if self.credits[shard] == 0 || !self.waiting[shard].is_empty() {
            mark!(CreditAwaited);
            return self.waiting[shard].push_back(mail);
        }
        self.credits[shard] -= 1;
        effects.push(Effect::Mail { to, mail });
    }

    /// An ask of this shard to `from` was answered: its credit goes to the ask that waits longest.
    pub(super) fn answered(&mut self, from: ShardId, effects: &mut Effects) {
        if from == self.here {
            return;
        }
        let shard = usize::from(from.0);
        match self.waiting[shard].pop_front() {
            Some(mail) => effects.push(Effect::Mail { to: from, mail }),
            None => self.credits[shard] += 1,
        }
        assert!(
            self.credits[shard] <= self.limit,
            "shard {from} answered more than it was asked"
        );
    }

    /// A message of this very shard or another came.
    pub(super) fn arrived(&mut self, from: ShardId, mail: Mail) {
        self.came.push_back((from, mail));
    }

    /// The next message to take, and its sender.
    pub(super) fn take(&mut self) -> Option<(ShardId, Mail)> {
        self.came.pop_front()
    }

    /// Whether a message waits to be taken.
    pub(super) fn has_mail(&self) -> bool {
        !self.came.is_empty()
    }

    /// Credits that are out, and messages that wait for one.
    pub(super) fn outstanding(&self) -> usize {
        let out: usize = self.credits.iter().map(|left| self.limit - left).sum();
        out + self.came.len() + self.waiting.iter().map(VecDeque::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::OpId;

    fn mail(slot: u32) -> Mail {
        Mail::Unwatch {
            watch: OpId { slot, generation: 0 },
        }
    }

    fn sent(effects: &mut Effects) -> Vec<u32> {
        let slot = |effect| match effect {
            Effect::Mail {
                mail: Mail::Unwatch { watch },
                ..
            } => watch.slot,
            other => panic!("{other:?}"),
        };
        effects.drain().map(slot).collect()
    }

    #[test]
    fn asks_beyond_the_credits_wait_in_order() {
        let mut mailbox = Mailbox::new(ShardId(0), 2, 2);
        let mut effects = Effects::new();
        (1..=4).for_each(|slot| mailbox.ask(ShardId(1), mail(slot), &mut effects));
        assert_eq!(sent(&mut effects), [1, 2]);
        mailbox.answered(ShardId(1), &mut effects);
        mailbox.ask(ShardId(1), mail(5), &mut effects);
        assert_eq!(sent(&mut effects), [3]);
        (0..4).for_each(|_| mailbox.answered(ShardId(1), &mut effects));
        assert_eq!(sent(&mut effects), [4, 5]);
        assert_eq!(mailbox.outstanding(), 0);
    }

    #[test]
    #[should_panic(expected = "answered more than it was asked")]
    fn an_answer_nobody_asked_for_is_a_bug() {
        let mut mailbox = Mailbox::new(ShardId(0), 2, 2);
        mailbox.answered(ShardId(1), &mut Effects::new());
    }
}
