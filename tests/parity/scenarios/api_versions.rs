//! `ApiVersions`: which versions there are, what a client may say about itself, and versions that nobody knows.

use super::Scenario;
use crate::message::versions;
use crate::peer::Peer;
use serde_json::json;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("api_versions/every version", every_version),
    ("api_versions/software names", software_names),
    ("api_versions/unknown versions", unknown_versions),
    ("api_versions/the cluster meant", cluster_meant),
];

fn every_version(peer: &mut Peer) {
    let line = peer.connect();
    for version in versions("ApiVersions") {
        let body = json!({ "client_software_name": "parity", "client_software_version": "1.0" });
        peer.call(line, "ApiVersions", version, &body);
    }
}

fn software_names(peer: &mut Peer) {
    for version in 3..=*versions("ApiVersions").end() {
        let line = peer.connect();
        for name in ["", " ", "a b", "-a", "a-", "a.b-c", "a_b", "ü", "0", "a\nb"] {
            peer.note(format!("name {name:?}"));
            peer.call(
                line,
                "ApiVersions",
                version,
                &json!({ "client_software_name": name, "client_software_version": "1" }),
            );
            peer.note(format!("version {name:?}"));
            peer.call(
                line,
                "ApiVersions",
                version,
                &json!({ "client_software_name": "a", "client_software_version": name }),
            );
        }
    }
}

/// Answered in version 0, whatever follows the header, and the connection stays open.
fn unknown_versions(peer: &mut Peer) {
    for version in [6, 7, 99, i16::MAX, -1, i16::MIN] {
        let line = peer.connect();
        peer.note(format!("version {version}"));
        peer.call_key(line, 18, version, true, &[0, 0, 0]);
        peer.call(line, "ApiVersions", 0, &json!({}));
        peer.note("its own versions");
        peer.call(line, "ApiVersions", version, &json!({}));
        let line = peer.connect();
        peer.note(format!("version {version}, header without tagged fields"));
        peer.call_key(line, 18, version, false, &[]);
    }
}

fn cluster_meant(peer: &mut Peer) {
    let software = |mut body: serde_json::Value| {
        body["client_software_name"] = json!("parity");
        body["client_software_version"] = json!("1");
        body
    };
    for (note, body) in [
        ("another cluster", json!({ "cluster_id": "another", "node_id": 1 })),
        ("another node", json!({ "node_id": 7 })),
        ("a cluster without a node", json!({ "cluster_id": "another" })),
        ("this node", json!({ "node_id": 1 })),
    ] {
        peer.note(note);
        peer.ask("ApiVersions", 5, &software(body));
    }
}
