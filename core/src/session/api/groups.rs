//! What the APIs of groups share: which shard a group lives on, identifiers with bytes of their own, and the asks of a
//! request that names many groups.

use super::super::Action;
use crate::group::{CONSUMER_OFFSETS, GroupAnswer, GroupAsk, partition_of};
use crate::partition::home;
use crate::session::{Answer, Ask, Call};
use crate::types::{ErrorCode, TopicPartition};
use crate::wire::Text;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The longest identifier that is taken, in bytes: what is made of it still fits a string of the records.
const MAX_ID_BYTES: usize = 30_000;
/// The longest name of a group that is taken, in bytes: what a string of the records holds.
const MAX_NAME_BYTES: usize = 32_767;

/// Groups of one request that are asked at once: an ask takes many times what a name takes in a frame.
const AT_ONCE: usize = 256;

/// The asks of a request that names several groups. Invariants: groups are asked in the order of the request, each once;
/// no more than [`AT_ONCE`] of them have not answered.
#[derive(Debug)]
pub(super) struct Round<A> {
    groups: usize,
    /// Of the groups asked so far; `None` where it is awaited.
    answers: Vec<Option<A>>,
    outstanding: usize,
}

impl<A> Round<A> {
    /// None of `groups` groups is asked yet.
    pub(super) fn new(groups: usize) -> Self {
        Self {
            groups,
            answers: Vec::with_capacity(groups),
            outstanding: 0,
        }
    }

    /// Has as many more groups asked as may be, by their places; `ask` says what is answered at once. Whether all have
    /// answered.
    pub(super) fn go_on(&mut self, mut ask: impl FnMut(usize) -> Option<A>) -> bool {
        while self.outstanding < AT_ONCE && self.answers.len() < self.groups {
            let answer = ask(self.answers.len());
            self.outstanding += usize::from(answer.is_none());
            self.answers.push(answer);
        }
        self.outstanding == 0
    }

    /// A group answered; the tag of its ask was its place.
    pub(super) fn hear(&mut self, tag: u32, answer: A) {
        let before = self.answers[tag as usize].replace(answer);
        assert!(before.is_none(), "a group answers twice");
        self.outstanding -= 1;
    }

    /// The answers, in the order of the groups.
    pub(super) fn into_answers(self) -> impl Iterator<Item = A> {
        assert!(self.outstanding == 0, "answers taken before all have come");
        self.answers.into_iter().flatten()
    }
}

/// An identifier with bytes of its own; an error for one that no record takes.
pub(super) fn own(text: &Text) -> Result<Arc<str>, ErrorCode> {
    if text.as_bytes().len() > MAX_ID_BYTES {
        return Err(ErrorCode::InvalidRequest);
    }
    Ok(Arc::from(text.as_str()))
}

/// The same for one that may be missing.
pub(super) fn own_if(text: Option<&Text>) -> Result<Option<Arc<str>>, ErrorCode> {
    text.map(own).transpose()
}

/// As a response carries it.
pub(super) fn text(id: &str) -> Text {
    Text::from(alloc::string::String::from(id))
}

/// A group that takes part in the group protocol has a name (`GroupCoordinatorService.isGroupIdNotEmpty`).
pub(super) fn check_name(group: &Text) -> Result<(), ErrorCode> {
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    check_length(group)
}

/// The name of a group fits its records, which may be empty where only offsets are kept.
pub(super) fn check_length(group: &Text) -> Result<(), ErrorCode> {
    if group.as_bytes().len() > MAX_NAME_BYTES {
        return Err(ErrorCode::InvalidGroupId);
    }
    Ok(())
}

/// What a group answered.
pub(super) fn group_answer(answer: Answer) -> GroupAnswer {
    match answer {
        Answer::Group(answer) => answer,
        other => panic!("a group was asked, and answered {other:?}"),
    }
}

impl Call<'_, '_> {
    /// The partition that a group belongs to.
    pub(super) fn group_partition(&self, group: &str) -> Result<TopicPartition, ErrorCode> {
        let topic = self.context.image.topic_named(CONSUMER_OFFSETS);
        let topic = topic.ok_or(ErrorCode::NotCoordinator)?;
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        Ok(TopicPartition {
            topic: topic.id,
            partition: partition_of(group, count),
        })
    }

    /// Puts an ask to a group. The answer, if it is refused at once; else it comes under the tag.
    pub(super) fn ask_group(&mut self, tag: u32, group: &Text, ask: GroupAsk) -> Option<GroupAnswer> {
        let partition = match self.group_partition(group) {
            Ok(partition) => partition,
            Err(code) => return Some(ask.refused(code)),
        };
        self.actions.push(Action::Ask {
            request: self.request,
            tag,
            to: home(partition, self.context.shards),
            ask: Ask::Group {
                partition,
                group: Arc::from(group.as_str()),
                ask: Box::new(ask),
            },
        });
        None
    }
}
