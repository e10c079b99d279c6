//! Both codecs must put the same bytes on the wire.

use super::{Api, Codec, Fetch, FetchPart, ProducePart, Request, TopicRef};
use bytes::Bytes;

fn topic(name: &str, id: u8) -> TopicRef {
    TopicRef {
        name: name.to_owned(),
        id: [id; 16],
    }
}

fn requests() -> Vec<(Request, std::ops::RangeInclusive<i16>)> {
    let part = |name, id, partition| ProducePart {
        topic: topic(name, id),
        partition,
        records: Bytes::from_static(b"a batch"),
    };
    let fetch_part = |name, id, partition| FetchPart {
        topic: topic(name, id),
        partition,
        leader_epoch: 3,
        offset: 77,
        max_bytes: 1000,
    };
    vec![
        (
            Request::Metadata {
                topics: vec!["one".into(), "two".into()],
            },
            1..=13,
        ),
        (
            Request::CreateTopic {
                name: "one".into(),
                partitions: 3,
                configs: vec![("segment.bytes".into(), "1000".into())],
            },
            2..=7,
        ),
        (
            Request::DeleteTopic {
                topic: topic("one", 1),
                by_id: false,
            },
            1..=6,
        ),
        (Request::InitProducerId, 0..=5),
        (
            Request::Produce {
                acks: -1,
                parts: vec![part("one", 1, 0), part("two", 2, 0), part("one", 1, 1)],
            },
            3..=13,
        ),
        (
            Request::Fetch(Fetch {
                max_wait_ms: 5,
                min_bytes: 1,
                max_bytes: 1 << 20,
                session_id: 7,
                session_epoch: 2,
                parts: vec![fetch_part("one", 1, 0), fetch_part("two", 2, 5)],
            }),
            7..=18,
        ),
        (
            Request::ListOffsets {
                topic: topic("one", 1),
                partitions: vec![0, 1],
                timestamp: -1,
            },
            1..=10,
        ),
    ]
}

#[test]
fn both_codecs_write_the_same_requests() {
    for (request, versions) in requests() {
        for version in versions {
            let own = Codec::Own.encode(5, "client", &request, version);
            let other = Codec::Crate.encode(5, "client", &request, version);
            assert_eq!(own, other, "{:?} {version}", request.api());
            assert_eq!(
                super::correlation_of(&own[4..]),
                None.or(super::correlation_of(&other[4..]))
            );
        }
    }
}

#[test]
fn garbage_is_an_error_and_not_a_response() {
    for api in [
        Api::Metadata,
        Api::Produce,
        Api::Fetch,
        Api::ListOffsets,
        Api::InitProducerId,
    ] {
        for codec in [Codec::Own, Codec::Crate] {
            assert!(
                codec.decode(api, 5, &Bytes::from_static(&[0, 0, 0, 1, 0])).is_err(),
                "{api:?} {codec:?}"
            );
        }
    }
}
