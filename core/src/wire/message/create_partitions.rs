//! API 37: adds partitions to topics (KIP-195).
//!
//! Versions: 2 flexible, 3 throttling (KIP-599).

use crate::wire::notation::message;

message! {
    CreatePartitionsRequest: request 37, versions 0-3, flexible 2+;

    /// Topics to extend.
    CreatePartitionsRequest {
        topics: [CreatePartitionsTopic] 0+;
        timeout_ms: int32 0+;
        /// Only check whether they could be extended.
        validate_only: bool 0+;
    }

    /// A topic.
    CreatePartitionsTopic {
        name: string 0+;
        /// How many partitions it is to have in all.
        count: int32 0+;
        /// Where the new partitions' replicas go; null leaves it to the broker.
        assignments: [CreatePartitionsAssignment] 0+, nullable 0+;
    }

    /// The replicas of one new partition.
    CreatePartitionsAssignment {
        broker_ids: [int32] 0+;
    }
}

message! {
    CreatePartitionsResponse: response 37, versions 0-3, flexible 2+;

    /// What became of each topic.
    CreatePartitionsResponse {
        throttle_time_ms: int32 0+;
        results: [CreatePartitionsTopicResult] 0+;
    }

    /// Whether the topic is extended.
    CreatePartitionsTopicResult {
        name: string 0+;
        error_code: int16 0+;
        error_message: string 0+, nullable 0+, default None;
    }
}
