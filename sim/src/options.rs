//! What a run is like: everything here follows from the seed, and nothing else does.

mod faults;
mod members;

pub(crate) use members::{Habit, MemberPlan, ToolPlan};

use crate::compaction::{Compaction, draw_removal};
use crate::compress::Compression;
use crate::disk::{Hearers, Spoil, SyncFailure};
use crate::draw::Draw;
use crate::frame::{ApiVersions, Codec, GroupVersions};
use crate::image::Image;
use crate::oracle::Retention;
use crate::stage::{MICROS, MILLIS, Nanos};
use std::fmt::Write as _;

use klamm_core::config::{BrokerConfig, FlushMode, Limits, TimestampType, TopicConfig};

/// How a process ends without being asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// The process dies; the page cache survives.
    Kill,
    /// The machine does; what no sync covered may be gone.
    PowerCut,
}

/// One thing that goes wrong at a time of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The broker crashes once it has caused this many more effects.
    Crash { crash: Crash, after_effects: u64 },
    /// The broker is asked to stop, and started again.
    Restart,
    /// The next sync with something to lose fails.
    FailSync(SyncFailure),
    /// The next sync of a directory with such a name to lose fails.
    FailNameSync(Names),
    /// The system writes pages back and fails, and tells some of those who should know.
    FailWriteBack(Hearers),
    /// The device is full for a while.
    FullDisk { spare: u64, lasts: Nanos },
    /// Disk operations take a hundred times as long.
    SlowDisk { lasts: Nanos },
    /// No disk operation ends.
    StuckDisk { lasts: Nanos },
    /// The next write fails.
    FailWrite,
    /// A sector cannot be read until it is written again, or all faults end.
    UnreadableSector,
    /// A bit that was synced flips where it rests.
    Rot,
    /// As [`Fault::Rot`], in what Kafka's CRC leaves out of a batch.
    HeaderRot,
    /// As [`Fault::Rot`], in what only a log's note says to be synced; a crash follows.
    NotedRot,
    /// Power cuts in pairs, the second of which brings up behind a log what it held before the first.
    EarlierBlocks { pairs: u32 },
    /// As [`Fault::Rot`], in what compaction makes, before it gets its name.
    CompactedRot,
    /// Once the process has ended, a file that says what logs hold is spoiled.
    Spoil(Small, Spoil),
    /// A sector of the next sync goes to a wrong place, and nobody is told.
    MisdirectWrite,
    /// No descriptor is left for a while.
    NoDescriptors { lasts: Nanos },
    /// The system runs short of memory: the driver has every shard let go of what it keeps.
    ShortOfMemory,
    /// The wall clock steps by this many milliseconds.
    WallStep(i64),
    /// A connection breaks at any byte.
    Reset,
    /// A client vanishes without a word.
    HalfOpen,
    /// A shard does nothing for a while.
    Stall { lasts: Nanos },
    /// A client's bytes crawl for a while.
    SlowLink { lasts: Nanos },
}

/// Names that a sync of their directory is to make durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Names {
    Any,
    NewSegment,
}

/// A file that says what logs hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Small {
    Checkpoint,
    Note,
    Manifest,
}

/// Ranges that delays are drawn from, low to high.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Delays {
    pub(crate) network: (Nanos, Nanos),
    pub(crate) disk: (Nanos, Nanos),
    pub(crate) sync: (Nanos, Nanos),
    pub(crate) shard: (Nanos, Nanos),
    /// Frames are cut into pieces of at most this many bytes.
    pub(crate) segment: u64,
}

/// A topic that workloads use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TopicPlan {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) configs: Vec<(String, String)>,
    /// How it is compacted, if it is.
    pub(crate) compaction: Option<Compaction>,
}

/// What a client does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Appends.
    Producer(ProducerPlan),
    /// Reads everything, in order.
    Consumer(ConsumerPlan),
    /// Creates a topic, fills it, deletes it, and creates it again.
    Recreator { rounds: u32 },
    /// Consumes in a group.
    Member(MemberPlan),
    /// Does to groups what operators' tools do.
    Tool(ToolPlan),
    /// Asks about everything that there is.
    Asker { pause: Nanos },
    /// Looks offsets and metadata up.
    Prober { pause: Nanos },
    /// Has records deleted.
    Trimmer { pause: Nanos },
    /// Says what no client should say.
    Hostile { pause: Nanos },
    /// Creates the topics that the others use.
    Setup,
    /// Reads every log from its start, after it has appended to it or not.
    Verifier { appends: bool, max_bytes: i32 },
}

