//! Partitions added to topics, under Kafka's rules (`ReplicationControlManager.createPartitions`).

use super::topics::{MAX_PARTITIONS_PER_REQUEST, refused};
use super::{Controller, Decided};
use crate::group::CONSUMER_OFFSETS;
use crate::metadata::{AddPartitionsRecord, Change, Topic};
use crate::types::{BrokerId, ErrorCode, Refusal};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// How many partitions a topic is to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MorePartitions {
    /// The topic's name.
    pub name: String,
    /// How many it is to have together with those it has.
    pub count: i32,
    /// The replicas of each new partition; `None` leaves them to the controller.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

impl<A> Controller<A> {
    pub(super) fn create_partitions(
        &self,
        topics: &[MorePartitions],
        validate_only: bool,
        decided: &mut Decided<A>,
    ) -> Vec<Result<(), Refusal>> {
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in topics {
            *named.entry(&topic.name).or_default() += 1;
        }
        let mut left = MAX_PARTITIONS_PER_REQUEST;
        let mut create = |topic: &MorePartitions| {
            if named[topic.name.as_str()] > 1 {
                return refused(ErrorCode::InvalidRequest, "Duplicate topic name.");
            }
            let record = self.plan_partitions(topic, &mut left, decided)?;
            if validate_only {
                return Ok(());
            }
            if !decided.has_room_for(&record) {
                let text = "The topics of one request get more partitions than fit one commit.";
                return refused(ErrorCode::PolicyViolation, text);
            }
            decided.add(Change::AddPartitions(record));
            Ok(())
        };
        topics.iter().map(&mut create).collect()
    }

    fn plan_partitions(
        &self,
        asked: &MorePartitions,
        left: &mut usize,
        decided: &Decided<A>,
    ) -> Result<AddPartitionsRecord, Refusal> {
        let Some(topic) = decided.image.topic_named(&asked.name) else {
            let text = "This server does not host this topic-partition.";
            return refused(ErrorCode::UnknownTopicOrPartition, text);
        };
        let before = topic.partitions.len();
        let added = match usize::try_from(asked.count) {
            Ok(count) if count > before => count - before,
            Ok(count) if count == before => {
                let text = format!("Topic '{}' has {before} partition(s) already.", asked.name);
                return refused(ErrorCode::InvalidPartitions, text);
            }
            _ => {
                let text = format!(
                    "Topic '{}' has {before} partition(s), and {} would not be an increase.",
                    asked.name, asked.count
                );
                return refused(ErrorCode::InvalidPartitions, text);
            }
        };
        if asked.name == CONSUMER_OFFSETS {
            let text = format!(
                "The partitions of {CONSUMER_OFFSETS} are counted once, when it is created: with another count groups \
                 would be looked for where their members and offsets are not."
            );
            return refused(ErrorCode::InvalidRequest, text);
        }
        if let Some(assignments) = &asked.assignments
            && assignments.len() != added
        {
            let given = assignments.len();
            let text = format!("{added} partition(s) are to be added, and {given} assignment(s) are given.");
            return refused(ErrorCode::InvalidReplicaAssignment, text);
        }
        let Some(still) = left.checked_sub(added) else {
            let text = format!("One request creates at most {MAX_PARTITIONS_PER_REQUEST} partitions.");
            return refused(ErrorCode::PolicyViolation, text);
        };
        let replicas = match &asked.assignments {
            Some(assignments) => self.check_replicas(assignments, topic)?,
            None => (0..added).map(|_| Vec::from([self.config.node_id.0])).collect(),
        };
        *left = still;
        Ok(AddPartitionsRecord {
            topic_id: topic.id.0.0.to_vec(),
            first: before as u32,
            partitions: replicas
                .into_iter()
                .map(|brokers| decided.new_partition(brokers))
                .collect(),
        })
    }

    /// Replicas of new partitions as they were given: known brokers, each once, as many as the topic's others have.
    fn check_replicas(&self, assignments: &[Vec<BrokerId>], topic: &Topic) -> Result<Vec<Vec<i32>>, Refusal> {
        let factor = topic.partitions[0].replicas.len();
        let check = |brokers: &Vec<BrokerId>| {
            let problem = if brokers.is_empty() {
                String::from("An assignment names no broker.")
            } else if let Some(unknown) = brokers.iter().find(|&&id| self.image.broker(id).is_none()) {
                format!("An assignment names broker {unknown}, which is unknown.")
            } else if brokers.iter().collect::<BTreeSet<_>>().len() != brokers.len() {
                String::from("An assignment names a broker twice.")
            } else if brokers.len() != factor {
                format!(
                    "An assignment has {} replica(s), and the topic's partitions have {factor}.",
                    brokers.len()
                )
            } else {
                return Ok(brokers.iter().map(|id| id.0).collect());
            };
            refused(ErrorCode::InvalidReplicaAssignment, problem)
        };
        assignments.iter().map(check).collect()
    }
}
