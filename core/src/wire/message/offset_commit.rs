//! API 8: commits a group's offsets.
//!
//! Versions: 5 no retention time of its own any more (KIP-211), 6 leader epochs (KIP-320), 7 static members (KIP-345),
//! 8 flexible, 9 members of the new protocol (KIP-848), 10 topic ids in place of names.

use crate::wire::notation::message;

message! {
    OffsetCommitRequest: request 8, versions 2-10, flexible 8+;

    /// Offsets to commit, and who commits them.
    OffsetCommitRequest {
        group_id: string 0+;
        /// −1 from a consumer that is no member.
        generation_id_or_member_epoch: int32 1+, default -1, ignorable;
        /// Empty from a consumer that is no member.
        member_id: string 1+, ignorable;
        group_instance_id: string 7+, nullable 7+, default None;
        /// −1 for the broker's own.
        retention_time_ms: int64 2-4, default -1, ignorable;
        topics: [OffsetCommitRequestTopic] 0+;
    }

    /// A topic, by its name up to version 9 and then by its id.
    OffsetCommitRequestTopic {
        name: string 0-9, ignorable;
        topic_id: uuid 10+, ignorable;
        partitions: [OffsetCommitRequestPartition] 0+;
    }

    /// A partition, and the next offset to read in it.
    OffsetCommitRequestPartition {
        partition_index: int32 0+;
        committed_offset: int64 0+;
        /// Of the last record read; −1 where it is not known.
        committed_leader_epoch: int32 6+, default -1, ignorable;
        committed_metadata: string 0+, nullable 0+;
    }
}

message! {
    OffsetCommitResponse: response 8, versions 2-10, flexible 8+;

    /// What became of each offset.
    OffsetCommitResponse {
        throttle_time_ms: int32 3+, ignorable;
        topics: [OffsetCommitResponseTopic] 0+;
    }

    /// A topic, named as in the request.
    OffsetCommitResponseTopic {
        name: string 0-9, ignorable;
        topic_id: uuid 10+, ignorable;
        partitions: [OffsetCommitResponsePartition] 0+;
    }

    /// Whether the offset is committed.
    OffsetCommitResponsePartition {
        partition_index: int32 0+;
        error_code: int16 0+;
    }
}
