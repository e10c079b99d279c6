//! Frames: a length of four bytes, a header, a message. A frame that is passed in here has lost its length already; one
//! that comes out begins with it.
//!
//! Invariants: the length counts everything after it, ranges of files included; the header's version follows from the
//! API and the message's version alone.

use super::error::{DecodeError, DecodeProblem, EncodeError, EncodeProblem};
use super::kind::Structure;
use super::message::header::{RequestHeader, ResponseHeader};
use super::versions::ApiKey;
use super::{Form, Message, Reader, Role, Size, Text, Writer};
use crate::types::Part;
use alloc::vec::Vec;
use bytes::Bytes;

/// How many bytes a frame's length takes.
pub const LENGTH_BYTES: usize = 4;

const PLAIN_REQUEST: Form = Form {
    version: 1,
    flexible: false,
};
const FLEXIBLE_REQUEST: Form = Form {
    version: 2,
    flexible: true,
};
const PLAIN_RESPONSE: Form = Form {
    version: 0,
    flexible: false,
};
const FLEXIBLE_RESPONSE: Form = Form {
    version: 1,
    flexible: true,
};

fn request_header(api_key: i16, version: i16) -> Form {
    match ApiKey::from_code(api_key) {
        Some(api) if api.flexible().contains(version) => FLEXIBLE_REQUEST,
        _ => PLAIN_REQUEST,
    }
}

/// A client reads the response to `ApiVersions` before it knows whether the broker has flexible headers: its header is
/// never flexible (KIP-511).
fn response_header(api_key: i16, version: i16) -> Form {
    match ApiKey::from_code(api_key) {
        Some(api) if api != ApiKey::ApiVersions && api.flexible().contains(version) => FLEXIBLE_RESPONSE,
        _ => PLAIN_RESPONSE,
    }
}

