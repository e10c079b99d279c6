//! Fetch sessions (KIP-227): what a client fetches, remembered, so that it need not be said again.
//!
//! Invariants: a shard keeps no more sessions than its slots, and no more bytes in them than it may; a session's epoch
//! grows by one with each of its requests. A session remembers topics that do not exist, as Kafka's do, since its client
//! will not name them again; names that no topic can have are remembered by none. Who has no room for a session has its
//! requests answered without one.
//! A session lives on the shard that made it: a client that reconnects to another shard is told that its session is
//! unknown and makes a new one, as after an eviction.

use crate::config::Limits;
use crate::marks::mark;
use crate::types::{ErrorCode, LeaderEpoch, Monotonic, Offset, Seed, Uuid};
use crate::wire::Text;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A session unused for this long is forgotten, in milliseconds: its client is gone, or makes a new one.
const IDLE_MS: u64 = 600_000;
/// Bytes of memory that a session takes, and each partition in it, without its topic's name.
const SESSION_BYTES: usize = 256;
const PARTITION_BYTES: usize = 400;
/// The longest name of a topic (`Topic.MAX_NAME_LENGTH`).
const LONGEST_NAME: usize = 249;
/// The epoch of a request that wants no session.
const FINAL_EPOCH: i32 = -1;
/// The epoch of a request that begins a session.
const INITIAL_EPOCH: i32 = 0;

/// A topic as a fetch request names it: by name up to version 12, by id from then on. The other one is empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct TopicKey {
    pub(super) name: Text,
    pub(super) id: Uuid,
}

/// What a client fetches from one partition.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) topic: TopicKey,
    pub(super) partition: i32,
    pub(super) current_leader_epoch: Option<LeaderEpoch>,
    pub(super) offset: Offset,
    pub(super) last_fetched_epoch: Option<LeaderEpoch>,
    pub(super) max_bytes: usize,
}

/// What a request says about its session.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionHeader {
    pub(super) id: i32,
    pub(super) epoch: i32,
    /// Whether the request names topics by id.
    pub(super) by_id: bool,
}

/// How a response is to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// Every partition is listed; there is no session.
    Sessionless,
    /// Every partition is listed, and a session begins if there is room.
    Full { by_id: bool },
    /// Only partitions with news are listed.
    Incremental { id: i32 },
}

/// All fetch sessions of a shard.
#[derive(Debug)]
pub struct FetchSessions {
    slots: usize,
    /// How long one is unused before it gives way to another, in milliseconds.
    idle_ms: u64,
    seed: Seed,
    sessions: BTreeMap<i32, FetchSession>,
    /// Bytes of all sessions together, and at most.
    bytes: usize,
    limit: usize,
}

#[derive(Debug)]
struct FetchSession {
    next_epoch: i32,
    by_id: bool,
    last_used: Monotonic,
    /// In the order to be fetched: those that got records go to the end, so that all get their turn.
    order: BTreeMap<u64, Cached>,
    places: BTreeMap<(TopicKey, i32), u64>,
    next_place: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Cached {
    target: Target,
    high_watermark: Option<Offset>,
    log_start_offset: Option<Offset>,
}

impl FetchSessions {
    /// No sessions yet, and those that `limits` allows later.
    pub const fn new(limits: &Limits, seed: Seed) -> Self {
        Self {
            slots: limits.fetch_sessions,
            idle_ms: limits.fetch_session_idle_ms,
            seed,
            sessions: BTreeMap::new(),
            bytes: 0,
            limit: limits.fetch_session_bytes,
        }
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.bytes -= session.bytes;
        }
    }

