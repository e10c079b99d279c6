//! API 16: the groups that this broker coordinates.
//!
//! Versions: 3 flexible, 4 states (KIP-518), 5 types (KIP-848).

use crate::wire::notation::message;

message! {
    ListGroupsRequest: request 16, versions 0-5, flexible 3+;

    /// Which groups to list; an empty filter lets all pass.
    ListGroupsRequest {
        states_filter: [string] 4+;
        types_filter: [string] 5+;
    }
}

message! {
    ListGroupsResponse: response 16, versions 0-5, flexible 3+;

    /// The groups that pass both filters.
    ListGroupsResponse {
        throttle_time_ms: int32 1+, ignorable;
        error_code: int16 0+;
        groups: [ListedGroup] 0+;
    }

    /// A group.
    ListedGroup {
        group_id: string 0+;
        protocol_type: string 0+;
        group_state: string 4+, ignorable;
        group_type: string 5+, ignorable;
    }
}
