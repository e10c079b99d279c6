//! How a generation begins: members join, and once all have, or time is up, they get the next generation
//! (`GroupMetadataManager.classicGroupJoin` and what follows from it).
//!
//! Invariant: a generation is one more than the one before it, and nobody hears of it before the record that says so is
//! durable: it is never issued twice, whatever crashes.

use super::group::{After, Group, Join, Pending, State, Work, refuse_join};
use super::member::{Acquaintance, Member, Waiting};
use crate::bugs::bug;
use crate::group::ask::{FirstJoin, GroupAnswer, JoinAsk, StateName};
use crate::group::deadlines::Due;
use crate::group::expiry::Since;
use crate::types::{ErrorCode, Monotonic, Seed};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

/// How often an id that was handed out is looked at, in milliseconds, until its member comes or its session timeout ends:
/// clients come at once, so where members' memory runs short, what waits for longer than this goes first.
const PENDING_LOOK_MS: u64 = 10_000;
/// Members that let a rebalance wait for less than this, in milliseconds, are not waited for as long as none of them joins.
const SHORTEST_IDLE_WAIT_MS: u64 = 1_000;

impl<T: Copy + Debug> Group<T> {
    /// Takes a request to join. It is answered now, or once the next generation begins.
    pub(in crate::group) fn join(&mut self, part: T, ask: JoinAsk, work: &mut Work<'_, T>) {
        let nobody = Arc::from("");
        if !self.has_room_for(&ask.member, work) {
            self.remove(&ask.member, work);
            work.answers
                .push((part, refuse_join(ErrorCode::GroupMaxSizeReached, &nobody)));
            return self.complete_if_all_joined(work);
        }
        if !self.could_speak(&ask) {
            let code = ErrorCode::InconsistentGroupProtocol;
            return work.answers.push((part, refuse_join(code, &ask.member)));
        }
        if ask.member.is_empty() {
            self.join_first(part, ask, work);
        } else if self.pending.contains_key(&ask.member) {
            self.join_pending(part, ask, work);
        } else {
            self.join_again(part, ask, work);
        }
    }

    /// Whether `group.max.size` leaves room (`acceptJoiningMember`).
    fn has_room_for(&self, member: &str, work: &Work<'_, T>) -> bool {
        let max = work.config.max_size as usize;
        match self.state {
            State::Empty(_) => true,
            State::Preparing(_) => self.members.get(member).is_some_and(Member::is_joining) || self.joining < max,
            State::Completing | State::Stable => self.members.contains_key(member) || self.members.len() < max,
        }
    }

    /// Whether the one who joins has a protocol in common with all members.
    fn could_speak(&self, ask: &JoinAsk) -> bool {
        if self.is_empty() {
            return !ask.protocol_type.is_empty() && !ask.protocols.is_empty();
        }
        let all = self.members.len();
        let common = |name: &str| self.spoken.by_all(name, all);
        self.protocol_type.as_deref() == Some(&*ask.protocol_type)
            && ask.protocols.iter().any(|protocol| common(&protocol.name))
    }

    /// Somebody without a member id joins.
    fn join_first(&mut self, part: T, ask: JoinAsk, work: &mut Work<'_, T>) {
        let id = member_id(ask.instance.as_deref().unwrap_or(&ask.client_id), work.seed);
        let known = ask
            .instance
            .as_ref()
            .and_then(|instance| self.statics.get(instance))
            .cloned();
        match (known, &ask.instance, ask.first_join) {
            (Some(before), ..) => self.replace_static(part, ask, &before, id, work),
            (None, None, FirstJoin::ComesAgain) => {
                work.answers.push((part, refuse_join(ErrorCode::MemberIdRequired, &id)));
                let session = u64::try_from(ask.session_timeout_ms).unwrap_or(0);
                self.expect(id, work.now.monotonic.plus_millis(session), work);
            }
            (None, ..) => self.add(part, ask, id, work),
        }
    }

