//! API 0: appends batches of records to partitions.
//!
//! Versions: 3 transactional id and batches of format 2, 5 log start offset, 7 zstd (KIP-110), 8 errors of single
//! records (KIP-467), 9 flexible, 10 the new leader with an error that says there is one (KIP-951), 11 and 12
//! transactions (KIP-890), 13 topic ids in place of names (KIP-516).

use crate::wire::notation::message;

message! {
    ProduceRequest: request 0, versions 3-13, flexible 9+;

    /// Batches to append.
    ProduceRequest {
        /// Null unless the producer is transactional.
        transactional_id: string 3+, nullable 3+, default None;
        /// 0: no answer at all; 1: the leader's; −1: that of all in-sync replicas.
        acks: int16 0+;
        timeout_ms: int32 0+;
        topic_data: [TopicProduceData] 0+;
    }

    /// A topic, by its name up to version 12 and then by its id.
    TopicProduceData {
        name: string 0-12, ignorable;
        topic_id: uuid 13+, ignorable;
        partition_data: [PartitionProduceData] 0+;
    }

    /// A partition's batches, as they are to be appended.
    PartitionProduceData {
        index: int32 0+;
        records: records 0+, nullable 0+;
    }
}

message! {
    ProduceResponse: response 0, versions 3-13, flexible 9+;

    /// Where the batches came to lie. Not sent for acks 0.
    ProduceResponse {
        responses: [each TopicProduceResponse] 0+;
        throttle_time_ms: int32 1+, ignorable;
        /// The addresses of the leaders that `current_leader` names.
        node_endpoints: [NodeEndpoint] 10+, tag 0;
    }

    /// A topic, named as in the request.
    TopicProduceResponse {
        name: string 0-12, ignorable;
        topic_id: uuid 13+, ignorable;
        partition_responses: [each PartitionProduceResponse] 0+;
    }

    /// What became of one partition's batches.
    PartitionProduceResponse {
        index: int32 0+;
        error_code: int16 0+;
        /// The offset of the first record; −1 with an error.
        base_offset: int64 0+;
        /// When the broker appended; −1 where the records keep the timestamps they came with.
        log_append_time_ms: int64 2+, default -1, ignorable;
        log_start_offset: int64 5+, default -1, ignorable;
        /// The records that made the whole batch fail.
        record_errors: [BatchIndexAndErrorMessage] 8+, ignorable;
        error_message: string 8+, nullable 8+, default None, ignorable;
        current_leader: LeaderIdAndEpoch 10+, tag 0;
    }

    /// A record that is at fault, by its place in the batch.
    BatchIndexAndErrorMessage {
        batch_index: int32 8+;
        batch_index_error_message: string 8+, nullable 8+, default None;
    }

    /// The leader that the client should have asked.
    LeaderIdAndEpoch {
        leader_id: int32 10+, default -1;
        leader_epoch: int32 10+, default -1;
    }

    /// A broker's address.
    NodeEndpoint {
        node_id: int32 10+;
        host: string 10+;
        port: int32 10+;
        rack: string 10+, nullable 10+, default None;
    }
}
