//! API 60: the brokers or controllers of the cluster (KIP-700).
//!
//! Versions: 1 the choice between brokers and controllers (KIP-919), 2 fenced brokers (KIP-1073).

use crate::wire::notation::message;

message! {
    DescribeClusterRequest: request 60, versions 0-2, flexible 0+;

    /// Asks for the cluster.
    DescribeClusterRequest {
        include_cluster_authorized_operations: bool 0+;
        /// 1 brokers, 2 controllers.
        endpoint_type: int8 1+, default 1;
        include_fenced_brokers: bool 2+;
    }
}

message! {
    DescribeClusterResponse: response 60, versions 0-2, flexible 0+;

    /// The cluster, as the endpoint that was asked sees it.
    DescribeClusterResponse {
        throttle_time_ms: int32 0+;
        error_code: int16 0+;
        error_message: string 0+, nullable 0+, default None;
        endpoint_type: int8 1+, default 1;
        cluster_id: string 0+;
        /// The broker to send requests for the controller to.
        controller_id: int32 0+, default -1;
        brokers: [DescribeClusterBroker] 0+;
        /// A bit per operation; the default says that nobody asked.
        cluster_authorized_operations: int32 0+, default -2_147_483_648;
    }

    /// A broker or controller, at the address it advertises on the listener that was asked.
    DescribeClusterBroker {
        broker_id: int32 0+;
        host: string 0+;
        port: int32 0+;
        rack: string 0+, nullable 0+, default None;
        /// Whether it takes no part at present.
        is_fenced: bool 2+;
    }
}