/// How a producer appends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProducerPlan {
    pub(crate) idempotent: bool,
    pub(crate) acks: i16,
    pub(crate) in_flight: usize,
    pub(crate) pause: Nanos,
    pub(crate) batch_records: u64,
    pub(crate) value_bytes: u64,
    pub(crate) compression: Compression,
    /// How many batches one request may carry.
    pub(crate) batches_a_request: u64,
    /// Every this many requests is followed at once by a look at the end offset; 0 for never.
    pub(crate) probe_every: u64,
}

/// How a consumer reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ConsumerPlan {
    pub(crate) max_wait_ms: i32,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) partition_max_bytes: i32,
    pub(crate) sessions: bool,
    pub(crate) pause: Nanos,
}

/// One client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ClientPlan {
    pub(crate) role: Role,
    pub(crate) codec: Codec,
    pub(crate) versions: ApiVersions,
    /// How long it waits for an answer before it closes the connection.
    pub(crate) timeout: Nanos,
}

/// Everything that a seed decides.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    /// No fault; then no error, timeout or retry is allowed either.
    pub(crate) calm: bool,
    pub(crate) shards: u16,
    pub(crate) broker: BrokerConfig,
    pub(crate) delays: Delays,
    pub(crate) topics: Vec<TopicPlan>,
    pub(crate) clients: Vec<ClientPlan>,
    /// Logs that the run begins with.
    pub(crate) images: Vec<Image>,
    /// When each begins, ascending.
    pub(crate) faults: Vec<(Nanos, Fault)>,
    /// How long the workload and its faults last.
    pub(crate) safety: Nanos,
    /// How the broker is started anew before it must come to rest.
    pub(crate) last_crash: Option<Crash>,
    /// What the wall clock shows at the beginning, in milliseconds.
    pub(crate) wall: i64,
    /// A restart takes up to this long.
    pub(crate) restart: Nanos,
    /// One restart in this many crashes again while it recovers; 0 for none.
    pub(crate) crash_in_recovery: u64,
}

impl Options {
    /// The run that `seed` stands for.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let calm = draw.chance(1, 10);
        let safety = draw.within(1000, 4000) * MILLIS;
        let mut broker = draw_broker(&mut draw);
        if calm {
            // A client with nothing left to do is no error.
            broker.connections_max_idle_ms = BrokerConfig::default().connections_max_idle_ms;
        }
        let mut topics = draw_topics(&mut draw);
        let mut clients = draw_clients(&mut draw, calm);
        draw_removal(seed, &mut topics, &mut broker, &mut clients);
        let images = Image::draw_all(&mut draw, &topics);
        let mut faults = if calm {
            Vec::new()
        } else {
            faults::draw(&mut draw, safety)
        };
        if broker.flush == FlushMode::Os {
            faults.retain(|(_, fault)| faults::promised_by_page_cache(fault));
        }
        let mut options = Self {
            seed,
            calm,
            shards: draw.pick(&[1, 2, 2, 2, 3]),
            broker,
            delays: draw_delays(&mut draw),
            topics,
            clients,
            images,
            faults,
            safety,
            last_crash: draw
                .pick(&[None, Some(Crash::Kill), Some(Crash::PowerCut)])
                .filter(|_| !calm),
            wall: draw.within(1_600_000_000_000, 1_800_000_000_000) as i64,
            restart: draw.within(1, 150) * MILLIS,
            crash_in_recovery: if calm { 0 } else { draw.pick(&[0, 2, 4]) },
        };
        members::draw(&mut draw, &mut options);
        members::draw_removal(&mut options);
        faults::draw_shortage(&mut options);
        faults::draw_rare(&mut options);
        options
    }
}

impl Options {
    /// What retention removes.
    pub(crate) fn retention(&self) -> Retention {
        Retention {
            ms: self.broker.topic_defaults.retention_ms,
            bytes: self.broker.topic_defaults.retention_bytes,
        }
    }

