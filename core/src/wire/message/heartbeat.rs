//! API 12: a member of a group is alive, and hears whether it has to join again.
//!
//! Versions: 3 static members (KIP-345), 4 flexible.

use crate::wire::notation::message;

message! {
    HeartbeatRequest: request 12, versions 0-4, flexible 4+;

    /// A member and the generation it knows.
    HeartbeatRequest {
        group_id: string 0+;
        generation_id: int32 0+;
        member_id: string 0+;
        group_instance_id: string 3+, nullable 3+, default None;
    }
}

message! {
    HeartbeatResponse: response 12, versions 0-4, flexible 4+;

    /// Whether the member is to go on as it does.
    HeartbeatResponse {
        throttle_time_ms: int32 1+, ignorable;
        error_code: int16 0+;
    }
}
