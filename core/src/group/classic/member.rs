//! One member of a group.

use crate::group::ask::{JoinAsk, Protocol, protocol_bytes};
use crate::group::budget::{Budget, Charge, OVERHEAD};
use crate::types::Monotonic;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// What a member's client waits for; `T` names the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::group) enum Waiting<T> {
    Nothing,
    /// The next generation.
    Join(T),
    /// Its assignment.
    Sync(T),
}

/// Whether a member's client knows its own id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::group) enum Acquaintance {
    /// It never had an answer: it cannot send heartbeats, and its first join is bounded instead.
    New,
    Known,
}

#[derive(Debug)]
pub(in crate::group) struct Member<T> {
    pub(in crate::group) id: Arc<str>,
    pub(in crate::group) instance: Option<Arc<str>>,
    pub(in crate::group) client_id: Arc<str>,
    pub(in crate::group) client_host: Arc<str>,
    pub(in crate::group) session_timeout_ms: i32,
    pub(in crate::group) rebalance_timeout_ms: i32,
    pub(in crate::group) protocols: Vec<Protocol>,
    pub(in crate::group) assignment: Bytes,
    pub(in crate::group) waiting: Waiting<T>,
    pub(in crate::group) acquaintance: Acquaintance,
    /// When it counts as dead, unless it is heard of before. Moves with each sign of life; the deadline in the list does
    /// not, and looks again when it comes.
    pub(in crate::group) expires: Monotonic,
    /// Its deadline in the list.
    pub(in crate::group) armed: Option<Monotonic>,
    /// What it holds, as it was last weighed.
    pub(in crate::group) charge: Charge,
}

impl<T: Copy> Member<T> {
    pub(in crate::group) fn new(id: Arc<str>, ask: JoinAsk, part: T) -> Self {
        Self {
            id,
            instance: ask.instance,
            client_id: ask.client_id,
            client_host: ask.client_host,
            session_timeout_ms: ask.session_timeout_ms,
            rebalance_timeout_ms: ask.rebalance_timeout_ms,
            protocols: ask.protocols,
            assignment: Bytes::new(),
            waiting: Waiting::Join(part),
            acquaintance: Acquaintance::New,
            expires: Monotonic::default(),
            armed: None,
            charge: Charge::default(),
        }
    }

    /// Bytes that it holds; `shared` are what its group holds because it has members.
    pub(in crate::group) fn bytes(&self, shared: usize) -> usize {
        let ids = [&self.id, &self.client_id, &self.client_host];
        let ids: usize = ids.iter().map(|it| it.len()).sum();
        let instance = self.instance.as_ref().map_or(0, |it| it.len());
        OVERHEAD + shared + ids + instance + protocol_bytes(&self.protocols) + self.assignment.len()
    }

    /// Has it hold what it has grown or shrunk to.
    pub(in crate::group) fn weigh(&mut self, shared: usize, budget: &Budget) {
        self.charge = budget.charge(self.bytes(shared));
    }

    pub(in crate::group) const fn is_joining(&self) -> bool {
        matches!(self.waiting, Waiting::Join(_))
    }

    pub(in crate::group) const fn is_static(&self) -> bool {
        self.instance.is_some()
    }

    /// Whether it may be silent (`ClassicGroupMember.hasSatisfiedHeartbeat`): its client waits for us.
    pub(in crate::group) fn is_waited_for(&self) -> bool {
        self.acquaintance == Acquaintance::Known && !matches!(self.waiting, Waiting::Nothing)
    }

    /// What it says of itself in `protocol`.
    pub(in crate::group) fn metadata(&self, protocol: &str) -> Bytes {
        let spoken = self.protocols.iter().find(|it| &*it.name == protocol);
        spoken.map_or_else(Bytes::new, |it| it.metadata.clone())
    }

    /// The names of the protocols it can speak, each once.
    pub(in crate::group) fn protocol_names(&self) -> BTreeSet<&Arc<str>> {
        self.protocols.iter().map(|it| &it.name).collect()
    }

    /// Milliseconds that a rebalance waits for it; never negative.
    pub(in crate::group) fn patience_ms(&self) -> u64 {
        u64::try_from(self.rebalance_timeout_ms).unwrap_or(0)
    }

    /// Milliseconds that it may be silent; never negative.
    pub(in crate::group) fn session_ms(&self) -> u64 {
        u64::try_from(self.session_timeout_ms).unwrap_or(0)
    }
}
