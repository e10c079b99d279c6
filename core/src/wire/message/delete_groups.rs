//! API 42: deletes groups without members, with their offsets.
//!
//! Versions: 2 flexible, 3 an error message.

use crate::wire::notation::message;

message! {
    DeleteGroupsRequest: request 42, versions 0-3, flexible 2+;

    /// Groups to delete.
    DeleteGroupsRequest {
        groups_names: [string] 0+;
    }
}

message! {
    DeleteGroupsResponse: response 42, versions 0-3, flexible 2+;

    /// What became of each group.
    DeleteGroupsResponse {
        throttle_time_ms: int32 0+;
        results: [each DeletableGroupResult] 0+;
    }

    /// Whether the group is gone.
    DeletableGroupResult {
        group_id: string 0+;
        error_code: int16 0+;
        error_message: string 3+, nullable 3+, default None, ignorable;
    }
}
