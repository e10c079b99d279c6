//! The image: all records applied so far, and how one more changes it.

use super::endpoints::{Endpoint, Endpoints};
use super::record::{
    AddPartitionsRecord, BrokerSettingsRecord, Change, MetadataRecord, PartitionRecord, RegisterBrokerRecord,
    RemoveTopicRecord, TopicRecord, TopicSettingsRecord,
};
use crate::types::{
    BrokerEpoch, BrokerId, LeaderEpoch, ListenerName, Offset, ProducerId, TopicId, TopicPartition, Uuid,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use rpds::RedBlackTreeMapSync;

/// The state of the cluster after a prefix of the metadata log. Images share structure, so keeping an old one or
/// making the next costs in proportion to the change.
#[derive(Clone, Default, Debug)]
pub struct Image {
    end: Offset,
    brokers: BTreeMap<BrokerId, Registration>,
    topics: RedBlackTreeMapSync<TopicId, Arc<Topic>>,
    names: RedBlackTreeMapSync<Arc<str>, TopicId>,
    /// Names that hold a '.' or '_', by the name with all of these made '_'.
    unified: RedBlackTreeMapSync<String, Arc<str>>,
    next_producer_id: i64,
    /// Settings given to running brokers: to each, and under `None` to all.
    settings: BTreeMap<Option<BrokerId>, Arc<Settings>>,
}

/// Keys and their values.
pub type Settings = BTreeMap<String, String>;

static NO_SETTINGS: Settings = Settings::new();

/// A broker's latest start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The offset of its registration in the metadata log.
    pub epoch: BrokerEpoch,
    /// How many times it has registered.
    pub starts: u32,
    /// Where clients reach it.
    pub endpoints: Endpoints,
    /// `broker.rack`.
    pub rack: Option<String>,
}

/// A topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topic {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions, by index; never empty.
    pub partitions: Vec<Partition>,
    /// The configuration keys that it sets itself.
    pub config: BTreeMap<String, String>,
}

impl Topic {
    /// The identity of its partition `index`, if there is one.
    pub fn partition(&self, index: i32) -> Option<TopicPartition> {
        let there = usize::try_from(index).is_ok_and(|index| index < self.partitions.len());
        there.then_some(TopicPartition {
            topic: self.id,
            partition: index,
        })
    }
}

/// Where a partition is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partition {
    /// The brokers that hold it, preferred leader first.
    pub replicas: Arc<[BrokerId]>,
    /// The in-sync replicas.
    pub isr: Arc<[BrokerId]>,
    /// The leader.
    pub leader: BrokerId,
    /// The version of this state.
    pub partition_epoch: i32,
    leader_epoch: i32,
    leader_starts: u32,
}

/// What a run of records changed, for those who keep state of their own about topics.
#[derive(Clone, Default, Debug)]
pub struct Delta {
    /// Topics that are new.
    pub created: Vec<Arc<Topic>>,
    /// Topics that are gone.
    pub deleted: Vec<Arc<Topic>>,
    /// Topics that have other settings, or more partitions.
    pub changed: BTreeSet<TopicId>,
    /// Brokers whose settings changed while they run; `None` stands for those that all share.
    pub reconfigured: BTreeSet<Option<BrokerId>>,
}

/// A record that does not fit the image before it: the log is corrupt, or a newer version wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ApplyError {
    /// Of a kind that this version does not know.
    UnknownRecord,
    /// It contradicts what came before; the text says how.
    Contradiction(String),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRecord => f.write_str("a record of an unknown kind, written by a newer version of Klamm"),
            Self::Contradiction(text) => write!(f, "a record that contradicts those before it: {text}"),
        }
    }
}

impl Image {
    /// The offset after the last record applied.
    pub const fn end(&self) -> Offset {
        self.end
    }

    /// The brokers that ever registered.
    pub fn brokers(&self) -> impl Iterator<Item = (BrokerId, &Registration)> {
        self.brokers.iter().map(|(&id, registration)| (id, registration))
    }

