//! The client against a peer that answers from a script, to bring about what a good broker seldom does.

use super::*;
use bytes::Bytes;
use klamm_core::config::HostPort;
use klamm_core::record::{Compression, split};
use klamm_core::types::Part;
use klamm_core::wire::message::api_versions::{ApiVersion, ApiVersionsResponse};
use klamm_core::wire::message::init_producer_id::InitProducerIdResponse;
use klamm_core::wire::message::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use klamm_core::wire::message::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use klamm_core::wire::versions::ApiKey;
use klamm_core::wire::{Message as _, Text, frame};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The batches that came: base sequence and record count of each.
type Seen = Arc<Mutex<Vec<(i32, i32)>>>;

/// What the peer does with a produce request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Answers with this code.
    Code(i16),
    /// Closes the connection, as if it had died before or after the append.
    Close,
}

/// A peer that is a broker as far as its script goes. It serves connections one after the other.
struct Peer {
    address: HostPort,
    /// The newest version of `ApiVersions` that it knows.
    newest: i16,
    script: VecDeque<Fate>,
    seen: Seen,
}

impl Peer {
    /// Starts a peer, and says where it is and what it will have seen.
    fn start(newest: i16, script: &[Fate]) -> (HostPort, Seen) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = HostPort {
            host: "127.0.0.1".to_owned(),
            port,
        };
        let seen = Arc::default();
        let peer = Self {
            address: address.clone(),
            newest,
            script: script.iter().copied().collect(),
            seen: Arc::clone(&seen),
        };
        let peer = Arc::new(Mutex::new(peer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let peer = Arc::clone(&peer);
                std::thread::spawn(move || while serve_one(&stream, &peer).is_some() {});
            }
        });
        (address, seen)
    }

    fn answer(&mut self, frame: &Bytes) -> Option<Vec<Part>> {
        let (header, mut reader) = frame::decode_request_header(frame).unwrap();
        let (id, version) = (header.correlation_id, header.request_api_version);
        let api = ApiKey::from_code(header.request_api_key).unwrap();
        let answer = match api {
            ApiKey::ApiVersions if version > self.newest => {
                let refusal = ApiVersionsResponse {
                    error_code: 35,
                    ..versions()
                };
                frame::encode_response(id, &refusal, 0)
            }
            ApiKey::ApiVersions => frame::encode_response(id, &versions(), version),
            ApiKey::Metadata => frame::encode_response(id, &self.metadata(), version),
            ApiKey::InitProducerId => {
                let response = InitProducerIdResponse {
                    producer_id: 7,
                    ..InitProducerIdResponse::default()
                };
                frame::encode_response(id, &response, version)
            }
            ApiKey::Produce => {
                let request = ProduceRequest::decode(&mut reader, version).unwrap();
                let records = request.topic_data[0].partition_data[0].records.clone().unwrap();
                let batch = split(&records).next().unwrap().unwrap().header();
                self.seen
                    .lock()
                    .unwrap()
                    .push((batch.base_sequence.0, batch.record_count));
                match self.script.pop_front().unwrap_or(Fate::Code(0)) {
                    Fate::Code(code) => frame::encode_response(id, &produced(code), version),
                    Fate::Close => return None,
                }
            }
            other => panic!("nobody asks for {other}"),
        };
        Some(answer.unwrap())
    }

    fn metadata(&self) -> MetadataResponse {
        let broker = MetadataResponseBroker {
            node_id: 1,
            host: text(&self.address.host),
            port: self.address.port.into(),
            ..MetadataResponseBroker::default()
        };
        let partition = MetadataResponsePartition {
            leader_id: 1,
            ..MetadataResponsePartition::default()
        };
        let topic = MetadataResponseTopic {
            name: Some(Text::from("t")),
            partitions: vec![partition],
            ..MetadataResponseTopic::default()
        };
        MetadataResponse {
            brokers: vec![broker],
            topics: vec![topic],
            ..MetadataResponse::default()
        }
    }
}

