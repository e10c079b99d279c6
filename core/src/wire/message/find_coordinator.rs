//! API 10: the broker that coordinates a group or a transactional id.
//!
//! Versions: 1 the kind of key, 3 flexible, 4 several keys at once (KIP-699), 5 transactions (KIP-890), 6 share groups
//! (KIP-932).

use crate::wire::notation::message;

message! {
    FindCoordinatorRequest: request 10, versions 0-6, flexible 3+;

    /// Keys to look up: `key` up to version 3, then `coordinator_keys`.
    FindCoordinatorRequest {
        key: string 0-3;
        /// 0 group, 1 transactional id, 2 share partition.
        key_type: int8 1+;
        coordinator_keys: [string] 4+;
    }
}

message! {
    FindCoordinatorResponse: response 10, versions 0-6, flexible 3+;

    /// Where the coordinators are: in the fields of the response itself up to version 3, then in `coordinators`.
    FindCoordinatorResponse {
        throttle_time_ms: int32 1+, ignorable;
        error_code: int16 0-3;
        error_message: string 1-3, nullable 1-3, ignorable;
        node_id: int32 0-3;
        host: string 0-3;
        port: int32 0-3;
        coordinators: [each Coordinator] 4+;
    }

    Coordinator {
        key: string 4+;
        node_id: int32 4+;
        host: string 4+;
        port: int32 4+;
        error_code: int16 4+;
        error_message: string 4+, nullable 4+, ignorable;
    }
}
