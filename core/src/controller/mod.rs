//! The one that changes the metadata: it checks what is asked against the image, turns it into records, and answers
//! once these are durable and every shard has seen them.
//!
//! Invariants:
//! - a request is checked against an image that holds everything decided before it, published or not;
//! - nothing is answered as done before its records are durable and every shard applies them, so that whoever got the
//!   answer sees the change on every connection;
//! - one commit is under way at a time; requests that arrive meanwhile share the next, as far as it takes them;
//! - a commit is one batch of at most [`MAX_COMMIT_BYTES`], whatever is asked: what is written can be read again.

mod configs;
mod partitions;
mod topics;

pub use configs::{ConfigAlteration, ConfigChange, ConfigOp, ConfigResource};
pub use partitions::MorePartitions;
pub(crate) use topics::CLUSTER_METADATA;
pub use topics::{DeletedTopic, MAX_PARTITIONS_PER_REQUEST, NewTopic, Outcome, TopicReference, check_topic_name};

use crate::bugs::bug;
use crate::config::{BrokerConfig, Listener};
use crate::metadata::{
    Change, Delta, EndpointRecord, Image, MetadataRecord, RegisterBrokerRecord, ReserveProducerIdsRecord,
};
use crate::types::{Offset, ProducerId, Refusal, Seed};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use prost::Message;

/// The most bytes that the records of one commit have together: well below what the metadata log takes in one batch.
pub const MAX_COMMIT_BYTES: usize = 32 << 20;
/// A commit that has so many bytes takes no more requests.
const FULL_COMMIT_BYTES: usize = 1 << 20;
/// What a record costs besides itself, at most, where it lies in a batch.
const RECORD_OVERHEAD: usize = 32;

/// What a controller is asked to change.
#[derive(Clone, Debug)]
pub enum ControllerRequest {
    /// Create topics, or only check whether they could be.
    CreateTopics {
        /// The topics, in the order of the request.
        topics: Vec<NewTopic>,
        /// Check, and change nothing.
        validate_only: bool,
    },
    /// Delete topics.
    DeleteTopics(Vec<TopicReference>),
    /// Give topics more partitions, or only check whether they could get them.
    CreatePartitions {
        /// What each topic is to have, in the order of the request.
        topics: Vec<MorePartitions>,
        /// Check, and change nothing.
        validate_only: bool,
    },
    /// Change settings of topics and brokers, or only check whether they could be.
    AlterConfigs {
        /// What is to change, in the order of the request.
        alterations: Vec<ConfigAlteration>,
        /// Check, and change nothing.
        validate_only: bool,
    },
    /// Set a block of producer ids aside for one shard.
    ReserveProducerIds,
}

/// What came of a [`ControllerRequest`].
#[derive(Clone, Debug)]
pub enum ControllerAnswer {
    /// One outcome a topic, in the order of the request.
    Created(Vec<Outcome>),
    /// One result a topic, in the order of the request.
    Deleted(Vec<DeletedTopic>),
    /// Of [`ControllerRequest::CreatePartitions`]: one result a topic, in the order of the request.
    PartitionsCreated(Vec<Result<(), Refusal>>),
    /// Of [`ControllerRequest::AlterConfigs`]: one result an alteration, in the order of the request. By the time it
    /// comes, every partition of every shard is held to the changed settings.
    Altered(Vec<Result<(), Refusal>>),
    /// Producer ids that nobody else has or will have.
    ProducerIds(Range<i64>),
    /// The metadata log could not be written; nothing is known to have changed.
    StorageError,
}

/// A commit that became durable: the image to publish, and what differs from the one before.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The new image.
    pub image: Arc<Image>,
    /// What changed.
    pub delta: Arc<Delta>,
}

/// The controller. `A` names who asked.
#[derive(Debug)]
pub struct Controller<A> {
    config: Arc<BrokerConfig>,
    seed: Seed,
    image: Arc<Image>,
    queue: VecDeque<(A, ControllerRequest)>,
    commit: Commit<A>,
    answers: Vec<(A, ControllerAnswer)>,
}

#[derive(Debug)]
enum Commit<A> {
    /// Nothing is under way.
    Idle,
    /// Records are in the log, not durable yet.
    Appended(Box<Decided<A>>),
    /// The image is on its way to the shards.
    Publishing {
        answers: Vec<(A, ControllerAnswer)>,
        shards: usize,
    },
}

