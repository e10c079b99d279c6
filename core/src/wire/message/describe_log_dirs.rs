//! API 35: the log directories of a broker and what they hold (KIP-113).
//!
//! Versions: 2 flexible, 3 an error for the whole response, 4 the sizes of volumes (KIP-827), 5 cordoned directories
//! (KIP-1066).

use crate::wire::notation::message;

message! {
    DescribeLogDirsRequest: request 35, versions 1-5, flexible 2+;

    /// Which partitions to tell.
    DescribeLogDirsRequest {
        /// Null asks for all.
        topics: [DescribableLogDirTopic] 0+, nullable 0+;
    }

    /// Partitions of one topic.
    DescribableLogDirTopic {
        topic: string 0+;
        partitions: [int32] 0+;
    }
}

message! {
    DescribeLogDirsResponse: response 35, versions 1-5, flexible 2+;

    /// The directories.
    DescribeLogDirsResponse {
        throttle_time_ms: int32 0+;
        error_code: int16 3+, ignorable;
        results: [DescribeLogDirsResult] 0+;
    }

    /// A directory, by its absolute path.
    DescribeLogDirsResult {
        error_code: int16 0+;
        log_dir: string 0+;
        topics: [DescribeLogDirsTopic] 0+;
        /// What its volume holds; −1 where that is not known.
        total_bytes: int64 4+, default -1, ignorable;
        /// What is left of it; −1 where that is not known.
        usable_bytes: int64 4+, default -1, ignorable;
        /// Whether no new partition is to go there.
        is_cordoned: bool 5+, ignorable;
    }

    /// Partitions of one topic.
    DescribeLogDirsTopic {
        name: string 0+;
        partitions: [DescribeLogDirsPartition] 0+;
    }

    /// A partition.
    DescribeLogDirsPartition {
        partition_index: int32 0+;
        /// The bytes of its segments.
        partition_size: int64 0+;
        /// How far it is behind the high watermark, or a future replica behind the current one.
        offset_lag: int64 0+;
        /// Whether it is to take the place of another replica of this broker.
        is_future_key: bool 0+;
    }
}
