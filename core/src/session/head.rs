//! What a request's frame says before it begins.

use super::{CloseReason, Header};
use crate::wire::frame::decode_request_header;
use crate::wire::versions::ApiKey;
use crate::wire::{Reader, Text};
use alloc::string::ToString;
use bytes::Bytes;

/// Bytes of a request or a response that count as one unit of work.
pub(super) const WORK_BYTES: usize = 256;

/// Bytes of a produce request that do: they are hardly looked at.
const BATCH_WORK_BYTES: usize = 16 << 10;

/// What is asked for, as far as that is known.
pub(super) fn api_of(frame: &Bytes) -> Option<ApiKey> {
    let code = frame.first_chunk()?;
    ApiKey::from_code(i16::from_be_bytes(*code))
}

/// Whether the response is no larger than its request, or than a few bytes.
pub(super) fn is_answered_in_short(frame: &Bytes) -> bool {
    matches!(
        api_of(frame),
        Some(ApiKey::Produce | ApiKey::Heartbeat | ApiKey::LeaveGroup | ApiKey::OffsetCommit | ApiKey::InitProducerId)
    )
}

/// Units of work that a request is before it is answered.
pub(super) fn work_of(frame: &Bytes) -> u32 {
    let unit = match api_of(frame) {
        Some(ApiKey::Produce) => BATCH_WORK_BYTES,
        _ => WORK_BYTES,
    };
    1 + (frame.len() / unit) as u32
}

/// The header of a request, and what stands behind it.
pub(super) fn read_header(frame: &Bytes) -> Result<(Header, Option<Text>, Reader), CloseReason> {
    let (header, reader) =
        decode_request_header(frame).map_err(|error| CloseReason::MalformedRequest(error.to_string()))?;
    let (api, version, client_id) = (header.request_api_key, header.request_api_version, header.client_id);
    let api = ApiKey::from_code(api).ok_or(CloseReason::UnsupportedRequest { api, version })?;
    let header = Header {
        api,
        version,
        correlation_id: header.correlation_id,
    };
    Ok((header, client_id, reader))
}
