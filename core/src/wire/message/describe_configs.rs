//! API 32: configurations of topics, brokers and other resources, with where each value comes from.
//!
//! Versions: 1 synonyms and sources, 3 types and documentation, 4 flexible.

use crate::wire::notation::message;

message! {
    DescribeConfigsRequest: request 32, versions 1-4, flexible 4+;

    /// Resources to describe.
    DescribeConfigsRequest {
        resources: [DescribeConfigsResource] 0+;
        include_synonyms: bool 1+;
        include_documentation: bool 3+;
    }

    DescribeConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger (`ConfigResource.Type`).
        resource_type: int8 0+;
        resource_name: string 0+;
        /// Null for all keys.
        configuration_keys: [string] 0+, nullable 0+;
    }
}

message! {
    DescribeConfigsResponse: response 32, versions 1-4, flexible 4+;

    /// Configurations, one result a resource.
    DescribeConfigsResponse {
        throttle_time_ms: int32 0+;
        results: [each DescribeConfigsResult] 0+;
    }

    DescribeConfigsResult {
        error_code: int16 0+;
        error_message: string 0+, nullable 0+;
        resource_type: int8 0+;
        resource_name: string 0+;
        configs: [DescribeConfigsResourceResult] 0+;
    }

    DescribeConfigsResourceResult {
        name: string 0+;
        /// Null where it is sensitive.
        value: string 0+, nullable 0+;
        read_only: bool 0+;
        /// 1 topic, 2 dynamic broker, 3 dynamic default broker, 4 static broker, 5 default
        /// (`DescribeConfigsResponse.ConfigSource`).
        config_source: int8 1+, default -1, ignorable;
        is_sensitive: bool 0+;
        synonyms: [DescribeConfigsSynonym] 1+, ignorable;
        /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password
        /// (`DescribeConfigsResponse.ConfigType`).
        config_type: int8 3+, ignorable;
        documentation: string 3+, nullable 0+, ignorable;
    }

    /// A key that would give the value if those before it were not set.
    DescribeConfigsSynonym {
        name: string 1+;
        value: string 1+, nullable 0+;
        source: int8 1+;
    }
}