    /// The brokers that clients of `listener` reach, and where (`KRaftMetadataCache.getAliveBrokerNodes`): one that
    /// advertises nothing for it is left out.
    pub fn reachable<'a>(
        &'a self,
        listener: &ListenerName,
    ) -> impl Iterator<Item = (BrokerId, &'a Registration, &'a Endpoint)> {
        self.brokers()
            .filter_map(|(id, registration)| Some((id, registration, registration.endpoints.of(listener)?)))
    }

    /// A broker's latest registration.
    pub fn broker(&self, id: BrokerId) -> Option<&Registration> {
        self.brokers.get(&id)
    }

    /// All topics, in the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    /// The topic of this identity.
    pub fn topic(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// The topic of this name.
    pub fn topic_named(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get(name)?)
    }

    /// A topic whose name differs from `name` only in '.' and '_', or is `name`: metrics could not tell the two apart
    /// (`org.apache.kafka.common.internals.Topic.hasCollision`).
    pub fn name_colliding_with(&self, name: &str) -> Option<&Arc<str>> {
        self.unified.get(&unified(name)?)
    }

    /// The first producer id that is not reserved yet.
    pub const fn next_producer_id(&self) -> ProducerId {
        ProducerId(self.next_producer_id)
    }

    /// The settings given to a running broker, or, with `None`, to all of them (KIP-226).
    pub fn broker_settings(&self, broker: Option<BrokerId>) -> &Settings {
        self.settings.get(&broker).map_or(&NO_SETTINGS, |settings| settings)
    }

    /// The leader epoch of a partition: what its record says, and one more for each start of its leader since.
    pub fn leader_epoch(&self, partition: &Partition) -> LeaderEpoch {
        let starts = self
            .brokers
            .get(&partition.leader)
            .map_or(partition.leader_starts, |broker| broker.starts);
        let since = starts.saturating_sub(partition.leader_starts);
        LeaderEpoch(partition.leader_epoch.saturating_add(since as i32))
    }

    /// Applies the record at `offset`, which is the image's end, and notes in `delta` what it changed.
    pub fn apply(&mut self, offset: Offset, record: &MetadataRecord, delta: &mut Delta) -> Result<(), ApplyError> {
        assert!(
            offset >= self.end,
            "metadata record {offset} applied twice: the image ends at {}",
            self.end
        );
        match record.change.as_ref().ok_or(ApplyError::UnknownRecord)? {
            Change::RegisterBroker(record) => self.register(offset, record)?,
            Change::Topic(record) => self.add_topic(record, delta)?,
            Change::RemoveTopic(record) => self.remove_topic(record, delta)?,
            Change::TopicSettings(record) => self.set_topic_settings(record, delta)?,
            Change::BrokerSettings(record) => self.set_broker_settings(record, delta),
            Change::AddPartitions(record) => self.add_partitions(record, delta)?,
            Change::ReserveProducerIds(record) => {
                if record.next < self.next_producer_id {
                    return contradiction(format_args!("producer ids go back to {}", record.next));
                }
                self.next_producer_id = record.next;
            }
        }
        self.end = offset.plus(1);
        Ok(())
    }

    fn register(&mut self, offset: Offset, record: &RegisterBrokerRecord) -> Result<(), ApplyError> {
        let id = BrokerId(record.broker);
        let before = self.brokers.get(&id).map_or(0, |broker| broker.starts);
        if record.starts < before {
            return contradiction(format_args!(
                "broker {id} counts {} starts after {before}",
                record.starts
            ));
        }
        let registration = Registration {
            epoch: BrokerEpoch(offset.0),
            starts: record.starts,
            endpoints: Endpoints::read(record)?,
            rack: record.rack.clone(),
        };
        self.brokers.insert(id, registration);
        Ok(())
    }

    fn add_topic(&mut self, record: &TopicRecord, delta: &mut Delta) -> Result<(), ApplyError> {
        let id = topic_id(&record.topic_id)?;
        let name: Arc<str> = Arc::from(record.name.as_str());
        if self.topics.contains_key(&id) || self.names.contains_key(&name) {
            return contradiction(format_args!("topic {name} ({id}) is created twice"));
        }
        if !record.partitions.iter().all(is_placed) || record.partitions.is_empty() {
            return contradiction(format_args!(
                "topic {name} ({id}) has a partition without a leader in sync"
            ));
        }
        let partitions = partitions(&record.partitions);
        let topic = Arc::new(Topic {
            id,
            name: Arc::clone(&name),
            partitions,
            config: record.config.clone(),
        });
        self.topics.insert_mut(id, Arc::clone(&topic));
        if let Some(unified) = unified(&name) {
            self.unified.insert_mut(unified, Arc::clone(&name));
        }
        self.names.insert_mut(name, id);
        delta.created.push(topic);
        Ok(())
    }

    fn remove_topic(&mut self, record: &RemoveTopicRecord, delta: &mut Delta) -> Result<(), ApplyError> {
        let id = topic_id(&record.topic_id)?;
        let Some(topic) = self.topics.get(&id).cloned() else {
            return contradiction(format_args!("topic {id} is deleted but was never created"));
        };
        self.topics.remove_mut(&id);
        self.names.remove_mut(&topic.name);
        if let Some(unified) = unified(&topic.name) {
            self.unified.remove_mut(&unified);
        }
        delta.deleted.push(topic);
        Ok(())
    }
}