    /// Whether clients take part in groups.
    pub(crate) fn has_groups(&self) -> bool {
        self.clients
            .iter()
            .any(|client| matches!(client.role, Role::Member(_) | Role::Tool(_)))
    }

    /// Whether anything but crashes makes records go.
    pub(crate) fn removes(&self) -> bool {
        let trims = self
            .clients
            .iter()
            .any(|client| matches!(client.role, Role::Trimmer { .. }));
        let compacts = self.topics.iter().any(|topic| topic.compaction.is_some());
        trims || compacts || self.retention().is_on()
    }

    /// The key that records of no interest have in a topic: compacted ones take none without.
    pub(crate) fn key_of(&self, topic: &str) -> Option<Vec<u8>> {
        let mut topics = self.topics.iter();
        let compacted = topics.any(|plan| plan.name == topic && plan.compaction.is_some());
        compacted.then(|| b"again and again".to_vec())
    }

    /// Whether records of the topic may be deleted by offset.
    pub(crate) fn lets_delete(&self, topic: &str) -> bool {
        let plan = self.topics.iter().find(|plan| plan.name == topic);
        plan.and_then(|plan| plan.compaction)
            .is_none_or(|compaction| compaction.deletes)
    }

    /// Leaves producers without ids only, with these acks.
    pub(crate) fn only_plain_producers(&mut self, acks: i16) {
        self.clients.retain(|client| matches!(client.role, Role::Producer(_)));
        for client in &mut self.clients {
            client.timeout = 300 * MILLIS;
            if let Role::Producer(plan) = &mut client.role {
                plan.idempotent = false;
                plan.acks = acks;
            }
        }
    }

    /// What the run is like, for people.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!(
            "seed {}: {} shards, flush={:?}, segments of {} bytes{}\n",
            self.seed,
            self.shards,
            self.broker.flush,
            self.broker.topic_defaults.segment_bytes,
            if self.calm { ", no faults" } else { "" },
        );
        let _ = writeln!(text, "  limits    {:?}", self.broker.limits);
        let _ = writeln!(text, "  topics    {:?}", self.broker.topic_defaults);
        let _ = writeln!(text, "  delays    {:?}", self.delays);
        for image in &self.images {
            let _ = writeln!(text, "  image     {image:?}");
        }
        for topic in &self.topics {
            let _ = writeln!(text, "  topic     {topic:?}");
        }
        for client in &self.clients {
            let _ = writeln!(text, "  client    {:?}, {:?} codec", client.role, client.codec);
        }
        for (at, fault) in &self.faults {
            let _ = writeln!(text, "  fault     at {} ms: {fault:?}", at / MILLIS);
        }
        text
    }
}

/// The smallest segment that still holds a batch of every producer, twice.
pub(crate) const LEAST_SEGMENT: u64 = 2 * LARGEST_BATCH;
/// No producer sends a larger batch.
pub(crate) const LARGEST_BATCH: u64 = 8 * 1024;

fn draw_limits(draw: &mut Draw) -> Limits {
    let limits = Limits::default();
    Limits {
        frames_in_flight: draw.spread(1, 16) as u32,
        tail_cache_bytes: draw.pick(&[0, 1000, 20_000, limits.tail_cache_bytes]),
        open_files: draw.pick(&[4, 8, 16, limits.open_files]),
        files_synced_singly: draw.pick(&[0, 1, 2, limits.files_synced_singly]),
        round_wait_nanos: draw.pick(&[0, 1, limits.round_wait_nanos, 20 * MILLIS]),
        index_cache_bytes: draw.pick(&[0, 1000, limits.index_cache_bytes]),
        checkpoint_bytes: draw.pick(&[1, 2000, 20_000, limits.checkpoint_bytes]),
        note_bytes: draw.pick(&[1, 2000, 20_000, limits.note_bytes]),
        asks_in_flight: draw.pick(&[1, 2, limits.asks_in_flight]),
        producers_per_partition: draw.pick(&[16, limits.producers_per_partition]),
        fetch_sessions: draw.pick(&[0, 1, 2, limits.fetch_sessions]),
        fetch_session_bytes: draw.pick(&[0, 1000, 5000, limits.fetch_session_bytes]),
        waiting_bytes: draw.pick(&[0, 1000, 5000, limits.waiting_bytes]),
        connection_unsent_bytes: draw.pick(&[1, 200, limits.connection_unsent_bytes]),
        unsent_bytes: draw.pick(&[1, 2000, limits.unsent_bytes]),
        fetch_session_idle_ms: draw.pick(&[0, 50, limits.fetch_session_idle_ms]),
        opened_in_step: draw.pick(&[0, 300, limits.opened_in_step]),
        turn_work: draw.pick(&[1, 3, 50, limits.turn_work]),
        producer_id_block: draw.pick(&[1, 1, 2, 10, limits.producer_id_block]),
        timers_per_tick: draw.pick(&[1, 4, limits.timers_per_tick]),
        recoveries: draw.pick(&[1, 2, limits.recoveries]),
        dormant_after_ms: draw.pick(&[10, 300, limits.dormant_after_ms]),
        cleaner_key_bytes: limits.cleaner_key_bytes,
        cleaner_stretch_bytes: limits.cleaner_stretch_bytes,
    }
}

