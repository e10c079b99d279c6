//! One request's parts, shared out to the shards that own their partitions, and their answers in the order of the
//! request.

use super::{Action, Answer, Ask, Call};
use crate::partition::{PartitionAnswer, PartitionAsk, home};
use crate::types::{ShardId, TopicPartition};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Parts that are asked of a shard at once: it may do something else between two such asks.
const PARTS: usize = 512;

/// Invariant: each part is answered once; `outstanding` counts the asks that are not answered yet.
#[derive(Debug)]
pub(super) struct Scatter {
    groups: Vec<Group>,
    /// The group of each shard that takes more parts.
    open: BTreeMap<ShardId, usize>,
    answers: Vec<Option<PartitionAnswer>>,
    outstanding: usize,
}

#[derive(Debug)]
struct Group {
    shard: ShardId,
    places: Vec<usize>,
    asks: Vec<(TopicPartition, PartitionAsk)>,
}

impl Scatter {
    pub(super) const fn new() -> Self {
        Self {
            groups: Vec::new(),
            open: BTreeMap::new(),
            answers: Vec::new(),
            outstanding: 0,
        }
    }

    /// Adds a part whose answer is known without asking.
    pub(super) fn add_answer(&mut self, answer: PartitionAnswer) {
        self.answers.push(Some(answer));
    }

    /// Adds a part for the partition's home.
    pub(super) fn add(&mut self, partition: TopicPartition, ask: PartitionAsk, shards: u16) {
        let shard = home(partition, shards);
        let place = self.answers.len();
        self.answers.push(None);
        let known = self.open.get(&shard).copied();
        let at = known
            .filter(|&at| self.groups[at].asks.len() < PARTS)
            .unwrap_or_else(|| {
                self.groups.push(Group {
                    shard,
                    places: Vec::new(),
                    asks: Vec::new(),
                });
                self.groups.len() - 1
            });
        self.open.insert(shard, at);
        let group = &mut self.groups[at];
        group.places.push(place);
        group.asks.push((partition, ask));
    }

    /// Asks every shard at once; the tag of an ask is its group's place.
    pub(super) fn send(&mut self, watch_below: Option<usize>, call: &mut Call<'_, '_>) {
        for (tag, group) in (0..).zip(&mut self.groups) {
            let parts = core::mem::take(&mut group.asks);
            let ask = Ask::Partitions { parts, watch_below };
            call.actions.push(Action::Ask {
                request: call.request,
                tag,
                to: group.shard,
                ask,
            });
        }
        self.outstanding = self.groups.len();
    }

    /// Takes the answers to one ask.
    pub(super) fn answer(&mut self, tag: u32, parts: Vec<PartitionAnswer>) {
        let group = &self.groups[tag as usize];
        assert_eq!(
            parts.len(),
            group.places.len(),
            "{} answers another number of parts than asked",
            group.shard
        );
        for (&place, part) in group.places.iter().zip(parts) {
            let before = self.answers[place].replace(part);
            assert!(before.is_none(), "{} answers a part twice", group.shard);
        }
        self.outstanding -= 1;
    }

    /// Takes the answer to one ask, of a request that asks partitions only.
    pub(super) fn hear(&mut self, tag: u32, answer: Answer) {
        match answer {
            Answer::Partitions { parts, .. } => self.answer(tag, parts),
            other => panic!("partitions were asked, and answered {other:?}"),
        }
    }

    /// Whether every part is answered.
    pub(super) const fn is_complete(&self) -> bool {
        self.outstanding == 0
    }

    /// The answers so far, in the order of the request.
    pub(super) fn answers(&self) -> impl Iterator<Item = &PartitionAnswer> {
        self.answers.iter().flatten()
    }

    /// All answers, in the order of the request, once it is complete.
    pub(super) fn into_answers(self) -> impl Iterator<Item = PartitionAnswer> {
        assert!(self.is_complete(), "answers taken before all have come");
        self.answers.into_iter().flatten()
    }

    /// Gives up: releases what the answers so far pin.
    pub(super) fn discard(self, actions: &mut Vec<Action>) {
        let parts = self.answers.into_iter().flatten().collect();
        Answer::Partitions { parts, watching: false }.discard(actions);
    }
}
