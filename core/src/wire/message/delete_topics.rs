//! API 20: deletes topics.
//!
//! Versions: 4 flexible, 5 error messages and throttling (KIP-599), 6 topics by id (KIP-516).

use crate::wire::notation::message;

message! {
    DeleteTopicsRequest: request 20, versions 1-6, flexible 4+;

    /// Topics to delete: by name in `topic_names` up to version 5, then in `topics`.
    DeleteTopicsRequest {
        topics: [DeleteTopicState] 6+;
        topic_names: [string] 0-5, ignorable;
        timeout_ms: int32 0+;
    }

    /// A topic by its name, or with a null name by its id.
    DeleteTopicState {
        name: string 6+, nullable 6+, default None;
        topic_id: uuid 6+;
    }
}

message! {
    DeleteTopicsResponse: response 20, versions 1-6, flexible 4+;

    /// What became of each topic.
    DeleteTopicsResponse {
        throttle_time_ms: int32 1+, ignorable;
        responses: [each DeletableTopicResult] 0+;
    }

    DeletableTopicResult {
        name: string 0+, nullable 6+;
        topic_id: uuid 6+, ignorable;
        error_code: int16 0+;
        error_message: string 5+, nullable 5+, default None, ignorable;
    }
}