fn draw_broker(draw: &mut Draw) -> BrokerConfig {
    let small = draw.chance(3, 4);
    let limits = draw_limits(draw);
    let defaults = TopicConfig::default();
    // Half of the runs delete nothing.
    let retention = match draw.below(4) {
        0 => Retention {
            ms: Some(draw.spread(300, 5000)),
            bytes: None,
        },
        1 => Retention {
            ms: None,
            bytes: Some(draw.spread(0, 60_000)),
        },
        _ => Retention::default(),
    };
    let topic_defaults = TopicConfig {
        segment_bytes: if small {
            draw.spread(LEAST_SEGMENT, 300_000) as u32
        } else {
            defaults.segment_bytes
        },
        segment_ms: draw.pick(&[50, 1000, defaults.segment_ms]),
        index_interval_bytes: draw.pick(&[1, 1, 500, defaults.index_interval_bytes]),
        max_message_bytes: draw.pick(&[LARGEST_BATCH as u32, defaults.max_message_bytes]),
        retention_ms: retention.ms,
        retention_bytes: retention.bytes,
        timestamp_type: draw.pick(&[
            TimestampType::CreateTime,
            TimestampType::CreateTime,
            TimestampType::LogAppendTime,
        ]),
        timestamp_before_max_ms: i64::MAX as u64,
        timestamp_after_max_ms: i64::MAX as u64,
        ..defaults
    };
    let base = BrokerConfig::default();
    BrokerConfig {
        flush: draw.pick(&[FlushMode::Fsync, FlushMode::Fsync, FlushMode::Fsync, FlushMode::Os]),
        auto_create_topics: draw.chance(1, 2),
        connections_max_idle_ms: draw.pick(&[2000, base.connections_max_idle_ms]),
        retention_check_interval_ms: if retention.is_on() {
            draw.pick(&[20, 100])
        } else {
            draw.pick(&[100, base.retention_check_interval_ms])
        },
        topic_defaults,
        limits,
        ..base
    }
}

fn draw_topics(draw: &mut Draw) -> Vec<TopicPlan> {
    let count = draw.within(1, 3);
    let topics = (0..count).map(|index| TopicPlan {
        name: format!("topic-{index}"),
        partitions: draw.within(1, 4) as i32,
        configs: if draw.chance(1, 3) {
            let bytes = draw.spread(LEAST_SEGMENT, 100_000);
            vec![("internal.segment.bytes".to_owned(), bytes.to_string())]
        } else {
            Vec::new()
        },
        compaction: None,
    });
    topics.collect()
}

