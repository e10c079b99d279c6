//! API 19: creates topics.
//!
//! Versions: 4 the broker's own number of partitions and replicas (KIP-464), 5 flexible, and the configuration in the
//! response (KIP-525), 6 throttling (KIP-599), 7 topic ids in the response.

use crate::wire::notation::message;

message! {
    CreateTopicsRequest: request 19, versions 2-7, flexible 5+;

    /// Topics to create.
    CreateTopicsRequest {
        topics: [CreatableTopic] 0+;
        timeout_ms: int32 0+, default 60_000;
        /// Only check whether the topics could be created.
        validate_only: bool 1+;
    }

    CreatableTopic {
        name: string 0+;
        /// −1 for the broker's default, and where `assignments` say it.
        num_partitions: int32 0+;
        /// −1 for the broker's default, and where `assignments` say it.
        replication_factor: int16 0+;
        /// Where each partition's replicas go; empty leaves it to the broker.
        assignments: [CreatableReplicaAssignment] 0+;
        configs: [CreatableTopicConfig] 0+;
    }

    CreatableReplicaAssignment {
        partition_index: int32 0+;
        broker_ids: [int32] 0+;
    }

    CreatableTopicConfig {
        name: string 0+;
        value: string 0+, nullable 0+;
    }
}

message! {
    CreateTopicsResponse: response 19, versions 2-7, flexible 5+;

    /// What became of each topic.
    CreateTopicsResponse {
        throttle_time_ms: int32 2+, ignorable;
        topics: [CreatableTopicResult] 0+;
    }

    CreatableTopicResult {
        name: string 0+;
        topic_id: uuid 7+, ignorable;
        error_code: int16 0+;
        error_message: string 1+, nullable 0+, ignorable;
        /// Why `configs` are missing.
        topic_config_error_code: int16 5+, tag 0, ignorable;
        num_partitions: int32 5+, default -1, ignorable;
        replication_factor: int16 5+, default -1, ignorable;
        configs: [CreatableTopicConfigs] 5+, nullable 5+, ignorable;
    }

    CreatableTopicConfigs {
        name: string 5+;
        value: string 5+, nullable 5+;
        read_only: bool 5+;
        config_source: int8 5+, default -1, ignorable;
        is_sensitive: bool 5+;
    }
}
