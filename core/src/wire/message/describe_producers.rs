//! API 61: the producers that partitions remember (KIP-664).

use crate::wire::notation::message;

message! {
    DescribeProducersRequest: request 61, versions 0-0, flexible 0+;

    /// Partitions to look into.
    DescribeProducersRequest {
        topics: [TopicRequest] 0+;
    }

    /// Partitions of one topic.
    TopicRequest {
        name: string 0+;
        partition_indexes: [int32] 0+;
    }
}

message! {
    DescribeProducersResponse: response 61, versions 0-0, flexible 0+;

    /// Their producers.
    DescribeProducersResponse {
        throttle_time_ms: int32 0+;
        topics: [TopicResponse] 0+;
    }

    /// Partitions of one topic.
    TopicResponse {
        name: string 0+;
        partitions: [PartitionResponse] 0+;
    }

    /// A partition, or why it cannot be told.
    PartitionResponse {
        partition_index: int32 0+;
        error_code: int16 0+;
        error_message: string 0+, nullable 0+, default None;
        active_producers: [ProducerState] 0+;
    }

    /// What a partition remembers of a producer.
    ProducerState {
        producer_id: int64 0+;
        producer_epoch: int32 0+;
        /// −1 where it has written no batch.
        last_sequence: int32 0+, default -1;
        /// The greatest timestamp of its last batch; −1 where there is none.
        last_timestamp: int64 0+, default -1;
        /// Of the last marker that ended a transaction of it; −1 where there is none.
        coordinator_epoch: int32 0+;
        /// −1 outside a transaction.
        current_txn_start_offset: int64 0+, default -1;
    }
}
