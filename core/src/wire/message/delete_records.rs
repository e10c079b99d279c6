//! API 21: moves the starts of partitions' logs forward (KIP-107).
//!
//! Versions: 2 flexible.

use crate::wire::notation::message;

message! {
    DeleteRecordsRequest: request 21, versions 0-2, flexible 2+;

    /// Where logs are to begin.
    DeleteRecordsRequest {
        topics: [DeleteRecordsTopic] 0+;
        timeout_ms: int32 0+;
    }

    /// Partitions of one topic.
    DeleteRecordsTopic {
        name: string 0+;
        partitions: [DeleteRecordsPartition] 0+;
    }

    /// A partition, and the first offset to keep.
    DeleteRecordsPartition {
        partition_index: int32 0+;
        /// −1 for the high watermark.
        offset: int64 0+;
    }
}

message! {
    DeleteRecordsResponse: response 21, versions 0-2, flexible 2+;

    /// Where logs begin now.
    DeleteRecordsResponse {
        throttle_time_ms: int32 0+;
        topics: [DeleteRecordsTopicResult] 0+;
    }

    /// Partitions of one topic.
    DeleteRecordsTopicResult {
        name: string 0+;
        partitions: [DeleteRecordsPartitionResult] 0+;
    }

    /// A partition.
    DeleteRecordsPartitionResult {
        partition_index: int32 0+;
        /// Where its log begins on all replicas; −1 where that failed.
        low_watermark: int64 0+;
        error_code: int16 0+;
    }
}
