//! ApiVersions: what this broker speaks. The one request that is answered in whatever version it comes.

use super::Progress;
use crate::session::{Call, CloseReason};
use crate::types::ErrorCode;
use crate::wire::frame::encode_response;
use crate::wire::message::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::versions::{ApiKey, advertised, supported};
use crate::wire::{Message, Reader};
use alloc::string::ToString;
use alloc::vec::Vec;

pub(super) fn begin(mut reader: Reader, call: &Call<'_, '_>) -> Result<Progress, CloseReason> {
    let version = call.header.version;
    if !supported(ApiKey::ApiVersions).is_some_and(|(first, last)| (first..=last).contains(&version)) {
        return unsupported_version(call);
    }
    let request = ApiVersionsRequest::decode(&mut reader, version)
        .map_err(|error| CloseReason::MalformedRequest(error.to_string()))?;
    let mut response = ApiVersionsResponse {
        api_keys: advertised_keys(),
        ..ApiVersionsResponse::default()
    };
    let error = check(&request, call);
    if !error.is_none() {
        response = ApiVersionsResponse {
            error_code: error.code(),
            ..ApiVersionsResponse::default()
        };
    }
    Ok(call.respond(&response))
}

/// Versions that this broker does not know are answered in version 0, with the versions of this API that it does
/// (KIP-511).
fn unsupported_version(call: &Call<'_, '_>) -> Result<Progress, CloseReason> {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: advertised_keys()
            .into_iter()
            .filter(|key| key.api_key == ApiKey::ApiVersions.code())
            .collect(),
        ..ApiVersionsResponse::default()
    };
    let parts = encode_response(call.header.correlation_id, &response, 0)
        .map_err(|error| CloseReason::Unsendable(error.to_string()))?;
    let bytes = super::bytes_in_memory(&parts);
    Ok(Progress::Ready {
        parts,
        leases: Vec::new(),
        bytes,
    })
}

fn advertised_keys() -> Vec<ApiVersion> {
    let key = |(api, min_version, max_version): (ApiKey, i16, i16)| ApiVersion {
        api_key: api.code(),
        min_version,
        max_version,
    };
    advertised().map(key).collect()
}

/// The client's name of itself since version 3 (`ApiVersionsRequest.isValid`), and since version 5 whom it means to
/// reach (KIP-1242).
fn check(request: &ApiVersionsRequest, call: &Call<'_, '_>) -> ErrorCode {
    let names = [&request.client_software_name, &request.client_software_version];
    if call.header.version >= 3 && !names.iter().all(|name| is_software_name(name)) {
        return ErrorCode::InvalidRequest;
    }
    let Some(cluster_id) = &request.cluster_id else {
        return ErrorCode::None;
    };
    match request.node_id {
        -1 => ErrorCode::InvalidRequest,
        node if node != call.context.config.node_id.0 => ErrorCode::RebootstrapRequired,
        _ if cluster_id.as_str() != call.context.cluster_id => ErrorCode::RebootstrapRequired,
        _ => ErrorCode::None,
    }
}

/// Letters, digits, '-' and '.', not beginning or ending with one of the latter two.
fn is_software_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(word) && name.ends_with(word) && name.chars().all(|c| word(c) || matches!(c, '-' | '.'))
}
