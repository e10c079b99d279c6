//! What a session asks of the machines that own the state, on whichever shard they live, and what they answer.

use super::Action;
use crate::controller::{ControllerAnswer, ControllerRequest};
use crate::group::{GroupAnswer, GroupAsk, Listed};
use crate::partition::{Fetched, PartitionAnswer, PartitionAsk};
use crate::storage::Volume;
use crate::types::{ErrorCode, ProducerId, TopicPartition};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A request to one shard. It gets exactly one [`Answer`].
#[derive(Debug)]
pub enum Ask {
    /// To partitions that the shard owns, in this order; answered part by part.
    Partitions {
        /// Each partition and what it is asked.
        parts: Vec<(TopicPartition, PartitionAsk)>,
        /// For reads: if all parts together answer less than this many bytes, and none of them anything urgent, tell the
        /// asker once they would answer as many, or something urgent.
        watch_below: Option<usize>,
    },
    /// To the controller.
    Controller(ControllerRequest),
    /// A producer id that nobody else has.
    ProducerId,
    /// To a group, on the shard that owns its partition of `__consumer_offsets`.
    Group {
        /// The partition.
        partition: TopicPartition,
        /// The group's name.
        group: Arc<str>,
        /// What it is asked. Boxed, because most asks are small.
        ask: Box<GroupAsk>,
    },
    /// The groups that the shard coordinates.
    ListGroups,
    /// The room of the file system that holds the log directory.
    Volume,
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub enum Answer {
    /// One answer a part, in the order asked.
    Partitions {
        /// The answers.
        parts: Vec<PartitionAnswer>,
        /// The shard watches the partitions and will say so when there is news.
        watching: bool,
    },
    /// The controller's.
    Controller(ControllerAnswer),
    /// A new producer id; `None` while none can be reserved.
    ProducerId(Option<ProducerId>),
    /// A group's.
    Group(GroupAnswer),
    /// The answer may wait for others: it comes when it comes, and holds no credit meanwhile.
    Late,
    /// The groups; an error while they are not all known.
    Groups(Result<Vec<Listed>, ErrorCode>),
    /// The log directory and its room; `None` where that cannot be told.
    Volume(Option<Volume>),
}

impl Answer {
    /// Nobody waits for it any more: releases what it pins.
    pub fn discard(self, actions: &mut Vec<Action>) {
        if let Self::Partitions { parts, .. } = self {
            for part in parts {
                if let PartitionAnswer::Fetched(Fetched { plan: Some(plan), .. }) = part {
                    actions.push(Action::Release(plan.leases));
                }
            }
        }
    }
}
