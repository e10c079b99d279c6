//! API 75: where the partitions of topics are, page by page (KIP-966).

use crate::wire::notation::message;

message! {
    DescribeTopicPartitionsRequest: request 75, versions 0-0, flexible 0+;

    /// Topics to tell, and where to go on.
    DescribeTopicPartitionsRequest {
        /// Empty asks for all topics.
        topics: [TopicRequest] 0+;
        response_partition_limit: int32 0+, default 2000;
        /// The first partition to tell; null begins with the first of all.
        cursor: Cursor 0+, nullable 0+, default None;
    }

    /// A topic.
    TopicRequest {
        name: string 0+;
    }

    /// A partition, in the order of topics by their names.
    Cursor {
        topic_name: string 0+;
        partition_index: int32 0+;
    }
}

message! {
    DescribeTopicPartitionsResponse: response 75, versions 0-0, flexible 0+;

    /// A page of partitions.
    DescribeTopicPartitionsResponse {
        throttle_time_ms: int32 0+, ignorable;
        topics: [DescribeTopicPartitionsResponseTopic] 0+;
        /// Where the next page begins; null ends the last one.
        next_cursor: Cursor 0+, nullable 0+, default None;
    }

    /// A topic, or why it cannot be told.
    DescribeTopicPartitionsResponseTopic {
        error_code: int16 0+;
        name: string 0+, nullable 0+;
        topic_id: uuid 0+, ignorable;
        is_internal: bool 0+, ignorable;
        partitions: [DescribeTopicPartitionsResponsePartition] 0+;
        /// A bit per operation; the default says that nobody asked.
        topic_authorized_operations: int32 0+, default -2_147_483_648;
    }

    /// A partition and its replicas, by broker id.
    DescribeTopicPartitionsResponsePartition {
        error_code: int16 0+;
        partition_index: int32 0+;
        /// −1 while there is no leader.
        leader_id: int32 0+;
        leader_epoch: int32 0+, default -1, ignorable;
        replica_nodes: [int32] 0+;
        isr_nodes: [int32] 0+;
        /// Replicas that may lead without losing what was acknowledged, though not in sync.
        eligible_leader_replicas: [int32] 0+, nullable 0+, default None;
        /// Those of the time before all were lost.
        last_known_elr: [int32] 0+, nullable 0+, default None;
        offline_replicas: [int32] 0+, ignorable;
    }
}
