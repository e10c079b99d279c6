//! Both codecs must put the same bytes on the wire.

use super::{
    Answer, Api, Codec, CommitPart, Fetch, FetchPart, GroupApi, GroupRequest, ProducePart, Question, QuestionApi,
    Request, Response, Speaker, TopicRef,
};
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

fn speaker(instance: Option<&str>) -> Speaker {
    Speaker {
        group: "group".into(),
        member: "member".into(),
        instance: instance.map(str::to_owned),
        generation: 7,
    }
}

fn requests_of_members(instance: Option<&str>) -> Vec<(Request, std::ops::RangeInclusive<i16>)> {
    let is_static = instance.is_some();
    let from = |plain: i16, first: i16| if is_static { first } else { plain };
    let commit = |partition, token| CommitPart {
        topic: topic("one", 1),
        partition,
        offset: 1 << 40,
        token,
    };
    let requests = [
        (GroupRequest::Find { group: "group".into() }, 0..=6),
        (
            GroupRequest::Join {
                speaker: speaker(instance),
                session_ms: 6000,
                rebalance_ms: 9000,
                protocols: vec![("range".into(), Bytes::from_static(b"topics"))],
            },
            from(0, 5)..=9,
        ),
        (
            GroupRequest::Sync {
                speaker: speaker(instance),
                protocol: "range".into(),
                assignments: vec![("member".into(), Bytes::from_static(b"part"))],
                patience_ms: 1,
            },
            from(0, 3)..=5,
        ),
        (GroupRequest::Heartbeat(speaker(instance)), from(0, 3)..=4),
        (GroupRequest::Leave(speaker(instance)), from(0, 3)..=5),
        (
            GroupRequest::Commit {
                speaker: speaker(instance),
                offsets: vec![commit(0, 5), commit(1, 6)],
            },
            from(2, 7)..=9,
        ),
        (
            GroupRequest::Fetch {
                group: "group".into(),
                parts: vec![(topic("one", 1), 0), (topic("two", 2), 1)],
                stable: true,
            },
            1..=9,
        ),
        (
            GroupRequest::Delete {
                group: "group".into(),
                version: 0,
            },
            0..=2,
        ),
        (
            GroupRequest::DeleteOffsets {
                group: "group".into(),
                parts: vec![(topic("one", 1), 0), (topic("two", 2), 1)],
            },
            0..=0,
        ),
    ];
    requests
        .map(|(request, versions)| (Request::Group(request), versions))
        .into()
}

fn questions() -> Vec<(Request, std::ops::RangeInclusive<i16>)> {
    let configs = |keys| Question::Configs {
        topic: "one".into(),
        keys,
    };
    let questions = [
        (Question::Versions, 0..=4),
        (configs(None), 1..=4),
        (configs(Some(vec!["retention.ms".into()])), 1..=4),
        (Question::Groups, 0..=5),
        (Question::Group("group".into()), 0..=6),
    ];
    let request = |question| Request::Ask { question, version: 0 };
    let look = Request::Look {
        topics: vec!["one".into()],
        version: 0,
    };
    let questions = questions.map(|(question, versions)| (request(question), versions));
    questions.into_iter().chain([(look, 0..=9)]).collect()
}

#[test]
fn both_codecs_write_the_same_requests() {
    let members = [None, Some("instance")].into_iter().flat_map(requests_of_members);
    for (request, versions) in requests().into_iter().chain(members).chain(questions()) {
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
fn a_version_of_the_future_is_asked_for_and_answered_in_the_first() {
    for codec in [Codec::Own, Codec::Crate] {
        let (question, version) = (Question::Versions, 77);
        let frame = codec.encode(5, "client", &Request::Ask { question, version }, version);
        assert_eq!(frame[4..8], [0, 18, 0, 77], "{codec:?}");
        let answer = Bytes::from_static(b"\0\0\0\x05\0\x23\0\0\0\x01\0\x12\0\0\0\x05");
        let api = Api::Ask(QuestionApi::ApiVersions);
        let expected = Answer::Versions {
            error: 35,
            apis: vec![(18, 0, 5)],
        };
        let decoded = codec.decode(api, version, &answer);
        assert_eq!(decoded, Ok((5, Response::Told(expected))), "{codec:?}");
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
        Api::Group(GroupApi::JoinGroup),
        Api::Group(GroupApi::OffsetFetch),
        Api::Ask(QuestionApi::DescribeGroups),
    ] {
        for codec in [Codec::Own, Codec::Crate] {
            assert!(
                codec.decode(api, 5, &Bytes::from_static(&[0, 0, 0, 1, 0])).is_err(),
                "{api:?} {codec:?}"
            );
        }
    }
}
