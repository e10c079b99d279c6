//! `DescribeLogDirs`: the log directory, its room, and the bytes of each partition in it (KIP-113, KIP-827).

use super::{Progress, Work};
use crate::metadata::Topic;
use crate::partition::{PartitionAnswer, PartitionAsk};
use crate::session::scatter::Scatter;
use crate::session::{Action, Answer, Ask, Call};
use crate::storage::Volume;
use crate::types::ErrorCode;
use crate::wire::Text;
use crate::wire::message::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The tag of the ask that is to no partition.
const VOLUME: u32 = u32::MAX;

/// A request whose partitions are measured.
#[derive(Debug)]
pub(in crate::session) struct DescribeLogDirs {
    topics: Vec<(Arc<Topic>, Vec<i32>)>,
    scatter: Scatter,
    volume: Option<Result<Volume, ErrorCode>>,
}

pub(super) fn begin(request: &DescribeLogDirsRequest, call: &mut Call<'_, '_>) -> Progress {
    let topics = wanted(request, call);
    let mut scatter = Scatter::new(|code| PartitionAnswer::Size(Err(code)));
    for (topic, indexes) in &topics {
        for partition in indexes.iter().filter_map(|&index| topic.partition(index)) {
            scatter.add(partition, PartitionAsk::Size, call.context.shards);
        }
    }
    scatter.send(None, call);
    call.actions.push(Action::Ask {
        request: call.request,
        tag: VOLUME,
        to: call.context.here,
        ask: Ask::Volume,
    });
    let volume = None;
    Progress::Working(Work::DescribeLogDirs(DescribeLogDirs {
        topics,
        scatter,
        volume,
    }))
}

/// The partitions asked for that there are, each once, in order.
fn wanted(request: &DescribeLogDirsRequest, call: &Call<'_, '_>) -> Vec<(Arc<Topic>, Vec<i32>)> {
    let image = call.context.image;
    let all = |topic: &Arc<Topic>| (Arc::clone(topic), (0..topic.partitions.len() as i32).collect());
    let Some(topics) = &request.topics else {
        return image.topics().map(all).collect();
    };
    let mut asked: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for topic in topics {
        asked.entry(topic.topic.as_str()).or_default().extend(&topic.partitions);
    }
    let there = asked.into_iter().filter_map(|(name, indexes)| {
        let topic = image.topic_named(name)?;
        let indexes: Vec<i32> = indexes
            .into_iter()
            .filter(|&index| topic.partition(index).is_some())
            .collect();
        (!indexes.is_empty()).then(|| (Arc::clone(topic), indexes))
    });
    there.collect()
}

impl DescribeLogDirs {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &Call<'_, '_>) -> Progress {
        match answer {
            Answer::Volume(volume) => self.volume = Some(volume.ok_or(ErrorCode::KafkaStorageError)),
            answer => self.scatter.hear(tag, answer),
        }
        match self.volume.take() {
            Some(volume) if self.scatter.is_complete() => self.respond(volume, call),
            volume => {
                self.volume = volume;
                Progress::Working(Work::DescribeLogDirs(self))
            }
        }
    }

    fn respond(self, volume: Result<Volume, ErrorCode>, call: &Call<'_, '_>) -> Progress {
        let result = match volume {
            Ok(volume) => DescribeLogDirsResult {
                log_dir: Text::from(volume.path.clone()),
                total_bytes: i64::try_from(volume.total).unwrap_or(i64::MAX),
                usable_bytes: i64::try_from(volume.usable).unwrap_or(i64::MAX),
                topics: self.topics(),
                ..DescribeLogDirsResult::default()
            },
            Err(code) => DescribeLogDirsResult {
                error_code: code.code(),
                ..DescribeLogDirsResult::default()
            },
        };
        call.respond(&DescribeLogDirsResponse {
            results: Vec::from([result]),
            ..DescribeLogDirsResponse::default()
        })
    }

    /// Partitions that cannot be measured are left out, as those of a directory that failed.
    fn topics(self) -> Vec<DescribeLogDirsTopic> {
        let mut answers = self.scatter.into_answers();
        let mut measured = |partition_index| match answers.next() {
            Some(PartitionAnswer::Size(Ok(size))) => Some(DescribeLogDirsPartition {
                partition_index,
                partition_size: i64::try_from(size).unwrap_or(i64::MAX),
                ..DescribeLogDirsPartition::default()
            }),
            Some(PartitionAnswer::Size(Err(_))) => None,
            other => panic!("the size of a partition was asked for, and answered {other:?}"),
        };
        let topics = self.topics.into_iter().map(|(topic, indexes)| DescribeLogDirsTopic {
            name: Text::from(topic.name.to_string()),
            partitions: indexes.into_iter().filter_map(&mut measured).collect(),
        });
        topics.filter(|topic| !topic.partitions.is_empty()).collect()
    }
}
