//! API 18: which versions of which APIs a broker serves. The first request of a connection, so its own version may be
//! one that the broker does not know: it is then answered in version 0 (KIP-511).
//!
//! Versions: 1 throttle time, 3 client software and features, 4 features from version 0 (KAFKA-17011), 5 the cluster and
//! node that the client means to reach (KIP-1242).

use crate::wire::notation::message;

message! {
    ApiVersionsRequest: request 18, versions 0-5, flexible 3+;

    /// Asks which versions are served.
    ApiVersionsRequest {
        client_software_name: string 3+, ignorable;
        client_software_version: string 3+, ignorable;
        /// The cluster that the client believes to talk to, if it has an opinion.
        cluster_id: string 5+, nullable 5+, default None, ignorable;
        /// The broker that the client believes to talk to; −1 for no opinion.
        node_id: int32 5+, default -1, ignorable;
    }
}

message! {
    ApiVersionsResponse: response 18, versions 0-5, flexible 3+;

    /// The versions served. Its header has no tagged fields in any version.
    ApiVersionsResponse {
        error_code: int16 0+;
        api_keys: [ApiVersion] 0+;
        throttle_time_ms: int32 1+, ignorable;
        supported_features: [SupportedFeatureKey] 3+, tag 0, ignorable;
        /// The version of the finalized features; −1 while it is unknown.
        finalized_features_epoch: int64 3+, tag 1, default -1, ignorable;
        finalized_features: [FinalizedFeatureKey] 3+, tag 2, ignorable;
        zk_migration_ready: bool 3+, tag 3, ignorable;
    }

    /// The served versions of one API, both inclusive.
    ApiVersion {
        api_key: int16 0+;
        min_version: int16 0+;
        max_version: int16 0+;
    }

    /// A feature that this broker can take part in.
    SupportedFeatureKey {
        name: string 3+;
        min_version: int16 3+;
        max_version: int16 3+;
    }

    /// A feature at the level that the cluster has agreed on.
    FinalizedFeatureKey {
        name: string 3+;
        max_version_level: int16 3+;
        min_version_level: int16 3+;
    }
}