    /// Somebody comes again with the id it was given.
    fn join_pending(&mut self, part: T, ask: JoinAsk, work: &mut Work<'_, T>) {
        if ask.instance.is_some() {
            // Such an id is never given to a static member.
            let refused = refuse_join(ErrorCode::UnknownMemberId, &ask.member);
            return work.answers.push((part, refused));
        }
        if let Some(id) = self.stop_expecting(&ask.member, work) {
            self.add(part, ask, id, work);
        }
    }

    /// Keeps an id for its member to come with it, until its session timeout ends
    /// (`GroupMetadataManager.classicGroupJoinNewDynamicMember`).
    fn expect(&mut self, id: Arc<str>, expires: Monotonic, work: &mut Work<'_, T>) {
        let armed = expires.min(work.now.monotonic.plus_millis(PENDING_LOOK_MS));
        work.deadlines.arm(armed, &self.name, Due::Session(Arc::clone(&id)));
        let charge = work.budget.charge(self.pending_bytes(&id));
        let pending = Pending { expires, armed, charge };
        self.pending.insert(id, pending);
    }

    fn add(&mut self, part: T, ask: JoinAsk, id: Arc<str>, work: &mut Work<'_, T>) {
        if let State::Preparing(Join::Initial { extended, .. }) = &mut self.state {
            *extended = true;
        }
        let protocol_type = Arc::clone(&ask.protocol_type);
        let mut member = Member::new(id, ask, part);
        let patience = u64::from(work.config.new_member_join_timeout_ms);
        self.expire_in(&mut member, patience, work);
        member.weigh(self.name.len() + protocol_type.len(), work.budget);
        self.insert(member, &protocol_type);
        self.rebalance(work);
    }

    /// A member joins.
    fn join_again(&mut self, part: T, ask: JoinAsk, work: &mut Work<'_, T>) {
        if let Err(code) = self.check_member(&ask.member, ask.instance.as_ref()) {
            return work.answers.push((part, refuse_join(code, &ask.member)));
        }
        let id = Arc::clone(&ask.member);
        let changed = self.members[&id].protocols != ask.protocols;
        let leads = self.is_leader(&id);
        match self.state {
            // Its answer was lost: it hears the same again.
            State::Completing if !changed => self.repeat_join(part, &id, leads, work),
            // A follower with nothing new; a leader that joins wants to assign anew.
            State::Stable if !changed && !leads => self.repeat_join(part, &id, false, work),
            State::Preparing(_) | State::Completing | State::Stable => {
                self.update(part, ask, work);
                self.rebalance(work);
            }
            State::Empty(_) => work.answers.push((part, refuse_join(ErrorCode::UnknownMemberId, &id))),
        }
    }

    fn repeat_join(&self, part: T, id: &Arc<str>, as_leader: bool, work: &mut Work<'_, T>) {
        let joined = self.joined(id, as_leader);
        work.answers.push((part, GroupAnswer::Joined(Ok(joined))));
    }

    /// A member says anew what it speaks and how long it is waited for, and waits for the next generation. A request of
    /// its that waited before, on a connection that it gave up, is told to try again.
    pub(super) fn update(&mut self, part: T, ask: JoinAsk, work: &mut Work<'_, T>) {
        let Some(mut member) = self.members.remove(&ask.member) else {
            return;
        };
        Self::dismiss(&member, ErrorCode::RebalanceInProgress, &ask.member, work);
        self.joining += usize::from(!member.is_joining());
        self.spoken.remove(&member);
        member.protocols = ask.protocols;
        member.session_timeout_ms = ask.session_timeout_ms;
        member.rebalance_timeout_ms = ask.rebalance_timeout_ms;
        member.waiting = Waiting::Join(part);
        member.weigh(self.shared_bytes(), work.budget);
        self.spoken.add(&member);
        self.members.insert(ask.member, member);
    }

