//! API 44: changes single keys of configurations (KIP-339).
//!
//! Versions: 1 flexible.

use crate::wire::notation::message;

message! {
    IncrementalAlterConfigsRequest: request 44, versions 0-1, flexible 1+;

    /// Configurations to change.
    IncrementalAlterConfigsRequest {
        resources: [AlterConfigsResource] 0+;
        /// Only check whether they could be changed.
        validate_only: bool 0+;
    }

    /// A resource, and the keys to change.
    AlterConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group (`ConfigResource.Type`).
        resource_type: int8 0+;
        resource_name: string 0+;
        configs: [AlterableConfig] 0+;
    }

    /// A key, and what to do with it.
    AlterableConfig {
        name: string 0+;
        /// 0 sets it, 1 deletes it, 2 appends to its list, 3 takes out of its list (`AlterConfigOp.OpType`).
        config_operation: int8 0+;
        /// Null where it is deleted.
        value: string 0+, nullable 0+;
    }
}

message! {
    IncrementalAlterConfigsResponse: response 44, versions 0-1, flexible 1+;

    /// What became of each resource.
    IncrementalAlterConfigsResponse {
        throttle_time_ms: int32 0+;
        responses: [AlterConfigsResourceResponse] 0+;
    }

    /// Whether the configuration is changed.
    AlterConfigsResourceResponse {
        error_code: int16 0+;
        error_message: string 0+, nullable 0+;
        resource_type: int8 0+;
        resource_name: string 0+;
    }
}
