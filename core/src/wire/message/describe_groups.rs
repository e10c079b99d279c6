//! API 15: groups and their members.
//!
//! Versions: 3 authorized operations (KIP-430), 4 static members (KIP-345), 5 flexible, 6 an error for a group that
//! does not exist (KIP-1043).

use crate::wire::notation::message;

message! {
    DescribeGroupsRequest: request 15, versions 0-6, flexible 5+;

    /// Groups to describe.
    DescribeGroupsRequest {
        groups: [string] 0+;
        include_authorized_operations: bool 3+;
    }
}

message! {
    DescribeGroupsResponse: response 15, versions 0-6, flexible 5+;

    /// The groups.
    DescribeGroupsResponse {
        throttle_time_ms: int32 1+, ignorable;
        groups: [each DescribedGroup] 0+;
    }

    /// A group, or why it cannot be told.
    DescribedGroup {
        error_code: int16 0+;
        error_message: string 6+, nullable 6+, default None;
        group_id: string 0+;
        group_state: string 0+;
        protocol_type: string 0+;
        /// The name of the chosen protocol; empty unless the group is stable.
        protocol_data: string 0+;
        members: [DescribedGroupMember] 0+;
        /// A bit per operation; the default says that nobody asked.
        authorized_operations: int32 3+, default -2_147_483_648;
    }

    /// A member of a group.
    DescribedGroupMember {
        member_id: string 0+;
        group_instance_id: string 4+, nullable 4+, default None, ignorable;
        client_id: string 0+;
        /// The address that the member joined from.
        client_host: string 0+;
        /// Its subscription; empty unless the group is stable.
        member_metadata: bytes 0+;
        /// Empty unless the group is stable.
        member_assignment: bytes 0+;
    }
}
