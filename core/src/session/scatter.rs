//! One request's parts, shared out to the shards that own their partitions, and their answers in the order of the
//! request.

use super::{Action, Answer, Ask, Call};
use crate::partition::{PartitionAnswer, PartitionAsk, home};
use crate::types::{ErrorCode, ShardId, TopicPartition};
use alloc::boxed::Box;
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
    /// Where each part's answer comes from, in the order of the request.
    parts: Vec<Source>,
    refused: fn(ErrorCode) -> PartitionAnswer,
    outstanding: usize,
}

/// Small, because a request may name millions of partitions that are not there.
#[derive(Debug)]
enum Source {
    Asked { group: u32, place: u32 },
    Refused(ErrorCode),
    Known(Box<PartitionAnswer>),
}

#[derive(Debug)]
struct Group {
    shard: ShardId,
    len: usize,
    asks: Vec<(TopicPartition, PartitionAsk)>,
    /// None before they come.
    answers: Vec<Option<PartitionAnswer>>,
}

impl Scatter {
    /// Nothing yet; `refused` is the answer to a part that is refused without asking.
    pub(super) const fn new(refused: fn(ErrorCode) -> PartitionAnswer) -> Self {
        Self {
            groups: Vec::new(),
            open: BTreeMap::new(),
            parts: Vec::new(),
            refused,
            outstanding: 0,
        }
    }

    /// Adds a part that is refused without asking.
    pub(super) fn refuse(&mut self, code: ErrorCode) {
        self.parts.push(Source::Refused(code));
    }

    /// Adds a part whose answer is known without asking.
    pub(super) fn add_answer(&mut self, answer: PartitionAnswer) {
        self.parts.push(Source::Known(Box::new(answer)));
    }

    /// Adds a part for the partition's home.
    pub(super) fn add(&mut self, partition: TopicPartition, ask: PartitionAsk, shards: u16) {
        let shard = home(partition, shards);
        let known = self.open.get(&shard).copied();
        let at = known
            .filter(|&at| self.groups[at].asks.len() < PARTS)
            .unwrap_or_else(|| {
                self.groups.push(Group {
                    shard,
                    len: 0,
                    asks: Vec::new(),
                    answers: Vec::new(),
                });
                self.groups.len() - 1
            });
        self.open.insert(shard, at);
        let group = &mut self.groups[at];
        self.parts.push(Source::Asked {
            group: at as u32,
            place: group.len as u32,
        });
        group.len += 1;
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
        let group = &mut self.groups[tag as usize];
        assert_eq!(
            parts.len(),
            group.len,
            "{} answers another number of parts than asked",
            group.shard
        );
        assert!(group.answers.is_empty(), "{} answers a part twice", group.shard);
        group.answers = parts.into_iter().map(Some).collect();
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

    /// The answers that came so far, in no order to rely on.
    pub(super) fn heard(&self) -> impl Iterator<Item = &PartitionAnswer> {
        self.groups.iter().flat_map(|group| &group.answers).flatten()
    }

    /// Whether some parts were not asked.
    pub(super) fn has_refused(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Source::Asked { .. }))
    }

    /// All answers, in the order of the request, once it is complete.
    pub(super) fn into_answers(self) -> impl Iterator<Item = PartitionAnswer> {
        assert!(self.is_complete(), "answers taken before all have come");
        let (mut groups, refused) = (self.groups, self.refused);
        self.parts.into_iter().filter_map(move |part| match part {
            Source::Asked { group, place } => groups[group as usize].answers[place as usize].take(),
            Source::Refused(code) => Some(refused(code)),
            Source::Known(answer) => Some(*answer),
        })
    }

    /// Gives up: releases what the answers so far pin.
    pub(super) fn discard(self, actions: &mut Vec<Action>) {
        let parts = self
            .groups
            .into_iter()
            .flat_map(|group| group.answers)
            .flatten()
            .collect();
        Answer::Partitions { parts, watching: false }.discard(actions);
    }
}
