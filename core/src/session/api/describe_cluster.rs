//! `DescribeCluster`: the brokers, for those who administer them (KIP-700).

use super::Progress;
use super::metadata::CLUSTER_OPERATIONS;
use crate::metadata::{Endpoint, Registration};
use crate::session::Call;
use crate::types::{BrokerId, ErrorCode};
use crate::wire::Text;
use crate::wire::message::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use alloc::format;
use alloc::string::ToString;

/// `org.apache.kafka.clients.admin.EndpointType`.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
/// `MetadataResponse.NO_CONTROLLER_ID`.
const NO_CONTROLLER: i32 = -1;

pub(super) fn answer(request: &DescribeClusterRequest, call: &Call<'_, '_>) -> Progress {
    if request.endpoint_type != BROKERS {
        return refuse(request.endpoint_type, call);
    }
    let broker = |(id, registration, endpoint): (BrokerId, &Registration, &Endpoint)| DescribeClusterBroker {
        broker_id: id.0,
        host: Text::from(endpoint.host.clone()),
        port: i32::from(endpoint.port),
        rack: registration.rack.clone().map(Text::from),
        is_fenced: false,
    };
    let image = call.context.image;
    let mut reachable = image.reachable(call.listener);
    // As in Kafka, a controller that the client does not reach is none.
    let controller = reachable.find(|(id, ..)| *id == call.context.config.node_id);
    let mut response = DescribeClusterResponse {
        cluster_id: Text::from(call.context.cluster_id.to_string()),
        controller_id: controller.map_or(NO_CONTROLLER, |(id, ..)| id.0),
        brokers: call.context.image.reachable(call.listener).map(broker).collect(),
        ..DescribeClusterResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    call.respond(&response)
}

/// Clients that want controllers are told that brokers listen here (`AuthHelper.computeDescribeClusterResponse`).
fn refuse(endpoint_type: i8, call: &Call<'_, '_>) -> Progress {
    let (code, message) = if endpoint_type == CONTROLLERS {
        let text = "The request was sent to an endpoint of brokers, and asks for one of controllers.".to_string();
        (ErrorCode::MismatchedEndpointType, text)
    } else {
        let text = format!("There is no endpoint of type {endpoint_type}; allowed are {BROKERS} and {CONTROLLERS}.");
        (ErrorCode::UnsupportedEndpointType, text)
    };
    call.respond(&DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(Text::from(message)),
        ..DescribeClusterResponse::default()
    })
}