/// What one commit decides: the records, and the answers that wait for them.
#[derive(Debug)]
struct Decided<A> {
    image: Image,
    delta: Delta,
    records: Vec<MetadataRecord>,
    /// How many bytes the records have together, at most.
    bytes: usize,
    answers: Vec<(A, ControllerAnswer)>,
}

impl<A> Decided<A> {
    /// Whether a change still fits the commit. Small ones always do.
    fn has_room_for(&self, record: &impl Message) -> bool {
        self.bytes + record.encoded_len() + RECORD_OVERHEAD <= MAX_COMMIT_BYTES
    }

    /// Adds a change to the commit. The checks before it make sure that it fits.
    fn add(&mut self, change: Change) {
        let record = MetadataRecord::from(change);
        let applied = self.image.apply(self.image.end(), &record, &mut self.delta);
        assert!(
            applied.is_ok(),
            "the controller decided on a record that its own image refuses: {applied:?}"
        );
        self.bytes += record.encoded_len() + RECORD_OVERHEAD;
        self.records.push(record);
    }
}

impl<A> Controller<A> {
    /// A controller that goes on from `image`, the state after the whole metadata log.
    pub fn new(image: Image, config: Arc<BrokerConfig>, seed: Seed) -> Self {
        let (image, queue, answers) = (Arc::new(image), VecDeque::new(), Vec::new());
        Self {
            config,
            seed,
            image,
            queue,
            commit: Commit::Idle,
            answers,
        }
    }

    /// The state that every shard has been told of.
    pub const fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// Takes a request; its answer comes out of [`answers`](Self::answers).
    pub fn submit(&mut self, asker: A, request: ControllerRequest) {
        self.queue.push_back((asker, request));
    }

