//! API 23: where leader epochs end, so that consumers and followers find out what they have that the leader has not
//! (KIP-101, KIP-320).
//!
//! Versions: 2 the epoch that the client takes for the current one, 3 who asks (KIP-392), 4 flexible.

use crate::wire::notation::message;

message! {
    OffsetForLeaderEpochRequest: request 23, versions 2-4, flexible 4+;

    /// Epochs to look up.
    OffsetForLeaderEpochRequest {
        /// The follower's broker id; −1 for a consumer, −2 for one that may look past the high watermark.
        replica_id: int32 3+, default -2, ignorable;
        topics: [OffsetForLeaderTopic] 0+;
    }

    /// Partitions of one topic.
    OffsetForLeaderTopic {
        topic: string 0+;
        partitions: [OffsetForLeaderPartition] 0+;
    }

    /// A partition, and the epoch to look up in it.
    OffsetForLeaderPartition {
        partition: int32 0+;
        /// The one the client knows; −1 lets any pass.
        current_leader_epoch: int32 2+, default -1, ignorable;
        leader_epoch: int32 0+;
    }
}

message! {
    OffsetForLeaderEpochResponse: response 23, versions 2-4, flexible 4+;

    /// Where the epochs end.
    OffsetForLeaderEpochResponse {
        throttle_time_ms: int32 2+, ignorable;
        topics: [OffsetForLeaderTopicResult] 0+;
    }

    /// Partitions of one topic.
    OffsetForLeaderTopicResult {
        topic: string 0+;
        partitions: [EpochEndOffset] 0+;
    }

    /// A partition, and the end of the largest epoch in it that is not above the one asked for.
    EpochEndOffset {
        error_code: int16 0+;
        partition: int32 0+;
        /// −1 where there is no such epoch.
        leader_epoch: int32 1+, default -1, ignorable;
        /// −1 where there is no such epoch.
        end_offset: int64 0+, default -1;
    }
}
