//! What a partition is told of itself.

use crate::config::TopicConfig;
use crate::log::{LogConfig, LogPlace};
use crate::storage::LogId;
use crate::types::{BrokerId, LeaderEpoch};
use alloc::sync::Arc;

/// What a partition is told when it wakes.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its log's id in this shard.
    pub log: LogId,
    /// Where its log lies.
    pub place: LogPlace,
    /// The broker it is on.
    pub broker: BrokerId,
    /// The replicas in sync.
    pub isr: Arc<[BrokerId]>,
    /// How many replicas it has.
    pub replicas: usize,
    /// Its leader epoch: new with each start of the broker.
    pub epoch: LeaderEpoch,
    /// Its topic's configuration.
    pub config: Arc<TopicConfig>,
    /// What of the configuration its log needs.
    pub log_config: LogConfig,
    /// The longest compressed batch, in bytes, that is opened in the step that brought it.
    pub opened_in_step: usize,
}