/// Reads the header of a request, and leaves the reader at its message. Whether the API and its version are served is
/// the caller's to check; the header of one that is unknown is read up to the client's id, so that it can be named.
pub fn decode_request_header(frame: &Bytes) -> Result<(RequestHeader, Reader), DecodeError> {
    let Some(&[k0, k1, v0, v1]) = frame.first_chunk() else {
        return Err(DecodeProblem::Truncated {
            needed: 4,
            remaining: frame.len(),
        }
        .into());
    };
    let form = request_header(i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
    let mut reader = Reader::new(frame.clone());
    let header = RequestHeader::read(&mut reader, form)?;
    Ok((header, reader))
}

/// Writes a response with its length and header.
pub fn encode_response<M: Message>(correlation_id: i32, message: &M, version: i16) -> Result<Vec<Part>, EncodeError> {
    let Role::Response(api_key) = M::SCHEMA.role else {
        panic!("{} is not a response", M::SCHEMA.name());
    };
    frame(
        &ResponseHeader { correlation_id },
        response_header(api_key, version),
        message,
        version,
    )
}

/// Writes a request with its length and header.
pub fn encode_request<M: Message>(
    correlation_id: i32,
    client_id: Option<&Text>,
    message: &M,
    version: i16,
) -> Result<Vec<Part>, EncodeError> {
    let Role::Request(request_api_key) = M::SCHEMA.role else {
        panic!("{} is not a request", M::SCHEMA.name());
    };
    let header = RequestHeader {
        request_api_key,
        request_api_version: version,
        correlation_id,
        client_id: client_id.cloned(),
    };
    frame(&header, request_header(request_api_key, version), message, version)
}

/// Reads a response to a request of `version`: the correlation id and the message.
pub fn decode_response<M: Message>(frame: &Bytes, version: i16) -> Result<(i32, M), DecodeError> {
    let Role::Response(api_key) = M::SCHEMA.role else {
        panic!("{} is not a response", M::SCHEMA.name());
    };
    let mut reader = Reader::new(frame.clone());
    let header = ResponseHeader::read(&mut reader, response_header(api_key, version))?;
    Ok((header.correlation_id, M::decode(&mut reader, version)?))
}

/// The correlation id of a response, which stands first in every version; `None` where the frame is too short for one.
pub fn correlation_id(frame: &[u8]) -> Option<i32> {
    frame.first_chunk().map(|&bytes| i32::from_be_bytes(bytes))
}

/// All parts as one; `None` where one of them lies in a file. Copies only where there are several.
pub fn join(parts: &[Part]) -> Option<Bytes> {
    if let [Part::Inline(bytes)] = parts {
        return Some(bytes.clone());
    }
    let mut joined = Vec::with_capacity(crate::types::parts_len(parts));
    for part in parts {
        match part {
            Part::Inline(bytes) => joined.extend_from_slice(bytes),
            Part::Range(..) => return None,
        }
    }
    Some(joined.into())
}

fn frame<M: Message>(
    header: &impl Structure,
    header_form: Form,
    message: &M,
    version: i16,
) -> Result<Vec<Part>, EncodeError> {
    let mut size = Size::default();
    header.measure(header_form, &mut size)?;
    let (form, message_size) = message.sized(version)?;
    size.inline += message_size.inline;
    size.spliced += message_size.spliced;
    let Ok(length) = i32::try_from(size.total()) else {
        return Err(EncodeError::from(EncodeProblem::TooLong(size.total())).at(M::SCHEMA.name()));
    };
    size.add(LENGTH_BYTES);
    let mut writer = Writer::with_size(size);
    writer.put(&length.to_be_bytes());
    header.write(header_form, &mut writer);
    message.write(form, &mut writer);
    debug_assert_eq!(
        writer.buffered(),
        size.inline,
        "{} is not what it was measured",
        M::SCHEMA.name()
    );
    Ok(writer.into_parts())
}

#[cfg(test)]
mod tests {
    use super::{correlation_id, decode_request_header, decode_response, encode_request, encode_response, join};
    use crate::types::{Content, FileId, FileRange, Part, parts_len};
    use crate::wire::message::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
    use crate::wire::message::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
    use crate::wire::message::metadata::{MetadataRequest, MetadataResponse};
    use crate::wire::{DecodeProblem, EncodeProblem, Message, Records, Text};
    use alloc::vec;
    use alloc::vec::Vec;
    use bytes::Bytes;

    /// What a connection hands on: the frame without its length, which must be right.
    fn received(parts: &[Part]) -> Bytes {
        let bytes = join(parts).expect("nothing lies in a file");
        let length = i32::from_be_bytes(*bytes.first_chunk().unwrap());
        assert_eq!(length as usize, bytes.len() - 4);
        bytes.slice(4..)
    }

    #[test]
    fn a_request_reads_back_with_its_header() {
        let client = Text::from("a client");
        for version in 0..=13 {
            let request = MetadataRequest {
                allow_auto_topic_creation: true,
                ..MetadataRequest::default()
            };
            let frame = received(&encode_request(7, Some(&client), &request, version).unwrap());
            let (header, mut reader) = decode_request_header(&frame).unwrap();
            assert_eq!((header.request_api_key, header.request_api_version), (3, version));
            assert_eq!((header.correlation_id, header.client_id.as_ref()), (7, Some(&client)));
            assert_eq!(MetadataRequest::decode(&mut reader, version), Ok(request));
            assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn a_header_of_an_unknown_version_of_api_versions_is_flexible() {
        let mut frame = received(&encode_request(9, None, &ApiVersionsRequest::default(), 5).unwrap()).to_vec();
        frame[2..4].copy_from_slice(&77i16.to_be_bytes());
        let (header, reader) = decode_request_header(&frame.into()).unwrap();
        assert_eq!((header.request_api_version, header.correlation_id), (77, 9));
        // Two empty strings, a null, a node id and no tagged fields: the header's own empty tags are taken.
        assert_eq!(reader.remaining(), 8);
    }

    #[test]
    fn an_unknown_api_can_be_named() {
        let frame = [
            [0x7F, 0xFF, 0, 9].as_slice(),
            &[0, 0, 0, 3, 0, 2],
            b"me",
            b"whatever follows",
        ]
        .concat();
        let (header, _) = decode_request_header(&frame.into()).unwrap();
        assert_eq!((header.request_api_key, header.request_api_version), (0x7FFF, 9));
        assert_eq!(header.client_id, Some(Text::from("me")));
        let error = decode_request_header(&Bytes::from_static(&[0, 1, 0])).unwrap_err();
        assert_eq!(
            error.problem,
            DecodeProblem::Truncated {
                needed: 4,
                remaining: 3
            }
        );
    }

    #[test]
    fn only_api_versions_answers_flexible_versions_with_a_plain_header() {
        let key = ApiVersion {
            api_key: 18,
            min_version: 0,
            max_version: 5,
        };
        let response = ApiVersionsResponse {
            api_keys: vec![key],
            ..ApiVersionsResponse::default()
        };
        let frame = received(&encode_response(5, &response, 5).unwrap());
        assert_eq!(&frame[..9], &[0, 0, 0, 5, 0, 0, 2, 0, 18]);
        assert_eq!(decode_response(&frame, 5), Ok((5, response)));

        let response = MetadataResponse {
            controller_id: 1,
            ..MetadataResponse::default()
        };
        let frame = received(&encode_response(6, &response, 9).unwrap());
        assert_eq!(&frame[..9], &[0, 0, 0, 6, 0, 0, 0, 0, 0]);
        assert_eq!(correlation_id(&frame), Some(6));
        assert_eq!(decode_response(&frame, 9), Ok((6, response)));
    }

    #[test]
    fn a_fetch_response_is_laid_out_around_ranges_of_files() {
        let range = |position| {
            Part::Range(
                FileRange {
                    file: FileId(3),
                    position,
                    length: 5000,
                },
                Content::Opaque,
            )
        };
        let partition = |records: Vec<Part>| PartitionData {
            records: records.into(),
            ..PartitionData::default()
        };
        let header = Part::Inline(Bytes::from_static(&[7; 61]));
        let topic = FetchableTopicResponse {
            partitions: vec![
                partition(vec![header, range(0), range(9000)]),
                partition(Vec::new()),
                PartitionData {
                    records: Records::Null,
                    ..PartitionData::default()
                },
                partition(vec![range(70_000)]),
            ],
            ..FetchableTopicResponse::default()
        };
        let response = FetchResponse {
            responses: vec![topic],
            ..FetchResponse::default()
        };
        for version in 4..=18 {
            let parts = encode_response(1, &response, version).unwrap();
            let [Part::Inline(head), first, second, Part::Inline(_), third, rest @ ..] = parts.as_slice() else {
                panic!("{parts:?}");
            };
            assert_eq!([first, second, third], [&range(0), &range(9000), &range(70_000)]);
            assert!(head.ends_with(&[7; 61]), "a short part is copied into its place");
            assert_eq!(
                rest.len(),
                usize::from(version >= 12),
                "tagged fields end a flexible response"
            );
            let length = i32::from_be_bytes(*head.first_chunk().unwrap());
            assert_eq!(length as usize, parts_len(&parts) - 4);
        }
    }

    #[test]
    fn what_a_version_cannot_carry_is_refused() {
        let request = MetadataRequest {
            topics: None,
            ..MetadataRequest::default()
        };
        let error = encode_request(1, None, &request, 0).unwrap_err();
        assert_eq!(
            (error.field, error.problem),
            ("MetadataRequest.topics", EncodeProblem::Null)
        );
        let request = MetadataRequest {
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let error = encode_request(1, None, &request, 3).unwrap_err();
        assert_eq!(error.field, "MetadataRequest.allow_auto_topic_creation");
        assert_eq!(error.problem, EncodeProblem::NotInVersion(3));
        let error = encode_request(1, None, &request, 14).unwrap_err();
        assert_eq!(
            (error.field, error.problem),
            ("MetadataRequest", EncodeProblem::UnsupportedVersion(14))
        );
    }
}
