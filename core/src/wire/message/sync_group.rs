//! API 14: the leader of a group hands in the assignment, and every member waits for its own.
//!
//! Versions: 3 static members (KIP-345), 4 flexible, 5 the protocol as the member knows it (KIP-559).

use crate::wire::notation::message;

message! {
    SyncGroupRequest: request 14, versions 0-5, flexible 4+;

    /// A member and the generation it has joined.
    SyncGroupRequest {
        group_id: string 0+;
        generation_id: int32 0+;
        member_id: string 0+;
        group_instance_id: string 3+, nullable 3+, default None;
        protocol_type: string 5+, nullable 5+, default None, ignorable;
        protocol_name: string 5+, nullable 5+, default None, ignorable;
        /// From the leader only.
        assignments: [SyncGroupRequestAssignment] 0+;
    }

    /// What a member is assigned.
    SyncGroupRequestAssignment {
        member_id: string 0+;
        assignment: bytes 0+;
    }
}

message! {
    SyncGroupResponse: response 14, versions 0-5, flexible 4+;

    /// The member's own assignment.
    SyncGroupResponse {
        throttle_time_ms: int32 1+, ignorable;
        error_code: int16 0+;
        protocol_type: string 5+, nullable 5+, default None, ignorable;
        protocol_name: string 5+, nullable 5+, default None, ignorable;
        assignment: bytes 0+;
    }
}
