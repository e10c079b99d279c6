//! Fetch: reads from many partitions at once, and waits for records where there are not enough.
//!
//! Every home answers with plans of what to read, not with data; they are trimmed here to what the client takes, in the
//! order of the request. Homes that have too little watch their partitions, and the fetch asks again at their news.
//!
//! Invariants: a fetch that waits keeps nothing but what it asks for, which is charged to the room of its shard; where
//! that has none, it does not wait, but its connection begins nothing for a moment.

use super::{Progress, Work, bytes_in_memory};
use crate::bugs::bug;
use crate::metadata::{Endpoint, Image, Registration};
use crate::partition::{FetchAsk, Fetched, Fetcher, PartitionAnswer, PartitionAsk};
use crate::session::fetch_sessions::{Mode, SessionHeader, Target, Told, TopicKey};
use crate::session::scatter::Scatter;
use crate::session::{self, Action, Answer, Call, Event};
use crate::storage::Lease;
use crate::types::{
    BrokerId, ErrorCode, LeaderEpoch, ListenerName, Monotonic, Offset, OpId, ShardId, TopicId, TopicPartition, Uuid,
};
use crate::wire::message::fetch::{
    EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch,
    NodeEndpoint, PartitionData,
};
use crate::wire::{Records, Text};
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;

const READ_COMMITTED: i8 = 1;
const REPLICA_STATE_SINCE: i16 = 15;
/// Since this version, who does not lead says who does (KIP-951).
const LEADER_HINT_SINCE: i16 = 16;

/// A fetch that asks or waits.
#[derive(Debug)]
pub(in crate::session) struct Fetch {
    mode: Mode,
    /// How the client names topics: by id, since version 13.
    by_id: bool,
    targets: Vec<Target>,
    fetcher: Fetcher,
    read_committed: bool,
    min_bytes: usize,
    max_bytes: usize,
    deadline: Monotonic,
    scatter: Scatter,
    /// The watches of the round that runs.
    watches: Vec<Watch>,
    stage: Stage,
    /// Bytes of memory that it holds, here and at the homes, while it waits.
    size: usize,
    /// What of that was charged.
    charged: usize,
    /// What its client is told of how long its connection begins nothing, in milliseconds.
    throttle_ms: u64,
}

/// How long a connection begins nothing after a fetch that had no room to wait, in milliseconds.
const NO_ROOM_MS: u64 = 100;

/// News that a home is to tell of.
#[derive(Debug)]
struct Watch {
    home: ShardId,
    op: OpId,
    /// Bytes that the home waits for.
    wanted: usize,
}

/// Bytes of memory that a fetch holds while it waits, whatever it asks for.
const FETCH_BYTES: usize = 512;
/// Bytes that it holds for each partition, its home's watch among them.
const TARGET_BYTES: usize = 400;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The homes were asked.
    Asking,
    /// As [`Stage::Asking`], and there was news or the deadline came meanwhile: ask again if it is not enough.
    AskingStale,
    /// All answered, and it is not enough yet.
    Watching,
}

pub(super) fn begin(request: FetchRequest, call: &mut Call<'_, '_>) -> Progress {
    let by_id = call.header.version >= 13;
    let header = SessionHeader {
        id: request.session_id,
        epoch: request.session_epoch,
        by_id,
    };
    let now = call.context.now.monotonic;
    let max_bytes = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(call.context.config.fetch_max_bytes as usize);
    let (read_committed, min_bytes) = (
        request.isolation_level == READ_COMMITTED,
        // More than a response may carry will never be there (`KafkaApis.handleFetchRequest`).
        usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes),
    );
    let fetcher = fetcher(&request, call.header.version);
    let deadline = now.plus_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let (targets, forgotten) = read_targets(request, by_id);
    let (mode, targets) = match call.context.fetch_sessions.begin(header, targets, &forgotten, now) {
        Ok(begun) => begun,
        Err(code) => {
            return call.respond(&FetchResponse {
                error_code: code.code(),
                ..FetchResponse::default()
            });
        }
    };
    let (scatter, watches) = (nothing_asked(), Vec::new());
    let stage = Stage::Asking;
    let size = size_of_wait(&targets);
    Fetch {
        mode,
        by_id,
        targets,
        fetcher,
        read_committed,
        min_bytes,
        max_bytes,
        deadline,
        scatter,
        watches,
        stage,
        size,
        charged: 0,
        throttle_ms: 0,
    }
    .ask(call)
}

