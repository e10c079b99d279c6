//! Whole brokers on a disk in memory, driven by Kafka frames: scenarios that read as text.

mod administering;
mod bounds;
mod broker;
mod changes;
mod client;
mod clients;
mod compaction;
mod deleting;
mod describing;
mod durability;
mod dynamic;
mod group_rot;
mod groups;
mod hostile;
mod keeping;
mod listeners;
mod many;
mod members;
mod naming;
mod resting;
mod rot;
mod serving;
mod starts;
mod stops;
mod storing;
mod topics;
