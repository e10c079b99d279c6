//! What may differ between two brokers that behave alike: ids, times, ports, texts. Each rule names its fields and says
//! why.
//!
//! Invariant: a mask keeps what carries meaning. An id is not dropped but named in the order of appearance, so that two
//! brokers agree only if the same ids come again in the same places; a missing text, time or id stays missing.

use crate::message::Api;
use crate::scenarios::ZERO_ID;
use klamm_core::wire::{Struct, Type};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// The one field of an array that has become a map.
pub(crate) const KEYED: &str = "‹keyed›";

/// What is done to a field before it is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mask {
    /// An id: named after its kind and the order in which a scenario's answers first show it. Kafka's 'no id' stays.
    Named(&'static str),
    /// Whether there is a text, and whether it is empty.
    Text,
    /// Whether there is a time; −1 says that there is none.
    Time,
    /// Whether there is a number; −1 says that there is none.
    Number,
    /// The port of the broker itself.
    Port,
    /// An array whose order says nothing, by what identifies its elements.
    Keyed(&'static [&'static str]),
    /// As [`Mask::Keyed`], and elements that are the same but for their `partitions` are one.
    Grouped(&'static [&'static str]),
}

struct Rule {
    mask: Mask,
    /// `Api.field.field`, as the wire notation names them.
    fields: &'static [&'static str],
    #[allow(dead_code, reason = "for who reads the rule")]
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        mask: Mask::Named("topic"),
        fields: &[
            "Metadata.topics.topic_id",
            "CreateTopics.topics.topic_id",
            "DeleteTopics.responses.topic_id",
            "Fetch.responses.topic_id",
            "Produce.responses.topic_id",
            "DescribeTopicPartitions.topics.topic_id",
            "OffsetCommit.topics.topic_id",
            "OffsetFetch.groups.topics.topic_id",
        ],
        why: "a topic's id is drawn at random (KIP-516)",
    },
    Rule {
        mask: Mask::Named("producer"),
        fields: &[
            "InitProducerId.producer_id",
            "Fetch.responses.partitions.records.batches.producer_id",
            "DescribeProducers.topics.partitions.active_producers.producer_id",
        ],
        why: "producer ids come in blocks, and which are used up depends on what the broker itself does",
    },
    Rule {
        mask: Mask::Named("member"),
        fields: &[
            "JoinGroup.member_id",
            "JoinGroup.leader",
            "JoinGroup.members.member_id",
            "LeaveGroup.members.member_id",
            "DescribeGroups.groups.members.member_id",
        ],
        why: "a member's id is its client's name, or its instance's, and a random number",
    },
    Rule {
        mask: Mask::Keyed(&["member_id"]),
        fields: &["JoinGroup.members", "DescribeGroups.groups.members"],
        why: "Kafka keeps members in a hash map",
    },
    Rule {
        mask: Mask::Keyed(&["producer_id"]),
        fields: &["DescribeProducers.topics.partitions.active_producers"],
        why: "Kafka keeps producers in a hash map",
    },
    Rule {
        mask: Mask::Keyed(&["group_id"]),
        fields: &[
            "ListGroups.groups",
            "DescribeGroups.groups",
            "DeleteGroups.results",
            "OffsetFetch.groups",
        ],
        why: "groups come from several coordinators, in no order; clients look them up",
    },
    Rule {
        mask: Mask::Named("session"),
        fields: &["Fetch.session_id"],
        why: "a fetch session's id is drawn at random (KIP-227)",
    },
    Rule {
        mask: Mask::Named("cluster"),
        fields: &["Metadata.cluster_id", "DescribeCluster.cluster_id"],
        why: "each of the two is a cluster of its own",
    },
    Rule {
        mask: Mask::Port,
        fields: &[
            "Metadata.brokers.port",
            "DescribeCluster.brokers.port",
            "FindCoordinator.port",
            "FindCoordinator.coordinators.port",
            "Fetch.node_endpoints.port",
        ],
        why: "each of the two listens on a port of its own",
    },
    Rule {
        mask: Mask::Text,
        fields: &[
            "CreateTopics.topics.error_message",
            "DeleteTopics.responses.error_message",
            "DescribeConfigs.results.error_message",
            "DescribeConfigs.results.configs.documentation",
            "AlterConfigs.responses.error_message",
            "CreatePartitions.results.error_message",
            "DeleteGroups.results.error_message",
            "DescribeCluster.error_message",
            "DescribeGroups.groups.error_message",
            "IncrementalAlterConfigs.responses.error_message",
            "DescribeProducers.topics.partitions.error_message",
            "FindCoordinator.error_message",
            "FindCoordinator.coordinators.error_message",
            "Produce.responses.partition_responses.error_message",
            "Produce.responses.partition_responses.record_errors.batch_index_error_message",
        ],
        why: "texts are for people: whether there is one is compared, its words are our own",
    },
    Rule {
        mask: Mask::Time,
        fields: &["Produce.responses.partition_responses.log_append_time_ms"],
        why: "the two clocks are read at different moments",
    },
    Rule {
        mask: Mask::Text,
        fields: &["DescribeLogDirs.results.log_dir"],
        why: "each of the two has a directory of its own",
    },
    Rule {
        mask: Mask::Number,
        fields: &[
            "DescribeLogDirs.results.total_bytes",
            "DescribeLogDirs.results.usable_bytes",
        ],
        why: "the volume is filled by others, too",
    },
    Rule {
        mask: Mask::Number,
        fields: &["ApiVersions.finalized_features_epoch"],
        why: "it is an offset of the metadata log, which holds what each broker does for itself",
    },
    Rule {
        mask: Mask::Keyed(&["name"]),
        fields: &["DescribeLogDirs.results.topics"],
        why: "Kafka answers in the order of a hash map; clients look topics up",
    },
    Rule {
        mask: Mask::Keyed(&["partition_index"]),
        fields: &["DescribeLogDirs.results.topics.partitions"],
        why: "Kafka answers in the order of a hash map; clients look partitions up",
    },
    Rule {
        mask: Mask::Keyed(&["api_key"]),
        fields: &["ApiVersions.api_keys"],
        why: "clients look APIs up by their key",
    },
    Rule {
        mask: Mask::Keyed(&["name"]),
        fields: &[
            "CreatePartitions.results",
            "ApiVersions.supported_features",
            "ApiVersions.finalized_features",
            "Metadata.topics",
            "CreateTopics.topics",
            "CreateTopics.topics.configs",
            "DescribeConfigs.results.configs",
        ],
        why: "Kafka keeps these in hash maps: their order is that of no request",
    },
    Rule {
        mask: Mask::Keyed(&["resource_name+resource_type"]),
        fields: &[
            "DescribeConfigs.results",
            "AlterConfigs.responses",
            "IncrementalAlterConfigs.responses",
        ],
        why: "Kafka answers topics and brokers in groups; clients look resources up",
    },
    Rule {
        mask: Mask::Keyed(&["name", "topic_id"]),
        fields: &[
            "Produce.responses",
            "ListOffsets.topics",
            "DescribeTopicPartitions.topics",
            "DescribeProducers.topics",
            "OffsetCommit.topics",
            "OffsetFetch.topics",
            "OffsetFetch.groups.topics",
            "DeleteTopics.responses",
            "DeleteRecords.topics",
            "OffsetDelete.topics",
        ],
        why: "Kafka answers in the order of a hash map, or errors first; clients look topics up",
    },
    Rule {
        mask: Mask::Grouped(&["topic", "topic_id"]),
        fields: &["Fetch.responses", "OffsetForLeaderEpoch.topics"],
        why: "Kafka answers what is unknown last, its topic once more; clients look topics up",
    },
    Rule {
        mask: Mask::Keyed(&["index", "partition", "partition_index"]),
        fields: &[
            "OffsetCommit.topics.partitions",
            "OffsetFetch.topics.partitions",
            "OffsetFetch.groups.topics.partitions",
            "OffsetForLeaderEpoch.topics.partitions",
            "DeleteRecords.topics.partitions",
            "OffsetDelete.topics.partitions",
            "DescribeTopicPartitions.topics.partitions",
            "DescribeProducers.topics.partitions",
            "Metadata.topics.partitions",
            "Produce.responses.partition_responses",
            "ListOffsets.topics.partitions",
            "Fetch.responses.partitions",
        ],
        why: "Kafka answers partitions in the order of a hash map, or errors last; clients look them up",
    },
];

