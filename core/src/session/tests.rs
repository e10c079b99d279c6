//! A session against homes played by the test: what it asks, in which order it answers.

use super::*;
use crate::controller::ControllerAnswer;
use crate::metadata::{Change, Delta, PartitionRecord, RegisterBrokerRecord, TopicRecord};
use crate::partition::{Fetched, PartitionAnswer, PartitionAsk, Produced, home};
use crate::types::{ErrorCode, Offset, Refusal, Seed, TopicPartition, Uuid};
use crate::wire::frame::{decode_response, encode_request, join};
use crate::wire::message::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use crate::wire::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use crate::wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use crate::wire::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use crate::wire::message::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use crate::wire::{Message, Text};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec;

const SHARDS: u16 = 2;

struct Harness {
    session: Option<Session>,
    image: Arc<Image>,
    config: BrokerConfig,
    fetch_sessions: FetchSessions,
    room: Room,
    now: Monotonic,
    asked: Vec<(RequestId, u32, ShardId, Ask)>,
    sent: Vec<Bytes>,
    /// Bytes of memory, and on their way, of the responses that are not reported as sent, in order.
    unsent: VecDeque<(usize, u64)>,
    closed: Vec<CloseReason>,
    granted: u32,
    deadline: Option<Monotonic>,
    unwatched: Vec<OpId>,
    lowered: Vec<(OpId, usize)>,
}

fn image(topics: &[&str]) -> Image {
    let mut image = Image::default();
    let mut apply = |change: Change| image.apply(image.end(), &change.into(), &mut Delta::default()).unwrap();
    let host = String::from("localhost");
    apply(Change::RegisterBroker(RegisterBrokerRecord {
        broker: 1,
        starts: 1,
        host,
        port: 9092,
        rack: None,
        endpoints: Vec::new(),
    }));
    for (id, name) in (1..).zip(topics) {
        let one = vec![1];
        let partition = PartitionRecord {
            replicas: one.clone(),
            isr: one,
            leader: 1,
            leader_epoch: 0,
            leader_starts: 1,
            partition_epoch: 0,
        };
        let (topic_id, name, config) = (vec![id; 16], (*name).to_string(), BTreeMap::new());
        let partitions = (0..8).map(|_| partition.clone()).collect();
        apply(Change::Topic(TopicRecord {
            topic_id,
            name,
            partitions,
            config,
        }));
    }
    image
}

/// A client that came in on a listener.
fn peer(listener: &str) -> Peer<'static> {
    Peer {
        address: "127.0.0.1:1",
        listener: ListenerName::new(listener),
    }
}

impl Harness {
    fn new() -> Self {
        let mut harness = Self {
            session: None,
            image: Arc::new(image(&["orders"])),
            config: BrokerConfig::default(),
            fetch_sessions: FetchSessions::new(&Limits::default(), Seed::new(1)),
            room: Room::new(&Limits::default()),
            now: Monotonic(0),
            asked: Vec::new(),
            sent: Vec::new(),
            unsent: VecDeque::new(),
            closed: Vec::new(),
            granted: 0,
            deadline: None,
            unwatched: Vec::new(),
            lowered: Vec::new(),
        };
        let mut actions = Vec::new();
        let session =
            harness.with_context(|context| Session::new(ConnectionId(7), peer("PLAINTEXT"), context, &mut actions));
        harness.session = Some(session);
        harness.act(actions);
        harness
    }

