//! The records of `__consumer_offsets`; [`coordinator`](crate::wire::coordinator) says what stands before each. A record
//! without a value takes back what was said under its key.
//!
//! Versions of the values: 1 an offset's own expiry, 2 the time of a group's last change of state and no expiry any more,
//! 3 leader epochs and static members, 4 flexible. Kafka 4.3 writes offsets as version 4, or as 1 where they have an
//! expiry, and groups as version 3 (`GroupCoordinatorRecordHelpers`).

use crate::wire::notation::message;

message! {
    OffsetCommitKey: coordinator_key 1, versions 0-0, flexible none;

    /// Whose offset it is.
    OffsetCommitKey {
        group: string 0-0;
        topic: string 0-0;
        partition: int32 0-0;
    }
}

message! {
    OffsetCommitValue: coordinator_value 1, versions 0-4, flexible 4+;

    /// A committed offset.
    OffsetCommitValue {
        /// The next one to read.
        offset: int64 0+;
        /// Of the last record read; −1 where it is not known.
        leader_epoch: int32 3+, default -1, ignorable;
        metadata: string 0+;
        /// When it was committed, in milliseconds of the wall clock.
        commit_timestamp: int64 0+;
        /// When it expires, where the request said so.
        expire_timestamp: int64 1-1, default -1, ignorable;
        topic_id: uuid 4+, tag 0, ignorable;
    }
}

message! {
    GroupMetadataKey: coordinator_key 2, versions 0-0, flexible none;

    /// Which group it is.
    GroupMetadataKey {
        group: string 0-0;
    }
}

message! {
    GroupMetadataValue: coordinator_value 2, versions 0-4, flexible 4+;

    /// A generation of a group of the classic protocol.
    GroupMetadataValue {
        protocol_type: string 0+;
        generation: int32 0+;
        /// The name of the chosen one; null while there are no members.
        protocol: string 0+, nullable 0+;
        /// The leader's member id; null while there are no members.
        leader: string 0+, nullable 0+;
        /// When the group came into its state; offsets expire by it once it is empty.
        current_state_timestamp: int64 2+, default -1, ignorable;
        members: [MemberMetadata] 0+;
    }

    /// A member, with what it was assigned.
    MemberMetadata {
        member_id: string 0+;
        group_instance_id: string 3+, nullable 3+, default None, ignorable;
        client_id: string 0+;
        client_host: string 0+;
        /// In milliseconds.
        rebalance_timeout: int32 1+, default -1, ignorable;
        /// In milliseconds.
        session_timeout: int32 0+;
        subscription: bytes 0+;
        assignment: bytes 0+;
    }
}
