//! API 47: deletes committed offsets of topics that the group does not subscribe to any more (KIP-496).

use crate::wire::notation::message;

message! {
    OffsetDeleteRequest: request 47, versions 0-0, flexible none;

    /// Offsets to delete.
    OffsetDeleteRequest {
        group_id: string 0+;
        topics: [OffsetDeleteRequestTopic] 0+;
    }

    /// Partitions of one topic.
    OffsetDeleteRequestTopic {
        name: string 0+;
        partitions: [OffsetDeleteRequestPartition] 0+;
    }

    /// A partition.
    OffsetDeleteRequestPartition {
        partition_index: int32 0+;
    }
}

message! {
    OffsetDeleteResponse: response 47, versions 0-0, flexible none;

    /// What became of each offset.
    OffsetDeleteResponse {
        error_code: int16 0+;
        throttle_time_ms: int32 0+, ignorable;
        topics: [OffsetDeleteResponseTopic] 0+;
    }

    /// Partitions of one topic.
    OffsetDeleteResponseTopic {
        name: string 0+;
        partitions: [OffsetDeleteResponsePartition] 0+;
    }

    /// Whether the offset is gone.
    OffsetDeleteResponsePartition {
        partition_index: int32 0+;
        error_code: int16 0+;
    }
}
