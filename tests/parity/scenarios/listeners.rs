//! Brokers with several listeners: whoever comes in on one is told what is advertised for it, and on one for which nothing
//! is, that nobody is there. It starts the brokers anew.

use super::Scenario;
use super::find_coordinator::{GROUP, awake};
use crate::message::versions;
use crate::peer::Peer;
use serde_json::json;

pub(super) const SCENARIOS: &[Scenario] = &[("listeners/each its endpoint", endpoints)];

fn endpoints(peer: &mut Peer) {
    let more = peer.restart_listening(&[("EXTERNAL", Some("external.example:19092")), ("BARE", None)]);
    awake(peer, GROUP);
    let topic = peer.topic("t", 2, &[]);
    for (listener, address) in ["PLAINTEXT", "EXTERNAL", "BARE"].iter().zip(more) {
        let line = peer.connect_to(&address);
        peer.note(format!("on {listener}"));
        for version in versions("Metadata") {
            peer.call(line, "Metadata", version, &json!({ "topics": [{ "name": topic }] }));
        }
        for version in versions("DescribeCluster") {
            peer.call(line, "DescribeCluster", version, &json!({}));
        }
        for version in versions("FindCoordinator") {
            let asked = if version >= 4 {
                json!({ "key_type": GROUP, "coordinator_keys": ["a", "b"] })
            } else {
                json!({ "key_type": GROUP, "key": "a" })
            };
            peer.call(line, "FindCoordinator", version, &asked);
        }
        let asked = json!({ "topics": [{ "name": topic }], "response_partition_limit": 9 });
        peer.call(line, "DescribeTopicPartitions", 0, &asked);
    }
}
