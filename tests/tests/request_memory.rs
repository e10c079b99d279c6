//! What one request costs the broker in memory, its frame, what it becomes and its answer together: at most a small multiple
//! of the frame, whatever it names. The real binary is sent, of each API, as many elements of each array as fit: different
//! ones of which next to none are there, and one that is, again and again. It is sent the first and the last version that are
//! served, and the first flexible one; what decoding costs in each version is the matter of `wire_memory`.
//!
//! `KLAMM_REQUEST=Fetch` sends the requests of one API, and tells what each takes.

use klamm_core::types::Uuid;
use klamm_core::wire::message::metadata::MetadataResponse;
use klamm_core::wire::reflect::Codec;
use klamm_core::wire::versions::ApiKey;
use klamm_core::wire::{Message, Reader};
use klamm_tests::frame::{Answer, Body, Connection, api};
use klamm_tests::wire::worst::{Names, There, arrays, filling, requests};
use klamm_tests::{Broker, Options, usage};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

const TOPIC: &str = "orders";

/// Bytes of a request.
const FRAME: usize = 256 << 10;

/// Bytes of memory that one of them may cost at the most.
const PER_BYTE: usize = 64;

/// What a broker takes besides: buffers that frames come in, the tail of a log, what its allocator keeps.
const BESIDES: usize = 4 << 20;

/// `ConfigResource.Type`: of a topic, a broker and a group.
const KINDS: [i8; 3] = [2, 4, 32];

fn start() -> Broker {
    let settings = [("shards", "2"), ("group.initial.rebalance.delay.ms", "0")];
    let broker = Broker::start_with(Options {
        config: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..Options::default()
    });
    broker.create_topic(TOPIC, 10, &[]);
    let mut group = Body::new();
    group.string("any");
    let found = broker.connect().call(api::FIND_COORDINATOR, 0, &group.0);
    assert_eq!(Answer(&found.expect("FindCoordinator is answered")).short(), 0);
    broker
}

fn topic_id(connection: &mut Connection) -> Uuid {
    let mut body = Body::new();
    // The end of a flexible header; one topic by its name; neither creation nor operations; no tagged fields.
    body.byte(0).byte(2).bytes(&Uuid::ZERO.0).byte(TOPIC.len() as i8 + 1);
    body.bytes(TOPIC.as_bytes()).bytes(&[0; 4]);
    let answer = connection
        .call(api::METADATA, 12, &body.0)
        .expect("Metadata is answered");
    let mut reader = Reader::new(answer[1..].to_vec().into());
    let response = MetadataResponse::decode(&mut reader, 12).expect("it can be read");
    response.topics[0].topic_id
}

/// The bodies of an API's requests in a version, with what each is made of.
fn bodies(codec: Codec, version: i16, id: Uuid) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for path in arrays(codec.schema.body, version) {
        let of_resources = path[0] == "resources";
        for names in [Names::Different(5), Names::Different(16), Names::Same] {
            for &kind in KINDS.iter().take(if of_resources { KINDS.len() } else { 1 }) {
                let what = format!("version {version}, {}, {names:?}, kind {kind}", path.join("."));
                let there = There {
                    topic: TOPIC,
                    id,
                    fresh: &what,
                    kind,
                };
                let mut body = filling(codec, version, &path, (FRAME, names), there).to_vec();
                if codec.schema.flexible.contains(version) {
                    // The header ends with its tagged fields.
                    body.insert(0, 0);
                }
                all.push((what, body));
            }
        }
    }
    all
}

/// The first version, the first flexible one and the last.
fn forms(codec: Codec, versions: RangeInclusive<i16>) -> BTreeSet<i16> {
    let flexible = codec.schema.flexible.first;
    let all = [*versions.start(), flexible, *versions.end()];
    all.into_iter().filter(|version| versions.contains(version)).collect()
}

/// Sends an API's requests to a broker of its own: how many were answered, and the most that it held beyond what it began
/// with.
fn cost(codec: Codec, api: ApiKey, versions: RangeInclusive<i16>, tell: bool) -> (usize, usize) {
    let broker = start();
    let mut connection = broker.connect();
    let id = topic_id(&mut connection);
    let before = usage::resident_bytes(broker.pid());
    let most = || broker.peak_resident_bytes().saturating_sub(before) as usize;
    let mut answered = 0;
    for version in forms(codec, versions) {
        for (what, body) in bodies(codec, version, id) {
            // Some are refused: what they would become is too much for their bytes. Then the connection is closed.
            match connection.call(api as i16, version, &body) {
                Ok(_) => answered += 1,
                Err(_) => connection = broker.connect(),
            }
            if tell {
                eprintln!("{what}: {} bytes, and {} MiB so far", body.len(), most() >> 20);
            }
        }
    }
    (answered, most())
}

#[test]
fn a_request_costs_a_small_multiple_of_its_bytes() {
    let only = std::env::var("KLAMM_REQUEST").ok();
    let mut asked = 0;
    for (api, codec, versions) in requests() {
        let is_asked = only.as_ref().is_none_or(|only| only == api.name());
        if !is_asked
            || versions
                .clone()
                .all(|version| arrays(codec.schema.body, version).is_empty())
        {
            continue;
        }
        asked += 1;
        let (answered, most) = cost(codec, api, versions, only.is_some());
        eprintln!("{}: {answered} requests, {} MiB", api.name(), most >> 20);
        assert!(answered > 0, "{} was never answered", api.name());
        assert!(
            most <= PER_BYTE * FRAME + BESIDES,
            "{}: a request of {FRAME} bytes took {most}",
            api.name()
        );
    }
    assert!(only.is_some() || asked > 20, "{asked} APIs have arrays");
}