    /// Bytes of memory that the sessions hold.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets sessions that nobody uses.
    pub fn expire(&mut self, now: Monotonic) {
        let idle = |session: &FetchSession| now.millis_since(session.last_used) > IDLE_MS;
        let ids = self
            .sessions
            .iter()
            .filter(|(_, session)| idle(session))
            .map(|(&id, _)| id);
        for id in ids.collect::<Vec<_>>() {
            self.remove(id);
        }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// What a request fetches and how to answer it (`FetchManager.newContext`).
    pub(super) fn begin(
        &mut self,
        header: SessionHeader,
        targets: Vec<Target>,
        forgotten: &[(TopicKey, Vec<i32>)],
        now: Monotonic,
    ) -> Result<(Mode, Vec<Target>), ErrorCode> {
        if matches!(header.epoch, FINAL_EPOCH | INITIAL_EPOCH) {
            self.remove(header.id);
            let full = header.epoch == INITIAL_EPOCH;
            return Ok((
                if full {
                    Mode::Full { by_id: header.by_id }
                } else {
                    Mode::Sessionless
                },
                targets,
            ));
        }
        let session = self
            .sessions
            .get_mut(&header.id)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.by_id != header.by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        if session.next_epoch != header.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        session.next_epoch = if header.epoch == i32::MAX { 1 } else { header.epoch + 1 };
        session.last_used = now;
        if targets.iter().any(is_misnamed) {
            self.remove(header.id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        self.bytes -= session.bytes;
        for target in targets {
            session.put(target);
        }
        for (topic, partitions) in forgotten {
            for &partition in partitions {
                session.forget(topic, partition);
            }
        }
        self.bytes += session.bytes;
        let targets: Vec<_> = session.order.values().map(|cached| cached.target.clone()).collect();
        if targets.is_empty() {
            self.remove(header.id);
            return Ok((Mode::Sessionless, targets));
        }
        if self.bytes > self.limit {
            // The client begins anew, and is answered without a session then.
            self.remove(header.id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        Ok((Mode::Incremental { id: header.id }, targets))
    }

    /// Begins the session that a full response offers; 0 where there is no room.
    pub(super) fn create(&mut self, by_id: bool, targets: &[Target], now: Monotonic) -> i32 {
        let bytes = SESSION_BYTES + targets.iter().map(cost).sum::<usize>();
        let fits = self.slots > 0 && bytes <= self.limit;
        if !fits || targets.iter().any(is_misnamed) {
            return 0;
        }
        while self.sessions.len() >= self.slots || self.bytes + bytes > self.limit {
            if !self.evict(now) {
                return 0;
            }
        }
        let id = loop {
            let id = self.seed.within(1, i32::MAX as u64) as i32;
            if !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let (order, places) = (BTreeMap::new(), BTreeMap::new());
        let mut session = FetchSession {
            next_epoch: 1,
            by_id,
            last_used: now,
            order,
            places,
            next_place: 0,
            bytes: SESSION_BYTES,
        };
        targets.iter().cloned().for_each(|target| session.put(target));
        self.bytes += session.bytes;
        self.sessions.insert(id, session);
        id
    }

    /// Notes what a response says of a partition; whether an incremental one must list it.
    pub(super) fn must_list(&mut self, id: i32, target: &Target, told: Told) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return true;
        };
        let key = (target.topic.clone(), target.partition);
        let Some(place) = session.places.get(&key).copied() else {
            return true;
        };
        let Some(cached) = session.order.get_mut(&place) else {
            return true;
        };
        let news = (cached.high_watermark, cached.log_start_offset) != (told.high_watermark, told.log_start_offset);
        (cached.high_watermark, cached.log_start_offset) = (told.high_watermark, told.log_start_offset);
        if told.records {
            session.move_to_end(key, place);
        }
        told.records || told.urgent || news
    }

    fn evict(&mut self, now: Monotonic) -> bool {
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_used);
        let Some((&id, _)) = oldest.filter(|(_, session)| now.millis_since(session.last_used) > self.idle_ms) else {
            return false;
        };
        mark!(FetchSessionEvicted);
        self.remove(id);
        true
    }
}

/// What a response says of a partition, as far as a session remembers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) high_watermark: Option<Offset>,
    pub(super) log_start_offset: Option<Offset>,
    pub(super) records: bool,
    pub(super) urgent: bool,
}

/// Bytes of memory that a partition takes in a session.
fn cost(target: &Target) -> usize {
    PARTITION_BYTES + target.topic.name.len()
}

/// Whether no topic can have this name.
fn is_misnamed(target: &Target) -> bool {
    target.topic.name.len() > LONGEST_NAME
}

impl FetchSession {
    fn put(&mut self, target: Target) {
        let key = (target.topic.clone(), target.partition);
        if let Some(cached) = self.places.get(&key).and_then(|place| self.order.get_mut(place)) {
            cached.target = target;
            return;
        }
        self.bytes += cost(&target);
        self.places.insert(key, self.next_place);
        self.order.insert(
            self.next_place,
            Cached {
                target,
                high_watermark: None,
                log_start_offset: None,
            },
        );
        self.next_place += 1;
    }

    fn forget(&mut self, topic: &TopicKey, partition: i32) {
        let place = self.places.remove(&(topic.clone(), partition));
        if let Some(cached) = place.and_then(|place| self.order.remove(&place)) {
            self.bytes -= cost(&cached.target);
        }
    }

    fn move_to_end(&mut self, key: (TopicKey, i32), place: u64) {
        if let Some(cached) = self.order.remove(&place) {
            self.order.insert(self.next_place, cached);
            self.places.insert(key, self.next_place);
            self.next_place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sessions(slots: usize, bytes: usize) -> FetchSessions {
        let limits = Limits {
            fetch_sessions: slots,
            fetch_session_bytes: bytes,
            ..Limits::default()
        };
        FetchSessions::new(&limits, Seed::new(1))
    }

    fn target(partition: i32) -> Target {
        Target {
            topic: TopicKey {
                name: Text::from("orders"),
                id: Uuid::ZERO,
            },
            partition,
            current_leader_epoch: None,
            offset: Offset(5),
            last_fetched_epoch: None,
            max_bytes: 100,
        }
    }

    fn begin(
        sessions: &mut FetchSessions,
        id: i32,
        epoch: i32,
        targets: Vec<Target>,
    ) -> Result<(Mode, Vec<i32>), ErrorCode> {
        let header = SessionHeader {
            id,
            epoch,
            by_id: false,
        };
        let (mode, targets) = sessions.begin(header, targets, &[], Monotonic(0))?;
        Ok((mode, targets.iter().map(|target| target.partition).collect()))
    }

    fn told(high_watermark: i64, records: bool) -> Told {
        let high_watermark = Some(Offset(high_watermark));
        Told {
            high_watermark,
            log_start_offset: Some(Offset(0)),
            records,
            urgent: false,
        }
    }

    #[test]
    fn a_session_fetches_what_it_was_told_before() {
        let mut sessions = sessions(2, 1 << 20);
        let all = vec![target(0), target(1)];
        assert_eq!(
            begin(&mut sessions, 0, 0, all.clone()),
            Ok((Mode::Full { by_id: false }, vec![0, 1]))
        );
        let id = sessions.create(false, &all, Monotonic(0));
        assert_eq!(
            begin(&mut sessions, id, 1, vec![]),
            Ok((Mode::Incremental { id }, vec![0, 1]))
        );
        assert_eq!(
            begin(&mut sessions, id, 2, vec![target(7)]),
            Ok((Mode::Incremental { id }, vec![0, 1, 7]))
        );
        assert_eq!(
            begin(&mut sessions, id, 2, vec![]),
            Err(ErrorCode::InvalidFetchSessionEpoch)
        );
        assert_eq!(
            begin(&mut sessions, id + 1, 3, vec![]),
            Err(ErrorCode::FetchSessionIdNotFound)
        );
        assert_eq!(begin(&mut sessions, id, -1, vec![]), Ok((Mode::Sessionless, vec![])));
        assert!(sessions.is_empty());
    }

    #[test]
    fn a_session_of_nothing_learns_what_it_fetches_or_ends() {
        let mut sessions = sessions(2, 1 << 20);
        let id = sessions.create(false, &[], Monotonic(0));
        assert_eq!(
            begin(&mut sessions, id, 1, vec![target(3)]),
            Ok((Mode::Incremental { id }, vec![3]))
        );
        let id = sessions.create(false, &[], Monotonic(0));
        assert_eq!(begin(&mut sessions, id, 1, vec![]), Ok((Mode::Sessionless, vec![])));
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn a_partition_is_listed_only_with_news_and_then_waits_its_turn() {
        let mut sessions = sessions(2, 1 << 20);
        let id = sessions.create(false, &[target(0), target(1)], Monotonic(0));
        assert!(sessions.must_list(id, &target(0), told(9, true)));
        assert!(sessions.must_list(id, &target(1), told(3, false)));
        assert!(!sessions.must_list(id, &target(1), told(3, false)));
        assert!(sessions.must_list(id, &target(1), told(4, false)));
        assert_eq!(begin(&mut sessions, id, 1, vec![]).unwrap().1, vec![1, 0]);
    }

    #[test]
    fn slots_are_bounded_and_only_an_idle_session_makes_room() {
        let mut sessions = sessions(1, 1 << 20);
        let first = sessions.create(false, &[target(0)], Monotonic(0));
        assert_eq!(
            sessions.create(false, &[target(0)], Monotonic(0).plus_millis(120_000)),
            0
        );
        let second = sessions.create(false, &[target(0)], Monotonic(0).plus_millis(120_001));
        assert!(second != 0 && second != first);
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn bytes_are_bounded_over_all_sessions() {
        const MOST: i32 = 100;
        let each = cost(&target(0));
        let mut sessions = sessions(10, SESSION_BYTES + MOST as usize * each);
        let id = sessions.create(false, &[target(0)], Monotonic(0));
        let many: Vec<_> = (0..MOST).map(target).collect();
        assert_eq!(sessions.create(false, &many, Monotonic(0)), 0);
        assert!(begin(&mut sessions, id, 1, many[1..].to_vec()).is_ok());
        let other = sessions.create(false, &[target(0)], Monotonic(0));
        assert_eq!(other, 0, "there is no room for one more");
        let more = vec![target(-1)];
        assert_eq!(
            begin(&mut sessions, id, 2, more),
            Err(ErrorCode::FetchSessionIdNotFound)
        );
        assert_eq!(sessions.bytes(), 0);
        let id = sessions.create(false, &many, Monotonic(0));
        let forgotten: Vec<_> = many[1..]
            .iter()
            .map(|target| (target.topic.clone(), vec![target.partition]))
            .collect();
        let header = SessionHeader {
            id,
            epoch: 1,
            by_id: false,
        };
        assert!(sessions.begin(header, vec![], &forgotten, Monotonic(0)).is_ok());
        assert_eq!(sessions.bytes(), SESSION_BYTES + each);
        let late = Monotonic(0).plus_millis(Limits::default().fetch_session_idle_ms + 1);
        assert_ne!(sessions.create(false, &many, late), 0, "the idle one gives way to it");
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn nothing_keeps_the_name_of_a_topic_that_cannot_be() {
        let mut sessions = sessions(10, 1 << 20);
        let misnamed = Target {
            topic: TopicKey {
                name: Text::from("x".repeat(LONGEST_NAME + 1)),
                id: Uuid::ZERO,
            },
            ..target(0)
        };
        assert_eq!(sessions.create(false, &[target(0), misnamed.clone()], Monotonic(0)), 0);
        let id = sessions.create(false, &[target(0)], Monotonic(0));
        let refused = begin(&mut sessions, id, 1, vec![misnamed]);
        assert_eq!(refused, Err(ErrorCode::FetchSessionIdNotFound));
        assert_eq!((sessions.len(), sessions.bytes()), (0, 0));
    }

    #[test]
    fn a_session_that_nobody_uses_is_forgotten() {
        let mut sessions = sessions(10, 1 << 20);
        sessions.create(false, &[target(0)], Monotonic(0));
        sessions.expire(Monotonic(0).plus_millis(IDLE_MS));
        assert_eq!(sessions.len(), 1);
        sessions.expire(Monotonic(0).plus_millis(IDLE_MS + 1));
        assert_eq!((sessions.len(), sessions.bytes()), (0, 0));
    }
}
