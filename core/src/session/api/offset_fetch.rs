//! OffsetFetch: the offsets that groups have committed.

use super::groups::{Round, group_answer, text};
use super::{Progress, Work, each_once, repeated};
use crate::group::{Committed, FetchAsk, GroupAnswer, GroupAsk, Stability, ToldOffset};
use crate::session::{Answer, Call};
use crate::types::{ErrorCode, TopicId, Uuid};
use crate::wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use crate::wire::{List, Text};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter::Peekable;

/// From this version on an error concerns the whole response.
const ERROR_FOR_ALL: i16 = 2;
/// From this version on several groups are looked up at once (KIP-709).
const SEVERAL: i16 = 8;
/// From this version on topics are named by their ids.
const TOPIC_IDS: i16 = 10;

/// As many partitions are told again where they are named again, as Kafka does; of more each is told once: what is kept with
/// an offset may take a thousand times what naming its partition takes.
const REPEATED: usize = 1000;

/// A request that groups work on.
#[derive(Debug)]
pub(in crate::session) struct OffsetFetch {
    groups: Vec<Lookup>,
    stability: Stability,
    round: Round<Told>,
}

/// One group's part of the request.
#[derive(Debug)]
struct Lookup {
    group: Text,
    /// Which; `None` for all.
    topics: Option<Vec<Wanted>>,
}

type Told = Result<Vec<ToldOffset>, ErrorCode>;

#[derive(Debug)]
struct Wanted {
    name: Text,
    id: Uuid,
    /// The topic's name, where it is known: nothing is asked about one that is not.
    known: Option<Arc<str>>,
    partitions: Arc<[i32]>,
}

pub(super) fn begin(request: OffsetFetchRequest, call: &mut Call<'_, '_>) -> Progress {
    let stability = if request.require_stable {
        Stability::Required
    } else {
        Stability::AsItIs
    };
    let groups: Vec<Lookup> = named(request, call).into_iter().map(|it| lookup(it, call)).collect();
    OffsetFetch {
        round: Round::new(groups.len()),
        groups,
        stability,
    }
    .settle(call)
}

/// The groups that are asked about, each once, however often it is named: a small request must not ask for a huge answer.
fn named(request: OffsetFetchRequest, call: &Call<'_, '_>) -> Vec<OffsetFetchRequestGroup> {
    if call.header.version >= SEVERAL {
        return each_once(request.groups, |one, other| one.group_id.cmp(&other.group_id));
    }
    let topic = |it: crate::wire::message::offset_fetch::OffsetFetchRequestTopic| OffsetFetchRequestTopics {
        name: it.name,
        partition_indexes: it.partition_indexes,
        ..OffsetFetchRequestTopics::default()
    };
    Vec::from([OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: request.topics.map(|topics| topics.into_iter().map(topic).collect()),
        ..OffsetFetchRequestGroup::default()
    }])
}

fn lookup(mut group: OffsetFetchRequestGroup, call: &Call<'_, '_>) -> Lookup {
    let by_id = call.header.version >= TOPIC_IDS;
    let wanted = |topic: OffsetFetchRequestTopics| {
        let known = if by_id {
            let found = call.context.image.topic(TopicId(topic.topic_id));
            found.map(|found| Arc::clone(&found.name))
        } else {
            Some(Arc::from(topic.name.as_str()))
        };
        Wanted {
            name: topic.name,
            id: topic.topic_id,
            known,
            partitions: topic.partition_indexes.into(),
        }
    };
    let topics = group.topics.as_deref_mut().unwrap_or_default();
    if topics.iter().map(|topic| topic.partition_indexes.len()).sum::<usize>() > REPEATED {
        tell_once(topics);
    }
    Lookup {
        group: group.group_id,
        topics: group.topics.map(|topics| topics.into_iter().map(wanted).collect()),
    }
}

/// Leaves each partition where it is named first.
fn tell_once(topics: &mut [OffsetFetchRequestTopics]) {
    let mut numbers = BTreeMap::new();
    let mut named = Vec::new();
    for topic in topics.iter() {
        let next = numbers.len() as u32;
        let number = *numbers.entry((&topic.name, topic.topic_id)).or_insert(next);
        named.extend(topic.partition_indexes.iter().map(|&index| (number, index)));
    }
    let mut again = repeated(&named, Ord::cmp).into_iter().peekable();
    let mut place = 0..;
    for topic in topics {
        let is_first = |_: &i32| again.next_if_eq(&place.next().unwrap_or(u32::MAX)).is_none();
        topic.partition_indexes.retain(is_first);
    }
}

fn told(answer: GroupAnswer) -> Told {
    match answer {
        GroupAnswer::Offsets(told) => told,
        other => panic!("offsets were asked for, and answered {other:?}"),
    }
}

