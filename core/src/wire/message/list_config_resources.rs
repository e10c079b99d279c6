//! API 74: the resources that can have a configuration.
//!
//! Versions: 0 knows subscriptions of client metrics only (KIP-1000), 1 all kinds of resources (KIP-1142).

use crate::wire::notation::message;

message! {
    ListConfigResourcesRequest: request 74, versions 0-1, flexible 0+;

    /// Which kinds of resources to list.
    ListConfigResourcesRequest {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group (`ConfigResource.Type`); empty asks for
        /// all.
        resource_types: [int8] 1+;
    }
}

message! {
    ListConfigResourcesResponse: response 74, versions 0-1, flexible 0+;

    /// The resources.
    ListConfigResourcesResponse {
        throttle_time_ms: int32 0+;
        error_code: int16 0+;
        config_resources: [ConfigResource] 0+;
    }

    /// A resource.
    ConfigResource {
        resource_name: string 0+;
        resource_type: int8 1+, default 16, ignorable;
    }
}