const fn nothing_asked() -> Scatter {
    Scatter::new(|code| PartitionAnswer::Fetched(Fetched::refused(code)))
}

/// Partitions of one topic follow each other and share its name, unless their client orders them otherwise.
fn size_of_wait(targets: &[Target]) -> usize {
    let mut bytes = FETCH_BYTES + targets.len() * TARGET_BYTES;
    let mut name: &[u8] = &[];
    for target in targets {
        let next = target.topic.name.as_bytes();
        if next.as_ptr() != name.as_ptr() {
            bytes += next.len();
        }
        name = next;
    }
    bytes
}

/// A broker gives its id; consumers give −1, and those that look for faults −2 (`FetchRequest.isValidBrokerId`).
fn fetcher(request: &FetchRequest, version: i16) -> Fetcher {
    let replica = if version >= REPLICA_STATE_SINCE {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    if replica < 0 {
        Fetcher::Consumer
    } else {
        Fetcher::Broker(BrokerId(replica))
    }
}

/// Bytes of records that were read of these parts.
fn bytes_read(parts: &[PartitionAnswer]) -> usize {
    let bytes = |part: &PartitionAnswer| match part {
        PartitionAnswer::Fetched(fetched) => fetched.bytes(),
        _ => 0,
    };
    parts.iter().map(bytes).sum()
}

type Forgotten = Vec<(TopicKey, Vec<i32>)>;

fn read_targets(request: FetchRequest, by_id: bool) -> (Vec<Target>, Forgotten) {
    // A name outlives its request in the session: it is copied out, so that it does not pin the frame.
    let key = |name: &Text, id| TopicKey {
        name: if by_id { Text::default() } else { name.detach() },
        id: if by_id { id } else { Uuid::ZERO },
    };
    let mut targets: Vec<Target> = Vec::new();
    let mut places = BTreeMap::new();
    for topic in request.topics {
        let topic_key = key(&topic.topic, topic.topic_id);
        for partition in topic.partitions {
            let target = target(topic_key.clone(), &partition);
            // A partition that is named again is read once, as it was named last.
            match places.entry((topic_key.clone(), target.partition)) {
                Entry::Vacant(free) => {
                    free.insert(targets.len());
                    targets.push(target);
                }
                Entry::Occupied(place) => targets[*place.get()] = target,
            }
        }
    }
    let forgotten = request.forgotten_topics_data.into_iter();
    let forgotten = forgotten
        .map(|topic| (key(&topic.topic, topic.topic_id), topic.partitions))
        .collect();
    (targets, forgotten)
}

fn target(topic: TopicKey, partition: &FetchPartition) -> Target {
    let epoch = |epoch: i32| (epoch >= 0).then_some(LeaderEpoch(epoch));
    Target {
        topic,
        partition: partition.partition,
        current_leader_epoch: epoch(partition.current_leader_epoch),
        offset: Offset(partition.fetch_offset),
        last_fetched_epoch: epoch(partition.last_fetched_epoch),
        max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
    }
}

fn find(target: &Target, by_id: bool, image: &Image) -> Result<TopicPartition, ErrorCode> {
    let topic = if by_id {
        image.topic(TopicId(target.topic.id))
    } else {
        image.topic_named(&target.topic.name)
    };
    let Some(topic) = topic else {
        return Err(if by_id {
            ErrorCode::UnknownTopicId
        } else {
            ErrorCode::UnknownTopicOrPartition
        });
    };
    let known = (0..topic.partitions.len() as i64).contains(&i64::from(target.partition));
    let partition = TopicPartition {
        topic: topic.id,
        partition: target.partition,
    };
    known.then_some(partition).ok_or(ErrorCode::UnknownTopicOrPartition)
}

impl Fetch {
    /// Asks every home, to be told of news unless the time is up.
    fn ask(mut self, call: &mut Call<'_, '_>) -> Progress {
        let mut scatter = nothing_asked();
        for target in &self.targets {
            match find(target, self.by_id, call.context.image) {
                Ok(partition) => {
                    let ask = FetchAsk {
                        fetcher: self.fetcher,
                        current_leader_epoch: target.current_leader_epoch,
                        offset: target.offset,
                        last_fetched_epoch: target.last_fetched_epoch,
                        max_bytes: target.max_bytes.min(self.max_bytes),
                    };
                    scatter.add(partition, PartitionAsk::Fetch(ask), call.context.shards);
                }
                Err(code) => scatter.refuse(code),
            }
        }
        let wait = call.context.now.monotonic < self.deadline && self.min_bytes > 0;
        scatter.send(wait.then_some(self.min_bytes), call);
        self.scatter = scatter;
        self.stage = Stage::Asking;
        self.settle(call)
    }

    pub(super) fn resume(mut self, event: Event, call: &mut Call<'_, '_>) -> Progress {
        match event {
            Event::Answer {
                tag,
                answer: Answer::Partitions { parts, .. },
                watch,
            } => {
                if let Some((home, op)) = watch {
                    let wanted = self.min_bytes.saturating_sub(bytes_read(&parts));
                    self.watches.push(Watch { home, op, wanted });
                }
                self.scatter.answer(tag, parts);
                self.settle(call)
            }
            Event::Answer { answer, .. } => panic!("fetch was answered {answer:?}"),
            Event::WatchEnded(watch) => {
                let watches = self.watches.len();
                self.watches.retain(|kept| kept.op != watch);
                // A watch of an earlier round that was given up ends too.
                let news = self.watches.len() < watches;
                if news {
                    self.ask_again(call)
                } else {
                    Progress::Working(Work::Fetch(self))
                }
            }
            Event::Deadline => {
                self.deadline = Monotonic(0);
                self.ask_again(call)
            }
        }
    }

    fn ask_again(mut self, call: &mut Call<'_, '_>) -> Progress {
        match self.stage {
            Stage::Watching => {
                self.unwatch(call.actions);
                // News that came while it asked: it holds the answers still.
                core::mem::replace(&mut self.scatter, nothing_asked()).discard(call.actions);
                self.ask(call)
            }
            Stage::Asking | Stage::AskingStale => {
                self.stage = Stage::AskingStale;
                Progress::Working(Work::Fetch(self))
            }
        }
    }

    fn settle(mut self, call: &mut Call<'_, '_>) -> Progress {
        if !self.scatter.is_complete() {
            return Progress::Working(Work::Fetch(self));
        }
        let stale = self.stage == Stage::AskingStale;
        self.stage = Stage::Watching;
        let (mut bytes, mut enough) = (0, self.targets.is_empty() || self.scatter.has_refused());
        for answer in self.scatter.heard() {
            let PartitionAnswer::Fetched(fetched) = answer else {
                panic!("fetch was answered {answer:?}")
            };
            bytes += fetched.bytes();
            enough |= fetched.is_enough();
        }
        let now = call.context.now.monotonic;
        if enough || bytes >= self.min_bytes || (now >= self.deadline && !stale) {
            return self.finish(call);
        }
        if stale {
            return self.ask_again(call);
        }
        if self.charged == 0 {
            if !call.context.room.charge_waiting(self.size) {
                return self.turn_away(call);
            }
            self.charged = self.size;
        }
        // Each home waits for all that it lacks itself; several may have it together. While each of n has less than
        // the nth part of what is missing, all have less than that.
        let bytes = (self.min_bytes - bytes).div_ceil(self.watches.len().max(1));
        for &Watch { home, op, wanted } in &self.watches {
            if bytes < wanted {
                let (to, watch) = (home, op);
                call.actions.push(Action::Lower { to, watch, bytes });
            }
        }
        // They are asked again before they are needed, and what they pin is not pinned meanwhile.
        core::mem::replace(&mut self.scatter, nothing_asked()).discard(call.actions);
        call.actions.push(Action::SetDeadline(self.deadline));
        Progress::Working(Work::Fetch(self))
    }

    /// Answers what there is, since there is no room to wait for more. Who would ask again at once is told to wait, and has
    /// to: Kafka throttles fetches beyond a quota so (KIP-219). Nothing is kept for it meanwhile.
    fn turn_away(mut self, call: &mut Call<'_, '_>) -> Progress {
        let now = call.context.now.monotonic;
        let until = now.plus_millis(NO_ROOM_MS).min(self.deadline);
        self.throttle_ms = until.millis_since(now);
        let progress = self.finish(call);
        call.actions.push(Action::SetDeadline(until));
        *call.paused = true;
        progress
    }

    fn finish(mut self, call: &mut Call<'_, '_>) -> Progress {
        self.unwatch(call.actions);
        call.actions.push(Action::ClearDeadline);
        call.context.room.discharge_waiting(self.charged);
        self.respond(call)
    }

    fn unwatch(&mut self, actions: &mut Vec<Action>) {
        let unwatch = |watch: Watch| Action::Unwatch {
            to: watch.home,
            watch: watch.op,
        };
        actions.extend(self.watches.drain(..).map(unwatch));
    }

    fn respond(self, call: &mut Call<'_, '_>) -> Progress {
        let (mode, read_committed) = (self.mode, self.read_committed);
        let session_id = match mode {
            Mode::Sessionless => 0,
            Mode::Full { by_id } => {
                call.context
                    .fetch_sessions
                    .create(by_id, &self.targets, call.context.now.monotonic)
            }
            Mode::Incremental { id } => id,
        };
        let mut room = Room {
            left: self.max_bytes,
            used: false,
        };
        let (mut leases, mut shared) = (Vec::new(), 0);
        let mut responses: Vec<FetchableTopicResponse> = Vec::new();
        for (target, answer) in self.targets.iter().zip(self.scatter.into_answers()) {
            let PartitionAnswer::Fetched(mut fetched) = answer else {
                panic!("fetch was answered {answer:?}")
            };
            let owned = fetched.plan.as_ref().map_or(0, |plan| plan.owned);
            let records = room.take(&mut fetched, target.max_bytes, &mut leases, call.actions);
            // Just-appended batches are the log's, too, unless they were copied.
            shared += bytes_in_memory(records.parts()).saturating_sub(owned);
            let told = Told {
                high_watermark: fetched.high_watermark,
                log_start_offset: fetched.log_start_offset,
                records: !records.is_empty(),
                urgent: fetched.is_urgent(),
            };
            let listed = session_id == 0 || call.context.fetch_sessions.must_list(session_id, target, told);
            if listed || !matches!(mode, Mode::Incremental { .. }) {
                list(
                    &mut responses,
                    target,
                    partition_data(target, &fetched, records, read_committed),
                );
            }
        }
        let mut node_endpoints = Vec::new();
        if call.header.version >= LEADER_HINT_SINCE {
            let leaders = name_leaders(&mut responses, call.context.image);
            // Brokers know each other's addresses.
            if self.fetcher == Fetcher::Consumer {
                node_endpoints = endpoints(&leaders, call.listener, call.context.image);
            }
        }
        let response = FetchResponse {
            throttle_time_ms: self.throttle_ms as i32,
            session_id,
            responses,
            node_endpoints,
            ..FetchResponse::default()
        };
        call.respond_with(&response, leases, shared)
    }

    pub(super) fn abandon(mut self, room: &mut session::Room, actions: &mut Vec<Action>) {
        if !bug!(LostCharge) {
            room.discharge_waiting(self.charged);
        }
        self.unwatch(actions);
        actions.push(Action::ClearDeadline);
        self.scatter.discard(actions);
    }
}

/// What the client still takes. The first records come even where they are larger, so that it always gets on.
struct Room {
    left: usize,
    used: bool,
}

impl Room {
    fn take(
        &mut self,
        fetched: &mut Fetched,
        partition_max: usize,
        leases: &mut Vec<Lease>,
        actions: &mut Vec<Action>,
    ) -> Records {
        let Some(mut plan) = fetched.plan.take() else {
            return Records::from(Bytes::new());
        };
        if self.used {
            let unused = plan.shorten(self.left.min(partition_max));
            if !unused.is_empty() {
                actions.push(Action::Release(unused));
            }
        }
        self.used |= plan.bytes > 0;
        self.left = self.left.saturating_sub(plan.bytes);
        leases.append(&mut plan.leases);
        Records::from(plan.parts)
    }
}

/// Adds a partition behind the others, under its topic where that came last.
fn list(responses: &mut Vec<FetchableTopicResponse>, target: &Target, data: PartitionData) {
    let same = |last: &FetchableTopicResponse| last.topic == target.topic.name && last.topic_id == target.topic.id;
    match responses.last_mut() {
        Some(last) if same(last) => last.partitions.push(data),
        _ => responses.push(FetchableTopicResponse {
            topic: target.topic.name.clone(),
            topic_id: target.topic.id,
            partitions: Vec::from([data]),
        }),
    }
}

/// Says who leads the partitions whose reader has to look elsewhere, or knows an older epoch; answers these leaders.
fn name_leaders(responses: &mut [FetchableTopicResponse], image: &Image) -> BTreeSet<BrokerId> {
    let moved = [
        ErrorCode::NotLeaderOrFollower.code(),
        ErrorCode::FencedLeaderEpoch.code(),
    ];
    let mut leaders = BTreeSet::new();
    for topic in responses {
        let found = image.topic(TopicId(topic.topic_id));
        for data in topic
            .partitions
            .iter_mut()
            .filter(|data| moved.contains(&data.error_code))
        {
            let index = usize::try_from(data.partition_index).ok();
            if let Some(partition) = found.and_then(|topic| topic.partitions.get(index?)) {
                leaders.insert(partition.leader);
                data.current_leader = LeaderIdAndEpoch {
                    leader_id: partition.leader.0,
                    leader_epoch: image.leader_epoch(partition).0,
                };
            }
        }
    }
    leaders
}

fn endpoints(leaders: &BTreeSet<BrokerId>, listener: &ListenerName, image: &Image) -> Vec<NodeEndpoint> {
    let brokers = image.reachable(listener).filter(|(id, ..)| leaders.contains(id));
    let endpoint = |(id, registration, endpoint): (BrokerId, &Registration, &Endpoint)| NodeEndpoint {
        node_id: id.0,
        host: Text::from(endpoint.host.clone()),
        port: i32::from(endpoint.port),
        rack: registration.rack.clone().map(Text::from),
    };
    brokers.map(endpoint).collect()
}

/// Whether there is a list, if only an empty one: for readers of committed records, and for what is not there, but for
/// no other error (`ReplicaManager.readFromLog`, `FetchResponse.partitionResponse`).
fn has_aborted_transactions(error: ErrorCode, read_committed: bool) -> bool {
    match error {
        ErrorCode::None => read_committed,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => true,
        _ => false,
    }
}

fn partition_data(target: &Target, fetched: &Fetched, records: Records, read_committed: bool) -> PartitionData {
    let offset = |offset: Option<Offset>| offset.map_or(-1, |offset| offset.0);
    let mut data = PartitionData {
        partition_index: target.partition,
        error_code: fetched.error.code(),
        high_watermark: offset(fetched.high_watermark),
        // Without transactions every readable record is stable.
        last_stable_offset: offset(fetched.high_watermark),
        log_start_offset: offset(fetched.log_start_offset),
        aborted_transactions: has_aborted_transactions(fetched.error, read_committed).then(Vec::new),
        preferred_read_replica: -1,
        records,
        ..PartitionData::default()
    };
    if let Some((epoch, end)) = fetched.diverging {
        data.diverging_epoch = EpochEndOffset {
            epoch: epoch.0,
            end_offset: end.0,
        };
    }
    data
}
