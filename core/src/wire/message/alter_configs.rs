//! API 33: replaces configurations as wholes: a key that is not named goes back to its default. Clients that can use
//! API 44.
//!
//! Versions: 2 flexible.

use crate::wire::notation::message;

message! {
    AlterConfigsRequest: request 33, versions 0-2, flexible 2+;

    /// Configurations to replace.
    AlterConfigsRequest {
        resources: [AlterConfigsResource] 0+;
        /// Only check whether they could be replaced.
        validate_only: bool 0+;
    }

    /// A resource, and all that is set on it from now on.
    AlterConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group (`ConfigResource.Type`).
        resource_type: int8 0+;
        resource_name: string 0+;
        configs: [AlterableConfig] 0+;
    }

    /// A key and its value.
    AlterableConfig {
        name: string 0+;
        value: string 0+, nullable 0+;
    }
}

message! {
    AlterConfigsResponse: response 33, versions 0-2, flexible 2+;

    /// What became of each resource.
    AlterConfigsResponse {
        throttle_time_ms: int32 0+;
        responses: [AlterConfigsResourceResponse] 0+;
    }

    /// Whether the configuration is replaced.
    AlterConfigsResourceResponse {
        error_code: int16 0+;
        error_message: string 0+, nullable 0+;
        resource_type: int8 0+;
        resource_name: string 0+;
    }
}
