//! How a topic is compacted in a run, and what its producers write for it: few keys, tombstones among them.

use crate::draw::Draw;
use crate::options::{ClientPlan, LEAST_SEGMENT, Role, TopicPlan};
use crate::stage::MILLIS;
use klamm_core::config::BrokerConfig;

/// How a topic is compacted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Compaction {
    /// Whether whole segments go by age and size too: `cleanup.policy=compact,delete`.
    pub(crate) deletes: bool,
    /// How many keys each partition has.
    pub(crate) keys: u64,
    /// One record in this many is a tombstone.
    pub(crate) tombstone_in: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_ms: Option<u64>,
    /// `min.cleanable.dirty.ratio`, in thousandths.
    dirty_thousandths: u64,
    pub(crate) delete_retention_ms: u64,
    pub(crate) min_lag_ms: u64,
    pub(crate) max_lag_ms: Option<u64>,
}

impl Compaction {
    pub(crate) fn draw(draw: &mut Draw) -> Self {
        Self {
            deletes: draw.chance(1, 4),
            keys: draw.spread(1, 40),
            tombstone_in: draw.pick(&[2, 4, 8]),
            segment_bytes: draw.spread(LEAST_SEGMENT, 60_000),
            segment_ms: draw.pick(&[Some(30), Some(100), Some(400), None]),
            dirty_thousandths: draw.pick(&[0, 0, 100, 500]),
            delete_retention_ms: draw.pick(&[0, 20, 200, 1000, 86_400_000]),
            min_lag_ms: draw.pick(&[0, 0, 0, 100, 1500]),
            max_lag_ms: draw.pick(&[None, None, Some(50), Some(500)]),
        }
    }

    /// Has some topics compacted, by a broker that looks often what there is to compact.
    fn draw_all(draw: &mut Draw, topics: &mut [TopicPlan], broker: &mut BrokerConfig) {
        for (index, topic) in topics.iter_mut().enumerate() {
            if index == 0 || draw.chance(1, 3) {
                let compaction = Self::draw(draw);
                topic.configs = compaction.configs();
                topic.compaction = Some(compaction);
            }
        }
        broker.cleaner_backoff_ms = draw.pick(&[10, 20, 50, 150]);
        let limits = &mut broker.limits;
        limits.cleaner_key_bytes = draw.pick(&[450, 900, 3000, limits.cleaner_key_bytes]);
        limits.cleaner_stretch_bytes = draw.pick(&[1, 10_000, limits.cleaner_stretch_bytes]);
    }

    fn configs(&self) -> Vec<(String, String)> {
        let policy = if self.deletes { "compact,delete" } else { "compact" };
        let ratio = format!("{}.{:03}", self.dirty_thousandths / 1000, self.dirty_thousandths % 1000);
        let mut configs = vec![
            ("cleanup.policy", policy.to_owned()),
            ("internal.segment.bytes", self.segment_bytes.to_string()),
            ("min.cleanable.dirty.ratio", ratio),
            ("delete.retention.ms", self.delete_retention_ms.to_string()),
            ("min.compaction.lag.ms", self.min_lag_ms.to_string()),
        ];
        let optional = [
            ("segment.ms", self.segment_ms),
            ("max.compaction.lag.ms", self.max_lag_ms),
        ];
        for (name, value) in optional {
            // The lag that a record may have at most is no shorter than the one that it must have.
            let value = value.map(|value| {
                if name == "segment.ms" {
                    value
                } else {
                    value.max(self.min_lag_ms)
                }
            });
            configs.extend(value.map(|value| (name, value.to_string())));
        }
        configs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// The key of the record that a producer numbers so, and whether the record is to be a tombstone.
    pub(crate) fn draw_key(&self, draw: &mut Draw) -> (Vec<u8>, bool) {
        let key = draw.below(self.keys);
        (key.to_be_bytes().to_vec(), draw.chance(1, self.tombstone_in))
    }
}

/// Half of the runs remove nothing. Of the others, some compact topics, some have a client that deletes records, and some of
/// these remove nothing by age and size.
pub(crate) fn draw_removal(
    seed: u64,
    topics: &mut [TopicPlan],
    broker: &mut BrokerConfig,
    clients: &mut Vec<ClientPlan>,
) {
    let mut draw = Draw::new(seed ^ 0xC0DE_C0DE_0DD5_EED5);
    let defaults = &mut broker.topic_defaults;
    if defaults.retention_ms.is_none() && defaults.retention_bytes.is_none() {
        return;
    }
    let (compacts, trims) = (draw.chance(2, 3), draw.chance(1, 2));
    if (compacts || trims) && draw.chance(1, 2) {
        defaults.retention_ms = None;
        defaults.retention_bytes = None;
    }
    if compacts {
        Compaction::draw_all(&mut draw, topics, broker);
    }
    if trims && let Some(like) = clients.first().cloned() {
        let pause = draw.spread(5, 300) * MILLIS;
        clients.push(ClientPlan {
            role: Role::Trimmer { pause },
            ..like
        });
    }
}