    /// The answers that are ready, in the order decided.
    pub fn answers(&mut self) -> alloc::vec::Drain<'_, (A, ControllerAnswer)> {
        self.answers.drain(..)
    }

    /// Whether nothing is under way or waiting.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && matches!(self.commit, Commit::Idle) && self.answers.is_empty()
    }

    /// The registration of this broker's start, to be appended before anything else: it gives every partition that the
    /// broker leads a new leader epoch.
    pub fn register(&mut self) -> Vec<MetadataRecord> {
        let before = self.image.broker(self.config.node_id).map_or(0, |broker| broker.starts);
        let starts = if bug!(KeepLeaderEpoch) {
            before.max(1)
        } else {
            before.saturating_add(1)
        };
        let endpoint = |advertised: &Listener| EndpointRecord {
            listener: advertised.name.to_string(),
            host: advertised.address.host.clone(),
            port: u32::from(advertised.address.port),
        };
        let endpoints: Vec<_> = self.config.advertised.iter().map(endpoint).collect();
        let mut decided = self.decide();
        decided.add(Change::RegisterBroker(RegisterBrokerRecord {
            broker: self.config.node_id.0,
            starts,
            host: endpoints.first().map_or_else(String::new, |first| first.host.clone()),
            port: endpoints.first().map_or(0, |first| first.port),
            rack: self.config.rack.clone(),
            endpoints,
        }));
        let records = decided.records.clone();
        self.commit = Commit::Appended(Box::new(decided));
        records
    }

    /// Decides on the requests that wait, unless a commit is under way. Returns the records to append, as one batch at
    /// the image's end; `None` when there is nothing to append.
    pub fn next_commit(&mut self) -> Option<Vec<MetadataRecord>> {
        if !matches!(self.commit, Commit::Idle) || self.queue.is_empty() {
            return None;
        }
        let mut decided = self.decide();
        while decided.bytes < FULL_COMMIT_BYTES
            && let Some((asker, request)) = self.queue.pop_front()
        {
            let reserves = matches!(request, ControllerRequest::ReserveProducerIds);
            let answer = self.answer(request, &mut decided);
            if reserves && bug!(ProducerIdsNotReserved) {
                self.answers.push((asker, answer));
            } else {
                decided.answers.push((asker, answer));
            }
        }
        if decided.records.is_empty() {
            self.answers.append(&mut decided.answers);
            return None;
        }
        let records = decided.records.clone();
        self.commit = Commit::Appended(Box::new(decided));
        Some(records)
    }

    /// Decides on one request.
    fn answer(&mut self, request: ControllerRequest, decided: &mut Decided<A>) -> ControllerAnswer {
        match request {
            ControllerRequest::CreateTopics { topics, validate_only } => {
                ControllerAnswer::Created(self.create_topics(&topics, validate_only, decided))
            }
            ControllerRequest::DeleteTopics(topics) => {
                ControllerAnswer::Deleted(topics::delete_topics(topics, decided))
            }
            ControllerRequest::CreatePartitions { topics, validate_only } => {
                ControllerAnswer::PartitionsCreated(self.create_partitions(&topics, validate_only, decided))
            }
            ControllerRequest::AlterConfigs {
                alterations,
                validate_only,
            } => ControllerAnswer::Altered(self.alter_configs(&alterations, validate_only, decided)),
            ControllerRequest::ReserveProducerIds => ControllerAnswer::ProducerIds(self.reserve_producer_ids(decided)),
        }
    }

    /// The records are durable; `end` is the log's end after them. Returns what to tell all `shards` shards.
    pub fn committed(&mut self, end: Offset, shards: usize) -> Publication {
        let Commit::Appended(decided) = core::mem::replace(&mut self.commit, Commit::Idle) else {
            panic!("the metadata log became durable up to {end}, and nothing was appended");
        };
        assert_eq!(decided.image.end(), end, "the image and the metadata log end apart");
        self.image = Arc::new(decided.image);
        self.commit = Commit::Publishing {
            answers: decided.answers,
            shards,
        };
        Publication {
            image: Arc::clone(&self.image),
            delta: Arc::new(decided.delta),
        }
    }

    /// One more shard applies the published image.
    pub fn published(&mut self) {
        let Commit::Publishing { answers, shards } = &mut self.commit else {
            panic!("a shard reports an image that was not published");
        };
        *shards -= 1;
        if *shards == 0 {
            self.answers.append(answers);
            self.commit = Commit::Idle;
        }
    }

    /// The records could not be made durable: whoever waits for them is told so, and the state stays what it was.
    pub fn append_failed(&mut self) {
        if let Commit::Appended(decided) = core::mem::replace(&mut self.commit, Commit::Idle) {
            let failed = decided
                .answers
                .into_iter()
                .map(|(asker, _)| (asker, ControllerAnswer::StorageError));
            self.answers.extend(failed);
        }
    }

    /// Takes over what the log turned out to hold after a failed append: `image` and `delta` follow from all of it. What
    /// was refused may be in it all the same; then all `shards` shards are to be told.
    pub fn adopt(&mut self, image: Image, mut delta: Delta, shards: usize) -> Option<Publication> {
        assert!(
            matches!(self.commit, Commit::Idle),
            "the log is read again while a commit is under way"
        );
        if image.end() == self.image.end() {
            return None;
        }
        delta.created.retain(|topic| self.image.topic(topic.id).is_none());
        delta.deleted.retain(|topic| self.image.topic(topic.id).is_some());
        delta.changed.retain(|&id| {
            let before = self.image.topic(id);
            before.is_some() && before != image.topic(id)
        });
        let reconfigured = |who: &Option<_>| self.image.broker_settings(*who) != image.broker_settings(*who);
        delta.reconfigured.retain(reconfigured);
        self.image = Arc::new(image);
        self.commit = Commit::Publishing {
            answers: Vec::new(),
            shards,
        };
        Some(Publication {
            image: Arc::clone(&self.image),
            delta: Arc::new(delta),
        })
    }

    fn decide(&self) -> Decided<A> {
        let image = Image::clone(&self.image);
        Decided {
            image,
            delta: Delta::default(),
            records: Vec::new(),
            bytes: 0,
            answers: Vec::new(),
        }
    }

    fn reserve_producer_ids(&self, decided: &mut Decided<A>) -> Range<i64> {
        let ProducerId(first) = decided.image.next_producer_id();
        let next = first.saturating_add(i64::from(self.config.limits.producer_id_block));
        decided.add(Change::ReserveProducerIds(ReserveProducerIdsRecord { next }));
        first..next
    }
}

#[cfg(test)]
mod tests;