    fn with_context<R>(&mut self, use_it: impl FnOnce(&mut Context<'_>) -> R) -> R {
        use_it(&mut Context {
            now: Now {
                monotonic: self.now,
                wall: crate::types::Timestamp(0),
            },
            shards: SHARDS,
            controller: ShardId(0),
            here: ShardId(1),
            cluster_id: "the-cluster",
            image: &self.image,
            config: &self.config,
            fetch_sessions: &mut self.fetch_sessions,
            room: &mut self.room,
        })
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Ask { request, tag, to, ask } => self.asked.push((request, tag, to, ask)),
                Action::Unwatch { watch, .. } => self.unwatched.push(watch),
                Action::Lower { watch, bytes, .. } => self.lowered.push((watch, bytes)),
                Action::SetDeadline(at) => self.deadline = Some(at),
                Action::ClearDeadline => self.deadline = None,
                Action::Respond {
                    parts, bytes, length, ..
                } => {
                    self.unsent.push_back((bytes, length));
                    self.sent.push(join(&parts).unwrap().slice(4..));
                }
                Action::Release(leases) => assert!(leases.is_empty()),
                Action::Grant(frames) => self.granted += frames,
                Action::Close(reason) => self.closed.push(reason),
            }
        }
    }

    fn drive(&mut self, event: impl FnOnce(&mut Session, &mut Context<'_>, &mut Vec<Action>)) {
        let mut actions = Vec::new();
        let mut session = self.session.take().unwrap();
        self.with_context(|context| event(&mut session, context, &mut actions));
        self.session = Some(session);
        self.act(actions);
    }

    fn frame(&mut self, frame: Bytes) {
        self.drive(|session, context, actions| session.frame(frame, context, actions));
    }

    /// The oldest response that waits was sent.
    fn respond(&mut self) {
        let sent = self.unsent.pop_front().expect("a response waits");
        self.room.sent(sent.0);
        self.drive(|session, context, actions| session.sent(sent, context, actions));
    }

    fn request<M: Message>(&mut self, correlation_id: i32, request: &M, version: i16) {
        let parts = encode_request(correlation_id, None, request, version).unwrap();
        self.frame(join(&parts).unwrap().slice(4..));
    }

    /// Answers the ask at `place` of those that wait.
    fn answer(&mut self, place: usize, answer: Answer) {
        let watching = matches!(answer, Answer::Partitions { watching: true, .. });
        let (request, tag, from, _) = self.asked.remove(place);
        let watch = watching.then_some((from, watch(tag)));
        self.drive(|session, context, actions| session.answer((request, tag), answer, watch, context, actions));
    }

    fn correlation_ids(&self) -> Vec<i32> {
        self.sent
            .iter()
            .map(|frame| i32::from_be_bytes(*frame.first_chunk().unwrap()))
            .collect()
    }
}

fn watch(tag: u32) -> OpId {
    OpId {
        slot: 100 + tag,
        generation: 0,
    }
}

/// A partition of `orders` that lives on `shard`.
fn partition_on(shard: u16) -> i32 {
    let topic = crate::types::TopicId(Uuid([1; 16]));
    (0..8)
        .find(|&partition| home(TopicPartition { topic, partition }, SHARDS) == ShardId(shard))
        .unwrap()
}

fn produce(partition: i32, acks: i16) -> ProduceRequest {
    let data = PartitionProduceData {
        index: partition,
        records: Some(Bytes::from_static(b"records")),
    };
    let topic = TopicProduceData {
        name: "orders".into(),
        partition_data: vec![data],
        ..Default::default()
    };
    ProduceRequest {
        acks,
        topic_data: vec![topic],
        ..Default::default()
    }
}

fn produced(base_offset: i64) -> Answer {
    let produced = Produced {
        base_offset: Offset(base_offset),
        log_append_time: None,
        log_start_offset: Offset(0),
    };
    Answer::Partitions {
        parts: vec![PartitionAnswer::Produced(Ok(produced))],
        watching: false,
    }
}

fn refused(code: ErrorCode) -> Answer {
    let refusal = Refusal { code, message: None };
    Answer::Partitions {
        parts: vec![PartitionAnswer::Produced(Err(refusal.into()))],
        watching: false,
    }
}

fn list_offsets() -> ListOffsetsRequest {
    let partition = ListOffsetsPartition {
        partition_index: 0,
        timestamp: -1,
        ..Default::default()
    };
    let topic = ListOffsetsTopic {
        name: "orders".into(),
        partitions: vec![partition],
    };
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![topic],
        ..Default::default()
    }
}

fn fetch(min_bytes: i32) -> FetchRequest {
    let partition = FetchPartition {
        partition: 0,
        fetch_offset: 5,
        partition_max_bytes: 1000,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: "orders".into(),
        partitions: vec![partition],
        ..Default::default()
    };
    FetchRequest {
        max_wait_ms: 500,
        min_bytes,
        topics: vec![topic],
        session_epoch: -1,
        ..Default::default()
    }
}

