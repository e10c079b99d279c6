//! API 2: finds offsets by time, or by one of the special times below 0.
//!
//! Versions: 2 isolation level, 4 leader epochs, 6 flexible, 7 the largest timestamp (KIP-734), 8 and 9 tiered storage
//! (KIP-405, KIP-1005), 10 a timeout (KIP-1075), 11 the earliest offset still to be uploaded (KIP-1023).

use crate::wire::notation::message;

message! {
    ListOffsetsRequest: request 2, versions 1-11, flexible 6+;

    /// Times to look up.
    ListOffsetsRequest {
        /// The follower's broker id; −1 for a client.
        replica_id: int32 0+;
        /// 0 sees up to the high watermark, 1 up to the last stable offset.
        isolation_level: int8 2+;
        topics: [ListOffsetsTopic] 0+;
        timeout_ms: int32 10+, ignorable;
    }

    ListOffsetsTopic {
        name: string 0+;
        partitions: [ListOffsetsPartition] 0+;
    }

    ListOffsetsPartition {
        partition_index: int32 0+;
        current_leader_epoch: int32 4+, default -1, ignorable;
        /// Milliseconds, or −1 latest, −2 earliest, −3 largest timestamp, −4 earliest local, −5 latest tiered, −6
        /// earliest pending upload.
        timestamp: int64 0+;
    }
}

message! {
    ListOffsetsResponse: response 2, versions 1-11, flexible 6+;

    /// Offsets found.
    ListOffsetsResponse {
        throttle_time_ms: int32 2+, ignorable;
        topics: [ListOffsetsTopicResponse] 0+;
    }

    ListOffsetsTopicResponse {
        name: string 0+;
        partitions: [ListOffsetsPartitionResponse] 0+;
    }

    ListOffsetsPartitionResponse {
        partition_index: int32 0+;
        error_code: int16 0+;
        /// The found record's; −1 for the special times but −3.
        timestamp: int64 1+, default -1;
        /// −1 where no record is that late.
        offset: int64 1+, default -1;
        leader_epoch: int32 4+, default -1;
    }
}
