//! `DescribeLogDirs`: what partitions take on disk.

use super::Scenario;
use crate::batch::Batch;
use crate::message::versions;
use crate::peer::Peer;
use serde_json::{Value as Json, json};

pub(super) const SCENARIOS: &[Scenario] = &[("describe_log_dirs/topics", topics)];

fn topics(peer: &mut Peer) {
    let (filled, empty) = (peer.topic("filled", 3, &[]), peer.topic("empty", 1, &[]));
    for _ in 0..3 {
        peer.append(&filled, 0, &Batch::of_values(&["a", "b"]));
    }
    peer.append(&filled, 2, &Batch::of_values(&["c"]));
    let one = |topic: &str, partitions: Json| json!({ "topic": topic, "partitions": partitions });
    for version in versions("DescribeLogDirs") {
        for (note, topics) in [
            ("all of a topic", json!([one(&filled, json!([0, 1, 2]))])),
            ("some, in another order", json!([one(&filled, json!([2, 0]))])),
            ("one that holds nothing", json!([one(&empty, json!([0]))])),
            ("two topics", json!([one(&filled, json!([0])), one(&empty, json!([0]))])),
            ("a partition twice", json!([one(&filled, json!([0, 0]))])),
            (
                "a topic twice",
                json!([one(&filled, json!([0])), one(&filled, json!([2]))]),
            ),
            ("no partition", json!([one(&filled, json!([]))])),
            ("an unknown partition", json!([one(&filled, json!([7, -1, 0]))])),
            ("an unknown topic", json!([one("never-created", json!([0]))])),
            ("a topic that cannot be", json!([one("a b", json!([0]))])),
            ("nothing", json!([])),
        ] {
            peer.note(note);
            peer.ask("DescribeLogDirs", version, &json!({ "topics": topics }));
        }
    }
}