fn fetched(records: &'static [u8], watching: bool) -> Answer {
    let plan = crate::log::ReadPlan {
        parts: vec![Part::Inline(Bytes::from_static(records))],
        bytes: records.len(),
        ..Default::default()
    };
    let fetched = Fetched {
        error: ErrorCode::None,
        high_watermark: Some(Offset(9)),
        log_start_offset: Some(Offset(0)),
        diverging: None,
        plan: Some(plan),
        cut: false,
    };
    Answer::Partitions {
        parts: vec![PartitionAnswer::Fetched(fetched)],
        watching,
    }
}

#[test]
fn responses_leave_in_the_order_of_the_requests() {
    let mut harness = Harness::new();
    harness.request(1, &produce(partition_on(0), -1), 9);
    harness.request(2, &produce(partition_on(1), -1), 9);
    assert_eq!(harness.asked.len(), 2, "produce requests do not wait for each other");
    harness.answer(1, produced(20));
    assert_eq!(harness.correlation_ids(), [], "the first is not answered yet");
    harness.answer(0, produced(10));
    assert_eq!(harness.correlation_ids(), [1, 2]);
    let (_, response) = decode_response::<ProduceResponse>(&harness.sent[1], 9).unwrap();
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 20);
}

#[test]
fn what_follows_a_produce_request_sees_its_effect() {
    let mut harness = Harness::new();
    harness.request(1, &produce(0, 0), 9);
    harness.request(2, &list_offsets(), 5);
    harness.request(3, &produce(0, -1), 9);
    assert_eq!(harness.asked.len(), 1);
    harness.answer(0, produced(0));
    assert!(matches!(&harness.asked[..], [(_, _, _, Ask::Partitions { parts, .. })]
        if matches!(parts[0].1, PartitionAsk::ListOffset { .. })));
    assert_eq!(harness.correlation_ids(), [], "acks=0 has no response");
}

#[test]
fn an_error_under_acks_0_closes_the_connection_and_nothing_behind_it_begins() {
    let mut harness = Harness::new();
    harness.request(1, &produce(0, 0), 9);
    harness.request(2, &list_offsets(), 5);
    harness.answer(0, refused(ErrorCode::CorruptMessage));
    assert_eq!(harness.closed, [CloseReason::FailedWithoutAcks("CORRUPT_MESSAGE")]);
    assert!(harness.asked.is_empty() && harness.sent.is_empty());
}

#[test]
fn nothing_begins_while_a_connection_has_too_much_to_take() {
    let mut harness = Harness::new();
    harness.config.limits.connection_unsent_bytes = 500;
    for id in 1..=20 {
        harness.request(id, &ApiVersionsRequest::default(), 0);
    }
    let begun = harness.sent.len();
    assert!((2..20).contains(&begun), "{begun}");
    harness.request(21, &produce(0, -1), 9);
    for sent in begun..20 {
        assert_eq!(harness.sent.len(), sent);
        harness.respond();
    }
    while !harness.unsent.is_empty() {
        harness.respond();
    }
    assert_eq!(harness.correlation_ids(), (1..=20).collect::<Vec<_>>());
    assert_eq!(harness.asked.len(), 1, "and then the produce request");
}

#[test]
fn a_frame_is_granted_again_once_its_response_is_sent() {
    let mut harness = Harness::new();
    let granted = harness.config.limits.frames_in_flight;
    assert_eq!(harness.granted, granted);
    harness.request(1, &produce(0, -1), 9);
    harness.answer(0, produced(0));
    assert_eq!(harness.granted, granted);
    harness.respond();
    harness.request(2, &produce(0, 0), 9);
    harness.answer(0, produced(1));
    assert_eq!(
        harness.granted,
        granted + 2,
        "acks=0 gives its grant back without a response"
    );
}