    /// Begins to prepare the next generation, or ends it if everybody has joined (`maybePrepareRebalanceOrCompleteJoin`).
    pub(super) fn rebalance(&mut self, work: &mut Work<'_, T>) {
        match self.state {
            State::Preparing(_) => self.wait_or_complete(work),
            State::Empty(_) | State::Completing | State::Stable => self.prepare(work),
        }
    }

    /// Somebody has joined while the group prepares: that may have been the last, or the first.
    pub(super) fn wait_or_complete(&mut self, work: &mut Work<'_, T>) {
        self.complete_if_all_joined(work);
        if matches!(self.state, State::Preparing(_)) && self.join_deadline.is_none() {
            let patience = self.rebalance_timeout_ms();
            self.arm_join(patience, work);
        }
    }

    /// Has every member join anew.
    pub(in crate::group) fn prepare(&mut self, work: &mut Work<'_, T>) {
        if self.state == State::Completing {
            self.call_off_sync(ErrorCode::RebalanceInProgress, work);
        }
        self.unsynced.clear();
        self.disarm_sync(work);
        let patience = self.rebalance_timeout_ms();
        if self.is_empty() {
            let delay_ms = u64::from(work.config.initial_rebalance_delay_ms);
            let initial = Join::Initial {
                delay_ms,
                remaining_ms: patience.saturating_sub(delay_ms),
                extended: false,
            };
            self.enter(State::Preparing(initial), work.now);
            return self.arm_join(delay_ms, work);
        }
        self.enter(State::Preparing(Join::Ordinary), work.now);
        if self.all_joined() {
            self.complete_join(work);
        } else {
            self.arm_join(patience, work);
        }
    }

    /// Ends the wait if everybody has joined, but for an empty group's first members, who wait for others.
    pub(super) fn complete_if_all_joined(&mut self, work: &mut Work<'_, T>) {
        if self.state == State::Preparing(Join::Ordinary) && self.all_joined() {
            self.complete_join(work);
        }
    }

    /// Somebody is gone whom the wait may have been for; an initial one too.
    pub(super) fn complete_without(&mut self, work: &mut Work<'_, T>) {
        if matches!(self.state, State::Preparing(_)) && self.all_joined() {
            self.complete_join(work);
        }
    }

    /// The wait for members to join is over.
    fn join_due(&mut self, work: &mut Work<'_, T>) {
        self.join_deadline = None;
        let State::Preparing(join) = self.state else { return };
        match join {
            Join::Initial {
                delay_ms,
                remaining_ms,
                extended: true,
            } if remaining_ms > 0 => {
                if bug!(JoinTimerNotRearmed) {
                    return;
                }
                let next = u64::from(work.config.initial_rebalance_delay_ms).min(remaining_ms);
                self.state = State::Preparing(Join::Initial {
                    delay_ms: next,
                    remaining_ms: remaining_ms.saturating_sub(delay_ms),
                    extended: false,
                });
                self.arm_join(next, work);
            }
            _ => self.complete_join(work),
        }
    }

