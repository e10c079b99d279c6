//! `DescribeCluster`: the brokers, for those who administer them (KIP-700).

use super::Progress;
use super::metadata::CLUSTER_OPERATIONS;
use crate::metadata::Registration;
use crate::session::Call;
use crate::types::{BrokerId, ErrorCode};
use crate::wire::Text;
use crate::wire::message::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use alloc::format;
use alloc::string::ToString;

/// `org.apache.kafka.clients.admin.EndpointType`.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) fn answer(request: &DescribeClusterRequest, call: &Call<'_, '_>) -> Progress {
    if request.endpoint_type != BROKERS {
        return refuse(request.endpoint_type, call);
    }
    let config = call.context.config;
    let broker = |(id, registration): (BrokerId, &Registration)| DescribeClusterBroker {
        broker_id: id.0,
        host: Text::from(registration.host.clone()),
        port: i32::from(registration.port),
        rack: registration.rack.clone().map(Text::from),
        is_fenced: false,
    };
    let mut response = DescribeClusterResponse {
        cluster_id: Text::from(call.context.cluster_id.to_string()),
        controller_id: config.node_id.0,
        brokers: call.context.image.brokers().map(broker).collect(),
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