#[test]
fn a_fetch_waits_for_news_and_asks_again() {
    let mut harness = Harness::new();
    harness.request(1, &fetch(10), 12);
    harness.answer(0, fetched(b"1234", true));
    assert_eq!(
        (harness.sent.len(), harness.deadline),
        (0, Some(Monotonic(0).plus_millis(500)))
    );
    harness.drive(|session, context, actions| session.watch_ended(RequestId(0), watch(0), context, actions));
    harness.answer(0, fetched(b"1234567890", false));
    let (_, response) = decode_response::<FetchResponse>(&harness.sent[0], 12).unwrap();
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.records.bytes().unwrap(), "1234567890");
    assert_eq!((partition.high_watermark, partition.last_stable_offset), (9, 9));
    assert_eq!(harness.deadline, None);
}

#[test]
fn a_fetch_whose_time_is_up_answers_what_there_is() {
    let mut harness = Harness::new();
    harness.request(1, &fetch(10), 12);
    harness.answer(0, fetched(b"1234", true));
    harness.now = Monotonic(0).plus_millis(500);
    harness.drive(Session::deadline);
    assert_eq!(harness.unwatched, [watch(0)]);
    let wants_news = matches!(
        &harness.asked[0].3,
        Ask::Partitions {
            watch_below: Some(_),
            ..
        }
    );
    assert!(!wants_news);
    harness.answer(0, fetched(b"1234", false));
    let (_, response) = decode_response::<FetchResponse>(&harness.sent[0], 12).unwrap();
    assert_eq!(response.responses[0].partitions[0].records.bytes().unwrap(), "1234");
}

#[test]
fn a_waiting_fetch_is_answered_when_the_broker_stops() {
    let mut harness = Harness::new();
    harness.request(1, &fetch(10), 12);
    harness.answer(0, fetched(b"", true));
    harness.drive(Session::shut_down);
    harness.answer(0, fetched(b"", false));
    assert_eq!(harness.correlation_ids(), [1]);
}

#[test]
fn a_fetch_of_an_unknown_topic_is_answered_at_once() {
    let mut harness = Harness::new();
    let mut request = fetch(10);
    request.topics[0].topic_id = Uuid([9; 16]);
    harness.request(1, &request, 13);
    let (_, response) = decode_response::<FetchResponse>(&harness.sent[0], 13).unwrap();
    assert_eq!(
        response.responses[0].partitions[0].error_code,
        ErrorCode::UnknownTopicId.code()
    );
}

#[test]
fn api_versions_answers_a_version_that_it_does_not_know() {
    let mut harness = Harness::new();
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1.0".into(),
        ..Default::default()
    };
    harness.request(1, &request, 3);
    let (_, response) = decode_response::<ApiVersionsResponse>(&harness.sent[0], 3).unwrap();
    let produce = response.api_keys.iter().find(|key| key.api_key == 0).unwrap();
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
    harness.frame(Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 2, 0, 0, 0]));
    let (_, response) = decode_response::<ApiVersionsResponse>(&harness.sent[1], 0).unwrap();
    assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
    assert_eq!(response.api_keys.len(), 1);
}

#[test]
fn what_cannot_be_read_or_is_not_served_closes_the_connection() {
    let frames: [(&'static [u8], &str); 4] = [
        (&[0], "malformed request"),
        (&[0x7F, 0xFF, 0, 1, 0, 0, 0, 1, 0, 0], "unknown API key 32767"),
        (&[0, 0, 0, 99, 0, 0, 0, 1, 0, 0, 0], "Produce version 99"),
        (
            &[0, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF],
            "malformed request",
        ),
    ];
    for (frame, expected) in frames {
        let mut harness = Harness::new();
        harness.frame(Bytes::from_static(frame));
        let reason = harness.closed[0].to_string();
        assert!(reason.contains(expected), "{reason}");
        assert!(harness.sent.is_empty() && harness.asked.is_empty());
    }
}

#[test]
fn metadata_creates_topics_that_are_asked_for_by_name() {
    let mut harness = Harness::new();
    let named = |name: &'static str| MetadataRequestTopic {
        name: Some(Text::from(name)),
        ..Default::default()
    };
    let topics = Some(vec![named("orders"), named("new"), named("a/b")]);
    harness.request(
        1,
        &MetadataRequest {
            topics,
            ..Default::default()
        },
        12,
    );
    assert!(matches!(&harness.asked[0], (_, _, ShardId(0), Ask::Controller(_))));
    harness.image = Arc::new(image(&["orders", "new"]));
    let created = harness.image.topic_named("new").unwrap().clone();
    harness.answer(0, Answer::Controller(ControllerAnswer::Created(vec![Ok(created)])));
    let (_, response) = decode_response::<MetadataResponse>(&harness.sent[0], 12).unwrap();
    let codes: Vec<_> = response.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [0, 0, ErrorCode::InvalidTopicException.code()]);
    assert_eq!(response.cluster_id, Some(Text::from("the-cluster")));
    assert_eq!(response.topics[0].partitions.len(), 8);
}

