//! API 13: takes members out of a group.
//!
//! Versions: 3 several members at once, static ones among them (KIP-345), 4 flexible, 5 the reason (KIP-800).

use crate::wire::notation::message;

message! {
    LeaveGroupRequest: request 13, versions 0-5, flexible 4+;

    /// Who leaves: `member_id` up to version 2, then `members`.
    LeaveGroupRequest {
        group_id: string 0+;
        member_id: string 0-2;
        members: [MemberIdentity] 3+;
    }

    /// A member; a static one may be named by its instance alone.
    MemberIdentity {
        /// Empty where the instance says who it is.
        member_id: string 3+;
        group_instance_id: string 3+, nullable 3+, default None;
        reason: string 5+, nullable 5+, default None, ignorable;
    }
}

message! {
    LeaveGroupResponse: response 13, versions 0-5, flexible 4+;

    /// What became of each member.
    LeaveGroupResponse {
        throttle_time_ms: int32 1+, ignorable;
        error_code: int16 0+;
        members: [MemberResponse] 3+;
    }

    /// Whether the member has left.
    MemberResponse {
        member_id: string 3+;
        group_instance_id: string 3+, nullable 3+;
        error_code: int16 3+;
    }
}
