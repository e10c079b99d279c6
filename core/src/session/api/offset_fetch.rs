//! OffsetFetch: the offsets that groups have committed.

use super::groups::{group_answer, text};
use super::{Progress, Work};
use crate::group::{Committed, FetchAsk, GroupAnswer, GroupAsk, Stability, ToldOffset};
use crate::session::{Answer, Call};
use crate::types::{ErrorCode, TopicId, Uuid};
use crate::wire::Text;
use crate::wire::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// From this version on an error concerns the whole response.
const ERROR_FOR_ALL: i16 = 2;
/// From this version on several groups are looked up at once (KIP-709).
const SEVERAL: i16 = 8;
/// From this version on topics are named by their ids.
const TOPIC_IDS: i16 = 10;

/// A request that groups work on.
#[derive(Debug)]
pub(in crate::session) struct OffsetFetch {
    groups: Vec<Lookup>,
    outstanding: usize,
}

/// One group's part of the request.
#[derive(Debug)]
struct Lookup {
    group: Text,
    /// Which; `None` for all.
    topics: Option<Vec<Wanted>>,
    answer: Option<Told>,
}

type Told = Result<Vec<ToldOffset>, ErrorCode>;

#[derive(Debug)]
struct Wanted {
    name: Text,
    id: Uuid,
    /// The topic's name, where it is known: nothing is asked about one that is not.
    known: Option<Arc<str>>,
    partitions: Vec<i32>,
}

pub(super) fn begin(request: OffsetFetchRequest, call: &mut Call<'_, '_>) -> Progress {
    let stability = if request.require_stable {
        Stability::Required
    } else {
        Stability::AsItIs
    };
    let mut groups: Vec<Lookup> = named(request, call).into_iter().map(|it| lookup(it, call)).collect();
    let mut outstanding = 0;
    for (tag, lookup) in (0..).zip(&mut groups) {
        let wanted = lookup
            .topics
            .as_ref()
            .map(|topics| topics.iter().flat_map(Wanted::asked).collect());
        let ask = GroupAsk::Fetch(FetchAsk { wanted, stability });
        match call.ask_group(tag, &lookup.group, ask) {
            None => outstanding += 1,
            Some(refused) => lookup.answer = Some(told(refused)),
        }
    }
    OffsetFetch { groups, outstanding }.settle(call)
}

/// The groups that are asked about, each once, however often it is named: a small request must not ask for a huge answer.
fn named(request: OffsetFetchRequest, call: &Call<'_, '_>) -> Vec<OffsetFetchRequestGroup> {
    if call.header.version >= SEVERAL {
        let mut seen = BTreeSet::new();
        let mut groups = request.groups;
        groups.retain(|it| seen.insert(it.group_id.clone()));
        return groups;
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

fn lookup(group: OffsetFetchRequestGroup, call: &Call<'_, '_>) -> Lookup {
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
            partitions: topic.partition_indexes,
        }
    };
    Lookup {
        group: group.group_id,
        topics: group.topics.map(|topics| topics.into_iter().map(wanted).collect()),
        answer: None,
    }
}

fn told(answer: GroupAnswer) -> Told {
    match answer {
        GroupAnswer::Offsets(told) => told,
        other => panic!("offsets were asked for, and answered {other:?}"),
    }
}

impl Wanted {
    fn asked(&self) -> impl Iterator<Item = (Arc<str>, i32)> {
        let known = self.known.iter();
        known.flat_map(|name| self.partitions.iter().map(|&it| (Arc::clone(name), it)))
    }
}

impl OffsetFetch {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &Call<'_, '_>) -> Progress {
        let before = self.groups[tag as usize].answer.replace(told(group_answer(answer)));
        assert!(before.is_none(), "a group answers twice");
        self.outstanding -= 1;
        self.settle(call)
    }

    fn settle(self, call: &Call<'_, '_>) -> Progress {
        if self.outstanding > 0 {
            return Progress::Working(Work::OffsetFetch(self));
        }
        let version = call.header.version;
        let respond = |lookup: Lookup| lookup.respond(call);
        let mut groups: Vec<_> = self.groups.into_iter().map(respond).collect();
        if version >= SEVERAL {
            return call.respond(&OffsetFetchResponse {
                groups,
                ..OffsetFetchResponse::default()
            });
        }
        let only = groups.pop().unwrap_or_default();
        call.respond(&OffsetFetchResponse {
            topics: only.topics.into_iter().map(plain).collect(),
            error_code: only.error_code,
            ..OffsetFetchResponse::default()
        })
    }
}

impl Lookup {
    fn respond(self, call: &Call<'_, '_>) -> OffsetFetchResponseGroup {
        let (code, told) = match self.answer.unwrap_or(Err(ErrorCode::NotCoordinator)) {
            Ok(told) => (ErrorCode::None, told),
            Err(code) => (code, Vec::new()),
        };
        let topics = match self.topics {
            None => all(told, call),
            Some(_) if !code.is_none() && call.header.version >= ERROR_FOR_ALL => Vec::new(),
            Some(wanted) => {
                let mut told = told.into_iter().map(|(_, _, committed)| committed);
                wanted.into_iter().map(|it| it.respond(code, &mut told)).collect()
            }
        };
        OffsetFetchResponseGroup {
            group_id: self.group,
            topics,
            error_code: code.code(),
        }
    }
}

impl Wanted {
    fn respond(self, code: ErrorCode, told: &mut impl Iterator<Item = Option<Committed>>) -> OffsetFetchResponseTopics {
        let known = self.known.is_some();
        let mut partition = |index| match (known, code) {
            (false, _) => nothing(index, ErrorCode::UnknownTopicId),
            (true, ErrorCode::None) => {
                let committed = told.next().flatten();
                committed.map_or_else(|| nothing(index, ErrorCode::None), |it| offset(index, &it))
            }
            (true, code) => nothing(index, code),
        };
        OffsetFetchResponseTopics {
            name: self.name,
            topic_id: self.id,
            partitions: self.partitions.into_iter().map(&mut partition).collect(),
        }
    }
}

/// All offsets of a group, which come in the order of their topics.
fn all(told: Vec<ToldOffset>, call: &Call<'_, '_>) -> Vec<OffsetFetchResponseTopics> {
    let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
    for (topic, partition, committed) in told {
        let Some(committed) = committed else { continue };
        if topics.last().is_none_or(|last| *last.name != *topic) {
            let id = call.context.image.topic_named(&topic).map(|topic| topic.id.0);
            topics.push(OffsetFetchResponseTopics {
                name: text(&topic),
                topic_id: id.unwrap_or_default(),
                partitions: Vec::new(),
            });
        }
        if let Some(last) = topics.last_mut() {
            last.partitions.push(offset(partition, &committed));
        }
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

fn plain(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partition = |it: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: it.partition_index,
        committed_offset: it.committed_offset,
        committed_leader_epoch: it.committed_leader_epoch,
        metadata: it.metadata,
        error_code: it.error_code,
    };
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    }
}