/// The masks of one broker's answers within one scenario.
pub(crate) struct Masks {
    port: u16,
    names: BTreeMap<(&'static str, String), String>,
}

impl Masks {
    /// For answers of the broker that listens on `port`.
    pub(crate) const fn new(port: u16) -> Self {
        Self {
            port,
            names: BTreeMap::new(),
        }
    }

    /// An answer of an API with all that may differ masked.
    pub(crate) fn apply(&mut self, api: &str, answer: &Json) -> Json {
        self.masked(api, answer)
    }

    fn masked(&mut self, path: &str, value: &Json) -> Json {
        let inner = match value {
            Json::Object(fields) => {
                self.name_topic(fields);
                let masked = fields
                    .iter()
                    .map(|(name, value)| (name.clone(), self.masked(&format!("{path}.{name}"), value)));
                Json::Object(masked.collect())
            }
            Json::Array(values) => self.elements(path, values),
            value => value.clone(),
        };
        rule(path).map_or(inner.clone(), |mask| self.apply_one(mask, inner))
    }

    /// The elements of an array, which a rule for the array itself may put in order first, so that ids in them are met in
    /// the same order.
    fn elements(&mut self, path: &str, values: &[Json]) -> Json {
        let mut values: Vec<&Json> = values.iter().collect();
        if let Some(Mask::Keyed(keys) | Mask::Grouped(keys)) = rule(path) {
            // Ids are compared by their names, or the order would be random.
            for fields in values.iter().filter_map(|value| value.as_object()) {
                self.name_topic(fields);
            }
            values.sort_by_cached_key(|value| {
                let key = key(keys, value);
                if value.get("topic_id").is_some_and(|id| plain(id) == key) {
                    return plain(&self.named("topic", &json!(key)));
                }
                let name = |kind| self.names.get(&(kind, key.clone())).cloned();
                name("member").or_else(|| name("producer")).unwrap_or(key)
            });
        }
        values.into_iter().map(|value| self.masked(path, value)).collect()
    }