    /// The members who have joined make the next generation, once its record is durable. Static members that have not
    /// are of it too; others are dropped.
    fn complete_join(&mut self, work: &mut Work<'_, T>) {
        self.disarm_join(work);
        let late = |member: &&Member<T>| !member.is_joining() && !member.is_static();
        let late: Vec<_> = self
            .members
            .values()
            .filter(late)
            .map(|it| Arc::clone(&it.id))
            .collect();
        for id in &late {
            self.remove(id, work);
        }
        if !self.members.is_empty() && !self.elect_leader() {
            return self.wait_again(work);
        }
        self.generation = self.generation.saturating_add(1);
        self.unsynced.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.learn_subscriptions();
            self.enter(State::Empty(Since::at(work.now)), work.now);
            return self.store(StateName::PreparingRebalance, After::Emptied(Vec::new()));
        }
        self.protocol = self.spoken.elect(self.members.values());
        self.learn_subscriptions();
        let shared = self.shared_bytes();
        for member in self.members.values_mut() {
            member.assignment = bytes::Bytes::new();
            member.weigh(shared, work.budget);
        }
        self.enter(State::Completing, work.now);
        self.store(StateName::PreparingRebalance, After::Joined);
    }

    /// Nobody has joined, and static members are left: they are waited for once more, until session timeouts remove those
    /// who are gone (`GroupMetadataManager.completeClassicGroupJoin`). Where the wait is so short that it would be due again
    /// and again for nobody, the first who joins begins it instead.
    fn wait_again(&mut self, work: &mut Work<'_, T>) {
        let patience = self.rebalance_timeout_ms();
        if patience >= SHORTEST_IDLE_WAIT_MS {
            self.arm_join(patience, work);
        }
    }

    /// Makes sure that the leader is one who has joined; false when nobody has.
    fn elect_leader(&mut self) -> bool {
        let leads = |member: &&Member<T>| self.is_leader(&member.id);
        if self.members.values().find(leads).is_some_and(Member::is_joining) {
            return true;
        }
        let other = self
            .members
            .values()
            .find(|it| it.is_joining())
            .map(|it| Arc::clone(&it.id));
        let found = other.is_some();
        if found {
            self.leader = other;
        }
        found
    }

    /// A deadline of the group has come.
    pub(in crate::group) fn due(&mut self, due: Due, work: &mut Work<'_, T>) {
        match due {
            Due::Join => self.join_due(work),
            Due::Sync => self.sync_due(work),
            Due::Session(id) => self.session_due(&id, work),
        }
    }

    fn session_due(&mut self, id: &Arc<str>, work: &mut Work<'_, T>) {
        if let Some(Pending { expires, .. }) = self.pending.remove(id) {
            if expires > work.now.monotonic && !work.budget.is_half_held() {
                return self.expect(Arc::clone(id), expires, work);
            }
            return self.complete_without(work);
        }
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        member.armed = None;
        let (lives, waited_for) = (member.expires > work.now.monotonic, member.is_waited_for());
        if lives && !bug!(SessionTimerNotRearmed) {
            self.arm_session(&mut member, work);
        }
        self.members.insert(Arc::clone(id), member);
        if !lives && !waited_for {
            self.remove(id, work);
            self.go_on_without(work);
        }
    }

    /// A member is gone.
    pub(super) fn go_on_without(&mut self, work: &mut Work<'_, T>) {
        match self.state {
            State::Completing | State::Stable => self.prepare(work),
            State::Preparing(_) => self.complete_without(work),
            State::Empty(_) => {}
        }
    }

    /// After a start: the members' session timers begin anew, and a generation without parts awaits its leader's.
    pub(in crate::group) fn resume(&mut self, work: &mut Work<'_, T>) {
        let shared = self.shared_bytes();
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.acquaintance = Acquaintance::Known;
                member.weigh(shared, work.budget);
            }
            self.heard(&id, work);
            if self.state == State::Completing {
                self.unsynced.insert(id);
            }
        }
        self.learn_subscriptions();
        if self.state == State::Completing {
            let patience = self.rebalance_timeout_ms();
            self.arm_sync(patience, work);
        }
        // `group.max.size` may be less than it was.
        if self.members.len() > work.config.max_size as usize {
            self.prepare(work);
        }
    }
}

/// A member id that nobody else has: who it is for, and a random UUID (RFC 9562, version 4).
pub(super) fn member_id(prefix: &str, seed: &mut Seed) -> Arc<str> {
    let mut bytes = seed.bytes16();
    bytes[6] = (bytes[6] & 0x0F) | 0x40;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    let mut id = String::with_capacity(prefix.len() + 37);
    id.push_str(prefix);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 0 | 4 | 6 | 8 | 10) {
            id.push('-');
        }
        for digit in [byte >> 4, byte & 0x0F] {
            id.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    Arc::from(id)
}
