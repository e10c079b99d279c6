//! `ListConfigResources`: what can have a configuration (KIP-1142). No group has one of its own yet, and no subscription
//! to client metrics exists.

use super::Progress;
use super::describe_configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::session::Call;
use crate::types::ErrorCode;
use crate::wire::Text;
use crate::wire::message::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use alloc::string::ToString;
use alloc::vec::Vec;

pub(super) fn answer(request: &ListConfigResourcesRequest, call: &Call<'_, '_>) -> Progress {
    // Version 0 knows client metrics only, and has no field to ask for anything else.
    let served: &[i8] = match call.header.version {
        0 => &[CLIENT_METRICS],
        _ => &[TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP],
    };
    if request.resource_types.iter().any(|kind| !served.contains(kind)) {
        return call.respond(&ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..ListConfigResourcesResponse::default()
        });
    }
    let wanted =
        |kind| served.contains(&kind) && (request.resource_types.is_empty() || request.resource_types.contains(&kind));
    let image = call.context.image;
    let mut config_resources = Vec::new();
    for resource_type in [BROKER_LOGGER, BROKER].into_iter().filter(|&kind| wanted(kind)) {
        config_resources.extend(image.brokers().map(|(id, _)| ConfigResource {
            resource_name: Text::from(id.0.to_string()),
            resource_type,
        }));
    }
    if wanted(TOPIC) {
        config_resources.extend(image.topics().map(|topic| ConfigResource {
            resource_name: Text::from(topic.name.to_string()),
            resource_type: TOPIC,
        }));
    }
    call.respond(&ListConfigResourcesResponse {
        config_resources,
        ..ListConfigResourcesResponse::default()
    })
}