    fn apply_one(&mut self, mask: Mask, value: Json) -> Json {
        match (mask, value) {
            (Mask::Keyed(keys), Json::Array(values)) => keyed(keys, values),
            (Mask::Grouped(keys), Json::Array(values)) => keyed(keys, grouped(keys, values)),
            // The rule of an array holds for the array, not for each of its elements.
            (Mask::Keyed(_) | Mask::Grouped(_), value) => value,
            (_, Json::Null) => Json::Null,
            (Mask::Named(kind), value) => self.named(kind, &value),
            (Mask::Text, value) if value == "" => value,
            (Mask::Text, _) => json!("‹text›"),
            (Mask::Time | Mask::Number, value) if value == -1 => value,
            (Mask::Time, _) => json!("‹time›"),
            (Mask::Number, _) => json!("‹number›"),
            (Mask::Port, value) if value == self.port => json!("‹port›"),
            (Mask::Port, value) => value,
        }
    }

    /// A topic's id that comes with the topic's name is called by it, so that it is called so wherever else it comes.
    fn name_topic(&mut self, fields: &Map<String, Json>) {
        let name = fields
            .get("name")
            .or_else(|| fields.get("topic_name"))
            .and_then(Json::as_str);
        if let (Some(name), Some(id)) = (name.filter(|name| !name.is_empty()), fields.get("topic_id")) {
            let alike = format!("‹topic {name} ");
            let next = self.names.values().filter(|other| other.starts_with(&alike)).count() + 1;
            let id = plain(id);
            if id != ZERO_ID {
                self.names
                    .entry(("topic", id))
                    .or_insert_with(|| format!("{alike}{next}›"));
            }
        }
    }

    fn named(&mut self, kind: &'static str, id: &Json) -> Json {
        let id = plain(id);
        let none = match kind {
            "session" => "0",
            "member" => "",
            "producer" => "-1",
            _ => ZERO_ID,
        };
        if id == none {
            return id.into();
        }
        let next = self.names.keys().filter(|(other, _)| *other == kind).count() + 1;
        let name = self
            .names
            .entry((kind, id))
            .or_insert_with(|| format!("‹{kind} {next}›"));
        name.as_str().into()
    }
}

fn rule(path: &str) -> Option<Mask> {
    RULES
        .iter()
        .find(|rule| rule.fields.contains(&path))
        .map(|rule| rule.mask)
}

/// An array as a map by what identifies its elements; a second one of the same name says so.
fn keyed(keys: &[&str], values: Vec<Json>) -> Json {
    let mut map = Map::new();
    for value in values {
        let name = key(keys, &value);
        let again = (1..).map(|count| {
            if count == 1 {
                name.clone()
            } else {
                format!("{name} #{count}")
            }
        });
        let free = again
            .into_iter()
            .find(|name| !map.contains_key(name))
            .expect("numbers do not end");
        map.insert(free, value);
    }
    json!({ KEYED: map })
}

/// Elements of which each is there once, with the partitions of all that are identified alike.
fn grouped(keys: &[&str], values: Vec<Json>) -> Vec<Json> {
    let mut groups: Vec<Json> = Vec::new();
    for mut value in values {
        let same = groups.iter_mut().find(|group| key(keys, group) == key(keys, &value));
        let Some(group) = same else {
            groups.push(value);
            continue;
        };
        let more = value["partitions"][KEYED].as_object_mut().map(std::mem::take);
        if let Some(held) = group["partitions"][KEYED].as_object_mut() {
            held.extend(more.unwrap_or_default());
        }
    }
    groups
}

/// What identifies an element: the first of the fields that its version has and that says something. `a+b` are two fields
/// together.
fn key(keys: &[&str], value: &Json) -> String {
    let together = |key: &&str| {
        let parts: Option<Vec<String>> = key.split('+').map(|part| value.get(part).map(plain)).collect();
        parts.map(|parts| parts.join(" "))
    };
    keys.iter()
        .filter_map(together)
        .find(|text| text != "null")
        .unwrap_or_else(|| "null".to_owned())
}

/// A scalar without quotation marks.
pub(crate) fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The rules' fields that no answer has.
pub(crate) fn unknown_fields() -> Vec<&'static str> {
    let all = RULES.iter().flat_map(|rule| rule.fields.iter().copied());
    all.filter(|field| !exists(field)).collect()
}

fn exists(path: &str) -> bool {
    let mut names = path.split('.');
    let Some(api) = names.next().and_then(Api::find) else {
        return false;
    };
    let mut body: &Struct = api.response_body();
    for name in names {
        let Some(field) = body.fields.iter().find(|field| field.name() == name) else {
            return false;
        };
        match field.kind {
            Type::Struct(inner) | Type::Array(&Type::Struct(inner)) => body = inner,
            // What is inside a batch is not in the notation.
            Type::Records => return true,
            _ => {}
        }
    }
    true
}
