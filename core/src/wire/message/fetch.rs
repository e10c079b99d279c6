//! API 1: reads batches of records from partitions; followers replicate with it too.
//!
//! Versions: 4 isolation level, 5 log start offset, 7 sessions (KIP-227), 9 leader epochs, 11 the client's rack
//! (KIP-392), 12 flexible and truncation by epoch, 13 topic ids in place of names (KIP-516), 15 the replica's epoch
//! (KIP-903), 16 the new leader's address (KIP-951), 17 directory ids (KIP-853), 18 the follower's high watermark
//! (KIP-1166).

use crate::wire::notation::message;

message! {
    FetchRequest: request 1, versions 4-18, flexible 12+;

    /// Where to read, and how much.
    FetchRequest {
        cluster_id: string 12+, nullable 12+, tag 0, default None, ignorable;
        /// The follower's broker id; −1 for a consumer.
        replica_id: int32 0-14, default -1;
        replica_state: ReplicaState 15+, tag 1;
        max_wait_ms: int32 0+;
        min_bytes: int32 0+;
        max_bytes: int32 3+, default 0x7fff_ffff, ignorable;
        /// 0 reads up to the high watermark, 1 up to the last stable offset.
        isolation_level: int8 4+, ignorable;
        /// 0 outside a session.
        session_id: int32 7+, ignorable;
        /// 0 opens a session, −1 wants none or closes it.
        session_epoch: int32 7+, default -1, ignorable;
        topics: [FetchTopic] 0+;
        /// What the session is to forget.
        forgotten_topics_data: [ForgottenTopic] 7+;
        rack_id: string 11+, ignorable;
    }

    /// Which follower fetches.
    ReplicaState {
        replica_id: int32 15+, default -1;
        replica_epoch: int64 15+, default -1;
    }

    /// A topic, by its name up to version 12 and then by its id.
    FetchTopic {
        topic: string 0-12, ignorable;
        topic_id: uuid 13+, ignorable;
        partitions: [FetchPartition] 0+;
    }

    /// A partition, and where to read on.
    FetchPartition {
        partition: int32 0+;
        current_leader_epoch: int32 9+, default -1, ignorable;
        fetch_offset: int64 0+;
        last_fetched_epoch: int32 12+, default -1;
        /// The follower's; −1 from a consumer.
        log_start_offset: int64 5+, default -1, ignorable;
        partition_max_bytes: int32 0+;
        replica_directory_id: uuid 17+, tag 0, ignorable;
        /// What the follower knows; the default says that it does not tell.
        high_watermark: int64 18+, tag 1, default 9_223_372_036_854_775_807, ignorable;
    }

    /// Partitions to take out of the session.
    ForgottenTopic {
        topic: string 7-12, ignorable;
        topic_id: uuid 13+, ignorable;
        partitions: [int32] 7+;
    }
}

message! {
    FetchResponse: response 1, versions 4-18, flexible 12+;

    /// Batches, and how far partitions reach.
    FetchResponse {
        throttle_time_ms: int32 1+, ignorable;
        error_code: int16 7+, ignorable;
        session_id: int32 7+;
        responses: [FetchableTopicResponse] 0+;
        /// The addresses of the leaders that `current_leader` names.
        node_endpoints: [NodeEndpoint] 16+, tag 0;
    }

    /// A topic, named as in the request.
    FetchableTopicResponse {
        topic: string 0-12, ignorable;
        topic_id: uuid 13+, ignorable;
        partitions: [PartitionData] 0+;
    }

    /// A partition's batches and offsets.
    PartitionData {
        partition_index: int32 0+;
        error_code: int16 0+;
        high_watermark: int64 0+;
        last_stable_offset: int64 4+, default -1, ignorable;
        log_start_offset: int64 5+, default -1, ignorable;
        /// Where the follower's log parts from the leader's.
        diverging_epoch: EpochEndOffset 12+, tag 0;
        current_leader: LeaderIdAndEpoch 12+, tag 1;
        snapshot_id: SnapshotId 12+, tag 2;
        /// Transactions whose records a reader of committed ones skips; null for other readers.
        aborted_transactions: [AbortedTransaction] 4+, nullable 4+, ignorable;
        /// The replica to read from instead; −1 to stay.
        preferred_read_replica: int32 11+, default -1;
        records: record_parts 0+, nullable 0+;
    }

    /// The largest common epoch, and where it ends.
    EpochEndOffset {
        epoch: int32 12+, default -1;
        end_offset: int64 12+, default -1;
    }

    /// The leader that the client should have asked.
    LeaderIdAndEpoch {
        leader_id: int32 12+, default -1;
        leader_epoch: int32 12+, default -1;
    }

    /// The snapshot to fetch where the log does not go back far enough.
    SnapshotId {
        end_offset: int64 0+, default -1;
        epoch: int32 0+, default -1;
    }

    /// A transaction that was aborted, by its first offset here.
    AbortedTransaction {
        producer_id: int64 4+;
        first_offset: int64 4+;
    }

    /// A broker's address.
    NodeEndpoint {
        node_id: int32 16+;
        host: string 16+;
        port: int32 16+;
        rack: string 16+, nullable 16+, default None;
    }
}
