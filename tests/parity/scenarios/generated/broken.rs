//! Bodies of every API and version that are cut.

use super::world::World;
use crate::generate::request;
use crate::message::{Api, versions};
use crate::peer::Peer;
use crate::scenarios::find_coordinator::{GROUP, awake};
use klamm_core::wire::versions::{ApiKey, supported};
use serde_json::json;

/// Bodies of each version that are cut.
const CUTS: usize = 2;

/// Only what cannot be read is sent, so that nothing changes.
pub(super) fn bodies(peer: &mut Peer) {
    awake(peer, GROUP);
    let mut draw = peer.draw();
    let mut world = World::of_topics(peer);
    world.groups = vec!["never-joined".to_owned()];
    world.members = vec![json!("nobody")];
    world.instances = vec![json!(null)];
    for key in ApiKey::ALL.iter().filter(|key| supported(**key).is_some()) {
        let api = Api::named(key.name());
        // The last version of ApiVersions is one that Kafka 4.3 does not know, and answers without reading it.
        let last = versions(key.name()).end() - i16::from(*key == ApiKey::ApiVersions);
        for version in *versions(key.name()).start()..=last {
            for cut in 0..CUTS {
                let body = request(&mut draw, api, version, &|api, version, field| {
                    world.pool(api, version, field)
                });
                let bytes = api.encode(version, &body);
                if bytes.is_empty() {
                    continue;
                }
                let length = draw.below(bytes.len());
                peer.note(format!("{cut}, {length} of {} bytes", bytes.len()));
                let line = peer.connect();
                peer.call_bytes(line, key.name(), version, &bytes[..length]);
                peer.hang_up(line);
            }
        }
    }
}
