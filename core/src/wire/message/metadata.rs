//! API 3: the brokers of the cluster, and where the partitions of topics are.
//!
//! Versions: 1 rack, controller, internal topics; 2 cluster id; 3 throttle time; 4 the choice whether topics may be
//! created; 5 offline replicas; 7 leader epochs; 8 authorized operations; 9 flexible; 10 topic ids (KIP-516), 12 also to
//! ask by; 13 an error for the whole response (KIP-1102).

use crate::wire::notation::message;

message! {
    MetadataRequest: request 3, versions 0-13, flexible 9+;

    /// Asks for topics.
    MetadataRequest {
        /// Null asks for all topics; in version 0 an empty array does.
        topics: [MetadataRequestTopic] 0+, nullable 1+;
        /// Whether a topic that does not exist may be created. Versions without the field mean yes.
        allow_auto_topic_creation: bool 4+, default true;
        include_cluster_authorized_operations: bool 8-10;
        include_topic_authorized_operations: bool 8+;
    }

    /// A topic by its name, or from version 12 on by its id with a null name.
    MetadataRequestTopic {
        topic_id: uuid 10+, ignorable;
        name: string 0+, nullable 10+;
    }
}

message! {
    MetadataResponse: response 3, versions 0-13, flexible 9+;

    /// Brokers and topics.
    MetadataResponse {
        throttle_time_ms: int32 3+, ignorable;
        brokers: [MetadataResponseBroker] 0+;
        cluster_id: string 2+, nullable 2+, default None, ignorable;
        /// The broker to send requests for the controller to.
        controller_id: int32 1+, default -1, ignorable;
        topics: [MetadataResponseTopic] 0+;
        /// A bit per operation; the default says that nobody asked.
        cluster_authorized_operations: int32 8-10, default -2_147_483_648;
        error_code: int16 13+, ignorable;
    }

    /// A broker, at the address it advertises on the listener that was asked.
    MetadataResponseBroker {
        node_id: int32 0+;
        host: string 0+;
        port: int32 0+;
        rack: string 1+, nullable 1+, default None, ignorable;
    }

    /// A topic, or why it cannot be told.
    MetadataResponseTopic {
        error_code: int16 0+;
        /// Null where the topic was asked for by an id that is unknown.
        name: string 0+, nullable 12+;
        topic_id: uuid 10+, ignorable;
        is_internal: bool 1+, ignorable;
        partitions: [MetadataResponsePartition] 0+;
        /// A bit per operation; the default says that nobody asked.
        topic_authorized_operations: int32 8+, default -2_147_483_648;
    }

    /// A partition and its replicas, by broker id.
    MetadataResponsePartition {
        error_code: int16 0+;
        partition_index: int32 0+;
        /// −1 while there is no leader.
        leader_id: int32 0+;
        leader_epoch: int32 7+, default -1, ignorable;
        replica_nodes: [int32] 0+;
        isr_nodes: [int32] 0+;
        offline_replicas: [int32] 5+, ignorable;
    }
}
