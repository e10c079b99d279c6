//! `DescribeProducers`: the producers that partitions remember (KIP-664).

use super::{Progress, Work};
use crate::controller::check_topic_name;
use crate::log::ActiveProducer;
use crate::partition::{PartitionAnswer, PartitionAsk};
use crate::session::scatter::Scatter;
use crate::session::{Answer, Call};
use crate::types::{ErrorCode, Refusal};
use crate::wire::Text;
use crate::wire::message::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// A request whose partitions are looking.
#[derive(Debug)]
pub(in crate::session) struct DescribeProducers {
    topics: Vec<(Text, BTreeSet<i32>, Option<Text>)>,
    scatter: Scatter,
}

pub(super) fn begin(request: DescribeProducersRequest, call: &mut Call<'_, '_>) -> Progress {
    let mut scatter = Scatter::new(|code| PartitionAnswer::Producers(Err(code)));
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let invalid = check_topic_name(&topic.name).err();
        let known = call.context.image.topic_named(&topic.name);
        let code = invalid
            .as_ref()
            .map_or(ErrorCode::UnknownTopicOrPartition, |refusal| refusal.code);
        // Each partition once, however often it is named: a small request must not ask for a huge answer.
        let indexes: BTreeSet<i32> = topic.partition_indexes.into_iter().collect();
        for &index in &indexes {
            match known.and_then(|topic| topic.partition(index)) {
                Some(partition) => scatter.add(partition, PartitionAsk::Producers, call.context.shards),
                None => scatter.refuse(code),
            }
        }
        // Of a topic that is there, a code says as much (`KafkaApis.handleDescribeProducersRequest`).
        let message = known.is_none().then(|| {
            let told = invalid.and_then(|Refusal { message, .. }| message);
            told.map_or(
                Text::from("This server does not host this topic-partition."),
                Text::from,
            )
        });
        topics.push((topic.name, indexes, message));
    }
    scatter.send(None, call);
    DescribeProducers { topics, scatter }.settle(call)
}

impl DescribeProducers {
    pub(super) fn resume(mut self, tag: u32, answer: Answer, call: &mut Call<'_, '_>) -> Progress {
        self.scatter.hear(tag, answer);
        self.settle(call)
    }

    fn settle(self, call: &Call<'_, '_>) -> Progress {
        if !self.scatter.is_complete() {
            return Progress::Working(Work::DescribeProducers(self));
        }
        let mut answers = self.scatter.into_answers();
        let mut respond = |partition_index, message: &Option<Text>| match answers.next() {
            Some(PartitionAnswer::Producers(Ok(producers))) => PartitionResponse {
                partition_index,
                active_producers: producers.into_iter().map(state).collect(),
                ..PartitionResponse::default()
            },
            Some(PartitionAnswer::Producers(Err(code))) => PartitionResponse {
                partition_index,
                error_code: code.code(),
                error_message: message.clone(),
                ..PartitionResponse::default()
            },
            other => panic!("producers were asked for, and answered {other:?}"),
        };
        let topics = self.topics.into_iter().map(|(name, indexes, message)| TopicResponse {
            name,
            partitions: indexes.into_iter().map(|index| respond(index, &message)).collect(),
        });
        call.respond(&DescribeProducersResponse {
            throttle_time_ms: 0,
            topics: topics.collect(),
        })
    }
}

fn state(producer: ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.id.0,
        producer_epoch: i32::from(producer.epoch.0),
        last_sequence: producer.last.map_or(-1, |batch| batch.last().0),
        last_timestamp: producer.last.map_or(-1, |batch| batch.timestamp.0),
        // No transaction has ended yet.
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
    }
}
