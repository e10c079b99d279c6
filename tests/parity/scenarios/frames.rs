//! Frames that are no requests: wrong lengths, unknown APIs and versions, headers and bodies that are cut or lie.

use super::Scenario;
use crate::message::Api;
use crate::peer::Peer;
use klamm_core::wire::versions::ApiKey;
use serde_json::json;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("frames/lengths", lengths),
    ("frames/unknown APIs", unknown_apis),
    ("frames/unknown versions", unknown_versions),
    ("frames/headers", headers),
    ("frames/names that are no UTF-8", not_utf8),
    ("frames/bodies cut short", cut),
    ("frames/bodies with more behind them", more),
    ("frames/counts that lie", lies),
    ("frames/in a row", in_a_row),
];

fn lengths(peer: &mut Peer) {
    for (note, length, bytes) in [
        ("negative", -1, &[][..]),
        ("the smallest", i32::MIN, &[]),
        ("above the limit", 104_857_601, &[]),
        ("the largest", i32::MAX, &[]),
        ("0", 0, &[]),
        ("two bytes", 2, &[0, 3]),
        ("a web browser's", i32::from_be_bytes(*b"GET "), b"/ HTTP/1.1\r\n\r\n"),
        ("TLS's", i32::from_be_bytes([0x16, 3, 1, 2]), &[0; 60]),
    ] {
        peer.note(note);
        let line = peer.connect();
        peer.call_raw(line, length, bytes);
    }
}

fn unknown_apis(peer: &mut Peer) {
    for key in [4, 5, 6, 7, 95, 999, i16::MAX, -1, i16::MIN] {
        for version in [0, 1] {
            peer.note(format!("key {key}, version {version}"));
            let line = peer.connect();
            peer.call_key(line, key, version, false, &[0; 8]);
        }
    }
}

/// Every API that is served, just outside of its versions.
fn unknown_versions(peer: &mut Peer) {
    for api in ApiKey::ALL
        .iter()
        .filter_map(|key| Api::find(key.name()))
        .filter(|api| api.key != ApiKey::ApiVersions)
    {
        let versions = api.versions();
        for version in [*versions.start() - 1, *versions.end() + 1, 99, -1, i16::MAX] {
            peer.note(format!("{} {version}", api.key.name()));
            let line = peer.connect();
            peer.call_key(
                line,
                api.key.code(),
                version,
                api.key.flexible().contains(version),
                &[0; 30],
            );
        }
    }
}