#[test]
fn an_abandoned_fetch_gives_up_its_watch() {
    let mut harness = Harness::new();
    harness.request(1, &fetch(10), 12);
    harness.answer(0, fetched(b"", true));
    let mut actions = Vec::new();
    let session = harness.session.take().unwrap();
    harness.with_context(|context| session.abandon(context, &mut actions));
    harness.act(actions);
    assert_eq!((harness.unwatched.len(), harness.deadline), (1, None));
}

#[test]
fn only_a_connection_that_does_nothing_is_idle() {
    let mut harness = Harness::new();
    let idle = harness.config.connections_max_idle_ms;
    harness.request(1, &fetch(10), 12);
    let later = Monotonic(0).plus_millis(idle);
    let config = harness.config.clone();
    assert_eq!(
        harness.session.as_ref().unwrap().idle_at(later, &config),
        later.plus_millis(idle)
    );
    harness.answer(0, fetched(b"1234567890", false));
    harness.now = later;
    harness.respond();
    assert_eq!(
        harness.session.as_ref().unwrap().idle_at(later, &config),
        later.plus_millis(idle)
    );
    let long_after = later.plus_millis(idle + 1);
    assert!(harness.session.as_ref().unwrap().idle_at(long_after, &config) < long_after);
}

#[test]
fn every_version_of_list_offsets_can_say_what_was_found() {
    use crate::partition::Located;
    use crate::wire::message::list_offsets::ListOffsetsResponse;
    for version in 1..=11 {
        let mut harness = Harness::new();
        harness.request(1, &list_offsets(), version);
        let located = Located {
            offset: Some(Offset(3)),
            timestamp: None,
            leader_epoch: Some(crate::types::LeaderEpoch(2)),
        };
        let parts = vec![PartitionAnswer::Offset(Ok(located))];
        harness.answer(0, Answer::Partitions { parts, watching: false });
        let (_, response) = decode_response::<ListOffsetsResponse>(&harness.sent[0], version).unwrap();
        let partition = &response.topics[0].partitions[0];
        assert_eq!(
            (partition.offset, partition.leader_epoch),
            (3, if version >= 4 { 2 } else { -1 })
        );
    }
}

#[test]
fn records_of_internal_and_of_compacted_topics_are_not_deleted() {
    for (name, policy, code) in [
        ("__consumer_offsets", "delete", ErrorCode::InvalidTopicException),
        ("orders", "compact", ErrorCode::PolicyViolation),
        ("orders", "compact,delete", ErrorCode::None),
    ] {
        let mut harness = Harness::new();
        harness.image = Arc::new(image(&[name]));
        harness.config.settings.insert("log.cleanup.policy", policy.to_string());
        let offset = DeleteRecordsPartition {
            partition_index: 0,
            offset: 1,
        };
        let topic = DeleteRecordsTopic {
            name: name.into(),
            partitions: vec![offset],
        };
        let request = DeleteRecordsRequest {
            topics: vec![topic],
            ..DeleteRecordsRequest::default()
        };
        harness.request(1, &request, 2);
        if code.is_none() {
            assert_eq!(harness.asked.len(), 1, "its home decides");
            continue;
        }
        let (_, refused): (i32, DeleteRecordsResponse) = decode_response(&harness.sent[0], 2).unwrap();
        let told = &refused.topics[0].partitions[0];
        assert_eq!(
            (told.error_code, told.low_watermark),
            (code.code(), -1),
            "{name} {policy}"
        );
    }
}

mod waiting;
