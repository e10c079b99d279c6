//! The `kafka-protocol` crate, whose codec is generated from Kafka 4.1's schemas, reads our bytes and writes them back.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as other;
use kafka_protocol::protocol::{Decodable, Encodable, Message};
use klamm_core::wire::reflect::{MESSAGES, for_random_messages};

/// What the other codec makes of some bytes of a version, where it has that version.
type Rewrite = fn(Bytes, i16) -> Option<Bytes>;

fn rewrite<M: Message + Decodable + Encodable>(mut bytes: Bytes, version: i16) -> Option<Bytes> {
    if !(M::VERSIONS.min..=M::VERSIONS.max).contains(&version) {
        return None;
    }
    let message = M::decode(&mut bytes, version).unwrap_or_else(|error| panic!("version {version}: {error}"));
    assert!(
        bytes.is_empty(),
        "version {version}: {} bytes are left over",
        bytes.len()
    );
    let mut written = BytesMut::new();
    message
        .encode(&mut written, version)
        .unwrap_or_else(|error| panic!("version {version}: {error}"));
    Some(written.freeze())
}

const OTHERS: &[(&str, Rewrite)] = &[
    ("RequestHeader", rewrite::<other::RequestHeader>),
    ("ResponseHeader", rewrite::<other::ResponseHeader>),
    ("ApiVersionsRequest", rewrite::<other::ApiVersionsRequest>),
    ("ApiVersionsResponse", rewrite::<other::ApiVersionsResponse>),
    ("CreateTopicsRequest", rewrite::<other::CreateTopicsRequest>),
    ("CreateTopicsResponse", rewrite::<other::CreateTopicsResponse>),
    ("DeleteTopicsRequest", rewrite::<other::DeleteTopicsRequest>),
    ("DeleteTopicsResponse", rewrite::<other::DeleteTopicsResponse>),
    ("DescribeConfigsRequest", rewrite::<other::DescribeConfigsRequest>),
    ("DescribeConfigsResponse", rewrite::<other::DescribeConfigsResponse>),
    ("FetchRequest", rewrite::<other::FetchRequest>),
    ("FetchResponse", rewrite::<other::FetchResponse>),
    ("FindCoordinatorRequest", rewrite::<other::FindCoordinatorRequest>),
    ("FindCoordinatorResponse", rewrite::<other::FindCoordinatorResponse>),
    ("InitProducerIdRequest", rewrite::<other::InitProducerIdRequest>),
    ("InitProducerIdResponse", rewrite::<other::InitProducerIdResponse>),
    ("ListOffsetsRequest", rewrite::<other::ListOffsetsRequest>),
    ("ListOffsetsResponse", rewrite::<other::ListOffsetsResponse>),
    ("MetadataRequest", rewrite::<other::MetadataRequest>),
    ("MetadataResponse", rewrite::<other::MetadataResponse>),
    ("ProduceRequest", rewrite::<other::ProduceRequest>),
    ("ProduceResponse", rewrite::<other::ProduceResponse>),
];

#[test]
fn another_codec_writes_back_the_bytes_it_read() {
    for &codec in MESSAGES {
        let name = codec.schema.name();
        let (_, rewrite) = OTHERS
            .iter()
            .find(|(other, _)| *other == name)
            .unwrap_or_else(|| panic!("no {name}"));
        let mut compared = 0;
        for_random_messages(codec, 20, |version, message| {
            let bytes = codec.encode(&message, version).unwrap();
            if let Some(written) = rewrite(bytes.clone(), version) {
                assert_eq!(written, bytes, "{name} of version {version}");
                compared += 1;
            }
        });
        assert!(compared > 0, "{name}: no version in common");
    }
}