fn headers(peer: &mut Peer) {
    // ApiVersions 0 in all of them: key, version, correlation id, client id.
    for (note, bytes) in [
        ("a null client id", &[0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff][..]),
        ("an empty client id", &[0, 18, 0, 0, 0, 0, 0, 1, 0, 0]),
        (
            "a client id of a negative length",
            &[0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xfe],
        ),
        ("a client id beyond the frame", &[0, 18, 0, 0, 0, 0, 0, 1, 0, 9, b'a']),
        ("no client id", &[0, 18, 0, 0, 0, 0, 0, 1]),
        ("no correlation id", &[0, 18, 0, 0]),
        (
            "a negative correlation id",
            &[0, 18, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        (
            "a client id that is no UTF-8",
            &[0, 18, 0, 0, 0, 0, 0, 1, 0, 2, 0xc3, 0x28],
        ),
        // ApiVersions 3, whose header has tagged fields; two empty names and no tagged field in the body.
        (
            "no tagged fields",
            &[0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 0, 2, b'a', 2, b'a', 0],
        ),
        (
            "an unknown tagged field",
            &[0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 1, 9, 2, 7, 7, 2, b'a', 2, b'a', 0],
        ),
        (
            "a tagged field beyond the frame",
            &[0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 1, 9, 99, 7],
        ),
        (
            "a header of the version before",
            &[0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 2, b'a', 2, b'a', 0],
        ),
    ] {
        peer.note(note);
        let line = peer.connect();
        peer.call_raw(line, bytes.len() as i32, bytes);
    }
}

/// A good body of an API that has some substance.
fn good(version: i16, api: &str) -> Vec<u8> {
    let body = match api {
        "Metadata" => json!({ "topics": [{ "name": "never-created" }], "allow_auto_topic_creation": false }),
        "ListOffsets" => {
            json!({ "replica_id": -1, "topics": [{ "name": "never-created", "partitions": [{ "partition_index": 0, "timestamp": -1 }] }] })
        }
        _ => {
            json!({ "resources": [{ "resource_type": 2, "resource_name": "never-created", "configuration_keys": ["retention.ms"] }] })
        }
    };
    Api::named(api).encode(version, &body)
}

const SOME_APIS: [(&str, [i16; 2]); 3] = [
    ("Metadata", [4, 12]),
    ("ListOffsets", [2, 7]),
    ("DescribeConfigs", [1, 4]),
];

/// Names as a client in another encoding sends them.
fn not_utf8(peer: &mut Peer) {
    let long = [0xfe; 300];
    for name in [&b"gr\xf6\xdfer"[..], b"\xff", b"\xc3\x28", b"\xf0\x9f\x98", &long] {
        peer.note(format!("{} bytes", name.len()));
        let length = (name.len() as i16).to_be_bytes();
        let line = peer.connect();
        let body = [&1_i32.to_be_bytes()[..], &length, name, &[0]].concat();
        peer.call_bytes(line, "Metadata", 4, &body);
        let body = [&1_i32.to_be_bytes()[..], &length, name].concat();
        let line = peer.connect();
        peer.call_bytes(line, "DescribeGroups", 0, &body);
    }
}

fn cut(peer: &mut Peer) {
    for (api, versions) in SOME_APIS {
        for version in versions {
            let body = good(version, api);
            for length in 0..body.len() {
                peer.note(format!("{length} of {} bytes", body.len()));
                let line = peer.connect();
                peer.call_bytes(line, api, version, &body[..length]);
            }
        }
    }
}

/// What follows a message in its frame.
fn more(peer: &mut Peer) {
    for (api, versions) in SOME_APIS {
        for version in versions {
            for extra in [&[0][..], &[0; 100], &[0xff; 3]] {
                peer.note(format!("{extra:.10?} behind it"));
                let line = peer.connect();
                peer.call_bytes(line, api, version, &[&good(version, api), extra].concat());
            }
        }
    }
}

fn lies(peer: &mut Peer) {
    for lie in [i32::MAX, 1_000_000, 100, 2, -2, i32::MIN] {
        for (api, version, before) in [
            ("Metadata", 1, &[][..]),
            ("CreateTopics", 2, &[]),
            ("Produce", 3, &[0xff, 0xff, 0xff, 0xff, 0, 0, 9, 9]),
            (
                "Fetch",
                4,
                &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 0],
            ),
        ] {
            peer.note(format!("{lie} topics"));
            let line = peer.connect();
            peer.call_bytes(line, api, version, &[before, &lie.to_be_bytes(), &[0; 3]].concat());
        }
    }
    for lie in [
        &[0xff, 0xff, 0xff, 0xff, 0x0f][..],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff; 10],
        &[0x80, 0x80, 0x80, 0x80, 0x08],
    ] {
        peer.note(format!("a length of {lie:?}"));
        let line = peer.connect();
        peer.call_bytes(line, "Metadata", 9, &[lie, &[0; 3]].concat());
    }
}

/// What follows a request that is refused, on the same connection.
fn in_a_row(peer: &mut Peer) {
    let line = peer.connect();
    peer.send(line, "ApiVersions", 0, &json!({}));
    peer.send(
        line,
        "Metadata",
        4,
        &json!({ "topics": [{ "name": "a b" }], "allow_auto_topic_creation": false }),
    );
    peer.send(line, "ListOffsets", 2, &json!({ "replica_id": -1, "topics": [] }));
    for _ in 0..3 {
        peer.receive(line);
    }
    peer.note("behind one that cannot be read");
    peer.call_bytes(line, "Metadata", 4, &[0, 0, 0, 9]);
    peer.call(
        line,
        "Metadata",
        4,
        &json!({ "topics": [], "allow_auto_topic_creation": false }),
    );
}
