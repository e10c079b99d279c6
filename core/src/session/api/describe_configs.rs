//! DescribeConfigs: every setting with its value, type, source and synonyms.

use super::Progress;
use crate::config::{
    ConfigEntry, TopicOverrides, describe_broker, describe_broker_defaults, describe_client_metrics, describe_group,
    describe_topic,
};
use crate::controller::check_topic_name;
use crate::session::Call;
use crate::types::{ErrorCode, Refusal};
use crate::wire::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::wire::{List, Text};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// `org.apache.kafka.common.config.ConfigResource.Type`.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

/// Groups and subscriptions that are described by one request at most, whether they exist or not.
const MAX_IMAGINED: usize = 1000;

/// Names of the broker that are answered in one request at most: `1` has others, such as `01`.
const MAX_BROKERS: usize = 10;

pub(super) fn answer(request: &DescribeConfigsRequest, call: &Call<'_, '_>) -> Progress {
    let unknown = request
        .resources
        .iter()
        .find(|resource| !is_kind(resource.resource_type));
    let describe = |resource: &DescribeConfigsResource| {
        let base = DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..DescribeConfigsResult::default()
        };
        // One resource of no kind spoils the request (`KafkaApis.handleDescribeConfigs`).
        let entries = unknown.map_or_else(|| entries(resource, call), no_kind);
        match entries {
            Ok(entries) => {
                let wanted = wanted(entries, resource).into_iter();
                DescribeConfigsResult {
                    configs: wanted.map(|entry| result(entry, request)).collect(),
                    ..base
                }
            }
            Err(Refusal { code, message }) => DescribeConfigsResult {
                error_code: code.code(),
                // Without a text it is empty, not null (`ConfigHelper`).
                error_message: Some(message.map_or_else(Text::default, Text::from)),
                ..base
            },
        }
    };
    // Each resource is described once, however often it is named, and of those that need not exist, or that have any
    // number of names, only so many: a small request must not ask for a huge answer.
    let node = call.context.config.node_id;
    let (mut named, mut imagined, mut brokers) = (BTreeSet::new(), 0, 0);
    let resources = request.resources.iter();
    let resources = resources.filter(|resource| {
        let (kind, name) = (resource.resource_type, &resource.resource_name);
        let first = named.insert((kind, name));
        imagined += usize::from(first && matches!(kind, CLIENT_METRICS | GROUP));
        brokers += usize::from(first && kind == BROKER && name.parse() == Ok(node.0));
        first && imagined <= MAX_IMAGINED && brokers <= MAX_BROKERS
    });
    let results = resources.map(describe);
    call.respond(&DescribeConfigsResponse {
        throttle_time_ms: 0,
        results: List::write_in::<DescribeConfigsResponse>(call.header.version, results),
    })
}

fn entries(resource: &DescribeConfigsResource, call: &Call<'_, '_>) -> Result<Vec<ConfigEntry>, Refusal> {
    let name = resource.resource_name.as_str();
    let node = call.context.config.node_id;
    let refuse = |code, message| {
        Err(Refusal {
            code,
            message: Some(message),
        })
    };
    match resource.resource_type {
        TOPIC => {
            check_topic_name(name)?;
            let Some(topic) = call.context.image.topic_named(name) else {
                return Err(ErrorCode::UnknownTopicOrPartition.into());
            };
            let settings = topic
                .config
                .iter()
                .map(|(key, value)| (key.as_str(), Some(value.as_str())));
            match TopicOverrides::parse(settings, &call.context.config.topic_defaults) {
                Ok((_, overrides)) => Ok(describe_topic(&overrides, call.context.config)),
                Err(error) => refuse(ErrorCode::InvalidConfig, error.to_string()),
            }
        }
        BROKER if name.is_empty() => Ok(describe_broker_defaults(call.context.config)),
        BROKER if name.parse() == Ok(node.0) => Ok(describe_broker(call.context.config)),
        // There is one logger, and its level is an option of the process.
        BROKER_LOGGER if name.parse() == Ok(node.0) => Ok(Vec::new()),
        BROKER | BROKER_LOGGER => refuse(
            ErrorCode::InvalidRequest,
            format!("Broker '{name}' is another; this one is {node}, or empty for all."),
        ),
        CLIENT_METRICS | GROUP if name.is_empty() => {
            refuse(ErrorCode::InvalidRequest, "The resource needs a name.".to_string())
        }
        CLIENT_METRICS => Ok(describe_client_metrics()),
        GROUP => Ok(describe_group(call.context.config)),
        _ => no_kind(resource),
    }
}

const fn is_kind(kind: i8) -> bool {
    matches!(kind, TOPIC | BROKER | BROKER_LOGGER | CLIENT_METRICS | GROUP)
}

fn no_kind<T>(resource: &DescribeConfigsResource) -> Result<T, Refusal> {
    Err(Refusal {
        code: ErrorCode::InvalidRequest,
        message: Some(format!("There are no resources of type {}.", resource.resource_type)),
    })
}

/// The entries of these names, in their order. No list of names, or an empty one, asks for all.
fn wanted(mut entries: Vec<ConfigEntry>, resource: &DescribeConfigsResource) -> Vec<ConfigEntry> {
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    if !keys.is_empty() {
        let keys: BTreeSet<&[u8]> = keys.iter().map(|key| &key.as_bytes()[..]).collect();
        entries.retain(|entry| keys.contains(entry.name.as_bytes()));
    }
    entries
}

fn result(entry: ConfigEntry, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.into_iter().filter(|_| request.include_synonyms);
    let synonyms = synonyms.map(|synonym| DescribeConfigsSynonym {
        name: Text::from(synonym.name),
        value: synonym.value.map(Text::from),
        source: synonym.source.id(),
    });
    DescribeConfigsResourceResult {
        name: Text::from(entry.name),
        value: entry.value.map(Text::from),
        read_only: entry.read_only,
        config_source: entry.source.id(),
        is_sensitive: entry.sensitive,
        synonyms: synonyms.collect(),
        config_type: entry.kind.id(),
        documentation: request.include_documentation.then(|| Text::from(entry.documentation)),
    }
}
