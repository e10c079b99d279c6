//! Two APIs that ask the most of the notation, written in it to show that it carries them: `ConsumerGroupHeartbeat` (a
//! structure that may be null, arrays that are null by default) and `ShareFetch` (records in a version without null, a
//! structure in its place, fields that end).

use klamm_core::wire::reflect::Codec;

/// Their codecs.
pub const MESSAGES: &[Codec] = &[
    Codec::of::<heartbeat_request::ConsumerGroupHeartbeatRequest>(),
    Codec::of::<heartbeat_response::ConsumerGroupHeartbeatResponse>(),
    Codec::of::<share_fetch::ShareFetchRequest>(),
    Codec::of::<share_fetch::ShareFetchResponse>(),
];

/// API 68, request: a member of a group of the new protocol is alive.
pub mod heartbeat_request {
    use klamm_core::message;

    message! {
        ConsumerGroupHeartbeatRequest: request 68, versions 0-1, flexible 0+;

        /// What is null has not changed since the last heartbeat.
        ConsumerGroupHeartbeatRequest {
            group_id: string 0+;
            member_id: string 0+;
            /// 0 joins, −1 leaves, −2 leaves as a static member that comes back.
            member_epoch: int32 0+;
            instance_id: string 0+, nullable 0+, default None;
            rack_id: string 0+, nullable 0+, default None;
            rebalance_timeout_ms: int32 0+, default -1;
            subscribed_topic_names: [string] 0+, nullable 0+, default None;
            subscribed_topic_regex: string 1+, nullable 1+, default None;
            server_assignor: string 0+, nullable 0+, default None;
            topic_partitions: [TopicPartitions] 0+, nullable 0+, default None;
        }

        /// Partitions that the member owns.
        TopicPartitions {
            topic_id: uuid 0+;
            partitions: [int32] 0+;
        }
    }
}

/// API 68, response: what the member is to own.
pub mod heartbeat_response {
    use klamm_core::message;

    message! {
        ConsumerGroupHeartbeatResponse: response 68, versions 0-1, flexible 0+;

        /// A null assignment leaves the member's as it is.
        ConsumerGroupHeartbeatResponse {
            throttle_time_ms: int32 0+;
            error_code: int16 0+;
            error_message: string 0+, nullable 0+, default None;
            member_id: string 0+, nullable 0+, default None;
            member_epoch: int32 0+;
            heartbeat_interval_ms: int32 0+;
            assignment: Assignment 0+, nullable 0+, default None;
        }

        /// The partitions assigned.
        Assignment {
            topic_partitions: [TopicPartitions] 0+;
        }

        /// Partitions of one topic.
        TopicPartitions {
            topic_id: uuid 0+;
            partitions: [int32] 0+;
        }
    }
}

/// API 78: fetches records that a share group has not acknowledged, and acknowledges others.
pub mod share_fetch {
    use klamm_core::message;

    message! {
        ShareFetchRequest: request 78, versions 1-2, flexible 0+;

        /// What to fetch and what to acknowledge.
        ShareFetchRequest {
            group_id: string 0+, nullable 0+, default None;
            member_id: string 0+, nullable 0+;
            share_session_epoch: int32 0+;
            max_wait_ms: int32 0+;
            min_bytes: int32 0+;
            max_bytes: int32 0+, default 0x7fff_ffff;
            max_records: int32 1+;
            batch_size: int32 1+;
            share_acquire_mode: int8 2+, ignorable;
            is_renew_ack: bool 2+;
            topics: [FetchTopic] 0+;
            forgotten_topics_data: [ForgottenTopic] 0+;
        }

        /// A topic to fetch.
        FetchTopic {
            topic_id: uuid 0+;
            partitions: [FetchPartition] 0+;
        }

        /// A partition to fetch.
        FetchPartition {
            partition_index: int32 0+;
            partition_max_bytes: int32 0-0;
            acknowledgement_batches: [AcknowledgementBatch] 0+;
        }

        /// Records acknowledged, both offsets included.
        AcknowledgementBatch {
            first_offset: int64 0+;
            last_offset: int64 0+;
            acknowledge_types: [int8] 0+;
        }

        /// Partitions to take out of the session.
        ForgottenTopic {
            topic_id: uuid 0+;
            partitions: [int32] 0+;
        }
    }

    message! {
        ShareFetchResponse: response 78, versions 1-2, flexible 0+;

        /// Records, acquired for the member for a while.
        ShareFetchResponse {
            throttle_time_ms: int32 0+;
            error_code: int16 0+;
            error_message: string 0+, nullable 0+, default None;
            acquisition_lock_timeout_ms: int32 1+;
            responses: [ShareFetchableTopicResponse] 0+;
            node_endpoints: [NodeEndpoint] 0+;
        }

        /// A topic's partitions.
        ShareFetchableTopicResponse {
            topic_id: uuid 0+;
            partitions: [PartitionData] 0+;
        }

        /// A partition's records.
        PartitionData {
            partition_index: int32 0+;
            error_code: int16 0+;
            error_message: string 0+, nullable 0+, default None;
            acknowledge_error_code: int16 0+;
            acknowledge_error_message: string 0+, nullable 0+, default None;
            current_leader: LeaderIdAndEpoch 0+;
            records: record_parts 0+, nullable 0-0;
            acquired_records: [AcquiredRecords] 0+;
        }

        /// The leader that the client should have asked.
        LeaderIdAndEpoch {
            leader_id: int32 0+;
            leader_epoch: int32 0+;
        }

        /// Records acquired, both offsets included.
        AcquiredRecords {
            first_offset: int64 0+;
            last_offset: int64 0+;
            delivery_count: int16 0+;
        }

        /// A broker's address.
        NodeEndpoint {
            node_id: int32 0+;
            host: string 0+;
            port: int32 0+;
            rack: string 0+, nullable 0+, default None;
        }
    }
}