impl OffsetFetch {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &mut Call<'_, '_>) -> Progress {
        self.round.hear(tag, told(group_answer(answer)));
        self.settle(call)
    }

    fn settle(mut self, call: &mut Call<'_, '_>) -> Progress {
        let (groups, stability) = (&self.groups, self.stability);
        let ask = |at: usize| {
            let Lookup { group, topics } = &groups[at];
            let wanted = topics.as_ref().map(|topics| topics.iter().filter_map(Wanted::asked));
            let wanted = wanted.map(Iterator::collect);
            call.ask_group(at as u32, group, GroupAsk::Fetch(FetchAsk { wanted, stability }))
                .map(told)
        };
        if !self.round.go_on(ask) {
            return Progress::Working(Work::OffsetFetch(self));
        }
        let version = call.header.version;
        let mut groups = self.groups.into_iter().zip(self.round.into_answers());
        if version >= SEVERAL {
            let groups = groups.map(|(lookup, told)| lookup.respond(told, call));
            return call.respond(&OffsetFetchResponse {
                groups: List::write_in::<OffsetFetchResponse>(version, groups),
                ..OffsetFetchResponse::default()
            });
        }
        let only = groups.next().map(|(lookup, told)| lookup.respond_alone(told, call));
        call.respond(&only.unwrap_or_default())
    }
}

impl Lookup {
    fn respond(self, told: Told, call: &Call<'_, '_>) -> OffsetFetchResponseGroup {
        let version = call.header.version;
        let code = told.as_ref().err().copied().unwrap_or(ErrorCode::None);
        let mut told = told.unwrap_or_default().into_iter().peekable();
        let topics = match self.topics {
            None => all(told, call).into(),
            Some(_) if !code.is_none() => List::default(),
            Some(wanted) => {
                let topic = |it: Wanted| OffsetFetchResponseTopics {
                    partitions: List::write_in::<OffsetFetchResponse>(version, it.told(code, &mut told)),
                    name: it.name,
                    topic_id: it.id,
                };
                List::write_in::<OffsetFetchResponse>(version, wanted.into_iter().map(topic))
            }
        };
        OffsetFetchResponseGroup {
            group_id: self.group,
            topics,
            error_code: code.code(),
        }
    }

    /// The response of a version that looks up one group.
    fn respond_alone(self, told: Told, call: &Call<'_, '_>) -> OffsetFetchResponse {
        let version = call.header.version;
        let code = told.as_ref().err().copied().unwrap_or(ErrorCode::None);
        let mut told = told.unwrap_or_default().into_iter().peekable();
        let topics = match self.topics {
            None => all(told, call).into_iter().map(plain_topic).collect::<Vec<_>>().into(),
            Some(_) if !code.is_none() && version >= ERROR_FOR_ALL => List::default(),
            Some(wanted) => {
                let topic = |it: Wanted| OffsetFetchResponseTopic {
                    partitions: List::write_in::<OffsetFetchResponse>(version, it.told(code, &mut told).map(plain)),
                    name: it.name,
                };
                List::write_in::<OffsetFetchResponse>(version, wanted.into_iter().map(topic))
            }
        };
        OffsetFetchResponse {
            topics,
            error_code: code.code(),
            ..OffsetFetchResponse::default()
        }
    }
}

impl Wanted {
    fn asked(&self) -> Option<(Arc<str>, Arc<[i32]>)> {
        let name = self.known.as_ref()?;
        Some((Arc::clone(name), Arc::clone(&self.partitions)))
    }

    /// What is told of each partition; `told` has those that are committed, in the order asked.
    fn told(
        &self,
        code: ErrorCode,
        told: &mut Peekable<impl Iterator<Item = ToldOffset>>,
    ) -> impl Iterator<Item = OffsetFetchResponsePartitions> {
        self.partitions.iter().map(move |&index| match &self.known {
            None => nothing(index, ErrorCode::UnknownTopicId),
            Some(_) if !code.is_none() => nothing(index, code),
            Some(known) => {
                let found = told.next_if(|(topic, partition, _)| *partition == index && topic == known);
                found.map_or_else(|| nothing(index, ErrorCode::None), |(_, _, it)| offset(index, &it))
            }
        })
    }
}

/// All offsets of a group, which come in the order of their topics.
fn all(mut told: Peekable<impl Iterator<Item = ToldOffset>>, call: &Call<'_, '_>) -> Vec<OffsetFetchResponseTopics> {
    let mut topics = Vec::new();
    while let Some((topic, _, _)) = told.peek() {
        let topic = Arc::clone(topic);
        let id = call.context.image.topic_named(&topic).map(|topic| topic.id.0);
        let same = core::iter::from_fn(|| told.next_if(|(next, _, _)| *next == topic));
        let partitions: Vec<_> = same.map(|(_, partition, it)| offset(partition, &it)).collect();
        topics.push(OffsetFetchResponseTopics {
            name: text(&topic),
            topic_id: id.unwrap_or_default(),
            partitions: partitions.into(),
        });
    }
    topics
}

fn offset(partition_index: i32, committed: &Committed) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: committed.offset.0,
        committed_leader_epoch: committed.leader_epoch.map_or(-1, |epoch| epoch.0),
        metadata: Some(text(&committed.metadata)),
        error_code: ErrorCode::None.code(),
    }
}

fn nothing(partition_index: i32, code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(Text::EMPTY),
        error_code: code.code(),
    }
}

fn plain(it: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: it.partition_index,
        committed_offset: it.committed_offset,
        committed_leader_epoch: it.committed_leader_epoch,
        metadata: it.metadata,
        error_code: it.error_code,
    }
}

fn plain_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions: Vec<_> = topic.partitions.into_iter().map(plain).collect();
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions.into(),
    }
}
