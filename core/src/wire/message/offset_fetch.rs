//! API 9: a group's committed offsets.
//!
//! Versions: 2 all topics at once, and an error for the whole response; 5 leader epochs (KIP-320); 6 flexible; 7 the
//! choice to wait for transactions (KIP-447); 8 several groups at once (KIP-709); 9 members of the new protocol
//! (KIP-848); 10 topic ids in place of names.

use crate::wire::notation::message;

message! {
    OffsetFetchRequest: request 9, versions 1-10, flexible 6+;

    /// Groups to look up: one in the fields of the request itself up to version 7, then `groups`.
    OffsetFetchRequest {
        group_id: string 0-7;
        /// Null asks for all topics.
        topics: [OffsetFetchRequestTopic] 0-7, nullable 2-7;
        groups: [OffsetFetchRequestGroup] 8+;
        /// Whether an offset that a transaction may still change is an error.
        require_stable: bool 7+;
    }

    /// Partitions of one topic.
    OffsetFetchRequestTopic {
        name: string 0-7;
        partition_indexes: [int32] 0-7;
    }

    /// A group, and the member that asks.
    OffsetFetchRequestGroup {
        group_id: string 8+;
        member_id: string 9+, nullable 9+, default None, ignorable;
        /// −1 where no member of the new protocol asks.
        member_epoch: int32 9+, default -1, ignorable;
        /// Null asks for all topics.
        topics: [OffsetFetchRequestTopics] 8+, nullable 8+;
    }

    /// Partitions of one topic, by its name up to version 9 and then by its id.
    OffsetFetchRequestTopics {
        name: string 8-9, ignorable;
        topic_id: uuid 10+, ignorable;
        partition_indexes: [int32] 8+;
    }
}

message! {
    OffsetFetchResponse: response 9, versions 1-10, flexible 6+;

    /// Offsets: of one group in the fields of the response itself up to version 7, then in `groups`.
    OffsetFetchResponse {
        throttle_time_ms: int32 3+, ignorable;
        topics: [each OffsetFetchResponseTopic] 0-7;
        error_code: int16 2-7, ignorable;
        groups: [each OffsetFetchResponseGroup] 8+;
    }

    /// Offsets in one topic.
    OffsetFetchResponseTopic {
        name: string 0-7;
        partitions: [each OffsetFetchResponsePartition] 0-7;
    }

    /// Offsets of one group.
    OffsetFetchResponseGroup {
        group_id: string 8+;
        topics: [each OffsetFetchResponseTopics] 8+;
        error_code: int16 8+;
    }

    /// What is committed for a partition.
    OffsetFetchResponsePartition {
        partition_index: int32 0-7;
        /// −1 where none is.
        committed_offset: int64 0-7;
        committed_leader_epoch: int32 5-7, default -1, ignorable;
        metadata: string 0-7, nullable 0-7;
        error_code: int16 0-7;
    }

    /// Offsets in one topic, named as in the request.
    OffsetFetchResponseTopics {
        name: string 8-9, ignorable;
        topic_id: uuid 10+, ignorable;
        partitions: [each OffsetFetchResponsePartitions] 8+;
    }

    /// What is committed for a partition.
    OffsetFetchResponsePartitions {
        partition_index: int32 8+;
        /// −1 where none is.
        committed_offset: int64 8+;
        committed_leader_epoch: int32 8+, default -1, ignorable;
        metadata: string 8+, nullable 8+;
        error_code: int16 8+;
    }
}
