//! Fetch sessions (KIP-227): what a client fetches, remembered, so that it need not be said again.
//!
//! Invariants: a shard keeps no more sessions than its slots, and no more partitions in them than it may; a session's epoch grows by one with each of its requests.
//! A session lives on the shard that made it: a client that reconnects to another shard is told that its session is
//! unknown and makes a new one, as after an eviction.

use crate::types::{ErrorCode, LeaderEpoch, Monotonic, Offset, Seed, Uuid};
use crate::wire::Text;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A session unused for this long makes room for a new one (`FetchSessionCache`'s eviction after 120 s).
const EVICTABLE_AFTER_MS: u64 = 120_000;
/// Partitions that all sessions of a shard remember together: some 50 MB.
const MAX_PARTITIONS: usize = 200_000;
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
    seed: Seed,
    sessions: BTreeMap<i32, FetchSession>,
    /// Partitions of all sessions together.
    partitions: usize,
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
}

#[derive(Debug)]
struct Cached {
    target: Target,
    high_watermark: Option<Offset>,
    log_start_offset: Option<Offset>,
}

impl FetchSessions {
    /// No sessions yet; at most `slots` later.
    pub const fn new(slots: usize, seed: Seed) -> Self {
        Self {
            slots,
            seed,
            sessions: BTreeMap::new(),
            partitions: 0,
        }
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partitions -= session.order.len();
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
        forgotten: &[(TopicKey, i32)],
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
        self.partitions -= session.order.len();
        for target in targets {
            session.put(target);
        }
        for key in forgotten {
            session.forget(key);
        }
        self.partitions += session.order.len();
        let targets: Vec<_> = session.order.values().map(|cached| cached.target.clone()).collect();
        if targets.is_empty() {
            self.remove(header.id);
            return Ok((Mode::Sessionless, targets));
        }
        if self.partitions > MAX_PARTITIONS {
            // The client begins anew, and is answered without a session then.
            self.remove(header.id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        Ok((Mode::Incremental { id: header.id }, targets))
    }

    /// Begins the session that a full response offers; 0 where there is no room.
    pub(super) fn create(&mut self, by_id: bool, targets: &[Target], now: Monotonic) -> i32 {
        if self.slots == 0 || self.partitions + targets.len() > MAX_PARTITIONS {
            return 0;
        }
        if self.sessions.len() >= self.slots && !self.evict(now) {
            return 0;
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
        };
        targets.iter().cloned().for_each(|target| session.put(target));
        self.partitions += session.order.len();
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
        let Some((&id, _)) = oldest.filter(|(_, session)| now.millis_since(session.last_used) > EVICTABLE_AFTER_MS)
        else {
            return false;
        };
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

impl FetchSession {
    fn put(&mut self, target: Target) {
        let key = (target.topic.clone(), target.partition);
        if let Some(cached) = self.places.get(&key).and_then(|place| self.order.get_mut(place)) {
            cached.target = target;
            return;
        }
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

    fn forget(&mut self, key: &(TopicKey, i32)) {
        if let Some(place) = self.places.remove(key) {
            self.order.remove(&place);
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
        let mut sessions = FetchSessions::new(2, Seed::new(1));
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
        let mut sessions = FetchSessions::new(2, Seed::new(1));
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
        let mut sessions = FetchSessions::new(2, Seed::new(1));
        let id = sessions.create(false, &[target(0), target(1)], Monotonic(0));
        assert!(sessions.must_list(id, &target(0), told(9, true)));
        assert!(sessions.must_list(id, &target(1), told(3, false)));
        assert!(!sessions.must_list(id, &target(1), told(3, false)));
        assert!(sessions.must_list(id, &target(1), told(4, false)));
        assert_eq!(begin(&mut sessions, id, 1, vec![]).unwrap().1, vec![1, 0]);
    }

    #[test]
    fn slots_are_bounded_and_only_an_idle_session_makes_room() {
        let mut sessions = FetchSessions::new(1, Seed::new(1));
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
    fn partitions_are_bounded_over_all_sessions() {
        let mut sessions = FetchSessions::new(10, Seed::new(1));
        let id = sessions.create(false, &[target(0)], Monotonic(0));
        let many: Vec<_> = (0..MAX_PARTITIONS as i32).map(target).collect();
        assert_eq!(sessions.create(false, &many, Monotonic(0)), 0);
        assert!(begin(&mut sessions, id, 1, many[1..].to_vec()).is_ok());
        let other = sessions.create(false, &[target(0)], Monotonic(0));
        assert_eq!(other, 0, "there is no room for one more");
        let more = vec![target(-1)];
        assert_eq!(
            begin(&mut sessions, id, 2, more),
            Err(ErrorCode::FetchSessionIdNotFound)
        );
        assert_eq!(sessions.partitions, 0);
    }
}
