//! API 11: joins a group, and waits until its next generation begins.
//!
//! Versions: 1 the rebalance timeout, 4 a new member is told its id and joins again with it (KIP-394), 5 static
//! members (KIP-345), 6 flexible, 7 the protocol's type (KIP-559), 8 the reason (KIP-800), 9 a leader that need not
//! assign (KIP-814).

use crate::wire::notation::message;

message! {
    JoinGroupRequest: request 11, versions 0-9, flexible 6+;

    /// A member and the protocols it speaks.
    JoinGroupRequest {
        group_id: string 0+;
        session_timeout_ms: int32 0+;
        /// Where it is missing, the session's timeout.
        rebalance_timeout_ms: int32 1+, default -1, ignorable;
        /// Empty from one that has none yet.
        member_id: string 0+;
        group_instance_id: string 5+, nullable 5+, default None;
        protocol_type: string 0+;
        /// The member's favourite first.
        protocols: [JoinGroupRequestProtocol] 0+;
        reason: string 8+, nullable 8+, default None, ignorable;
    }

    /// A protocol, with the member's subscription in it.
    JoinGroupRequestProtocol {
        name: string 0+;
        metadata: bytes 0+;
    }
}

message! {
    JoinGroupResponse: response 11, versions 0-9, flexible 6+;

    /// The generation that the member is part of.
    JoinGroupResponse {
        throttle_time_ms: int32 2+, ignorable;
        error_code: int16 0+;
        generation_id: int32 0+, default -1;
        protocol_type: string 7+, nullable 7+, default None, ignorable;
        protocol_name: string 0+, nullable 7+;
        leader: string 0+;
        /// Whether the leader may leave the assignment as it is.
        skip_assignment: bool 9+;
        member_id: string 0+;
        /// For the leader only.
        members: [JoinGroupResponseMember] 0+;
    }

    /// A member, with its subscription.
    JoinGroupResponseMember {
        member_id: string 0+;
        group_instance_id: string 5+, nullable 5+, default None, ignorable;
        metadata: bytes 0+;
    }
}
