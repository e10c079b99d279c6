//! What generated requests are about: topics, groups and members that are there, and what fields may be given.
//!
//! What Kafka and klamm answer differently for a known reason is told by scenarios of its own, and left out here, so that
//! a difference means something new.

use crate::batch::{Batch, Record, SOME_TIME, at, value};
use crate::generate::Pool;
use crate::peer::Peer;
use crate::scenarios::{NO_TOPIC_ID, ZERO_ID};
use klamm_core::record::Compression;
use serde_json::{Value as Json, json};

/// What is there.
pub(super) struct World {
    /// Topics: the first with three partitions and records in two of them, the second with one.
    pub(super) topics: Vec<String>,
    pub(super) ids: Vec<Json>,
    /// Groups that a request gets on with.
    pub(super) groups: Vec<String>,
    /// Ids of members of the first group.
    pub(super) members: Vec<Json>,
    /// Instances among them.
    pub(super) instances: Vec<Json>,
    /// Whether members may be new ones, which wait for others to join.
    pub(super) newcomers: bool,
    /// The start of the names of topics to be created.
    pub(super) fresh: String,
}

/// Sound batches of every kind, and some that are not.
fn batches() -> Pool {
    let rich = Record {
        key: Some(b"key"),
        value: None,
        timestamp: SOME_TIME + 5,
        headers: &[("h", Some(b"1")), ("h", None)],
    };
    let codecs = [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let mut good = vec![
        Batch::of_values(&["a"]),
        Batch::of_values(&["", "bc", "def"]),
        Batch::of(&[rich]),
    ];
    good.extend(codecs.map(|codec| Batch::compressed(codec, &[value(b"compressed"), rich])));
    let sound = Batch::of_values(&["a", "b"]);
    let edge = [
        sound.clone().set(at::CRC, &[1, 2, 3, 4]),
        sound.clone().set(at::BASE_OFFSET, &7_i64.to_be_bytes()).sealed(),
        sound.clone().set(at::LAST_OFFSET_DELTA, &5_i32.to_be_bytes()).sealed(),
        sound.clone().set(at::COUNT, &3_i32.to_be_bytes()).sealed(),
        sound.set(at::ATTRIBUTES, &0x20_i16.to_be_bytes()).sealed(),
    ];
    let hex = |batches: &[Batch]| json!(batches.iter().map(Batch::hex).collect::<Vec<_>>());
    Pool::new(&hex(&good), &hex(&edge))
}

fn settings(broker: bool) -> (Json, Json) {
    if broker {
        (
            json!(["log.retention.ms", "message.max.bytes"]),
            json!(["no.such.setting", ""]),
        )
    } else {
        (
            json!([
                "retention.ms",
                "cleanup.policy",
                "max.message.bytes",
                "segment.bytes",
                "compression.type"
            ]),
            json!(["no.such.setting", "", "RETENTION.MS"]),
        )
    }
}

impl World {
    /// Two topics with records; no groups.
    pub(super) fn of_topics(peer: &mut Peer) -> Self {
        let first = peer.topic("first", 3, &[("retention.ms", "-1")]);
        let second = peer.topic("second", 1, &[]);
        for (topic, partition, values) in [
            (&first, 0, &["a", "b"][..]),
            (&first, 1, &["c"]),
            (&second, 0, &["d"; 7]),
        ] {
            peer.append(topic, partition, &Batch::of_values(values));
            peer.append(topic, partition, &Batch::of_values(values));
        }
        Self {
            ids: vec![peer.topic_id(&first), peer.topic_id(&second)],
            topics: vec![first, second],
            groups: Vec::new(),
            members: Vec::new(),
            instances: Vec::new(),
            newcomers: false,
            fresh: peer.name("fresh"),
        }
    }

    /// What a field may be given.
    pub(super) fn pool(&self, api: &str, version: i16, field: &str) -> Option<Pool> {
        let own = self.of_api(api, version, field);
        own.or_else(|| self.of_groups(api, field))
            .or_else(|| self.of_names(field))
            .map(|(good, edge)| Pool::new(&good, &edge))
            .or_else(|| (field == "PartitionProduceData.records").then(batches))
            .or_else(|| Some(numbers(field)?).map(|(good, edge)| Pool::new(&good, &edge)))
    }

    /// Names and ids of topics.
    fn of_names(&self, field: &str) -> Option<(Json, Json)> {
        Some(match field.rsplit('.').next()? {
            "topic_id" => (json!(self.ids), json!([NO_TOPIC_ID])),
            "topic" | "topic_name" | "resource_name" | "name" => (json!(self.topics), json!(["never-created", "a b"])),
            "topic_names" => (json!(self.topics), json!(["never-created", "a b", "", "."])),
            _ => return None,
        })
    }

    fn of_groups(&self, api: &str, field: &str) -> Option<(Json, Json)> {
        let nobody = json!(["nobody"]);
        Some(match (api, field.rsplit('.').next()?) {
            // Whoever is new makes a group; each has one of its own, so that nothing is left of it for the next.
            ("JoinGroup", "group_id") if self.newcomers => (json!(self.groups), json!([""])),
            (_, "group_id" | "groups_names" | "groups")
                if !field.ends_with("Request.groups") || api == "DescribeGroups" =>
            {
                (json!(self.groups), json!(["never-joined", ""]))
            }
            ("JoinGroup", "member_id") if !self.newcomers => (json!(self.members), nobody),
            ("JoinGroup", "member_id") => (json!([""]), nobody),
            ("JoinGroup", "group_instance_id") if !self.newcomers => (json!([null]), json!([null])),
            ("OffsetCommit", "member_id") => (json!([""]), json!(["nobody", self.members.first()])),
            ("OffsetCommit", "group_instance_id") => (json!([null]), json!(["an-instance"])),
            (_, "member_id") => (json!(self.members), json!(["nobody", ""])),
            (_, "group_instance_id") => (json!(self.instances), json!([null, "an-instance"])),
            ("OffsetCommit", "generation_id_or_member_epoch") => (json!([-1]), json!([0, 1, 2, i32::MAX])),
            (_, "generation_id") => (json!([1, 1, 2]), json!([-1, 0, 3, i32::MAX])),
            (_, "session_timeout_ms") => (json!([300_000, 600_000, 1_800_000]), json!([5_999, 1_800_001, 0, -1])),
            // Whoever joined and does not sync is dropped after this time.
            (_, "rebalance_timeout_ms") => (json!([300_000, 600_000]), json!([i32::MAX])),
            (_, "protocol_type") => (json!(["consumer"]), json!(["", "connect"])),
            ("SyncGroup", "protocol_name") => (json!(["range"]), json!(["other", "", null])),
            ("JoinGroup", _) if field == "JoinGroupRequestProtocol.name" => {
                (json!(["range", "other"]), json!(["third"]))
            }
            _ => return None,
        })
    }

    /// What one API takes otherwise than others.
    fn of_api(&self, api: &str, version: i16, field: &str) -> Option<(Json, Json)> {
        Some(match (api, field) {
            // A request of Metadata that names both is a scenario of its own, and old versions create what they name.
            ("Metadata", "MetadataRequestTopic.topic_id") => (json!([ZERO_ID]), json!([])),
            ("Metadata", "MetadataRequestTopic.name") if version < 4 => (json!(self.topics), json!(["a b"])),
            ("Metadata", "MetadataRequest.allow_auto_topic_creation") => (json!([false]), json!([])),
            ("CreateTopics", "CreatableTopic.name") => {
                let names: Vec<String> = (0..6)
                    .map(|index| format!("{}-{version}-{index}", self.fresh))
                    .collect();
                (json!(names), json!(["", "a b", ".", self.topics[0], "x".repeat(250)]))
            }
            ("CreateTopics", "CreatableTopic.assignments" | "CreatableTopic.configs")
            | ("CreatePartitions", "CreatePartitionsTopic.assignments")
            | ("Fetch", "FetchRequest.forgotten_topics_data") => (json!([]), json!([])),
            ("CreateTopics", "CreatableTopic.replication_factor") => (json!([1, -1]), json!([0, 2, -2])),
            ("CreateTopics", "CreatableTopic.num_partitions") => (json!([1, 2, -1]), json!([0, -2, 10_001])),
            ("CreatePartitions", "CreatePartitionsTopic.count") => (json!([2, 3, 4, 5]), json!([0, -1, 1])),
            ("DeleteTopics", "DeleteTopicState.name") => {
                let names: Vec<Json> = self.topics.iter().map(|name| json!(name)).chain([Json::Null]).collect();
                (json!(names), json!([null, "never-created", "a b", ""]))
            }
            ("DeleteTopics", "DeleteTopicState.topic_id") => (
                json!([ZERO_ID, ZERO_ID, self.ids[0], self.ids[1]]),
                json!([NO_TOPIC_ID]),
            ),
            ("AlterConfigs" | "IncrementalAlterConfigs", "AlterableConfig.name")
            | ("CreateTopics", "CreatableTopicConfig.name") => settings(false),
            ("AlterConfigs" | "IncrementalAlterConfigs", "AlterableConfig.value")
            | ("CreateTopics", "CreatableTopicConfig.value") => (
                json!(["5000", "100000", "2000000", "compact", "gzip"]),
                json!([null, "", "-1", "-2", "soon", "0", "9223372036854775808"]),
            ),
            ("IncrementalAlterConfigs", "AlterableConfig.config_operation") => (json!([0, 0, 1]), json!([2, 3])),
            ("AlterConfigs" | "IncrementalAlterConfigs", "AlterConfigsResource.resource_type") => {
                (json!([2]), json!([3, 0, 127, -1]))
            }
            ("DescribeConfigs", "DescribeConfigsResource.resource_type") => (json!([2, 2, 2, 4]), json!([3, 0, -1])),
            ("DescribeConfigs", "DescribeConfigsResource.configuration_keys") => {
                (json!(["retention.ms", "cleanup.policy"]), json!(["no.such.setting"]))
            }
            ("ListConfigResources", _) => (json!([8, 16, 4]), json!([0, 9, -1, 127])),
            ("InitProducerId", "InitProducerIdRequest.transactional_id") => (json!([null]), json!([""])),
            ("InitProducerId", "InitProducerIdRequest.transaction_timeout_ms") => {
                (json!([60_000, 0]), json!([-1, i32::MAX]))
            }
            ("InitProducerId", "InitProducerIdRequest.producer_id") => (json!([-1]), json!([0, 5, -2])),
            ("InitProducerId", "InitProducerIdRequest.producer_epoch") => (json!([-1]), json!([0, 5, i16::MAX])),
            ("FindCoordinator", "FindCoordinatorRequest.key_type") => (json!([0]), json!([3, -1])),
            ("FindCoordinator", _) => (json!(["a group", "another", "ü"]), json!([""])),
            ("ListGroups", "ListGroupsRequest.states_filter") => {
                (json!(["Stable", "Empty"]), json!(["nonsense", "dead", ""]))
            }
            ("ListGroups", "ListGroupsRequest.types_filter") => {
                (json!(["classic"]), json!(["Consumer", "nonsense", ""]))
            }
            ("ApiVersions", "ApiVersionsRequest.client_software_name") => {
                (json!(["parity", "a-b.c1"]), json!(["", "-a", "a b", "ü"]))
            }
            ("ApiVersions", "ApiVersionsRequest.client_software_version") => {
                (json!(["1.0", "v2-a"]), json!(["", ".1", "1 0"]))
            }
            ("DeleteRecords", "DeleteRecordsPartition.offset") => (json!([0, 1, 2, -1]), json!([-2, 100, i64::MAX])),
            ("Produce", "ProduceRequest.transactional_id") => (json!([null]), json!([null])),
            ("Produce", "ProduceRequest.acks") => (json!([-1, 1]), json!([2, -2])),
            ("Produce", "ProduceRequest.timeout_ms") => (json!([30_000]), json!([30_000])),
            ("Fetch", "FetchRequest.cluster_id") => (json!([null]), json!(["some"])),
            _ => return None,
        })
    }
}

/// Numbers by the names of their fields.
fn numbers(field: &str) -> Option<(Json, Json)> {
    Some(match field.rsplit('.').next()? {
        "partition" | "partitions" | "partition_index" | "partition_indexes" | "index" => {
            (json!([0, 0, 1, 2]), json!([7, -1]))
        }
        "fetch_offset" => (json!([0, 1, 2, 3]), json!([4, 14, 100, -1])),
        "timestamp" => (
            json!([-1, -2, -3, -4, SOME_TIME, SOME_TIME + 1]),
            json!([-5, -6, -7, 0, i64::MAX]),
        ),
        "current_leader_epoch" | "leader_epoch" => (json!([-1, 0]), json!([1, 5])),
        "max_bytes" | "partition_max_bytes" => (json!([10_000, i32::MAX]), json!([1000])),
        "min_bytes" | "isolation_level" => (json!([0, 1]), json!([])),
        "session_epoch" | "replica_id" | "last_fetched_epoch" | "replica_epoch" => (json!([-1]), json!([])),
        "session_id" | "max_wait_ms" => (json!([0]), json!([])),
        "endpoint_type" => (json!([1]), json!([2, 0])),
        "response_partition_limit" => (json!([1, 2, 3, 2000]), json!([0, -1])),
        "committed_offset" => (json!([0, 5, 100]), json!([-1, i64::MAX])),
        "committed_leader_epoch" => (json!([-1, 0]), json!([5])),
        "committed_metadata" => (json!(["", "m", "ü"]), json!([null, "m".repeat(4096), "m".repeat(4097)])),
        "member_epoch" => (json!([-1]), json!([0, 7])),
        "timeout_ms" => (json!([30_000]), json!([30_000])),
        "broker_ids" => (json!([1]), json!([9])),
        _ => return None,
    })
}