fn draw_clients(draw: &mut Draw, calm: bool) -> Vec<ClientPlan> {
    let mut roles = Vec::new();
    for _ in 0..draw.within(1, 4) {
        roles.push(Role::Producer(draw_producer(draw)));
    }
    for _ in 0..draw.within(1, 3) {
        roles.push(Role::Consumer(draw_consumer(draw)));
    }
    if draw.chance(1, 3) {
        roles.push(Role::Recreator {
            rounds: draw.within(2, 5) as u32,
        });
    }
    if draw.chance(3, 4) {
        let pause = draw.within(1, 12) * MILLIS;
        roles.push(Role::Prober { pause });
    }
    if draw.chance(1, 3) {
        let pause = draw.within(5, 100) * MILLIS;
        roles.push(Role::Hostile { pause });
    }
    let patience = if calm { 30_000 } else { draw.spread(40, 1500) };
    let plan = |role| {
        let codec = if draw.chance(1, 4) { Codec::Crate } else { Codec::Own };
        let mut versions = draw_versions(draw, codec);
        if matches!(&role, Role::Producer(plan) if plan.compression == Compression::Zstd) {
            // Older versions are refused (KIP-110).
            versions.produce = versions.produce.max(7);
        }
        ClientPlan {
            role,
            codec,
            versions,
            timeout: patience * MILLIS,
        }
    };
    roles.into_iter().map(plan).collect()
}

fn draw_producer(draw: &mut Draw) -> ProducerPlan {
    let idempotent = draw.chance(3, 5);
    ProducerPlan {
        idempotent,
        acks: if idempotent { -1 } else { draw.pick(&[-1, -1, 1, 0]) },
        in_flight: draw.within(1, 5) as usize,
        pause: draw.spread(1500, 30_000) * MICROS,
        batch_records: draw.spread(1, 12),
        value_bytes: draw.spread(48, 500),
        compression: draw.pick(&[
            Compression::None,
            Compression::None,
            Compression::None,
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::XerialSnappy,
            Compression::Lz4,
            Compression::Zstd,
        ]),
        batches_a_request: draw.within(1, 3),
        probe_every: draw.pick(&[0, 3, 10]),
    }
}

fn draw_consumer(draw: &mut Draw) -> ConsumerPlan {
    ConsumerPlan {
        max_wait_ms: draw.pick(&[0, 5, 50, 500, 8000, 8000]),
        min_bytes: draw.pick(&[0, 1, 1, 2000]),
        max_bytes: draw.pick(&[1, 5000, 1 << 20, 1 << 20]),
        partition_max_bytes: draw.pick(&[1, 3000, 1 << 20]),
        sessions: draw.chance(1, 2),
        pause: draw.spread(1000, 15_000) * MICROS,
    }
}

fn draw_versions(draw: &mut Draw, codec: Codec) -> ApiVersions {
    ApiVersions {
        produce: draw.within(3, 13) as i16,
        fetch: draw.within(4, 18) as i16,
        list_offsets: draw.within(1, codec.list_offsets_last() as u64) as i16,
        metadata: draw.within(10, 13) as i16,
        create_topics: draw.within(2, 7) as i16,
        delete_topics: draw.within(1, 6) as i16,
        init_producer_id: draw.within(0, 5) as i16,
        groups: GroupVersions::LATEST,
    }
}

fn draw_delays(draw: &mut Draw) -> Delays {
    let mut range = |low: (u64, u64), width: (u64, u64)| {
        let low = draw.spread(low.0, low.1);
        (low * MICROS, (low + draw.spread(width.0, width.1)) * MICROS)
    };
    Delays {
        network: range((20, 500), (10, 5000)),
        disk: range((2, 50), (1, 1000)),
        sync: range((20, 2000), (1, 20_000)),
        shard: range((1, 5), (1, 200)),
        segment: draw.pick(&[16, 1460, 65_536]),
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn a_seed_draws_the_same_run_again() {
        for seed in 0..50 {
            assert_eq!(Options::draw(seed), Options::draw(seed));
        }
    }

    #[test]
    fn a_tenth_of_the_runs_is_calm_and_the_others_reach_every_fault() {
        let runs: Vec<Options> = (0..1000).map(Options::draw).collect();
        let calm = runs.iter().filter(|run| run.calm).count();
        assert!((60..150).contains(&calm), "{calm} calm runs");
        assert!(runs.iter().all(|run| !run.calm || run.faults.is_empty()));
        let kinds: std::collections::BTreeSet<_> = runs
            .iter()
            .flat_map(|run| {
                run.faults
                    .iter()
                    .map(|(_, fault)| format!("{:?}", std::mem::discriminant(fault)))
            })
            .collect();
        assert_eq!(kinds.len(), 24, "{kinds:?}");
    }
}