impl Image {
    fn set_topic_settings(&mut self, record: &TopicSettingsRecord, delta: &mut Delta) -> Result<(), ApplyError> {
        let topic = self.known(&record.topic_id)?;
        let config = record.config.clone();
        self.replace(Topic { config, ..topic }, delta);
        Ok(())
    }

    fn set_broker_settings(&mut self, record: &BrokerSettingsRecord, delta: &mut Delta) {
        let broker = record.broker.map(BrokerId);
        if record.config.is_empty() {
            self.settings.remove(&broker);
        } else {
            self.settings.insert(broker, Arc::new(record.config.clone()));
        }
        delta.reconfigured.insert(broker);
    }

    fn add_partitions(&mut self, record: &AddPartitionsRecord, delta: &mut Delta) -> Result<(), ApplyError> {
        let mut topic = self.known(&record.topic_id)?;
        let (name, before) = (&topic.name, topic.partitions.len());
        if record.first as usize != before {
            return contradiction(format_args!(
                "topic {name} gets partitions from {} on, and has {before}",
                record.first
            ));
        }
        if !record.partitions.iter().all(is_placed) {
            return contradiction(format_args!("topic {name} gets a partition without a leader in sync"));
        }
        topic.partitions.extend(partitions(&record.partitions));
        self.replace(topic, delta);
        Ok(())
    }

    /// A copy of the topic with this id.
    fn known(&self, id: &[u8]) -> Result<Topic, ApplyError> {
        let id = topic_id(id)?;
        match self.topics.get(&id) {
            Some(topic) => Ok(Topic::clone(topic)),
            None => contradiction(format_args!("topic {id} is changed but was never created")),
        }
    }

    fn replace(&mut self, topic: Topic, delta: &mut Delta) {
        delta.changed.insert(topic.id);
        self.topics.insert_mut(topic.id, Arc::new(topic));
    }
}

fn unified(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

/// The leader is one of the replicas in sync, and these are some of the replicas.
fn is_placed(partition: &PartitionRecord) -> bool {
    partition.isr.contains(&partition.leader) && partition.isr.iter().all(|id| partition.replicas.contains(id))
}

/// Partitions of one topic mostly share their replicas: each distinct list is kept once.
fn partitions(records: &[PartitionRecord]) -> Vec<Partition> {
    let mut lists: BTreeMap<&[i32], Arc<[BrokerId]>> = BTreeMap::new();
    let mut placed = Vec::with_capacity(records.len());
    for record in records {
        let [replicas, isr] = [&record.replicas, &record.isr].map(|ids| {
            let list = lists
                .entry(ids)
                .or_insert_with_key(|ids| ids.iter().map(|&id| BrokerId(id)).collect());
            Arc::clone(list)
        });
        placed.push(Partition {
            replicas,
            isr,
            leader: BrokerId(record.leader),
            partition_epoch: record.partition_epoch,
            leader_epoch: record.leader_epoch,
            leader_starts: record.leader_starts,
        });
    }
    placed
}

fn topic_id(bytes: &[u8]) -> Result<TopicId, ApplyError> {
    match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) => Ok(TopicId(Uuid(bytes))),
        Err(_) => contradiction(format_args!("a topic id of {} bytes", bytes.len())),
    }
}