/// What an old broker serves.
fn versions() -> ApiVersionsResponse {
    let key = |(api, min_version, max_version): (ApiKey, i16, i16)| ApiVersion {
        api_key: api.code(),
        min_version,
        max_version,
    };
    let keys = [
        (ApiKey::Produce, 0, 5),
        (ApiKey::Metadata, 0, 4),
        (ApiKey::InitProducerId, 0, 0),
        (ApiKey::Fetch, 0, 3),
    ];
    ApiVersionsResponse {
        api_keys: keys.map(key).to_vec(),
        ..ApiVersionsResponse::default()
    }
}

fn produced(error_code: i16) -> ProduceResponse {
    let partition = PartitionProduceResponse {
        error_code,
        ..PartitionProduceResponse::default()
    };
    let topic = TopicProduceResponse {
        name: Text::from("t"),
        partition_responses: vec![partition].into(),
        ..TopicProduceResponse::default()
    };
    ProduceResponse {
        responses: vec![topic].into(),
        ..ProduceResponse::default()
    }
}

/// Answers one request; `None` ends the connection.
fn serve_one(mut stream: &TcpStream, peer: &Mutex<Peer>) -> Option<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut request = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut request).ok()?;
    let answer = peer.lock().unwrap().answer(&request.into());
    let Some(answer) = answer else {
        stream.shutdown(std::net::Shutdown::Both).ok()?;
        return None;
    };
    stream.write_all(&frame::join(&answer)?).ok()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// Sends one batch of two records and one of one; what became of the first, and what the peer saw.
fn produce(script: &[Fate], idempotent: bool) -> (Result<(), ClientError>, Vec<(i32, i32)>) {
    let (address, seen) = Peer::start(3, script);
    let options = ProducerOptions {
        acks: Acks::All,
        compression: Compression::None,
        idempotent,
    };
    let first = run(async {
        let mut cluster = Cluster::new(vec![address], "test", Patience::default());
        let mut producer = Producer::start(&mut cluster, "t", None, options).await.unwrap();
        let message = Message {
            value: Some(b"v".to_vec()),
            ..Message::default()
        };
        producer
            .send(&mut cluster, &[message.clone(), message.clone()], None, 5)
            .await?;
        producer.send(&mut cluster, &[message], None, 6).await
    });
    let seen = seen.lock().unwrap().clone();
    (first, seen)
}

#[test]
fn a_batch_whose_fate_is_unknown_is_sent_again_under_its_number() {
    let (outcome, seen) = produce(&[Fate::Close, Fate::Code(0)], true);
    outcome.unwrap();
    assert_eq!(seen, [(0, 2), (0, 2), (2, 1)]);
}

#[test]
fn a_batch_that_was_there_already_is_as_good_as_appended() {
    let (outcome, seen) = produce(&[Fate::Close, Fate::Code(46)], true);
    outcome.unwrap();
    assert_eq!(seen, [(0, 2), (0, 2), (2, 1)]);
}

#[test]
fn without_a_number_a_batch_whose_fate_is_unknown_is_not_sent_again() {
    let (outcome, seen) = produce(&[Fate::Close], false);
    assert!(matches!(outcome, Err(ClientError::Io { .. })), "{outcome:?}");
    assert_eq!(seen, [(-1, 2)]);
}

#[test]
fn an_error_that_passes_is_waited_out_and_another_is_final() {
    let (outcome, seen) = produce(&[Fate::Code(6), Fate::Code(0)], false);
    outcome.unwrap();
    assert_eq!(seen.len(), 3);
    let (outcome, seen) = produce(&[Fate::Code(10)], true);
    assert_eq!(outcome.unwrap_err().to_string(), "producing to t-0: MESSAGE_TOO_LARGE");
    assert_eq!(seen.len(), 1);
}

#[test]
fn an_old_broker_is_asked_again_in_the_oldest_version() {
    for newest in [0, 2, 3] {
        let (address, _) = Peer::start(newest, &[]);
        let connection = run(Connection::open(&address, "test", Patience::default())).unwrap();
        assert_eq!(connection.version(ApiKey::Produce).unwrap(), 5);
        assert_eq!(connection.version(ApiKey::Metadata).unwrap(), 4);
        let fetch = connection.version(ApiKey::Fetch).unwrap_err();
        assert_eq!(
            fetch.to_string(),
            "the broker speaks no version of Fetch that this client does"
        );
        assert!(connection.version(ApiKey::DeleteTopics).is_err());
    }
}
