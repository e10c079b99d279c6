//! `DescribeTopicPartitions`: where partitions are, a page at a time (KIP-966).

use super::Progress;
use super::metadata::{NO_LEADER, TOPIC_OPERATIONS, ids, reached};
use crate::controller::check_topic_name;
use crate::metadata::{Partition, Topic, is_internal};
use crate::session::Call;
use crate::types::{BrokerId, ErrorCode};
use crate::wire::Text;
use crate::wire::message::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition as ResponsePartition,
    DescribeTopicPartitionsResponseTopic as ResponseTopic,
};
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

pub(super) fn answer(request: &DescribeTopicPartitionsRequest, call: &Call<'_, '_>) -> Progress {
    let cursor = request.cursor.as_ref();
    let named: BTreeSet<&Text> = request.topics.iter().map(|topic| &topic.name).collect();
    let all = named.is_empty();
    let lost = |cursor: &&Cursor| cursor.partition_index < 0 || !(all || named.contains(&cursor.topic_name));
    if cursor.is_some_and(|cursor| lost(&cursor)) {
        return refuse(request, call);
    }
    let from = cursor.map_or("", |cursor| cursor.topic_name.as_str());
    let mut page = Page {
        call,
        reached: reached(call),
        left: limit(request, call),
        response: DescribeTopicPartitionsResponse::default(),
    };
    let first = |name: &str| {
        cursor
            .filter(|cursor| cursor.topic_name.as_str() == name)
            .map_or(0, |cursor| cursor.partition_index as usize)
    };
    let image = call.context.image;
    if all {
        let topics = image.topics().filter(|topic| &*topic.name >= from);
        let _ = topics
            .into_iter()
            .try_for_each(|topic| page.add(&Text::from(topic.name.to_string()), Some(topic), first(&topic.name)));
    } else {
        let wanted = named.into_iter().filter(|name| name.as_str() >= from);
        let _ = wanted
            .into_iter()
            .try_for_each(|name| page.add(name, image.topic_named(name), first(name)));
    }
    call.respond(&page.response)
}

/// How many partitions a page has at most, and at least one.
fn limit(request: &DescribeTopicPartitionsRequest, call: &Call<'_, '_>) -> usize {
    let allowed = call.context.config.max_request_partitions;
    let wanted = u32::try_from(request.response_partition_limit).unwrap_or(0);
    wanted.min(allowed).max(1) as usize
}

struct Page<'a, 'b, 'c> {
    call: &'a Call<'b, 'c>,
    /// The brokers that the client reaches.
    reached: BTreeSet<BrokerId>,
    left: usize,
    response: DescribeTopicPartitionsResponse,
}

impl Page<'_, '_, '_> {
    /// Adds a topic from partition `first` on; `None` where the page ends.
    fn add(&mut self, name: &Text, topic: Option<&alloc::sync::Arc<Topic>>, first: usize) -> Option<()> {
        if self.left == 0 {
            self.ends_before(name, 0);
            return None;
        }
        let Some(topic) = topic else {
            let code = check_topic_name(name)
                .err()
                .map_or(ErrorCode::UnknownTopicOrPartition, |refusal| refusal.code);
            self.response.topics.push(refused(name.clone(), code));
            return Some(());
        };
        let end = topic.partitions.len().min(first.saturating_add(self.left));
        let partitions: Vec<_> = (0..)
            .zip(&topic.partitions)
            .take(end)
            .skip(first)
            .map(|it| self.partition(it))
            .collect();
        self.left -= partitions.len();
        self.response.topics.push(ResponseTopic {
            name: Some(name.clone()),
            topic_id: topic.id.0,
            is_internal: is_internal(name),
            partitions,
            topic_authorized_operations: TOPIC_OPERATIONS,
            ..ResponseTopic::default()
        });
        if end < topic.partitions.len() {
            self.ends_before(name, end);
            return None;
        }
        Some(())
    }

    fn ends_before(&mut self, name: &Text, partition: usize) {
        self.response.next_cursor = Some(Cursor {
            topic_name: name.clone(),
            partition_index: partition as i32,
        });
    }

    fn partition(&self, (partition_index, partition): (i32, &Partition)) -> ResponsePartition {
        let reached = |id: &BrokerId| self.reached.contains(id);
        ResponsePartition {
            partition_index,
            leader_id: if reached(&partition.leader) {
                partition.leader.0
            } else {
                NO_LEADER
            },
            leader_epoch: self.call.context.image.leader_epoch(partition).0,
            replica_nodes: ids(&partition.replicas, |_| true),
            isr_nodes: ids(&partition.isr, |_| true),
            offline_replicas: ids(&partition.replicas, |id| !reached(id)),
            // Kafka 4.3 tells the two as empty lists, not as null.
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            ..ResponsePartition::default()
        }
    }
}

fn refused(name: Text, code: ErrorCode) -> ResponseTopic {
    ResponseTopic {
        error_code: code.code(),
        is_internal: is_internal(&name),
        name: Some(name),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..ResponseTopic::default()
    }
}

/// The cursor is not one that this request could have been given: every topic is refused, as there is no error for the
/// whole response.
fn refuse(request: &DescribeTopicPartitionsRequest, call: &Call<'_, '_>) -> Progress {
    let refused = |name: &Text| ResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(name.clone()),
        ..ResponseTopic::default()
    };
    call.respond(&DescribeTopicPartitionsResponse {
        topics: request.topics.iter().map(|topic| refused(&topic.name)).collect(),
        ..DescribeTopicPartitionsResponse::default()
    })
}