fn contradiction<T>(text: fmt::Arguments<'_>) -> Result<T, ApplyError> {
    Err(ApplyError::Contradiction(alloc::fmt::format(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::ReserveProducerIdsRecord;
    use alloc::vec;

    fn register(starts: u32) -> MetadataRecord {
        let host = String::from("localhost");
        Change::RegisterBroker(RegisterBrokerRecord {
            broker: 1,
            starts,
            host,
            port: 9092,
            rack: None,
            endpoints: Vec::new(),
        })
        .into()
    }

    fn topic(id: u8, name: &str, leader_starts: u32) -> MetadataRecord {
        let partition = PartitionRecord {
            replicas: Vec::from([1]),
            isr: Vec::from([1]),
            leader: 1,
            leader_epoch: 0,
            leader_starts,
            partition_epoch: 0,
        };
        let record = TopicRecord {
            topic_id: Vec::from([id; 16]),
            name: String::from(name),
            partitions: Vec::from([partition.clone(), partition]),
            config: BTreeMap::new(),
        };
        Change::Topic(record).into()
    }

    fn remove(id: u8) -> MetadataRecord {
        Change::RemoveTopic(RemoveTopicRecord {
            topic_id: Vec::from([id; 16]),
        })
        .into()
    }

    fn apply(image: &mut Image, record: &MetadataRecord) -> Result<Delta, ApplyError> {
        let mut delta = Delta::default();
        image.apply(image.end(), record, &mut delta).map(|()| delta)
    }

    #[test]
    fn each_start_of_the_leader_gives_its_partitions_a_new_epoch() {
        let mut image = Image::default();
        apply(&mut image, &register(3)).unwrap();
        apply(&mut image, &topic(7, "orders", 3)).unwrap();
        let partition = image.topic_named("orders").unwrap().partitions[1].clone();
        assert_eq!(image.leader_epoch(&partition), LeaderEpoch(0));
        apply(&mut image, &register(4)).unwrap();
        assert_eq!(image.leader_epoch(&partition), LeaderEpoch(1));
    }

    #[test]
    fn an_image_kept_does_not_see_later_records() {
        let mut image = Image::default();
        apply(&mut image, &topic(1, "a.b", 0)).unwrap();
        let before = image.clone();
        let delta = apply(&mut image, &remove(1)).unwrap();
        assert_eq!(&*delta.deleted[0].name, "a.b");
        assert!(image.name_colliding_with("a_b").is_none() && before.name_colliding_with("a_b").is_some());
        assert!(image.topic_named("a.b").is_none() && before.topic_named("a.b").is_some());
        let delta = apply(&mut image, &topic(2, "a.b", 0)).unwrap();
        assert_eq!(delta.created[0].id, image.topic_named("a.b").unwrap().id);
    }

    #[test]
    fn a_partition_needs_a_leader_in_sync_among_its_replicas() {
        let Some(Change::Topic(good)) = topic(1, "a", 0).change else {
            panic!("a topic record")
        };
        for (replicas, isr, leader) in [
            (vec![], vec![], 1),
            (vec![1], vec![], 1),
            (vec![1], vec![1, 2], 1),
            (vec![1], vec![1], 2),
        ] {
            let mut bad = good.clone();
            let partition = &mut bad.partitions[1];
            (partition.replicas, partition.isr, partition.leader) = (replicas, isr, leader);
            assert!(apply(&mut Image::default(), &Change::Topic(bad).into()).is_err());
        }
        let none = TopicRecord {
            partitions: Vec::new(),
            ..good
        };
        assert!(apply(&mut Image::default(), &Change::Topic(none).into()).is_err());
    }

    #[test]
    fn records_that_contradict_the_image_are_refused() {
        let mut image = Image::default();
        apply(&mut image, &topic(1, "a", 0)).unwrap();
        let reserve = |next| Change::ReserveProducerIds(ReserveProducerIdsRecord { next }).into();
        apply(&mut image, &reserve(2000)).unwrap();
        for record in [topic(2, "a", 0), topic(1, "b", 0), remove(9), reserve(1000)] {
            assert!(
                matches!(apply(&mut image, &record), Err(ApplyError::Contradiction(_))),
                "{record:?}"
            );
        }
        assert_eq!(
            apply(&mut image, &MetadataRecord { change: None }).unwrap_err(),
            ApplyError::UnknownRecord
        );
        assert_eq!(image.end(), Offset(2));
    }
}
