//! What stands before each request and response; see [`frame`](crate::wire::frame).

use crate::wire::notation::message;

message! {
    RequestHeader: header, versions 1-2, flexible 2+;

    /// Before each request. Version 2 adds tagged fields; an API has it from its own first flexible version on.
    RequestHeader {
        request_api_key: int16 0+;
        request_api_version: int16 0+;
        /// Comes back in the response.
        correlation_id: int32 0+;
        /// What the client calls itself. Its length stays two bytes, so that a broker can read the header of an
        /// `ApiVersions` request of a version it does not know.
        client_id: classic_string 1+, nullable 1+;
    }
}

message! {
    ResponseHeader: header, versions 0-1, flexible 1+;

    /// Before each response. Version 1 adds tagged fields; an API has it from its own first flexible version on, except
    /// `ApiVersions`.
    ResponseHeader {
        correlation_id: int32 0+;
    }
}
